//! Why a job did not succeed, for people and for the history.
//!
//! Invariant: what is said is what Slurm said, and the end of the job's log; bounded, whatever the log is.

use std::fmt;

use crate::job::{ExitCode, Job, JobId, State};

/// The reason of a job whose step was ended for its memory although Slurm calls it failed.
pub(super) const OVER_MEMORY: &str = "OutOfMemory";

/// How many lines of the log are kept.
const LINES: usize = 20;

/// How many bytes of them.
const BYTES: usize = 4000;

/// What became of a job that did not succeed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// Which.
    pub job: JobId,
    /// How it ended.
    pub state: State,
    /// Its exit code and signal, where they are known.
    pub exit: Option<ExitCode>,
    /// Slurm's reason.
    pub reason: Option<String>,
    /// Where it ran.
    pub nodes: Option<String>,
    /// The last lines of its log, as they are: whoever shows them makes them harmless.
    pub log: Vec<String>,
    sentence: String,
}

impl Failure {
    /// Of a job, and the end of its log, where there is one. None for a job that has not ended, or has succeeded.
    #[must_use]
    pub fn of(job: &Job, log: &[u8]) -> Option<Self> {
        if !job.state.is_ended() || job.state.is_success() {
            return None;
        }
        Some(Self {
            job: job.id,
            state: job.state,
            exit: job.exit,
            reason: job.reason.clone(),
            nodes: job.nodes.clone(),
            log: last_lines(log),
            sentence: sentence(job),
        })
    }
}

impl fmt::Display for Failure {
    /// One sentence.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.sentence)
    }
}

fn sentence(job: &Job) -> String {
    let mut said = format!("job {} ", job.id);
    match job.state {
        State::Timeout => {
            said.push_str("ran longer than its time limit");
            if let Some(limit) = job.limit {
                said.push_str(&format!(" of {} minutes", limit.as_secs() / 60));
            }
            said.push_str(" and was ended: ask for more time (--time)");
        }
        State::OutOfMemory => said.push_str(MEMORY),
        State::Failed if job.reason.as_deref() == Some(OVER_MEMORY) => said.push_str(MEMORY),
        State::Cancelled if job.started.is_none() => said.push_str("was cancelled before it began"),
        State::Cancelled => said.push_str("was cancelled"),
        State::NodeFail => said.push_str("was lost with its node: submit it again"),
        State::Preempted => said.push_str("had to make room for another job: submit it again"),
        State::BootFail => said.push_str("could not be started, because its node did not: submit it again"),
        State::Deadline => said.push_str("did not end before its deadline (--deadline)"),
        State::Revoked => said.push_str("was taken over by another cluster"),
        _ => match (job.exit, job.reason.as_deref()) {
            (_, Some("JobLaunchFailure")) => said.push_str(
                "could not be started: look whether its folder and its log's folder exist on the node, and can be written",
            ),
            // A batch script that is killed for its memory by the kernel ends so too.
            (Some(ExitCode { signal: 9, .. }), _) => said.push_str(
                "was killed (SIGKILL), by somebody or for its memory: if the log does not say why, ask for more memory (--mem)",
            ),
            (Some(ExitCode { signal, .. }), _) if signal > 0 => {
                said.push_str(&format!("was ended by {}", signal_name(signal)));
            }
            (Some(ExitCode { code: 127, .. }), _) => {
                said.push_str("ended with exit code 127: a program that it calls was not found");
            }
            (Some(ExitCode { code: 126, .. }), _) => {
                said.push_str("ended with exit code 126: a program that it calls could not be run");
            }
            // A shell's way to say that what it ran was killed.
            (Some(ExitCode { code: 137, .. }), _) => said.push_str(
                "ended with exit code 137: a program that it ran was killed, most often for its memory (--mem)",
            ),
            (Some(ExitCode { code, .. }), _) => said.push_str(&format!("ended with exit code {code}")),
            (None, Some(reason)) => said.push_str(&format!("failed ({reason})")),
            (None, None) => said.push_str("failed"),
        },
    }
    if let Some(nodes) = &job.nodes {
        said.push_str(&format!(" (on {nodes})"));
    }
    said
}

const MEMORY: &str = "needed more memory than it asked for and was ended: ask for more (--mem)";

fn signal_name(signal: u8) -> String {
    match nix::sys::signal::Signal::try_from(i32::from(signal)) {
        Ok(signal) => signal.as_str().to_owned(),
        Err(_) => format!("signal {signal}"),
    }
}

/// The last lines that are not empty, as they would be read on a terminal.
fn last_lines(log: &[u8]) -> Vec<String> {
    let text = String::from_utf8_lossy(log);
    let mut kept = Vec::new();
    let mut bytes = 0;
    for line in text.lines().rev() {
        // What was drawn over is gone.
        let line = line.rsplit('\r').find(|part| !part.trim().is_empty()).unwrap_or_default().trim_end();
        if line.is_empty() {
            continue;
        }
        let line: String = line.chars().take(500).collect();
        bytes += line.len();
        if kept.len() == LINES || bytes > BYTES {
            break;
        }
        kept.push(line);
    }
    kept.reverse();
    kept
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::merge::unknown;
    use super::*;

    fn job(state: State, exit: Option<(u8, u8)>, reason: Option<&str>) -> Job {
        Job {
            state,
            exit: exit.map(|(code, signal)| ExitCode { code, signal }),
            reason: reason.map(str::to_owned),
            nodes: Some("n1".to_owned()),
            started: Some(1),
            ..unknown(JobId::of(5))
        }
    }

    #[test]
    fn each_failure_is_one_sentence_that_says_what_to_do() {
        for (state, exit, reason, said) in [
            (State::Failed, Some((3, 0)), None, "job 5 ended with exit code 3 (on n1)"),
            (State::Failed, Some((0, 11)), None, "SIGSEGV"),
            (State::Failed, Some((0, 9)), None, "--mem"),
            (State::Failed, Some((0, 9)), Some(OVER_MEMORY), "needed more memory"),
            (State::Failed, Some((127, 0)), None, "not found"),
            (State::Failed, Some((0, 200)), None, "signal 200"),
            (State::Failed, Some((1, 0)), Some("JobLaunchFailure"), "could not be started"),
            (State::Failed, None, Some("NonZeroExitCode"), "NonZeroExitCode"),
            (State::OutOfMemory, Some((0, 125)), None, "--mem"),
            (State::Timeout, Some((0, 0)), Some("TimeLimit"), "--time"),
            (State::Cancelled, None, None, "was cancelled"),
            (State::NodeFail, None, None, "submit it again"),
        ] {
            let failure = Failure::of(&job(state, exit, reason), b"").expect("a failure");
            assert!(failure.to_string().contains(said), "{failure} has {said}");
        }
        for state in [State::Completed, State::Running, State::Pending, State::Unknown] {
            assert_eq!(Failure::of(&job(state, None, None), b""), None);
        }
    }

    #[test]
    fn the_end_of_the_log_is_kept() {
        let log = b"first\n 10%|#\r 20%|##\rdone  \n\n\nTraceback\xff\n".as_slice();
        let failure = Failure::of(&job(State::Failed, None, None), log).expect("a failure");
        assert_eq!(failure.log, ["first", "done", "Traceback\u{fffd}"]);
    }

    proptest! {
        #[test]
        fn a_log_of_any_size_is_bounded(log in proptest::collection::vec(any::<u8>(), 0..20_000)) {
            let lines = last_lines(&log);
            prop_assert!(lines.len() <= LINES && lines.iter().map(String::len).sum::<usize>() <= BYTES);
        }
    }
}
