//! Making a cluster ready for BIOMERO: is everything there that a workflow needs ([`validate`]), and putting there what is
//! missing: folders, job scripts, container images.
//!
//! Invariants: setting up twice changes nothing; an image that has its name is whole; what somebody edited by hand is told and
//! kept. What is found is a value ([`finding::Finding`]) that a pure function makes from facts.

pub mod facts;
pub mod finding;
pub mod folders;
pub mod images;
pub mod installed;
pub mod item;
pub mod login;
pub mod probe;
pub mod pull;
pub mod repository;
pub mod scripts;
pub mod validate;
mod version;

pub use version::newest_first;

/// Where Python's BIOMERO has its shell look for 7-Zip: what `slurm_zip_cmd` is where nobody set it.
const DEFAULT_ZIP: [&str; 2] = ["7z", "7za"];

/// What is told of a text from a cluster where only a part is of interest: its last `most` characters.
fn end_of(text: &str, most: usize) -> &str {
    let start = text.char_indices().rev().nth(most.saturating_sub(1)).map_or(0, |(at, _)| at);
    text.get(start..).unwrap_or_default()
}
