//! Questions about the views and the log.

use rusqlite::{Result, Row};
use uuid::Uuid;

use super::value::{Id, Moment, hex, notification, wall_time};
use super::{Store, append};
use crate::error::Error;
use crate::query::{
    Census, DayUsage, Job, Listed, Page, Repetition, Standing, TaskName, TaskStatistics, UserJobs, Whose,
    WorkflowFilter, WorkflowRow,
};
use crate::schema::{JOB_PROGRESS, JOBS, LEADER, LOG, TASK_EXECUTION, TRACKING, WORKFLOW_PROGRESS};
use crate::sql::{jobs_by_user, workflows_by_status};
use crate::stored::Notification;

/// The seconds between two wall times, to the microsecond: SQLite's own functions stop at a thousandth.
const SECONDS: &str = "strftime('%s', end_time) - strftime('%s', start_time)
                       + (substr(end_time, 21) - substr(start_time, 21)) / 1000000.0";

impl Store {
    pub(crate) async fn jobs(&self, whose: Whose, ids: &[i32]) -> Result<Vec<Job>, Error> {
        let statement = format!(
            "SELECT j.slurm_job_id, j.\"user\", j.\"group\", j.task_id, p.status, p.progress
             FROM {JOBS} AS j LEFT JOIN {JOB_PROGRESS} AS p USING (slurm_job_id)
             WHERE (?1 IS NULL OR j.\"user\" = ?1) AND (?2 IS NULL OR j.\"group\" = ?2)
               AND (?3 IS NULL OR j.slurm_job_id IN (SELECT value FROM json_each(?3)))
             ORDER BY j.slurm_job_id"
        );
        let ids = (!ids.is_empty()).then(|| format!("{ids:?}"));
        self.rows("read jobs", statement, (whose.user, whose.group, ids), |row| {
            Ok(Job {
                slurm_job_id: row.get(0)?,
                user: row.get(1)?,
                group: row.get(2)?,
                task_id: row.get::<_, Option<Id>>(3)?.map(|id| id.0),
                status: row.get(4)?,
                progress: row.get(5)?,
            })
        })
        .await
    }

    pub(crate) async fn task_statistics(&self, whose: Whose) -> Result<Vec<TaskStatistics>, Error> {
        let statement = format!(
            "SELECT task_name, task_version, count(*), count(end_time), avg({SECONDS}),
                    json_group_array(DISTINCT error_type) FILTER (WHERE error_type IS NOT NULL)
             FROM {TASK_EXECUTION}
             WHERE (?1 IS NULL OR user_id = ?1) AND (?2 IS NULL OR group_id = ?2)
             GROUP BY task_name, task_version ORDER BY task_name, task_version NULLS LAST"
        );
        self.rows("read task statistics", statement, (whose.user, whose.group), |row| {
            let failures: String = row.get(5)?;
            let mut failures: Vec<String> = serde_json::from_str(&failures).unwrap_or_default();
            failures.sort_unstable();
            Ok(TaskStatistics {
                task: TaskName { name: row.get(0)?, version: row.get(1)? },
                count: count(row, 2)?,
                ended: count(row, 3)?,
                average_seconds: row.get(4)?,
                failures,
            })
        })
        .await
    }

    pub(crate) async fn usage_over_time(&self, task: &str, whose: Whose) -> Result<Vec<DayUsage>, Error> {
        let statement = format!(
            "SELECT date(start_time) || ' 00:00:00', count(*) FROM {TASK_EXECUTION}
             WHERE task_name = ?1 AND (?2 IS NULL OR user_id = ?2) AND (?3 IS NULL OR group_id = ?3)
             GROUP BY 1 ORDER BY 1"
        );
        self.rows("read a task's usage", statement, (task.to_owned(), whose.user, whose.group), |row| {
            Ok(DayUsage { date: row.get::<_, Moment>(0)?.0.date(), count: count(row, 1)? })
        })
        .await
    }

    pub(crate) async fn workflows(
        &self,
        filter: &WorkflowFilter,
        page: Page,
    ) -> Result<Listed<WorkflowRow>, Error> {
        let matching = format!(
            "FROM {WORKFLOW_PROGRESS}
             WHERE (?1 IS NULL OR \"user\" = ?1) AND (?2 IS NULL OR \"group\" = ?2)
               AND (?3 IS NULL OR status = ?3 OR (?4 AND substr(status, 1, length(?3)) = ?3))
               AND (?5 IS NULL OR name = ?5 OR main_task_name = ?5)
               AND (?6 IS NULL OR start_time >= ?6) AND (?7 IS NULL OR start_time < ?7)"
        );
        let WorkflowFilter { whose, status, name, since, until } = filter.clone();
        let is_beginning = status.as_ref().is_some_and(|status| status.ends_with('*'));
        let status = status.map(|status| status.strip_suffix('*').map_or(status.clone(), str::to_owned));
        let (since, until) = (since.map(wall_time), until.map(wall_time));
        let (user, group) = (whose.user, whose.group);
        self.read("list workflows", move |database, connection| {
            let listed = || -> Result<_> {
                let values = (user, group, &status, is_beginning, &name, &since, &until);
                let total = connection
                    .prepare_cached(&format!("SELECT count(*) {matching}"))?
                    .query_row(values, |row| count(row, 0))?;
                let rows = connection
                    .prepare_cached(&format!(
                        "SELECT {COLUMNS} {matching} ORDER BY start_time DESC, workflow_id LIMIT ?8 OFFSET ?9"
                    ))?
                    .query_map(
                        (user, group, &status, is_beginning, &name, &since, &until, page.limit, page.offset),
                        workflow,
                    )?
                    .collect::<Result<_>>()?;
                Ok(Listed { rows, total })
            };
            listed().map_err(|error| database.failed("list workflows", error))
        })
        .await
    }

    pub(crate) async fn census(&self, whose: Whose) -> Result<Census, Error> {
        let values = (whose.user, whose.group);
        let workflows = self.rows("count workflows", workflows_by_status("?1", "?2"), values, |row| {
            Ok((row.get(0)?, count(row, 1)?))
        });
        let workflows = workflows.await?;
        let jobs = self.rows("count jobs", jobs_by_user("?1", "?2"), values, |row| {
            Ok(UserJobs { user: row.get(0)?, jobs: count(row, 1)?, completed: count(row, 2)? })
        });
        Ok(Census { workflows, jobs: jobs.await? })
    }

    pub(crate) async fn workflow_row(&self, id: Uuid) -> Result<Option<WorkflowRow>, Error> {
        let statement = format!("SELECT {COLUMNS} FROM {WORKFLOW_PROGRESS} WHERE workflow_id = ?1");
        Ok(self.rows("read a workflow", statement, [hex(id)], workflow).await?.pop())
    }

    pub(crate) async fn last_id(&self) -> Result<i64, Error> {
        self.read("find the last event", |database, connection| {
            append::head(connection, &database.sql)
                .map_err(|error| database.failed("find the last event", error))
        })
        .await
    }

    pub(crate) async fn counts(&self) -> Result<Standing, Error> {
        self.read("count events", |database, connection| {
            let failed = |error| database.failed("count events", error);
            let position = append::position(database, connection)?;
            let counts = || -> Result<_> {
                let topics = connection
                    .prepare(&format!("SELECT topic, count(*) FROM {LOG} GROUP BY 1 ORDER BY 2 DESC, 1"))?
                    .query_map([], |row| Ok((row.get(0)?, count(row, 1)?)))?
                    .collect::<Result<Vec<_>>>()?;
                let mut tracking = Vec::with_capacity(TRACKING.len());
                for table in TRACKING {
                    let last = connection.query_row(
                        &format!("SELECT max(notification_id) FROM {table} WHERE application_name = ?1"),
                        [LEADER],
                        |row| row.get(0),
                    )?;
                    tracking.push((table.to_owned(), last));
                }
                Ok(Standing {
                    events: topics.iter().map(|(_, count)| count).sum(),
                    last_id: append::head(connection, &database.sql)?,
                    topics,
                    projected: position.notification_id,
                    first_id: position.first_id,
                    tracking,
                })
            };
            counts().map_err(failed)
        })
        .await
    }

    /// Events that say the same of the same aggregate as the one before, but for the time, and that come once by their
    /// nature.
    pub(crate) async fn repetitions(&self, limit: i64) -> Result<Vec<Repetition>, Error> {
        let statement = format!(
            "WITH said AS (
                 SELECT id, originator_id, topic, originator_version,
                        substr(CAST(state AS BLOB), instr(CAST(state AS BLOB), x'7d')) AS said
                 FROM {LOG}),
             told AS (
                 SELECT id, originator_id, topic, said, lag(id) OVER earlier AS first_id,
                        lag(topic) OVER earlier AS first_topic, lag(said) OVER earlier AS first_said
                 FROM said WINDOW earlier AS (PARTITION BY originator_id ORDER BY originator_version))
             SELECT id, originator_id, topic, first_id FROM told
             WHERE topic = first_topic AND said = first_said
               AND topic NOT LIKE '%.StatusUpdated' AND topic NOT LIKE '%.ProgressUpdated'
             ORDER BY id LIMIT ?1"
        );
        self.rows("look for repeated events", statement, [limit], |row| {
            Ok(Repetition {
                id: row.get(0)?,
                originator_id: row.get::<_, Id>(1)?.0,
                topic: row.get(2)?,
                first_id: row.get(3)?,
            })
        })
        .await
    }

    /// Where an aggregate's versions do not follow each other: the later event, and the version that should be there.
    pub(crate) async fn gaps(&self, limit: i64) -> Result<Vec<(Notification, i64)>, Error> {
        let statement = format!(
            "SELECT id, originator_id, originator_version, topic, state, expected FROM (
                 SELECT *, coalesce(lag(originator_version) OVER (PARTITION BY originator_id ORDER BY originator_version) + 1,
                                    min(max(originator_version, 0), 1)) AS expected
                 FROM {LOG}) AS ordered
             WHERE originator_version <> expected ORDER BY id LIMIT ?1"
        );
        self.rows("look for missing events", statement, [limit], |row| Ok((notification(row)?, row.get(5)?)))
            .await
    }
}

const COLUMNS: &str =
    "workflow_id, status, progress, \"user\", \"group\", name, task, main_task_name, start_time";

fn workflow(row: &Row<'_>) -> Result<WorkflowRow> {
    Ok(WorkflowRow {
        workflow_id: row.get::<_, Id>(0)?.0,
        status: row.get(1)?,
        progress: row.get(2)?,
        user: row.get(3)?,
        group: row.get(4)?,
        name: row.get(5)?,
        task: row.get(6)?,
        main_task_name: row.get(7)?,
        start_time: row.get::<_, Moment>(8)?.0,
    })
}

/// A number that is never negative.
pub(super) fn count(row: &Row<'_>, index: usize) -> Result<u64> {
    row.get::<_, i64>(index).map(i64::unsigned_abs)
}
