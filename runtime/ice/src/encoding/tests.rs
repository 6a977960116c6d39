//! What is written is read again, in each version and format; what nobody has written is refused.

use std::collections::BTreeMap;

use bytes::Bytes;
use proptest::prelude::*;

use super::*;
use crate::{Address, Endpoint, Identity, InvocationMode, NetworkEndpoint, Reference};

crate::structures! {
    struct Point { x: i32, y: i32 }
    struct Named { name: String, place: Point, shapes: Vec<Option<Ref<Shape>>> }
}

crate::enumerations! {
    enum Colour { Red = 0, Green = 7, Blue = 300 }
}

crate::sliced! {
    struct Shape = "::Test::Shape" { name: String, next: Option<Ref<Shape>>; colour: Colour = 3, note: String = 40 }
    struct Circle: Shape = "::Test::Circle" (7) { radius: f64, friends: Vec<Option<Ref<Shape>>> }
    struct Ring: Circle = "::Test::Ring" { hole: f64, inner: Option<Ref<Circle>>; point: Point = 1 }
    struct Problem = "::Test::Problem" { message: String }
    struct ShapeProblem: Problem = "::Test::ShapeProblem" { shape: Option<Ref<Shape>>; count: i32 = 2 }
}

const WAYS: [(Encoding, Format); 3] =
    [(Encoding::V1_0, Format::Sliced), (Encoding::V1_1, Format::Compact), (Encoding::V1_1, Format::Sliced)];

fn all() -> Registry {
    let mut registry = Registry::default();
    registry.class::<Shape>().class::<Circle>().class::<Ring>();
    registry.exception::<Problem>().exception::<ShapeProblem>();
    registry
}

/// As parameters are: in an encapsulation, of which what follows the version is given.
fn written<'o>(
    way: (Encoding, Format),
    objects: Option<&'o Objects>,
    write: impl FnOnce(&mut Encoder<'o>),
) -> Bytes {
    let mut encoder = Encoder::new(Encoding::V1_0, way.1).with_objects(objects);
    encoder.encapsulation(way.0, write);
    encoder.finish().unwrap().to_bytes().slice(6..)
}

fn read<T: Decode>(
    bytes: Bytes,
    encoding: Encoding,
    registry: &Registry,
) -> Result<(T, Objects), DecodeError> {
    let mut decoder = Decoder::new(bytes, encoding, registry, DecodeLimits::default());
    let value = decoder.value()?;
    Ok((value, decoder.finish(T::CLASSES)?))
}

fn survives<T: Encode + Decode + PartialEq + std::fmt::Debug>(value: &T) {
    for way in WAYS {
        let bytes = written(way, None, |encoder| encoder.value(value));
        let (again, _) = read::<T>(bytes.clone(), way.0, &Registry::default()).unwrap();
        assert_eq!(&again, value, "{way:?}");
        // No prefix of it is enough, and none does harm.
        for length in 0..bytes.len().min(64) {
            assert!(
                read::<T>(bytes.slice(..length), way.0, &Registry::default()).is_err(),
                "{way:?} {length}"
            );
        }
    }
}

/// Optional values are not on the wire in version 1.0.
fn graph(optionals: bool) -> (Objects, Named) {
    let mut objects = Objects::new();
    let shape = objects.add(Shape { name: "a".to_owned(), ..Shape::default() });
    let circle = objects.add(Circle {
        base: Shape {
            name: "b".to_owned(),
            next: Some(shape),
            colour: optionals.then_some(Colour::Blue),
            note: optionals.then(|| "n".repeat(300)),
        },
        radius: 1.5,
        friends: vec![Some(shape), None, Some(shape)],
    });
    let ring = objects.add(Ring {
        base: Circle { radius: 3.0, ..Circle::default() },
        hole: 2.0,
        inner: Some(circle),
        point: optionals.then_some(Point { x: 1, y: -1 }),
    });
    // A cycle, by way of its base.
    objects.get_mut::<Shape>(shape).unwrap().next = Some(ring.handle().into());
    let shapes = vec![Some(circle.handle().into()), None, Some(shape), Some(ring.handle().into())];
    (objects, Named { name: "all".to_owned(), place: Point { x: 2, y: 3 }, shapes })
}

