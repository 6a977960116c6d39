//! The machine's files below a root: what facts are read from and effects are written to.
//!
//! With a root other than `/`, every absolute path and every absolute symlink is taken below it, as `chroot` would,
//! so that a plan for a container can be made on a laptop by an ordinary user. Invariant: under a root, no path
//! that is read or written lies outside of it.

use std::cell::RefCell;
use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use nix::fcntl::OFlag;
use nix::unistd::{AccessFlags, Gid, Uid};

use crate::confine::{self, Confinement, Place};
use crate::context::{FileFact, Identity, TreeEntry};
use crate::guard::Guard;

/// A file that a hook reads may be this large; configuration is small, and memory is bounded.
pub(crate) const FILE_LIMIT: u64 = 16 << 20;
/// All files of a tree together.
pub(crate) const TREE_LIMIT: u64 = 64 << 20;
/// Entries of a tree.
pub(crate) const TREE_ENTRIES: usize = 4096;
/// Depth of a tree.
pub(crate) const TREE_DEPTH: usize = 8;

/// Files below a root.
#[derive(Debug, Clone)]
pub struct Disk {
    root: PathBuf,
    /// What the hook at work may reach; `None` for hooks that are trusted.
    confinement: Rc<RefCell<Option<Confinement>>>,
}

/// A new file beside its final name: either committed by a rename or removed when dropped.
#[derive(Debug)]
pub(crate) struct NewFile {
    file: File,
    beside: PathBuf,
    target: Place,
    committed: bool,
}

/// Until it is dropped, a disk reaches no further than one hook may.
#[derive(Debug)]
pub(crate) struct Confined(Rc<RefCell<Option<Confinement>>>);

impl Drop for Confined {
    fn drop(&mut self) {
        self.0.replace(None);
    }
}

