//! Results from the cluster.
//!
//! No archive is read: names and sizes come in a listing, each is checked ([`super::results`]), and contents come one after
//! the other as `cat` gives them, with the digests of what is on the cluster's disk behind them. A content that does not
//! have the announced length shifts those behind it, which the digests tell.
//!
//! Beside the target `NAME`: `.NAME.incoming/content` (what will be the target), `journal` (a line for what came) and
//! `listing`. After the rename the journal stays as `.NAME.received`.

mod receive;

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;

use super::Error;
use super::batch::{BLOCK, Batch, Batches, Piece, Work, pieces};
use super::converse::{Answer, Conversation, Ear, Feed};
use super::digest::{Digest, Tool, find_tool, sums};
use super::produce::listed;
use super::progress::{Meter, Watcher};
use super::results::{Item, Items, Selection, list_into, parse};
use super::source::{Entry, What};
use super::upload::{blocking, hidden, joined, work_off};
use crate::cluster::Cluster;
use crate::command::Command;

/// How often a file is fetched before it is given up.
const ATTEMPTS: u32 = 3;
/// How much of a journal is read.
const LARGEST_JOURNAL: u64 = 8 << 20;

/// The program for digests.
const TOOL: &str = concat!(sums!(), find_tool!(), "echo \"$tool\"\n");
/// `TOOL LENGTH`: contents of the files listed in the first `LENGTH` bytes of the input, then digests of those listed behind.
const SEND: &str = concat!(sums!(), "tool=$1\nhead -c \"$2\" | xargs -0 cat\nsums\n:\n");
/// `TOOL NAME FIRST BLOCKS`: a piece, then its digest.
const SEND_PIECE: &str = concat!(
    sums!(),
    r#"
tool=$1
dd if="$2" bs=1048576 skip="$3" count="$4" || exit 1
dd if="$2" bs=1048576 skip="$3" count="$4" 2>/dev/null | sum
"#
);
/// The listing of the names on standard input, as they are now.
const LOOK: &str = r#"exec xargs -0 sh -c 'exec find "$@" -prune -printf "%y %s %T@ %m %p\0"' sh"#;

/// Results to be fetched.
#[derive(Clone)]
pub struct Download {
    /// The folder on the cluster.
    pub source: PathBuf,
    /// What it is to be here: not there yet, or an empty folder.
    pub target: PathBuf,
    /// What of it.
    pub selection: Selection,
    /// Whether a job has just ended there: the folder is listed until two listings agree.
    pub settle: bool,
    /// How many streams there are at a time; each takes a session of the connection.
    pub streams: usize,
    /// Who is told how far it is.
    pub watcher: Option<Watcher>,
}

impl Download {
    /// All of a folder that nobody writes to any more, by two streams, watched by nobody. One fills the other's pauses; each
    /// more makes `ssh` larger, which holds up to a window of 2 MiB for each, several times over, where this disk is slower
    /// than the network.
    #[must_use]
    pub fn new(source: impl Into<PathBuf>, target: impl Into<PathBuf>) -> Self {
        let (source, target) = (source.into(), target.into());
        Self { source, target, selection: Selection::All, settle: false, streams: 2, watcher: None }
    }
}

impl fmt::Debug for Download {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = formatter.debug_struct("Download");
        shown.field("source", &self.source).field("target", &self.target).field("selection", &self.selection);
        shown.finish_non_exhaustive()
    }
}

/// What was fetched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Downloaded {
    /// Files and folders of the target.
    pub entries: u64,
    /// Bytes of its files.
    pub bytes: u64,
    /// Bytes that were fetched by this call; the others were there.
    pub fetched: u64,
    /// Links, sockets and devices, which are left where they are: the first hundred.
    pub skipped: Vec<PathBuf>,
}

