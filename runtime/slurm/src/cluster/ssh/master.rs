//! The master connection: OpenSSH's own `ssh`, a child of ours, behind a control socket in a folder of its own.
//!
//! Invariants: `ssh` never outlives us. It is the child of a `sh` that waits for the end of a pipe which we hold; whatever
//! becomes of us, the pipe ends, and the whole process group is told to. (The kernel's own means, `PR_SET_PDEATHSIG`, is
//! bound to the thread that started the child, and a runtime's threads come and go.) What `ssh` says is read as long as it
//! lives, and the end of it is kept.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use openssh::Session;
use tempfile::TempDir;
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::process::{Child, Command as Process};
use tokio::sync::{oneshot, watch};

use super::configuration::{self, Configuration};
use super::diagnosis::{Evidence, diagnose, refusal};
use crate::cluster::error::{ConnectKind, Refusal};
use crate::cluster::stream::Tail;
use crate::cluster::{HostKeys, SshOptions};

/// Starts `ssh`, and ends it when standard input ends. TERM is caught, as the group that is told includes this `sh`.
const KEEPER: &str = r#"trap : TERM
"$@" </dev/null &
exec >/dev/null 2>&1
IFS= read -r end
kill -TERM 0
wait"#;

/// How long `ssh` may take to end when told to; then it is killed.
const ENDING: Duration = Duration::from_secs(2);

/// The longest path of a Unix socket, without its NUL: `sun_path` of unix(7).
const LONGEST_SOCKET: usize = 107;

/// What `ssh` appends while it makes its socket: a dot and sixteen letters.
const SUFFIX: usize = 17;

/// A connection. Dropped, it is ended.
#[derive(Debug)]
pub(super) struct Master {
    session: Session,
    over: watch::Receiver<bool>,
    stop: Mutex<Option<oneshot::Sender<()>>>,
}

impl Master {
    /// Connects: returns when sessions can be opened.
    pub(super) async fn connect(options: &SshOptions) -> Result<Self, Refusal> {
        let plan = Plan::make(options).await?;
        let (ready, is_ready) = oneshot::channel();
        let (is_over, over) = watch::channel(false);
        let (stop, stopped) = oneshot::channel();
        let socket = plan.socket.clone();
        let process = plan.start()?;
        tokio::spawn(async move {
            process.watch(ready, stopped).await;
            is_over.send_replace(true);
        });
        match tokio::time::timeout(options.connect, is_ready).await {
            Ok(Ok(Ok(()))) => Ok(Self {
                session: Session::resume_mux(socket.into(), None),
                over,
                stop: Mutex::new(Some(stop)),
            }),
            Ok(Ok(Err(refusal))) => Err(*refusal),
            Ok(Err(_)) => Err(refusal(ConnectKind::Other, "`ssh` was not waited for", &evidence(options))),
            Err(_) => {
                let reason = format!("no connection within {:?}", options.connect);
                Err(refusal(ConnectKind::TimedOut, &reason, &evidence(options)))
            }
        }
    }

    /// Ends it; [`Self::over`] tells when that is done.
    pub(super) fn end(&self) {
        drop(self.stop.lock().unwrap_or_else(PoisonError::into_inner).take());
    }

    /// Whether it has ended.
    pub(super) fn is_over(&self) -> bool {
        *self.over.borrow()
    }

    /// Whether the connection still stands: asked of `ssh` itself, which cannot answer once it has begun to end.
    pub(super) async fn answers(&self) -> bool {
        !self.is_over() && self.session.check().await.is_ok()
    }

    /// What tells its end.
    pub(super) fn over(&self) -> watch::Receiver<bool> {
        self.over.clone()
    }
}

/// A connection, as sessions hold it.
#[derive(Debug, Clone)]
pub(super) struct Link(pub(super) Arc<Master>);

impl std::ops::Deref for Link {
    type Target = Session;

    fn deref(&self) -> &Session {
        &self.0.session
    }
}

