//! A run in the background, as it is seen from outside: by its process, by its jobs, and by its history.

use std::collections::BTreeSet;
use std::os::unix::process::ExitStatusExt as _;

use biomero_tests::cluster::worker::Worker;
use biomero_tests::cluster::{Access, PATIENCE};
use biomero_tests::process::{self, Running};
use biomero_tests::{Result, Trouble, wait};
use nix::sys::signal::Signal;
use serde_json::Value;
use uuid::Uuid;

/// See the module.
pub(super) struct Begun<'a> {
    worker: &'a Worker,
    cluster: &'a Access,
    pub(super) process: Running,
    pub(super) id: Uuid,
}

impl<'a> Begun<'a> {
    /// Starts a run, and waits until it has told its id.
    pub(super) fn new(worker: &'a Worker, cluster: &'a Access, arguments: &[String]) -> Result<Self> {
        let mut words = vec!["run"];
        words.extend(arguments.iter().map(String::as_str));
        let process = worker.start(&words)?;
        let id = wait::until("the id of the run", PATIENCE, &[process.log()], || {
            process.output().lines().find_map(|line| line.strip_prefix("run ")?.parse().ok())
        })?;
        Ok(Self { worker, cluster, process, id })
    }

    /// Waits until something is seen.
    pub(super) fn until(&self, what: &str, mut seen: impl FnMut() -> bool) -> Result<()> {
        wait::until(what, PATIENCE, &[self.process.log()], || seen().then_some(()))
    }

    /// Kills the process as soon as something is seen, which has to be before it is over.
    pub(super) fn kill_once(&mut self, what: &str, seen: impl FnMut() -> bool) -> Result<()> {
        self.until(what, seen)?;
        self.process.signal(Signal::SIGKILL)?;
        let killed = self.process.ended_within(PATIENCE)?.signal();
        assert_eq!(killed, Some(9), "over before it could be killed {what}: {}", self.process.output());
        Ok(())
    }

    /// Kills the process as soon as the step has a job.
    pub(super) fn kill_once_submitted(&mut self, step: &str) -> Result<()> {
        self.until(&format!("a job of {step}"), || self.has_job(step))?;
        self.kill_once(&format!("in {step}"), || true)
    }

    /// Takes the run up again, in another process.
    pub(super) fn resume(&mut self) -> Result<()> {
        self.process = self.worker.start(&["run", "--resume", &self.id.to_string()])?;
        Ok(())
    }

    /// Waits for the end of the process; its exit code.
    pub(super) fn exit_code(&mut self) -> Result<Option<i32>> {
        Ok(self.process.ended_within(PATIENCE)?.code())
    }

    /// Whether a job of this step stands in the queue, or did lately.
    pub(super) fn has_job(&self, step: &str) -> bool {
        self.jobs(step).is_ok_and(|jobs| !jobs.is_empty())
    }

    /// The jobs that were submitted for this step: what slurmctld has forgotten, the accounting knows.
    fn jobs(&self, step: &str) -> Result<BTreeSet<String>> {
        let mut squeue = self.cluster.slurm("squeue");
        squeue.args(["-h", "-t", "all", "-o", "%F|--comment=%k"]);
        let mut sacct = self.cluster.slurm("sacct");
        sacct.args(["-n", "-X", "-P", "-a", "-S", "now-1hour", "-o", "JobID,SubmitLine"]);
        let said = process::succeed(&mut squeue, PATIENCE)? + &process::succeed(&mut sacct, PATIENCE)?;
        let option = format!("--comment={}", self.comment(step));
        let of_step = said.lines().filter(|line| line.split(['|', ' ']).any(|word| word == option));
        // Of an array each task is told.
        let ids = of_step.filter_map(|line| line.split(['_', '|']).next());
        Ok(ids.map(str::to_owned).collect())
    }

    fn comment(&self, step: &str) -> String {
        format!("biomero-{}-{step}", self.id)
    }

    /// That each of these steps has submitted one job, and that all of it is in the history, once.
    pub(super) fn is_recorded_once(&self, steps: &[&str]) -> Result<()> {
        for step in steps {
            let jobs = self.jobs(step)?;
            assert_eq!(jobs.len(), 1, "{step}: {jobs:?}: {}", self.process.output());
        }
        process::succeed(&mut self.worker.processor(&["events", "doctor"])?, PATIENCE)?;
        let id = self.id.to_string();
        let mut show = self.worker.processor(&["events", "show", &id, "--json"])?;
        let shown = process::succeed(&mut show, PATIENCE)?;
        let history: Value =
            serde_json::from_str(&shown).map_err(|error| Trouble::new(format!("{error}: {shown}")))?;
        assert_eq!(history["state"], "completed", "{history:#}");
        let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
        let tasks = list(&history["tasks"]);
        let jobs: Vec<Value> = tasks.iter().flat_map(|task| list(&task["jobs"])).collect();
        assert_eq!(jobs.len(), steps.len(), "{history:#}");
        for job in jobs.iter().chain(&tasks).filter_map(|thing| thing.get("status").or(thing.get("state"))) {
            assert!(job == "COMPLETED" || job == "completed", "{history:#}");
        }
        let mut seen = BTreeSet::new();
        for event in list(&history["events"]) {
            let (of, topic, mut state) = (&event["originator_id"], &event["topic"], event["state"].clone());
            // A state is told of again for another task of an array, or with another start in prospect.
            if topic == "biomero.eventsourcing:Task.StatusUpdated" {
                continue;
            }
            state.as_object_mut().map(|state| state.remove("timestamp"));
            assert!(seen.insert(format!("{of} {topic} {state}")), "twice in the history: {event:#}");
        }
        Ok(())
    }
}
