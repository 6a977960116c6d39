//! Paths of a hook that is not trusted, resolved so that no symlink and no `..` leads out of what was granted, and so
//! that nothing that changes between looking and writing does either.
//!
//! The directory that a grant names may be reached through symlinks: the administrator chose it, and `OMERO.server` is
//! one in OMERO's image. Below it each step is opened by hand, without following one, and the file is then named by way
//! of the handle of its directory (`/proc/self/fd/N/NAME`): whatever is renamed meanwhile, the handle stays where it
//! is. What is read may be a symlink as long as it stays below the granted directory (a Kubernetes volume's
//! `ca.crt -> ..data/ca.crt`); `openat2(2)` sees to that, and where there is none, no symlink is followed at all.
//! What is changed is changed by the handle that [`Guard`] has looked at.

use std::io;
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, OwnedFd};
use std::path::{Component, Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, OpenHow, ResolveFlag, openat, openat2};
use nix::sys::stat::{Mode, SFlag, fstat};
use nix::unistd::{Gid, Uid};

use crate::grants::{Grants, PathGrant};
use crate::guard::Guard;

/// The paths that one hook may reach.
#[derive(Debug)]
pub(crate) struct Confinement {
    grants: Vec<PathGrant>,
    guard: Guard,
}

/// How far a path leads.
struct Reached {
    /// The last directory on the way.
    directory: OwnedFd,
    /// What comes after it: one part, where all before that is there.
    rest: PathBuf,
    /// Why it does not lead further.
    stopped: Option<Errno>,
}

/// A path to hand to the system, and what keeps it from leading elsewhere while it is used.
#[derive(Debug)]
pub(crate) struct Place {
    path: PathBuf,
    /// None where nothing confines.
    directory: Option<OwnedFd>,
}

impl Place {
    /// A path as it is.
    pub(crate) const fn plain(path: PathBuf) -> Self {
        Self { path, directory: None }
    }

    /// Whether its last part must not be followed if it is a symlink.
    pub(crate) const fn is_confined(&self) -> bool {
        self.directory.is_some()
    }
}

impl AsRef<Path> for Place {
    fn as_ref(&self) -> &Path {
        &self.path
    }
}

impl std::ops::Deref for Place {
    type Target = Path;
    fn deref(&self) -> &Path {
        &self.path
    }
}

impl Confinement {
    /// All that a hook may read or write.
    pub(crate) fn of(grants: &Grants) -> Self {
        let grants = grants.write.iter().chain(&grants.read).cloned().collect();
        Self { grants, guard: Guard::default() }
    }

    /// Sets what may not be changed whatever is granted.
    pub(crate) fn keep(&mut self, guard: Guard) {
        self.guard = guard;
    }

