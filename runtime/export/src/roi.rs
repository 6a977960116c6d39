//! Regions of interest: what people and programs have drawn on an image, and which samples of a row lie within.

/// A region of interest: figures that are one thing.
#[derive(Debug, Clone, PartialEq)]
pub struct Roi {
    /// Its id, by which it is ordered.
    pub id: u64,
    /// What it consists of.
    pub figures: Vec<Figure>,
}

/// An outline on some planes of an image: what OMERO calls a shape.
#[derive(Debug, Clone, PartialEq)]
pub struct Figure {
    /// Its id.
    pub id: u64,
    /// What is written beside it.
    pub text: Option<String>,
    /// Red, green, blue and alpha within it.
    pub fill: Option<[u8; 4]>,
    /// The point in time that it is drawn on; `None` for all.
    pub t: Option<usize>,
    /// The depth that it is drawn on; `None` for all.
    pub z: Option<usize>,
    /// Its form.
    pub outline: Outline,
}

/// A form on a plane. Samples are points: that in row y and column x is the point (x, y).
#[derive(Debug, Clone, PartialEq)]
pub enum Outline {
    /// A bit for each sample of a rectangle, row after row without gaps; the first is the highest of the first byte.
    Mask {
        /// The first column.
        x: i64,
        /// The first row.
        y: i64,
        /// Columns.
        width: usize,
        /// Rows.
        height: usize,
        /// The bits; what is missing is 0.
        bits: Vec<u8>,
    },
    /// A polygon by its corners, x and y, which are whole numbers. Where it crosses itself, what it goes around twice is outside.
    Polygon(Vec<[i64; 2]>),
    /// From this column and row on, so many of them.
    Rectangle {
        /// The first column.
        x: i64,
        /// The first row.
        y: i64,
        /// Columns.
        width: i64,
        /// Rows.
        height: i64,
    },
    /// An ellipse with its axes along those of the image.
    Ellipse {
        /// The column of its centre.
        x: f64,
        /// The row of its centre.
        y: f64,
        /// Half of its width.
        radius_x: f64,
        /// Half of its height.
        radius_y: f64,
    },
}

/// No coordinate is farther from 0: computing with them does not overflow.
const FARTHEST: f64 = 2_147_483_648.0;

/// A coordinate; `None` where it is none that an image can have.
fn coordinate(number: f64) -> Option<f64> {
    (number.abs() <= FARTHEST).then_some(number)
}

impl Outline {
    /// A mask, whose place and size are cut to whole numbers; its bits are still to come.
    #[must_use]
    pub fn mask([x, y, width, height]: [f64; 4]) -> Option<Self> {
        // As omero-cli-zarr: toward zero.
        let whole = |number: f64| coordinate(number).map(|number| number as i64);
        let side = |number: f64| usize::try_from(whole(number)?).ok();
        Some(Self::Mask {
            x: whole(x)?,
            y: whole(y)?,
            width: side(width)?,
            height: side(height)?,
            bits: Vec::new(),
        })
    }

    /// A rectangle with corners anywhere.
    #[must_use]
    pub fn rectangle(sides: [f64; 4]) -> Option<Self> {
        let near = |number: f64| coordinate(number).map(|number| number.round_ties_even() as i64);
        let [x, y, width, height] = sides.map(near);
        Some(Self::Rectangle { x: x?, y: y?, width: width?, height: height? })
    }

    /// An ellipse; `None` where it has no width or no height.
    #[must_use]
    pub fn ellipse([x, y, radius_x, radius_y]: [f64; 4]) -> Option<Self> {
        let is_form = radius_x > 0.0 && radius_y > 0.0;
        let (radius_x, radius_y) = (coordinate(radius_x)?, coordinate(radius_y)?);
        is_form.then_some(Self::Ellipse { x: coordinate(x)?, y: coordinate(y)?, radius_x, radius_y })
    }

