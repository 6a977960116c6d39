//! Everything else that Bio-Formats reads: `bioformats2raw` makes an OME-Zarr of it, in a folder that is gone with the image.
//!
//! Invariants: the program and all that it starts are one process group, which is killed when the work is stopped or this
//! process ends, however it ends; nothing is believed but a folder that our own reader can read; of what it writes on its
//! outputs a bounded part is kept.

mod child;
mod keeper;

use std::fs::Permissions;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use tempfile::TempDir;
use thiserror::Error;

use crate::source::{Limits, ReadError, Source};
use child::{Child, Ended};
use keeper::Keeper;

/// The first version that writes what OME-NGFF 0.4 and its layout say.
pub const MINIMUM: [u32; 3] = [0, 5, 0];

/// What it is called on the `PATH`.
pub const PROGRAM: &str = "bioformats2raw";

/// Java starts in a second or two; on a loaded machine in many.
const VERSION_DEADLINE: Duration = Duration::from_secs(120);

/// How it is run, and who looks on.
#[derive(Clone, Copy)]
pub struct Options<'a> {
    /// The program, by its path or its name on the `PATH`.
    pub program: &'a Path,
    /// Only this image of several.
    pub series: Option<usize>,
    /// Where there is room for the whole image, not compressed well.
    pub folder: &'a Path,
    /// Ends the work soon after it is set.
    pub cancelled: &'a AtomicBool,
    /// Told from time to time how much is done, in hundredths.
    pub progress: &'a (dyn Fn(u64) + Sync),
}

impl std::fmt::Debug for Options<'_> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { program, series, folder, .. } = self;
        let mut told = formatter.debug_struct("Options");
        told.field("program", program).field("series", series).field("folder", folder).finish_non_exhaustive()
    }
}

/// Why there is no image.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum RawError {
    /// It is not installed.
    #[error(
        "{} is neither TIFF nor OME-Zarr, and bioformats2raw, which may read it, is not at {}: install bioformats2raw {} or later with Java and libblosc, or name it with --bioformats2raw",
        path.display(), program.display(), version(MINIMUM)
    )]
    Absent {
        /// What was to be read.
        path: PathBuf,
        /// Where the program should be.
        program: PathBuf,
    },
    /// It may be installed, but does not say what it is.
    #[error(
        "{} does not tell its version: {told}; check that it is bioformats2raw {} or later, and that Java runs", program.display(), version(MINIMUM)
    )]
    Unknown {
        /// The program.
        program: PathBuf,
        /// What it said instead.
        told: String,
    },
    /// It writes another layout.
    #[error("{} is version {found}; install bioformats2raw {} or later", program.display(), version(MINIMUM))]
    Old {
        /// The program.
        program: PathBuf,
        /// What it is.
        found: String,
    },
    /// It could not do it.
    #[error("bioformats2raw cannot read {}: it {how}{}", path.display(), said(.lines))]
    Failed {
        /// What was to be read.
        path: PathBuf,
        /// How it ended.
        how: String,
        /// The last it said.
        lines: Vec<String>,
    },
    /// There was no room.
    #[error("bioformats2raw cannot write to {}: the disk is full; make room and repeat", folder.display())]
    Full {
        /// Where.
        folder: PathBuf,
    },
    /// What it made makes no sense.
    #[error("bioformats2raw has made of {} what cannot be read: {source}", path.display())]
    Nonsense {
        /// What was to be read.
        path: PathBuf,
        /// What is wrong.
        source: ReadError,
    },
    /// The system said no.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Somebody stopped it.
    #[error("it was stopped; nothing half done is left")]
    Cancelled,
}

fn version([major, minor, patch]: [u32; 3]) -> String {
    format!("{major}.{minor}.{patch}")
}

fn said(lines: &[String]) -> String {
    if lines.is_empty() {
        ", and said nothing".to_owned()
    } else {
        format!("; it said:\n{}", lines.join("\n"))
    }
}

/// The folder of an image that was made: gone when this is dropped.
#[derive(Debug)]
pub struct Raw {
    folder: Option<TempDir>,
    keeper: Keeper,
}

impl Drop for Raw {
    fn drop(&mut self) {
        // What is being removed is nobody else's task any more only once it is gone.
        drop(self.folder.take());
        self.keeper.dismiss();
    }
}

