//! What happens, and when: asked for and killed. Pure, and the same for the same seed, so that a run that fails is done again.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use uuid::Uuid;

use crate::scenario::Seeded;

/// The part of the time in which workflows are asked for: the last of them are killed on their way too.
const ASKED_WITHIN: f64 = 0.8;
/// Between two disasters, in milliseconds: one on each side of the other's trouble, and some within it.
const BETWEEN: (u64, u64) = (1_000, 5_500);
/// How long a victim that has come back is left alone, so that each gets somewhere.
const REST: Duration = Duration::from_secs(3);
/// The users who ask.
const USERS: usize = 5;

/// How much of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Extent {
    /// What everything follows from.
    pub seed: u64,
    /// How many workflows; those of a batch count, the batch does not.
    pub workflows: usize,
    /// How long something is killed.
    pub during: Duration,
}

/// What a job does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Work {
    /// It copies its images, after so many seconds.
    Copies(u64),
    /// It ends with this exit code.
    Fails(u8),
}

/// What is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum What {
    /// A workflow.
    One(Work),
    /// A workflow that is cancelled so long after it was asked for.
    Cancelled(Duration),
    /// A workflow for each of these.
    Batch(Vec<Work>),
}

/// Something that is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wish {
    /// When, from the beginning.
    pub at: Duration,
    /// The id that it will have.
    pub id: Uuid,
    /// What its folders are called.
    pub name: String,
    /// Who asks.
    pub user: usize,
    /// What.
    pub what: What,
    /// Whether it is asked for once more although it was answered.
    pub twice: bool,
}

/// What is killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Victim {
    /// `processor serve`, which its `init` starts again.
    Processor,
    /// `sshd` of the login node, with all its sessions.
    Login,
    /// `slurmctld`.
    Scheduler,
    /// PostgreSQL, the postmaster and each of its processes.
    Database,
    /// Process 1 of the container, and with it everything in it.
    Container,
}

impl Victim {
    /// All of them.
    pub const ALL: [Self; 5] =
        [Self::Processor, Self::Login, Self::Scheduler, Self::Database, Self::Container];

    /// One word.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Processor => "processor",
            Self::Login => "sshd",
            Self::Scheduler => "slurmctld",
            Self::Database => "postgres",
            Self::Container => "container",
        }
    }

    /// How often it is drawn, of all: the worker itself has the most that can be lost.
    const fn weight(self) -> usize {
        match self {
            Self::Processor => 4,
            _ => 2,
        }
    }

    /// How long it is away, in milliseconds: not long enough to notice, and longer than what waits for it pauses.
    const fn down(self) -> (u64, u64) {
        match self {
            Self::Processor => (0, 1),
            Self::Login | Self::Database => (100, 6_000),
            Self::Scheduler => (500, 9_000),
            Self::Container => (100, 4_000),
        }
    }
}

/// Something is killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Disaster {
    /// When, from the beginning.
    pub at: Duration,
    /// What.
    pub victim: Victim,
    /// How long it is away.
    pub down: Duration,
}

impl Disaster {
    /// When it comes back.
    #[must_use]
    pub const fn over(&self) -> Duration {
        self.at.saturating_add(self.down)
    }
}

/// All that happens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// How much of it.
    pub extent: Extent,
    /// What is asked for, in its order.
    pub wishes: Vec<Wish>,
    /// What is killed, in its order.
    pub disasters: Vec<Disaster>,
}

impl Plan {
    /// What follows from a seed.
    #[must_use]
    pub fn new(extent: Extent) -> Self {
        let mut seeded = Seeded::new(extent.seed);
        let wishes = wishes(&mut seeded, extent);
        let disasters = disasters(&mut seeded, extent.during);
        Self { extent, wishes, disasters }
    }
}

/// What is dealt in turn before anything comes again, so that a short run has some of everything.
struct Deck<T> {
    cards: Vec<T>,
    left: Vec<T>,
}

impl<T: Clone> Deck<T> {
    const fn new(cards: Vec<T>) -> Self {
        Self { cards, left: Vec::new() }
    }

    fn deal(&mut self, seeded: &mut Seeded) -> Option<T> {
        if self.left.is_empty() {
            self.left.clone_from(&self.cards);
        }
        match self.left.len() {
            0 => None,
            left => Some(self.left.swap_remove(seeded.below(left))),
        }
    }
}

#[derive(Debug, Clone, Copy)]
enum Kind {
    Short,
    Long,
    Failing,
    Cancelled,
    Batch,
}

