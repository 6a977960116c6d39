//! Creating the tables that are missing, and comparing those that are there.

use std::collections::BTreeMap;

use super::sql::{declared, stored};
use super::{Store, session::Session};
use crate::error::Error;
use crate::schema::{Kind, LEADER, POSITION, STATE, TABLES, Table};
use crate::sql::{create_index, quoted};

/// What the database has of the tables.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Found {
    /// Tables that are not there.
    pub missing: Vec<&'static str>,
    /// Indexes without which it is as right, but slower.
    pub unindexed: Vec<&'static str>,
    /// What differs in tables that are there, a line each.
    pub differences: Vec<String>,
}

/// A column as the catalogue has it: its type, whether it may be null, whether it has a default.
type Columns = BTreeMap<String, (String, bool, bool)>;

const COLUMNS: &str = "
    SELECT c.relname::text, a.attname::text, format_type(a.atttypid, a.atttypmod), NOT a.attnotnull, a.atthasdef
    FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
    WHERE c.oid = ANY(ARRAY(SELECT to_regclass(name)::oid FROM unnest($1::text[]) AS asked (name)))
      AND a.attnum > 0 AND NOT a.attisdropped";

const INDEXES: &str = "
    SELECT c.relname::text, i.indisprimary, array_agg(a.attname::text ORDER BY k.place)
    FROM pg_index i JOIN pg_class c ON c.oid = i.indrelid
    CROSS JOIN LATERAL unnest(i.indkey::int2[]) WITH ORDINALITY AS k (attnum, place)
    JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = k.attnum
    WHERE c.oid = ANY(ARRAY(SELECT to_regclass(name)::oid FROM unnest($1::text[]) AS asked (name)))
      AND i.indisunique AND i.indpred IS NULL
    GROUP BY c.relname, i.indexrelid, i.indisprimary";

const UNINDEXED: &str = "SELECT name FROM unnest($1::text[]) AS asked (name) WHERE to_regclass(name) IS NULL";

/// Compares what is there with what has to be. Columns of others are nobody's business as long as they may be left out.
pub(super) async fn compare(store: &Store, session: &Session) -> Result<Found, Error> {
    let failed = |error| store.failed("read the catalogue", error);
    let names: Vec<&str> = TABLES.iter().map(|table| table.name).collect();
    let indexes = || TABLES.iter().flat_map(|table| table.indexes).map(|(index, _)| *index);
    let wanted: Vec<&str> = indexes().collect();
    let [columns, unique, unindexed] =
        session.prepare([COLUMNS, INDEXES, UNINDEXED]).await.map_err(failed)?;
    let client = session.client();
    let (columns, keys, absent) = futures_util::future::try_join3(
        client.query(&columns, &[&names]),
        client.query(&unique, &[&names]),
        client.query(&unindexed, &[&wanted]),
    )
    .await
    .map_err(failed)?;
    let mut tables: BTreeMap<String, Columns> = BTreeMap::new();
    for row in columns {
        let read = || -> Result<_, tokio_postgres::Error> {
            Ok((row.try_get(0)?, (row.try_get(1)?, (row.try_get(2)?, row.try_get(3)?, row.try_get(4)?))))
        };
        let (table, (column, facts)): (String, (String, _)) = read().map_err(failed)?;
        tables.entry(table).or_default().insert(column, facts);
    }
    let mut unique: Vec<(String, bool, Vec<String>)> = Vec::new();
    for row in keys {
        let read = || -> Result<_, tokio_postgres::Error> {
            Ok((row.try_get(0)?, row.try_get(1)?, row.try_get(2)?))
        };
        unique.push(read().map_err(failed)?);
    }
    let absent: Vec<String> =
        absent.iter().map(|row| row.try_get(0)).collect::<Result<_, _>>().map_err(failed)?;
    let unindexed = indexes().filter(|index| absent.iter().any(|absent| absent == index)).collect();
    let mut found = Found { unindexed, ..Found::default() };
    for table in TABLES {
        match tables.get(table.name) {
            None => found.missing.push(table.name),
            Some(columns) => found.differences.extend(differences(table, columns, &unique)),
        }
    }
    Ok(found)
}

