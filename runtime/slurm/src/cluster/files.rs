//! Files of a cluster, a few at a time: job scripts, logs, small results. Data in bulk goes by streams.
//!
//! Relative paths begin at the login folder. A file that is written is beside its name first and then renamed.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use super::{Cluster, Error};
use crate::command::{Command, Output, Status};

/// What is at a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A file.
    File,
    /// A folder.
    Folder,
    /// A symbolic link that leads nowhere, a socket, a device.
    Other,
}

/// What is known of a path, links followed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Metadata {
    /// What it is.
    pub kind: Kind,
    /// Its size in bytes.
    pub size: u64,
    /// When it was last written, in whole seconds.
    pub modified: Option<SystemTime>,
    /// Its permissions, the lower twelve bits.
    pub mode: u32,
}

/// Something in a folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its name there.
    pub name: PathBuf,
    /// What it is.
    pub metadata: Metadata,
}

/// The files of a cluster.
#[derive(Debug, Clone, Copy)]
pub struct Files<'a> {
    cluster: &'a Cluster,
}

impl<'a> Files<'a> {
    pub(super) const fn new(cluster: &'a Cluster) -> Self {
        Self { cluster }
    }

    /// What is at a path; none where there is nothing.
    ///
    /// # Errors
    /// It cannot be told.
    pub async fn metadata(&self, path: &Path) -> Result<Option<Metadata>, Error> {
        let command = Command::shell(r#"test -e "$1" || exit 44; stat -L -c '%F/%s/%Y/%a' -- "$1""#);
        let output = self.cluster.run(&command.arg(path).repeatable()).await?;
        if output.status == Status::Exited(44) {
            return Ok(None);
        }
        let told = String::from_utf8_lossy(&self.succeeded(output, "look at", path)?).into_owned();
        parse(told.trim()).map(Some).ok_or_else(|| self.odd("look at", path, &told))
    }

    /// What is in a folder, in no order.
    ///
    /// # Errors
    /// There is none, or it cannot be read.
    pub async fn list(&self, folder: &Path) -> Result<Vec<Entry>, Error> {
        let command = Command::new("find").arg("-H").arg(folder).args([
            "-mindepth",
            "1",
            "-maxdepth",
            "1",
            "-printf",
            "%y/%s/%T@/%m/%f\\0",
        ]);
        let output = self.cluster.run(&command.repeatable()).await?;
        let told = self.succeeded(output, "list", folder)?;
        let entries = told.split(|byte| *byte == 0).filter(|entry| !entry.is_empty());
        entries.map(|entry| found(entry).ok_or_else(|| self.odd("list", folder, "an entry"))).collect()
    }

    /// At most `most` bytes of a file from `offset` on; fewer at its end, none behind it.
    ///
    /// # Errors
    /// There is none, or it cannot be read.
    pub async fn read(&self, path: &Path, offset: u64, most: usize) -> Result<Vec<u8>, Error> {
        let command = Command::shell(r#"tail -c "+$2" -- "$1" | head -c "$3"; test -r "$1""#);
        let command = command.arg(path).arg((offset + 1).to_string()).arg(most.to_string());
        let output = self.cluster.run(&command.largest_answer(most).repeatable()).await?;
        self.succeeded(output, "read", path)
    }

    /// Writes a whole file with these permissions, or replaces it; nobody ever sees half of it.
    ///
    /// # Errors
    /// It cannot be written; what was there before is still there.
    pub async fn write(&self, path: &Path, content: &[u8], mode: u32) -> Result<(), Error> {
        let command = Command::shell(
            r#"umask 077; cat >"$1.$$" && test "$(wc -c <"$1.$$")" -eq "$3" && chmod -- "$2" "$1.$$" && mv -f -- "$1.$$" "$1" || { rm -f -- "$1.$$"; exit 1; }"#,
        );
        let command = command.arg(path).arg(format!("{mode:o}")).arg(content.len().to_string());
        let output = self.cluster.run(&command.input(content).repeatable()).await?;
        self.succeeded(output, "write", path).map(drop)
    }

    /// Makes a folder and those above it; fine where it is there.
    ///
    /// # Errors
    /// It cannot be made.
    pub async fn create_folder(&self, path: &Path) -> Result<(), Error> {
        self.by(Command::new("mkdir").arg("-p"), "make the folder", path).await
    }

    /// Renames a file, over one that is there.
    ///
    /// # Errors
    /// It cannot be renamed.
    pub async fn rename(&self, from: &Path, to: &Path) -> Result<(), Error> {
        let output = self.cluster.run(&Command::new("mv").arg("-T").arg("--").arg(from).arg(to)).await?;
        self.succeeded(output, "rename", from).map(drop)
    }

    /// Removes a file; fine where there is none.
    ///
    /// # Errors
    /// It cannot be removed.
    pub async fn remove(&self, path: &Path) -> Result<(), Error> {
        self.by(Command::new("rm").arg("-f"), "remove", path).await
    }

    async fn by(&self, command: Command, action: &'static str, path: &Path) -> Result<(), Error> {
        let output = self.cluster.run(&command.arg("--").arg(path).repeatable()).await?;
        self.succeeded(output, action, path).map(drop)
    }

    fn succeeded(&self, output: Output, action: &'static str, path: &Path) -> Result<Vec<u8>, Error> {
        if output.status.is_success() {
            return Ok(output.stdout);
        }
        Err(self.odd(action, path, String::from_utf8_lossy(&output.stderr).trim()))
    }

    fn odd(&self, action: &'static str, path: &Path, reason: &str) -> Error {
        Error::File {
            host: self.cluster.name().to_owned(),
            action,
            path: path.to_owned(),
            kind: std::io::ErrorKind::Other,
            reason: reason.to_owned(),
        }
    }
}

fn parse(text: &str) -> Option<Metadata> {
    let mut parts = text.split('/');
    let kind = match parts.next()? {
        "regular file" | "regular empty file" | "f" => Kind::File,
        "directory" | "d" => Kind::Folder,
        _ => Kind::Other,
    };
    let size = parts.next()?.parse().ok()?;
    let seconds = parts.next()?.split('.').next()?.parse().ok()?;
    let mode = u32::from_str_radix(parts.next()?, 8).ok()?;
    Some(Metadata { kind, size, modified: Some(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)), mode })
}

fn found(entry: &[u8]) -> Option<Entry> {
    let slash = entry.iter().rposition(|byte| *byte == b'/')?;
    let metadata = parse(std::str::from_utf8(entry.get(..slash)?).ok()?)?;
    Some(Entry { name: PathBuf::from(OsStr::from_bytes(entry.get(slash + 1..)?)), metadata })
}
