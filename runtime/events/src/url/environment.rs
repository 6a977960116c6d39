//! What libpq would add from its surroundings where the URL says nothing: variables, the user, the files in the home
//! folder. Read once, when the URL is, so that everything later works on a value.

use std::path::PathBuf;

use biomero_config::Environment;
use nix::unistd::{User, geteuid};

use super::options::OPTIONS;
use super::{DatabaseUrl, PostgresUrl, UrlError, password_file};

impl DatabaseUrl {
    /// Fills in what the URL leaves out, as libpq does: from `PGPASSWORD`, `PGSSLMODE` and the like, the password file
    /// and the name of the user that this process runs as.
    ///
    /// # Errors
    /// A variable has a value that its option cannot have.
    pub fn with_environment(self, environment: &Environment) -> Result<Self, UrlError> {
        match self {
            Self::Postgres(mut url) => {
                url.fill_in(environment)?;
                Ok(Self::Postgres(url))
            }
            Self::Sqlite(path) => Ok(Self::Sqlite(path)),
        }
    }
}

impl PostgresUrl {
    fn fill_in(&mut self, environment: &Environment) -> Result<(), UrlError> {
        let value = |name: &str| environment.get(name).filter(|value| !value.is_empty());
        for (name, variable) in OPTIONS {
            let Some(variable) = variable else { continue };
            if let Some(value) = value(variable).filter(|_| !self.has(name)) {
                self.set(name, value, &format!("the variable {variable}"))?;
            }
        }
        self.time_zone = value("PGTZ").map(str::to_owned);

        let account = User::from_uid(geteuid()).ok().flatten();
        let home = value("HOME").map(PathBuf::from).or_else(|| account.as_ref().map(|user| user.dir.clone()));
        if self.user.is_none() {
            self.user = account.map(|user| user.name);
        }
        self.certificates = home.as_ref().map(|home| home.join(".postgresql"));
        if self.password.is_none() {
            let usual = home.map(|home| home.join(".pgpass"));
            if let Some(path) = self.password_file.as_ref().or(usual.as_ref()) {
                self.passwords = password_file::read(path, self.password_file.is_some());
            }
        }
        self.check()
    }
}