    /// The directory that holds `path` by a grant, or nothing where the path is only on the way to one.
    ///
    /// # Errors
    /// `EACCES` for a path that no grant has to do with.
    fn anchor<'a>(&'a self, path: &Path) -> io::Result<Option<&'a Path>> {
        let anchors = || {
            self.grants.iter().filter_map(|grant| match grant {
                PathGrant::Exact(granted) => granted.parent().map(|parent| (grant, parent)),
                PathGrant::Below(directory) | PathGrant::Matching { directory, .. } => {
                    Some((grant, directory.as_path()))
                }
            })
        };
        if let Some((_, anchor)) = anchors().find(|(grant, anchor)| grant.covers(path) && path != *anchor) {
            return Ok(Some(anchor));
        }
        // The granted directory itself and what is above it: chosen by whoever granted it.
        if anchors().any(|(_, anchor)| anchor.starts_with(path)) {
            return Ok(None);
        }
        Err(io::Error::new(io::ErrorKind::PermissionDenied, "no grant has to do with this path"))
    }

    /// Resolves `path`; `locate` finds the granted directory on the system. With `follow`, a symlink is followed that
    /// stays below it.
    pub(crate) fn place(
        &self,
        path: &Path,
        follow: bool,
        locate: impl Fn(&Path) -> io::Result<PathBuf>,
    ) -> io::Result<Place> {
        let Some((anchor, below)) = self.split(path)? else { return locate(path).map(Place::plain) };
        if follow && self.anchor(path)?.is_none() {
            return locate(path).map(Place::plain);
        }
        let directory = open_directory(&locate(anchor)?)?;
        if follow {
            let reached = match beneath(directory.as_fd(), below)? {
                Some(reached) => reached,
                None => not_followed(walk(directory, below)?.as_ref())?,
            };
            return Ok(Place { path: by_handle(&reached), directory: Some(reached) });
        }
        walk(directory, below)
    }

    /// As [`Confinement::place`], for what is to be changed.
    ///
    /// # Errors
    /// What keeps it from being changed, too.
    pub(crate) fn place_to_change(
        &self,
        path: &Path,
        locate: impl Fn(&Path) -> io::Result<PathBuf>,
    ) -> io::Result<Place> {
        let place = self.place(path, false, locate)?;
        if let (Some(directory), Some(name)) = (&place.directory, place.file_name())
            && let Some(rule) = self.guard.rule_of_existing(path, directory.as_fd(), Path::new(name))?
        {
            return Err(io::Error::other(rule));
        }
        Ok(place)
    }

    /// Why `path` may not be changed although it is granted, where what is there says so.
    pub(crate) fn rule(
        &self,
        path: &Path,
        locate: impl Fn(&Path) -> io::Result<PathBuf>,
    ) -> io::Result<Option<String>> {
        let Some((anchor, below)) = self.split(path)? else { return Ok(None) };
        // The granted directory itself may be missing yet.
        for above in anchor.ancestors() {
            match locate(above).and_then(|located| open_directory(&located)) {
                Ok(directory) => {
                    let missing = anchor.strip_prefix(above).unwrap_or(anchor);
                    let Reached { directory, rest, .. } = descend(directory, &missing.join(below))?;
                    return self.guard.rule(path, directory.as_fd(), &rest);
                }
                Err(error)
                    if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(None)
    }

    /// The directory from which no symlink is followed, and the way from there. That is the granted directory; for
    /// itself, and for what is above it, the one above that. Nothing for the root.
    fn split<'a>(&'a self, path: &'a Path) -> io::Result<Option<(&'a Path, &'a Path)>> {
        // The check of effects has refused it already; here it is refused whoever asks.
        if path.components().any(|part| part == Component::ParentDir) {
            return Err(io::Error::new(io::ErrorKind::PermissionDenied, "a hook's path has no .. in it"));
        }
        let Some(anchor) = self.anchor(path)?.or_else(|| path.parent()) else { return Ok(None) };
        let below = path.strip_prefix(anchor).map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))?;
        Ok(Some((anchor, below)))
    }
}

fn open_directory(path: &Path) -> io::Result<OwnedFd> {
    let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    Ok(nix::fcntl::open(path, flags, Mode::empty())?)
}

fn by_handle(handle: &OwnedFd) -> PathBuf {
    PathBuf::from(format!("/proc/self/fd/{}", handle.as_raw_fd()))
}

/// What a path leads to without leaving `directory`; `None` where the kernel, or a filter of system calls, knows no
/// `openat2`.
fn beneath(directory: BorrowedFd<'_>, below: &Path) -> io::Result<Option<OwnedFd>> {
    let how = OpenHow::new()
        .flags(OFlag::O_PATH | OFlag::O_CLOEXEC)
        .resolve(ResolveFlag::RESOLVE_BENEATH | ResolveFlag::RESOLVE_NO_MAGICLINKS);
    match openat2(directory, below, how) {
        Ok(reached) => Ok(Some(reached)),
        Err(Errno::ENOSYS | Errno::EPERM) => Ok(None),
        Err(Errno::EXDEV | Errno::ELOOP) => Err(leads_out()),
        Err(errno) => Err(errno.into()),
    }
}

