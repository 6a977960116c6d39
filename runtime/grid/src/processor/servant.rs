//! `omero.grid.Processor`: what OMERO asks.

use std::sync::Arc;

use biomero_config::Secret;
use biomero_ice::encoding::{Handle, Objects, Ref};
use biomero_ice::{Call, Identity, Mode, Reference};
use biomero_omero::grid::{JobParams, ProcessorServant};
use biomero_omero::model::{Experimenter, ExperimenterGroup, Job};
use biomero_omero::types::{ApiUsageException, InternalException, RInternal, ValidationException};
use biomero_omero::{Credentials, Graph, Refused, Session};

use super::call_back::Callback;
use super::job::{Asked, File, Found, LookUpError, look_up, text};
use super::note::Note;
use super::process::Process;
use super::{NAME, Shared, config_file, inputs, run};
use crate::script::{Script, State};

/// The output by which a script says what it takes.
const PARAMETERS: &str = "omero.scripts.parse";
/// What OMERO asks for where a script is run by a launcher; MATLAB's would be started in another way.
const PLAIN: &str = "omero.processor.ProcessI";

/// The servant.
pub(super) struct Processor(pub(super) Arc<Shared>);

fn usage(problem: &str) -> Refused {
    Refused::with(ApiUsageException::saying(problem))
}

fn internal(problem: &impl ToString) -> Refused {
    Refused::with(InternalException::saying(&problem.to_string()))
}

/// A script that is to be run.
struct Wanted<'a> {
    call: &'a Call,
    session: &'a str,
    asked: &'a Asked,
    formats: [String; 2],
    parse: bool,
}

impl Processor {
    /// Looks a job up; what was believed of our session is believed no more where that fails for it.
    async fn look_up(&self, asked: &Asked) -> Result<(Arc<Session>, Found), LookUpError> {
        for last in [false, true] {
            let session = self.0.internal.session().await?;
            match look_up(&session, asked).await {
                Ok(found) => return Ok((session, found)),
                Err(LookUpError::Omero(error)) if !last && super::internal::is_lost(&error) => {
                    self.0.internal.failed(&session, &error);
                }
                Err(error) => return Err(error),
            }
        }
        Err(LookUpError::File("job"))
    }

    async fn accept(&self, job: Option<Ref<Job>>, objects: Objects, callback: Reference) {
        let asked = match Asked::of(job, objects) {
            Ok(asked) => asked,
            Err(problem) => return tracing::warn!("a job is not accepted: {problem}"),
        };
        // An answer that does not come is a no, and OMERO's own processor says nothing else where it could not ask.
        let accepted = match self.look_up(&asked).await {
            Ok((session, found)) => {
                let accepted = found.script.is_some();
                if let Err(error) = found.handle.close().await {
                    tracing::debug!("job {}: its handle was not closed: {error}", asked.id);
                }
                (session, accepted)
            }
            Err(error) => return tracing::warn!("job {} is not accepted: {error}", asked.id),
        };
        let (session, accepted) = accepted;
        tracing::info!(
            "job {} is {}",
            asked.id,
            if accepted { "accepted" } else { "not for this processor" }
        );
        let processor = self.0.reference(Identity::named(NAME));
        let arguments = (accepted, session.id().reveal().clone(), Some(processor));
        Callback::new(&self.0, callback).tell("isProxyAccepted", Mode::Idempotent, arguments);
    }

    /// Joins the session of whoever has the job run.
    async fn join(&self, session: &str, agent: &str) -> Result<Session, Refused> {
        let credentials = Credentials::Session(Secret::new(session.to_owned()));
        let options = biomero_omero::Options { agent: agent.to_owned(), ..self.0.options.session.clone() };
        let joined = Session::begin(&self.0.options.router, &credentials, &options).await;
        let joined = joined.map_err(|error| internal(&error))?;
        joined.detach().await.map_err(|error| internal(&error))?;
        Ok(joined)
    }

    fn launcher(&self, call: &Call) -> Result<std::path::PathBuf, Refused> {
        let said = |key: &str| call.context().get(key).map(String::as_str).filter(|value| !value.is_empty());
        if let Some(kind) = said("omero.process").filter(|kind| *kind != PLAIN) {
            return Err(usage(&format!("this processor runs no scripts as {kind}")));
        }
        match said("omero.launcher") {
            None => Ok(self.0.options.launcher.clone()),
            Some(name) => self.0.options.launchers.get(name).cloned().ok_or_else(|| {
                usage(&format!("this processor has no launcher {name}; its settings can name one"))
            }),
        }
    }

    /// Has a script run.
    async fn start(
        &self,
        wanted: Wanted<'_>,
        session: &Session,
        found: Found,
        file: File,
    ) -> Result<Arc<Process>, Refused> {
        let launcher = self.launcher(wanted.call)?;
        let text = text(session, &file).await.map_err(|error| error.refused())?;
        let note = Note {
            session: wanted.session.to_owned(),
            group: wanted.asked.group,
            parse: wanted.parse,
            identity: uuid::Uuid::new_v4().to_string().to_uppercase(),
            formats: wanted.formats,
            script: file.name,
            file: file.id,
            sha1: file.sha1,
        };
        let job = wanted.asked.id;
        let script = Script {
            job,
            text,
            config: config_file::text(job, wanted.session, wanted.parse, &self.0.options.router),
            launcher,
            note: serde_json::to_value(&note).map_err(|error| internal(&error))?,
        };
        let script = self.0.scripts.run(script).map_err(|error| internal(&error))?;
        let running = script.state() != State::Waiting;
        let process = run::follow(&self.0, script, note);
        if running {
            // The script runs, whatever its job is said to do.
            if let Err(error) = found.handle.set_status("Running").await {
                tracing::warn!("job {job}: it runs and has not that status: {error}");
            }
        }
        if let Err(error) = found.handle.close().await {
            tracing::debug!("job {job}: its handle was not closed: {error}");
        }
        Ok(process)
    }

