//! Why `ssh` did not connect, from what it says, and what to do about it.
//!
//! The lines are those of OpenSSH 7.4 to 10; what it does not say (a key with a passphrase is passed over in silence) is
//! looked up in the key files. What a server sends may be anything: it is searched, never believed to be well formed, and
//! shown without control characters.

use std::path::{Path, PathBuf};

use super::configuration::Configuration;
use crate::cluster::error::{ConnectKind, Refusal};

/// What there is to judge by.
#[derive(Debug, Default)]
pub(super) struct Evidence<'a> {
    /// What `ssh` logged itself.
    pub(super) log: &'a str,
    /// What came on its standard error: banners, and what the `ssh` of a jump or a `ProxyCommand` said.
    pub(super) aside: &'a str,
    /// What `ssh -G` tells of the host, where it tells anything.
    pub(super) configuration: Option<&'a Configuration>,
    /// The alias.
    pub(super) host: &'a str,
    /// The configuration that was given, where one was.
    pub(super) config: Option<&'a Path>,
}

/// The first kind of which a line holds all the words; the more telling come first.
const SIGNS: &[(ConnectKind, &[&str])] = &[
    (ConnectKind::Configuration, &["Bad configuration option"]),
    (ConnectKind::Configuration, &["Unsupported option"]),
    (ConnectKind::Configuration, &["Bad owner or permissions on"]),
    (ConnectKind::Configuration, &["user config file"]),
    (ConnectKind::Configuration, &["bad configuration options"]),
    (ConnectKind::Configuration, &["hostname contains invalid characters"]),
    (ConnectKind::Configuration, &["Bad ", " line "]),
    (ConnectKind::ControlFolder, &["unix_listener"]),
    (ConnectKind::ControlFolder, &["ControlPath"]),
    (ConnectKind::HostKeyChanged, &["REMOTE HOST IDENTIFICATION HAS CHANGED"]),
    (ConnectKind::HostKeyChanged, &["Host key for", "has changed"]),
    (ConnectKind::HostKeyChanged, &["POSSIBLE DNS SPOOFING"]),
    (ConnectKind::HostKey, &["host key is known for"]),
    (ConnectKind::HostKeyChanged, &["host certificate", "revoked"]),
    (ConnectKind::HostKeyChanged, &["Host key", "revoked"]),
    (ConnectKind::HostKey, &["Host key verification failed"]),
    (ConnectKind::UnknownHost, &["Could not resolve hostname"]),
    (ConnectKind::Refused, &["connect to host", "Connection refused"]),
    (ConnectKind::NoRoute, &["connect to host", "No route to host"]),
    (ConnectKind::NoRoute, &["connect to host", "Network is unreachable"]),
    (ConnectKind::TimedOut, &["connect to host", "timed out"]),
    (ConnectKind::TimedOut, &["Connection timed out"]),
    (ConnectKind::TimedOut, &["Connection to", "timed out"]),
    (ConnectKind::TimedOut, &["Timeout, server"]),
    (ConnectKind::Refused, &["open failed: connect failed"]),
    (ConnectKind::NoAgreement, &["Unable to negotiate with"]),
    (ConnectKind::NoAgreement, &["no matching"]),
    (ConnectKind::TooManyKeys, &["Too many authentication failures"]),
    (ConnectKind::KeyFile, &["Permissions", "are too open"]),
    (ConnectKind::KeyFile, &["Load key", "bad permissions"]),
    (ConnectKind::KeyFile, &["Load key"]),
    (ConnectKind::KeyFile, &["no such identity"]),
    (ConnectKind::Denied, &["Permission denied ("]),
    (ConnectKind::Denied, &["No more authentication methods"]),
    (ConnectKind::Denied, &["account", "expired"]),
    (ConnectKind::Closed, &["kex_exchange_identification"]),
    (ConnectKind::Closed, &["Exceeded MaxStartups"]),
    (ConnectKind::Closed, &["Connection closed by"]),
    (ConnectKind::Closed, &["Connection reset by"]),
    (ConnectKind::Closed, &["Received disconnect from"]),
    (ConnectKind::Closed, &["Broken pipe"]),
];

