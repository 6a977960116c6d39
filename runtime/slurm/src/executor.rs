//! The embedded executor: a machine without Slurm runs workflows by itself, behind the same types as Slurm ([`crate::job`]).
//!
//! Why: a workstation has processors and containers, but nobody who sets up a cluster on it. The engine for everything beyond
//! one machine is Slurm.
//!
//! Invariants: there is no daemon, the queue is a folder; nothing starts twice, and a submission is known again by its comment;
//! jobs outlive whoever submitted them; whatever a task started is gone before the task is told to have ended; a runner that
//! was killed, or a machine that went down, is NODE_FAIL, never "running".

mod array;
mod directives;
mod error;
mod limit;
mod log_name;
mod plan;
mod processes;
mod request;
mod runner;
mod schedule;
mod store;
mod task;
mod variables;

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use nix::sys::signal::Signal;
use serde::{Deserialize, Serialize};

pub use error::Error;

use self::log_name::Symbols;
use self::plan::Capacity;
use self::request::Request;
use self::store::{Queue, Store};
use self::task::{Asked, Phase, Standing, Task};
use self::variables::Place;
use crate::job::{Job, JobId, Submission};

/// Slurm's own limit is of this order (`max_script_size` of slurm.conf(5)): 4 MiB.
const LARGEST_SCRIPT: u64 = 4 << 20;
/// What the runners read.
const OPTIONS: &str = "executor.json";

/// How jobs are run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Options {
    /// How many processors jobs have at a time.
    pub processors: u32,
    /// How many bytes of memory jobs that name an amount have at a time; not counted without.
    pub memory: Option<u64>,
    /// The program that runs one task.
    pub program: PathBuf,
    /// Its arguments, before the folder of the queue, the job and a token, which it hands to [`Executor::run`].
    pub arguments: Vec<String>,
    /// The variables that jobs and runners have; [`login`] keeps those of a login. A worker's own hold secrets.
    pub environment: Vec<(String, String)>,
    /// How long a task has between TERM and KILL (`KillWait` of slurm.conf(5): 30 s).
    pub kill_wait: Duration,
}

/// The queue of this machine, for one user.
#[derive(Debug, Clone)]
pub struct Executor {
    store: Store,
    options: Options,
    host: String,
    user: String,
}

/// Of an environment, the variables that a login has: what says who one is, where programs are, and the language.
#[must_use]
pub fn login(environment: &biomero_config::Environment) -> Vec<(String, String)> {
    const NAMES: &[&str] = &["HOME", "LOGNAME", "PATH", "SHELL", "TMPDIR", "TZ", "USER", "XDG_RUNTIME_DIR"];
    let belongs = |name: &str| NAMES.contains(&name) || name == "LANG" || name.starts_with("LC_");
    environment
        .utf8()
        .filter(|(name, _)| belongs(name))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
}

impl Executor {
    /// The queue in `state`, made when missing (mode 0700). The options are those of everything that starts from here on.
    ///
    /// # Errors
    /// The folder cannot be made, or others may write to it.
    pub fn open(state: &Path, options: Options) -> Result<Self, Error> {
        let store = Store::open(state)?;
        let queue = store.lock()?;
        if store.read::<Options>(Path::new(OPTIONS)).ok().flatten().as_ref() != Some(&options) {
            store.write(Path::new(OPTIONS), &options)?;
        }
        drop(queue);
        Ok(Self::with(store, options))
    }

    /// The queue in `state`, with the options it was opened with last: for a runner.
    ///
    /// # Errors
    /// There is none.
    pub fn resume(state: &Path) -> Result<Self, Error> {
        let store = Store::open(state)?;
        let path = Path::new(OPTIONS);
        let options = store.read(path)?.ok_or_else(|| {
            Error::file("read", state.join(path))(std::io::Error::from(std::io::ErrorKind::NotFound))
        })?;
        Ok(Self::with(store, options))
    }

    fn with(store: Store, options: Options) -> Self {
        let host = nix::unistd::gethostname().ok().and_then(|name| name.into_string().ok());
        let user = nix::unistd::User::from_uid(nix::unistd::geteuid()).ok().flatten();
        let host = host.unwrap_or_else(|| "localhost".to_owned());
        Self { store, options, host, user: user.map_or_else(String::new, |user| user.name) }
    }

