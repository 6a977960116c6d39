//! `processor run`: asks for a workflow, and may watch it. Where nobody carries workflows, whoever watches does.

use std::path::{Path, PathBuf};

use biomero_config::{Environment, Secret};
use biomero_slurm::workflow::arguments;
use serde_json::{Map, Value, json};
use tokio::sync::watch;
use uuid::Uuid;

use super::{session, watch as watching};
use crate::client::{Client, ClientError};
use crate::command_line::asked::Run;
use crate::configuration::Configuration;
use crate::ended::Ended;
use crate::exit_code;
use crate::output::{Answer, note};
use crate::serve;

/// How what is in OMERO is named.
const OMERO: &str = "omero:";

/// What is asked for, where, and under which id.
pub(super) struct Request {
    pub(super) id: Uuid,
    pub(super) path: &'static str,
    pub(super) body: Value,
    /// In whose name, where it has to do with OMERO.
    pub(super) session: Option<Secret<String>>,
}

/// Asks for it; returns the exit code.
pub(super) async fn run(
    asked: &Run,
    client: &Client,
    configuration: &Configuration<'_>,
    answer: &mut Answer,
) -> Result<u8, Ended> {
    let request = request(asked, Uuid::now_v7(), configuration.environment())?;
    if !asked.watch {
        let session = request.session.as_ref();
        let submitted = client.submit(request.path, request.id, &request.body, session).await?;
        if answer.is_json() {
            answer.json(&submitted)?;
        } else {
            answer.line(request.id.to_string())?;
        }
        answer.flush()?;
        return Ok(exit_code::SUCCESS);
    }
    match client.get("/health").await {
        Err(ClientError::Nobody { path }) => {
            note(format!("nobody serves at {}: this carries workflows until it has ended", path.display()));
            let (tell, stop) = watch::channel(false);
            let carrying = serve::carry_until(configuration, stop);
            let watched = watching::run(&request, client, answer);
            tokio::pin!(carrying);
            tokio::select! {
                // Only where it could not begin, or its database is lost for good.
                carried = &mut carrying => carried.map(|()| exit_code::FAILURE),
                watched = watched => {
                    let _ = tell.send(true);
                    carrying.await?;
                    watched
                }
            }
        }
        Err(error) => Err(error.into()),
        Ok(_) => watching::run(&request, client, answer).await,
    }
}

fn request(asked: &Run, id: Uuid, environment: &Environment) -> Result<Request, Ended> {
    let mut parameters = Map::new();
    for text in &asked.param {
        let (name, value) = arguments::assignment(text)?;
        parameters.insert(name, value.into());
    }
    let options: Map<String, Value> = asked
        .sbatch
        .iter()
        .map(|text| match text.split_once('=') {
            Some((name, value)) => (name.to_owned(), value.into()),
            None => (text.clone(), Value::Null),
        })
        .collect();
    let results = match (asked.to_omero, &asked.import_to) {
        (false, _) => json!({ "directory": output(asked, id)? }),
        (true, None) => json!({ "omero": { "regions": asked.rois } }),
        (true, Some(dataset)) => json!({ "omero": { "regions": asked.rois, "import": dataset } }),
    };
    let is_of_omero = asked.to_omero || asked.image.iter().any(|image| image.starts_with(OMERO));
    let session = if is_of_omero { session::shown(asked.session.as_deref(), environment) } else { None };
    let mut body = json!({
        "workflow": asked.name,
        "version": asked.version,
        "parameters": parameters,
        "user": asked.user,
        "group": asked.group,
        "results": results,
        "policy": {
            "convert": !asked.no_conversion,
            "time": asked.time,
            "email": asked.email,
            "options": options,
        },
    });
    let inputs = asked.image.iter().map(|image| input(image)).collect::<Result<Vec<_>, _>>()?;
    if asked.batch {
        let groups: Vec<[String; 1]> = inputs.into_iter().map(|input| [input]).collect();
        return Ok(Request {
            id,
            path: "/v1/batches",
            body: json!({ "groups": groups, "request": body }),
            session,
        });
    }
    body["inputs"] = inputs.into();
    Ok(Request { id, path: "/v1/workflows", body, session })
}

/// What is in OMERO is named as it is; a path is that of whoever asks, and the worker's too.
fn input(text: &str) -> Result<String, Ended> {
    if text.starts_with(OMERO) {
        return Ok(text.to_owned());
    }
    absolute(Path::new(text)).map(|path| path.display().to_string())
}

fn output(asked: &Run, id: Uuid) -> Result<PathBuf, Ended> {
    match &asked.output {
        Some(folder) => absolute(folder),
        None => {
            // The last digits are the random ones.
            let id = id.simple().to_string();
            let last = id.get(24..).unwrap_or_default();
            absolute(Path::new(&format!("{}-{last}", asked.name.replace('/', "_"))))
        }
    }
}

fn absolute(path: &Path) -> Result<PathBuf, Ended> {
    let absolute = std::path::absolute(path);
    absolute.map_err(|source| Ended::Input { path: path.to_owned(), source })
}
