//! LZ4 blocks, compressed: written from the description of the format (`lz4_Block_format.md`).
//!
//! Greedy, with one candidate for each hash, as LZ4's fast mode is. It is ours because what makes LZ4 of Blosc's levels, how many
//! positions are passed over where nothing is found, cannot be told to the crate that decompresses. Noise of a camera hardly
//! compresses: there it is what the time depends on.

/// How many positions are remembered: 16 KiB, half of a first-level cache.
const BITS: u32 = 12;
/// Matches are no farther back.
const FARTHEST: usize = u16::MAX as usize;
/// Matches are no shorter.
const SHORTEST: usize = 4;
/// The last bytes are literals.
const LITERALS: usize = 5;
/// No match begins closer to the end.
const MARGIN: usize = 12;
/// After so many positions at which nothing was found, as a power of two, one more is passed over at a time.
const PATIENCE: u32 = 6;
/// What is copied of literals without a look at how many there are.
const COPIED: usize = 16;

/// Where words were seen last.
#[derive(Debug)]
pub(crate) struct Table([u32; 1 << BITS]);

impl Default for Table {
    fn default() -> Self {
        Self([0; 1 << BITS])
    }
}

impl Table {
    /// Remembers where a word is. Returns where one with the same hash was before, 0 where none was.
    fn replace(&mut self, word: u64, at: usize) -> usize {
        // Of its first five bytes: of four, too many matches are too short to be worth it.
        let hash = (word << 24).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (u64::BITS - BITS);
        std::mem::replace(&mut self.0[hash as usize % (1 << BITS)], at as u32) as usize
    }
}

/// Compresses less than 4 GiB into the end of `into`. With an `acceleration` of 1 each position is looked at until nothing is found,
/// with more only every so many.
pub(crate) fn compress(from: &[u8], acceleration: usize, into: &mut Vec<u8>, table: &mut Table) {
    into.reserve(largest(from.len()));
    table.0.fill(0);
    let (mut literals, mut at) = (0, 1);
    let last = from.len().saturating_sub(MARGIN);
    while let Some(found) = find(from, literals, at, last, acceleration, table) {
        put(&from[literals..], found, into);
        literals = found.end();
        at = literals;
        // What is within a match is seen too, at one place.
        if let Some(word) = word(from, at - 2) {
            table.replace(word, at - 2);
        }
    }
    let rest = &from[literals..];
    into.push((rest.len().min(15) as u8) << 4);
    length(rest.len(), into);
    into.extend_from_slice(rest);
}

/// The most bytes that so many become.
const fn largest(bytes: usize) -> usize {
    bytes + bytes / 255 + 16
}

/// Bytes that are there already.
#[derive(Debug, Clone, Copy)]
struct Match {
    /// Literals before it.
    literals: usize,
    at: usize,
    back: usize,
    length: usize,
}

impl Match {
    const fn end(&self) -> usize {
        self.at + self.length
    }
}

/// The next match; `literals` is where the last one ended.
fn find(
    from: &[u8],
    literals: usize,
    mut at: usize,
    last: usize,
    acceleration: usize,
    table: &mut Table,
) -> Option<Match> {
    let mut tried = acceleration << PATIENCE;
    // Behind a match another often begins: there no position is passed over.
    let mut step = 1;
    loop {
        if at > last {
            return None;
        }
        let word = word(from, at)?;
        let before = table.replace(word, at);
        let back = at - before;
        if (1..=FARTHEST).contains(&back) && self::word(from, before)? as u32 == word as u32 {
            // It may have begun where positions were passed over.
            let mut earlier = 0;
            while at - earlier > literals
                && before > earlier
                && from[at - earlier - 1] == from[before - earlier - 1]
            {
                earlier += 1;
            }
            let length = SHORTEST + alike(from, at + SHORTEST, before + SHORTEST);
            let start = at - earlier;
            return Some(Match { literals: start - literals, at: start, back, length: length + earlier });
        }
        at += step;
        step = tried >> PATIENCE;
        tried += 1;
    }
}

/// Eight bytes.
fn word(from: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(*from.get(at..)?.first_chunk()?))
}