fn evidence(options: &SshOptions) -> Evidence<'_> {
    Evidence { host: &options.host, config: options.config.as_deref(), ..Evidence::default() }
}

/// How a host is resolved, without connecting.
pub(super) async fn resolve(options: &SshOptions) -> Result<Configuration, Refusal> {
    Ok(Plan::make(options).await?.configuration)
}

/// All that is known before anything is started.
struct Plan {
    options: SshOptions,
    configuration: Configuration,
    ciphers: Option<String>,
    folder: TempDir,
    config: PathBuf,
    socket: PathBuf,
}

impl Plan {
    async fn make(options: &SshOptions) -> Result<Self, Refusal> {
        let evidence = evidence(options);
        let refused = |kind, reason: String| refusal(kind, &reason, &evidence);
        let folder =
            folder(&options.control).map_err(|reason| refused(ConnectKind::ControlFolder, reason))?;
        let (socket, config) = (folder.path().join("ssh"), folder.path().join("config"));
        if socket.as_os_str().len() + SUFFIX > LONGEST_SOCKET {
            let path = folder.path().display();
            let most = LONGEST_SOCKET - SUFFIX - "/ssh".len();
            let reason = format!("the control socket's folder {path} has a path longer than {most} bytes");
            return Err(refused(ConnectKind::ControlFolder, reason));
        }
        if let Some(config) = &options.config
            && let Err(error) = std::fs::File::open(config)
        {
            let reason = format!("{} cannot be read: {error}", config.display());
            return Err(refused(ConnectKind::Configuration, reason));
        }
        let write = |strict| {
            let text = configuration::ours(options, strict)
                .map_err(|reason| refused(ConnectKind::Configuration, reason))?;
            std::fs::write(&config, text).map_err(|error| {
                refused(ConnectKind::ControlFolder, format!("cannot write {}: {error}", config.display()))
            })
        };
        // What the user chose is asked first: somebody's `yes` is not made an `accept-new`.
        write(None)?;
        let (told, default) = tokio::join!(
            configuration::ask(&config, &options.host),
            configuration::ask(Path::new("none"), "x")
        );
        let told =
            told.map_err(|error| refused(ConnectKind::Program, format!("cannot run `ssh`: {error}")))?;
        let told = told.map_err(|said| diagnose(&Evidence { log: &said, ..Evidence { ..evidence } }))?;
        let home = std::env::home_dir();
        let configuration = Configuration::parse(&told, home.as_deref());
        let strict = match configuration.strict.as_deref() {
            Some("yes" | "true") => HostKeys::Strict,
            _ => options.host_keys,
        };
        write(Some(strict))?;
        let default = default.ok().and_then(Result::ok).map(|text| Configuration::parse(&text, None));
        let processor = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let ciphers =
            configuration.faster(default.as_ref().and_then(|default| default.ciphers.as_deref()), &processor);
        Ok(Self { options: options.clone(), configuration, ciphers, folder, config, socket })
    }

    fn start(self) -> Result<Watched, Refusal> {
        let mark = uuid::Uuid::new_v4().simple().to_string();
        let mut process = Process::new("/bin/sh");
        process.args(["-c", KEEPER, "sh", "ssh", "-F"]).arg(&self.config).args(["-M", "-N", "-T", "-S"]);
        // `ssh` expands per cent signs.
        process.arg(self.socket.to_string_lossy().replace('%', "%%"));
        // What `ssh` logs comes on standard output: its own words are told from those of jumps and banners, and from
        // LocalCommand's, which is run as soon as sessions can be opened.
        process.args(["-E", "/dev/stdout", "-o", "ControlPersist=no", "-o", "PermitLocalCommand=yes", "-o"]);
        process.arg(format!("LocalCommand=echo {mark}"));
        if let Some(ciphers) = &self.ciphers {
            process.args(["-o", &format!("Ciphers={ciphers}")]);
        }
        if self.configuration.forks {
            process.args(["-o", "ForkAfterAuthentication=no"]);
        }
        process.arg("--").arg(&self.options.host);
        if let Some(shell) = std::env::var_os("SHELL")
            && [b"nologin".as_slice(), b"/false".as_slice()]
                .iter()
                .any(|end| std::os::unix::ffi::OsStrExt::as_bytes(shell.as_os_str()).ends_with(end))
        {
            // A service's account: LocalCommand and ProxyCommand are run by $SHELL.
            process.env("SHELL", "/bin/sh");
        }
        process.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
        let child = process.spawn().map_err(|error| {
            refusal(ConnectKind::Program, &format!("cannot run /bin/sh: {error}"), &evidence(&self.options))
        })?;
        Ok(Watched { child, mark, plan: self })
    }
}

