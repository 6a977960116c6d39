//! Who acts: takes workflows up, gives each its turn, and does what its row says is to be done.
//!
//! Invariants: it acts while it has the right to, and not a moment longer than it knows; a workflow is carried by one task;
//! whatever ends a task, the row says where the next one goes on.

mod carrier;
#[cfg(test)]
pub(crate) mod tests;

use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use biomero_events::Leadership;
use biomero_events::workflow::WorkflowHead;
use tokio::sync::{Notify, watch};
use tokio::task::{Id, JoinSet};
use tokio::time::{Instant, sleep};
use uuid::Uuid;

use crate::error::Error;
use crate::limits;
use crate::machine::{Machine, Stage};
use crate::steps::Steps;
use crate::workflows::Workflows;
use carrier::Carrier;

/// How often it is tried to become the one that acts.
const TURN: Duration = Duration::from_secs(2);
/// How long nothing is heard before rows are looked at all the same.
const SILENCE: Duration = Duration::from_secs(10);
/// News that come together are looked at together: at least this long, and longer where many are open, so that looking takes
/// a small part of the time.
const GATHER: Duration = Duration::from_millis(50);
/// How much longer for each.
const GATHER_EACH: Duration = Duration::from_micros(50);
/// How long a workflow is left alone that could not be carried on.
const REST: Duration = Duration::from_secs(5);
/// What a workflow is in before its turn.
const WAITING: &str = Machine::phase_of(Stage::Waiting);
/// What a batch is in.
const GATHERING: &str = Machine::phase_of(Stage::Gathering);

/// What this worker is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// The database has not answered yet.
    Starting,
    /// Another worker acts.
    Waiting,
    /// It acts, with so many workflows under way.
    Acting {
        /// How many.
        under_way: usize,
    },
}

/// Carries workflows.
#[derive(Debug)]
pub struct Orchestrator<S> {
    workflows: Workflows<S>,
    standing: watch::Sender<Standing>,
}

/// A workflow that is being carried.
struct Carried {
    user: i64,
    parent: Option<Uuid>,
    counts: bool,
    news: Arc<Notify>,
    seen: Arc<AtomicI64>,
}

impl<S: Steps> Orchestrator<S> {
    /// For the workflows of a database. Nothing happens before [`Orchestrator::run`].
    #[must_use]
    pub fn new(workflows: Workflows<S>) -> Self {
        Self { workflows, standing: watch::Sender::new(Standing::Starting) }
    }

    /// What it is doing, for whoever is asked whether the worker is ready.
    #[must_use]
    pub fn standing(&self) -> watch::Receiver<Standing> {
        self.standing.subscribe()
    }

    /// Acts whenever no other worker does, until `stop` is ready: then nothing more is begun, and what is under way is let go
    /// as it is, for whoever acts next. Jobs of the cluster go on. A database that is away is waited for.
    pub async fn run(&self, stop: impl Future<Output = ()> + Send) {
        let mut stop = pin!(stop);
        loop {
            tokio::select! {
                () = &mut stop => return,
                () = self.turn() => {}
            }
        }
    }

    /// Whether that is news.
    fn stands(&self, now: Standing) -> bool {
        self.standing.send_if_modified(|standing| std::mem::replace(standing, now) != now)
    }

    /// Waits for the right to act, and acts until it is lost.
    async fn turn(&self) {
        match self.workflows.log.lead().await {
            Ok(Some(mut leadership)) => match self.workflows.log.begin_term().await {
                Ok(term) => {
                    tracing::info!("this worker acts now (term {term})");
                    let reason = self.act(term, &mut leadership).await;
                    tracing::warn!("this worker does not act any more: {reason}");
                    self.stands(Standing::Starting);
                }
                Err(error) => {
                    tracing::warn!("{error}");
                    sleep(TURN).await;
                }
            },
            Ok(None) => {
                if self.stands(Standing::Waiting) {
                    tracing::info!("another worker on this database acts; this one waits");
                }
                sleep(TURN).await;
            }
            Err(error) => {
                tracing::warn!("nobody can tell which worker acts, and it is asked again: {error}");
                self.stands(Standing::Starting);
                sleep(TURN).await;
            }
        }
    }

    /// Acts until the right is lost; why it was. All that was under way is dropped then, at once.
    async fn act(&self, term: i64, leadership: &mut Leadership) -> String {
        tokio::select! {
            biased;
            reason = leadership.lost() => reason,
            () = self.dispatch(term) => "the program is ending".to_owned(),
        }
    }

