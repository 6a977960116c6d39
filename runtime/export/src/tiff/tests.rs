//! Files that lie: each is told apart, before memory is taken for what it promises.

use std::fs;

use super::*;
use crate::source::{Limits, ReadError, Source};
use crate::{Plane, Region};

/// A tag of one value that fits into it: tag, type, count, value.
type Tag = (u16, u16, u32, u32);

/// 8 × 8 samples of one byte in one strip, behind the header.
const PLAIN: [Tag; 7] = [
    (tag::IMAGE_WIDTH, 4, 1, 8),
    (tag::IMAGE_LENGTH, 4, 1, 8),
    (tag::BITS_PER_SAMPLE, 3, 1, 8),
    (tag::COMPRESSION, 3, 1, 1),
    (tag::STRIP_OFFSETS, 4, 1, 8),
    (tag::ROWS_PER_STRIP, 4, 1, 8),
    (tag::STRIP_BYTE_COUNTS, 4, 1, 64),
];

/// A classic TIFF: header, 64 bytes of samples, one directory for each list of tags.
fn file(pages: &[Vec<Tag>]) -> Vec<u8> {
    let mut bytes = b"II*\0\x48\0\0\0".to_vec();
    bytes.extend(0_u8..64);
    for (number, tags) in pages.iter().enumerate() {
        bytes.extend_from_slice(&(tags.len() as u16).to_le_bytes());
        for (tag, kind, count, value) in tags {
            bytes.extend_from_slice(&tag.to_le_bytes());
            bytes.extend_from_slice(&kind.to_le_bytes());
            bytes.extend_from_slice(&count.to_le_bytes());
            bytes.extend_from_slice(&value.to_le_bytes());
        }
        let next = if number + 1 < pages.len() { bytes.len() as u32 + 4 } else { 0 };
        bytes.extend_from_slice(&next.to_le_bytes());
    }
    bytes
}

/// The plain page with some tags in place of its own.
fn with(tags: &[Tag]) -> Vec<Tag> {
    let kept = PLAIN.iter().filter(|(tag, ..)| tags.iter().all(|(other, ..)| other != tag));
    let mut all: Vec<Tag> = kept.chain(tags).copied().collect();
    all.sort_unstable();
    all
}

fn opened(bytes: &[u8]) -> Result<Vec<TiffImage>, ReadError> {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("image.tif");
    fs::write(&path, bytes).expect("it is written");
    open(&path, Limits::of(64 << 20))
}

#[test]
fn a_plain_file_is_read() {
    let images = opened(&file(&[PLAIN.to_vec(), PLAIN.to_vec()])).expect("it is whole");
    assert_eq!(images.len(), 1);
    assert_eq!(images[0].shape().sides(), [2, 1, 1, 8, 8]);
    let region = crate::Region { plane: crate::Plane { t: 1, c: 0, z: 0 }, y: 2, x: 3, height: 2, width: 2 };
    let mut samples = [0; 4];
    images[0].read(0, &region, &mut samples).expect("it is there");
    assert_eq!(samples, [19, 20, 27, 28]);
}

#[test]
fn pages_of_another_size_are_another_image() {
    let narrow = with(&[(tag::IMAGE_WIDTH, 4, 1, 4)]);
    let images = opened(&file(&[PLAIN.to_vec(), narrow, PLAIN.to_vec()])).expect("it is whole");
    let widths: Vec<usize> = images.iter().map(|image| image.shape().x).collect();
    assert_eq!(widths, [8, 4, 8]);
}

