//! Which image a result was made of: by names, as BIOMERO does it.
//!
//! Workflows keep the name of their input in that of their output, mostly with something behind it. Where they do not, the name that
//! is most alike is taken, if it is alike enough. Other than BIOMERO, one input may have several outputs, and an output that
//! resembles nothing belongs to nothing: a wrong image is worse than none.

use crate::folder::stem;

/// What is less alike is another thing, as BIOMERO has it.
const ALIKE: f64 = 0.5;
/// Comparing each with each takes time: from so many pairs on only names that begin alike are found.
const PAIRS: usize = 100_000;

/// For each result the place of its source among these, if it has one. Both are names of files or images, without folders.
#[must_use]
pub fn assign(results: &[&str], sources: &[&str]) -> Vec<Option<usize>> {
    if sources.len() == 1 {
        return vec![Some(0); results.len()];
    }
    let sources: Vec<String> = sources.iter().map(|source| source.to_lowercase()).collect();
    let is_small = results.len().saturating_mul(sources.len()) <= PAIRS;
    let of = |result: &&str| {
        let result = result.to_lowercase();
        begins_alike(&result, &sources).or_else(|| if is_small { alike(&result, &sources) } else { None })
    };
    results.iter().map(of).collect()
}

/// The source whose name, or name without its ending, is the longest beginning of the result's. Of several of one name OMERO's
/// export calls the first `base.tif`, the second `base_(1).tif`, and on.
fn begins_alike(result: &str, sources: &[String]) -> Option<usize> {
    let mut longest = 0;
    let mut found = Vec::new();
    for (number, source) in sources.iter().enumerate() {
        let length =
            [source.as_str(), stem(source)].into_iter().filter(|name| begins(result, name)).map(str::len);
        let Some(length) = length.max().filter(|length| *length > 0) else { continue };
        if length > longest {
            longest = length;
            found.clear();
        }
        if length == longest {
            found.push(number);
        }
    }
    let turn = match found.as_slice() {
        [] | [_] => 0,
        // Before the ending of the source, which is why its stem is what they share.
        _ => result.get(longest..).and_then(copy).unwrap_or(0),
    };
    found.get(turn).copied()
}

/// Whether a name begins with another and goes on with something else than a letter or digit: `cell1` is not in `cell10`.
fn begins(result: &str, name: &str) -> bool {
    result.strip_prefix(name).is_some_and(|rest| !rest.starts_with(char::is_alphanumeric))
}

/// The number in `_(1)`.
fn copy(rest: &str) -> Option<usize> {
    rest.strip_prefix("_(")?.split_once(')')?.0.parse().ok()
}

/// The source that is most alike, if there is one and not two.
fn alike(result: &str, sources: &[String]) -> Option<usize> {
    // Without endings, which make strangers alike.
    let result: Vec<char> = stem(result).chars().collect();
    let mut best = (ALIKE, None);
    for (number, source) in sources.iter().enumerate() {
        let source: Vec<char> = stem(source).chars().collect();
        let all = (result.len() + source.len()) as f64;
        // As much as they can share at most.
        if all == 0.0 || 2.0 * result.len().min(source.len()) as f64 / all < best.0 {
            continue;
        }
        let ratio = 2.0 * shared(&source, &result) as f64 / all;
        if ratio > best.0 || (best.1.is_none() && ratio >= ALIKE) {
            best = (ratio, Some((number, false)));
        } else if ratio == best.0 {
            best.1 = best.1.map(|(number, _)| (number, true));
        }
    }
    best.1.filter(|(_, is_tie)| !is_tie).map(|(number, _)| number)
}

