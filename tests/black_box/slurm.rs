//! The Slurm part, against a real cluster.

mod containers;
mod fixture;
mod python;
