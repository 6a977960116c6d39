//! Slurm's jobs by the library: submitted once, told as they stand, followed to their ends, whatever is down meanwhile.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use biomero_slurm::cluster::{HostKeys, SshOptions};
use biomero_slurm::job::{After, Array, ExitCode, Group, Job, JobId, State, Submission};
use biomero_slurm::scheduler::log::{Follower, Lines};
use biomero_slurm::scheduler::progress::Progress;
use biomero_slurm::scheduler::watch::{Adder, Change, Pace, Watch, WatchOptions};
use biomero_slurm::scheduler::{Error, Failure, Heard, RefusalKind, Slurm, SlurmOptions, Whose};
use biomero_tests::cluster::{self, Cluster, Daemon, Login, Options, PATIENCE, Workspace};
use biomero_tests::scratch::Scratch;
use biomero_tests::{Result, Trouble, process, wait};
use tokio::runtime::Runtime;
use uuid::Uuid;

/// A way to the cluster, and a folder on it.
struct Stage {
    slurm: Slurm,
    work: Workspace,
    runtime: Runtime,
    _control: Scratch,
}

impl Stage {
    fn new(login: &Login) -> Result<Self> {
        let control = Scratch::new()?;
        let options = SshOptions {
            host: login.alias().to_owned(),
            config: Some(login.ssh_config()),
            host_keys: HostKeys::Strict,
            connect: PATIENCE,
            keep_alive: Duration::from_secs(15),
            sessions: 8,
            control: control.path().to_path_buf(),
        };
        let mut builder = tokio::runtime::Builder::new_multi_thread();
        let runtime =
            builder.worker_threads(2).enable_all().build().map_err(Trouble::doing("start a runtime"))?;
        let slurm = Slurm::new(biomero_slurm::Cluster::over_ssh(options), SlurmOptions::default());
        Ok(Self { slurm, work: login.workspace()?, runtime, _control: control })
    }

    /// A submission of a script with these lines.
    fn script(&self, name: &str, lines: &str) -> Result<Submission> {
        self.work.write(name, format!("#!/bin/bash\n{lines}\n"))?;
        Ok(Submission {
            comment: Uuid::new_v4().to_string(),
            script: Path::new(self.work.name()).join(name),
            arguments: Vec::new(),
            options: vec![("mem".to_owned(), Some("20M".to_owned()))],
            environment: Vec::new(),
            folder: Some(self.work.path().to_owned()),
            output: "omero-%j.log".to_owned(),
            array: None,
            after: None,
        })
    }

    fn submit(&self, submission: &Submission) -> Result<JobId> {
        self.runtime.block_on(self.slurm.submit(submission)).map_err(trouble)
    }

    fn states(&self, ids: &[JobId]) -> Result<Vec<Job>> {
        self.runtime.block_on(self.slurm.states(ids)).map_err(trouble)
    }

    fn watch(&self, ids: &[JobId]) -> (Watch<Slurm>, Adder) {
        let pace = Pace { shortest: Duration::from_millis(500), longest: Duration::from_secs(3) };
        Watch::new(self.slurm.clone(), ids, WatchOptions { pace, ..WatchOptions::default() })
    }

    /// Follows jobs until all have ended; how each did.
    fn ended(&self, ids: &[JobId]) -> Result<BTreeMap<JobId, Job>> {
        let (mut watch, adder) = self.watch(ids);
        drop(adder);
        self.ends(&mut watch)
    }

    /// Follows until all have ended; how each did that had not ended before.
    fn ends(&self, watch: &mut Watch<Slurm>) -> Result<BTreeMap<JobId, Job>> {
        let mut jobs = BTreeMap::new();
        while let Some(change) = self.next(watch)? {
            match change {
                Change::Job(job) if job.state.is_ended() => {
                    let again = jobs.insert(job.id, *job);
                    assert!(again.is_none(), "an end is told once: {again:?}");
                }
                Change::Gone { id, reason } => return Err(Trouble::new(format!("{id} is gone: {reason}"))),
                _ => {}
            }
        }
        Ok(jobs)
    }

