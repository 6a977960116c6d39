//! The Slurm part, against a real cluster.

mod connection;
mod containers;
mod commands;
mod connection;
mod containers;
mod descriptors;
mod executor;
mod data;
mod fixture;
mod jobs;
mod python;
mod run;
mod setup;
