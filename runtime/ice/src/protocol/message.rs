//! The bodies of requests, batches and replies ("Protocol Messages").

use std::collections::BTreeMap;
use std::sync::LazyLock;

use bytes::Bytes;
use thiserror::Error;

use super::{Compression, HEADER, Header, MessageType, ProtocolError};
use crate::encoding::{
    Decode as _, DecodeError, DecodeLimits, Decoder, Encode as _, EncodeError, Encoder, Encoding, Format,
    Objects, Payload, Registry,
};
use crate::identity::Identity;

/// What goes with a request beside its parameters ("Request Contexts").
pub type Context = BTreeMap<String, String>;

/// What repeating an operation does ("Operations": idempotent).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Mode {
    /// It may not be repeated.
    #[default]
    Normal,
    /// It changes nothing. Ice before 3.7 marks `ice_ping` and its like so.
    Nonmutating,
    /// It may be repeated.
    Idempotent,
}

impl Mode {
    const fn number(self) -> u8 {
        match self {
            Self::Normal => 0,
            Self::Nonmutating => 1,
            Self::Idempotent => 2,
        }
    }

    fn of(number: u8) -> Result<Self, DecodeError> {
        match number {
            0 => Ok(Self::Normal),
            1 => Ok(Self::Nonmutating),
            2 => Ok(Self::Idempotent),
            other => Err(DecodeError::Value { what: "an operation mode", value: i64::from(other) }),
        }
    }
}

/// A request that was received.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// What the reply is known by; 0: nobody waits for one.
    pub id: i32,
    /// Which object.
    pub identity: Identity,
    /// Which facet of it.
    pub facet: String,
    /// Which operation.
    pub operation: String,
    /// What repeating it does.
    pub mode: Mode,
    /// What goes with it.
    pub context: Context,
    /// The version of the parameters, and of what is sent back.
    pub encoding: Encoding,
    /// The parameters.
    pub parameters: Bytes,
}

/// What a request consists of, to be written.
#[derive(Debug, Clone, Copy)]
pub struct OutgoingRequest<'a> {
    /// Which object.
    pub identity: &'a Identity,
    /// Which facet of it.
    pub facet: &'a str,
    /// Which operation.
    pub operation: &'a str,
    /// What repeating it does.
    pub mode: Mode,
    /// What goes with it.
    pub context: &'a Context,
    /// The version of the parameters.
    pub encoding: Encoding,
    /// How instances in them are sent.
    pub format: Format,
}

impl OutgoingRequest<'_> {
    /// The body behind the request's number. `objects`: the instances that the parameters mean.
    ///
    /// # Errors
    /// A parameter cannot be sent.
    pub fn body<'o>(
        &self,
        objects: Option<&'o Objects>,
        parameters: impl FnOnce(&mut Encoder<'o>),
    ) -> Result<Payload, EncodeError> {
        // What stands before the encapsulation is the same in every version.
        let mut encoder = Encoder::new(Encoding::V1_0, self.format).with_objects(objects);
        self.identity.encode(&mut encoder);
        encoder.size("facet path", usize::from(!self.facet.is_empty()));
        if !self.facet.is_empty() {
            encoder.string(self.facet);
        }
        encoder.string(self.operation);
        encoder.byte(self.mode.number());
        self.context.encode(&mut encoder);
        encoder.encapsulation(self.encoding, parameters);
        encoder.finish()
    }
}