    fn next(&self, watch: &mut Watch<Slurm>) -> Result<Option<Change>> {
        let next = async { tokio::time::timeout(PATIENCE, watch.next()).await };
        self.runtime.block_on(next).map_err(|_| Trouble::new(format!("no change within {PATIENCE:?}")))
    }

    /// Waits for a change that is looked for.
    fn until(
        &self,
        watch: &mut Watch<Slurm>,
        what: &str,
        wanted: impl Fn(&Change) -> bool,
    ) -> Result<Change> {
        let mut seen = Vec::new();
        while let Some(change) = self.next(watch)? {
            if wanted(&change) {
                return Ok(change);
            }
            seen.push(change);
        }
        Err(Trouble::new(format!("following ended before {what}: {seen:?}")))
    }

    /// Waits until a job is in a state.
    fn is(&self, id: JobId, state: State) -> Result<Job> {
        biomero_tests::wait::until(&format!("job {id} {state}"), PATIENCE, &[], || {
            let job = self.states(&[id]).ok()?.into_iter().next()?;
            (job.state == state).then_some(job)
        })
    }
}

fn trouble(error: impl std::fmt::Display) -> Trouble {
    Trouble::new(error.to_string())
}

fn option(name: &str, value: &str) -> (String, Option<String>) {
    (name.to_owned(), Some(value.to_owned()))
}

#[test]
fn each_end_of_a_job_is_told_as_it_was() -> Result<()> {
    let cluster = cluster::shared()?;
    let stage = Stage::new(&cluster)?;
    let submit = |name: &str, lines: &str, options: &[(&str, &str)]| -> Result<JobId> {
        let mut submission = stage.script(name, lines)?;
        submission.options.extend(options.iter().map(|(name, value)| option(name, value)));
        stage.submit(&submission)
    };
    // First the one that lasts: the shortest time limit is a minute.
    let late = submit("late.sh", "sleep 600", &[("time", "00:00:30")])?;
    let good = submit("good.sh", "exit 0", &[])?;
    let bad = submit("bad.sh", "echo 'no such model' >&2; exit 3", &[])?;
    let killed = submit("killed.sh", "kill -SEGV $$", &[])?;
    let large =
        submit("large.sh", "x=$(head -c 150000000 /dev/zero | tr '\\0' x); sleep 60; echo ${#x}", &[])?;
    let running = submit("running.sh", "sleep 600", &[])?;
    let waiting = submit("waiting.sh", "true", &[("begin", "now+1hour")])?;
    let hopeless = submit("hopeless.sh", "true", &[("time", "99:00:00")])?;

    stage.is(running, State::Running)?;
    let never = stage.is(hopeless, State::Pending)?;
    assert_eq!(never.reason.as_deref(), Some("PartitionTimeLimit"));
    assert!(never.never.as_deref().is_some_and(|told| told.contains("--time")), "{:?}", never.never);
    assert_eq!(stage.is(waiting, State::Pending)?.never, None, "it merely waits");
    stage.runtime.block_on(stage.slurm.cancel(&[running, waiting, hopeless, good])).map_err(trouble)?;
    stage.runtime.block_on(stage.slurm.cancel(&[running, waiting])).map_err(trouble)?;

    let ended = stage.ended(&[late, good, bad, killed, large, running, waiting, hopeless])?;
    let state = |id: JobId| ended.get(&id).map(|job| job.state);
    assert_eq!(state(late), Some(State::Timeout));
    assert!(matches!(state(good), Some(State::Completed | State::Cancelled)));
    assert_eq!(state(bad), Some(State::Failed));
    for cancelled in [running, waiting, hopeless] {
        assert_eq!(state(cancelled), Some(State::Cancelled), "{cancelled}");
    }
    assert_eq!(ended[&bad].exit, Some(ExitCode { code: 3, signal: 0 }));
    assert_eq!(ended[&killed].exit.map(|exit| exit.signal), Some(11), "{:?}", ended[&killed]);
    assert_eq!((ended[&waiting].started, ended[&running].started.is_some()), (None, true));

    let log = stage.work.read(&format!("omero-{bad}.log"))?;
    let failure = Failure::of(&ended[&bad], log.as_bytes()).ok_or_else(|| Trouble::new("no failure"))?;
    assert_eq!(failure.log, ["no such model"]);
    assert!(failure.to_string().contains("exit code 3"), "{failure}");
    let told = Failure::of(&ended[&large], b"").map(|failure| failure.to_string()).unwrap_or_default();
    assert!(told.contains("more memory"), "{told}: {:?}", ended[&large]);
    assert!(Failure::of(&ended[&late], b"").is_some_and(|failure| failure.to_string().contains("--time")));
    assert_eq!(Failure::of(&Job { state: State::Completed, ..ended[&good].clone() }, b""), None);
    Ok(())
}

