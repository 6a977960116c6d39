//! What goes wrong around a test: one message, written to be read as it stands.

use std::fmt;

/// What went wrong, complete with the logs that explain it.
pub struct Trouble(String);

/// A result whose error a test shows as it is.
pub type Result<T, E = Trouble> = std::result::Result<T, E>;

impl Trouble {
    /// A trouble with this message.
    pub fn new(message: impl Into<String>) -> Self {
        Self(message.into())
    }

    /// For `map_err` on an operation of the system: what was attempted, then the system's reason.
    pub fn doing(what: impl fmt::Display) -> impl FnOnce(std::io::Error) -> Self {
        move |error| Self(format!("cannot {what}: {error}"))
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// As [`fmt::Display`], because the test harness shows an error with `Debug`.
impl fmt::Debug for Trouble {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl std::error::Error for Trouble {}
