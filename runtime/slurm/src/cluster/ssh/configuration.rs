//! What `ssh` makes of its configuration (`ssh -G`), and ours that goes before it.
//!
//! Ours is a file that says a few things first and then includes the user's: in ssh_config(5) the first that says something
//! holds, and the `ssh` of a jump (`ProxyJump`) is given the same file, which options of a command line would not reach.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command as Process;

use crate::cluster::{HostKeys, SshOptions};

/// How long `ssh -G` may take; a `Match exec` of the user's runs within.
const PATIENCE: Duration = Duration::from_secs(10);

/// What is preferred where nobody chose: with the AES of the processor a gigabyte takes 2.8 s, with `ssh`'s own choice
/// (ChaCha20) 4.2 s.
const FAST: [&str; 2] = ["aes128-gcm@openssh.com", "aes256-gcm@openssh.com"];

/// A host as `ssh` resolves it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Configuration {
    /// What is connected to: a name or an address.
    pub host_name: String,
    /// The port there.
    pub port: u16,
    /// Who logs in.
    pub user: String,
    /// The private keys that are tried, in this order, whether they are there or not.
    pub identity_files: Vec<PathBuf>,
    /// Where host keys are looked up: the user's lists, then the machine's.
    pub known_hosts: Vec<PathBuf>,
    /// The jump hosts, as in `ProxyJump`, or the program, as in `ProxyCommand`.
    pub proxy: Option<String>,
    pub(super) strict: Option<String>,
    pub(super) ciphers: Option<String>,
    pub(super) forks: bool,
}

impl Configuration {
    /// Reads what `ssh -G` writes: a keyword in small letters and its value on each line.
    pub(super) fn parse(text: &str, home: Option<&Path>) -> Self {
        let mut configuration = Self { port: 22, ..Self::default() };
        for line in text.lines() {
            let Some((keyword, value)) = line.split_once(' ') else { continue };
            let value = value.trim();
            match keyword {
                "hostname" => value.clone_into(&mut configuration.host_name),
                "user" => value.clone_into(&mut configuration.user),
                "port" => configuration.port = value.parse().unwrap_or(22),
                "identityfile" if value != "none" => configuration.identity_files.push(path(value, home)),
                "userknownhostsfile" | "globalknownhostsfile" => {
                    let files = value.split_whitespace().filter(|file| !["none", "/dev/null"].contains(file));
                    let files = files.map(|file| path(file, home));
                    if keyword.starts_with('u') {
                        configuration.known_hosts.splice(0..0, files);
                    } else {
                        configuration.known_hosts.extend(files);
                    }
                }
                "proxyjump" | "proxycommand" if value != "none" => {
                    configuration.proxy = Some(value.to_owned());
                }
                "stricthostkeychecking" => configuration.strict = Some(value.to_owned()),
                "ciphers" => configuration.ciphers = Some(value.to_owned()),
                "forkafterauthentication" => configuration.forks = value == "yes",
                _ => {}
            }
        }
        configuration
    }

    /// The key that a remedy names: the first that is there, or the first.
    pub(super) fn first_key(&self) -> Option<&PathBuf> {
        self.identity_files.iter().find(|path| path.exists()).or(self.identity_files.first())
    }

    /// The list of ciphers with the fast ones in front; none where somebody chose, or where this processor has no AES.
    pub(super) fn faster(&self, default: Option<&str>, processor: &str) -> Option<String> {
        let (ciphers, default) = (self.ciphers.as_deref()?, default?);
        if ciphers != default || !has_aes(processor) {
            return None;
        }
        let all: Vec<&str> = ciphers.split(',').collect();
        let (fast, others): (Vec<&str>, Vec<&str>) =
            all.into_iter().partition(|cipher| FAST.contains(cipher));
        (!fast.is_empty()).then(|| [fast, others].concat().join(","))
    }
}

fn path(text: &str, home: Option<&Path>) -> PathBuf {
    match (text.strip_prefix("~/"), home) {
        (Some(rest), Some(home)) => home.join(rest),
        _ => PathBuf::from(text),
    }
}

/// `/proc/cpuinfo`: `flags` of x86, `Features` of ARM.
fn has_aes(processor: &str) -> bool {
    let mut lines =
        processor.lines().filter(|line| line.starts_with("flags") || line.starts_with("Features"));
    lines.next().is_some_and(|line| line.split_whitespace().any(|flag| flag == "aes"))
}

