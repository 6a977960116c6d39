//! A Slurm cluster of one node: munged, mariadbd, slurmdbd, slurmctld and slurmd, as Debian has them.
//!
//! Each daemon can be stopped, killed and started again with what it had on disk, and on the same port. The steps of jobs
//! outlive slurmd, as they do on a real node; what still runs when the cluster is dropped is killed.

use std::collections::BTreeMap;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use nix::sys::signal::Signal;
use nix::unistd::User;

use super::{PATIENCE, port, step};
use crate::process::{self, Running};
use crate::{Result, Trouble, wait};

mod configuration;

use configuration::{Ports, Site};

/// A little longer than slurmctld takes between two times that it writes its state down (`SAVE_MAX_WAIT`).
const SAVED: Duration = Duration::from_secs(6);

/// What differs from the cluster that most tests want.
#[derive(Debug, Clone)]
pub struct Options {
    /// The node's processors; it may claim more than the machine has.
    pub cpus: u32,
    /// The node's memory in megabytes, likewise.
    pub megabytes: u32,
    /// `MaxArraySize`: one more than the highest index of an array.
    pub max_array_size: u32,
    /// `MaxTime` of the default partition, `cpu`.
    pub max_time: String,
    /// Keep accounts in a database, for `sacct`.
    pub accounting: bool,
    /// Further lines of `slurm.conf`.
    pub settings: Vec<String>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            cpus: 8,
            megabytes: 16_000,
            max_array_size: 1001,
            max_time: "01:00:00".to_owned(),
            accounting: true,
            settings: Vec::new(),
        }
    }
}

/// A daemon, in the order in which they start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Daemon {
    /// Says who sends a message.
    Munged,
    /// Holds the accounts.
    Mariadbd,
    /// Writes and reads them.
    Slurmdbd,
    /// Takes and schedules jobs.
    Slurmctld,
    /// Runs jobs on the node.
    Slurmd,
}

impl Daemon {
    const ALL: [Self; 5] = [Self::Munged, Self::Mariadbd, Self::Slurmdbd, Self::Slurmctld, Self::Slurmd];

    /// The program.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Munged => "munged",
            Self::Mariadbd => "mariadbd",
            Self::Slurmdbd => "slurmdbd",
            Self::Slurmctld => "slurmctld",
            Self::Slurmd => "slurmd",
        }
    }

    /// Who it runs as. None of them begins as root and changes: that would lose the signal that ends it with us.
    const fn user(self) -> Option<&'static str> {
        match self {
            Self::Munged => Some("munge"),
            Self::Mariadbd => Some("mysql"),
            Self::Slurmdbd | Self::Slurmctld => Some("slurm"),
            Self::Slurmd => None,
        }
    }
}

/// A running cluster.
#[derive(Debug)]
pub struct Slurm {
    running: BTreeMap<Daemon, Running>,
    folder: PathBuf,
    ports: Ports,
    accounting: bool,
}

impl Slurm {
    /// Where [`Self::start`] puts `slurm.conf`: told to a login node that starts first.
    pub fn configuration_below(folder: &Path) -> PathBuf {
        folder.join("etc/slurm.conf")
    }

    /// Starts all daemons with their files below `folder`, and waits until the node takes jobs. `users` may submit some.
    /// They die with the thread that called this.
    ///
    /// # Errors
    /// We are not root, a daemon is not installed, or one does not start.
    pub fn start(folder: &Path, options: &Options, users: &[&str]) -> Result<Self> {
        let ports = Ports {
            mariadbd: port::free()?,
            slurmdbd: port::free()?,
            slurmctld: port::free()?,
            slurmd: port::free()?,
        };
        let mut slurm = Self {
            running: BTreeMap::new(),
            folder: folder.to_path_buf(),
            ports,
            accounting: options.accounting,
        };
        slurm.lay_out(options)?;
        if options.accounting {
            slurm.make_database()?;
        }
        for daemon in slurm.daemons() {
            slurm.run(daemon)?;
            match daemon {
                Daemon::Mariadbd => slurm.make_tables_possible()?,
                Daemon::Slurmdbd => slurm.open_accounts(users)?,
                _ => {}
            }
        }
        Ok(slurm)
    }

