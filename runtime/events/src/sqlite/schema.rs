//! Creating the tables that are missing, and comparing those that are there.

use std::collections::BTreeMap;

use rusqlite::{Connection, Result};

use super::sql::{Place, declared, declared_by_python};
use crate::schema::{Kind, LEADER, Owner, POSITION, TABLES, Table};
use crate::sql::{create_index, list, quoted};

/// What the file has of the tables.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Found {
    /// Tables that are not there.
    pub(super) missing: Vec<&'static str>,
    /// What differs in tables that are there, a line each.
    pub(super) differences: Vec<String>,
}

/// A column of a table that is there.
struct Present {
    declared: String,
    nullable: bool,
    has_default: bool,
    /// Its place in the primary key, from 1; 0 outside of it.
    key: u32,
}

/// Compares what is there with what has to be. Columns of others are nobody's business as long as they may be left out.
pub(super) fn compare(connection: &Connection) -> Result<Found> {
    let mut found = Found::default();
    for table in TABLES {
        let columns = columns(connection, table)?;
        if columns.is_empty() {
            found.missing.push(table.name);
        } else {
            found.differences.extend(differences(table, &columns, &unique(connection, table)?));
        }
    }
    Ok(found)
}

fn columns(connection: &Connection, table: &Table) -> Result<BTreeMap<String, Present>> {
    let mut columns = connection
        .prepare_cached("SELECT name, upper(type), \"notnull\", dflt_value, pk FROM pragma_table_info(?1)")?;
    let rows = columns.query_map([table.name], |row| {
        let present = Present {
            declared: row.get(1)?,
            nullable: !row.get::<_, bool>(2)?,
            has_default: row.get::<_, Option<String>>(3)?.is_some(),
            key: row.get(4)?,
        };
        Ok((row.get(0)?, present))
    })?;
    rows.collect()
}

/// The columns of each unique index without a condition.
fn unique(connection: &Connection, table: &Table) -> Result<Vec<Vec<String>>> {
    let mut indexes = connection.prepare_cached(
        "SELECT i.name, c.name FROM pragma_index_list(?1) AS i JOIN pragma_index_info(i.name) AS c
         WHERE i.\"unique\" AND NOT i.partial ORDER BY i.name, c.seqno",
    )?;
    let mut unique: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for row in indexes.query_map([table.name], |row| Ok((row.get(0)?, row.get(1)?)))? {
        let (index, column) = row?;
        unique.entry(index).or_default().push(column);
    }
    Ok(unique.into_values().collect())
}

fn differences(table: &Table, columns: &BTreeMap<String, Present>, unique: &[Vec<String>]) -> Vec<String> {
    let name = table.name;
    let mut differences = Vec::new();
    for column in table.columns {
        let Some(present) = columns.get(column.name) else {
            differences.push(format!("{name} has no column {}", column.name));
            continue;
        };
        let (expected, found) = (declared(column), &present.declared);
        if found != expected && Some(found.as_str()) != declared_by_python(column) {
            differences.push(format!("{name}.{} is of type {found} instead of {expected}", column.name));
        }
        // SQLite gives a number's primary key a value of its own, whether it may be null or not.
        if present.nullable != column.nullable && column.kind != Kind::BigSerial {
            differences.push(format!(
                "{name}.{} {}",
                column.name,
                if column.nullable { "is NOT NULL, and must not be" } else { "may be null, and must not be" }
            ));
        }
    }
    for (column, present) in columns {
        let known = table.columns.iter().any(|known| known.name == column);
        if !known && !present.nullable && !present.has_default {
            differences.push(format!(
                "{name}.{column} is not known here and needs a value, so that no row can be inserted"
            ));
        }
    }
    let mut key: Vec<(u32, &str)> = columns
        .iter()
        .filter(|(_, present)| present.key > 0)
        .map(|(column, present)| (present.key, column.as_str()))
        .collect();
    key.sort_unstable();
    let expected: Vec<&str> = table.columns.iter().take(table.key).map(|column| column.name).collect();
    if !key.iter().map(|(_, column)| column).eq(&expected) {
        differences.push(format!("{name} has no primary key ({})", expected.join(", ")));
    }
    if let Some((index, columns)) = table.unique
        && !unique.iter().any(|with| with == columns)
    {
        differences.push(format!(
            "{name} has no unique index ({}), which is called {index} elsewhere",
            columns.join(", ")
        ));
    }
    differences
}

/// Creates what is missing, in the transaction that is open, and alters no table.
pub(super) fn create(connection: &Connection, missing: &[&str]) -> Result<()> {
    for table in TABLES.iter().filter(|table| missing.contains(&table.name)) {
        connection.execute_batch(&create_table(Place::Real, table))?;
        if let Some((index, columns)) = table.unique {
            let columns = columns.join(", ");
            connection
                .execute_batch(&format!("CREATE UNIQUE INDEX {index} ON {} ({columns})", table.name))?;
        }
    }
    for table in TABLES {
        for index in table.indexes {
            connection.execute_batch(&create_index(*index, table))?;
        }
    }
    connection.execute_batch(&format!(
        "INSERT INTO {POSITION} (leader, notification_id, first_id) VALUES ('{LEADER}', 0, 0) ON CONFLICT DO NOTHING"
    ))
}

/// A table, or its shadow.
pub(super) fn create_table(place: Place, table: &Table) -> String {
    let columns = list(table.columns, |column| {
        let null = if column.nullable { "" } else { " NOT NULL" };
        format!("{} {}{null}", quoted(column.name), declared(column))
    });
    let touched = if place.is_touched(table.name) { ", touched INTEGER NOT NULL" } else { "" };
    let key = list(table.columns.get(..table.key).unwrap_or_default(), |column| quoted(column.name));
    // One tree instead of two for rows that are found by such a key alone.
    let has_number = table.columns.first().is_some_and(|key| key.kind == Kind::BigSerial);
    let trees = if table.owner == Owner::Ours && !has_number { " WITHOUT ROWID" } else { "" };
    format!("CREATE TABLE {} ({columns}{touched}, PRIMARY KEY ({key})){trees}", place.name(table.name))
}
