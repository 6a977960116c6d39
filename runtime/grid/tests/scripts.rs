//! Scripts as processes, with real keepers.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use biomero_config::Secret;
use biomero_grid::environment::{Place, Policy};
use biomero_grid::script::{
    Ended, Error, Keeper, Limits, LiveLimits, Options, Outcome, Script, ScriptProcess, Scripts, State, Why,
};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;

const PROGRAM: &str = env!("CARGO_BIN_EXE_grid-test-scripts");
/// Longer than anything here takes on a busy machine.
const LONG: Duration = Duration::from_secs(60);

struct Ground {
    root: TempDir,
    scripts: Scripts,
}

fn limits() -> Limits {
    let live = LiveLimits { lines_per_second: 0, ..LiveLimits::default() };
    Limits { grace: Duration::from_millis(300), live, ..Limits::default() }
}

fn options(root: &Path, at_once: usize, limits: Limits) -> Options {
    Options {
        root: root.to_owned(),
        at_once,
        waiting: 100,
        keeper: Keeper { program: PROGRAM.into(), arguments: vec!["keep".into()] },
        limits,
        policy: Policy::default(),
        variables: [("PATH", std::env::var("PATH").unwrap()), ("SECRET", "planted".to_owned())]
            .into_iter()
            .collect(),
        place: Place { home: "/opt/omero".into(), archives: Vec::new(), shim: None },
    }
}

async fn place(at_once: usize, limits: Limits) -> Ground {
    let root = TempDir::new().unwrap();
    let (scripts, found) = Scripts::open(options(root.path(), at_once, limits)).await.unwrap();
    assert!(found.scripts.is_empty());
    Ground { root, scripts }
}

fn shell(text: &str) -> Script {
    Script {
        job: 77,
        text: text.to_owned(),
        config: Secret::new("omero.user=planted\n".to_owned()),
        launcher: "/bin/sh".into(),
        note: serde_json::json!({ "file": 55 }),
    }
}

fn python(text: &str) -> Script {
    Script { launcher: "/usr/bin/python3".into(), ..shell(text) }
}

impl Ground {
    fn run(&self, text: &str) -> ScriptProcess {
        self.scripts.run(shell(text)).unwrap()
    }
}

async fn end(process: &ScriptProcess) -> Arc<Outcome> {
    tokio::time::timeout(LONG, process.wait()).await.expect("the script ends")
}

fn out(process: &ScriptProcess) -> String {
    std::fs::read_to_string(process.folder().out()).unwrap()
}