/// The graph as text, by way of what refers to what.
fn told(named: &Named, objects: &Objects) -> String {
    let mut seen: Vec<Handle> = Vec::new();
    let mut next: Vec<Handle> = named.shapes.iter().flatten().map(|shape| shape.handle()).collect();
    let mut told = format!("{} {:?}", named.name, named.place);
    while let Some(handle) = next.pop() {
        let known = seen.iter().position(|there| *there == handle);
        told.push_str(&format!("\n{known:?} "));
        if known.is_some() {
            continue;
        }
        seen.push(handle);
        let shape = objects.get::<Shape>(handle).unwrap();
        told.push_str(&format!("{} {:?} {:?}", shape.name, shape.colour, shape.note));
        next.extend(shape.next.map(Ref::handle));
        if let Some(circle) = objects.get::<Circle>(handle) {
            told.push_str(&format!(" radius {} of {}", circle.radius, circle.friends.len()));
            next.extend(circle.friends.iter().flatten().map(|shape| shape.handle()));
        }
        if let Some(ring) = objects.get::<Ring>(handle) {
            told.push_str(&format!(" hole {} {:?}", ring.hole, ring.point));
            next.extend(ring.inner.map(Ref::handle));
        }
    }
    told
}

#[test]
fn a_cyclic_graph_is_the_same_on_the_other_side() {
    for way in WAYS {
        let (objects, named) = graph(way.0 == Encoding::V1_1);
        let bytes = written(way, Some(&objects), |encoder| encoder.value(&named));
        let (again, others) = read::<Named>(bytes, way.0, &all()).unwrap();
        assert_eq!(told(&again, &others), told(&named, &objects), "{way:?}");
        assert_eq!(others.len(), 3, "{way:?}");
    }
}

#[test]
fn a_class_that_is_not_known_is_cut_to_its_base_and_passed_on_whole() {
    let (objects, named) = graph(true);
    let way = (Encoding::V1_1, Format::Sliced);
    let bytes = written(way, Some(&objects), |encoder| encoder.value(&named));
    let mut less = Registry::default();
    less.class::<Shape>();
    let (cut, between) = read::<Named>(bytes.clone(), way.0, &less).unwrap();
    let ring = cut.shapes[3].unwrap();
    assert_eq!(between.get::<Shape>(ring).unwrap().name, "");
    assert_eq!(between.type_id(ring).unwrap(), "::Test::Ring");
    assert_eq!(between.opaque(ring).len(), 2);
    let passed_on = written(way, Some(&between), |encoder| encoder.value(&cut));
    let (again, others) = read::<Named>(passed_on, way.0, &all()).unwrap();
    assert_eq!(told(&again, &others), told(&named, &objects));

    let (nothing, unknown) = read::<Named>(bytes, way.0, &Registry::default()).unwrap();
    assert_eq!(unknown.type_id(nothing.shapes[2].unwrap()).unwrap(), "::Test::Shape");
    let passed_on = written(way, Some(&unknown), |encoder| encoder.value(&nothing));
    let (again, others) = read::<Named>(passed_on, way.0, &all()).unwrap();
    assert_eq!(told(&again, &others), told(&named, &objects));
}

#[test]
fn in_the_compact_format_an_unknown_class_is_refused_by_name() {
    let (objects, named) = graph(false);
    let bytes = written((Encoding::V1_1, Format::Compact), Some(&objects), |encoder| encoder.value(&named));
    let mut less = Registry::default();
    less.class::<Shape>();
    let error = read::<Named>(bytes, Encoding::V1_1, &less).unwrap_err();
    assert_eq!(error, DecodeError::Unknown { type_id: "the class with compact id 7".to_owned() });
}

#[test]
fn version_1_0_cuts_what_it_does_not_know_and_lists_nothing_for_nothing() {
    let (objects, named) = graph(false);
    let way = (Encoding::V1_0, Format::Compact);
    let bytes = written(way, Some(&objects), |encoder| encoder.value(&named));
    let mut less = Registry::default();
    less.class::<Shape>();
    let (cut, between) = read::<Named>(bytes, way.0, &less).unwrap();
    assert_eq!(between.get::<Shape>(cut.shapes[0].unwrap()).unwrap().name, "b");
    let empty = written(way, None, |encoder| encoder.value(&Vec::<Option<Ref<Shape>>>::new()));
    assert_eq!(&empty[..], [0, 0]);
    read::<Vec<Option<Ref<Shape>>>>(empty, way.0, &less).unwrap();
}