fn wishes(seeded: &mut Seeded, extent: Extent) -> Vec<Wish> {
    let all = [(Kind::Short, 5), (Kind::Long, 4), (Kind::Failing, 3), (Kind::Cancelled, 2), (Kind::Batch, 2)];
    let cards = all.into_iter().flat_map(|(kind, times)| std::iter::repeat_n(kind, times));
    let mut deck = Deck::new(cards.collect());
    let mut wishes = Vec::new();
    let mut left = extent.workflows;
    while left > 0 {
        let Some(kind) = deck.deal(seeded) else { break };
        let what = match kind {
            Kind::Short => What::One(Work::Copies(seeded.below(2) as u64)),
            Kind::Long => What::One(Work::Copies(3 + seeded.below(18) as u64)),
            Kind::Failing => What::One(fails(seeded)),
            Kind::Cancelled => What::Cancelled(between(seeded, (0, 15_000))),
            Kind::Batch => {
                let of = left.min(2 + seeded.below(4));
                let work = |place| match place {
                    0 => fails(seeded),
                    _ => Work::Copies(seeded.below(6) as u64),
                };
                // Every second batch has one that fails.
                let first = usize::from(wishes.len() % 2 == 0);
                What::Batch((first..first + of).map(work).collect())
            }
        };
        left -= what.workflows();
        let random = [seeded.number().to_le_bytes(), seeded.number().to_le_bytes()].concat();
        let random = random.try_into().unwrap_or_default();
        wishes.push(Wish {
            at: Duration::ZERO,
            id: uuid::Builder::from_random_bytes(random).into_uuid(),
            name: format!("w{}", wishes.len()),
            user: 2 + seeded.below(USERS),
            what,
            twice: seeded.once_in(4),
        });
    }
    let within = extent.during.mul_f64(ASKED_WITHIN).as_millis() as u64;
    let mut moments: Vec<Duration> = wishes.iter().map(|_| between(seeded, (0, within))).collect();
    moments.sort_unstable();
    for (wish, at) in wishes.iter_mut().zip(moments) {
        wish.at = at;
    }
    wishes
}

fn fails(seeded: &mut Seeded) -> Work {
    Work::Fails(1 + seeded.below(99) as u8)
}

fn disasters(seeded: &mut Seeded, during: Duration) -> Vec<Disaster> {
    let cards = Victim::ALL.into_iter().flat_map(|victim| std::iter::repeat_n(victim, victim.weight()));
    let mut deck = Deck::new(cards.collect());
    let mut free: BTreeMap<Victim, Duration> = BTreeMap::new();
    let mut disasters = Vec::new();
    let mut now = between(seeded, BETWEEN);
    while now < during {
        let Some(victim) = deck.deal(seeded) else { break };
        let at = now.max(free.get(&victim).copied().unwrap_or_default());
        let disaster = Disaster { at, victim, down: between(seeded, victim.down()) };
        free.insert(victim, disaster.over() + REST);
        disasters.push(disaster);
        now += between(seeded, BETWEEN);
    }
    disasters.sort_by_key(|disaster| disaster.at);
    disasters
}

/// From the first to before the last millisecond.
fn between(seeded: &mut Seeded, (first, last): (u64, u64)) -> Duration {
    let width = usize::try_from(last.saturating_sub(first)).unwrap_or(usize::MAX).max(1);
    Duration::from_millis(first + seeded.below(width) as u64)
}

impl What {
    /// How many workflows it is.
    #[must_use]
    pub fn workflows(&self) -> usize {
        match self {
            Self::Batch(works) => works.len(),
            _ => 1,
        }
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Extent { seed, workflows, during } = self.extent;
        let seconds = during.as_secs();
        writeln!(formatter, "seed {seed}: {workflows} workflows, {seconds} s of chaos")?;
        let wishes = self.wishes.iter().map(|wish| (wish.at, wish.to_string()));
        let disasters = self.disasters.iter().map(|disaster| (disaster.at, disaster.to_string()));
        let mut lines: Vec<(Duration, String)> = wishes.chain(disasters).collect();
        lines.sort_by_key(|(at, _)| *at);
        lines.iter().try_for_each(|(at, line)| writeln!(formatter, "{:>7.1} s  {line}", at.as_secs_f64()))
    }
}

impl fmt::Display for Wish {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { id, name, user, what, twice, .. } = self;
        let twice = if *twice { ", twice" } else { "" };
        write!(formatter, "user {user} asks for {name} ({id}){twice}: {what:?}")
    }
}

impl fmt::Display for Disaster {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { victim, down, .. } = self;
        write!(formatter, "kill {}, away for {:.1} s", victim.name(), down.as_secs_f64())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn plan(seed: u64, workflows: usize, seconds: u64) -> Plan {
        Plan::new(Extent { seed, workflows, during: Duration::from_secs(seconds) })
    }

    #[test]
    fn the_same_seed_is_the_same_chaos() {
        assert_eq!(plan(7, 200, 600).to_string(), plan(7, 200, 600).to_string());
        assert_ne!(plan(7, 200, 600), plan(8, 200, 600));
    }

    #[test]
    fn a_minute_has_some_of_everything() {
        for seed in 0..50 {
            let plan = plan(seed, 24, 70);
            let workflows: usize = plan.wishes.iter().map(|wish| wish.what.workflows()).sum();
            assert_eq!(workflows, 24, "{plan}");
            let victims: BTreeSet<Victim> = plan.disasters.iter().map(|disaster| disaster.victim).collect();
            assert_eq!(victims.len(), Victim::ALL.len(), "{plan}");
            let has = |is: &dyn Fn(&What) -> bool| plan.wishes.iter().any(|wish| is(&wish.what));
            assert!(has(&|what| matches!(what, What::One(Work::Fails(_)))), "{plan}");
            assert!(has(&|what| matches!(what, What::Cancelled(_))), "{plan}");
            assert!(has(&|what| matches!(what, What::Batch(_))), "{plan}");
        }
    }

    #[test]
    fn nothing_is_killed_while_it_is_away() {
        for seed in 0..50 {
            let plan = plan(seed, 10, 600);
            assert!((110..=400).contains(&plan.disasters.len()), "{plan}");
            let mut back: BTreeMap<Victim, Duration> = BTreeMap::new();
            for disaster in &plan.disasters {
                let before = back.insert(disaster.victim, disaster.over());
                assert!(before.is_none_or(|before| before < disaster.at), "{plan}");
            }
        }
    }
}
