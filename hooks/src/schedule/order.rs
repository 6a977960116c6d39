//! The order of hooks: by number, then by name, then as `after` and `before` demand.

use std::collections::{BTreeMap, BTreeSet};

use super::{Scheduled, nearest};

/// An order that does not exist.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum OrderError {
    /// A name that no hook has.
    #[error("hook {hook} is to run {relation} {missing}, and there is no hook {missing}{}; `init hooks` lists them", nearest.as_ref().map_or_else(String::new, |nearest| format!(" (did you mean {nearest}?)")))]
    Missing {
        /// Who asks.
        hook: String,
        /// `after` or `before`.
        relation: &'static str,
        /// What is not there.
        missing: String,
        /// The nearest name that is.
        nearest: Option<String>,
    },
    /// Hooks that wait for each other.
    #[error("hooks wait for each other: {}; remove one of these after/before", chain.join(" → "))]
    Cycle {
        /// Each runs after the next; the first and the last are the same.
        chain: Vec<String>,
    },
}

/// Sorts hooks so that each constraint holds and, where none speaks, number and name decide.
pub(super) fn order(mut hooks: Vec<Scheduled>) -> Result<Vec<Scheduled>, OrderError> {
    hooks.sort_by(|one, other| (one.number, &one.name).cmp(&(other.number, &other.name)));
    let places: BTreeMap<&str, usize> =
        hooks.iter().enumerate().map(|(place, hook)| (hook.name.as_str(), place)).collect();
    let place = |hook: &Scheduled, relation, name: &String| {
        places.get(name.as_str()).copied().ok_or_else(|| OrderError::Missing {
            hook: hook.name.clone(),
            relation,
            missing: name.clone(),
            nearest: nearest(name, places.keys().copied()),
        })
    };
    let mut predecessors: Vec<BTreeSet<usize>> = vec![BTreeSet::new(); hooks.len()];
    for (index, hook) in hooks.iter().enumerate() {
        for name in &hook.after {
            predecessors[index].insert(place(hook, "after", name)?);
        }
        for name in &hook.before {
            predecessors[place(hook, "before", name)?].insert(index);
        }
    }
    // Who asks to run before another moves up to it; else the other would be held back past all in between.
    let mut numbers: Vec<u16> = hooks.iter().map(|hook| hook.number).collect();
    for _ in 0..hooks.len() {
        for (index, before) in predecessors.iter().enumerate() {
            for predecessor in
                before.iter().filter(|other| hooks[**other].before.contains(&hooks[index].name))
            {
                numbers[*predecessor] = numbers[*predecessor].min(numbers[index]);
            }
        }
    }
    // Always the first that waits for nobody: the sorted order is kept wherever no constraint speaks.
    let mut done: BTreeSet<usize> = BTreeSet::new();
    let mut sorted = Vec::with_capacity(hooks.len());
    while sorted.len() < hooks.len() {
        let next = (0..hooks.len())
            .filter(|index| !done.contains(index) && predecessors[*index].is_subset(&done))
            .min_by_key(|index| (numbers[*index], *index));
        let Some(next) = next else { return Err(cycle(&hooks, &predecessors, &done)) };
        done.insert(next);
        sorted.push(next);
    }
    let mut slots: Vec<Option<Scheduled>> = hooks.into_iter().map(Some).collect();
    Ok(sorted.into_iter().filter_map(|index| slots[index].take()).collect())
}

fn cycle(hooks: &[Scheduled], predecessors: &[BTreeSet<usize>], done: &BTreeSet<usize>) -> OrderError {
    // Every hook that is left waits for another that is left: following any of them comes round.
    let mut seen: Vec<usize> = Vec::new();
    let mut current = (0..hooks.len()).find(|index| !done.contains(index)).unwrap_or(0);
    while !seen.contains(&current) {
        seen.push(current);
        current =
            predecessors[current].iter().copied().find(|index| !done.contains(index)).unwrap_or(current);
    }
    let start = seen.iter().position(|index| *index == current).unwrap_or(0);
    let chain = seen[start..].iter().chain([&current]).map(|index| hooks[*index].name.clone()).collect();
    OrderError::Cycle { chain }
}
