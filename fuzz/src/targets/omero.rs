//! What OMERO sends: graphs of its 300 classes in the compact format, rows of a projection, exceptions. Reading it ends, in bounded
//! memory, and what was read is written and read again as the same.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

use biomero_ice::encoding::{DecodeLimits, Decoder, Encoder, Encoding, Format, Handle, Raised, Registry};
use biomero_omero::model::{ChannelBinding, IObject, Image, Mask, Roi};
use biomero_omero::types::RType;
use biomero_omero::{Objects, Ref, Value, Values as _};
use bytes::Bytes;

static REGISTRY: LazyLock<Arc<Registry>> = LazyLock::new(biomero_omero::registry);

const LIMITS: DecodeLimits = DecodeLimits { memory: 1 << 20, depth: 50 };

pub(crate) fn run(data: &[u8]) {
    let Some((first, body)) = data.split_first() else { return };
    let body = Bytes::copy_from_slice(body);
    let encoding = if first % 8 == 7 { Encoding::V1_0 } else { Encoding::V1_1 };
    match first % 4 {
        0 => {
            let Some((root, objects)) = read::<Option<Ref<IObject>>>(&body, encoding) else { return };
            look(&objects, root.map(Handle::from));
            again(root, &objects);
        }
        1 => {
            let Some((roots, objects)) = read::<Vec<Option<Ref<IObject>>>>(&body, encoding) else { return };
            roots.iter().flatten().for_each(|root| look(&objects, Some((*root).into())));
        }
        2 => {
            let rows = read::<Vec<Vec<Option<Ref<RType>>>>>(&body, encoding);
            let Some((rows, objects)) = rows else { return };
            let values = rows.iter().flatten().take(64).map(|boxed| Value::read(&objects, *boxed));
            for value in values.collect::<Vec<_>>() {
                stored(&value);
            }
        }
        _ => drop(Raised::decode(body, encoding, &REGISTRY, LIMITS)),
    }
}

fn read<T: biomero_ice::encoding::Decode>(body: &Bytes, encoding: Encoding) -> Option<(T, Objects)> {
    let mut decoder = Decoder::new(body.clone(), encoding, &REGISTRY, LIMITS);
    let value = decoder.value().ok()?;
    Some((value, decoder.finish(true).ok()?))
}

/// What an export looks at.
fn look(objects: &Objects, root: Option<Handle>) {
    let Some(root) = root else { return };
    if let Some(image) = objects.get::<Image>(root) {
        for pixels in objects.each(&image.pixels_seq) {
            let _ = (
                objects.int(pixels.size_x),
                objects.at(pixels.physical_size_x),
                objects.at(pixels.pixels_type),
            );
            let _ = objects.each(&pixels.channels_seq).count();
        }
    }
    if let Some(roi) = objects.get::<Roi>(root) {
        let masks = roi.shapes_seq.iter().flatten().filter_map(|shape| objects.get::<Mask>(*shape));
        let _ = masks.map(|mask| mask.bytes.len()).sum::<usize>();
    }
    if let Some(binding) = objects.get::<ChannelBinding>(root) {
        let _ = (objects.double(binding.input_start), objects.text(binding.lookup_table));
    }
}

/// A graph that is read can be written, and is read again as one of as many instances or fewer: those that nothing leads to are
/// not sent.
fn again(root: Option<Ref<IObject>>, objects: &Objects) {
    let mut encoder = Encoder::new(Encoding::V1_1, Format::Compact).with_objects(Some(objects));
    encoder.value(&root);
    let Ok(written) = encoder.finish() else { return };
    let mut decoder = Decoder::new(written.to_bytes(), Encoding::V1_1, &REGISTRY, DecodeLimits::default());
    let found = decoder.value::<Option<Ref<IObject>>>().expect("a graph");
    assert_eq!(found.is_some(), root.is_some());
    if let Ok(found) = decoder.finish(true) {
        assert!(found.len() <= objects.len());
    }
}

/// A value that was read is stored and read again as the same, unless an object is in it.
fn stored(value: &Value) {
    let mut objects = Objects::new();
    if is_plain(value) {
        let boxed = value.store(&mut objects);
        let found = Value::read(&objects, boxed);
        assert_eq!(format!("{found:?}"), format!("{value:?}"));
    }
}

fn is_plain(value: &Value) -> bool {
    match value {
        Value::Boxed(_) => false,
        Value::List(values) => values.iter().all(is_plain),
        Value::Map(values) => BTreeMap::values(values).all(is_plain),
        _ => true,
    }
}
