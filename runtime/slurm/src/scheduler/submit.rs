//! Submitting, once.
//!
//! Invariant: sbatch is run again only when it is certain that its last run has not become a job: where slurmctld was not
//! reached at all, or where the answer was lost and [`super::lookup`] says that there is none.

use std::path::Path;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::lookup::{Verdict, decide};
use super::refusal::{RefusalKind, classify};
use super::{Error, Refusal, Slurm};
use crate::cluster;
use crate::command::{Command, Status};
use crate::job::{After, JobId, Submission};

/// Options that would make sbatch something else than a submission that answers with the job's id at once.
const REFUSED_OPTIONS: &[&str] =
    &["wait", "wrap", "test-only", "help", "usage", "version", "parsable", "quiet"];

/// The seconds that it may take, then the arguments of sbatch.
const SBATCH: &str = r#"sbatch() { seconds=$1; shift; timeout -k 2 "$seconds" sbatch "$@"; }; sbatch "$@""#;

/// What came of one run of sbatch.
enum Attempt {
    Submitted(u32),
    Refused(Refusal),
    /// It may have become a job; how the answer was lost.
    Lost(String),
}

impl Slurm {
    /// Submits a job; its id, or that of the whole array.
    ///
    /// The job's environment is that of a command on the cluster and the submission's variables (`--export=ALL`, which an
    /// option `export` replaces). What the submission says by fields of its own (comment, log, folder, array, dependency)
    /// stands above its options, and those above the lines `#SBATCH` of the script. With a dependency the job is cancelled
    /// where it can no longer be fulfilled (`--kill-on-invalid-dep=yes`). The comment has to be another one for each
    /// submission: it is what the job is found by where the answer was lost.
    ///
    /// # Errors
    /// Slurm refuses it, slurmctld cannot be reached for as long as [`super::SlurmOptions::submit`] says, or it cannot be told
    /// whether it was submitted ([`Error::Unclear`]).
    pub async fn submit(&self, submission: &Submission) -> Result<JobId, Error> {
        let arguments = arguments(submission)
            .map_err(|reason| Error::Submission { script: shown(&submission.script), reason })?;
        let deadline = Instant::now() + self.options.submit;
        let mut pause = Duration::from_secs(1);
        loop {
            let begun = Instant::now();
            match self.attempt(submission, &arguments).await? {
                Attempt::Submitted(job) => return Ok(JobId::of(job)),
                Attempt::Refused(refusal) => {
                    if refusal.kind != RefusalKind::Unreachable || Instant::now() + pause > deadline {
                        return Err(self.refused(submission, refusal).await);
                    }
                    tracing::info!("slurmctld of {} is not reachable: trying again", self.cluster.name());
                }
                Attempt::Lost(how) => {
                    tracing::info!("the answer of sbatch on {} was lost ({how})", self.cluster.name());
                    if let Some(job) = self.find_lost(submission, &how, begun, deadline).await? {
                        return Ok(JobId::of(job));
                    }
                    if Instant::now() > deadline {
                        let refusal = classify("Socket timed out");
                        return Err(self.refused(submission, refusal).await);
                    }
                }
            }
            sleep(pause).await;
            pause = (pause * 2).min(Duration::from_secs(15));
        }
    }

    /// The job with this comment that was submitted within `within`; none where slurmctld and the accounting answer and there
    /// is none. On a cluster without accounts a job that slurmctld has forgotten (`MinJobAge`) is not found.
    ///
    /// # Errors
    /// The cluster cannot be asked, or one that may know it does not answer.
    pub async fn find(&self, comment: &str, within: Duration) -> Result<Option<JobId>, Error> {
        let seen = self.sight(comment, within).await?;
        let remembered = seen.remembered.is_some_and(|age| age.is_zero() || within < age);
        match (seen.job, &seen.controller, &seen.accounting) {
            (Some(job), _, _) => Ok(Some(JobId::of(job))),
            (None, super::Heard::Yes, super::Heard::Yes | super::Heard::Off) => Ok(None),
            (None, super::Heard::Yes, super::Heard::No(_)) if remembered => Ok(None),
            (None, controller, accounting) => Err(Error::Silent {
                host: self.cluster.name().to_owned(),
                controller: controller.to_string(),
                accounting: accounting.to_string(),
            }),
        }
    }

