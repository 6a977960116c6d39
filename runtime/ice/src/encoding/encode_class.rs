//! Writing instances ("Data Encoding for Class Instances"), and the slices that they share with exceptions.

use std::collections::HashMap;
use std::collections::VecDeque;

use super::class::{Handle, OpaqueSlice, PlainObject, SliceType, TypeId};
use super::encoder::SizePlace;
use super::optional::END;
use super::{EncodeError, Encoder, Encoding, Format};

/// As deep as Ice reads unless it was told otherwise.
const DEEPEST: usize = 100;

pub(super) mod flag {
    //! The first byte of a slice.
    /// The type id is a string.
    pub(crate) const NAME: u8 = 1;
    /// The type id is an index to one that was sent.
    pub(crate) const INDEX: u8 = 2;
    /// The type id is a number.
    pub(crate) const COMPACT: u8 = 3;
    /// What of the byte tells the kind of type id.
    pub(crate) const TYPE: u8 = 3;
    /// Optional members are in the slice.
    pub(crate) const OPTIONALS: u8 = 4;
    /// A table of instances follows the slice.
    pub(crate) const TABLE: u8 = 8;
    /// Its size stands before the slice.
    pub(crate) const SIZE: u8 = 16;
    /// No slice follows.
    pub(crate) const LAST: u8 = 32;
}

/// What an encapsulation remembers of the instances in it.
#[derive(Debug, Default)]
pub(super) struct ClassWriter<'o> {
    /// As the receiver counts: from 2 in version 1.1, from 1 in 1.0.
    ids: HashMap<Handle, i32>,
    type_ids: HashMap<&'o str, usize>,
    /// Version 1.0 only: what still has to be written behind the parameters.
    pending: VecDeque<(Handle, i32)>,
    used: bool,
    depth: usize,
    slice: Option<OpenSlice>,
    /// The next tag may not be below: of parameters, while no slice is open.
    next_tag: u32,
}

#[derive(Debug)]
struct OpenSlice {
    /// Where its flags are.
    index: usize,
    flags: u8,
    size: Option<SizePlace>,
    table: Vec<Handle>,
    next_tag: u32,
}

impl ClassWriter<'_> {
    /// Notes that an optional value with this tag comes; false if one with a higher tag was before it.
    pub(super) const fn next_optional(&mut self, tag: u32) -> bool {
        let next = match &mut self.slice {
            Some(slice) => {
                slice.flags |= flag::OPTIONALS;
                &mut slice.next_tag
            }
            None => &mut self.next_tag,
        };
        let in_order = tag >= *next;
        *next = tag.saturating_add(1);
        in_order
    }
}

impl<'o> Encoder<'o> {
    /// Null, or an instance of the objects that the encoder was given.
    pub fn instance(&mut self, handle: Option<Handle>) {
        self.classes.used = true;
        let Some(handle) = handle else {
            match self.encoding {
                Encoding::V1_0 => self.int(0),
                Encoding::V1_1 => self.byte(0),
            }
            return;
        };
        if self.encoding == Encoding::V1_0 {
            let next = i32::try_from(self.classes.ids.len() + 1).unwrap_or(i32::MAX);
            let id = *self.classes.ids.entry(handle).or_insert(next);
            if id == next {
                self.classes.pending.push_back((handle, id));
            }
            self.int(-id);
            return;
        }
        if self.format == Format::Sliced
            && let Some(slice) = &mut self.classes.slice
        {
            let index = slice.table.iter().position(|there| *there == handle).unwrap_or_else(|| {
                slice.table.push(handle);
                slice.table.len() - 1
            });
            self.size("index of an instance", index + 1);
            return;
        }
        self.inline_instance(handle);
    }

    /// Notes that values that follow could hold instances; version 1.0 lists them even if there are none.
    pub fn note_classes(&mut self, classes: bool) {
        self.classes.used |= classes;
    }

    /// A reference to an instance that was written, or the instance.
    fn inline_instance(&mut self, handle: Handle) {
        let next = i32::try_from(self.classes.ids.len() + 2).unwrap_or(i32::MAX);
        let id = *self.classes.ids.entry(handle).or_insert(next);
        if id != next {
            self.size("instance", usize::try_from(id).unwrap_or_default());
            return;
        }
        self.byte(1);
        if self.classes.depth >= DEEPEST {
            self.fail(EncodeError::TooDeep { limit: DEEPEST });
            return;
        }
        self.classes.depth += 1;
        self.slices_of(handle);
        self.classes.depth -= 1;
    }

