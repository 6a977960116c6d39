//! How large an image is, and the parts of it that are read and written.

use std::fmt;

/// No side of an image is longer, and none has more planes: OMERO counts in 32 bits with a sign.
pub(crate) const LONGEST: usize = i32::MAX as usize;

/// How many samples an image has along each axis; none is 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Shape {
    /// Points in time.
    pub t: usize,
    /// Channels.
    pub c: usize,
    /// Depth.
    pub z: usize,
    /// Height.
    pub y: usize,
    /// Width.
    pub x: usize,
}

/// A plane: one channel at one depth and one point in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Plane {
    /// The point in time, from 0.
    pub t: usize,
    /// The channel.
    pub c: usize,
    /// The depth.
    pub z: usize,
}

/// A rectangle of a plane.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Region {
    /// Of which plane.
    pub plane: Plane,
    /// Its first row.
    pub y: usize,
    /// Its first column.
    pub x: usize,
    /// Rows.
    pub height: usize,
    /// Columns.
    pub width: usize,
}

impl Shape {
    /// In the order of the axes: time, channel, z, y, x. `None` where a side is 0, or longer than OMERO can say.
    #[must_use]
    pub fn new([t, c, z, y, x]: [usize; 5]) -> Option<Self> {
        let fits = |side: usize| (1..=LONGEST).contains(&side);
        let planes = t.checked_mul(c)?.checked_mul(z)?;
        ([t, c, z, y, x, planes].into_iter().all(fits)).then_some(Self { t, c, z, y, x })
    }

    /// In the order of the axes.
    #[must_use]
    pub const fn sides(&self) -> [usize; 5] {
        [self.t, self.c, self.z, self.y, self.x]
    }

    /// How many planes there are.
    #[must_use]
    pub const fn planes(&self) -> usize {
        self.t * self.c * self.z
    }

    /// The plane of this number: z is the fastest, then the channel, then time.
    #[must_use]
    pub const fn plane(&self, number: usize) -> Plane {
        Plane { t: number / self.z / self.c, c: number / self.z % self.c, z: number % self.z }
    }

    /// The number of a plane.
    #[must_use]
    pub const fn number(&self, plane: Plane) -> usize {
        (plane.t * self.c + plane.c) * self.z + plane.z
    }

    /// How many samples there are in all, as far as 64 bits count.
    #[must_use]
    pub const fn samples(&self) -> u64 {
        (self.planes() as u64).saturating_mul(self.y as u64).saturating_mul(self.x as u64)
    }

    /// Whether a region is within.
    #[must_use]
    pub const fn contains(&self, region: &Region) -> bool {
        let Region { plane, y, x, height, width } = *region;
        plane.t < self.t
            && plane.c < self.c
            && plane.z < self.z
            && y < self.y
            && x < self.x
            && height <= self.y - y
            && width <= self.x - x
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { t, c, z, y, x } = self;
        write!(formatter, "{t} × {c} × {z} × {y} × {x}")
    }
}

impl Region {
    /// How many samples it has.
    #[must_use]
    pub const fn samples(&self) -> usize {
        self.height * self.width
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn planes_are_numbered_as_they_lie_in_memory() {
        let shape = Shape::new([2, 3, 4, 5, 6]).expect("it is small");
        let planes: Vec<Plane> = (0..shape.planes()).map(|number| shape.plane(number)).collect();
        assert_eq!(planes[0], Plane::default());
        assert_eq!(planes[5], Plane { t: 0, c: 1, z: 1 });
        assert_eq!(planes[23], Plane { t: 1, c: 2, z: 3 });
        assert!(planes.iter().enumerate().all(|(number, plane)| shape.number(*plane) == number));
    }

    #[test]
    fn a_side_of_nothing_or_beyond_what_omero_counts_is_no_shape() {
        assert_eq!(Shape::new([1, 1, 1, 0, 1]), None);
        assert_eq!(Shape::new([1, 1, 1, 1, LONGEST + 1]), None);
        assert_eq!(Shape::new([1 << 20, 1 << 20, 1, 1, 1]), None);
        assert!(Shape::new([1, 1, 1, LONGEST, LONGEST]).is_some());
    }

    #[test]
    fn a_region_is_within_or_not() {
        let shape = Shape::new([1, 1, 1, 10, 20]).expect("it is small");
        let region = Region { plane: Plane::default(), y: 4, x: 5, height: 6, width: 15 };
        assert!(shape.contains(&region));
        assert!(!shape.contains(&Region { height: 7, ..region }));
        assert!(!shape.contains(&Region { width: usize::MAX, ..region }));
        assert!(!shape.contains(&Region { plane: Plane { t: 1, c: 0, z: 0 }, ..region }));
    }
}
