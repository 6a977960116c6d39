//! The fourteen bytes that every message begins with ("Protocol Messages": the message header).

use super::ProtocolError;

/// Bytes of a header.
pub const HEADER: usize = 14;

const MAGIC: [u8; 4] = *b"IceP";

/// What a message is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MessageType {
    /// A call.
    Request,
    /// Calls that nobody waits for.
    Batch,
    /// The answer to a call.
    Reply,
    /// The server is ready; later: the sender is alive.
    Validate,
    /// The sender will send nothing more and has left nothing undone.
    Close,
}

impl MessageType {
    const ALL: [Self; 5] = [Self::Request, Self::Batch, Self::Reply, Self::Validate, Self::Close];
}

/// Whether a message is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Compression {
    /// It is not, and its answer may not be.
    #[default]
    Unsupported,
    /// It is not; its answer may be.
    Accepted,
    /// It is.
    Compressed,
}

/// A header that was checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// What the message is.
    pub message: MessageType,
    /// Whether it is compressed.
    pub compression: Compression,
    /// Bytes of the message, those of the header among them.
    pub size: usize,
}

impl Header {
    /// As it is sent.
    #[must_use]
    pub fn to_bytes(self) -> [u8; HEADER] {
        let mut bytes = [0; HEADER];
        bytes[..4].copy_from_slice(&MAGIC);
        bytes[4..8].copy_from_slice(&[1, 0, 1, 0]);
        bytes[8] = match self.message {
            MessageType::Request => 0,
            MessageType::Batch => 1,
            MessageType::Reply => 2,
            MessageType::Validate => 3,
            MessageType::Close => 4,
        };
        bytes[9] = match self.compression {
            Compression::Unsupported => 0,
            Compression::Accepted => 1,
            Compression::Compressed => 2,
        };
        bytes[10..].copy_from_slice(&i32::try_from(self.size).unwrap_or(i32::MAX).to_le_bytes());
        bytes
    }

    /// Reads one. `limit`: what a message may have.
    ///
    /// # Errors
    /// It is none, or of a message that is too large.
    pub fn parse(bytes: [u8; HEADER], limit: usize) -> Result<Self, ProtocolError> {
        let [
            m0,
            m1,
            m2,
            m3,
            protocol_major,
            protocol_minor,
            encoding_major,
            encoding_minor,
            kind,
            compression,
            size @ ..,
        ] = bytes;
        if [m0, m1, m2, m3] != MAGIC {
            return Err(ProtocolError::Magic([m0, m1, m2, m3]));
        }
        for (what, major, minor) in [
            ("protocol", protocol_major, protocol_minor),
            ("header's encoding", encoding_major, encoding_minor),
        ] {
            if [major, minor] != [1, 0] {
                return Err(ProtocolError::Version { what, major, minor });
            }
        }
        let message = MessageType::ALL.get(usize::from(kind)).copied().ok_or(ProtocolError::Type(kind))?;
        let compression = match compression {
            0 => Compression::Unsupported,
            1 => Compression::Accepted,
            2 => Compression::Compressed,
            other => return Err(ProtocolError::Compression(other)),
        };
        let size = i32::from_le_bytes(size);
        let checked = usize::try_from(size).ok().filter(|size| *size >= HEADER);
        let size = checked.ok_or(ProtocolError::TooSmall(size))?;
        if size > limit {
            return Err(ProtocolError::TooLarge { size, limit });
        }
        Ok(Self { message, compression, size })
    }
}
