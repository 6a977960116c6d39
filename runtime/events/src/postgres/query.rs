//! Questions about the views and the log.

use tokio_postgres::Row;
use uuid::Uuid;

use super::Store;
use super::session::Values;
use crate::error::Error;
use crate::query::{
    Census, DayUsage, Job, Listed, Page, Repetition, Standing, TaskName, TaskStatistics, UserJobs, Whose,
    WorkflowFilter, WorkflowRow,
};
use crate::schema::{JOB_PROGRESS, JOBS, LEADER, LOG, POSITION, TASK_EXECUTION, TRACKING, WORKFLOW_PROGRESS};
use crate::sql::{jobs_by_user, workflows_by_status};

/// Wall times of the session's time zone, as moments.
const MOMENT: &str = "AT TIME ZONE current_setting('TimeZone')";

type Read<T> = Result<T, tokio_postgres::Error>;

impl Store {
    /// Runs one statement outside of a transaction.
    pub(super) async fn rows<T>(
        &self,
        attempted: &'static str,
        statement: &str,
        values: Values<'_>,
        read: impl Fn(&Row) -> Read<T>,
    ) -> Result<Vec<T>, Error> {
        let failed = |error| self.failed(attempted, error);
        let session = self.living_session().await?;
        let work = async {
            let [statement] = session.prepare([statement]).await.map_err(failed)?;
            session.client().query(&statement, values).await.map_err(failed)
        };
        let rows = self.answered(attempted, work).await?;
        session.done();
        rows.iter().map(read).collect::<Read<_>>().map_err(failed)
    }

