//! The classes and exceptions that are known here.

use std::collections::HashMap;

use super::class::PlainObject;
use super::{SliceType, Sliced, TypeId};

/// Makes an instance with nothing in it.
type Create = fn() -> Box<dyn Sliced>;

/// A class that is known.
#[derive(Debug, Clone, Copy)]
pub(super) struct Known {
    pub(super) slices: &'static [SliceType],
    pub(super) create: Create,
}

/// Finds what reads a class or exception by its type id. Generated code fills one; it is made once and shared.
#[derive(Debug, Clone)]
pub struct Registry {
    classes: HashMap<&'static str, Known>,
    compact: HashMap<i32, &'static str>,
    exceptions: HashMap<&'static str, Known>,
}

impl Default for Registry {
    /// Knows `::Ice::Object`.
    fn default() -> Self {
        let mut registry =
            Self { classes: HashMap::new(), compact: HashMap::new(), exceptions: HashMap::new() };
        registry.class::<PlainObject>();
        registry
    }
}

impl Registry {
    /// Adds a class.
    pub fn class<T: Sliced + Default>(&mut self) -> &mut Self {
        let slices = T::default().slices();
        if let Some(first) = slices.first() {
            self.classes.insert(first.type_id, Known { slices, create: || Box::new(T::default()) });
            if let Some(number) = first.compact {
                self.compact.insert(number, first.type_id);
            }
        }
        self
    }

    /// Adds an exception.
    pub fn exception<T: Sliced + Default>(&mut self) -> &mut Self {
        let slices = T::default().slices();
        if let Some(first) = slices.first() {
            self.exceptions.insert(first.type_id, Known { slices, create: || Box::new(T::default()) });
        }
        self
    }

    pub(super) fn find_class(&self, type_id: &TypeId) -> Option<Known> {
        let name = match type_id {
            TypeId::Name(name) => name.as_str(),
            TypeId::Compact(number) => self.compact.get(number)?,
        };
        self.classes.get(name).copied()
    }

    pub(super) fn find_exception(&self, type_id: &str) -> Option<Known> {
        self.exceptions.get(type_id).copied()
    }
}
