//! Why a hook could not plan. Each error names the thing and what to do.

use crate::HookError;
use crate::bindings::biomero::hooks::types::{Input, Invalid, Missing};

impl HookError {
    /// A setting or variable that the hook cannot do without.
    pub fn missing(what: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self::Missing(Missing { what: what.into(), remedy: remedy.into() })
    }

    /// A file that the hook reads is not there or cannot be read.
    pub fn input(path: impl Into<String>, reason: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self::Input(Input { path: path.into(), reason: reason.into(), remedy: remedy.into() })
    }

    /// A file or value was read and makes no sense. `place` is the file and line, or the setting.
    pub fn invalid(place: impl Into<String>, problem: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self::Invalid(Invalid { place: place.into(), problem: problem.into(), remedy: remedy.into() })
    }

    /// The error in one line, as `init` tells it.
    pub fn sentence(&self) -> String {
        match self {
            Self::Missing(Missing { what, remedy }) => format!("{what} is not set: {remedy}"),
            Self::Input(Input { path, reason, remedy }) => format!("cannot read {path}: {reason}; {remedy}"),
            Self::Invalid(Invalid { place, problem, remedy }) => format!("{place}: {problem}; {remedy}"),
        }
    }
}