impl Disk {
    /// Files below `root`; `/` for the machine itself.
    pub fn below(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into(), confinement: Rc::default() }
    }

    /// The root.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The path as the system has it: below the root, symlinks on the way resolved below the root too.
    ///
    /// # Errors
    /// `ELOOP` after 40 symlinks.
    pub fn locate(&self, path: &Path, follow_last: bool) -> io::Result<PathBuf> {
        biomero_config::locate(&self.root, path, follow_last)
    }

    /// Lets nothing be reached but what `confinement` holds.
    pub(crate) fn confine(&self, confinement: Confinement) -> Confined {
        self.confinement.replace(Some(confinement));
        Confined(Rc::clone(&self.confinement))
    }

    /// The path to hand to the system.
    pub(crate) fn place(&self, path: &Path, follow_last: bool) -> io::Result<Place> {
        match &*self.confinement.borrow() {
            None => self.locate(path, follow_last).map(Place::plain),
            Some(confinement) => {
                confinement.place(path, follow_last, |directory| self.locate(directory, true))
            }
        }
    }

    /// The same for what is to be changed, if nothing keeps it from that.
    pub(crate) fn place_to_change(&self, path: &Path) -> io::Result<Place> {
        match &*self.confinement.borrow() {
            None => self.locate(path, false).map(Place::plain),
            Some(confinement) => confinement.place_to_change(path, |directory| self.locate(directory, true)),
        }
    }

    /// Why the hook at work may not have a path changed although it is granted, where what is there says so.
    pub(crate) fn rule(&self, path: &Path) -> io::Result<Option<String>> {
        match &*self.confinement.borrow() {
            None => Ok(None),
            Some(confinement) => confinement.rule(path, |directory| self.locate(directory, true)),
        }
    }

    /// Lets the hook at work change nothing that `guard` keeps.
    pub(crate) fn keep(&self, guard: Guard) {
        if let Some(confinement) = &mut *self.confinement.borrow_mut() {
            confinement.keep(guard);
        }
    }

    /// What is at a path, symlinks followed.
    pub fn fact(&self, path: &Path, identity: &Identity) -> FileFact {
        self.fact_within(path, identity, FILE_LIMIT)
    }

    fn fact_within(&self, path: &Path, identity: &Identity, limit: u64) -> FileFact {
        let located = match self.place(path, true) {
            Ok(located) => located,
            Err(error) if is_absent(&error) => return FileFact::Absent,
            Err(error) => return FileFact::Unreadable(error.to_string()),
        };
        let metadata = match fs::metadata(&located) {
            Ok(metadata) => metadata,
            Err(error) if is_absent(&error) => {
                return if located.is_symlink() {
                    FileFact::Other("dangling symlink")
                } else {
                    FileFact::Absent
                };
            }
            Err(error) => return FileFact::Unreadable(error.to_string()),
        };
        let (mode, uid) = (metadata.mode() & 0o7777, metadata.uid());
        if metadata.is_dir() {
            return FileFact::Directory { mode, uid, writable: writable(&located, &metadata, identity) };
        }
        if !metadata.is_file() {
            return FileFact::Other(kind(&metadata));
        }
        match read_bounded(&located, limit) {
            Ok(content) => FileFact::File { content, mode, uid },
            Err(error) => FileFact::Unreadable(error.to_string()),
        }
    }

    /// Everything below a directory, in path order; `None` when there is no such directory.
    ///
    /// # Errors
    /// A sentence, when the directory cannot be listed or a limit is passed.
    pub fn tree(&self, path: &Path, identity: &Identity) -> Result<Option<Vec<TreeEntry>>, String> {
        match self.fact(path, identity) {
            FileFact::Directory { .. } => {}
            FileFact::Absent => return Ok(None),
            other => return Err(format!("expected a directory, found {}", other.noun())),
        }
        let mut entries = Vec::new();
        let mut bytes = 0;
        self.walk(path, Path::new(""), 1, identity, &mut entries, &mut bytes)?;
        entries.sort_by(|one, other| one.path.cmp(&other.path));
        Ok(Some(entries))
    }

    fn walk(
        &self,
        root: &Path,
        below: &Path,
        depth: usize,
        identity: &Identity,
        entries: &mut Vec<TreeEntry>,
        bytes: &mut u64,
    ) -> Result<(), String> {
        let directory = if below.as_os_str().is_empty() { root.to_owned() } else { root.join(below) };
        for name in self.names(&directory).map_err(|error| format!("{}: {error}", directory.display()))? {
            if entries.len() == TREE_ENTRIES {
                return Err(format!("more than {TREE_ENTRIES} entries; leave out what is no configuration"));
            }
            let path = below.join(&name);
            let fact = self.fact_within(&root.join(&path), identity, FILE_LIMIT);
            if let FileFact::File { content, .. } = &fact {
                *bytes += content.len() as u64;
                if *bytes > TREE_LIMIT {
                    return Err(format!(
                        "more than {} MiB; leave out what is no configuration",
                        TREE_LIMIT >> 20
                    ));
                }
            }
            let descend = matches!(fact, FileFact::Directory { .. });
            entries.push(TreeEntry { path: path.clone(), fact });
            if descend && depth < TREE_DEPTH {
                self.walk(root, &path, depth + 1, identity, entries, bytes)?;
            }
        }
        Ok(())
    }

    /// The names in a directory, sorted; none when there is no such directory.
    ///
    /// # Errors
    /// The system's, for a directory that is there and cannot be listed.
    pub fn names(&self, directory: &Path) -> io::Result<Vec<std::ffi::OsString>> {
        let listing = match self.place(directory, true).and_then(fs::read_dir) {
            Ok(listing) => listing,
            Err(error) if is_absent(&error) => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        let mut names =
            listing.map(|entry| entry.map(|entry| entry.file_name())).collect::<io::Result<Vec<_>>>()?;
        names.sort();
        Ok(names)
    }

    /// Metadata of what is at a path itself, a symlink not followed; `None` when nothing is.
    pub(crate) fn metadata(&self, path: &Path) -> io::Result<Option<Metadata>> {
        match self.place(path, false).and_then(fs::symlink_metadata) {
            Ok(metadata) => Ok(Some(metadata)),
            Err(error) if is_absent(&error) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Whether something is at a path, symlinks followed.
    pub(crate) fn is_there(&self, path: &Path) -> io::Result<bool> {
        match self.place(path, true).and_then(|located| located.try_exists()) {
            Err(error) if is_absent(&error) => Ok(false),
            other => other,
        }
    }

    /// Whether a hook is at work that may not reach everything.
    pub(crate) fn is_confined(&self) -> bool {
        self.confinement.borrow().is_some()
    }

    /// A regular file's content of at most so many bytes, a symlink not followed.
    ///
    /// # Errors
    /// [`io::ErrorKind::FileTooLarge`], or the system's.
    pub(crate) fn read(&self, path: &Path, limit: u64) -> io::Result<Vec<u8>> {
        let place = self.place(path, false)?;
        let flags = if place.is_confined() { OFlag::O_NOFOLLOW } else { OFlag::empty() };
        read_with(&place, limit, flags)
    }

    /// Starts a file beside its final name, empty and with mode 0600.
    ///
    /// The name beside is fixed, so that what a killed `init` left there is replaced by the next.
    pub(crate) fn create_beside(&self, path: &Path) -> io::Result<NewFile> {
        let target = self.place_to_change(path)?;
        let beside = beside(&target);
        let mut options = OpenOptions::new();
        options.write(true).create_new(true).mode(0o600).custom_flags(OFlag::O_NOFOLLOW.bits());
        let file = match options.open(&beside) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                fs::remove_file(&beside)?;
                options.open(&beside)?
            }
            other => other?,
        };
        Ok(NewFile { file, beside, target, committed: false })
    }

    /// Removes what a killed `init` left beside a path.
    pub(crate) fn remove_beside(&self, path: &Path) {
        if let Ok(target) = self.place_to_change(path) {
            // Nearly always absent; a failure to remove it is reported when the file is next written.
            let _ = fs::remove_file(beside(&target));
        }
    }

    /// Creates one directory with exactly this mode, whatever the umask.
    pub(crate) fn create_directory(&self, path: &Path, mode: u32) -> io::Result<()> {
        let located = self.place_to_change(path)?;
        fs::DirBuilder::new().create(&located)?;
        if located.is_confined() {
            return confine::set_mode(&located, mode);
        }
        fs::set_permissions(&located, fs::Permissions::from_mode(mode))
    }

    pub(crate) fn set_mode(&self, path: &Path, mode: u32) -> io::Result<()> {
        let located = self.place_to_change(path)?;
        if located.is_confined() {
            return confine::set_mode(&located, mode);
        }
        fs::set_permissions(located, fs::Permissions::from_mode(mode))
    }

    pub(crate) fn set_owner(&self, path: &Path, uid: u32, gid: u32) -> io::Result<()> {
        let located = self.place_to_change(path)?;
        if located.is_confined() {
            return confine::set_owner(&located, uid, gid);
        }
        std::os::unix::fs::lchown(located, Some(uid), Some(gid))
    }

    pub(crate) fn remove(&self, path: &Path) -> io::Result<()> {
        let located = self.place_to_change(path)?;
        match fs::symlink_metadata(&located)?.is_dir() {
            true => fs::remove_dir(located),
            false => fs::remove_file(located),
        }
    }

    /// Renames within the disk; fails where `to` exists.
    pub(crate) fn rename_new(&self, from: &Path, to: &Path) -> io::Result<()> {
        let (from, to) = (self.place_to_change(from)?, self.place_to_change(to)?);
        if fs::symlink_metadata(&to).is_ok() {
            return Err(io::Error::from_raw_os_error(nix::libc::EEXIST));
        }
        fs::rename(from, to)
    }
}