/// Fetches it. What an earlier call fetched is not fetched again.
///
/// # Errors
/// What is here is kept ([`Error`] says where not), and the same call goes on from it.
pub async fn download(cluster: &Cluster, download: &Download) -> Result<Downloaded, Error> {
    let place = Place::new(&download.target)?;
    let (made, finished, records) = {
        let place = place.clone();
        blocking(move || place.prepare()).await?
    };
    list_into(cluster, &download.source, &made.listing, download.settle).await?;
    let host = cluster.name().to_owned();
    let (count, bytes, skipped) = {
        let (listing, selection, host) = (made.listing.clone(), download.selection.clone(), host.clone());
        blocking(move || measure(&listing, &selection, &host)).await?
    };
    if let Selection::Chosen(chosen) = &download.selection
        && count == 0
        && let Some(path) = chosen.first()
    {
        return Err(Error::there("find", download.source.join(path), &host, b"there is no such result"));
    }
    let told = cluster.ask(&Command::shell(TOOL).repeatable()).await?;
    let tool = Tool::parse(String::from_utf8_lossy(&told).trim()).ok_or(Error::Missing {
        host,
        what: "program that computes SHA-256 (openssl, sha256sum, shasum or python3)",
    })?;
    let journal = fs::OpenOptions::new().create(true).append(true).open(&made.journal);
    let receiver = Arc::new(Receiver {
        cluster: cluster.clone(),
        source: download.source.clone(),
        content: made.content.clone(),
        target: download.target.clone(),
        finished,
        tool,
        records,
        journal: Mutex::new(journal.map_err(Error::here("write", &made.journal))?),
        sessions: Arc::new(Semaphore::new(download.streams.max(1))),
        meter: Arc::new(Meter::new(bytes, count, download.watcher.clone())),
        fetched: AtomicU64::new(0),
    });
    fetch_all(&receiver, &made.listing, &download.selection, download.streams.max(1)).await?;
    blocking(move || if finished { place.tidy() } else { place.finish() }).await?;
    receiver.meter.end();
    let fetched = receiver.fetched.load(Ordering::Relaxed);
    Ok(Downloaded { entries: count, bytes, fetched, skipped })
}

fn chosen(
    listing: &Path,
    selection: Selection,
    host: &str,
) -> Result<impl Iterator<Item = Result<Item, Error>> + use<>, Error> {
    let file = fs::File::open(listing).map_err(Error::here("read", listing))?;
    Ok(Items::new(file, host.to_owned()).filter(move |item| match item {
        Ok(Item::Entry(Entry { path, .. }) | Item::Skipped(path)) => selection.takes(path),
        Err(_) => true,
    }))
}

fn measure(listing: &Path, selection: &Selection, host: &str) -> Result<(u64, u64, Vec<PathBuf>), Error> {
    let (mut count, mut bytes, mut skipped) = (0, 0, Vec::new());
    for item in chosen(listing, selection.clone(), host)? {
        match item? {
            Item::Entry(entry) => {
                count += 1;
                bytes += entry.size;
            }
            Item::Skipped(path) if skipped.len() < 100 => skipped.push(path),
            Item::Skipped(_) => {}
        }
    }
    Ok((count, bytes, skipped))
}

/// The target here, and what is beside it.
#[derive(Debug, Clone)]
struct Place {
    target: PathBuf,
    stage: PathBuf,
    received: PathBuf,
}

/// Where a call works.
struct Made {
    content: PathBuf,
    journal: PathBuf,
    listing: PathBuf,
}

type Records = HashMap<Digest, HashSet<Digest>>;

impl Place {
    fn new(target: &Path) -> Result<Self, Error> {
        let target = std::path::absolute(target).map_err(Error::here("find", target))?;
        let (Some(parent), Some(name)) = (target.parent(), target.file_name()) else {
            let reason = "it is a root folder or has no name".to_owned();
            return Err(Error::Occupied { path: target, host: "this machine".to_owned(), reason });
        };
        let (stage, received) =
            (parent.join(hidden(name, ".incoming")), parent.join(hidden(name, ".received")));
        Ok(Self { stage, received, target })
    }

    fn occupied(&self) -> Error {
        let reason = "it is neither an empty folder nor what was fetched before".to_owned();
        Error::Occupied { path: self.target.clone(), host: "this machine".to_owned(), reason }
    }

