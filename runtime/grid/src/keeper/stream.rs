//! One of a script's two streams: into its file, so much of it, and to the log.

use std::collections::VecDeque;
use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use tokio::io::AsyncReadExt as _;
use tokio::net::unix::pipe::Receiver;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::live::Live;
use crate::script::Limits;

/// What is read at once: what a pipe holds.
const BLOCK: usize = 64 << 10;
/// The end of an output that is too large, which is where programs say why they failed.
const TAIL: u64 = 64 << 10;

/// A stream that is followed.
pub(super) struct Stream {
    enough: oneshot::Sender<()>,
    task: JoinHandle<Written>,
}

/// What came of it.
#[derive(Debug, Default)]
pub(super) struct Written {
    pub(super) written: u64,
    pub(super) problem: Option<String>,
}

impl Stream {
    pub(super) fn follow(
        job: i64,
        name: &'static str,
        path: PathBuf,
        pipe: Receiver,
        limits: &Limits,
    ) -> Self {
        let (enough, told) = oneshot::channel();
        let kept = Kept::new(path, limits.output);
        let live = Live::new(job, name, limits.live);
        Self { enough, task: tokio::spawn(follow(pipe, kept, live, told)) }
    }

    /// Waits for its end, but only so long: somebody who is not of the script may have it too.
    pub(super) async fn end(self, patience: Duration) -> Written {
        let Self { enough, mut task } = self;
        let outcome = match tokio::time::timeout(patience, &mut task).await {
            Ok(outcome) => outcome,
            Err(_) => {
                let _ = enough.send(());
                task.await
            }
        };
        outcome.unwrap_or_else(|error| Written { problem: Some(error.to_string()), ..Written::default() })
    }
}

async fn follow(
    mut pipe: Receiver,
    mut kept: Kept,
    mut live: Live,
    mut enough: oneshot::Receiver<()>,
) -> Written {
    let mut block = vec![0; BLOCK];
    loop {
        let read = tokio::select! {
            // What is there is read before anything else.
            biased;
            read = pipe.read(&mut block) => read,
            _ = &mut enough => break,
        };
        let bytes = match read {
            Ok(0) => break,
            Ok(read) => &block[..read],
            Err(error) => {
                kept.problem.get_or_insert_with(|| format!("its output cannot be read: {error}"));
                break;
            }
        };
        kept.add(bytes);
        show(live.lines(bytes, Instant::now()));
    }
    show(live.rest(Instant::now()));
    kept.end()
}

fn show(lines: Vec<String>) {
    for line in lines {
        tracing::info!(target: "script", "{line}");
    }
}

/// What is kept of a stream: all of it, or its beginning and its end.
struct Kept {
    path: PathBuf,
    file: Option<File>,
    /// What may still be written as it comes.
    room: u64,
    /// The last of what came after.
    tail: VecDeque<u8>,
    most_tail: usize,
    left_out: usize,
    written: u64,
    problem: Option<String>,
}

impl Kept {
    fn new(path: PathBuf, most: u64) -> Self {
        let most_tail = TAIL.min(most / 2);
        let mut kept = Self {
            file: None,
            room: most - most_tail,
            tail: VecDeque::new(),
            most_tail: usize::try_from(most_tail).unwrap_or(0),
            left_out: 0,
            written: 0,
            problem: None,
            path,
        };
        match OpenOptions::new().append(true).open(&kept.path) {
            Ok(file) => kept.file = Some(file),
            Err(error) => kept.failed(&error),
        }
        kept
    }

    fn failed(&mut self, error: &std::io::Error) {
        self.file = None;
        self.problem
            .get_or_insert_with(|| format!("its output {} cannot be written: {error}", self.path.display()));
    }

    fn write(&mut self, bytes: &[u8]) {
        // Where there is no file any more, the script is not made to wait for one.
        if let Some(Err(error)) = self.file.as_mut().map(|file| file.write_all(bytes)) {
            self.failed(&error);
        }
    }

    fn add(&mut self, bytes: &[u8]) {
        let length = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        self.written = self.written.saturating_add(length);
        let now = usize::try_from(self.room.min(length)).unwrap_or(bytes.len());
        let (now, later) = bytes.split_at(now);
        if !now.is_empty() {
            self.room -= u64::try_from(now.len()).unwrap_or(0);
            self.write(now);
        }
        let (skipped, later) = later.split_at(later.len().saturating_sub(self.most_tail));
        let surplus = (self.tail.len() + later.len()).saturating_sub(self.most_tail);
        self.tail.drain(..surplus);
        self.tail.extend(later);
        self.left_out += skipped.len() + surplus;
    }

    fn end(mut self) -> Written {
        let tail = std::mem::take(&mut self.tail);
        if self.left_out > 0 {
            let said =
                format!("\n[biomero: {} bytes of {} are left out here]\n", self.left_out, self.written);
            self.write(said.as_bytes());
        }
        let (one, other) = tail.as_slices();
        self.write(one);
        self.write(other);
        Written { written: self.written, problem: self.problem }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(most: u64, blocks: &[&[u8]]) -> (String, u64) {
        let file = tempfile::NamedTempFile::new().unwrap();
        let mut kept = Kept::new(file.path().to_owned(), most);
        for block in blocks {
            kept.add(block);
        }
        let written = kept.end();
        assert_eq!(written.problem, None);
        (std::fs::read_to_string(file.path()).unwrap(), written.written)
    }

    #[test]
    fn an_output_that_fits_is_kept_as_it_is() {
        assert_eq!(kept(10, &[b"0123", b"456789"]), ("0123456789".to_owned(), 10));
        assert_eq!(kept(10, &[]), (String::new(), 0));
    }

    #[test]
    fn of_one_that_does_not_its_beginning_and_its_end_are_kept() {
        let (text, written) = kept(10, &[b"0123", b"456789ab", b"c", b"de"]);
        assert_eq!(text, "01234\n[biomero: 5 bytes of 15 are left out here]\nabcde");
        assert_eq!(written, 15);
        let (text, _) = kept(4, &[b"0123456789"]);
        assert_eq!(text, "01\n[biomero: 6 bytes of 10 are left out here]\n89");
    }

    #[test]
    fn nothing_is_kept_where_that_is_wanted() {
        assert_eq!(kept(0, &[b"0123"]), ("\n[biomero: 4 bytes of 4 are left out here]\n".to_owned(), 4));
    }

    #[test]
    fn a_script_does_not_wait_for_a_file_that_cannot_be_written() {
        let mut kept = Kept::new("/nowhere/out".into(), 10);
        kept.add(b"0123");
        let written = kept.end();
        assert_eq!(written.written, 4);
        assert!(written.problem.unwrap().contains("/nowhere/out"));
    }
}