#[test]
fn exceptions_are_read_as_far_as_they_are_known() {
    for way in WAYS {
        let mut objects = Objects::new();
        let shape = objects.add(Shape { name: "square".to_owned(), ..Shape::default() });
        let problem = ShapeProblem {
            base: Problem { message: "no corners".to_owned() },
            shape: Some(shape),
            count: (way.0 == Encoding::V1_1).then_some(4),
        };
        let bytes = written(way, Some(&objects), |encoder| encoder.exception(&problem, true));
        let raised = Raised::decode(bytes.clone(), way.0, &all(), DecodeLimits::default()).unwrap();
        let again = raised.get::<ShapeProblem>().unwrap();
        assert_eq!(again.count, problem.count);
        assert_eq!(raised.objects().get::<Shape>(again.shape.unwrap()).unwrap().name, "square");
        assert_eq!(raised.get::<Problem>().unwrap().message, "no corners");

        let mut less = Registry::default();
        less.class::<Shape>().exception::<Problem>();
        let cut = Raised::decode(bytes, way.0, &less, DecodeLimits::default()).unwrap();
        assert_eq!(cut.type_id(), "::Test::ShapeProblem");
        let knows_base = way.1 == Format::Sliced;
        assert_eq!(cut.get::<Problem>().is_some(), knows_base, "{way:?}");
    }
}

#[test]
fn optional_parameters_are_skipped_and_found() {
    let bytes = written((Encoding::V1_1, Format::Compact), None, |encoder| {
        encoder.int(5);
        encoder.optional(1, Some(&true));
        encoder.optional(2, Some(&-2i16));
        encoder.optional(3, Some(&1.5f64));
        encoder.optional(5, Some("text"));
        encoder.optional::<i32>(6, None);
        encoder.optional(7, Some(&vec![1i32, 2, 3]));
        encoder.optional(8, Some(&vec!["a".to_owned()]));
        encoder.optional(9, Some(&Point { x: 1, y: 2 }));
        encoder.optional(29, Some(&Colour::Blue));
        encoder.optional(30, Some(&Some(Reference::new(Identity::named("a"), Address::WellKnown))));
        encoder.optional(1000, Some(&vec![1u8, 2]));
    });
    let registry = Registry::default();
    let mut decoder = Decoder::new(bytes.clone(), Encoding::V1_1, &registry, DecodeLimits::default());
    assert_eq!(decoder.int(), Ok(5));
    decoder.finish(false).unwrap();
    let mut decoder = Decoder::new(bytes.clone(), Encoding::V1_1, &registry, DecodeLimits::default());
    assert_eq!(decoder.int(), Ok(5));
    assert_eq!(decoder.optional(2), Ok(Some(-2i16)));
    assert_eq!(decoder.optional::<i32>(4), Ok(None));
    assert_eq!(decoder.optional(5), Ok(Some("text".to_owned())));
    assert_eq!(decoder.optional::<i32>(6), Ok(None));
    assert_eq!(decoder.optional(7), Ok(Some(vec![1i32, 2, 3])));
    assert_eq!(decoder.optional(9), Ok(Some(Point { x: 1, y: 2 })));
    assert_eq!(decoder.optional(29), Ok(Some(Colour::Blue)));
    assert!(decoder.optional::<Option<Reference>>(30).unwrap().flatten().is_some());
    assert_eq!(decoder.optional(1000), Ok(Some(vec![1u8, 2])));
    decoder.finish(false).unwrap();
    let mut decoder = Decoder::new(bytes, Encoding::V1_1, &registry, DecodeLimits::default());
    assert_eq!(decoder.int(), Ok(5));
    assert_eq!(decoder.optional::<String>(3), Err(DecodeError::Optional { tag: 3, format: 3 }));
}

#[test]
fn optional_values_out_of_order_are_refused() {
    let mut encoder = Encoder::new(Encoding::V1_1, Format::Compact);
    encoder.optional(2, Some(&1));
    encoder.optional(1, Some(&1));
    assert_eq!(encoder.finish().unwrap_err(), EncodeError::OptionalOrder { tag: 1 });
}

