//! A real PostgreSQL server of our own: its cluster, its port and its Unix socket below one folder, `fsync` on.
//!
//! Over TCP it asks for the password of [`USER`], who owns the databases and nothing else; over the socket it trusts
//! whoever can reach it, as the server's own user too, which is how tests look behind a program's back.

use std::fs::File;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use nix::sys::signal::{Signal, kill};
use nix::unistd::User;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use crate::icegrid::free_port;
use crate::process::{self, Running};
use crate::{Result, Trouble, wait};

pub mod certificate;
mod shared;

pub use shared::{Shared, shared};

/// The role that programs connect as.
pub const USER: &str = "biomero";

/// Its password: what an URL has to escape, and what escaping twice or not at all would break.
pub const PASSWORD: &str = "p@ss/w:rd%41 ö";

/// The superuser.
const SUPERUSER: &str = "postgres";

/// What differs from the server that most tests want.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Offer TLS, with a certificate for `127.0.0.1` and `localhost` that [`Postgres::ca`] has signed.
    pub tls: bool,
    /// Lines for `postgresql.conf`: names and values.
    pub settings: Vec<(String, String)>,
    /// Folders that are file systems of their own.
    pub small: Vec<Small>,
}

/// A folder on a small file system, which the server alone sees. Only root can mount.
#[derive(Debug, Clone, Copy)]
pub struct Small {
    /// The folder, below the server's: `data/pg_wal`, or a name for a tablespace.
    pub folder: &'static str,
    /// The size of its file system.
    pub megabytes: u32,
    /// How much of that is taken until the server is started again.
    pub ballast: u32,
}

/// A running server, killed with all its connections when dropped.
#[derive(Debug)]
pub struct Postgres {
    process: Option<Running>,
    folder: PathBuf,
    data: PathBuf,
    programs: PathBuf,
    owner: Option<User>,
    port: u16,
    small: Vec<Small>,
}

/// The way a server is stopped, and with it what its clients see.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stop {
    /// Transactions are rolled back and connections closed with a message; a checkpoint is written.
    Fast,
    /// As after a crash: nothing is written any more, and the next start recovers from the log.
    Immediate,
    /// KILL to the postmaster and to each of its processes: nobody says anything to anybody.
    Kill,
}

impl Postgres {
    /// Makes a cluster below `folder` and starts it. It dies with the thread that called this.
    ///
    /// # Errors
    /// No PostgreSQL is installed, or it does not start.
    pub fn start(folder: &Path) -> Result<Self> {
        Self::start_with(folder, &Options::default())
    }

    /// As [`Self::start`], with what differs.
    ///
    /// # Errors
    /// No PostgreSQL is installed, or it does not start.
    pub fn start_with(folder: &Path, options: &Options) -> Result<Self> {
        let mut server = Self {
            process: None,
            folder: folder.to_path_buf(),
            data: folder.join("data"),
            programs: programs()?,
            owner: owner()?,
            port: free_port()?,
            small: options.small.clone(),
        };
        for path in [&server.data, &server.socket_folder()] {
            server.give_folder(path)?;
        }
        server.make_cluster()?;
        for small in &server.small {
            server.give_folder(&folder.join(small.folder))?;
        }
        let settings = server.settings(options)?;
        append(&server.data.join("postgresql.conf"), &settings)?;
        server.run()?;
        let password = PASSWORD.replace('\'', "''");
        server.psql("postgres", &format!("CREATE ROLE {USER} LOGIN PASSWORD '{password}'"))?;
        Ok(server)
    }

    /// Starts it again after [`Self::stop`], with the same data and port.
    ///
    /// # Errors
    /// It does not start.
    pub fn run(&mut self) -> Result<()> {
        let mut command = self.with_small(self.as_owner(&self.programs.join("postgres")));
        command.arg("-D").arg(&self.data).current_dir(&self.folder).env_remove("PGDATA");
        let log = self.log();
        let mut process = Running::start("postgres", command, &log)?;
        let status = self.data.join("postmaster.pid");
        let id = process.id().to_string();
        let ready = wait::until("a PostgreSQL that accepts connections", wait::PATIENCE, &[&log], || {
            if process.status().is_some() {
                return Some(false);
            }
            // A file that a killed server has left holds another process id.
            let text = std::fs::read_to_string(&status).ok()?;
            let mut lines = text.lines();
            let ours = lines.next().is_some_and(|line| line.trim() == id);
            (ours && lines.any(|line| line.trim() == "ready")).then_some(true)
        })?;
        if !ready {
            return Err(Trouble::new(format!("postgres has ended{}", wait::ends_of(&[&log]))));
        }
        self.process = Some(process);
        Ok(())
    }

