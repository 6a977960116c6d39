//! `omero import`: the program of OMERO that makes images of files, as a child that does not outlive us.
//!
//! It is told its session on its command line, which other users of the machine can read, and tells its own child the same way:
//! there is no other. So it gets a session of its own that ends with it.

use std::ffi::OsStr;
use std::io::{self, Read, Write as _};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use biomero_omero::Address;
use thiserror::Error;

/// The first version whose importer is told how to print ids.
const OLDEST: (u32, u32) = (5, 4);
/// How long it may take to say its version: Python starts slowly from a disk that nobody has used.
const VERSION: Duration = Duration::from_secs(60);
/// What is kept of what it says, in bytes: ids at most, and the last of its log.
const KEPT: usize = 64 << 10;
/// How soon a stop is noticed.
const PACE: Duration = Duration::from_millis(50);

/// Kills a process group unless it is told before its input ends that there is nothing left to kill: what clears up after us.
const KEEPER: &str = r#"read -r group || exit 0
read -r word || kill -KILL "-$group" 2> /dev/null
"#;

/// Where `omero` is, and how it imports.
#[derive(Debug, Clone)]
pub struct Importer {
    /// The program.
    pub program: PathBuf,
    /// How files get to the server (`--transfer`): `ln_s` and the like leave them where they are, if the server can see them.
    pub transfer: Option<String>,
    /// Where OMERO is.
    pub address: Address,
}

/// Why it does not import.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ImporterError {
    /// It cannot be started.
    #[error(
        "cannot start {}: {source}; install OMERO's command line (omero-py) here, or say where it is with --omero", program.display()
    )]
    Start {
        /// The program.
        program: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It is another program, or too old.
    #[error("{} is not OMERO's command line of version 5.4 or later: it says {said:?}", program.display())]
    Version {
        /// The program.
        program: PathBuf,
        /// What it says.
        said: String,
    },
    /// It did not answer.
    #[error("{} has not said its version within {} s", program.display(), VERSION.as_secs())]
    Silent {
        /// The program.
        program: PathBuf,
    },
    /// It could not import the file.
    #[error("`omero import` ended with {status}: {said}")]
    Failed {
        /// How it ended.
        status: ExitStatus,
        /// The last that it said.
        said: String,
    },
    /// It was stopped.
    #[error("it was stopped")]
    Cancelled,
    /// It cannot be waited for.
    #[error("cannot wait for `omero import`: {0}")]
    Wait(io::Error),
}

/// What is imported.
pub(super) struct Asked<'a> {
    pub(super) file: &'a Path,
    pub(super) session: &'a str,
    pub(super) dataset: i64,
    pub(super) name: &'a str,
    pub(super) description: &'a str,
    pub(super) mark: i64,
}

impl Importer {
    /// Checks that it is what it should be; its version.
    ///
    /// # Errors
    /// It is not there, something else, or too old.
    pub fn version(&self) -> Result<(u32, u32), ImporterError> {
        let mut command = Command::new(&self.program);
        command.arg("version");
        let never = AtomicBool::new(false);
        let ended = match self.run(command, &never, Some(VERSION)) {
            Err(ImporterError::Cancelled) => {
                return Err(ImporterError::Silent { program: self.program.clone() });
            }
            ended => ended?,
        };
        let said = format!("{}{}", ended.output, ended.errors);
        let version = version(&said).filter(|version| *version >= OLDEST);
        version.ok_or_else(|| ImporterError::Version {
            program: self.program.clone(),
            said: said.trim().chars().take(200).collect(),
        })
    }

    /// Imports a file; the ids of the images that it says it has made.
    pub(super) fn import(
        &self,
        asked: &Asked<'_>,
        cancelled: &AtomicBool,
    ) -> Result<Vec<i64>, ImporterError> {
        let mut command = Command::new(&self.program);
        command.arg("import").args(["-s", &self.address.host, "-p", &self.address.port.to_string()]);
        command.args(["-k", asked.session, "-d", &asked.dataset.to_string(), "--output", "ids"]);
        command.args(["--annotation-link", &asked.mark.to_string()]);
        // In one argument each: a name may begin with what looks like a flag.
        command.arg(format!("--name={}", asked.name)).arg(format!("--description={}", asked.description));
        if let Some(transfer) = &self.transfer {
            command.arg(format!("--transfer={transfer}"));
        }
        command.arg(asked.file);
        let ended = self.run(command, cancelled, None)?;
        if !ended.status.success() {
            let said = last_lines(&ended.errors).replace(asked.session, "…");
            return Err(ImporterError::Failed { status: ended.status, said });
        }
        Ok(ids(&ended.output))
    }

