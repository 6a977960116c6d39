//! Optional values ("Data Encoding for Optional Values"): a tag, a format by which they can be skipped, a value.
//!
//! They stand behind the required ones, in ascending order of their tags. Encoding 1.0 has none: nothing is written, nothing
//! is there.

use super::values::{Decode, Encode};
use super::{DecodeError, Decoder, EncodeError, Encoder, Encoding};

/// Ends the optional values of a slice.
pub(super) const END: u8 = 0xFF;

/// Tags from here on follow their format byte.
const LONG_TAG: u32 = 30;

/// How an optional value can be skipped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum OptionalFormat {
    /// One byte.
    F1,
    /// Two bytes.
    F2,
    /// Four bytes.
    F4,
    /// Eight bytes.
    F8,
    /// A size: an enumerator.
    Size,
    /// Begins with its own size, in bytes: a string, a sequence of bytes. `VSize` in the manual.
    Bare,
    /// A size in bytes stands before it: what has a fixed size itself, or elements of a fixed size. `VSize` in the manual.
    Measured,
    /// An int stands before it, its size in bytes. `FSize` in the manual.
    Block,
    /// An instance.
    Class,
}

impl OptionalFormat {
    const fn number(self) -> u8 {
        match self {
            Self::F1 => 0,
            Self::F2 => 1,
            Self::F4 => 2,
            Self::F8 => 3,
            Self::Size => 4,
            Self::Bare | Self::Measured => 5,
            Self::Block => 6,
            Self::Class => 7,
        }
    }
}

impl Encoder<'_> {
    /// An optional value with this tag, if there is one.
    pub fn optional<T: Encode + ?Sized>(&mut self, tag: u32, value: Option<&T>) {
        let Some(value) = value else { return };
        if self.encoding == Encoding::V1_0 {
            return;
        }
        if !self.classes.next_optional(tag) {
            self.fail(EncodeError::OptionalOrder { tag });
        }
        let format = T::OPTIONAL;
        match u8::try_from(tag) {
            Ok(tag) if u32::from(tag) < LONG_TAG => self.byte(tag << 3 | format.number()),
            _ => {
                self.byte(30 << 3 | format.number());
                self.size("tag", usize::try_from(tag).unwrap_or(usize::MAX));
            }
        }
        match format {
            OptionalFormat::Measured => {
                let mut apart = Encoder::new(self.encoding, self.format);
                value.encode(&mut apart);
                match apart.finish() {
                    Ok(payload) => {
                        self.size("optional value", payload.len());
                        payload.pieces().iter().for_each(|piece| self.raw(piece));
                    }
                    Err(error) => self.fail(error),
                }
            }
            OptionalFormat::Block => {
                let place = self.open_size();
                value.encode(self);
                self.close_size(place, false);
            }
            _ => value.encode(self),
        }
    }
}

impl Decoder<'_> {
    /// The optional value with this tag, if it is there. Values that were passed over are skipped: ask in ascending order.
    ///
    /// # Errors
    /// It was sent as something else.
    pub fn optional<T: Decode>(&mut self, tag: u32) -> Result<Option<T>, DecodeError> {
        if !self.has_optionals() {
            return Ok(None);
        }
        while let Some((found, format, behind)) = self.peek_optional()? {
            if found > tag {
                break;
            }
            self.seek(behind);
            if found < tag {
                self.skip_optional(format)?;
                continue;
            }
            if format != T::OPTIONAL.number() {
                return Err(DecodeError::Optional { tag, format });
            }
            match T::OPTIONAL {
                OptionalFormat::Measured => drop(self.count("optional value", 1)?),
                OptionalFormat::Block => drop(self.int()?),
                _ => {}
            }
            return T::decode(self).map(Some);
        }
        Ok(None)
    }

    /// Passes over what nobody asked for, up to the end of the slice or of all.
    pub(super) fn skip_optionals(&mut self) -> Result<(), DecodeError> {
        while let Some((_, format, behind)) = self.peek_optional()? {
            self.seek(behind);
            self.skip_optional(format)?;
        }
        Ok(())
    }

    /// Tag and format of the next one, and the place behind them.
    fn peek_optional(&mut self) -> Result<Option<(u32, u8, usize)>, DecodeError> {
        if self.left() == 0 {
            return Ok(None);
        }
        let start = self.position();
        let first = self.byte()?;
        if first == END {
            self.seek(start);
            return Ok(None);
        }
        let tag = match u32::from(first >> 3) {
            LONG_TAG => {
                let size = self.size("tag")?;
                u32::try_from(size).map_err(|_| DecodeError::Size { what: "tag", size: i64::MAX })?
            }
            31 => return Err(DecodeError::Value { what: "a short tag", value: 31 }),
            tag => tag,
        };
        let behind = self.position();
        self.seek(start);
        Ok(Some((tag, first & 7, behind)))
    }

    fn skip_optional(&mut self, format: u8) -> Result<(), DecodeError> {
        let length = match format {
            0..=3 => 1 << format,
            4 => return self.size("optional value").map(drop),
            5 => self.size("optional value")?,
            6 => {
                let size = self.int()?;
                usize::try_from(size)
                    .map_err(|_| DecodeError::Size { what: "optional value", size: i64::from(size) })?
            }
            _ => return self.instance().map(drop),
        };
        self.raw("an optional value", length).map(drop)
    }
}
