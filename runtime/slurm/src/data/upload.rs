//! To the cluster.
//!
//! What is staged, beside the target `NAME`: `.NAME.incoming/content` (what will be the target), `journal` (empty files
//! whose names say what was sent: identity and digest) and `lists` (names to be hashed). After the rename the journal stays
//! as `.NAME.sent`, so that the same call made again finds its work done.

mod script;

use std::collections::{HashMap, HashSet};
use std::ffi::OsStr;
use std::fmt;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;

use super::Error;
use super::batch::{BLOCK, Batch, Batches, Piece, Work, pieces};
use super::converse::{Answer, Conversation, Ear, Feed};
use super::digest::{Digest, Tool, answered, single};
use super::produce::{Form, Sent, Stop, Stream, listed};
use super::progress::{Meter, Watcher};
use super::source::{Entry, Walk, What};
use crate::cluster::Cluster;
use crate::command::{Command, Status};

/// How often a file is sent before it is given up.
const ATTEMPTS: u32 = 3;
/// How much of a journal is read, in bytes; what is recorded beyond it is sent again.
const LARGEST_JOURNAL: usize = 8 << 20;
/// What a batch's answer may have, in bytes: 4,096 lines, and 512 KiB of names of which each byte may be escaped.
const LARGEST_ANSWER: usize = 4 << 20;

/// A folder or a file to be sent.
#[derive(Clone)]
pub struct Upload {
    /// What: a folder, or one file. A link is followed here, and only here.
    pub source: PathBuf,
    /// What it is to be on the cluster: not there yet, or an empty folder. Relative paths begin at the login folder.
    pub target: PathBuf,
    /// How many streams there are at a time; each takes a session of the connection.
    pub streams: usize,
    /// Who is told how far it is.
    pub watcher: Option<Watcher>,
}

impl Upload {
    /// With three streams, watched by nobody. More streams are not faster where one connection carries them: they are there
    /// to fill each other's pauses.
    #[must_use]
    pub fn new(source: impl Into<PathBuf>, target: impl Into<PathBuf>) -> Self {
        Self { source: source.into(), target: target.into(), streams: 3, watcher: None }
    }
}

impl fmt::Debug for Upload {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { source, target, streams, watcher: _ } = self;
        let mut shown = formatter.debug_struct("Upload");
        shown
            .field("source", source)
            .field("target", target)
            .field("streams", streams)
            .finish_non_exhaustive()
    }
}

/// What was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Uploaded {
    /// Files, folders and links of the target.
    pub entries: u64,
    /// Bytes of its files.
    pub bytes: u64,
    /// Bytes that were sent by this call; the others were there.
    pub sent: u64,
}

/// Sends it. What an earlier call got there is not sent again.
///
/// # Errors
/// What is there is kept ([`Error`] says where not), and the same call goes on from it.
pub async fn upload(cluster: &Cluster, upload: &Upload) -> Result<Uploaded, Error> {
    let source = upload.source.clone();
    let (root, is_folder, of_entries, of_bytes) = blocking(move || measure(&source)).await?;
    let (Some(parent), Some(name)) = (upload.target.parent(), upload.target.file_name()) else {
        let (path, host) = (upload.target.clone(), cluster.name().to_owned());
        return Err(Error::Occupied { path, host, reason: "it is a root folder or has no name".into() });
    };
    let parent = if parent.as_os_str().is_empty() { Path::new(".") } else { parent };
    let stage = prepare(cluster, parent, name).await?;
    let meter = Arc::new(Meter::new(of_bytes, of_entries, upload.watcher.clone()));
    let sender = Arc::new(Sender {
        cluster: cluster.clone(),
        root,
        file_name: (!is_folder).then(|| name.to_owned()),
        stage: parent.join(hidden(name, ".incoming")),
        target: upload.target.clone(),
        state: stage.state,
        tool: stage.tool,
        form: if stage.has_tar { Form::Tar } else { Form::Plain },
        records: stage.records,
        sessions: Arc::new(Semaphore::new(upload.streams.max(1))),
        meter: Arc::clone(&meter),
        lists: AtomicU64::new(0),
        sent: AtomicU64::new(0),
    });
    if sender.state == State::Begun {
        sender.remove_leftovers().await?;
    }
    send_all(&sender, upload.streams.max(1)).await?;
    if sender.state != State::Finished {
        sender.finish(parent, name, is_folder).await?;
    }
    meter.end();
    Ok(Uploaded { entries: of_entries, bytes: of_bytes, sent: sender.sent.load(Ordering::Relaxed) })
}

