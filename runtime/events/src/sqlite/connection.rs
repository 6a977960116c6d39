//! Opening the file: who may read it, where it may be, and what SQLite is told before its first statement.
//!
//! Invariants: nothing but [`create`] makes a file; the file is never opened and closed beside SQLite, since with that the
//! system drops the locks that this process holds on it.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::time::{Duration, Instant};

use nix::sys::statfs::{self, FsType};
use rusqlite::{ErrorCode, OpenFlags, config::DbConfig};
use uuid::Uuid;

use super::error::FileError;
use crate::log::Limits;

/// How many statements a connection keeps prepared: more than there are.
const STATEMENTS: usize = 64;

/// How long the write-ahead log becomes before it is emptied into the file, in pages. A thousand, as usual, lets 200,000
/// events in batches take a fifth longer.
const LOG_PAGES: i64 = 4_000;

/// What it is cut back to when it was longer all the same, in bytes.
const LEFT_OF_THE_LOG: i64 = 16 << 20;

/// How much of the file a connection keeps in memory at most, in kilobytes, which SQLite wants as a negative number. Two
/// megabytes, as usual, let those events take twice as long; thirty-two gain nothing.
const CACHE: i64 = -8_000;

/// File systems of other machines, by their numbers in `linux/magic.h` and in their own sources.
const NETWORK: [(i128, &str); 14] = [
    (0x6969, "NFS"),
    (0x517b, "SMB"),
    (0xff53_4d42, "CIFS"),
    (0xfe53_4d42, "SMB2"),
    (0x5346_414f, "AFS"),
    (0x6b41_4653, "AFS"),
    (0x7375_7245, "Coda"),
    (0x564c, "NCP"),
    (0x0102_1997, "9P"),
    (0x0bd0_0bd0, "Lustre"),
    (0x4750_4653, "GPFS"),
    (0x00c3_6400, "Ceph"),
    (0x1983_0326, "BeeGFS"),
    (0x2003_0528, "OrangeFS"),
];

/// A connection to the file, and which file that was.
#[derive(Debug)]
pub(super) struct Connection {
    inner: rusqlite::Connection,
    identity: (u64, u64),
}

impl Connection {
    /// Opens the file that is there.
    pub(super) fn open(path: &Path, limits: &Limits) -> Result<Self, FileError> {
        let identity = identity(path).map_err(|source| match source.kind() {
            io::ErrorKind::NotFound => FileError::Missing { path: path.to_path_buf() },
            _ => FileError::Reach { path: path.to_path_buf(), source },
        })?;
        refuse_network(path)?;
        Ok(Self { inner: prepared(path, limits)?, identity })
    }

    /// Begins a transaction that keeps other writers out, as soon as they are done.
    ///
    /// SQLite's own way of waiting comes back later and later, up to a tenth of a second: with eight processes one of
    /// them waits for half a second while hundreds of others' transactions pass.
    pub(super) fn begin(&self, patience: Duration) -> rusqlite::Result<()> {
        self.inner.busy_timeout(Duration::ZERO)?;
        let result = patiently(patience, || self.inner.execute_batch("BEGIN IMMEDIATE"));
        self.inner.busy_timeout(patience)?;
        result
    }

    /// Whether it is still the file of that name, and no transaction is open on it.
    pub(super) fn is_good(&self, path: &Path) -> bool {
        self.inner.is_autocommit() && identity(path).is_ok_and(|identity| identity == self.identity)
    }
}

impl std::ops::Deref for Connection {
    type Target = rusqlite::Connection;

    fn deref(&self) -> &rusqlite::Connection {
        &self.inner
    }
}

impl std::ops::DerefMut for Connection {
    fn deref_mut(&mut self) -> &mut rusqlite::Connection {
        &mut self.inner
    }
}

/// Attempts it again, as long as others are in the way.
fn patiently<T>(patience: Duration, mut attempt: impl FnMut() -> rusqlite::Result<T>) -> rusqlite::Result<T> {
    let (begun, mut attempts) = (Instant::now(), 0);
    loop {
        match attempt() {
            Err(error)
                if error.sqlite_error_code() == Some(ErrorCode::DatabaseBusy)
                    && begun.elapsed() < patience =>
            {
                attempts += 1;
                std::thread::sleep(pause(attempts));
            }
            result => return result,
        }
    }
}

