//! The types against bytes that Ice itself has sent, and against graphs that are written here by the table alone.

mod graphs;

use biomero_ice::encoding::{
    Decode, DecodeError, DecodeLimits, Decoder, Encode, Encoder, Encoding, Format, Raised, Ref,
};
use bytes::Bytes;

use crate::types::model::enums::UnitsLength;
use crate::types::model::{IObject, Image};
use crate::types::{RType, ServerError, ValidationException};
use crate::values::{Objects, Value, Values as _};

/// Bytes of a file in hexadecimal, without its comments.
fn hex(text: &str) -> Bytes {
    let digits = text.lines().filter(|line| !line.starts_with('#')).flat_map(str::split_whitespace);
    digits.map(|byte| u8::from_str_radix(byte, 16).unwrap()).collect::<Vec<_>>().into()
}

fn decoded<T: Decode>(bytes: Bytes) -> Result<(T, Objects), DecodeError> {
    let registry = crate::registry();
    let mut decoder = Decoder::new(bytes, Encoding::V1_1, &registry, DecodeLimits::default());
    let value = decoder.value()?;
    Ok((value, decoder.finish(T::CLASSES)?))
}

fn encoded<T: Encode>(value: &T, objects: &Objects) -> Bytes {
    let mut encoder = Encoder::new(Encoding::V1_1, Format::Compact).with_objects(Some(objects));
    encoder.value(value);
    encoder.finish().unwrap().to_bytes()
}

#[test]
fn an_image_that_ice_has_sent_is_read_and_written_the_same() {
    let sent = hex(include_str!("tests/wire/image.hex"));
    let (value, objects): (Option<Ref<IObject>>, _) = decoded(sent.clone()).unwrap();
    let image: &Image = objects.get(value.unwrap()).unwrap();
    assert_eq!((objects.long(image.base.id), objects.text(image.name)), (Some(7), Some("img")));
    assert!(image.base.loaded && image.pixels_loaded);
    let pixels = objects.at(image.pixels_seq[0]).unwrap();
    assert_eq!(objects.text(objects.at(pixels.pixels_type).unwrap().value), Some("uint16"));
    assert_eq!((objects.int(pixels.size_x), objects.int(pixels.size_y)), (Some(300), Some(200)));
    let size = objects.at(pixels.physical_size_x).unwrap();
    assert_eq!((size.value, size.unit), (0.5, UnitsLength::Micrometer));
    // The way back to the image is the image itself.
    assert_eq!(pixels.image.map(Ref::handle), value.map(Ref::handle));
    assert_eq!(encoded(&value, &objects), sent);
}

#[test]
fn a_projection_that_ice_has_sent_is_read_and_written_the_same() {
    let sent = hex(include_str!("tests/wire/projection.hex"));
    let (rows, objects): (Vec<Vec<Option<Ref<RType>>>>, _) = decoded(sent.clone()).unwrap();
    let row: Vec<Value> = rows[0].iter().map(|value| Value::read(&objects, *value)).collect();
    let int = Value::Int;
    let expected = [
        Value::Text("img".to_owned()),
        Value::Long(42),
        int(300),
        int(200),
        int(1),
        int(2),
        int(1),
        Value::Text("uint16".to_owned()),
        Value::Null,
    ];
    assert_eq!(row, expected);
    assert_eq!(encoded(&rows, &objects), sent);
}

#[test]
fn an_exception_that_ice_has_sent_is_read_as_what_it_is_and_as_its_bases() {
    let sent = hex(include_str!("tests/wire/validation.hex"));
    let raised =
        Raised::decode(sent.clone(), Encoding::V1_1, &crate::registry(), DecodeLimits::default()).unwrap();
    assert_eq!(raised.type_id(), "::omero::ValidationException");
    let exception: &ValidationException = raised.get().unwrap();
    let server: &ServerError = raised.get().unwrap();
    assert_eq!(exception.base.base, *server);
    assert_eq!(
        (server.message.as_str(), server.server_exception_class.as_str()),
        ("no pixels 1", "ome.conditions.ValidationException")
    );
    let mut encoder = Encoder::new(Encoding::V1_1, Format::Compact);
    encoder.exception(exception, false);
    assert_eq!(encoder.finish().unwrap().to_bytes(), sent);
}

#[test]
fn a_class_that_no_table_knows_is_told_by_its_name() {
    let mut encoder = Encoder::new(Encoding::V1_1, Format::Compact);
    encoder.size("instance", 1);
    encoder.byte(0x21);
    encoder.string("::omero::model::Hologram");
    let error = decoded::<Option<Ref<IObject>>>(encoder.finish().unwrap().to_bytes()).unwrap_err();
    assert!(error.to_string().contains("::omero::model::Hologram is not known here"), "{error}");
}
