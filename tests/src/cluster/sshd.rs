//! An `sshd` of our own: its port, its host key, its configuration and its one user below one folder.
//!
//! Each connection is a process tree beside the listener's: what ends the listener leaves them, as on a real node, and
//! what a broken network does is done to them alone.

use std::path::Path;
use std::process::Command;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::account::Account;
use super::login::{ALIAS, JUMPED, Login};
use super::{PATIENCE, port};
use crate::process::{self, Running, children};
use crate::{Result, Trouble, wait};

const HOST_KEY: &str = "host_ed25519";
const AUTHORIZED_KEYS: &str = "authorized_keys";

/// What differs from the login node that most tests want.
#[derive(Debug, Clone)]
pub struct Options {
    /// Offer the subsystem `sftp`.
    pub sftp: bool,
    /// The variables that a client may set (`AcceptEnv`), separated by blanks; none where empty.
    pub accept_env: String,
    /// How many sessions a connection may have at a time (`MaxSessions`).
    pub max_sessions: u32,
    /// A text that is shown before somebody logs in (`Banner`).
    pub banner: Option<String>,
    /// The login shell, by its path.
    pub shell: String,
    /// Variables of every session (`SetEnv`): names and values.
    pub environment: Vec<(String, String)>,
    /// Further lines of `sshd_config`, before all others: the first that says something holds.
    pub settings: Vec<String>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            sftp: true,
            // Debian's and Red Hat's default.
            accept_env: "LANG LC_*".to_owned(),
            max_sessions: 100,
            banner: None,
            shell: "/bin/bash".to_owned(),
            environment: Vec::new(),
            settings: Vec::new(),
        }
    }
}

/// A running login node without a cluster; ended with all its connections and its user when dropped.
#[derive(Debug)]
pub struct Sshd {
    process: Option<Running>,
    login: Login,
    // Last: `userdel` wants the user's processes gone.
    _account: Account,
}

impl Sshd {
    /// Starts it with its files below `folder`, and waits until the user can log in. It dies with the thread that called
    /// this.
    ///
    /// # Errors
    /// We are not root, no `sshd` is installed, or it does not start.
    pub fn start(folder: &Path, options: &Options) -> Result<Self> {
        let account = Account::new(folder, &options.shell)?;
        let ssh = folder.join("ssh");
        std::fs::create_dir_all(&ssh).map_err(Trouble::doing(format!("make {}", ssh.display())))?;
        let login = Login {
            folder: ssh,
            home: account.home(),
            user: account.name().to_owned(),
            user_id: account.id(),
            group_id: account.group(),
            port: port::free()?,
        };
        let mut sshd = Self { process: None, login, _account: account };
        sshd.make_key("id_ed25519")?;
        sshd.make_key(HOST_KEY)?;
        sshd.authorise_key()?;
        sshd.know_host()?;
        sshd.write("config", &sshd.client_configuration())?;
        sshd.write("sshd_config", &sshd.server_configuration(options))?;
        if let Some(banner) = &options.banner {
            sshd.write("banner", banner)?;
        }
        sshd.listen()?;
        wait::until("a login by ssh", PATIENCE, &[&sshd.login.folder.join("sshd.log")], || {
            sshd.login.run("exit 0").ok()
        })?;
        Ok(sshd)
    }

    /// How it is reached.
    pub const fn login(&self) -> &Login {
        &self.login
    }

    /// What sshd writes.
    pub fn log(&self) -> std::path::PathBuf {
        self.login.folder.join("sshd.log")
    }

    /// Starts the listener again after [`Self::stop`] or [`Self::kill`], on the same port.
    ///
    /// # Errors
    /// It does not start.
    pub fn listen(&mut self) -> Result<()> {
        // Where it separates privileges; the path is compiled in.
        std::fs::create_dir_all("/run/sshd").map_err(Trouble::doing("make /run/sshd"))?;
        // It executes itself anew for each connection, for which it wants its whole path.
        let mut command = Command::new("/usr/sbin/sshd");
        command.args(["-D", "-e", "-f"]).arg(self.login.folder.join("sshd_config"));
        let log = self.log();
        let mut process = Running::start("sshd", command, &log)?;
        let listens = wait::until("sshd on its port", PATIENCE, &[&log], || {
            if process.status().is_some() {
                return Some(false);
            }
            crate::icegrid::accepts(self.login.port).then_some(true)
        })?;
        if !listens {
            return Err(Trouble::new(format!("sshd has ended{}", wait::ends_of(&[&log]))));
        }
        self.process = Some(process);
        Ok(())
    }

