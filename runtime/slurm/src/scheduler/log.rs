//! A job's log: where it is, and what is new in it.
//!
//! Invariants: each byte is read once, none is left out, and a log that began anew (its job was put back into the queue) is
//! noticed; what is kept is bounded. One round trip for each look, by one descriptor, so that size and content are of the
//! same file.

mod lines;
mod name;
mod together;

use std::path::{Path, PathBuf};

pub use lines::{LONGEST, Lines};
pub use name::{Names, path};
pub(crate) use together::here;
pub use together::{Look, MOST_LOGS, Wish};
pub(super) use together::{arguments, looks};

use super::{Error, Slurm};
use crate::cluster::{self, Cluster};
use crate::command::{Command, Status};
use crate::job::JobId;

/// How much is read at a time, in bytes.
const AT_ONCE: usize = 1 << 20;

/// How many bytes before the place we are at are compared: a log that was truncated and has grown again since differs there.
const COMPARED: usize = 64;

/// Follows a log.
#[derive(Debug, Clone)]
pub struct Follower {
    path: PathBuf,
    offset: u64,
    file: Option<String>,
    last: Vec<u8>,
}

/// What a look at a log has shown.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct News {
    /// What is new, in order; 1 MiB at most.
    pub bytes: Vec<u8>,
    /// The log began anew: what was read before is of a former life of the job, and `bytes` begin at the beginning.
    pub restarted: bool,
    /// There is no log yet, or not any more.
    pub missing: bool,
    /// There is more already.
    pub more: bool,
    /// What was written before `bytes` was left out, as there was too much of it: they begin with a line, where there is one.
    pub skipped: bool,
}

/// The path, the first byte counted from 1, and how many at most.
const READ: &str = r#"
[ -e "$1" ] || exit 44
exec 3<"$1" || exit 45
stat -L -c '%d:%i/%s' /dev/fd/3 || exit 45
tail -c "+$2" <&3 | head -c "$3"
"#;

impl Follower {
    /// Of a log that may not be there yet. Relative paths begin at the login folder.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), offset: 0, file: None, last: Vec::new() }
    }

    /// Which log.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// How much of it has been read, in bytes.
    #[must_use]
    pub const fn offset(&self) -> u64 {
        self.offset
    }

    /// Looks for what is new. Cancelled, nothing is lost: the next look begins where the last one ended.
    ///
    /// # Errors
    /// The log cannot be read, or the cluster cannot be asked; the next look may succeed.
    pub async fn look(&mut self, cluster: &Cluster) -> Result<News, cluster::Error> {
        let Some(look) = self.read(cluster).await? else {
            return Ok(News { missing: true, ..News::default() });
        };
        match self.take(look) {
            Some(news) => Ok(news),
            None => {
                // From the beginning; what was known is of another file.
                *self = Self::new(std::mem::take(&mut self.path));
                let Some(look) = self.read(cluster).await? else {
                    return Ok(News { missing: true, restarted: true, ..News::default() });
                };
                let news = self.take(look).unwrap_or_default();
                Ok(News { restarted: true, ..news })
            }
        }
    }

    /// What it wants of a look at many logs.
    #[must_use]
    pub fn wish(&self) -> Wish {
        let known = self.file.as_ref().map(|file| (file.clone(), self.offset));
        Wish { path: self.path.clone(), known, from: self.before() }
    }

    /// What is new in a look at its log. Of a log that began anew nothing is told yet: the next look has it.
    pub fn seen(&mut self, look: Look) -> News {
        match self.take(look) {
            Some(news) => news,
            None => {
                *self = Self::new(std::mem::take(&mut self.path));
                News { restarted: true, more: true, ..News::default() }
            }
        }
    }

    /// Where the bytes begin that are compared.
    const fn before(&self) -> u64 {
        self.offset - self.last.len() as u64
    }

    async fn read(&self, cluster: &Cluster) -> Result<Option<Look>, cluster::Error> {
        let from = self.before();
        let most = AT_ONCE + COMPARED;
        let command = Command::shell(READ).arg(&self.path).arg((from + 1).to_string()).arg(most.to_string());
        let output = cluster.run(&command.largest_answer(most + 200).repeatable()).await?;
        let trouble = |reason: String| cluster::Error::File {
            host: cluster.name().to_owned(),
            action: "read",
            path: self.path.clone(),
            kind: std::io::ErrorKind::Other,
            reason,
        };
        match output.status {
            Status::Exited(0) => {}
            Status::Exited(44) => return Ok(None),
            _ => return Err(trouble(String::from_utf8_lossy(&output.stderr).trim().to_owned())),
        }
        Look::read(output.stdout, from).map(Some).ok_or_else(|| trouble("its size cannot be told".to_owned()))
    }

    /// What is new in it; none where it is another log than before.
    fn take(&mut self, look: Look) -> Option<News> {
        let another = self.file.as_ref().is_some_and(|file| *file != look.file);
        // What was read before and has come once more, as far as it has.
        let again = usize::try_from(self.offset.saturating_sub(look.from)).ok()?;
        let (before, fresh) = look.bytes.split_at_checked(again)?;
        let compared = self.last.get(self.last.len().saturating_sub(again)..).unwrap_or_default();
        if another || look.size < self.offset || !before.ends_with(compared) {
            return None;
        }
        let mut bytes = fresh.to_vec();
        bytes.truncate(AT_ONCE);
        self.file = Some(look.file);
        let skipped = look.from > self.offset;
        if skipped {
            self.last.clear();
        }
        self.offset = self.offset.max(look.from) + bytes.len() as u64;
        self.last.extend_from_slice(bytes.get(bytes.len().saturating_sub(COMPARED)..).unwrap_or_default());
        self.last.drain(..self.last.len().saturating_sub(COMPARED));
        if skipped && let Some(end) = bytes.iter().position(|byte| matches!(byte, b'\n' | b'\r')) {
            bytes.drain(..=end);
        }
        let more = look.size > self.offset;
        Some(News { bytes, restarted: false, missing: false, more, skipped })
    }
}

