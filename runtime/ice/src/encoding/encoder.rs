//! Writing.

use bytes::{BufMut as _, Bytes, BytesMut};

use super::encode_class::ClassWriter;
use super::values::Encode;
use super::{EncodeError, Encoding, Format, Objects};

/// Below, a byte sequence is copied into the message; from here on it goes to the socket from where it is.
const COPIED: usize = 4096;

/// The largest size there is.
const LONGEST: usize = i32::MAX as usize;

/// Writes values.
///
/// What cannot be written is remembered and told by [`Encoder::finish`]: what encodes a value has nothing to check.
#[derive(Debug)]
pub struct Encoder<'o> {
    pub(super) buffer: BytesMut,
    /// Byte sequences that stand before a position of the buffer, and all their length.
    inserted: Vec<(usize, Bytes)>,
    inserted_length: usize,
    pub(super) encoding: Encoding,
    pub(super) format: Format,
    pub(super) objects: Option<&'o Objects>,
    pub(super) classes: ClassWriter<'o>,
    error: Option<EncodeError>,
}

/// A place for a size that is known later.
#[derive(Debug, Clone, Copy)]
pub(super) struct SizePlace {
    index: usize,
    position: usize,
}

impl<'o> Encoder<'o> {
    /// An encoder of this version and format, with nothing written.
    #[must_use]
    pub fn new(encoding: Encoding, format: Format) -> Self {
        Self {
            buffer: BytesMut::with_capacity(256),
            inserted: Vec::new(),
            inserted_length: 0,
            encoding,
            format,
            objects: None,
            classes: ClassWriter::default(),
            error: None,
        }
    }

    /// The instances that the handles mean.
    #[must_use]
    pub fn with_objects(mut self, objects: Option<&'o Objects>) -> Self {
        self.objects = objects;
        self
    }

    /// The version that is written.
    #[must_use]
    pub const fn encoding(&self) -> Encoding {
        self.encoding
    }

    /// A byte.
    pub fn byte(&mut self, value: u8) {
        self.buffer.put_u8(value);
    }

    /// A bool: one byte.
    pub fn bool(&mut self, value: bool) {
        self.buffer.put_u8(u8::from(value));
    }

    /// A short: two bytes.
    pub fn short(&mut self, value: i16) {
        self.buffer.put_i16_le(value);
    }

    /// An int: four bytes.
    pub fn int(&mut self, value: i32) {
        self.buffer.put_i32_le(value);
    }

    /// A long: eight bytes.
    pub fn long(&mut self, value: i64) {
        self.buffer.put_i64_le(value);
    }

    /// A float: four bytes.
    pub fn float(&mut self, value: f32) {
        self.buffer.put_f32_le(value);
    }

    /// A double: eight bytes.
    pub fn double(&mut self, value: f64) {
        self.buffer.put_f64_le(value);
    }

    /// A size: one byte, or five from 255 on ("Sizes").
    pub fn size(&mut self, what: &'static str, length: usize) {
        match u8::try_from(length) {
            Ok(short) if short < 255 => self.buffer.put_u8(short),
            _ => {
                self.buffer.put_u8(255);
                let length = self.checked(what, length);
                self.buffer.put_i32_le(length);
            }
        }
    }

    /// The value of an enumerator: a size from 1.1 on, before as wide as the largest of its enumeration asks for
    /// ("Enumerators"). `largest` is the largest value of the enumeration.
    pub fn enumerator(&mut self, value: i32, largest: i32) {
        match self.encoding {
            Encoding::V1_1 => self.size("enumerator", usize::try_from(value).unwrap_or_default()),
            Encoding::V1_0 if largest < 127 => self.buffer.put_u8(value.to_le_bytes()[0]),
            Encoding::V1_0 if largest < 32767 => self.buffer.put_slice(&value.to_le_bytes()[..2]),
            Encoding::V1_0 => self.buffer.put_i32_le(value),
        }
    }

    /// A string: its size and UTF-8.
    pub fn string(&mut self, text: &str) {
        self.size("string", text.len());
        self.buffer.put_slice(text.as_bytes());
    }

    /// A sequence of bytes: its size and the bytes.
    pub fn bytes(&mut self, bytes: &[u8]) {
        self.size("byte sequence", bytes.len());
        self.buffer.put_slice(bytes);
    }

    /// The same, from memory that is shared and not copied when it is large.
    pub fn blob(&mut self, bytes: &Bytes) {
        self.size("byte sequence", bytes.len());
        if bytes.len() < COPIED {
            self.buffer.put_slice(bytes);
        } else {
            self.inserted_length += bytes.len();
            self.inserted.push((self.buffer.len(), bytes.clone()));
        }
    }

