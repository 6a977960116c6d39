//! The ids of jobs and of array tasks as squeue(1) and sacct(1) write them: `12`, `12_3`, `12_[0-2,7%3]`, `12+0`.

use crate::job::JobId;

/// The tasks that one record stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Place {
    /// A job, or one task.
    One(JobId),
    /// Tasks of an array that have no record of their own yet.
    Rest {
        /// The array.
        job: u32,
        /// First and last indices with the step between.
        ranges: Vec<(u32, u32, u32)>,
    },
}

impl Place {
    /// What a record's id says. None for steps, for the further components of a heterogeneous job, and for what is no id.
    pub(super) fn read(text: &str) -> Option<Self> {
        let (job, rest) = match text.find(|letter: char| !letter.is_ascii_digit()) {
            Some(at) => text.split_at(at),
            None => return Some(Self::One(JobId::of(text.parse().ok()?))),
        };
        let job = job.parse().ok()?;
        // The first component of a heterogeneous job stands for the whole.
        if rest == "+0" {
            return Some(Self::One(JobId::of(job)));
        }
        let tasks = rest.strip_prefix('_')?;
        let Some(tasks) = tasks.strip_prefix('[') else {
            return Some(Self::One(JobId { job, task: Some(number(tasks)?) }));
        };
        let tasks = tasks.strip_suffix(']')?;
        // Behind the percent sign is how many run at a time.
        let tasks = tasks.split('%').next().unwrap_or_default();
        let ranges: Option<Vec<_>> = tasks.split(',').map(range).collect();
        Some(Self::Rest { job, ranges: ranges? })
    }

    /// The job or array.
    pub(super) const fn job(&self) -> u32 {
        match self {
            Self::One(id) => id.job,
            Self::Rest { job, .. } => *job,
        }
    }

    /// The ids, at most `most` of them.
    pub(super) fn ids(&self, most: usize) -> Vec<JobId> {
        match self {
            Self::One(id) => vec![*id],
            Self::Rest { job, ranges } => ranges
                .iter()
                .flat_map(|(first, last, step)| (*first..=*last).step_by((*step).max(1) as usize))
                .take(most)
                .map(|task| JobId { job: *job, task: Some(task) })
                .collect(),
        }
    }
}

/// `7`, `0-2` or `0-10:5`.
fn range(text: &str) -> Option<(u32, u32, u32)> {
    let (span, step) = match text.split_once(':') {
        Some((span, step)) => (span, number(step)?),
        None => (text, 1),
    };
    let (first, last) = match span.split_once('-') {
        Some((first, last)) => (number(first)?, number(last)?),
        None => (number(span)?, number(span)?),
    };
    (step > 0 && first <= last).then_some((first, last, step))
}

fn number(text: &str) -> Option<u32> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn written(text: &str) -> Option<Vec<String>> {
        Some(Place::read(text)?.ids(100).iter().map(ToString::to_string).collect())
    }

    #[test]
    fn ids_are_read_as_slurm_writes_them() {
        for (text, ids) in [
            ("12", Some(vec!["12"])),
            ("12_3", Some(vec!["12_3"])),
            ("12_[0-2,7%3]", Some(vec!["12_0", "12_1", "12_2", "12_7"])),
            ("12_[5]", Some(vec!["12_5"])),
            ("12_[0-10:5]", Some(vec!["12_0", "12_5", "12_10"])),
            ("12+0", Some(vec!["12"])),
            ("12+1", None),
            ("12.batch", None),
            ("12_3.extern", None),
            ("12_[3-1]", None),
            ("12_[0-2:0]", None),
            ("12_[1-]", None),
            ("12_[]", None),
            ("12_", None),
            ("_3", None),
            ("", None),
            ("99999999999", None),
            ("12_[0-4294967295]x", None),
        ] {
            let ids = ids.map(|ids| ids.into_iter().map(str::to_owned).collect::<Vec<_>>());
            assert_eq!(written(text), ids, "{text}");
        }
    }

    #[test]
    fn an_array_of_any_size_is_expanded_to_what_is_asked_for_alone() {
        let place = Place::read("1_[0-4294967295]").expect("an array");
        assert_eq!(place.ids(10).len(), 10);
    }

    proptest! {
        #[test]
        fn no_text_is_too_odd_to_be_read(text in "[0-9_+.,:%\\[\\]\\-a]{0,30}") {
            if let Some(place) = Place::read(&text) {
                prop_assert!(place.ids(50).len() <= 50);
            }
        }
    }
}
