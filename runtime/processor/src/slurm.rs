//! `processor slurm`: the cluster. Each verb is a module, which asks the cluster and writes the answer.

mod chosen;
mod context;

use biomero_config::Environment;

use crate::command_line::slurm::{Slurm, Verb};
use crate::configuration::Configuration;
use crate::ended::Ended;
use crate::output::Answer;

pub(crate) use context::Context;

mod cancel;
mod clean;
mod fetch;
pub(crate) mod history;
mod init;
mod jobs;
mod log;
mod run;
pub(crate) mod validate;
mod workflows;

/// Runs a verb; returns the exit code.
pub(crate) fn run(line: &Slurm, environment: &Environment) -> Result<u8, Ended> {
    let configuration = Configuration::new(environment);
    let context = Context::new(&configuration)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(Ended::System)?;
    let outcome = runtime.block_on(verb(&line.verb, &context));
    runtime.block_on(context.cluster.close());
    // What still waits for the cluster must not keep us.
    runtime.shutdown_background();
    outcome
}

async fn verb(verb: &Verb, context: &Context<'_>) -> Result<u8, Ended> {
    let answer = |json| Answer::new(json, context.configuration.environment());
    match verb {
        Verb::Validate { job, shape } => validate::run(context, *job, &mut answer(shape.json)).await,
        Verb::Init { workflow, dry_run, wait, force, status, shape } => {
            let asked = init::Asked {
                workflows: workflow,
                dry_run: *dry_run,
                wait: *wait,
                force: *force,
                status: *status,
            };
            init::run(context, asked, &mut answer(shape.json)).await
        }
        Verb::Workflows { name, refresh, shape } => {
            workflows::run(context, name.as_deref(), *refresh, &mut answer(shape.json)).await
        }
        Verb::Run(asked) => run::run(context, asked, &mut answer(asked.shape.json)).await,
        Verb::Jobs { job, all, watch, shape } => {
            let asked = jobs::Asked { jobs: job, all: *all, watch: *watch };
            jobs::run(context, asked, &mut answer(shape.json)).await
        }
        Verb::Log { job, follow } => log::run(context, job, *follow, &mut answer(false)).await,
        Verb::Cancel { job, requeue, shape } => {
            cancel::run(context, job, *requeue, &mut answer(shape.json)).await
        }
        Verb::Fetch { run, output, shape } => fetch::run(context, run, output, &mut answer(shape.json)).await,
        Verb::Clean { run, dry_run, shape } => {
            clean::run(context, run, *dry_run, &mut answer(shape.json)).await
        }
    }
}
