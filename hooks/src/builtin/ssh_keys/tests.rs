use std::path::PathBuf;
use std::process::Command;

use proptest::prelude::*;

use super::super::fixture::{Fixture, file};
use super::*;
use crate::context::Facts;

const KNOWN: &str = "hpc.example.org ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGx\n";
const CONFIG: &str = "Host slurm\n  HostName hpc.example.org\n  Include config.d/*\n";

fn source(entries: &[(&str, &[u8])]) -> Facts {
    tree(entries.iter().map(|(path, content)| ((*path).into(), FileFact::file(*content))).collect())
}

fn tree(entries: Vec<(PathBuf, FileFact)>) -> Facts {
    let entries = entries.into_iter().map(|(path, fact)| TreeEntry { path, fact }).collect();
    Facts::default().with_tree("/tmp/.ssh", entries)
}

fn directory_fact() -> FileFact {
    FileFact::Directory { mode: 0o755, uid: 0, writable: false }
}

/// Keys made for one test run, by the program that reads them in the field.
struct Keys(tempfile::TempDir);

impl Keys {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn make(&self, name: &str, arguments: &[&str]) -> Vec<u8> {
        let path = self.0.path().join(name);
        let status =
            Command::new("ssh-keygen").args(["-q", "-C", "", "-f"]).arg(&path).args(arguments).status();
        assert!(status.expect("ssh-keygen is installed").success());
        std::fs::read(path).unwrap()
    }

    fn ed25519(&self) -> Vec<u8> {
        self.make("ed25519", &["-t", "ed25519", "-N", ""])
    }

    /// Whether OpenSSH itself loads a private key without a passphrase.
    fn loads(&self, content: &[u8]) -> bool {
        use std::os::unix::fs::PermissionsExt;
        let path = self.0.path().join("candidate");
        std::fs::write(&path, content).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        let output = Command::new("ssh-keygen").args(["-y", "-P", "", "-f"]).arg(&path).output().unwrap();
        output.status.success()
    }
}

#[test]
fn a_whole_folder_is_copied_with_the_modes_that_ssh_demands() {
    let key = Keys::new().ed25519();
    let facts = tree(vec![
        ("..2024_06_01".into(), directory_fact()),
        ("..2024_06_01/id_ed25519".into(), FileFact::file(key.clone())),
        ("..data".into(), directory_fact()),
        ("..data/id_ed25519".into(), FileFact::file(key.clone())),
        ("agent.sock".into(), FileFact::Other("socket")),
        ("authorized_keys".into(), FileFact::file("ssh-ed25519 AAAAC3Nz a\n")),
        ("config".into(), FileFact::file(CONFIG)),
        ("config.d".into(), directory_fact()),
        ("config.d/..data".into(), directory_fact()),
        ("config.d/site".into(), FileFact::file("Host *\n")),
        ("id_ed25519".into(), FileFact::file(key.clone())),
        ("id_ed25519.pub".into(), FileFact::file("ssh-ed25519 AAAAC3Nz a\n")),
        ("known_hosts".into(), FileFact::file(KNOWN)),
        ("sockets".into(), directory_fact()),
    ]);
    let length = key.len();
    let shown = Fixture::new().shown(&SshKeysHook, facts);
    insta::assert_snapshot!(shown.replace(&format!(", {length} secret bytes"), ", the key"));
}

#[test]
fn a_folder_without_public_keys_and_known_hosts_is_as_good() {
    let effects =
        Fixture::new().plan(&SshKeysHook, source(&[("id_ed25519", &Keys::new().ed25519())])).unwrap();
    assert_eq!(effects.len(), 2, "the directory and the key, nothing to notice");
    assert_eq!(file(&effects, "/opt/omero/server/.ssh/id_ed25519").mode, 0o600);
}

