//! The digests of what was written, as `sha256sum` writes and checks them: within an OME-Zarr in `SHA256SUMS`, of a file beside
//! it with `.sha256` at the end of its name.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fs::File;
use std::io::{BufRead as _, BufReader, BufWriter, Read as _, Seek as _, Write as _};
use std::path::{Component, Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use sha2::{Digest as _, Sha256};
use thiserror::Error;

use crate::write_error::WriteError;

/// The name within a folder.
pub const NAME: &str = "SHA256SUMS";
/// What the name of a file is followed by.
pub const SUFFIX: &str = ".sha256";

/// What does not agree.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum VerifyError {
    /// There is nothing to compare with.
    #[error("{} is not there: what was written elsewhere has no digests to compare with", path.display())]
    Absent {
        /// Where it should be.
        path: PathBuf,
    },
    /// A file of it cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Io {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The list itself makes no sense.
    #[error("line {line} of {} is no digest and name within the image; it was written by something else", path.display())]
    Line {
        /// Of which file.
        path: PathBuf,
        /// Which.
        line: usize,
    },
}

/// How a comparison ended.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Verified {
    /// Files that agree.
    pub same: usize,
    /// Files that have another content.
    pub different: Vec<PathBuf>,
    /// Files that are gone.
    pub missing: Vec<PathBuf>,
}

impl Verified {
    /// Whether everything agrees.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.different.is_empty() && self.missing.is_empty()
    }
}

/// Where the digests of an image are.
#[must_use]
pub fn of(image: &Path) -> PathBuf {
    if image.is_dir() {
        return image.join(NAME);
    }
    let mut name = image.as_os_str().to_owned();
    name.push(SUFFIX);
    name.into()
}

/// Compares an image with its digests.
///
/// # Errors
/// There are none, they make no sense, or a file cannot be read.
pub fn verify(image: &Path) -> Result<Verified, VerifyError> {
    let path = of(image);
    let failed = |source: std::io::Error| match source.kind() {
        std::io::ErrorKind::NotFound => VerifyError::Absent { path: path.clone() },
        _ => VerifyError::Io { path: path.clone(), source },
    };
    let root = path.parent().unwrap_or(Path::new("."));
    let mut verified = Verified::default();
    let list = BufReader::new(File::open(&path).map_err(failed)?);
    for (number, line) in list.split(b'\n').enumerate() {
        let line = line.map_err(failed)?;
        let wrong = || VerifyError::Line { path: path.clone(), line: number + 1 };
        let (digest, name) = entry(&line).ok_or_else(wrong)?;
        let file = root.join(name);
        match digest_of(&file) {
            Ok(found) if found == digest => verified.same += 1,
            Ok(_) => verified.different.push(name.to_owned()),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                verified.missing.push(name.to_owned());
            }
            Err(source) => return Err(VerifyError::Io { path: file, source }),
        }
    }
    Ok(verified)
}

/// `digest  name`: a name that leads nowhere else.
pub(crate) fn entry(line: &[u8]) -> Option<(String, &Path)> {
    let line = std::str::from_utf8(line).ok()?;
    let (digest, name) = line.split_once("  ")?;
    let name = Path::new(name);
    let is_digest = digest.len() == 64 && digest.bytes().all(|digit| digit.is_ascii_hexdigit());
    (is_digest && is_within(name)).then(|| (digest.to_ascii_lowercase(), name))
}

/// Whether a name leads nowhere else.
pub(crate) fn is_within(name: &Path) -> bool {
    name.components().all(|component| matches!(component, Component::Normal(_)))
}

/// The SHA-256 of a file, in hexadecimal digits.
pub(crate) fn digest_of(path: &Path) -> std::io::Result<String> {
    let mut file = File::open(path)?;
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 256 << 10];
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(hexadecimal(&hash.finalize())),
            length => hash.update(&buffer[..length]),
        }
    }
}