fn differences(table: &Table, columns: &Columns, unique: &[(String, bool, Vec<String>)]) -> Vec<String> {
    let name = table.name;
    let mut differences = Vec::new();
    for column in table.columns {
        let Some((kind, nullable, has_default)) = columns.get(column.name) else {
            differences.push(format!("{name} has no column {}", column.name));
            continue;
        };
        let expected = stored(column.kind);
        if kind != expected {
            differences.push(format!("{name}.{} is of type {kind} instead of {expected}", column.name));
        }
        if *nullable != column.nullable {
            let word = |nullable| if nullable { "may be null" } else { "is NOT NULL" };
            differences.push(format!(
                "{name}.{} {}, which it {} elsewhere",
                column.name,
                word(*nullable),
                if column.nullable { "may be" } else { "must not be" }
            ));
        }
        if column.kind == Kind::BigSerial && !has_default {
            differences.push(format!("{name}.{} has no sequence as its default", column.name));
        }
    }
    for (column, (_, nullable, has_default)) in columns {
        if !table.columns.iter().any(|known| known.name == column) && !nullable && !has_default {
            differences.push(format!(
                "{name}.{column} is not known here and needs a value, so that no row can be inserted"
            ));
        }
    }
    let key: Vec<&str> = table.columns.iter().take(table.key).map(|column| column.name).collect();
    let has = |primary: bool, columns: &[&str]| {
        unique.iter().any(|(of, is_primary, with)| of == name && (*is_primary || !primary) && with == columns)
    };
    if !has(true, &key) {
        differences.push(format!("{name} has no primary key ({})", key.join(", ")));
    }
    if let Some((index, columns)) = table.unique
        && !has(false, columns)
    {
        differences.push(format!(
            "{name} has no unique index ({}), which is called {index} elsewhere",
            columns.join(", ")
        ));
    }
    differences
}

/// Creates what is missing, in one transaction, and alters no table.
pub(super) async fn create(store: &Store, session: &Session, found: &Found) -> Result<(), Error> {
    let Found { missing, unindexed, .. } = found;
    let mut statements = vec!["BEGIN".to_owned()];
    // Two that begin at once: the second finds the tables of the first.
    statements.push("SELECT pg_advisory_xact_lock(hashtext('biomero_worker'))".to_owned());
    for table in TABLES.iter().filter(|table| missing.contains(&table.name)) {
        statements.push(create_table(table));
        if let Some((index, columns)) = table.unique {
            statements.push(format!(
                "CREATE UNIQUE INDEX IF NOT EXISTS {index} ON {} ({})",
                table.name,
                columns.join(", ")
            ));
        }
    }
    // Those that are there are not asked for: even to find one, the server waits for whoever writes the table.
    for table in TABLES {
        let missing = table.indexes.iter().filter(|(index, _)| unindexed.contains(index));
        statements.extend(missing.map(|index| create_index(*index, table)));
    }
    statements.push(format!(
        "INSERT INTO {POSITION} (leader, notification_id, first_id) VALUES ('{LEADER}', 0, 0) ON CONFLICT DO NOTHING"
    ));
    if missing.contains(&STATE) {
        // Rewritten with every event: room for new versions of a row beside the old one.
        statements.push(format!("ALTER TABLE {STATE} SET (fillfactor = 50)"));
    }
    statements.push("COMMIT".to_owned());
    session
        .client()
        .batch_execute(&statements.join(";\n"))
        .await
        .map_err(|error| store.failed("create tables", error))
}

fn create_table(table: &Table) -> String {
    let columns: Vec<String> = table
        .columns
        .iter()
        .map(|column| {
            let null = if column.nullable { "" } else { " NOT NULL" };
            format!("{} {}{null}", quoted(column.name), declared(column.kind))
        })
        .collect();
    let key: Vec<String> = table.columns.iter().take(table.key).map(|column| quoted(column.name)).collect();
    format!(
        "CREATE TABLE IF NOT EXISTS {} ({}, PRIMARY KEY ({}))",
        table.name,
        columns.join(", "),
        key.join(", ")
    )
}
