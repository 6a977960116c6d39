//! One pass of the scheduler, by whoever has changed the queue, while he holds it.
//!
//! There is no daemon: jobs start when one is submitted, ends, is cancelled or is asked about. Nothing else makes room.
//!
//! Invariants: a task's state is written before its runner is started; the runner's lock is held from before it starts until it
//! ends, so that a task has one runner or none; only the runner itself says that the script has begun, so that one which never
//! came up is started again, and one which died after that is not.

use std::fs::File;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::process::{Command, Stdio};

use super::plan::{self, Capacity, Decision, Outcome};
use super::store::Queue;
use super::task::{Asked, Phase, Standing, Task};
use super::{Error, Options, now, processes};
use crate::job::JobId;

/// How often a runner is started that does not come up.
const LAUNCHES: u32 = 3;

/// Starts the runner in the background and is done with it: it becomes a child of whoever adopts orphans, so that a worker
/// that runs for months collects no dead processes. Descriptor 0 is the lock, which `&` alone would replace.
const LAUNCH: &str = r#"exec 3<&0; "$@" <&3 3<&- & exec 3<&-"#;

/// Settles what has died, then starts what may start. Returns the jobs that are not over.
pub(super) fn pass(queue: &Queue<'_>, root: &Path, options: &Options) -> Result<Vec<Standing>, Error> {
    let mut jobs = queue.live()?;
    // One that is over and still here: who wrote that was killed before he could put it away.
    let mut changed: Vec<bool> = jobs.iter().map(Standing::is_ended).collect();
    for (job, changed) in jobs.iter_mut().zip(&mut changed) {
        let id = job.id;
        for task in job.tasks.iter_mut().filter(|task| task.phase.is_active()) {
            if queue.alive(id, task.own)?.is_some() {
                settle(task);
                *changed = true;
            }
        }
    }
    let known = |id: JobId| match jobs.iter().find(|job| job.id == id.job) {
        Some(job) => plan::outcome(job, id),
        None => match queue.standing(id.job) {
            Ok(Some(job)) => plan::outcome(&job, id),
            Ok(None) => Outcome::Absent,
            // Not known for now is not "never".
            Err(_) => Outcome::Unfinished,
        },
    };
    let decisions = plan::plan(&jobs, Capacity::of(options), known);
    let mut starts: Vec<(JobId, String, File)> = Vec::new();
    for ((at, index), decision) in decisions {
        let Some(job) = jobs.get_mut(at) else { continue };
        let id = job.id;
        let Some(task) = job.tasks.get_mut(index) else { continue };
        let reason = match decision {
            Decision::Wait(reason) => Some(reason),
            Decision::Cancel(reason) => {
                task.end(Phase::Cancelled, Some(reason), now());
                None
            }
            Decision::Start => {
                if let Some(lock) = queue.alive(id, task.own)? {
                    task.phase = Phase::Configuring;
                    task.launches = task.launches.saturating_add(1);
                    starts.push((JobId { job: id, task: task.index }, task.token.clone(), lock));
                }
                None
            }
        };
        let keeps = matches!(decision, Decision::Wait(_)) && task.reason.as_deref() == reason;
        if !keeps {
            if !task.phase.is_ended() {
                task.reason = reason.map(str::to_owned);
            }
            if let Some(changed) = changed.get_mut(at) {
                *changed = true;
            }
        }
    }
    for (job, changed) in jobs.iter().zip(changed) {
        if changed {
            queue.keep(job)?;
        }
    }
    for (id, token, lock) in starts {
        launch(options, root, id, &token, lock)?;
    }
    // What a cancelled job made way for: those that wait for its end.
    if jobs.iter().any(Standing::is_ended) {
        return pass(queue, root, options);
    }
    Ok(jobs)
}

/// A task whose runner is gone.
fn settle(task: &mut Task) {
    processes::end_left_behind(task.runner, &task.token);
    match (task.phase, task.asked) {
        (_, Some(Asked::Cancel)) => task.end(Phase::Cancelled, None, now()),
        (_, Some(Asked::Requeue)) => task.put_back(now()),
        (Phase::Configuring, None) if task.launches < LAUNCHES => task.phase = Phase::Pending,
        (Phase::Configuring, None) => {
            task.end(
                Phase::NodeFail,
                Some("its runner could not be started: see runner.log beside the job"),
                now(),
            );
        }
        _ => task.end(Phase::NodeFail, Some("its runner was killed, or the machine went down"), now()),
    }
}

fn launch(options: &Options, root: &Path, id: JobId, token: &str, lock: File) -> Result<(), Error> {
    let failed = |source| Error::Process { action: format!("start the runner of job {id}"), source };
    let path = root.join("live").join(id.job.to_string()).join("runner.log");
    let log = File::options().create(true).append(true).mode(0o600).open(&path);
    let log = log.map_err(Error::file("open", &path))?;
    let status = Command::new("/bin/sh")
        .args(["-c", LAUNCH, "sh"])
        .arg(&options.program)
        .args(&options.arguments)
        .arg(root)
        .arg(id.to_string())
        .arg(token)
        .env_clear()
        .envs(options.environment.iter().map(|(name, value)| (name, value)))
        .current_dir("/")
        .stdin(Stdio::from(lock))
        .stdout(Stdio::null())
        .stderr(Stdio::from(log))
        .status()
        .map_err(failed)?;
    if status.success() {
        Ok(())
    } else {
        Err(failed(std::io::Error::other(format!("sh ended with {status}"))))
    }
}