pub(crate) fn hexadecimal(digest: &[u8]) -> String {
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A list that is being written. Files are done in any order, and the list is in that of their names, so that the same image is
/// the same list.
#[derive(Debug)]
pub(crate) struct Manifest {
    path: PathBuf,
    lines: Mutex<Lines>,
}

/// So many lines are sorted in memory; of an image with more files each so many become a file of their own until the end.
const SORTED: usize = 1 << 16;

#[derive(Debug, Default)]
struct Lines {
    /// Names and digests.
    last: Vec<(String, String)>,
    sorted: Vec<File>,
}

impl Manifest {
    /// Begins one, which is written to this file at the end.
    pub(crate) fn new(path: PathBuf) -> Self {
        Self { path, lines: Mutex::default() }
    }

    /// Notes what a file holds.
    pub(crate) fn note(&self, name: &Path, content: &[u8]) -> Result<(), WriteError> {
        self.line(name, &hexadecimal(&Sha256::digest(content)))
    }

    /// Notes the digest of a file.
    pub(crate) fn line(&self, name: &Path, digest: &str) -> Result<(), WriteError> {
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        lines.last.push((name.to_string_lossy().into_owned(), digest.to_owned()));
        if lines.last.len() < SORTED {
            return Ok(());
        }
        let folder = self.path.parent().unwrap_or(Path::new("."));
        let sorted = lines.spill(folder).map_err(WriteError::io("write", &self.path))?;
        lines.sorted.push(sorted);
        Ok(())
    }

    /// Ends it.
    pub(crate) fn finish(self) -> Result<(), WriteError> {
        let lines = self.lines.into_inner().unwrap_or_else(PoisonError::into_inner);
        lines.merge(&self.path).map_err(WriteError::io("write", &self.path))
    }
}

impl Lines {
    /// Puts what is in memory into a file without a name.
    fn spill(&mut self, folder: &Path) -> std::io::Result<File> {
        self.last.sort_unstable();
        let mut output = BufWriter::new(tempfile::tempfile_in(folder)?);
        for (name, digest) in self.last.drain(..) {
            writeln!(output, "{digest}  {name}")?;
        }
        let mut file = output.into_inner()?;
        file.rewind()?;
        Ok(file)
    }

    fn merge(mut self, path: &Path) -> std::io::Result<()> {
        type Sorted = Box<dyn Iterator<Item = std::io::Result<(String, String)>>>;
        self.last.sort_unstable();
        let mut parts: Vec<Sorted> = vec![Box::new(self.last.into_iter().map(Ok))];
        for file in self.sorted {
            let split = |line: std::io::Result<String>| {
                let line = line?;
                let (digest, name) = line.split_once("  ").unwrap_or_default();
                Ok((name.to_owned(), digest.to_owned()))
            };
            parts.push(Box::new(BufReader::new(file).lines().map(split)));
        }
        let mut output = BufWriter::new(File::create_new(path)?);
        // The first line of each part, the smallest on top.
        let mut heap = BinaryHeap::new();
        for (number, part) in parts.iter_mut().enumerate() {
            heap.extend(part.next().transpose()?.map(|line| Reverse((line, number))));
        }
        // What was done before an interruption may have been done again.
        let mut last = None;
        while let Some(Reverse(((name, digest), number))) = heap.pop() {
            if last.as_ref() != Some(&name) {
                writeln!(output, "{digest}  {name}")?;
                last = Some(name);
            }
            heap.extend(parts[number].next().transpose()?.map(|line| Reverse((line, number))));
        }
        output.flush()
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn what_was_changed_or_removed_is_found_and_sha256sum_agrees() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = |name: &str| folder.path().join(name);
        fs::create_dir(path("0")).expect("a folder");
        let manifest = Manifest::new(path(NAME));
        for name in ["c", "0/b", "0/a"] {
            fs::write(path(name), name).expect("it is written");
            manifest.note(Path::new(name), name.as_bytes()).expect("it is noted");
        }
        manifest.finish().expect("it is written");
        let list = fs::read_to_string(path(NAME)).expect("it is there");
        let names: Vec<&str> = list.lines().map(|line| &line[66..]).collect();
        assert_eq!(names, ["0/a", "0/b", "c"]);
        let whole = verify(folder.path()).expect("it is read");
        assert_eq!((whole.same, whole.is_whole()), (3, true));
        let status = std::process::Command::new("sha256sum")
            .args(["--check", "--quiet", "--strict", NAME])
            .current_dir(folder.path())
            .status()
            .expect("sha256sum");
        assert!(status.success());
        fs::write(path("0/a"), "A").expect("it is written");
        fs::remove_file(path("c")).expect("it is removed");
        let verified = verify(folder.path()).expect("it is read");
        assert_eq!(verified.different, [Path::new("0/a")]);
        assert_eq!(verified.missing, [Path::new("c")]);
    }

    #[test]
    fn a_list_of_many_files_is_sorted_too() {
        let folder = tempfile::tempdir().expect("a folder");
        let manifest = Manifest::new(folder.path().join(NAME));
        let count = 2 * SORTED + 1000;
        for number in (0..count).rev() {
            manifest.line(Path::new(&format!("0/{}", number * 7919 % count)), "0").expect("it is noted");
        }
        manifest.finish().expect("it is written");
        let list = fs::read_to_string(folder.path().join(NAME)).expect("it is there");
        assert_eq!(list.lines().count(), count);
        assert!(list.lines().is_sorted());
        assert_eq!(fs::read_dir(folder.path()).expect("it is there").count(), 1);
    }

    #[test]
    fn a_list_that_leads_elsewhere_is_refused() {
        let folder = tempfile::tempdir().expect("a folder");
        assert!(matches!(verify(folder.path()), Err(VerifyError::Absent { .. })));
        for name in ["../x", "/etc/passwd"] {
            fs::write(folder.path().join(NAME), format!("{}  {name}\n", "0".repeat(64))).expect("a list");
            assert!(matches!(verify(folder.path()), Err(VerifyError::Line { line: 1, .. })), "{name}");
        }
    }
}