/// How many letters two texts share: those of the longest piece that is in both, and the same on either side of it (Ratcliff and
/// Obershelp).
fn shared(one: &[char], other: &[char]) -> usize {
    let mut total = 0;
    let mut waiting = vec![(0..one.len(), 0..other.len())];
    // Lengths of the pieces that end at a letter of `other`, and the letter of `one` before.
    let mut lengths = vec![0_usize; other.len() + 1];
    while let Some((left, right)) = waiting.pop() {
        let (mut length, mut at) = (0, (left.start, right.start));
        lengths[right.start..=right.end].fill(0);
        for first in left.clone() {
            for second in right.clone().rev() {
                let here = if one[first] == other[second] {
                    if second > right.start { lengths[second] + 1 } else { 1 }
                } else {
                    0
                };
                lengths[second + 1] = here;
                // The first in `one`, and there the first in `other`.
                if here > length
                    || (here == length && here > 0 && first + 1 - here == at.0 && second + 1 - here < at.1)
                {
                    (length, at) = (here, (first + 1 - here, second + 1 - here));
                }
            }
        }
        if length > 0 {
            total += length;
            waiting.push((left.start..at.0, right.start..at.1));
            waiting.push((at.0 + length..left.end, at.1 + length..right.end));
        }
    }
    total
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn one_source_is_that_of_everything() {
        assert_eq!(assign(&["whatever.tif", "x.png"], &["cells.tif"]), [Some(0), Some(0)]);
        assert_eq!(assign(&["whatever.tif"], &[]), [None]);
    }

    #[test]
    fn a_result_belongs_to_the_source_that_its_name_begins_with() {
        let sources = ["Cells.png", "cells.png.0.tif", "cell1.tif", "cell10.tif"];
        let results =
            ["Cells.png_merged_z01_t01.tiff", "cells_mask.tif", "cells.png.0.tif_out.tif", "cell10.mask.tif"];
        assert_eq!(assign(&results, &sources), [Some(0), Some(0), Some(1), Some(3)]);
        // Several outputs of one input.
        assert_eq!(assign(&["cell1_nuclei.tif", "cell1_cells.tif"], &sources), [Some(2), Some(2)]);
    }

    #[test]
    fn sources_of_one_name_are_told_apart_by_the_number_that_the_export_gave_them() {
        let results = ["base.tif_mask.tif", "base_(1).tif_mask.tif", "base_(2)_mask.tif", "base_(3).tif"];
        assert_eq!(
            assign(&results, &["base.tif", "base.tif", "base.tif"]),
            [Some(0), Some(1), Some(2), None]
        );
    }

    #[test]
    fn a_renamed_result_belongs_to_what_is_most_alike_or_to_nothing() {
        let sources = ["NucleiLabels_A.tif", "ActinImage_B.tif"];
        assert_eq!(assign(&["CellsLabels_A.tif", "xxxxxxxxxxxxxxxx"], &sources), [Some(0), None]);
        // As alike as another: nobody knows.
        assert_eq!(assign(&["mask_x.tif"], &["task_a.tif", "task_b.tif"]), [None]);
    }

    #[test]
    fn the_letters_that_are_shared_are_those_of_pythons_difflib() {
        // difflib.SequenceMatcher(None, one, other).ratio() * (len(one) + len(other)) / 2
        let letters = |text: &str| text.chars().collect::<Vec<_>>();
        for (one, other, matched) in [
            ("nucleilabels_a.tif", "cellslabels_a.tif", 14),
            ("abcd", "bcde", 3),
            ("qabxcd", "abycdf", 4),
            ("", "a", 0),
            ("aaaa", "aa", 2),
        ] {
            assert_eq!(shared(&letters(one), &letters(other)), matched, "{one} {other}");
        }
    }

    proptest! {
        #[test]
        fn names_of_any_kind_end(results in prop::collection::vec(".{0,40}", 0..6), sources in prop::collection::vec(".{0,40}", 0..6)) {
            let results: Vec<&str> = results.iter().map(String::as_str).collect();
            let sources: Vec<&str> = sources.iter().map(String::as_str).collect();
            let assigned = assign(&results, &sources);
            prop_assert_eq!(assigned.len(), results.len());
            prop_assert!(assigned.iter().flatten().all(|number| *number < sources.len()));
        }
    }
}
