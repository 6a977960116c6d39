//! A folder of results: which files there are, and what each is.
//!
//! Links are not followed, and nothing that is no file is opened. The order is that of the names' bytes, whatever the disk says.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _};
use std::os::unix::fs::{FileTypeExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use nix::fcntl::OFlag;
use serde::Serialize;
use thiserror::Error;

/// No folder of results has more files.
const FILES: usize = 100_000;
/// None is deeper.
const DEPTH: usize = 32;
/// OMERO's database has names of files of this length, in characters.
const NAME: usize = 255;

/// What a file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// An image in a file.
    Image,
    /// An image in a folder: OME-Zarr.
    Zarr,
    /// Rows and columns of text.
    Table,
    /// What a program has told.
    Log,
    /// Files in a file.
    Archive,
    /// Whatever else.
    Other,
}

/// A file of the folder, or a folder that is one image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// Where it is, from the folder on: names with slashes between, of which none is `..`.
    pub path: String,
    /// What it is.
    pub kind: Kind,
    /// Its bytes; of a folder none.
    pub size: u64,
}

impl Found {
    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        self.path.rsplit('/').next().unwrap_or(&self.path)
    }

    /// The folder it is in, with a slash at the end; nothing where that is the folder of results itself.
    #[must_use]
    pub fn parent(&self) -> &str {
        self.path.strip_suffix(self.name()).unwrap_or_default()
    }

    /// Its type as OMERO and browsers know it.
    #[must_use]
    pub fn mimetype(&self) -> &'static str {
        mimetype(self.name(), self.kind)
    }
}

/// What is left where it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LeftOut {
    /// Which, as far as it can be shown.
    pub path: String,
    /// Why.
    pub reason: String,
}

/// A folder of results.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Folder {
    /// Where it is.
    pub root: PathBuf,
    /// What is in it, in the order of paths.
    pub files: Vec<Found>,
    /// What is in it and not brought home.
    pub left_out: Vec<LeftOut>,
}

/// Why a folder is not read.
#[derive(Debug, Error)]
pub enum FolderError {
    /// It is not there, or may not be read.
    #[error("cannot read the results in {}: {source}; give a folder that this user may read", path.display())]
    Io {
        /// What.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It has more than anybody means.
    #[error(
        "{} holds more than {FILES} files; pack them into an archive, or give the folder that is meant", path.display()
    )]
    TooMany {
        /// Which.
        path: PathBuf,
    },
}

impl Folder {
    /// Reads it.
    ///
    /// # Errors
    /// It, or a folder within, cannot be read, or there are too many files.
    pub fn read(root: &Path) -> Result<Self, FolderError> {
        let mut folder = Self { root: root.to_owned(), files: Vec::new(), left_out: Vec::new() };
        folder.walk(root, "", 0)?;
        folder.files.sort_by(|one, other| one.path.cmp(&other.path));
        folder.left_out.sort_by(|one, other| one.path.cmp(&other.path));
        Ok(folder)
    }

    fn walk(&mut self, at: &Path, prefix: &str, depth: usize) -> Result<(), FolderError> {
        let failed = |source| FolderError::Io { path: at.to_owned(), source };
        for entry in fs::read_dir(at).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            if self.files.len() + self.left_out.len() >= FILES {
                return Err(FolderError::TooMany { path: self.root.clone() });
            }
            let name = entry.file_name();
            let shown = format!("{prefix}{}", name.to_string_lossy());
            let Some(name) = name.to_str() else {
                self.leave(shown, "its name is not UTF-8; rename it");
                continue;
            };
            if let Some(reason) = unfit(name) {
                self.leave(shown, reason);
                continue;
            }
            // Of the entry itself, not of what a link leads to.
            let kind = entry.file_type().map_err(failed)?;
            let path = entry.path();
            if kind.is_symlink() {
                self.leave(shown, "it is a link, and may lead anywhere; put the file itself there");
            } else if kind.is_dir() && is_zarr(&path, name) {
                self.files.push(Found { path: shown, kind: Kind::Zarr, size: 0 });
            } else if kind.is_dir() && depth == DEPTH {
                self.leave(shown, "folders are nested too deep");
            } else if kind.is_dir() {
                self.walk(&path, &format!("{shown}/"), depth + 1)?;
            } else if kind.is_file() {
                let size = entry.metadata().map_err(failed)?.len();
                let found = Found { path: shown, kind: kind_of(&path, name), size };
                self.files.push(found);
            } else {
                let what = if kind.is_fifo() || kind.is_socket() { "a pipe or socket" } else { "a device" };
                self.leave(shown, &format!("it is {what}, and no file"));
            }
        }
        Ok(())
    }

    fn leave(&mut self, path: String, reason: &str) {
        self.left_out.push(LeftOut { path, reason: reason.to_owned() });
    }

    /// The place of a file on this disk.
    #[must_use]
    pub fn place(&self, found: &Found) -> PathBuf {
        self.root.join(&found.path)
    }

    /// Opens a file, unless it has become a link since.
    ///
    /// # Errors
    /// It cannot be opened, or is no file any more.
    pub fn open(&self, path: &str) -> io::Result<File> {
        open(&self.root.join(path))
    }
}

