//! Pictures of images that are known.

use super::*;
use crate::metadata::{Channel, Colour, Metadata, Quantity, Unit};
use crate::source::{Pattern, Synthetic};

fn image(sides: [usize; 5], kind: SampleType, pattern: Pattern, metadata: Metadata) -> Synthetic {
    Synthetic::new(Shape::new(sides).expect("it is small"), kind, pattern, metadata)
}

#[test]
fn a_picture_is_small_and_uses_the_whole_range_of_light() {
    for kind in SampleType::ALL {
        let source = image([1, 1, 3, 700, 1400], kind, Pattern::Waves, Metadata::default());
        let picture = draw(&source).expect("it is read");
        assert_eq!((picture.height, picture.width), (256, 512), "{kind}");
        assert!(picture.pixels.contains(&0) && picture.pixels.contains(&255), "{kind}");
    }
    let narrow = draw(&image([1, 1, 1, 1, 60_000], SampleType::Uint8, Pattern::Waves, Metadata::default()));
    assert_eq!(narrow.map(|picture| (picture.height, picture.width)).ok(), Some((1, 512)));
}

#[test]
fn channels_have_their_colours_and_an_empty_image_is_dark() {
    let channels = [[255, 0, 0], [0, 0, 255]]
        .map(|colour| Channel { colour: Some(Colour(colour)), ..Channel::default() });
    let metadata = Metadata { channels: channels.to_vec(), ..Metadata::default() };
    let picture =
        draw(&image([1, 2, 1, 64, 64], SampleType::Uint8, Pattern::Every, metadata)).expect("it is read");
    let pixels = picture.pixels.as_chunks::<3>().0;
    assert!(pixels.iter().all(|[_, green, _]| *green == 0));
    assert!(pixels.iter().any(|[red, _, _]| *red > 200) && pixels.iter().any(|[_, _, blue]| *blue > 200));
    let empty = draw(&image([1, 1, 1, 64, 64], SampleType::Float, Pattern::Empty, Metadata::default()));
    assert!(empty.expect("it is read").pixels.iter().all(|pixel| *pixel == 0));
}

#[test]
fn a_bar_is_drawn_where_the_size_of_a_pixel_is_known() {
    let metadata = Metadata { x: Quantity::new(0.5, Unit::length("µm")), ..Metadata::default() };
    let with = draw(&image([1, 1, 1, 512, 512], SampleType::Uint8, Pattern::Empty, metadata));
    // 50 µm are 100 pixels, four rows of them.
    let white = with
        .expect("it is read")
        .pixels
        .as_chunks::<3>()
        .0
        .iter()
        .filter(|pixel| **pixel == [255; 3])
        .count();
    assert!((400..800).contains(&white), "{white}");
}

#[test]
fn a_png_file_is_one() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("preview.png");
    let source = image([1, 3, 1, 30, 40], SampleType::Uint16, Pattern::Waves, Metadata::default());
    save(&source, &path).expect("it is written");
    let bytes = std::fs::read(&path).expect("it is there");
    assert!(bytes.starts_with(b"\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR\0\0\0\x28\0\0\0\x1e\x08\x02"));
    assert!(bytes.ends_with(b"IEND\xae\x42\x60\x82"));
    assert!(matches!(save(&source, &path), Err(WriteError::Occupied { .. })));
}
