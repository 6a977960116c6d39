//! Many at a time, some without an end; and files, by SFTP or without.

use biomero_slurm::cluster::Kind;

use super::*;

#[test]
fn twenty_at_once_are_answered_where_two_sessions_are_allowed() -> Result<()> {
    for max_sessions in [1, 2] {
        let node = Node::start(&sshd::Options { max_sessions, ..sshd::Options::default() })?;
        let cluster = node.cluster();
        let answers = node.runtime.block_on(async {
            let mut commands = tokio::task::JoinSet::new();
            for number in 0..20 {
                let cluster = cluster.clone();
                commands.spawn(async move {
                    let command = Command::shell("sleep 0.1; echo \"$1\"").arg(number.to_string());
                    cluster.ask(&patient(command)).await
                });
            }
            commands.join_all().await
        });
        let mut numbers = Vec::new();
        for answer in answers {
            let answer = answer.map_err(trouble)?;
            numbers.push(String::from_utf8_lossy(&answer).trim().parse::<u32>().expect("a number"));
        }
        numbers.sort_unstable();
        assert_eq!(numbers, (0..20).collect::<Vec<_>>());
        // Files go on beside, by SFTP or, where there is no second session, by commands.
        node.runtime
            .block_on(async {
                cluster.files().write(Path::new("a"), b"text", 0o600).await?;
                cluster.ask(&patient(Command::new("true"))).await?;
                assert_eq!(cluster.files().read(Path::new("a"), 0, 10).await?, b"text");
                Ok::<_, Error>(())
            })
            .map_err(trouble)?;
        assert_eq!(node.sshd.connection_count(), 1, "one connection serves all");
    }
    Ok(())
}

#[test]
fn a_command_without_an_end_is_ended_there_too() -> Result<()> {
    let node = Node::start(&sshd::Options::default())?;
    let cluster = node.cluster();
    node.ask(&cluster, &patient(Command::new("true")))?;

    let hangs = |seconds: &str, command: Command| {
        let command = command.arg(seconds).deadline(Duration::from_secs(3));
        let error = node.runtime.block_on(cluster.run(&command)).expect_err("no end");
        assert!(matches!(error, Error::Deadline { .. }), "{error}");
        assert!(!is_there(&node.sshd, &format!("sleep\0{seconds}")), "ended before it is told");
    };
    hangs("71001", Command::new("sleep"));
    hangs("71002", Command::shell("sleep \"$1\" & sleep \"$1\" | cat"));
    // One that does not listen.
    hangs("71003", Command::shell("trap '' TERM; sleep \"$1\"; sleep \"$1\""));

    // What is dropped ends too, and so does what is read from meanwhile.
    let running =
        node.runtime.block_on(cluster.spawn(&Command::new("sleep").arg("71004"))).map_err(trouble)?;
    wait::until("the command", PATIENCE, &[], || is_there(&node.sshd, "sleep\x0071004").then_some(()))?;
    node.runtime.block_on(async { drop(running) });
    gone(&node.sshd, "sleep\x0071004")?;
    let error = node.runtime.block_on(async {
        let command = Command::shell("echo first; exec sleep 71005").deadline(Duration::from_secs(3));
        let mut running = cluster.spawn(&command).await?;
        let mut text = Vec::new();
        let read = tokio::io::AsyncReadExt::read_to_end(&mut running.stdout, &mut text).await;
        assert_eq!(read.expect_err("no end").kind(), std::io::ErrorKind::TimedOut);
        assert_eq!(text, b"first\n");
        running.wait().await.map(drop)
    });
    let error = error.expect_err("no end");
    assert!(matches!(error, Error::Deadline { .. }), "{error}");
    gone(&node.sshd, "sleep\x0071005")?;
    // Closing waits for what is being ended.
    let running =
        node.runtime.block_on(cluster.spawn(&Command::new("sleep").arg("71006"))).map_err(trouble)?;
    node.runtime.block_on(async {
        drop(running);
        cluster.close().await;
    });
    assert!(!is_there(&node.sshd, "sleep\x0071006"));
    Ok(())
}

