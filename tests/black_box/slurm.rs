//! The Slurm part, against a real cluster.

mod commands;
mod connection;
mod containers;
mod descriptors;
mod fixture;
mod python;
