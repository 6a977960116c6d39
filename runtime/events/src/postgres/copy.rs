//! What a copy of a history asks of the database, and puts into it.

use tokio_postgres::Row;
use uuid::Uuid;

use super::session::Values;
use super::worker::used;
use super::{Store, append, notification};
use crate::copy::{BYTES, Extent, ROWS, RecordedCommand, UsageKey};
use crate::error::Error;
use crate::schema::{COMMANDS, LOG, LOG_SEQUENCE, WORKER_EVENTS};
use crate::sql;
use crate::stored::Notification;
use crate::worker::{JobUsage, RecordedWorkerEvent};

/// The column of each value, as an array.
fn each<'a, T, V>(rows: &'a [T], value: impl Fn(&'a T) -> V) -> Vec<V> {
    rows.iter().map(value).collect()
}

impl Store {
    pub(crate) async fn has(&self, table: &'static str) -> Result<bool, Error> {
        let statement = "SELECT to_regclass($1) IS NOT NULL";
        let has = self.rows("read the catalogue", statement, &[&table], |row| row.try_get(0)).await?;
        Ok(has.first().copied().unwrap_or_default())
    }

    pub(crate) async fn extent(&self, table: &'static str, upto: i64) -> Result<Extent, Error> {
        let read =
            |row: &Row| Ok(Extent { rows: row.try_get::<_, i64>(0)?.unsigned_abs(), last: row.try_get(1)? });
        let extent = self.rows("count rows", &sql::extent(table), &[&upto], read).await?;
        Ok(extent.first().copied().unwrap_or_default())
    }

    pub(crate) async fn part(&self, behind: i64) -> Result<Vec<Notification>, Error> {
        let values: Values<'_> = &[&behind, &i64::from(ROWS), &BYTES];
        self.rows("read events", &sql::part(), values, notification).await
    }

    /// Puts events behind the last one, if that is still the one with this id, and the sequence behind them.
    pub(crate) async fn import(&self, behind: i64, events: &[Notification]) -> Result<bool, Error> {
        let failed = |error| self.failed("copy events", error);
        let session = self.living_session().await?;
        let client = session.client();
        client.batch_execute(&self.append.begin).await.map_err(failed)?;
        if append::head(self, &session).await.map_err(failed)? != behind {
            return Ok(false);
        }
        let statement = format!(
            "WITH copied AS (
                 INSERT INTO {LOG} (id, originator_id, originator_version, topic, state)
                 SELECT * FROM unnest($1::bigint[], $2::uuid[], $3::bigint[], $4::text[], $5::bytea[]))
             SELECT setval('{LOG_SEQUENCE}', greatest($6, (SELECT last_value FROM {LOG_SEQUENCE})))"
        );
        let last = events.last().map_or(behind, |event| event.id);
        let values: Values<'_> = &[
            &each(events, |event| event.id),
            &each(events, |event| event.originator_id),
            &each(events, |event| event.originator_version),
            &each(events, |event| event.topic.as_str()),
            &each(events, |event| event.state.as_slice()),
            &last,
        ];
        client.query(&statement, values).await.map_err(failed)?;
        client.batch_execute(&self.append.commit).await.map_err(failed)?;
        session.done();
        Ok(true)
    }

    pub(crate) async fn commands(&self, first: Uuid) -> Result<Vec<RecordedCommand>, Error> {
        self.rows("read commands", &sql::commands(), &[&first, &i64::from(ROWS)], |row| {
            Ok((row.try_get(0)?, row.try_get(1)?, row.try_get(2)?))
        })
        .await
    }

    pub(crate) async fn import_commands(&self, commands: &[RecordedCommand]) -> Result<u64, Error> {
        let statement = format!(
            "INSERT INTO {COMMANDS} (command_id, first_id, last_id)
             SELECT * FROM unnest($1::uuid[], $2::bigint[], $3::bigint[]) ON CONFLICT DO NOTHING RETURNING 1"
        );
        let values: Values<'_> = &[
            &each(commands, |(id, ..)| *id),
            &each(commands, |(_, first, _)| *first),
            &each(commands, |(.., last)| *last),
        ];
        Ok(self.rows("copy commands", &statement, values, |_| Ok(())).await?.len() as u64)
    }

    pub(crate) async fn import_worker_events(&self, events: &[RecordedWorkerEvent]) -> Result<(), Error> {
        let sequence = format!("{WORKER_EVENTS}_id_seq");
        let statement = format!(
            "WITH copied AS (
                 INSERT INTO {WORKER_EVENTS} (id, recorded, topic, workflow_id, task_id, state)
                 SELECT * FROM unnest($1::bigint[], $2::timestamptz[], $3::text[], $4::uuid[], $5::uuid[], $6::text[]))
             SELECT setval('{sequence}', greatest($7, (SELECT last_value FROM {sequence})))"
        );
        let last = events.last().map_or(1, |event| event.id);
        let values: Values<'_> = &[
            &each(events, |event| event.id),
            &each(events, |event| event.recorded),
            &each(events, |event| event.event.topic.as_str()),
            &each(events, |event| event.event.workflow_id),
            &each(events, |event| event.event.task_id),
            &each(events, |event| event.event.state.to_string()),
            &last,
        ];
        self.rows("copy our own events", &statement, values, |_| Ok(())).await.map(drop)
    }

    pub(crate) async fn usage_behind(&self, behind: Option<UsageKey>) -> Result<Vec<JobUsage>, Error> {
        let (cluster, job, submitted) = match behind {
            Some((cluster, job, submitted)) => (Some(cluster), Some(job), Some(submitted)),
            None => (None, None, None),
        };
        let values: Values<'_> = &[&cluster, &job, &submitted, &i64::from(ROWS)];
        self.rows("read what jobs have used", &sql::usage_behind(), values, used).await
    }
}
