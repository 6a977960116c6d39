//! What is asked of a `processor serve` that runs: each verb is a module, which asks and writes the answer.

mod api;
mod list;
mod run;
mod session;
mod show;
mod watch;

use biomero_config::Environment;

pub(crate) use api::run as api;

use crate::api::{ApiError, socket_of};
use crate::client::Client;
use crate::command_line::asked::{Again, List, One, Run};
use crate::configuration::Configuration;
use crate::ended::Ended;
use crate::output::Answer;
use crate::serve;

/// Asks for a workflow.
pub(crate) fn run(asked: &Run, environment: &Environment) -> Result<u8, Ended> {
    with(environment, async |client, configuration| {
        run::run(asked, &client, configuration, &mut Answer::new(asked.shape.json, environment)).await
    })
}

/// Lists them.
pub(crate) fn list(asked: &List, environment: &Environment) -> Result<u8, Ended> {
    with(environment, async |client, _| {
        list::run(asked, &client, &mut Answer::new(asked.shape.json, environment)).await
    })
}

/// Shows one.
pub(crate) fn show(asked: &One, environment: &Environment) -> Result<u8, Ended> {
    with(environment, async |client, _| {
        show::run(asked.id, &client, &mut Answer::new(asked.shape.json, environment)).await
    })
}

/// Ends one.
pub(crate) fn cancel(asked: &One, environment: &Environment) -> Result<u8, Ended> {
    with(environment, async |client, _| {
        let workflow = client.post(&format!("/v1/workflows/{}/cancel", asked.id), None).await?;
        show::one(&workflow, &mut Answer::new(asked.shape.json, environment))
    })
}

/// Asks for one once more.
pub(crate) fn retry(asked: &Again, environment: &Environment) -> Result<u8, Ended> {
    let session = session::shown(asked.session.as_deref(), environment);
    with(environment, async |client, _| {
        let One { id, shape } = &asked.one;
        let workflow = client.post(&format!("/v1/workflows/{id}/retry"), session.as_ref()).await?;
        show::one(&workflow, &mut Answer::new(shape.json, environment))
    })
}

/// With the server that the settings name.
fn with(
    environment: &Environment,
    ask: impl AsyncFnOnce(Client, &Configuration<'_>) -> Result<u8, Ended>,
) -> Result<u8, Ended> {
    let configuration = Configuration::new(environment);
    let socket = socket_of(&configuration.settings()?.api, environment).map_err(ApiError::from)?;
    let runtime = serve::runtime()?;
    let outcome = runtime.block_on(ask(Client::new(socket), &configuration));
    // What still waits for a disk or the cluster must not keep us.
    runtime.shutdown_background();
    outcome
}
