//! Submits jobs to an embedded executor as fast as it can: one of several programs that do so at once.
//!
//! `queue_jobs QUEUE SCRIPT PREFIX COUNT SHARED`: so many jobs called by the prefix, and so many that every program submits.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use biomero_slurm::executor::Executor;
use biomero_slurm::job::Submission;
use biomero_tests::{Result, Trouble};

fn main() -> ExitCode {
    match submit() {
        Ok(()) => ExitCode::SUCCESS,
        Err(trouble) => {
            complain(&trouble);
            ExitCode::FAILURE
        }
    }
}

#[expect(clippy::print_stderr, reason = "the test shows it")]
fn complain(trouble: &Trouble) {
    eprintln!("{trouble}");
}

fn submit() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [queue, script, prefix, count, shared] = arguments.as_slice() else {
        return Err(Trouble::new("queue_jobs QUEUE SCRIPT PREFIX COUNT SHARED"));
    };
    let number = |text: &str| text.parse::<u32>().map_err(|_| Trouble::new(format!("{text} is no number")));
    let executor = Executor::resume(Path::new(queue)).map_err(said)?;
    let own = (0..number(count)?).map(|number| format!("{prefix}-{number}"));
    let all = (0..number(shared)?).map(|number| format!("shared-{number}"));
    for comment in own.chain(all) {
        let submission = Submission {
            script: PathBuf::from(script),
            arguments: vec![comment.clone()],
            comment,
            options: Vec::new(),
            environment: Vec::new(),
            folder: None,
            output: "/dev/null".to_owned(),
            array: None,
            after: None,
        };
        executor.submit(&submission).map_err(said)?;
    }
    Ok(())
}

fn said(error: biomero_slurm::executor::Error) -> Trouble {
    Trouble::new(error.to_string())
}
