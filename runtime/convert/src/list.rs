//! A list of images, one for each task of a job array: the file that BIOMERO writes for its conversions. A line is a number, a
//! blank and a path; numbers count from 1, as its arrays do.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use crate::error::Error;

/// A list is no longer, in bytes: 80,000 paths of 4096.
const LARGEST: u64 = 320 << 20;

/// The image of a task.
pub(crate) fn image(list: &Path, task: u32) -> Result<PathBuf, Error> {
    let failed = |source| Error::List { path: list.to_owned(), source };
    let file = File::open(list).map_err(failed)?;
    for line in BufReader::new(file.take(LARGEST)).split(b'\n') {
        let line = line.map_err(failed)?;
        if let Some(path) = path_of(&line, task) {
            return Ok(OsStr::from_bytes(path).into());
        }
    }
    Err(Error::NoTask { path: list.to_owned(), task })
}

fn path_of(line: &[u8], task: u32) -> Option<&[u8]> {
    let rest = line.strip_prefix(task.to_string().as_bytes())?;
    rest.strip_prefix(b" ").filter(|path| !path.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_task_has_the_line_of_its_number_whatever_the_image_is_called() {
        let folder = tempfile::tempdir().expect("a folder");
        let list = folder.path().join("list");
        std::fs::write(&list, b"1 /d/a b.zarr\n11 /d/eleven\n2 /d/\xff' $(x).zarr \n3 \n").expect("a list");
        let image = |task| image(&list, task).map(|path| path.as_os_str().as_bytes().to_vec());
        assert_eq!(image(1).expect("it is there"), b"/d/a b.zarr");
        assert_eq!(image(11).expect("it is there"), b"/d/eleven");
        assert_eq!(image(2).expect("it is there"), b"/d/\xff' $(x).zarr ");
        for task in [0, 3, 4] {
            assert!(matches!(image(task), Err(Error::NoTask { .. })), "{task}");
        }
    }
}