/// A folder of our own below this one.
fn folder(control: &Path) -> Result<TempDir, String> {
    let doing =
        |error| format!("cannot make a folder for the control socket below {}: {error}", control.display());
    let mut builder = tempfile::Builder::new();
    builder.prefix("m").rand_bytes(6).permissions(std::fs::Permissions::from_mode(0o700));
    builder.tempdir_in(control).map_err(doing)
}

/// The process, while it runs.
struct Watched {
    child: Child,
    mark: String,
    plan: Plan,
}

impl Watched {
    /// Reads what it says to its end, and waits for it.
    async fn watch(
        mut self,
        ready: oneshot::Sender<Result<(), Box<Refusal>>>,
        stopped: oneshot::Receiver<()>,
    ) {
        let leash = self.child.stdin.take();
        let (Some(mut log), Some(aside)) = (self.child.stdout.take(), self.child.stderr.take()) else {
            return;
        };
        let said = Arc::new(Mutex::new(Tail::default()));
        let reads_aside = tokio::spawn(keep(aside, Arc::clone(&said)));
        let mut ready = Some(ready);
        let mut text = Tail::default();
        let mut piece = Vec::with_capacity(4096);
        let mut stopped = stopped;
        loop {
            piece.clear();
            tokio::select! {
                read = log.read_buf(&mut piece) => if !matches!(read, Ok(1..)) { break },
                _ = &mut stopped => break,
            }
            text.push(&piece);
            if ready.is_some()
                && text.holds(&self.mark)
                && let Some(ready) = ready.take()
            {
                let _ = ready.send(Ok(()));
            }
        }
        drop(leash);
        self.ended().await;
        reads_aside.abort();
        if let Some(ready) = ready {
            let log = text.text();
            let aside = said.lock().unwrap_or_else(PoisonError::into_inner).text();
            let options = &self.plan.options;
            let evidence = Evidence {
                log: &log,
                aside: &aside,
                configuration: Some(&self.plan.configuration),
                ..evidence(options)
            };
            let _ = ready.send(Err(Box::new(diagnose(&evidence))));
        } else {
            tracing::debug!(host = %self.plan.options.host, said = ?text.last_words(), "the connection has ended");
        }
        // Its socket goes with it.
        drop(self.plan.folder);
    }

    /// Waits for `sh` and, by the group, for `ssh`; kills what does not end.
    async fn ended(&mut self) {
        let Some(group) = self.child.id().and_then(|id| i32::try_from(id).ok()) else { return };
        if tokio::time::timeout(ENDING, self.child.wait()).await.is_err() {
            let _ = killpg(Pid::from_raw(group), Signal::SIGKILL);
            let _ = self.child.wait().await;
        }
    }
}

async fn keep(mut stream: impl AsyncRead + Unpin, tail: Arc<Mutex<Tail>>) {
    let mut piece = Vec::with_capacity(4096);
    while let Ok(1..) = stream.read_buf(&mut piece).await {
        tail.lock().unwrap_or_else(PoisonError::into_inner).push(&piece);
        piece.clear();
    }
}
