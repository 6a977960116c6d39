//! Bringing container images to a cluster, behind our back: the work is done there by `pull.sh`, which outlives the login session,
//! and each image has a status that anybody can ask for.
//!
//! Invariants: an image has its name only once it is whole and the container runtime has inspected it; whoever pulls an image holds
//! its lock, so that two never pull it at once; a status that says `pulling` while nobody does is told as what it is.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::PathBuf;
use std::time::Duration;

use biomero_config::slurm_config::Slurm;
use thiserror::Error;

use super::Containers;
use super::images::Wanted;
use crate::{Cluster, Command, Output};

/// What runs on the cluster.
const PULL: &str = include_str!("pull.sh");

/// How many fields `pull.sh status` tells of an image.
const FIELDS: usize = 6;

/// How often it is asked how far the images are.
const EVERY: Duration = Duration::from_secs(2);

/// How images are brought.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// The container runtime on the cluster.
    pub containers: Containers,
    /// Where it unpacks.
    pub temporary: Option<String>,
    /// Where it keeps layers; without, it keeps none.
    pub cache: Option<String>,
    /// How often it is tried.
    pub attempts: u32,
    /// How long until the second try, in whole seconds; each further wait is twice as long.
    pub delay: Duration,
    /// How many bytes have to be free, where the image goes and where it is unpacked, before it is tried.
    pub least_free: u64,
    /// Images that are there are pulled again.
    pub force: bool,
    /// The job that does it; without, a process on the login node.
    pub job: Option<PullJob>,
}

/// The job that pulls.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PullJob {
    /// `--cpus-per-task`, also what the image is packed with; left out when empty.
    pub processors: String,
    /// `--mem`; left out when empty.
    pub memory: String,
    /// Further options of `sbatch`: the name without dashes, and the value.
    pub options: Vec<(String, String)>,
}

impl Options {
    /// As `[SLURM]` says.
    #[must_use]
    pub fn configured(slurm: &Slurm, containers: Containers) -> Self {
        let job = || {
            let partition = slurm.default_partition.iter().map(|name| ("partition".to_owned(), name.clone()));
            PullJob {
                processors: slurm.image_pull_cpus.trim().to_owned(),
                memory: slurm.image_pull_mem.trim().to_owned(),
                options: partition.chain(slurm.sbatch_options.iter().cloned()).collect(),
            }
        };
        Self {
            containers,
            temporary: slurm.apptainer_tmpdir.clone(),
            cache: slurm.apptainer_cachedir.clone(),
            attempts: 3,
            delay: Duration::from_secs(10),
            least_free: 2 << 30,
            force: false,
            job: slurm.image_pull_via_sbatch.then(job),
        }
    }

    fn on(&self, command: Command) -> Command {
        let given = |value: &Option<String>| value.clone().unwrap_or_default();
        let processors = self.job.as_ref().map(|job| job.processors.clone());
        command
            .env("PULL_RUNTIMES", self.containers.runtimes())
            .env("PULL_MODULES", self.containers.modules())
            .env("PULL_TMPDIR", given(&self.temporary))
            .env("PULL_CACHEDIR", given(&self.cache))
            .env("PULL_ATTEMPTS", self.attempts.to_string())
            .env("PULL_DELAY", self.delay.as_secs().to_string())
            .env("PULL_LEAST_KIB", (self.least_free >> 10).to_string())
            .env("PULL_FORCE", if self.force { "yes" } else { "" })
            .env("PULL_CPUS", given(&processors))
    }
}

/// Why images are not on their way.
#[derive(Debug, Error)]
pub enum Error {
    /// The cluster could not be asked.
    #[error(transparent)]
    Cluster(#[from] crate::Error),
    /// What was to be done did not succeed there.
    #[error(
        "cannot {action} on {host}: {reason}; see that the folders of images can be written there: `processor slurm validate`"
    )]
    Refused {
        /// What was tried.
        action: &'static str,
        /// Where.
        host: String,
        /// What was said.
        reason: String,
    },
    /// `sbatch` would not take the job.
    #[error(
        "sbatch on {host} refuses the job that pulls images: {reason}; correct image_pull_cpus, image_pull_mem or the sbatch_ options of [SLURM], or set slurm_image_pull_via_sbatch = false"
    )]
    Submission {
        /// Where.
        host: String,
        /// What `sbatch` said.
        reason: String,
    },
    /// The answer is none.
    #[error("{host} tells of {told} images where it was asked for {asked}: see what its login shell writes")]
    Answer {
        /// Where.
        host: String,
        /// How many it told of.
        told: usize,
        /// How many it was asked for.
        asked: usize,
    },
}