    fn slices_of(&mut self, handle: Handle) {
        let Some(objects) = self.objects else {
            return self.fail(EncodeError::NoInstance { handle: handle.0, count: 0 });
        };
        let Some(stored) = usize::try_from(handle.0).ok().and_then(|index| objects.stored.get(index)) else {
            return self.fail(EncodeError::NoInstance { handle: handle.0, count: objects.len() });
        };
        if self.failed() {
            return;
        }
        let slices = stored.instance.slices();
        let keeps = self.encoding == Encoding::V1_1 && self.format == Format::Sliced;
        let opaque = if keeps { stored.opaque() } else { &[] };
        if slices.is_empty() && opaque.is_empty() {
            let type_id = stored.instance.type_name();
            return self.fail(EncodeError::Unknown { type_id });
        }
        // The slice that this instance is in goes on behind it.
        let outer = self.classes.slice.take();
        for (number, slice) in opaque.iter().enumerate() {
            self.opaque_slice(slice, slices.is_empty() && number + 1 == opaque.len());
        }
        for (number, slice) in slices.iter().enumerate() {
            let named = number + opaque.len() == 0 || self.format == Format::Sliced;
            let last = number + 1 == slices.len();
            match self.encoding {
                Encoding::V1_1 => self.open_slice(slice, named, last),
                Encoding::V1_0 if slice.type_id == PlainObject::TYPE_ID => break,
                Encoding::V1_0 => self.open_old_slice(slice.type_id),
            }
            stored.instance.encode_slice(number, self);
            self.close_slice();
        }
        if self.encoding == Encoding::V1_0 {
            // What was a map of facets once.
            self.open_old_slice(PlainObject::TYPE_ID);
            self.size("facets", 0);
            self.close_slice();
        }
        self.classes.slice = outer;
    }

    fn open_slice(&mut self, slice: &SliceType, named: bool, last: bool) {
        let index = self.buffer.len();
        self.byte(0);
        let mut flags = if last { flag::LAST } else { 0 };
        if named {
            flags |= match slice.compact {
                Some(number) => {
                    self.size("compact id", usize::try_from(number).unwrap_or_default());
                    flag::COMPACT
                }
                None => self.type_id(slice.type_id),
            };
        }
        self.open(index, flags);
    }

    /// Writes a type id: by name the first time, then by its index. Says which.
    fn type_id(&mut self, type_id: &'o str) -> u8 {
        let next = self.classes.type_ids.len() + 1;
        let index = *self.classes.type_ids.entry(type_id).or_insert(next);
        if index == next {
            self.string(type_id);
            flag::NAME
        } else {
            self.size("index of a type id", index);
            flag::INDEX
        }
    }

    /// The slice of an exception: its type id is always a string.
    pub(super) fn open_exception_slice(&mut self, type_id: &'static str, last: bool) {
        if self.encoding == Encoding::V1_0 {
            self.string(type_id);
            let size = self.open_size();
            self.hold(self.buffer.len(), 0, Some(size));
            return;
        }
        let index = self.buffer.len();
        self.byte(0);
        self.string(type_id);
        self.open(index, if last { flag::LAST } else { 0 });
    }

    fn open(&mut self, index: usize, mut flags: u8) {
        let size = (self.format == Format::Sliced).then(|| {
            flags |= flag::SIZE;
            self.open_size()
        });
        self.hold(index, flags, size);
    }

    fn open_old_slice(&mut self, type_id: &'static str) {
        let next = self.classes.type_ids.len() + 1;
        let index = *self.classes.type_ids.entry(type_id).or_insert(next);
        self.bool(index != next);
        if index == next {
            self.string(type_id);
        } else {
            self.size("index of a type id", index);
        }
        let size = self.open_size();
        self.hold(self.buffer.len(), 0, Some(size));
    }

    fn hold(&mut self, index: usize, flags: u8, size: Option<SizePlace>) {
        self.classes.slice = Some(OpenSlice { index, flags, size, table: Vec::new(), next_tag: 0 });
    }

    pub(super) fn close_slice(&mut self) {
        let Some(mut slice) = self.classes.slice.take() else { return };
        if slice.flags & flag::OPTIONALS != 0 {
            self.byte(END);
        }
        if let Some(place) = slice.size {
            self.close_size(place, true);
        }
        if !slice.table.is_empty() {
            slice.flags |= flag::TABLE;
            self.table(&slice.table);
        }
        if self.encoding == Encoding::V1_1
            && let Some(flags) = self.buffer.get_mut(slice.index)
        {
            *flags = slice.flags;
        }
    }

    fn table(&mut self, handles: &[Handle]) {
        self.size("table of instances", handles.len());
        handles.iter().for_each(|handle| self.inline_instance(*handle));
    }

    fn opaque_slice(&mut self, slice: &'o OpaqueSlice, last: bool) {
        let index = self.buffer.len();
        self.byte(0);
        let mut flags = flag::SIZE | if last { flag::LAST } else { 0 };
        flags |= match &slice.type_id {
            TypeId::Compact(number) => {
                self.size("compact id", usize::try_from(*number).unwrap_or_default());
                flag::COMPACT
            }
            TypeId::Name(name) => self.type_id(name),
        };
        if slice.optionals {
            flags |= flag::OPTIONALS;
        }
        if !slice.instances.is_empty() {
            flags |= flag::TABLE;
        }
        let place = self.open_size();
        self.raw(&slice.members);
        self.close_size(place, true);
        if flags & flag::TABLE != 0 {
            self.table(&slice.instances);
        }
        if let Some(byte) = self.buffer.get_mut(index) {
            *byte = flags;
        }
    }

    /// Ends an encapsulation: version 1.0 has the instances here, each list of them with what those before refer to.
    pub(super) fn finish_classes(&mut self) {
        if self.encoding == Encoding::V1_0 && self.classes.used {
            while !self.classes.pending.is_empty() && !self.failed() {
                let batch: Vec<_> = self.classes.pending.drain(..).collect();
                self.size("instances", batch.len());
                for (handle, id) in batch {
                    self.int(id);
                    self.slices_of(handle);
                }
            }
            self.size("instances", 0);
        }
        let depth = self.classes.depth;
        self.classes = ClassWriter { depth, ..ClassWriter::default() };
    }
}