impl NewFile {
    /// Fills the file, sets owner and mode, and puts it under its final name in one step.
    ///
    /// No `fsync`: a kill cannot tear a renamed file, and after a loss of power the next start compares contents and
    /// writes again. Fifteen `fsync`s would cost more than the whole start-up.
    pub(crate) fn commit(mut self, content: &[u8], mode: u32, owner: Option<(u32, u32)>) -> io::Result<()> {
        self.file.write_all(content)?;
        if let Some((uid, gid)) = owner {
            nix::unistd::fchown(self.file.as_fd(), Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)))?;
        }
        self.file.set_permissions(fs::Permissions::from_mode(mode))?;
        fs::rename(&self.beside, &self.target)?;
        self.committed = true;
        Ok(())
    }
}

impl Drop for NewFile {
    fn drop(&mut self) {
        if !self.committed {
            let _ = fs::remove_file(&self.beside);
        }
    }
}

impl FileFact {
    /// What is there, in words.
    pub fn noun(&self) -> String {
        match self {
            Self::Absent => "nothing".to_owned(),
            Self::File { .. } => "a file".to_owned(),
            Self::Directory { .. } => "a directory".to_owned(),
            Self::Other(kind) => format!("a {kind}"),
            Self::Unreadable(reason) => format!("something unreadable ({reason})"),
        }
    }
}

fn beside(target: &Path) -> PathBuf {
    let mut name = std::ffi::OsString::from(".");
    name.push(target.file_name().unwrap_or_default());
    name.push(".init-new");
    target.with_file_name(name)
}

/// A path below a file (`ENOTDIR`) is as absent as one below nothing.
fn is_absent(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

fn kind(metadata: &Metadata) -> &'static str {
    use std::os::unix::fs::FileTypeExt;
    let file_type = metadata.file_type();
    if file_type.is_socket() {
        "socket"
    } else if file_type.is_fifo() {
        "pipe"
    } else if file_type.is_symlink() {
        "symlink"
    } else {
        "device"
    }
}

