//! Reading instances of encoding 1.0: they stand behind the parameters, by number, each slice with its size.

use super::class::{Handle, PlainObject, Sliced, Stored, TypeId, UnknownInstance};
use super::decode_class::{INSTANCE, SliceHeader};
use super::encode_class::flag;
use super::registry::Known;
use super::{DecodeError, Decoder};

impl Decoder<'_> {
    /// Version 1.0: a number below zero, of an instance that comes behind the parameters.
    pub(super) fn old_reference(&mut self) -> Result<Option<Handle>, DecodeError> {
        let number = self.int()?;
        match number {
            0 => Ok(None),
            i32::MIN | 1.. => Err(DecodeError::NoInstance { id: i64::from(number) }),
            _ => self.old_handle(-number).map(Some),
        }
    }

    fn old_handle(&mut self, id: i32) -> Result<Handle, DecodeError> {
        if let Some(handle) = self.classes.ids.get(&id) {
            return Ok(*handle);
        }
        self.charge(INSTANCE)?;
        let handle = self.classes.reserve();
        self.classes.ids.insert(id, handle);
        Ok(handle)
    }

    /// Version 1.0: lists of instances, up to one that is empty.
    pub(super) fn pending_instances(&mut self) -> Result<(), DecodeError> {
        loop {
            // An id, a type id and a size each at least.
            let count = self.count("list of instances", 10)?;
            if count == 0 {
                return Ok(());
            }
            for _ in 0..count {
                let id = self.int()?;
                if id <= 0 {
                    return Err(DecodeError::NoInstance { id: i64::from(id) });
                }
                let handle = self.old_handle(id)?;
                let stored = self.old_instance()?;
                self.classes.store(handle, stored);
            }
        }
    }

    fn old_instance(&mut self) -> Result<Stored, DecodeError> {
        let mut opaque = Vec::new();
        loop {
            let header = self.old_header(true)?;
            let type_id = header.name();
            if type_id == PlainObject::TYPE_ID {
                self.skip_members(&header)?;
                let instance: Box<dyn Sliced> = if opaque.is_empty() {
                    Box::new(PlainObject)
                } else {
                    Box::new(UnknownInstance { slices: opaque })
                };
                return Ok(Stored { instance, opaque: Vec::new() });
            }
            let Some(known) = self.registry.find_class(&TypeId::Name(type_id)) else {
                opaque.push(self.unknown_slice(header)?);
                continue;
            };
            let mut instance = (known.create)();
            self.old_members(instance.as_mut(), known, header, true)?;
            let end = self.old_header(true)?;
            if end.name() != PlainObject::TYPE_ID {
                return Err(DecodeError::Contradiction("an instance does not end in ::Ice::Object"));
            }
            self.skip_members(&end)?;
            return Ok(Stored { instance, opaque });
        }
    }

    /// Version 1.0: the slices of a class or exception that is known, of which the first header was read.
    pub(super) fn old_members(
        &mut self,
        value: &mut dyn Sliced,
        known: Known,
        mut header: SliceHeader,
        class: bool,
    ) -> Result<(), DecodeError> {
        for (number, slice) in known.slices.iter().enumerate() {
            if number > 0 {
                header = self.old_header(class)?;
            }
            if header.name() != slice.type_id {
                let problem = "has another type id; both sides have different definitions";
                return Err(DecodeError::Slices {
                    slice: number,
                    type_id: slice.type_id.to_owned(),
                    problem,
                });
            }
            self.open_slice(&header)?;
            value.decode_slice(number, self)?;
            self.close_slice(number, slice.type_id)?;
        }
        Ok(())
    }

    /// Version 1.0: a type id, of a class by name or by index, and a size.
    pub(super) fn old_header(&mut self, class: bool) -> Result<SliceHeader, DecodeError> {
        let name = if class && self.bool()? {
            self.known_type_id()?
        } else {
            let name = self.string()?;
            if class {
                self.charge(size_of::<String>())?;
                self.classes.type_ids.push(name.clone());
            }
            name
        };
        Ok(SliceHeader {
            type_id: Some(TypeId::Name(name)),
            flags: flag::SIZE,
            size: self.slice_size(flag::SIZE)?,
        })
    }

    fn skip_members(&mut self, header: &SliceHeader) -> Result<(), DecodeError> {
        self.raw("a slice", header.size.unwrap_or_default()).map(drop)
    }
}