/// Our configuration. `strict` is what is to be done about host keys; without it, it is left to the user's.
pub(super) fn ours(options: &SshOptions, strict: Option<HostKeys>) -> Result<String, String> {
    let mut text = String::from("BatchMode yes\n");
    match strict {
        Some(HostKeys::Strict) => text.push_str("StrictHostKeyChecking yes\n"),
        Some(HostKeys::AcceptNew) => text.push_str("StrictHostKeyChecking accept-new\n"),
        None => {}
    }
    // Whole seconds, and no 0, which means for ever.
    let seconds = |time: Duration| time.as_secs().max(1);
    let _ = writeln!(text, "ConnectTimeout {}", seconds(options.connect));
    let _ = writeln!(text, "ServerAliveInterval {}", seconds(options.keep_alive));
    text.push_str(
        "ServerAliveCountMax 3\nForwardAgent no\nForwardX11 no\nClearAllForwardings yes\nTunnel no\nLogLevel INFO\n\
         RequestTTY no\nRemoteCommand none\n",
    );
    match &options.config {
        Some(config) => {
            let config = std::path::absolute(config).map_err(|error| error.to_string())?;
            let _ = writeln!(text, "Include {}", quoted(&config)?);
        }
        None => text.push_str("Include ~/.ssh/config\nInclude /etc/ssh/ssh_config\n"),
    }
    Ok(text)
}

/// A path for `Include`, which knows quotes and, behind them, patterns of glob(7).
fn quoted(path: &Path) -> Result<String, String> {
    let text = path.to_str().filter(|text| !text.contains(['"', '\n', '\\', '$', '%']));
    let Some(text) = text else {
        return Err(format!("{} has a character that ssh_config(5) cannot include", path.display()));
    };
    let mut pattern = String::with_capacity(text.len() + 2);
    pattern.push('"');
    for letter in text.chars() {
        if matches!(letter, '*' | '?' | '[' | ']') {
            pattern.push('\\');
        }
        pattern.push(letter);
    }
    pattern.push('"');
    Ok(pattern)
}

/// What `ssh -G` says, or what it complains of.
pub(super) async fn ask(config: &Path, host: &str) -> std::io::Result<Result<String, String>> {
    let mut ssh = Process::new("ssh");
    ssh.arg("-F").arg(config).args(["-G", "--", host]);
    ssh.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    let output = tokio::time::timeout(PATIENCE, ssh.output())
        .await
        .unwrap_or_else(|_| Err(std::io::Error::other("`ssh -G` does not end")))?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Ok(if output.status.success() { Ok(text(&output.stdout)) } else { Err(text(&output.stderr)) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(config: &str) -> SshOptions {
        SshOptions {
            host: "slurm".to_owned(),
            config: Some(PathBuf::from(config)),
            host_keys: HostKeys::Strict,
            connect: Duration::from_millis(1500),
            keep_alive: Duration::ZERO,
            sessions: 8,
            control: PathBuf::from("/run"),
        }
    }

    #[test]
    fn what_ssh_tells_is_read() {
        let text = "host slurm\nuser omero\nhostname 10.0.0.7\nport 2222\nstricthostkeychecking ask\n\
            identityfile ~/.ssh/id_ed25519\nidentityfile /keys/second\nglobalknownhostsfile /etc/ssh/ssh_known_hosts\n\
            userknownhostsfile ~/.ssh/known_hosts /dev/null\nproxyjump gate\nforkafterauthentication no\nciphers a,b\n";
        let told = Configuration::parse(text, Some(Path::new("/home/omero")));
        assert_eq!((told.host_name.as_str(), told.port, told.user.as_str()), ("10.0.0.7", 2222, "omero"));
        assert_eq!(told.identity_files, ["/home/omero/.ssh/id_ed25519", "/keys/second"].map(PathBuf::from));
        let known = ["/home/omero/.ssh/known_hosts", "/etc/ssh/ssh_known_hosts"].map(PathBuf::from);
        assert_eq!(told.known_hosts, known);
        assert_eq!(told.proxy.as_deref(), Some("gate"));
    }

    #[test]
    fn the_fast_ciphers_come_first_where_nobody_chose() {
        let default =
            "chacha20-poly1305@openssh.com,aes128-ctr,aes128-gcm@openssh.com,aes256-gcm@openssh.com";
        let chosen =
            |ciphers: &str| Configuration { ciphers: Some(ciphers.to_owned()), ..Configuration::default() };
        let (with, without) = ("flags\t\t: fpu aes avx\n", "flags\t\t: fpu avx\n");
        assert_eq!(
            chosen(default).faster(Some(default), with).as_deref(),
            Some("aes128-gcm@openssh.com,aes256-gcm@openssh.com,chacha20-poly1305@openssh.com,aes128-ctr")
        );
        assert_eq!(chosen(default).faster(Some(default), without), None);
        assert_eq!(chosen("aes128-ctr").faster(Some(default), with), None);
        assert_eq!(chosen("x").faster(Some("x"), with), None);
    }

    #[test]
    fn ours_comes_before_the_users() {
        let text = ours(&options("/etc/my [x]/config"), Some(HostKeys::Strict)).expect("a path");
        assert!(text.contains("ConnectTimeout 1\nServerAliveInterval 1\n"), "{text}");
        assert!(text.starts_with("BatchMode yes\nStrictHostKeyChecking yes\n"), "{text}");
        assert!(text.ends_with("Include \"/etc/my \\[x\\]/config\"\n"), "{text}");
        assert!(ours(&options("/etc/\"/config"), None).is_err());
    }
}
