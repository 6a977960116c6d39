//! Reads files of this machine into chunks for a stream, and hashes them on the way. Runs on a thread that may block.
//!
//! Invariant: the stream has the length that was announced, whatever happens to the files meanwhile: what is missing is
//! zeros, what is too much is left out, and the file counts as changed.

use std::fs::{File, OpenOptions};
use std::io::Read as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use sha2::{Digest as _, Sha256};
use tokio::sync::mpsc;

use super::batch::{Batch, Piece};
use super::converse::CHUNK;
use super::digest::Digest;
use super::progress::Meter;
use super::source::{Entry, What};
use super::{Error, tar};

/// How a batch is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// As a tar stream.
    Tar,
    /// For [`super::upload`]'s lines of `sh` where there is no tar.
    Plain,
}

/// Why nothing more is sent.
#[derive(Debug)]
pub(crate) enum Stop {
    /// Nobody takes it any more; the other end says why.
    Gone,
    Failed(Error),
}

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

/// A stream that is being written.
pub(crate) struct Stream {
    chunk: Vec<u8>,
    to: mpsc::Sender<Vec<u8>>,
    written: u64,
    meter: Arc<Meter>,
}

impl Stream {
    pub(crate) fn new(to: mpsc::Sender<Vec<u8>>, meter: Arc<Meter>) -> Self {
        Self { chunk: Vec::with_capacity(CHUNK), to, written: 0, meter }
    }

    fn flush(&mut self) -> Result<(), Stop> {
        let chunk = std::mem::replace(&mut self.chunk, Vec::with_capacity(CHUNK));
        self.written += chunk.len() as u64;
        if chunk.is_empty() { Ok(()) } else { self.to.blocking_send(chunk).map_err(|_| Stop::Gone) }
    }

    fn room(&mut self, bytes: usize) -> Result<(), Stop> {
        if self.chunk.len() + bytes > CHUNK { self.flush() } else { Ok(()) }
    }

    fn zeros(&mut self, mut bytes: u64) -> Result<(), Stop> {
        while bytes > 0 {
            self.room(1)?;
            let now = usize::try_from(bytes).unwrap_or(CHUNK).min(CHUNK - self.chunk.len());
            self.chunk.resize(self.chunk.len() + now, 0);
            bytes -= now as u64;
        }
        Ok(())
    }

    /// Exactly `length` bytes of the file from where it stands; whether it had them.
    fn content(
        &mut self,
        file: &mut File,
        path: &Path,
        length: u64,
        hash: &mut Sha256,
    ) -> Result<bool, Stop> {
        let mut left = length;
        while left > 0 {
            self.room(1)?;
            let start = self.chunk.len();
            let most = left.min((CHUNK - start) as u64);
            let read =
                file.by_ref().take(most).read_to_end(&mut self.chunk).map_err(Error::here("read", path))?;
            if read == 0 {
                self.zeros(left)?;
                return Ok(false);
            }
            hash.update(self.chunk.get(start..).unwrap_or_default());
            left -= read as u64;
            self.meter.bytes(read as u64);
        }
        Ok(true)
    }

    /// The batch, then the list of its files; and, where all of them are what they were, a record under this name.
    /// Returns the digests of its files, none for those that changed.
    pub(crate) fn batch(mut self, sent: &Sent<'_>) -> Result<Vec<Option<Digest>>, Stop> {
        let mut digests = vec![None; sent.batch.entries.len()];
        let mut list = Vec::new();
        for (entry, digest) in sent.batch.entries.iter().zip(&mut digests) {
            let mut head = Vec::with_capacity(2 * tar::BLOCK);
            match sent.form {
                Form::Tar => tar::header(&mut head, "./content", entry),
                Form::Plain => plain(&mut head, entry),
            }
            self.room(head.len())?;
            self.chunk.extend_from_slice(&head);
            if entry.what == What::File {
                *digest = self.file(&(sent.place)(entry), entry)?;
                if sent.form == Form::Tar {
                    self.zeros(tar::padding(entry.size) as u64)?;
                }
                list.extend_from_slice(&listed(entry));
                list.push(0);
            }
        }
        let record = (sent.record)(&digests);
        let mut tail = Vec::new();
        match sent.form {
            Form::Tar => {
                tar::own(&mut tail, &format!("./lists/{}", sent.list), &list);
                if let Some(record) = record {
                    tar::own(&mut tail, &format!("./journal/{record}"), b"");
                }
                let so_far = self.written + self.chunk.len() as u64 + tail.len() as u64;
                tail.resize(tail.len() + tar::ending(so_far), 0);
            }
            Form::Plain => {
                tail.extend_from_slice(
                    format!("end {} {}\n", record.as_deref().unwrap_or("-"), list.len()).as_bytes(),
                );
                tail.extend_from_slice(&list);
            }
        }
        for part in tail.chunks(CHUNK / 2) {
            self.room(part.len())?;
            self.chunk.extend_from_slice(part);
        }
        self.flush()?;
        Ok(digests)
    }

