//! The way to a login node, as `ssh` resolves it: which host, which user, which keys, whether its host key is known. All of it is
//! this machine's; nothing is connected.

use std::io;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::time::Duration;

use tokio::process::Command as Process;

use super::end_of;
use super::finding::Finding;
use crate::cluster::HostKeys;

/// For a program of this machine that connects to nobody.
const DEADLINE: Duration = Duration::from_secs(20);

/// What is asked of `ssh`.
#[derive(Debug, Clone)]
pub struct Way {
    /// The `Host` of the SSH configuration.
    pub host: String,
    /// The SSH configuration; `ssh`'s own choice without.
    pub config: Option<PathBuf>,
    /// What is done about a host key that is not known.
    pub host_keys: HostKeys,
    /// How long connecting may take.
    pub connect: Duration,
}

/// What is wrong with a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeyState {
    /// It can be used.
    Fine,
    /// There is none.
    Missing,
    /// It cannot be read.
    Unreadable(String),
    /// Others can read it, with this mode: `ssh` refuses it.
    Open(u32),
    /// It wants a passphrase, or is no key.
    Locked(String),
}

/// The way as `ssh -G` resolves it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Resolved {
    /// `HostName`.
    pub hostname: String,
    /// `User`.
    pub user: String,
    /// `Port`.
    pub port: String,
    /// `HostKeyAlias`, or the host's name.
    pub known_as: String,
    /// `ProxyJump` or `ProxyCommand`.
    pub by_way_of: Option<String>,
    /// `IdentityFile`.
    pub keys: Vec<PathBuf>,
    /// `UserKnownHostsFile` and `GlobalKnownHostsFile`.
    pub known_hosts: Vec<PathBuf>,
    /// Whether an agent may have keys.
    pub has_agent: bool,
}

impl Way {
    fn ssh(&self) -> Process {
        let mut ssh = Process::new("ssh");
        if let Some(config) = &self.config {
            ssh.arg("-F").arg(config);
        }
        ssh
    }

    /// Everything about the way that can be told without going it.
    pub async fn look(&self) -> Vec<Finding> {
        const STEP: &str = "SSH configuration";
        if let Some(config) = &self.config
            && let Err(error) = std::fs::File::open(config)
        {
            let told = format!("{} cannot be read: {error}", config.display());
            return vec![Finding::failed(STEP, told, format!("ls -l {}", quoted(config)))];
        }
        let mut ssh = self.ssh();
        ssh.arg("-G").arg("--").arg(&self.host);
        let typed = self.typed("ssh -G");
        let resolved = match run(ssh, DEADLINE).await {
            Ok(output) if output.status.success() => resolved(&String::from_utf8_lossy(&output.stdout)),
            Ok(output) => {
                let said = String::from_utf8_lossy(&output.stderr);
                return vec![Finding::failed(STEP, end_of(said.trim(), 500), typed)];
            }
            Err(error) => {
                let told = format!("`ssh` cannot be run: {error}");
                return vec![Finding::failed(STEP, told, "apt-get install openssh-client")];
            }
        };
        let mut keys = Vec::new();
        for key in &resolved.keys {
            keys.push((key.clone(), state_of(key).await));
        }
        let known = knows(&resolved).await;
        let mut findings =
            vec![of_resolved(&self.host, &resolved, &typed), of_keys(&keys, resolved.has_agent)];
        findings.push(of_host_key(&resolved, known, self.host_keys));
        findings
    }