#[test]
fn an_answer_that_is_too_large_ends_its_command() -> Result<()> {
    let node = Node::start(&sshd::Options::default())?;
    let cluster = node.cluster();
    let command = patient(Command::new("yes").arg("71010")).largest_answer(100_000);
    let error = node.runtime.block_on(cluster.run(&command)).expect_err("too much");
    assert!(matches!(error, Error::TooMuch { most: 100_000, .. }), "{error}");
    gone(&node.sshd, "yes\x0071010")
}

#[test]
fn how_a_command_ends_is_told_truly() -> Result<()> {
    let node = Node::start(&sshd::Options::default())?;
    let cluster = node.cluster();
    let ended = |lines: &'static str| {
        node.runtime.block_on(cluster.run(&patient(Command::shell(lines)))).map(|output| output.status)
    };
    for (lines, status) in [
        ("exit 0", Status::Exited(0)),
        ("exit 127", Status::Exited(127)),
        ("exit 255", Status::Exited(255)),
        ("kill -KILL $$", Status::Killed),
    ] {
        assert_eq!(ended(lines).map_err(trouble)?, status, "{lines}");
    }
    let long = "i=0; while [ $i -lt 20000 ]; do echo \"line $i\" >&2; i=$((i+1)); done";
    let output = node.runtime.block_on(cluster.run(&patient(Command::shell(long)))).map_err(trouble)?;
    assert_eq!(output.stderr.len(), 64 << 10, "the end of it is kept");
    assert!(output.stderr.ends_with(b"line 19999\n"));
    Ok(())
}

/// The same for SFTP, for commands and for this machine.
async fn files_work(cluster: &Cluster, base: &Path) -> std::result::Result<(), Error> {
    use std::io::ErrorKind;
    let files = cluster.files();
    let of = |error: Error| match error {
        Error::File { kind, .. } => kind,
        other => panic!("{other}"),
    };
    let folder = base.join("deep/er");
    files.create_folder(&folder).await?;
    files.create_folder(&folder).await?;
    let path = folder.join("-n it's \"ü\" $(x)\n.txt");
    assert_eq!(files.metadata(&path).await?, None);
    assert_eq!(of(files.read(&path, 0, 1).await.expect_err("none")), ErrorKind::NotFound);
    files.remove(&path).await?;

    let content: Vec<u8> = (0..3_000_000_u32).map(|number| (number / 7 % 251) as u8).collect();
    files.write(&path, &content, 0o640).await?;
    let told = files.metadata(&path).await?.expect("a file");
    assert_eq!((told.kind, told.size, told.mode), (Kind::File, 3_000_000, 0o640));
    assert_eq!(files.read(&path, 0, 4_000_000).await?, content);
    assert_eq!(files.read(&path, 1_234_567, 700_001).await?, content[1_234_567..1_934_568]);
    assert_eq!(files.read(&path, 2_999_990, 100).await?, content[2_999_990..]);
    assert!(files.read(&path, 3_000_000, 100).await?.is_empty());
    assert!(files.read(&path, 9_000_000, 100).await?.is_empty());

    files.write(&path, b"short", 0o600).await?;
    assert_eq!(files.read(&path, 0, 100).await?, b"short");
    let other = folder.join("other");
    files.write(&other, b"", 0o600).await?;
    files.rename(&path, &other).await?;
    assert_eq!(files.read(&other, 0, 100).await?, b"short");
    assert_eq!(files.metadata(&path).await?, None);

    assert!(files.write(&folder, b"no", 0o600).await.is_err(), "a folder is not replaced");
    assert_eq!(
        of(files.write(&base.join("no/such"), b"no", 0o600).await.expect_err("none")),
        ErrorKind::NotFound
    );
    let names: Vec<_> = files.list(&folder).await?.into_iter().map(|entry| entry.name).collect();
    assert_eq!(names, [Path::new("other")], "nothing is left beside");
    assert_eq!(of(files.list(&base.join("none")).await.expect_err("none")), ErrorKind::NotFound);
    files.remove(&other).await?;
    assert_eq!(files.metadata(&other).await?, None);
    Ok(())
}