/// The last part of a path in the handle of its directory, no symlink followed on the way.
fn walk(directory: OwnedFd, below: &Path) -> io::Result<Place> {
    let reached = descend(directory, below)?;
    if let Some(errno) = reached.stopped {
        return Err(errno.into());
    }
    Ok(Place { path: by_handle(&reached.directory).join(reached.rest), directory: Some(reached.directory) })
}

/// Goes as far as there are directories, up to the one that holds the last part. No symlink is followed.
fn descend(mut directory: OwnedFd, below: &Path) -> io::Result<Reached> {
    let mut parts = below.components();
    loop {
        let rest = parts.as_path().to_owned();
        let stopped = |directory, errno| Ok(Reached { directory, rest: rest.clone(), stopped: Some(errno) });
        let part = parts.next().ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
        if parts.as_path().as_os_str().is_empty() {
            return Ok(Reached { directory, rest, stopped: None });
        }
        let flags = OFlag::O_PATH | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let next = match openat(directory.as_fd(), part.as_os_str(), flags, Mode::empty()) {
            Ok(next) => next,
            Err(errno @ Errno::ENOENT) => return stopped(directory, errno),
            Err(errno) => return Err(errno.into()),
        };
        match kind(next.as_fd())? {
            SFlag::S_IFLNK => return Err(leads_out()),
            SFlag::S_IFDIR => directory = next,
            _ => return stopped(directory, Errno::ENOTDIR),
        }
    }
}

/// What is at a path itself, which is no symlink.
fn not_followed(path: &Path) -> io::Result<OwnedFd> {
    let flags = OFlag::O_PATH | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    let handle = nix::fcntl::open(path, flags, Mode::empty())?;
    if kind(handle.as_fd())? == SFlag::S_IFLNK { Err(leads_out()) } else { Ok(handle) }
}

fn kind(handle: BorrowedFd<'_>) -> io::Result<SFlag> {
    Ok(SFlag::from_bits_truncate(fstat(handle)?.st_mode & SFlag::S_IFMT.bits()))
}

fn leads_out() -> io::Error {
    io::Error::other("a symbolic link is on the way below what was granted; a hook does not follow it")
}

/// Changes the mode of what is at a path itself: a symlink that took its place is not followed, and a file that has
/// another name elsewhere is left alone.
pub(crate) fn set_mode(path: &Path, mode: u32) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    let handle = only_name(path)?;
    std::fs::set_permissions(by_handle(&handle), std::fs::Permissions::from_mode(mode))
}

/// The same for its owner.
pub(crate) fn set_owner(path: &Path, uid: u32, gid: u32) -> io::Result<()> {
    let handle = only_name(path)?;
    let (uid, gid) = (Uid::from_raw(uid), Gid::from_raw(gid));
    Ok(nix::unistd::fchownat(handle.as_fd(), "", Some(uid), Some(gid), AtFlags::AT_EMPTY_PATH)?)
}

