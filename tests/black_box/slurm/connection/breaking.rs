//! What breaks between and during commands, and our own end.

use std::io::{BufRead as _, BufReader};
use std::process::Stdio;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::*;

#[test]
fn a_connection_that_was_lost_between_commands_comes_back() -> Result<()> {
    let mut node = Node::start(&sshd::Options::default())?;
    let cluster = node.cluster();
    node.ask(&cluster, &patient(Command::new("true")))?;
    for _ in 0..3 {
        node.sshd.cut();
        // Nothing had been asked, so that it need not be one that may be repeated.
        assert_eq!(node.ask(&cluster, &patient(Command::new("echo").arg("back")))?, "back\n");
        node.runtime.block_on(cluster.files().write(Path::new("a"), b"b", 0o600)).map_err(trouble)?;
    }
    node.sshd.restart()?;
    assert_eq!(node.ask(&cluster, &patient(Command::new("echo").arg("back")))?, "back\n");
    assert_eq!(node.runtime.block_on(cluster.files().read(Path::new("a"), 0, 9)).map_err(trouble)?, b"b");
    Ok(())
}

#[test]
fn a_command_that_was_under_way_is_lost_unless_it_may_be_repeated() -> Result<()> {
    let mut node = Node::start(&sshd::Options::default())?;
    let work = node.sshd.workspace()?;
    let cluster = node.cluster();
    node.ask(&cluster, &patient(Command::new("true")))?;
    // Begins, tells that it has, and goes on only from the second time on.
    let lines = r#"cd "$1" && echo x >>"$2" && test "$(wc -l <"$2")" -gt 1 || exec sleep 71100"#;
    let command = |name: &str| patient(Command::shell(lines).arg(work.path()).arg(name));
    let once = {
        let (cluster, command) = (cluster.clone(), command("once"));
        node.runtime.spawn(async move { cluster.run(&command).await })
    };
    let twice = {
        let (cluster, command) = (cluster.clone(), command("twice").repeatable());
        node.runtime.spawn(async move { cluster.run(&command).await })
    };
    let others: Vec<_> = (0..5)
        .map(|number| {
            let (cluster, command) = (cluster.clone(), command(&format!("other-{number}")).repeatable());
            node.runtime.spawn(async move { cluster.run(&command).await })
        })
        .collect();
    wait::until("seven commands under way", PATIENCE, &[], || {
        let begun = std::fs::read_dir(work.path()).map_or(0, Iterator::count);
        (begun == 7).then_some(())
    })?;
    node.sshd.kill()?;
    let lost = node.runtime.block_on(once).expect("no panic").expect_err("lost");
    assert!(matches!(lost, Error::Lost { .. }), "{lost}");
    // Nobody is there for a while.
    std::thread::sleep(Duration::from_millis(700));
    node.sshd.listen()?;
    let done = node.runtime.block_on(twice).expect("no panic").map_err(trouble)?;
    assert_eq!(done.status, Status::Exited(0));
    for other in others {
        assert_eq!(
            node.runtime.block_on(other).expect("no panic").map_err(trouble)?.status,
            Status::Exited(0)
        );
    }
    assert_eq!(work.read("once")?, "x\n", "it was not repeated");
    assert_eq!(work.read("twice")?, "x\nx\n");
    assert_eq!(node.sshd.connection_count(), 1, "one connection for all who waited");
    Ok(())
}

#[test]
fn a_server_that_stays_away_is_told_before_the_deadline() -> Result<()> {
    let mut node = Node::start(&sshd::Options::default())?;
    let cluster = node.cluster();
    node.ask(&cluster, &patient(Command::new("true")))?;
    node.sshd.kill()?;
    let command = Command::new("true").repeatable().deadline(Duration::from_secs(4));
    let error = node.runtime.block_on(cluster.run(&command)).expect_err("nobody there");
    assert_eq!(kind(&error), ConnectKind::Refused);
    Ok(())
}

#[test]
fn an_ssh_that_is_killed_is_replaced() -> Result<()> {
    let node = Node::start(&sshd::Options::default())?;
    let cluster = node.cluster();
    node.ask(&cluster, &patient(Command::new("true")))?;
    for signal in [Signal::SIGKILL, Signal::SIGTERM] {
        for child in masters(node.control.path()) {
            kill(child, signal).map_err(|error| Trouble::new(error.to_string()))?;
        }
        assert_eq!(node.ask(&cluster, &patient(Command::new("echo").arg("back")))?, "back\n");
    }
    Ok(())
}

/// The processes of `ssh` whose control socket is below this folder.
fn masters(control: &Path) -> Vec<Pid> {
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let ids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok().map(Pid::from_raw));
    let part = control.display().to_string();
    ids.filter(|id| {
        let line = std::fs::read(format!("/proc/{id}/cmdline")).unwrap_or_default();
        line.starts_with(b"ssh\0") && String::from_utf8_lossy(&line).contains(&part)
    })
    .collect()
}

#[test]
fn a_process_that_is_killed_leaves_no_ssh_behind() -> Result<()> {
    let node = Node::start(&sshd::Options::default())?;
    for host in [node.sshd.alias(), node.sshd.jumped()] {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_cluster_stopwatch"));
        command.arg("hold").arg(node.sshd.ssh_config()).arg(host).arg(node.control.path());
        let mut asks =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().map_err(Trouble::doing("start"))?;
        let mut line = String::new();
        let mut answers = BufReader::new(asks.stdout.take().ok_or_else(|| Trouble::new("no pipe"))?);
        answers.read_line(&mut line).map_err(Trouble::doing("read an answer"))?;
        assert!(line.starts_with("connected"), "{line}");
        assert!(!masters(node.control.path()).is_empty());
        asks.kill().map_err(Trouble::doing("kill"))?;
        asks.wait().map_err(Trouble::doing("wait"))?;
        wait::until("the end of ssh", PATIENCE, &[], || {
            masters(node.control.path()).is_empty().then_some(())
        })?;
        wait::until("the end of the connection", PATIENCE, &[], || {
            (node.sshd.connection_count() == 0).then_some(())
        })?;
    }
    Ok(())
}