    /// Whether the login shell writes where only answers may be. A login of its own.
    pub async fn noise(&self) -> Finding {
        const STEP: &str = "login shell";
        let mut ssh = self.ssh();
        let checked = match self.host_keys {
            HostKeys::Strict => "yes",
            HostKeys::AcceptNew => "accept-new",
        };
        ssh.args(["-o", "BatchMode=yes", "-o", "ControlPath=none", "-o"]);
        ssh.arg(format!("StrictHostKeyChecking={checked}")).arg("-o");
        ssh.arg(format!("ConnectTimeout={}", self.connect.as_secs().max(1)));
        ssh.arg("--").arg(&self.host).arg("exec /bin/sh -c 'echo'");
        match run(ssh, self.connect + DEADLINE).await {
            Ok(output) if output.status.success() => of_noise(&String::from_utf8_lossy(&output.stdout)),
            Ok(output) => {
                let said = String::from_utf8_lossy(&output.stderr);
                Finding::not_tried(
                    STEP,
                    format!("a second login did not succeed: {}", end_of(said.trim(), 300)),
                )
            }
            Err(error) => Finding::not_tried(STEP, format!("a second login did not succeed: {error}")),
        }
    }

    /// A command line that people can type for this way.
    #[must_use]
    pub fn typed(&self, ssh: &str) -> String {
        let host = quoted(Path::new(&self.host));
        match &self.config {
            Some(config) => format!("{ssh} -F {} {host}", quoted(config)),
            None => format!("{ssh} {host}"),
        }
    }
}

async fn run(mut program: Process, deadline: Duration) -> io::Result<Output> {
    program.stdin(Stdio::null()).kill_on_drop(true);
    let output = tokio::time::timeout(deadline, program.output()).await;
    output.unwrap_or_else(|_| {
        Err(io::Error::new(io::ErrorKind::TimedOut, format!("no end within {deadline:?}")))
    })
}

/// A path as a word of a shell, for people to type.
pub(super) fn quoted(path: &Path) -> String {
    let text = path.display().to_string();
    if !text.is_empty()
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"/._-~:@%+".contains(&byte))
    {
        return text;
    }
    format!("'{}'", text.replace('\'', r"'\''"))
}

/// Reads what `ssh -G` writes (ssh(1), `-G`): a keyword and its value on each line.
fn resolved(told: &str) -> Resolved {
    let mut resolved = Resolved::default();
    for (key, value) in told.lines().filter_map(|line| line.split_once(' ')) {
        let value = value.trim();
        let is_set = !value.is_empty() && value != "none";
        match key {
            "hostname" => value.clone_into(&mut resolved.hostname),
            "user" => value.clone_into(&mut resolved.user),
            "port" => value.clone_into(&mut resolved.port),
            "hostkeyalias" if is_set => value.clone_into(&mut resolved.known_as),
            "proxyjump" | "proxycommand" if is_set => resolved.by_way_of = Some(value.to_owned()),
            "identityfile" if is_set => resolved.keys.push(in_home(value)),
            "identityagent" => resolved.has_agent = is_set && value != "SSH_AUTH_SOCK",
            "userknownhostsfile" | "globalknownhostsfile" => {
                let files = value.split_whitespace().filter(|path| !["none", "/dev/null"].contains(path));
                // The user's first: what is told to be typed goes there, and the system's can rarely be written.
                let at = if key.starts_with('u') { 0 } else { resolved.known_hosts.len() };
                resolved.known_hosts.splice(at..at, files.map(in_home));
            }
            _ => {}
        }
    }
    resolved
}

fn in_home(path: &str) -> PathBuf {
    match (path.strip_prefix("~/"), std::env::home_dir()) {
        (Some(rest), Some(home)) => home.join(rest),
        _ => PathBuf::from(path),
    }
}

async fn state_of(key: &Path) -> KeyState {
    match std::fs::File::open(key) {
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => return KeyState::Missing,
        Err(error) => return KeyState::Unreadable(error.to_string()),
    }
    if let Ok(metadata) = std::fs::metadata(key)
        && metadata.permissions().mode() & 0o077 != 0
        && metadata.uid() == nix::unistd::Uid::effective().as_raw()
    {
        return KeyState::Open(metadata.permissions().mode() & 0o7777);
    }
    // Without its passphrase no public key can be had of it.
    let mut keygen = Process::new("ssh-keygen");
    keygen.args(["-y", "-P", "", "-f"]).arg(key);
    match run(keygen, DEADLINE).await {
        Ok(output) if output.status.success() => KeyState::Fine,
        Ok(output) => {
            let said = String::from_utf8_lossy(&output.stderr);
            KeyState::Locked(end_of(said.trim().lines().last().unwrap_or_default(), 200).to_owned())
        }
        // Then `ssh` has to tell.
        Err(_) => KeyState::Fine,
    }
}

