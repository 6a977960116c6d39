//! What a session writes: everything up to the mark is the login shell's, everything behind it the command's.
//!
//! Invariants: what a login shell says never reaches an answer; how much of it is read, and kept, is bounded. Behind the
//! mark nothing is copied: a reader's buffer is filled by the pipe itself.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep};

/// How much a login shell may say before the command begins, in bytes: 1 MiB.
pub(super) const MOST_NOISE: usize = 1 << 20;

/// How much of standard error is kept, in bytes: the last 64 KiB.
pub(super) const KEPT: usize = 64 << 10;

/// How much is read at once while nobody else says how much.
const PIECE: usize = 16 << 10;

/// Why a session's output has no mark.
#[derive(Debug)]
pub(super) enum Silence {
    /// It ended.
    Ended(Tail),
    /// The login shell goes on and on.
    Endless(Tail),
    /// It could not be read.
    Unreadable(io::Error),
}

/// Reads up to the mark: the id of the command's process, and the stream from there on.
pub(super) async fn after_the_mark<R: AsyncRead + Unpin>(
    mut stream: R,
    mark: &str,
) -> Result<(u32, Behind<R>), Silence> {
    let mut read = Vec::with_capacity(PIECE);
    let mut looked_at = 0;
    loop {
        read.reserve(PIECE);
        match stream.read_buf(&mut read).await {
            Ok(0) => return Err(Silence::Ended(Tail::of(&read))),
            Ok(_) => {}
            Err(error) => return Err(Silence::Unreadable(error)),
        }
        match find(&read, looked_at, mark.as_bytes()) {
            Found::Mark { process, end } => {
                read.drain(..end);
                return Ok((process, Behind { first: read, given: 0, stream }));
            }
            Found::Not { from } => looked_at = from,
        }
        if read.len() > MOST_NOISE {
            return Err(Silence::Endless(Tail::of(&read)));
        }
    }
}

/// Where the mark is.
#[derive(Debug, PartialEq, Eq)]
enum Found {
    Mark {
        process: u32,
        end: usize,
    },
    /// Not yet; what is before `from` need not be looked at again.
    Not {
        from: usize,
    },
}

/// The mark, a blank, digits, the end of the line. What is before it on the line is noise without a line's end.
fn find(text: &[u8], mut from: usize, mark: &[u8]) -> Found {
    while let Some(at) = position(text.get(from..).unwrap_or_default(), mark) {
        let behind = from + at + mark.len();
        let rest = text.get(behind..).unwrap_or_default();
        let Some(end) = rest.iter().position(|byte| *byte == b'\n') else {
            return Found::Not { from: from + at };
        };
        let digits = rest.get(..end).and_then(|line| std::str::from_utf8(line).ok());
        if let Some(Ok(process)) = digits.and_then(|text| text.strip_prefix(' ')).map(str::parse) {
            return Found::Mark { process, end: behind + end + 1 };
        }
        from = behind;
    }
    Found::Not { from: from.max(text.len().saturating_sub(mark.len())) }
}

fn position(text: &[u8], part: &[u8]) -> Option<usize> {
    text.windows(part.len().max(1)).position(|window| window == part)
}

/// A stream behind the mark.
#[derive(Debug)]
pub(super) struct Behind<R> {
    first: Vec<u8>,
    given: usize,
    stream: R,
}

impl<R: AsyncRead + Unpin> AsyncRead for Behind<R> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.given < self.first.len() {
            let left = self.first.get(self.given..).unwrap_or_default();
            let now = left.get(..buffer.remaining()).unwrap_or(left);
            buffer.put_slice(now);
            self.given += now.len();
            if self.given == self.first.len() {
                self.first = Vec::new();
                self.given = 0;
            }
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

/// The end of what was said, from the mark on where there is one.
#[derive(Debug, Default)]
pub(super) struct Tail {
    kept: Vec<u8>,
}

impl Tail {
    fn of(text: &[u8]) -> Self {
        let mut tail = Self::default();
        tail.push(text);
        tail
    }

    pub(super) fn push(&mut self, text: &[u8]) {
        self.kept.extend_from_slice(text);
        // Not at each piece: moving 64 KiB costs more than reading them.
        if self.kept.len() > 2 * KEPT {
            self.shorten();
        }
    }

    fn shorten(&mut self) {
        let surplus = self.kept.len().saturating_sub(KEPT);
        self.kept.drain(..surplus);
    }

    pub(super) fn into_bytes(mut self) -> Vec<u8> {
        self.shorten();
        self.kept
    }

    pub(super) fn holds(&self, text: &str) -> bool {
        position(&self.kept, text.as_bytes()).is_some()
    }

    pub(super) fn text(&self) -> String {
        String::from_utf8_lossy(&self.kept).into_owned()
    }

