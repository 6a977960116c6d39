//! A command that is under way, and what ends it where nobody waits for it any more.
//!
//! Invariant: a command is either waited for to its end, or ended; by dropping it, too.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::Error;
use super::stream::Until;
use crate::command::Status;

/// How long ending a command may take: TERM, two seconds, KILL, and the way there.
const ENDING: Duration = Duration::from_secs(8);

/// Where a running command reads from.
pub type Writer = Pin<Box<dyn AsyncWrite + Send>>;
/// What it writes.
pub type Reader = Pin<Box<dyn AsyncRead + Send>>;

/// A command that is under way. Dropped, it is ended, by a task of the runtime that [`super::Cluster::close`] waits for.
pub struct Running {
    /// Its standard input; dropped, the command reads the end.
    pub stdin: Option<Writer>,
    /// Its standard output, without what the login shell said before. At the deadline it fails with
    /// [`std::io::ErrorKind::TimedOut`].
    pub stdout: Reader,
    ending: Ending,
    hold: Hold,
    limit: Limit,
}

/// What tells how a running command ends.
pub(super) type Ending = Pin<Box<dyn Future<Output = Result<(Status, Vec<u8>), Error>> + Send>>;

/// Until when a command may run, and what a message says where it does not end.
#[derive(Debug, Clone)]
pub(super) struct Limit {
    pub(super) deadline: Instant,
    pub(super) after: Duration,
    pub(super) host: String,
    pub(super) what: String,
}

impl Limit {
    pub(super) fn passed(&self) -> Error {
        Error::Deadline { host: self.host.clone(), what: self.what.clone(), after: self.after }
    }

    pub(super) fn lost(&self) -> Error {
        Error::Lost { host: self.host.clone(), what: self.what.clone() }
    }
}

impl Running {
    pub(super) fn new(
        stdin: impl AsyncWrite + Send + Unpin + 'static,
        stdout: impl AsyncRead + Send + Unpin + 'static,
        ending: Ending,
        hold: Hold,
        limit: Limit,
    ) -> Self {
        let stdin: Writer = Box::pin(Until::new(stdin, limit.deadline));
        let stdout = Box::pin(Until::new(stdout, limit.deadline));
        Self { stdin: Some(stdin), stdout, ending, hold, limit }
    }

    /// Waits for its end: the status, and the last 64 KiB of standard error. Standard output is read to its end before:
    /// a session that has told its code is closed, whatever of its output has not come yet.
    ///
    /// # Errors
    /// The connection was lost, or the deadline passed: then the command has been ended, as far as it could be reached.
    pub async fn wait(self) -> Result<(Status, Vec<u8>), Error> {
        let Self { stdin, stdout: _stdout, ending, hold, limit } = self;
        drop(stdin);
        // By itself, so that its session is gone before the command is ended by another.
        let ended = tokio::time::timeout_at(limit.deadline, ending).await;
        match ended {
            Ok(ended) => {
                hold.release();
                ended
            }
            Err(_) => {
                hold.end().await;
                Err(limit.passed())
            }
        }
    }

    /// Ends it: TERM to its process group, KILL two seconds later. Returns when that is done or cannot be done.
    pub async fn end(self) {
        let Self { stdin, stdout, ending, hold, .. } = self;
        drop((stdin, stdout, ending));
        hold.end().await;
    }
}

impl std::fmt::Debug for Running {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Running").field("limit", &self.limit).finish_non_exhaustive()
    }
}

/// What ends a command.
type End = Pin<Box<dyn Future<Output = ()> + Send>>;

/// What ends a command as long as it is held; dropped, it does.
pub(super) struct Hold {
    end: Option<End>,
    ends: Ends,
}

impl Hold {
    pub(super) fn new(ends: &Ends, end: impl Future<Output = ()> + Send + 'static) -> Self {
        Self { end: Some(Box::pin(end)), ends: ends.clone() }
    }

    /// The command has ended by itself.
    fn release(mut self) {
        self.end = None;
    }

    async fn end(mut self) {
        if let Some(end) = self.end.take() {
            // By a task: whoever drops us meanwhile must not leave the command behind.
            if let Some(task) = self.ends.begin(end) {
                let _ = task.await;
            }
        }
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        if let Some(end) = self.end.take() {
            self.ends.begin(end);
        }
    }
}

/// The commands that are being ended.
#[derive(Debug, Clone)]
pub(super) struct Ends {
    under_way: Arc<watch::Sender<usize>>,
}

impl Ends {
    pub(super) fn new() -> Self {
        Self { under_way: Arc::new(watch::Sender::new(0)) }
    }

    fn begin(&self, end: End) -> Option<JoinHandle<()>> {
        // Without a runtime nothing is left that could wait.
        let runtime = Handle::try_current().ok()?;
        let counted = Counted::new(&self.under_way);
        Some(runtime.spawn(async move {
            let _counted = counted;
            let _ = tokio::time::timeout(ENDING, end).await;
        }))
    }

    /// Waits until all of them have been ended, or cannot be: [`ENDING`] at the most.
    pub(super) async fn done(&self) {
        let _ = self.under_way.subscribe().wait_for(|count| *count == 0).await;
    }
}

/// One of those under way.
struct Counted(Arc<watch::Sender<usize>>);

impl Counted {
    fn new(count: &Arc<watch::Sender<usize>>) -> Self {
        count.send_modify(|count| *count += 1);
        Self(Arc::clone(count))
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.send_modify(|count| *count -= 1);
    }
}
