//! What an operation gave back.

use std::sync::Arc;

use bytes::Bytes;

use crate::encoding::{Decode, DecodeError, DecodeLimits, Decoder, Encoding, Objects, Registry};
use crate::error::CallError;

/// What an operation gave back, not read yet.
#[derive(Debug)]
pub struct Results {
    operation: String,
    encoding: Encoding,
    body: Bytes,
    registry: Arc<Registry>,
    limits: DecodeLimits,
}

impl Results {
    pub(super) const fn new(
        operation: String,
        encoding: Encoding,
        body: Bytes,
        registry: Arc<Registry>,
        limits: DecodeLimits,
    ) -> Self {
        Self { operation, encoding, body, registry, limits }
    }

    /// The results, one or a tuple of them, none of which can hold an instance: parameters that go out first, then what is
    /// returned.
    ///
    /// # Errors
    /// They are others.
    pub fn value<T: Decode>(&self) -> Result<T, CallError> {
        self.value_with_objects().map(|(results, _)| results)
    }

    /// The results, and the instances that they hold.
    ///
    /// # Errors
    /// They are others.
    pub fn value_with_objects<T: Decode>(&self) -> Result<(T, Objects), CallError> {
        self.read(T::CLASSES, |decoder| decoder.value())
    }

    /// The results, read one by one: optional ones. `classes`: whether one of them can hold an instance.
    ///
    /// # Errors
    /// They are others.
    pub fn read<T>(
        &self,
        classes: bool,
        read: impl FnOnce(&mut Decoder<'_>) -> Result<T, DecodeError>,
    ) -> Result<(T, Objects), CallError> {
        let mut decoder = Decoder::new(self.body.clone(), self.encoding, &self.registry, self.limits);
        let results = read(&mut decoder).and_then(|results| Ok((results, decoder.finish(classes)?)));
        results.map_err(|source| CallError::Decode { operation: self.operation.clone(), source })
    }

    /// Their version and bytes.
    #[must_use]
    pub fn encapsulation(&self) -> (Encoding, Bytes) {
        (self.encoding, self.body.clone())
    }
}
