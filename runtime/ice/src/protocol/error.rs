//! Why what was received is no message.

use thiserror::Error;

use crate::encoding::DecodeError;

/// Why. After it, nothing more is read from a connection.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ProtocolError {
    /// Every message begins with `IceP`.
    #[error("the peer does not speak Ice: a message begins with {0:02x?}")]
    Magic([u8; 4]),
    /// A version of the protocol that is not known.
    #[error("the peer speaks version {major}.{minor} of the {what}, not 1.0")]
    Version {
        /// The protocol, or the encoding of its headers.
        what: &'static str,
        /// Major number.
        major: u8,
        /// Minor number.
        minor: u8,
    },
    /// A type of message that is not known.
    #[error("there is no message of type {0}")]
    Type(u8),
    /// A compression that is not known.
    #[error("there is no compression {0}")]
    Compression(u8),
    /// Smaller than a header.
    #[error("a message says that it has {0} bytes; its header has 14")]
    TooSmall(i32),
    /// Larger than allowed.
    #[error(
        "a message of {size} bytes is more than the {limit} that are allowed; raise the limit (`Ice.MessageSizeMax`)"
    )]
    TooLarge {
        /// What it says.
        size: usize,
        /// What is allowed.
        limit: usize,
    },
    /// What is compressed is not.
    #[error("a compressed message cannot be read: {0}")]
    Damaged(&'static str),
    /// At the wrong time, or in the wrong direction.
    #[error("{what} came {when}")]
    Unexpected {
        /// What.
        what: &'static str,
        /// When.
        when: &'static str,
    },
    /// Its body makes no sense.
    #[error("the body of a message makes no sense: {0}")]
    Body(#[from] DecodeError),
}
