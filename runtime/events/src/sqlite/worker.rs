//! Our own stream, and what jobs have used.

use rusqlite::{Result, Row, params};
use time::OffsetDateTime;
use uuid::Uuid;

use super::Store;
use super::query::count;
use super::sql::{Place, upsert};
use super::value::{Id, Moment, hex, wall_time};
use crate::error::Error;
use crate::json::Value;
use crate::query::Whose;
use crate::schema::{JOB_USAGE, WORKER_EVENTS};
use crate::worker::{JobUsage, RecordedWorkerEvent, UserUsage, WorkerEvent};

impl Store {
    pub(crate) async fn record(&self, event: &WorkerEvent) -> Result<i64, Error> {
        let event = event.clone();
        self.write("record an event", move |database, connection| {
            let WorkerEvent { topic, workflow_id, task_id, state } = event;
            let statement = format!(
                "INSERT INTO {WORKER_EVENTS} (recorded, topic, workflow_id, task_id, state) VALUES (?1, ?2, ?3, ?4, ?5)
                 RETURNING id"
            );
            let recorded = wall_time(OffsetDateTime::now_utc());
            connection
                .prepare_cached(&statement)
                .and_then(|mut insert| {
                    let ids = (workflow_id.map(hex), task_id.map(hex));
                    let values = params![recorded, topic, ids.0, ids.1, state.to_string()];
                    insert.query_row(values, |row| row.get(0))
                })
                .map_err(|error| database.failed("record an event", error))
        })
        .await
    }

    pub(crate) async fn worker_events(
        &self,
        start: i64,
        limit: i64,
    ) -> Result<Vec<RecordedWorkerEvent>, Error> {
        let statement = format!(
            "SELECT id, recorded, topic, workflow_id, task_id, state FROM {WORKER_EVENTS} WHERE id >= ?1 ORDER BY id LIMIT ?2"
        );
        self.rows("read events", statement, [start, limit], |row| {
            let state: String = row.get(5)?;
            Ok(RecordedWorkerEvent {
                id: row.get(0)?,
                recorded: row.get::<_, Moment>(1)?.0,
                event: WorkerEvent {
                    topic: row.get(2)?,
                    workflow_id: id(row, 3)?,
                    task_id: id(row, 4)?,
                    state: Value::read(&state).unwrap_or(Value::String(state)),
                },
            })
        })
        .await
    }

    pub(crate) async fn last_worker_event(&self) -> Result<i64, Error> {
        let statement = format!("SELECT coalesce(max(id), 0) FROM {WORKER_EVENTS}");
        let last = self.rows("read events", statement, [], |row| row.get(0)).await?;
        Ok(last.into_iter().next().unwrap_or_default())
    }

    pub(crate) async fn record_job_usage(&self, usage: &[JobUsage]) -> Result<(), Error> {
        let usage = usage.to_vec();
        self.write("record what jobs have used", move |database, connection| {
            let record = || -> Result<()> {
                let mut upsert = connection.prepare_cached(&upsert(Place::Real, JOB_USAGE))?;
                for job in &usage {
                    upsert.execute(params![
                        job.cluster,
                        job.slurm_job_id,
                        wall_time(job.submitted),
                        job.task_id.map(hex),
                        job.user,
                        job.group,
                        job.job_state,
                        job.exit_code,
                        job.signal,
                        job.partition,
                        job.node_list,
                        job.started.map(wall_time),
                        job.ended.map(wall_time),
                        job.elapsed_seconds,
                        job.allocated_cpus,
                        job.cpu_seconds,
                        job.max_rss_bytes,
                    ])?;
                }
                Ok(())
            };
            record().map_err(|error| database.failed("record what jobs have used", error))
        })
        .await
    }

    pub(crate) async fn job_usage(&self, whose: Whose, limit: i64) -> Result<Vec<JobUsage>, Error> {
        let statement = format!(
            "SELECT cluster, slurm_job_id, submitted, task_id, \"user\", \"group\", job_state, exit_code, signal, \"partition\",
                    node_list, started, ended, elapsed_seconds, allocated_cpus, cpu_seconds, max_rss_bytes
             FROM {JOB_USAGE} WHERE (?1 IS NULL OR \"user\" = ?1) AND (?2 IS NULL OR \"group\" = ?2)
             ORDER BY submitted DESC, slurm_job_id DESC LIMIT ?3"
        );
        self.rows("read what jobs have used", statement, (whose.user, whose.group, limit), used).await
    }

    pub(crate) async fn usage_by_user(&self, whose: Whose) -> Result<Vec<UserUsage>, Error> {
        let statement = format!(
            "SELECT \"user\", count(*), coalesce(sum(elapsed_seconds), 0), total(cpu_seconds),
                    coalesce(sum(elapsed_seconds * allocated_cpus), 0), max(max_rss_bytes)
             FROM {JOB_USAGE} WHERE (?1 IS NULL OR \"user\" = ?1) AND (?2 IS NULL OR \"group\" = ?2)
             GROUP BY 1 ORDER BY 1 NULLS LAST"
        );
        self.rows("read what jobs have used", statement, (whose.user, whose.group), |row| {
            Ok(UserUsage {
                user: row.get(0)?,
                jobs: count(row, 1)?,
                elapsed_seconds: row.get(2)?,
                cpu_seconds: row.get(3)?,
                allocated_cpu_seconds: row.get(4)?,
                max_rss_bytes: row.get(5)?,
            })
        })
        .await
    }
}

/// What a job has used, in the order of its columns.
pub(super) fn used(row: &Row<'_>) -> Result<JobUsage> {
    Ok(JobUsage {
        cluster: row.get(0)?,
        slurm_job_id: row.get(1)?,
        submitted: row.get::<_, Moment>(2)?.0,
        task_id: id(row, 3)?,
        user: row.get(4)?,
        group: row.get(5)?,
        job_state: row.get(6)?,
        exit_code: row.get(7)?,
        signal: row.get(8)?,
        partition: row.get(9)?,
        node_list: row.get(10)?,
        started: moment(row, 11)?,
        ended: moment(row, 12)?,
        elapsed_seconds: row.get(13)?,
        allocated_cpus: row.get(14)?,
        cpu_seconds: row.get(15)?,
        max_rss_bytes: row.get(16)?,
    })
}

fn id(row: &Row<'_>, index: usize) -> Result<Option<Uuid>> {
    Ok(row.get::<_, Option<Id>>(index)?.map(|id| id.0))
}

fn moment(row: &Row<'_>, index: usize) -> Result<Option<OffsetDateTime>> {
    Ok(row.get::<_, Option<Moment>>(index)?.map(|moment| moment.0))
}
