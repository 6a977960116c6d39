//! Whoever acts is killed before and behind each thing that is written, and each thing that is done: at the end everything
//! was done once, and the history has it once.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::sync::atomic::AtomicUsize;

use biomero_events::query::Page;
use biomero_events::url::DatabaseUrl;
use biomero_events::{EventLog, Limits as LogLimits};
use serde_json::{Value, json};

use super::*;
use crate::failure::{Failure, Remedy};
use crate::input::Input;
use crate::limits::Limits;
use crate::machine::Step;
use crate::request::tests::request;
use crate::request::{CleanUp, Request, Results, Retries};
use crate::steps::{Admitted, Memory, Refusal, Work};
use crate::workflows::Filter;

/// Where it ends: at the how many-th moment at which it may.
#[derive(Debug)]
pub(crate) struct End {
    left: AtomicUsize,
    reached: Notify,
}

impl End {
    fn at(moment: usize) -> Arc<Self> {
        Arc::new(Self { left: AtomicUsize::new(moment), reached: Notify::new() })
    }

    /// A moment at which it may end. From the one on at which it does, nobody comes past.
    pub(crate) async fn passed(&self) {
        let before = self.left.fetch_update(Ordering::AcqRel, Ordering::Acquire, |left| left.checked_sub(1));
        if before.is_ok() {
            return;
        }
        self.reached.notify_one();
        std::future::pending::<()>().await;
    }
}

/// All that is outside: it stays when whoever acts is killed.
#[derive(Debug, Default)]
struct World {
    /// Jobs by what they are found again by.
    jobs: BTreeMap<String, u32>,
    delivered: BTreeMap<Uuid, u32>,
    /// What is on the way.
    left: BTreeSet<Uuid>,
}

/// Steps that change the world, each as a real one does: what it finds done it does not do again.
struct Steps {
    world: Arc<Mutex<World>>,
    end: Arc<End>,
    /// The first jobs of a workflow on this input fail so.
    failing: BTreeMap<String, Failure>,
    /// Cancelled once their job runs.
    cancelled: bool,
    log: Arc<EventLog>,
}

impl Steps {
    fn world(&self) -> std::sync::MutexGuard<'_, World> {
        self.world.lock().expect("nobody panics with it")
    }
}

impl crate::steps::Steps for Steps {
    async fn admit(&self, _: &Request) -> Result<Admitted, Refusal> {
        Ok(Admitted { version: "v1".to_owned(), steps: Step::ALL.to_vec() })
    }

    async fn perform<M: Memory>(&self, work: &Work, step: Step, memory: &M) -> Result<String, Failure> {
        let wait = |error: crate::Error| Failure::new(step, error.to_string(), Remedy::Wait);
        self.end.passed().await;
        match step {
            Step::Transfer => {
                self.world().left.insert(work.id);
            }
            Step::Run => {
                let attempt = work.machine.attempt(step);
                let name = format!("{}/{attempt}", work.id);
                memory.keep(json!({ "asked": attempt })).await.map_err(wait)?;
                self.end.passed().await;
                // As a job is looked for by its comment.
                let is_there = self.world().jobs.contains_key(&name);
                if !is_there {
                    *self.world().jobs.entry(name).or_insert(0) += 1;
                }
                self.end.passed().await;
                if self.cancelled {
                    let workflows = Workflows::new(
                        Arc::clone(&self.log),
                        Arc::new(Self {
                            world: Arc::clone(&self.world),
                            end: Arc::clone(&self.end),
                            failing: BTreeMap::new(),
                            cancelled: false,
                            log: Arc::clone(&self.log),
                        }),
                        Limits::default(),
                    );
                    workflows.cancel(work.id, "a test").await.map_err(wait)?;
                    std::future::pending::<()>().await;
                }
                let input = work.request.inputs.first().map(ToString::to_string).unwrap_or_default();
                if let Some(failure) = self.failing.get(&input).filter(|_| attempt == 0) {
                    return Err(failure.clone());
                }
            }
            Step::Deliver => {
                // As a folder is known by its number.
                if work.machine.memory.get("delivering").is_none() {
                    memory.keep(json!({ "delivering": true })).await.map_err(wait)?;
                }
                self.end.passed().await;
                self.world().delivered.entry(work.id).or_insert(1);
            }
            Step::Clean => {
                self.world().left.remove(&work.id);
            }
            Step::Export | Step::Convert | Step::Fetch => {}
        }
        self.end.passed().await;
        Ok(String::new())
    }

    async fn withdraw(&self, _: &Work, _: Step) -> Result<(), Failure> {
        self.end.passed().await;
        Ok(())
    }

    async fn clear(&self, work: &Work) -> Result<(), Failure> {
        self.world().left.remove(&work.id);
        self.end.passed().await;
        Ok(())
    }
}

/// What is played through, killed at each moment.
struct Play {
    failing: BTreeMap<String, Failure>,
    cancelled: bool,
    batch: bool,
    phase: &'static str,
    jobs: usize,
    delivered: usize,
}

