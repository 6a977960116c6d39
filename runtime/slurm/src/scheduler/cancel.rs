//! Ending jobs, putting them back into the queue, holding and releasing them.
//!
//! Invariant: what is over already is no error for who cancels it; what is refused is told job by job.

use super::merge::Heard;
use super::query::{Tasks, lists};
use super::{Error, Slurm};
use crate::command::{Command, Output, Status};
use crate::job::JobId;

/// A job that is as it was, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// Which; none where the reason is one for all.
    pub job: Option<JobId>,
    /// Slurm's words.
    pub reason: String,
}

impl Slurm {
    /// Ends jobs, whole arrays or single tasks. Those that are over stay as they are.
    ///
    /// They get SIGTERM, and SIGKILL after `KillWait` of slurm.conf(5): how they end is told by [`Slurm::states`].
    ///
    /// # Errors
    /// slurmctld cannot be reached, or does not let us.
    pub async fn cancel(&self, ids: &[JobId]) -> Result<(), Error> {
        self.control("cancel", Command::new("scancel"), ids).await
    }

    /// Ends a job if need be, and puts it back into the queue under the same id.
    ///
    /// # Errors
    /// slurmctld cannot be reached, does not know it any more, or does not let us.
    pub async fn requeue(&self, ids: &[JobId]) -> Result<(), Error> {
        self.control("requeue", Command::new("scontrol").arg("requeue"), ids).await
    }

    /// Keeps waiting jobs from being started.
    ///
    /// # Errors
    /// As [`Slurm::requeue`].
    pub async fn hold(&self, ids: &[JobId]) -> Result<(), Error> {
        self.control("hold", Command::new("scontrol").arg("hold"), ids).await
    }

    /// Lets jobs that are held be started again.
    ///
    /// # Errors
    /// As [`Slurm::requeue`].
    pub async fn release(&self, ids: &[JobId]) -> Result<(), Error> {
        self.control("release", Command::new("scontrol").arg("release"), ids).await
    }

    async fn control(&self, action: &'static str, command: Command, ids: &[JobId]) -> Result<(), Error> {
        if ids.is_empty() {
            return Ok(());
        }
        let mut refused = Vec::new();
        for list in lists(ids, Tasks::Each) {
            let command = command.clone();
            // scancel takes words, scontrol one list.
            let command = match action {
                "cancel" => command.args(list.split(',')).repeatable(),
                _ => command.arg(list),
            };
            let output = self.cluster.run(&command.deadline(self.deadline(1))).await?;
            if output.status == Status::Exited(127) {
                let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
                return Err(Error::NoSlurm { host: self.cluster.name().to_owned(), said });
            }
            refused.extend(complaints(action, &output));
        }
        if refused.is_empty() {
            return Ok(());
        }
        Err(Error::Control { action, host: self.cluster.name().to_owned(), refused })
    }
}

/// What was refused, by what the program said.
fn complaints(action: &str, output: &Output) -> Vec<Refused> {
    let said = String::from_utf8_lossy(&output.stderr);
    let mut refused: Vec<Refused> = said
        .lines()
        .filter(|line| !line.trim().is_empty())
        .filter(|line| !(action == "cancel" && is_over(line)))
        .map(|line| Refused { job: id_in(line), reason: reason(line) })
        .collect();
    if refused.is_empty() && !output.status.is_success() && said.trim().is_empty() {
        refused.push(Refused {
            job: None,
            reason: format!("it ended with {:?} and said nothing", output.status),
        });
    }
    // A warning alone, of a program that did what it was asked to.
    if output.status.is_success() && action != "cancel" {
        refused.clear();
    }
    refused.truncate(100);
    refused
}

/// A job that is over, or of which slurmctld knows nothing any more.
fn is_over(line: &str) -> bool {
    let lower = line.to_ascii_lowercase();
    ["invalid job id", "already completing or completed", "already finished"]
        .iter()
        .any(|part| lower.contains(part))
}

/// `scancel: error: Kill job error on job id 5: …`, `… for job 99999`.
fn id_in(line: &str) -> Option<JobId> {
    let words = line.split([' ', ':', ',']);
    words.filter_map(|word| word.parse().ok()).next_back()
}

fn reason(line: &str) -> String {
    let line = line.trim().trim_start_matches("scancel: ").trim_start_matches("error: ");
    let line = match line.split_once(" on job id ") {
        Some((_, rest)) => rest.split_once(": ").map_or(line, |(_, reason)| reason),
        None => line.split_once(" for job ").map_or(line, |(reason, _)| reason),
    };
    line.to_owned()
}

/// For a message.
pub(super) fn listed(refused: &[Refused]) -> String {
    let told = refused.iter().take(10).map(|refused| match refused.job {
        Some(job) => format!("{job}: {}", refused.reason),
        None => refused.reason.clone(),
    });
    let mut listed = told.collect::<Vec<_>>().join("; ");
    if refused.len() > 10 {
        listed.push_str("; and others");
    }
    listed
}

/// For who keeps on although a daemon is silent.
impl Error {
    /// Whether it passes by itself when a connection or a daemon comes back.
    #[must_use]
    pub const fn may_pass(&self) -> bool {
        match self {
            Self::Cluster(error) => {
                use crate::cluster::Error as E;
                matches!(error, E::Lost { .. } | E::Deadline { .. } | E::Connect { .. })
            }
            Self::Silent { .. } => true,
            Self::Refused { refusal, .. } => refusal.kind.may_pass(),
            _ => false,
        }
    }
}

impl std::fmt::Display for Heard {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Yes => formatter.write_str("it answers"),
            Self::Off => formatter.write_str("there is none on this cluster"),
            Self::Unasked => formatter.write_str("it was not asked"),
            Self::No(reason) => formatter.write_str(reason),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_refused_is_told_job_by_job() {
        let output = |code, said: &str| Output {
            status: Status::Exited(code),
            stdout: Vec::new(),
            stderr: said.as_bytes().to_vec(),
        };
        let id = |text: &str| Some(text.parse::<JobId>().expect("an id"));
        for (action, code, said, expected) in [
            ("cancel", 0, "", vec![]),
            ("cancel", 1, "scancel: error: Kill job error on job id 9: Invalid job id specified", vec![]),
            (
                "cancel",
                1,
                "scancel: error: Kill job error on job id 9: Job/step already completing or completed",
                vec![],
            ),
            (
                "cancel",
                8,
                "scancel: error: Kill job error on job id 5_2: Access/permission denied",
                vec![(id("5_2"), "Access/permission denied")],
            ),
            (
                "requeue",
                1,
                "Invalid job id specified for job 99999",
                vec![(id("99999"), "Invalid job id specified")],
            ),
            ("requeue", 0, "a warning", vec![]),
            ("hold", 1, "", vec![(None, "it ended with Exited(1) and said nothing")]),
        ] {
            let told = complaints(action, &output(code, said));
            let told: Vec<_> = told.iter().map(|refused| (refused.job, refused.reason.as_str())).collect();
            assert_eq!(told, expected, "{said}");
        }
    }
}