fn only_name(path: &Path) -> io::Result<OwnedFd> {
    let handle = not_followed(path)?;
    let found = fstat(handle.as_fd())?;
    if kind(handle.as_fd())? != SFlag::S_IFDIR && found.st_nlink > 1 {
        return Err(io::Error::other(
            "the file has another name elsewhere (a hard link); a hook does not change it",
        ));
    }
    Ok(handle)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{MetadataExt as _, symlink};
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;
    use crate::context::{FileFact, Identity};
    use crate::disk::Disk;

    /// `/granted/` may be read and written; `/outside/secret` and a symlink to the granted directory are there too.
    struct Stage {
        root: tempfile::TempDir,
    }

    impl Stage {
        fn new() -> Self {
            let root = tempfile::tempdir().unwrap();
            for folder in ["real/inner", "outside"] {
                fs::create_dir_all(root.path().join(folder)).unwrap();
            }
            fs::write(root.path().join("outside/secret"), "secret").unwrap();
            // As OMERO.server is one in OMERO's image.
            symlink("/real", root.path().join("granted")).unwrap();
            Self { root }
        }

        fn at(&self, path: &str) -> PathBuf {
            self.root.path().join(path)
        }

        /// The machine's own root, with absolute paths into the stage; and the stage as a root.
        fn disks(&self) -> [(Disk, PathBuf); 2] {
            symlink(self.at("real"), self.at("absolute")).unwrap();
            [(Disk::below("/"), self.at("absolute")), (Disk::below(self.root.path()), "/granted".into())]
        }
    }

    fn below(directory: &Path) -> Confinement {
        Confinement { grants: vec![PathGrant::Below(directory.to_owned())], guard: Guard::default() }
    }

    fn write(disk: &Disk, path: &Path) -> io::Result<()> {
        disk.create_beside(path)?.commit(b"written", 0o644, None)
    }

    #[test]
    fn below_a_granted_directory_that_is_itself_a_symlink_all_is_as_ever() {
        let stage = Stage::new();
        for (disk, granted) in stage.disks() {
            let _confined = disk.confine(below(&granted));
            write(&disk, &granted.join("inner/file")).unwrap();
            assert_eq!(disk.read(&granted.join("inner/file"), 7).unwrap(), b"written");
            disk.set_mode(&granted.join("inner/file"), 0o600).unwrap();
            disk.create_directory(&granted.join("inner/new"), 0o700).unwrap();
            disk.rename_new(&granted.join("inner/file"), &granted.join("inner/moved")).unwrap();
            disk.remove(&granted.join("inner/moved")).unwrap();
            disk.remove(&granted.join("inner/new")).unwrap();
            assert_eq!(fs::read_dir(stage.at("real/inner")).unwrap().count(), 0);
        }
    }

    #[test]
    fn no_symlink_below_it_leads_anywhere() {
        let stage = Stage::new();
        symlink(stage.at("outside"), stage.at("real/absolute")).unwrap();
        symlink("../outside", stage.at("real/relative")).unwrap();
        symlink("../outside/secret", stage.at("real/file")).unwrap();
        symlink("../outside/nothing", stage.at("real/dangling")).unwrap();
        symlink("inner", stage.at("real/inward")).unwrap();
        for (disk, granted) in stage.disks() {
            let _confined = disk.confine(below(&granted));
            for parent in ["absolute", "relative", "inward"] {
                let path = granted.join(parent).join("secret");
                for tried in [
                    write(&disk, &path),
                    disk.remove(&path),
                    disk.set_mode(&path, 0o777),
                    disk.create_directory(&path, 0o777),
                    disk.read(&path, 7).map(drop),
                    disk.metadata(&path).map(drop),
                ] {
                    assert!(tried.unwrap_err().to_string().contains("symbolic link"), "{parent}");
                }
            }
            for name in ["file", "dangling"] {
                let path = granted.join(name);
                assert!(disk.set_mode(&path, 0o777).is_err(), "{name}");
                assert!(disk.read(&path, 7).is_err(), "{name}");
                let fact = disk.fact(&path, &Identity::of_this_process());
                assert!(matches!(fact, FileFact::Unreadable(_)), "{name}: {fact:?}");
            }
            assert!(write(&disk, &granted.join("../outside/secret")).is_err());
            assert!(write(&disk, Path::new("/outside/secret")).is_err());
        }
        assert_eq!(fs::read_to_string(stage.at("outside/secret")).unwrap(), "secret");
        assert!(!stage.at("outside/nothing").exists());
        // A file that is a symlink gives way to one that is none.
        let (disk, granted) = (Disk::below(stage.root.path()), Path::new("/granted"));
        let _confined = disk.confine(below(granted));
        write(&disk, &granted.join("file")).unwrap();
        assert_eq!(fs::read_to_string(stage.at("outside/secret")).unwrap(), "secret");
    }

    #[test]
    fn what_is_read_may_be_a_symlink_that_stays_inside_as_in_a_kubernetes_volume() {
        let stage = Stage::new();
        fs::write(stage.at("real/inner/ca.crt"), "certificate").unwrap();
        symlink("inner", stage.at("real/..data")).unwrap();
        symlink("..data/ca.crt", stage.at("real/ca.crt")).unwrap();
        for (disk, granted) in stage.disks() {
            let _confined = disk.confine(below(&granted));
            let fact = disk.fact(&granted.join("ca.crt"), &Identity::of_this_process());
            assert!(matches!(&fact, FileFact::File { content, .. } if content == b"certificate"), "{fact:?}");
            assert_eq!(disk.fact(&granted.join("none"), &Identity::of_this_process()), FileFact::Absent);
        }
    }

    #[test]
    fn where_the_kernel_cannot_confine_no_symlink_is_followed_at_all() {
        let stage = Stage::new();
        fs::write(stage.at("real/inner/file"), "x").unwrap();
        symlink("../../outside/secret", stage.at("real/inner/out")).unwrap();
        symlink("file", stage.at("real/inner/in")).unwrap();
        let reached = |below: &str| {
            let place = walk(open_directory(&stage.at("real")).unwrap(), Path::new(below))?;
            not_followed(&place)
        };
        assert!(reached("inner/file").is_ok());
        for link in ["inner/out", "inner/in"] {
            assert!(reached(link).unwrap_err().to_string().contains("symbolic link"), "{link}");
        }
    }

    #[test]
    fn a_file_that_has_another_name_elsewhere_is_not_opened_to_others() {
        let stage = Stage::new();
        fs::hard_link(stage.at("outside/secret"), stage.at("real/name")).unwrap();
        let before = fs::metadata(stage.at("outside/secret")).unwrap();
        for (disk, granted) in stage.disks() {
            let _confined = disk.confine(below(&granted));
            for tried in [
                disk.set_mode(&granted.join("name"), 0o777),
                disk.set_owner(&granted.join("name"), before.uid(), before.gid()),
            ] {
                assert!(tried.unwrap_err().to_string().contains("hard link"));
            }
            disk.set_owner(&granted.join("inner"), before.uid(), before.gid()).unwrap();
        }
        assert_eq!(fs::metadata(stage.at("outside/secret")).unwrap().mode(), before.mode());
    }

    /// A directory and a symlink to the outside change places all the time, while files are written below it.
    fn race(confined: bool) -> usize {
        let stage = Stage::new();
        let (victim, link, spare) = (stage.at("real/inner"), stage.at("link"), stage.at("spare"));
        symlink(stage.at("outside"), &link).unwrap();
        let stop = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    let _ = fs::rename(&victim, &spare).and_then(|()| fs::rename(&link, &victim));
                    let _ = fs::rename(&victim, &link).and_then(|()| fs::rename(&spare, &victim));
                }
            });
            let disk = Disk::below("/");
            let _confined = confined.then(|| disk.confine(below(&stage.at("real"))));
            let until = std::time::Instant::now() + std::time::Duration::from_millis(700);
            while std::time::Instant::now() < until {
                let path = stage.at("real/inner/planted");
                let _ = write(&disk, &path);
                let _ = disk.set_mode(&path, 0o666);
                let _ = disk.create_directory(&stage.at("real/inner/directory"), 0o777);
            }
            stop.store(true, Ordering::Relaxed);
        });
        fs::read_dir(stage.at("outside")).unwrap().count() - 1
    }

    #[test]
    fn who_swaps_a_directory_for_a_symlink_wins_nothing() {
        let lost = (0..40).any(|_| race(false) > 0);
        assert!(lost, "without confinement the race is lost, or this test shows nothing");
        assert_eq!(race(true), 0, "something was written outside of what was granted");
    }
}
