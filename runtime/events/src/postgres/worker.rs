//! Our own stream, and what jobs have used.

use tokio_postgres::Row;

use super::sql::upsert;
use super::{Place, Store};
use crate::error::Error;
use crate::json::Value;
use crate::query::Whose;
use crate::schema::{JOB_USAGE, WORKER_EVENTS};
use crate::worker::{JobUsage, RecordedWorkerEvent, UserUsage, WorkerEvent};

impl Store {
    pub(crate) async fn record(&self, event: &WorkerEvent) -> Result<i64, Error> {
        let statement = format!(
            "INSERT INTO {WORKER_EVENTS} (recorded, topic, workflow_id, task_id, state) VALUES (now(), $1, $2, $3, $4) RETURNING id"
        );
        let state = event.state.to_string();
        let WorkerEvent { topic, workflow_id, task_id, .. } = event;
        let values: super::session::Values<'_> = &[topic, workflow_id, task_id, &state];
        let ids = self.rows("record an event", &statement, values, |row| row.try_get(0));
        Ok(ids.await?.pop().unwrap_or_default())
    }

    pub(crate) async fn worker_events(
        &self,
        start: i64,
        limit: i64,
    ) -> Result<Vec<RecordedWorkerEvent>, Error> {
        let statement = format!(
            "SELECT id, recorded, topic, workflow_id, task_id, state FROM {WORKER_EVENTS} WHERE id >= $1 ORDER BY id LIMIT $2"
        );
        self.rows("read events", &statement, &[&start, &limit], |row| {
            let state: String = row.try_get(5)?;
            Ok(RecordedWorkerEvent {
                id: row.try_get(0)?,
                recorded: row.try_get(1)?,
                event: WorkerEvent {
                    topic: row.try_get(2)?,
                    workflow_id: row.try_get(3)?,
                    task_id: row.try_get(4)?,
                    state: Value::read(&state).unwrap_or(Value::String(state)),
                },
            })
        })
        .await
    }

    pub(crate) async fn last_worker_event(&self) -> Result<i64, Error> {
        let statement = format!("SELECT coalesce(max(id), 0)::bigint FROM {WORKER_EVENTS}");
        let last = self.rows("read events", &statement, &[], |row| row.try_get(0)).await?;
        Ok(last.into_iter().next().unwrap_or_default())
    }

    pub(crate) async fn record_job_usage(&self, usage: &[JobUsage]) -> Result<(), Error> {
        fn each<'a, T>(usage: &'a [JobUsage], value: impl Fn(&'a JobUsage) -> T) -> Vec<T> {
            usage.iter().map(value).collect()
        }
        let statement = upsert(Place::Real, JOB_USAGE);
        let values: super::session::Values<'_> = &[
            &each(usage, |job| job.cluster.as_str()),
            &each(usage, |job| job.slurm_job_id),
            &each(usage, |job| job.submitted),
            &each(usage, |job| job.task_id),
            &each(usage, |job| job.user),
            &each(usage, |job| job.group),
            &each(usage, |job| job.job_state.as_str()),
            &each(usage, |job| job.exit_code),
            &each(usage, |job| job.signal),
            &each(usage, |job| job.partition.as_deref()),
            &each(usage, |job| job.node_list.as_deref()),
            &each(usage, |job| job.started),
            &each(usage, |job| job.ended),
            &each(usage, |job| job.elapsed_seconds),
            &each(usage, |job| job.allocated_cpus),
            &each(usage, |job| job.cpu_seconds),
            &each(usage, |job| job.max_rss_bytes),
        ];
        self.rows("record what jobs have used", &statement, values, |_| Ok(())).await.map(drop)
    }

    pub(crate) async fn job_usage(&self, whose: Whose, limit: i64) -> Result<Vec<JobUsage>, Error> {
        let statement = format!(
            "SELECT cluster, slurm_job_id, submitted, task_id, \"user\", \"group\", job_state, exit_code, signal, \"partition\",
                    node_list, started, ended, elapsed_seconds, allocated_cpus, cpu_seconds, max_rss_bytes
             FROM {JOB_USAGE} WHERE ($1::int IS NULL OR \"user\" = $1) AND ($2::int IS NULL OR \"group\" = $2)
             ORDER BY submitted DESC, slurm_job_id DESC LIMIT $3"
        );
        self.rows("read what jobs have used", &statement, &[&whose.user, &whose.group, &limit], used).await
    }

    pub(crate) async fn usage_by_user(&self, whose: Whose) -> Result<Vec<UserUsage>, Error> {
        let statement = format!(
            "SELECT \"user\", count(*), coalesce(sum(elapsed_seconds), 0)::bigint, coalesce(sum(cpu_seconds), 0)::float8,
                    coalesce(sum(elapsed_seconds * allocated_cpus), 0)::bigint, max(max_rss_bytes)
             FROM {JOB_USAGE} WHERE ($1::int IS NULL OR \"user\" = $1) AND ($2::int IS NULL OR \"group\" = $2)
             GROUP BY 1 ORDER BY 1"
        );
        self.rows("read what jobs have used", &statement, &[&whose.user, &whose.group], |row| {
            Ok(UserUsage {
                user: row.try_get(0)?,
                jobs: row.try_get::<_, i64>(1)?.unsigned_abs(),
                elapsed_seconds: row.try_get(2)?,
                cpu_seconds: row.try_get(3)?,
                allocated_cpu_seconds: row.try_get(4)?,
                max_rss_bytes: row.try_get(5)?,
            })
        })
        .await
    }
}

/// What a job has used, in the order of its columns.
pub(super) fn used(row: &Row) -> Result<JobUsage, tokio_postgres::Error> {
    Ok(JobUsage {
        cluster: row.try_get(0)?,
        slurm_job_id: row.try_get(1)?,
        submitted: row.try_get(2)?,
        task_id: row.try_get(3)?,
        user: row.try_get(4)?,
        group: row.try_get(5)?,
        job_state: row.try_get(6)?,
        exit_code: row.try_get(7)?,
        signal: row.try_get(8)?,
        partition: row.try_get(9)?,
        node_list: row.try_get(10)?,
        started: row.try_get(11)?,
        ended: row.try_get(12)?,
        elapsed_seconds: row.try_get(13)?,
        allocated_cpus: row.try_get(14)?,
        cpu_seconds: row.try_get(15)?,
        max_rss_bytes: row.try_get(16)?,
    })
}