    /// TERM to the listener: nobody new is let in, connections go on.
    ///
    /// # Errors
    /// It still runs at the deadline.
    pub fn stop(&mut self) -> Result<()> {
        let Some(mut process) = self.process.take() else { return Ok(()) };
        process.stop(PATIENCE).map(drop)
    }

    /// KILL to the listener and to each connection, as when the node is lost.
    ///
    /// # Errors
    /// They still run at the deadline.
    pub fn kill(&mut self) -> Result<()> {
        let connections = self.connections();
        if let Some(mut process) = self.process.take() {
            if process.status().is_none() {
                process.signal(Signal::SIGKILL)?;
            }
            process.ended_within(PATIENCE)?;
        }
        // Whoever was let in meanwhile is in the second list.
        end(&connections);
        end(&self.connections());
        Ok(())
    }

    /// KILL to each connection; the listener lets the next one in.
    pub fn cut(&self) {
        end(&self.connections());
    }

    /// [`Self::kill`], then [`Self::listen`].
    ///
    /// # Errors
    /// It does not end or does not start.
    pub fn restart(&mut self) -> Result<()> {
        self.kill()?;
        self.listen()
    }

    /// From now on the node has another host key than clients know. Connections go on.
    ///
    /// # Errors
    /// There is no new key, or sshd does not start with it.
    pub fn change_host_key(&mut self) -> Result<()> {
        self.stop()?;
        for name in [HOST_KEY.to_owned(), format!("{HOST_KEY}.pub")] {
            let path = self.login.folder.join(name);
            std::fs::remove_file(&path).map_err(Trouble::doing(format!("remove {}", path.display())))?;
        }
        self.make_key(HOST_KEY)?;
        self.listen()
    }

    /// Makes the present host key the one that clients know.
    ///
    /// # Errors
    /// A file cannot be read or written.
    pub fn know_host(&self) -> Result<()> {
        let key = self.read(&format!("{HOST_KEY}.pub"))?;
        let key: Vec<&str> = key.split_whitespace().take(2).collect();
        self.write("known_hosts", &format!("[127.0.0.1]:{} {}\n", self.login.port, key.join(" ")))
    }

    /// From now on the user's key opens nothing.
    ///
    /// # Errors
    /// The list of keys cannot be written.
    pub fn forget_key(&self) -> Result<()> {
        self.write(AUTHORIZED_KEYS, "")
    }

    /// The user's key opens the node again.
    ///
    /// # Errors
    /// The list of keys cannot be written.
    pub fn authorise_key(&self) -> Result<()> {
        self.write(AUTHORIZED_KEYS, &self.read("id_ed25519.pub")?)
    }

    /// How many connections the user has.
    pub fn connection_count(&self) -> usize {
        // Each is a process that keeps root's rights and one that has dropped them.
        title_matches(&format!("sshd: {} [priv]", self.login.user)).len()
    }

    fn connections(&self) -> Vec<Pid> {
        let mut found = Vec::new();
        if let Some(process) = &self.process {
            found.extend(
                children(process.id()).into_iter().flat_map(|child| [children(child), vec![child]].concat()),
            );
        }
        for following in [' ', '@'] {
            found.extend(title_matches(&format!("sshd: {}{following}", self.login.user)));
        }
        found.retain(|process| command_name(*process).is_some_and(|name| name == "sshd"));
        found
    }

    fn make_key(&self, name: &str) -> Result<()> {
        let mut keygen = Command::new("ssh-keygen");
        keygen.args(["-q", "-t", "ed25519", "-N", "", "-C", name, "-f"]).arg(self.login.folder.join(name));
        process::succeed(&mut keygen, PATIENCE).map(drop)
    }

