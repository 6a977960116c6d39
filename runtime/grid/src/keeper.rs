//! The keeper of one script: a process of our own that starts it, keeps its limits, ends all that it started, and writes what
//! became of it. It outlives the processor, and it is found again by its lock.
//!
//! Invariants: it adopts what the script leaves without a parent, so that nothing of it is anybody else's child; it is over only
//! when the kernel says that it has no child left; one place waits for processes; the script has no file of ours or of who
//! started us.

mod begin;
mod live;
mod stream;
mod watch;

use std::io::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

use nix::sys::resource::{UsageWho, getrusage};
use tokio::signal::unix::{SignalKind, signal};

use crate::script::{Begun, Ended, Error, Folder, Mark, Outcome, Why};
use begin::Script;
use stream::Stream;
use watch::Watch;

/// What still comes when nothing of the script is left is in the pipes: it takes no time, unless somebody else has them.
const DRAIN: Duration = Duration::from_secs(2);

/// Keeps the script in a folder to its end. To be called first in a process of its own, before any file is opened or any thread
/// started: what it has inherited, but for its three standard streams, is closed.
///
/// # Errors
/// The script cannot be kept. Whoever started us is told by our standard output first.
pub fn main(folder: &Path) -> Result<(), Error> {
    close_inherited()?;
    // Away from the terminal and the session of whoever started us. It fails where we lead a session already.
    let _ = nix::unistd::setsid();
    nix::sys::prctl::set_child_subreaper(true).map_err(Error::system("adopt processes"))?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(Error::system("start a runtime"))?;
    runtime.block_on(keep(&Folder::of(folder)))
}

/// Closes what is open besides the standard streams: a pipe of IceGrid's node among it, whose end tells it that its server is
/// gone.
fn close_inherited() -> Result<(), Error> {
    let listed =
        std::fs::read_dir("/proc/self/fd").map_err(Error::file("list", Path::new("/proc/self/fd")))?;
    let open: Vec<i32> = listed.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok()).collect();
    for descriptor in open.into_iter().filter(|descriptor| *descriptor > 2) {
        // The one of the listing is closed already.
        let _ = nix::unistd::close(descriptor);
    }
    Ok(())
}

async fn keep(folder: &Folder) -> Result<(), Error> {
    // Before the script starts: what is caught here is as usual there, whatever was ignored when we were started.
    let children = signal(SignalKind::child()).map_err(Error::system("wait for processes"))?;
    let told = signal(SignalKind::terminate()).map_err(Error::system("read signals"))?;
    let _others = [SignalKind::interrupt(), SignalKind::quit(), SignalKind::hangup()].map(signal);
    let keeper = crate::processes::ourselves().ok_or_else(|| Error::Content {
        what: "process",
        path: "/proc/self/stat".into(),
        source: serde::de::Error::custom("it cannot be read"),
    })?;
    let _lock = folder.hold(&Mark { keeper })?;
    let (orders, _life) = begin::pipes(folder)?;
    let request = begin::request()?;
    let Script { pid, stdout, stderr } = match begin::start(folder, &request) {
        Ok(script) => script,
        Err(reason) => {
            let outcome = Outcome::without_end(Ended::NotStarted, Why::NotStarted, Some(reason.clone()));
            folder.keep("outcome", &outcome)?;
            answer(&Begun::Failed(reason));
            return Ok(());
        }
    };
    answer(&Begun::Started);
    let began = Instant::now();
    let [stdout, stderr] = [("stdout", folder.out(), stdout), ("stderr", folder.err(), stderr)]
        .map(|(name, path, pipe)| Stream::follow(request.job, name, path, pipe, &request.limits));
    let ending = Watch { script: pid, limits: &request.limits, children, told, orders }.follow().await;
    let (stdout, stderr) = tokio::join!(stdout.end(DRAIN), stderr.end(DRAIN));
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN).map_err(Error::system("ask what a script used"))?;
    let problem = ending.problem.or(stdout.problem).or(stderr.problem);
    let outcome = Outcome {
        ended: ending.ended,
        why: ending.why,
        reason: problem,
        duration: began.elapsed(),
        // In kilobytes: getrusage(2).
        peak_memory: ending.peak_memory.max(u64::try_from(usage.max_rss()).unwrap_or(0).saturating_mul(1024)),
        processor_time: duration(usage.user_time()) + duration(usage.system_time()),
        written: [stdout.written, stderr.written],
    };
    folder.keep("outcome", &outcome)
}

/// One line, and the end. Whoever started us may be gone by now: the script is kept all the same.
fn answer(begun: &Begun) {
    let mut stdout = std::io::stdout().lock();
    let answered = serde_json::to_writer(&mut stdout, begun)
        .map_err(std::io::Error::from)
        .and_then(|()| writeln!(stdout))
        .and_then(|()| stdout.flush())
        .and_then(|()| {
            let nothing = std::fs::OpenOptions::new().write(true).open("/dev/null")?;
            nix::unistd::dup2_stdout(nothing).map_err(std::io::Error::from)
        });
    if let Err(error) = answered {
        tracing::debug!("nobody is told that the script began: {error}");
    }
}

fn duration(time: nix::sys::time::TimeVal) -> Duration {
    let seconds = u64::try_from(time.tv_sec()).unwrap_or(0);
    let micros = u64::try_from(time.tv_usec()).unwrap_or(0);
    Duration::from_secs(seconds) + Duration::from_micros(micros)
}