/// Who was told to bring images.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Launched {
    /// Nobody: all are there or on their way.
    Nobody,
    /// A process on the login node, for this many images.
    Process {
        /// Its id there.
        id: u32,
        /// How many images it brings.
        images: usize,
    },
    /// A job, for this many images.
    Job {
        /// Its id.
        id: u32,
        /// How many images it brings.
        images: usize,
    },
}

/// How an image stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// It is there, whole.
    Done,
    /// Somebody was told to bring it, and has not begun.
    Pending,
    /// It is being pulled.
    Pulling,
    /// It could not be had.
    Failed,
    /// Nobody has asked for it.
    Absent,
}

impl State {
    /// The word for it.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Pending => "pending",
            Self::Pulling => "pulling",
            Self::Failed => "failed",
            Self::Absent => "absent",
        }
    }

    /// Whether something is still to be expected.
    #[must_use]
    pub const fn is_under_way(self) -> bool {
        matches!(self, Self::Pending | Self::Pulling)
    }
}

/// How an image stands, with what is known of it. All texts are the cluster's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageStatus {
    /// Which.
    pub wanted: Wanted,
    /// How it stands.
    pub state: State,
    /// Why it failed, or waits.
    pub reason: Option<String>,
    /// Its size in bytes, where it is there.
    pub bytes: Option<u64>,
    /// The SHA-256 of the image, in hexadecimal digits.
    pub digest: Option<String>,
    /// Which attempt it is or was.
    pub attempt: u32,
    /// What the container runtime ended with, once it has.
    pub code: Option<u8>,
    /// When pulling began: seconds since 1970, by the cluster's clock.
    pub started: Option<i64>,
    /// When something was last known, likewise.
    pub changed: Option<i64>,
    /// Where it is or was pulled.
    pub host: Option<String>,
    /// The job that pulls it.
    pub job: Option<String>,
    /// The last lines that the container runtime wrote.
    pub log: String,
}

/// Has missing images brought; returns as soon as somebody was told to.
///
/// # Errors
/// Nobody could be told.
pub async fn launch(cluster: &Cluster, wanted: &[Wanted], options: &Options) -> Result<Launched, Error> {
    let prepare = options.on(Command::shell(PULL).arg("prepare"));
    let prepare = wanted
        .iter()
        .fold(prepare, |command, wanted| command.arg(&wanted.target).arg(wanted.source.to_string()));
    let told = succeeded(cluster, cluster.run(&prepare.repeatable()).await?, "write beside the images")?;
    let pairs: Vec<&OsStr> = told.split_inclusive(|byte| *byte == 0).map(field).collect();
    let images = pairs.len() / 2;
    if images == 0 {
        return Ok(Launched::Nobody);
    }
    if let Some(job) = &options.job {
        let id = submit(cluster, options, job, &pairs).await?;
        let targets = pairs.iter().step_by(2);
        let launched = Command::shell(PULL)
            .args(["launched", "-", "0", "0", &id.to_string()])
            .args(targets)
            .repeatable();
        succeeded(cluster, cluster.run(&launched).await?, "write down who pulls")?;
        return Ok(Launched::Job { id, images });
    }
    let start = options.on(Command::shell(PULL).arg("start").args(&pairs)).input(PULL);
    let told = succeeded(cluster, cluster.run(&start).await?, "start what pulls images")?;
    let id = String::from_utf8_lossy(&told).trim().parse().unwrap_or_default();
    Ok(Launched::Process { id, images })
}

