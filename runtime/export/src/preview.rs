//! A small picture of an image: what one looks at to see that it is the right one.
//!
//! The middle of the stack at the first point in time, all channels in their colours added up, each from its darkest to its
//! brightest but for two in a thousand samples; a bar where the size of a pixel is known.

mod bar;
mod png;

use std::path::Path;

use crate::publish::Single;
use crate::sample::SampleType;
use crate::shape::{Plane, Region, Shape};
use crate::source::{Level, ReadError, Source};
use crate::write_error::WriteError;

/// The longer side, in pixels.
const SIDE: usize = 512;
/// Of an image with more, the first are shown.
const CHANNELS: usize = 8;
/// The part of all samples that may be darker than dark, and the part that may be brighter than bright.
const CLIPPED: f64 = 0.002;

/// A picture: red, green, blue, row after row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Picture {
    /// Pixels in a row.
    pub width: usize,
    /// Rows.
    pub height: usize,
    /// Three bytes a pixel.
    pub pixels: Vec<u8>,
}

/// Draws an image.
///
/// # Errors
/// It cannot be read.
pub fn draw(source: &dyn Source) -> Result<Picture, ReadError> {
    let full = source.shape();
    // The smallest level that is large enough; the image itself where there is none.
    let number =
        source.levels().iter().rposition(|level| level.shape.y.max(level.shape.x) >= SIDE).unwrap_or(0);
    let level = source.levels().get(number).copied().unwrap_or(Level { shape: full, tile: [1, 1] });
    let longest = level.shape.y.max(level.shape.x);
    let scaled = |side: usize| if longest <= SIDE { side } else { (side * SIDE / longest).max(1) };
    let (height, width) = (scaled(level.shape.y), scaled(level.shape.x));
    let channels = full.c.min(CHANNELS);
    let mut light = vec![[0.0_f64; 3]; height * width];
    for channel in 0..channels {
        let plane = Plane { t: 0, c: channel, z: level.shape.z / 2 };
        let samples = sampled(source, number, &level, plane, [height, width])?;
        let (dark, bright) = contrast(source.sample_type(), &samples);
        let colour = source.metadata().colour(channel, full.c).0;
        for (light, sample) in light.iter_mut().zip(&samples) {
            let share = ((sample - dark) / (bright - dark)).clamp(0.0, 1.0);
            // What is no number is dark.
            let share = if share.is_nan() { 0.0 } else { share };
            for (light, colour) in light.iter_mut().zip(colour) {
                *light += share * f64::from(colour);
            }
        }
    }
    let pixels = light.iter().flat_map(|light| light.map(|light| light.min(255.0) as u8)).collect();
    let mut picture = Picture { width, height, pixels };
    if let Some(size) = source.metadata().x {
        bar::draw(&mut picture, size, full.x as f64 / width as f64);
    }
    Ok(picture)
}

/// Draws an image as the bytes of a PNG file.
///
/// # Errors
/// It cannot be read.
pub fn png(source: &dyn Source) -> Result<Vec<u8>, ReadError> {
    draw(source).map(|picture| png::encode(&picture))
}

/// Draws an image into a PNG file that is not there yet.
///
/// # Errors
/// The image cannot be read, or the file not written.
pub fn save(source: &dyn Source, path: &Path) -> Result<(), WriteError> {
    let picture = draw(source)?;
    let single = Single::new(path)?;
    std::io::Write::write_all(&mut single.file(), &png::encode(&picture))
        .map_err(WriteError::io("write", path))?;
    single.publish()
}

/// Some samples of a plane, at even distances: read block by block, and of each no more than lies between its first and its
/// last sample, so that no plane is ever held.
fn sampled(
    source: &dyn Source,
    number: usize,
    level: &Level,
    plane: Plane,
    [height, width]: [usize; 2],
) -> Result<Vec<f64>, ReadError> {
    let Shape { y: rows, x: columns, .. } = level.shape;
    let bytes = source.sample_type().bytes();
    let block = [level.tile[0].clamp(64, 1024), level.tile[1].clamp(64, 4096)];
    // The middle of what a pixel stands for.
    let place = |pixel: usize, pixels: usize, side: usize| (2 * pixel + 1) * side / (2 * pixels);
    let mut samples = vec![0.0; height * width];
    let mut buffer = Vec::new();
    let mut row = 0;
    while row < height {
        let top = place(row, height, rows);
        let next = (top / block[0] + 1) * block[0];
        let end = (row..height).find(|row| place(*row, height, rows) >= next).unwrap_or(height);
        let bottom = place(end - 1, height, rows) + 1;
        let mut column = 0;
        while column < width {
            let left = place(column, width, columns);
            let next = (left / block[1] + 1) * block[1];
            let stop = (column..width).find(|column| place(*column, width, columns) >= next).unwrap_or(width);
            let right = place(stop - 1, width, columns) + 1;
            let region = Region { plane, y: top, x: left, height: bottom - top, width: right - left };
            buffer.resize(region.samples() * bytes, 0);
            source.read(number, &region, &mut buffer)?;
            for row in row..end {
                for column in column..stop {
                    let y = place(row, height, rows) - top;
                    let x = place(column, width, columns) - left;
                    let sample = &buffer[(y * region.width + x) * bytes..][..bytes];
                    samples[row * width + column] =
                        source.sample_type().numbers(sample).next().unwrap_or_default();
                }
            }
            column = stop;
        }
        row = end;
    }
    Ok(samples)
}

/// What is dark and what is bright.
fn contrast(sample_type: SampleType, samples: &[f64]) -> (f64, f64) {
    let mut sorted: Vec<f64> = samples.iter().copied().filter(|sample| sample.is_finite()).collect();
    sorted.sort_by(f64::total_cmp);
    let clipped = (sorted.len() as f64 * CLIPPED) as usize;
    let dark = sorted.get(clipped).copied().unwrap_or_default();
    let bright = sorted.len().checked_sub(clipped + 1).and_then(|last| sorted.get(last)).copied();
    match bright {
        Some(bright) if bright > dark => (dark, bright),
        // Of one value: as bright as the range of the type has it.
        _ => {
            let (low, high) = sample_type.range();
            (low, high.max(low + 1.0))
        }
    }
}

#[cfg(test)]
mod tests;
