//! The runner of one task: a process of our own that starts the batch script, keeps its limits, ends all that it started, and
//! writes what became of it.
//!
//! Invariants: it adopts what the script leaves without a parent, so that nothing of a task is anybody else's child; it is over
//! only when the kernel says that it has no child left; one place waits for processes.

use std::fs::File;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::Instant;

use super::request::Request;
use super::store::Queue;
use super::task::{Asked, Phase, Task};
use super::variables::{Place, variables};
use super::{Error, Executor, log_name, now, processes, schedule};
use crate::job::JobId;

/// How often memory is looked at.
const LOOK: Duration = Duration::from_millis(500);
/// Between two tries to end what keeps starting processes.
const AGAIN: Duration = Duration::from_millis(100);
/// What cannot be ended for so long, not even by KILL, waits for a disk or a network that is gone.
const GIVE_UP: Duration = Duration::from_secs(120);

/// Why a task is being ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Why {
    /// Its script is over; what it left in the background ends with it.
    Over,
    Limit,
    Memory,
    Asked(Asked),
    /// Somebody told the runner to go: the machine is shut down.
    Told,
}

/// What became of it.
#[derive(Debug, Default)]
struct Became {
    why: Option<Why>,
    code: u8,
    signal: u8,
    peak_memory: u64,
    reason: Option<String>,
}

/// Runs the task to its end.
pub(super) async fn run(executor: &Executor, id: JobId, token: &str) -> Result<(), Error> {
    let failed = |action: &str| {
        let action = format!("{action} for job {id}");
        move |source: std::io::Error| Error::Process { action, source }
    };
    // Away from the terminal and the session of whoever submitted. It fails where we lead a session already.
    let _ = nix::unistd::setsid();
    nix::sys::prctl::set_child_subreaper(true).map_err(|errno| failed("adopt processes")(errno.into()))?;
    // Before the script starts: what is caught here is as usual there, whatever was ignored when we were started.
    let mut children = signal(SignalKind::child()).map_err(failed("wait for processes"))?;
    let mut told = signal(SignalKind::terminate()).map_err(failed("read signals"))?;
    let _others = [SignalKind::interrupt(), SignalKind::quit(), SignalKind::hangup()].map(signal);

    let Some((request, task, folder)) = begin(executor, id, token)? else { return Ok(()) };
    let place = executor.place();
    let log =
        |pattern: &str| log_name::path(pattern, &request.folder, &executor.symbols(id.job, &task, &request));
    let mut became = Became::default();
    let error_log = request.error.as_deref().map_or_else(|| log(&request.output), log);
    let started = start(executor, &request, &task, id, &place, &folder, &log(&request.output), &error_log);
    match started {
        Ok(script) => watch(executor, id, &request, script, &mut children, &mut told, &mut became).await?,
        Err(reason) => became = Became { why: Some(Why::Over), code: 127, reason: Some(reason), ..became },
    }
    say(&became, &request, id, &error_log);
    finish(executor, id, token, became)
}

/// Says that the script begins; none where it is not to.
fn begin(executor: &Executor, id: JobId, token: &str) -> Result<Option<(Request, Task, PathBuf)>, Error> {
    let queue = executor.store().lock()?;
    let absent = || Error::Absent { id };
    let mut standing = queue.standing(id.job)?.ok_or_else(absent)?;
    let request = queue.request(id.job)?.ok_or_else(absent)?;
    let task = standing.tasks.iter_mut().find(|task| task.index == id.task).ok_or_else(absent)?;
    if task.phase != Phase::Configuring || task.token != token {
        return Err(Error::NotOurs { id });
    }
    let asked = task.asked;
    match asked {
        Some(Asked::Cancel) => task.end(Phase::Cancelled, None, now()),
        Some(Asked::Requeue) => task.put_back(now()),
        None => {
            task.phase = Phase::Running;
            task.started = Some(now());
            task.runner = processes::runner(nix::unistd::getpid());
        }
    }
    let task = task.clone();
    queue.keep(&standing)?;
    if asked.is_some() {
        step_down(executor, &queue)?;
        return Ok(None);
    }
    let folder = queue.folder(id.job).ok_or_else(absent)?;
    Ok(Some((request, task, folder)))
}

