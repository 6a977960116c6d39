//! Statements about the tables that every database understands.

use crate::schema::{
    COMMANDS, Column, JOB_PROGRESS, JOB_USAGE, JOBS, LOG, STATE, TABLES, Table, WORKFLOW_PROGRESS,
};

/// The table of this name.
pub(crate) fn table(name: &str) -> &'static Table {
    TABLES.iter().find(|table| table.name == name).unwrap_or(&TABLES[0])
}

/// A name in quotation marks: two columns are called `user` and `group`.
pub(crate) fn quoted(name: &str) -> String {
    format!("\"{name}\"")
}

pub(crate) fn list(columns: &[Column], each: impl Fn(&Column) -> String) -> String {
    columns.iter().map(each).collect::<Vec<_>>().join(", ")
}

/// The statement that makes an index of a table which the table has besides its keys.
pub(crate) fn create_index((index, columns): (&str, &[&str]), table: &Table) -> String {
    let columns: Vec<String> = columns.iter().map(|column| quoted(column)).collect();
    format!("CREATE INDEX IF NOT EXISTS {index} ON {} ({})", table.name, columns.join(", "))
}

/// The condition that each of these columns has its value, `$1` for the first: nothing is said of the others, so that an
/// index can be chosen by those that are.
pub(crate) fn where_equal<'a>(columns: impl Iterator<Item = &'a str>, mark: char) -> String {
    let conditions: Vec<String> =
        columns.zip(1..).map(|(column, place)| format!("{} = {mark}{place}", quoted(column))).collect();
    if conditions.is_empty() { String::new() } else { format!("WHERE {}", conditions.join(" AND ")) }
}

/// How many workflow runs have which status, given how the database writes the two parameters.
pub(crate) fn workflows_by_status(user: &str, group: &str) -> String {
    format!(
        "SELECT status, count(*) FROM {WORKFLOW_PROGRESS}
         WHERE ({user} IS NULL OR \"user\" = {user}) AND ({group} IS NULL OR \"group\" = {group})
         GROUP BY 1 ORDER BY 2 DESC, 1"
    )
}

/// How many jobs each user has, and how many of them are completed.
pub(crate) fn jobs_by_user(user: &str, group: &str) -> String {
    format!(
        "SELECT j.\"user\", count(*), count(CASE WHEN p.status IN ('COMPLETED', 'COMPLETED+') THEN 1 END)
         FROM {JOBS} AS j LEFT JOIN {JOB_PROGRESS} AS p USING (slurm_job_id)
         WHERE ({user} IS NULL OR j.\"user\" = {user}) AND ({group} IS NULL OR j.\"group\" = {group})
         GROUP BY 1 ORDER BY 1"
    )
}

/// Rows of the shadow that the view should have.
fn wanted(name: &str) -> &'static str {
    if name == STATE { "true" } else { "new.touched >= $1" }
}

/// Whether two rows have the same key.
fn same_key(name: &str) -> String {
    let Table { columns, key, .. } = table(name);
    let equal: Vec<String> =
        columns.iter().take(*key).map(|column| format!("old.{0} = new.{0}", quoted(column.name))).collect();
    equal.join(" AND ")
}

/// A row's values beside its key.
fn values(of: &str, name: &str) -> String {
    let Table { columns, key, .. } = table(name);
    format!(
        "({})",
        list(columns.get(*key..).unwrap_or(&[]), |column| format!("{of}.{}", quoted(column.name)))
    )
}

/// Deletes what the shadow has not.
pub(crate) fn delete_superfluous(name: &str, shadow: &str) -> String {
    format!(
        "DELETE FROM {name} AS old WHERE NOT EXISTS (SELECT 1 FROM {} AS new WHERE {} AND {})",
        shadow,
        same_key(name),
        wanted(name),
    )
}

/// Writes what the shadow has and the table has not, or has otherwise.
pub(crate) fn write_different(name: &str, shadow: &str) -> String {
    let Table { columns, key, .. } = table(name);
    let (keys, others) = columns.split_at_checked(*key).unwrap_or((columns, &[]));
    let names = list(columns, |column| quoted(column.name));
    format!(
        "INSERT INTO {name} AS old ({names}) SELECT {names} FROM {} AS new WHERE {}
         ON CONFLICT ({}) DO UPDATE SET {} WHERE {} IS DISTINCT FROM {}",
        shadow,
        wanted(name),
        list(keys, |column| quoted(column.name)),
        list(others, |column| format!("{0} = EXCLUDED.{0}", quoted(column.name))),
        values("old", name),
        values("EXCLUDED", name),
    )
}

/// The table beside the shadow.
fn beside(name: &str, shadow: &str) -> String {
    format!(
        "(SELECT * FROM {} AS new WHERE {}) AS new FULL JOIN {name} AS old ON {}",
        shadow,
        wanted(name),
        same_key(name),
    )
}

/// How many rows are missing, superfluous, different.
pub(crate) fn count_differences(name: &str, shadow: &str) -> String {
    let key = table(name).columns.first().map_or_else(String::new, |column| quoted(column.name));
    format!(
        "SELECT count(*) FILTER (WHERE old.{key} IS NULL), count(*) FILTER (WHERE new.{key} IS NULL),
                count(*) FILTER (WHERE old.{key} = new.{key} AND {} IS DISTINCT FROM {})
         FROM {}",
        values("old", name),
        values("new", name),
        beside(name, shadow),
    )
}

/// The keys of a few of those.
pub(crate) fn example_differences(name: &str, shadow: &str) -> String {
    let key = table(name).columns.first().map_or_else(String::new, |column| quoted(column.name));
    format!(
        "SELECT CAST(coalesce(old.{key}, new.{key}) AS text) FROM {}
         WHERE old.{key} IS NULL OR new.{key} IS NULL OR {} IS DISTINCT FROM {}
         ORDER BY 1 LIMIT $2",
        beside(name, shadow),
        values("old", name),
        values("new", name),
    )
}

/// The next events behind `$1`, at most `$2` of them and not many more bytes than `$3`, but one at least.
pub(crate) fn part() -> String {
    format!(
        "SELECT id, originator_id, originator_version, topic, state FROM {LOG}
         WHERE id > $1 AND id <= (
             SELECT max(id) FROM (
                 SELECT id, sum(size) OVER (ORDER BY id) - size AS before
                 FROM (SELECT id, octet_length(state) AS size FROM {LOG} WHERE id > $1 ORDER BY id LIMIT $2) AS next
             ) AS sized WHERE before < $3)
         ORDER BY id"
    )
}

/// How many rows of a table there are up to the id `$1`, and the last of those ids.
pub(crate) fn extent(table: &str) -> String {
    format!("SELECT count(*), coalesce(max(id), 0) FROM {table} WHERE id <= $1")
}

/// The next commands from the id `$1` on, at most `$2`.
pub(crate) fn commands() -> String {
    format!("SELECT command_id, first_id, last_id FROM {COMMANDS} WHERE command_id >= $1 ORDER BY 1 LIMIT $2")
}

/// What the next jobs behind the key `$1`, `$2`, `$3` have used, or the first ones; at most `$4`.
pub(crate) fn usage_behind() -> String {
    const KEY: &str = "cluster, slurm_job_id, submitted";
    format!(
        "SELECT {} FROM {JOB_USAGE} WHERE CAST($1 AS text) IS NULL OR ({KEY}) > ($1, $2, $3) ORDER BY {KEY} LIMIT $4",
        list(table(JOB_USAGE).columns, |column| quoted(column.name)),
    )
}