/// What a host is called in `known_hosts` (sshd(8), "SSH_KNOWN_HOSTS FILE FORMAT").
fn known_name(resolved: &Resolved) -> String {
    if !resolved.known_as.is_empty() {
        resolved.known_as.clone()
    } else if resolved.port == "22" {
        resolved.hostname.clone()
    } else {
        format!("[{}]:{}", resolved.hostname, resolved.port)
    }
}

async fn knows(resolved: &Resolved) -> bool {
    for file in resolved.known_hosts.iter().filter(|file| file.exists()) {
        let mut keygen = Process::new("ssh-keygen");
        keygen.arg("-F").arg(known_name(resolved)).arg("-f").arg(file);
        if run(keygen, DEADLINE)
            .await
            .is_ok_and(|output| output.status.success() && !output.stdout.is_empty())
        {
            return true;
        }
    }
    false
}

fn of_resolved(host: &str, resolved: &Resolved, typed: &str) -> Finding {
    const STEP: &str = "SSH configuration";
    let way = resolved.by_way_of.as_ref().map(|way| format!(" by way of {way}")).unwrap_or_default();
    let told = format!("{host} is {}@{} port {}{way}", resolved.user, resolved.hostname, resolved.port);
    if resolved.hostname == host && !host.contains('.') && !host.contains(':') && way.is_empty() {
        return Finding::warning(
            STEP,
            format!("{told}: the SSH configuration says nothing about {host}"),
            format!(
                "add `Host {host}` with HostName, User and IdentityFile to the SSH configuration; see `{typed}`"
            ),
        );
    }
    Finding::ok(STEP, told)
}

fn of_keys(keys: &[(PathBuf, KeyState)], has_agent: bool) -> Finding {
    const STEP: &str = "keys";
    let fine: Vec<String> = keys
        .iter()
        .filter(|(_, state)| *state == KeyState::Fine)
        .map(|(path, _)| path.display().to_string())
        .collect();
    if !fine.is_empty() {
        return Finding::ok(STEP, fine.join(", "));
    }
    let broken = keys.iter().find_map(|(path, state)| {
        let (shown, typed) = (path.display(), quoted(path));
        match state {
            KeyState::Unreadable(reason) => Some((
                format!("{shown} cannot be read: {reason}"),
                format!("ls -l {typed}; the worker runs as user id {}", nix::unistd::Uid::effective()),
            )),
            KeyState::Open(mode) => Some((
                format!("{shown} has mode {mode:04o}: ssh refuses a private key that others can read"),
                format!("chmod 600 {typed}"),
            )),
            KeyState::Locked(reason) => Some((
                format!("{shown} cannot be used without a passphrase, or is no private key: {reason}"),
                format!("ssh-keygen -p -N '' -f {typed}"),
            )),
            KeyState::Fine | KeyState::Missing => None,
        }
    });
    match broken {
        _ if has_agent => Finding::ok(STEP, "no file; an agent may have some"),
        Some((told, remedy)) => Finding::failed(STEP, told, remedy),
        None => {
            let looked: Vec<String> = keys.iter().map(|(path, _)| path.display().to_string()).collect();
            Finding::failed(
                STEP,
                format!("none of these is there: {}", looked.join(", ")),
                "mount the folder with the private key at ~/.ssh, or name it with IdentityFile; a new one: ssh-keygen -t ed25519",
            )
        }
    }
}

