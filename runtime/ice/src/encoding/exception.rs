//! User exceptions ("Data Encoding for Exceptions").

use std::fmt;

use bytes::Bytes;

use super::{DecodeError, DecodeLimits, Decoder, Encoder, Encoding, Objects, Registry, Sliced, TypeId};

/// An exception that an operation raised.
#[derive(Debug)]
pub struct Raised {
    type_id: String,
    exception: Option<Box<dyn Sliced>>,
    objects: Objects,
}

impl Raised {
    /// What an encapsulation holds.
    ///
    /// # Errors
    /// It holds no exception.
    pub fn decode(
        body: Bytes,
        encoding: Encoding,
        registry: &Registry,
        limits: DecodeLimits,
    ) -> Result<Self, DecodeError> {
        let mut decoder = Decoder::new(body, encoding, registry, limits);
        let classes = encoding == Encoding::V1_0 && decoder.bool()?;
        let mut first = None;
        loop {
            let header = match encoding {
                Encoding::V1_0 => decoder.old_header(false)?,
                Encoding::V1_1 => decoder.exception_header()?,
            };
            let name = header.type_id.as_ref().map(TypeId::to_string).unwrap_or_default();
            let type_id = first.get_or_insert_with(|| name.clone()).clone();
            if let Some(known) = registry.find_exception(&name) {
                let mut exception = (known.create)();
                match encoding {
                    Encoding::V1_0 => decoder.old_members(exception.as_mut(), known, header, false)?,
                    Encoding::V1_1 => decoder.members(exception.as_mut(), known, header, false)?,
                }
                let objects = decoder.finish(classes)?;
                return Ok(Self { type_id, exception: Some(exception), objects });
            }
            // Nothing of it is known, or what is can no longer be found: its name is what there is.
            let last = header.last() || decoder.unknown_slice(header).is_err() || decoder.left() == 0;
            if last {
                return Ok(Self { type_id, exception: None, objects: Objects::new() });
            }
        }
    }

    /// Of which exception: the most derived, known here or not.
    #[must_use]
    pub fn type_id(&self) -> &str {
        &self.type_id
    }

    /// The exception, or its part that is a `T`.
    #[must_use]
    pub fn get<T: 'static>(&self) -> Option<&T> {
        self.exception.as_deref()?.get()
    }

    /// The exception, if it or one of its bases is known here.
    #[must_use]
    pub fn exception(&self) -> Option<&dyn Sliced> {
        self.exception.as_deref()
    }

    /// The instances that it holds.
    #[must_use]
    pub const fn objects(&self) -> &Objects {
        &self.objects
    }
}

impl fmt::Display for Raised {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.exception {
            Some(exception) => write!(formatter, "{}: {exception:?}", self.type_id),
            None => formatter.write_str(&self.type_id),
        }
    }
}

impl Encoder<'_> {
    /// An exception, as the body of a reply. `classes`: whether it can hold instances.
    pub fn exception(&mut self, exception: &dyn Sliced, classes: bool) {
        self.note_classes(classes);
        if self.encoding == Encoding::V1_0 {
            self.bool(classes);
        }
        let slices = exception.slices();
        for (number, slice) in slices.iter().enumerate() {
            self.open_exception_slice(slice.type_id, number + 1 == slices.len());
            exception.encode_slice(number, self);
            self.close_slice();
        }
    }
}
