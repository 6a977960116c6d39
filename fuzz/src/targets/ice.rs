//! What an Ice peer sends: a stream of messages, and their values. Reading it ends, in bounded memory, and what was read is
//! written and read again as the same.

use std::sync::LazyLock;

use biomero_ice::Reference;
use biomero_ice::encoding::{
    Decode, DecodeLimits, Decoder, Encode, Encoder, Encoding, Format, Handle, Raised, Ref, Registry,
};
use biomero_ice::protocol::{Batch, Framer, Outcome, Reply, Request};
use bytes::{BufMut as _, Bytes};

biomero_ice::sliced! {
    struct Shape = "::Test::Shape" { name: String, next: Option<Ref<Shape>>; size: i32 = 3, other: Option<Ref<Shape>> = 40 }
    struct Circle: Shape = "::Test::Circle" (7) { radius: f64, friends: Vec<Option<Ref<Shape>>> }
    struct Problem = "::Test::Problem" { message: String, subject: Option<Ref<Shape>> }
}

static REGISTRY: LazyLock<Registry> = LazyLock::new(|| {
    let mut registry = Registry::default();
    registry.class::<Shape>().class::<Circle>().exception::<Problem>();
    registry
});

const LIMITS: DecodeLimits = DecodeLimits { memory: 1 << 20, depth: 50 };

pub(crate) fn run(data: &[u8]) {
    let Some((first, stream)) = data.split_first() else { return };
    // A stream cut into messages, in pieces of a size that the first byte tells.
    let mut framer = Framer::new(1 << 20);
    let mut rest = stream;
    let mut bodies = vec![Bytes::copy_from_slice(stream)];
    loop {
        match framer.next_message() {
            Ok(Some(message)) => bodies.push(message.body),
            Err(_) => break,
            Ok(None) if rest.is_empty() => break,
            Ok(None) => {
                let mut space = framer.space();
                let taken = rest.len().min(usize::from(*first) + 1).min(space.remaining_mut());
                space.put_slice(&rest[..taken]);
                rest = &rest[taken..];
            }
        }
    }
    for body in bodies {
        if let Ok(request) = Request::decode(body.clone(), LIMITS) {
            values(request.encoding, &request.parameters);
        }
        if let Ok(mut batch) = Batch::decode(body.clone(), LIMITS) {
            while let Ok(Some(request)) = batch.next_request() {
                values(request.encoding, &request.parameters);
            }
        }
        match Reply::decode(body.clone(), LIMITS).map(|reply| reply.outcome) {
            Ok(Outcome::Results(encoding, bytes)) => values(encoding, &bytes),
            Ok(Outcome::Raised(encoding, bytes)) => drop(Raised::decode(bytes, encoding, &REGISTRY, LIMITS)),
            _ => {}
        }
        values(if first % 2 == 0 { Encoding::V1_0 } else { Encoding::V1_1 }, &body);
    }
}

fn values(encoding: Encoding, bytes: &Bytes) {
    survives::<Vec<Option<Reference>>>(encoding, bytes);
    survives::<(String, Vec<String>, Vec<i64>, bool)>(encoding, bytes);
    survives::<std::collections::BTreeMap<String, Bytes>>(encoding, bytes);
    graph(encoding, bytes);
    let _ = Raised::decode(bytes.clone(), encoding, &REGISTRY, LIMITS);
    if let Ok(text) = std::str::from_utf8(bytes)
        && let Ok(reference) = text.parse::<Reference>()
    {
        assert_eq!(reference.to_string().parse().as_ref(), Ok(&reference), "{text}");
    }
}

/// What is read is written, and read as the same. Proxies of version 1.0 lose theirs, as nothing there says it.
fn survives<T: Decode + Encode + PartialEq + std::fmt::Debug>(encoding: Encoding, bytes: &Bytes) {
    let mut decoder = Decoder::new(bytes.clone(), encoding, &REGISTRY, LIMITS);
    let Ok(value) = decoder.value::<T>() else { return };
    let mut encoder = Encoder::new(encoding, Format::Compact);
    encoder.value(&value);
    let written = encoder.finish().expect("what was read can be written").to_bytes();
    let again = Decoder::new(written, encoding, &REGISTRY, DecodeLimits::default()).value::<T>();
    assert_eq!(again.as_ref(), Ok(&value));
}

/// A graph that is read can be written in the sliced format, and has as many instances as before or fewer: those that nothing
/// leads to are not sent.
fn graph(encoding: Encoding, bytes: &Bytes) {
    let mut decoder = Decoder::new(bytes.clone(), encoding, &REGISTRY, LIMITS);
    let Ok(root) = decoder.value::<Option<Handle>>() else { return };
    let Ok(objects) = decoder.finish(true) else { return };
    let mut encoder = Encoder::new(Encoding::V1_0, Format::Sliced).with_objects(Some(&objects));
    encoder.encapsulation(Encoding::V1_1, |encoder| encoder.instance(root));
    let Ok(written) = encoder.finish() else { return };
    let mut decoder =
        Decoder::new(written.to_bytes().slice(6..), Encoding::V1_1, &REGISTRY, DecodeLimits::default());
    assert_eq!(decoder.value::<Option<Handle>>().expect("a graph").is_some(), root.is_some());
    if let Ok(again) = decoder.finish(true) {
        assert!(again.len() <= objects.len());
    }
}
