//! Which page holds which plane: as OME-XML says, as ImageJ counts, or one point in time after the other.

use std::collections::HashMap;

use crate::metadata::{Metadata, Quantity, Unit};
use crate::ome::{Block, Pixels};
use crate::shape::{Plane, Shape};

/// A page of one of the files of an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    pub(crate) file: usize,
    pub(crate) page: usize,
}

/// The page of each plane. A plane of an image with several samples a pixel stands for all their channels.
pub(crate) type Pages = HashMap<Plane, Place>;

/// The planes of an image by its `TiffData`, whose pixels have so many samples. `pages` tells which of the files one is, and how
/// many pages it has; planes of a file that is not there are left out.
pub(crate) fn of_ome(
    pixels: &Pixels,
    pages: impl Fn(&Option<String>) -> Option<(usize, usize)>,
    samples: usize,
) -> Result<Pages, String> {
    let [t, c, z, ..] = pixels.sides;
    if samples == 0 || c % samples != 0 {
        return Err(format!("it has {c} channels in pixels of {samples} samples"));
    }
    let sides = [t, c / samples, z];
    let mut found = Pages::new();
    let everything = [Block::default()];
    let blocks = if pixels.blocks.is_empty() { &everything[..] } else { &pixels.blocks };
    for block in blocks {
        let Some((file, pages)) = pages(&block.file) else { continue };
        let first = block.ifd.unwrap_or(0);
        // Without a number of planes: one where the page is named, all pages where it is not.
        let count = block.count.unwrap_or(if block.ifd.is_some() { 1 } else { pages });
        let mut place = block.first;
        for page in first..first.saturating_add(count) {
            if page >= pages {
                if block.count.is_none() && block.ifd.is_none() {
                    break;
                }
                return Err(format!("its OME-XML names page {page}, and there are {pages}"));
            }
            if place.iter().zip(sides).any(|(index, side)| *index >= side) {
                // More pages than planes: the rest belongs to nobody.
                if block.count.is_none() {
                    break;
                }
                return Err("its OME-XML has more planes than its sizes allow".to_owned());
            }
            let [t, c, z] = place;
            found.insert(Plane { t, c, z }, Place { file, page });
            step(&mut place, sides, pixels.order);
        }
    }
    Ok(found)
}

/// To the next plane: the fastest axis first; the slowest goes on beyond its end.
fn step(place: &mut [usize; 3], sides: [usize; 3], order: [usize; 3]) {
    let [fastest, middle, slowest] = order;
    place[fastest] += 1;
    if place[fastest] < sides[fastest] {
        return;
    }
    place[fastest] = 0;
    place[middle] += 1;
    if place[middle] < sides[middle] {
        return;
    }
    place[middle] = 0;
    place[slowest] += 1;
}

/// What ImageJ writes into the description of the first page: `ImageJ=1.53t`, then a line for each number.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct ImageJ {
    channels: usize,
    slices: usize,
    frames: usize,
    /// The unit of the resolution.
    pub(crate) unit: Option<&'static Unit>,
    spacing: Option<f64>,
    interval: Option<f64>,
}

impl ImageJ {
    /// Reads a description; `None` where it is none of ImageJ's.
    pub(crate) fn read(text: &str) -> Option<Self> {
        let mut lines = text.lines();
        lines.next()?.strip_prefix("ImageJ=")?;
        let values: HashMap<&str, &str> = lines.filter_map(|line| line.split_once('=')).collect();
        let count = |name: &str| values.get(name).and_then(|value| value.trim().parse::<usize>().ok());
        let number = |name: &str| values.get(name).and_then(|value| value.trim().parse::<f64>().ok());
        let (channels, frames) = (count("channels").unwrap_or(1), count("frames").unwrap_or(1));
        let slices = count("slices").unwrap_or_else(|| {
            // A plain stack says only how many images there are.
            if channels == 1 && frames == 1 { count("images").unwrap_or(1) } else { 1 }
        });
        let unit = values.get("unit").and_then(|unit| match unit.trim() {
            "micron" | "um" | "\\u00B5m" => Unit::length("µm"),
            other => Unit::length(other),
        });
        Some(Self {
            channels,
            slices,
            frames,
            unit,
            spacing: number("spacing"),
            interval: number("finterval"),
        })
    }

    /// The sides before y and x, in pixels of so many samples.
    pub(crate) const fn sides(&self, samples: usize) -> [usize; 3] {
        // Of interleaved pixels ImageJ counts the samples as no channels.
        [self.frames, self.channels.saturating_mul(samples), self.slices]
    }

    /// The planes: channels are the fastest, then slices.
    pub(crate) fn planes(&self) -> Pages {
        let shape = Shape { t: self.frames, c: self.channels, z: self.slices, y: 1, x: 1 };
        let planes = (0..shape.planes()).map(|page| {
            let (c, rest) = (page % shape.c, page / shape.c);
            (Plane { t: rest / shape.z, c, z: rest % shape.z }, Place { file: 0, page })
        });
        planes.collect()
    }

