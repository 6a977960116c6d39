//! Looking things up in what a hook is told, and making that up for a unit test.

use std::str::FromStr;

use crate::{Context, Entry, FileContent, FileState, HookError, HostAddress, Identity, InputFile};

impl Context {
    /// The value of a setting.
    ///
    /// # Errors
    /// It has none, or `describe` does not ask for it.
    pub fn setting(&self, key: &str) -> Result<&str, HookError> {
        self.optional_setting(key).ok_or_else(|| {
            HookError::missing(key, format!("set it in /etc/biomero/init.toml or with --set {key}=VALUE"))
        })
    }

    /// The value of a setting that may have none.
    pub fn optional_setting(&self, key: &str) -> Option<&str> {
        value(&self.settings, key)
    }

    /// The value of a setting that may have none, as a number for instance.
    ///
    /// # Errors
    /// It cannot be read as one.
    pub fn parsed_setting<T: FromStr>(&self, key: &str) -> Result<Option<T>, HookError> {
        self.optional_setting(key).map(|text| parsed(key, text)).transpose()
    }

    /// The value of an environment variable.
    ///
    /// # Errors
    /// It is not set or empty, or `describe` does not ask for it.
    pub fn variable(&self, name: &str) -> Result<&str, HookError> {
        self.optional_variable(name)
            .ok_or_else(|| HookError::missing(name, "set it in the container's environment"))
    }

    /// The value of an environment variable that may be missing. An empty one counts as missing, as it does for
    /// `init`.
    pub fn optional_variable(&self, name: &str) -> Option<&str> {
        value(&self.environment, name).filter(|value| !value.is_empty())
    }

    /// The value of an environment variable that may be missing, as a number for instance.
    ///
    /// # Errors
    /// It cannot be read as one.
    pub fn parsed_variable<T: FromStr>(&self, name: &str) -> Result<Option<T>, HookError> {
        self.optional_variable(name).map(|text| parsed(name, text)).transpose()
    }

    /// The file that was asked for in these words.
    ///
    /// # Errors
    /// `describe` does not ask for it.
    pub fn file(&self, asked: &str) -> Result<&InputFile, HookError> {
        self.files.iter().find(|file| file.asked == asked).ok_or_else(|| {
            HookError::input(asked, "describe() does not ask for it", "ask there, in the same words")
        })
    }

    /// The files that were asked for in these words, which hold a `*`: those that are there, in name order.
    pub fn files(&self, asked: &str) -> impl Iterator<Item = &InputFile> {
        self.files.iter().filter(move |file| file.asked == asked)
    }

    /// The address of a host that was asked for in these words; none where a dry run could not resolve it.
    ///
    /// # Errors
    /// `describe` does not ask for it.
    pub fn address(&self, asked: &str) -> Result<Option<&str>, HookError> {
        match self.addresses.iter().find(|address| address.asked == asked) {
            Some(address) => Ok(address.address.as_deref()),
            None => Err(HookError::missing(
                format!("the address of {asked}"),
                "describe() does not ask for it: ask there, in the same words",
            )),
        }
    }
}

impl InputFile {
    /// Its content; none where there is no file.
    ///
    /// # Errors
    /// Something else is there, or it cannot be read.
    pub fn bytes(&self) -> Result<Option<&[u8]>, HookError> {
        let refused = |reason: &str, remedy: &str| Err(HookError::input(&self.path, reason, remedy));
        match &self.state {
            FileState::Absent => Ok(None),
            FileState::File(file) => Ok(Some(&file.content)),
            FileState::Directory => refused(
                "it is a directory, as Docker makes one when the file to be mounted does not exist",
                "remove it and mount the file",
            ),
            FileState::Other(what) => refused(&format!("it is a {what}"), "put a regular file there"),
            FileState::Unreadable(reason) => refused(reason, "make it readable for the user of init"),
        }
    }

    /// Its content as text; none where there is no file.
    ///
    /// # Errors
    /// Something else is there, it cannot be read, or it is not UTF-8.
    pub fn text(&self) -> Result<Option<&str>, HookError> {
        let Some(bytes) = self.bytes()? else { return Ok(None) };
        str::from_utf8(bytes).map(Some).map_err(|error| {
            let line = 1 + bytes[..error.valid_up_to()].iter().filter(|byte| **byte == b'\n').count();
            HookError::invalid(format!("{}:{line}", self.path), "not valid UTF-8", "save the file as UTF-8")
        })
    }
}