#[test]
fn each_lie_is_told() {
    let mut told = Vec::new();
    for tags in [
        vec![(tag::IMAGE_WIDTH, 4, 1, 0)],
        vec![(tag::IMAGE_WIDTH, 4, 1, u32::MAX)],
        vec![(tag::IMAGE_WIDTH, 2, 1, 8)],
        vec![(tag::BITS_PER_SAMPLE, 3, 1, 12)],
        vec![(tag::BITS_PER_SAMPLE, 3, u32::MAX, 0)],
        vec![(tag::BITS_PER_SAMPLE, 3, 1, 64), (tag::SAMPLE_FORMAT, 3, 1, 6)],
        vec![(tag::COMPRESSION, 3, 1, 6)],
        vec![(tag::COMPRESSION, 3, 1, 34_712)],
        vec![(tag::COMPRESSION, 3, 1, 7), (tag::BITS_PER_SAMPLE, 3, 1, 16)],
        vec![(tag::PHOTOMETRIC, 3, 1, 6)],
        vec![(tag::BITS_PER_SAMPLE, 3, 1, 64), (tag::SAMPLE_FORMAT, 3, 1, 5)],
        vec![(tag::PREDICTOR, 3, 1, 9)],
        vec![(tag::IMAGE_LENGTH, 4, 1, 0)],
        vec![(tag::SAMPLES_PER_PIXEL, 3, 1, 0)],
        vec![(tag::TILE_OFFSETS, 4, 1, 8), (tag::TILE_WIDTH, 4, 1, 0), (tag::TILE_LENGTH, 4, 1, 16)],
        vec![(tag::SUB_IFDS, 4, 1, u32::MAX - 1)],
        vec![(tag::IMAGE_DESCRIPTION, 2, 64, u32::MAX - 8)],
        vec![(tag::IMAGE_WIDTH, 4, 0, 0)],
        vec![(tag::COMPRESSION, 3, 1, 5), (tag::PREDICTOR, 3, 1, 3)],
        vec![(tag::SAMPLES_PER_PIXEL, 3, 1, 60_000)],
        vec![
            (tag::IMAGE_WIDTH, 4, 1, 60_000),
            (tag::IMAGE_LENGTH, 4, 1, 60_000),
            (tag::ROWS_PER_STRIP, 4, 1, 60_000),
            (tag::COMPRESSION, 3, 1, 5),
        ],
        vec![
            (tag::TILE_OFFSETS, 4, 1, 8),
            (tag::TILE_WIDTH, 4, 1, 1 << 30),
            (tag::TILE_LENGTH, 4, 1, 1 << 30),
        ],
        vec![(tag::SUB_IFDS, 4, 1, 0x48)],
        vec![(tag::SUB_IFDS, 4, u32::MAX, 8)],
        vec![(tag::IMAGE_DESCRIPTION, 2, u32::MAX, 8)],
    ] {
        let error = opened(&file(&[with(&tags)])).expect_err("it lies");
        let error = error.to_string();
        let (_, problem) = error.split_once("image.tif").expect("it is named");
        told.push(format!("{tags:?}{problem}"));
    }
    insta::assert_snapshot!(told.join("\n"));
}

#[test]
fn strips_beyond_the_file_or_too_short_are_told_when_they_are_read() {
    for tags in [
        [(tag::STRIP_OFFSETS, 4, 1, 1 << 30)],
        [(tag::STRIP_BYTE_COUNTS, 4, 1, 63)],
        [(tag::STRIP_OFFSETS, 4, 0, 0)],
        [(tag::ROWS_PER_STRIP, 4, 1, 1)],
    ] {
        let images = opened(&file(&[with(&tags)])).expect("it opens");
        let region = crate::Region { plane: crate::Plane::default(), y: 0, x: 0, height: 8, width: 8 };
        let error = images[0].read(0, &region, &mut [0; 64]).expect_err("it lies");
        assert!(matches!(error, ReadError::Damaged { .. }), "{tags:?}: {error}");
    }
}

#[test]
fn directories_in_a_circle_or_within_each_other_end() {
    let mut circle = file(&[PLAIN.to_vec()]);
    let end = circle.len() - 4;
    circle[end..].copy_from_slice(&0x48_u32.to_le_bytes());
    assert!(opened(&circle).expect_err("it never ends").to_string().contains("circle"));
    // A directory of 300 tags, most of them of no meaning, in whose values the next one begins.
    let mut tags = PLAIN.to_vec();
    tags.extend((0..293).map(|number| (40_000 + number, 4, 1, 0)));
    let mut within = file(&[tags]);
    let (first, end) = (0x48, within.len() - 4);
    for step in 1..=3 {
        let at = first + 12 * 50 * step;
        let copy = within[first..first + 2 + 12 * 7].to_vec();
        within[at..at + copy.len()].copy_from_slice(&copy);
        within[at] = 7;
        within[at + 1] = 0;
        let next = (first + 12 * 50 * (step + 1)) as u32;
        within[at + copy.len()..][..4].copy_from_slice(&next.to_le_bytes());
    }
    within[end..].copy_from_slice(&((first + 600) as u32).to_le_bytes());
    let error = opened(&within).expect_err("there is no room for them");
    assert!(error.to_string().contains("within each other"), "{error}");
}

/// 8 × 8 pixels of this many samples side by side, of which each byte says where it is.
fn interleaved(samples: u32, bits: u32) -> Vec<u8> {
    let bytes = 64 * samples * bits / 8;
    let tags = [
        (tag::BITS_PER_SAMPLE, 3, 1, bits),
        (tag::SAMPLES_PER_PIXEL, 3, 1, samples),
        (tag::STRIP_OFFSETS, 4, 1, 8 + 64 + 2 + 12 * 8 + 4),
        (tag::STRIP_BYTE_COUNTS, 4, 1, bytes),
    ];
    let mut file = file(&[with(&tags)]);
    file.extend((0..bytes).map(|at| at as u8));
    file
}