    /// How many pages there have to be; `None` beyond what can be counted.
    pub(crate) fn pages(&self) -> Option<usize> {
        self.frames.checked_mul(self.channels)?.checked_mul(self.slices).filter(|pages| *pages > 0)
    }

    /// Sizes, from the width and height of a pixel.
    pub(crate) fn metadata(&self, x: Option<f64>, y: Option<f64>) -> Metadata {
        let size = |value: Option<f64>| value.and_then(|value| Quantity::new(value, self.unit));
        Metadata {
            x: size(x.filter(|_| self.unit.is_some())),
            y: size(y.filter(|_| self.unit.is_some())),
            z: size(self.spacing.filter(|_| self.unit.is_some())),
            t: self.interval.and_then(|value| Quantity::new(value, Unit::time("s"))),
            ..Metadata::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of_one_file(pixels: &Pixels, pages: usize, samples: usize) -> Result<HashMap<Plane, usize>, String> {
        let found = of_ome(pixels, |_| Some((0, pages)), samples)?;
        Ok(found.into_iter().map(|(plane, place)| (plane, place.page)).collect())
    }

    fn pixels(sides: [usize; 5], order: [usize; 3], blocks: Vec<Block>) -> Pixels {
        Pixels { sides, order, blocks, ..Pixels::default() }
    }

    #[test]
    fn planes_are_where_the_order_of_dimensions_puts_them() {
        let all = of_one_file(&pixels([2, 3, 4, 1, 1], [1, 2, 0], vec![Block::default()]), 24, 1);
        let all = all.expect("it makes sense");
        assert_eq!(all.len(), 24);
        assert_eq!(all[&Plane { t: 0, c: 1, z: 0 }], 1);
        assert_eq!(all[&Plane { t: 1, c: 0, z: 2 }], 18);
        let colour =
            of_one_file(&pixels([2, 3, 1, 1, 1], [1, 2, 0], Vec::new()), 2, 3).expect("it makes sense");
        assert_eq!(colour[&Plane { t: 1, c: 0, z: 0 }], 1);
    }

    #[test]
    fn blocks_begin_where_they_say_and_planes_may_be_missing() {
        let block = |ifd, z, count| Block { ifd: Some(ifd), first: [0, 0, z], count, file: None };
        let blocks = vec![block(5, 0, Some(2)), block(0, 3, None)];
        let found = of_one_file(&pixels([1, 1, 4, 1, 1], [2, 1, 0], blocks), 8, 1).expect("it makes sense");
        let page = |z| found.get(&Plane { t: 0, c: 0, z }).copied();
        assert_eq!([page(0), page(1), page(2), page(3)], [Some(5), Some(6), None, Some(0)]);
    }

    #[test]
    fn a_file_that_promises_what_it_has_not_is_told() {
        let block = |count| Block { ifd: Some(0), first: [0, 0, 0], count: Some(count), file: None };
        for (sides, count, samples) in [
            ([1, 1, 4, 1, 1], 9, 1),
            ([1, 1, 2, 1, 1], 3, 1),
            ([1, 1, 4, 1, 1], usize::MAX, 1),
            ([1, 4, 1, 1, 1], 1, 3),
        ] {
            let refused = of_one_file(&pixels(sides, [2, 1, 0], vec![block(count)]), 8, samples);
            assert!(refused.is_err(), "{sides:?} {count}");
        }
    }

    #[test]
    fn planes_of_several_files_are_counted_in_each() {
        let block =
            |file: &str, z| Block { first: [0, 0, z], file: Some(file.to_owned()), ..Block::default() };
        let blocks = vec![block("b", 2), block("a", 0), block("gone", 4)];
        let pages = |name: &Option<String>| match name.as_deref() {
            Some("a") => Some((0, 2)),
            Some("b") => Some((1, 2)),
            _ => None,
        };
        let found = of_ome(&pixels([1, 1, 6, 1, 1], [2, 1, 0], blocks), pages, 1).expect("it makes sense");
        assert_eq!(found.len(), 4);
        assert_eq!(found[&Plane { t: 0, c: 0, z: 3 }], Place { file: 1, page: 1 });
    }

    #[test]
    fn imagej_counts_channels_first() {
        let text = "ImageJ=1.53t\nimages=12\nchannels=2\nslices=3\nframes=2\nunit=\\u00B5m\nspacing=0.5\nfinterval=3\n";
        let found = ImageJ::read(text).expect("it is ImageJ's");
        assert_eq!((found.sides(1), found.pages()), ([2, 2, 3], Some(12)));
        assert_eq!(found.planes()[&Plane { t: 1, c: 1, z: 2 }], Place { file: 0, page: 11 });
        let metadata = found.metadata(Some(0.1), None);
        assert_eq!(metadata.z.map(|size| size.to_string()).as_deref(), Some("0.5 µm"));
        assert_eq!(ImageJ::read("ImageJ=1.53t\nimages=7\n").map(|found| found.sides(1)), Some([1, 1, 7]));
        assert_eq!(ImageJ::read("something else"), None);
    }
}