    fn run(
        &self,
        mut command: Command,
        cancelled: &AtomicBool,
        within: Option<Duration>,
    ) -> Result<Ended, ImporterError> {
        let start = |source| ImporterError::Start { program: self.program.clone(), source };
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
        let mut keeper = Keeper::start().map_err(start)?;
        let mut child = command.spawn().map_err(start)?;
        keeper.watch(child.id());
        let (output, errors) = (listen(child.stdout.take()), listen(child.stderr.take()));
        let end = within.map(|within| Instant::now() + within);
        let status = loop {
            if let Some(status) = child.try_wait().map_err(ImporterError::Wait)? {
                break status;
            }
            if cancelled.load(Ordering::Relaxed) || end.is_some_and(|end| Instant::now() >= end) {
                // With it goes all that it has started.
                drop(keeper);
                let _ = child.wait();
                return Err(ImporterError::Cancelled);
            }
            std::thread::sleep(PACE);
        };
        keeper.dismiss();
        let read = |listener: std::thread::JoinHandle<String>| listener.join().unwrap_or_default();
        Ok(Ended { status, output: read(output), errors: read(errors) })
    }
}

/// How it ended, and what it said.
struct Ended {
    status: ExitStatus,
    output: String,
    errors: String,
}

/// The shell that kills what is left when we are gone.
struct Keeper(Option<Child>);

impl Keeper {
    fn start() -> io::Result<Self> {
        let mut shell = Command::new("/bin/sh");
        shell.args(["-c", KEEPER]).current_dir("/").process_group(0);
        shell.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        Ok(Self(Some(shell.spawn()?)))
    }

    fn watch(&mut self, group: u32) {
        self.say(&format!("{group}\n"));
    }

    /// There is nothing left to kill.
    fn dismiss(mut self) {
        self.say("done\n");
    }

    fn say(&mut self, word: &str) {
        if let Some(pipe) = self.0.as_mut().and_then(|shell| shell.stdin.as_mut()) {
            let _ = pipe.write_all(word.as_bytes());
        }
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        if let Some(mut shell) = self.0.take() {
            drop(shell.stdin.take());
            let _ = shell.wait();
        }
    }
}

/// Reads to the end what somebody says, and keeps the last of it.
fn listen(output: Option<impl Read + Send + 'static>) -> std::thread::JoinHandle<String> {
    std::thread::spawn(move || {
        let mut kept = Vec::new();
        let mut block = vec![0; 8 << 10];
        if let Some(mut output) = output {
            while let Ok(read) = output.read(&mut block) {
                if read == 0 {
                    break;
                }
                kept.extend_from_slice(&block[..read]);
                let over = kept.len().saturating_sub(KEPT);
                kept.drain(..over);
            }
        }
        String::from_utf8_lossy(&kept).into_owned()
    })
}

/// The first number of three parts, or two: `5.19.4`.
fn version(said: &str) -> Option<(u32, u32)> {
    said.split(|letter: char| !(letter.is_ascii_digit() || letter == '.')).find_map(|word| {
        let mut parts = word.split('.');
        Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
    })
}

/// The images of lines such as `Image:51,52`.
fn ids(output: &str) -> Vec<i64> {
    let lines = output.lines().filter_map(|line| line.trim().strip_prefix("Image:"));
    lines.flat_map(|ids| ids.split(',')).filter_map(|id| id.trim().parse().ok()).collect()
}

/// The last that was said, in one line.
fn last_lines(said: &str) -> String {
    let lines: Vec<&str> = said.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    let last = lines.get(lines.len().saturating_sub(3)..).unwrap_or_default().join("; ");
    last.chars().filter(|letter| !letter.is_control()).take(1000).collect()
}

/// The first program of this name on a path.
#[must_use]
pub fn find(name: &Path, path: Option<&OsStr>) -> Option<PathBuf> {
    if name.components().count() > 1 {
        return Some(name.to_owned());
    }
    std::env::split_paths(path?).map(|folder| folder.join(name)).find(|program| program.is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_and_ids_are_found_in_what_is_said() {
        assert_eq!(
            version("OMERO.py version:\n5.19.4\nOMERO.server version:\n5.6.13-ice36\n"),
            Some((5, 19))
        );
        assert_eq!(version("no number. 7\n"), None);
        assert_eq!(ids("Fileset:7\nImage:51,52\nImage:60\nOther imported objects:\n"), [51, 52, 60]);
        assert_eq!(last_lines("a\n\n b\nc\nd\u{1b}[31m\n"), "b; c; d[31m");
    }

    #[test]
    fn a_program_that_is_another_or_does_not_end_is_told_as_such() {
        let importer = |program: &str| Importer {
            program: program.into(),
            transfer: None,
            address: Address::plain("omero"),
        };
        assert!(matches!(importer("/nonexistent/omero").version(), Err(ImporterError::Start { .. })));
        assert!(matches!(importer("/bin/true").version(), Err(ImporterError::Version { .. })));
        let cancelled = AtomicBool::new(true);
        let mut sleeping = Command::new("/bin/sh");
        sleeping.args(["-c", "sleep 100 & wait"]);
        let began = Instant::now();
        let ended = importer("/bin/sh").run(sleeping, &cancelled, None);
        assert!(matches!(ended, Err(ImporterError::Cancelled)));
        // With what it had started, which holds its output.
        assert!(began.elapsed() < Duration::from_secs(50));
    }
}
