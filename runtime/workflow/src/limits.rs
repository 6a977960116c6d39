//! How many workflows are carried at a time, and whose turn it is.

use std::collections::BTreeMap;

use uuid::Uuid;

/// How many are carried at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// In all.
    pub at_once: usize,
    /// Of one user.
    pub per_user: usize,
    /// How many may wait; more are refused.
    pub queue: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { at_once: 32, per_user: 16, queue: 10_000 }
    }
}

/// Whose turn it is: of those that wait, oldest first, each time one of the user who has the fewest under way. A user with a
/// thousand workflows keeps nobody with one from being next.
#[must_use]
pub fn admitted(
    limits: &Limits,
    mut under_way: BTreeMap<i64, usize>,
    waiting: impl IntoIterator<Item = (Uuid, i64)>,
) -> Vec<Uuid> {
    let mut queues: BTreeMap<i64, std::collections::VecDeque<Uuid>> = BTreeMap::new();
    let mut order = BTreeMap::new();
    for (place, (id, user)) in waiting.into_iter().enumerate() {
        order.insert(id, place);
        queues.entry(user).or_default().push_back(id);
    }
    let mut all: usize = under_way.values().sum();
    let mut admitted = Vec::new();
    while all < limits.at_once {
        let count = |user: &i64| under_way.get(user).copied().unwrap_or(0);
        let next = queues
            .iter()
            .filter(|(user, queue)| !queue.is_empty() && count(user) < limits.per_user)
            .min_by_key(|(user, queue)| (count(user), queue.front().and_then(|id| order.get(id))))
            .map(|(user, _)| *user);
        let Some(user) = next else { break };
        admitted.extend(queues.get_mut(&user).and_then(std::collections::VecDeque::pop_front));
        *under_way.entry(user).or_insert(0) += 1;
        all += 1;
    }
    admitted
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn ids(waiting: &[i64]) -> Vec<(Uuid, i64)> {
        waiting.iter().enumerate().map(|(id, user)| (Uuid::from_u128(id as u128), *user)).collect()
    }

    #[test]
    fn who_has_few_comes_before_who_has_many() {
        let limits = Limits { at_once: 4, per_user: 3, queue: 9 };
        let users = [1, 1, 1, 1, 2, 3];
        let turns = admitted(&limits, BTreeMap::new(), ids(&users));
        assert_eq!(turns, [0, 4, 5, 1].map(Uuid::from_u128));
        let turns = admitted(&limits, BTreeMap::from([(1, 3)]), ids(&users));
        assert_eq!(turns, [4].map(Uuid::from_u128));
    }

    proptest! {
        #[test]
        fn limits_hold_and_nobody_starves(
            users in proptest::collection::vec(0_i64..6, 0..60),
            under_way in proptest::collection::btree_map(0_i64..6, 0_usize..5, 0..6),
            at_once in 0_usize..20,
            per_user in 1_usize..6,
        ) {
            let limits = Limits { at_once, per_user, queue: 0 };
            let waiting = ids(&users);
            let turns = admitted(&limits, under_way.clone(), waiting.clone());
            let before: usize = under_way.values().sum();
            prop_assert!(turns.is_empty() || before + turns.len() <= at_once);
            let mut now = under_way;
            for id in &turns {
                let (_, user) = waiting.iter().find(|(other, _)| other == id).expect("one that waits");
                *now.entry(*user).or_insert(0) += 1;
                prop_assert!(now[user] <= per_user);
            }
            // Where somebody still waits, either all places are taken, or all of that user's.
            if now.values().sum::<usize>() < at_once {
                for (id, user) in &waiting {
                    prop_assert!(turns.contains(id) || now.get(user).copied().unwrap_or(0) >= per_user);
                }
            }
        }
    }
}
