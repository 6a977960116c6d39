//! Reading instances ("Data Encoding for Class Instances"), and the slices that they share with exceptions.

use std::collections::HashMap;

use super::class::{Handle, Objects, OpaqueSlice, Sliced, Stored, TypeId, UnknownInstance};
use super::encode_class::flag;
use super::optional::END;
use super::registry::Known;
use super::{DecodeError, Decoder, Encoding};

/// What is counted for an instance beside its members: the box, the table's entry.
pub(super) const INSTANCE: usize = 128;

/// What an encapsulation remembers of the instances in it.
#[derive(Debug, Default)]
pub(super) struct ClassReader {
    /// By handle; none while it is being read.
    stored: Vec<Option<Stored>>,
    /// Version 1.0 only: the sender's numbers.
    pub(super) ids: HashMap<i32, Handle>,
    pub(super) type_ids: Vec<String>,
    used: bool,
    depth: usize,
    slice: Option<OpenSlice>,
}

/// The slice whose members are being read.
#[derive(Debug)]
struct OpenSlice {
    optionals: bool,
    /// The instances that its members refer to by index, if they do.
    table: Option<Vec<Handle>>,
    /// Where the next slice begins, if that is known.
    next: Option<usize>,
    /// Where the members end, if that is known.
    end: Option<usize>,
}

/// What stands before the members of a slice.
#[derive(Debug)]
pub(super) struct SliceHeader {
    pub(super) type_id: Option<TypeId>,
    pub(super) flags: u8,
    /// Of the members.
    pub(super) size: Option<usize>,
}

impl SliceHeader {
    pub(super) const fn last(&self) -> bool {
        self.flags & flag::LAST != 0
    }

    pub(super) fn name(&self) -> String {
        self.type_id.as_ref().map_or_else(|| "a class".to_owned(), ToString::to_string)
    }
}

impl ClassReader {
    pub(super) const fn used(&self) -> bool {
        self.used
    }

    pub(super) fn reserve(&mut self) -> Handle {
        let handle = Handle(u32::try_from(self.stored.len()).unwrap_or(u32::MAX));
        self.stored.push(None);
        handle
    }

    pub(super) fn store(&mut self, handle: Handle, stored: Stored) {
        if let Some(place) = usize::try_from(handle.0).ok().and_then(|index| self.stored.get_mut(index)) {
            *place = Some(stored);
        }
    }
}

