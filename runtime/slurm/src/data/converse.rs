//! A command that is fed and listened to at the same time.
//!
//! Invariants: input, answer and complaints flow at once, so that no full pipe stops the others; nothing is waited for
//! without an end: where nothing moves for [`QUIET`], it is given up.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::Error;
use crate::cluster::{Cluster, Reader, Writer};
use crate::command::{Command, Status};

/// How long nothing may move.
pub(crate) const QUIET: Duration = Duration::from_secs(180);
/// How long a whole stream may take: a week. What ends it in time is [`QUIET`].
const WHOLE: Duration = Duration::from_secs(7 * 24 * 3_600);
/// How much is passed on at a time.
pub(crate) const CHUNK: usize = 256 << 10;
/// The least that a cluster hashes in a second, in bytes: what an answer may take depends on it.
const SLOWEST_HASH: u64 = 5 << 20;

/// What a command is fed.
#[derive(Debug)]
pub(crate) enum Feed {
    Bytes(Vec<u8>),
    Chunks(mpsc::Receiver<Vec<u8>>),
}

/// What becomes of its answer.
#[derive(Debug)]
pub(crate) enum Ear {
    /// It is kept, up to so many bytes.
    Keep(usize),
    /// It is passed on, chunk by chunk.
    Pass(mpsc::Sender<Vec<u8>>),
}

/// What came of it.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: Status,
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: Vec<u8>,
}

/// A conversation with a cluster.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Conversation<'a> {
    pub(crate) cluster: &'a Cluster,
    /// What a message calls it.
    pub(crate) action: &'static str,
    /// Bytes that the cluster reads before it answers.
    pub(crate) hashes: u64,
}

impl Conversation<'_> {
    fn stalled(&self, quiet: Duration) -> Error {
        let host = self.cluster.name().to_owned();
        Error::Stalled { host, action: self.action, seconds: quiet.as_secs() }
    }

    /// What was being done says more than the first word of its lines.
    fn named(&self, error: crate::Error) -> Error {
        Error::Cluster(match error {
            crate::Error::Lost { host, .. } => crate::Error::Lost { host, what: self.action.to_owned() },
            error => error,
        })
    }

    /// Runs the command to its end, whatever that is.
    pub(crate) async fn hold(&self, command: Command, feed: Feed, ear: Ear) -> Result<Answer, Error> {
        let mut running =
            self.cluster.spawn(&command.deadline(WHOLE)).await.map_err(|error| self.named(error))?;
        let stdin = running.stdin.take();
        let stdout = std::mem::replace(&mut running.stdout, Box::pin(tokio::io::empty()));
        let patience = QUIET + Duration::from_secs(self.hashes / SLOWEST_HASH);
        let said = async {
            let fed = AtomicBool::new(false);
            let feed = async {
                let done = self.feed(stdin, feed).await;
                fed.store(true, Ordering::Relaxed);
                done
            };
            tokio::try_join!(feed, self.listen(stdout, ear, patience, &fed)).map(|((), heard)| heard)
        };
        // Its complaints are read meanwhile. Its end is asked for when its output has ended, not before: it may overtake the
        // last of the output, which would be lost with the session.
        let stdout = said.await?;
        let (status, stderr) = running.wait().await.map_err(|error| self.named(error))?;
        Ok(Answer { status, stdout, stderr })
    }

    async fn feed(&self, stdin: Option<Writer>, feed: Feed) -> Result<(), Error> {
        let Some(mut stdin) = stdin else { return Ok(()) };
        let write =
            async |stdin: &mut Writer, chunk: &[u8]| match timeout(QUIET, stdin.write_all(chunk)).await {
                Ok(written) => Ok(written.is_ok()),
                Err(_) => Err(self.stalled(QUIET)),
            };
        // A command that reads no further has a reason, which its end tells.
        match feed {
            Feed::Bytes(bytes) => {
                write(&mut stdin, &bytes).await?;
            }
            Feed::Chunks(mut chunks) => {
                while let Some(chunk) = chunks.recv().await {
                    if !write(&mut stdin, &chunk).await? {
                        break;
                    }
                }
            }
        }
        let _ = timeout(QUIET, stdin.shutdown()).await;
        Ok(())
    }

    async fn listen(
        &self,
        mut stdout: Reader,
        ear: Ear,
        patience: Duration,
        fed: &AtomicBool,
    ) -> Result<Vec<u8>, Error> {
        let mut kept = Vec::new();
        let mut chunk = Vec::with_capacity(CHUNK);
        loop {
            let read = match timeout(patience, stdout.read_buf(&mut chunk)).await {
                Ok(read) => read.unwrap_or(0),
                // A command that is still being fed answers when that is over.
                Err(_) if !fed.load(Ordering::Relaxed) => continue,
                Err(_) => return Err(self.stalled(patience)),
            };
            match &ear {
                Ear::Keep(most) => {
                    if kept.len() + chunk.len() > *most {
                        let said = String::from_utf8_lossy(&chunk).chars().take(80).collect();
                        let host = self.cluster.name().to_owned();
                        return Err(Error::Nonsense { host, action: self.action, said });
                    }
                    kept.append(&mut chunk);
                }
                Ear::Pass(to) => {
                    if (read == 0 || chunk.len() >= CHUNK / 2) && !chunk.is_empty() {
                        let full = std::mem::replace(&mut chunk, Vec::with_capacity(CHUNK));
                        if to.send(full).await.is_err() {
                            return Ok(kept);
                        }
                    }
                }
            }
            if read == 0 {
                return Ok(kept);
            }
        }
    }
}
