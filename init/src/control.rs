//! `init status`, `restart`, `stop` and `start`: a Unix socket, one JSON object a line each way.
//!
//! Invariants: only root and the user that `init` runs as are answered (by mode 0600 and by the kernel's word on the
//! peer); a request is at most 4 KiB and arrives within five seconds; at most eight are served at a time; nothing a
//! peer does stops or slows the loop that collects processes.

pub(crate) mod client;
mod protocol;
pub(crate) mod server;

pub(crate) use protocol::{Answer, Phase, Request, ServiceStatus, Status, Verb};
