//! Graphs of any class of the tables, written by a few lines that know only the table: what is read of them and written again
//! are the same bytes.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use biomero_ice::encoding::{Encode as _, Encoder, Encoding, Format, Handle, Ref};
use biomero_ice::{Address, Identity, NetworkEndpoint, Reference};
use biomero_omero_generator::Checked;
use biomero_omero_generator::schema::{Basic, Definition, Kind, Name, Type};
use bytes::Bytes;
use proptest::prelude::*;
use proptest::test_runner::{TestCaseError, TestRng};

use super::{decoded, encoded};
use crate::types::model::IObject;

/// How many instances a graph has at most, and how deep they nest.
const INSTANCES: usize = 60;
const DEPTH: usize = 12;

/// The tables, and of each class those that are it or derived from it.
struct Tables {
    checked: Checked,
    derived: BTreeMap<Name, Vec<Name>>,
}

static TABLES: LazyLock<Tables> = LazyLock::new(|| {
    let checked = biomero_omero_generator::read(&[
        ("model.schema", include_str!("../../schema/model.schema")),
        ("types.schema", include_str!("../../schema/types.schema")),
        ("operations.schema", include_str!("../../schema/operations.schema")),
    ])
    .unwrap();
    let mut derived: BTreeMap<Name, Vec<Name>> = BTreeMap::new();
    for class in checked.definitions().iter().filter(|definition| matches!(definition.kind, Kind::Class(..)))
    {
        for base in std::iter::once(class).chain(checked.bases(class)) {
            derived.entry(base.name.clone()).or_default().push(class.name.clone());
        }
    }
    Tables { checked, derived }
});

/// A graph that begins with an instance of any class, and how many instances it has.
fn graph(class: prop::sample::Index, seed: [u8; 32]) -> (Vec<u8>, usize) {
    let tables = &*TABLES;
    let mut writer = Writer {
        checked: &tables.checked,
        random: TestRng::from_seed(prop::test_runner::RngAlgorithm::ChaCha, &seed),
        bytes: Vec::new(),
        instances: Vec::new(),
        type_ids: BTreeMap::new(),
        depth: 0,
    };
    let name = tables.derived.keys().nth(class.index(tables.derived.len())).unwrap();
    writer.new_instance(tables.checked.definition(name).unwrap());
    (writer.bytes, writer.instances.len())
}

/// Writes values in the compact format of encoding 1.1.
struct Writer<'c> {
    checked: &'c Checked,
    random: TestRng,
    bytes: Vec<u8>,
    /// The classes of the instances so far.
    instances: Vec<&'c Definition>,
    type_ids: BTreeMap<String, usize>,
    depth: usize,
}

impl<'c> Writer<'c> {
    fn below(&mut self, limit: usize) -> usize {
        usize::try_from(self.random.next_u32()).unwrap() % limit.max(1)
    }

    fn size(&mut self, size: usize) {
        match u8::try_from(size) {
            Ok(short) if short < 255 => self.bytes.push(short),
            _ => {
                self.bytes.push(255);
                self.bytes.extend(i32::try_from(size).unwrap().to_le_bytes());
            }
        }
    }

    fn text(&mut self, text: &str) {
        self.size(text.len());
        self.bytes.extend(text.as_bytes());
    }

    /// Null, an instance from before, or a new one of the class or of one derived from it.
    fn instance(&mut self, class: &'c Definition) {
        let derived = &TABLES.derived[&class.name];
        let before: Vec<usize> = (0..self.instances.len())
            .filter(|index| derived.contains(&self.instances[*index].name))
            .collect();
        let room = self.instances.len() < INSTANCES && self.depth < DEPTH;
        match self.below(4) {
            0 if !before.is_empty() => {
                let index = before[self.below(before.len())];
                self.size(index + 2);
            }
            1..=3 if room => {
                let name = &derived[self.below(derived.len())];
                let class = self.checked.definition(name).unwrap();
                self.new_instance(class);
            }
            _ => self.size(0),
        }
    }

    fn new_instance(&mut self, class: &'c Definition) {
        self.size(1);
        self.instances.push(class);
        self.depth += 1;
        let slices: Vec<&Definition> = std::iter::once(class).chain(self.checked.bases(class)).collect();
        for (number, slice) in slices.iter().enumerate() {
            let last = if number + 1 == slices.len() { 0x20 } else { 0 };
            if number > 0 {
                self.bytes.push(last);
            } else {
                let (id, next) = (slice.name.type_id(), self.type_ids.len() + 1);
                match self.type_ids.get(&id).copied() {
                    Some(index) => {
                        self.bytes.push(last | 2);
                        self.size(index);
                    }
                    None => {
                        self.bytes.push(last | 1);
                        self.text(&id);
                        self.type_ids.insert(id, next);
                    }
                }
            }
            slice.members().iter().for_each(|member| self.value(&member.of));
        }
        self.depth -= 1;
    }