    /// Bytes as they are.
    pub fn raw(&mut self, bytes: &[u8]) {
        self.buffer.put_slice(bytes);
    }

    /// A value of a type that knows how.
    pub fn value<T: Encode + ?Sized>(&mut self, value: &T) {
        value.encode(self);
    }

    /// What was written so far, in bytes.
    #[must_use]
    pub fn length(&self) -> usize {
        self.buffer.len() + self.inserted_length
    }

    /// Something in an encapsulation: its size, its version and what `write` writes ("Encapsulations").
    pub fn encapsulation(&mut self, encoding: Encoding, write: impl FnOnce(&mut Self)) {
        let outer = std::mem::replace(&mut self.encoding, encoding);
        let place = self.open_size();
        self.raw(&encoding.numbers());
        write(self);
        self.finish_classes();
        self.close_size(place, true);
        self.encoding = outer;
    }

    /// What was written.
    ///
    /// # Errors
    /// A value could not be written; the first is told.
    pub fn finish(self) -> Result<Payload, EncodeError> {
        if let Some(error) = self.error {
            return Err(error);
        }
        let length = self.length();
        let mut rest = self.buffer.freeze();
        if self.inserted.is_empty() {
            return Ok(Payload { length, pieces: Pieces::One(rest) });
        }
        let mut pieces = Vec::with_capacity(self.inserted.len() * 2 + 1);
        let mut taken = 0;
        for (index, bytes) in self.inserted {
            pieces.push(rest.split_to(index - taken));
            taken = index;
            pieces.push(bytes);
        }
        pieces.push(rest);
        pieces.retain(|piece| !piece.is_empty());
        Ok(Payload { length, pieces: Pieces::Many(pieces) })
    }

    /// Remembers what went wrong, unless something did before.
    pub fn fail(&mut self, error: EncodeError) {
        self.error.get_or_insert(error);
    }

    /// Whether something could not be written.
    pub(super) const fn failed(&self) -> bool {
        self.error.is_some()
    }

    /// Four bytes for a size.
    pub(super) fn open_size(&mut self) -> SizePlace {
        let place = SizePlace { index: self.buffer.len(), position: self.length() };
        self.buffer.put_i32_le(0);
        place
    }

    /// Writes the size of what has come since, with its own four bytes or without.
    pub(super) fn close_size(&mut self, place: SizePlace, with_itself: bool) {
        let length = self.length() - place.position - if with_itself { 0 } else { 4 };
        let length = self.checked("encapsulation or slice", length);
        if let Some(bytes) = self.buffer.get_mut(place.index..place.index + 4) {
            bytes.copy_from_slice(&length.to_le_bytes());
        }
    }

    fn checked(&mut self, what: &'static str, length: usize) -> i32 {
        if length > LONGEST {
            self.fail(EncodeError::TooLong { what, length });
        }
        i32::try_from(length).unwrap_or(i32::MAX)
    }
}

/// What was written: pieces that follow one another.
#[derive(Debug, Clone, Default)]
pub struct Payload {
    length: usize,
    pieces: Pieces,
}

#[derive(Debug, Clone)]
enum Pieces {
    One(Bytes),
    Many(Vec<Bytes>),
}

impl Default for Pieces {
    fn default() -> Self {
        Self::One(Bytes::new())
    }
}

impl Payload {
    /// In bytes.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.length
    }

    /// Whether there is nothing.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// In order.
    #[must_use]
    pub fn pieces(&self) -> &[Bytes] {
        match &self.pieces {
            Pieces::One(piece) => std::slice::from_ref(piece),
            Pieces::Many(pieces) => pieces,
        }
    }

    /// All in one: copied if it is more than one piece.
    #[must_use]
    pub fn to_bytes(&self) -> Bytes {
        match &self.pieces {
            Pieces::One(piece) => piece.clone(),
            Pieces::Many(pieces) => pieces.concat().into(),
        }
    }
}

impl From<Bytes> for Payload {
    fn from(bytes: Bytes) -> Self {
        Self { length: bytes.len(), pieces: Pieces::One(bytes) }
    }
}

/// One after the other.
impl FromIterator<Payload> for Payload {
    fn from_iter<I: IntoIterator<Item = Self>>(payloads: I) -> Self {
        let mut joined = Vec::new();
        let mut length = 0;
        for payload in payloads {
            length += payload.length;
            match payload.pieces {
                Pieces::One(piece) => joined.push(piece),
                Pieces::Many(pieces) => joined.extend(pieces),
            }
        }
        Self { length, pieces: Pieces::Many(joined) }
    }
}
