//! Who may read and write what the worker leaves on disk, where whoever starts it has no `umask` at all.

use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::Command;

use biomero_tests::process::Running;
use biomero_tests::{Result, Trouble, http};

use super::Asked;
use super::Desk;

/// All below a folder, itself included.
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
    let mut kept = Vec::new();
    below(&home.join(".local/state/biomero"), &mut kept);
    kept.extend(["events.sqlite", "events.sqlite-wal", "events.sqlite-shm"].map(|name| home.join(name)));
    assert!(kept.len() > 5, "{kept:?}");
    let mut open = Vec::new();
    for path in &kept {
        // A job that ends meanwhile takes files with it.
        let Ok(found) = path.symlink_metadata() else { continue };
        let kind = found.file_type();
        let wanted = if kind.is_dir() { 0o700 } else { 0o600 };
        let mode = found.permissions().mode() & 0o777;
        // The programs of the queue may be run by their owner.
        if mode & 0o077 != 0 || (!kind.is_file() && !kind.is_socket() && mode != wanted) {
            open.push(format!("{mode:o} {}", path.display()));
        }
    }
    assert_eq!(open, [""; 0], "others may read or write them");
    // What others may read, they may not write: what is known of workflows decides what runs.
    let mut cached = Vec::new();
    below(&home.join(".cache"), &mut cached);
    for path in cached.iter().filter(|path| path.exists()) {
        let mode = mode(path).map_err(Trouble::doing("look at the cache"))?;
        assert_eq!(mode & 0o022, 0, "{mode:o} {}", path.display());
    }
    assert_eq!(
        http::ask(&asked.socket, "POST", &format!("/v1/workflows/{running}/cancel"), "", "")?.status,
        200
    );
    asked.ended(&running).map(drop)
}