    /// `slurm.conf`, for the variable `SLURM_CONF`.
    pub fn configuration(&self) -> PathBuf {
        Self::configuration_below(&self.folder)
    }

    /// What a daemon writes.
    pub fn log(&self, daemon: Daemon) -> PathBuf {
        self.folder.join("log").join(format!("{}.out", daemon.name()))
    }

    /// One of Slurm's programs, as root, who administrates the cluster.
    pub fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.env("SLURM_CONF", self.configuration());
        command
    }

    /// TERM to a daemon, then waits for its end. Without slurmctld nothing is answered but `sacct`; without slurmdbd
    /// `sacct` is not; without slurmd jobs that run go on and none begins.
    ///
    /// # Errors
    /// It still runs at the deadline.
    pub fn stop(&mut self, daemon: Daemon) -> Result<()> {
        self.running.remove(&daemon).map_or(Ok(()), |mut process| process.stop(PATIENCE).map(drop))
    }

    /// KILL to a daemon.
    ///
    /// # Errors
    /// It is gone already.
    pub fn kill(&mut self, daemon: Daemon) -> Result<()> {
        let Some(mut process) = self.running.remove(&daemon) else { return Ok(()) };
        process.signal(Signal::SIGKILL)?;
        process.ended_within(PATIENCE).map(drop)
    }

    /// Keeps what slurmctld has on its disk now, for [`Self::lose_since`].
    ///
    /// # Errors
    /// It cannot be copied.
    pub fn keep_state(&self) -> Result<()> {
        let mut copy = Command::new("cp");
        copy.args(["-a", "slurmctld", "slurmctld.kept"]).current_dir(&self.folder);
        process::succeed(&mut copy, PATIENCE).map(drop)
    }

    /// KILL to slurmctld, before it has written down anything that it took since [`Self::keep_state`]: it writes every few
    /// seconds. Then it is started again.
    ///
    /// # Errors
    /// Nothing was kept, or it does not start.
    pub fn lose_since(&mut self) -> Result<()> {
        self.kill(Daemon::Slurmctld)?;
        let mut back = Command::new("sh");
        back.args(["-c", "rm -r slurmctld && mv slurmctld.kept slurmctld"]).current_dir(&self.folder);
        process::succeed(&mut back, PATIENCE)?;
        self.run(Daemon::Slurmctld)
    }

    /// Waits until slurmctld has written down what it knows, which it does every five seconds where something has changed.
    pub fn has_saved(&self) {
        let state = self.folder.join("slurmctld/job_state");
        let written = || state.metadata().and_then(|found| found.modified()).ok();
        let before = written();
        // Where nothing has changed there is nothing to wait for.
        let _ = wait::until("a state that is saved", SAVED, &[], || (written() != before).then_some(()));
    }

    /// Starts a daemon, again after [`Self::stop`] or [`Self::kill`], and waits until it does its work.
    ///
    /// # Errors
    /// It does not start.
    pub fn run(&mut self, daemon: Daemon) -> Result<()> {
        let log = self.log(daemon);
        let mut process = Running::start(daemon.name(), self.daemon_command(daemon), &log)?;
        let own_log = log.with_extension("log");
        let what = format!("an answer from {}", daemon.name());
        let ready = wait::until(&what, PATIENCE, &[&log, &own_log], || {
            if process.status().is_some() {
                return Some(false);
            }
            self.is_ready(daemon).then_some(true)
        })?;
        if !ready {
            let logs = wait::ends_of(&[&log, &own_log]);
            return Err(Trouble::new(format!("{} has ended{logs}", daemon.name())));
        }
        self.running.insert(daemon, process);
        Ok(())
    }

    fn daemons(&self) -> impl Iterator<Item = Daemon> + use<> {
        let accounting = self.accounting;
        Daemon::ALL
            .into_iter()
            .filter(move |daemon| accounting || !matches!(daemon, Daemon::Mariadbd | Daemon::Slurmdbd))
    }

    fn daemon_command(&self, daemon: Daemon) -> Command {
        let path = |name: &str| self.folder.join(name).display().to_string();
        let arguments = match daemon {
            Daemon::Munged => vec![
                "-F".to_owned(),
                format!("--key-file={}", path("munge/key")),
                format!("--socket={}", path("munge/socket")),
                format!("--pid-file={}", path("munge/pid")),
                format!("--log-file={}", path("munge/log")),
                format!("--seed-file={}", path("munge/seed")),
                // The socket and the lock of one that was killed are in the way otherwise.
                "--force".to_owned(),
            ],
            Daemon::Mariadbd => vec![format!("--defaults-file={}", path("etc/my.cnf"))],
            Daemon::Slurmdbd => vec!["-D".to_owned()],
            Daemon::Slurmctld => vec!["-D".to_owned(), "-f".to_owned(), path("etc/slurm.conf")],
            Daemon::Slurmd => ["-D", "-N", "localhost", "-f"]
                .map(str::to_owned)
                .into_iter()
                .chain([path("etc/slurm.conf")])
                .collect(),
        };
        let mut command = match daemon.user() {
            None => Command::new(daemon.name()),
            Some(user) => {
                let mut command = Command::new("setpriv");
                command.args(["--reuid", user, "--regid", user]);
                // To change the user is to lose the signal that was asked for before.
                command.args(["--clear-groups", "--pdeathsig", "KILL", "--", daemon.name()]);
                command
            }
        };
        command.args(arguments).env("SLURM_CONF", self.configuration()).current_dir(&self.folder);
        command
    }

    fn is_ready(&self, daemon: Daemon) -> bool {
        let answers = |command: &mut Command| process::succeed(command, PATIENCE).ok();
        match daemon {
            Daemon::Munged => {
                let socket = self.folder.join("munge/socket");
                answers(Command::new("munge").args(["-n", "--socket"]).arg(socket)).is_some()
            }
            Daemon::Mariadbd => answers(self.mariadb("mariadb-admin").arg("ping")).is_some(),
            // It refuses loudly until it listens.
            Daemon::Slurmdbd => {
                crate::icegrid::accepts(self.ports.slurmdbd)
                    && answers(self.command("sacctmgr").args(["-n", "list", "cluster"])).is_some()
            }
            Daemon::Slurmctld => {
                crate::icegrid::accepts(self.ports.slurmctld)
                    && answers(self.command("scontrol").arg("ping")).is_some_and(|said| said.contains("UP"))
            }
            Daemon::Slurmd => {
                // A node that does not answer has a `*` behind its state.
                let known = ["idle", "mixed", "allocated", "completing"];
                let states = answers(self.command("sinfo").args(["-h", "-N", "-p", "cpu", "-o", "%T"]));
                states.is_some_and(|states| known.contains(&states.trim()))
            }
        }
    }

    /// The folders, the keys and the configuration, each its daemon's own.
    fn lay_out(&self, options: &Options) -> Result<()> {
        for (name, owner) in [
            ("etc", None),
            ("run", Some("mysql")),
            ("munge", Some("munge")),
            ("database", Some("mysql")),
            ("log", Some("slurm")),
            ("slurmctld", Some("slurm")),
            ("slurmd", None),
        ] {
            let path = self.folder.join(name);
            std::fs::create_dir_all(&path).map_err(Trouble::doing(format!("make {}", path.display())))?;
            own(&path, owner, 0o755)?;
        }
        let host = nix::unistd::gethostname()
            .map_err(|error| Trouble::new(format!("cannot ask for the name of this machine: {error}")))?;
        let host = host.to_string_lossy();
        // 32 letters and digits, twice: not known to anybody else on the machine.
        let password = uuid::Uuid::new_v4().simple().to_string();
        let site = Site {
            folder: &self.folder,
            host: host.split('.').next().unwrap_or_default(),
            password: &password,
            plugins: &plugins()?,
            ports: self.ports,
        };
        let munge_key: String = (0..32).map(|_| uuid::Uuid::new_v4().simple().to_string()).collect();
        for (name, text, owner, mode) in [
            ("munge/key", munge_key, Some("munge"), 0o400),
            ("etc/my.cnf", configuration::mariadb(&site), None, 0o644),
            // slurmdbd takes no other mode or owner.
            ("etc/slurmdbd.conf", configuration::slurmdbd(&site), Some("slurm"), 0o600),
            ("etc/slurm.conf", configuration::slurm(&site, options), None, 0o644),
            ("etc/cgroup.conf", configuration::CGROUP.to_owned(), None, 0o644),
            ("etc/plugstack.conf", String::new(), None, 0o644),
            ("etc/password", password.clone(), None, 0o600),
        ] {
            let path = self.folder.join(name);
            std::fs::write(&path, text).map_err(Trouble::doing(format!("write {}", path.display())))?;
            own(&path, owner, mode)?;
        }
        Ok(())
    }

    fn make_database(&self) -> Result<()> {
        let mut install = Command::new("mariadb-install-db");
        install.arg(format!("--defaults-file={}", self.folder.join("etc/my.cnf").display()));
        install.args(["--user=mysql", "--auth-root-authentication-method=socket", "--skip-test-db"]);
        process::succeed(&mut install, PATIENCE).map(drop)
    }

    fn make_tables_possible(&self) -> Result<()> {
        let path = self.folder.join("etc/password");
        let password =
            std::fs::read_to_string(&path).map_err(Trouble::doing(format!("read {}", path.display())))?;
        let sql = format!(
            "CREATE DATABASE slurm_acct_db; CREATE USER 'slurm'@'127.0.0.1' IDENTIFIED BY '{password}'; \
             GRANT ALL ON slurm_acct_db.* TO 'slurm'@'127.0.0.1'"
        );
        process::succeed(self.mariadb("mariadb").args(["-e", &sql]), PATIENCE).map(drop)
    }

    fn mariadb(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.args(["--no-defaults", "--user=root"]);
        command.arg(format!("--socket={}", self.folder.join("run/mariadb").display()));
        command
    }

    fn open_accounts(&self, users: &[&str]) -> Result<()> {
        let path = self.folder.join("etc/accounts");
        std::fs::write(&path, configuration::accounts(users))
            .map_err(Trouble::doing(format!("write {}", path.display())))?;
        let mut load = self.command("sacctmgr");
        load.args(["-i", "load"]).arg(format!("file={}", path.display()));
        // It ends with 1 where only what it has itself is named again; what counts is who is known afterwards.
        let loaded = process::output(&mut load, PATIENCE)?;
        for user in users {
            let mut list = self.command("sacctmgr");
            list.args(["-nP", "list", "association", &format!("user={user}"), "format=account"]);
            if process::succeed(&mut list, PATIENCE)?.trim() != configuration::ACCOUNT {
                let said = process::both(&loaded);
                return Err(Trouble::new(format!("sacctmgr made no association for {user}:\n{said}")));
            }
        }
        Ok(())
    }
}

