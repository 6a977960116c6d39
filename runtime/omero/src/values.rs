//! Values in OMERO's boxes (`RType`): reading and making them.

use std::collections::BTreeMap;

use biomero_ice::encoding::{Handle, Ref, Sliced};

use crate::types::{RBool, RCollection, RDouble, RFloat, RInt, RList, RLong, RMap, RString, RTime, RType};

pub use biomero_ice::encoding::Objects;

/// How deep boxes are opened that hold boxes: a list can hold itself.
const DEPTH: usize = 16;
/// How many bytes texts, lists and maps that are read together may take.
const MEMORY: usize = 128 << 20;

/// A value without its box.
#[derive(Debug, Clone, PartialEq, Default)]
pub enum Value {
    /// There is none.
    #[default]
    Null,
    /// `RBool`.
    Bool(bool),
    /// `RInt`.
    Int(i32),
    /// `RLong`.
    Long(i64),
    /// `RFloat`.
    Float(f32),
    /// `RDouble`.
    Double(f64),
    /// `RString`, `RClass`.
    Text(String),
    /// `RTime`: milliseconds since 1970.
    Time(i64),
    /// `RList`, `RArray`, `RSet`.
    List(Vec<Self>),
    /// `RMap`.
    Map(BTreeMap<String, Self>),
    /// An object in a box (`RObject`, `RInternal`), or what is too deep or too much to be opened: the box.
    Boxed(Handle),
}

impl Value {
    /// What is in a box.
    #[must_use]
    pub fn read(objects: &Objects, boxed: Option<Ref<RType>>) -> Self {
        Opener::new(objects).open(boxed)
    }

    /// Puts it in a box. What cannot be told as one ([`Value::Boxed`]) is the box that it is.
    pub fn store(&self, objects: &mut Objects) -> Option<Ref<RType>> {
        let boxed: Handle = match self {
            Self::Null => return None,
            Self::Bool(value) => objects.add(RBool::from(*value)).into(),
            Self::Int(value) => objects.add(RInt::from(*value)).into(),
            Self::Long(value) => objects.add(RLong::from(*value)).into(),
            Self::Float(value) => objects.add(RFloat::from(*value)).into(),
            Self::Double(value) => objects.add(RDouble::from(*value)).into(),
            Self::Text(text) => objects.add(RString::from(text.as_str())).into(),
            Self::Time(value) => objects.add(RTime::from(*value)).into(),
            Self::List(values) => {
                let val = values.iter().map(|value| value.store(objects)).collect();
                objects.add(RList { base: RCollection { val, ..RCollection::default() } }).into()
            }
            Self::Map(values) => {
                let val = values.iter().map(|(key, value)| (key.clone(), value.store(objects))).collect();
                objects.add(RMap { val, ..RMap::default() }).into()
            }
            Self::Boxed(handle) => *handle,
        };
        Some(boxed.into())
    }

    /// What it is, for messages.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool(_) => "a bool",
            Self::Int(_) => "an int",
            Self::Long(_) => "a long",
            Self::Float(_) => "a float",
            Self::Double(_) => "a double",
            Self::Text(_) => "a text",
            Self::Time(_) => "a time",
            Self::List(_) => "a list",
            Self::Map(_) => "a map",
            Self::Boxed(_) => "an object",
        }
    }
}

/// Opens boxes, as far as what is in them may take memory: one box can be in many others, and so become much more than was sent.
pub(crate) struct Opener<'o> {
    objects: &'o Objects,
    left: usize,
}

impl<'o> Opener<'o> {
    pub(crate) const fn new(objects: &'o Objects) -> Self {
        Self { objects, left: MEMORY }
    }

    pub(crate) fn open(&mut self, boxed: Option<Ref<RType>>) -> Value {
        self.open_to(boxed, DEPTH)
    }

    fn open_to(&mut self, boxed: Option<Ref<RType>>, depth: usize) -> Value {
        let Some(boxed) = boxed else { return Value::Null };
        self.known(boxed, depth).unwrap_or_else(|| Value::Boxed(boxed.into()))
    }

    /// What is in a box, if it is known and may be held.
    fn known(&mut self, boxed: Ref<RType>, depth: usize) -> Option<Value> {
        let objects = self.objects;
        if let Some(value) = objects.get::<RLong>(boxed) {
            Some(Value::Long(value.val))
        } else if let Some(value) = objects.get::<RString>(boxed) {
            self.take(value.val.len())?;
            Some(Value::Text(value.val.clone()))
        } else if let Some(value) = objects.get::<RInt>(boxed) {
            Some(Value::Int(value.val))
        } else if let Some(value) = objects.get::<RDouble>(boxed) {
            Some(Value::Double(value.val))
        } else if let Some(value) = objects.get::<RBool>(boxed) {
            Some(Value::Bool(value.val))
        } else if let Some(value) = objects.get::<RTime>(boxed) {
            Some(Value::Time(value.val))
        } else if let Some(value) = objects.get::<RFloat>(boxed) {
            Some(Value::Float(value.val))
        } else if let Some(list) = objects.get::<RCollection>(boxed) {
            let depth = depth.checked_sub(1)?;
            self.take(list.val.len().saturating_mul(size_of::<Value>()))?;
            Some(Value::List(list.val.iter().map(|value| self.open_to(*value, depth)).collect()))
        } else if let Some(map) = objects.get::<RMap>(boxed) {
            let depth = depth.checked_sub(1)?;
            let keys: usize = map.val.keys().map(String::len).sum();
            self.take(keys.saturating_add(map.val.len().saturating_mul(size_of::<(String, Value)>())))?;
            let entries = map.val.iter().map(|(key, value)| (key.clone(), self.open_to(*value, depth)));
            Some(Value::Map(entries.collect()))
        } else {
            None
        }
    }