#[test]
fn a_long_byte_sequence_is_not_copied() {
    let long = Bytes::from(vec![7; 1 << 20]);
    let mut encoder = Encoder::new(Encoding::V1_0, Format::Compact);
    encoder.encapsulation(Encoding::V1_1, |encoder| encoder.value(&(1i32, long.clone(), 2i32)));
    let payload = encoder.finish().unwrap();
    assert_eq!(payload.pieces().len(), 3);
    assert_eq!(payload.pieces()[1].as_ptr(), long.as_ptr());
    let bytes = payload.to_bytes();
    assert_eq!(payload.len(), bytes.len());
    let (values, _) =
        read::<(i32, Bytes, i32)>(bytes.slice(6..), Encoding::V1_1, &Registry::default()).unwrap();
    assert_eq!(values, (1, long, 2));
    assert_eq!(i32::from_le_bytes(bytes[..4].try_into().unwrap()), i32::try_from(bytes.len()).unwrap());
}

#[test]
fn a_size_without_its_elements_is_refused_before_anything_is_allocated() {
    let bytes = Bytes::from_static(&[255, 255, 255, 255, 127, 0, 0, 0, 0]);
    let registry = Registry::default();
    for result in [
        read::<Vec<u8>>(bytes.clone(), Encoding::V1_1, &registry).map(drop),
        read::<Vec<String>>(bytes.clone(), Encoding::V1_1, &registry).map(drop),
        read::<String>(bytes.clone(), Encoding::V1_1, &registry).map(drop),
        read::<Bytes>(bytes.clone(), Encoding::V1_1, &registry).map(drop),
        read::<BTreeMap<i32, i64>>(bytes, Encoding::V1_1, &registry).map(drop),
    ] {
        assert!(matches!(result, Err(DecodeError::Short { .. })), "{result:?}");
    }
    let negative = Bytes::from_static(&[255, 255, 255, 255, 255]);
    assert!(matches!(read::<Vec<u8>>(negative, Encoding::V1_1, &registry), Err(DecodeError::Size { .. })));
}

#[test]
fn a_byte_that_becomes_many_in_memory_is_counted() {
    let empty = Bytes::from([vec![255, 0, 0, 16, 0], vec![0; 1 << 20]].concat());
    let registry = Registry::default();
    let limits = DecodeLimits { memory: 1 << 20, ..DecodeLimits::default() };
    let mut decoder = Decoder::new(empty, Encoding::V1_1, &registry, limits);
    assert_eq!(decoder.value::<Vec<String>>(), Err(DecodeError::Memory { limit: 1 << 20 }));
}

#[test]
fn instances_nest_only_so_deep() {
    let mut objects = Objects::new();
    let mut next = None;
    for _ in 0..101 {
        next = Some(objects.add(Shape { next, ..Shape::default() }));
    }
    let mut encoder = Encoder::new(Encoding::V1_1, Format::Compact).with_objects(Some(&objects));
    encoder.value(&next);
    assert_eq!(encoder.finish().unwrap_err(), EncodeError::TooDeep { limit: 100 });
    // Nobody who keeps to the rules would send it.
    let slice = [&b"\x01\x21\x0d::Test::Shape\x00"[..]].concat();
    let later = b"\x01\x22\x01\x00".repeat(200);
    let error =
        read::<Option<Ref<Shape>>>([slice, later].concat().into(), Encoding::V1_1, &all()).unwrap_err();
    assert_eq!(error, DecodeError::TooDeep { limit: 100 });
    // In version 1.0 they do not nest at all.
    let long = written((Encoding::V1_0, Format::Compact), Some(&objects), |encoder| encoder.value(&next));
    assert_eq!(read::<Option<Ref<Shape>>>(long, Encoding::V1_0, &all()).unwrap().1.len(), 101);
}