impl Drop for Slurm {
    fn drop(&mut self) {
        // Nothing that they would write is read again. The node goes first, so that no step begins meanwhile.
        for daemon in Daemon::ALL.into_iter().rev() {
            let _ = self.kill(daemon);
            if daemon == Daemon::Slurmd {
                step::end(&self.folder);
            }
        }
    }
}

fn own(path: &Path, owner: Option<&str>, mode: u32) -> Result<()> {
    let doing = || Trouble::doing(format!("give {} away", path.display()));
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).map_err(doing())?;
    let Some(name) = owner else { return Ok(()) };
    let user = User::from_name(name).ok().flatten().ok_or_else(|| {
        Trouble::new(format!(
            "there is no user `{name}`: install slurm-wlm, slurmdbd, munge and mariadb-server, or run `cargo xtask test`"
        ))
    })?;
    chown(path, Some(user.uid.as_raw()), Some(user.gid.as_raw())).map_err(doing())
}

/// Debian keeps them below the machine's kind: `/usr/lib/x86_64-linux-gnu/slurm-wlm`.
fn plugins() -> Result<PathBuf> {
    let kinds = std::fs::read_dir("/usr/lib").into_iter().flatten().flatten();
    let mut folders = kinds.map(|kind| kind.path().join("slurm-wlm")).filter(|folder| folder.is_dir());
    folders.next().ok_or_else(|| Trouble::new("no Slurm is installed: `apt-get install slurm-wlm slurmdbd`"))
}
