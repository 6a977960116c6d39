//! What is handed to a component and what it answers, in one form for every version of the interface. The JSON of a
//! recorded context is the JSON of these types.

use std::collections::BTreeMap;
use std::ffi::OsString;

use biomero_config::{Environment, MASK, Values};
use serde::{Deserialize, Serialize};

use crate::context::Identity;
use crate::effect::Effect;
use crate::hook::HookError;

/// What a component says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Description {
    /// Its own name.
    pub name: String,
    /// Its own version.
    pub version: String,
    /// One sentence.
    pub summary: String,
    /// What it wants to know.
    pub needs: Needs,
}

/// What a component wants to know.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Needs {
    /// Keys of settings, `*` for any text.
    pub settings: Vec<String>,
    /// Variables, `*` for any text.
    pub environment: Vec<String>,
    /// Files, `*` in the last component.
    pub files: Vec<String>,
    /// Host names.
    pub addresses: Vec<String>,
}

/// What a component is told. In JSON, settings and environment are objects.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GuestContext {
    /// Settings by key.
    #[serde(default)]
    pub settings: BTreeMap<String, String>,
    /// Variables by name.
    #[serde(default)]
    pub environment: BTreeMap<String, String>,
    /// Who `init` is and who services will be.
    #[serde(default = "Identity::of_this_process")]
    pub identity: Identity,
    /// Files, in the order asked for.
    #[serde(default)]
    pub files: Vec<InputFile>,
    /// Addresses, in the order asked for.
    #[serde(default)]
    pub addresses: Vec<HostAddress>,
}

/// One file that was asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InputFile {
    /// As it was asked for.
    pub asked: String,
    /// Absolute.
    pub path: String,
    /// What is there.
    pub state: FileState,
}

/// What is at a path.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub enum FileState {
    /// Nothing.
    Absent,
    /// A regular file.
    File {
        /// All of it.
        content: FileContent,
        /// Permission bits, in JSON as `"644"`.
        #[serde(with = "octal")]
        mode: u32,
        /// Owner.
        owner: u32,
    },
    /// A directory.
    Directory,
    /// Something else, in words.
    Other(String),
    /// Something that cannot be read: the system's reason.
    Unreadable(String),
}

/// A file's content in JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FileContent {
    /// UTF-8.
    Text(String),
    /// Bytes, as pairs of hexadecimal digits.
    Hexadecimal(#[serde(with = "hexadecimal")] Vec<u8>),
}

/// One address that was asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HostAddress {
    /// As it was asked for.
    pub asked: String,
    /// The host's name.
    pub host: String,
    /// None where a dry run could not resolve it.
    pub address: Option<String>,
}

/// A line that a component logged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Line {
    /// How loud.
    pub level: Level,
    /// Without control characters.
    pub text: String,
}

/// How loud a line is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// For the hook's engineer.
    Debug,
    /// For the log.
    Info,
    /// For someone to look at.
    Warn,
}

/// What a call of `plan` came to.
pub(super) type Planned = Result<Vec<Effect>, HookError>;

impl FileContent {
    /// From bytes, as text where they are UTF-8.
    pub fn of(bytes: Vec<u8>) -> Self {
        String::from_utf8(bytes).map_or_else(|error| Self::Hexadecimal(error.into_bytes()), Self::Text)
    }

    /// The bytes.
    pub fn bytes(&self) -> &[u8] {
        match self {
            Self::Text(text) => text.as_bytes(),
            Self::Hexadecimal(bytes) => bytes,
        }
    }
}

impl GuestContext {
    /// All settings and variables, and no files: for a hook that is not written yet.
    pub fn without_hook(values: &Values, environment: &Environment, identity: &Identity) -> Self {
        let setting = |key: &str| Some((key.to_owned(), values.get(key)?.reveal().clone()));
        let variable = |(name, value): (&OsString, &OsString)| {
            Some((name.to_str()?.to_owned(), value.to_str()?.to_owned()))
        };
        Self {
            settings: values.keys().filter_map(setting).collect(),
            environment: environment.iter().filter_map(variable).collect(),
            identity: identity.clone(),
            files: Vec::new(),
            addresses: Vec::new(),
        }
    }

    /// The same context with every secret masked, for a file that is passed around. `secret_settings` tells which
    /// settings are secret.
    #[must_use]
    pub fn masked(mut self, secret_setting: impl Fn(&str) -> bool) -> Self {
        for (key, value) in &mut self.settings {
            if secret_setting(key) {
                MASK.clone_into(value);
            }
        }
        for (name, value) in &mut self.environment {
            *value = crate::effect::Text::named(name, value.as_str()).to_string();
        }
        for file in &mut self.files {
            if let FileState::File { content, mode, .. } = &mut file.state {
                // A file that others may not read is one that a recorded context must not show.
                if *mode & 0o007 == 0 || biomero_config::names_a_secret(&file.path) {
                    *content = FileContent::Text(MASK.to_owned());
                } else if let FileContent::Text(text) = content {
                    *text = biomero_config::mask_urls(text);
                }
            }
        }
        self
    }
}

mod octal {
    use serde::de::Error as _;
    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(mode: &u32, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&format!("{mode:o}"))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
        let text = String::deserialize(deserializer)?;
        u32::from_str_radix(&text, 8)
            .map_err(|_| D::Error::custom("expected octal permission bits, as \"644\""))
    }
}

mod hexadecimal {
    use serde::de::Error as _;
    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&crate::digest::hexadecimal(bytes))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
        let text = String::deserialize(deserializer)?;
        let digits = text.as_bytes();
        let pairs = digits.chunks_exact(2);
        if !pairs.remainder().is_empty() || !digits.iter().all(u8::is_ascii_hexdigit) {
            return Err(D::Error::custom("expected pairs of hexadecimal digits"));
        }
        let digit = |digit: u8| char::from(digit).to_digit(16).unwrap_or_default() as u8;
        Ok(pairs.map(|pair| digit(pair[0]) << 4 | digit(pair[1])).collect())
    }
}
