//! How types of Rust stand on the wire ("Basic Types", "Sequences", "Dictionaries" in the Ice manual).

use std::collections::BTreeMap;

use bytes::Bytes;

use super::optional::OptionalFormat;
use super::{DecodeError, Decoder, Encoder};

/// What is known of a type before a value is.
pub trait WireType {
    /// The bytes that every value takes, if all take as many.
    const FIXED: Option<usize> = None;
    /// The fewest bytes that a value takes; at least 1.
    const SHORTEST: usize = 1;
    /// Whether a value can hold instances of classes: encoding 1.0 lists them behind all values.
    const CLASSES: bool = false;
    /// How it stands as an optional value.
    const OPTIONAL: OptionalFormat = OptionalFormat::Block;
}

/// What can be written.
pub trait Encode: WireType {
    /// Writes it.
    fn encode(&self, encoder: &mut Encoder<'_>);

    /// Writes all of them, without their number.
    fn encode_all(values: &[Self], encoder: &mut Encoder<'_>)
    where
        Self: Sized,
    {
        for value in values {
            value.encode(encoder);
        }
    }
}

/// What can be read.
pub trait Decode: WireType + Sized {
    /// Reads it.
    ///
    /// # Errors
    /// It is not one.
    fn decode(decoder: &mut Decoder<'_>) -> Result<Self, DecodeError>;

    /// Reads so many, for which there are bytes enough.
    ///
    /// # Errors
    /// One of them is not one.
    fn decode_all(count: usize, decoder: &mut Decoder<'_>) -> Result<Vec<Self>, DecodeError> {
        decoder.charge(count.saturating_mul(size_of::<Self>()))?;
        let mut values = Vec::with_capacity(count);
        for _ in 0..count {
            values.push(Self::decode(decoder)?);
        }
        Ok(values)
    }
}

/// Numbers: a sequence of them is as it stands in memory.
macro_rules! numbers {
    ($($type:ty, $method:ident, $format:ident;)*) => {$(
        impl WireType for $type {
            const FIXED: Option<usize> = Some(size_of::<$type>());
            const SHORTEST: usize = size_of::<$type>();
            const OPTIONAL: OptionalFormat = OptionalFormat::$format;
        }

        impl Encode for $type {
            fn encode(&self, encoder: &mut Encoder<'_>) {
                encoder.$method(*self);
            }

            fn encode_all(values: &[Self], encoder: &mut Encoder<'_>) {
                encoder.buffer.reserve(size_of_val(values));
                for value in values {
                    encoder.raw(&value.to_le_bytes());
                }
            }
        }

        impl Decode for $type {
            fn decode(decoder: &mut Decoder<'_>) -> Result<Self, DecodeError> {
                decoder.$method()
            }

            fn decode_all(count: usize, decoder: &mut Decoder<'_>) -> Result<Vec<Self>, DecodeError> {
                let length = count.saturating_mul(size_of::<Self>());
                decoder.charge(length)?;
                let bytes = decoder.raw("a sequence of numbers", length)?;
                let (numbers, _) = bytes.as_chunks();
                Ok(numbers.iter().copied().map(Self::from_le_bytes).collect())
            }
        }
    )*};
}

numbers! {
    u8, byte, F1;
    i16, short, F2;
    i32, int, F4;
    i64, long, F8;
    f32, float, F4;
    f64, double, F8;
}

impl WireType for bool {
    const FIXED: Option<usize> = Some(1);
    const OPTIONAL: OptionalFormat = OptionalFormat::F1;
}

impl Encode for bool {
    fn encode(&self, encoder: &mut Encoder<'_>) {
        encoder.bool(*self);
    }
}

impl Decode for bool {
    fn decode(decoder: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        decoder.bool()
    }
}

impl WireType for str {
    const OPTIONAL: OptionalFormat = OptionalFormat::Bare;
}

impl Encode for str {
    fn encode(&self, encoder: &mut Encoder<'_>) {
        encoder.string(self);
    }
}

impl WireType for String {
    const OPTIONAL: OptionalFormat = OptionalFormat::Bare;
}

impl Encode for String {
    fn encode(&self, encoder: &mut Encoder<'_>) {
        encoder.string(self);
    }
}

impl Decode for String {
    fn decode(decoder: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        decoder.string()
    }
}

/// A sequence of bytes that is not copied.
impl WireType for Bytes {
    const OPTIONAL: OptionalFormat = OptionalFormat::Bare;
}

impl Encode for Bytes {
    fn encode(&self, encoder: &mut Encoder<'_>) {
        encoder.blob(self);
    }
}

impl Decode for Bytes {
    fn decode(decoder: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        decoder.bytes()
    }
}

impl<T: WireType> WireType for [T] {
    const CLASSES: bool = T::CLASSES;
    const OPTIONAL: OptionalFormat = match T::FIXED {
        Some(1) => OptionalFormat::Bare,
        Some(_) => OptionalFormat::Measured,
        None => OptionalFormat::Block,
    };
}

impl<T: Encode> Encode for [T] {
    fn encode(&self, encoder: &mut Encoder<'_>) {
        encoder.note_classes(T::CLASSES);
        encoder.size("sequence", self.len());
        T::encode_all(self, encoder);
    }
}

impl<T: WireType> WireType for Vec<T> {
    const CLASSES: bool = T::CLASSES;
    const OPTIONAL: OptionalFormat = <[T]>::OPTIONAL;
}

impl<T: Encode> Encode for Vec<T> {
    fn encode(&self, encoder: &mut Encoder<'_>) {
        self.as_slice().encode(encoder);
    }
}

impl<T: Decode> Decode for Vec<T> {
    fn decode(decoder: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        let count = decoder.count("sequence", T::SHORTEST)?;
        T::decode_all(count, decoder)
    }
}

impl<K: WireType, V: WireType> WireType for BTreeMap<K, V> {
    const CLASSES: bool = V::CLASSES;
    const OPTIONAL: OptionalFormat = match (K::FIXED, V::FIXED) {
        (Some(_), Some(_)) => OptionalFormat::Measured,
        _ => OptionalFormat::Block,
    };
}

impl<K: Encode, V: Encode> Encode for BTreeMap<K, V> {
    fn encode(&self, encoder: &mut Encoder<'_>) {
        encoder.note_classes(V::CLASSES);
        encoder.size("dictionary", self.len());
        for (key, value) in self {
            key.encode(encoder);
            value.encode(encoder);
        }
    }
}

impl<K: Decode + Ord, V: Decode> Decode for BTreeMap<K, V> {
    fn decode(decoder: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        let count = decoder.count("dictionary", K::SHORTEST + V::SHORTEST)?;
        decoder.charge(count.saturating_mul(size_of::<(K, V)>()))?;
        let mut entries = Self::new();
        for _ in 0..count {
            let key = K::decode(decoder)?;
            entries.insert(key, V::decode(decoder)?);
        }
        Ok(entries)
    }
}

impl<T: WireType + ?Sized> WireType for &T {
    const FIXED: Option<usize> = T::FIXED;
    const SHORTEST: usize = T::SHORTEST;
    const CLASSES: bool = T::CLASSES;
    const OPTIONAL: OptionalFormat = T::OPTIONAL;
}

impl<T: Encode + ?Sized> Encode for &T {
    fn encode(&self, encoder: &mut Encoder<'_>) {
        (**self).encode(encoder);
    }
}

/// Values that follow one another: the parameters or results of an operation.
macro_rules! several {
    ($($name:ident)*) => {
        impl<$($name: WireType),*> WireType for ($($name,)*) {
            const FIXED: Option<usize> = None;
            const SHORTEST: usize = 1 $(+ $name::SHORTEST)* - 1;
            const CLASSES: bool = false $(|| $name::CLASSES)*;
        }

        impl<$($name: Encode),*> Encode for ($($name,)*) {
            #[allow(non_snake_case, unused_variables, reason = "the types' names name the values too")]
            fn encode(&self, encoder: &mut Encoder<'_>) {
                let ($($name,)*) = self;
                $($name.encode(encoder);)*
            }
        }

        impl<$($name: Decode),*> Decode for ($($name,)*) {
            #[allow(unused_variables, clippy::unused_unit, reason = "there may be none")]
            fn decode(decoder: &mut Decoder<'_>) -> Result<Self, DecodeError> {
                Ok(($($name::decode(decoder)?,)*))
            }
        }
    };
}

several!();
several!(A);
several!(A B);
several!(A B C);
several!(A B C D);
several!(A B C D E);
several!(A B C D E F);
several!(A B C D E F G);
several!(A B C D E F G H);