/// How many bytes are the same from these two places on, without the last ones.
fn alike(from: &[u8], one: usize, other: usize) -> usize {
    let end = from.len() - LITERALS;
    let (one, other) = (&from[one.min(end)..end], &from[other..]);
    let mut same = 0;
    for (one, other) in one.as_chunks::<8>().0.iter().zip(other.as_chunks::<8>().0) {
        let differ = u64::from_le_bytes(*one) ^ u64::from_le_bytes(*other);
        if differ != 0 {
            return same + differ.trailing_zeros() as usize / 8;
        }
        same += 8;
    }
    same + one[same..].iter().zip(&other[same..]).take_while(|(one, other)| one == other).count()
}

/// Literals, and the match behind them.
fn put(from: &[u8], Match { literals, back, length: matched, .. }: Match, into: &mut Vec<u8>) {
    let more = matched - SHORTEST;
    into.push((literals.min(15) as u8) << 4 | more.min(15) as u8);
    length(literals, into);
    match from.first_chunk::<COPIED>() {
        Some(copied) if literals <= COPIED => {
            let end = into.len() + literals;
            into.extend_from_slice(copied);
            into.truncate(end);
        }
        _ => into.extend_from_slice(&from[..literals]),
    }
    into.extend_from_slice(&(back as u16).to_le_bytes());
    length(more, into);
}

/// What does not fit into the four bits of a length.
fn length(length: usize, into: &mut Vec<u8>) {
    if let Some(mut left) = length.checked_sub(15) {
        while left >= 255 {
            into.push(255);
            left -= 255;
        }
        into.push(left as u8);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn compressed(bytes: &[u8], acceleration: usize) -> Vec<u8> {
        let mut into = Vec::new();
        compress(bytes, acceleration, &mut into, &mut Table::default());
        into
    }

    fn comes_back(bytes: &[u8], acceleration: usize) -> Result<(), TestCaseError> {
        let stored = compressed(bytes, acceleration);
        prop_assert!(stored.len() <= largest(bytes.len()), "{} of {}", stored.len(), bytes.len());
        let mut back = vec![0; bytes.len()];
        let length = lz4_flex::block::decompress_into(&stored, &mut back);
        prop_assert_eq!(length.map_err(|error| error.to_string()), Ok(bytes.len()));
        prop_assert!(back == bytes);
        Ok(())
    }

    proptest! {
        #[test]
        fn what_is_compressed_comes_back(
            bytes in prop::collection::vec(prop_oneof![Just(0_u8), 0..3_u8, any::<u8>()], 0..600),
            repeat in 1_usize..300,
            acceleration in 1_usize..10,
        ) {
            comes_back(&bytes.repeat(repeat), acceleration)?;
            comes_back(&bytes, acceleration)?;
        }

        #[test]
        fn what_lies_farther_back_than_an_offset_reaches_is_not_referred_to(
            bytes in prop::collection::vec(any::<u8>(), 20..40),
            gap in 65_480_usize..65_560,
        ) {
            let noise = std::iter::successors(Some(7_u32), |last| Some(last.wrapping_mul(747_796_405) ^ last >> 13));
            let noise = noise.map(|number| (number >> 24) as u8).take(gap);
            let all: Vec<u8> = bytes.iter().copied().chain(noise).chain(bytes.iter().copied()).chain([0; 20]).collect();
            comes_back(&all, 1)?;
        }
    }

    #[test]
    fn the_last_bytes_are_literals_and_no_match_begins_close_to_them() {
        for length in 0..40 {
            let stored = compressed(&vec![7; length], 1);
            let expected = match length {
                0..=12 => 1 + length,
                // A literal, a match of all but five, these.
                _ => 1 + 1 + 2 + usize::from(length - 6 - 4 >= 15) + 1 + 5,
            };
            assert_eq!(stored.len(), expected, "{length}: {stored:?}");
        }
    }

    #[test]
    fn acceleration_costs_space() {
        let smooth: Vec<u8> = (0..100_000_u32).map(|at| (at.wrapping_mul(at) >> 16) as u8 & 15).collect();
        let sizes: Vec<usize> =
            [1, 5, 9].map(|acceleration| compressed(&smooth, acceleration).len()).to_vec();
        assert!(sizes.is_sorted() && sizes[0] < sizes[2], "{sizes:?}");
    }
}
