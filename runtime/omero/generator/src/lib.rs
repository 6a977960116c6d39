//! The table of OMERO's types and services: read, checked, and printed as Rust for `biomero-omero`, or as Slice for others.
//!
//! Pure: text goes in, text comes out. [`parse`] knows the format of the table, which is explained at its head; [`check`] what
//! has to hold before something is printed; [`rust`] and [`mod@slice`] only print what was checked.

pub mod check;
pub mod parse;
pub mod rust;
pub mod schema;
pub mod slice;

use thiserror::Error;

pub use check::Checked;

/// Why there is nothing to print.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum GeneratorError {
    /// A line that is no definition.
    #[error(transparent)]
    Parse(#[from] parse::ParseError),
    /// Definitions that contradict each other.
    #[error(transparent)]
    Check(#[from] check::CheckError),
}

/// Reads and checks tables: a name for messages and the text of each.
///
/// # Errors
/// A line is no definition, or definitions contradict each other.
pub fn read(tables: &[(&str, &str)]) -> Result<Checked, GeneratorError> {
    let mut schema = schema::Schema::default();
    for (name, text) in tables {
        parse::parse(name, text, &mut schema)?;
    }
    Ok(check::check(schema)?)
}