    /// Its last lines that are not empty, for a message.
    pub(super) fn last_words(&self) -> String {
        let text = String::from_utf8_lossy(&self.kept);
        let lines: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
        lines.get(lines.len().saturating_sub(3)..).unwrap_or_default().join("; ")
    }
}

/// The end of standard error, and whether the command ever began.
#[derive(Debug, Default)]
pub(super) struct Said {
    pub(super) tail: Tail,
    pub(super) marked: bool,
}

/// Reads standard error to its end.
pub(super) async fn said<R: AsyncRead + Unpin>(mut stream: R, mark: String) -> Said {
    let mut said = Said::default();
    let line = format!("{mark}\n").into_bytes();
    let mut piece = Vec::with_capacity(PIECE);
    loop {
        piece.clear();
        match stream.read_buf(&mut piece).await {
            Ok(0) | Err(_) => return said,
            Ok(_) => said.push(&piece, &line),
        }
    }
}

impl Said {
    fn push(&mut self, piece: &[u8], mark: &[u8]) {
        if self.marked {
            self.tail.push(piece);
            return;
        }
        let before = self.tail.kept.len().saturating_sub(mark.len());
        self.tail.kept.extend_from_slice(piece);
        if let Some(at) = position(self.tail.kept.get(before..).unwrap_or_default(), mark) {
            self.tail.kept.drain(..before + at + mark.len());
            self.marked = true;
        }
        self.tail.push(&[]);
    }
}

/// A stream that ends with an error ([`io::ErrorKind::TimedOut`]) where nothing comes until the deadline.
#[derive(Debug)]
pub(super) struct Until<S> {
    stream: S,
    deadline: Pin<Box<Sleep>>,
}

impl<S> Until<S> {
    pub(super) fn new(stream: S, deadline: Instant) -> Self {
        Self { stream, deadline: Box::pin(tokio::time::sleep_until(deadline)) }
    }

    fn passed<T>(&mut self, context: &mut Context<'_>) -> Poll<io::Result<T>> {
        ready!(self.deadline.as_mut().poll(context));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Until<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match Pin::new(&mut self.stream).poll_read(context, buffer) {
            // The clock is asked only where there is nothing else to do.
            Poll::Pending => self.passed(context),
            ready => ready,
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Until<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        text: &[u8],
    ) -> Poll<io::Result<usize>> {
        match Pin::new(&mut self.stream).poll_write(context, text) {
            Poll::Pending => self.passed(context),
            ready => ready,
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MARK: &str = "0123456789abcdef0123456789abcdef";

    fn run<T>(future: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .expect("a runtime")
            .block_on(future)
    }

    /// A stream that comes in these pieces.
    fn pieces(all: &[u8], size: usize) -> impl AsyncRead + Unpin {
        let mut mock = tokio::io::duplex(size.max(1));
        let all = all.to_vec();
        tokio::spawn(async move {
            let _ = tokio::io::AsyncWriteExt::write_all(&mut mock.0, &all).await;
        });
        mock.1
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(256))]

        #[test]
        fn whatever_a_login_shell_says_the_answer_begins_behind_the_mark(
            noise in prop::collection::vec(any::<u8>(), 0..600),
            near in prop_oneof![Just(""), Just("0123456789abcdef"), Just("0123456789abcdef0123456789abcdef"),
                Just("0123456789abcdef0123456789abcdef x\n"), Just("0123456789abcdef0123456789abcdef 99999999999\n")],
            answer in prop::collection::vec(any::<u8>(), 0..600),
            process in any::<u32>(),
            size in 1_usize..80,
        ) {
            let mut all = noise;
            all.extend_from_slice(near.as_bytes());
            all.extend_from_slice(format!("{MARK} {process}\n").as_bytes());
            all.extend_from_slice(&answer);
            let (told, read) = run(async {
                let (told, mut behind) = after_the_mark(pieces(&all, size), MARK).await.expect("a mark");
                let mut read = Vec::new();
                behind.read_to_end(&mut read).await.expect("the rest");
                (told, read)
            });
            prop_assert_eq!(told, process);
            prop_assert_eq!(read, answer);
        }

        #[test]
        fn of_standard_error_the_end_behind_the_mark_is_kept(
            noise in prop::collection::vec(any::<u8>(), 0..300),
            many in 0_usize..4,
            words in prop::collection::vec(any::<u8>(), 0..300),
            size in 1_usize..5000,
        ) {
            let noise = noise.repeat(many * 200 + 1);
            let words = words.repeat(many * 200 + 1);
            let mut all = noise;
            all.extend_from_slice(format!("{MARK}\n").as_bytes());
            all.extend_from_slice(&words);
            let said = run(async { said(pieces(&all, size), MARK.to_owned()).await });
            prop_assert!(said.marked);
            prop_assert_eq!(said.tail.into_bytes(), &words[words.len().saturating_sub(KEPT)..]);
        }
    }

    #[test]
    fn a_login_shell_without_an_end_is_given_up() {
        let silence =
            run(async { after_the_mark(tokio::io::repeat(b'y'), MARK).await.expect_err("no mark") });
        assert!(matches!(silence, Silence::Endless(_)), "{silence:?}");
    }

    #[test]
    fn what_a_login_shell_said_last_is_remembered() {
        let silence = run(async {
            let said: &[u8] = b"Welcome\n\nThis account is currently not available.\n";
            after_the_mark(said, MARK).await.expect_err("no mark")
        });
        let Silence::Ended(tail) = silence else { panic!("{silence:?}") };
        assert_eq!(tail.last_words(), "Welcome; This account is currently not available.");
    }
}