#[test]
fn a_job_gets_its_folder_arguments_and_variables_as_they_are() -> Result<()> {
    let cluster = cluster::shared()?;
    let stage = Stage::new(&cluster)?;
    let hostile = "a \"b\" $(touch gone) 'c'\nü";
    let mut submission = stage.script("hello.sh", "printf '%s|%s|%s' \"$1\" \"$NUCLEI\" \"$PWD\"")?;
    submission.arguments = vec![hostile.to_owned()];
    submission.environment = vec![("NUCLEI".to_owned(), hostile.to_owned())];
    submission.options.push(option("job-name", hostile));
    let id = stage.submit(&submission)?;
    let ended = stage.ended(&[id])?;
    assert_eq!(ended[&id].state, State::Completed);
    assert_eq!(ended[&id].name, hostile);
    let expected = format!("{hostile}|{hostile}|{}", stage.work.path().display());
    assert_eq!(stage.work.read(&format!("omero-{id}.log"))?, expected);

    let path = stage.runtime.block_on(stage.slurm.log_of(id)).map_err(trouble)?;
    assert_eq!(path, stage.work.path().join(format!("omero-{id}.log")));
    let listed = stage.runtime.block_on(stage.slurm.list(Whose::Mine, 1)).map_err(trouble)?;
    assert!(listed.jobs.iter().any(|job| job.id == id && job.name == hostile), "{listed:?}");
    let found = stage.runtime.block_on(stage.slurm.find(&submission.comment, Duration::from_secs(600)));
    assert_eq!(found.map_err(trouble)?, Some(id));
    let none = stage.runtime.block_on(stage.slurm.find("nobody-has-this", Duration::from_secs(600)));
    assert_eq!(none.map_err(trouble)?, None);
    Ok(())
}

#[test]
fn what_slurm_refuses_is_told_with_what_to_do() -> Result<()> {
    let cluster = cluster::shared()?;
    let stage = Stage::new(&cluster)?;
    let refused = |kind: RefusalKind, change: &dyn Fn(&mut Submission)| -> Result<()> {
        let mut submission = stage.script("job.sh", "true")?;
        change(&mut submission);
        match stage.runtime.block_on(stage.slurm.submit(&submission)) {
            Err(Error::Refused { refusal, .. }) => {
                assert_eq!(refusal.kind, kind, "{refusal}");
                if kind == RefusalKind::Array {
                    assert!(refusal.remedy.contains("MaxArraySize is "), "{refusal}");
                }
                Ok(())
            }
            other => Err(Trouble::new(format!("{kind:?}: {other:?}"))),
        }
    };
    for (kind, name, value) in [
        (RefusalKind::Partition, "partition", "nope"),
        (RefusalKind::Account, "account", "nope"),
        (RefusalKind::Gres, "gres", "gpu:1"),
        (RefusalKind::TimeLimit, "time", "abc"),
        (RefusalKind::Option, "nonsense", "1"),
        (RefusalKind::Resources, "mem", "9000G"),
        (RefusalKind::Constraint, "constraint", "nofeature"),
        (RefusalKind::Constraint, "reservation", "nope"),
    ] {
        refused(kind, &|submission| submission.options.push(option(name, value)))?;
    }
    refused(RefusalKind::Script, &|submission| submission.script = "no-such-script.sh".into())?;
    refused(RefusalKind::Array, &|submission| {
        submission.array = Some(Array { first: 1, last: 4_000_000, at_once: None });
    })?;
    stage.work.write("dos.sh", "#!/bin/sh\r\ntrue\r\n")?;
    refused(RefusalKind::Script, &|submission| {
        submission.script = Path::new(stage.work.name()).join("dos.sh");
    })
}