/// Whether services can write in a directory: asked of the kernel when they run as `init` does, else told from the
/// mode bits.
fn writable(located: &Path, metadata: &Metadata, identity: &Identity) -> bool {
    if identity.uid == identity.service_uid {
        return nix::unistd::access(located, AccessFlags::W_OK | AccessFlags::X_OK).is_ok();
    }
    let bits = if metadata.uid() == identity.service_uid {
        metadata.mode() >> 6
    } else if metadata.gid() == identity.service_gid {
        metadata.mode() >> 3
    } else {
        metadata.mode()
    };
    bits & 0o3 == 0o3
}

fn read_bounded(located: &Path, limit: u64) -> io::Result<Vec<u8>> {
    read_with(located, limit, OFlag::empty())
}

fn read_with(located: &Path, limit: u64, flags: OFlag) -> io::Result<Vec<u8>> {
    // O_NONBLOCK: should a pipe have taken the file's place since it was looked at, opening it must not hang.
    let file =
        OpenOptions::new().read(true).custom_flags((OFlag::O_NONBLOCK | flags).bits()).open(located)?;
    let size = file.metadata()?.len();
    let mut content = Vec::with_capacity(usize::try_from(size.min(limit)).unwrap_or(0));
    file.take(limit.saturating_add(1)).read_to_end(&mut content)?;
    if content.len() as u64 > limit {
        let most = if limit < 1 << 20 { format!("{limit} bytes") } else { format!("{} MiB", limit >> 20) };
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, format!("larger than {most}")));
    }
    Ok(content)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    fn identity() -> Identity {
        Identity::of_this_process()
    }

    #[test]
    fn a_path_below_a_root_never_leaves_it() {
        let outside = tempfile::tempdir().unwrap();
        fs::write(outside.path().join("secret"), "x").unwrap();
        let root = tempfile::tempdir().unwrap();
        fs::create_dir_all(root.path().join("a/b")).unwrap();
        symlink(outside.path(), root.path().join("absolute")).unwrap();
        symlink("../../../../../..", root.path().join("a/b/up")).unwrap();
        let disk = Disk::below(root.path());
        let outside_name = outside.path().strip_prefix("/").unwrap();
        for path in [
            PathBuf::from("/absolute/secret"),
            Path::new("/a/b/up").join(outside_name).join("secret"),
            Path::new("/../../../..").join(outside_name).join("secret"),
        ] {
            assert!(disk.locate(&path, true).unwrap().starts_with(root.path()), "{}", path.display());
            assert_eq!(disk.fact(&path, &identity()), FileFact::Absent, "{}", path.display());
        }
    }

    #[test]
    fn absolute_symlinks_are_followed_below_the_root() {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir_all(root.path().join("data")).unwrap();
        fs::write(root.path().join("data/file"), "x").unwrap();
        symlink("/data", root.path().join("link")).unwrap();
        let disk = Disk::below(root.path());
        assert!(matches!(disk.fact(Path::new("/link/file"), &identity()), FileFact::File { .. }));
    }

    #[test]
    fn a_symlink_loop_is_an_error_and_no_hang() {
        let root = tempfile::tempdir().unwrap();
        symlink("/one", root.path().join("two")).unwrap();
        symlink("/two", root.path().join("one")).unwrap();
        let fact = Disk::below(root.path()).fact(Path::new("/one"), &identity());
        assert!(matches!(fact, FileFact::Unreadable(_)), "{fact:?}");
    }

    #[test]
    fn pipes_sockets_and_dangling_links_are_named_not_opened() {
        let root = tempfile::tempdir().unwrap();
        nix::unistd::mkfifo(&root.path().join("pipe"), nix::sys::stat::Mode::S_IRWXU).unwrap();
        let _socket = std::os::unix::net::UnixListener::bind(root.path().join("socket")).unwrap();
        symlink("nowhere", root.path().join("dangling")).unwrap();
        let disk = Disk::below("/");
        for (name, kind) in [("pipe", "pipe"), ("socket", "socket"), ("dangling", "dangling symlink")] {
            assert_eq!(disk.fact(&root.path().join(name), &identity()), FileFact::Other(kind));
        }
    }

    #[test]
    fn a_tree_with_a_symlink_to_itself_ends() {
        let root = tempfile::tempdir().unwrap();
        symlink(".", root.path().join("self")).unwrap();
        fs::write(root.path().join("file"), "x").unwrap();
        let entries = Disk::below("/").tree(root.path(), &identity()).unwrap().unwrap();
        assert_eq!(entries.len(), 2 * TREE_DEPTH);
    }

    #[test]
    fn a_file_that_was_not_committed_leaves_nothing() {
        let root = tempfile::tempdir().unwrap();
        let disk = Disk::below(root.path());
        drop(disk.create_beside(Path::new("/file")).unwrap());
        assert_eq!(fs::read_dir(root.path()).unwrap().count(), 0);
    }
}
