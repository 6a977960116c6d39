//! Why a value cannot be written or read.

use thiserror::Error;

/// Why a value cannot be written.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum EncodeError {
    /// Sizes are 32 bits on the wire.
    #[error(
        "a {what} of {length} elements or bytes is more than Ice can send (2147483647); send it in pieces"
    )]
    TooLong {
        /// What.
        what: &'static str,
        /// How long it is.
        length: usize,
    },
    /// A handle of other objects than those that the encoder was given.
    #[error("instance {handle} is not among the {count} objects that were given to the encoder")]
    NoInstance {
        /// The handle.
        handle: u32,
        /// How many there are.
        count: usize,
    },
    /// Peers refuse what nests deeper (`Ice.ClassGraphDepthMax`).
    #[error("instances nest more than {limit} deep; the receiver would refuse them")]
    TooDeep {
        /// The limit.
        limit: usize,
    },
    /// An instance of a class that nobody here knows goes on only in the sliced format.
    #[error("{type_id} is not known here; it can be passed on only in the sliced format of encoding 1.1")]
    Unknown {
        /// Its class.
        type_id: String,
    },
    /// Optional values stand in ascending order of their tags.
    #[error("optional value {tag} follows one with a higher tag; write them in ascending order")]
    OptionalOrder {
        /// The tag.
        tag: u32,
    },
    /// A dictionary or endpoint holds what has no form on the wire.
    #[error("{0}")]
    Value(String),
}

/// Why a value cannot be read. What was received is wrong, not we.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// Fewer bytes than a value takes.
    #[error("{what} takes {needed} bytes, {left} are left")]
    Short {
        /// What.
        what: &'static str,
        /// How many it takes.
        needed: usize,
        /// How many are left.
        left: usize,
    },
    /// A size below zero, or one that its own bytes contradict.
    #[error("the size of {what} is {size}, which cannot be")]
    Size {
        /// Of what.
        what: &'static str,
        /// What was read.
        size: i64,
    },
    /// Not all that was sent has been asked for.
    #[error("{left} bytes are left behind the last value; both sides were made from different definitions")]
    Left {
        /// How many.
        left: usize,
    },
    /// Text is UTF-8.
    #[error("a string is not UTF-8")]
    Text,
    /// A byte that stands for one of a few things.
    #[error("{what} has no value {value}")]
    Value {
        /// What.
        what: &'static str,
        /// The value.
        value: i64,
    },
    /// A version of the encoding that nobody knows here.
    #[error("encoding {major}.{minor} is not known here, only 1.0 and 1.1")]
    Encoding {
        /// Major number.
        major: u8,
        /// Minor number.
        minor: u8,
    },
    /// More than may be held.
    #[error("what was received takes more than {limit} bytes in memory")]
    Memory {
        /// The limit.
        limit: usize,
    },
    /// More than may nest.
    #[error("instances nest more than {limit} deep")]
    TooDeep {
        /// The limit.
        limit: usize,
    },
    /// A reference to an instance that was not sent.
    #[error("instance {id} was referred to and not sent")]
    NoInstance {
        /// As the sender counts.
        id: i64,
    },
    /// A reference to a type's name that was not sent.
    #[error("type name {index} was referred to and not sent")]
    NoTypeId {
        /// As the sender counts.
        index: usize,
    },
    /// In the compact format, what is not known has no size.
    #[error("{type_id} is not known here and was sent in the compact format, which cannot be skipped")]
    Unknown {
        /// The class or exception.
        type_id: String,
    },
    /// The slices are not those of the class.
    #[error("slice {slice} of {type_id} {problem}")]
    Slices {
        /// Which, from the most derived.
        slice: usize,
        /// The class or exception.
        type_id: String,
        /// In what way.
        problem: &'static str,
    },
    /// The optional value with this tag has another format.
    #[error("optional value {tag} was sent in format {format}, which is not its type's")]
    Optional {
        /// The tag.
        tag: u32,
        /// The format that was sent.
        format: u8,
    },
    /// A value that contradicts itself.
    #[error("{0}")]
    Contradiction(&'static str),
}
