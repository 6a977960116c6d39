//! What is written is read back, whole and in parts.

use proptest::prelude::*;

use super::*;
use crate::metadata::Metadata;
use crate::shape::Region;
use crate::source::{Limits, Pattern, Synthetic};
use crate::testing::{whole, work};
use crate::tiff::open;

fn layouts() -> impl Strategy<Value = (Layout, Compress)> {
    let tiles = |pyramid| Layout::Tiles { tile: 16, pyramid };
    prop::sample::select(vec![
        (Layout::Strip, Compress::None),
        (tiles(false), Compress::None),
        (tiles(true), Compress::Lzw),
        (tiles(true), Compress::Deflate { level: 1 }),
        (tiles(false), Compress::Zstd { level: 1 }),
    ])
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn what_is_written_is_read_back(
        (height, width) in (1_usize..600, 1_usize..70),
        (t, c, z) in (1_usize..3, 1_usize..4, 1_usize..3),
        (layout, compress) in layouts(),
        kind in prop::sample::select(SampleType::ALL.to_vec()),
        channels_first in any::<bool>(),
        is_rgb in any::<bool>(),
    ) {
        let shape = Shape::new([t, c, z, height, width]).expect("it is small");
        let source = Synthetic::new(shape, kind, Pattern::Every, Metadata { is_rgb, ..Metadata::default() });
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("image.ome.tif");
        let options = Options { layout, compress, channels_first, digest: true, rgb: false };
        let written = write(&source, &path, &options, &work(2)).expect("nothing fails");
        prop_assert!(!written.big);
        prop_assert_eq!(written.bytes, std::fs::metadata(&path).expect("it is there").len());
        prop_assert!(manifest::verify(&path).expect("it has a digest").is_whole());
        let images = open(&path, Limits::default()).expect("it is whole");
        prop_assert_eq!(images.len(), 1);
        let image = &images[0];
        prop_assert_eq!(image.shape(), shape);
        prop_assert_eq!(image.sample_type(), kind);
        prop_assert_eq!(image.levels().len(), written.sizes.len());
        prop_assert!(image.complaints().is_empty(), "{:?}", image.complaints());
        for number in 0..shape.planes() {
            let plane = shape.plane(number);
            prop_assert!(whole(image, 0, plane) == whole(&source, 0, plane), "{:?}", plane);
            let region = Region { plane, y: height / 3, x: width / 2, height: height / 2, width: width / 3 };
            let mut parts = [vec![1; region.samples() * kind.bytes()], vec![2; region.samples() * kind.bytes()]];
            image.read(0, &region, &mut parts[0]).expect("it is there");
            source.read(0, &region, &mut parts[1]).expect("it is there");
            prop_assert_eq!(&parts[0], &parts[1]);
            if plane.c == 0 {
                let mut all = [vec![1; c * parts[0].len()], vec![2; c * parts[0].len()]];
                image.read_channels(0, &region, c, &mut all[0]).expect("it is there");
                source.read_channels(0, &region, c, &mut all[1]).expect("it is there");
                prop_assert_eq!(&all[0], &all[1]);
            }
        }
        let beside = if image.metadata().is_rgb { 3 } else { 1 };
        prop_assert_eq!(image.interleaved(), beside);
        if let Some(smallest) = image.levels().len().checked_sub(1).filter(|level| *level > 0) {
            prop_assert!(!whole(image, smallest, Plane::default()).is_empty());
        }
    }

    #[test]
    fn damage_is_told_and_nothing_worse(
        at in any::<prop::sample::Index>(),
        byte in any::<u8>(),
        cut in proptest::option::of(any::<prop::sample::Index>()),
        (layout, compress) in layouts(),
    ) {
        let shape = Shape::new([1, 2, 1, 70, 40]).expect("it is small");
        let source = Synthetic::new(shape, SampleType::Uint16, Pattern::Waves, Metadata::default());
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("image.ome.tif");
        let options = Options { layout, compress, channels_first: false, digest: false, rgb: false };
        write(&source, &path, &options, &work(1)).expect("nothing fails");
        let mut bytes = std::fs::read(&path).expect("it is there");
        // Most of a file is pixels: half of the damage is done to what describes them.
        let at = at.index(bytes.len());
        let last = bytes.len() - 1;
        bytes[if byte % 2 == 0 { at } else { last - at % 1500 }] = byte;
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len()));
        }
        std::fs::write(&path, &bytes).expect("it is written");
        for image in open(&path, Limits::of(8 << 20)).into_iter().flatten() {
            for level in 0..image.levels().len() {
                let Shape { y, x, .. } = image.levels()[level].shape;
                let region = Region { plane: Plane::default(), y: 0, x: 0, height: y.min(100), width: x.min(100) };
                let mut samples = vec![0; region.samples() * image.sample_type().bytes()];
                let _ = image.read(level, &region, &mut samples);
            }
        }
    }
}