    fn file(&mut self, path: &Path, entry: &Entry) -> Result<Option<Digest>, Stop> {
        let Ok(mut file) = open(path) else {
            self.zeros(entry.size)?;
            return Ok(None);
        };
        let mut hash = Sha256::new();
        let whole = self.content(&mut file, path, entry.size, &mut hash)?;
        Ok((whole && is_unchanged(&file, path, entry)).then(|| Digest::of(hash)))
    }

    /// A piece, then its digest on a line. None where the file changed.
    pub(crate) fn piece(mut self, path: &Path, entry: &Entry, piece: Piece) -> Result<Option<Digest>, Stop> {
        use std::io::Seek as _;
        let mut file = open(path).map_err(Error::here("read", path))?;
        file.seek(std::io::SeekFrom::Start(piece.offset)).map_err(Error::here("read", path))?;
        let mut hash = Sha256::new();
        let whole = self.content(&mut file, path, piece.length, &mut hash)?;
        let digest = (whole && is_unchanged(&file, path, entry)).then(|| Digest::of(hash));
        let line = digest.map_or_else(|| "-\n".to_owned(), |digest| format!("{digest}\n"));
        self.room(line.len())?;
        self.chunk.extend_from_slice(line.as_bytes());
        self.flush()?;
        Ok(digest)
    }
}

/// What is sent as a batch.
pub(crate) struct Sent<'a> {
    pub(crate) batch: &'a Batch,
    pub(crate) form: Form,
    /// Where a file of it is on this machine.
    pub(crate) place: &'a (dyn Fn(&Entry) -> PathBuf + Sync),
    /// The name of its list in the staging folder.
    pub(crate) list: &'a str,
    /// The record's name, made from the digests of what was read.
    pub(crate) record: &'a (dyn Fn(&[Option<Digest>]) -> Option<String> + Sync),
}

/// How a file's name stands in a list: below the content, and never like an option.
pub(crate) fn listed(entry: &Entry) -> Vec<u8> {
    use std::os::unix::ffi::OsStrExt as _;
    [b"./", entry.path.as_os_str().as_bytes()].concat()
}

fn open(path: &Path) -> std::io::Result<File> {
    // Not through a link that was put there since, and not waiting for a pipe's other end.
    let flags = nix::fcntl::OFlag::O_NOFOLLOW | nix::fcntl::OFlag::O_NONBLOCK;
    OpenOptions::new().read(true).custom_flags(flags.bits()).open(path)
}

fn is_unchanged(file: &File, path: &Path, entry: &Entry) -> bool {
    let Ok(metadata) = file.metadata() else { return false };
    Entry::of(path, entry.path.clone(), &metadata).is_ok_and(|now| now == *entry)
}

/// `KIND MODE SIZE MOMENT NAME [TARGET]` on a line, names in octal escapes of printf(1p)'s `%b` where they are not plain.
fn plain(into: &mut Vec<u8>, entry: &Entry) {
    use std::os::unix::ffi::OsStrExt as _;
    let escaped = |into: &mut Vec<u8>, name: &[u8]| {
        for byte in name {
            if byte.is_ascii_alphanumeric() || b"/._-".contains(byte) {
                into.push(*byte);
            } else {
                into.extend_from_slice(format!("\\0{byte:03o}").as_bytes());
            }
        }
    };
    let (kind, mode) = match entry.what {
        What::File => ("f", entry.mode),
        What::Folder => ("d", entry.mode | 0o700),
        What::Link(_) => ("l", 0o777),
    };
    let moment = tar::moment(entry.modified.0, entry.modified.1);
    into.extend_from_slice(format!("{kind} {mode:o} {} {moment} ", entry.size).as_bytes());
    escaped(into, entry.path.as_os_str().as_bytes());
    if let What::Link(leads) = &entry.what {
        into.push(b' ');
        escaped(into, leads.as_os_str().as_bytes());
    }
    into.push(b'\n');
}