/// The job; then what is known where slurmctld has forgotten it: its folder and how it was submitted.
const WHERE: &str = r#"
export LC_ALL=C
timeout -k 2 "$2" scontrol show job "$1" 2>/dev/null
printf '%s' "$3"
timeout -k 2 "$2" sacct -n -X -p --delimiter="$3" -o JobName,User,WorkDir,SubmitLine -j "$1" 2>/dev/null
exit 0
"#;

impl Slurm {
    /// Where the log of a job or of a task is: as slurmctld says, or by what the accounting knows of the submission.
    ///
    /// # Errors
    /// Nobody knows the job any more, or it is an array, whose tasks have a log each.
    pub async fn log_of(&self, id: JobId) -> Result<PathBuf, Error> {
        let mark = super::frame::Marks::new().field;
        let command = Command::shell(WHERE).arg(id.to_string()).arg(self.seconds()).arg(&mark);
        let command = command.largest_answer(64 << 20).repeatable().deadline(self.deadline(2));
        let answer = String::from_utf8_lossy(&self.cluster.ask(&command).await?).into_owned();
        let (controller, accounting) = answer.split_once(mark.as_str()).unwrap_or((&answer, ""));
        let no_log = |reason: &str| Error::NoLog {
            job: id,
            host: self.cluster.name().to_owned(),
            reason: reason.to_owned(),
        };
        if controller.matches("JobId=").count() > 1 && controller.contains("ArrayJobId=") && id.task.is_none()
        {
            return Err(no_log("it is an array, whose tasks have a log each: name one of them, as 1234_0"));
        }
        if let Some(path) = standard_output(controller) {
            return Ok(path);
        }
        let fields: Vec<&str> = accounting.split(mark.as_str()).collect();
        let [name, user, folder, line, ..] = fields.as_slice() else {
            return Err(no_log("neither slurmctld nor the accounting knows it (any more)"));
        };
        let pattern =
            output_option(line).unwrap_or(if id.task.is_some() { "slurm-%A_%a.out" } else { "slurm-%j.out" });
        let names = Names { id, raw: id.task.is_none().then_some(id.job), name, user };
        let path = path(pattern, &names).ok_or_else(|| {
            no_log("slurmctld has forgotten it, and the name of its log needs what only it knew")
        })?;
        Ok(Path::new(folder).join(path))
    }
}

/// The last `StdOut=` of `scontrol show job`: what stands before it (name, comment) is the owner's.
fn standard_output(told: &str) -> Option<PathBuf> {
    let line = told.lines().rev().find_map(|line| line.trim_start().strip_prefix("StdOut="))?;
    (!line.is_empty() && line != "(null)").then(|| PathBuf::from(line))
}