/// What stands for the peer where the way there is a program's.
const BY_PROXY: &str = "UNKNOWN port 65535";

/// Tells why.
pub(super) fn diagnose(evidence: &Evidence<'_>) -> Refusal {
    let own = sign(evidence.log);
    // A jump's own trouble is told beside: all that our ssh knows is that somebody hung up.
    if matches!(own, None | Some((ConnectKind::Closed, _))) {
        let by_proxy = evidence.log.contains(BY_PROXY);
        if let Some((kind, line)) = sign(evidence.aside)
            && (by_proxy || own.is_none())
        {
            let kind = if kind == ConnectKind::Closed { ConnectKind::Jump } else { kind };
            return refusal(kind, &format!("on the way there: {}", shown(line)), evidence);
        }
        if by_proxy {
            let line = last_line(evidence.aside).or(own.map(|(_, line)| line)).unwrap_or_default();
            return refusal(ConnectKind::Jump, &format!("on the way there: {}", shown(line)), evidence);
        }
    }
    match own {
        Some((ConnectKind::Denied, line)) => match locked_key(evidence.configuration) {
            Some(key) => {
                let reason = format!("{}; the key {} has a passphrase", shown(line), key.display());
                refusal(ConnectKind::KeyLocked, &reason, evidence)
            }
            None => refusal(ConnectKind::Denied, &shown(line), evidence),
        },
        Some((kind, line)) => refusal(kind, &shown(line), evidence),
        None => {
            let line = last_line(evidence.log).or_else(|| last_line(evidence.aside));
            let reason = line.map_or_else(|| "`ssh` ended without a word".to_owned(), shown);
            refusal(ConnectKind::Other, &reason, evidence)
        }
    }
}

/// A refusal of this kind, with its remedy.
pub(super) fn refusal(kind: ConnectKind, reason: &str, evidence: &Evidence<'_>) -> Refusal {
    Refusal {
        host: evidence.host.to_owned(),
        kind,
        reason: reason.to_owned(),
        remedy: remedy(kind, evidence),
    }
}

fn sign(text: &str) -> Option<(ConnectKind, &str)> {
    SIGNS.iter().find_map(|(kind, words)| {
        let mut lines = text.lines();
        let line = lines.find(|line| words.iter().all(|word| line.contains(word)))?;
        Some((*kind, line))
    })
}

fn last_line(text: &str) -> Option<&str> {
    text.lines().map(str::trim).rfind(|line| !line.is_empty())
}

/// One line for a message: without control characters and the frames that `ssh` draws, 300 characters at the most.
fn shown(line: &str) -> String {
    let line = line.trim().trim_matches('@').trim();
    line.chars()
        .take(300)
        .flat_map(char::escape_debug)
        .collect::<String>()
        .replace("\\'", "'")
        .replace("\\\"", "\"")
}

