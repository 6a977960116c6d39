//! The Slurm part, against a real cluster.

mod executor;
mod fixture;
