//! The Slurm part, against a real cluster.

mod connection;
mod containers;
mod fixture;
mod python;