fn remedy(kind: ConnectKind, evidence: &Evidence<'_>) -> String {
    let by_hand = match evidence.config {
        Some(config) => format!("ssh -F {} {}", config.display(), evidence.host),
        None => format!("ssh {}", evidence.host),
    };
    let config =
        evidence.config.map_or_else(|| "~/.ssh/config".to_owned(), |path| path.display().to_string());
    let facts = evidence.configuration;
    let name = facts.map_or(evidence.host, |facts| facts.host_name.as_str());
    let port = facts.map_or(22, |facts| facts.port);
    let user = facts.map_or("the user", |facts| facts.user.as_str());
    let known = facts.and_then(|facts| facts.known_hosts.first());
    let known = known.map_or_else(|| "~/.ssh/known_hosts".to_owned(), |path| path.display().to_string());
    let key = facts.and_then(Configuration::first_key);
    let key = key.map_or_else(|| "the key".to_owned(), |path| path.display().to_string());
    let entry = if port == 22 { name.to_owned() } else { format!("[{name}]:{port}") };
    let host = evidence.host;
    match kind {
        ConnectKind::UnknownHost => format!(
            "write the name or the address after `HostName` below `Host {host}` in {config}, and check it by `getent hosts {name}`"
        ),
        ConnectKind::Refused => format!(
            "nothing listens at {name} port {port}: check `Port` below `Host {host}` in {config}, and that sshd runs there"
        ),
        ConnectKind::TimedOut => format!(
            "check that a firewall lets us to {name} port {port} (`nc -vz {name} {port}`), or allow more time by `slurm.connect`"
        ),
        ConnectKind::NoRoute => {
            format!("check the network of this machine or container: `ip route get {name}`")
        }
        ConnectKind::HostKey => format!(
            "compare the key's fingerprint with what the cluster's administrators publish, then `ssh-keyscan -p {port} {name} >>{known}`; or set `slurm.host_keys = \"accept-new\"`"
        ),
        ConnectKind::HostKeyChanged => format!(
            "ask the cluster's administrators whether the host has a new key; only then `ssh-keygen -f {known} -R '{entry}'` and `ssh-keyscan -p {port} {name} >>{known}`"
        ),
        ConnectKind::Denied => format!(
            "put {key}.pub into ~/.ssh/authorized_keys of {user} there (`ssh-copy-id -i {key}.pub -p {port} {user}@{name}`), and check `User` and `IdentityFile` below `Host {host}` in {config}"
        ),
        ConnectKind::TooManyKeys => format!(
            "write `IdentitiesOnly yes` and one `IdentityFile` below `Host {host}` in {config}: too many keys were tried"
        ),
        ConnectKind::KeyFile => format!(
            "check `IdentityFile` below `Host {host}` in {config}: the file has to be there, to be ours, and to be closed to others (`chmod 600 {key}`)"
        ),
        ConnectKind::KeyLocked => format!(
            "hand the key to an agent (`ssh-add {key}`) and start the worker with its SSH_AUTH_SOCK, or take a key without a passphrase (`ssh-keygen -p -f {key}`)"
        ),
        ConnectKind::Configuration => format!("correct it in {config}; `ssh -G -F {config} {host}` checks"),
        ConnectKind::NoAgreement => format!(
            "the two sides have no algorithm in common: see what `ssh -v` tells of {name}, and `KexAlgorithms`, `Ciphers`, `HostKeyAlgorithms` in {config}"
        ),
        ConnectKind::Closed => format!(
            "{name} hangs up before anybody has logged in: it may be overloaded (MaxStartups), refuse this address (hosts.deny, fail2ban), or not be an SSH server; try `{by_hand}`"
        ),
        ConnectKind::Jump => format!(
            "check the jump first: `ProxyJump` or `ProxyCommand` below `Host {host}` in {config}, then `{by_hand} true`"
        ),
        ConnectKind::ControlFolder => {
            "give a folder with a short path that only this user can enter (TMPDIR or XDG_RUNTIME_DIR)"
                .to_owned()
        }
        ConnectKind::LoginShell => format!(
            "`{by_hand} true` has to work: the account needs a login shell that runs commands, without a forced command, and start-up files that end"
        ),
        ConnectKind::Sessions => {
            format!("raise `MaxSessions` in sshd_config of {name} to 2 at least; 10 is its default")
        }
        ConnectKind::Program => "install OpenSSH's client: `openssh-client` or `openssh-clients`".to_owned(),
        ConnectKind::Other => format!("see what `{by_hand} true` says"),
    }
}

/// The first key that only its owner can unlock; `ssh` in batch mode passes it over without a word.
fn locked_key(configuration: Option<&Configuration>) -> Option<PathBuf> {
    let keys = &configuration?.identity_files;
    keys.iter().find(|path| read_key(path).is_some_and(|text| is_locked(&text))).cloned()
}