async fn submit(cluster: &Cluster, options: &Options, job: &PullJob, pairs: &[&OsStr]) -> Result<u32, Error> {
    let given = |name: &str, value: &str| (!value.is_empty()).then(|| format!("--{name}={value}"));
    let further = job.options.iter().map(|(name, value)| format!("--{name}={value}"));
    let flags =
        given("cpus-per-task", &job.processors).into_iter().chain(given("mem", &job.memory)).chain(further);
    let sbatch = Command::new("sbatch")
        .args(["--parsable", "--export=ALL", "--job-name=biomero-pull-images", "--output=/dev/null"])
        .args(flags)
        .args(["/dev/stdin", "run"])
        .args(pairs)
        .input(PULL);
    let output = cluster.run(&options.on(sbatch)).await?;
    let refused =
        |reason: &str| Error::Submission { host: cluster.name().to_owned(), reason: reason.to_owned() };
    if !output.status.is_success() {
        return Err(refused(String::from_utf8_lossy(&output.stderr).trim()));
    }
    let told = String::from_utf8_lossy(&output.stdout);
    let id = told.trim().split(';').next().and_then(|id| id.parse().ok());
    id.ok_or_else(|| refused(&format!("it answers {:?}", told.trim())))
}

/// How images stand, in the order they are asked for, in one round trip.
///
/// # Errors
/// The cluster did not answer, or not this.
pub async fn status(cluster: &Cluster, wanted: &[Wanted]) -> Result<Vec<ImageStatus>, Error> {
    let command = Command::shell(PULL).arg("status").args(wanted.iter().map(|wanted| &wanted.target));
    let told = succeeded(cluster, cluster.run(&command.repeatable()).await?, "read beside the images")?;
    let fields: Vec<&OsStr> = told.split_inclusive(|byte| *byte == 0).map(field).collect();
    let answers: Vec<&[&OsStr]> = fields.chunks_exact(FIELDS).collect();
    if answers.len() != wanted.len() {
        let (told, asked) = (answers.len(), wanted.len());
        return Err(Error::Answer { host: cluster.name().to_owned(), told, asked });
    }
    Ok(wanted.iter().zip(answers).map(|(wanted, answer)| read(wanted, answer)).collect())
}

/// Asks how images stand until none is under way any more, or the deadline passes; each answer is told.
///
/// # Errors
/// As [`status`].
pub async fn follow(
    cluster: &Cluster,
    wanted: &[Wanted],
    deadline: Duration,
    told: &mut (dyn FnMut(&[ImageStatus]) + Send),
) -> Result<Vec<ImageStatus>, Error> {
    let end = tokio::time::Instant::now() + deadline;
    loop {
        let images = status(cluster, wanted).await?;
        told(&images);
        let next = tokio::time::Instant::now() + EVERY;
        if next > end || !images.iter().any(|image| image.state.is_under_way()) {
            return Ok(images);
        }
        tokio::time::sleep_until(next).await;
    }
}

fn field(bytes: &[u8]) -> &OsStr {
    OsStr::from_bytes(bytes.strip_suffix(&[0]).unwrap_or(bytes))
}

fn succeeded(cluster: &Cluster, output: Output, action: &'static str) -> Result<Vec<u8>, Error> {
    if output.status.is_success() {
        return Ok(output.stdout);
    }
    let reason = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    Err(Error::Refused { action, host: cluster.name().to_owned(), reason })
}