impl Decoder<'_> {
    /// Null, or an instance: what it is, [`Decoder::finish`] gives.
    ///
    /// # Errors
    /// It is none, or of a class that cannot be read.
    pub fn instance(&mut self) -> Result<Option<Handle>, DecodeError> {
        self.classes.used = true;
        if self.encoding == Encoding::V1_0 {
            return self.old_reference();
        }
        let id = self.size("instance")?;
        if id == 0 {
            return Ok(None);
        }
        if let Some(OpenSlice { table: Some(table), .. }) = &self.classes.slice {
            let missing = DecodeError::NoInstance { id: i64::try_from(id).unwrap_or(i64::MAX) };
            return table.get(id - 1).copied().map(Some).ok_or(missing);
        }
        self.inline_instance(id).map(Some)
    }

    /// Whether optional values can follow here.
    pub(super) fn has_optionals(&self) -> bool {
        self.encoding == Encoding::V1_1 && self.classes.slice.as_ref().is_none_or(|slice| slice.optionals)
    }

    fn inline_instance(&mut self, id: usize) -> Result<Handle, DecodeError> {
        if id > 1 {
            let index = id - 2;
            let missing = DecodeError::NoInstance { id: i64::try_from(id).unwrap_or(i64::MAX) };
            return (index < self.classes.stored.len())
                .then(|| u32::try_from(index).ok().map(Handle))
                .flatten()
                .ok_or(missing);
        }
        if self.classes.depth >= self.limits.depth {
            return Err(DecodeError::TooDeep { limit: self.limits.depth });
        }
        self.charge(INSTANCE)?;
        let handle = self.classes.reserve();
        let outer = self.classes.slice.take();
        self.classes.depth += 1;
        let stored = self.new_instance()?;
        self.classes.depth -= 1;
        self.classes.slice = outer;
        self.classes.store(handle, stored);
        Ok(handle)
    }

    fn new_instance(&mut self) -> Result<Stored, DecodeError> {
        let mut opaque = Vec::new();
        let mut header = self.slice_header()?;
        loop {
            let unnamed = DecodeError::Slices {
                slice: opaque.len(),
                type_id: header.name(),
                problem: "has no type id, and is the first that could be known",
            };
            let type_id = header.type_id.clone().ok_or(unnamed)?;
            if let Some(known) = self.registry.find_class(&type_id) {
                let mut instance = (known.create)();
                self.members(instance.as_mut(), known, header, true)?;
                return Ok(Stored { instance, opaque });
            }
            let last = header.last();
            opaque.push(self.unknown_slice(header)?);
            if last {
                return Ok(Stored {
                    instance: Box::new(UnknownInstance { slices: opaque }),
                    opaque: Vec::new(),
                });
            }
            header = self.slice_header()?;
        }
    }

    /// All slices of a class or exception that is known, of which the first header was read.
    pub(super) fn members(
        &mut self,
        value: &mut dyn Sliced,
        known: Known,
        mut header: SliceHeader,
        class: bool,
    ) -> Result<(), DecodeError> {
        for (number, slice) in known.slices.iter().enumerate() {
            let wrong =
                |problem| DecodeError::Slices { slice: number, type_id: slice.type_id.to_owned(), problem };
            if number > 0 {
                header = if class { self.slice_header()? } else { self.exception_header()? };
                let same = match &header.type_id {
                    None => true,
                    Some(TypeId::Name(name)) => name == slice.type_id,
                    Some(TypeId::Compact(compact)) => slice.compact == Some(*compact),
                };
                if !same {
                    return Err(wrong("has another type id; both sides have different definitions"));
                }
            }
            if header.last() != (number + 1 == known.slices.len()) {
                return Err(wrong("is followed by more or fewer slices than there are bases"));
            }
            self.open_slice(&header)?;
            value.decode_slice(number, self)?;
            self.close_slice(number, slice.type_id)?;
        }
        Ok(())
    }

    pub(super) fn slice_header(&mut self) -> Result<SliceHeader, DecodeError> {
        let flags = self.byte()?;
        let type_id = match flags & flag::TYPE {
            flag::NAME => {
                let name = self.string()?;
                self.charge(size_of::<String>())?;
                self.classes.type_ids.push(name.clone());
                Some(TypeId::Name(name))
            }
            flag::INDEX => Some(TypeId::Name(self.known_type_id()?)),
            flag::COMPACT => {
                let number = self.size("compact id")?;
                let number = i32::try_from(number)
                    .map_err(|_| DecodeError::Size { what: "compact id", size: i64::MAX })?;
                Some(TypeId::Compact(number))
            }
            _ => None,
        };
        Ok(SliceHeader { type_id, flags, size: self.slice_size(flags)? })
    }

    /// The header of an exception's slice: its type id is always a string.
    pub(super) fn exception_header(&mut self) -> Result<SliceHeader, DecodeError> {
        let flags = self.byte()?;
        let type_id = Some(TypeId::Name(self.string()?));
        Ok(SliceHeader { type_id, flags, size: self.slice_size(flags)? })
    }

    pub(super) fn known_type_id(&mut self) -> Result<String, DecodeError> {
        let index = self.size("index of a type id")?;
        let name = index.checked_sub(1).and_then(|index| self.classes.type_ids.get(index)).cloned();
        let name = name.ok_or(DecodeError::NoTypeId { index })?;
        self.charge(name.len())?;
        Ok(name)
    }

    pub(super) fn slice_size(&mut self, flags: u8) -> Result<Option<usize>, DecodeError> {
        if flags & flag::SIZE == 0 {
            return Ok(None);
        }
        let size = self.int()?;
        let wrong = DecodeError::Size { what: "slice", size: i64::from(size) };
        let members = usize::try_from(size).ok().and_then(|size| size.checked_sub(4)).ok_or(wrong)?;
        if members > self.left() {
            return Err(DecodeError::Short { what: "a slice", needed: members, left: self.left() });
        }
        Ok(Some(members))
    }

    /// Reads the table behind a slice before its members, so that they mean something at once.
    fn table_behind(&mut self, header: &SliceHeader) -> Result<Option<Vec<Handle>>, DecodeError> {
        if header.flags & flag::TABLE == 0 {
            return Ok(None);
        }
        let Some(size) = header.size else {
            return Err(DecodeError::Contradiction("a slice with a table of instances has no size"));
        };
        self.seek(self.position() + size);
        let count = self.count("table of instances", 1)?;
        if count == 0 {
            return Err(DecodeError::Contradiction("a table of instances is empty"));
        }
        self.charge(count.saturating_mul(size_of::<Handle>()))?;
        let mut table = Vec::with_capacity(count);
        for _ in 0..count {
            let id = self.size("instance")?;
            if id == 0 {
                return Err(DecodeError::Contradiction("a table of instances has null in it"));
            }
            table.push(self.inline_instance(id)?);
        }
        Ok(Some(table))
    }

    pub(super) fn open_slice(&mut self, header: &SliceHeader) -> Result<(), DecodeError> {
        let start = self.position();
        let table = self.table_behind(header)?;
        let next = header.size.map(|size| if table.is_some() { self.position() } else { start + size });
        self.seek(start);
        self.classes.slice = Some(OpenSlice {
            optionals: header.flags & flag::OPTIONALS != 0,
            table,
            next,
            end: header.size.map(|size| start + size),
        });
        Ok(())
    }

    pub(super) fn close_slice(&mut self, number: usize, type_id: &'static str) -> Result<(), DecodeError> {
        let optionals = self.classes.slice.as_ref().is_some_and(|slice| slice.optionals);
        if optionals {
            self.skip_optionals()?;
            if self.byte()? != END {
                return Err(DecodeError::Contradiction("optional members do not end"));
            }
        }
        let Some(slice) = self.classes.slice.take() else { return Ok(()) };
        // Version 1.0 lets a slice have members that are not known; 1.1 does not.
        let whole = slice.end.is_none_or(|end| match self.encoding {
            Encoding::V1_1 => end == self.position(),
            Encoding::V1_0 => end >= self.position(),
        });
        if !whole {
            let problem = "has a size that its members contradict";
            return Err(DecodeError::Slices { slice: number, type_id: type_id.to_owned(), problem });
        }
        if let Some(next) = slice.next {
            self.seek(next);
        }
        Ok(())
    }

    /// A slice whose members nobody here knows.
    pub(super) fn unknown_slice(&mut self, header: SliceHeader) -> Result<OpaqueSlice, DecodeError> {
        let type_id = header.name();
        let Some(size) = header.size else { return Err(DecodeError::Unknown { type_id }) };
        self.charge(size_of::<OpaqueSlice>())?;
        let members = self.raw("a slice", size)?;
        let behind = self.position();
        self.seek(behind - size);
        let instances = self.table_behind(&header)?;
        if instances.is_none() {
            self.seek(behind);
        }
        Ok(OpaqueSlice {
            type_id: header.type_id.unwrap_or(TypeId::Name(type_id)),
            members,
            optionals: header.flags & flag::OPTIONALS != 0,
            instances: instances.unwrap_or_default(),
        })
    }

    pub(super) fn into_objects(self) -> Result<Objects, DecodeError> {
        let missing = |index: usize| DecodeError::NoInstance { id: i64::try_from(index).unwrap_or(i64::MAX) };
        let stored = self.classes.stored.into_iter().enumerate();
        let stored = stored.map(|(index, stored)| stored.ok_or_else(|| missing(index)));
        Ok(Objects { stored: stored.collect::<Result<_, _>>()? })
    }
}
