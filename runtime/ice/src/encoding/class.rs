//! Instances of classes and what holds them.

use std::any::Any;
use std::fmt;
use std::marker::PhantomData;

use bytes::Bytes;

use super::optional::OptionalFormat;
use super::{Decode, DecodeError, Decoder, Encode, Encoder, WireType};

/// The type of a slice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SliceType {
    /// Its type id, such as `::omero::model::Image`.
    pub type_id: &'static str,
    /// The number that stands for it on the wire, if its definition has one ("Compact Type IDs").
    pub compact: Option<i32>,
}

impl SliceType {
    /// Of a class without a number.
    #[must_use]
    pub const fn of(type_id: &'static str) -> Self {
        Self { type_id, compact: None }
    }
}

/// A class or exception: what is sent in slices, the most derived first.
///
/// Generated code holds the base in a field: slice 0 is its own members, slice `n` is slice `n - 1` of the base.
pub trait Sliced: Any + fmt::Debug + Send + Sync {
    /// Its slices, the most derived first; never empty. `::Ice::Object` is not among them.
    fn slices(&self) -> &'static [SliceType];

    /// Writes the members of a slice.
    fn encode_slice(&self, slice: usize, encoder: &mut Encoder<'_>);

    /// Reads the members of a slice.
    ///
    /// # Errors
    /// They are not what was sent.
    fn decode_slice(&mut self, slice: usize, decoder: &mut Decoder<'_>) -> Result<(), DecodeError>;

    /// Itself as the class of a slice: 0 is itself, 1 its base.
    fn view(&self, slice: usize) -> Option<&dyn Any>;

    /// The same, to be changed.
    fn view_mut(&mut self, slice: usize) -> Option<&mut dyn Any>;

    /// Slices that its sender knew and we do not: more derived ones.
    fn opaque(&self) -> &[OpaqueSlice] {
        &[]
    }
}

impl dyn Sliced {
    /// Itself, or its part that is a `T`.
    #[must_use]
    pub fn get<T: 'static>(&self) -> Option<&T> {
        (0..self.slices().len().max(1)).find_map(|slice| self.view(slice)?.downcast_ref())
    }

    /// The same, to be changed.
    pub fn get_mut<T: 'static>(&mut self) -> Option<&mut T> {
        let found = (0..self.slices().len().max(1))
            .find(|slice| self.view(*slice).is_some_and(|view| view.is::<T>()))?;
        self.view_mut(found)?.downcast_mut()
    }

    /// The type id of its most derived class: also one that is not known here.
    #[must_use]
    pub fn type_name(&self) -> String {
        match (self.opaque().first(), self.slices().first()) {
            (Some(slice), _) => slice.type_id.to_string(),
            (None, Some(slice)) => slice.type_id.to_owned(),
            (None, None) => PlainObject::TYPE_ID.to_owned(),
        }
    }
}

/// The type of a slice as it was sent.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum TypeId {
    /// By name.
    Name(String),
    /// By number.
    Compact(i32),
}

impl fmt::Display for TypeId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => formatter.write_str(name),
            Self::Compact(number) => write!(formatter, "the class with compact id {number}"),
        }
    }
}

/// A slice of a class that is not known here, kept so that the instance can be passed on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpaqueSlice {
    /// Its type.
    pub type_id: TypeId,
    /// Its members, as they were sent.
    pub members: Bytes,
    /// Whether optional values are among them.
    pub optionals: bool,
    /// The instances that its members refer to, in the order of their indices.
    pub instances: Vec<Handle>,
}

/// An instance of which no class is known here.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct UnknownInstance {
    pub(super) slices: Vec<OpaqueSlice>,
}

impl Sliced for UnknownInstance {
    fn slices(&self) -> &'static [SliceType] {
        &[]
    }

    fn encode_slice(&self, _: usize, _: &mut Encoder<'_>) {}

    fn decode_slice(&mut self, _: usize, _: &mut Decoder<'_>) -> Result<(), DecodeError> {
        Ok(())
    }

    fn view(&self, slice: usize) -> Option<&dyn Any> {
        (slice == 0).then_some(self)
    }

    fn view_mut(&mut self, slice: usize) -> Option<&mut dyn Any> {
        (slice == 0).then_some(self)
    }

    fn opaque(&self) -> &[OpaqueSlice] {
        &self.slices
    }
}

/// An instance of `::Ice::Object` itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PlainObject;

impl PlainObject {
    /// The base of all.
    pub const TYPE_ID: &'static str = "::Ice::Object";
    pub(super) const SLICES: &'static [SliceType] = &[SliceType::of(Self::TYPE_ID)];
}

impl Sliced for PlainObject {
    fn slices(&self) -> &'static [SliceType] {
        Self::SLICES
    }

    fn encode_slice(&self, _: usize, _: &mut Encoder<'_>) {}

    fn decode_slice(&mut self, _: usize, _: &mut Decoder<'_>) -> Result<(), DecodeError> {
        Ok(())
    }

    fn view(&self, slice: usize) -> Option<&dyn Any> {
        (slice == 0).then_some(self)
    }

    fn view_mut(&mut self, slice: usize) -> Option<&mut dyn Any> {
        (slice == 0).then_some(self)
    }
}

