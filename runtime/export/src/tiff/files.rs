//! The files of an image, of which few are open at a time: an image may have more of them than a process may open.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use super::directory::TiffFile;
use crate::source::ReadError;

/// So many stay open besides the first.
const OPEN: usize = 32;

/// Files by their number.
#[derive(Debug)]
pub(crate) struct Files {
    first: Arc<TiffFile>,
    others: Vec<PathBuf>,
    /// Those used last are at the end.
    open: Mutex<Vec<(usize, Arc<TiffFile>)>>,
}

impl Files {
    /// One, with the number 0.
    pub(crate) fn new(first: TiffFile) -> Self {
        Self { first: Arc::new(first), others: Vec::new(), open: Mutex::default() }
    }

    /// Whether the first is a BigTIFF.
    pub(crate) fn is_big(&self) -> bool {
        self.first.is_big()
    }

    /// Adds the file of the next number, which is opened again when it is asked for.
    pub(crate) fn add(&mut self, file: TiffFile) {
        self.others.push(file.path);
    }

    /// Where one is.
    pub(crate) fn path(&self, number: usize) -> Option<&Path> {
        match number.checked_sub(1) {
            None => Some(&self.first.path),
            Some(other) => self.others.get(other).map(PathBuf::as_path),
        }
    }

    /// A file by its number.
    pub(crate) fn get(&self, number: usize) -> Result<Arc<TiffFile>, ReadError> {
        let Some(path) = number.checked_sub(1).and_then(|other| self.others.get(other)) else {
            return Ok(Arc::clone(&self.first));
        };
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let found = match open.iter().position(|(known, _)| *known == number) {
            Some(place) => open.remove(place),
            None => (number, Arc::new(TiffFile::open(path)?)),
        };
        let file = Arc::clone(&found.1);
        open.push(found);
        if open.len() > OPEN {
            open.remove(0);
        }
        Ok(file)
    }
}
