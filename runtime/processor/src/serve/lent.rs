//! Sessions of OMERO that workflows are lent, so that they read and write there in the name of whoever asked for them.
//!
//! A workflow outlives the session in which it was asked for: a script's ends with the script. So it gets one of its own, which
//! the asker's session makes (`ISession.createUserSession`), and which ends with the workflow. Where OMERO refuses that the
//! asker's is kept alive instead. One that OMERO has forgotten, as it forgets all when it is restarted, is made anew inside the
//! grid, where root needs no password; from outside of the grid somebody has to lend another one.
//!
//! Invariants: a session's id is in its file and in memory, and nowhere else; nobody is given a session of a user whose
//! session they have not shown; what is lent for a workflow goes when the workflow has ended.

mod file;

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use biomero_config::{Secret, Settings};
use biomero_ice::Reference;
use biomero_omero::model::{IObject, Session as SessionObject};
use biomero_omero::types::RString;
use biomero_omero::{
    Address, Credentials, Error as OmeroError, Objects, Options, QueryParameters, Remote as _, Session,
    Values as _, sys,
};
use biomero_workflow::input::{OmeroKind, OmeroObject};
use biomero_workflow::{Error, Failure, Input, Problem, Remedy, Request, Step, Steps, Work, Workflows};
use uuid::Uuid;

use crate::ended::Ended;
use crate::grid;
use crate::omero::{self, Access, Trust, Unread};
use file::{Files, Lent};

/// Who asks, for the server's list of sessions.
const AGENT: &str = "BIOMERO workflow";
/// What a problem with a session is told of.
const FIELD: &str = "Omero-Session";
/// How long a session lives at most, and how long without a sign of life: a worker may be away for a few days.
const LIFE: Duration = Duration::from_secs(60 * 24 * 60 * 60);
const IDLE: Duration = Duration::from_secs(7 * 24 * 60 * 60);
/// How often one of our own is given a sign of life.
const TOUCH: Duration = Duration::from_secs(12 * 60 * 60);
/// How often it is looked what is lent.
const LOOK: Duration = Duration::from_secs(60);
/// Before that a file without a workflow may be that of one which is just being asked for.
const YOUNG: Duration = Duration::from_secs(60 * 60);
/// How long the grid may take to answer.
const GRID: Duration = Duration::from_secs(20);
/// How many objects are asked for together.
const TOGETHER: usize = 500;

/// What to do about a session that is gone.
const REMEDY: &str = "ask for a retry with another one: `processor retry ID --session SESSION`";

/// What workflows are lent.
pub(crate) struct Lending {
    /// OMERO's router; none where the settings name no master.
    router: Option<Address>,
    /// Who knows OMERO inside the grid.
    registry: Option<Reference>,
    files: Files,
    /// Those of others, which last as long as somebody is in them; by their ids.
    held: Mutex<BTreeMap<String, Session>>,
}

impl fmt::Debug for Lending {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Lending").field("router", &self.router).finish_non_exhaustive()
    }
}

impl Lending {
    /// As the settings say; nothing is connected yet. `folder`: for the files.
    pub(crate) fn new(settings: &Settings, folder: PathBuf) -> Result<Self, Ended> {
        let (registry, router) = grid::master(settings)?.unzip();
        Ok(Self { router, registry, files: Files::new(folder), held: Mutex::default() })
    }

    /// Where OMERO is; none where the worker has none.
    pub(super) const fn address(&self) -> Option<&Address> {
        self.router.as_ref()
    }

    /// Lends these workflows what they need in OMERO: a session like `session`, whose user and group become the request's
    /// where it names none. Nothing is needed for what has nothing to do with OMERO.
    ///
    /// # Errors
    /// Nothing was lent: there is no OMERO or no such session, it is another user's, or shows not what is asked for.
    pub(crate) async fn lend(
        &self,
        ids: &[Uuid],
        request: &mut Request,
        session: Option<&Secret<String>>,
    ) -> Result<(), Error> {
        if !request.is_of_omero() {
            return Ok(());
        }
        let (session, group) = self.shown(request, session).await?;
        let missing = missing(&session, &request.inputs).await.map_err(untold)?;
        if !missing.is_empty() {
            let absent = |object| {
                let told = format!("OMERO has no {object}, or does not show it to this user");
                Problem::new("inputs", told)
            };
            return Err(Error::Senseless(missing.into_iter().take(10).map(absent).collect()));
        }
        let lent = self.made(session, &group).await?;
        let kept = self.files.keep(ids, &lent).map_err(unkept)?;
        if !kept {
            self.end(lent).await;
        }
        Ok(())
    }