    fn client_configuration(&self) -> String {
        let Login { user, port, .. } = &self.login;
        let mut text = String::new();
        for (alias, jump) in [(ALIAS, ""), (JUMPED, "  ProxyJump slurm\n")] {
            text.push_str(&format!(
                "Host {alias}\n  HostName 127.0.0.1\n  Port {port}\n  User {user}\n  IdentityFile {}\n  \
                 IdentitiesOnly yes\n  UserKnownHostsFile {}\n  GlobalKnownHostsFile /dev/null\n  \
                 StrictHostKeyChecking yes\n  BatchMode yes\n  ConnectTimeout 60\n  LogLevel ERROR\n{jump}",
                self.login.private_key().display(),
                self.login.known_hosts().display(),
            ));
        }
        text
    }

    fn server_configuration(&self, options: &Options) -> String {
        let Login { user, port, folder, .. } = &self.login;
        let folder = folder.display();
        let mut lines = options.settings.clone();
        lines.extend([
            "ListenAddress 127.0.0.1".to_owned(),
            format!("Port {port}"),
            format!("HostKey {folder}/{HOST_KEY}"),
            format!("PidFile {folder}/sshd.pid"),
            format!("AuthorizedKeysFile {folder}/{AUTHORIZED_KEYS}"),
            format!("AllowUsers {user}"),
            // Scratch folders are below /tmp, which everybody can write.
            "StrictModes no".to_owned(),
            "PubkeyAuthentication yes".to_owned(),
            "PasswordAuthentication no".to_owned(),
            "KbdInteractiveAuthentication no".to_owned(),
            "UsePAM no".to_owned(),
            "UseDNS no".to_owned(),
            "PrintMotd no".to_owned(),
            "PermitUserRC yes".to_owned(),
            "MaxStartups 200".to_owned(),
            format!("MaxSessions {}", options.max_sessions),
            "LogLevel VERBOSE".to_owned(),
        ]);
        if options.sftp {
            lines.push("Subsystem sftp internal-sftp".to_owned());
        }
        if !options.accept_env.is_empty() {
            lines.push(format!("AcceptEnv {}", options.accept_env));
        }
        if options.banner.is_some() {
            lines.push(format!("Banner {folder}/banner"));
        }
        if !options.environment.is_empty() {
            // Only the first such line holds.
            let pairs: Vec<String> =
                options.environment.iter().map(|(name, value)| format!("\"{name}={value}\"")).collect();
            lines.push(format!("SetEnv {}", pairs.join(" ")));
        }
        lines.push(String::new());
        lines.join("\n")
    }

    fn read(&self, name: &str) -> Result<String> {
        let path = self.login.folder.join(name);
        std::fs::read_to_string(&path).map_err(Trouble::doing(format!("read {}", path.display())))
    }

    fn write(&self, name: &str, text: &str) -> Result<()> {
        let path = self.login.folder.join(name);
        std::fs::write(&path, text).map_err(Trouble::doing(format!("write {}", path.display())))
    }
}

impl std::ops::Deref for Sshd {
    type Target = Login;

    fn deref(&self) -> &Login {
        &self.login
    }
}

impl Drop for Sshd {
    fn drop(&mut self) {
        let _ = self.kill();
    }
}

fn end(processes: &[Pid]) {
    for process in processes {
        let _ = kill(*process, Signal::SIGKILL);
    }
}

fn command_name(process: Pid) -> Option<String> {
    Some(std::fs::read_to_string(format!("/proc/{process}/comm")).ok()?.trim().to_owned())
}

/// The processes whose title, which sshd sets for who it serves, begins so.
fn title_matches(beginning: &str) -> Vec<Pid> {
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let ids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok().map(Pid::from_raw));
    let begins = |process: &Pid| {
        let title = std::fs::read(format!("/proc/{process}/cmdline")).unwrap_or_default();
        title.starts_with(beginning.as_bytes())
    };
    ids.filter(begins).collect()
}