#[test]
fn what_depends_on_a_job_that_failed_is_cancelled() -> Result<()> {
    let cluster = cluster::shared()?;
    let stage = Stage::new(&cluster)?;
    let first = stage.submit(&stage.script("first.sh", "sleep 2; exit 1")?)?;
    let after = |after: After| -> Result<JobId> {
        stage.submit(&Submission { after: Some(after), ..stage.script("next.sh", "true")? })
    };
    let next = after(After::Succeeded(vec![first]))?;
    let anyway = after(After::Ended(vec![first]))?;
    let mut left = stage.script("left.sh", "true")?;
    left.options.push(option("dependency", &format!("afterok:{first}")));
    let left = stage.submit(&left)?;
    let ended = stage.ended(&[first, next, anyway])?;
    let states: Vec<State> = [first, next, anyway].map(|id| ended[&id].state).into();
    assert_eq!(states, [State::Failed, State::Cancelled, State::Completed]);
    let never = biomero_tests::wait::until("the reason", PATIENCE, &[], || {
        stage.states(&[left]).ok()?.into_iter().next()?.never
    })?;
    assert!(never.contains("submit again"), "{never}");
    stage.runtime.block_on(stage.slurm.cancel(&[left])).map_err(trouble)
}

#[test]
fn a_job_that_is_put_back_is_followed_with_its_log() -> Result<()> {
    let cluster = cluster::shared()?;
    let stage = Stage::new(&cluster)?;
    let lines = "if [ -z \"$SLURM_RESTART_COUNT\" ]; then printf 'first\\n 10%%|#\\r 80%%|###\\r'; sleep 600; fi\n\
                 printf 'second\\n 5%%|#\\r 100%%|####\\ndone'";
    let mut submission = stage.script("again.sh", lines)?;
    submission.options.push(option("open-mode", "truncate"));
    submission.options.push(("requeue".to_owned(), None));
    let id = stage.submit(&submission)?;
    let mut follower = Follower::new(stage.work.path().join(format!("omero-{id}.log")));
    let (mut lines, mut progress) = (Lines::default(), Progress::default());
    let mut told = Vec::new();
    let mut look = |wanted: &str, told: &mut Vec<String>| -> Result<Option<u8>> {
        biomero_tests::wait::until(wanted, PATIENCE, &[], || {
            let news = stage.runtime.block_on(follower.look(stage.slurm.cluster())).ok()?;
            if news.restarted {
                lines = Lines::default();
                progress.restart();
                told.push("restarted".to_owned());
            }
            told.extend(lines.push(&news.bytes));
            let percent = progress.push(&news.bytes).map(|reading| reading.percent);
            told.iter().any(|line| line == wanted).then_some(percent)
        })
    };
    assert_eq!(look("first", &mut told)?, Some(80));
    stage.runtime.block_on(stage.slurm.requeue(&[id])).map_err(trouble)?;
    // Slurm lets a job begin again two minutes later at the earliest, but for its administrator.
    // Not in this very second: slurmd tells a job's lives apart by whole seconds, and refuses a credential as old as the
    // end of the last life ("already killed, do not launch batch job"), upon which the job fails with exit code 1.
    stage.is(id, State::Pending)?;
    let mut begin = cluster.slurm("scontrol");
    begin.args(["update", &format!("JobId={id}"), "StartTime=now+2"]);
    biomero_tests::process::succeed(&mut begin, PATIENCE)?;
    let ended = stage.ended(&[id])?;
    assert_eq!(ended[&id].state, State::Completed, "{:?}", ended[&id]);
    assert_eq!(look("second", &mut told)?, Some(100));
    assert_eq!(
        told,
        ["first", "restarted", "second", "100%|####"].map(|line| if line.contains('|') {
            format!(" {line}")
        } else {
            line.to_owned()
        })
    );
    assert_eq!(lines.finish().as_deref(), Some("done"));
    Ok(())
}

