//! Appending: one transaction that locks, inserts, projects, moves the listeners' positions, notifies and commits.
//!
//! Two round trips, whatever the length of the history: everything that is to be known is asked at once, then everything is
//! written at once.

use std::collections::{HashMap, HashSet};

use futures_util::future::join4;
use tokio_postgres::Row;
use uuid::Uuid;

use super::project;
use super::session::Session;
use super::write::write;
use super::{Store, notification};
use crate::command::Command;
use crate::error::Error;
use crate::log::Recorded;
use crate::plan::{Attempt, ON_THE_WAY, Plan, plan, told};
use crate::projection::{self, Key, Ordered, State, applied, keys_of, projectable};

/// What is known once the log is locked.
struct Known {
    /// How far the views are projected; none when the tables were never set up.
    position: Option<i64>,
    head: i64,
    versions: HashMap<Uuid, i64>,
    ids: Vec<i64>,
    recorded: HashMap<Uuid, (i64, i64)>,
    states: Vec<(Key, State)>,
    /// The commands' events, as they are stored.
    encoded: Vec<Vec<u8>>,
}

/// Commands as one transaction: all of them, or none.
pub(super) async fn attempt(store: &Store, commands: &[Command]) -> Result<Attempt, Error> {
    let session = store.session().await?;
    let outcome = store.answered("append events", within(store, &session, commands)).await;
    match &outcome {
        Ok(Attempt::Done(_)) => session.done(),
        // Nothing was written yet, and the connection is as good as before.
        Ok(Attempt::Behind)
        | Err(Error::Unknown { .. } | Error::Exists { .. } | Error::NotInitialised { .. }) => {
            if session.client().batch_execute("ROLLBACK").await.is_ok() {
                session.done();
            }
        }
        Err(_) => {}
    }
    outcome
}

async fn within(store: &Store, session: &Session, commands: &[Command]) -> Result<Attempt, Error> {
    let failed = |error| store.failed("append events", error);
    let known = ask(store, session, commands).await.map_err(failed)?;
    let Some(position) = known.position else {
        return Err(store.not_initialised());
    };
    let recorded = |id| known.recorded.contains_key(&id);
    let Plan { events: placed, commands: new } =
        plan(commands, known.versions, known.ids, recorded, || store.place())?;
    let mut others: Ordered = Vec::new();
    let mut states = known.states;
    if position < known.head && !placed.is_empty() {
        let missing = since(store, session, position, ON_THE_WAY + 1).await.map_err(failed)?;
        if missing.len() as i64 > ON_THE_WAY {
            return Ok(Attempt::Behind);
        }
        others = projectable(&missing);
        witness(store, session, position).await.map_err(failed)?;
    }
    let events = || {
        let ours = placed.iter().map(|event| projection::Placed {
            id: event.at.id,
            originator_id: event.at.originator_id,
            event: event.event,
        });
        projection::placed(&others).chain(ours)
    };
    if !others.is_empty() {
        let keys = keys_of(events().map(|event| (event.originator_id, &event.event.fact)));
        states = load(store, session, &keys).await.map_err(failed)?;
    }
    let projected = || applied(states, events());
    write(store, session, (&placed, &known.encoded), &new, projected).await.map_err(failed)?;
    let recorded = recorded_before(store, session, &known.recorded).await.map_err(failed)?;
    session.client().batch_execute(&store.append.commit).await.map_err(failed)?;
    let placed: Vec<Recorded> = placed.into_iter().map(|event| event.at).collect();
    Ok(Attempt::Done(told(commands, &new, &placed, &known.recorded, &recorded)))
}

