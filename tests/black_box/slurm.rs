//! The Slurm part, against a real cluster.

mod containers;
mod connection;
mod fixture;
mod python;