#[test]
fn channels_that_lie_side_by_side_are_the_same_at_once_and_one_by_one() {
    for (samples, bits) in [(1, 8), (2, 8), (3, 8), (4, 8), (5, 16), (3, 16), (3, 32)] {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("image.tif");
        fs::write(&path, interleaved(samples, bits)).expect("it is written");
        let image = &open(&path, Limits::of(64 << 20)).expect("it is whole")[0];
        let (samples, bytes) = (samples as usize, bits as usize / 8);
        assert_eq!((image.shape().c, image.interleaved()), (samples, samples));
        for [y, x, height, width] in [[0, 0, 8, 8], [1, 2, 5, 3], [7, 0, 1, 8]] {
            let region = Region { plane: Plane::default(), y, x, height, width };
            let mut expected = Vec::new();
            for c in 0..samples {
                let rows = (y..y + height).flat_map(|y| (x..x + width).map(move |x| 8 * y + x));
                let places =
                    rows.flat_map(|pixel| (0..bytes).map(move |byte| (pixel * samples + c) * bytes + byte));
                expected.extend(places.map(|at| at as u8));
            }
            let mut found = vec![0; expected.len()];
            image.read_channels(0, &region, samples, &mut found).expect("it is there");
            assert_eq!(found, expected, "{samples} samples of {bits} bits");
            for (c, expected) in expected.chunks(expected.len() / samples).enumerate() {
                let mut found = vec![0; expected.len()];
                let plane = Plane { c, ..region.plane };
                image.read(0, &Region { plane, ..region }, &mut found).expect("it is there");
                assert_eq!(found, expected, "sample {c} of {samples}");
            }
            // Neither more than there are, nor beside what they are read into.
            for (channels, bytes) in [(samples + 1, found.len()), (samples, found.len() - 1), (0, 0)] {
                let mut into = vec![0; bytes];
                assert!(image.read_channels(0, &region, channels, &mut into).is_err(), "{channels} {bytes}");
            }
        }
    }
}

#[test]
fn a_smaller_copy_may_have_planes_where_the_page_has_samples_side_by_side() {
    let page = with(&[
        (tag::SAMPLES_PER_PIXEL, 3, 1, 3),
        (tag::STRIP_BYTE_COUNTS, 4, 1, 192),
        (tag::SUB_IFDS, 4, 1, 0),
    ]);
    let smaller = with(&[
        (tag::IMAGE_WIDTH, 4, 1, 4),
        (tag::IMAGE_LENGTH, 4, 1, 4),
        (tag::ROWS_PER_STRIP, 4, 1, 4),
        (tag::SAMPLES_PER_PIXEL, 3, 1, 3),
        (tag::PLANAR_CONFIGURATION, 3, 1, 2),
        (tag::STRIP_OFFSETS, 4, 3, 0),
        (tag::STRIP_BYTE_COUNTS, 4, 3, 0),
    ]);
    let first = 0x48 + 2 + 12 * page.len();
    let mut bytes = file(&[page.clone(), smaller.clone()]);
    let end = bytes.len() as u32;
    let mut set = |directory: usize, tags: &[Tag], tag: u16, value: u32| {
        let number = tags.iter().position(|(other, ..)| *other == tag).expect("it is there");
        bytes[directory + 2 + 12 * number + 8..][..4].copy_from_slice(&value.to_le_bytes());
    };
    set(0x48, &page, tag::SUB_IFDS, first as u32 + 4);
    set(first + 4, &smaller, tag::STRIP_OFFSETS, end);
    set(first + 4, &smaller, tag::STRIP_BYTE_COUNTS, end + 12);
    // It is no page that follows, but below the first.
    bytes[first..first + 4].fill(0);
    bytes.extend([0, 16, 32].map(|at: u32| (end + 24 + at).to_le_bytes()).concat());
    bytes.extend([16_u32; 3].map(u32::to_le_bytes).concat());
    bytes.extend(0_u8..48);
    bytes.resize(300.max(bytes.len()), 0);
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("image.tif");
    fs::write(&path, bytes).expect("it is written");
    let image = &open(&path, Limits::of(64 << 20)).expect("it is whole")[0];
    assert_eq!((image.interleaved(), image.levels().len()), (3, 2), "{:?}", image.complaints());
    let region = Region { plane: Plane::default(), y: 1, x: 0, height: 2, width: 4 };
    let mut found = [0; 24];
    image.read_channels(1, &region, 3, &mut found).expect("it is there");
    let expected: Vec<u8> = [0, 16, 32].into_iter().flat_map(|plane| plane + 4..plane + 12).collect();
    assert_eq!(found[..], expected);
}
