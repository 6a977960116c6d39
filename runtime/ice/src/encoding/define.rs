//! Types of Slice as types of Rust: what generated code says of them, and what a few are written by hand with.

use super::{OptionalFormat, SliceType};

/// Structures: members that follow one another ("Structures").
///
/// ```
/// biomero_ice::structures! {
///     /// A point.
///     pub struct Point {
///         /// To the right.
///         pub x: i32,
///         /// Downwards.
///         pub y: i32,
///     }
/// }
/// ```
#[macro_export]
macro_rules! structures {
    ($(
        $(#[$documentation:meta])*
        $visibility:vis struct $name:ident { $($(#[$about:meta])* $of:vis $member:ident: $type:ty),+ $(,)? }
    )*) => {$(
        $(#[$documentation])*
        #[derive(Debug, Clone, PartialEq, Default)]
        $visibility struct $name {
            $($(#[$about])* $of $member: $type,)+
        }

        impl $crate::encoding::WireType for $name {
            const FIXED: Option<usize> =
                $crate::encoding::fixed(&[$(<$type as $crate::encoding::WireType>::FIXED),+]);
            const SHORTEST: usize = 0 $(+ <$type as $crate::encoding::WireType>::SHORTEST)+;
            const CLASSES: bool = false $(|| <$type as $crate::encoding::WireType>::CLASSES)+;
            const OPTIONAL: $crate::encoding::OptionalFormat = $crate::encoding::optional_structure(Self::FIXED);
        }

        impl $crate::encoding::Encode for $name {
            fn encode(&self, encoder: &mut $crate::encoding::Encoder<'_>) {
                $(encoder.value(&self.$member);)+
            }
        }

        impl $crate::encoding::Decode for $name {
            fn decode(
                decoder: &mut $crate::encoding::Decoder<'_>,
            ) -> Result<Self, $crate::encoding::DecodeError> {
                Ok(Self { $($member: decoder.value()?,)+ })
            }
        }
    )*};
}

/// Enumerations ("Enumerators"). The first enumerator is the default.
///
/// ```
/// biomero_ice::enumerations! {
///     /// What is loaded.
///     pub enum LoadSample {
///         /// Of a minute.
///         One = 0,
///         /// Of five.
///         Five = 1,
///     }
/// }
/// ```
#[macro_export]
macro_rules! enumerations {
    ($(
        $(#[$documentation:meta])*
        $visibility:vis enum $name:ident {
            $(#[$first_about:meta])* $first:ident = $first_value:literal
            $(, $(#[$about:meta])* $enumerator:ident = $value:literal)* $(,)?
        }
    )*) => {$(
        $(#[$documentation])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
        #[repr(i32)]
        $visibility enum $name {
            $(#[$first_about])* #[default] $first = $first_value,
            $($(#[$about])* $enumerator = $value,)*
        }

        impl $name {
            const LARGEST: i32 = $crate::encoding::largest(&[$first_value $(, $value)*]);
        }

        impl $crate::encoding::WireType for $name {
            const OPTIONAL: $crate::encoding::OptionalFormat = $crate::encoding::OptionalFormat::Size;
        }

        impl $crate::encoding::Encode for $name {
            fn encode(&self, encoder: &mut $crate::encoding::Encoder<'_>) {
                encoder.enumerator(*self as i32, Self::LARGEST);
            }
        }

        impl $crate::encoding::Decode for $name {
            fn decode(
                decoder: &mut $crate::encoding::Decoder<'_>,
            ) -> Result<Self, $crate::encoding::DecodeError> {
                match decoder.enumerator(Self::LARGEST)? {
                    $first_value => Ok(Self::$first),
                    $($value => Ok(Self::$enumerator),)*
                    other => Err($crate::encoding::DecodeError::Value {
                        what: stringify!($name),
                        value: i64::from(other),
                    }),
                }
            }
        }
    )*};
}

/// Classes and exceptions: slices, each with members and optional members ("Classes", "User Exceptions").
///
/// The base is a member `base` of the derived one.
///
/// ```
/// biomero_ice::sliced! {
///     /// A shape.
///     pub struct Shape = "::Test::Shape" {
///         /// What it is called.
///         pub name: String,
///     }
///
///     /// A circle.
///     pub struct Circle: Shape = "::Test::Circle" {
///         /// In millimetres.
///         pub radius: f64;
///         /// How the line is drawn, if it is said.
///         pub line: String = 1,
///     }
/// }
/// ```
#[macro_export]
macro_rules! sliced {
    () => {};
    (
        $(#[$documentation:meta])*
        $visibility:vis struct $name:ident $(: $base:ident)? = $type_id:literal $(($compact:literal))? {
            $($(#[$about:meta])* $of:vis $member:ident: $type:ty),* $(,)?
            $(; $($(#[$optional_about:meta])* $optional_of:vis $optional:ident: $optional_type:ty = $tag:literal),* $(,)?)?
        }
        $($rest:tt)*
    ) => {
        $(#[$documentation])*
        #[derive(Debug, Clone, PartialEq, Default)]
        $visibility struct $name {
            $(
                /// What it has of its base.
                $visibility base: $base,
            )?
            $($(#[$about])* $of $member: $type,)*
            $($($(#[$optional_about])* $optional_of $optional: Option<$optional_type>,)*)?
        }

        impl $name {
            /// The type ids of the class or exception and its bases, the most derived first.
            $visibility const SLICES: &'static [$crate::encoding::SliceType] = {
                const REST: &[$crate::encoding::SliceType] = $crate::sliced!(@rest $($base)?);
                const ALL: [$crate::encoding::SliceType; 1 + REST.len()] = $crate::encoding::prepended(
                    $crate::encoding::SliceType { type_id: $type_id, compact: $crate::sliced!(@compact $($compact)?) },
                    REST,
                );
                &ALL
            };
        }

        impl $crate::encoding::Sliced for $name {
            fn slices(&self) -> &'static [$crate::encoding::SliceType] {
                Self::SLICES
            }

            #[allow(unused_variables, reason = "some have neither members nor base")]
            fn encode_slice(&self, slice: usize, encoder: &mut $crate::encoding::Encoder<'_>) {
                $(
                    if let Some(slice) = slice.checked_sub(1) {
                        return <$base as $crate::encoding::Sliced>::encode_slice(&self.base, slice, encoder);
                    }
                )?
                $(encoder.value(&self.$member);)*
                $($(encoder.optional($tag, self.$optional.as_ref());)*)?
            }

            #[allow(unused_variables, reason = "some have neither members nor base")]
            fn decode_slice(
                &mut self,
                slice: usize,
                decoder: &mut $crate::encoding::Decoder<'_>,
            ) -> Result<(), $crate::encoding::DecodeError> {
                $(
                    if let Some(slice) = slice.checked_sub(1) {
                        return <$base as $crate::encoding::Sliced>::decode_slice(&mut self.base, slice, decoder);
                    }
                )?
                $(self.$member = decoder.value()?;)*
                $($(self.$optional = decoder.optional($tag)?;)*)?
                Ok(())
            }

            fn view(&self, slice: usize) -> Option<&dyn std::any::Any> {
                $(
                    if let Some(slice) = slice.checked_sub(1) {
                        return <$base as $crate::encoding::Sliced>::view(&self.base, slice);
                    }
                )?
                (slice == 0).then_some(self)
            }

            fn view_mut(&mut self, slice: usize) -> Option<&mut dyn std::any::Any> {
                $(
                    if let Some(slice) = slice.checked_sub(1) {
                        return <$base as $crate::encoding::Sliced>::view_mut(&mut self.base, slice);
                    }
                )?
                (slice == 0).then_some(self)
            }
        }

        $crate::sliced! { $($rest)* }
    };
    (@rest) => { &[] };
    (@rest $base:ident) => { $base::SLICES };
    (@compact) => { None };
    (@compact $compact:literal) => { Some($compact) };
}

/// The size of members that follow one another, if all have one.
#[doc(hidden)]
#[must_use]
pub const fn fixed(members: &[Option<usize>]) -> Option<usize> {
    let mut total = 0;
    let mut index = 0;
    while index < members.len() {
        match members[index] {
            Some(size) => total += size,
            None => return None,
        }
        index += 1;
    }
    Some(total)
}

#[doc(hidden)]
#[must_use]
pub const fn optional_structure(fixed: Option<usize>) -> OptionalFormat {
    match fixed {
        Some(_) => OptionalFormat::Measured,
        None => OptionalFormat::Block,
    }
}

#[doc(hidden)]
#[must_use]
pub const fn largest(values: &[i32]) -> i32 {
    let mut largest = 0;
    let mut index = 0;
    while index < values.len() {
        if values[index] > largest {
            largest = values[index];
        }
        index += 1;
    }
    largest
}

#[doc(hidden)]
#[must_use]
pub const fn prepended<const N: usize>(first: SliceType, rest: &[SliceType]) -> [SliceType; N] {
    let mut all = [first; N];
    let mut index = 1;
    while index < N {
        all[index] = rest[index - 1];
        index += 1;
    }
    all
}