/// An instance among [`Objects`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Handle(pub(super) u32);

/// A handle of an instance that should be a `T`.
pub struct Ref<T: ?Sized> {
    handle: Handle,
    class: PhantomData<fn() -> T>,
}

impl<T: ?Sized> Ref<T> {
    /// The handle.
    #[must_use]
    pub const fn handle(self) -> Handle {
        self.handle
    }
}

impl<T: ?Sized> From<Handle> for Ref<T> {
    fn from(handle: Handle) -> Self {
        Self { handle, class: PhantomData }
    }
}

impl<T: ?Sized> Clone for Ref<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T: ?Sized> Copy for Ref<T> {}

impl<T: ?Sized> PartialEq for Ref<T> {
    fn eq(&self, other: &Self) -> bool {
        self.handle == other.handle
    }
}

impl<T: ?Sized> Eq for Ref<T> {}

impl<T: ?Sized> fmt::Debug for Ref<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "#{}", self.handle.0)
    }
}

/// What owns instances. They refer to each other by handles: a cycle is nothing special.
#[derive(Debug, Default)]
pub struct Objects {
    pub(super) stored: Vec<Stored>,
}

/// An instance, and what came with it that its class does not know.
#[derive(Debug)]
pub(super) struct Stored {
    pub(super) instance: Box<dyn Sliced>,
    pub(super) opaque: Vec<OpaqueSlice>,
}

impl Stored {
    pub(super) fn opaque(&self) -> &[OpaqueSlice] {
        if self.opaque.is_empty() { self.instance.opaque() } else { &self.opaque }
    }
}

impl Objects {
    /// None.
    #[must_use]
    pub const fn new() -> Self {
        Self { stored: Vec::new() }
    }

    /// Takes an instance in.
    pub fn add<T: Sliced>(&mut self, instance: T) -> Ref<T> {
        self.push(Box::new(instance)).into()
    }

    /// The same for one whose class is not known when this is compiled.
    pub fn push(&mut self, instance: Box<dyn Sliced>) -> Handle {
        let handle = Handle(u32::try_from(self.stored.len()).unwrap_or(u32::MAX));
        self.stored.push(Stored { instance, opaque: Vec::new() });
        handle
    }

    /// How many.
    #[must_use]
    pub fn len(&self) -> usize {
        self.stored.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.stored.is_empty()
    }

    /// The instance, or its part that is a `T`.
    #[must_use]
    pub fn get<T: 'static>(&self, handle: impl Into<Handle>) -> Option<&T> {
        self.instance(handle)?.get()
    }

    /// The same, to be changed.
    pub fn get_mut<T: 'static>(&mut self, handle: impl Into<Handle>) -> Option<&mut T> {
        let index = usize::try_from(handle.into().0).ok()?;
        self.stored.get_mut(index)?.instance.get_mut()
    }

    /// The instance, whatever it is.
    #[must_use]
    pub fn instance(&self, handle: impl Into<Handle>) -> Option<&dyn Sliced> {
        let index = usize::try_from(handle.into().0).ok()?;
        self.stored.get(index).map(|stored| stored.instance.as_ref())
    }

    /// The slices of classes that are not known here, the most derived first.
    #[must_use]
    pub fn opaque(&self, handle: impl Into<Handle>) -> &[OpaqueSlice] {
        let index = usize::try_from(handle.into().0).unwrap_or(usize::MAX);
        self.stored.get(index).map_or(&[], Stored::opaque)
    }

    /// The type id of the most derived class, known here or not.
    #[must_use]
    pub fn type_id(&self, handle: impl Into<Handle>) -> Option<String> {
        let handle = handle.into();
        match self.opaque(handle).first() {
            Some(slice) => Some(slice.type_id.to_string()),
            None => self.instance(handle).map(<dyn Sliced>::type_name),
        }
    }
}

impl<T: ?Sized> From<Ref<T>> for Handle {
    fn from(reference: Ref<T>) -> Self {
        reference.handle
    }
}

/// A member or parameter of a class's type: null, or an instance.
impl<T: ?Sized> WireType for Option<Ref<T>> {
    const CLASSES: bool = true;
    const OPTIONAL: OptionalFormat = OptionalFormat::Class;
}

impl<T: ?Sized> Encode for Option<Ref<T>> {
    fn encode(&self, encoder: &mut Encoder<'_>) {
        encoder.instance(self.map(Ref::handle));
    }
}

impl<T: ?Sized> Decode for Option<Ref<T>> {
    fn decode(decoder: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        Ok(decoder.instance()?.map(Ref::from))
    }
}

impl WireType for Option<Handle> {
    const CLASSES: bool = true;
    const OPTIONAL: OptionalFormat = OptionalFormat::Class;
}

impl Encode for Option<Handle> {
    fn encode(&self, encoder: &mut Encoder<'_>) {
        encoder.instance(*self);
    }
}

impl Decode for Option<Handle> {
    fn decode(decoder: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        decoder.instance()
    }
}
