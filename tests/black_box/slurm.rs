//! The Slurm part, against a real cluster.

mod connection;
mod containers;
mod executor;
mod commands;
mod connection;
mod containers;
mod descriptors;
mod fixture;
mod jobs;
mod python;
mod run;
