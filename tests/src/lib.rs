//! What the black-box tests, the demo and the benchmarks stand on: real servers, real namespaces, real containers.
//!
//! Invariants: everything lives below one scratch folder; every process is ended by its id when its owner is dropped;
//! every wait has a deadline, and its failure shows the logs of what was waited for.

pub mod base_image;
pub mod binary;
pub mod biomero;
pub mod blitz;
pub mod browser;
pub mod chaos;
pub mod cluster;
pub mod command_line;
pub mod containers;
pub mod engine;
pub mod example_image;
pub mod http;
pub mod ice;
pub mod icegrid;
pub mod imaging;
pub mod jobs;
mod keeper;
mod kept;
pub mod namespace;
pub mod postgres;
pub mod process;
pub mod python;
pub mod queue;
pub mod relay;
pub mod scenario;
pub mod scratch;
pub mod silent_dns;
pub mod site_hook;
pub mod tree;
pub mod trouble;
pub mod views;
pub mod wait;
pub mod worker_image;
pub mod worker_root;

pub use trouble::{Result, Trouble};
