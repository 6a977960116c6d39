//! How many pixels a centimetre has: what programs read that know no OME-XML.

use crate::metadata::{Metadata, Quantity};

/// Of x and y, as fractions; `None` where one of them is not known, or beyond what a fraction of 32 bits holds.
pub(super) fn of(metadata: &Metadata) -> Option<[[u32; 2]; 2]> {
    Some([fraction(pixels(metadata.x?)?)?, fraction(pixels(metadata.y?)?)?])
}

/// Pixels in a centimetre.
fn pixels(size: Quantity) -> Option<f64> {
    let exponent = size.unit?.exponent?;
    Some(1.0 / (size.value * 10_f64.powi(i32::from(exponent) + 2)))
}

/// The closest fraction below a power of ten, so that what people see of it are decimal digits.
fn fraction(number: f64) -> Option<[u32; 2]> {
    (0..=9).rev().map(|digits| 10_u32.pow(digits)).find_map(|below| {
        let above = (number * f64::from(below)).round();
        (above >= 1.0 && above <= f64::from(u32::MAX)).then_some([above as u32, below])
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metadata::Unit;

    #[test]
    fn sizes_become_pixels_in_a_centimetre() {
        let size = |value, unit| Quantity::new(value, Unit::length(unit));
        let both = |x, y| of(&Metadata { x, y, ..Metadata::default() });
        let found = both(size(0.25, "µm"), size(500.0, "nm"));
        assert_eq!(found, Some([[4_000_000_000, 100_000], [2_000_000_000, 100_000]]));
        assert_eq!(
            both(size(2.0, "cm"), size(1.0, "m")),
            Some([[500_000_000, 1_000_000_000], [10_000_000, 1_000_000_000]])
        );
        for (x, y) in [
            (size(0.25, "µm"), None),
            (size(1.0, "pixel"), size(1.0, "µm")),
            (size(1.0, "inch"), size(1.0, "inch")),
            (size(1e-30, "µm"), size(1.0, "µm")),
            (size(1e30, "µm"), size(1.0, "µm")),
        ] {
            assert_eq!(both(x, y), None, "{x:?} {y:?}");
        }
    }
}