/// What a transaction takes, more or less; longer where they take long.
fn pause(attempts: u32) -> Duration {
    let longest = Duration::from_millis(1 << (attempts / 16).min(4));
    longest.mul_f64(0.25 + f64::from(Uuid::new_v4().as_bytes()[0]) / 256.0 * 0.75)
}

/// The device and the number of a file.
fn identity(path: &Path) -> io::Result<(u64, u64)> {
    std::fs::metadata(path).map(|file| (file.dev(), file.ino()))
}

fn prepared(path: &Path, limits: &Limits) -> Result<rusqlite::Connection, FileError> {
    let failed = |error| FileError::new("open the history", path, error);
    // Each connection is used by one thread at a time.
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = rusqlite::Connection::open_with_flags(path, flags).map_err(failed)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    connection.busy_timeout(limits.lock).map_err(failed)?;
    // Whatever a file from elsewhere holds, it runs nothing.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true).map_err(failed)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false).map_err(failed)?;
    connection.pragma_update(None, "cell_size_check", true).map_err(failed)?;
    // For this SQLite does not wait itself: of several that open a new file all but the first are told that it is busy.
    let mode: String = patiently(limits.lock, || {
        connection.pragma_update_and_check(None, "journal_mode", "wal", |row| row.get(0))
    })
    .map_err(failed)?;
    // A file that may only be read stays as it was made.
    if mode != "wal" && !connection.is_readonly(rusqlite::MAIN_DB).map_err(failed)? {
        return Err(FileError::NoWriteAheadLog { path: path.to_path_buf(), mode });
    }
    // What was acknowledged survives a loss of power.
    connection.pragma_update(None, "synchronous", "full").map_err(failed)?;
    connection.pragma_update(None, "journal_size_limit", LEFT_OF_THE_LOG).map_err(failed)?;
    connection.pragma_update(None, "wal_autocheckpoint", LOG_PAGES).map_err(failed)?;
    connection.pragma_update(None, "cache_size", CACHE).map_err(failed)?;
    Ok(connection)
}

/// The folder that a file is in.
pub(super) fn folder(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

/// Makes an empty file, and its folder, that nobody else can read. One that is there is left alone.
pub(super) fn create(path: &Path) -> Result<(), FileError> {
    let folder = folder(path);
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)
        .map_err(|source| FileError::Folder { folder: folder.to_path_buf(), source })?;
    refuse_network(folder)?;
    if identity(path).is_ok() {
        return Ok(());
    }
    // It gets its name when it is closed here: whoever sees it may already hold locks on it.
    let beside = path.with_extension(format!("{}.new", Uuid::new_v4().simple()));
    let made = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&beside)
        .map(drop)
        .and_then(|()| std::fs::hard_link(&beside, path));
    let _ = std::fs::remove_file(&beside);
    match made {
        // The name itself has to survive a loss of power too.
        Ok(()) => File::open(folder).and_then(|folder| folder.sync_all()),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(error),
    }
    .map_err(|source| FileError::Create { path: path.to_path_buf(), source })
}

fn refuse_network(path: &Path) -> Result<(), FileError> {
    // A file system that does not tell is taken for a local one.
    let Ok(system) = statfs::statfs(path) else { return Ok(()) };
    let FsType(number) = system.filesystem_type();
    match network(number.into()) {
        Some(kind) => Err(FileError::Network { path: path.to_path_buf(), kind }),
        None => Ok(()),
    }
}

fn network(number: i128) -> Option<&'static str> {
    NETWORK.iter().find(|(known, _)| *known == number).map(|(_, kind)| *kind)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_system_of_another_machine_is_known_by_its_number() {
        assert_eq!((network(0x6969), network(0xff53_4d42)), (Some("NFS"), Some("CIFS")));
        // ext4, tmpfs, overlay.
        assert_eq!([0xef53, 0x0102_1994, 0x794c_7630].map(network), [None; 3]);
    }
}