    async fn dispatch(&self, term: i64) {
        let log = &self.workflows.log;
        let mut bell = log.bell();
        let mut tasks: JoinSet<Result<(), Error>> = JoinSet::new();
        let mut names: BTreeMap<Id, Uuid> = BTreeMap::new();
        let mut carried: BTreeMap<Uuid, Carried> = BTreeMap::new();
        let mut resting: BTreeMap<Uuid, Instant> = BTreeMap::new();
        let mut gather = GATHER;
        loop {
            resting.retain(|_, until| *until > Instant::now());
            match log.open_heads().await {
                Ok(heads) => {
                    gather = GATHER
                        .max(GATHER_EACH.saturating_mul(u32::try_from(heads.len()).unwrap_or(u32::MAX)));
                    for head in self.due(&heads, &carried, &resting) {
                        let (carrier, known) = self.carrier(term, &head);
                        let task = tasks.spawn(carrier.carry());
                        names.insert(task.id(), head.id);
                        carried.insert(head.id, known);
                    }
                    let under_way = carried.values().filter(|known| known.counts).count();
                    self.stands(Standing::Acting { under_way });
                }
                Err(error) => tracing::warn!("workflows cannot be read, and are read again: {error}"),
            }
            tokio::select! {
                ended = tasks.join_next_with_id(), if !tasks.is_empty() => {
                    let (task, outcome) = match ended {
                        Some(Ok((task, outcome))) => (task, outcome.map_err(|error| error.to_string())),
                        Some(Err(error)) => (error.id(), Err(error.to_string())),
                        None => continue,
                    };
                    let Some(id) = names.remove(&task) else { continue };
                    let known = carried.remove(&id);
                    if let Err(error) = outcome {
                        tracing::warn!("workflow {id} is left alone for a while: {error}");
                        resting.insert(id, Instant::now() + REST);
                    }
                    // A batch looks at its children when one has ended.
                    let parent = known.and_then(|known| known.parent).and_then(|parent| carried.get(&parent));
                    if let Some(parent) = parent {
                        parent.news.notify_one();
                    }
                }
                rung = bell.rung() => match rung {
                    Ok(()) => sleep(gather).await,
                    Err(error) => {
                        tracing::warn!("{error}");
                        sleep(TURN).await;
                    }
                },
                () = sleep(SILENCE) => {}
            }
        }
    }

    /// What is to be taken up. Whoever carries what others have changed hears of it.
    fn due(
        &self,
        heads: &[WorkflowHead],
        carried: &BTreeMap<Uuid, Carried>,
        resting: &BTreeMap<Uuid, Instant>,
    ) -> Vec<WorkflowHead> {
        let mut due = Vec::new();
        let mut waiting = Vec::new();
        let mut under_way: BTreeMap<i64, usize> = BTreeMap::new();
        for known in carried.values().filter(|known| known.counts) {
            *under_way.entry(known.user).or_insert(0) += 1;
        }
        for head in heads {
            if let Some(known) = carried.get(&head.id) {
                if head.revision > known.seen.load(Ordering::Acquire) {
                    known.news.notify_one();
                }
                continue;
            }
            if resting.contains_key(&head.id) {
                continue;
            }
            if head.phase == WAITING {
                waiting.push(head);
            } else {
                // It was under way when another worker ended, and has its place already.
                if head.phase != GATHERING {
                    *under_way.entry(head.user).or_insert(0) += 1;
                }
                due.push(head.clone());
            }
        }
        let turns = waiting.iter().map(|head| (head.id, head.user));
        let turns = limits::admitted(&self.workflows.limits, under_way, turns);
        due.extend(waiting.into_iter().filter(|head| turns.contains(&head.id)).cloned());
        due
    }

    fn carrier(&self, term: i64, head: &WorkflowHead) -> (Carrier<S>, Carried) {
        let (news, seen) = (Arc::new(Notify::new()), Arc::new(AtomicI64::new(head.revision)));
        let known = Carried {
            user: head.user,
            parent: head.parent,
            counts: head.phase != GATHERING,
            news: Arc::clone(&news),
            seen: Arc::clone(&seen),
        };
        (Carrier { workflows: self.workflows.clone(), id: head.id, term, news, seen }, known)
    }
}