/// The log's name in a command line of sbatch, as `sacct` keeps it.
fn output_option(line: &str) -> Option<&str> {
    let mut words = line.split(' ');
    while let Some(word) = words.next() {
        if let Some(name) = word.strip_prefix("--output=") {
            return Some(name);
        }
        if word == "-o" || word == "--output" {
            return words.next();
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What the command answers for a file with this content, from where the follower asks.
    fn look(follower: &Follower, file: &str, content: &[u8]) -> Look {
        let from = usize::try_from(follower.offset).expect("small") - follower.last.len();
        let bytes = content.get(from..).unwrap_or_default();
        let bytes = bytes.get(..bytes.len().min(AT_ONCE + COMPARED)).unwrap_or_default().to_vec();
        Look { file: file.to_owned(), size: content.len() as u64, from: from as u64, bytes }
    }

    #[test]
    fn of_what_was_read_before_nothing_is_told_again_and_of_what_was_skipped_whole_lines_are() {
        let content = b"one\ntwo\nthree\nfour\n";
        let from = |from: usize| Look {
            file: "1:1".to_owned(),
            size: content.len() as u64,
            from: from as u64,
            bytes: content[from..].to_vec(),
        };
        for (case, before, look, told, skipped) in [
            ("from its beginning", 0, from(0), &content[..], false),
            ("all of it again", 4, from(0), b"two\nthree\nfour\n", false),
            ("a part of it again", 4, from(2), b"two\nthree\nfour\n", false),
            ("where it was left", 4, from(4), b"two\nthree\nfour\n", false),
            ("later, within a line", 4, from(9), b"four\n", true),
        ] {
            let mut follower = Follower::new("log");
            let first = Look { size: before as u64, bytes: content[..before].to_vec(), ..from(0) };
            follower.seen(first);
            let news = follower.seen(look);
            assert_eq!((news.bytes.as_slice(), news.skipped), (told, skipped), "{case}");
            assert!(!news.restarted, "{case}");
            assert_eq!(follower.offset(), content.len() as u64, "{case}");
            assert_eq!(follower.wish().known, Some(("1:1".to_owned(), content.len() as u64)), "{case}");
        }
        let mut follower = Follower::new("log");
        follower.seen(from(0));
        assert!(follower.seen(Look { size: 3, bytes: b"one".to_vec(), ..from(0) }).restarted);
        assert_eq!(follower.seen(from(0)).bytes, content, "the next look has it");
    }

    #[test]
    fn a_log_that_began_anew_is_noticed_however_it_did() {
        let long = [b'x'; 200];
        let mut other = long;
        other[150] = b'y';
        for (case, file, content) in [
            ("truncated", "1:1", b"short".as_slice()),
            ("replaced", "1:2", long.as_slice()),
            ("truncated, and grown again", "1:1", other.as_slice()),
        ] {
            let mut follower = Follower::new("log");
            let first = look(&follower, "1:1", &long);
            assert_eq!(follower.take(first).expect("new").bytes, long);
            let again = look(&follower, file, content);
            assert_eq!(follower.take(again), None, "{case}");
        }
    }

    #[test]
    fn a_long_log_comes_in_pieces() {
        let content = vec![b'x'; AT_ONCE + 10];
        let mut follower = Follower::new("log");
        let first = look(&follower, "1:1", &content);
        let news = follower.take(first).expect("new");
        assert!(news.bytes.len() == AT_ONCE && news.more);
        let second = look(&follower, "1:1", &content);
        let news = follower.take(second).expect("new");
        assert!(news.bytes.len() == 10 && !news.more);
    }

    #[test]
    fn the_log_is_found_in_what_slurm_says() {
        let told = "JobId=1 JobName=a\n   StdOut=/etc/passwd\n   StdErr=/home/u/x y.log\n   StdOut=/home/u/x y.log\n   Power=\n";
        assert_eq!(standard_output(told), Some("/home/u/x y.log".into()));
        for (line, name) in [
            ("sbatch --parsable --output=omero-%j.log x.sh", Some("omero-%j.log")),
            ("sbatch -o a.log x.sh", Some("a.log")),
            ("sbatch x.sh", None),
        ] {
            assert_eq!(output_option(line), name, "{line}");
        }
    }

    proptest! {
        #[test]
        fn each_byte_is_read_once_however_the_log_grows(pieces in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..200), 0..20)) {
            let mut follower = Follower::new("log");
            let (mut content, mut read) = (Vec::new(), Vec::new());
            for piece in pieces {
                content.extend(piece);
                let seen = look(&follower, "1:1", &content);
                read.extend(follower.take(seen).expect("the same log").bytes);
            }
            prop_assert_eq!(read, content);
        }
    }
}