/// `.NAME` with something behind it.
pub(super) fn hidden(name: &OsStr, behind: &str) -> std::ffi::OsString {
    let mut hidden = std::ffi::OsString::from(".");
    hidden.push(name);
    hidden.push(behind);
    hidden
}

/// Work of this machine's disk, on a thread that may block.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    let here = |error: tokio::task::JoinError| Error::Here {
        action: "read",
        path: PathBuf::new(),
        source: std::io::Error::other(error),
    };
    tokio::task::spawn_blocking(work).await.map_err(here)?
}

/// The true path of the source, whether it is a folder, and its size: each entry is looked at once before anything is sent,
/// so that a link that is refused is refused at once.
fn measure(source: &Path) -> Result<(PathBuf, bool, u64, u64), Error> {
    let root = std::fs::canonicalize(source).map_err(Error::here("look at", source))?;
    let whole = Entry::at(&root, PathBuf::new())?;
    match whole.what {
        What::File => Ok((root, false, 1, whole.size)),
        _ => {
            let (mut entries, mut bytes) = (0, 0);
            for entry in Walk::new(&root)? {
                entries += 1;
                bytes += entry?.size;
            }
            Ok((root, true, entries, bytes))
        }
    }
}

/// What an earlier call left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    New,
    Begun,
    Finished,
}

struct Stage {
    state: State,
    tool: Tool,
    has_tar: bool,
    records: HashMap<Digest, HashSet<Digest>>,
}

async fn prepare(cluster: &Cluster, parent: &Path, name: &OsStr) -> Result<Stage, Error> {
    let command = Command::shell(script::PREPARE).arg(parent).arg(name);
    let conversation = Conversation { cluster, action: "preparing an upload", hashes: 0 };
    let answer = conversation.hold(command, Feed::Bytes(Vec::new()), Ear::Keep(LARGEST_JOURNAL)).await?;
    let (host, path) = (cluster.name(), parent.join(name));
    match answer.status {
        Status::Exited(0) => {}
        Status::Exited(script::OCCUPIED) => {
            let reason = "something that was not sent by an upload".to_owned();
            return Err(Error::Occupied { path, host: host.to_owned(), reason });
        }
        _ => return Err(Error::there("make", path, host, &answer.stderr)),
    }
    let text = String::from_utf8_lossy(&answer.stdout);
    let mut lines = text.lines();
    let mut word = |what: &str| lines.next().and_then(|line| line.strip_prefix(what)).map(str::trim);
    let nonsense = || Error::Nonsense {
        host: host.to_owned(),
        action: "preparing an upload",
        said: text.chars().take(80).collect(),
    };
    let state = match word("state").ok_or_else(nonsense)? {
        "new" => State::New,
        "begun" => State::Begun,
        "finished" => State::Finished,
        _ => return Err(nonsense()),
    };
    let tool = word("tool").and_then(Tool::parse).ok_or(Error::Missing {
        host: host.to_owned(),
        what: "program that computes SHA-256 (openssl, sha256sum, shasum or python3)",
    })?;
    let has_tar = word("tar").ok_or_else(nonsense)? == "yes";
    let mut records: HashMap<Digest, HashSet<Digest>> = HashMap::new();
    for (identity, digest) in lines.filter_map(|line| line.split_once('.')) {
        if let (Some(identity), Some(digest)) =
            (Digest::parse(identity.as_bytes()), Digest::parse(digest.as_bytes()))
        {
            records.entry(identity).or_default().insert(digest);
        }
    }
    Ok(Stage { state, tool, has_tar, records })
}

struct Sender {
    cluster: Cluster,
    /// What is sent, without a link on its way.
    root: PathBuf,
    /// The target's name, where the source is one file.
    file_name: Option<std::ffi::OsString>,
    stage: PathBuf,
    target: PathBuf,
    state: State,
    tool: Tool,
    form: Form,
    records: HashMap<Digest, HashSet<Digest>>,
    sessions: Arc<Semaphore>,
    meter: Arc<Meter>,
    lists: AtomicU64,
    sent: AtomicU64,
}

