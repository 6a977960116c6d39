//! What a hook says of itself.

use crate::{Description, Needs};

/// A [`Description`] with the name and version of the crate it is written in, and a sentence for `init hooks`.
#[macro_export]
macro_rules! description {
    ($summary:expr) => {
        $crate::Description::new(env!("CARGO_PKG_NAME"), env!("CARGO_PKG_VERSION"), $summary)
    };
}

impl Description {
    /// A hook that needs to know nothing. [`description!`](crate::description!) fills in name and version.
    pub fn new(name: &str, version: &str, summary: &str) -> Self {
        let needs = Needs { settings: vec![], environment: vec![], files: vec![], addresses: vec![] };
        Self { name: name.to_owned(), version: version.to_owned(), summary: summary.to_owned(), needs }
    }

    /// Asks for a setting, as `init config` shows it; `*` stands for any text, as in `worker.*`.
    #[must_use]
    pub fn setting(mut self, key: &str) -> Self {
        self.needs.settings.push(key.to_owned());
        self
    }

    /// Asks for an environment variable; `*` stands for any text, as in `*_PROXY`.
    #[must_use]
    pub fn variable(mut self, name: &str) -> Self {
        self.needs.environment.push(name.to_owned());
        self
    }

    /// Asks for a file by its absolute path. `{worker.name}` stands for that setting's value; the last component may
    /// hold a `*`.
    #[must_use]
    pub fn file(mut self, path: &str) -> Self {
        self.needs.files.push(path.to_owned());
        self
    }

    /// Asks for a host's address. `{master.host}` stands for that setting's value.
    #[must_use]
    pub fn address(mut self, host: &str) -> Self {
        self.needs.addresses.push(host.to_owned());
        self
    }
}
