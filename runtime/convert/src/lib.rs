//! The verb `convert`: an image becomes an OME-TIFF, or one of several that belong together.
//!
//! A crate of its own, because it is two programs: `processor convert`, and a small static one for the nodes of a cluster, which
//! have neither a worker nor a container. So it knows no runtime, no database and no SSH, and tells whoever looks on by a
//! function that it is given.
//!
//! Invariants:
//! - A source is removed only after what was written was read back from the disk and is the same to the last sample.
//! - Converting again what was converted already does no harm: the same file stays, another one is never replaced.

pub mod command_line;
mod error;
pub mod exit_code;
mod list;
pub mod open;
mod plate;
mod verb;
pub mod work;

pub use error::Error;
pub use verb::{Converted, Progress, run};
