//! Reading.

use bytes::Bytes;

use super::decode_class::ClassReader;
use super::values::Decode;
use super::{DecodeError, Encoding, Objects, Registry};

/// What one encapsulation may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DecodeLimits {
    /// Bytes in memory for all that is read from it.
    pub memory: usize,
    /// How deep instances may nest.
    pub depth: usize,
}

impl Default for DecodeLimits {
    /// 256 MiB, and 100 as Ice has it (`Ice.ClassGraphDepthMax`).
    fn default() -> Self {
        Self { memory: 256 << 20, depth: 100 }
    }
}

/// Reads values. Byte sequences share the memory of the message.
#[derive(Debug)]
pub struct Decoder<'r> {
    data: Bytes,
    pub(super) position: usize,
    pub(super) encoding: Encoding,
    pub(crate) limits: DecodeLimits,
    memory: usize,
    pub(crate) registry: &'r Registry,
    pub(super) classes: ClassReader,
}

impl<'r> Decoder<'r> {
    /// Over bytes that are of this version.
    #[must_use]
    pub fn new(data: Bytes, encoding: Encoding, registry: &'r Registry, limits: DecodeLimits) -> Self {
        let classes = ClassReader::default();
        Self { data, position: 0, encoding, limits, memory: 0, registry, classes }
    }

    /// The version that is read.
    #[must_use]
    pub const fn encoding(&self) -> Encoding {
        self.encoding
    }

    /// How many bytes are left.
    #[must_use]
    pub fn left(&self) -> usize {
        self.data.len() - self.position
    }

    /// Where it is.
    pub(super) const fn position(&self) -> usize {
        self.position
    }

    /// Goes to a place that was checked before.
    pub(super) fn seek(&mut self, position: usize) {
        self.position = position.min(self.data.len());
    }

    fn take<const N: usize>(&mut self, what: &'static str) -> Result<[u8; N], DecodeError> {
        let left = self.left();
        let bytes = self.data.get(self.position..self.position + N).and_then(|bytes| bytes.try_into().ok());
        self.position += if bytes.is_some() { N } else { 0 };
        bytes.ok_or(DecodeError::Short { what, needed: N, left })
    }

    /// A byte.
    ///
    /// # Errors
    /// Nothing is left.
    pub fn byte(&mut self) -> Result<u8, DecodeError> {
        self.take::<1>("a byte").map(|[byte]| byte)
    }

    /// A bool: whatever is not 0 is true.
    ///
    /// # Errors
    /// Nothing is left.
    pub fn bool(&mut self) -> Result<bool, DecodeError> {
        self.take::<1>("a bool").map(|[byte]| byte != 0)
    }

    /// A short.
    ///
    /// # Errors
    /// Less is left.
    pub fn short(&mut self) -> Result<i16, DecodeError> {
        self.take("a short").map(i16::from_le_bytes)
    }

    /// An int.
    ///
    /// # Errors
    /// Less is left.
    pub fn int(&mut self) -> Result<i32, DecodeError> {
        self.take("an int").map(i32::from_le_bytes)
    }

    /// A long.
    ///
    /// # Errors
    /// Less is left.
    pub fn long(&mut self) -> Result<i64, DecodeError> {
        self.take("a long").map(i64::from_le_bytes)
    }

    /// A float.
    ///
    /// # Errors
    /// Less is left.
    pub fn float(&mut self) -> Result<f32, DecodeError> {
        self.take("a float").map(f32::from_le_bytes)
    }

    /// A double.
    ///
    /// # Errors
    /// Less is left.
    pub fn double(&mut self) -> Result<f64, DecodeError> {
        self.take("a double").map(f64::from_le_bytes)
    }

    /// A size. It says nothing of what is left: [`Self::count`] does.
    ///
    /// # Errors
    /// It is negative, or cut off.
    pub fn size(&mut self, what: &'static str) -> Result<usize, DecodeError> {
        let first = self.byte()?;
        if first < 255 {
            return Ok(usize::from(first));
        }
        let size = self.int()?;
        usize::try_from(size).map_err(|_| DecodeError::Size { what, size: i64::from(size) })
    }

    /// A size of so many elements, each of at least `shortest` bytes, all of which have to be left.
    ///
    /// # Errors
    /// They are not left.
    pub fn count(&mut self, what: &'static str, shortest: usize) -> Result<usize, DecodeError> {
        let count = self.size(what)?;
        let needed = count.saturating_mul(shortest.max(1));
        if needed > self.left() {
            return Err(DecodeError::Short { what, needed, left: self.left() });
        }
        Ok(count)
    }

