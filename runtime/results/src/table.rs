//! Tables: CSV as others write it, and its columns by what is in them.

mod csv;
mod resolve;
mod typing;

use std::io::BufReader;

pub use csv::{Record, Records, TableError};
pub use resolve::{Cells, Names, Resolved, well_name};
pub use typing::{Column, Kind, Shape, columns};

use crate::folder::Folder;

/// Opens a table of the folder.
///
/// # Errors
/// It cannot be read, or is none.
pub fn open(folder: &Folder, path: &str) -> Result<Records<BufReader<std::fs::File>>, TableError> {
    Records::new(BufReader::with_capacity(1 << 16, folder.open(path)?))
}

/// Reads a table of the folder to its end, and says what is in it.
///
/// # Errors
/// It cannot be read, or is none.
pub fn read(folder: &Folder, path: &str) -> Result<Shape, TableError> {
    columns(open(folder, path)?)
}