/// Locks the log and asks for all that has to be known, in one round trip.
async fn ask(store: &Store, session: &Session, commands: &[Command]) -> Result<Known, tokio_postgres::Error> {
    let drafts = || commands.iter().flat_map(|command| &command.events);
    let originators: Vec<Uuid> =
        drafts().map(|draft| draft.originator_id).collect::<HashSet<_>>().into_iter().collect();
    let ids: Vec<Uuid> = commands.iter().map(|command| command.id).collect();
    let keys = keys_of(drafts().map(|draft| (draft.originator_id, &draft.event.fact)));
    let count = drafts().count() as i64;
    let sql = &store.append;
    let [position, known] = session.prepare([&sql.position, &sql.known]).await?;
    let client = session.client();
    // The position is locked by a statement of its own: what another has projected meanwhile is seen by the next one.
    // Events are encoded while the database looks.
    let encoding = async {
        tokio::task::yield_now().await;
        drafts().map(|draft| draft.event.encode()).collect()
    };
    let (begun, position, known, encoded) = join4(
        client.batch_execute(&sql.begin),
        client.query_opt(&position, &[]),
        client.query_one(&known, &[&originators, &count, &ids, &keys]),
        encoding,
    )
    .await;
    begun?;
    let (position, known) = (position?, known?);
    let (position, head) = match position {
        Some(row) => (Some(row.try_get(0)?), row.try_get(2)?),
        None => (None, 0),
    };
    let versions: Vec<i64> = known.try_get(0)?;
    let was_recorded: bool = known.try_get(2)?;
    let state_keys: Vec<&str> = known.try_get::<_, Option<_>>(3)?.unwrap_or_default();
    let states: Vec<&str> = known.try_get::<_, Option<_>>(4)?.unwrap_or_default();
    Ok(Known {
        position,
        head,
        versions: originators.into_iter().zip(versions).filter(|(_, version)| *version >= 0).collect(),
        ids: known.try_get(1)?,
        recorded: if was_recorded { recorded_as(store, session, &ids).await? } else { HashMap::new() },
        states: state_keys
            .into_iter()
            .zip(states)
            .filter_map(|(key, state)| project::state(key, state))
            .collect(),
        encoded,
    })
}

/// Where the events of commands stand that are recorded.
async fn recorded_as(
    store: &Store,
    session: &Session,
    ids: &[Uuid],
) -> Result<HashMap<Uuid, (i64, i64)>, tokio_postgres::Error> {
    let [statement] = session.prepare([&store.append.recorded]).await?;
    let rows = session.client().query(&statement, &[&ids]).await?;
    rows.iter().map(|row| Ok((row.try_get(0)?, (row.try_get(1)?, row.try_get(2)?)))).collect()
}

/// The events that are in the log, behind a position.
pub(super) async fn since(
    store: &Store,
    session: &Session,
    position: i64,
    limit: i64,
) -> Result<Vec<crate::stored::Notification>, tokio_postgres::Error> {
    let [since] = session.prepare([&store.append.since]).await?;
    session.client().query(&since, &[&position, &limit]).await?.iter().map(notification).collect()
}

/// Looks whether a Python worker projects what is behind our position.
pub(super) async fn witness(
    store: &Store,
    session: &Session,
    position: i64,
) -> Result<(), tokio_postgres::Error> {
    let [witnessed] = session.prepare([&store.append.witnessed]).await?;
    if session.client().execute(&witnessed, &[&position]).await? > 0 {
        tracing::warn!(
            "a Python worker with listeners on projects into the views of {} as well, from its own memory: set \
             enable_job_accounting, enable_job_progress and enable_workflow_analytics to False for it",
            store.place
        );
    }
    Ok(())
}

/// The id of the last event.
pub(super) async fn head(store: &Store, session: &Session) -> Result<i64, tokio_postgres::Error> {
    let [head] = session.prepare([&store.append.head]).await?;
    session.client().query_one(&head, &[]).await?.try_get(0)
}

async fn load(
    store: &Store,
    session: &Session,
    keys: &[String],
) -> Result<Vec<(Key, State)>, tokio_postgres::Error> {
    let [load] = session.prepare([&store.real.load_states]).await?;
    Ok(session.client().query(&load, &[&keys]).await?.iter().filter_map(project::state_of).collect())
}

/// The events of commands that were recorded before.
async fn recorded_before(
    store: &Store,
    session: &Session,
    commands: &HashMap<Uuid, (i64, i64)>,
) -> Result<Vec<Recorded>, tokio_postgres::Error> {
    let mut events: Vec<Recorded> = Vec::new();
    for (first, last) in commands.values() {
        let [between] = session.prepare([&store.append.between]).await?;
        for row in session.client().query(&between, &[first, last]).await? {
            events.push(recorded(&row)?);
        }
    }
    events.sort_unstable_by_key(|event| event.id);
    Ok(events)
}

fn recorded(row: &Row) -> Result<Recorded, tokio_postgres::Error> {
    Ok(Recorded { id: row.try_get(0)?, originator_id: row.try_get(1)?, originator_version: row.try_get(2)? })
}
