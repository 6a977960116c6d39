//! Messages ("Protocol Messages" in the Ice manual): what stands between the header and an encapsulation.
//!
//! Nothing here knows of sockets. A [`Framer`] makes messages of a stream of bytes, [`message`] makes requests and replies of
//! their bodies and back.

mod compression;
mod error;
mod framer;
mod header;
pub mod message;
#[cfg(test)]
mod tests;

pub use compression::decompress;
pub use error::ProtocolError;
pub use framer::{Framer, Message};
pub use header::{Compression, HEADER, Header, MessageType};
pub use message::{Batch, Fault, Mode, Outcome, OutgoingMessage, OutgoingRequest, Reply, Request};