    fn prepare(&self) -> Result<(Made, bool, Records), Error> {
        let content = self.stage.join("content");
        let is_begun = content.is_dir();
        let finished = !is_begun && self.received.is_file() && self.target.is_dir();
        if !finished {
            match fs::symlink_metadata(&self.target) {
                Err(_) => {}
                Ok(metadata) if metadata.is_dir() => {
                    let mut within = fs::read_dir(&self.target).map_err(Error::here("list", &self.target))?;
                    if within.next().is_some() {
                        return Err(self.occupied());
                    }
                }
                Ok(_) => return Err(self.occupied()),
            }
        }
        use std::os::unix::fs::DirBuilderExt as _;
        let make = |path: &Path, mode| {
            let made = fs::DirBuilder::new().recursive(true).mode(mode).create(path);
            made.map_err(Error::here("make", path))
        };
        if let Some(parent) = self.stage.parent() {
            make(parent, 0o777)?;
        }
        make(&self.stage, 0o700)?;
        let listing = self.stage.join("listing");
        if finished {
            let made = Made { content: self.target.clone(), journal: self.received.clone(), listing };
            let records = records(&made.journal)?;
            return Ok((made, true, records));
        }
        let journal = self.stage.join("journal");
        if self.received.is_file() {
            if is_begun && !journal.exists() {
                fs::rename(&self.received, &journal).map_err(Error::here("rename", &self.received))?;
            } else {
                fs::remove_file(&self.received).map_err(Error::here("remove", &self.received))?;
            }
        }
        make(&content, 0o777)?;
        let records = if is_begun { records(&journal)? } else { Records::new() };
        Ok((Made { content, journal, listing }, false, records))
    }

    /// The journal goes first, so that what is in place is known to be complete.
    fn finish(&self) -> Result<(), Error> {
        match fs::remove_dir(&self.target) {
            Ok(()) => {}
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(_) => return Err(self.occupied()),
        }
        let rename = |from: &Path, to: &Path| fs::rename(from, to).map_err(Error::here("rename", from));
        rename(&self.stage.join("journal"), &self.received)?;
        rename(&self.stage.join("content"), &self.target)?;
        self.tidy()
    }

    fn tidy(&self) -> Result<(), Error> {
        fs::remove_dir_all(&self.stage).map_err(Error::here("remove", &self.stage))
    }
}

fn records(journal: &Path) -> Result<Records, Error> {
    use std::io::Read as _;
    let mut records = Records::new();
    let Ok(file) = fs::File::open(journal) else { return Ok(records) };
    for line in BufReader::new(file.take(LARGEST_JOURNAL)).split(b'\n') {
        let line = line.map_err(Error::here("read", journal))?;
        // A line that a kill or a full disk has cut is none.
        if let (Some(identity), Some(b'.'), Some(digest)) =
            (line.get(..64).and_then(Digest::parse), line.get(64), line.get(65..).and_then(Digest::parse))
        {
            records.entry(identity).or_default().insert(digest);
        }
    }
    Ok(records)
}

struct Receiver {
    cluster: Cluster,
    source: PathBuf,
    content: PathBuf,
    target: PathBuf,
    finished: bool,
    tool: Tool,
    records: Records,
    journal: Mutex<fs::File>,
    sessions: Arc<Semaphore>,
    meter: Arc<Meter>,
    fetched: AtomicU64,
}

async fn fetch_all(
    receiver: &Arc<Receiver>,
    listing: &Path,
    selection: &Selection,
    at_once: usize,
) -> Result<(), Error> {
    let (works, work) = mpsc::channel(2);
    let items = chosen(listing, selection.clone(), receiver.cluster.name())?;
    let planning = tokio::task::spawn_blocking(move || {
        let entries = items.filter_map(|item| match item {
            Ok(Item::Entry(entry)) => Some(Ok(entry)),
            Ok(Item::Skipped(_)) => None,
            Err(error) => Some(Err(error)),
        });
        for work in Batches::new(entries) {
            if works.blocking_send(work).is_err() {
                return;
            }
        }
    });
    work_off(work, at_once, |work| {
        let receiver = Arc::clone(receiver);
        async move {
            match work {
                Work::Batch(batch) => receiver.batch(batch).await,
                Work::Large(entry) => receiver.large(entry).await,
            }
        }
    })
    .await?;
    joined(planning.await.map(Ok))
}