#[test]
fn a_thousand_tasks_are_followed_by_one_question_at_a_time() -> Result<()> {
    let cluster = cluster::shared()?;
    let stage = Stage::new(&cluster)?;
    let script = "[ \"$SLURM_ARRAY_TASK_ID\" != 13 ] || exit 3";
    let array = Submission {
        array: Some(Array { first: 0, last: 999, at_once: None }),
        output: "/dev/null".to_owned(),
        ..stage.script("task.sh", script)?
    };
    let id = stage.submit(&array)?;
    let states = stage.states(&[id])?;
    assert_eq!(states.len(), 1000, "each task is told, those too that have yet to begin");
    let ended = stage.ended(&[id])?;
    assert_eq!(ended.len(), 1000);
    let failed: Vec<String> = ended
        .values()
        .filter(|job| !job.state.is_success())
        .map(|job| format!("{} {}", job.id, job.state))
        .collect();
    assert_eq!(failed, [format!("{id}_13 FAILED")]);

    let one = JobId { job: id.job, task: Some(13) };
    assert_eq!(stage.states(&[one])?.len(), 1);
    let some: Vec<JobId> = (0..100).map(|task| JobId { job: id.job, task: Some(task) }).collect();
    assert_eq!(stage.states(&some)?.iter().map(|job| job.id).collect::<Vec<_>>(), some);
    Ok(())
}

#[test]
fn single_tasks_are_cancelled_and_the_others_go_on() -> Result<()> {
    let cluster = cluster::shared()?;
    let stage = Stage::new(&cluster)?;
    let array = Submission {
        array: Some(Array { first: 0, last: 5, at_once: Some(2) }),
        ..stage.script("task.sh", "while [ ! -e go ]; do sleep 0.2; done")?
    };
    let id = stage.submit(&array)?;
    let task = |task| JobId { job: id.job, task: Some(task) };
    let (mut watch, adder) = stage.watch(&[id]);
    drop(adder);
    stage.until(
        &mut watch,
        "the last task",
        |change| matches!(change, Change::Job(job) if job.id == task(5)),
    )?;
    stage.runtime.block_on(stage.slurm.cancel(&[task(4), task(5)])).map_err(trouble)?;
    stage.work.write("go", "")?;
    let ended = stage.ends(&mut watch)?;
    let states: Vec<_> = ended.iter().map(|(id, job)| format!("{id} {}", job.state)).collect();
    // Of the last two Slurm 22.05 keeps no record: neither squeue nor sacct nor scontrol has them.
    let expected = (0..6).map(|number| {
        let state = if number < 4 { State::Completed } else { State::Cancelled };
        format!("{} {state}", task(number))
    });
    assert_eq!(states, expected.collect::<Vec<_>>());
    assert!((4..6).all(|number| ended[&task(number)].started.is_none()));
    Ok(())
}

