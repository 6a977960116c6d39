//! A site's own template of job scripts: a file of this machine, in which Python's placeholders are filled in.
//!
//! What sbatch would refuse is refused when it is read, before anything is sent.

use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

use super::own_file;

/// A template is no longer, in bytes: what it becomes has to fit what is read of a script on the cluster, 1 MiB.
const LARGEST: u64 = 256 << 10;

/// Why there is no template.
#[derive(Debug, Error)]
pub enum TemplateError {
    /// It cannot be read.
    #[error("cannot read {}, the template of job scripts: {source}; correct slurm.template, or leave it out", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// No job script could be made of it.
    #[error("{}, the template of job scripts, {what}", path.display())]
    Unsuitable {
        /// The file.
        path: PathBuf,
        /// What is wrong, and what to do.
        what: &'static str,
    },
}

/// Reads it.
///
/// # Errors
/// It cannot be read, or sbatch takes no script that begins or is written like this.
pub fn read(path: &Path) -> Result<String, TemplateError> {
    let content = own_file::content(path, LARGEST)
        .map_err(|source| TemplateError::Unreadable { path: path.to_owned(), source })?;
    checked(content).map_err(|what| TemplateError::Unsuitable { path: path.to_owned(), what })
}

fn checked(content: Vec<u8>) -> Result<String, &'static str> {
    if content.len() as u64 > LARGEST {
        return Err("has more than 256 KiB; call a program instead of holding it");
    }
    let text = String::from_utf8(content).map_err(|_| "is not UTF-8; convert it, as by iconv -t utf-8")?;
    if text.contains('\0') {
        return Err("holds a NUL, which sbatch refuses; remove it");
    }
    if text.contains('\r') {
        return Err("has the line ends of Windows, which sbatch refuses; convert it, as by dos2unix");
    }
    if !text.starts_with("#!") {
        return Err("does not begin with `#!`, as sbatch demands; begin it with #!/bin/bash");
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_sbatch_would_refuse_is_refused_with_the_file_and_the_remedy() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("job.sh");
        let huge = [b"#!/bin/sh\n".as_slice(), &vec![b'#'; LARGEST as usize]].concat();
        for (content, told) in [
            (&b"#!/bin/bash\nrun $PARAMS\n"[..], None),
            (b"", Some("begin it with #!/bin/bash")),
            (b"\n#!/bin/bash\n", Some("begin it with #!/bin/bash")),
            (b"#!/bin/bash\r\nrun\r\n", Some("dos2unix")),
            (b"#!/bin/bash\n\0", Some("NUL")),
            (b"#!/bin/bash\n\xff", Some("not UTF-8")),
            (&huge, Some("more than 256 KiB")),
        ] {
            std::fs::write(&path, content).expect("a file");
            let read = read(&path);
            match told {
                None => assert_eq!(read.expect("a template").as_bytes(), content),
                Some(told) => {
                    let refused = read.expect_err("it is refused").to_string();
                    assert!(refused.contains(told) && refused.contains("job.sh"), "{refused}");
                }
            }
        }
        for path in [folder.path().join("missing"), folder.path().to_owned()] {
            let refused = read(&path).expect_err("it is refused").to_string();
            assert!(refused.contains("correct slurm.template"), "{refused}");
        }
    }
}
