//! A scale bar: its length is 1, 2 or 5 times a power of ten, and stands above it.

use super::Picture;
use crate::metadata::Quantity;

/// The letters of a length, three to five columns and five rows each.
const GLYPHS: &[(char, [&str; 5])] = &[
    ('0', ["###", "# #", "# #", "# #", "###"]),
    ('1', [" # ", "## ", " # ", " # ", "###"]),
    ('2', ["###", "  #", "###", "#  ", "###"]),
    ('5', ["###", "#  ", "###", "  #", "###"]),
    ('n', ["   ", "## ", "# #", "# #", "# #"]),
    ('µ', ["   ", "# #", "# #", "## ", "#  "]),
    ('m', ["     ", "#### ", "# # #", "# # #", "# # #"]),
    ('p', ["## ", "# #", "## ", "#  ", "#  "]),
    ('k', ["#  ", "# #", "## ", "# #", "# #"]),
    (' ', ["  ", "  ", "  ", "  ", "  "]),
];

/// How large a dot of a letter is.
const DOT: usize = 2;
/// From the edges.
const MARGIN: usize = 12;
/// How thick the bar is.
const THICK: usize = 4;

/// The units that a bar is told in, and how many make a metre as a power of ten.
const UNITS: [(&str, i32); 6] = [("pm", -12), ("nm", -9), ("µm", -6), ("mm", -3), ("m", 0), ("km", 3)];

/// The longest bar that takes at most so many metres: 1, 2 or 5 times a power of ten, and how it is called.
fn longest(metres: f64) -> Option<(f64, String)> {
    let exponent = metres.log10().floor() as i32;
    let (unit, power) = UNITS.iter().rev().find(|(_, power)| *power <= exponent)?;
    let step = [5, 2, 1].into_iter().find(|step| f64::from(*step) * 10_f64.powi(exponent) <= metres)?;
    let number = step * 10_i32.checked_pow(u32::try_from(exponent - power).ok()?)?;
    Some((f64::from(step) * 10_f64.powi(exponent), format!("{number} {unit}")))
}

/// Draws it into the lower right corner, where there is room. `samples` of the image make a pixel of the picture.
pub(super) fn draw(picture: &mut Picture, size: Quantity, samples: f64) {
    let Some(exponent) = size.unit.and_then(|unit| unit.exponent) else { return };
    let pixel = size.value * samples * 10_f64.powi(exponent.into());
    let Some((metres, label)) = longest(pixel * picture.width as f64 / 4.0) else { return };
    let length = (metres / pixel).round() as usize;
    let text: usize = label.chars().filter_map(glyph).map(|rows| (rows[0].len() + 1) * DOT).sum();
    let room = 5 * DOT + THICK + 3 * MARGIN;
    if length < 8 || picture.height < room || picture.width < length.max(text) + 2 * MARGIN {
        return;
    }
    let (right, bottom) = (picture.width - MARGIN, picture.height - MARGIN);
    let mut place = right - length.max(text);
    let rows = bottom - THICK - MARGIN / 2 - 5 * DOT;
    for letter in label.chars() {
        let Some(glyph) = glyph(letter) else { continue };
        for (row, line) in glyph.iter().enumerate() {
            for (column, dot) in line.bytes().enumerate() {
                if dot == b'#' {
                    fill(picture, [rows + row * DOT, place + column * DOT], [DOT, DOT]);
                }
            }
        }
        place += (glyph[0].len() + 1) * DOT;
    }
    fill(picture, [bottom - THICK, right - length], [THICK, length]);
}

fn glyph(letter: char) -> Option<[&'static str; 5]> {
    GLYPHS.iter().find(|(known, _)| *known == letter).map(|(_, rows)| *rows)
}

/// White, and below and to the right of it black, so that it is seen on both.
fn fill(picture: &mut Picture, [top, left]: [usize; 2], [height, width]: [usize; 2]) {
    for (shift, value) in [(1, 0), (0, 255)] {
        for row in top + shift..(top + shift + height).min(picture.height) {
            let start = (row * picture.width + left + shift) * 3;
            let stop = (row * picture.width + (left + shift + width).min(picture.width)) * 3;
            if let Some(pixels) = picture.pixels.get_mut(start..stop) {
                pixels.fill(value);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_is_a_round_length_that_fits() {
        let told = |metres| longest(metres).map(|(_, label)| label);
        assert_eq!(told(73e-6).as_deref(), Some("50 µm"));
        assert_eq!(told(1.2e-3).as_deref(), Some("1 mm"));
        assert_eq!(told(0.9e-3).as_deref(), Some("500 µm"));
        assert_eq!(told(3.0).as_deref(), Some("2 m"));
        assert_eq!(told(1e-15), None);
        assert!(told(73e-6).is_some_and(|label| label.chars().all(|letter| glyph(letter).is_some())));
    }
}
