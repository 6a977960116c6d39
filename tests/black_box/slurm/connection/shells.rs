//! Whatever the login shell is and says, commands arrive as they are and only their own answers come back.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt as _;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use super::*;

/// What makes trouble in shells.
fn bytes() -> impl Strategy<Value = Vec<u8>> {
    const KNOWN: &[&str] = &[
        "$(touch /tmp/pwned)",
        "`id`",
        "'",
        "\"",
        "\n",
        "\r",
        "\\",
        "-n",
        "[a-z]*",
        "{a,b}",
        "!!",
        "~",
        "ü 日本 \u{202e}",
    ];
    let piece = prop_oneof![
        prop::sample::select(KNOWN).prop_map(|text| text.as_bytes().to_vec()),
        prop::collection::vec(1_u8..=255, 0..8),
    ];
    prop::collection::vec(piece, 0..6).prop_map(|pieces| pieces.concat())
}

/// Asks a node with this login shell these many things.
fn arrives(shell: &str, cases: u32, jumped: bool) -> Result<()> {
    let options =
        sshd::Options { shell: shell.to_owned(), accept_env: String::new(), ..sshd::Options::default() };
    let node = Node::start(&options)?;
    let mut options = node.options();
    if jumped {
        options.host = node.sshd.jumped().to_owned();
    }
    let cluster = Cluster::over_ssh(options);
    let mut runner = TestRunner::new(Config { cases, failure_persistence: None, ..Config::default() });
    let cases = (prop::collection::vec(bytes(), 0..4), bytes(), bytes());
    let outcome = runner.run(&cases, |(arguments, value, input)| {
        let command = Command::shell(r#"printf '%s\0' "$@" "$VALUE"; cat; echo aside >&2; exit 7"#)
            .args(arguments.iter().map(|argument| OsString::from_vec(argument.clone())))
            .env("VALUE", OsString::from_vec(value.clone()))
            .input(input.clone());
        let output = node.runtime.block_on(cluster.run(&patient(command)));
        let output = output.map_err(|error| TestCaseError::fail(error.to_string()))?;
        let mut expected: Vec<u8> = Vec::new();
        for text in arguments.iter().chain([&value]) {
            expected.extend_from_slice(text);
            expected.push(0);
        }
        expected.extend_from_slice(&input);
        prop_assert_eq!(output.stdout, expected);
        prop_assert_eq!(output.stderr, b"aside\n");
        prop_assert_eq!(output.status, Status::Exited(7));
        Ok(())
    });
    outcome.map_err(|error| Trouble::new(format!("{shell}: {error}")))
}

#[test]
fn arguments_variables_and_input_arrive_as_they_are() -> Result<()> {
    arrives("/bin/bash", 300, false)
}

#[test]
fn so_they_do_whatever_the_login_shell_is() -> Result<()> {
    for shell in ["/bin/dash", "/bin/tcsh", "/bin/zsh", "/usr/bin/fish"] {
        if Path::new(shell).exists() {
            arrives(shell, 40, false)?;
        } else {
            assert!(!["/bin/dash", "/bin/tcsh"].contains(&shell), "install {shell}");
        }
    }
    Ok(())
}

#[test]
fn so_they_do_by_way_of_another_node() -> Result<()> {
    arrives("/bin/bash", 20, true)
}

#[test]
fn neither_a_banner_nor_a_noisy_login_shell_reaches_an_answer() -> Result<()> {
    let banner = "Permission denied (publickey).\n".repeat(50);
    let node = Node::start(&sshd::Options { banner: Some(banner), ..sshd::Options::default() })?;
    node.sshd.bashrc(
        "for i in $(seq 5000); do echo \"Welcome $i\"; echo \"Beware $i\" >&2; done\nprintf 'no end of line'; \
         printf 'here neither' >&2\n",
    )?;
    let cluster = node.cluster();
    for _ in 0..3 {
        let command = patient(Command::shell("echo out; echo err >&2"));
        let output = node.runtime.block_on(cluster.run(&command)).map_err(trouble)?;
        assert_eq!((output.stdout.as_slice(), output.stderr.as_slice()), (&b"out\n"[..], &b"err\n"[..]));
    }
    // SFTP of this sshd is internal: no shell comes between.
    let path = Path::new("noisy.txt");
    node.runtime.block_on(cluster.files().write(path, b"quiet", 0o600)).map_err(trouble)?;
    assert_eq!(node.runtime.block_on(cluster.files().read(path, 0, 100)).map_err(trouble)?, b"quiet");
    Ok(())
}

#[test]
fn a_login_shell_that_runs_no_command_is_told_with_its_last_words() -> Result<()> {
    let node = Node::start(&sshd::Options::default())?;
    let table = [
        ("echo 'This account is currently not available.'; exit 1\n", "not available", PATIENCE),
        ("echo 'Your password has expired' >&2; exit 1\n", "password has expired", PATIENCE),
        ("exec yes 'again and again'\n", "again and again", PATIENCE),
    ];
    for (bashrc, words, deadline) in table {
        node.sshd.bashrc(bashrc)?;
        let outcome = node.runtime.block_on(node.cluster().run(&Command::new("true").deadline(deadline)));
        let error = outcome.expect_err("no command is run");
        assert_eq!(kind(&error), ConnectKind::LoginShell);
        assert!(error.to_string().contains(words), "{error}");
    }
    // One that never gets there ends at the deadline.
    node.sshd.bashrc("sleep 7777\n")?;
    let silent = Command::new("true").deadline(Duration::from_secs(5));
    let error = node.runtime.block_on(node.cluster().run(&silent)).expect_err("no command is run");
    assert!(matches!(error, Error::Deadline { .. }), "{error}");
    Ok(())
}
