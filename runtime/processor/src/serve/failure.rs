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
