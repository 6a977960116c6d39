//! The Slurm part, against a real cluster.

mod connection;
mod containers;
mod descriptors;
mod fixture;
mod python;
mod setup;
