//! What a submission asks for, once: the script's `#SBATCH` lines, the options, and the submission itself, in Slurm's order
//! of precedence.
//!
//! Invariant: what would change whether or when a job runs is honoured or refused; what only says where on a cluster it would
//! run is kept and shown as ignored.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Error, array, directives, limit};
use crate::job::{After, JobId, Submission};

/// A submission in types, as it is stored.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Request {
    pub(super) comment: String,
    pub(super) name: String,
    /// What reads the script, before the script's own path.
    pub(super) interpreter: Vec<String>,
    pub(super) arguments: Vec<String>,
    pub(super) folder: PathBuf,
    /// The job's own variables.
    pub(super) variables: Vec<(String, String)>,
    /// Whether it has the executor's variables too.
    pub(super) inherits: bool,
    pub(super) output: String,
    /// Where standard error goes when not to the same.
    pub(super) error: Option<String>,
    pub(super) append: bool,
    pub(super) needs: Needs,
    /// `--cpus-per-task` and `--ntasks` as asked: their variables exist only then.
    pub(super) processors_each: Option<u32>,
    pub(super) parallel: Option<u32>,
    pub(super) limit: Option<Duration>,
    /// The tasks of an array; none without.
    pub(super) array: Vec<u32>,
    pub(super) ignored: Vec<String>,
}

/// What the scheduler has to know.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Needs {
    pub(super) processors: u32,
    /// In bytes; none without a limit.
    pub(super) memory: Option<u64>,
    /// Of an array.
    pub(super) at_once: Option<u32>,
    /// All of them have to be met.
    pub(super) conditions: Vec<Condition>,
}

/// What another job has to have done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Condition {
    pub(super) kind: Kind,
    pub(super) job: u32,
    pub(super) task: Option<u32>,
}

impl Condition {
    pub(super) const fn id(self) -> JobId {
        JobId { job: self.job, task: self.task }
    }
}

/// `afterok`, `afterany`, `afternotok`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Kind {
    Succeeded,
    Ended,
    Failed,
}

/// Those that say where on a cluster, for whom, or only how `sbatch` itself speaks.
const WITHOUT_EFFECT: &[&str] =
    &["parsable", "quiet", "verbose", "kill-on-invalid-dep", "requeue", "no-requeue"];

/// Those that would have the job run at another time, or not as asked: ignoring them would be wrong.
const REFUSED: &[(&str, &str)] = &[
    ("hold", "there is nothing here that releases a job: submit it when it may run"),
    ("begin", "there is no clock here that starts jobs: submit it when it may run"),
    ("wrap", "write the command into a job script"),
    ("test-only", "every job is taken here as long as the queue has room"),
    ("export-file", "give the variables with the submission"),
    ("wait", "submitting never waits here: ask for the job's state"),
];

impl Request {
    /// `script` is what is in the submission's script; `home` is where a job starts without a folder.
    pub(super) fn new(submission: &Submission, script: &[u8], home: &Path) -> Result<Self, Error> {
        let unreadable = |at: directives::Unreadable| Error::Directive {
            path: submission.script.clone(),
            line: at.line,
            text: at.text,
        };
        let mut options = directives::options(script).map_err(unreadable)?;
        options.extend(submission.options.iter().cloned());
        let name = submission.script.file_name().map(|name| name.to_string_lossy().into_owned());
        let mut request = Self {
            comment: submission.comment.clone(),
            name: name.unwrap_or_else(|| "sbatch".to_owned()),
            interpreter: directives::interpreter(script),
            arguments: submission.arguments.clone(),
            folder: home.to_path_buf(),
            variables: Vec::new(),
            inherits: true,
            output: String::new(),
            error: None,
            append: false,
            needs: Needs::default(),
            processors_each: None,
            parallel: None,
            limit: None,
            array: Vec::new(),
            ignored: Vec::new(),
        };
        let mut each_memory = None;
        for (name, value) in options {
            request.take(&name, value.as_deref(), &mut each_memory)?;
        }
        request.variables.extend(submission.environment.iter().cloned());
        if let Some(folder) = &submission.folder {
            request.folder = home.join(folder);
        }
        if !submission.output.is_empty() {
            request.output.clone_from(&submission.output);
        }
        if let Some(range) = submission.array {
            let most = range.at_once.map(|most| format!("%{most}")).unwrap_or_default();
            request.take(
                "array",
                Some(&format!("{}-{}{most}", range.first, range.last)),
                &mut each_memory,
            )?;
        }
        if let Some(after) = &submission.after {
            let (kind, jobs) = match after {
                After::Succeeded(jobs) => (Kind::Succeeded, jobs),
                After::Ended(jobs) => (Kind::Ended, jobs),
            };
            request.needs.conditions =
                jobs.iter().map(|id| Condition { kind, job: id.job, task: id.task }).collect();
        }
        request.needs.processors =
            request.processors_each.unwrap_or(1).saturating_mul(request.parallel.unwrap_or(1));
        if let Some(each) = each_memory {
            request.needs.memory = Some(u64::saturating_mul(each, request.needs.processors.into()));
        }
        Ok(request)
    }