/// A file itself, and neither what a link leads to nor a pipe that would never end.
fn open(path: &Path) -> io::Result<File> {
    let flags = (OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC).bits();
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path)?;
    match file.metadata()?.is_file() {
        true => Ok(file),
        false => Err(io::Error::new(io::ErrorKind::InvalidInput, "it is no file")),
    }
}

/// Why OMERO is not given a name.
fn unfit(name: &str) -> Option<&'static str> {
    if name.starts_with('.') {
        Some("it is hidden")
    } else if name.chars().any(char::is_control) {
        Some("its name has control characters; rename it")
    } else if name.chars().count() > NAME {
        Some("its name is longer than OMERO's database has room for; rename it")
    } else {
        None
    }
}

/// Whether a folder is one image, as its name and the documents in it say.
fn is_zarr(path: &Path, name: &str) -> bool {
    ends_with(name, ".zarr")
        && [".zattrs", ".zgroup", "zarr.json"].iter().any(|document| path.join(document).is_file())
}

fn ends_with(name: &str, ending: &str) -> bool {
    let start = name.len().checked_sub(ending.len());
    start.and_then(|start| name.get(start..)).is_some_and(|end| end.eq_ignore_ascii_case(ending))
}

/// Endings of names, what they say, and the type that goes with them; the longest that fits counts.
const ENDINGS: &[(&str, Kind, &str)] = &[
    (".ome.tif", Kind::Image, "image/tiff"),
    (".ome.tiff", Kind::Image, "image/tiff"),
    (".tif", Kind::Image, "image/tiff"),
    (".tiff", Kind::Image, "image/tiff"),
    (".png", Kind::Image, "image/png"),
    (".jpg", Kind::Image, "image/jpeg"),
    (".jpeg", Kind::Image, "image/jpeg"),
    (".csv", Kind::Table, "text/csv"),
    (".tsv", Kind::Table, "text/tab-separated-values"),
    (".log", Kind::Log, "text/plain"),
    (".out", Kind::Log, "text/plain"),
    (".err", Kind::Log, "text/plain"),
    (".zip", Kind::Archive, "application/zip"),
    (".tar", Kind::Archive, "application/x-tar"),
    (".tar.gz", Kind::Archive, "application/gzip"),
    (".tgz", Kind::Archive, "application/gzip"),
    (".gz", Kind::Archive, "application/gzip"),
    (".tar.bz2", Kind::Archive, "application/x-bzip2"),
    (".bz2", Kind::Archive, "application/x-bzip2"),
    (".xz", Kind::Archive, "application/x-xz"),
    (".zst", Kind::Archive, "application/zstd"),
    (".7z", Kind::Archive, "application/x-7z-compressed"),
    (".txt", Kind::Other, "text/plain"),
    (".md", Kind::Other, "text/markdown"),
    (".json", Kind::Other, "application/json"),
    (".geojson", Kind::Other, "application/geo+json"),
    (".xml", Kind::Other, "application/xml"),
    (".html", Kind::Other, "text/html"),
    (".pdf", Kind::Other, "application/pdf"),
    (".svg", Kind::Other, "image/svg+xml"),
    (".npy", Kind::Other, "application/octet-stream"),
    (".xlsx", Kind::Other, "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"),
];

fn ending(name: &str) -> Option<&'static (&'static str, Kind, &'static str)> {
    ENDINGS.iter().filter(|(ending, ..)| ends_with(name, ending)).max_by_key(|(ending, ..)| ending.len())
}

/// What a name is without the ending that says what the file is.
#[must_use]
pub fn stem(name: &str) -> &str {
    let zarr = [".ome.zarr", ".zarr"].into_iter().find(|ending| ends_with(name, ending));
    let known = zarr.or_else(|| ending(name).map(|(ending, ..)| *ending));
    let end = match known {
        Some(ending) => name.len() - ending.len(),
        None => name.rfind('.').unwrap_or(name.len()),
    };
    // A name that is nothing but an ending is a name.
    if end == 0 { name } else { name.get(..end).unwrap_or(name) }
}

/// By its name; an image also by how it begins, since a name promises much.
fn kind_of(path: &Path, name: &str) -> Kind {
    match ending(name) {
        Some((_, Kind::Image, mimetype)) if !begins_as(path, mimetype) => Kind::Other,
        Some((_, kind, _)) => *kind,
        None => Kind::Other,
    }
}

