//! What happened within a while.

use tokio_postgres::Row;

use super::Store;
use super::session::Values;
use crate::activity::{Activity, By, Dialect, Outcomes, Part, Share, TaskShare, Window, open_phases};
use crate::error::Error;

const DIALECT: Dialect = Dialect {
    within: "start_time >= $1::timestamptz AT TIME ZONE current_setting('TimeZone')",
    seconds: "extract(epoch FROM start_time AT TIME ZONE current_setting('TimeZone'))::bigint",
    took: "extract(epoch FROM end_time - start_time)::float8",
    parameter: "$1",
};

type Read<T> = Result<T, tokio_postgres::Error>;

impl Store {
    pub(crate) async fn activity(&self, window: Window) -> Result<Activity, Error> {
        let since: Values<'_> = &[&window.since];
        let (by_part, by_task, by_phase) = (DIALECT.parts(window.part), DIALECT.tasks(), DIALECT.phases());
        let parts = self.rows("count workflows", &by_part, since, |row| {
            Ok(Part { number: row.try_get(0)?, outcomes: outcomes(row)? })
        });
        let mut parts = parts.await?;
        parts.reverse();
        let tasks = self.rows("count tasks", &by_task, since, |row| {
            Ok(TaskShare {
                name: row.try_get(0)?,
                all: count(row, 1)?,
                failed: count(row, 2)?,
                average_seconds: row.try_get(3)?,
            })
        });
        let tasks = tasks.await?;
        let phases =
            self.rows("count workflows", &by_phase, since, |row| Ok((row.try_get(0)?, count(row, 1)?)));
        Ok(Activity {
            parts,
            workflows: self.shares(By::Workflow, window).await?,
            users: self.shares(By::User, window).await?,
            groups: self.shares(By::Group, window).await?,
            tasks,
            phases: phases.await?,
        })
    }

    pub(crate) async fn open_phases(&self) -> Result<Vec<(String, u64)>, Error> {
        let read = |row: &Row| Ok((row.try_get(0)?, count(row, 1)?));
        self.rows("count workflows", &open_phases(), &[], read).await
    }

    async fn shares(&self, by: By, window: Window) -> Result<Vec<Share>, Error> {
        let read = |row: &Row| Ok(Share { of: row.try_get(0)?, outcomes: outcomes(row)? });
        self.rows("count workflows", &DIALECT.shares(by), &[&window.since], read).await
    }
}

fn outcomes(row: &Row) -> Read<Outcomes> {
    Ok(Outcomes { all: count(row, 1)?, done: count(row, 2)?, failed: count(row, 3)? })
}

fn count(row: &Row, index: usize) -> Read<u64> {
    row.try_get::<_, i64>(index).map(i64::unsigned_abs)
}