    fn take(&mut self, name: &str, value: Option<&str>, each_memory: &mut Option<u64>) -> Result<(), Error> {
        let text = value.unwrap_or_default();
        let refused = |name, remedy| Error::Value { name, value: text.to_owned(), remedy };
        match name {
            "job-name" => self.name = text.to_owned(),
            "comment" if self.comment.is_empty() => self.comment = text.to_owned(),
            "comment" => {}
            "output" => self.output = text.to_owned(),
            "error" => self.error = Some(text.to_owned()),
            "chdir" => self.folder = self.folder.join(text),
            "open-mode" => {
                self.append = match text {
                    "append" | "a" => true,
                    "truncate" | "t" => false,
                    _ => return Err(refused("open-mode", "write append or truncate")),
                };
            }
            "time" => {
                let remedy = "write MINUTES, HH:MM:SS or DAYS-HH:MM:SS";
                self.limit = limit::time(text).ok_or_else(|| refused("time", remedy))?;
            }
            "mem" => {
                let remedy = "write megabytes, or a number with K, M, G or T";
                self.needs.memory = limit::memory(text).ok_or_else(|| refused("mem", remedy))?;
                *each_memory = None;
            }
            "mem-per-cpu" => {
                let remedy = "write megabytes, or a number with K, M, G or T";
                *each_memory = limit::memory(text).ok_or_else(|| refused("mem-per-cpu", remedy))?;
                self.needs.memory = None;
            }
            "cpus-per-task" => {
                self.processors_each =
                    Some(count(text).ok_or_else(|| refused("cpus-per-task", "write a number from 1"))?);
            }
            "ntasks" => {
                self.parallel = Some(count(text).ok_or_else(|| refused("ntasks", "write a number from 1"))?);
            }
            "array" => {
                let remedy = "write FIRST-LAST or FIRST-LAST%AT_ONCE, with at most 1001 tasks";
                let indices = array::indices(text).ok_or_else(|| refused("array", remedy))?;
                self.array = indices.tasks;
                self.needs.at_once = indices.at_once;
            }
            "dependency" => {
                let remedy = "write afterok:ID, afterany:ID or afternotok:ID, separated by commas";
                self.needs.conditions = conditions(text).ok_or_else(|| refused("dependency", remedy))?;
            }
            "export" => self.export(text),
            name if WITHOUT_EFFECT.contains(&name) => {}
            name => {
                if let Some((name, remedy)) = REFUSED.iter().find(|(refused, _)| *refused == name) {
                    return Err(refused(name, remedy));
                }
                self.ignored
                    .push(value.map_or_else(|| format!("--{name}"), |value| format!("--{name}={value}")));
            }
        }
        Ok(())
    }

    /// `ALL`, `NONE`, and variables; a name alone is one of ours, which the job has already unless it is `NONE`.
    fn export(&mut self, text: &str) {
        for item in text.split(',') {
            match item.split_once('=') {
                Some((name, value)) => self.variables.push((name.to_owned(), value.to_owned())),
                None if matches!(item, "NONE" | "NIL") => self.inherits = false,
                None => {}
            }
        }
    }
}

fn count(text: &str) -> Option<u32> {
    limit::number(text)
        .filter(|count| (1..=65_536).contains(count))
        .and_then(|count| u32::try_from(count).ok())
}

