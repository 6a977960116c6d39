//! `processor slurm validate` and `processor slurm init` on a real cluster: each fault is told at its step with what to do, and what
//! is set up is whole or not there.

mod faults;
mod images;
mod scripts;
mod stage;
