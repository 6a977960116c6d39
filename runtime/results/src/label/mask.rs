//! What objects look like: a bit for each sample of a rectangle.

use std::collections::BTreeMap;

use biomero_export::source::Source;

use super::read::{Bounds, Found, LabelError, bands};

/// Bits in the order in which OMERO's masks have them: row after row without gaps, the first is the highest of the first byte.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bits {
    width: usize,
    bytes: Vec<u8>,
}

impl Bits {
    /// None of them set.
    #[must_use]
    pub fn new(width: usize, height: usize) -> Self {
        Self { width, bytes: vec![0; width.saturating_mul(height).div_ceil(8)] }
    }

    /// Sets those of a row from a column up to another.
    pub fn set(&mut self, row: usize, from: usize, to: usize) {
        let (first, last) = (row * self.width + from, row * self.width + to);
        // Whole bytes at once, and the bits before and behind them.
        let (inner, outer) = (first.div_ceil(8), last / 8);
        if inner > outer {
            return self.set_each(first, last);
        }
        self.set_each(first, inner * 8);
        if let Some(whole) = self.bytes.get_mut(inner..outer) {
            whole.fill(0xff);
        }
        self.set_each(outer * 8, last);
    }

    fn set_each(&mut self, from: usize, to: usize) {
        for bit in from..to {
            if let Some(byte) = self.bytes.get_mut(bit / 8) {
                *byte |= 0x80 >> (bit % 8);
            }
        }
    }

    /// Whether one is set.
    #[must_use]
    pub fn get(&self, row: usize, column: usize) -> bool {
        let bit = row * self.width + column;
        column < self.width && self.bytes.get(bit / 8).is_some_and(|byte| byte & (0x80 >> (bit % 8)) != 0)
    }

    /// All of them.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// All of them, to be sent.
    #[must_use]
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }
}

/// What an object looks like on a plane, or a part of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mask {
    /// Where.
    pub bounds: Bounds,
    /// Which samples of it are the object's.
    pub bits: Bits,
}

/// The masks of these objects, by their numbers; those of more than `largest` bytes in strips of rows.
///
/// # Errors
/// The image cannot be read any more.
pub fn masks(
    source: &dyn Source,
    objects: &[Found],
    largest: usize,
    is_cancelled: &dyn Fn() -> bool,
) -> Result<BTreeMap<u64, Vec<Mask>>, LabelError> {
    let mut masks: BTreeMap<u64, Vec<Mask>> = objects
        .iter()
        .map(|object| {
            let places = object.places.iter().flat_map(|bounds| strips(*bounds, largest));
            let masks = places.map(|bounds| Mask { bounds, bits: Bits::new(bounds.width, bounds.height) });
            (object.label, masks.collect())
        })
        .collect();
    // Planes in their order, and of each the rows that any of the objects is in.
    let shape = source.shape();
    let mut rows: BTreeMap<usize, (usize, usize)> = BTreeMap::new();
    for bounds in objects.iter().flat_map(|object| &object.places) {
        let end = bounds.y + bounds.height;
        let (first, last) = rows.entry(shape.number(bounds.plane)).or_insert((bounds.y, end));
        (*first, *last) = ((*first).min(bounds.y), (*last).max(end));
    }
    for (number, (first, last)) in rows {
        let plane = shape.plane(number);
        bands(source, plane, first..last, is_cancelled, &mut |y, runs| {
            for (label, x, end) in runs {
                let Some(masks) = masks.get_mut(label) else { continue };
                let at = masks.partition_point(|mask| {
                    let bounds = mask.bounds;
                    (shape.number(bounds.plane), bounds.y + bounds.height) <= (number, y)
                });
                if let Some(Mask { bounds, bits }) = masks.get_mut(at)
                    && bounds.plane == plane
                    && y >= bounds.y
                    && *x >= bounds.x
                    && *end <= bounds.x + bounds.width
                {
                    bits.set(y - bounds.y, x - bounds.x, end - bounds.x);
                }
            }
            Ok(())
        })?;
    }
    Ok(masks)
}

/// A rectangle in strips of so many bytes of bits each, at least a row.
fn strips(bounds: Bounds, largest: usize) -> impl Iterator<Item = Bounds> {
    let rows = if bounds.bytes() <= largest {
        bounds.height
    } else {
        (largest.saturating_mul(8) / bounds.width.max(1)).clamp(1, bounds.height.max(1))
    };
    (0..bounds.height).step_by(rows.max(1)).map(move |row| Bounds {
        y: bounds.y + row,
        height: rows.min(bounds.height - row),
        ..bounds
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::read::survey;
    use super::super::read::tests::{Held, never};
    use super::*;

    #[test]
    fn bits_run_on_over_the_ends_of_rows() {
        let mut bits = Bits::new(3, 2);
        bits.set(0, 1, 3);
        bits.set(1, 0, 1);
        assert_eq!(bits.bytes(), [0b0111_0000]);
        assert!(bits.get(0, 1) && bits.get(1, 0) && !bits.get(1, 1) && !bits.get(0, 3));
    }

    proptest! {
        /// As one bit after the other, which is what numpy's `packbits` does with a flat array.
        #[test]
        fn runs_are_packed_as_single_bits_are(width in 1_usize..40, height in 1_usize..6, runs in prop::collection::vec((0_usize..6, 0_usize..40, 0_usize..40), 0..8)) {
            let mut bits = Bits::new(width, height);
            let mut flat = vec![false; width * height];
            for (row, from, to) in runs {
                let (row, from, to) = (row % height, from.min(width), to.min(width));
                if from < to {
                    bits.set(row, from, to);
                    flat[row * width + from..row * width + to].fill(true);
                }
            }
            let packed: Vec<u8> = flat.chunks(8).map(|bits| {
                bits.iter().enumerate().fold(0, |byte, (number, bit)| byte | (u8::from(*bit) << (7 - number)))
            }).collect();
            prop_assert_eq!(bits.bytes(), packed.as_slice());
        }

        /// Every sample is in the mask of its number, whatever the strips are, and in no other.
        #[test]
        fn masks_are_the_image(
            labels in prop::collection::vec(0_u16..4, 2 * 2 * 5 * 7),
            largest in 1_usize..6,
        ) {
            let image = Held::of([2, 1, 2, 5, 7], &labels);
            let found = survey(&image, &never).expect("it is one");
            let masks = masks(&image, &found, largest, &never).expect("it is one");
            let mut drawn = vec![0_u16; labels.len()];
            for (label, masks) in masks {
                for Mask { bounds, bits } in masks {
                    prop_assert!(bits.bytes().len() <= largest.max(1) || bounds.height == 1);
                    for row in 0..bounds.height {
                        for column in (0..bounds.width).filter(|column| bits.get(row, *column)) {
                            let place = (image.shape().number(bounds.plane) * 5 + bounds.y + row) * 7 + bounds.x + column;
                            prop_assert_eq!(drawn[place], 0);
                            drawn[place] = label as u16;
                        }
                    }
                }
            }
            prop_assert_eq!(drawn, labels);
        }
    }
}
