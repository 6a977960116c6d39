//! A program of others in a process group of its own: what it says is read to the end, and it is killed with all that it has
//! started when it is stopped.

use std::collections::VecDeque;
use std::io::{self, Read};
use std::os::unix::process::CommandExt as _;
use std::process::{Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

/// How soon a stop is noticed. A signal sets a flag and wakes nobody, as in the pipeline.
const PACE: Duration = Duration::from_millis(50);

/// What is kept of what it says: so many lines, of so many bytes each.
const LINES: usize = 12;
const LINE: usize = 1000;

/// How long is waited for its last words, where something that it started holds its outputs.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// How it ended.
#[derive(Debug)]
pub(super) enum Ended {
    /// By itself.
    By {
        status: ExitStatus,
        /// The last that it said, without how far it was.
        lines: Vec<String>,
        /// Whether a line of its log was an error.
        complained: bool,
    },
    /// It was stopped.
    Cancelled,
    /// Its time was over.
    Late,
}

/// A running program. Dropped, it is killed.
#[derive(Debug)]
pub(super) struct Child {
    process: std::process::Child,
    lines: Receiver<String>,
    // With it the receiver never ends, and is what the loop waits on.
    _open: SyncSender<String>,
    is_over: bool,
}

impl Child {
    pub(super) fn start(mut command: Command) -> io::Result<Self> {
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
        let mut process = command.spawn()?;
        let (sender, lines) = sync_channel(64);
        let outputs: [Option<Box<dyn Read + Send>>; 2] = [
            process.stdout.take().map(|output| Box::new(output) as _),
            process.stderr.take().map(|output| Box::new(output) as _),
        ];
        for output in outputs.into_iter().flatten() {
            let sender = sender.clone();
            std::thread::spawn(move || listen(output, &sender));
        }
        Ok(Self { process, lines, _open: sender, is_over: false })
    }

    /// The id of its process group.
    pub(super) fn group(&self) -> u32 {
        self.process.id()
    }

    /// Waits for its end, or ends it.
    pub(super) fn run(
        &mut self,
        cancelled: &AtomicBool,
        within: Option<Duration>,
        progress: &dyn Fn(u64),
    ) -> io::Result<Ended> {
        let deadline = within.map(|within| Instant::now() + within);
        let mut heard = Heard::default();
        loop {
            if cancelled.load(Ordering::Relaxed) {
                self.kill();
                return Ok(Ended::Cancelled);
            }
            if deadline.is_some_and(|deadline| Instant::now() >= deadline) {
                self.kill();
                return Ok(Ended::Late);
            }
            if let Ok(line) = self.lines.recv_timeout(PACE) {
                heard.line(line, progress);
                continue;
            }
            if let Some(status) = self.process.try_wait()? {
                self.is_over = true;
                let end = Instant::now() + LAST_WORDS;
                // Silence for a moment is the end: the outputs were read while it ran.
                while Instant::now() < end
                    && let Ok(line) = self.lines.recv_timeout(PACE)
                {
                    heard.line(line, progress);
                }
                let Heard { lines, complained } = heard;
                return Ok(Ended::By { status, lines: lines.into(), complained });
            }
        }
    }

    fn kill(&mut self) {
        if self.is_over {
            return;
        }
        // Not reaped yet: the number is still its own.
        if let Ok(group) = i32::try_from(self.process.id()) {
            let _ = killpg(Pid::from_raw(group), Signal::SIGKILL);
        }
        let _ = self.process.wait();
        self.is_over = true;
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        self.kill();
    }
}

/// What was said.
#[derive(Debug, Default)]
struct Heard {
    lines: VecDeque<String>,
    complained: bool,
}

impl Heard {
    fn line(&mut self, line: String, progress: &dyn Fn(u64)) {
        if let Some(percent) = percent(&line) {
            progress(percent);
            return;
        }
        // Where it happened in a program of others pushes out what happened.
        if line.starts_with("\tat ") || line.starts_with("\t... ") {
            return;
        }
        self.complained |= line.split_whitespace().take(6).any(|word| word == "ERROR");
        self.lines.push_back(line);
        if self.lines.len() > LINES {
            self.lines.pop_front();
        }
    }
}

/// How far it is: a bar has brackets or bars, and a number before `%`.
fn percent(line: &str) -> Option<u64> {
    let (before, after) = line.split_once('%')?;
    let digits = before.rsplit(|letter: char| !letter.is_ascii_digit()).next()?;
    let is_bar = after.contains(['[', '|', '│', '█']) || before.contains('[');
    digits.parse().ok().filter(|percent| *percent <= 100 && is_bar)
}

/// Hands over lines; a bar is drawn anew behind a carriage return, and counts as one.
fn listen(mut output: Box<dyn Read + Send>, lines: &SyncSender<String>) {
    let mut buffer = vec![0; 8192];
    let mut line = Vec::new();
    loop {
        let length = match output.read(&mut buffer) {
            Ok(0) => break,
            Ok(length) => length,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(_) => break,
        };
        for byte in &buffer[..length] {
            if !matches!(byte, b'\n' | b'\r') {
                if line.len() < LINE {
                    line.push(*byte);
                }
            } else if !line.is_empty() {
                let text = String::from_utf8_lossy(&line).into_owned();
                line.clear();
                if lines.send(text).is_err() {
                    return;
                }
            }
        }
    }
    if !line.is_empty() {
        let _ = lines.send(String::from_utf8_lossy(&line).into_owned());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(text: &str) -> Child {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", text]);
        Child::start(command).expect("a shell")
    }

    #[test]
    fn the_last_words_are_kept_and_a_bar_is_progress() {
        let never = AtomicBool::new(false);
        let told = std::sync::Mutex::new(Vec::new());
        let text = "for n in 1 2 3 4 5 6 7 8 9 10 11 12 13 14; do echo $n; printf '\tat loci.Reader(Reader.java:1)\n'; done; printf '\\r [==  ] 40%%\\r [====] 100%%\\n' >&2; exit 3";
        let ended = shell(text).run(&never, None, &|percent| {
            told.lock().expect("nobody panicked").push(percent);
        });
        let Ok(Ended::By { status, lines, complained }) = ended else { panic!("{ended:?}") };
        assert_eq!((status.code(), complained), (Some(3), false));
        assert_eq!(lines.first().map(String::as_str), Some("3"));
        assert_eq!(lines.last().map(String::as_str), Some("14"));
        assert_eq!(*told.lock().expect("nobody panicked"), [40, 100]);
        let ended = shell("echo '2024-01-01 [main] ERROR c.g.b.Converter - Error while writing series 0'");
        let Ok(Ended::By { complained: true, .. }) = { ended }.run(&never, None, &|_| ()) else {
            panic!("it has complained")
        };
    }

    #[test]
    fn what_is_stopped_or_late_is_gone_with_what_it_started() {
        let folder = tempfile::tempdir().expect("a folder");
        let pids = folder.path().join("pids");
        for late in [false, true] {
            let text = format!("sleep 600 & echo $! $$ > {0}.new; mv {0}.new {0}; wait", pids.display());
            let mut child = shell(&text);
            let cancelled = AtomicBool::new(false);
            let ended = std::thread::scope(|scope| {
                let within = late.then_some(Duration::from_millis(1500));
                let (child, cancelled) = (&mut child, &cancelled);
                let running =
                    scope.spawn(move || child.run(cancelled, within, &|_| ()).expect("it is waited for"));
                while !pids.exists() {
                    std::thread::sleep(Duration::from_millis(5));
                }
                cancelled.store(!late, Ordering::Relaxed);
                running.join().expect("it ended")
            });
            assert!(matches!((late, ended), (false, Ended::Cancelled) | (true, Ended::Late)));
            for pid in std::fs::read_to_string(&pids).expect("pids").split_whitespace() {
                let gone = || {
                    let state = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
                    // One that nobody has waited for yet is dead too.
                    state.is_empty() || state.contains(") Z ")
                };
                let end = Instant::now() + Duration::from_secs(20);
                while !gone() {
                    assert!(Instant::now() < end, "{pid} lives");
                    std::thread::sleep(Duration::from_millis(5));
                }
            }
            std::fs::remove_file(&pids).expect("it is there");
        }
    }

    #[test]
    fn a_percentage_counts_only_within_a_bar() {
        for (line, expected) in [
            ("[0/0] 42% [=====>     ] 3/9", Some(42)),
            ("series 0 100% │███│ 9/9", Some(100)),
            ("compressed to 42% of its size", None),
            ("[x] 420%", None),
            ("%", None),
        ] {
            assert_eq!(percent(line), expected, "{line}");
        }
    }
}