    /// Stops it, by signals to the postmaster.
    ///
    /// # Errors
    /// It still runs at the deadline.
    pub fn stop(&mut self, way: Stop) -> Result<()> {
        let Some(mut process) = self.process.take() else { return Ok(()) };
        let mut servers = Vec::new();
        if process.status().is_none() {
            process.signal(match way {
                Stop::Fast => Signal::SIGINT,
                Stop::Immediate => Signal::SIGQUIT,
                // Stopped first, so that it starts no other one while they are counted.
                Stop::Kill => Signal::SIGSTOP,
            })?;
            if way == Stop::Kill {
                servers = process::children(process.id());
                process.signal(Signal::SIGKILL)?;
            }
        }
        for server in &servers {
            let _ = kill(*server, Signal::SIGKILL);
        }
        process.ended_within(wait::PATIENCE)?;
        // The next postmaster refuses to start while one of them holds the shared memory.
        let is_gone = || servers.iter().all(|server| kill(*server, None).is_err());
        wait::until("the end of a server's processes", wait::PATIENCE, &[], || is_gone().then_some(()))
    }

    /// Stops it and starts it again.
    ///
    /// # Errors
    /// It does not stop or does not start.
    pub fn restart(&mut self, way: Stop) -> Result<()> {
        self.stop(way)?;
        self.run()
    }

    /// A new database that belongs to [`USER`], and its URL.
    ///
    /// # Errors
    /// There is one of this name.
    pub fn create_database(&self, name: &str) -> Result<String> {
        self.psql("postgres", &format!("CREATE DATABASE \"{name}\" OWNER {USER}"))?;
        Ok(self.url(name))
    }

    /// A database over TCP, as SQLAlchemy takes it and BIOMERO's settings hold it.
    pub fn url(&self, database: &str) -> String {
        let password = utf8_percent_encode(PASSWORD, NON_ALPHANUMERIC);
        format!("postgresql+psycopg2://{USER}:{password}@127.0.0.1:{}/{database}", self.port)
    }

    /// A database over the Unix socket, without a password.
    pub fn socket_url(&self, database: &str) -> String {
        let folder = self.socket_folder();
        format!("postgresql+psycopg2://{USER}@/{database}?host={}&port={}", folder.display(), self.port)
    }

    /// Where the Unix socket is.
    pub fn socket_folder(&self) -> PathBuf {
        self.folder.join("socket")
    }

    /// The TCP port.
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// The folder of the cluster.
    pub fn data(&self) -> &Path {
        &self.data
    }

    /// What the server writes.
    pub fn log(&self) -> PathBuf {
        self.folder.join("postgres.log")
    }

    /// The certificate that has signed the server's, with [`Options::tls`].
    pub fn ca(&self) -> PathBuf {
        self.folder.join("ca.pem")
    }

    /// Runs SQL as the superuser, each statement a transaction of its own; the rows, `|` between their columns.
    ///
    /// # Errors
    /// A statement fails.
    pub fn psql(&self, database: &str, sql: &str) -> Result<String> {
        let mut psql = self.psql_command(database);
        psql.args(["-c", sql]);
        Ok(process::succeed(&mut psql, wait::PATIENCE)?.trim_end_matches('\n').to_owned())
    }

    /// As [`Self::psql`], from a file: what is too long for an argument.
    ///
    /// # Errors
    /// A statement fails.
    pub fn psql_file(&self, database: &str, file: &Path) -> Result<String> {
        let mut psql = self.psql_command(database);
        psql.arg("-f").arg(file);
        Ok(process::succeed(&mut psql, wait::PATIENCE)?.trim_end_matches('\n').to_owned())
    }

    /// `psql`, connected as the superuser.
    fn psql_command(&self, database: &str) -> Command {
        let mut psql = Command::new(self.programs.join("psql"));
        psql.args(["-XAtq", "-v", "ON_ERROR_STOP=1", "-U", SUPERUSER, "-d", database]);
        psql.arg("-h").arg(self.socket_folder()).args(["-p", &self.port.to_string()]);
        psql
    }

    fn make_cluster(&self) -> Result<()> {
        let mut command = self.as_owner(&self.programs.join("initdb"));
        command.arg("-D").arg(&self.data);
        // Only the cluster's own files are made without waiting for the disk; the server is not.
        command.args(["--no-sync", "--username", SUPERUSER, "--encoding", "UTF8", "--locale", "C.UTF-8"]);
        command.args(["--auth-local", "trust", "--auth-host", "scram-sha-256"]);
        command.current_dir(&self.folder).env_remove("PGDATA");
        process::succeed(&mut command, wait::PATIENCE).map(drop)
    }