    fn value(&mut self, of: &'c Type) {
        match of {
            Type::Basic(basic) => self.basic(*basic),
            Type::Named(name) => self.named(name),
            Type::Proxy(_) => self.proxy(),
            Type::Sequence(element) => {
                let count = self.below(3);
                self.size(count);
                (0..count).for_each(|_| self.value(element));
            }
            Type::Dictionary(key, value) => self.dictionary(key, value),
        }
    }

    fn named(&mut self, name: &Name) {
        let definition = self.checked.definition(name).unwrap();
        match &definition.kind {
            Kind::Enumeration(enumerators) => {
                let value = self.below(enumerators.len());
                self.size(value);
            }
            Kind::Structure(members) => members.iter().for_each(|member| self.value(&member.of)),
            _ => self.instance(definition),
        }
    }

    fn basic(&mut self, basic: Basic) {
        let number = self.random.next_u64();
        let bytes = number.to_le_bytes();
        match basic {
            Basic::Bool => self.bytes.push(bytes[0] & 1),
            Basic::Byte => self.bytes.push(bytes[0]),
            Basic::Short => self.bytes.extend(&bytes[..2]),
            Basic::Int => self.bytes.extend(&bytes[..4]),
            Basic::Long => self.bytes.extend(bytes),
            // Any bits: what is no number stays what it is too.
            Basic::Float => self.bytes.extend(&bytes[..4]),
            Basic::Double => self.bytes.extend(bytes),
            Basic::String => {
                let text = "aé漢🔬 ".repeat(self.below(5) * self.below(20));
                self.text(&text);
            }
        }
    }

    /// Two entries at most, in the order of their keys.
    fn dictionary(&mut self, key: &'c Type, value: &'c Type) {
        let count = self.below(3);
        self.size(count);
        for entry in 0..count {
            self.key(key, u8::try_from(entry).unwrap());
            self.value(value);
        }
    }

    fn key(&mut self, of: &'c Type, entry: u8) {
        match of {
            Type::Basic(Basic::String) => self.text(["a", "b", "c"][usize::from(entry)]),
            Type::Basic(Basic::Int) => self.bytes.extend(i32::from(entry).to_le_bytes()),
            Type::Basic(Basic::Long) => self.bytes.extend(i64::from(entry).to_le_bytes()),
            Type::Named(name) => {
                self.checked
                    .definition(name)
                    .unwrap()
                    .members()
                    .iter()
                    .for_each(|member| self.key(&member.of, entry));
            }
            other => unreachable!("a key of type {other:?}"),
        }
    }

    fn proxy(&mut self) {
        let identity = Identity::new("category", "name");
        let reference = match self.below(3) {
            0 => None,
            1 => Some(Reference::new(identity, Address::Adapter("adapter".to_owned()))),
            _ => Some(Reference::direct(identity, NetworkEndpoint::tcp("host", 4061))),
        };
        // How a proxy is written, the other crate's tests compare with Ice.
        let mut encoder = Encoder::new(Encoding::V1_1, Format::Compact);
        reference.encode(&mut encoder);
        self.bytes.extend(&encoder.finish().unwrap().to_bytes());
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, ..ProptestConfig::default() })]

    #[test]
    fn what_is_read_is_written_the_same(class in any::<prop::sample::Index>(), seed in any::<[u8; 32]>()) {
        let (bytes, instances) = graph(class, seed);
        let bytes = Bytes::from(bytes);
        let (root, objects): (Option<Handle>, _) =
            decoded(bytes.clone()).map_err(|error| TestCaseError::fail(error.to_string()))?;
        prop_assert_eq!(objects.len(), instances);
        prop_assert_eq!(encoded(&root, &objects), bytes);
    }

    /// No panic, and no more memory than is allowed: what comes out may be anything.
    #[test]
    fn bytes_that_are_not_what_was_written_end_in_an_error_or_in_other_values(
        class in any::<prop::sample::Index>(),
        seed in any::<[u8; 32]>(),
        place in any::<prop::sample::Index>(),
        byte in any::<u8>(),
    ) {
        let (mut bytes, _) = graph(class, seed);
        let place = place.index(bytes.len());
        bytes[place] = byte;
        if let Ok((root, objects)) = decoded::<Option<Ref<IObject>>>(Bytes::from(bytes)) {
            prop_assert!(root.is_none() || !objects.is_empty());
        }
    }
}
