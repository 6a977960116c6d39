//! A machine without Slurm: the embedded executor runs real job scripts by the finished `processor`, and what it tells of them
//! is what Slurm would.

mod faults;
mod order;
mod parity;

use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use biomero_slurm::executor::{self, Executor};
use biomero_slurm::job::{ExitCode, Job, JobId, State, Submission};
use biomero_tests::scratch::Scratch;
use biomero_tests::{Result, Trouble, binary, process, wait};

/// Machines that do much else.
pub(super) const PATIENCE: Duration = Duration::from_secs(180);

/// An executor with a folder for its scripts and logs. What still runs at the end is cancelled.
pub(super) struct Machine {
    pub(super) executor: Executor,
    pub(super) scratch: Scratch,
}

pub(super) fn said(error: executor::Error) -> Trouble {
    Trouble::new(error.to_string())
}

pub(super) fn options(scratch: &Scratch, processors: u32, program: PathBuf) -> executor::Options {
    let home = scratch.path().display().to_string();
    let path = std::env::var("PATH").unwrap_or_default();
    executor::Options {
        processors,
        memory: None,
        program,
        arguments: vec!["slurm-task".to_owned()],
        environment: vec![("HOME".to_owned(), home), ("PATH".to_owned(), path)],
        kill_wait: Duration::from_secs(2),
    }
}

impl Machine {
    pub(super) fn new(processors: u32) -> Result<Self> {
        Self::with(processors, binary::processor()?)
    }

    pub(super) fn with(processors: u32, program: PathBuf) -> Result<Self> {
        let scratch = Scratch::new()?;
        let options = options(&scratch, processors, program);
        let executor = Executor::open(&scratch.path().join("queue"), options).map_err(said)?;
        Ok(Self { executor, scratch })
    }

    /// A submission of this script, in the scratch folder, with a log that is named after the job.
    pub(super) fn job(&self, script: &str) -> Result<Submission> {
        let path = self.scratch.path().join(format!("{}.sh", uuid::Uuid::new_v4()));
        std::fs::write(&path, script).map_err(Trouble::doing("write a script"))?;
        Ok(Submission {
            comment: uuid::Uuid::new_v4().to_string(),
            script: path,
            arguments: Vec::new(),
            options: Vec::new(),
            environment: Vec::new(),
            folder: Some(self.scratch.path().to_path_buf()),
            output: "job-%A_%a.log".to_owned(),
            array: None,
            after: None,
        })
    }

    pub(super) fn submit(&self, submission: &Submission) -> Result<JobId> {
        self.executor.submit(submission).map_err(said)
    }

    pub(super) fn run(&self, script: &str, options: &[(&str, &str)]) -> Result<JobId> {
        let mut submission = self.job(script)?;
        submission.options = owned(options);
        self.submit(&submission)
    }

    /// All tasks of a job.
    pub(super) fn tasks(&self, id: JobId) -> Result<Vec<Job>> {
        self.executor.states(&[id]).map_err(said)
    }

    pub(super) fn one(&self, id: JobId) -> Result<Job> {
        let mut tasks = self.tasks(id)?;
        match (tasks.pop(), tasks.is_empty()) {
            (Some(task), true) => Ok(task),
            _ => Err(Trouble::new(format!("{id} is not one job"))),
        }
    }

    /// Waits for the end of all its tasks.
    pub(super) fn ended(&self, id: JobId) -> Result<Vec<Job>> {
        let mut last = Vec::new();
        let runner = self.scratch.path().join(format!("queue/live/{}/runner.log", id.job));
        let waited = wait::until(&format!("the end of job {id}"), PATIENCE, &[&runner], || {
            last = self.tasks(id).unwrap_or_default();
            let over = |job: &Job| {
                !matches!(job.state, State::Pending | State::Configuring | State::Running | State::Completing)
            };
            (!last.is_empty() && last.iter().all(over)).then(|| last.clone())
        });
        waited.map_err(|trouble| Trouble::new(format!("{trouble}\n{last:#?}")))
    }

    pub(super) fn one_ended(&self, id: JobId) -> Result<Job> {
        self.ended(id)?;
        self.one(id)
    }

    pub(super) fn log(&self, id: JobId) -> Result<String> {
        let path = self.executor.log(id).map_err(said)?;
        std::fs::read_to_string(&path).map_err(Trouble::doing(format!("read {}", path.display())))
    }

    /// What is in a file of the scratch folder, once it has so many lines.
    pub(super) fn lines(&self, name: &str, count: usize) -> Result<Vec<String>> {
        let path = self.scratch.path().join(name);
        wait::until(&format!("{count} lines in {name}"), PATIENCE, &[&path], || {
            let text = std::fs::read_to_string(&path).ok()?;
            let lines: Vec<String> = text.lines().map(str::to_owned).collect();
            (lines.len() >= count && text.ends_with('\n')).then_some(lines)
        })
    }