    /// A polygon by its corners as OME-XML and OMERO write them: `10,20 50,150`, also with commas between the pairs.
    #[must_use]
    pub fn polygon_of(points: &str) -> Option<Self> {
        let numbers = points.split(|letter: char| letter == ',' || letter.is_ascii_whitespace());
        let numbers: Vec<f64> = numbers
            .filter(|number| !number.is_empty())
            .map(|number| number.parse().ok())
            .collect::<Option<_>>()?;
        let (pairs, rest) = numbers.as_chunks();
        if rest.is_empty() { Self::polygon(pairs) } else { None }
    }

    /// A polygon with corners anywhere: they are moved to the samples that are nearest, those between two to the even one.
    #[must_use]
    pub fn polygon(corners: &[[f64; 2]]) -> Option<Self> {
        let near = |number: f64| coordinate(number).map(|number| number.round_ties_even() as i64);
        let corners: Option<Vec<_>> = corners.iter().map(|[x, y]| Some([near(*x)?, near(*y)?])).collect();
        corners.filter(|corners| !corners.is_empty()).map(Self::Polygon)
    }

    /// The first and the last column and row, without the last: x, y, x, y.
    #[must_use]
    pub fn bounds(&self) -> [i64; 4] {
        match self {
            Self::Mask { x, y, width, height, .. } => {
                [*x, *y, x.saturating_add_unsigned(*width as u64), y.saturating_add_unsigned(*height as u64)]
            }
            // The last column and row of a polygon are not drawn: a rectangle then has the width that its corners say.
            Self::Polygon(corners) => {
                let first = [i64::MAX, i64::MAX, i64::MIN, i64::MIN];
                corners.iter().fold(first, |[left, top, right, bottom], [x, y]| {
                    [left.min(*x), top.min(*y), right.max(*x), bottom.max(*y)]
                })
            }
            Self::Rectangle { x, y, width, height } => {
                [*x, *y, x.saturating_add(*width), y.saturating_add(*height)]
            }
            Self::Ellipse { x, y, radius_x, radius_y } => {
                let end = |number: f64| (number.ceil() as i64).saturating_add(1);
                let start = |number: f64| number.floor() as i64;
                [start(x - radius_x), start(y - radius_y), end(x + radius_x), end(y + radius_y)]
            }
        }
    }

    /// Tells the columns of a row that are within: from, and up to but without. They may touch and, of a polygon, overlap.
    pub(crate) fn row(&self, row: i64, mut told: impl FnMut(i64, i64)) {
        let [left, top, right, bottom] = self.bounds();
        if !(top..bottom).contains(&row) || left >= right {
            return;
        }
        match self {
            Self::Mask { width, bits, .. } => mask_row(bits, row.abs_diff(top), *width, |from, to| {
                told(left + from as i64, left + to as i64);
            }),
            Self::Polygon(corners) => polygon_row(corners, row, |from, to| {
                let (from, to) = (from.max(left), to.min(right));
                if from < to {
                    told(from, to);
                }
            }),
            Self::Rectangle { .. } => told(left, right),
            Self::Ellipse { x, y, radius_x, radius_y } => {
                let distance = (row as f64 - y) / radius_y;
                let half = radius_x * (1.0 - distance * distance).max(0.0).sqrt();
                // Points on the edge are outside.
                let (from, to) = ((x - half).floor() as i64 + 1, (x + half).ceil() as i64);
                if distance.abs() < 1.0 && from < to {
                    told(from, to);
                }
            }
        }
    }
}

/// Runs of bits that are set.
fn mask_row(bits: &[u8], row: u64, width: usize, mut told: impl FnMut(usize, usize)) {
    let Some(first) = usize::try_from(row).ok().and_then(|row| row.checked_mul(width)) else { return };
    let is_set = |column: usize| {
        let bit = first.saturating_add(column);
        bits.get(bit / 8).is_some_and(|byte| byte << (bit % 8) & 0x80 != 0)
    };
    let mut start = None;
    for column in 0..width {
        match (is_set(column), start) {
            (true, None) => start = Some(column),
            (false, Some(from)) => {
                told(from, column);
                start = None;
            }
            _ => {}
        }
    }
    if let Some(from) = start {
        told(from, width);
    }
}

/// Where an edge crosses a row: a whole number and a fraction, which is less than 1 and not reduced.
#[derive(Debug, Clone, Copy)]
struct Crossing {
    whole: i64,
    part: u64,
    of: u64,
}