fn of_host_key(resolved: &Resolved, is_known: bool, host_keys: HostKeys) -> Finding {
    const STEP: &str = "host key";
    let name = known_name(resolved);
    if is_known {
        return Finding::ok(STEP, format!("{name} is known"));
    }
    match host_keys {
        HostKeys::AcceptNew => {
            Finding::ok(STEP, format!("{name} is not known; it is taken at the first login"))
        }
        HostKeys::Strict => {
            let file = resolved
                .known_hosts
                .first()
                .map_or_else(|| "~/.ssh/known_hosts".to_owned(), |file| quoted(file));
            Finding::failed(
                STEP,
                format!("{name} is not known, and slurm.host_keys is strict"),
                format!(
                    "ssh-keyscan -p {} {} >> {file}, and compare the key with what the cluster's page says",
                    resolved.port,
                    quoted(Path::new(&resolved.hostname))
                ),
            )
        }
    }
}

fn of_noise(stdout: &str) -> Finding {
    const STEP: &str = "login shell";
    let noise = stdout.trim();
    if noise.is_empty() {
        return Finding::ok(STEP, "it is quiet");
    }
    Finding::warning(
        STEP,
        format!("it writes to standard output at each command: {:?}", end_of(noise, 120)),
        "in ~/.bashrc on the cluster, before what writes: case $- in *i*) ;; *) return ;; esac",
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::setup::finding::Outcome;

    fn keys(state: KeyState) -> Vec<(PathBuf, KeyState)> {
        vec![("/k/missing".into(), KeyState::Missing), ("/k/my key".into(), state)]
    }

    #[test]
    fn each_trouble_with_a_key_has_a_command_to_type() {
        let table = [
            (KeyState::Missing, "none of these is there: /k/missing, /k/my key", "ssh-keygen -t ed25519"),
            (KeyState::Unreadable("no".into()), "/k/my key cannot be read: no", "ls -l '/k/my key'"),
            (KeyState::Open(0o644), "has mode 0644", "chmod 600 '/k/my key'"),
            (KeyState::Locked("x".into()), "passphrase", "ssh-keygen -p -N '' -f '/k/my key'"),
        ];
        for (state, told, remedy) in table {
            let finding = of_keys(&keys(state), false);
            assert_eq!(finding.outcome, Outcome::Failed);
            assert!(finding.told.contains(told), "{finding:?}");
            assert!(finding.remedy.as_deref().is_some_and(|text| text.contains(remedy)), "{finding:?}");
        }
        assert_eq!(of_keys(&keys(KeyState::Fine), false), Finding::ok("keys", "/k/my key"));
        assert_eq!(of_keys(&[], true).outcome, Outcome::Ok);
    }

    #[test]
    fn what_ssh_resolves_is_read() {
        let told = "host slurm\nhostname login.example.org\nuser ada\nport 2222\nidentityfile /k/id\nidentityfile none\nproxyjump gate\nglobalknownhostsfile /g none\nuserknownhostsfile /a /b\n";
        let way = resolved(told);
        assert_eq!(known_name(&way), "[login.example.org]:2222");
        assert_eq!(way.by_way_of.as_deref(), Some("gate"));
        assert_eq!(way.keys, [PathBuf::from("/k/id")]);
        assert_eq!(way.known_hosts, ["/a", "/b", "/g"].map(PathBuf::from));
        assert_eq!(of_resolved("slurm", &way, "").outcome, Outcome::Ok);
        let finding = of_host_key(&way, false, HostKeys::Strict);
        assert_eq!(finding.outcome, Outcome::Failed);
        assert!(
            finding
                .remedy
                .is_some_and(|text| text.starts_with("ssh-keyscan -p 2222 login.example.org >> /a"))
        );
        assert_eq!(of_host_key(&way, false, HostKeys::AcceptNew).outcome, Outcome::Ok);
    }

    #[test]
    fn a_host_the_configuration_does_not_know_is_told() {
        let way = resolved("hostname slurm\nuser root\nport 22\n");
        assert_eq!(of_resolved("slurm", &way, "ssh -G slurm").outcome, Outcome::Warning);
    }

    #[test]
    fn a_noisy_login_shell_is_told_with_what_it_says() {
        assert_eq!(of_noise("\n").outcome, Outcome::Ok);
        assert!(of_noise("Welcome\u{1b}[1m!\n\n").told.contains(r"Welcome\u{1b}[1m!"));
    }
}