#[test]
fn a_job_that_nobody_knows_is_unknown_and_no_error() -> Result<()> {
    let cluster = cluster::shared()?;
    let stage = Stage::new(&cluster)?;
    let known = stage.submit(&stage.script("job.sh", "true")?)?;
    for ids in [vec![JobId::of(4_000_000)], vec![JobId::of(4_000_000), known]] {
        let jobs = stage.states(&ids)?;
        let unknown = jobs.iter().find(|job| job.id == JobId::of(4_000_000));
        let unknown = unknown.ok_or_else(|| Trouble::new(format!("it is left out: {jobs:?}")))?;
        assert_eq!((unknown.state, unknown.reason.is_some()), (State::Unknown, true));
        assert_eq!(jobs.len(), ids.len());
    }
    let refused = stage.runtime.block_on(stage.slurm.requeue(&[JobId::of(4_000_000)]));
    assert!(matches!(refused, Err(Error::Control { action: "requeue", .. })), "{refused:?}");
    Ok(())
}

#[test]
fn nothing_is_concluded_from_the_silence_of_a_daemon() -> Result<()> {
    let scratch = Scratch::new()?;
    let mut cluster = Cluster::start(scratch.path(), &Options::default())?;
    let stage = Stage::new(&cluster)?;
    let job = stage.submit(&stage.script("job.sh", "while [ ! -e go ]; do sleep 0.2; done")?)?;
    let first = stage.submit(&stage.script("first.sh", "while [ ! -e end ]; do sleep 0.2; done")?)?;
    stage.is(job, State::Running)?;
    stage.is(first, State::Running)?;
    // slurmctld tells the accounting in its own time.
    wait::until("the accounting to know of the job", PATIENCE, &[], || {
        let mut sacct = cluster.access().slurm("sacct");
        let told =
            process::succeed(sacct.args(["-n", "-X", "-o", "JobID", "-j", &job.to_string()]), PATIENCE);
        told.is_ok_and(|told| !told.trim().is_empty()).then_some(())
    })?;
    let (mut watch, adder) = stage.watch(&[job, first]);
    drop(adder);
    let is_silent = |change: &Change| matches!(change, Change::Silent { .. });
    let is_back = |change: &Change| *change == Change::Back;

    cluster.slurm.stop(Daemon::Slurmdbd)?;
    let snapshot = |id| stage.runtime.block_on(stage.slurm.snapshot(&[id])).map_err(trouble);
    let running = snapshot(job)?;
    assert_eq!((&running.controller, &running.accounting), (&Heard::Yes, &Heard::Unasked), "{running:?}");
    assert_eq!(running.jobs[0].state, State::Running);
    stage.work.write("end", "")?;
    stage.until(&mut watch, "the accounting's silence", is_silent)?;
    let ended = snapshot(first)?;
    assert!(matches!(ended.accounting, Heard::No(_)) && ended.controller.is_yes(), "{ended:?}");
    assert_eq!(ended.jobs[0].state, State::Completed);
    cluster.slurm.stop(Daemon::Slurmctld)?;
    let neither = stage.runtime.block_on(stage.slurm.states(&[job]));
    assert!(matches!(neither, Err(Error::Silent { .. })), "{neither:?}");
    cluster.slurm.run(Daemon::Slurmdbd)?;
    let known = snapshot(job)?;
    assert!(matches!(known.controller, Heard::No(_)), "{known:?}");
    // As the accounting knew it, which may not have heard of the start.
    assert!(matches!(known.jobs[0].state, State::Running | State::Pending), "{known:?}");
    cluster.slurm.run(Daemon::Slurmctld)?;
    // The accounting is asked again when there is an end to be told of.
    stage.work.write("go", "")?;
    stage.until(&mut watch, "the daemons' return", is_back)?;
    let ended = stage.until(
        &mut watch,
        "the end",
        |change| matches!(change, Change::Job(job) if job.state.is_ended()),
    )?;
    assert!(matches!(ended, Change::Job(job) if job.state == State::Completed));
    assert_eq!(stage.next(&mut watch)?, None);
    Ok(())
}