    pub(super) fn exists(&self, name: &str) -> bool {
        self.scratch.path().join(name).exists()
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        let ids = |jobs: Vec<Job>| jobs.iter().map(|job| job.id).collect::<Vec<JobId>>();
        let _ = self.executor.queue().map(|jobs| self.executor.cancel(&ids(jobs)));
        let _ =
            wait::until("an empty queue", PATIENCE, &[], || self.executor.queue().ok().filter(Vec::is_empty));
    }
}

pub(super) fn owned(options: &[(&str, &str)]) -> Vec<(String, Option<String>)> {
    options.iter().map(|(name, value)| ((*name).to_owned(), Some((*value).to_owned()))).collect()
}

/// Those of these processes that are still there, dead ones that nobody waited for left out.
pub(super) fn left(pids: &[String]) -> Vec<String> {
    let runs = |pid: &String| {
        std::fs::read_to_string(Path::new("/proc").join(pid).join("stat"))
            .is_ok_and(|stat| !stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with('Z')))
    };
    pids.iter().filter(|pid| runs(pid)).cloned().collect()
}

/// Waits for processes in all the ways that a script can start them, and writes their ids to `pids`.
pub(super) const FAMILY: &str = "#!/bin/sh\n\
    trap '' TERM\n\
    sleep 600 & echo $! >> pids\n\
    (sh -c 'echo $$ >> pids; sleep 600 & wait' &)\n\
    setsid sh -c 'echo $$ >> pids; exec sleep 600' &\n\
    env -i /bin/sh -c 'echo $$ >> pids; exec /bin/sleep 600' &\n\
    echo $$ >> pids\n\
    while :; do sleep 600; done\n";
/// How many that are.
pub(super) const MEMBERS: usize = 5;

#[test]
fn a_job_that_succeeds_is_told_with_what_it_used() -> Result<()> {
    let machine = Machine::new(2)?;
    let mut asked = machine.job("#!/bin/bash\n#SBATCH --cpus-per-task=2\necho \"$1 $X\"; pwd; head -c 50M /dev/zero | tail -c 1 >/dev/null\n")?;
    asked.arguments = vec!["it's $(a) job".to_owned()];
    asked.environment = vec![("X".to_owned(), "a;b".to_owned())];
    asked.options = owned(&[("gres", "gpu:1"), ("time", "5")]);
    let id = machine.submit(&asked)?;
    let job = machine.one_ended(id)?;
    assert_eq!((job.state, job.exit), (State::Completed, Some(ExitCode { code: 0, signal: 0 })), "{job:?}");
    assert_eq!((job.processors, job.limit), (Some(2), Some(Duration::from_secs(300))));
    assert!(job.peak_memory.is_some_and(|peak| peak > 500_000), "{job:?}");
    assert!(job.processor_time.is_some_and(|time| !time.is_zero()), "{job:?}");
    assert_eq!(job.comment.as_deref(), Some(asked.comment.as_str()));
    assert_eq!(machine.log(id)?, format!("it's $(a) job a;b\n{}\n", machine.scratch.path().display()));
    assert_eq!(machine.executor.ignored(id).map_err(said)?, ["--gres=gpu:1"]);
    assert_eq!(machine.executor.find(&asked.comment).map_err(said)?, Some(id));
    assert_eq!(machine.submit(&asked)?, id, "a comment is submitted once");
    Ok(())
}

#[test]
fn a_job_that_fails_is_told_with_its_code_or_signal() -> Result<()> {
    let machine = Machine::new(2)?;
    let table = [
        ("#!/bin/sh\nexit 3\n", 3, 0, "NonZeroExitCode"),
        ("#!/bin/sh\nkill -9 $$\n", 0, 9, "RaisedSignal:9 (SIGKILL)"),
        ("#!/bin/sh\nkill -TERM $$\n", 0, 15, "RaisedSignal:15 (SIGTERM)"),
        ("#!/nowhere/sh\n", 127, 0, "/nowhere/sh cannot be started: No such file or directory (os error 2)"),
    ];
    for (script, code, signal, reason) in table {
        let id = machine.run(script, &[])?;
        let job = machine.one_ended(id)?;
        assert_eq!((job.state, job.exit), (State::Failed, Some(ExitCode { code, signal })), "{script}");
        assert_eq!(job.reason.as_deref(), Some(reason), "{script}");
    }
    let mut nowhere = machine.job("#!/bin/sh\n")?;
    nowhere.output = "no/such/folder.log".to_owned();
    let id = machine.submit(&nowhere)?;
    let job = machine.one_ended(id)?;
    assert!(job.reason.is_some_and(|reason| reason.contains("no/such/folder.log cannot be written")));
    Ok(())
}