/// For unit tests.
impl Context {
    /// A context in which nothing is known, of user 1000 for user 1000.
    pub fn empty() -> Self {
        Self {
            settings: vec![],
            environment: vec![],
            identity: Identity {
                uid: 1000,
                gid: 1000,
                service_uid: 1000,
                service_gid: 1000,
                service_name: "omero-server".to_owned(),
                service_home: "/opt/omero/server".to_owned(),
            },
            files: vec![],
            addresses: vec![],
        }
    }

    /// With a setting.
    #[must_use]
    pub fn with_setting(mut self, key: &str, value: &str) -> Self {
        self.settings.push(Entry { name: key.to_owned(), value: value.to_owned() });
        self
    }

    /// With an environment variable.
    #[must_use]
    pub fn with_variable(mut self, name: &str, value: &str) -> Self {
        self.environment.push(Entry { name: name.to_owned(), value: value.to_owned() });
        self
    }

    /// With a file that was asked for as `asked` and is at `path`.
    #[must_use]
    pub fn with_file(self, asked: &str, path: &str, content: impl Into<Vec<u8>>) -> Self {
        let state = FileState::File(FileContent { content: content.into(), mode: 0o644, owner: 0 });
        self.with_state(asked, path, state)
    }

    /// With something else that is at `path`, asked for as `asked`.
    #[must_use]
    pub fn with_state(mut self, asked: &str, path: &str, state: FileState) -> Self {
        self.files.push(InputFile { asked: asked.to_owned(), path: path.to_owned(), state });
        self
    }

    /// With the address of a host that was asked for as `asked`.
    #[must_use]
    pub fn with_address(mut self, asked: &str, host: &str, address: Option<&str>) -> Self {
        self.addresses.push(HostAddress {
            asked: asked.to_owned(),
            host: host.to_owned(),
            address: address.map(str::to_owned),
        });
        self
    }
}

fn value<'a>(entries: &'a [Entry], name: &str) -> Option<&'a str> {
    entries.iter().find(|entry| entry.name == name).map(|entry| entry.value.as_str())
}

fn parsed<T: FromStr>(name: &str, text: &str) -> Result<T, HookError> {
    text.parse().map_err(|_| {
        let kind = std::any::type_name::<T>();
        HookError::invalid(name, format!("\"{text}\" is not what was expected ({kind})"), "correct the value")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_set_is_an_error_that_says_what_to_type() {
        let context = Context::empty().with_variable("EMPTY", "");
        let said = |result: Result<&str, HookError>| result.unwrap_err().sentence();
        assert_eq!(
            said(context.setting("worker.port")),
            "worker.port is not set: set it in /etc/biomero/init.toml or with --set worker.port=VALUE"
        );
        assert_eq!(
            said(context.variable("EMPTY")),
            "EMPTY is not set: set it in the container's environment"
        );
        assert_eq!(context.parsed_setting::<u16>("worker.port"), Ok(None));
    }

    #[test]
    fn a_value_that_is_no_number_is_an_error_that_shows_it() {
        let context = Context::empty().with_setting("worker.port", "http");
        let error = context.parsed_setting::<u16>("worker.port").unwrap_err().sentence();
        assert_eq!(error, "worker.port: \"http\" is not what was expected (u16); correct the value");
    }

    #[test]
    fn files_are_found_by_the_words_they_were_asked_for_in() {
        let context = Context::empty()
            .with_file("/a/*.pem", "/a/1.pem", "1")
            .with_file("/a/*.pem", "/a/2.pem", [0xff])
            .with_state("/b", "/b", FileState::Absent)
            .with_state("/c", "/c", FileState::Unreadable("permission denied".to_owned()));
        let paths: Vec<&str> = context.files("/a/*.pem").map(|file| file.path.as_str()).collect();
        assert_eq!(paths, ["/a/1.pem", "/a/2.pem"]);
        let text = |asked: &str, at: usize| context.files(asked).nth(at).unwrap().text();
        assert_eq!(text("/a/*.pem", 0), Ok(Some("1")));
        assert_eq!(text("/b", 0), Ok(None));
        assert_eq!(
            text("/a/*.pem", 1).unwrap_err().sentence(),
            "/a/2.pem:1: not valid UTF-8; save the file as UTF-8"
        );
        assert_eq!(
            text("/c", 0).unwrap_err().sentence(),
            "cannot read /c: permission denied; make it readable for the user of init"
        );
        assert!(context.file("/d").unwrap_err().sentence().contains("describe() does not ask for it"));
    }

    #[test]
    fn an_address_may_be_unknown_in_a_dry_run() {
        let context = Context::empty().with_address("{master.host}", "omeroserver", None);
        assert_eq!(context.address("{master.host}"), Ok(None));
        assert!(context.address("omeroserver").is_err());
    }
}
