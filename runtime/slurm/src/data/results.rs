//! What a run has left to be fetched.
//!
//! Invariants: a name counts only where it is one that can be written below a folder of this machine; what is neither
//! file nor folder is told and never fetched; a listing that anybody keeps is bounded.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Component, Path, PathBuf};
use std::time::Duration;

use sha2::{Digest as _, Sha256};
use tokio::sync::mpsc;

use super::Error;
use super::converse::{Conversation, Ear, Feed};
use super::digest::Digest;
use super::source::{Entry, What};
use crate::cluster::Cluster;
use crate::command::Command;

/// Everything below a folder, in the order of its names' bytes. `-printf` and `sort -z` are GNU's.
const LIST: &str = r#"
[ -d . ] || exit 1
find . -mindepth 1 -printf '%y %s %T@ %m %p\0' | LC_ALL=C sort -z -k 5
"#;
/// How often a folder is listed until two listings agree, and how long between: a job's last writes reach the login node
/// late where the file system is NFS.
const LISTINGS: u32 = 20;
const BETWEEN: Duration = Duration::from_secs(2);
/// The longest item of a listing: the longest path (`PATH_MAX`) and what stands before it.
const LONGEST_ITEM: u64 = 4_096 + 128;

/// Which results.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Selection {
    /// All.
    All,
    /// These files, and what is in these folders; paths below the folder.
    Chosen(Vec<PathBuf>),
}

impl Selection {
    pub(crate) fn takes(&self, path: &Path) -> bool {
        match self {
            Self::All => true,
            Self::Chosen(chosen) => chosen.iter().any(|chosen| path.starts_with(chosen)),
        }
    }
}

/// A file to be fetched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResultFile {
    /// Below the folder.
    pub path: PathBuf,
    /// In bytes.
    pub size: u64,
    /// When it was last written: seconds since 1970, and nanoseconds.
    pub modified: (i64, u32),
}

/// What is in a folder of results.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Listing {
    /// Its files in order, as many as were asked for.
    pub files: Vec<ResultFile>,
    /// How many there are.
    pub count: u64,
    /// Bytes of all.
    pub bytes: u64,
    /// Links, sockets, devices: at most as many as were asked for. They are not fetched.
    pub skipped: Vec<PathBuf>,
}

/// Lists the files below a folder of the cluster; at most `most` are told by name.
///
/// # Errors
/// It cannot be listed, or has a name that cannot be written here.
pub async fn results(cluster: &Cluster, folder: &Path, most: usize) -> Result<Listing, Error> {
    let (to, chunks) = mpsc::channel(4);
    let host = cluster.name().to_owned();
    let reading = tokio::task::spawn_blocking(move || {
        let mut listing = Listing::default();
        for item in Items::new(ChunkReader::new(chunks), host) {
            match item? {
                Item::Entry(Entry { what: What::File, path, size, modified, .. }) => {
                    listing.count += 1;
                    listing.bytes += size;
                    if listing.files.len() < most {
                        listing.files.push(ResultFile { path, size, modified });
                    }
                }
                Item::Entry(_) => {}
                Item::Skipped(path) => {
                    if listing.skipped.len() < most {
                        listing.skipped.push(path);
                    }
                }
            }
        }
        Ok(listing)
    });
    let listed = list(cluster, folder, to).await;
    let listing = super::upload::joined(reading.await);
    listed?;
    listing
}

/// Passes the raw listing on.
async fn list(cluster: &Cluster, folder: &Path, to: mpsc::Sender<Vec<u8>>) -> Result<(), Error> {
    let command = Command::shell(LIST).folder(folder);
    let conversation = Conversation { cluster, action: "listing results", hashes: 0 };
    let answer = conversation.hold(command, Feed::Bytes(Vec::new()), Ear::Pass(to)).await?;
    if answer.status.is_success() {
        return Ok(());
    }
    Err(Error::there("list", folder, cluster.name(), &answer.stderr))
}

/// Writes the raw listing into a file here; where it has to settle, until two agree.
pub(crate) async fn list_into(
    cluster: &Cluster,
    folder: &Path,
    file: &Path,
    settle: bool,
) -> Result<(), Error> {
    let mut before = None;
    for _ in 0..if settle { LISTINGS } else { 1 } {
        if before.is_some() {
            tokio::time::sleep(BETWEEN).await;
        }
        let (to, chunks) = mpsc::channel(4);
        let path = file.to_owned();
        let writing = tokio::task::spawn_blocking(move || {
            let file = std::fs::File::create(&path).map_err(Error::here("write", &path))?;
            let mut hashing = Hashing { file, hash: Sha256::new() };
            std::io::copy(&mut ChunkReader::new(chunks), &mut hashing)
                .map_err(Error::here("write", &path))?;
            Ok(Digest::of(hashing.hash))
        });
        let listed = list(cluster, folder, to).await;
        let digest = super::upload::joined(writing.await);
        listed?;
        let digest = digest?;
        if before.replace(digest) == Some(digest) {
            break;
        }
    }
    Ok(())
}

struct Hashing {
    file: std::fs::File,
    hash: Sha256,
}

impl std::io::Write for Hashing {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let written = self.file.write(bytes)?;
        self.hash.update(bytes.get(..written).unwrap_or_default());
        Ok(written)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.file.flush()
    }
}

/// Reads what a channel brings, on a thread that may block.
#[derive(Debug)]
pub(crate) struct ChunkReader {
    chunks: mpsc::Receiver<Vec<u8>>,
    chunk: Vec<u8>,
    at: usize,
}