    async fn attempt(&self, submission: &Submission, arguments: &[String]) -> Result<Attempt, Error> {
        let mut command = Command::shell(SBATCH).arg(self.seconds()).args(arguments);
        for (name, value) in &submission.environment {
            command = command.env(name, value);
        }
        let output = match self.cluster.run(&command.deadline(self.deadline(1))).await {
            Ok(output) => output,
            Err(error @ (cluster::Error::Lost { .. } | cluster::Error::Deadline { .. })) => {
                return Ok(Attempt::Lost(error.to_string()));
            }
            Err(error) => return Err(error.into()),
        };
        let complaint = String::from_utf8_lossy(&output.stderr);
        Ok(match output.status {
            Status::Exited(0) => match answered(&String::from_utf8_lossy(&output.stdout)) {
                Some(job) => Attempt::Submitted(job),
                None => Attempt::Lost("sbatch did not tell the job's id".to_owned()),
            },
            // Of `timeout`, and of a shell whose child was killed.
            Status::Exited(124 | 137) | Status::Killed => Attempt::Lost("sbatch took too long".to_owned()),
            Status::Exited(127) => {
                return Err(Error::NoSlurm {
                    host: self.cluster.name().to_owned(),
                    said: complaint.trim().to_owned(),
                });
            }
            Status::Exited(_) => {
                let refusal = classify(&complaint);
                match refusal.kind {
                    RefusalKind::Unanswered => Attempt::Lost(refusal.said),
                    _ => Attempt::Refused(refusal),
                }
            }
        })
    }

    /// Looks until it is certain.
    async fn find_lost(
        &self,
        submission: &Submission,
        lost: &str,
        begun: Instant,
        deadline: Instant,
    ) -> Result<Option<u32>, Error> {
        let mut pause = Duration::from_millis(500);
        loop {
            let reason = match self.sight(&submission.comment, begun.elapsed()).await {
                Ok(seen) => match decide(&seen, begun.elapsed(), self.options.program) {
                    Verdict::Found(job) => return Ok(Some(job)),
                    Verdict::Absent => return Ok(None),
                    Verdict::Wait(reason) => reason,
                },
                Err(error) => error.to_string(),
            };
            if Instant::now() + pause > deadline {
                return Err(Error::Unclear {
                    host: self.cluster.name().to_owned(),
                    script: shown(&submission.script),
                    lost: lost.to_owned(),
                    reason,
                    comment: submission.comment.clone(),
                });
            }
            sleep(pause).await;
            pause = (pause * 2).min(Duration::from_secs(10));
        }
    }

    async fn refused(&self, submission: &Submission, mut refusal: Refusal) -> Error {
        if refusal.kind == RefusalKind::Array
            && let Some(most) = self.configured("MaxArraySize").await
        {
            refusal.remedy = format!(
                "this cluster's MaxArraySize is {most}: submit arrays whose last index is {} at most",
                most.saturating_sub(1)
            );
        }
        Error::Refused { host: self.cluster.name().to_owned(), script: shown(&submission.script), refusal }
    }
}

fn shown(script: &Path) -> String {
    script.display().to_string()
}

/// `1234`, or `1234;cluster`: the last line of that form, whatever a site's plugins print before.
fn answered(stdout: &str) -> Option<u32> {
    stdout.lines().rev().find_map(|line| line.trim().split(';').next()?.parse().ok())
}

