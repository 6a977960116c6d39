//! A service's own output with its name before each line, for `log.services = "prefixed"`.
//!
//! Invariants: memory is bounded, whatever a service writes (a line is cut at [`MOST_LINE`] and goes on in the next
//! one, marked); what is read but cannot be written yet holds up the service's pipe, never the loop that collects
//! processes: writing happens in a thread of its own.

use std::io::{self, Write as _};
use std::os::fd::OwnedFd;
use std::time::Duration;

use nix::fcntl::OFlag;
use tokio::io::AsyncReadExt as _;
use tokio::net::unix::pipe::Receiver;
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

/// The longest piece of a line that is written at once.
const MOST_LINE: usize = 8 * 1024;

/// Pieces that wait for standard output.
const MOST_WAITING: usize = 16;

/// Where a piece goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stream {
    Out,
    Error,
}

/// Writes lines, one after the other, in a thread that may block.
#[derive(Debug, Clone)]
pub(super) struct Printer {
    pieces: mpsc::Sender<(Stream, Vec<u8>)>,
}

/// Ends once everything was written.
#[derive(Debug)]
pub(super) struct Printed(oneshot::Receiver<()>);

impl Printed {
    /// Waits until what the services wrote is out, at most this long.
    pub(super) async fn wait(self, longest: Duration) {
        // Nobody reads our output: what is left cannot be told to anyone.
        let _ = timeout(longest, self.0).await;
    }
}

impl Printer {
    pub(super) fn start() -> io::Result<(Self, Printed)> {
        let (pieces, mut waiting) = mpsc::channel::<(Stream, Vec<u8>)>(MOST_WAITING);
        let (done, printed) = oneshot::channel();
        std::thread::Builder::new().name("printer".to_owned()).stack_size(128 * 1024).spawn(move || {
            while let Some((stream, piece)) = waiting.blocking_recv() {
                // A closed standard output must not end the services.
                let _ = match stream {
                    Stream::Out => {
                        let mut out = io::stdout();
                        out.write_all(&piece).and_then(|()| out.flush())
                    }
                    Stream::Error => io::stderr().write_all(&piece),
                };
            }
            let _ = done.send(());
        })?;
        Ok((Self { pieces }, Printed(printed)))
    }

    /// The writing end of a pipe for one stream of one service; its lines come out until the last writer is gone.
    pub(super) fn pipe(&self, service: &str, stream: Stream) -> io::Result<OwnedFd> {
        let (reader, writer) = nix::unistd::pipe2(OFlag::O_CLOEXEC)?;
        nix::fcntl::fcntl(&reader, nix::fcntl::FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
        let mut reader = Receiver::from_owned_fd_unchecked(reader)?;
        let pieces = self.pieces.clone();
        let mut lines = Lines::new(service);
        tokio::spawn(async move {
            let mut bytes = [0; 4096];
            loop {
                let (read, ended) = match reader.read(&mut bytes).await {
                    Ok(0) | Err(_) => (0, true),
                    Ok(read) => (read, false),
                };
                let mut out = Vec::new();
                lines.take(&bytes[..read], &mut out);
                if ended {
                    lines.end(&mut out);
                }
                if !out.is_empty() && pieces.send((stream, out)).await.is_err() || ended {
                    return;
                }
            }
        });
        Ok(writer)
    }
}

/// Cuts bytes into prefixed lines.
#[derive(Debug)]
struct Lines {
    prefix: Vec<u8>,
    continued: Vec<u8>,
    line: Vec<u8>,
    /// The line began in a piece that is out already.
    goes_on: bool,
}

impl Lines {
    fn new(service: &str) -> Self {
        let (prefix, continued) = (format!("{service} | "), format!("{service} + "));
        Self { prefix: prefix.into(), continued: continued.into(), line: Vec::new(), goes_on: false }
    }

    fn take(&mut self, mut bytes: &[u8], out: &mut Vec<u8>) {
        while let Some((&first, _)) = bytes.split_first() {
            if first == b'\n' {
                // A piece that was cut right before its newline is complete.
                if !self.line.is_empty() || !self.goes_on {
                    self.put(out);
                }
                self.goes_on = false;
                bytes = &bytes[1..];
                continue;
            }
            if self.line.len() == MOST_LINE {
                self.put(out);
                self.goes_on = true;
            }
            let room = MOST_LINE - self.line.len();
            let end =
                bytes.iter().take(room).position(|&byte| byte == b'\n').unwrap_or(room.min(bytes.len()));
            self.line.extend_from_slice(&bytes[..end]);
            bytes = &bytes[end..];
        }
    }

    fn end(&mut self, out: &mut Vec<u8>) {
        if !self.line.is_empty() {
            self.put(out);
        }
    }

    fn put(&mut self, out: &mut Vec<u8>) {
        out.extend_from_slice(if self.goes_on { &self.continued } else { &self.prefix });
        out.append(&mut self.line);
        out.push(b'\n');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prefixed(pieces: &[&[u8]]) -> String {
        let mut lines = Lines::new("node");
        let mut out = Vec::new();
        for piece in pieces {
            lines.take(piece, &mut out);
        }
        lines.end(&mut out);
        String::from_utf8_lossy(&out).into_owned()
    }

    #[test]
    fn every_line_gets_the_service_s_name_however_it_arrives() {
        for (pieces, expected) in [
            (&[&b"a\nb\n"[..]][..], "node | a\nnode | b\n"),
            (&[b"a", b"b", b"\nc"], "node | ab\nnode | c\n"),
            (&[b"\n\n"], "node | \nnode | \n"),
            (&[b""], ""),
        ] {
            assert_eq!(prefixed(pieces), expected);
        }
    }

    #[test]
    fn an_endless_line_is_cut_and_goes_on_marked() {
        let text = prefixed(&[&vec![b'x'; MOST_LINE + 1], b"\ny\n"]);
        let lengths: Vec<_> = text.lines().map(|line| (&line[..7], line.len() - 7)).collect();
        assert_eq!(lengths, [("node | ", MOST_LINE), ("node + ", 1), ("node | ", 1)]);
        assert_eq!(prefixed(&[&vec![b'x'; MOST_LINE], b"\n"]).lines().count(), 1);
    }
}
