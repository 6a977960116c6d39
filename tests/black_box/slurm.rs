//! The Slurm part, against a real cluster.

mod fixture;