    pub(crate) async fn jobs(&self, whose: Whose, ids: &[i32]) -> Result<Vec<Job>, Error> {
        let statement = format!(
            "SELECT j.slurm_job_id, j.\"user\", j.\"group\", j.task_id, p.status, p.progress
             FROM {JOBS} j LEFT JOIN {JOB_PROGRESS} p USING (slurm_job_id)
             WHERE ($1::int IS NULL OR j.\"user\" = $1) AND ($2::int IS NULL OR j.\"group\" = $2)
               AND (cardinality($3::int[]) = 0 OR j.slurm_job_id = ANY($3))
             ORDER BY j.slurm_job_id"
        );
        self.rows("read jobs", &statement, &[&whose.user, &whose.group, &ids], |row| {
            Ok(Job {
                slurm_job_id: row.try_get(0)?,
                user: row.try_get(1)?,
                group: row.try_get(2)?,
                task_id: row.try_get(3)?,
                status: row.try_get(4)?,
                progress: row.try_get(5)?,
            })
        })
        .await
    }

    pub(crate) async fn task_statistics(&self, whose: Whose) -> Result<Vec<TaskStatistics>, Error> {
        let statement = format!(
            "SELECT task_name, task_version, count(*), count(end_time),
                    avg(extract(epoch FROM end_time - start_time))::float8,
                    coalesce(array_agg(DISTINCT error_type ORDER BY error_type) FILTER (WHERE error_type IS NOT NULL), '{{}}')::text[]
             FROM {TASK_EXECUTION}
             WHERE ($1::int IS NULL OR user_id = $1) AND ($2::int IS NULL OR group_id = $2)
             GROUP BY task_name, task_version ORDER BY task_name, task_version"
        );
        self.rows("read task statistics", &statement, &[&whose.user, &whose.group], |row| {
            Ok(TaskStatistics {
                task: TaskName { name: row.try_get(0)?, version: row.try_get(1)? },
                count: row.try_get::<_, i64>(2)?.unsigned_abs(),
                ended: row.try_get::<_, i64>(3)?.unsigned_abs(),
                average_seconds: row.try_get(4)?,
                failures: row.try_get(5)?,
            })
        })
        .await
    }

    pub(crate) async fn usage_over_time(&self, task: &str, whose: Whose) -> Result<Vec<DayUsage>, Error> {
        let statement = format!(
            "SELECT start_time::date, count(*) FROM {TASK_EXECUTION}
             WHERE task_name = $1 AND ($2::int IS NULL OR user_id = $2) AND ($3::int IS NULL OR group_id = $3)
             GROUP BY 1 ORDER BY 1"
        );
        self.rows("read a task's usage", &statement, &[&task, &whose.user, &whose.group], |row| {
            Ok(DayUsage { date: row.try_get(0)?, count: row.try_get::<_, i64>(1)?.unsigned_abs() })
        })
        .await
    }

    pub(crate) async fn workflows(
        &self,
        filter: &WorkflowFilter,
        page: Page,
    ) -> Result<Listed<WorkflowRow>, Error> {
        let status = filter.status.as_deref().map(like);
        let statement = format!(
            "SELECT workflow_id, status, progress, \"user\", \"group\", name, task, main_task_name,
                    start_time {MOMENT}, count(*) OVER ()
             FROM {WORKFLOW_PROGRESS}
             WHERE ($1::int IS NULL OR \"user\" = $1) AND ($2::int IS NULL OR \"group\" = $2)
               AND ($3::text IS NULL OR status LIKE $3)
               AND ($4::text IS NULL OR name = $4 OR main_task_name = $4)
               AND ($5::timestamptz IS NULL OR start_time >= $5::timestamptz {MOMENT})
               AND ($6::timestamptz IS NULL OR start_time < $6::timestamptz {MOMENT})
             ORDER BY start_time DESC, workflow_id OFFSET $7 LIMIT $8"
        );
        let WorkflowFilter { whose, name, since, until, .. } = filter;
        let (offset, limit) = (i64::from(page.offset), i64::from(page.limit));
        let values: Values<'_> = &[&whose.user, &whose.group, &status, name, since, until, &offset, &limit];
        let rows = self.rows("list workflows", &statement, values, |row| {
            Ok((workflow(row)?, row.try_get::<_, i64>(9)?))
        });
        let rows = rows.await?;
        let total = match rows.first() {
            Some((_, total)) => total.unsigned_abs(),
            // Behind the last page no row tells how many there are.
            None if offset > 0 => return self.count_workflows(filter).await,
            None => 0,
        };
        Ok(Listed { rows: rows.into_iter().map(|(row, _)| row).collect(), total })
    }

    async fn count_workflows(&self, filter: &WorkflowFilter) -> Result<Listed<WorkflowRow>, Error> {
        let listed = Box::pin(self.workflows(filter, Page { offset: 0, limit: 1 })).await?;
        Ok(Listed { rows: Vec::new(), total: listed.total })
    }

    pub(crate) async fn census(&self, whose: Whose) -> Result<Census, Error> {
        let (workflows, jobs) =
            (workflows_by_status("$1::int", "$2::int"), jobs_by_user("$1::int", "$2::int"));
        let values: Values<'_> = &[&whose.user, &whose.group];
        let count = |row: &Row, index| row.try_get::<_, i64>(index).map(i64::unsigned_abs);
        let workflows =
            self.rows("count workflows", &workflows, values, |row| Ok((row.try_get(0)?, count(row, 1)?)));
        let workflows = workflows.await?;
        let jobs = self.rows("count jobs", &jobs, values, |row| {
            Ok(UserJobs { user: row.try_get(0)?, jobs: count(row, 1)?, completed: count(row, 2)? })
        });
        Ok(Census { workflows, jobs: jobs.await? })
    }

    pub(crate) async fn workflow_row(&self, id: Uuid) -> Result<Option<WorkflowRow>, Error> {
        let statement = format!(
            "SELECT workflow_id, status, progress, \"user\", \"group\", name, task, main_task_name, start_time {MOMENT}
             FROM {WORKFLOW_PROGRESS} WHERE workflow_id = $1"
        );
        Ok(self.rows("read a workflow", &statement, &[&id], workflow).await?.pop())
    }

    pub(crate) async fn last_id(&self) -> Result<i64, Error> {
        let ids = self.rows("find the last event", &self.append.head, &[], |row| row.try_get(0)).await?;
        Ok(ids.first().copied().unwrap_or_default())
    }

    pub(crate) async fn counts(&self) -> Result<Standing, Error> {
        let topics = self
            .rows(
                "count events",
                &format!("SELECT topic, count(*) FROM {LOG} GROUP BY 1 ORDER BY 2 DESC, 1"),
                &[],
                |row| Ok((row.try_get::<_, String>(0)?, row.try_get::<_, i64>(1)?.unsigned_abs())),
            )
            .await?;
        // One statement sees one moment: events are recorded meanwhile, and whoever compares positions must not see that.
        let listeners = TRACKING.map(|table| {
            format!("(SELECT notification_id FROM {table} WHERE application_name = '{LEADER}')")
        });
        let statement = format!(
            "SELECT notification_id, first_id, ({}), ARRAY[{}]::bigint[] FROM {POSITION} WHERE leader = '{LEADER}'",
            self.append.head,
            listeners.join(", ")
        );
        let standing = self.rows("read how far the views are", &statement, &[], |row| {
            let positions: Vec<Option<i64>> = row.try_get(3)?;
            Ok((row.try_get(0)?, row.try_get(1)?, row.try_get(2)?, positions))
        });
        let standing = standing.await?.pop().ok_or_else(|| self.not_initialised());
        let (projected, first_id, last_id, positions) = standing?;
        Ok(Standing {
            events: topics.iter().map(|(_, count)| count).sum(),
            last_id,
            topics,
            projected,
            first_id,
            tracking: TRACKING.map(str::to_owned).into_iter().zip(positions).collect(),
        })
    }

    /// Events that say the same of the same aggregate as the one before, but for the time, and that come once by their
    /// nature or came within seconds.
    pub(crate) async fn repetitions(&self, limit: i64) -> Result<Vec<Repetition>, Error> {
        let statement = format!(
            "WITH told AS (
                 SELECT id, originator_id, topic, originator_version,
                        lag(id) OVER before AS first_id,
                        lag(topic) OVER before AS first_topic,
                        substring(state FROM position('}}'::bytea IN state)) AS said,
                        lag(substring(state FROM position('}}'::bytea IN state))) OVER before AS first_said
                 FROM {LOG} WINDOW before AS (PARTITION BY originator_id ORDER BY originator_version))
             SELECT id, originator_id, topic, first_id FROM told
             WHERE topic = first_topic AND said = first_said
               AND topic NOT LIKE '%.StatusUpdated' AND topic NOT LIKE '%.ProgressUpdated'
             ORDER BY id LIMIT $1"
        );
        self.rows("look for repeated events", &statement, &[&limit], |row| {
            Ok(Repetition {
                id: row.try_get(0)?,
                originator_id: row.try_get(1)?,
                topic: row.try_get(2)?,
                first_id: row.try_get(3)?,
            })
        })
        .await
    }

    /// Where an aggregate's versions do not follow each other: the later event, and the version that should be there.
    pub(crate) async fn gaps(&self, limit: i64) -> Result<Vec<(crate::stored::Notification, i64)>, Error> {
        let statement = format!(
            "SELECT id, originator_id, originator_version, topic, state, expected FROM (
                 SELECT *, coalesce(lag(originator_version) OVER (PARTITION BY originator_id ORDER BY originator_version) + 1,
                                    least(greatest(originator_version, 0), 1)) AS expected
                 FROM {LOG}) AS ordered
             WHERE originator_version <> expected ORDER BY id LIMIT $1"
        );
        self.rows("look for missing events", &statement, &[&limit], |row| {
            Ok((super::notification(row)?, row.try_get(5)?))
        })
        .await
    }
}

fn workflow(row: &Row) -> Read<WorkflowRow> {
    Ok(WorkflowRow {
        workflow_id: row.try_get(0)?,
        status: row.try_get(1)?,
        progress: row.try_get(2)?,
        user: row.try_get(3)?,
        group: row.try_get(4)?,
        name: row.try_get(5)?,
        task: row.try_get(6)?,
        main_task_name: row.try_get(7)?,
        start_time: row.try_get(8)?,
    })
}

/// A pattern of `LIKE`: what is asked for to the letter, but for a final `*`.
fn like(status: &str) -> String {
    let (status, rest) = status.strip_suffix('*').map_or((status, ""), |status| (status, "%"));
    let mut pattern = String::with_capacity(status.len() + rest.len());
    for letter in status.chars() {
        if matches!(letter, '%' | '_' | '\\') {
            pattern.push('\\');
        }
        pattern.push(letter);
    }
    pattern + rest
}
