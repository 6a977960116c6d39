//! Telling OMERO what became of a script: the status of its job, and what it wrote.

use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use biomero_config::Secret;
use biomero_ice::encoding::Objects;
use biomero_omero::model::{
    ChecksumAlgorithm, IObject, Job, JobOriginalFileLink, OriginalFile, ParseJob, ScriptJob,
};
use biomero_omero::sys::EventContext;
use biomero_omero::types::{RLong, RString};
use biomero_omero::{Credentials, Error, Session, Upcast as _, Values as _};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use sha1::{Digest as _, Sha1};
use tokio::time::Instant;

use super::Shared;
use super::note::Note;
use super::process::Process;
use super::witness::Run;
use crate::script::{Outcome, ScriptProcess, Why};

/// What goes to OMERO at once.
const BLOCK: usize = 4 << 20;
/// The first and the longest pause between two tries to reach OMERO.
const AGAIN: (Duration, Duration) = (Duration::from_secs(2), Duration::from_secs(60));
/// How long outputs are tried to be sent when the status has been told.
const OUTPUTS: Duration = Duration::from_secs(3600);
/// How OMERO calls the digest that it is given.
const DIGEST: &str = "SHA1-160";

/// Why OMERO was not told.
#[derive(Debug, thiserror::Error)]
enum AccountError {
    #[error(transparent)]
    Omero(#[from] Error),
    #[error("{0} cannot be read: {1}")]
    File(String, std::io::Error),
    #[error("its status is not set by anybody who may")]
    Context,
}

impl AccountError {
    /// Whether it will be so another time too. What comes of a server behind the router that is away has many names.
    const fn is_final(&self) -> bool {
        match self {
            Self::File(..) => true,
            Self::Omero(error) => {
                matches!(error, Error::Denied { .. } | Error::Server { .. } | Error::Missing { .. })
            }
            Self::Context => false,
        }
    }
}

/// Says that a script that had waited runs.
pub(super) async fn running(shared: &Shared, job: i64, group: i64) {
    let said = async {
        let session = shared.internal.session().await?;
        set_status(&session, job, group, "Running").await
    };
    if let Err(error) = said.await {
        tracing::warn!("job {job}: it runs and has not that status: {error}");
    }
}

async fn set_status(session: &Session, job: i64, group: i64, status: &str) -> Result<(), Error> {
    let handle = session.job_handle_in(group).await?;
    handle.attach(job).await?;
    handle.set_status(status).await?;
    handle.close().await
}

/// What a job is said to be.
fn status(outcome: &Outcome) -> &'static str {
    match outcome.why {
        Why::Cancelled => "Cancelled",
        _ if outcome.succeeded() => "Finished",
        _ => "Error",
    }
}

/// What OMERO has been told already. It lies in the run's folder: nothing is sent twice, whoever goes on with it.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Told {
    /// The status.
    status: bool,
    /// Each output, with its link.
    outputs: [bool; 2],
}

/// Tells OMERO, however long OMERO is not there.
pub(super) async fn account(shared: &Arc<Shared>, process: &Process, note: &Note, outcome: &Outcome) -> Run {
    let script = process.script();
    let mut run = Run {
        job: script.job(),
        parse: note.parse,
        user: String::new(),
        group: String::new(),
        script: note.script.clone(),
        file: note.file,
        sha1: note.sha1.clone(),
        duration: outcome.duration,
        code: outcome.code(),
        why: outcome.why,
    };
    let mut told = script.folder().read("told").ok().flatten().unwrap_or_default();
    let give_up = Instant::now() + OUTPUTS;
    let mut pause = AGAIN.0;
    loop {
        let error = match tell(shared, script, note, outcome, &mut told, &mut run).await {
            Ok(()) => return run,
            Err(error) => error,
        };
        // What everybody waits for is the status, and that needs neither the router nor the script's session.
        told.status = told.status || alone(shared, note, outcome, run.job).await;
        if told.status {
            // Nobody waits for outputs that OMERO cannot take now.
            process.is_over(outcome.code());
            if error.is_final() || Instant::now() > give_up {
                tracing::warn!("job {}: its outputs do not get to OMERO: {error}", run.job);
                return run;
            }
        }
        tracing::warn!("job {}: OMERO is told later what became of it: {error}", run.job);
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(AGAIN.1);
    }
}

/// In the session that the script had: what it wrote is its user's.
async fn tell(
    shared: &Shared,
    script: &ScriptProcess,
    note: &Note,
    outcome: &Outcome,
    told: &mut Told,
    run: &mut Run,
) -> Result<(), AccountError> {
    let credentials = Credentials::Session(Secret::new(note.session.clone()));
    let options =
        biomero_omero::Options { agent: "OMERO.process".to_owned(), ..shared.options.session.clone() };
    let session = Session::begin(&shared.options.router, &credentials, &options).await?;
    session.detach().await?;
    let context = session.admin().await?.get_event_context().await?;
    let context: &EventContext = context.root().ok_or(AccountError::Context)?;
    run.user.clone_from(&context.user_name);
    run.group.clone_from(&context.group_name);
    if !told.status {
        set_status(&session, run.job, context.group_id, status(outcome)).await?;
        told.status = true;
    }
    let folder = script.folder();
    let files = [("stdout", folder.out()), ("stderr", folder.err())];
    for (number, ((name, path), format)) in files.iter().zip(&note.formats).enumerate() {
        if !format.is_empty() && !told.outputs[number] {
            upload(&session, run.job, note.parse, name, path, format).await?;
            told.outputs[number] = true;
            if let Err(error) = folder.keep("told", told) {
                tracing::warn!("job {}: {error}", run.job);
            }
        }
    }
    if let Err(error) = session.close().await {
        tracing::debug!("job {}: a session was not ended: {error}", run.job);
    }
    Ok(())
}

