//! The Slurm part, against a real cluster.

mod commands;
mod connection;
mod containers;
mod convert;
mod data;
mod descriptors;
mod executor;
mod fixture;
mod jobs;
mod python;
mod run;
mod setup;
mod verbs;
mod workflows;