    /// The lines of `postgresql.conf`; makes the certificate that they name.
    fn settings(&self, options: &Options) -> Result<String> {
        let socket = self.socket_folder().display().to_string();
        let mut settings = vec![
            ("listen_addresses".to_owned(), "127.0.0.1".to_owned()),
            ("port".to_owned(), self.port.to_string()),
            ("unix_socket_directories".to_owned(), socket),
            ("log_line_prefix".to_owned(), "%m [%p] %q%u@%d ".to_owned()),
        ];
        if options.tls {
            let certificate::Pair { certificate, key } = certificate::make(&self.folder, &self.ca())?;
            self.give(&key, 0o600)?;
            let text = |path: PathBuf| path.display().to_string();
            settings.push(("ssl".to_owned(), "on".to_owned()));
            settings.push(("ssl_cert_file".to_owned(), text(certificate)));
            settings.push(("ssl_key_file".to_owned(), text(key)));
        }
        settings.extend(options.settings.iter().cloned());
        Ok(settings
            .iter()
            .map(|(name, value)| format!("{name} = '{}'\n", value.replace('\'', "''")))
            .collect())
    }

    /// A program, run as the cluster's owner: PostgreSQL refuses to be root's.
    fn as_owner(&self, program: &Path) -> Command {
        match &self.owner {
            None => Command::new(program),
            Some(owner) => {
                let mut command = Command::new("setpriv");
                command.args([format!("--reuid={}", owner.uid), format!("--regid={}", owner.gid)]);
                // To change the user is to lose the signal that was asked for before.
                command.args(["--clear-groups", "--pdeathsig", "KILL", "--"]).arg(program);
                command
            }
        }
    }

    /// The same in a mount namespace where the small folders are file systems.
    fn with_small(&self, command: Command) -> Command {
        if self.small.is_empty() {
            return command;
        }
        let mut script = String::from("set -e\n");
        for Small { folder, megabytes, ballast } in &self.small {
            let path = self.folder.join(folder).display().to_string();
            let image =
                self.folder.join(folder.replace('/', "-")).with_extension("ext4").display().to_string();
            script.push_str(&format!(
                "if test -e {image}; then mount -o loop {image} {path}; rm -f {path}/ballast\n\
                 else truncate -s {megabytes}M {image}; mkfs.ext4 -q -m 0 -O ^has_journal {image}\n\
                 cp -a {path} {path}.kept; mount -o loop {image} {path}; rmdir {path}/lost+found; cp -a {path}.kept/. {path}/\n\
                 dd if=/dev/zero of={path}/ballast bs=1M count={ballast} 2>/dev/null; fi\n"
            ));
        }
        script.push_str("exec \"$@\"");
        let mut wrapped = Command::new("unshare");
        wrapped.args(["--mount", "--propagation", "private", "--", "sh", "-c", &script, "sh"]);
        wrapped.arg(command.get_program()).args(command.get_args());
        wrapped
    }

    fn give_folder(&self, path: &Path) -> Result<()> {
        std::fs::create_dir_all(path).map_err(Trouble::doing(format!("make {}", path.display())))?;
        let mode = if path == self.socket_folder() { 0o755 } else { 0o700 };
        self.give(path, mode)
    }

    fn give(&self, path: &Path, mode: u32) -> Result<()> {
        let doing = || Trouble::doing(format!("give {} to the server", path.display()));
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).map_err(doing())?;
        if let Some(owner) = &self.owner {
            std::os::unix::fs::chown(path, Some(owner.uid.as_raw()), Some(owner.gid.as_raw()))
                .map_err(doing())?;
        }
        Ok(())
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        // The postmaster ends its processes, which are in groups of their own; it is killed only if it does not end.
        let _ = self.stop(Stop::Immediate);
    }
}

/// Where the newest server's programs are: below Debian's folder of versions, or on `PATH`.
fn programs() -> Result<PathBuf> {
    let is_complete =
        |folder: &PathBuf| ["initdb", "postgres", "psql"].iter().all(|name| folder.join(name).exists());
    let mut versions: Vec<(u32, PathBuf)> = std::fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .filter_map(|version| {
            let version = version.ok()?;
            Some((version.file_name().to_str()?.parse().ok()?, version.path().join("bin")))
        })
        .collect();
    versions.sort();
    let path = std::env::var_os("PATH").unwrap_or_default();
    versions
        .into_iter()
        .rev()
        .map(|(_, folder)| folder)
        .chain(std::env::split_paths(&path))
        .find(is_complete)
        .ok_or_else(|| Trouble::new("no PostgreSQL server is installed: `apt-get install postgresql`"))
}

/// Who the cluster belongs to: nobody special, unless we are root, whom PostgreSQL refuses.
fn owner() -> Result<Option<User>> {
    if !nix::unistd::geteuid().is_root() {
        return Ok(None);
    }
    ["postgres", "daemon"]
        .iter()
        .find_map(|name| User::from_name(name).ok().flatten())
        .map(Some)
        .ok_or_else(|| Trouble::new("there is neither a user `postgres` nor `daemon` to run PostgreSQL as"))
}

fn append(path: &Path, text: &str) -> Result<()> {
    File::options()
        .create(true)
        .append(true)
        .open(path)
        .and_then(|mut file| file.write_all(text.as_bytes()))
        .map_err(Trouble::doing(format!("write {}", path.display())))
}

#[cfg(test)]
mod tests;