    /// Whether there is room for so many values.
    pub(crate) fn has_room(&mut self, values: usize) -> bool {
        self.take(values.saturating_mul(size_of::<Value>())).is_some()
    }

    fn take(&mut self, bytes: usize) -> Option<()> {
        self.left = self.left.checked_sub(bytes)?;
        Some(())
    }
}

/// Boxes of these, with a value in.
macro_rules! boxes {
    ($($class:ident, $of:ty, $value:ident => $inner:expr;)*) => {$(
        impl From<$of> for $class {
            fn from($value: $of) -> Self {
                Self { val: $inner, ..Self::default() }
            }
        }
    )*};
}

boxes! {
    RBool, bool, value => value;
    RInt, i32, value => value;
    RLong, i64, value => value;
    RFloat, f32, value => value;
    RDouble, f64, value => value;
    RTime, i64, value => value;
    RString, &str, value => value.to_owned();
    RString, String, value => value;
}

/// Members of instances, most of which are boxes or other instances.
pub trait Values {
    /// The instance.
    fn at<T: 'static>(&self, instance: Option<Ref<T>>) -> Option<&T>;

    /// The instances of a sequence, without those that are null.
    fn each<'a, T: 'static>(&'a self, instances: &'a [Option<Ref<T>>]) -> impl Iterator<Item = &'a T> + 'a;

    /// Takes an instance in, to be a member of another.
    fn put<T: Sliced>(&mut self, instance: T) -> Option<Ref<T>>;

    /// What is in the box.
    fn text(&self, boxed: Option<Ref<RString>>) -> Option<&str> {
        self.at(boxed).map(|boxed| boxed.val.as_str())
    }

    /// What is in the box.
    fn int(&self, boxed: Option<Ref<RInt>>) -> Option<i32> {
        self.at(boxed).map(|boxed| boxed.val)
    }

    /// What is in the box.
    fn long(&self, boxed: Option<Ref<RLong>>) -> Option<i64> {
        self.at(boxed).map(|boxed| boxed.val)
    }

    /// What is in the box.
    fn double(&self, boxed: Option<Ref<RDouble>>) -> Option<f64> {
        self.at(boxed).map(|boxed| boxed.val)
    }

    /// What is in the box.
    fn flag(&self, boxed: Option<Ref<RBool>>) -> Option<bool> {
        self.at(boxed).map(|boxed| boxed.val)
    }

    /// What is in the box: milliseconds since 1970.
    fn time(&self, boxed: Option<Ref<RTime>>) -> Option<i64> {
        self.at(boxed).map(|boxed| boxed.val)
    }
}

impl Values for Objects {
    fn at<T: 'static>(&self, instance: Option<Ref<T>>) -> Option<&T> {
        self.get(instance?)
    }

    fn each<'a, T: 'static>(&'a self, instances: &'a [Option<Ref<T>>]) -> impl Iterator<Item = &'a T> + 'a {
        instances.iter().filter_map(|instance| self.at(*instance))
    }

    fn put<T: Sliced>(&mut self, instance: T) -> Option<Ref<T>> {
        Some(self.add(instance))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_put_in_boxes_comes_out_of_them() {
        let map = BTreeMap::from([("a".to_owned(), Value::Time(5)), ("b".to_owned(), Value::Null)]);
        let value = Value::List(vec![
            Value::Bool(true),
            Value::Int(-1),
            Value::Long(1 << 40),
            Value::Float(0.5),
            Value::Double(0.25),
            Value::Text("text".to_owned()),
            Value::List(Vec::new()),
            Value::Map(map),
        ]);
        let mut objects = Objects::new();
        let boxed = value.store(&mut objects);
        assert_eq!(Value::read(&objects, boxed), value);
    }

    #[test]
    fn a_list_that_holds_itself_ends() {
        let mut objects = Objects::new();
        let list = objects.add(RList::default());
        let itself: Option<Ref<RType>> = Some(Handle::from(list).into());
        objects.get_mut::<RCollection>(list).unwrap().val = vec![itself; 40];
        let (mut boxes, mut closed) = (0, 0);
        let mut open = vec![Value::read(&objects, itself)];
        while let Some(value) = open.pop() {
            boxes += 1;
            match value {
                Value::List(values) => open.extend(values),
                Value::Boxed(handle) => closed += usize::from(handle == list.handle()),
                other => panic!("{other:?} is in it"),
            }
        }
        assert!(boxes <= MEMORY / size_of::<Value>() + 1 && closed > 0, "{boxes} {closed}");
    }

    #[test]
    fn a_text_that_is_in_many_boxes_takes_no_more_memory_than_is_allowed() {
        let mut objects = Objects::new();
        let text: Handle = objects.add(RString::from("x".repeat(MEMORY / 4))).into();
        let list = RList { base: RCollection { val: vec![Some(text.into()); 10], ..RCollection::default() } };
        let list: Handle = objects.add(list).into();
        let Value::List(values) = Value::read(&objects, Some(list.into())) else { panic!("it is a list") };
        let texts = values.iter().filter(|value| matches!(value, Value::Text(_))).count();
        assert_eq!((texts, &values[9]), (3, &Value::Boxed(text)));
    }
}
