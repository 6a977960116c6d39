//! Files of this machine that a setting names.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

/// What is in a file, of a longer one the first `most` bytes and one more.
pub(super) fn content(path: &Path, most: u64) -> io::Result<Vec<u8>> {
    // A pipe would be waited for.
    if !std::fs::metadata(path)?.is_file() {
        return Err(io::Error::other("it is no file"));
    }
    let mut content = Vec::new();
    File::open(path)?.take(most + 1).read_to_end(&mut content)?;
    Ok(content)
}
