//! What peers may cost.

use std::time::Duration;

use crate::encoding::DecodeLimits;

/// What peers may cost: of each connection, unless it says otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of a message, header and all, received or sent (`Ice.MessageSizeMax`, there in KiB).
    pub message: usize,
    /// What reading one takes.
    pub decode: DecodeLimits,
    /// Bytes that wait to be sent; whoever sends more waits. One message may be longer.
    pub queue: usize,
    /// Requests that are being answered at a time; no more are read meanwhile.
    pub dispatches: usize,
    /// Connections that an adapter accepts at a time, over all its endpoints.
    pub connections: usize,
    /// How long a name, a connection, TLS and the first message may take together.
    pub connect: Duration,
}

impl Default for Limits {
    /// Messages of 64 MiB, as OMERO has it.
    fn default() -> Self {
        Self {
            message: 64 << 20,
            decode: DecodeLimits::default(),
            queue: 4 << 20,
            dispatches: 64,
            connections: 16_384,
            connect: Duration::from_secs(10),
        }
    }
}