impl Play {
    /// With an end at a moment; whether that moment came.
    async fn killed_at(&self, moment: usize) -> bool {
        // Every write waits for the disk, and nothing here depends on that.
        let memory = std::path::Path::new("/dev/shm");
        let folder = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() };
        let folder = folder.expect("a folder");
        let url = DatabaseUrl::Sqlite(folder.path().join("events.sqlite"));
        let open = async || Arc::new(EventLog::open(&url, LogLimits::default()).await.expect("a log"));
        let log = open().await;
        log.initialise().await.expect("tables");
        let world = Arc::new(Mutex::new(World::default()));
        let id = Uuid::from_u128(7);
        let mut request = request();
        request.results = Results::Directory(folder.path().join("results"));
        request.policy.clean_up = CleanUp::Always;
        request.policy.retries = Retries { first_seconds: 0, longest_seconds: 0, ..Retries::default() };
        let act = |log: Arc<EventLog>, end: Arc<End>| {
            let steps = Steps {
                world: Arc::clone(&world),
                end: Arc::clone(&end),
                failing: self.failing.clone(),
                cancelled: self.cancelled,
                log: Arc::clone(&log),
            };
            let mut workflows = Workflows::new(log, Arc::new(steps), Limits::default());
            workflows.end = Some(end);
            workflows
        };
        let never = act(Arc::clone(&log), End::at(usize::MAX));
        if self.batch {
            let groups = ["/a", "/b"].map(|path| vec![Input::Path(path.into())]);
            never.submit_batch(id, request, groups.into()).await.expect("it is taken");
        } else {
            never.submit(id, request).await.expect("it is taken");
        }
        let end = End::at(moment);
        let orchestrator = Orchestrator::new(act(Arc::clone(&log), Arc::clone(&end)));
        let is_over = async {
            let open = Filter { open: true, ..Filter::default() };
            loop {
                let listed = never.list(&open, Page { offset: 0, limit: 9 }).await.expect("a list");
                if listed.total == 0 {
                    return;
                }
                sleep(Duration::from_millis(5)).await;
            }
        };
        let was_killed = tokio::select! {
            () = orchestrator.run(std::future::pending()) => unreachable!("nothing ends it"),
            () = end.reached.notified() => true,
            () = is_over => false,
        };
        drop(orchestrator);
        if was_killed {
            // Another process: nothing but the database and the world is left.
            let next = open().await;
            let end = End::at(usize::MAX);
            let orchestrator = Orchestrator::new(act(next, end));
            let patience = Duration::from_secs(60);
            let over = tokio::time::timeout(patience, async {
                let mut over = false;
                let open = Filter { open: true, ..Filter::default() };
                tokio::select! {
                    () = orchestrator.run(std::future::pending()) => {}
                    () = async {
                        while never.list(&open, Page { offset: 0, limit: 9 }).await.expect("a list").total > 0 {
                            sleep(Duration::from_millis(5)).await;
                        }
                    } => over = true,
                }
                over
            });
            let shown = never.show(id).await;
            assert!(over.await.unwrap_or(false), "moment {moment}: it is in limbo: {shown:#?}");
        }
        self.is_done_once(&never, id, &world, moment).await;
        was_killed
    }

    async fn is_done_once(
        &self,
        workflows: &Workflows<Steps>,
        id: Uuid,
        world: &Mutex<World>,
        moment: usize,
    ) {
        let shown = workflows.show(id).await.expect("it is there");
        assert_eq!(shown.machine.phase(), self.phase, "moment {moment}: {shown:#?}");
        {
            let world = world.lock().expect("nobody panics with it");
            assert_eq!(world.jobs.len(), self.jobs, "moment {moment}: {world:?}");
            assert!(world.jobs.values().all(|count| *count == 1), "moment {moment}: {world:?}");
            assert_eq!(world.delivered.len(), self.delivered, "moment {moment}: {world:?}");
            assert!(world.left.is_empty(), "moment {moment}: {world:?}");
        }
        let log = workflows.log();
        let events = log.select(1, 10_000).await.expect("events");
        let mut seen = BTreeSet::new();
        for notification in &events {
            let mut state: Value =
                serde_json::from_slice(&notification.state).expect("an event is a JSON object");
            let state = state.as_object_mut().expect("an object");
            state.remove("timestamp");
            let text = format!("{} {} {state:?}", notification.originator_id, notification.topic);
            assert!(seen.insert(text.clone()), "moment {moment}: twice in the history: {text}");
        }
        let ends = events.iter().filter(|event| {
            event.originator_id == id
                && (event.topic.ends_with("WorkflowCompleted") || event.topic.ends_with("WorkflowFailed"))
        });
        assert_eq!(ends.count(), 1, "moment {moment}");
        let compared = log.compare(&|_| {}).await.expect("a comparison");
        assert!(
            compared.views.iter().all(|view| view.missing + view.superfluous + view.different == 0),
            "moment {moment}: {compared:?}"
        );
    }

    async fn killed_everywhere(&self) {
        let mut moment = 0;
        while self.killed_at(moment).await {
            moment += 1;
            assert!(moment < 500, "it does not end");
        }
        assert!(moment > 20, "only {moment} moments");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_at_each_moment_everything_is_done_once() {
    let play = Play {
        failing: BTreeMap::new(),
        cancelled: false,
        batch: false,
        phase: "DONE",
        jobs: 1,
        delivered: 1,
    };
    play.killed_everywhere().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_at_each_moment_a_lost_job_has_one_successor() {
    let failure = Failure::new(Step::Run, "its node is gone", Remedy::Exclude(vec!["n1".to_owned()]));
    let failing = BTreeMap::from([("/data/cells".to_owned(), failure)]);
    let play = Play { failing, cancelled: false, batch: false, phase: "DONE", jobs: 2, delivered: 1 };
    play.killed_everywhere().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_at_each_moment_what_was_cancelled_stays_so() {
    let play = Play {
        failing: BTreeMap::new(),
        cancelled: true,
        batch: false,
        phase: "CANCELLED",
        jobs: 1,
        delivered: 0,
    };
    play.killed_everywhere().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_at_each_moment_a_batch_knows_its_children() {
    let failure = Failure::new(Step::Run, "no", Remedy::None);
    let failing = BTreeMap::from([("/b".to_owned(), failure)]);
    let play = Play { failing, cancelled: false, batch: true, phase: "FAILED", jobs: 2, delivered: 1 };
    play.killed_everywhere().await;
}