/// Waits for what a script says when it is where it is to be.
async fn says(process: &ScriptProcess, word: &str) {
    let begun = Instant::now();
    while !out(process).contains(word) {
        assert!(begun.elapsed() < LONG, "the script says {:?}", out(process));
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Whether a process runs: the number that a script has written down.
fn runs(pid: &str) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", pid.trim())).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with('Z'))
}

fn keeper_of(process: &ScriptProcess) -> Pid {
    let mark = std::fs::read_to_string(process.folder().path().join("keeper")).unwrap();
    let mark: serde_json::Value = serde_json::from_str(&mark).unwrap();
    Pid::from_raw(i32::try_from(mark["keeper"]["pid"].as_i64().unwrap()).unwrap())
}

#[tokio::test]
async fn a_script_runs_in_its_folder_with_its_variables_and_its_outcome_is_kept() {
    let place = place(1, limits()).await;
    let process = place.run("pwd; echo $ICE_CONFIG; echo ${SECRET-unset}; echo problem >&2; exit 3");
    let outcome = end(&process).await;
    let folder = process.folder().path();
    assert_eq!((outcome.ended, outcome.why, outcome.code()), (Ended::Code(3), Why::Over, 3));
    assert_eq!(out(&process), format!("{0}\n{0}/config\nunset\n", folder.display()));
    assert_eq!(std::fs::read_to_string(process.folder().err()).unwrap(), "problem\n");
    assert_eq!(outcome.written[1], 8);
    assert!(outcome.peak_memory > 0 && outcome.duration > Duration::ZERO);
    for file in ["script", "config", "out", "err", "note"] {
        let mode = folder.join(file).metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{file}");
    }
    assert_eq!(folder.metadata().unwrap().permissions().mode() & 0o777, 0o700);
    assert!(!process.folder().is_held().unwrap());
    process.folder().remove().unwrap();
    assert!(!folder.exists());
}

#[tokio::test]
async fn what_a_script_inherits_is_its_three_streams() {
    // Somebody's pipe that is not close-on-exec, as the one by which IceGrid's node waits for its server.
    let (_read, write) = nix::unistd::pipe().unwrap();
    let place = place(1, limits()).await;
    let process = place.run("ls -l /proc/self/fd");
    end(&process).await;
    let open = out(&process);
    assert!(open.contains(" 2 -> pipe:"), "{open}");
    let others: Vec<&str> = open.lines().filter(|line| line.contains(" -> pipe:")).collect();
    assert_eq!(others.len(), 2, "{open}");
    drop(write);
}

#[tokio::test]
async fn a_launcher_that_is_not_there_is_the_scripts_outcome() {
    let place = place(1, limits()).await;
    let script = Script { launcher: "/nowhere/python".into(), ..shell("") };
    let process = place.scripts.run(script).unwrap();
    let outcome = end(&process).await;
    assert_eq!((outcome.why, outcome.code()), (Why::NotStarted, 127));
    assert!(outcome.told().contains("/nowhere/python"), "{}", outcome.told());
}

#[tokio::test]
async fn a_keeper_that_is_not_there_is_named() {
    let root = TempDir::new().unwrap();
    let keeper = Keeper { program: "/nowhere/keeper".into(), arguments: Vec::new() };
    let (scripts, _) = Scripts::open(Options { keeper, ..options(root.path(), 1, limits()) }).await.unwrap();
    let outcome = end(&scripts.run(shell("")).unwrap()).await;
    assert!(outcome.told().contains("/nowhere/keeper"), "{}", outcome.told());
}

#[tokio::test]
async fn cancelling_ends_a_script_that_does_as_it_is_told() {
    let place = place(1, limits()).await;
    let process = place.run("trap 'echo bye; exit 4' TERM; echo ready; while :; do sleep 0.01; done");
    says(&process, "ready").await;
    assert!(!process.cancel());
    let outcome = end(&process).await;
    assert_eq!((outcome.ended, outcome.why), (Ended::Code(4), Why::Cancelled));
    assert_eq!(out(&process), "ready\nbye\n");
    assert!(process.cancel());
}

#[tokio::test]
async fn cancelling_ends_a_script_that_forks_and_ignores_term() {
    let place = place(1, limits()).await;
    let process =
        place.run("trap '' TERM; (sleep 1000; echo no) & sleep 1000 & echo $!; echo ready; wait; wait");
    says(&process, "ready").await;
    let child = out(&process).lines().next().unwrap().to_owned();
    assert!(runs(&child));
    process.cancel();
    let outcome = end(&process).await;
    assert_eq!((outcome.ended, outcome.why, outcome.code()), (Ended::Signal(9), Why::Cancelled, -9));
    assert!(!runs(&child));
    assert!(outcome.duration >= Duration::from_millis(300), "{:?}", outcome.duration);
}

#[tokio::test]
async fn killing_waits_for_nothing() {
    let place = place(1, Limits { grace: Duration::from_secs(3600), ..limits() }).await;
    let process = place.run("trap '' TERM; echo ready; while :; do sleep 0.01; done");
    says(&process, "ready").await;
    // Also where it was cancelled before.
    process.cancel();
    process.kill();
    let outcome = end(&process).await;
    assert_eq!((outcome.ended, outcome.why), (Ended::Signal(9), Why::Killed));
}

const ESCAPES: &str = r#"
import os, sys, time, signal
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        os.execve("/bin/sh", ["sh", "-c", "trap '' TERM; echo $$ >escaped.new; mv escaped.new escaped; while :; do sleep 1; done"], {"PATH": os.environ["PATH"]})
    os._exit(0)
while not os.path.exists("escaped"): time.sleep(0.01)
print("ready", flush=True)
"#;

#[tokio::test]
async fn what_escapes_into_a_session_of_its_own_ends_with_the_script() {
    let place = place(1, limits()).await;
    let process = place.scripts.run(python(ESCAPES)).unwrap();
    let outcome = end(&process).await;
    let escaped = std::fs::read_to_string(process.folder().path().join("escaped")).unwrap();
    assert_eq!((outcome.ended, outcome.why), (Ended::Code(0), Why::Over));
    assert!(outcome.duration >= Duration::from_millis(300), "it was given its grace: {:?}", outcome.duration);
    assert!(!runs(&escaped));
}

#[tokio::test]
async fn of_a_gigabyte_of_output_the_beginning_and_the_end_are_kept() {
    let place = place(1, Limits { output: 1 << 20, ..limits() }).await;
    let process = place.run("echo first; head -c 1073741824 /dev/zero; echo last");
    let outcome = end(&process).await;
    assert_eq!(outcome.ended, Ended::Code(0));
    assert_eq!(outcome.written[0], (1 << 30) + 11);
    let kept = std::fs::read(process.folder().out()).unwrap();
    assert!(kept.len() < (1 << 20) + 200, "{}", kept.len());
    assert!(kept.starts_with(b"first\n") && kept.ends_with(b"last\n"));
    let text = String::from_utf8_lossy(&kept);
    assert!(text.contains(&format!(
        "[biomero: {} bytes of 1073741835 are left out here]",
        (1 << 30) + 11 - (1 << 20)
    )));
}

#[tokio::test]
async fn a_flood_of_complaints_neither_stops_a_script_nor_hides_its_output() {
    let place = place(1, Limits { output: 64 << 10, ..limits() }).await;
    let process = place.run("yes complaint | head -n 3000000 >&2; echo done");
    let outcome = end(&process).await;
    assert_eq!((outcome.ended, outcome.written[1]), (Ended::Code(0), 30_000_000));
    assert_eq!(out(&process), "done\n");
}

#[tokio::test]
async fn a_script_that_fills_memory_is_ended() {
    let place = place(1, Limits { memory: Some(100 << 20), ..limits() }).await;
    let text =
        "import time\nmemory = []\nwhile True:\n    memory.append(b'x' * (10 << 20))\n    time.sleep(0.02)\n";
    let process = place.scripts.run(python(text)).unwrap();
    let outcome = end(&process).await;
    assert_eq!((outcome.ended, outcome.why), (Ended::Signal(9), Why::Memory));
    assert!(outcome.peak_memory > 100 << 20);
}

#[tokio::test]
async fn addresses_and_open_files_have_limits_that_a_script_cannot_lift() {
    let place = place(1, Limits { address_space: Some(400 << 20), open_files: Some(20), ..limits() }).await;
    let text = r#"
import resource
print(resource.getrlimit(resource.RLIMIT_AS), resource.getrlimit(resource.RLIMIT_NOFILE), resource.getrlimit(resource.RLIMIT_CORE))
try: b"x" * (1 << 30)
except MemoryError: print("no memory")
"#;
    let process = place.scripts.run(python(text)).unwrap();
    end(&process).await;
    assert_eq!(out(&process), "(419430400, 419430400) (20, 20) (0, 0)\nno memory\n");
}

#[tokio::test]
async fn a_script_that_takes_too_long_is_ended() {
    let place = place(1, Limits { time: Some(Duration::from_millis(200)), ..limits() }).await;
    let process = place.run("sleep 1000");
    let outcome = end(&process).await;
    assert_eq!((outcome.ended, outcome.why), (Ended::Signal(15), Why::Time));
}

#[tokio::test]
async fn scripts_wait_in_order_and_what_waits_can_be_cancelled() {
    let place = place(1, limits()).await;
    let first = place.run("echo ready; while [ ! -e go ]; do sleep 0.01; done");
    says(&first, "ready").await;
    let order = place.root.path().join("order");
    let note = |word: &str| format!("echo {word} >>{}", order.display());
    let second = place.run(&note("second"));
    let cancelled = place.run(&note("cancelled"));
    let third = place.run(&note("third"));
    assert_eq!(second.state(), State::Waiting);
    cancelled.cancel();
    let outcome = end(&cancelled).await;
    assert_eq!((outcome.ended, outcome.why, outcome.code()), (Ended::NotStarted, Why::Cancelled, -15));
    assert_eq!(third.state(), State::Waiting);
    std::fs::write(first.folder().path().join("go"), "").unwrap();
    for process in [&first, &second, &third] {
        assert_eq!(end(process).await.ended, Ended::Code(0));
    }
    assert_eq!(std::fs::read_to_string(order).unwrap(), "second\nthird\n");
}

#[tokio::test]
async fn only_so_many_wait() {
    let root = TempDir::new().unwrap();
    let (scripts, _) =
        Scripts::open(Options { waiting: 1, ..options(root.path(), 1, limits()) }).await.unwrap();
    let first = scripts.run(shell("sleep 1000")).unwrap();
    let second = scripts.run(shell("exit 0")).unwrap();
    let third = scripts.run(shell("exit 0"));
    assert!(matches!(third, Err(Error::Full { waiting: 1 })), "{third:?}");
    first.kill();
    end(&first).await;
    end(&second).await;
    end(&scripts.run(shell("exit 0")).unwrap()).await;
    let left = std::fs::read_dir(root.path()).unwrap().count();
    assert_eq!(left, 4, "three folders and the lock");
}

#[tokio::test]
async fn fifty_at_once_end_each_with_its_own_code() {
    let place = place(50, limits()).await;
    let processes: Vec<ScriptProcess> =
        (0..50).map(|code| place.run(&format!("echo {code}; sleep 0.2; exit {code}"))).collect();
    for (code, process) in (0..50).zip(&processes) {
        assert_eq!(end(process).await.code(), code);
        assert_eq!(out(process), format!("{code}\n"));
    }
}

#[tokio::test]
async fn when_its_keeper_is_killed_a_script_is_lost_and_nothing_of_it_is_left() {
    let place = place(1, limits()).await;
    let process = place.scripts.run(python(&format!("{ESCAPES}\nwhile True: time.sleep(1)\n"))).unwrap();
    says(&process, "ready").await;
    let escaped = std::fs::read_to_string(process.folder().path().join("escaped")).unwrap();
    assert!(process.folder().is_held().unwrap());
    kill(keeper_of(&process), Signal::SIGKILL).unwrap();
    let outcome = end(&process).await;
    assert_eq!((outcome.ended, outcome.why), (Ended::Unknown, Why::Lost));
    // It has left the session, its parent and the variables.
    assert!(!runs(&escaped));
}

#[tokio::test]
async fn a_processor_that_is_killed_is_followed_by_one_that_finds_its_scripts() {
    let root = TempDir::new().unwrap();
    let go = root.path().join("go");
    let text =
        format!("echo ready; while [ ! -e {} ]; do sleep 0.01; done; echo went on; exit 5", go.display());
    let root = root.path();
    let mut processor = Command::new(PROGRAM)
        .args([Path::new("run"), root, Path::new("/bin/sh"), Path::new(&text)])
        .spawn()
        .unwrap();
    let folder = loop {
        let mut entries = std::fs::read_dir(root).unwrap().map(|entry| entry.unwrap().path());
        let ready =
            entries.find(|path| std::fs::read_to_string(path.join("out")).is_ok_and(|out| out == "ready\n"));
        if let Some(folder) = ready {
            break folder;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    };
    let taken = Scripts::open(options(root, 1, limits())).await;
    assert!(matches!(taken, Err(Error::Taken { .. })));
    processor.kill().unwrap();
    processor.wait().unwrap();

    let (scripts, found) = Scripts::open(options(root, 1, limits())).await.unwrap();
    let [process] = found.scripts.as_slice() else { panic!("{found:?}") };
    assert_eq!(process.folder().path(), folder.canonicalize().unwrap());
    assert_eq!((process.job(), process.note()), (77, &serde_json::json!({ "noted": true })));
    // It counts among those that run at once.
    let next = scripts.run(shell("")).unwrap();
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!((process.state(), next.state()), (State::Running, State::Waiting));
    std::fs::write(go, "").unwrap();
    assert_eq!(end(process).await.code(), 5);
    assert_eq!(out(process), "ready\nwent on\n");
    assert_eq!(end(&next).await.code(), 0);
    process.folder().remove().unwrap();
    drop(scripts);
}

#[tokio::test]
async fn a_script_that_is_found_again_can_be_cancelled() {
    let root = TempDir::new().unwrap();
    let mut processor = Command::new(PROGRAM)
        .args([Path::new("run"), root.path(), Path::new("/bin/sh"), Path::new("echo ready; sleep 1000")])
        .spawn()
        .unwrap();
    let begun = Instant::now();
    let ready =
        |path: std::path::PathBuf| std::fs::read_to_string(path.join("out")).is_ok_and(|out| !out.is_empty());
    while !std::fs::read_dir(root.path()).unwrap().any(|entry| ready(entry.unwrap().path())) {
        assert!(begun.elapsed() < LONG);
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    processor.kill().unwrap();
    processor.wait().unwrap();
    let (_scripts, found) = Scripts::open(options(root.path(), 1, limits())).await.unwrap();
    found.scripts[0].cancel();
    let outcome = end(&found.scripts[0]).await;
    assert_eq!((outcome.ended, outcome.why), (Ended::Signal(15), Why::Cancelled));
}

#[tokio::test]
async fn what_ended_or_waited_while_no_processor_was_there_is_found_too() {
    let place = place(1, limits()).await;
    let over = place.run("exit 6");
    end(&over).await;
    let running = place.run("sleep 1000");
    let waiting = place.run("echo never");
    let (root, folder) = (place.root, waiting.folder().clone());
    // As good as killed: what waits is in the memory of whoever is gone.
    drop((place.scripts, waiting));
    let lost = root.path().join("lost");
    std::fs::create_dir(&lost).unwrap();
    let _ = running.shutdown().await;
    let (_scripts, found) = Scripts::open(options(&lost, 1, limits())).await.unwrap();
    assert!(found.scripts.is_empty());
    // A copy: the queue of this test's first processor goes on with the original.
    Command::new("cp").arg("-a").arg(over.folder().path()).arg(&lost).status().unwrap();
    drop(found);
    drop(_scripts);
    let unstarted = lost.join("process1.dir");
    Command::new("cp").arg("-a").arg(folder.path()).arg(&unstarted).status().unwrap();
    for file in ["keeper", "outcome"] {
        let _ = std::fs::remove_file(unstarted.join(file));
    }
    let (_scripts, found) = Scripts::open(options(&lost, 1, limits())).await.unwrap();
    let mut codes = Vec::new();
    for process in &found.scripts {
        codes.push((end(process).await.ended, end(process).await.why));
    }
    codes.sort_by_key(|(_, why)| format!("{why:?}"));
    assert_eq!(codes, [(Ended::NotStarted, Why::Lost), (Ended::Code(6), Why::Over)]);
}