#[test]
fn a_job_whose_answer_was_lost_is_found_and_exists_once() -> Result<()> {
    let scratch = Scratch::new()?;
    let cluster = Cluster::start(scratch.path(), &Options::default())?;
    let stage = Stage::new(&cluster)?;
    // The first sbatch submits, and then the connection is cut before it has answered.
    let folder = stage.work.path().display();
    let wrapper = format!(
        "#!/bin/bash\nexport PATH=${{PATH#{folder}:}}\nif mkdir {folder}/cut 2>/dev/null; then\n\
         sbatch \"$@\" >{folder}/answer; pkill -KILL -u \"$(id -u)\" -x sshd; sleep 600\nfi\nexec sbatch \"$@\"\n"
    );
    let path = stage.work.write("sbatch", wrapper)?;
    std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o755))
        .map_err(Trouble::doing("make the wrapper a program"))?;
    cluster.bashrc(&format!("export PATH={folder}:$PATH\n"))?;
    let submission = stage.script("job.sh", "true")?;
    let id = stage.submit(&submission)?;
    assert_eq!(stage.work.read("answer")?.trim(), id.to_string(), "it is the one that was submitted");
    assert_eq!(stage.ended(&[id])?[&id].state, State::Completed);
    let all = stage.runtime.block_on(stage.slurm.list(Whose::Mine, 1)).map_err(trouble)?;
    assert_eq!(all.jobs.len(), 1, "{all:?}");
    assert_eq!(all.jobs[0].state.group(), Group::Succeeded);
    Ok(())
}

#[test]
fn jobs_are_followed_although_the_connection_is_cut_again_and_again() -> Result<()> {
    let scratch = Scratch::new()?;
    let mut cluster = Cluster::start(scratch.path(), &Options::default())?;
    let stage = Stage::new(&cluster)?;
    let job = stage.submit(&stage.script("job.sh", "while [ ! -e go ]; do sleep 0.2; done; exit 7")?)?;
    let (mut watch, adder) = stage.watch(&[job]);
    drop(adder);
    stage.until(
        &mut watch,
        "its start",
        |change| matches!(change, Change::Job(job) if job.state == State::Running),
    )?;
    cluster.sshd.cut();
    cluster.sshd.kill()?;
    let silent = stage.until(&mut watch, "silence", |change| matches!(change, Change::Silent { .. }))?;
    stage.work.write("go", "")?;
    cluster.sshd.listen()?;
    let ended = stage.until(
        &mut watch,
        "the end",
        |change| matches!(change, Change::Job(job) if job.state.is_ended()),
    )?;
    let Change::Job(ended) = ended else { return Err(Trouble::new("no job")) };
    assert_eq!(ended.exit, Some(ExitCode { code: 7, signal: 0 }), "{silent:?}");
    assert_eq!(stage.next(&mut watch)?, None);
    Ok(())
}

#[test]
fn without_accounts_the_end_of_a_job_is_what_slurmctld_remembers() -> Result<()> {
    let scratch = Scratch::new()?;
    let slurm = cluster::slurm::Options { accounting: false, ..Default::default() };
    let cluster = Cluster::start(scratch.path(), &Options { slurm, ..Options::default() })?;
    let stage = Stage::new(&cluster)?;
    let good = stage.submit(&stage.script("good.sh", "true")?)?;
    let bad = stage.submit(&stage.script("bad.sh", "exit 3")?)?;
    let ended = stage.ended(&[good, bad])?;
    assert_eq!((ended[&good].state, ended[&bad].state), (State::Completed, State::Failed));
    let snapshot = stage.runtime.block_on(stage.slurm.snapshot(&[good])).map_err(trouble)?;
    assert_eq!(snapshot.accounting, Heard::Off);
    Ok(())
}
