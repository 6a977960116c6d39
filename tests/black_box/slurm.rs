//! The Slurm part, against a real cluster.

mod connection;
mod fixture;
