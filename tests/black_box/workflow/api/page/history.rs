//! A worker that has carried much: weeks of workflows in the tables of a server, some of which it still carries.

use biomero_events::schema::{JOB_USAGE, TASK_EXECUTION, WORKFLOW_PROGRESS, WORKFLOWS};
use biomero_tests::Result;
use biomero_tests::postgres::Postgres;

/// What has begun in the last three weeks, as Python's listeners write it: more by day than by night, now and then one that
/// fails. A name is from somebody who knows HTML.
pub(super) fn of_weeks(server: &Postgres, database: &str) -> Result<()> {
    let moment = "date_trunc('hour', localtimestamp) - interval '1 minute' - n * interval '37 minutes' \
                  - (n * 7919 % 11) * interval '13 minutes'";
    let statements = [
        format!(
            "INSERT INTO {WORKFLOW_PROGRESS} (workflow_id, status, \"user\", \"group\", name, main_task_name, start_time)
             SELECT gen_random_uuid(), CASE WHEN n < 3 THEN 'RUNNING' WHEN n * 7919 % 13 = 0 THEN 'FAILED' ELSE 'DONE' END,
                    2 + n * 31 % 5, 3 + n % 2, 'Slurm workflow',
                    (ARRAY['cellpose', 'stardist', 'cellprofiler', '<script>alert(1)</script>'])[1 + n * 7919 % 7 % 4], {moment}
             FROM generate_series(1, 800) n"
        ),
        format!(
            "INSERT INTO {TASK_EXECUTION} (task_id, task_name, status, start_time, end_time, error_type)
             SELECT gen_random_uuid(), (ARRAY['_SLURM_Image_Transfer.py', 'cellpose', 'SLURM_Get_Results.py'])[1 + n % 3],
                    'COMPLETED', {moment}, {moment} + (20 + n * 7919 % 900) * interval '1 second',
                    CASE WHEN n * 7919 % 17 = 0 THEN 'RuntimeError' END
             FROM generate_series(1, 800) n"
        ),
        format!(
            "INSERT INTO {JOB_USAGE} (cluster, slurm_job_id, submitted, \"user\", \"group\", job_state, started, ended)
             SELECT 'slurm', 100000 + n, begun, 2, 3, 'COMPLETED', begun + waited, begun + waited + ran
             FROM (SELECT n, ({moment}) AT TIME ZONE current_setting('TimeZone') AS begun,
                          (5 + n * 7919 % 400) * interval '1 second' AS waited,
                          (60 + n * 104729 % 5400) * interval '1 second' AS ran
                   FROM generate_series(1, 800) n) jobs"
        ),
    ];
    statements.iter().try_for_each(|statement| server.psql(database, statement).map(drop))
}

/// As many more as that one workflow: the same row under other ids, at other moments, of several users.
pub(super) fn more_of(server: &Postgres, database: &str, id: &str, count: usize) -> Result<()> {
    let statement = format!(
        "INSERT INTO {WORKFLOWS} SELECT gen_random_uuid(), parent_id, \"user\" + n % 20, \"group\", name, phase, is_open,
                revision, term, created - n * interval '1 minute', changed - n * interval '1 minute',
                replace(state, '\"user\":2,', '\"user\":' || 2 + n % 20 || ',')
         FROM {WORKFLOWS}, generate_series(1, {count}) n WHERE workflow_id = '{id}'"
    );
    server.psql(database, &statement).map(drop)
}