    /// Lends workflows anew that are asked for once more: what they were lent ended with them.
    ///
    /// # Errors
    /// As of [`Lending::lend`]; or no session was shown, and the grid does not give one either.
    pub(crate) async fn lend_again(
        &self,
        ids: &[Uuid],
        request: &Request,
        session: Option<&Secret<String>>,
    ) -> Result<(), Error> {
        if ids.is_empty() || !request.is_of_omero() {
            return Ok(());
        }
        let lent = match session {
            Some(session) => {
                let mut request = request.clone();
                let (session, group) = self.shown(&mut request, Some(session)).await?;
                self.made(session, &group).await?
            }
            None => self.renewed(request).await.map_err(|reason| {
                let told =
                    format!("its session of OMERO has ended with it, and {reason}: lend it another one");
                Error::Senseless(vec![Problem::new(FIELD, told)])
            })?,
        };
        self.files.replace(ids, &lent).map_err(unkept)
    }

    /// What a workflow was lent, joined, so that it is known to be there.
    pub(super) async fn joined(&self, work: &Work, step: Step) -> Result<(Access, Session), Failure> {
        let failed = |reason: String, remedy| Failure::new(step, reason, remedy);
        let lent = self.files.read(work.id);
        let lent = lent.map_err(|error| failed(format!("its session of OMERO: {error}"), Remedy::Wait))?;
        let away = |error: Unread| failed(error.to_string(), remedy(&error));
        if let Some(lent) = lent {
            match self.join(&lent).await.map_err(away)? {
                Some((access, session)) => return Ok((access, session)),
                None => tracing::info!("workflow {}: OMERO knows its session no more", work.id),
            }
        }
        let renewed = self.renewed(&work.request).await.map_err(|reason| {
            failed(format!("its session of OMERO has ended, and {reason}: {REMEDY}"), Remedy::None)
        })?;
        let kept = self.files.replace(&[work.id], &renewed);
        kept.map_err(|error| failed(format!("its session of OMERO cannot be kept: {error}"), Remedy::Wait))?;
        match self.join(&renewed).await.map_err(away)? {
            Some((access, session)) => Ok((access, session)),
            None => {
                Err(failed("OMERO lets nobody into a session that it has just made".to_owned(), Remedy::Wait))
            }
        }
    }

    /// Takes back what a workflow was lent; where it has been taken back, nothing.
    pub(crate) async fn take_back(&self, id: Uuid) {
        match self.files.take(id) {
            Ok(Some(lent)) => self.end(lent).await,
            Ok(None) => {}
            Err(error) => tracing::warn!("workflow {id}: its session of OMERO cannot be removed: {error}"),
        }
    }

