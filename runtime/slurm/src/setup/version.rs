//! Versions of images in the order that people mean: v1.10 is newer than v1.9.

use std::cmp::Ordering;

/// A piece of a version. A number is newer than a word, and the end newer than a word too (`v1.0` than `v1.0-rc1`).
#[derive(Debug, PartialEq, Eq)]
enum Piece<'a> {
    Number(&'a str),
    Word(&'a str),
}

fn pieces(version: &str) -> Vec<Piece<'_>> {
    let text = version.strip_prefix(['v', 'V']).unwrap_or(version);
    let mut pieces = Vec::new();
    for part in text.split(['.', '-', '_', '+']).filter(|part| !part.is_empty()) {
        let mut rest = part;
        while let Some(first) = rest.chars().next() {
            let is_digit = first.is_ascii_digit();
            let end = rest.find(|letter: char| letter.is_ascii_digit() != is_digit).unwrap_or(rest.len());
            let (piece, after) = rest.split_at(end);
            pieces.push(if is_digit {
                // Without leading zeros the longer one is the larger one, however long.
                Piece::Number(piece.trim_start_matches('0'))
            } else {
                Piece::Word(piece)
            });
            rest = after;
        }
    }
    pieces
}

fn compare(one: &str, other: &str) -> Ordering {
    let (ones, others) = (pieces(one), pieces(other));
    for at in 0..ones.len().max(others.len()) {
        let order = match (ones.get(at), others.get(at)) {
            (Some(Piece::Number(one)), Some(Piece::Number(other))) => {
                one.len().cmp(&other.len()).then_with(|| one.cmp(other))
            }
            (Some(Piece::Word(one)), Some(Piece::Word(other))) => one.cmp(other),
            (Some(Piece::Number(_)), _) | (None, Some(Piece::Word(_))) => Ordering::Greater,
            (_, Some(Piece::Number(_))) | (Some(Piece::Word(_)), None) => Ordering::Less,
            (None, None) => Ordering::Equal,
        };
        if order != Ordering::Equal {
            return order;
        }
    }
    one.cmp(other)
}

/// Puts versions in order, the newest first; those that are no number (`latest`, `main`) come last, as with Python.
pub fn newest_first(versions: &mut [String]) {
    versions.sort_by(|one, other| compare(other, one));
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn ten_comes_after_nine_and_a_candidate_before_its_release() {
        let mut versions: Vec<String> =
            ["latest", "v1.9", "v1.10-rc1", "1.10.0.1", "v1.10", "v1.2.7", "main", "v0.9"]
                .map(str::to_owned)
                .to_vec();
        newest_first(&mut versions);
        assert_eq!(versions, ["1.10.0.1", "v1.10", "v1.10-rc1", "v1.9", "v1.2.7", "v0.9", "main", "latest"]);
    }

    proptest! {
        #[test]
        fn the_order_is_one_whatever_the_versions(versions in prop::collection::vec("[v0-9.a-c_é-]{0,8}", 0..12)) {
            // `sort_by` may panic where the order is not total.
            let mut sorted = versions.clone();
            newest_first(&mut sorted);
            let mut again: Vec<String> = sorted.iter().rev().cloned().collect();
            newest_first(&mut again);
            prop_assert_eq!(sorted, again);
        }
    }
}
