//! Who may read and write what the worker leaves on disk, where whoever starts it has no `umask` at all.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use biomero_tests::process::Running;
use biomero_tests::{Result, Trouble, http};

use super::Asked;
use super::Desk;

/// A folder, and all below it.
fn below(folder: &Path, found: &mut Vec<PathBuf>) {
    found.push(folder.to_path_buf());
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        match entry.file_type() {
            Ok(kind) if kind.is_dir() => below(&entry.path(), found),
            _ => found.push(entry.path()),
        }
    }
}

/// `processor serve`, started by somebody whose files anybody may write.
fn serve(desk: &Desk) -> Result<Running> {
    let plain = desk.command_at("serve", &["serve", "--verbose"])?;
    let mut command = Command::new("sh");
    command.args(["-c", "umask 000; exec \"$0\" \"$@\""]).arg(plain.get_program()).args(plain.get_args());
    for (name, value) in plain.get_envs() {
        command.env(name, value.unwrap_or_default());
    }
    Running::start("processor serve", command, &desk.worker.folder().join("serve.log"))
}

#[test]
fn whatever_the_umask_is_nobody_else_reads_or_writes_what_the_worker_keeps() -> Result<()> {
    let desk = Desk::embedded()?;
    let serve = serve(&desk)?;
    let asked = Asked { socket: desk.socket("serve"), desk, serve };
    asked.is_ready()?;
    let mode = |path: &Path| path.symlink_metadata().map(|found| found.permissions().mode() & 0o777);
    assert_eq!(mode(&asked.socket).map_err(Trouble::doing("look at the socket"))?, 0o600);
    let done = asked.submit("one", &[])?;
    let failed = asked.submit("two", &[("fail", "no\n")])?;
    let running = asked.submit("three", &[("sleep", "600")])?;
    assert_eq!(asked.ended(&done)?["phase"], "DONE", "{}", asked.serve.output());
    assert_eq!(asked.ended(&failed)?["phase"], "FAILED", "{}", asked.serve.output());
    asked.waits(&running, |workflow| workflow["phase"] == "RUNNING")?;

    let home = asked.desk.worker.folder();
    let state = home.join(".local/state/biomero");
    let mut open = Vec::new();
    let mut check = |path: &Path, forbidden: u32| {
        // A job that ends meanwhile takes files with it.
        if let Ok(mode) = mode(path)
            && mode & forbidden != 0
        {
            open.push(format!("{mode:o} {}", path.display()));
        }
    };
    let mut kept = Vec::new();
    below(&state.join("jobs"), &mut kept);
    assert!(kept.len() > 10, "the queue is elsewhere: {kept:?}");
    kept.extend([state.clone(), state.join("workflows")]);
    kept.extend(["events.sqlite", "events.sqlite-wal", "serve.sock"].map(|name| home.join(name)));
    for path in &kept {
        check(path, 0o077);
    }
    // Others may read what is known of workflows, but it decides what runs.
    let mut cached = Vec::new();
    below(&home.join(".cache"), &mut cached);
    for path in &cached {
        check(path, 0o022);
    }
    assert_eq!(open, [""; 0], "others may read or write them");
    for path in [&state, &state.join("jobs"), &state.join("workflows"), &home.join("events.sqlite")] {
        assert!(path.exists(), "{} is elsewhere", path.display());
    }
    let cancel = format!("/v1/workflows/{running}/cancel");
    assert_eq!(http::ask(&asked.socket, "POST", &cancel, "", "")?.status, 200);
    asked.ended(&running).map(drop)
}
