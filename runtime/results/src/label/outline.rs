//! The outline of a mask: polygons along the borders of its samples.

use super::mask::{Bits, Mask};

/// Where an outline goes on to, clockwise with rows going down: right, down, left, up.
const STEPS: [(i64, i64); 4] = [(1, 0), (0, 1), (-1, 0), (0, -1)];

/// The outlines of the pieces of a mask, each as its corners, column and row; a corner is where four samples meet. Samples that only
/// touch by a corner are two pieces. Holes are not drawn: a polygon of OMERO has none.
#[must_use]
pub fn polygons(mask: &Mask) -> Vec<Vec<[i64; 2]>> {
    let (width, height) = (mask.bounds.width, mask.bounds.height);
    let mut seen = Bits::new(width, height);
    let mut outlines = Vec::new();
    for row in 0..height {
        for column in 0..width {
            if mask.bits.get(row, column) && !seen.get(row, column) {
                fill(&mask.bits, &mut seen, row, column, width, height);
                let left = mask.bounds.x as i64;
                let top = mask.bounds.y as i64;
                let corners = around(&mask.bits, row as i64, column as i64);
                outlines.push(corners.into_iter().map(|[x, y]| [x + left, y + top]).collect());
            }
        }
    }
    outlines
}

/// Notes the piece that a sample belongs to.
fn fill(bits: &Bits, seen: &mut Bits, row: usize, column: usize, width: usize, height: usize) {
    let mut waiting = vec![(row, column)];
    seen.set(row, column, column + 1);
    while let Some((row, column)) = waiting.pop() {
        let mut visit = |row: usize, column: usize| {
            if row < height && column < width && bits.get(row, column) && !seen.get(row, column) {
                seen.set(row, column, column + 1);
                waiting.push((row, column));
            }
        };
        visit(row, column + 1);
        visit(row + 1, column);
        if column > 0 {
            visit(row, column - 1);
        }
        if row > 0 {
            visit(row - 1, column);
        }
    }
}

/// Goes around a piece, from the upper left corner of its first sample on, with the piece on the right hand.
fn around(bits: &Bits, row: i64, column: i64) -> Vec<[i64; 2]> {
    let is_in = |row: i64, column: i64| match (usize::try_from(row), usize::try_from(column)) {
        (Ok(row), Ok(column)) => bits.get(row, column),
        _ => false,
    };
    let (mut x, mut y, mut step) = (column, row, 0);
    let mut corners = vec![[x, y]];
    loop {
        let (right, down) = STEPS[step];
        (x, y) = (x + right, y + down);
        // The samples ahead, on the left and on the right hand.
        let (ahead_left, ahead_right) = match step {
            0 => (is_in(y - 1, x), is_in(y, x)),
            1 => (is_in(y, x), is_in(y, x - 1)),
            2 => (is_in(y, x - 1), is_in(y - 1, x - 1)),
            _ => (is_in(y - 1, x - 1), is_in(y - 1, x)),
        };
        let next = match (ahead_left, ahead_right) {
            // What touches by a corner only is another piece.
            (_, false) => (step + 1) % 4,
            (false, true) => step,
            (true, true) => (step + 3) % 4,
        };
        if (x, y) == (column, row) && next == 0 {
            return corners;
        }
        if next != step {
            corners.push([x, y]);
        }
        step = next;
    }
}

#[cfg(test)]
mod tests {
    use biomero_export::Plane;
    use biomero_export::roi::Outline;
    use proptest::prelude::*;

    use super::super::read::Bounds;
    use super::*;

    fn mask(rows: &[&str]) -> Mask {
        let (width, height) = (rows[0].len(), rows.len());
        let mut bits = Bits::new(width, height);
        for (row, line) in rows.iter().enumerate() {
            line.bytes().enumerate().filter(|(_, byte)| *byte == b'#').for_each(|(column, _)| {
                bits.set(row, column, column + 1);
            });
        }
        Mask { bounds: Bounds { plane: Plane::default(), x: 10, y: 20, width, height }, bits }
    }

    #[test]
    fn an_outline_goes_around_samples_by_their_corners() {
        assert_eq!(polygons(&mask(&["#"])), [[[10, 20], [11, 20], [11, 21], [10, 21]]]);
        let corners = [[10, 20], [12, 20], [12, 21], [11, 21], [11, 22], [10, 22]];
        assert_eq!(polygons(&mask(&["##", "#."])), [corners]);
        // By a corner only: two.
        assert_eq!(polygons(&mask(&["#.", ".#"])).len(), 2);
        assert_eq!(polygons(&mask(&[".#", "#."])).len(), 2);
        // Around a hole, which has no outline.
        assert_eq!(polygons(&mask(&["###", "#.#", "###"])), [[[10, 20], [13, 20], [13, 23], [10, 23]]]);
    }

    proptest! {
        /// What the polygons enclose, by even and odd, is the mask with its holes filled.
        #[test]
        fn polygons_enclose_the_mask(samples in prop::collection::vec(any::<bool>(), 42)) {
            let rows: Vec<String> = samples.chunks(7).map(|row| row.iter().map(|is| if *is { '#' } else { '.' }).collect()).collect();
            let rows: Vec<&str> = rows.iter().map(String::as_str).collect();
            let mask = mask(&rows);
            let polygons = polygons(&mask);
            for row in 0..6 {
                for column in 0..7 {
                    // The middle of the sample, where corners are whole numbers.
                    let inside = polygons.iter().any(|corners| encloses(corners, column + 10, row + 20));
                    if mask.bits.get(row as usize, column as usize) {
                        prop_assert!(inside);
                    }
                    if inside {
                        // Either in the mask or in a hole: there is no way out of it.
                        prop_assert!(mask.bits.get(row as usize, column as usize) || is_hole(&mask, row as usize, column as usize));
                    }
                }
            }
            for corners in &polygons {
                prop_assert!(Outline::polygon(&corners.iter().map(|[x, y]| [*x as f64, *y as f64]).collect::<Vec<_>>()).is_some());
            }
        }
    }

    fn encloses(corners: &[[i64; 2]], column: i64, row: i64) -> bool {
        let mut inside = false;
        for (number, [x, y]) in corners.iter().enumerate() {
            let [_, next] = corners[(number + 1) % corners.len()];
            // Borders that go up or down, to the left of the sample's middle.
            if *x <= column && (*y).min(next) <= row && row < (*y).max(next) {
                inside = !inside;
            }
        }
        inside
    }

    /// Whether one cannot get out from here, also by corners.
    fn is_hole(mask: &Mask, row: usize, column: usize) -> bool {
        let mut seen = vec![false; 42];
        let mut waiting = vec![(row as i64, column as i64)];
        while let Some((row, column)) = waiting.pop() {
            if !(0..6).contains(&row) || !(0..7).contains(&column) {
                return false;
            }
            let place = (row * 7 + column) as usize;
            if mask.bits.get(row as usize, column as usize) || std::mem::replace(&mut seen[place], true) {
                continue;
            }
            waiting.extend([(row + 1, column), (row - 1, column), (row, column + 1), (row, column - 1)]);
        }
        true
    }
}