/// `afterok:1:2,afterany:3_4`. Alternatives (`?`) and the other kinds are refused.
fn conditions(text: &str) -> Option<Vec<Condition>> {
    let mut conditions = Vec::new();
    for item in text.split(',') {
        let mut parts = item.split(':');
        let kind = match parts.next()? {
            "afterok" => Kind::Succeeded,
            "afterany" => Kind::Ended,
            "afternotok" => Kind::Failed,
            _ => return None,
        };
        let before = conditions.len();
        for id in parts {
            let id: JobId = id.parse().ok()?;
            conditions.push(Condition { kind, job: id.job, task: id.task });
        }
        if conditions.len() == before {
            return None;
        }
    }
    Some(conditions)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn submission(options: &[(&str, &str)]) -> Submission {
        Submission {
            comment: "c".to_owned(),
            script: PathBuf::from("/jobs/cellpose.sh"),
            arguments: Vec::new(),
            options: options
                .iter()
                .map(|(name, value)| ((*name).to_owned(), Some((*value).to_owned())))
                .collect(),
            environment: Vec::new(),
            folder: None,
            output: String::new(),
            array: None,
            after: None,
        }
    }

    fn request(script: &str, options: &[(&str, &str)]) -> Result<Request, Error> {
        Request::new(&submission(options), script.as_bytes(), Path::new("/home/anna"))
    }

    #[test]
    fn options_win_over_the_script_and_later_ones_over_earlier() {
        let script = "#!/bin/bash\n#SBATCH --time=00:45:00 --mem=5GB -c 4\n#SBATCH --open-mode=append\n";
        let read =
            request(script, &[("time", "1:00"), ("time", "2:00"), ("mem-per-cpu", "1G")]).expect("read");
        assert_eq!(read.limit, Some(Duration::from_secs(120)));
        assert_eq!(read.needs.memory, Some(4 << 30));
        assert_eq!(read.needs.processors, 4);
        assert_eq!((read.name.as_str(), read.append), ("cellpose.sh", true));
        assert_eq!(read.folder, Path::new("/home/anna"));
    }

    #[test]
    fn what_has_no_meaning_here_is_kept_as_ignored() {
        let read = request("", &[("gres", "gpu:1"), ("partition", "luna"), ("parsable", "")]).expect("read");
        assert_eq!(read.ignored, ["--gres=gpu:1", "--partition=luna"]);
    }

    #[test]
    fn what_would_be_wrong_to_ignore_is_refused() {
        let table = [
            ("hold", ""),
            ("begin", "now+1hour"),
            ("dependency", "singleton"),
            ("dependency", "afterok:1?afterok:2"),
            ("dependency", "afterok"),
            ("dependency", "afterok:x"),
            ("time", "soon"),
            ("mem", "much"),
            ("cpus-per-task", "0"),
            ("array", "1-0"),
            ("open-mode", "w"),
        ];
        for (name, value) in table {
            assert!(request("", &[(name, value)]).is_err(), "{name}={value}");
        }
    }

    #[test]
    fn conditions_are_jobs_and_tasks_of_arrays() {
        let read = request("", &[("dependency", "afterok:1:2_3,afterany:4")]).expect("read");
        let expected = [
            Condition { kind: Kind::Succeeded, job: 1, task: None },
            Condition { kind: Kind::Succeeded, job: 2, task: Some(3) },
            Condition { kind: Kind::Ended, job: 4, task: None },
        ];
        assert_eq!(read.needs.conditions, expected);
    }

    #[test]
    fn variables_of_export_come_before_those_of_the_submission() {
        let mut asked = submission(&[("export", "ALL,CONFIG_PATH=/a=b")]);
        asked.environment = vec![("X".to_owned(), "1".to_owned())];
        let read = Request::new(&asked, b"", Path::new("/")).expect("read");
        let expected = [("CONFIG_PATH".to_owned(), "/a=b".to_owned()), ("X".to_owned(), "1".to_owned())];
        assert_eq!((read.variables.as_slice(), read.inherits), (expected.as_slice(), true));
        assert!(!request("", &[("export", "NONE")]).expect("read").inherits);
    }
}