/// What of a row lies within a polygon or on its edge: the columns between its first and second crossing, its third and fourth,
/// and on; edges along the row; corners. All of it in whole numbers, so that no corner falls out by rounding.
fn polygon_row(corners: &[[i64; 2]], row: i64, mut told: impl FnMut(i64, i64)) {
    let mut crossings = Vec::new();
    let ends = corners.iter().zip(corners.iter().cycle().skip(1));
    for ([x, y], [next_x, next_y]) in ends {
        if *y == row {
            told(*x, *x + 1);
            if *next_y == row {
                told(*x.min(next_x), *x.max(next_x) + 1);
            }
        }
        let ([x, y], [end_x, end_y]) =
            if y < next_y { ([x, y], [next_x, next_y]) } else { ([next_x, next_y], [x, y]) };
        if (*y..*end_y).contains(&row) {
            let of = i128::from(end_y - y);
            let product = i128::from(row - y) * i128::from(end_x - x);
            crossings.push(Crossing {
                whole: x + product.div_euclid(of) as i64,
                part: product.rem_euclid(of) as u64,
                of: of as u64,
            });
        }
    }
    crossings.sort_unstable_by(|one, other| {
        let fraction = || {
            let (left, right) =
                (u128::from(one.part) * u128::from(other.of), u128::from(other.part) * u128::from(one.of));
            left.cmp(&right)
        };
        one.whole.cmp(&other.whole).then_with(fraction)
    });
    // Of a closed line there is an even number.
    for [from, to] in crossings.as_chunks().0 {
        told(from.whole + i64::from(from.part > 0), to.whole + 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A picture of what is within.
    fn drawn(outline: &Outline, [width, height]: [i64; 2]) -> Vec<String> {
        let row = |row: i64| {
            let mut picture = vec!['.'; width as usize];
            outline.row(row, |from, to| {
                (from.max(0)..to.min(width)).for_each(|column| picture[column as usize] = '#');
            });
            picture.into_iter().collect()
        };
        (0..height).map(row).collect()
    }

    #[test]
    fn bits_of_a_mask_follow_each_other_from_row_to_row() {
        let mask = Outline::Mask { x: 1, y: -1, width: 3, height: 4, bits: vec![0b1010_0111, 0b1000_0000] };
        // The first row, 101, is above the image, and of the last there are no bits.
        assert_eq!(drawn(&mask, [5, 3]), ["...#.", ".###.", "....."]);
    }

    #[test]
    fn what_a_polygon_goes_around_twice_is_outside() {
        let star =
            Outline::polygon(&[[0.0, 0.0], [6.0, 6.0], [6.0, 0.0], [0.0, 6.0]]).expect("it has corners");
        let picture = ["#......", "##...#.", "###.##.", "######.", "###.##.", "##...#.", "......."];
        assert_eq!(drawn(&star, [7, 7]), picture);
    }

    #[test]
    fn a_rectangle_is_as_wide_as_it_says_and_an_ellipse_does_not_reach_its_edge() {
        let rectangle = Outline::Rectangle { x: 1, y: 1, width: 2, height: 1 };
        assert_eq!(drawn(&rectangle, [4, 3]), ["....", ".##.", "...."]);
        let ellipse = Outline::Ellipse { x: 2.0, y: 1.0, radius_x: 2.0, radius_y: 1.0 };
        assert_eq!(drawn(&ellipse, [5, 3]), [".....", ".###.", "....."]);
    }

    #[test]
    fn coordinates_that_no_image_has_make_no_outline() {
        for corner in [[f64::NAN, 0.0], [0.0, f64::INFINITY], [3e9, 0.0]] {
            assert_eq!(Outline::polygon(&[corner]), None);
        }
        assert_eq!(Outline::polygon(&[]), None);
        let far = Outline::polygon(&[[-2e9, -2e9], [2e9, 2e9], [2e9, -2e9]]).expect("it has corners");
        let mut told = Vec::new();
        far.row(1_999_999_998, |from, to| told.push((from, to)));
        assert_eq!(told, [(1_999_999_998, 2_000_000_000)]);
    }
}