/// Names that are not UTF-8, and a folder that we may not enter.
async fn odd_names_work(cluster: &Cluster, base: &Path) -> std::result::Result<(), Error> {
    use std::os::unix::ffi::OsStrExt as _;
    let name = Path::new(std::ffi::OsStr::from_bytes(b"\xff\xfe"));
    let path = base.join(name);
    cluster.files().create_folder(base).await?;
    cluster.files().write(&path, b"odd", 0o600).await?;
    assert_eq!(cluster.files().read(&path, 1, 100).await?, b"dd");
    let names: Vec<_> = cluster.files().list(base).await?.into_iter().map(|entry| entry.name).collect();
    assert_eq!(names, [name]);
    Ok(())
}

#[test]
fn files_are_the_same_with_and_without_sftp_and_here() -> Result<()> {
    for sftp in [true, false] {
        let node = Node::start(&sshd::Options { sftp, ..sshd::Options::default() })?;
        let cluster = node.cluster();
        node.runtime.block_on(files_work(&cluster, Path::new("base"))).map_err(trouble)?;
        node.runtime.block_on(files_work(&cluster, &node.sshd.home().join("whole"))).map_err(trouble)?;
        node.runtime.block_on(odd_names_work(&cluster, Path::new("odd"))).map_err(trouble)?;
        // root's, and nobody else's.
        let closed = Path::new("/etc/shadow");
        let error = node.runtime.block_on(cluster.files().read(closed, 0, 10)).expect_err("no permission");
        assert!(matches!(error, Error::File { kind: std::io::ErrorKind::PermissionDenied, .. }), "{error}");
    }
    let scratch = Scratch::new()?;
    let runtime = runtime()?;
    runtime.block_on(files_work(&Cluster::local(), scratch.path())).map_err(trouble)?;
    runtime.block_on(odd_names_work(&Cluster::local(), &scratch.path().join("odd"))).map_err(trouble)
}

#[test]
fn a_full_disk_leaves_what_was_there() -> Result<()> {
    for sftp in [true, false] {
        let node = Node::start(&sshd::Options { sftp, ..sshd::Options::default() })?;
        let small = node.sshd.home().join("small");
        std::fs::create_dir(&small).map_err(Trouble::doing("make a folder"))?;
        let mut mount = std::process::Command::new("mount");
        let (user, _) = node.sshd.ids();
        mount.args(["-t", "tmpfs", "-o", &format!("size=256k,uid={user},mode=700"), "none"]).arg(&small);
        process::succeed(&mut mount, PATIENCE)?;
        let outcome = node.runtime.block_on(async {
            let cluster = node.cluster();
            let path = Path::new("small/file");
            cluster.files().write(path, b"before", 0o600).await?;
            let error = cluster.files().write(path, &vec![7; 1_000_000], 0o600).await.expect_err("full");
            assert!(matches!(error, Error::File { kind: std::io::ErrorKind::StorageFull, .. }), "{error}");
            assert!(error.to_string().contains("No space left on device"), "{error}");
            assert_eq!(cluster.files().read(path, 0, 100).await?, b"before");
            assert_eq!(cluster.files().list(Path::new("small")).await?.len(), 1, "nothing is left beside");
            Ok::<_, Error>(())
        });
        let mut umount = std::process::Command::new("umount");
        process::succeed(umount.arg("-l").arg(&small), PATIENCE)?;
        outcome.map_err(trouble)?;
    }
    Ok(())
}

#[test]
fn this_machine_is_a_cluster_too() -> Result<()> {
    let runtime = runtime()?;
    let cluster = Cluster::local();
    let output = runtime
        .block_on(
            cluster.run(&patient(Command::shell("cat; echo \"$1\" >&2; exit 3")).arg("aside").input("in")),
        )
        .map_err(trouble)?;
    assert_eq!(
        (output.status, output.stdout, output.stderr),
        (Status::Exited(3), b"in".to_vec(), b"aside\n".to_vec())
    );
    let command = Command::shell("sleep 71020 & sleep 71020").deadline(Duration::from_secs(1));
    let error = runtime.block_on(cluster.run(&command)).expect_err("no end");
    assert!(matches!(error, Error::Deadline { .. }), "{error}");
    let mut pgrep = std::process::Command::new("pgrep");
    let left = process::output(pgrep.args(["-f", "^sleep 71020"]), PATIENCE)?;
    assert!(!left.status.success(), "{}", process::both(&left));
    Ok(())
}