async fn send_all(sender: &Arc<Sender>, at_once: usize) -> Result<(), Error> {
    let (works, work) = mpsc::channel(2);
    let walker = Arc::clone(sender);
    let planning = tokio::task::spawn_blocking(move || {
        let batches: Box<dyn Iterator<Item = Result<Work, Error>>> = match &walker.file_name {
            Some(name) => Box::new(Batches::new(std::iter::once(walker.look(Path::new(name))))),
            None => match Walk::new(&walker.root) {
                Ok(walk) => Box::new(Batches::new(walk)),
                Err(error) => Box::new(std::iter::once(Err(error))),
            },
        };
        for work in batches {
            if works.blocking_send(work).is_err() {
                return;
            }
        }
    });
    work_off(work, at_once, |work| {
        let sender = Arc::clone(sender);
        async move {
            match work {
                Work::Batch(batch) => sender.batch(batch).await,
                Work::Large(entry) => sender.large(entry).await,
            }
        }
    })
    .await?;
    planning.await.map_err(|error| Error::here("walk", &sender.root)(std::io::Error::other(error)))
}

/// Works off what is planned, so many at a time; the first error ends it.
pub(super) async fn work_off<F>(
    mut work: mpsc::Receiver<Result<Work, Error>>,
    at_once: usize,
    job: impl Fn(Work) -> F,
) -> Result<(), Error>
where
    F: Future<Output = Result<(), Error>> + Send + 'static,
{
    let mut under_way = JoinSet::new();
    while let Some(work) = work.recv().await {
        if under_way.len() >= at_once
            && let Some(done) = under_way.join_next().await
        {
            joined(done)?;
        }
        under_way.spawn(job(work?));
    }
    while let Some(done) = under_way.join_next().await {
        joined(done)?;
    }
    Ok(())
}

pub(super) fn joined<T>(done: Result<Result<T, Error>, tokio::task::JoinError>) -> Result<T, Error> {
    done.map_err(|error| Error::here("work on", "a transfer")(std::io::Error::other(error)))?
}

impl Sender {
    /// What was read here, where the other end has taken it.
    fn taken<T>(&self, read: Result<T, Stop>, answer: &Answer) -> Result<T, Error> {
        match read {
            Ok(ours) if answer.status.is_success() => Ok(ours),
            Err(Stop::Failed(error)) => Err(error),
            Ok(_) | Err(Stop::Gone) => Err(self.failed("write below", answer)),
        }
    }

