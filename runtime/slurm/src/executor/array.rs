//! The indices of an array as `--array` writes them: `1-50%2`, `0,3,5`, `1-7:2`.
//!
//! Source: sbatch(1) of Slurm 22.05, `--array`.

use std::collections::BTreeSet;

use super::limit::number;

/// How many tasks an array may have: Slurm's own default, `MaxArraySize` of slurm.conf(5).
pub(super) const MOST: usize = 1001;
/// The highest index (slurm.conf(5), `MaxArraySize`).
const HIGHEST: u64 = 4_000_001;

/// Which tasks, in order, and how many of them at once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Indices {
    pub(super) tasks: Vec<u32>,
    pub(super) at_once: Option<u32>,
}

/// Reads it; none where it makes no sense or names more than [`MOST`] tasks.
pub(super) fn indices(text: &str) -> Option<Indices> {
    let (list, at_once) = match text.split_once('%') {
        Some((list, most)) => (list, Some(small(most).filter(|most| *most > 0)?)),
        None => (text, None),
    };
    let mut tasks = BTreeSet::new();
    for item in list.split(',') {
        let (range, step) = match item.split_once(':') {
            Some((range, step)) => (range, small(step).filter(|step| *step > 0)?),
            None => (item, 1),
        };
        let (first, last) = match range.split_once('-') {
            Some((first, last)) => (small(first)?, small(last)?),
            None if item == range => (small(range)?, small(range)?),
            None => return None,
        };
        if first > last {
            return None;
        }
        for index in (first..=last).step_by(step as usize) {
            tasks.insert(index);
            if tasks.len() > MOST {
                return None;
            }
        }
    }
    Some(Indices { tasks: tasks.into_iter().collect(), at_once })
}

fn small(text: &str) -> Option<u32> {
    number(text).filter(|number| *number <= HIGHEST).and_then(|number| u32::try_from(number).ok())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn ranges_lists_steps_and_the_number_at_once_are_read() {
        let table: [(&str, &[u32], Option<u32>); 5] = [
            ("1-4", &[1, 2, 3, 4], None),
            ("0-3%2", &[0, 1, 2, 3], Some(2)),
            ("5,1,3,3", &[1, 3, 5], None),
            ("1-7:2", &[1, 3, 5, 7], None),
            ("7", &[7], None),
        ];
        for (text, tasks, at_once) in table {
            assert_eq!(indices(text), Some(Indices { tasks: tasks.to_vec(), at_once }), "{text}");
        }
        for text in
            ["", "1-0", "1-", "-1", "1-3%0", "1-3%", "1:2", "1-3:0", "a", "0-1001", "0-4294967295", "1,,2"]
        {
            assert_eq!(indices(text), None, "{text}");
        }
        assert_eq!(indices("0-1000").map(|indices| indices.tasks.len()), Some(MOST));
    }

    proptest! {
        #[test]
        fn whatever_is_read_is_sorted_and_bounded(text in "[0-9,:%-]{0,16}") {
            if let Some(read) = indices(&text) {
                prop_assert!(!read.tasks.is_empty() && read.tasks.len() <= MOST);
                prop_assert!(read.tasks.windows(2).all(|pair| pair[0] < pair[1]));
            }
        }
    }
}