/// In our own session, where the script's is gone: only the status. Whether OMERO has it, or does not want it.
async fn alone(shared: &Shared, note: &Note, outcome: &Outcome, job: i64) -> bool {
    let Ok(session) = shared.internal.session().await else { return false };
    match set_status(&session, job, note.group, status(outcome)).await {
        Ok(()) => true,
        Err(error) if super::internal::is_lost(&error) => {
            shared.internal.failed(&session, &error);
            false
        }
        Err(error) => {
            tracing::error!("job {job}: it has not the status {}: {error}", status(outcome));
            true
        }
    }
}

/// Makes a file of OMERO of one of ours, and links it to the job. An empty one is none.
async fn upload(
    session: &Session,
    job: i64,
    parse: bool,
    name: &str,
    path: &Path,
    format: &str,
) -> Result<(), AccountError> {
    let failed = |error| AccountError::File(path.display().to_string(), error);
    let open = path.to_owned();
    let (file, length, digest) = blocking(move || digest(&open)).await.map_err(failed)?;
    if length == 0 {
        return Ok(());
    }
    let size = i64::try_from(length).unwrap_or(i64::MAX);
    let mut objects = Objects::new();
    let algorithm = ChecksumAlgorithm {
        value: objects.put(RString::from(DIGEST)),
        base: IObject { loaded: true, ..IObject::default() },
    };
    let folder = format!("{}/", path.parent().unwrap_or(Path::new("")).display());
    let original = OriginalFile {
        base: IObject { loaded: true, ..IObject::default() },
        name: objects.put(RString::from(name)),
        path: objects.put(RString::from(folder)),
        size: objects.put(RLong::from(size)),
        mimetype: objects.put(RString::from(format)),
        hash: objects.put(RString::from(digest)),
        hasher: objects.put(algorithm),
        ..OriginalFile::default()
    };
    let original = objects.add(original);
    let update = session.update().await?;
    let saved = update.save_and_return_object(Some(original.up()), &objects).await?;
    let saved: Option<i64> =
        saved.root().and_then(|saved| saved.id).and_then(|id| saved.objects.long(Some(id)));
    let saved = saved.ok_or_else(|| Error::Missing { what: format!("id of the file {name}") })?;

    let store = session.raw_file().await?;
    store.set_file_id(saved).await?;
    store.truncate(size).await?;
    let mut at = 0;
    while at < length {
        let now = usize::try_from(length - at).unwrap_or(BLOCK).min(BLOCK);
        let file = Arc::clone(&file);
        let block = blocking(move || {
            let mut block = vec![0; now];
            file.read_exact_at(&mut block, at).map(|()| block)
        });
        let block = Bytes::from(block.await.map_err(failed)?);
        let (position, count) =
            (i64::try_from(at).unwrap_or(i64::MAX), i32::try_from(now).unwrap_or(i32::MAX));
        store.write(&block, position, count).await?;
        at += u64::try_from(now).unwrap_or(0);
    }
    store.close().await?;
    link(session, job, parse, saved).await
}

async fn link(session: &Session, job: i64, parse: bool, file: i64) -> Result<(), AccountError> {
    let mut objects = Objects::new();
    // Not loaded: only which one it is counts.
    let base =
        Job { base: IObject { id: objects.put(RLong::from(job)), ..IObject::default() }, ..Job::default() };
    let parent = if parse {
        objects.add(ParseJob { base, ..ParseJob::default() }).up::<Job>()
    } else {
        objects.add(ScriptJob { base, ..ScriptJob::default() }).up::<Job>()
    };
    let child = OriginalFile {
        base: IObject { id: objects.put(RLong::from(file)), ..IObject::default() },
        ..OriginalFile::default()
    };
    let child = objects.put(child);
    let base = IObject { loaded: true, ..IObject::default() };
    let link = objects.add(JobOriginalFileLink {
        base,
        parent: Some(parent),
        child,
        ..JobOriginalFileLink::default()
    });
    session.update().await?.save_object(Some(link.up()), &objects).await?;
    Ok(())
}

/// A file, its length and its digest.
fn digest(path: &Path) -> std::io::Result<(Arc<std::fs::File>, u64, String)> {
    let file = std::fs::File::open(path)?;
    let mut digest = Sha1::new();
    let mut block = vec![0; 1 << 20];
    let mut length = 0;
    loop {
        let read = file.read_at(&mut block, length)?;
        if read == 0 {
            break;
        }
        digest.update(&block[..read]);
        length += u64::try_from(read).unwrap_or(0);
    }
    let digest = digest.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    Ok((Arc::new(file), length, digest))
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> std::io::Result<T> + Send + 'static,
) -> std::io::Result<T> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|error| Err(std::io::Error::other(error)))
}
