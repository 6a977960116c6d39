//! What no grant covers, told by device and inode: whatever leads to it under another name is found out.
//!
//! A hard link, a bind mount or a symlink that a grant names gives a file a second path, which texts do not tell from
//! any other. What is kept is traced once, step by step from the root. What a hook wants changed is held against that
//! by the handle of its directory, through which it is then changed: nothing comes in between.

use std::cell::RefCell;
use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};
use std::ffi::OsString;
use std::fs::{self, FileType};
use std::io;
use std::os::fd::BorrowedFd;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Component, Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::AtFlags;
use nix::sys::stat::{FileStat, fstat, fstatat};

use crate::disk::Disk;
use crate::grants::{Grants, Protected};

/// Directories above a target: more than anybody has, and few enough to look at.
const DEPTH: usize = 256;
/// As Linux's own limit on symlinks in one resolution (path_resolution(7)).
const SYMLINKS: usize = 40;

/// See the module. The default keeps nothing.
#[derive(Debug, Default)]
pub(crate) struct Guard {
    kept: Vec<Kept>,
    marks: HashMap<Mark, Marked>,
    /// What is not there yet: the directory that its path ends in, and the rest of the path.
    missing: Vec<(Inode, PathBuf, usize)>,
    /// Paths that are granted by name, what another hook rendered included.
    named: Vec<PathBuf>,
    /// Directories that were found to be in nothing that is kept.
    outside: RefCell<HashSet<Inode>>,
}

#[derive(Debug)]
enum Kept {
    Own(PathBuf),
    Rendered { file: PathBuf, hook: String },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Inode {
    device: u64,
    number: u64,
}

impl Inode {
    const fn of(found: &FileStat) -> Self {
        Self { device: found.st_dev, number: found.st_ino }
    }
}

/// By what something is known again.
#[derive(Debug, PartialEq, Eq, Hash)]
enum Mark {
    Inode(Inode),
    /// A name in a directory: who replaces a file changes its inode and not this.
    Name(Inode, OsString),
}

#[derive(Debug, Clone, Copy)]
struct Marked {
    /// Index into what is kept.
    kept: usize,
    /// Whether it is the thing itself, or only on the way to it.
    is_it: bool,
}

impl Guard {
    /// Traces all that is protected, what the grants name excepted.
    pub(crate) fn of(protected: &Protected, grants: &Grants, disk: &Disk) -> Self {
        let mut trace = Trace { root: disk.root(), seen: HashMap::new(), guard: Self::default() };
        for own in &protected.own {
            let Some(directory) = trace.keep(own, Kept::Own(own.clone())) else { continue };
            // A file in it may have a name of its own elsewhere. What cannot be listed cannot be read as hooks.
            for entry in fs::read_dir(&directory.path).into_iter().flatten().flatten() {
                let name = entry.file_name();
                trace.follow(directory.clone(), vec![name.clone()], Kept::Own(own.join(name)));
            }
        }
        for (file, hook) in &protected.rendered {
            if !grants.may_write_exactly(file) {
                trace.keep(file, Kept::Rendered { file: file.clone(), hook: hook.clone() });
            }
        }
        let mut guard = trace.guard;
        guard.named = grants.written_exactly().map(Path::to_owned).collect();
        guard
    }

    /// Why something may not be changed that a plan calls `path`: what of it is there ends in `directory`, and `rest`
    /// comes after.
    ///
    /// # Errors
    /// The system's, when it cannot be told what is there.
    pub(crate) fn rule(
        &self,
        path: &Path,
        directory: BorrowedFd<'_>,
        rest: &Path,
    ) -> io::Result<Option<String>> {
        if let Some(rule) = self.rule_of_existing(path, directory, rest)? {
            return Ok(Some(rule));
        }
        if self.missing.is_empty() {
            return Ok(None);
        }
        let here = Inode::of(&fstat(directory)?);
        let sentence = |(above, missing, kept): &(Inode, PathBuf, usize)| {
            let is_it = rest.starts_with(missing);
            let met = *above == here && (is_it || missing.starts_with(rest));
            met.then(|| self.sentence(path, Marked { kept: *kept, is_it })).flatten()
        };
        Ok(self.missing.iter().find_map(sentence))
    }

