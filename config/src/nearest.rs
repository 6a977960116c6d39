//! The valid name nearest to a misspelt one, for error messages.

/// The candidate that `name` most likely was meant to be; `None` when nothing is near.
///
/// Near means: at most a third of the longer name's letters differ (one at least), or one is the start of the other.
pub fn nearest<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let name = bounded(name).to_lowercase();
    candidates
        .into_iter()
        .filter_map(|candidate| {
            let wanted = bounded(candidate).to_lowercase();
            let distance = distance(&name, &wanted);
            let length = name.chars().count().max(wanted.chars().count());
            let allowed = if length < 3 { 0 } else { (length / 3).max(1) };
            let prefix = name.len() >= 3 && (wanted.starts_with(&name) || name.starts_with(&wanted));
            (distance <= allowed || prefix).then_some((distance, candidate))
        })
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// The distance costs the product of both lengths, so that a hostile megabyte must be cut first.
fn bounded(name: &str) -> &str {
    let end = name.char_indices().nth(128).map_or(name.len(), |(at, _)| at);
    &name[..end]
}

/// How many insertions, deletions, replacements and swaps of neighbours make one word the other.
fn distance(one: &str, other: &str) -> usize {
    let one: Vec<char> = one.chars().collect();
    let other: Vec<char> = other.chars().collect();
    let mut before_last: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=other.len()).collect();
    for row in 1..=one.len() {
        let mut current = vec![row; other.len() + 1];
        for column in 1..=other.len() {
            let differs = usize::from(one[row - 1] != other[column - 1]);
            current[column] = (last[column] + 1).min(current[column - 1] + 1).min(last[column - 1] + differs);
            if row > 1 && column > 1 && one[row - 1] == other[column - 2] && one[row - 2] == other[column - 1]
            {
                current[column] = current[column].min(before_last[column - 2] + 1);
            }
        }
        before_last = std::mem::replace(&mut last, current);
    }
    last[other.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_misspelt_name_finds_the_one_that_was_meant() {
        let names = ["address", "bind", "mode", "name", "port", "deadline"];
        for (typed, meant) in [
            ("prot", Some("port")),
            ("adress", Some("address")),
            ("Mode", Some("mode")),
            ("deadlin", Some("deadline")),
            ("dead", Some("deadline")),
            ("zzz", None),
            ("x", None),
            ("", None),
        ] {
            assert_eq!(nearest(typed, names), meant, "{typed}");
        }
    }

    #[test]
    fn a_swap_of_neighbours_is_one_change() {
        for (one, other, changes) in [
            ("", "", 0),
            ("abc", "abc", 0),
            ("prot", "port", 1),
            ("", "ab", 2),
            ("kitten", "sitting", 3),
            ("ca", "abc", 3),
        ] {
            assert_eq!((distance(one, other), distance(other, one)), (changes, changes), "{one} {other}");
        }
    }

    #[test]
    fn a_hostile_name_costs_no_time() {
        let long = "ä".repeat(1 << 20);
        assert_eq!(nearest(&long, [long.as_str()]), Some(long.as_str()));
    }
}