fn mimetype(name: &str, kind: Kind) -> &'static str {
    match ending(name) {
        // What only calls itself an image.
        Some((_, Kind::Image, _)) if kind != Kind::Image => "application/octet-stream",
        Some((.., mimetype)) => mimetype,
        None => "application/octet-stream",
    }
}

fn begins_as(path: &Path, mimetype: &str) -> bool {
    let mut magic = [0; 8];
    // What cannot be read is told when it is attached.
    let Ok(mut file) = open(path) else { return true };
    let Ok(read) = file.read(&mut magic) else { return true };
    let magic = &magic[..read];
    match mimetype {
        "image/tiff" => [b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"].iter().any(|tiff| magic.starts_with(*tiff)),
        "image/png" => magic == b"\x89PNG\r\n\x1a\n",
        _ => magic.starts_with(b"\xff\xd8\xff"),
    }
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt as _;
    use std::os::unix::fs::symlink;

    use super::*;

    fn folder(files: &[(&str, &[u8])]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().expect("a folder");
        for (name, content) in files {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().expect("it has one")).expect("made");
            fs::write(path, content).expect("written");
        }
        folder
    }

    #[test]
    fn files_are_told_apart_by_name_and_an_image_also_by_how_it_begins() {
        let folder = folder(&[
            ("a.ome.tiff", b"II*\0...."),
            ("not.tif", b"<html>"),
            ("b.PNG", b"\x89PNG\r\n\x1a\n"),
            ("sub/table.csv", b"a,b\n"),
            ("omero-4711.log", b""),
            ("all.tar.gz", b""),
            ("notes", b""),
            ("image.ome.zarr/.zattrs", b"{}"),
            ("image.ome.zarr/0/0.0", b""),
            ("empty.zarr/readme.txt", b""),
        ]);
        let read = Folder::read(folder.path()).expect("it is read");
        let told: Vec<_> =
            read.files.iter().map(|file| (file.path.as_str(), file.kind, file.mimetype())).collect();
        assert_eq!(
            told,
            [
                ("a.ome.tiff", Kind::Image, "image/tiff"),
                ("all.tar.gz", Kind::Archive, "application/gzip"),
                ("b.PNG", Kind::Image, "image/png"),
                ("empty.zarr/readme.txt", Kind::Other, "text/plain"),
                ("image.ome.zarr", Kind::Zarr, "application/octet-stream"),
                ("not.tif", Kind::Other, "application/octet-stream"),
                ("notes", Kind::Other, "application/octet-stream"),
                ("omero-4711.log", Kind::Log, "text/plain"),
                ("sub/table.csv", Kind::Table, "text/csv"),
            ]
        );
        assert_eq!((read.files[8].name(), read.files[8].parent()), ("table.csv", "sub/"));
        assert_eq!(read.left_out, []);
    }

    #[test]
    fn what_may_lead_elsewhere_or_has_no_name_is_left_out_with_a_reason() {
        let folder = folder(&[("plain.txt", b""), (".nfs0001", b""), ("line\nbreak", b"")]);
        let secret = tempfile::NamedTempFile::new().expect("a file");
        symlink(secret.path(), folder.path().join("link.txt")).expect("linked");
        symlink("/", folder.path().join("root")).expect("linked");
        fs::write(folder.path().join(OsStr::from_bytes(b"\xff.txt")), b"").expect("written");
        nix::unistd::mkfifo(&folder.path().join("pipe"), nix::sys::stat::Mode::S_IRWXU).expect("a pipe");
        let read = Folder::read(folder.path()).expect("it is read");
        let files: Vec<&str> = read.files.iter().map(|file| file.path.as_str()).collect();
        assert_eq!(files, ["plain.txt"]);
        assert_eq!(read.left_out.len(), 6);
        let reason = |name: &str| {
            let left = read.left_out.iter().find(|left| left.path == name).expect(name);
            left.reason.clone()
        };
        assert!(reason("link.txt").contains("link") && reason("root").contains("link"));
        assert!(reason("line\nbreak").contains("control") && reason("\u{fffd}.txt").contains("UTF-8"));
        assert!(reason("pipe").contains("pipe") && reason(".nfs0001").contains("hidden"));
        // One that became a link or a pipe after it was looked at.
        for changed in ["link.txt", "pipe", "root"] {
            assert!(read.open(changed).is_err(), "{changed}");
        }
        assert!(Folder::read(&folder.path().join("nothing")).is_err());
    }

    #[test]
    fn a_stem_is_without_the_ending_that_says_what_it_is() {
        for (name, stem_of) in [
            ("a.ome.tiff", "a"),
            ("a.OME.TIF", "a"),
            ("a.b.csv", "a.b"),
            ("a.ome.zarr", "a"),
            ("a.tar.gz", "a"),
            ("a.unknown", "a"),
            ("noending", "noending"),
            (".csv", ".csv"),
            ("ü.tif", "ü"),
        ] {
            assert_eq!(stem(name), stem_of, "{name}");
        }
    }
}
