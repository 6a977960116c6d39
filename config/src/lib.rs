//! Every setting of a BIOMERO worker, and where each came from.
//!
//! Layers, later wins: shipped defaults, `/etc/biomero/init.toml`, `/etc/biomero/init.d/*.toml`, the
//! environment, the command line. The process environment is never read here: it is an [`Environment`] value
//! handed in, so that every rule can be tested as a table.
//!
//! Invariants: a value that could not be understood is an error that names file, line and the nearest valid name;
//! all errors of a load are reported together; a [`Secret`] is never printed.

mod consistency;
mod describe;
pub mod duration;
mod environment;
mod kind;
mod layer;
mod load;
mod nearest;
mod passed_through;
pub mod reference;
mod root;
mod secret;
mod settings;
pub mod slurm_config;
mod values;

pub use describe::{Row, table, variables_passed_through};
pub use environment::Environment;
pub use kind::{Kind, parse_address};
pub use layer::{MAIN_FILE_VARIABLE, property_name};
pub use load::{DEFAULTS, FILES_DIRECTORY, LoadError, Loaded, MAIN_FILE, Origin, Sources, load};
pub use nearest::nearest;
pub use reference::reference_markdown;
pub use root::locate;
pub use secret::{MASK, Secret, mask_urls, names_a_secret};
pub use settings::*;
pub use values::Values;