    async fn look_up_script(&self, asked: &Asked) -> Result<(Arc<Session>, Found, File), Refused> {
        if !asked.is_script() {
            return Err(usage("the job is neither a ScriptJob nor a ParseJob"));
        }
        let (session, found) = self.look_up(asked).await.map_err(|error| error.refused())?;
        let file =
            found.script.clone().ok_or_else(|| usage("the script is none that this processor may run"))?;
        Ok((session, found, file))
    }

    async fn parse(
        &self,
        call: &Call,
        uuid: &str,
        asked: &Asked,
        joined: &Session,
    ) -> Result<Graph<Option<Ref<JobParams>>>, Refused> {
        let (session, found, file) = self.look_up_script(asked).await?;
        let formats = ["text/plain".to_owned(), "text/plain".to_owned()];
        let wanted = Wanted { call, session: uuid, asked, formats, parse: true };
        self.start(wanted, &session, found, file).await?.done().await;
        let output = async { joined.sessions().await?.get_output(uuid, PARAMETERS).await };
        let Graph { value, objects } = output.await.map_err(|error| internal(&error))?;
        let parameters = value.and_then(|boxed| objects.get::<RInternal>(boxed)).and_then(|boxed| boxed.val);
        let parameters = parameters.filter(|inside| objects.get::<JobParams>(*inside).is_some());
        Ok(Graph { value: parameters.map(|inside| Handle::from(inside).into()), objects })
    }

    async fn process(
        &self,
        call: &Call,
        uuid: &str,
        parameters: Option<Ref<JobParams>>,
        asked: &Asked,
        joined: &Session,
    ) -> Result<Reference, Refused> {
        let (session, found, file) = self.look_up_script(asked).await?;
        let objects = &asked.objects;
        let parameters = parameters.and_then(|parameters| objects.get::<JobParams>(parameters));
        let sessions = joined.sessions().await.map_err(|error| internal(&error))?;
        let given = sessions.get_inputs(uuid).await.map_err(|error| internal(&error))?;
        let mut formats = ["text/plain".to_owned(), "text/plain".to_owned()];
        if let Some(parameters) = parameters {
            let checked = inputs::check(parameters, objects, &given);
            if !checked.errors.is_empty() {
                let problem = format!("Invalid parameters:\n{}", checked.errors);
                return Err(Refused::with(ValidationException::saying(&problem)));
            }
            for (key, value) in checked.defaults {
                sessions
                    .set_input(uuid, &key, Some(value), objects)
                    .await
                    .map_err(|error| internal(&error))?;
            }
            formats = [parameters.stdout_format.clone(), parameters.stderr_format.clone()];
        }
        let wanted = Wanted { call, session: uuid, asked, formats, parse: false };
        let process = self.start(wanted, &session, found, file).await?;
        let note = Note::of(process.script()).map_err(|error| internal(&error))?;
        Ok(self.0.reference(Identity::named(note.identity)))
    }
}

impl ProcessorServant for Processor {
    async fn will_accept(
        &self,
        _: &Call,
        _: Option<Ref<Experimenter>>,
        _: Option<Ref<ExperimenterGroup>>,
        job: Option<Ref<Job>>,
        callback: Option<Reference>,
        objects: Objects,
    ) -> Result<(), Refused> {
        // It comes through a topic, which forgets who answers with an error.
        if let Some(callback) = callback {
            self.accept(job, objects, callback).await;
        }
        Ok(())
    }

    async fn request_running(&self, _: &Call, callback: Option<Reference>) -> Result<(), Refused> {
        if let Some(callback) = callback {
            Callback::new(&self.0, callback).tell("responseRunning", Mode::Idempotent, self.0.runs.jobs());
        }
        Ok(())
    }

    async fn parse_job(
        &self,
        call: &Call,
        session: String,
        job: Option<Ref<Job>>,
        objects: Objects,
    ) -> Result<Graph<Option<Ref<JobParams>>>, Refused> {
        let asked = Asked::of(job, objects).map_err(usage)?;
        let joined = self.join(&session, "OMERO.parseJob").await?;
        let parsed = self.parse(call, &session, &asked, &joined).await;
        close(joined).await;
        parsed
    }

    async fn process_job(
        &self,
        call: &Call,
        session: String,
        parameters: Option<Ref<JobParams>>,
        job: Option<Ref<Job>>,
        objects: Objects,
    ) -> Result<Option<Reference>, Refused> {
        let asked = Asked::of(job, objects).map_err(usage)?;
        let joined = self.join(&session, "OMERO.processJob").await?;
        let started = self.process(call, &session, parameters, &asked, &joined).await;
        close(joined).await;
        started.map(Some)
    }
}

async fn close(session: Session) {
    if let Err(error) = session.close().await {
        tracing::debug!("a session was not ended: {error}");
    }
}