impl ChunkReader {
    pub(crate) const fn new(chunks: mpsc::Receiver<Vec<u8>>) -> Self {
        Self { chunks, chunk: Vec::new(), at: 0 }
    }

    /// What is there, at most `most` bytes; nothing at the end.
    pub(crate) fn some(&mut self, most: u64) -> &[u8] {
        while self.at == self.chunk.len() {
            match self.chunks.blocking_recv() {
                Some(chunk) => (self.chunk, self.at) = (chunk, 0),
                None => return &[],
            }
        }
        let length = usize::try_from(most).unwrap_or(usize::MAX).min(self.chunk.len() - self.at);
        let start = self.at;
        self.at += length;
        self.chunk.get(start..start + length).unwrap_or_default()
    }
}

impl Read for ChunkReader {
    fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
        let some = self.some(into.len() as u64);
        let length = some.len();
        if let Some(into) = into.get_mut(..length) {
            into.copy_from_slice(some);
        }
        Ok(length)
    }
}

/// An item of a listing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Item {
    Entry(Entry),
    Skipped(PathBuf),
}

/// Reads a raw listing.
#[derive(Debug)]
pub(crate) struct Items<R> {
    listing: BufReader<R>,
    host: String,
}

impl<R: Read> Items<R> {
    pub(crate) fn new(listing: R, host: String) -> Self {
        Self { listing: BufReader::new(listing), host }
    }
}

impl<R: Read> Iterator for Items<R> {
    type Item = Result<Item, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        let mut item = Vec::new();
        match (&mut self.listing).take(LONGEST_ITEM).read_until(0, &mut item) {
            Ok(0) => return None,
            Ok(_) => {}
            Err(error) => return Some(Err(Error::here("read", "a listing")(error))),
        }
        Some(parse(&item, &self.host))
    }
}

/// `KIND SIZE SECONDS.FRACTION MODE ./PATH`, ended by NUL.
pub(crate) fn parse(item: &[u8], host: &str) -> Result<Item, Error> {
    let nonsense = || Error::Nonsense {
        host: host.to_owned(),
        action: "listing results",
        said: String::from_utf8_lossy(item).chars().take(80).collect(),
    };
    let whole = item.strip_suffix(&[0]).ok_or_else(nonsense)?;
    let mut parts = whole.splitn(5, |byte| *byte == b' ');
    let mut text = || parts.next().and_then(|part| std::str::from_utf8(part).ok()).ok_or_else(nonsense);
    let (kind, size, moment, mode) = (text()?, text()?, text()?, text()?);
    let path = parts.next().ok_or_else(nonsense)?;
    let path = safe(path)
        .ok_or_else(|| Error::Name { name: PathBuf::from(OsStr::from_bytes(path)), host: host.to_owned() })?;
    let what = match kind {
        "f" => What::File,
        "d" => What::Folder,
        _ => return Ok(Item::Skipped(path)),
    };
    let size = if what == What::File { size.parse().map_err(|_| nonsense())? } else { 0 };
    let (seconds, fraction) = moment.split_once('.').unwrap_or((moment, "0"));
    let fraction = fraction.get(..fraction.len().min(9)).unwrap_or("0");
    let seconds: i64 = seconds.parse().map_err(|_| nonsense())?;
    let nanoseconds: u32 = format!("{fraction:0<9}").parse().map_err(|_| nonsense())?;
    let mode = u32::from_str_radix(mode, 8).map_err(|_| nonsense())? & 0o777;
    Ok(Item::Entry(Entry { path, what, size, modified: (seconds, nanoseconds), mode }))
}

/// `./a/b` as `a/b`, where every component is a plain name.
fn safe(path: &[u8]) -> Option<PathBuf> {
    let below = path.strip_prefix(b"./")?;
    let plain = |name: &[u8]| !name.is_empty() && name != b"." && name != b".." && !name.contains(&0);
    if !below.split(|byte| *byte == b'/').all(plain) {
        return None;
    }
    let path = PathBuf::from(OsStr::from_bytes(below));
    path.components().all(|component| matches!(component, Component::Normal(_))).then_some(path)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn an_item_is_read_whatever_its_name() {
        let item = b"f 12 1700000000.0500000000 640 ./a b\n/\xff c\0";
        let Ok(Item::Entry(entry)) = parse(item, "c") else { panic!("not read") };
        assert_eq!(entry.path.as_os_str().as_bytes(), b"a b\n/\xff c");
        assert_eq!((entry.size, entry.modified, entry.mode), (12, (1_700_000_000, 50_000_000), 0o640));
        assert!(matches!(parse(b"l 1 1.0 777 ./x\0", "c"), Ok(Item::Skipped(_))));
    }

    #[test]
    fn a_name_that_leads_outside_is_refused() {
        for name in ["/etc/passwd", "../x", "./../x", "./a/../../x", "./a//b", "./", ".", "./a/.", "x"] {
            let item = format!("f 1 1.0 644 {name}\0");
            let refused = parse(item.as_bytes(), "c").expect_err("refused");
            assert!(matches!(refused, Error::Name { .. }), "{name}: {refused}");
        }
    }

    proptest! {
        #[test]
        fn whatever_is_answered_stays_below_the_folder(item in prop::collection::vec(any::<u8>(), 0..80)) {
            let mut whole = b"f 1 1.0 644 ".to_vec();
            whole.extend(item);
            whole.push(0);
            if let Ok(Item::Entry(entry)) = parse(&whole, "c") {
                prop_assert!(entry.path.components().all(|part| matches!(part, Component::Normal(_))));
                prop_assert!(entry.path.is_relative());
            }
        }
    }
}