    fn conversation(&self, action: &'static str, hashes: u64) -> Conversation<'_> {
        Conversation { cluster: &self.cluster, action, hashes }
    }

    /// Where what has been sent is: staged, or in place.
    fn content(&self) -> PathBuf {
        match (&self.file_name, self.state) {
            (None, State::Finished) => self.target.clone(),
            (Some(_), State::Finished) => self.target.parent().map_or_else(|| ".".into(), Path::to_owned),
            _ => self.stage.join("content"),
        }
    }

    /// An entry as it is now.
    fn look(&self, path: &Path) -> Result<Entry, Error> {
        match &self.file_name {
            Some(name) => Ok(Entry { path: PathBuf::from(name), ..Entry::at(&self.root, PathBuf::new())? }),
            None => Entry::at(&self.root, path.to_owned()),
        }
    }

    fn here(&self, entry: &Entry) -> PathBuf {
        if self.file_name.is_some() { self.root.clone() } else { self.root.join(&entry.path) }
    }

    fn failed(&self, action: &'static str, answer: &Answer) -> Error {
        Error::there(action, &self.target, self.cluster.name(), &answer.stderr)
    }

    fn differs(&self, entry: &Entry) -> Error {
        let host = self.cluster.name().to_owned();
        Error::Differs { path: entry.path.clone(), host, attempts: ATTEMPTS }
    }

    fn occupied(&self, entry: Option<&Entry>) -> Error {
        let reason = match entry {
            Some(entry) => format!("it was sent before, and {:?} is another now", entry.path),
            None => "it was sent before, and its entries are others now".to_owned(),
        };
        Error::Occupied { path: self.target.clone(), host: self.cluster.name().to_owned(), reason }
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
        let count = batch.entries.len() as u64;
        if self.is_there(&batch).await? {
            self.meter.bytes(batch.bytes());
            self.meter.entries(count);
            return Ok(());
        }
        if self.state == State::Finished {
            return Err(self.occupied(batch.entries.first()));
        }
        let mut whole = batch;
        let mut known: Vec<Option<Digest>> = vec![None; whole.entries.len()];
        let mut again: Vec<usize> = (0..whole.entries.len()).collect();
        let mut changed = Vec::new();
        for _ in 0..ATTEMPTS {
            for at in &again {
                // What changed is taken as it is now.
                if changed.contains(at)
                    && let Some(entry) = whole.entries.get_mut(*at)
                {
                    *entry = self.look(&entry.path)?;
                }
            }
            let part =
                Batch { entries: again.iter().filter_map(|at| whole.entries.get(*at).cloned()).collect() };
            let (ours, theirs) = self.send(&whole, &known, &again, part).await?;
            changed.clear();
            let mut wrong = Vec::new();
            for ((at, ours), theirs) in again.iter().zip(ours).zip(theirs) {
                let is_file = whole.entries.get(*at).is_some_and(|entry| entry.what == What::File);
                match ours {
                    _ if !is_file => {}
                    Some(digest) if theirs == Some(digest) => {
                        if let Some(known) = known.get_mut(*at) {
                            *known = Some(digest);
                        }
                    }
                    ours => {
                        if ours.is_none() {
                            changed.push(*at);
                        }
                        wrong.push(*at);
                    }
                }
            }
            again = wrong;
            if again.is_empty() {
                self.meter.entries(count);
                return Ok(());
            }
            tracing::warn!(
                files = again.len(),
                host = self.cluster.name(),
                "sent again: the two ends differ"
            );
        }
        let entry = |at: Option<&usize>| at.and_then(|at| whole.entries.get(*at));
        match (entry(changed.first()), entry(again.first())) {
            (Some(entry), _) => Err(Error::Changing { path: self.here(entry), attempts: ATTEMPTS }),
            (None, Some(entry)) => Err(self.differs(entry)),
            (None, None) => Ok(()),
        }
    }

    /// Whether a record says that the batch was sent, and it is there.
    async fn is_there(&self, batch: &Batch) -> Result<bool, Error> {
        let Some(digests) = self.records.get(&batch.identity()) else { return Ok(false) };
        let names: Vec<Vec<u8>> = batch.files().map(|(_, entry)| listed(entry)).collect();
        let list = names.iter().flat_map(|name| name.iter().copied().chain([0])).collect();
        let command = Command::shell(script::HASH).arg(self.tool.name()).folder(self.content());
        let conversation = self.conversation("comparing what is there", batch.bytes());
        let answer = conversation.hold(command, Feed::Bytes(list), Ear::Keep(LARGEST_ANSWER)).await?;
        let there: Option<Vec<Digest>> = answered(&answer.stdout, &names).into_iter().collect();
        Ok(there.is_some_and(|there| digests.contains(&Digest::fold(there))))
    }

    /// Sends a part of a batch; returns the digests of both ends, entry by entry.
    async fn send(
        self: &Arc<Self>,
        whole: &Batch,
        known: &[Option<Digest>],
        which: &[usize],
        part: Batch,
    ) -> Result<(Vec<Option<Digest>>, Vec<Option<Digest>>), Error> {
        let list = self.lists.fetch_add(1, Ordering::Relaxed).to_string();
        let (whole, known, which) = (whole.clone(), known.to_vec(), which.to_vec());
        let (sender, form, name) = (Arc::clone(self), self.form, list.clone());
        let (to, chunks) = mpsc::channel(4);
        let stream = Stream::new(to, Arc::clone(&self.meter));
        let bytes = part.bytes();
        // A walk goes down before it goes on: what encloses any entry and is not in the batch encloses the first one.
        let folder = part.entries.first().and_then(|entry| entry.path.parent()).map(Path::to_owned);
        let places: Vec<(usize, Vec<u8>)> = part.files().map(|(at, entry)| (at, listed(entry))).collect();
        let count = part.entries.len();
        let reading = tokio::task::spawn_blocking(move || {
            let record = |read: &[Option<Digest>]| {
                let mut all = known.clone();
                for (at, digest) in which.iter().zip(read) {
                    if let Some(place) = all.get_mut(*at) {
                        *place = *digest;
                    }
                }
                let files: Option<Vec<Digest>> =
                    whole.files().map(|(at, _)| all.get(at).copied().flatten()).collect();
                files.map(|files| format!("{}.{}", whole.identity(), Digest::fold(files)))
            };
            let place = |entry: &Entry| sender.here(entry);
            stream.batch(&Sent { batch: &part, form, place: &place, list: &name, record: &record })
        });
        let script = if form == Form::Tar { script::RECEIVE_TAR } else { script::RECEIVE_PLAIN };
        let command = Command::shell(script).arg(self.tool.name()).arg(&list);
        let command = command.arg(folder.unwrap_or_default()).folder(&self.stage);
        let conversation = self.conversation("sending files", bytes);
        let answer = conversation.hold(command, Feed::Chunks(chunks), Ear::Keep(LARGEST_ANSWER)).await;
        let read = joined(reading.await.map(Ok))?;
        let answer = answer?;
        let ours = self.taken(read, &answer)?;
        self.sent.fetch_add(bytes, Ordering::Relaxed);
        let names: Vec<Vec<u8>> = places.iter().map(|(_, name)| name.clone()).collect();
        let mut theirs = vec![None; count];
        for ((at, _), digest) in places.iter().zip(answered(&answer.stdout, &names)) {
            if let Some(place) = theirs.get_mut(*at) {
                *place = digest;
            }
        }
        Ok((ours, theirs))
    }

    async fn large(self: &Arc<Self>, entry: Entry) -> Result<(), Error> {
        let mut entry = entry;
        for _ in 0..ATTEMPTS {
            let mut under_way: JoinSet<Result<bool, Error>> = JoinSet::new();
            let mut unchanged = true;
            for piece in pieces(entry.size) {
                let session = self.session().await;
                while let Some(done) = under_way.try_join_next() {
                    unchanged &= joined(done)?;
                }
                if !unchanged {
                    break;
                }
                let (sender, entry) = (Arc::clone(self), entry.clone());
                under_way.spawn(async move {
                    let unchanged = sender.piece(&entry, piece).await;
                    drop(session);
                    unchanged
                });
            }
            while let Some(done) = under_way.join_next().await {
                unchanged &= joined(done)?;
            }
            if unchanged {
                self.dress(&entry).await?;
                self.meter.entries(1);
                return Ok(());
            }
            entry = self.look(&entry.path)?;
        }
        Err(Error::Changing { path: self.here(&entry), attempts: ATTEMPTS })
    }

    /// Sends a piece until it is right; false where the file changed meanwhile.
    async fn piece(&self, entry: &Entry, piece: Piece) -> Result<bool, Error> {
        let identity = piece.identity(entry);
        let number = |value: u64| value.to_string();
        let (first, blocks, rest) = (piece.offset / BLOCK, piece.length / BLOCK, piece.length % BLOCK);
        if let Some(digests) = self.records.get(&identity) {
            let command = Command::shell(script::HASH_PIECE).arg(self.tool.name()).arg(listed_path(entry));
            let command = command.arg(number(first)).arg(number(piece.length.div_ceil(BLOCK)));
            let conversation = self.conversation("comparing what is there", piece.length);
            let command = command.folder(self.content());
            let answer =
                conversation.hold(command, Feed::Bytes(Vec::new()), Ear::Keep(LARGEST_ANSWER)).await?;
            if single(&answer.stdout).is_some_and(|digest| digests.contains(&digest)) {
                self.meter.bytes(piece.length);
                return Ok(true);
            }
        }
        if self.state == State::Finished {
            return Err(self.occupied(Some(entry)));
        }
        for _ in 0..ATTEMPTS {
            let (to, chunks) = mpsc::channel(4);
            let stream = Stream::new(to, Arc::clone(&self.meter));
            let (path, known) = (self.here(entry), entry.clone());
            let reading = tokio::task::spawn_blocking(move || stream.piece(&path, &known, piece));
            let command = Command::shell(script::RECEIVE_PIECE).arg(self.tool.name()).arg(listed_path(entry));
            let command = command.arg(number(first)).arg(number(blocks)).arg(number(rest));
            let command = command.arg(identity.to_string()).folder(&self.stage);
            let conversation = self.conversation("sending a large file", piece.length);
            let answer = conversation.hold(command, Feed::Chunks(chunks), Ear::Keep(LARGEST_ANSWER)).await;
            let read = joined(reading.await.map(Ok))?;
            let answer = answer?;
            let ours = self.taken(read, &answer)?;
            self.sent.fetch_add(piece.length, Ordering::Relaxed);
            match (ours, single(&answer.stdout)) {
                (None, _) => return Ok(false),
                (ours, theirs) if ours == theirs => return Ok(true),
                _ => tracing::warn!(host = self.cluster.name(), "a piece is sent again: the two ends differ"),
            }
        }
        Err(self.differs(entry))
    }

    /// Size, mode and time of a large file that is there.
    async fn dress(&self, entry: &Entry) -> Result<(), Error> {
        if self.state == State::Finished {
            return Ok(());
        }
        let _session = self.session().await;
        let (seconds, nanoseconds) = entry.modified;
        let command = Command::shell(script::DRESS)
            .arg(listed_path(entry))
            .arg(entry.size.to_string())
            .arg(format!("{:o}", entry.mode))
            .arg(super::tar::moment(seconds, nanoseconds))
            .folder(&self.stage)
            .repeatable();
        let output = self.cluster.run(&command).await?;
        let (status, stdout, stderr) = (output.status, output.stdout, output.stderr);
        let answer = Answer { status, stdout, stderr };
        if status.is_success() { Ok(()) } else { Err(self.failed("complete a file below", &answer)) }
    }

    /// Removes what an earlier call staged and the source no longer has.
    async fn remove_leftovers(&self) -> Result<(), Error> {
        let (to, mut found) = mpsc::channel::<Vec<u8>>(4);
        let command = Command::shell(script::LIST).folder(self.stage.join("content"));
        let conversation = self.conversation("listing what is there", 0);
        let listing = conversation.hold(command, Feed::Bytes(Vec::new()), Ear::Pass(to));
        let compare = async {
            let (mut rest, mut gone, mut overflow) = (Vec::new(), Vec::new(), false);
            while let Some(chunk) = found.recv().await {
                rest.extend_from_slice(&chunk);
                let Some(end) = rest.iter().rposition(|byte| *byte == 0) else { continue };
                let tail = rest.split_off(end + 1);
                for item in std::mem::replace(&mut rest, tail).split(|byte| *byte == 0) {
                    let (Some(kind), Some(path)) = (item.first(), item.get(4..)) else { continue };
                    if self.is_leftover(*kind, Path::new(OsStr::from_bytes(path))) && !overflow {
                        gone.extend_from_slice(b"./");
                        gone.extend_from_slice(path);
                        gone.push(0);
                        overflow = gone.len() > LARGEST_JOURNAL;
                    }
                }
            }
            (gone, overflow)
        };
        let (answer, (gone, overflow)) = tokio::join!(listing, compare);
        let answer = answer?;
        if !answer.status.is_success() {
            return Err(self.failed("list", &answer));
        }
        if overflow {
            return Err(self.occupied(None));
        }
        if gone.is_empty() {
            return Ok(());
        }
        let command = Command::shell("exec xargs -0 rm -rf --").folder(self.stage.join("content"));
        let conversation = self.conversation("removing what an earlier upload left", 0);
        let answer = conversation.hold(command, Feed::Bytes(gone), Ear::Keep(LARGEST_ANSWER)).await?;
        if answer.status.is_success() { Ok(()) } else { Err(self.failed("remove leftovers below", &answer)) }
    }

    fn is_leftover(&self, kind: u8, path: &Path) -> bool {
        if let Some(name) = &self.file_name {
            return path != Path::new(name) || kind != b'f';
        }
        match std::fs::symlink_metadata(self.root.join(path)) {
            Ok(metadata) if metadata.is_file() => kind != b'f',
            Ok(metadata) if metadata.is_dir() => kind != b'd',
            Ok(metadata) if metadata.is_symlink() => kind != b'l',
            _ => true,
        }
    }

    /// Puts it in place.
    async fn finish(&self, parent: &Path, name: &OsStr, is_folder: bool) -> Result<(), Error> {
        let command = Command::shell(script::FINISH).arg(name).arg(if is_folder { "d" } else { "f" });
        let output = self.cluster.run(&command.folder(parent)).await?;
        match output.status {
            Status::Exited(0) => Ok(()),
            Status::Exited(script::OCCUPIED) => {
                let reason = "something was put there meanwhile".to_owned();
                let host = self.cluster.name().to_owned();
                Err(Error::Occupied { path: self.target.clone(), host, reason })
            }
            _ => Err(Error::there("rename to", &self.target, self.cluster.name(), &output.stderr)),
        }
    }
}

fn listed_path(entry: &Entry) -> std::ffi::OsString {
    use std::os::unix::ffi::OsStringExt as _;
    std::ffi::OsString::from_vec(listed(entry))
}

#[cfg(test)]
mod tests;
