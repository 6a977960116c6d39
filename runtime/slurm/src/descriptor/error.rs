//! Why a descriptor was not understood.

use thiserror::Error;

/// Why a descriptor was not understood.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum DescriptorError {
    /// Nobody writes so much.
    #[error(
        "{file} is larger than 1 MiB, so it is no descriptor; check what the workflow's repository names"
    )]
    TooLarge {
        /// Which file.
        file: String,
    },
    /// It is binary, or of another encoding.
    #[error("{file} is not UTF-8 text from byte {at} on; save it as UTF-8")]
    Encoding {
        /// Which file.
        file: String,
        /// The first byte that is not.
        at: usize,
    },
    /// It is no JSON, or no YAML.
    #[error("{file}, line {line}, column {column}: {reason}; correct the file in the workflow's repository")]
    Syntax {
        /// Which file.
        file: String,
        /// From 1.
        line: usize,
        /// From 1.
        column: usize,
        /// What is wrong.
        reason: String,
    },
    /// It nests or multiplies itself beyond reason.
    #[error("{file} {what}; a descriptor is a flat list of parameters")]
    Excessive {
        /// Which file.
        file: String,
        /// What it does.
        what: &'static str,
    },
    /// It is of a format that is not read.
    #[error(
        "{file} is a {format} description, which BIOMERO does not read; add a descriptor.json of biomero-schema to the repository"
    )]
    Unsupported {
        /// Which file.
        file: String,
        /// Which format.
        format: &'static str,
    },
    /// It is of no format.
    #[error(
        "{file} is no descriptor: it has neither schema-version, nor container-image and inputs, nor docker_image, but {}; check that the repository's link leads to the descriptor",
        if .keys.is_empty() { "no keys at all".to_owned() } else { .keys.join(", ") }
    )]
    NoFormat {
        /// Which file.
        file: String,
        /// The keys it has; the first dozen.
        keys: Vec<String>,
    },
    /// A key is missing.
    #[error("{file}: {key} is missing; add it to the descriptor")]
    Missing {
        /// Which file.
        file: String,
        /// Which key, as `inputs[2].id`.
        key: String,
    },
    /// A key has a value that makes no sense.
    #[error("{file}: {key} is {found}, where {wanted} is wanted; correct the descriptor")]
    Wrong {
        /// Which file.
        file: String,
        /// Which key, as `inputs[2].id`.
        key: String,
        /// What stands there.
        found: String,
        /// What should.
        wanted: String,
    },
}
