//! Messages from a stream of bytes.

use bytes::{Buf as _, BufMut as _, Bytes, BytesMut, buf::Limit};

use super::{Compression, HEADER, Header, MessageType, ProtocolError, decompress};

/// What is read at once while no long message is on its way; all that an idle connection holds.
const READ: usize = 4096;

/// What is believed of a size before a byte of its message has come.
const BELIEVED: usize = 1 << 20;

/// A message: its type and body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// What it is.
    pub message: MessageType,
    /// Whether its answer may be compressed.
    pub compression: Compression,
    /// What follows the header, decompressed.
    pub body: Bytes,
}

/// Cuts a stream into messages.
///
/// A short message is copied out of a buffer that stays; a long one is read into memory of its own, which its values then
/// share. That memory grows as bytes come: a size alone costs little.
#[derive(Debug)]
pub struct Framer {
    buffer: BytesMut,
    /// A message whose body is on its way into memory of its own.
    long: Option<(Header, BytesMut)>,
    limit: usize,
}

impl Framer {
    /// For messages of at most so many bytes.
    #[must_use]
    pub fn new(limit: usize) -> Self {
        Self { buffer: BytesMut::new(), long: None, limit }
    }

    /// Where bytes that come next have to go.
    pub fn space(&mut self) -> Limit<&mut BytesMut> {
        match &mut self.long {
            Some((header, body)) => {
                let left = header.size - HEADER - body.len();
                if body.len() == body.capacity() {
                    body.reserve(left.min(body.len().max(READ)));
                }
                body.limit(left)
            }
            None => {
                self.buffer.reserve(READ - self.buffer.len().min(READ));
                let room = READ - self.buffer.len().min(READ);
                (&mut self.buffer).limit(room)
            }
        }
    }

    /// Whether a message has begun and not ended.
    #[must_use]
    pub fn is_within(&self) -> bool {
        self.long.is_some() || !self.buffer.is_empty()
    }

    /// The next message, if it is complete.
    ///
    /// # Errors
    /// What came is none. Nothing more can be read then.
    pub fn next_message(&mut self) -> Result<Option<Message>, ProtocolError> {
        if let Some((header, body)) = &self.long {
            if body.len() < header.size - HEADER {
                return Ok(None);
            }
            return match self.long.take() {
                Some((header, body)) => self.message(header, body.freeze()).map(Some),
                None => Ok(None),
            };
        }
        let Some(header) = self.buffer.first_chunk() else { return Ok(None) };
        let header = Header::parse(*header, self.limit)?;
        let there = self.buffer.len();
        if there >= header.size {
            self.buffer.advance(HEADER);
            let length = header.size - HEADER;
            let body = Bytes::copy_from_slice(self.buffer.get(..length).unwrap_or_default());
            self.buffer.advance(length);
            return self.message(header, body).map(Some);
        }
        if header.size > READ {
            self.buffer.advance(HEADER);
            let mut body = BytesMut::with_capacity((header.size - HEADER).min(BELIEVED));
            body.put_slice(&self.buffer);
            self.buffer.clear();
            self.long = Some((header, body));
        }
        Ok(None)
    }

    fn message(&self, header: Header, body: Bytes) -> Result<Message, ProtocolError> {
        let Header { message, compression, .. } = header;
        let body = match compression {
            Compression::Compressed => decompress(&body, self.limit)?,
            Compression::Unsupported | Compression::Accepted => body,
        };
        if matches!(message, MessageType::Validate | MessageType::Close) && !body.is_empty() {
            return Err(ProtocolError::Unexpected { what: "a body", when: "with a message that has none" });
        }
        Ok(Message { message, compression, body })
    }
}
