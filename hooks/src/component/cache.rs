//! Compiled components on disk. A compiled component is machine code that PID 1 will run: it is looked for under a
//! name made of everything it depends on, in a folder that only root or `init`'s own user can write, and loaded only
//! if its digest is the one written beside it.
//!
//! `DIGEST-KEY.cwasm`, where DIGEST begins the SHA-256 of the `.wasm` and KEY is that of wasmtime's version, the target
//! and the engine's settings; `DIGEST-KEY.cwasm.sha256` is what `sha256sum -c` takes.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use nix::fcntl::OFlag;

use super::engine;
use super::load::Code;
use crate::digest::sha256;

/// Bytes of a line that is kept beside one.
const LINE: u64 = 4096;

/// A folder of compiled components.
#[derive(Debug, Clone)]
pub struct Cache {
    folder: PathBuf,
}

/// Why nothing is loaded from, or put into, the cache.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CacheError {
    /// Somebody else could have written there.
    #[error("{} {problem}, so that what is in it could be anybody's: make it and what is above it writable for root or uid {} alone, or set hooks.cache to such a folder", path.display(), nix::unistd::geteuid())]
    NotOurs {
        /// The folder or file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// What is there is not what was put there.
    #[error("the compiled component {} has SHA-256 {found}, and {expected} was written beside it: it was changed or damaged and is not loaded; find out who did that, then: rm {}*", path.display(), path.display())]
    Forged {
        /// The file.
        path: PathBuf,
        /// What was written beside it.
        expected: String,
        /// What it has.
        found: String,
    },
    /// The system says no.
    #[error("cannot {doing} {}: {reason}", path.display())]
    System {
        /// The attempt.
        doing: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
}

impl Cache {
    /// The folder, which need not exist.
    pub const fn at(folder: PathBuf) -> Self {
        Self { folder }
    }

    /// Where the compiled form of a `.wasm` with this SHA-256 belongs.
    pub fn path(&self, digest: &str) -> PathBuf {
        let depends =
            format!("wasmtime {}\n{}\n{}\n", engine::WASMTIME, engine::target(), engine::settings());
        let key = sha256(format!("{digest}\n{depends}").as_bytes());
        self.folder.join(format!("{}-{}.cwasm", digest.get(..16).unwrap_or(digest), &key[..16]))
    }

    /// The compiled form of a `.wasm`, checked; none when there is none.
    ///
    /// # Errors
    /// What makes it not be loaded.
    pub(super) fn load(&self, digest: &str) -> Result<Option<Code>, CacheError> {
        let path = self.path(digest);
        let beside = beside(&path);
        let (Some(compiled), Some(line)) = (open(&path)?, open(&beside)?) else { return Ok(None) };
        self.check_folder()?;
        let line = read(line, &beside)?;
        let expected: String =
            String::from_utf8_lossy(&line).split_whitespace().next().unwrap_or_default().to_owned();
        let (code, found) = Code::copy(compiled).map_err(failed("read", &path))?;
        if found != expected {
            return Err(CacheError::Forged { path, expected: super::state::readable(&expected, 64), found });
        }
        Ok(Some(code))
    }

    /// Keeps a compiled component.
    ///
    /// # Errors
    /// As the system says; then it is compiled again the next time.
    pub fn store(&self, digest: &str, compiled: &[u8]) -> Result<PathBuf, CacheError> {
        self.make_folder()?;
        let path = self.path(digest);
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        write(&path, compiled)?;
        write(&beside(&path), format!("{}  {name}\n", sha256(compiled)).as_bytes())?;
        Ok(path)
    }

    /// The digest of the component that last ran well under a hook's name.
    pub(super) fn last_good(&self, name: &str) -> Option<String> {
        let path = self.last_good_path(name);
        let line = open(&path).ok()?.filter(|_| self.check_folder().is_ok())?;
        let line = String::from_utf8(read(line, &path).ok()?).ok()?;
        let digest = line.split_whitespace().next()?;
        let is_digest = digest.len() == 64 && digest.bytes().all(|digit| digit.is_ascii_hexdigit());
        is_digest.then(|| digest.to_owned())
    }

    /// Remembers it.
    pub(super) fn remember(&self, name: &str, digest: &str) -> Result<(), CacheError> {
        self.make_folder()?;
        write(&self.last_good_path(name), format!("{digest}  {name}\n").as_bytes())
    }

    fn last_good_path(&self, name: &str) -> PathBuf {
        self.folder.join(format!("last-good-{}", &sha256(name.as_bytes())[..16]))
    }

    /// The folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    fn make_folder(&self) -> Result<(), CacheError> {
        if !self.folder.exists() {
            fs::create_dir_all(&self.folder).map_err(failed("create", &self.folder))?;
            fs::set_permissions(&self.folder, fs::Permissions::from_mode(0o755))
                .map_err(failed("change the mode of", &self.folder))?;
        }
        self.check_folder()
    }

    /// Nobody but root and `init`'s own user can write in the folder or put another in its place.
    fn check_folder(&self) -> Result<(), CacheError> {
        let folder = fs::canonicalize(&self.folder).map_err(failed("look at", &self.folder))?;
        for (depth, path) in folder.ancestors().enumerate() {
            let metadata = fs::symlink_metadata(path).map_err(failed("look at", path))?;
            // In a sticky folder, as /tmp, nobody moves what belongs to another.
            let sticky = depth > 0 && metadata.mode() & 0o1000 != 0;
            check(path, &metadata, sticky)?;
        }
        Ok(())
    }
}

