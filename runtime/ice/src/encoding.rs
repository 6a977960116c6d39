//! The encoding of values: versions 1.0 and 1.1 ("Data Encoding" in the Ice manual).
//!
//! Nothing here knows of sockets or messages. [`Encoder`] and [`Decoder`] write and read what one encapsulation holds: values
//! ([`Encode`], [`Decode`]), class instances ([`Sliced`] in [`Objects`]), optional values and exceptions.
//!
//! Invariants:
//! - A size that was received is compared with what is left before anything is allocated for it, and all that is allocated
//!   is counted against [`DecodeLimits::memory`]: one byte of a message can become many in memory.
//! - Instances refer to each other by [`Handle`], never by pointers: a cyclic graph is freed like any other.
//! - Instances nest to a depth that both sides know ([`DecodeLimits::depth`]).

mod class;
mod decode_class;
mod decode_old;
mod decoder;
mod define;
mod encode_class;
mod encoder;
mod error;
mod exception;
mod optional;
mod registry;
#[cfg(test)]
mod tests;
mod values;

pub use class::{Handle, Objects, OpaqueSlice, PlainObject, Ref, SliceType, Sliced, TypeId, UnknownInstance};
pub use decoder::{DecodeLimits, Decoder};
#[doc(hidden)]
pub use define::{fixed, largest, optional_structure, prepended};
pub use encoder::{Encoder, Payload};
pub use error::{DecodeError, EncodeError};
pub use exception::Raised;
pub use optional::OptionalFormat;
pub use registry::Registry;
pub use values::{Decode, Encode, WireType};

/// A version of the encoding ("Encapsulations" in the Ice manual).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum Encoding {
    /// 1.0, of Ice before 3.5: instances behind the parameters, no optional values.
    V1_0,
    /// 1.1.
    #[default]
    V1_1,
}

impl Encoding {
    /// Its major and minor number.
    #[must_use]
    pub const fn numbers(self) -> [u8; 2] {
        match self {
            Self::V1_0 => [1, 0],
            Self::V1_1 => [1, 1],
        }
    }

    /// The version with these numbers.
    ///
    /// # Errors
    /// It is neither 1.0 nor 1.1.
    pub const fn of(numbers: [u8; 2]) -> Result<Self, DecodeError> {
        match numbers {
            [1, 0] => Ok(Self::V1_0),
            [1, 1] => Ok(Self::V1_1),
            [major, minor] => Err(DecodeError::Encoding { major, minor }),
        }
    }
}

impl std::fmt::Display for Encoding {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let [major, minor] = self.numbers();
        write!(formatter, "{major}.{minor}")
    }
}

/// How instances and exceptions are sent ("Data Encoding for Class Instances", `format` metadata). Version 1.0 knows only one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Format {
    /// Smaller, but the receiver has to know every class in it.
    #[default]
    Compact,
    /// Each slice with its type and size: a receiver skips what it does not know.
    Sliced,
}
