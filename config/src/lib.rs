//! Every setting of a BIOMERO worker, and where each came from.
//!
//! Layers, later wins: shipped defaults, `/etc/biomero/init.toml`, `/etc/biomero/init.d/*.toml`, the
//! environment, the command line. The process environment is never read here: it is an [`Environment`] value
//! handed in, so that every rule can be tested as a table.
//!
//! Invariants: a value that could not be understood is an error that names file, line and the nearest valid name;
//! all errors of a load are reported together; a [`Secret`] is never printed.

pub mod duration;
mod environment;
mod load;
mod secret;
mod settings;

pub use environment::Environment;
pub use load::{DEFAULTS, LoadError, Loaded, Origin, Sources, load};
pub use secret::{MASK, Secret, mask_urls, names_a_secret};
pub use settings::*;