fn check(path: &Path, metadata: &fs::Metadata, sticky: bool) -> Result<(), CacheError> {
    let not_ours = |problem: String| Err(CacheError::NotOurs { path: path.to_owned(), problem });
    if metadata.uid() != 0 && metadata.uid() != nix::unistd::geteuid().as_raw() {
        return not_ours(format!("belongs to uid {}", metadata.uid()));
    }
    if metadata.mode() & 0o022 != 0 && !sticky {
        return not_ours(format!("has mode {:o}", metadata.mode() & 0o7777));
    }
    Ok(())
}

/// A file of the cache that is really ours.
fn open(path: &Path) -> Result<Option<File>, CacheError> {
    let opened =
        OpenOptions::new().read(true).custom_flags((OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK).bits()).open(path);
    let file = match opened {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed("open", path)(error)),
    };
    let metadata = file.metadata().map_err(failed("look at", path))?;
    if !metadata.is_file() {
        return Err(CacheError::NotOurs { path: path.to_owned(), problem: "is no regular file".to_owned() });
    }
    check(path, &metadata, false)?;
    Ok(Some(file))
}

fn read(file: File, path: &Path) -> Result<Vec<u8>, CacheError> {
    let mut content = Vec::new();
    file.take(LINE).read_to_end(&mut content).map_err(failed("read", path))?;
    Ok(content)
}

/// Written beside and renamed, so that a reader sees all of it or none.
fn write(path: &Path, content: &[u8]) -> Result<(), CacheError> {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{}", std::process::id()));
    let new = PathBuf::from(name);
    let written = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o644)
        .custom_flags(OFlag::O_NOFOLLOW.bits())
        .open(&new)
        .and_then(|mut file| {
            file.write_all(content)?;
            // Whatever the umask: whoever runs `init` reads what the image's build wrote.
            file.set_permissions(fs::Permissions::from_mode(0o644))
        })
        .and_then(|()| fs::rename(&new, path));
    written.map_err(|error| {
        let _ = fs::remove_file(&new);
        failed("write", path)(error)
    })
}

fn beside(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".sha256");
    PathBuf::from(name)
}

fn failed<'a>(doing: &'static str, path: &'a Path) -> impl FnOnce(io::Error) -> CacheError + use<'a> {
    move |error| CacheError::System { doing, path: path.to_owned(), reason: error.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIGEST: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

    fn cache() -> (tempfile::TempDir, Cache) {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::at(folder.path().join("hooks"));
        (folder, cache)
    }

    #[test]
    fn what_is_kept_is_found_again_and_sha256sum_agrees() {
        let (_folder, cache) = cache();
        assert!(cache.load(DIGEST).unwrap().is_none());
        let path = cache.store(DIGEST, b"code").unwrap();
        assert_eq!(cache.load(DIGEST).unwrap().unwrap().bytes().unwrap(), b"code");
        let beside = beside(&path);
        let check = std::process::Command::new("sha256sum")
            .arg("-c")
            .arg(beside)
            .current_dir(cache.folder())
            .output()
            .unwrap();
        assert!(check.status.success(), "{check:?}");
    }

    #[test]
    fn a_changed_one_is_not_loaded() {
        let (_folder, cache) = cache();
        let path = cache.store(DIGEST, b"code").unwrap();
        fs::write(&path, b"evil").unwrap();
        let error = cache.load(DIGEST).unwrap_err();
        assert!(matches!(error, CacheError::Forged { .. }), "{error}");
        assert!(error.to_string().contains("rm "), "{error}");
    }

    #[test]
    fn a_folder_that_others_can_write_is_not_trusted_nor_is_one_below_it() {
        let (folder, cache) = cache();
        let path = cache.store(DIGEST, b"code").unwrap();
        for (place, mode) in [(cache.folder(), 0o777), (cache.folder(), 0o775), (folder.path(), 0o777)] {
            fs::set_permissions(place, fs::Permissions::from_mode(mode)).unwrap();
            let error = cache.load(DIGEST).unwrap_err();
            assert!(matches!(&error, CacheError::NotOurs { path, .. } if path == place), "{error}");
            fs::set_permissions(place, fs::Permissions::from_mode(0o755)).unwrap();
        }
        fs::set_permissions(&path, fs::Permissions::from_mode(0o666)).unwrap();
        assert!(matches!(cache.load(DIGEST), Err(CacheError::NotOurs { .. })));
    }

    #[test]
    fn a_symlink_in_its_place_is_not_followed() {
        let (folder, cache) = cache();
        let path = cache.store(DIGEST, b"code").unwrap();
        let elsewhere = folder.path().join("elsewhere");
        fs::rename(&path, &elsewhere).unwrap();
        std::os::unix::fs::symlink(&elsewhere, &path).unwrap();
        assert!(matches!(cache.load(DIGEST), Err(CacheError::System { .. })));
    }

    #[test]
    fn one_that_belongs_to_somebody_else_is_not_trusted() {
        let (_folder, cache) = cache();
        let path = cache.store(DIGEST, b"code").unwrap();
        if !nix::unistd::geteuid().is_root() {
            return;
        }
        std::os::unix::fs::chown(&path, Some(12345), None).unwrap();
        let error = cache.load(DIGEST).unwrap_err();
        assert!(error.to_string().contains("belongs to uid 12345"), "{error}");
    }
}
