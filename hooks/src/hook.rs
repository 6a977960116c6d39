//! A hook: a pure function from a context to effects.

use std::path::PathBuf;

use crate::component::ComponentError;
use crate::context::{Context, Need};
use crate::effect::Effect;
use crate::grants::Refusals;

/// A function from what is known to what should be. It never touches the machine.
pub trait Hook {
    /// Unique, lower case, words joined by `-`.
    fn name(&self) -> &str;

    /// One sentence for `init hooks`.
    fn summary(&self) -> &str;

    /// What must be known before [`Hook::plan`]. Asked once, with a context that has no facts yet.
    fn needs(&self, context: &Context<'_>) -> Vec<Need>;

    /// The effects, in the order in which they are to happen.
    ///
    /// # Errors
    /// What makes the plan impossible, with the remedy.
    fn plan(&self, context: &Context<'_>) -> Result<Vec<Effect>, HookError>;
}

/// Why a hook could not plan. Its kind decides the exit code.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HookError {
    /// A setting or variable that the hook cannot do without.
    #[error("{what} is not set: {remedy}")]
    Missing {
        /// The setting's key or the variable.
        what: String,
        /// What to type.
        remedy: String,
    },
    /// A file that the hook reads is not there or cannot be read.
    #[error("cannot read {}: {reason}; {remedy}", path.display())]
    Input {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        reason: String,
        /// What to do.
        remedy: String,
    },
    /// A site's component asked for what its site does not grant.
    #[error("the component asked for what its [grants] do not hold:\n  {0}")]
    Refused(Refusals),
    /// A site's component did not run to its end.
    #[error(transparent)]
    Component(#[from] ComponentError),
    /// A file or value was read and makes no sense.
    #[error("{place}: {problem}; {remedy}")]
    Invalid {
        /// File and line, or setting.
        place: String,
        /// What is wrong.
        problem: String,
        /// What to do.
        remedy: String,
    },
}
