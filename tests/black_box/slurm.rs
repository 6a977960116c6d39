//! The Slurm part, against a real cluster.

mod connection;
mod containers;
mod data;
mod fixture;
mod python;