/// The arguments of sbatch.
fn arguments(submission: &Submission) -> Result<Vec<String>, String> {
    let comment = &submission.comment;
    if comment.is_empty() || !comment.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(format!("its comment {comment:?} has to be a word without spaces, such as a UUID"));
    }
    let mut arguments = vec![String::from("--parsable"), String::from("--export=ALL")];
    for (name, value) in &submission.options {
        let is_name = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
        if name.is_empty() || name.starts_with('-') || !is_name {
            return Err(format!("{name:?} is no option of sbatch"));
        }
        if REFUSED_OPTIONS.contains(&name.as_str()) {
            return Err(format!("the option --{name} would keep sbatch from answering with a job's id"));
        }
        arguments.push(match value {
            Some(value) => format!("--{name}={value}"),
            None => format!("--{name}"),
        });
    }
    if let Some(folder) = &submission.folder {
        arguments.push(format!("--chdir={}", text(folder, "folder")?));
    }
    arguments.push(format!("--output={}", submission.output));
    if let Some(array) = submission.array {
        if array.first > array.last || array.at_once == Some(0) {
            return Err(format!("an array from {} to {} has no tasks that may run", array.first, array.last));
        }
        let at_once = array.at_once.map(|most| format!("%{most}")).unwrap_or_default();
        arguments.push(format!("--array={}-{}{at_once}", array.first, array.last));
    }
    if let Some(after) = &submission.after {
        let (word, ids) = match after {
            After::Succeeded(ids) => ("afterok", ids),
            After::Ended(ids) => ("afterany", ids),
        };
        if !ids.is_empty() {
            let ids: String = ids.iter().map(|id| format!(":{id}")).collect();
            arguments.push(format!("--dependency={word}{ids}"));
            arguments.push(String::from("--kill-on-invalid-dep=yes"));
        }
    }
    arguments.push(format!("--comment={comment}"));
    let script = text(&submission.script, "script")?;
    if script.is_empty() {
        return Err("it has no script".to_owned());
    }
    // A name that begins with a dash is still a name.
    arguments.push(if script.starts_with('-') { format!("./{script}") } else { script });
    arguments.extend(submission.arguments.iter().cloned());
    Ok(arguments)
}

fn text(path: &Path, what: &str) -> Result<String, String> {
    let text = path.to_str().ok_or_else(|| format!("its {what}'s path {} is not UTF-8", path.display()))?;
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::Array;

    fn submission() -> Submission {
        Submission {
            comment: "5e1f".to_owned(),
            script: "jobs/cellpose.sh".into(),
            arguments: vec!["an argument".to_owned(), "$(touch x)".to_owned()],
            options: vec![("time".to_owned(), Some("01:00:00".to_owned())), ("exclusive".to_owned(), None)],
            environment: Vec::new(),
            folder: Some("data/run 1".into()),
            output: "omero-%A_%a.log".to_owned(),
            array: Some(Array { first: 1, last: 9, at_once: Some(2) }),
            after: Some(After::Succeeded(vec![JobId::of(5), "7_2".parse().expect("an id")])),
        }
    }

    #[test]
    fn what_is_said_by_fields_stands_behind_options_and_the_script_last() {
        assert_eq!(
            arguments(&submission()).expect("a submission"),
            [
                "--parsable",
                "--export=ALL",
                "--time=01:00:00",
                "--exclusive",
                "--chdir=data/run 1",
                "--output=omero-%A_%a.log",
                "--array=1-9%2",
                "--dependency=afterok:5:7_2",
                "--kill-on-invalid-dep=yes",
                "--comment=5e1f",
                "jobs/cellpose.sh",
                "an argument",
                "$(touch x)",
            ]
        );
        let dashed = Submission { script: "-x.sh".into(), ..submission() };
        assert!(arguments(&dashed).expect("a submission").contains(&"./-x.sh".to_owned()));
    }

    #[test]
    fn what_cannot_be_submitted_is_refused_before_anything_is_asked() {
        let option = |name: &str| vec![(name.to_owned(), None)];
        for (case, refused) in [
            ("comment", Submission { comment: String::new(), ..submission() }),
            ("comment", Submission { comment: "a b".to_owned(), ..submission() }),
            ("option", Submission { options: option("time 5"), ..submission() }),
            ("option", Submission { options: option("-p"), ..submission() }),
            ("wait", Submission { options: option("wait"), ..submission() }),
            ("array", Submission { array: Some(Array { first: 5, last: 1, at_once: None }), ..submission() }),
            ("script", Submission { script: "".into(), ..submission() }),
        ] {
            let reason = arguments(&refused).expect_err(case);
            assert!(reason.contains(case), "{reason}");
        }
    }

    #[test]
    fn the_id_is_found_in_what_sbatch_answers() {
        for (answer, job) in [
            ("1234\n", Some(1234)),
            ("1234;testcluster\n", Some(1234)),
            ("a site's greeting\n77\n", Some(77)),
            ("Submitted batch job 5\n", None),
            ("", None),
        ] {
            assert_eq!(answered(answer), job, "{answer}");
        }
    }
}
