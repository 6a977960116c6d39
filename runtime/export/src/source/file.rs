//! Whole small files, with a limit.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

use super::ReadError;

/// Reads a file of at most so many bytes; `None` where there is none.
pub(crate) fn read(path: &Path, limit: usize, what: &'static str) -> Result<Option<Vec<u8>>, ReadError> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if is_nothing(&error) => return Ok(None),
        Err(error) => return Err(ReadError::io(path)(error)),
    };
    let known = file.metadata().map_err(ReadError::io(path))?;
    if !known.is_file() {
        return Err(ReadError::damaged(path, "it is no file"));
    }
    let too_large = |bytes: u64| {
        ReadError::damaged(path, format!("it has {bytes} bytes, and {what} has at most {limit}"))
    };
    if known.len() > limit as u64 {
        return Err(too_large(known.len()));
    }
    let mut bytes = Vec::with_capacity(usize::try_from(known.len()).unwrap_or_default());
    file.take(limit as u64 + 1).read_to_end(&mut bytes).map_err(ReadError::io(path))?;
    if bytes.len() > limit {
        return Err(too_large(bytes.len() as u64));
    }
    Ok(Some(bytes))
}

/// A folder on the way that is missing or is a file is as good as no file.
fn is_nothing(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}
