//! Starting `init`, reading what it and its children say, and ending it whatever happens.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus};
use std::time::{Duration, Instant};

use nix::sys::signal::{self, Signal};
use nix::unistd::Pid;
use tempfile::TempDir;

/// Generous: machines that run tests are busy.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// The `init` under test.
pub(crate) fn init() -> &'static str {
    env!("CARGO_BIN_EXE_init")
}

/// A folder with a link to `init` of this name, as an image would have it.
pub(crate) fn linked_as(name: &str) -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let link = folder.path().join(name);
    std::os::unix::fs::symlink(init(), &link).unwrap();
    (folder, link)
}

/// Looks until the condition holds; panics with the description and what was said after [`PATIENCE`].
pub(crate) fn eventually<T>(what: &str, said: impl Fn() -> String, mut look: impl FnMut() -> Option<T>) -> T {
    let until = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < until, "never happened: {what}\nsaid so far:\n{}", said());
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// A running program whose output goes to files. Killed with its process group when dropped.
pub(crate) struct Running {
    child: Child,
    folder: TempDir,
}

impl Running {
    /// Starts a program in a process group of its own.
    pub(crate) fn start(command: &mut Command) -> Self {
        use std::os::unix::process::CommandExt as _;
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str| File::create(folder.path().join(name)).unwrap();
        let child = command
            .stdin(std::process::Stdio::null())
            .stdout(file("out"))
            .stderr(file("err"))
            .process_group(0)
            .spawn()
            .unwrap_or_else(|error| panic!("cannot start {command:?}: {error}"));
        Self { child, folder }
    }

    pub(crate) fn pid(&self) -> i32 {
        i32::try_from(self.child.id()).unwrap()
    }

    pub(crate) fn out(&self) -> String {
        String::from_utf8_lossy(&fs::read(self.folder.path().join("out")).unwrap()).into_owned()
    }

    pub(crate) fn err(&self) -> String {
        String::from_utf8_lossy(&fs::read(self.folder.path().join("err")).unwrap()).into_owned()
    }

    pub(crate) fn said(&self) -> String {
        format!("--- out\n{}--- err\n{}", self.out(), self.err())
    }

    /// Waits until standard output contains a text.
    pub(crate) fn says(&self, text: &str) {
        eventually(
            &format!("output of {text:?}"),
            || self.said(),
            || self.out().contains(text).then_some(()),
        );
    }

    /// Waits until standard error contains a text.
    pub(crate) fn complains(&self, text: &str) {
        eventually(
            &format!("complaint of {text:?}"),
            || self.said(),
            || self.err().contains(text).then_some(()),
        );
    }

    pub(crate) fn signal(&self, signal: Signal) {
        signal::kill(Pid::from_raw(self.pid()), signal).unwrap();
    }

    /// Waits for the end; the code as a shell would report it.
    pub(crate) fn code(&mut self) -> i32 {
        let until = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return code(status);
            }
            assert!(Instant::now() < until, "still running after {PATIENCE:?}\n{}", self.said());
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Ok(None) = self.child.try_wait() {
            // A namespace or a subreaper dies with its init; what is left of the group goes too.
            let _ = signal::kill(Pid::from_raw(self.pid()), Signal::SIGKILL);
            let _ = self.child.wait();
        }
        let _ = signal::killpg(Pid::from_raw(self.pid()), Signal::SIGKILL);
    }
}

/// As a shell reports it.
pub(crate) fn code(status: ExitStatus) -> i32 {
    use std::os::unix::process::ExitStatusExt as _;
    status.code().unwrap_or_else(|| 128 + status.signal().unwrap())
}

/// `init` as PID 1 of a pid namespace of its own, or `None` where that needs more rights than we have.
pub(crate) fn as_pid_one<S: AsRef<OsStr>>(args: &[S]) -> Option<Command> {
    if !nix::unistd::geteuid().is_root() {
        skipped("a pid namespace needs root");
        return None;
    }
    let mut command = Command::new("unshare");
    command.args(["--pid", "--fork", "--mount-proc", "--kill-child", "--"]).args(args);
    Some(command)
}

/// A worker that only supervises: settings, control socket, `init`.
pub(crate) struct Worker {
    pub(crate) folder: TempDir,
    init: Option<Running>,
}

impl Worker {
    /// Writes the settings; `services` is TOML. Nothing runs yet.
    pub(crate) fn new(services: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().display().to_string();
        let settings = format!(
            "[user]\nname = \"root\"\n[omero]\ndirectory = \"{root}\"\n[state]\ndirectory = \"{root}/run\"\n\
             socket = \"{root}/run/init.sock\"\n[services.node]\nenabled = false\n[services.workflows]\nenabled = false\n{}",
            services.replace("$ROOT", &root)
        );
        fs::write(folder.path().join("init.toml"), settings).unwrap();
        Self { folder, init: None }
    }

    /// Writes the settings and starts `init`.
    pub(crate) fn start(services: &str) -> Self {
        let mut worker = Self::new(services);
        worker.launch();
        worker
    }

    /// Starts `init`.
    pub(crate) fn launch(&mut self) {
        self.init = Some(Running::start(&mut self.command(&["--no-hooks"])));
    }

    /// `init` with these arguments and this worker's settings.
    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(init());
        command.args(args).env("BIOMERO_INIT_CONFIG", self.path("init.toml"));
        command
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.path("run/init.sock")
    }

    pub(crate) fn init(&mut self) -> &mut Running {
        self.init.as_mut().unwrap()
    }

    /// Runs `init` with these arguments to its end: code, output, complaints.
    pub(crate) fn ask(&self, args: &[&str]) -> (i32, String, String) {
        let output = self.command(args).output().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        (code(output.status), text(output.stdout), text(output.stderr))
    }

    /// What `init status --json` says of a service; `None` while there is no answer.
    pub(crate) fn service(&self, name: &str) -> Option<serde_json::Value> {
        let (_, out, _) = self.ask(&["status", "--json"]);
        let status: serde_json::Value = serde_json::from_str(&out).ok()?;
        status["services"].as_array()?.iter().find(|service| service["name"] == name).cloned()
    }

    /// Waits until a service is in a state.
    pub(crate) fn until(&self, service: &str, state: &str) -> serde_json::Value {
        let said = || self.init.as_ref().map(Running::said).unwrap_or_default();
        eventually(&format!("{service} {state}"), said, || {
            self.service(service).filter(|service| service["state"] == state)
        })
    }
}

/// Whether a process runs (a zombie does not).
pub(crate) fn runs(pid: i32) -> bool {
    let stat = fs::read_to_string(Path::new("/proc").join(pid.to_string()).join("stat")).unwrap_or_default();
    stat.rsplit(") ").next().is_some_and(|rest| !rest.is_empty() && !rest.starts_with(['Z', 'X']))
}

/// Says why a test did nothing.
#[allow(clippy::print_stderr, reason = "the test's own output")]
pub(crate) fn skipped(reason: &str) {
    eprintln!("skipped: {reason}");
}
