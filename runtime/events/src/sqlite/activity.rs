//! What happened within a while.

use rusqlite::{Result, Row};

use super::Store;
use super::query::count;
use super::value::wall_time;
use crate::activity::{Activity, By, Dialect, Outcomes, Part, Share, TaskShare, Window, open_phases};
use crate::error::Error;

const DIALECT: Dialect = Dialect {
    within: "start_time >= ?1",
    seconds: "CAST(strftime('%s', start_time) AS INTEGER)",
    took: "(julianday(end_time) - julianday(start_time)) * 86400.0",
    parameter: "?1",
};

impl Store {
    pub(crate) async fn activity(&self, window: Window) -> std::result::Result<Activity, Error> {
        let since = || [wall_time(window.since)];
        let parts = self.rows("count workflows", DIALECT.parts(window.part), since(), |row| {
            Ok(Part { number: row.get::<_, Option<i64>>(0)?.unwrap_or_default(), outcomes: outcomes(row)? })
        });
        let mut parts = parts.await?;
        parts.reverse();
        let tasks = self.rows("count tasks", DIALECT.tasks(), since(), |row| {
            Ok(TaskShare {
                name: row.get(0)?,
                all: count(row, 1)?,
                failed: count(row, 2)?,
                average_seconds: row.get(3)?,
            })
        });
        let tasks = tasks.await?;
        let phases =
            self.rows("count workflows", DIALECT.phases(), since(), |row| Ok((row.get(0)?, count(row, 1)?)));
        Ok(Activity {
            parts,
            workflows: self.shares(By::Workflow, window).await?,
            users: self.shares(By::User, window).await?,
            groups: self.shares(By::Group, window).await?,
            tasks,
            phases: phases.await?,
        })
    }

    pub(crate) async fn open_phases(&self) -> std::result::Result<Vec<(String, u64)>, Error> {
        self.rows("count workflows", open_phases(), [], |row| Ok((row.get(0)?, count(row, 1)?))).await
    }

    async fn shares(&self, by: By, window: Window) -> std::result::Result<Vec<Share>, Error> {
        self.rows("count workflows", DIALECT.shares(by), [wall_time(window.since)], |row| {
            Ok(Share { of: row.get(0)?, outcomes: outcomes(row)? })
        })
        .await
    }
}

fn outcomes(row: &Row<'_>) -> Result<Outcomes> {
    Ok(Outcomes { all: count(row, 1)?, done: count(row, 2)?, failed: count(row, 3)? })
}
