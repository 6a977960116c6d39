//! Which database holds the history, and who said so. Asked once, in the order of the help; what a later one would say is
//! not read when an earlier one has spoken, so that `--database` works where the settings are broken.

use std::path::{Path, PathBuf};

use biomero_config::Environment;
use biomero_events::url::DatabaseUrl;

use crate::configuration::{Configuration, STATE_FOLDER};
use crate::ended::Ended;

/// What BIOMERO reads the URL from.
const VARIABLE: &str = "SQLALCHEMY_URL";

/// The embedded store's file in a state folder.
const FILE: &str = "events.sqlite";

/// A database and who named it.
#[derive(Debug)]
pub(crate) struct Database {
    /// How to reach it.
    pub(crate) url: DatabaseUrl,
    /// Who named it, for people.
    pub(crate) origin: String,
}

/// The database of the first that names one.
pub(crate) fn choose(option: Option<&str>, configuration: &Configuration<'_>) -> Result<Database, Ended> {
    let environment = configuration.environment();
    if let Some(text) = option {
        return named(text, "--database", environment);
    }
    if let Some(text) = environment.get(VARIABLE).filter(|text| !text.is_empty()) {
        return named(text, &format!("the variable {VARIABLE}"), environment);
    }
    if let Some((text, origin)) = configuration.analytics("sqlalchemy_url")? {
        return named(text.reveal(), &format!("sqlalchemy_url in {origin}"), environment);
    }
    if let Some(file) = &configuration.settings()?.events.file {
        return Ok(Database {
            url: DatabaseUrl::Sqlite(file.clone()),
            origin: "the setting events.file".to_owned(),
        });
    }
    let url = DatabaseUrl::Sqlite(usual_file(environment)?);
    let origin = format!(
        "default: neither --database nor {VARIABLE} nor sqlalchemy_url in slurm-config.ini names one"
    );
    Ok(Database { url, origin })
}

/// The database that somebody has named, or whose folder the image has made: for what records by the way.
pub(crate) fn configured(configuration: &Configuration<'_>) -> Result<Option<Database>, Ended> {
    let chosen = choose(None, configuration)?;
    let is_meant = !chosen.origin.starts_with("default") || Path::new(STATE_FOLDER).is_dir();
    Ok(is_meant.then_some(chosen))
}

/// The database of a URL, and who has written it.
pub(crate) fn named(text: &str, origin: &str, environment: &Environment) -> Result<Database, Ended> {
    let origin = origin.to_owned();
    match DatabaseUrl::parse(text).and_then(|url| url.with_environment(environment)) {
        Ok(url) => Ok(Database { url, origin }),
        Err(source) => Err(Ended::Url { origin, source }),
    }
}

/// The worker's state folder where there is one, as in the image; otherwise the user's own.
fn usual_file(environment: &Environment) -> Result<PathBuf, Ended> {
    if Path::new(STATE_FOLDER).is_dir() {
        return Ok(Path::new(STATE_FOLDER).join(FILE));
    }
    let folder = |name: &str| environment.get_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let state = folder("XDG_STATE_HOME").or_else(|| Some(folder("HOME")?.join(".local/state")));
    Ok(state.ok_or(Ended::Nowhere)?.join("biomero").join(FILE))
}