/// Starts the script; what went wrong in words for people, since it is the job that failed, not we.
#[expect(clippy::too_many_arguments, reason = "what a process is started with; each is used once")]
fn start(
    executor: &Executor,
    request: &Request,
    task: &Task,
    id: JobId,
    place: &Place<'_>,
    folder: &Path,
    output: &Path,
    error: &Path,
) -> Result<Pid, String> {
    let [interpreter, arguments @ ..] = request.interpreter.as_slice() else {
        return Err("its script names no interpreter".to_owned());
    };
    let open = |path: &Path| {
        // Appended to, also when it is begun anew: both streams and our own words are one after the other.
        let begun = || -> std::io::Result<File> {
            if !request.append {
                File::create(path)?;
            }
            let file = File::options().create(true).append(true).open(path)?;
            Ok(file)
        };
        begun().map_err(|error| format!("its log {} cannot be written: {error}", path.display()))
    };
    let stdout = open(output)?;
    let stderr =
        if error == output { stdout.try_clone().map_err(|error| error.to_string())? } else { open(error)? };
    if !request.folder.is_dir() {
        return Err(format!("its folder {} is not there", request.folder.display()));
    }
    let child = Command::new(interpreter)
        .args(arguments)
        .arg(folder.join("script"))
        .args(&request.arguments)
        .env_clear()
        .envs(variables(&executor.options().environment, request, id.job, task, place))
        .current_dir(&request.folder)
        .stdin(Stdio::null())
        .stdout(stdout)
        .stderr(stderr)
        .process_group(0)
        .spawn()
        .map_err(|error| format!("{interpreter} cannot be started: {error}"))?;
    Ok(Pid::from_raw(child.id().cast_signed()))
}

/// Until no process of the task is left.
async fn watch(
    executor: &Executor,
    id: JobId,
    request: &Request,
    script: Pid,
    children: &mut tokio::signal::unix::Signal,
    told: &mut tokio::signal::unix::Signal,
    became: &mut Became,
) -> Result<(), Error> {
    let us = nix::unistd::getpid();
    let far = Duration::from_secs(100 * 366 * 86_400);
    let begun = Instant::now();
    let limit = begun + request.limit.unwrap_or(far);
    let mut look = tokio::time::interval(LOOK);
    look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut kill_at = begun + far;
    let mut give_up = begun + far;
    let mut over = false;
    loop {
        let none_left = reap(script, &mut over, became);
        if none_left {
            return Ok(());
        }
        let why = if over && became.why.is_none() {
            Some(Why::Over)
        } else {
            tokio::select! {
                _ = children.recv() => None,
                _ = told.recv() => Some(asked(executor, id)?.map_or(Why::Told, Why::Asked)),
                () = tokio::time::sleep_until(limit), if became.why.is_none() => Some(Why::Limit),
                _ = look.tick(), if became.why.is_none() => {
                    let has = processes::memory(&processes::below(us), request.needs.memory);
                    became.peak_memory = became.peak_memory.max(has);
                    request.needs.memory.is_some_and(|most| has > most).then_some(Why::Memory)
                }
                () = tokio::time::sleep_until(kill_at) => {
                    send(us, Signal::SIGKILL);
                    kill_at = Instant::now() + AGAIN;
                    None
                }
                () = tokio::time::sleep_until(give_up) => {
                    became.reason = Some("processes of it cannot be ended, not even by KILL".to_owned());
                    return Ok(());
                }
            }
        };
        if let Some(why) = why.filter(|_| became.why.is_none()) {
            became.why = Some(why);
            kill_at = Instant::now();
            give_up = kill_at + executor.options().kill_wait + GIVE_UP;
            // Who takes all of the memory gets no time to take more.
            if why != Why::Memory {
                send(us, Signal::SIGTERM);
                send(us, Signal::SIGCONT);
                kill_at += executor.options().kill_wait;
            }
        }
    }
}

/// Takes in what has ended; whether nothing is left.
fn reap(script: Pid, over: &mut bool, became: &mut Became) -> bool {
    loop {
        match waitpid(Pid::from_raw(-1), Some(WaitPidFlag::WNOHANG)) {
            Ok(WaitStatus::Exited(pid, code)) if pid == script => {
                *over = true;
                became.code = u8::try_from(code & 0xff).unwrap_or(u8::MAX);
            }
            Ok(WaitStatus::Signaled(pid, signal, _)) if pid == script => {
                *over = true;
                became.signal = u8::try_from(signal as i32).unwrap_or(u8::MAX);
            }
            Ok(WaitStatus::StillAlive) => return false,
            Ok(_) | Err(Errno::EINTR) => {}
            Err(_) => return true,
        }
    }
}

fn send(us: Pid, signal: Signal) {
    for pid in processes::below(us) {
        let _ = kill(pid, signal);
    }
}

