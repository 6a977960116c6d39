//! Why a step failed, as a workflow keeps it, and what can be done about it.

use biomero_slurm::job::State;
use biomero_slurm::run::Failure as RunFailure;
use biomero_slurm::scheduler::Failure as JobFailure;
use biomero_workflow::{Failure, Remedy, Step};

/// What the log of a job says whose node has not what others have: the data's file system is not mounted there. The first is
/// BIOMERO's converter, the others are a shell's.
const UNMOUNTED: [&str; 4] = [
    "No corresponding input file",
    "/data/in: No such file or directory",
    "/data/in': No such file or directory",
    "Stale file handle",
];

/// What a failed run is for its workflow.
pub(super) fn of_run(step: Step, failure: &RunFailure) -> Failure {
    let remedy = match failure {
        RunFailure::Job { failures, .. } => failures.first().map_or(Remedy::None, of_job),
        // Slurm has lost it. What it had begun was ended where it ran: slurmctld has that done to what it does not know.
        RunFailure::Gone { .. } => Remedy::Resubmit,
        // As [`of_job`] has it of one that did not wait any more.
        RunFailure::Never { launch: true, .. } => Remedy::Resubmit,
        failure if failure.is_passing() => Remedy::Wait,
        _ => Remedy::None,
    };
    let mut told = Failure::new(step, failure.to_string(), remedy);
    match failure {
        RunFailure::Job { failures, .. } => {
            if let Some(job) = failures.first() {
                told.job = Some(job.job.to_string());
                told.nodes.clone_from(&job.nodes);
                told.exit_code = job.exit.map(|exit| exit.code);
                told.signal = job.exit.map(|exit| exit.signal).filter(|signal| *signal > 0);
                told = told.with_log(&job.log);
            }
        }
        RunFailure::Never { job, .. } | RunFailure::Gone { job, .. } => told.job = Some(job.to_string()),
        _ => {}
    }
    told
}

fn of_job(job: &JobFailure) -> Remedy {
    let elsewhere = || match &job.nodes {
        Some(nodes) => Remedy::Exclude(vec![nodes.clone()]),
        None => Remedy::Resubmit,
    };
    match job.state {
        State::NodeFail | State::BootFail => elsewhere(),
        State::Preempted => Remedy::Resubmit,
        _ if job.reason.as_deref() == Some("JobLaunchFailure") => elsewhere(),
        State::Failed if job.log.iter().any(|line| UNMOUNTED.iter().any(|sign| line.contains(sign))) => {
            elsewhere()
        }
        _ => Remedy::None,
    }
}

#[cfg(test)]
mod tests {
    use biomero_slurm::job::{ExitCode, Job, JobId};

    use super::*;

    fn failed(state: State, reason: Option<&str>, log: &str) -> Failure {
        let job = Job {
            state,
            exit: Some(ExitCode { code: 3, signal: 0 }),
            reason: reason.map(str::to_owned),
            nodes: Some("n7".to_owned()),
            started: Some(1),
            id: JobId::of(5),
            own: None,
            name: String::new(),
            partition: None,
            comment: None,
            submitted: None,
            ended: None,
            elapsed: None,
            limit: None,
            processors: None,
            peak_memory: None,
            processor_time: None,
            never: None,
            folder: None,
        };
        let failures = JobFailure::of(&job, log.as_bytes()).into_iter().collect();
        of_run(Step::Run, &RunFailure::Job { step: "workflow", failures, more: 0 })
    }

    #[test]
    fn what_can_be_done_follows_from_how_a_job_ended() {
        let avoid = || Remedy::Exclude(vec!["n7".to_owned()]);
        for (state, reason, log, remedy) in [
            (State::Failed, None, "Traceback", Remedy::None),
            (State::Failed, Some("NonZeroExitCode"), "No corresponding input file for 3", avoid()),
            (State::Failed, None, "cd: /data/x/data/in: No such file or directory", avoid()),
            (State::Failed, None, "no model /models/x: No such file or directory", Remedy::None),
            (State::Failed, Some("JobLaunchFailure"), "", avoid()),
            (State::NodeFail, None, "", avoid()),
            (State::Preempted, None, "", Remedy::Resubmit),
            (State::OutOfMemory, None, "", Remedy::None),
            (State::Timeout, None, "", Remedy::None),
        ] {
            assert_eq!(failed(state, reason, log).remedy, remedy, "{state:?} {reason:?} {log}");
        }
    }

    #[test]
    fn a_job_that_slurm_has_lost_is_submitted_again() {
        let job = JobId::of(5);
        let lost = of_run(Step::Run, &RunFailure::Gone { step: "workflow", job, reason: String::new() });
        assert_eq!((lost.remedy, lost.job.as_deref()), (Remedy::Resubmit, Some("5")));
        for (launch, remedy) in [(true, Remedy::Resubmit), (false, Remedy::None)] {
            let never = RunFailure::Never { step: "workflow", job, reason: String::new(), launch };
            assert_eq!(of_run(Step::Run, &never).remedy, remedy);
        }
    }

    #[test]
    fn a_failure_tells_job_node_exit_code_and_the_end_of_the_log() {
        let failure = failed(State::Failed, None, "one\ntwo\n");
        assert_eq!((failure.job.as_deref(), failure.nodes.as_deref()), (Some("5"), Some("n7")));
        assert_eq!((failure.exit_code, failure.signal, failure.log.len()), (Some(3), None, 2));
    }
}