/// Has the images of a file made.
///
/// # Errors
/// The program is not there or too old, fails or is stopped; there is no room; what it makes cannot be read.
pub fn open(
    path: &Path,
    limits: Limits,
    options: &Options<'_>,
) -> Result<(Vec<Box<dyn Source>>, Raw), RawError> {
    check_version(path, options)?;
    let failed = |action, path: &Path| {
        let path = path.to_owned();
        move |source| RawError::Io { action, path, source }
    };
    let input = std::path::absolute(path).map_err(failed("find", path))?;
    std::fs::metadata(&input).map_err(failed("read", path))?;
    std::fs::create_dir_all(options.folder).map_err(failed("make", options.folder))?;
    let folder = tempfile::Builder::new()
        .prefix(".bioformats2raw.")
        .suffix(".part")
        .permissions(Permissions::from_mode(0o700))
        .tempdir_in(options.folder)
        .map_err(failed("make a folder in", options.folder))?;
    let folder_path = std::path::absolute(folder.path()).map_err(failed("find", options.folder))?;
    let output = folder_path.join("image.zarr");
    let keeper = Keeper::new(&folder_path).map_err(failed("start", Path::new("/bin/sh")))?;
    let mut raw = Raw { folder: Some(folder), keeper };
    let mut command = Command::new(options.program);
    // The pyramid is made anew; nobody asks for extremes twice. Its cache stays out of the folder of the image.
    command.args(["--progress", "--no-minmax", "--resolutions", "1", "--memo-directory"]).arg(&folder_path);
    if let Some(series) = options.series {
        command.arg(format!("--series={series}"));
    }
    command.arg(&input).arg(&output);
    let mut child = Child::start(command).map_err(failed("start", options.program))?;
    raw.keeper.watch(child.group());
    let ended = child.run(options.cancelled, None, options.progress);
    let ended = ended.map_err(failed("wait for", options.program))?;
    raw.keeper.ended();
    let Ended::By { status, lines, complained } = ended else { return Err(RawError::Cancelled) };
    // It may end well although a series was not written.
    if !status.success() || complained {
        let is_full =
            |line: &String| line.contains("No space left on device") || line.contains("Disk quota exceeded");
        if lines.iter().any(is_full) {
            return Err(RawError::Full { folder: options.folder.to_owned() });
        }
        let how = if status.success() { "complained".to_owned() } else { format!("ended with {status}") };
        return Err(RawError::Failed { path: path.to_owned(), how, lines });
    }
    match crate::zarr::open(&output, limits) {
        Ok(images) => {
            let images = images.into_iter().map(|image| Box::new(image) as Box<dyn Source>).collect();
            Ok((images, raw))
        }
        Err(source) => Err(RawError::Nonsense { path: path.to_owned(), source }),
    }
}

/// Asks which version it is. It answers on standard output, and ends with a code that says nothing.
fn check_version(path: &Path, options: &Options<'_>) -> Result<(), RawError> {
    let program = options.program.to_owned();
    let mut command = Command::new(&program);
    command.arg("--version");
    let started = Child::start(command);
    let mut child = match started {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(RawError::Absent { path: path.to_owned(), program });
        }
        started => {
            started.map_err(|source| RawError::Io { action: "start", path: program.clone(), source })?
        }
    };
    let lines = match child.run(options.cancelled, Some(VERSION_DEADLINE), &|_| ()) {
        Err(source) => return Err(RawError::Io { action: "wait for", path: program, source }),
        Ok(Ended::Cancelled) => return Err(RawError::Cancelled),
        Ok(Ended::Late) => {
            let told = format!("it has not answered within {} s", VERSION_DEADLINE.as_secs());
            return Err(RawError::Unknown { program, told });
        }
        Ok(Ended::By { lines, .. }) => lines,
    };
    let told = lines.iter().find_map(|line| line.strip_prefix("Version = "));
    match told.map(|told| (told, numbers(told))) {
        Some((_, Some(found))) if found >= MINIMUM => Ok(()),
        Some((told, Some(_))) => Err(RawError::Old { program, found: told.to_owned() }),
        // A build of one's own has no number.
        Some(("development", None)) => Ok(()),
        _ => Err(RawError::Unknown {
            program,
            told: lines.last().cloned().unwrap_or_else(|| "nothing".to_owned()),
        }),
    }
}

/// `0.9.1`, `0.10.0-rc1`, `0.11.0-SNAPSHOT`.
fn numbers(text: &str) -> Option<[u32; 3]> {
    let text = text.trim();
    let end = text.find(|letter: char| !letter.is_ascii_digit() && letter != '.').unwrap_or(text.len());
    let mut parts = text[..end].split('.').map(|part| part.parse().ok());
    let found = [parts.next()??, parts.next()??, parts.next().unwrap_or(Some(0))?];
    Some(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_compared_by_their_numbers() {
        for (text, expected) in [
            ("0.9.1", Some([0, 9, 1])),
            ("0.10.0-rc1", Some([0, 10, 0])),
            ("0.11", Some([0, 11, 0])),
            ("1.0.0.4\n", Some([1, 0, 0])),
            ("development", None),
            ("99999999999.1.1", None),
            ("", None),
        ] {
            assert_eq!(numbers(text), expected, "{text:?}");
        }
        assert!([0, 10, 0] > MINIMUM && [0, 4, 9] < MINIMUM);
    }
}
