//! Which database holds the history, and who said so. Asked once, in the order of the help; what a later one would say is
//! not read when an earlier one has spoken, so that `--database` works where the settings are broken.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use biomero_config::slurm_config::{self, Merged, SourceFile};
use biomero_config::{Environment, Secret, Settings, Sources};
use biomero_events::url::DatabaseUrl;

use crate::ended::Ended;

/// What BIOMERO reads the URL from.
const VARIABLE: &str = "SQLALCHEMY_URL";

/// The folder that decides: the image makes it.
const STATE_FOLDER: &str = "/var/lib/biomero";

/// The embedded store's file in a state folder.
const FILE: &str = "events.sqlite";

/// No settings file is longer.
const LARGEST_FILE: u64 = 1 << 20;

/// A database and who named it.
#[derive(Debug)]
pub(crate) struct Database {
    /// How to reach it.
    pub(crate) url: DatabaseUrl,
    /// Who named it, for people.
    pub(crate) origin: String,
}

/// The database of the first that names one.
pub(crate) fn choose(named: Option<&str>, environment: &Environment) -> Result<Database, Ended> {
    if let Some(text) = named {
        return database(text, "--database".to_owned(), environment);
    }
    let variable = environment.get(VARIABLE).filter(|text| !text.is_empty());
    if let Some(text) = variable {
        return database(text, format!("the variable {VARIABLE}"), environment);
    }
    let settings = settings(environment)?;
    let configuration = read(&settings, environment)?;
    if let Some((text, origin)) = analytics(&configuration, "sqlalchemy_url", environment) {
        return database(text.reveal(), format!("sqlalchemy_url of {origin}"), environment);
    }
    if let Some(file) = settings.events.file {
        return Ok(Database { url: DatabaseUrl::Sqlite(file), origin: "the setting events.file".to_owned() });
    }
    let url = DatabaseUrl::Sqlite(usual_file(environment)?);
    let origin = format!(
        "nobody: neither --database nor {VARIABLE} nor sqlalchemy_url of slurm-config.ini is set, so that it is a file of this machine"
    );
    Ok(Database { url, origin })
}

/// A key of `[ANALYTICS]`, and who set it.
pub(crate) fn analytics(
    configuration: &Merged,
    key: &str,
    environment: &Environment,
) -> Option<(Secret<String>, String)> {
    let (value, origin) = configuration.effective("ANALYTICS", key, environment)?;
    Some((value, origin.to_string()))
}

/// The settings of this worker.
pub(crate) fn settings(environment: &Environment) -> Result<Settings, Ended> {
    let sources =
        Sources { root: PathBuf::from("/"), environment: environment.clone(), command_line: Vec::new() };
    Ok(biomero_config::load(&sources)?.settings)
}

/// BIOMERO's configuration.
pub(crate) fn read(settings: &Settings, environment: &Environment) -> Result<Merged, Ended> {
    let mut files = Vec::new();
    for path in slurm_config::paths(settings) {
        let path = match (path.strip_prefix("~"), environment.get_os("HOME")) {
            (Ok(below), Some(home)) => Path::new(home).join(below),
            _ => path,
        };
        // Docker makes a folder of what is to be mounted and does not exist on the host.
        if path.is_dir() {
            continue;
        }
        let mut content = Vec::new();
        let opened =
            std::fs::File::open(&path).and_then(|file| file.take(LARGEST_FILE).read_to_end(&mut content));
        match opened {
            Ok(_) => files.push(SourceFile { path, content }),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(source) => return Err(Ended::Unreadable { path, source }),
        }
    }
    slurm_config::merge(&files)
        .map_err(|problems| Ended::SlurmConfig(problems.iter().map(ToString::to_string).collect()))
}

fn database(text: &str, origin: String, environment: &Environment) -> Result<Database, Ended> {
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
