//! Everything the worker asks of a cluster: commands and files over one SSH connection (or on this machine itself), Slurm's
//! jobs, workflows and their job scripts, data there and back, and setting the cluster up.
//!
//! Invariants: no text of a user is ever part of a program for a shell ([`Command`]); every command has a deadline; what
//! comes from the cluster is parsed, never trusted.

pub mod cluster;
pub mod command;
pub mod data;
pub mod descriptor;
pub mod engine;
pub mod executor;
pub mod job;
pub mod run;
pub mod scheduler;
pub mod setup;
pub mod workflow;

pub use cluster::{Cluster, Error};
pub use command::{Command, Output, Status};
pub use descriptor::Descriptor;
