//! The static program that converts images on the cluster, in place of a container: a file of this machine, which is called by its
//! content there, so that a new one never changes what a job that waits will run.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};
use thiserror::Error;

use super::own_file;

/// No program is larger, in bytes: ours has 3 MiB.
const LARGEST: u64 = 64 << 20;

/// Why there is no program.
#[derive(Debug, Error)]
pub enum ProgramError {
    /// It cannot be read.
    #[error("cannot read {}, the converter of the cluster: {source}; correct slurm.converter, or leave it out", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It is something else.
    #[error("{}, the converter of the cluster, {what}; name the static `convert`, or leave slurm.converter out", path.display())]
    Unsuitable {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        what: &'static str,
    },
}

/// A program that may be copied.
#[derive(Clone, PartialEq, Eq)]
pub struct Program {
    content: Vec<u8>,
    digest: String,
}

impl Program {
    /// What it converts: `SOURCE_to_TARGET`.
    pub const CONVERSION: &str = "zarr_to_tiff";

    /// Reads it.
    ///
    /// # Errors
    /// It cannot be read, or is no program that a cluster could run by itself.
    pub fn read(path: &Path) -> Result<Self, ProgramError> {
        let content = own_file::content(path, LARGEST)
            .map_err(|source| ProgramError::Unreadable { path: path.to_owned(), source })?;
        match unsuitable(&content) {
            Some(what) => Err(ProgramError::Unsuitable { path: path.to_owned(), what }),
            None => {
                let digest = Sha256::digest(&content).iter().map(|byte| format!("{byte:02x}")).collect();
                Ok(Self { content, digest })
            }
        }
    }

    /// Its bytes.
    #[must_use]
    pub fn content(&self) -> &[u8] {
        &self.content
    }

    /// Its SHA-256.
    #[must_use]
    pub fn digest(&self) -> &str {
        &self.digest
    }

    /// What the history calls its version: the first digits of its digest.
    #[must_use]
    pub fn version(&self) -> &str {
        self.digest.get(..12).unwrap_or_default()
    }

    /// What it is called on the cluster, in the folder of converters.
    #[must_use]
    pub fn name(&self) -> String {
        format!("convert_{}_{}", Self::CONVERSION, self.version())
    }
}

impl fmt::Debug for Program {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { digest, .. } = self;
        formatter.debug_struct("Program").field("digest", digest).finish_non_exhaustive()
    }
}

/// What is wrong with it. A program that asks for an interpreter (`PT_INTERP`) is linked to a C library that the cluster may not have.
fn unsuitable(content: &[u8]) -> Option<&'static str> {
    /// Of ELF-64: where the table of segments is, how long an entry is, and how many there are.
    const TABLE: [usize; 3] = [32, 54, 56];
    const INTERPRETER: u32 = 3;
    if content.len() as u64 > LARGEST {
        return Some("has more than 64 MiB");
    }
    if !content.starts_with(b"\x7fELF\x02\x01") {
        return Some("is no program of a 64-bit Linux");
    }
    let number = |at: usize, bytes: usize| {
        let bytes = content.get(at..at.checked_add(bytes)?)?;
        Some(bytes.iter().rev().fold(0_u64, |number, byte| number << 8 | u64::from(*byte)))
    };
    let segments = || {
        let start = usize::try_from(number(TABLE[0], 8)?).ok()?;
        let (entry, count) = (number(TABLE[1], 2)? as usize, number(TABLE[2], 2)? as usize);
        (0..count).map(|index| number(start.checked_add(index * entry)?, 4)).collect::<Option<Vec<u64>>>()
    };
    match segments() {
        None => Some("is no whole program"),
        Some(kinds) if kinds.contains(&u64::from(INTERPRETER)) => Some("is not static"),
        Some(_) => None,
    }
}

/// A header and a segment that is loaded: for tests the smallest program, which does nothing.
#[cfg(test)]
pub(super) fn smallest(last: u8) -> Vec<u8> {
    let mut content = vec![0; 120];
    content[..6].copy_from_slice(b"\x7fELF\x02\x01");
    (content[32], content[54], content[56], content[64], content[119]) = (64, 56, 1, 1, last);
    content
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_a_cluster_may_not_run_is_refused_with_the_setting() {
        let folder = tempfile::tempdir().expect("a folder");
        let written = |name: &str, content: &[u8]| {
            let path = folder.path().join(name);
            std::fs::write(&path, content).expect("it is written");
            path
        };
        let me = std::env::current_exe().expect("a test is a program");
        for (path, told) in [
            (folder.path().join("none"), "cannot read"),
            (folder.path().to_owned(), "it is no file"),
            (written("script", b"#!/bin/sh\n"), "is no program of a 64-bit Linux"),
            (written("short", b"\x7fELF\x02\x01"), "is no whole program"),
            (me, "is not static"),
        ] {
            let refused = Program::read(&path).expect_err("it is refused").to_string();
            assert!(refused.contains(told) && refused.contains("slurm.converter"), "{refused}");
        }
    }

    #[test]
    fn a_program_is_called_by_its_content() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut names = Vec::new();
        for last in [0, 1] {
            let path = folder.path().join("convert");
            std::fs::write(&path, smallest(last)).expect("it is written");
            let program = Program::read(&path).expect("it is a program");
            assert_eq!(program.digest().len(), 64);
            assert_eq!(program.name(), format!("convert_zarr_to_tiff_{}", program.version()));
            names.push(program.name());
        }
        assert_ne!(names[0], names[1]);
    }

    proptest! {
        #[test]
        fn no_file_is_too_strange_to_be_looked_at(rest in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = unsuitable(&[b"\x7fELF\x02\x01".as_slice(), &rest].concat());
        }
    }
}