#[test]
fn what_contradicts_itself_is_refused() {
    for (bytes, what) in [
        (&b"\x02"[..], "an instance that was not sent"),
        (b"\x01\x20", "a first slice without a type"),
        (b"\x01\x22\x01", "a type that was not sent"),
        (b"\x01\x01\x0d::Test::Shape\x00\x00", "a base that there is not"),
        (b"\x01\x31\x0d::Test::Shape\x03\x00\x00\x00\x00\x00", "a size smaller than itself"),
        (b"\x01\x31\x0d::Test::Shape\xff\x00\x00\x00\x00\x00", "a size larger than what is left"),
        (b"\x01\x31\x0d::Test::Shape\x05\x00\x00\x00\x00\x00", "a size that the members contradict"),
        (b"\x01\x29\x0d::Test::Shape\x00\x00", "a table without a size"),
        (b"\x01\x39\x0d::Test::Shape\x06\x00\x00\x00\x00\x00\x00", "a table that is empty"),
        (b"\x01\x39\x0d::Test::Shape\x06\x00\x00\x00\x00\x02\x01\x00", "an index beyond the table"),
        (b"\x01\x25\x0d::Test::Shape\x00\x00", "optional members that do not end"),
        (b"\x00\x00", "more than there should be"),
    ] {
        let result = read::<Option<Ref<Shape>>>(Bytes::from_static(bytes), Encoding::V1_1, &all());
        assert!(result.is_err(), "{what}: {result:?}");
    }
}

fn references() -> impl Strategy<Value = Option<Reference>> {
    let endpoint = (0usize..5, ".*", any::<u16>(), proptest::option::of(0u64..1 << 31), any::<bool>())
        .prop_map(|(transport, host, port, timeout, compress)| {
            let transport = [
                crate::Transport::Tcp,
                crate::Transport::Ssl,
                crate::Transport::Ws,
                crate::Transport::Wss,
                crate::Transport::Udp,
            ][transport];
            let resource =
                if matches!(transport, crate::Transport::Ws | crate::Transport::Wss) { "/r" } else { "" };
            Endpoint::from(NetworkEndpoint {
                timeout: timeout
                    .filter(|_| transport != crate::Transport::Udp)
                    .map(std::time::Duration::from_millis),
                compress,
                resource: resource.to_owned(),
                ..NetworkEndpoint::new(transport, host, port)
            })
        });
    let address = prop_oneof![
        proptest::collection::vec(endpoint, 1..4).prop_map(Address::Direct),
        ".+".prop_map(Address::Adapter),
        Just(Address::WellKnown),
    ];
    let identity = (".+", ".*").prop_map(|(name, category)| Identity { name, category });
    let reference =
        (identity, ".*", any::<bool>(), address).prop_map(|(identity, facet, secure, address)| Reference {
            facet,
            secure,
            mode: InvocationMode::Oneway,
            ..Reference::new(identity, address)
        });
    proptest::option::of(reference)
}

proptest! {
    #[test]
    fn values_survive(
        numbers in any::<(u8, bool, i16, i32, i64)>(),
        texts in proptest::collection::vec(".*", 0..5),
        bytes in proptest::collection::vec(any::<u8>(), 0..300),
        longs in proptest::collection::vec(any::<i64>(), 0..300),
        map in proptest::collection::btree_map(".*", any::<i32>(), 0..5),
    ) {
        survives(&numbers);
        survives(&texts);
        survives(&Bytes::from(bytes.clone()));
        survives(&bytes);
        survives(&(longs.clone(), map));
        survives(&longs.iter().map(|long| *long as f64).collect::<Vec<_>>());
    }

    #[test]
    fn references_survive(reference in references()) {
        let bytes = written((Encoding::V1_1, Format::Compact), None, |encoder| encoder.value(&reference));
        let (again, _) = read::<Option<Reference>>(bytes, Encoding::V1_1, &Registry::default()).unwrap();
        prop_assert_eq!(&again, &reference);
    }

    #[test]
    fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let bytes = Bytes::from(bytes);
        for encoding in [Encoding::V1_0, Encoding::V1_1] {
            let _ = read::<Named>(bytes.clone(), encoding, &all());
            let _ = read::<Option<Ref<Ring>>>(bytes.clone(), encoding, &all());
            let _ = read::<Option<Reference>>(bytes.clone(), encoding, &all());
            let _ = Raised::decode(bytes.clone(), encoding, &all(), DecodeLimits::default());
        }
    }
}