#[test]
fn no_source_means_nothing_to_do_and_says_what_to_mount() {
    insta::assert_snapshot!(Fixture::new().shown(&SshKeysHook, Facts::default()), @"notice: /tmp/.ssh is not there: no SSH keys to prepare. To reach a Slurm cluster, mount a folder with the private key, config and known_hosts there");
    insta::assert_snapshot!(Fixture::new().shown(&SshKeysHook, source(&[("config", b"")])), @r"
    directory /opt/omero/server/.ssh 700 ServiceUser
    file /opt/omero/server/.ssh/config 600 ServiceUser
      | 
    notice: /tmp/.ssh: has no private key, so ssh can only log in where none is asked for
    ");
}

#[test]
fn text_from_a_windows_editor_is_put_right_and_said() {
    let key = Keys::new().ed25519();
    let unix = String::from_utf8(key.clone()).unwrap();
    let mut windows = unix.replace('\n', "\r\n");
    windows.truncate(windows.len() - 2);
    let facts = source(&[
        ("config", b"\xef\xbb\xbfHost a\r\n  User b"),
        ("config.d/x", b"Host x\r\n"),
        ("id_ed25519", windows.as_bytes()),
        ("known_hosts", b"h ssh-ed25519 AAAA\r\n"),
        ("notes", b"left\r\nalone"),
    ]);
    let effects = Fixture::new().plan(&SshKeysHook, facts).unwrap();
    let copied =
        |name: &str| file(&effects, &format!("/opt/omero/server/.ssh/{name}")).content.bytes().to_vec();
    assert_eq!(copied("id_ed25519"), key);
    assert_eq!(copied("config"), b"Host a\n  User b\n");
    assert_eq!(copied("config.d/x"), b"Host x\n");
    assert_eq!(copied("known_hosts"), b"h ssh-ed25519 AAAA\n");
    assert_eq!(copied("notes"), b"left\r\nalone");
    let Some(Effect::Notice(notice)) = effects.last() else { panic!("{effects:?}") };
    insta::assert_snapshot!(notice, @"/tmp/.ssh: put right in the copy: config (byte order mark, Windows line ends, last line without its end), config.d/x (Windows line ends), id_ed25519 (Windows line ends, last line without its end), known_hosts (Windows line ends)");
}

#[test]
fn hosts_learnt_at_run_time_are_kept_after_those_of_the_source() {
    let with = |given: &[(&str, &[u8])], learnt: &str| {
        let facts = source(given).with_file("/opt/omero/server/.ssh/known_hosts", FileFact::file(learnt));
        Fixture::new().plan(&SshKeysHook, facts).unwrap()
    };
    for (given, learnt, merged) in [
        ("a k1\nb k2\n", "b k2\nc k3\n", "a k1\nb k2\nc k3\n"),
        ("a k1", "a k1\n", "a k1\n"),
        ("a k1\n", "\n# learnt\r\nc k3", "a k1\n# learnt\nc k3\n"),
        ("a new\n", "a old\n", "a new\na old\n"),
    ] {
        let effects = with(&[("known_hosts", given.as_bytes())], learnt);
        let merged_once = file(&effects, "/opt/omero/server/.ssh/known_hosts").content.bytes().to_vec();
        assert_eq!(String::from_utf8_lossy(&merged_once), merged);
        let effects = with(&[("known_hosts", given.as_bytes())], merged);
        assert_eq!(
            file(&effects, "/opt/omero/server/.ssh/known_hosts").content.bytes(),
            merged_once,
            "a restart"
        );
    }
    let effects = with(&[("config", b"\n")], "learnt k\n");
    assert!(
        !effects
            .iter()
            .any(|effect| matches!(effect, Effect::File(file) if file.path.ends_with("known_hosts")))
    );
}

#[test]
fn keys_and_unknown_files_are_secret_and_the_rest_may_be_shown() {
    let key = Keys::new().ed25519();
    for (name, content, secret, mode) in [
        ("id_ed25519", key.as_slice(), true, 0o600),
        ("anything", b"x", true, 0o600),
        ("authorized_keys", b"ssh-ed25519 AAAA", true, 0o600),
        ("config", b"Host a\n", false, 0o600),
        ("config", b"ProxyCommand curl http://u:pw@proxy\n", true, 0o600),
        ("config", key.as_slice(), true, 0o600),
        ("known_hosts", KNOWN.as_bytes(), false, 0o644),
        ("a.pub", b"ssh-ed25519 AAAA\n", false, 0o644),
        ("a.pub", key.as_slice(), true, 0o600),
    ] {
        let mut fixture = Fixture::new();
        fixture.environment.set("SSH_AUTH_SOCK", "/agent");
        let effects = fixture.plan(&SshKeysHook, source(&[(name, content)])).unwrap();
        let file = file(&effects, &format!("/opt/omero/server/.ssh/{name}"));
        assert_eq!((file.content.is_secret(), file.mode), (secret, mode), "{name}");
    }
}

/// Each way in which keys are seen to be unusable, and the bytes of one.
fn unusable(keys: &Keys) -> Vec<(&'static str, Vec<u8>)> {
    let good = keys.ed25519();
    let text = String::from_utf8(good.clone()).unwrap();
    let rsa =
        String::from_utf8(keys.make("rsa", &["-t", "rsa", "-b", "2048", "-m", "PEM", "-N", ""])).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    let rsa_lines: Vec<&str> = rsa.lines().collect();
    vec![
        ("id_base64", text.replacen("b3Bl", "b3!l", 1).into_bytes()),
        ("id_begin_only", b"-----BEGIN OPENSSH PRIVATE KEY-----\n".to_vec()),
        ("id_check_differs", flip_check_number(&text)),
        ("id_cut_in_the_middle", [&lines[..2], &lines[lines.len() - 1..]].concat().join("\n").into_bytes()),
        ("id_cut_rsa", [&rsa_lines[..5], &rsa_lines[rsa_lines.len() - 1..]].concat().join("\n").into_bytes()),
        ("id_empty", Vec::new()),
        ("id_escaped", text.replace('\n', "\\n").into_bytes()),
        ("id_no_end", lines[..lines.len() - 1].join("\n").into_bytes()),
        ("id_note_before", format!("My key:\n{text}").into_bytes()),
        ("id_passphrase", keys.make("passphrase", &["-t", "ed25519", "-N", "correct horse"])),
        (
            "id_passphrase_pem",
            keys.make("passphrase_pem", &["-t", "ecdsa", "-m", "PEM", "-N", "correct horse"]),
        ),
        (
            "id_passphrase_pkcs8",
            keys.make("passphrase_pkcs8", &["-t", "rsa", "-m", "PKCS8", "-N", "correct horse"]),
        ),
        ("id_public", std::fs::read(keys.0.path().join("ed25519.pub")).unwrap()),
        ("id_putty.ppk", b"PuTTY-User-Key-File-3: ssh-ed25519\r\nEncryption: none\r\n".to_vec()),
        ("id_text", b"see the wiki\n".to_vec()),
    ]
}

/// The section that holds the key begins with the same random number twice; the second is made another.
fn flip_check_number(text: &str) -> Vec<u8> {
    // Frame: 15 magic, 4+4 cipher, 4+4 derivation, 4 options, 4 count, 4+51 public key, 4 length, 4 first number.
    const SECOND_NUMBER: usize = 15 + 8 + 8 + 4 + 4 + 55 + 4 + 4;
    let mut lines: Vec<Vec<u8>> = text.lines().map(|line| line.as_bytes().to_vec()).collect();
    let character = SECOND_NUMBER.div_ceil(3) * 4;
    let place = &mut lines[1 + character / 70][character % 70];
    *place = if *place == b'A' { b'B' } else { b'A' };
    lines.join(&b'\n')
}

#[test]
fn a_key_that_ssh_would_refuse_is_named_in_one_line_and_never_shown() {
    let keys = Keys::new();
    let unusable = unusable(&keys);
    let mut entries: Vec<(&str, &[u8])> =
        unusable.iter().map(|(name, key)| (*name, key.as_slice())).collect();
    let error = Fixture::new().plan(&SshKeysHook, source(&entries)).unwrap_err().to_string();
    insta::assert_snapshot!(error.replace("; ", "\n"));

    let good = keys.ed25519_again();
    entries.push(("usable", &good));
    let effects = Fixture::new().plan(&SshKeysHook, source(&entries)).unwrap();
    let notices: Vec<&str> = effects
        .iter()
        .filter_map(|effect| match effect {
            Effect::Notice(notice) if notice.contains("will not take") => Some(notice.as_str()),
            _ => None,
        })
        .collect();
    assert_eq!(notices.len(), unusable.len(), "with a key that works the rest is a matter of notice");
    for (name, key) in &unusable {
        for line in
            String::from_utf8_lossy(key).lines().filter(|line| line.len() > 30 && !line.contains("---"))
        {
            assert!(!error.contains(line) && !notices.concat().contains(line), "{name} is shown");
        }
    }
}

impl Keys {
    fn ed25519_again(&self) -> Vec<u8> {
        std::fs::read(self.0.path().join("ed25519")).unwrap()
    }
}

#[test]
fn an_agent_may_have_the_keys_that_the_folder_has_not() {
    let mut fixture = Fixture::new();
    fixture.environment.set("SSH_AUTH_SOCK", "/run/agent.sock");
    assert!(fixture.plan(&SshKeysHook, source(&[("id_rsa", b"")])).is_ok());
}

#[test]
fn what_is_called_usable_is_what_openssh_loads() {
    let keys = Keys::new();
    let mut candidates = unusable(&keys);
    let good = keys.ed25519_again();
    let text = String::from_utf8(good.clone()).unwrap();
    for (name, arguments) in [
        ("rsa_new", ["-t", "rsa", "-N", "", "-m", "RFC4716"]),
        ("rsa_pem", ["-t", "rsa", "-N", "", "-m", "PEM"]),
        ("rsa_pkcs8", ["-t", "rsa", "-N", "", "-m", "PKCS8"]),
        ("ecdsa_pem", ["-t", "ecdsa", "-N", "", "-m", "PEM"]),
        ("ecdsa_pkcs8", ["-t", "ecdsa", "-N", "", "-m", "PKCS8"]),
        ("ecdsa_new", ["-t", "ecdsa", "-N", "", "-m", "RFC4716"]),
    ] {
        candidates.push((name, keys.make(name, &arguments)));
    }
    candidates.push(("windows", text.replace('\n', "\r\n").into_bytes()));
    candidates.push(("without_last_line_end", text.trim_end().as_bytes().to_vec()));
    candidates.push((
        "indented",
        text.lines().map(|line| format!("    {line}\n")).collect::<String>().into_bytes(),
    ));
    candidates.push(("byte_order_mark", format!("\u{feff}{text}").into_bytes()));
    candidates.push(("blank_before", format!("\n\n{text}").into_bytes()));
    candidates.push(("text_after", format!("{text}made in May\n").into_bytes()));
    for (name, key) in candidates {
        let (copied, _) = corrected(&key, private_key::holds_private_key(&key));
        let usable = private_key::examine(&copied) == Material::Usable;
        assert_eq!(usable, keys.loads(&copied), "{name}");
    }
}

#[test]
fn an_unreadable_key_ends_the_start_with_what_to_type() {
    let facts =
        tree(vec![("id_rsa".into(), FileFact::Unreadable("permission denied (mode 600, uid 0)".to_owned()))]);
    insta::assert_snapshot!(Fixture::new().shown(&SshKeysHook, facts), @"error: cannot read /tmp/.ssh/id_rsa: permission denied (mode 600, uid 0); let uid 1000 read it: chown 1000 it on the host (with podman, --userns=keep-id, or uid=1000 on the secret)");
}

proptest! {
    #[test]
    fn nothing_is_ever_written_outside_of_the_target(
        paths in proptest::collection::vec("(/|\\.|\\.\\.|a|id_rsa|known_hosts|config\\.d|\\.ssh){1,8}", 1..6),
        contents in proptest::collection::vec("(-----BEGIN OPENSSH PRIVATE KEY-----|-----END OPENSSH PRIVATE KEY-----|[a-zA-Z=\r\n]){0,6}", 6),
    ) {
        let mut fixture = Fixture::new();
        fixture.environment.set("SSH_AUTH_SOCK", "/agent");
        let entries = paths.iter().zip(&contents).map(|(path, text)| (path.into(), FileFact::file(text.as_str()))).collect();
        for effect in fixture.plan(&SshKeysHook, tree(entries)).unwrap() {
            if let Effect::Directory { path, .. } | Effect::File(FileEffect { path, .. }) = effect {
                prop_assert!(path.starts_with("/opt/omero/server/.ssh"), "{path:?}");
                prop_assert!(path.components().all(|component| component != Component::ParentDir), "{path:?}");
            }
        }
    }

    #[test]
    fn any_bytes_are_examined_without_panic(
        prefix in "(-----BEGIN (OPENSSH |RSA |EC |)PRIVATE KEY-----\n)?",
        bytes in proptest::collection::vec(any::<u8>(), 0..300),
        base64 in "[A-Za-z0-9+/]{0,300}={0,3}",
    ) {
        let _ = private_key::examine(&[prefix.as_bytes(), &bytes].concat());
        for label in ["OPENSSH ", "RSA ", ""] {
            let text = format!("-----BEGIN {label}PRIVATE KEY-----\n{base64}\n-----END {label}PRIVATE KEY-----\n");
            let _ = private_key::examine(text.as_bytes());
        }
    }
}
