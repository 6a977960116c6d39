//! What OMERO asks this end: a processor, called back over the connection of a session.

use std::sync::{Arc, Mutex, PoisonError, Weak};

use biomero_ice::encoding::Ref;
use biomero_ice::{Call, Reference};
use biomero_omero::grid::{JobParams, Param, ProcessorCallback, ProcessorDispatch, ProcessorServant};
use biomero_omero::model::{Experimenter, ExperimenterGroup, Job, ScriptJob};
use biomero_omero::types::{RInt, ValidationException};
use biomero_omero::{Graph, Objects, Refused, Remote as _, Session, Upcast as _, Values as _};
use biomero_tests::blitz::Omero;
use biomero_tests::{Result, Trouble};

use super::{root, run, sees, trouble};

/// As much of a processor as shows that all that is asked arrives, and all that is answered.
struct Recorder {
    session: Weak<Session>,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Recorder {
    fn note(&self, what: String) {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).push(what);
    }

    async fn callback(&self, reference: Option<Reference>) -> Result<ProcessorCallback, Refused> {
        let reference = reference.ok_or_else(|| Refused::with(ValidationException::saying("no callback")))?;
        let session =
            self.session.upgrade().ok_or_else(|| Refused::with(ValidationException::saying("no session")))?;
        let callback = session.remote::<ProcessorCallback>(reference).await;
        let callback =
            callback.map_err(|error| Refused::with(ValidationException::saying(&error.to_string())))?;
        Ok(callback.oneway())
    }
}

impl ProcessorServant for Recorder {
    async fn will_accept(
        &self,
        _: &Call,
        user: Option<Ref<Experimenter>>,
        group: Option<Ref<ExperimenterGroup>>,
        job: Option<Ref<Job>>,
        callback: Option<Reference>,
        objects: Objects,
    ) -> Result<(), Refused> {
        let job = objects.at(job).map(|job| (objects.long(job.base.id), objects.at(job.base.details)));
        let (job, details) = job.unwrap_or_default();
        let same = details.is_some_and(|details| details.group == group);
        let user = objects.at(user).and_then(|user| objects.long(user.base.id));
        self.note(format!("will accept job {job:?} of user {user:?}, in its own group: {same}"));
        let callback = self.callback(callback).await?;
        let _ = callback.is_proxy_accepted(true, "a session", None).await;
        Ok(())
    }

    async fn request_running(&self, _: &Call, callback: Option<Reference>) -> Result<(), Refused> {
        let _ = self.callback(callback).await?.response_running(&[76, 77]).await;
        Ok(())
    }

    async fn parse_job(
        &self,
        _: &Call,
        session: String,
        job: Option<Ref<Job>>,
        objects: Objects,
    ) -> Result<Graph<Option<Ref<JobParams>>>, Refused> {
        let script = job.is_some_and(|job| objects.get::<ScriptJob>(job).is_some());
        self.note(format!("parse in {session}, a script's: {script}"));
        let mut objects = Objects::new();
        let number = objects.add(RInt::from(3));
        let parameter = objects.put(Param { prototype: Some(number.up()), ..Param::default() });
        let parameters = JobParams {
            name: "Demo.py".to_owned(),
            inputs: [("N".to_owned(), parameter)].into(),
            ..JobParams::default()
        };
        let value = objects.put(parameters);
        Ok(Graph { value, objects })
    }

    async fn process_job(
        &self,
        _: &Call,
        _: String,
        parameters: Option<Ref<JobParams>>,
        _: Option<Ref<Job>>,
        objects: Objects,
    ) -> Result<Option<Reference>, Refused> {
        let name = objects.at(parameters).map(|parameters| parameters.name.clone());
        Err(Refused::with(ValidationException::saying(&format!("Invalid parameters of {name:?}"))))
    }
}

#[test]
fn a_processor_is_asked_and_answers_over_the_connection_of_a_session() -> Result<()> {
    let omero = Omero::start()?;
    run(async {
        let session = Arc::new(root(&omero).await?);
        let asked = Arc::default();
        let recorder = Recorder { session: Arc::downgrade(&session), asked: Arc::clone(&asked) };
        let processor = session.serve(Arc::new(ProcessorDispatch(recorder))).await.map_err(trouble)?;
        let resources = session.shared_resources().await.map_err(trouble)?;
        assert!(!resources.are_tables_enabled().await.map_err(trouble)?);
        resources.add_processor(Some(&processor)).await.map_err(trouble)?;
        let driven = sees(&session, "driven", |driven| !driven.is_empty()).await?;
        assert_eq!(driven, "done", "{}", omero.logs());
        for (key, what) in [
            ("processor", "::omero::grid::Processor"),
            ("accepted", "True a session"),
            ("running", "[76, 77]"),
            ("parsed", "Demo.py 3"),
            ("processed", "Invalid parameters of Some(\"Demo.py\")"),
            ("facet", "FacetNotExistException"),
        ] {
            let seen = sees(&session, key, |seen| !seen.is_empty()).await?;
            assert_eq!(seen, what, "{key}");
        }
        let asked = asked.lock().unwrap_or_else(PoisonError::into_inner).clone();
        assert_eq!(
            asked,
            [
                "will accept job Some(77) of user Some(5), in its own group: true",
                "parse in a session, a script's: true",
            ]
        );
        resources.remove_processor(Some(&processor)).await.map_err(trouble)?;
        if !session.forget(&processor.identity) {
            return Err(Trouble::new("the processor was not there any more"));
        }
        Ok(())
    })
}
