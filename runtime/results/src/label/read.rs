//! Where the objects of a label image are.

use std::collections::BTreeMap;

use biomero_export::source::{ReadError, Source};
use biomero_export::{Plane, Region, SampleType};
use thiserror::Error;

/// More objects than people look at: it is no label image then.
const OBJECTS: usize = 200_000;
/// Objects times the planes that they are on.
const PLACES: usize = 2_000_000;
/// Bytes of a band that is read at once.
const BAND: usize = 16 << 20;

/// Why an image gives no regions of interest.
#[derive(Debug, Error)]
pub enum LabelError {
    /// It cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// Its samples are no numbers of objects.
    #[error(
        "it is no label image: in row {row} and column {column} it has the sample {sample}, which numbers nothing"
    )]
    Sample {
        /// Which row.
        row: usize,
        /// Which column.
        column: usize,
        /// What is there.
        sample: f64,
    },
    /// A picture.
    #[error("it is no label image: it is a picture in colour")]
    Colour,
    /// More objects than are drawn.
    #[error("it is no label image, or one of too many objects: there are more than {OBJECTS}")]
    Objects,
    /// More of their planes than are drawn.
    #[error(
        "its objects are on more than {PLACES} planes, counted for each; too many for regions of interest"
    )]
    Places,
    /// A row that memory does not hold.
    #[error("a row of it has more than {BAND} bytes")]
    Wide,
    /// Somebody has stopped it.
    #[error("it was stopped")]
    Cancelled,
}

/// A rectangle of a plane, from its first column and row on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// The plane.
    pub plane: Plane,
    /// The first column.
    pub x: usize,
    /// The first row.
    pub y: usize,
    /// Columns.
    pub width: usize,
    /// Rows.
    pub height: usize,
}

impl Bounds {
    /// Bytes of a bit for each of its samples.
    #[must_use]
    pub const fn bytes(&self) -> usize {
        self.width.saturating_mul(self.height).div_ceil(8)
    }

    const fn cover(&mut self, x: usize, end: usize, y: usize) {
        let right = if self.x + self.width > end { self.x + self.width } else { end };
        let bottom = if self.y + self.height > y + 1 { self.y + self.height } else { y + 1 };
        self.x = if self.x < x { self.x } else { x };
        self.y = if self.y < y { self.y } else { y };
        self.width = right - self.x;
        self.height = bottom - self.y;
    }
}

/// An object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// Its number.
    pub label: u64,
    /// Where it is, on each plane that it is on.
    pub places: Vec<Bounds>,
}

/// The objects of a label image by their numbers; 0 is what is between them, and so is what is less.
///
/// # Errors
/// It cannot be read, or is no label image.
pub fn survey(source: &dyn Source, is_cancelled: &dyn Fn() -> bool) -> Result<Vec<Found>, LabelError> {
    if source.metadata().is_rgb {
        return Err(LabelError::Colour);
    }
    let shape = source.shape();
    let mut found: BTreeMap<u64, Vec<Bounds>> = BTreeMap::new();
    let mut places = 0;
    for number in 0..shape.planes() {
        let plane = shape.plane(number);
        // What runs on in a row, mostly of the object that was there before.
        bands(source, plane, 0..shape.y, is_cancelled, &mut |y, runs| {
            for (label, x, end) in runs {
                if !found.contains_key(label) && found.len() == OBJECTS {
                    return Err(LabelError::Objects);
                }
                let bounds = found.entry(*label).or_default();
                match bounds.last_mut().filter(|last| last.plane == plane) {
                    Some(last) => last.cover(*x, *end, y),
                    None if places == PLACES => return Err(LabelError::Places),
                    None => {
                        places += 1;
                        bounds.push(Bounds { plane, x: *x, y, width: end - x, height: 1 });
                    }
                }
            }
            Ok(())
        })?;
    }
    Ok(found.into_iter().map(|(label, places)| Found { label, places }).collect())
}

/// What a row is given to: its number, and its runs of one label each, from a column up to another, without 0.
pub(super) type Row<'a> = dyn FnMut(usize, &[(u64, usize, usize)]) -> Result<(), LabelError> + 'a;

/// Reads rows of a plane, in bands.
pub(super) fn bands(
    source: &dyn Source,
    plane: Plane,
    rows: std::ops::Range<usize>,
    is_cancelled: &dyn Fn() -> bool,
    row: &mut Row<'_>,
) -> Result<(), LabelError> {
    let kind = source.sample_type();
    let width = source.shape().x;
    let line = width.checked_mul(kind.bytes()).filter(|line| *line <= BAND).ok_or(LabelError::Wide)?;
    // As many as are stored together, or a few times that.
    let tile = source.levels().first().map_or(1, |level| level.tile[0]).max(1);
    let most = (BAND / line.max(1)).max(1);
    let height = if tile < most { most / tile * tile } else { most };
    let mut samples = Vec::new();
    let mut runs = Vec::new();
    let mut y = rows.start;
    while y < rows.end {
        if is_cancelled() {
            return Err(LabelError::Cancelled);
        }
        // Up to a border of tiles, so that none is read twice.
        let height = (height - y % height).min(rows.end - y);
        samples.resize(height * line, 0);
        source.read(0, &Region { plane, y, x: 0, height, width }, &mut samples)?;
        for (number, line) in samples.chunks_exact(line).enumerate() {
            runs.clear();
            collect(kind, line, y + number, &mut runs)?;
            row(y + number, &runs)?;
        }
        y += height;
    }
    Ok(())
}