/// What is read of requests and replies knows no classes.
fn plain<T>(
    body: Bytes,
    limits: DecodeLimits,
    read: impl FnOnce(&mut Decoder<'_>) -> Result<T, DecodeError>,
) -> Result<T, ProtocolError> {
    static NONE: LazyLock<Registry> = LazyLock::new(Registry::default);
    Ok(read(&mut Decoder::new(body, Encoding::V1_0, &NONE, limits))?)
}

impl Request {
    /// Reads the body of a request.
    ///
    /// # Errors
    /// It is none.
    pub fn decode(body: Bytes, limits: DecodeLimits) -> Result<Self, ProtocolError> {
        plain(body, limits, |decoder| {
            let id = decoder.int()?;
            let request = Self::decode_rest(decoder, id)?;
            if decoder.left() > 0 {
                return Err(DecodeError::Left { left: decoder.left() });
            }
            Ok(request)
        })
    }

    fn decode_rest(decoder: &mut Decoder<'_>, id: i32) -> Result<Self, DecodeError> {
        let identity = Identity::decode(decoder)?;
        let facet = facet(decoder)?;
        let operation = decoder.string()?;
        let mode = Mode::of(decoder.byte()?)?;
        let context = Context::decode(decoder)?;
        let (encoding, parameters) = decoder.encapsulation()?;
        Ok(Self { id, identity, facet, operation, mode, context, encoding, parameters })
    }
}

fn facet(decoder: &mut Decoder<'_>) -> Result<String, DecodeError> {
    match decoder.count("facet path", 1)? {
        0 => Ok(String::new()),
        1 => decoder.string(),
        _ => Err(DecodeError::Contradiction("a request has more than one facet")),
    }
}

/// Requests that were received together, read one at a time.
#[derive(Debug)]
pub struct Batch {
    rest: Bytes,
    left: usize,
    limits: DecodeLimits,
}

impl Batch {
    /// Reads how many there are.
    ///
    /// # Errors
    /// There cannot be so many.
    pub fn decode(body: Bytes, limits: DecodeLimits) -> Result<Self, ProtocolError> {
        plain(body, limits, |decoder| {
            let count = decoder.int()?;
            let size = DecodeError::Size { what: "batch", size: i64::from(count) };
            let left = usize::try_from(count).map_err(|_| size.clone())?;
            // The fewest bytes of a request without a number: identity, facet, operation, mode, context, encapsulation.
            if left > decoder.left() / 12 {
                return Err(size);
            }
            let length = decoder.left();
            Ok(Self { rest: decoder.raw("a batch", length)?, left, limits })
        })
    }

    /// The next request.
    ///
    /// # Errors
    /// It is none.
    pub fn next_request(&mut self) -> Result<Option<Request>, ProtocolError> {
        if self.left == 0 {
            return match self.rest.len() {
                0 => Ok(None),
                left => Err(DecodeError::Left { left }.into()),
            };
        }
        self.left -= 1;
        plain(std::mem::take(&mut self.rest), self.limits, |decoder| {
            let request = Request::decode_rest(decoder, 0)?;
            let length = decoder.left();
            self.rest = decoder.raw("a batch", length)?;
            Ok(Some(request))
        })
    }
}

/// Why an operation was not carried out, or not to its end: what is told the caller ("Run-Time Exceptions").
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Fault {
    /// There is no such object.
    #[error("there is no object {identity} (asked for {operation})")]
    ObjectNotExist {
        /// Which.
        identity: Identity,
        /// Which facet.
        facet: String,
        /// What it was asked for.
        operation: String,
    },
    /// There is the object, but no such facet.
    #[error("object {identity} has no facet `{facet}` (asked for {operation})")]
    FacetNotExist {
        /// Which object.
        identity: Identity,
        /// Which facet.
        facet: String,
        /// What it was asked for.
        operation: String,
    },
    /// There is no such operation.
    #[error("object {identity} has no operation {operation}")]
    OperationNotExist {
        /// Which object.
        identity: Identity,
        /// Which facet.
        facet: String,
        /// Which operation.
        operation: String,
    },
    /// A run-time exception of Ice on the other side, as text.
    #[error("the other side has trouble with Ice: {0}")]
    UnknownLocal(String),
    /// An exception that the operation does not declare, as text.
    #[error("the other side raised an exception that the operation does not declare: {0}")]
    UnknownUser(String),
    /// Anything else, as text.
    #[error("the other side failed: {0}")]
    Unknown(String),
}

/// A reply that was received.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// The request's.
    pub id: i32,
    /// What came of it.
    pub outcome: Outcome,
}

/// What came of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Results.
    Results(Encoding, Bytes),
    /// An exception of the operation's.
    Raised(Encoding, Bytes),
    /// It was not carried out, or not to its end.
    Fault(Fault),
}

impl Reply {
    /// Reads the body of a reply.
    ///
    /// # Errors
    /// It is none.
    pub fn decode(body: Bytes, limits: DecodeLimits) -> Result<Self, ProtocolError> {
        plain(body, limits, |decoder| {
            let id = decoder.int()?;
            let outcome = Outcome::decode(decoder)?;
            if decoder.left() > 0 {
                return Err(DecodeError::Left { left: decoder.left() });
            }
            Ok(Self { id, outcome })
        })
    }
}

