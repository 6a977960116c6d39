//! The types that a sample of an image may have: those of OMERO that are real numbers.

use std::fmt;

/// The type of every sample of an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SampleType {
    /// Signed, 8 bits.
    Int8,
    /// Unsigned, 8 bits.
    Uint8,
    /// Signed, 16 bits.
    Int16,
    /// Unsigned, 16 bits.
    Uint16,
    /// Signed, 32 bits.
    Int32,
    /// Unsigned, 32 bits.
    Uint32,
    /// IEEE 754, 32 bits.
    Float,
    /// IEEE 754, 64 bits.
    Double,
}

impl SampleType {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Int8,
        Self::Uint8,
        Self::Int16,
        Self::Uint16,
        Self::Int32,
        Self::Uint32,
        Self::Float,
        Self::Double,
    ];

    /// Bytes of a sample.
    #[must_use]
    pub const fn bytes(self) -> usize {
        match self {
            Self::Int8 | Self::Uint8 => 1,
            Self::Int16 | Self::Uint16 => 2,
            Self::Int32 | Self::Uint32 | Self::Float => 4,
            Self::Double => 8,
        }
    }

    /// The name in OMERO and in OME-XML.
    #[must_use]
    pub const fn ome_name(self) -> &'static str {
        match self {
            Self::Int8 => "int8",
            Self::Uint8 => "uint8",
            Self::Int16 => "int16",
            Self::Uint16 => "uint16",
            Self::Int32 => "int32",
            Self::Uint32 => "uint32",
            Self::Float => "float",
            Self::Double => "double",
        }
    }

    /// The name in zarr v3, which numpy has too.
    #[must_use]
    pub const fn zarr_name(self) -> &'static str {
        match self {
            Self::Float => "float32",
            Self::Double => "float64",
            other => other.ome_name(),
        }
    }

    /// Whether it is a floating-point number.
    #[must_use]
    pub const fn is_float(self) -> bool {
        matches!(self, Self::Float | Self::Double)
    }

    /// The smallest and the largest number it holds; of floating-point numbers, those of a display: 0 and 1.
    #[must_use]
    pub const fn range(self) -> (f64, f64) {
        match self {
            Self::Int8 => (-128.0, 127.0),
            Self::Uint8 => (0.0, 255.0),
            Self::Int16 => (-32_768.0, 32_767.0),
            Self::Uint16 => (0.0, 65_535.0),
            Self::Int32 => (-2_147_483_648.0, 2_147_483_647.0),
            Self::Uint32 => (0.0, 4_294_967_295.0),
            Self::Float | Self::Double => (0.0, 1.0),
        }
    }

    /// The numbers of a buffer.
    pub(crate) fn numbers(self, samples: &[u8]) -> Box<dyn Iterator<Item = f64> + '_> {
        /// Chunks of the width of a type, as numbers.
        macro_rules! of {
            ($type:ty) => {
                Box::new(samples.as_chunks().0.iter().map(|bytes| <$type>::from_le_bytes(*bytes) as f64))
            };
        }
        match self {
            Self::Int8 => of!(i8),
            Self::Uint8 => of!(u8),
            Self::Int16 => of!(i16),
            Self::Uint16 => of!(u16),
            Self::Int32 => of!(i32),
            Self::Uint32 => of!(u32),
            Self::Float => of!(f32),
            Self::Double => of!(f64),
        }
    }
}

impl fmt::Display for SampleType {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.ome_name())
    }
}

/// Turns every sample from the other byte order into this one.
pub(crate) fn swap(samples: &mut [u8], bytes: usize) {
    if bytes > 1 {
        samples.chunks_exact_mut(bytes).for_each(<[u8]>::reverse);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_in_their_type() {
        let read = |kind: SampleType, bytes: &[u8]| kind.numbers(bytes).collect::<Vec<f64>>();
        assert_eq!(read(SampleType::Int8, &[255, 1]), [-1.0, 1.0]);
        assert_eq!(read(SampleType::Uint16, &[0, 1, 255, 255]), [256.0, 65_535.0]);
        assert_eq!(read(SampleType::Int32, &(-7_i32).to_le_bytes()), [-7.0]);
        assert_eq!(read(SampleType::Double, &2.5_f64.to_le_bytes()), [2.5]);
    }

    #[test]
    fn a_byte_order_is_turned_and_turned_back() {
        let mut samples = *b"abcdefgh";
        swap(&mut samples, 4);
        assert_eq!(&samples, b"dcbahgfe");
        swap(&mut samples, 4);
        swap(&mut samples, 1);
        assert_eq!(&samples, b"abcdefgh");
    }
}