fn read_key(path: &Path) -> Option<Vec<u8>> {
    use std::io::Read as _;
    let file =
        std::fs::File::open(path).ok().filter(|file| file.metadata().is_ok_and(|data| data.is_file()))?;
    let mut text = Vec::new();
    file.take(64 << 10).read_to_end(&mut text).ok()?;
    Some(text)
}

/// Whether a private key has a passphrase: OpenSSH's PROTOCOL.key (`ciphername` after the magic), or RFC 1421's header.
fn is_locked(text: &[u8]) -> bool {
    let text = String::from_utf8_lossy(text);
    if text.contains("BEGIN ENCRYPTED PRIVATE KEY") || text.contains("Proc-Type: 4,ENCRYPTED") {
        return true;
    }
    let mut lines = text.lines().skip_while(|line| !line.contains("BEGIN OPENSSH PRIVATE KEY")).skip(1);
    // In base64: `openssh-key-v1`, NUL, the length 4, `none`, as far as whole groups of three bytes go.
    lines.next().is_some_and(|line| {
        line.starts_with("b3BlbnNzaC1rZXktdjEA") && !line.starts_with("b3BlbnNzaC1rZXktdjEAAAAABG5vbm")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(log: &str, aside: &str) -> (ConnectKind, String) {
        let refusal = diagnose(&Evidence { log, aside, host: "slurm", ..Evidence::default() });
        assert!(!refusal.remedy.is_empty());
        (refusal.kind, refusal.reason)
    }

    /// Each as OpenSSH 9.2 says it.
    #[test]
    fn what_ssh_says_has_a_kind() {
        let changed = "@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@\r\n\
            @    WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED!     @\r\n\
            Offending ED25519 key in /srv/connect/changed:1\r\n\
            Host key for [127.0.0.1]:24722 has changed and you have requested strict checking.\r\n\
            Host key verification failed.\r\n";
        let unknown = "No ED25519 host key is known for [127.0.0.1]:24722 and you have requested strict checking.\r\n\
            Host key verification failed.\r\n";
        let open = "@         WARNING: UNPROTECTED PRIVATE KEY FILE!          @\r\n\
            Permissions 0644 for '/srv/connect/open' are too open.\r\n\
            Load key \"/srv/connect/open\": bad permissions\r\n\
            sc1@127.0.0.1: Permission denied (publickey).\r\n";
        let table = [
            (unknown, ConnectKind::HostKey),
            (changed, ConnectKind::HostKeyChanged),
            ("sc1@127.0.0.1: Permission denied (publickey).\r\n", ConnectKind::Denied),
            (
                "no such identity: /srv/connect/nokey: No such file or directory\r\nsc1@127.0.0.1: Permission denied (publickey).\r\n",
                ConnectKind::KeyFile,
            ),
            (open, ConnectKind::KeyFile),
            (
                "Received disconnect from 127.0.0.1 port 24722:2: Too many authentication failures\r\nDisconnected from 127.0.0.1 port 24722\r\n",
                ConnectKind::TooManyKeys,
            ),
            ("ssh: connect to host 127.0.0.1 port 24799: Connection refused\r\n", ConnectKind::Refused),
            ("ssh: connect to host 10.0.0.1 port 22: No route to host\r\n", ConnectKind::NoRoute),
            ("ssh: connect to host 10.0.0.1 port 22: Network is unreachable\r\n", ConnectKind::NoRoute),
            ("ssh: connect to host 10.0.0.1 port 22: Connection timed out\r\n", ConnectKind::TimedOut),
            (
                "ssh: Could not resolve hostname no-such.invalid: Name or service not known\r\n",
                ConnectKind::UnknownHost,
            ),
            (
                "Connection timed out during banner exchange\r\nConnection to 240.0.0.1 port 22 timed out\r\n",
                ConnectKind::TimedOut,
            ),
            (
                "Unable to negotiate with 127.0.0.1 port 24722: no matching cipher found. Their offer: aes128-ctr\r\n",
                ConnectKind::NoAgreement,
            ),
            (
                "bad: line 2: Bad configuration option: foo\nbad: terminating, 1 bad configuration options\n",
                ConnectKind::Configuration,
            ),
            (
                "bad line 2: Bad port 'x'.\nbad: terminating, 1 bad configuration options\n",
                ConnectKind::Configuration,
            ),
            ("Can't open user config file nofile: No such file or directory\n", ConnectKind::Configuration),
            ("hostname contains invalid characters\n", ConnectKind::Configuration),
            (
                "unix_listener: path \"/srv/connect/aaa.7kXevzGmTsguaaJJ\" too long for Unix domain socket\n",
                ConnectKind::ControlFolder,
            ),
            (
                "kex_exchange_identification: Connection closed by remote host\r\nConnection closed by 127.0.0.1 port 24722\r\n",
                ConnectKind::Closed,
            ),
            ("Connection reset by 127.0.0.1 port 22\r\n", ConnectKind::Closed),
            ("something new\r\n", ConnectKind::Other),
            ("", ConnectKind::Other),
        ];
        for (said, kind) in table {
            assert_eq!(judged(said, "").0, kind, "{said}");
        }
    }

    #[test]
    fn trouble_of_a_jump_is_told_as_the_jumps() {
        let closed = "kex_exchange_identification: Connection closed by remote host\r\nConnection closed by UNKNOWN port 65535\r\n";
        let table = [
            ("ssh: connect to host 127.0.0.1 port 24799: Connection refused\r\n", ConnectKind::Refused),
            ("sc1@127.0.0.1: Permission denied (publickey).\r\n", ConnectKind::Denied),
            (
                "channel 0: open failed: connect failed: Connection refused\r\nstdio forwarding failed\r\n",
                ConnectKind::Refused,
            ),
            ("/bin/bash: line 1: /no/such/program: No such file or directory\n", ConnectKind::Jump),
            ("", ConnectKind::Jump),
        ];
        for (said, kind) in table {
            let (judged, reason) = judged(closed, said);
            assert_eq!(judged, kind, "{said}");
            assert!(reason.starts_with("on the way there: "), "{reason}");
        }
    }

    #[test]
    fn a_banner_decides_nothing() {
        let (kind, reason) = judged(
            "sc1@127.0.0.1: Permission denied (publickey).\r\n",
            "WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED!\n",
        );
        assert_eq!(kind, ConnectKind::Denied);
        assert_eq!(reason, "sc1@127.0.0.1: Permission denied (publickey).");
    }

    #[test]
    fn a_key_with_a_passphrase_is_known() {
        for (line, locked) in [
            ("b3BlbnNzaC1rZXktdjEAAAAACmFlczI1Ni1jdHIAAAAGYmNyeXB0AAAAGAAAABB", true),
            ("b3BlbnNzaC1rZXktdjEAAAAABG5vbmUAAAAEbm9uZQAAAAAAAAABAAAAMwAAAAtz", false),
        ] {
            let text = format!("-----BEGIN OPENSSH PRIVATE KEY-----\n{line}\n");
            assert_eq!(is_locked(text.as_bytes()), locked, "{line}");
        }
        assert!(is_locked(b"-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n"));
        assert!(!is_locked(b"-----BEGIN OPENSSH PRIVATE KEY-----"));
        assert!(!is_locked(b""));
    }

    proptest::proptest! {
        #[test]
        fn hostile_words_are_shown_without_control_characters(text in "\\PC{0,40}[\\x00-\\x1f\\x7f]{0,8}\\PC{0,40}") {
            let (_, reason) = judged(&text, &text);
            proptest::prop_assert!(!reason.chars().any(char::is_control), "{:?}", reason);
        }
    }
}