impl Receiver {
    fn conversation(&self, action: &'static str, hashes: u64) -> Conversation<'_> {
        Conversation { cluster: &self.cluster, action, hashes }
    }

    fn occupied(&self, entry: Option<&Entry>) -> Error {
        let reason = match entry {
            Some(entry) => format!("it was fetched before, and {:?} is another now", entry.path),
            None => "it was fetched before, and its entries are others now".to_owned(),
        };
        Error::Occupied { path: self.target.clone(), host: "this machine".to_owned(), reason }
    }

    fn failed(&self, action: &'static str, path: &Path, answer: &Answer) -> Error {
        Error::there(action, self.source.join(path), self.cluster.name(), &answer.stderr)
    }

    fn given_up(&self, entry: &Entry, changed: bool) -> Error {
        let path = self.source.join(&entry.path);
        if changed {
            return Error::Changing { path, attempts: ATTEMPTS };
        }
        Error::Differs { path, host: self.cluster.name().to_owned(), attempts: ATTEMPTS }
    }

    fn record(&self, identity: Digest, digest: Digest) -> Result<(), Error> {
        let mut journal = self.journal.lock().unwrap_or_else(PoisonError::into_inner);
        // The line break before it ends a line that was cut.
        let line = format!("\n{identity}.{digest}\n");
        journal
            .write_all(line.as_bytes())
            .map_err(Error::here("write", self.content.with_file_name("journal")))
    }

    async fn session(&self) -> tokio::sync::OwnedSemaphorePermit {
        loop {
            // It is never closed.
            if let Ok(permit) = Arc::clone(&self.sessions).acquire_owned().await {
                return permit;
            }
        }
    }

    async fn batch(self: &Arc<Self>, batch: Batch) -> Result<(), Error> {
        let _session = self.session().await;
        let (count, bytes) = (batch.entries.len() as u64, batch.bytes());
        if let Some(digests) = self.records.get(&batch.identity()) {
            let (content, batch) = (self.content.clone(), batch.clone());
            let there = blocking(move || Ok(receive::on_disk(&content, &batch))).await?;
            if there.is_some_and(|there| digests.contains(&there)) {
                self.meter.bytes(bytes);
                self.meter.entries(count);
                return Ok(());
            }
        }
        if self.finished {
            return Err(self.occupied(batch.entries.first()));
        }
        let mut whole = batch;
        let mut known: Vec<Option<Digest>> = vec![None; whole.entries.len()];
        let mut again: Vec<usize> = (0..whole.entries.len()).collect();
        let mut changed = false;
        for attempt in 0..ATTEMPTS {
            if attempt > 0 {
                changed = self.look_again(&mut whole, &again).await?;
            }
            let part =
                Batch { entries: again.iter().filter_map(|at| whole.entries.get(*at).cloned()).collect() };
            let came = self.fetch(part).await?;
            let mut wrong = Vec::new();
            for (at, digest) in again.iter().zip(came) {
                match (digest, whole.entries.get(*at).is_some_and(|entry| entry.what == What::File)) {
                    (None, true) => wrong.push(*at),
                    (digest, _) => {
                        if let Some(place) = known.get_mut(*at) {
                            *place = digest;
                        }
                    }
                }
            }
            again = wrong;
            if again.is_empty() {
                let digests = whole.files().filter_map(|(at, _)| known.get(at).copied().flatten());
                self.record(whole.identity(), Digest::fold(digests))?;
                self.meter.entries(count);
                return Ok(());
            }
        }
        match again.first().and_then(|at| whole.entries.get(*at)) {
            Some(entry) => Err(self.given_up(entry, changed)),
            None => Ok(()),
        }
    }

    /// The files as they are now; whether one is another.
    async fn look_again(&self, batch: &mut Batch, which: &[usize]) -> Result<bool, Error> {
        let entries = which.iter().filter_map(|at| batch.entries.get(*at));
        let list: Vec<u8> = entries.flat_map(|entry| listed(entry).into_iter().chain([0])).collect();
        let command = Command::shell(LOOK).folder(&self.source);
        let conversation = self.conversation("looking at results again", 0);
        let answer = conversation.hold(command, Feed::Bytes(list), Ear::Keep(4 << 20)).await?;
        let mut now = HashMap::new();
        for item in answer.stdout.split_inclusive(|byte| *byte == 0) {
            if let Item::Entry(entry) = parse(item, self.cluster.name())? {
                now.insert(entry.path.clone(), entry);
            }
        }
        let mut changed = false;
        for at in which {
            let Some(entry) = batch.entries.get_mut(*at) else { continue };
            match now.remove(&entry.path) {
                Some(found) if found.what == What::File => {
                    changed |= found != *entry;
                    *entry = found;
                }
                _ => return Err(self.failed("read", &entry.path.clone(), &answer)),
            }
        }
        Ok(changed)
    }

    /// Fetches files; returns the digests of those that are here and right.
    async fn fetch(self: &Arc<Self>, part: Batch) -> Result<Vec<Option<Digest>>, Error> {
        let list: Vec<u8> =
            part.files().flat_map(|(_, entry)| listed(entry).into_iter().chain([0])).collect();
        if list.is_empty() {
            let content = self.content.clone();
            return blocking(move || receive::folders(&content, &part)).await;
        }
        let (to, chunks) = mpsc::channel(4);
        let bytes = part.bytes();
        let (content, meter) = (self.content.clone(), Arc::clone(&self.meter));
        let writing = tokio::task::spawn_blocking(move || receive::files(&content, &part, chunks, &meter));
        let command = Command::shell(SEND).arg(self.tool.name()).arg(list.len().to_string());
        let conversation = self.conversation("fetching files", bytes);
        let twice = Feed::Bytes([list.as_slice(), list.as_slice()].concat());
        let answer = conversation.hold(command.folder(&self.source), twice, Ear::Pass(to)).await;
        let came = joined(writing.await);
        answer?;
        self.fetched.fetch_add(bytes, Ordering::Relaxed);
        came
    }

    async fn large(self: &Arc<Self>, entry: Entry) -> Result<(), Error> {
        let mut one = Batch { entries: vec![entry] };
        for _ in 0..ATTEMPTS {
            let Some(entry) = one.entries.first().cloned() else { return Ok(()) };
            let mut under_way: JoinSet<Result<bool, Error>> = JoinSet::new();
            let mut whole = true;
            for piece in pieces(entry.size) {
                let session = self.session().await;
                let (receiver, entry) = (Arc::clone(self), entry.clone());
                under_way.spawn(async move {
                    let came = receiver.piece(&entry, piece).await;
                    drop(session);
                    came
                });
                while let Some(done) = under_way.try_join_next() {
                    whole &= joined(done)?;
                }
                if !whole {
                    break;
                }
            }
            while let Some(done) = under_way.join_next().await {
                whole &= joined(done)?;
            }
            // One that is written to meanwhile is fetched anew, as it is then.
            let changed = self.look_again(&mut one, &[0]).await?;
            if whole && !changed {
                if !self.finished {
                    let content = self.content.clone();
                    blocking(move || receive::dress(&content, &entry)).await?;
                }
                self.meter.entries(1);
                return Ok(());
            }
            if self.finished {
                return Err(self.occupied(Some(&entry)));
            }
        }
        one.entries.first().map_or(Ok(()), |entry| Err(self.given_up(entry, true)))
    }

    /// Fetches a piece until it is right; false where the file is shorter than it was.
    async fn piece(&self, entry: &Entry, piece: Piece) -> Result<bool, Error> {
        let identity = piece.identity(entry);
        if let Some(digests) = self.records.get(&identity) {
            let path = self.content.join(&entry.path);
            let there = blocking(move || Ok(receive::piece_on_disk(&path, piece))).await?;
            if there.is_some_and(|there| digests.contains(&there)) {
                self.meter.bytes(piece.length);
                return Ok(true);
            }
        }
        if self.finished {
            return Err(self.occupied(Some(entry)));
        }
        for _ in 0..ATTEMPTS {
            let (to, chunks) = mpsc::channel(4);
            let (path, meter) = (self.content.join(&entry.path), Arc::clone(&self.meter));
            let writing = tokio::task::spawn_blocking(move || receive::piece(&path, piece, chunks, &meter));
            let command = Command::shell(SEND_PIECE)
                .arg(self.tool.name())
                .arg(Path::new(".").join(&entry.path))
                .arg((piece.offset / BLOCK).to_string())
                .arg(piece.length.div_ceil(BLOCK).to_string())
                .folder(&self.source);
            let conversation = self.conversation("fetching a large file", piece.length);
            let answer = conversation.hold(command, Feed::Bytes(Vec::new()), Ear::Pass(to)).await;
            let came = joined(writing.await);
            let answer = answer?;
            if let Some(digest) = came? {
                self.fetched.fetch_add(piece.length, Ordering::Relaxed);
                self.record(identity, digest)?;
                return Ok(true);
            }
            if !answer.status.is_success() {
                return Err(self.failed("read", &entry.path, &answer));
            }
        }
        Ok(false)
    }
}

#[cfg(test)]
mod tests;
