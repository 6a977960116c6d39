//! The kinds of failure that a start-up can end in. Each is one exit code of `init` (sysexits(3)).

/// What kind of thing went wrong, so that whoever reads only the exit code knows where to look.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FailureClass {
    /// A setting, variable or hook definition is missing or makes no sense.
    Configuration,
    /// A file that a hook reads is missing or cannot be read.
    Input,
    /// A name, address or path did not come up in time.
    Unavailable,
    /// A hook's program failed, or a hook did what it may not.
    Hook,
    /// A file could not be written: full disk, read-only file system, something in the way.
    CannotCreate,
    /// The system refused it to this user.
    Permission,
    /// A stop signal, by name, ended the start-up.
    Interrupted(String),
}