    /// Puts a job into the queue and starts it if there is room. A comment that was submitted before is that job: nothing is
    /// submitted twice.
    ///
    /// # Errors
    /// The script cannot be read, asks for what makes no sense, or the queue is full.
    pub fn submit(&self, submission: &Submission) -> Result<JobId, Error> {
        let home = self.home();
        let path = home.join(&submission.script);
        let script = script(&path)?;
        let request = Request::new(submission, &script, &home)?;
        if !request.ignored.is_empty() {
            tracing::warn!(ignored = ?request.ignored, "options that mean nothing without a cluster");
        }
        let queue = self.store.lock()?;
        if let Some(id) = queue.by_comment(&request.comment)? {
            return Ok(JobId::of(id));
        }
        let id = queue.add(&request, &script, now())?;
        // From here on the job is there, and whoever looks next starts it.
        if let Err(error) = self.pass(&queue) {
            tracing::warn!(%error, job = id, "it waits: nothing could be started");
        }
        Ok(JobId::of(id))
    }

    /// How these stand, in the order asked; of an array each task. Those that are not known are left out.
    ///
    /// # Errors
    /// The queue cannot be read.
    pub fn states(&self, ids: &[JobId]) -> Result<Vec<Job>, Error> {
        let queue = self.store.lock()?;
        self.pass(&queue)?;
        let mut jobs = Vec::new();
        for id in ids {
            if let (Some(standing), Some(request)) = (queue.standing(id.job)?, queue.request(id.job)?) {
                jobs.extend(standing.named(*id).map(|task| self.told(&standing, task, &request)));
            }
        }
        Ok(jobs)
    }

    /// All that wait or run, in order of submission.
    ///
    /// # Errors
    /// The queue cannot be read.
    pub fn queue(&self) -> Result<Vec<Job>, Error> {
        let queue = self.store.lock()?;
        let mut jobs = Vec::new();
        for standing in self.pass(&queue)? {
            if let Some(request) = queue.request(standing.id)? {
                let live = standing.tasks.iter().filter(|task| !task.phase.is_ended());
                jobs.extend(live.map(|task| self.told(&standing, task, &request)));
            }
        }
        Ok(jobs)
    }

    /// Ends these; what is over already, or not known, is fine. Does not wait for their end.
    ///
    /// # Errors
    /// The queue cannot be read or written.
    pub fn cancel(&self, ids: &[JobId]) -> Result<(), Error> {
        self.ask(ids, Asked::Cancel)
    }

    /// Puts these back into the queue; one that runs is ended first.
    ///
    /// # Errors
    /// The queue cannot be read or written, or one is not known.
    pub fn requeue(&self, ids: &[JobId]) -> Result<(), Error> {
        self.ask(ids, Asked::Requeue)
    }

    fn ask(&self, ids: &[JobId], what: Asked) -> Result<(), Error> {
        let queue = self.store.lock()?;
        for id in ids {
            let Some(mut standing) = queue.standing(id.job)? else {
                match what {
                    Asked::Cancel => continue,
                    Asked::Requeue => return Err(Error::Absent { id: *id }),
                }
            };
            let mut runners = Vec::new();
            for task in standing.named_mut(*id) {
                match (what, task.phase) {
                    (_, Phase::Configuring | Phase::Running) => {
                        task.asked = Some(what);
                        runners.extend(task.runner);
                    }
                    (Asked::Cancel, Phase::Pending) => task.end(Phase::Cancelled, None, now()),
                    (Asked::Requeue, phase) if phase.is_ended() => task.put_back(now()),
                    _ => {}
                }
            }
            queue.keep(&standing)?;
            for runner in runners {
                processes::tell(runner, Signal::SIGTERM);
            }
        }
        self.pass(&queue).map(drop)
    }

    /// The job with this comment, if it was submitted.
    ///
    /// # Errors
    /// The queue cannot be read.
    pub fn find(&self, comment: &str) -> Result<Option<JobId>, Error> {
        Ok(self.store.lock()?.by_comment(comment)?.map(JobId::of))
    }

    /// Where the log of a job or task is, whether it was begun or not.
    ///
    /// # Errors
    /// It is not known.
    pub fn log(&self, id: JobId) -> Result<PathBuf, Error> {
        let queue = self.store.lock()?;
        let absent = || Error::Absent { id };
        let request = queue.request(id.job)?.ok_or_else(absent)?;
        let standing = queue.standing(id.job)?.ok_or_else(absent)?;
        let task = standing.named(id).next().ok_or_else(absent)?;
        Ok(log_name::path(&request.output, &request.folder, &self.symbols(id.job, task, &request)))
    }

