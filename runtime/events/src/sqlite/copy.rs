//! What a copy of a history asks of the file, and puts into it.

use rusqlite::{Result, params};
use uuid::Uuid;

use super::query::count;
use super::value::{Id, hex, notification, wall_time};
use super::worker::used;
use super::{Store, append};
use crate::copy::{BYTES, Extent, ROWS, RecordedCommand, UsageKey};
use crate::error::Error;
use crate::schema::{COMMANDS, WORKER_EVENTS};
use crate::sql;
use crate::stored::Notification;
use crate::worker::{JobUsage, RecordedWorkerEvent};

impl Store {
    pub(crate) async fn has(&self, table: &'static str) -> Result<bool, Error> {
        let statement = "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = ?1".to_owned();
        Ok(!self.rows("read the catalogue", statement, [table], |_| Ok(())).await?.is_empty())
    }

    pub(crate) async fn extent(&self, table: &'static str, upto: i64) -> Result<Extent, Error> {
        let read = |row: &rusqlite::Row<'_>| Ok(Extent { rows: count(row, 0)?, last: row.get(1)? });
        let extent = self.rows("count rows", sql::extent(table), [upto], read).await?;
        Ok(extent.first().copied().unwrap_or_default())
    }

    pub(crate) async fn part(&self, behind: i64) -> Result<Vec<Notification>, Error> {
        self.rows("read events", sql::part(), (behind, ROWS, BYTES), notification).await
    }

    /// Puts events behind the last one, if that is still the one with this id.
    pub(crate) async fn import(&self, behind: i64, events: Vec<Notification>) -> Result<bool, Error> {
        self.write("copy events", move |database, connection| {
            let import = || -> Result<bool> {
                if append::head(connection, &database.sql)? != behind {
                    return Ok(false);
                }
                let mut insert = connection.prepare_cached(&database.sql.insert)?;
                for event in &events {
                    let originator = event.originator_id.as_bytes();
                    let version = event.originator_version;
                    insert.execute(params![event.id, originator, version, event.topic, event.state])?;
                }
                Ok(true)
            };
            import().map_err(|error| database.failed("copy events", error))
        })
        .await
    }

    pub(crate) async fn commands(&self, first: Uuid) -> Result<Vec<RecordedCommand>, Error> {
        self.rows("read commands", sql::commands(), (hex(first), ROWS), |row| {
            Ok((row.get::<_, Id>(0)?.0, row.get(1)?, row.get(2)?))
        })
        .await
    }

    pub(crate) async fn import_commands(&self, commands: Vec<RecordedCommand>) -> Result<u64, Error> {
        let statement = format!(
            "INSERT INTO {COMMANDS} (command_id, first_id, last_id) VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING"
        );
        self.write("copy commands", move |database, connection| {
            let import = || -> Result<u64> {
                let mut insert = connection.prepare_cached(&statement)?;
                let mut new = 0;
                for (id, first, last) in &commands {
                    new += insert.execute(params![hex(*id), first, last])? as u64;
                }
                Ok(new)
            };
            import().map_err(|error| database.failed("copy commands", error))
        })
        .await
    }

    pub(crate) async fn import_worker_events(&self, events: Vec<RecordedWorkerEvent>) -> Result<(), Error> {
        let statement = format!(
            "INSERT INTO {WORKER_EVENTS} (id, recorded, topic, workflow_id, task_id, state) VALUES (?1, ?2, ?3, ?4, ?5, ?6)"
        );
        self.write("copy our own events", move |database, connection| {
            let import = || -> Result<()> {
                let mut insert = connection.prepare_cached(&statement)?;
                for RecordedWorkerEvent { id, recorded, event } in &events {
                    let ids = (event.workflow_id.map(hex), event.task_id.map(hex));
                    let state = event.state.to_string();
                    insert.execute(params![id, wall_time(*recorded), event.topic, ids.0, ids.1, state])?;
                }
                Ok(())
            };
            import().map_err(|error| database.failed("copy our own events", error))
        })
        .await
    }

    pub(crate) async fn usage_behind(&self, behind: Option<UsageKey>) -> Result<Vec<JobUsage>, Error> {
        let (cluster, job, submitted) = match behind {
            Some((cluster, job, submitted)) => (Some(cluster), Some(job), Some(wall_time(submitted))),
            None => (None, None, None),
        };
        let values = (cluster, job, submitted, ROWS);
        self.rows("read what jobs have used", sql::usage_behind(), values, used).await
    }
}