    /// Keeps what is lent alive, and takes back what nobody needs any more; never ends.
    pub(super) async fn look_after<S: Steps>(&self, workflows: &Workflows<S>) {
        let mut touched: BTreeMap<String, Instant> = BTreeMap::new();
        loop {
            let all = self.files.all().unwrap_or_else(|error| {
                tracing::warn!("the sessions that workflows were lent cannot be read: {error}");
                Vec::new()
            });
            for (id, age) in all {
                let is_over = match workflows.show(id).await {
                    Ok(workflow) => workflow.machine.is_over(),
                    Err(Error::Absent { .. }) => true,
                    Err(_) => false,
                };
                if is_over && age > YOUNG {
                    self.take_back(id).await;
                } else if !is_over && let Ok(Some(lent)) = self.files.read(id) {
                    self.touch(&lent, &mut touched).await;
                }
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Gives a session a sign of life where one is due.
    async fn touch(&self, lent: &Lent, touched: &mut BTreeMap<String, Instant>) {
        let id = lent.session.reveal();
        if lent.is_own {
            if touched.get(id).is_some_and(|last| last.elapsed() < TOUCH) {
                return;
            }
            // Joining is one.
            if let Ok(Some((_, session))) = self.join(lent).await {
                let _ = session.close().await;
            }
            touched.insert(id.clone(), Instant::now());
        } else if !self.holds(id)
            && let Ok(Some((_, session))) = self.join(lent).await
        {
            self.held.lock().unwrap_or_else(PoisonError::into_inner).insert(id.clone(), session);
        }
    }

    fn holds(&self, id: &str) -> bool {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        held.retain(|_, session| session.is_lost().is_none());
        held.contains_key(id)
    }

    /// The session of whoever asks, and the name of the group that the workflow is for.
    async fn shown(
        &self,
        request: &mut Request,
        session: Option<&Secret<String>>,
    ) -> Result<(Session, String), Error> {
        let wrong = |field: &str, told: String| Error::Senseless(vec![Problem::new(field, told)]);
        let Some(session) = session else {
            let told = "what is in OMERO is read and written in somebody's name: lend a session, as `processor run --session ID` does";
            return Err(wrong(FIELD, told.to_owned()));
        };
        let Some(access) = self.access(session) else {
            let told = "this worker knows no OMERO: set master.host";
            return Err(wrong("inputs", told.to_owned()));
        };
        let session = omero::begin(&access, AGENT).await.map_err(|error| match &error {
            Unread::Omero(OmeroError::Denied { .. }) => {
                wrong(FIELD, "OMERO knows no such session: it may have ended; begin another".to_owned())
            }
            _ => untold(error),
        })?;
        let asked = async {
            let context = session.admin().await?.get_event_context().await?;
            let nobody = || OmeroError::Missing { what: "user of this session".to_owned() };
            context.root().cloned().ok_or_else(nobody)
        };
        let context = asked.await.map_err(|error| untold(error.into()))?;
        if request.user < 0 {
            request.user = context.user_id;
        }
        if request.user != context.user_id {
            let told = format!(
                "the session is that of user {}: ask in their name, or leave it out",
                context.user_id
            );
            return Err(wrong("user", told));
        }
        if request.group < 0 {
            request.group = context.group_id;
        }
        let is_member = context.is_admin || context.member_of_groups.contains(&request.group);
        if request.group != context.group_id && !is_member {
            let told = format!("user {} is not in group {}", context.user_id, request.group);
            return Err(wrong("group", told));
        }
        let group = match request.group == context.group_id {
            true => context.group_name,
            false => group(&session, request.group).await.map_err(|error| untold(error.into()))?,
        };
        Ok((session, group))
    }

    /// A session that outlives that of whoever asks.
    async fn made(&self, asker: Session, group: &str) -> Result<Lent, Error> {
        let made = async {
            let sessions = asker.sessions().await?;
            let made = sessions.create_user_session(milliseconds(LIFE), milliseconds(IDLE), group).await?;
            id_of(made.root().and_then(|session| made.objects.text(session.uuid)))
        };
        match made.await {
            Ok(session) => {
                let _ = asker.close().await;
                Ok(Lent { session, is_own: true })
            }
            Err(error @ OmeroError::Server { .. }) => {
                tracing::warn!(
                    "OMERO makes no session for a workflow, and the asker's is kept alive instead: {error}"
                );
                let session = asker.id().clone();
                let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
                held.insert(session.reveal().clone(), asker);
                Ok(Lent { session, is_own: false })
            }
            Err(error) => Err(untold(error.into())),
        }
    }

    /// Another session of the user that a workflow is for, whose session was shown when it was asked for.
    async fn renewed(&self, request: &Request) -> Result<Lent, String> {
        let outside = "this worker is not in the grid of an OMERO that would make another";
        let Some(registry) = &self.registry else { return Err(outside.to_owned()) };
        let options = Options { agent: AGENT.to_owned(), attempts: 1, timeout: GRID, ..Options::default() };
        let made = async {
            let root = Session::internal(registry, &options).await?;
            let name = user(&root, request.user).await?;
            let group = if request.group < 0 { String::new() } else { group(&root, request.group).await? };
            let mut objects = Objects::new();
            let principal =
                sys::Principal { name, group, event_type: "User".to_owned(), ..sys::Principal::default() };
            let principal = objects.put(principal);
            let sessions = root.sessions().await?;
            let (live, idle) = (milliseconds(LIFE), milliseconds(IDLE));
            let made = sessions.create_session_with_timeouts(principal, live, idle, &objects).await?;
            let session = id_of(made.root().and_then(|session| made.objects.text(session.uuid)));
            let _ = root.close().await;
            session
        };
        let made = tokio::time::timeout(2 * GRID, made).await;
        let made = made
            .unwrap_or_else(|_| Err(OmeroError::Unavailable { problem: "it does not answer".to_owned() }));
        let session = made.map_err(|error| format!("the grid gives no other ({error})"))?;
        Ok(Lent { session, is_own: true })
    }

    fn access(&self, session: &Secret<String>) -> Option<Access> {
        let address = self.router.clone()?;
        Some(Access { address, credentials: Credentials::Session(session.clone()), trust: Trust::System })
    }

    /// The session; none where OMERO knows it no more.
    async fn join(&self, lent: &Lent) -> Result<Option<(Access, Session)>, Unread> {
        let Some(access) = self.access(&lent.session) else { return Ok(None) };
        match omero::begin(&access, AGENT).await {
            Ok(session) => Ok(Some((access, session))),
            Err(Unread::Omero(OmeroError::Denied { .. })) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Ends a session of our own; somebody else's is let go of.
    async fn end(&self, lent: Lent) {
        let held = self.held.lock().unwrap_or_else(PoisonError::into_inner).remove(lent.session.reveal());
        if let Some(session) = held {
            let _ = session.close().await;
        }
        if !lent.is_own {
            return;
        }
        let ended = async {
            let Some((_, session)) = self.join(&lent).await? else { return Ok(()) };
            let mut objects = Objects::new();
            let uuid = objects.put(RString::from(lent.session.reveal().as_str()));
            let base = IObject { loaded: true, ..IObject::default() };
            let over = objects.put(SessionObject { base, uuid, ..SessionObject::default() });
            let closed = session.sessions().await?.close_session(over, &objects).await;
            let _ = session.close().await;
            closed.map(drop).map_err(Unread::from)
        };
        if let Err(error) = ended.await {
            tracing::debug!("a session of a workflow is left to end by itself: {error}");
        }
    }
}

/// Those of the inputs in OMERO that it does not show.
async fn missing(session: &Session, inputs: &[Input]) -> Result<Vec<Input>, Unread> {
    let query = session.query().await?.in_group(-1);
    let mut missing = Vec::new();
    for kind in [OmeroKind::Image, OmeroKind::Dataset, OmeroKind::Plate] {
        let text = match kind {
            OmeroKind::Image => "select o.id from Image o where o.id in (:ids)",
            OmeroKind::Dataset => "select o.id from Dataset o where o.id in (:ids)",
            OmeroKind::Plate => "select o.id from Plate o where o.id in (:ids)",
        };
        let of_kind = |input: &Input| match input {
            Input::Omero(object) if object.kind == kind => Some(object.id),
            _ => None,
        };
        let ids: Vec<i64> = inputs.iter().filter_map(of_kind).collect();
        for ids in ids.chunks(TOGETHER) {
            let rows = query.rows(text, &QueryParameters::new().longs("ids", ids)).await?;
            let there = rows.iter().map(|row| row.long(0)).collect::<Result<Vec<_>, _>>()?;
            let absent = ids.iter().filter(|id| !there.contains(id));
            missing.extend(absent.map(|id| Input::Omero(OmeroObject { kind, id: *id })));
        }
    }
    Ok(missing)
}

async fn user(session: &Session, id: i64) -> Result<String, OmeroError> {
    named(session, "select e.omeName from Experimenter e where e.id = :id", id, "user").await
}

async fn group(session: &Session, id: i64) -> Result<String, OmeroError> {
    named(session, "select g.name from ExperimenterGroup g where g.id = :id", id, "group").await
}

async fn named(session: &Session, text: &'static str, id: i64, what: &str) -> Result<String, OmeroError> {
    let query = session.query().await?.in_group(-1);
    let rows = query.rows(text, &QueryParameters::new().long("id", id)).await?;
    let name = rows.first().map(|row| row.maybe_text(0)).transpose()?.flatten().map(str::to_owned);
    name.ok_or_else(|| OmeroError::Missing { what: format!("{what} {id}") })
}

fn id_of(text: Option<&str>) -> Result<Secret<String>, OmeroError> {
    let id = text.map(|text| Secret::new(text.to_owned()));
    id.ok_or_else(|| OmeroError::Missing { what: "id of a session".to_owned() })
}

fn milliseconds(time: Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX)
}

/// Whether it may go better later. Where the session is gone the next try finds out what can be done about it.
pub(super) fn remedy(error: &Unread) -> Remedy {
    match error {
        Unread::Omero(error) if may_pass(error) => Remedy::Wait,
        _ => Remedy::None,
    }
}

/// The same of a call.
pub(super) fn may_pass(error: &OmeroError) -> bool {
    matches!(
        error,
        OmeroError::Unavailable { .. }
            | OmeroError::Gone { .. }
            | OmeroError::NoSession { .. }
            | OmeroError::Denied { .. }
    ) || error.is(biomero_omero::Exception::SessionException)
        || error.is(biomero_omero::Exception::ConcurrencyException)
}

fn untold(error: Unread) -> Error {
    Error::Untold(format!("OMERO: {error}"))
}

fn unkept(error: std::io::Error) -> Error {
    Error::Untold(format!("a session of OMERO cannot be kept in the worker's state folder: {error}"))
}