    /// Options of the job that mean nothing here: `--gres=gpu:1`.
    ///
    /// # Errors
    /// It is not known.
    pub fn ignored(&self, id: JobId) -> Result<Vec<String>, Error> {
        let request = self.store.lock()?.request(id.job)?;
        Ok(request.ok_or(Error::Absent { id })?.ignored)
    }

    /// Runs a task to its end: what the program of [`Options::program`] does. Its standard input is the lock that tells that
    /// it lives, its process group and signals are changed: nothing else is done in this process.
    ///
    /// # Errors
    /// The task is not to be run by it, or what became of it cannot be written.
    pub async fn run(&self, id: JobId, token: &str) -> Result<(), Error> {
        runner::run(self, id, token).await
    }

    fn pass(&self, queue: &Queue<'_>) -> Result<Vec<Standing>, Error> {
        schedule::pass(queue, self.store.root(), &self.options)
    }

    const fn store(&self) -> &Store {
        &self.store
    }

    const fn options(&self) -> &Options {
        &self.options
    }

    fn place(&self) -> Place<'_> {
        Place { host: &self.host, user: &self.user, uid: nix::unistd::geteuid().as_raw() }
    }

    /// Where relative paths begin.
    pub(crate) fn home(&self) -> PathBuf {
        let home = self.options.environment.iter().find(|(name, _)| name == "HOME");
        home.map_or_else(|| PathBuf::from("/"), |(_, home)| PathBuf::from(home))
    }

    fn symbols<'a>(&'a self, job: u32, task: &Task, request: &'a Request) -> Symbols<'a> {
        let (name, user, host) = (&request.name, &self.user, &self.host);
        Symbols { job, own: task.own, task: task.index, name, user, host }
    }

    fn told(&self, standing: &Standing, task: &Task, request: &Request) -> Job {
        let end = task.ended.or_else(|| task.started.map(|_| now()));
        let elapsed = task.started.zip(end).map(|(start, end)| end.saturating_sub(start));
        Job {
            id: JobId { job: standing.id, task: task.index },
            own: Some(task.own),
            name: request.name.clone(),
            state: task.state(),
            reason: task.reason.clone(),
            exit: task.exit(),
            partition: Some(variables::PARTITION.to_owned()),
            nodes: task.started.map(|_| self.host.clone()),
            comment: (!request.comment.is_empty()).then(|| request.comment.clone()),
            submitted: Some(task.submitted),
            started: task.started,
            ended: task.ended,
            elapsed: elapsed.and_then(|seconds| u64::try_from(seconds).ok()).map(Duration::from_secs),
            limit: request.limit,
            processors: Some(request.needs.processors),
            peak_memory: task.peak_memory,
            processor_time: task.processor_time,
            never: self.never(task, request),
            folder: Some(request.folder.clone()),
        }
    }

    fn never(&self, task: &Task, request: &Request) -> Option<String> {
        if task.phase != Phase::Pending || plan::fits(&request.needs, Capacity::of(&self.options)) {
            return None;
        }
        let needs = &request.needs;
        if needs.processors > self.options.processors {
            return Some(format!(
                "it asks for {} processors where jobs have {}: lower --cpus-per-task, or raise slurm.embedded.processors",
                needs.processors, self.options.processors,
            ));
        }
        Some(format!(
            "it asks for {} MiB of memory where jobs have {}: lower --mem",
            needs.memory.unwrap_or_default() >> 20,
            self.options.memory.unwrap_or_default() >> 20,
        ))
    }
}

impl Capacity {
    const fn of(options: &Options) -> Self {
        Self { processors: options.processors, memory: options.memory }
    }
}

fn script(path: &Path) -> Result<Vec<u8>, Error> {
    use std::io::Read as _;
    let failed = |source| Error::Script { path: path.to_path_buf(), source };
    let mut script = Vec::new();
    let file = std::fs::File::open(path).map_err(failed)?;
    file.take(LARGEST_SCRIPT + 1).read_to_end(&mut script).map_err(failed)?;
    if script.len() as u64 > LARGEST_SCRIPT {
        return Err(Error::LargeScript { path: path.to_path_buf(), most: LARGEST_SCRIPT });
    }
    Ok(script)
}

/// Seconds since 1970.
fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}