#[test]
fn a_job_that_takes_too_long_ends_with_all_that_it_started() -> Result<()> {
    let machine = Machine::new(2)?;
    let id = machine.run(FAMILY, &[("time", "0:03")])?;
    let pids = machine.lines("pids", MEMBERS)?;
    let job = machine.one_ended(id)?;
    assert_eq!(job.state, State::Timeout, "{job:?}");
    assert!(job.exit.is_some_and(|exit| exit.signal == 9), "TERM is ignored: {job:?}");
    assert_eq!(left(&pids), [""; 0]);
    assert!(machine.log(id)?.contains("it reached its time limit of 3 s"));
    Ok(())
}

#[test]
fn a_job_that_takes_too_much_memory_ends() -> Result<()> {
    let machine = Machine::new(2)?;
    // tail keeps what has no line break.
    let script = "#!/bin/sh\n#SBATCH --mem=64M\necho begun\nhead -c 400M /dev/zero | (tail; sleep 600)\n\
                  cat /dev/zero | tail\n";
    let id = machine.run(script, &[])?;
    let job = machine.one_ended(id)?;
    assert_eq!(job.state, State::OutOfMemory, "{job:?}");
    assert!(job.peak_memory.is_some_and(|peak| peak > 64 << 20), "{job:?}");
    assert!(machine.log(id)?.contains("MiB of memory where it asked for 64"));
    Ok(())
}

#[test]
fn what_a_script_leaves_in_the_background_ends_with_it() -> Result<()> {
    let machine = Machine::new(2)?;
    let id = machine.run("#!/bin/sh\nsetsid sh -c 'echo $$ > pids; exec sleep 600' &\nwhile ! [ -s pids ]; do sleep 0.1; done\n", &[])?;
    let job = machine.one_ended(id)?;
    assert_eq!(job.state, State::Completed, "{job:?}");
    assert_eq!(left(&machine.lines("pids", 1)?), [""; 0]);
    Ok(())
}

#[test]
fn cancelling_ends_what_runs_and_forgets_what_waits() -> Result<()> {
    let machine = Machine::new(1)?;
    let running = machine.run(FAMILY, &[])?;
    let waiting = machine.run("#!/bin/sh\ntouch began\n", &[])?;
    let pids = machine.lines("pids", MEMBERS)?;
    let job = machine.one(waiting)?;
    assert_eq!((job.state, job.reason.as_deref()), (State::Pending, Some("Resources")));
    machine.executor.cancel(&[waiting, running, JobId::of(4711)]).map_err(said)?;
    for id in [running, waiting] {
        assert_eq!(machine.one_ended(id)?.state, State::Cancelled);
    }
    assert_eq!(left(&pids), [""; 0]);
    assert!(!machine.exists("began"));
    assert!(machine.log(running)?.contains("it was cancelled"));
    machine.executor.cancel(&[waiting, running]).map_err(said)?;
    assert_eq!(machine.one(running)?.state, State::Cancelled, "again does no harm");
    Ok(())
}

#[test]
fn a_job_that_is_put_back_runs_again() -> Result<()> {
    let machine = Machine::new(1)?;
    let id = machine.run(
        "#!/bin/sh\necho ${SLURM_RESTART_COUNT:-0} >> runs\n[ $SLURM_RESTART_COUNT ] || sleep 600\n",
        &[],
    )?;
    machine.lines("runs", 1)?;
    machine.executor.requeue(&[id]).map_err(said)?;
    machine.lines("runs", 2)?;
    assert_eq!(machine.one_ended(id)?.state, State::Completed, "one that ran");
    machine.executor.requeue(&[id]).map_err(said)?;
    assert_eq!(machine.lines("runs", 3)?, ["0", "1", "2"], "one that was over");
    machine.ended(id)?;
    assert!(machine.executor.requeue(&[JobId::of(4711)]).is_err(), "one that is not known");
    Ok(())
}

#[test]
fn what_can_never_run_says_why() -> Result<()> {
    let machine = Machine::new(2)?;
    let id = machine.run("#!/bin/sh\n", &[("cpus-per-task", "64")])?;
    let job = machine.one(id)?;
    assert_eq!(job.state, State::Pending);
    assert!(job.never.is_some_and(|why| why.contains("64 processors where jobs have 2")));
    Ok(())
}

#[test]
fn the_worker_s_own_variables_stay_with_it() -> Result<()> {
    let machine = Machine::new(1)?;
    let id = machine.run("#!/bin/sh\nenv | grep -c '^CARGO' \n", &[])?;
    machine.ended(id)?;
    assert_eq!(machine.log(id)?, "0\n");
    let refused = process::output(
        std::process::Command::new(binary::processor()?)
            .arg("slurm-task")
            .arg(machine.scratch.path().join("queue"))
            .args(["1", "guessed"]),
        PATIENCE,
    )?;
    assert!(!refused.status.success() && refused.status.signal().is_none(), "nobody else runs a task");
    Ok(())
}