impl Outcome {
    fn decode(decoder: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        let status = decoder.byte()?;
        Ok(match status {
            0 | 1 => {
                let (encoding, bytes) = decoder.encapsulation()?;
                if status == 0 { Self::Results(encoding, bytes) } else { Self::Raised(encoding, bytes) }
            }
            2..=4 => {
                let identity = Identity::decode(decoder)?;
                let facet = facet(decoder)?;
                let operation = decoder.string()?;
                Self::Fault(match status {
                    2 => Fault::ObjectNotExist { identity, facet, operation },
                    3 => Fault::FacetNotExist { identity, facet, operation },
                    _ => Fault::OperationNotExist { identity, facet, operation },
                })
            }
            5 => Self::Fault(Fault::UnknownLocal(decoder.string()?)),
            6 => Self::Fault(Fault::UnknownUser(decoder.string()?)),
            7 => Self::Fault(Fault::Unknown(decoder.string()?)),
            other => return Err(DecodeError::Value { what: "a reply status", value: i64::from(other) }),
        })
    }
}

impl Fault {
    /// The body of a reply behind the request's number.
    ///
    /// # Errors
    /// Its text is too long.
    pub fn body(&self) -> Result<Payload, EncodeError> {
        let mut encoder = Encoder::new(Encoding::V1_0, Format::Compact);
        let (status, address, text) = match self {
            Self::ObjectNotExist { identity, facet, operation } => (2, Some((identity, facet)), operation),
            Self::FacetNotExist { identity, facet, operation } => (3, Some((identity, facet)), operation),
            Self::OperationNotExist { identity, facet, operation } => (4, Some((identity, facet)), operation),
            Self::UnknownLocal(text) => (5, None, text),
            Self::UnknownUser(text) => (6, None, text),
            Self::Unknown(text) => (7, None, text),
        };
        encoder.byte(status);
        if let Some((identity, facet)) = address {
            identity.encode(&mut encoder);
            encoder.size("facet path", usize::from(!facet.is_empty()));
            if !facet.is_empty() {
                encoder.string(facet);
            }
        }
        encoder.string(text);
        encoder.finish()
    }
}

/// The body of a reply behind the request's number: results, or an exception that was raised.
///
/// # Errors
/// A result cannot be sent.
pub fn reply_body<'o>(
    raised: bool,
    encoding: Encoding,
    format: Format,
    objects: Option<&'o Objects>,
    write: impl FnOnce(&mut Encoder<'o>),
) -> Result<Payload, EncodeError> {
    let mut encoder = Encoder::new(Encoding::V1_0, format).with_objects(objects);
    encoder.byte(u8::from(raised));
    encoder.encapsulation(encoding, write);
    encoder.finish()
}

/// A message to be sent: a header, four bytes that follow it in most, and the rest. What it holds is shared: sending it
/// again costs nothing.
#[derive(Debug, Clone)]
pub struct OutgoingMessage {
    prefix: [u8; HEADER + 4],
    prefix_length: usize,
    body: Payload,
}

impl OutgoingMessage {
    /// A request with its number, a reply with that of its request, or a batch with how many are in it.
    #[must_use]
    pub fn numbered(message: MessageType, compression: Compression, number: i32, body: Payload) -> Self {
        let size = HEADER + 4 + body.len();
        let mut prefix = [0; HEADER + 4];
        prefix[..HEADER].copy_from_slice(&Header { message, compression, size }.to_bytes());
        prefix[HEADER..].copy_from_slice(&number.to_le_bytes());
        Self { prefix, prefix_length: HEADER + 4, body }
    }

    /// A message of nothing but a header.
    #[must_use]
    pub fn bare(message: MessageType) -> Self {
        let mut prefix = [0; HEADER + 4];
        let header = Header { message, compression: Compression::Unsupported, size: HEADER };
        prefix[..HEADER].copy_from_slice(&header.to_bytes());
        Self { prefix, prefix_length: HEADER, body: Payload::default() }
    }

    /// In bytes.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.prefix_length + self.body.len()
    }

    /// Never: there is a header.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        false
    }

    /// What follows so many bytes, piece after piece.
    pub fn pieces_from(&self, sent: usize) -> impl Iterator<Item = &[u8]> {
        let prefix = self.prefix.get(..self.prefix_length).unwrap_or_default();
        let mut skip = sent;
        std::iter::once(prefix).chain(self.body.pieces().iter().map(|piece| &piece[..])).filter_map(
            move |piece| {
                let skipped = skip.min(piece.len());
                skip -= skipped;
                piece.get(skipped..).filter(|piece| !piece.is_empty())
            },
        )
    }
}