/// The runs of a row.
fn collect(
    kind: SampleType,
    line: &[u8],
    row: usize,
    runs: &mut Vec<(u64, usize, usize)>,
) -> Result<(), LabelError> {
    /// Samples of a type as numbers of objects.
    macro_rules! of {
        ($type:ty, $label:expr) => {{
            let (mut open, mut start) = (0, 0);
            let samples = line.as_chunks().0;
            for (column, bytes) in samples.iter().enumerate() {
                let label: u64 = $label(<$type>::from_le_bytes(*bytes), column)?;
                if label != open {
                    if open != 0 {
                        runs.push((open, start, column));
                    }
                    (open, start) = (label, column);
                }
            }
            if open != 0 {
                runs.push((open, start, samples.len()));
            }
        }};
    }
    let whole = |sample: f64, column: usize| {
        // Beyond this neighbours are one number.
        match sample.fract() == 0.0 && sample.abs() <= 9_007_199_254_740_992.0 {
            true => Ok(sample.max(0.0) as u64),
            false => Err(LabelError::Sample { row, column, sample }),
        }
    };
    match kind {
        SampleType::Uint8 => of!(u8, |sample, _| Ok::<_, LabelError>(u64::from(sample))),
        SampleType::Uint16 => of!(u16, |sample, _| Ok::<_, LabelError>(u64::from(sample))),
        SampleType::Uint32 => of!(u32, |sample, _| Ok::<_, LabelError>(u64::from(sample))),
        SampleType::Int8 => of!(i8, |sample, _| Ok::<_, LabelError>(u64::try_from(sample).unwrap_or(0))),
        SampleType::Int16 => of!(i16, |sample, _| Ok::<_, LabelError>(u64::try_from(sample).unwrap_or(0))),
        SampleType::Int32 => of!(i32, |sample, _| Ok::<_, LabelError>(u64::try_from(sample).unwrap_or(0))),
        SampleType::Float => of!(f32, |sample, column| whole(f64::from(sample), column)),
        SampleType::Double => of!(f64, whole),
    }
    Ok(())
}

#[cfg(test)]
pub(super) mod tests {
    use biomero_export::source::Level;
    use biomero_export::{Metadata, Shape};

    use super::*;

    /// A label image in memory.
    pub(in crate::label) struct Held {
        pub(in crate::label) kind: SampleType,
        pub(in crate::label) levels: [Level; 1],
        pub(in crate::label) samples: Vec<u8>,
        pub(in crate::label) metadata: Metadata,
    }

    impl Held {
        pub(in crate::label) fn of(shape: [usize; 5], labels: &[u16]) -> Self {
            let shape = Shape::new(shape).expect("it is one");
            let samples = labels.iter().flat_map(|label| label.to_le_bytes()).collect();
            let levels = [Level { shape, tile: [2, 2] }];
            Self { kind: SampleType::Uint16, levels, samples, metadata: Metadata::default() }
        }
    }

    impl Source for Held {
        fn sample_type(&self) -> SampleType {
            self.kind
        }

        fn levels(&self) -> &[Level] {
            &self.levels
        }

        fn metadata(&self) -> &Metadata {
            &self.metadata
        }

        fn storage(&self) -> &str {
            "memory"
        }

        fn memory(&self) -> usize {
            0
        }

        fn read(&self, _: usize, region: &Region, into: &mut [u8]) -> Result<(), ReadError> {
            let shape = self.shape();
            let bytes = self.kind.bytes();
            let start = (shape.number(region.plane) * shape.y + region.y) * shape.x * bytes;
            into.copy_from_slice(&self.samples[start..start + into.len()]);
            Ok(())
        }
    }

    pub(in crate::label) fn never() -> bool {
        false
    }

    #[test]
    fn objects_are_found_with_the_rectangle_that_each_has_on_each_plane() {
        let image = Held::of(
            [1, 1, 2, 3, 4],
            &[0, 7, 7, 0, 0, 0, 7, 2, 0, 0, 0, 2, 0, 0, 0, 0, 7, 0, 0, 0, 0, 0, 0, 0],
        );
        let found = survey(&image, &never).expect("it is one");
        let plane = |z| Plane { t: 0, c: 0, z };
        assert_eq!(
            found,
            [
                Found { label: 2, places: vec![Bounds { plane: plane(0), x: 3, y: 1, width: 1, height: 2 }] },
                Found {
                    label: 7,
                    places: vec![
                        Bounds { plane: plane(0), x: 1, y: 0, width: 2, height: 2 },
                        Bounds { plane: plane(1), x: 0, y: 1, width: 1, height: 1 },
                    ],
                },
            ]
        );
        assert!(matches!(survey(&image, &|| true), Err(LabelError::Cancelled)));
    }

    #[test]
    fn samples_that_number_nothing_are_told_with_their_place() {
        let mut image = Held::of([1, 1, 1, 1, 2], &[]);
        image.kind = SampleType::Float;
        image.samples = [3.0_f32, 0.5].iter().flat_map(|sample| sample.to_le_bytes()).collect();
        let error = survey(&image, &never).expect_err("a half is no object").to_string();
        assert!(error.contains("row 0 and column 1 it has the sample 0.5"), "{error}");
        image.samples = [3.0_f32, -1.0].iter().flat_map(|sample| sample.to_le_bytes()).collect();
        assert_eq!(survey(&image, &never).expect("whole numbers").len(), 1);
        image.samples = [f32::NAN, 1.0].iter().flat_map(|sample| sample.to_le_bytes()).collect();
        assert!(survey(&image, &never).is_err());
        image.metadata.is_rgb = true;
        assert!(matches!(survey(&image, &never), Err(LabelError::Colour)));
    }
}