    /// The same without minding a missing directory above something that is missing: it is made for what was let pass.
    pub(crate) fn rule_of_existing(
        &self,
        path: &Path,
        directory: BorrowedFd<'_>,
        rest: &Path,
    ) -> io::Result<Option<String>> {
        if self.kept.is_empty() {
            return Ok(None);
        }
        let here = Inode::of(&fstat(directory)?);
        let mut met = self.around(here, directory)?;
        if let [Component::Normal(name)] = rest.components().collect::<Vec<_>>().as_slice() {
            met.extend(self.marked(Mark::Name(here, (*name).to_owned())));
            match fstatat(directory, *name, AtFlags::AT_SYMLINK_NOFOLLOW) {
                Ok(found) => met.extend(self.marked(Mark::Inode(Inode::of(&found)))),
                Err(Errno::ENOENT) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
        Ok(met.into_iter().find_map(|marked| self.sentence(path, marked)))
    }

    /// What is kept that a directory is, or is below of. Only who may change that could move another one into it.
    fn around(&self, here: Inode, directory: BorrowedFd<'_>) -> io::Result<Vec<Marked>> {
        if self.outside.borrow().contains(&here) {
            return Ok(Vec::new());
        }
        let marked = chain(here, directory)?.into_iter().filter_map(|inode| self.marked(Mark::Inode(inode)));
        let met: Vec<Marked> = marked.filter(|met| met.is_it).collect();
        if met.is_empty() {
            self.outside.borrow_mut().insert(here);
        }
        Ok(met)
    }

    fn marked(&self, mark: Mark) -> Option<Marked> {
        self.marks.get(&mark).copied()
    }

    fn is_named(&self, path: &Path) -> bool {
        self.named.iter().any(|named| named == path)
    }

    /// Nothing where a rendered file is granted by the very name under which it was asked for.
    fn sentence(&self, path: &Path, marked: Marked) -> Option<String> {
        let leads = if marked.is_it { "it leads to" } else { "it is on the way to" };
        match self.kept.get(marked.kept)? {
            Kept::Own(own) => Some(format!(
                "{leads} {}, which belongs to init or its hooks, and no grant covers it",
                own.display()
            )),
            Kept::Rendered { .. } if marked.is_it && self.is_named(path) => None,
            Kept::Rendered { file, hook } => Some(format!(
                "{leads} {}, which the hook {hook} rendered in this start; to allow it all the same, name the file: write = [{:?}]",
                file.display(),
                file.display().to_string()
            )),
        }
    }
}

/// A directory and all above it, as the kernel goes up: through mounts, and to where the handle is now.
fn chain(here: Inode, directory: BorrowedFd<'_>) -> io::Result<Vec<Inode>> {
    let root = Inode::of(&nix::sys::stat::stat("/")?);
    let mut chain = vec![here];
    let mut up = String::from("..");
    loop {
        let above = Inode::of(&fstatat(directory, up.as_str(), AtFlags::empty())?);
        // A directory that is mounted on one of its own has itself above it as well.
        if chain.last() == Some(&above) && above == root {
            return Ok(chain);
        }
        if chain.len() == DEPTH {
            return Err(io::Error::other("it is more than 256 directories deep"));
        }
        chain.push(above);
        up.push_str("/..");
    }
}

/// Goes the way to each thing that is kept, as the kernel would below a root.
struct Trace<'a> {
    root: &'a Path,
    /// Most paths share their first steps.
    seen: HashMap<PathBuf, Option<(Inode, FileType)>>,
    guard: Guard,
}

impl Trace<'_> {
    /// Marks what is on the way and what is at its end, which is told if it is a directory.
    fn keep(&mut self, path: &Path, what: Kept) -> Option<Spot> {
        let (top, _) = self.look(self.root)?;
        self.follow(Spot { path: self.root.to_owned(), above: vec![top] }, parts(path), what)
    }

    fn follow(&mut self, from: Spot, mut pending: Vec<OsString>, what: Kept) -> Option<Spot> {
        let kept = self.guard.kept.len();
        self.guard.kept.push(what);
        let Spot { path: mut located, mut above } = from;
        let mut links = 0;
        let mut is_directory = true;
        while let Some(part) = pending.pop() {
            if part == ".." {
                if above.len() > 1 {
                    above.pop();
                    located.pop();
                }
                continue;
            }
            let here = *above.last()?;
            let is_it = pending.is_empty();
            let candidate = located.join(&part);
            let Some((inode, kind)) = self.look(&candidate) else {
                let rest: PathBuf = std::iter::once(&part).chain(pending.iter().rev()).collect();
                self.guard.missing.push((here, rest, kept));
                if is_it {
                    self.mark(Mark::Name(here, part), Marked { kept, is_it });
                }
                return None;
            };
            // A symlink in its place is its place, not what it leads to.
            self.mark(Mark::Name(here, part), Marked { kept, is_it });
            self.mark(Mark::Inode(inode), Marked { kept, is_it });
            if !kind.is_symlink() {
                is_directory = kind.is_dir();
                located = candidate;
                above.push(inode);
                continue;
            }
            links += 1;
            let target = fs::read_link(&candidate).ok().filter(|_| links <= SYMLINKS)?;
            if target.is_absolute() {
                self.root.clone_into(&mut located);
                above.truncate(1);
            }
            pending.extend(parts(&target));
        }
        is_directory.then_some(Spot { path: located, above })
    }

    /// A thing itself comes before what is on the way to another, and `init`'s own before what hooks rendered.
    fn mark(&mut self, mark: Mark, marked: Marked) {
        let is_own = |kept: usize| matches!(self.guard.kept.get(kept), Some(Kept::Own(_)));
        match self.guard.marks.entry(mark) {
            Entry::Occupied(mut known) => {
                if marked.is_it && !known.get().is_it && is_own(known.get().kept) == is_own(marked.kept) {
                    known.insert(marked);
                }
            }
            Entry::Vacant(place) => {
                place.insert(marked);
            }
        }
    }

    fn look(&mut self, path: &Path) -> Option<(Inode, FileType)> {
        if let Some(seen) = self.seen.get(path) {
            return *seen;
        }
        let found = fs::symlink_metadata(path)
            .ok()
            .map(|found| (Inode { device: found.dev(), number: found.ino() }, found.file_type()));
        self.seen.insert(path.to_owned(), found);
        found
    }
}

/// A directory on the system, and the inodes from the root to it.
#[derive(Debug, Clone)]
struct Spot {
    path: PathBuf,
    above: Vec<Inode>,
}

/// The parts of a path, the first one last.
fn parts(path: &Path) -> Vec<OsString> {
    let part = |part: Component<'_>| match part {
        Component::Normal(name) => Some(name.to_owned()),
        Component::ParentDir => Some(OsString::from("..")),
        Component::RootDir | Component::CurDir | Component::Prefix(_) => None,
    };
    path.components().rev().filter_map(part).collect()
}

#[cfg(test)]
mod tests;
