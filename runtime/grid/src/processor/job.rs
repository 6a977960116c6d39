//! Looking up what is to be run.

use biomero_ice::encoding::{Objects, Ref};
use biomero_omero::api::{IScript, JobHandle};
use biomero_omero::model::{Details, ExperimenterGroup, IObject, Job, ParseJob, ScriptJob};
use biomero_omero::types::{ApiUsageException, InternalException};
use biomero_omero::{Error, Refused, Remote as _, Session, Stateful, Values as _};
use sha1::{Digest as _, Sha1};

/// A job, as it came.
pub(super) struct Asked {
    pub(super) id: i64,
    pub(super) group: i64,
    job: Ref<Job>,
    pub(super) objects: Objects,
}

impl Asked {
    /// From a call's parameters.
    pub(super) fn of(job: Option<Ref<Job>>, objects: Objects) -> Result<Self, &'static str> {
        let job = job.ok_or("there is no job")?;
        let object: &IObject = objects.get(job).ok_or("there is no job")?;
        let id = objects.long(object.id).ok_or("the job has no id")?;
        let details: &Details = objects.at(object.details).ok_or("the job has no details")?;
        let group: &ExperimenterGroup = objects.at(details.group).ok_or("the job has no group")?;
        let group = objects.long(group.base.id).ok_or("the job's group has no id")?;
        Ok(Self { id, group, job, objects })
    }

    /// Whether it is of a kind of which there are scripts.
    pub(super) fn is_script(&self) -> bool {
        self.objects.get::<ScriptJob>(self.job).is_some() || self.objects.get::<ParseJob>(self.job).is_some()
    }
}

/// A job that is not over, and its script.
pub(super) struct Found {
    pub(super) handle: Stateful<JobHandle>,
    /// None: nobody of those whose scripts we run has put it there.
    pub(super) script: Option<File>,
}

/// A script's file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct File {
    pub(super) id: i64,
    pub(super) name: String,
    pub(super) sha1: String,
}

/// Why a job is not looked up.
#[derive(Debug, thiserror::Error)]
pub(super) enum LookUpError {
    #[error(transparent)]
    Omero(#[from] Error),
    #[error("job {0} is over already")]
    Over(i64),
    #[error("the file of its script has no {0}")]
    File(&'static str),
    #[error("Sha1s don't match! expected {expected}, found {found}")]
    Digest { expected: String, found: String },
}

impl LookUpError {
    /// As an exception of OMERO.
    pub(super) fn refused(&self) -> Refused {
        match self {
            Self::Over(_) => Refused::with(ApiUsageException::saying(&self.to_string())),
            _ => Refused::with(InternalException::saying(&self.to_string())),
        }
    }
}

/// Asks OMERO for it.
pub(super) async fn look_up(session: &Session, asked: &Asked) -> Result<Found, LookUpError> {
    let handle = session.job_handle_in(asked.group).await?;
    handle.attach(asked.id).await?;
    if handle.job_finished().await?.value.is_some() {
        return Err(LookUpError::Over(asked.id));
    }
    let scripts: IScript = session.scripts().await?.in_group(asked.group);
    let file = scripts.validate_script(Some(asked.job), &[], &asked.objects).await?;
    let script = match file.root() {
        None => None,
        Some(found) => {
            let objects = &file.objects;
            let path = objects.text(found.path).unwrap_or_default();
            let name = objects.text(found.name).unwrap_or_default();
            Some(File {
                id: objects.long(found.base.id).ok_or(LookUpError::File("id"))?,
                name: format!("{path}{name}"),
                sha1: objects.text(found.hash).unwrap_or_default().to_owned(),
            })
        }
    };
    Ok(Found { handle, script })
}

/// The text of a script, if it is what its digest says.
pub(super) async fn text(session: &Session, file: &File) -> Result<String, LookUpError> {
    let text = session.scripts().await?.get_script_text(file.id).await?;
    let found: String = Sha1::digest(text.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect();
    if file.sha1.eq_ignore_ascii_case(&found) {
        Ok(text)
    } else {
        Err(LookUpError::Digest { expected: file.sha1.clone(), found })
    }
}