    /// The value of an enumerator; see [`Encoder::enumerator`](super::Encoder::enumerator).
    ///
    /// # Errors
    /// It is negative or cut off. Whether there is such an enumerator, the type knows.
    pub fn enumerator(&mut self, largest: i32) -> Result<i32, DecodeError> {
        match self.encoding {
            Encoding::V1_1 => {
                let size = self.size("enumerator")?;
                i32::try_from(size).map_err(|_| DecodeError::Size { what: "enumerator", size: i64::MAX })
            }
            Encoding::V1_0 if largest < 127 => self.byte().map(i32::from),
            Encoding::V1_0 if largest < 32767 => self.short().map(i32::from),
            Encoding::V1_0 => self.int(),
        }
    }

    /// A string.
    ///
    /// # Errors
    /// It is cut off, not UTF-8, or more than may be held.
    pub fn string(&mut self) -> Result<String, DecodeError> {
        let bytes = self.bytes()?;
        self.charge(bytes.len())?;
        std::str::from_utf8(&bytes).map(str::to_owned).map_err(|_| DecodeError::Text)
    }

    /// A sequence of bytes, which shares the memory of the message.
    ///
    /// # Errors
    /// It is cut off.
    pub fn bytes(&mut self) -> Result<Bytes, DecodeError> {
        let length = self.count("byte sequence", 1)?;
        self.raw("byte sequence", length)
    }

    /// So many bytes as they are.
    ///
    /// # Errors
    /// Fewer are left.
    pub fn raw(&mut self, what: &'static str, length: usize) -> Result<Bytes, DecodeError> {
        if length > self.left() {
            return Err(DecodeError::Short { what, needed: length, left: self.left() });
        }
        let bytes = self.data.slice(self.position..self.position + length);
        self.position += length;
        Ok(bytes)
    }

    /// A value of a type that knows how.
    ///
    /// # Errors
    /// It is not one.
    pub fn value<T: Decode>(&mut self) -> Result<T, DecodeError> {
        T::decode(self)
    }

    /// Counts memory that is about to be allocated for what is read.
    ///
    /// # Errors
    /// It would be more than [`DecodeLimits::memory`].
    pub fn charge(&mut self, bytes: usize) -> Result<(), DecodeError> {
        self.memory = self.memory.saturating_add(bytes);
        if self.memory > self.limits.memory {
            return Err(DecodeError::Memory { limit: self.limits.memory });
        }
        Ok(())
    }

    /// The version and the bytes of an encapsulation.
    ///
    /// # Errors
    /// It is cut off, or of an unknown version.
    pub fn encapsulation(&mut self) -> Result<(Encoding, Bytes), DecodeError> {
        let (numbers, bytes) = self.any_encapsulation()?;
        Ok((Encoding::of(numbers)?, bytes))
    }

    /// The same for any version: what is not understood can still be passed on.
    ///
    /// # Errors
    /// It is cut off.
    pub(crate) fn any_encapsulation(&mut self) -> Result<([u8; 2], Bytes), DecodeError> {
        let size = self.int()?;
        let numbers = self.take("an encapsulation's version")?;
        let length = usize::try_from(size).ok().and_then(|size| size.checked_sub(6));
        let length = length.ok_or(DecodeError::Size { what: "encapsulation", size: i64::from(size) })?;
        Ok((numbers, self.raw("an encapsulation", length)?))
    }

    /// Reads what stands behind the last value and gives all instances. `classes`: whether one of the values could hold
    /// an instance ([`WireType::CLASSES`](super::WireType::CLASSES)).
    ///
    /// # Errors
    /// Something is left, or an instance is missing.
    pub fn finish(mut self, classes: bool) -> Result<Objects, DecodeError> {
        self.finish_encapsulation(classes)?;
        self.into_objects()
    }

    pub(super) fn finish_encapsulation(&mut self, classes: bool) -> Result<(), DecodeError> {
        match self.encoding {
            Encoding::V1_0 if classes || self.classes.used() => self.pending_instances()?,
            Encoding::V1_0 => {}
            Encoding::V1_1 => self.skip_optionals()?,
        }
        // Ice before 3.3 left a byte behind exceptions.
        if self.left() > usize::from(self.encoding == Encoding::V1_0) {
            return Err(DecodeError::Left { left: self.left() });
        }
        Ok(())
    }
}