#[test]
fn a_file_that_was_cut_off_is_no_image() {
    let shape = Shape::new([1, 3, 1, 40, 40]).expect("it is small");
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("image.tif");
    for (rgb, compress) in [(false, Compress::Lzw), (true, Compress::Zstd { level: 1 })] {
        let layout = Layout::Tiles { tile: 16, pyramid: true };
        let options = Options { layout, compress, channels_first: false, digest: false, rgb };
        let source = Synthetic::new(shape, SampleType::Uint8, Pattern::Waves, Metadata::default());
        let whole = bytes(&source, &options, 1);
        // The directories are at the end: the last one ends with a table of offsets or lengths.
        for length in 0..whole.len() {
            std::fs::write(&path, &whole[..length]).expect("it is written");
            let images = open(&path, Limits::default());
            assert!(images.is_err() || length > whole.len() - 160, "{length} of {}", whole.len());
        }
    }
}

/// The bytes of an image that is written by so many threads.
fn bytes(source: &Synthetic, options: &Options, threads: usize) -> Vec<u8> {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("image.ome.tif");
    write(source, &path, options, &work(threads)).expect("nothing fails");
    std::fs::read(&path).expect("it is there")
}

#[test]
fn however_many_threads_there_are_the_bytes_are_the_same() {
    let shape = Shape::new([1, 3, 2, 700, 500]).expect("it is small");
    for (layout, compress) in [
        (Layout::Strip, Compress::None),
        (Layout::Tiles { tile: 32, pyramid: true }, Compress::None),
        (Layout::Tiles { tile: 32, pyramid: true }, Compress::Lzw),
        (Layout::Tiles { tile: 64, pyramid: true }, Compress::Zstd { level: 1 }),
        (Layout::Tiles { tile: 64, pyramid: false }, Compress::Deflate { level: 1 }),
    ] {
        for rgb in [false, true] {
            let options = Options { layout, compress, channels_first: false, digest: false, rgb };
            let source = Synthetic::new(shape, SampleType::Uint8, Pattern::Waves, Metadata::default());
            let alone = bytes(&source, &options, 1);
            for threads in [1, 2, 4, 7] {
                assert!(bytes(&source, &options, threads) == alone, "{options:?} with {threads} threads");
            }
        }
    }
}

#[test]
fn a_picture_in_colour_stays_one_and_three_channels_stay_three() {
    let folder = tempfile::tempdir().expect("a folder");
    let shape = Shape::new([2, 3, 2, 70, 50]).expect("it is small");
    let image = |kind, is_rgb| {
        Synthetic::new(shape, kind, Pattern::Every, Metadata { is_rgb, ..Metadata::default() })
    };
    let options = |rgb| Options {
        layout: Layout::Tiles { tile: 32, pyramid: false },
        compress: Compress::Lzw,
        channels_first: false,
        digest: false,
        rgb,
    };
    for (number, (kind, is_rgb, rgb, expected)) in [
        (SampleType::Uint8, true, false, true),
        (SampleType::Uint16, true, false, true),
        (SampleType::Uint16, false, true, true),
        (SampleType::Uint8, false, false, false),
        (SampleType::Float, true, false, false),
    ]
    .into_iter()
    .enumerate()
    {
        let path = folder.path().join(format!("{number}.ome.tif"));
        write(&image(kind, is_rgb), &path, &options(rgb), &work(2)).expect("nothing fails");
        let images = open(&path, Limits::default()).expect("it is whole");
        assert_eq!(
            (images[0].metadata().is_rgb, images[0].shape()),
            (expected, shape),
            "{kind} {is_rgb} {rgb}"
        );
    }
    let target = folder.path().join("refused.tif");
    let error = write(&image(SampleType::Float, true), &target, &options(true), &work(1));
    assert!(matches!(error, Err(WriteError::Unsupported { .. })), "{error:?}");
    assert!(!target.exists());
}

#[test]
fn a_file_beyond_four_gigabytes_is_a_bigtiff() {
    // Empty: the file has holes and takes no room.
    let shape = Shape::new([1, 1, 5, 30_000, 30_000]).expect("it is small");
    let source = Synthetic::new(shape, SampleType::Uint8, Pattern::Empty, Metadata::default());
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("image.tif");
    let single = Single::new(&path).expect("there is room");
    let options = Options {
        layout: Layout::Strip,
        compress: Compress::None,
        channels_first: false,
        digest: false,
        rgb: false,
    };
    let grid = Grid { tile: 1024, sizes: vec![[shape.y, shape.x]] };
    let writer = Writer {
        file: single.file(),
        target: &path,
        pages: shape,
        pixel: Pixel { bytes: 1, samples: 1 },
        sample_type: source.sample_type(),
        resolution: None,
        grid: &grid,
        options: &options,
        predictor: Predictor::None,
        queue: Queue::new(HEADER + 5 * 900_000_000),
        tables: Vec::new(),
    };
    let (big, bytes) = writer.write_directories(b"a description".to_vec()).expect("there is room");
    assert!(big && bytes > 4_500_000_000);
    single.publish().expect("nothing is in the way");
    let images = open(&path, Limits::default()).expect("it is whole");
    assert_eq!(images[0].shape(), Shape { t: 5, z: 1, ..shape });
    let region = Region { plane: Plane { t: 4, c: 0, z: 0 }, y: 29_999, x: 29_999, height: 1, width: 1 };
    images[0].read(0, &region, &mut [7]).expect("it is there");
}
