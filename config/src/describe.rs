//! Every value as `init config` shows it: secrets masked, with its origin.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde::Serialize;

use crate::kind::Value;
use crate::layer::{Key, dotted, is_secret};
use crate::reference::{SETTINGS, Unset};
use crate::{Environment, Loaded, MASK, Origin, Settings, Values, mask_urls, passed_through};

/// One value, where it came from, and how it is shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Row {
    /// The dotted key, or the name of a variable that is passed through.
    pub key: String,
    /// The value; secrets masked.
    pub value: String,
    /// The layer that set it.
    pub origin: Origin,
}

impl Loaded {
    /// Every value in key order: those that a layer set, and what services leave to their defaults.
    #[must_use]
    pub fn describe(&self) -> &[Row] {
        &self.rows
    }
}

/// The variables that are handed to services as they are, secrets masked.
#[must_use]
pub fn variables_passed_through(environment: &Environment) -> Vec<Row> {
    passed_through::VARIABLES
        .iter()
        .filter_map(|(name, _)| {
            let value = environment.get_os(name)?.to_string_lossy();
            let value = mask_urls(&value);
            Some(Row { key: (*name).to_owned(), value, origin: Origin::Variable((*name).to_owned()) })
        })
        .collect()
}

/// The rows as an aligned table.
#[must_use]
pub fn table(rows: &[Row]) -> String {
    let width =
        |length: fn(&Row) -> usize| rows.iter().map(length).filter(|length| *length <= 60).max().unwrap_or(0);
    let keys = width(|row| row.key.chars().count());
    let values = width(|row| row.value.escape_debug().count());
    rows.iter().fold(String::new(), |mut table, row| {
        // A value cannot draw on the terminal or begin a line of its own.
        let value: String = row
            .value
            .chars()
            .flat_map(|c| if c.is_control() { c.escape_debug().collect() } else { vec![c] })
            .collect();
        let _ = writeln!(table, "{:keys$}  {:values$}  {}", row.key, value, row.origin);
        table
    })
}

/// The rows to show, and the same values in clear.
pub(crate) fn rows(values: &BTreeMap<Key, (Value, Origin)>, settings: &Settings) -> (Vec<Row>, Values) {
    let mut rows: BTreeMap<Key, (Row, String)> = BTreeMap::new();
    for (key, (value, origin)) in values {
        rows.insert(key.clone(), row(key, value.shown(), origin));
    }
    for (name, service) in &settings.services {
        for setting in SETTINGS {
            let Some(rest) = setting.key.strip_prefix("services.NAME.") else { continue };
            let Unset::Typed(default) = setting.default else { continue };
            if rest.starts_with("ready.") && service.ready.is_none() {
                continue;
            }
            let mut key: Key = vec!["services".to_owned(), name.clone()];
            key.extend(rest.split('.').map(str::to_owned));
            rows.entry(key).or_insert_with_key(|key| row(key, default(), &Origin::Default));
        }
    }
    let clear = Values::new(rows.values().map(|(row, clear)| (row, clear.clone())));
    (rows.into_values().map(|(row, _)| row).collect(), clear)
}

/// The row and the value in clear.
fn row(key: &Key, clear: String, origin: &Origin) -> (Row, String) {
    let value = clear.clone();
    let value = if is_secret(key) && !value.is_empty() { MASK.to_owned() } else { mask_urls(&value) };
    (Row { key: dotted(key), value, origin: origin.clone() }, clear)
}