fn asked(executor: &Executor, id: JobId) -> Result<Option<Asked>, Error> {
    let standing = executor.store().lock()?.standing(id.job)?;
    Ok(standing.and_then(|standing| standing.named(id).next()?.asked))
}

/// What the log of the job has to say about an end that its script does not explain.
fn say(became: &Became, request: &Request, id: JobId, log: &Path) {
    use std::io::Write as _;
    let text = match (became.why, &became.reason) {
        (_, Some(reason)) => reason.clone(),
        (Some(Why::Limit), _) => {
            format!(
                "it reached its time limit of {} s and was ended",
                request.limit.unwrap_or_default().as_secs()
            )
        }
        (Some(Why::Memory), _) => {
            let most = request.needs.memory.unwrap_or_default() >> 20;
            format!(
                "it took {} MiB of memory where it asked for {most} and was ended",
                became.peak_memory >> 20
            )
        }
        (Some(Why::Asked(Asked::Cancel)), _) => "it was cancelled".to_owned(),
        (Some(Why::Asked(Asked::Requeue)), _) => "it was put back into the queue".to_owned(),
        (Some(Why::Told), _) => "this machine told its runner to end".to_owned(),
        (Some(Why::Over) | None, None) => return,
    };
    // A log that cannot be written is in the job's reason already.
    if let Ok(mut log) = File::options().create(true).append(true).open(log) {
        let _ = writeln!(log, "biomero: job {id}: {text}");
    }
}

/// Writes what became of it, and lets the next ones start.
fn finish(executor: &Executor, id: JobId, token: &str, became: Became) -> Result<(), Error> {
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN).map_err(|errno| Error::Process {
        action: format!("ask what job {id} used"),
        source: errno.into(),
    })?;
    // In kilobytes: getrusage(2).
    let largest = u64::try_from(usage.max_rss()).unwrap_or(0).saturating_mul(1024);
    let queue = executor.store().lock()?;
    let mut standing = queue.standing(id.job)?.ok_or(Error::Absent { id })?;
    let task = standing.tasks.iter_mut().find(|task| task.index == id.task).ok_or(Error::Absent { id })?;
    if task.phase != Phase::Running || task.token != token {
        return Err(Error::NotOurs { id });
    }
    task.code = Some(became.code);
    task.signal = Some(became.signal);
    task.peak_memory = Some(largest.max(became.peak_memory));
    task.processor_time = Some(duration(usage.user_time()) + duration(usage.system_time()));
    // It may have been put back while its last processes ended.
    let again = task.asked == Some(Asked::Requeue);
    let name = |signal: u8| Signal::try_from(i32::from(signal)).map_or("?", Signal::as_str);
    let (phase, reason) = match (became.why, became.code, became.signal) {
        (Some(Why::Limit), ..) => (Phase::Timeout, Some("TimeLimit".to_owned())),
        (Some(Why::Memory), ..) => (Phase::OutOfMemory, Some("OutOfMemory".to_owned())),
        (Some(Why::Asked(_)), ..) => (Phase::Cancelled, None),
        (Some(Why::Told), ..) => (Phase::NodeFail, Some("its runner was told to end".to_owned())),
        (Some(Why::Over) | None, 0, 0) => (Phase::Completed, None),
        (Some(Why::Over) | None, _, 0) => (Phase::Failed, Some("NonZeroExitCode".to_owned())),
        (Some(Why::Over) | None, _, signal) => {
            (Phase::Failed, Some(format!("RaisedSignal:{signal} ({})", name(signal))))
        }
    };
    if again {
        task.put_back(now());
    } else {
        task.end(phase, became.reason.or(reason).as_deref(), now());
    }
    queue.keep(&standing)?;
    step_down(executor, &queue)
}

/// Gives back the lock that says that we live, then lets the next ones start: one of them may be the same task again.
fn step_down(executor: &Executor, queue: &Queue<'_>) -> Result<(), Error> {
    let path = Path::new("/dev/null");
    let nothing = File::open(path).map_err(Error::file("open", path))?;
    nix::unistd::dup2_stdin(nothing).map_err(|errno| Error::Process {
        action: "give back a runner's lock".to_owned(),
        source: errno.into(),
    })?;
    schedule::pass(queue, executor.store().root(), executor.options()).map(drop)
}

fn duration(time: nix::sys::time::TimeVal) -> Duration {
    let seconds = u64::try_from(time.tv_sec()).unwrap_or(0);
    let micros = u64::try_from(time.tv_usec()).unwrap_or(0);
    Duration::from_secs(seconds) + Duration::from_micros(micros)
}
