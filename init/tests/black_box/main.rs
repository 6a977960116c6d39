//! `init` as a black box: real processes, real signals, real pid namespaces, and the real tini and dumb-init beside it.
//!
//! Needs Debian's `tini` and `dumb-init`, and root for the tests in a pid namespace of their own.

mod control;
mod machine;
mod passthrough;
mod personality;
mod stage;
mod supervise;