/// Reads what `pull.sh status` tells of an image: target, status file, size, lock, who was told to, the log's end.
fn read(wanted: &Wanted, answer: &[&OsStr]) -> ImageStatus {
    let text = |at: usize| answer.get(at).map(|field| field.to_string_lossy()).unwrap_or_default();
    let file = text(1);
    let line = |key: &str| {
        let mut lines = file.lines().filter_map(|line| line.split_once(' '));
        lines
            .find(|(name, _)| *name == key)
            .map(|(_, value)| value)
            .filter(|value| !value.is_empty() && *value != "-")
    };
    let number = |key| line(key).and_then(|text| text.parse::<i64>().ok());
    let bytes = text(2).parse().ok();
    let (is_locked, awaited) = (text(3) == "yes", text(4));
    let written = line("reason").map(str::to_owned);
    let nobody = |what: &str| Some(format!("{what}, and nobody does any more: `processor slurm init` again"));
    let (state, reason) = match line("state") {
        Some("pulling") if is_locked => (State::Pulling, written),
        // Whoever has the lock has not written yet: what is there is of an earlier time.
        _ if is_locked => (State::Pulling, None),
        Some("pulling") => (State::Failed, nobody("it was being pulled")),
        Some("pending") if awaited == "no" => (State::Failed, nobody("somebody was told to pull it")),
        Some("pending") => (State::Pending, written),
        Some("failed") => (State::Failed, written),
        Some("done") if bytes.is_none() => (State::Absent, Some("it was there, and was removed".to_owned())),
        _ if bytes.is_some() => (State::Done, None),
        _ => (State::Absent, None),
    };
    let digest =
        line("digest").filter(|text| text.len() == 64 && text.bytes().all(|digit| digit.is_ascii_hexdigit()));
    ImageStatus {
        wanted: wanted.clone(),
        state,
        reason,
        bytes,
        digest: digest.filter(|_| state == State::Done).map(str::to_owned),
        attempt: number("attempt").and_then(|attempt| attempt.try_into().ok()).unwrap_or_default(),
        code: number("code").and_then(|code| code.try_into().ok()).filter(|_| state == State::Failed),
        started: number("started"),
        changed: number("changed"),
        host: line("host").map(str::to_owned),
        job: line("job").map(str::to_owned),
        log: text(5).trim().to_owned(),
    }
}

/// Where the folders of images are: each holds what is wanted.
#[must_use]
pub fn folders(wanted: &[Wanted]) -> Vec<PathBuf> {
    let mut folders: Vec<PathBuf> =
        wanted.iter().filter_map(|wanted| wanted.target.parent().map(PathBuf::from)).collect();
    folders.sort();
    folders.dedup();
    folders
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::setup::images::Source;

    fn wanted() -> Wanted {
        Wanted { of: "w".to_owned(), source: Source::Definition("w.def".into()), target: "i/w_v1.sif".into() }
    }

    fn told(status: &str, size: &str, locked: &str, awaited: &str) -> ImageStatus {
        read(&wanted(), &["/i/w_v1.sif", status, size, locked, awaited, " a line\n"].map(OsStr::new))
    }

    #[test]
    fn a_status_is_believed_only_as_far_as_somebody_is_at_it() {
        let table = [
            ("", "", "no", "no", State::Absent),
            ("", "4", "no", "no", State::Done),
            ("state done", "4", "no", "yes", State::Done),
            ("state done", "", "no", "no", State::Absent),
            ("state pending", "", "no", "yes", State::Pending),
            ("state pending", "", "no", "unknown", State::Pending),
            ("state pending", "", "no", "no", State::Failed),
            ("state pulling", "", "yes", "yes", State::Pulling),
            ("state pulling", "", "no", "no", State::Failed),
            ("state failed", "", "no", "no", State::Failed),
            ("state failed", "", "yes", "no", State::Pulling),
            ("state \u{1b}[2J", "", "no", "no", State::Absent),
        ];
        for (status, size, locked, awaited, state) in table {
            assert_eq!(
                told(status, size, locked, awaited).state,
                state,
                "{status:?} {size:?} {locked} {awaited}"
            );
        }
    }

    #[test]
    fn a_failure_is_told_with_its_code_attempt_and_last_lines() {
        let status =
            told("state failed\nattempt 3\ncode 255\nstarted 5\nreason no such image\njob -", "", "no", "no");
        assert_eq!(status.code, Some(255));
        assert_eq!((status.attempt, status.started, status.job), (3, Some(5), None));
        assert_eq!((status.reason.as_deref(), status.log.as_str()), (Some("no such image"), "a line"));
    }

    proptest! {
        #[test]
        fn whatever_is_told_is_some_status(fields in prop::collection::vec("(?s).{0,60}", 0..8)) {
            let fields: Vec<&OsStr> = fields.iter().map(OsStr::new).collect();
            let status = read(&wanted(), &fields);
            prop_assert!(status.code.is_none() || status.state == State::Failed);
        }
    }
}
