//! The exit codes of `init`, in one table. The README's table is tested against it.
//!
//! A worker that runs ends with its main service's code, or 128 + n where signal n killed it. The codes here are
//! those of `init` itself; from 64 on they are the numbers of sysexits(3).

use biomero_hooks::FailureClass;

/// Everything went well, or nothing would change.
pub(crate) const SUCCESS: u8 = 0;
/// `--dry-run`, `verify`, `status`: it could not be told, or something is not as it should be.
pub(crate) const FAILURE: u8 = 1;
/// `--dry-run`: something would change. `verify`: something drifted.
pub(crate) const CHANGES: u8 = 2;
/// The command line makes no sense.
pub(crate) const USAGE: u8 = 64;
/// A file that a hook reads is missing or cannot be read.
pub(crate) const INPUT: u8 = 66;
/// A name, address or path did not come up in time.
pub(crate) const UNAVAILABLE: u8 = 69;
/// A hook's program failed.
pub(crate) const HOOK: u8 = 70;
/// The operating system failed `init` itself.
pub(crate) const SYSTEM: u8 = 71;
/// A file could not be written.
pub(crate) const CANNOT_CREATE: u8 = 73;
/// The system refused it to this user.
pub(crate) const PERMISSION: u8 = 77;
/// A setting is missing or makes no sense.
pub(crate) const CONFIGURATION: u8 = 78;

/// Every code of `init`'s own, with what it means and what to do: the README's table.
#[cfg(test)]
pub(crate) const TABLE: &[(u8, &str, &str)] = &[
    (SUCCESS, "success", "nothing; `--dry-run`: nothing would change"),
    (FAILURE, "could not tell, or not as it should be", "read the message (`--dry-run`, `verify`, `status`)"),
    (CHANGES, "`--dry-run`: something would change; `verify`: something drifted", "read the list above it"),
    (USAGE, "the command line makes no sense", "`init --help`"),
    (INPUT, "a file that a hook reads is missing or unreadable", "mount or restore the file that is named"),
    (
        UNAVAILABLE,
        "a name, address or path did not come up in time",
        "check the other container; `wait.*` settings",
    ),
    (HOOK, "a hook's program or component failed", "read the message and its own lines above it"),
    (SYSTEM, "the operating system failed `init` itself", "read the message; often a limit of the container"),
    (CANNOT_CREATE, "a file could not be written", "free space, or mount a volume where it says"),
    (PERMISSION, "the system refused it to this user", "chown what is named, or run as the user it names"),
    (CONFIGURATION, "a setting is missing or makes no sense", "correct the file and line that is named"),
    (126, "the command could not be started", "check that it is executable"),
    (127, "the command was not found", "check its name and `PATH`"),
];

/// The exit code of a start-up that ended in a failure of this kind.
pub(crate) fn of_failure(class: &FailureClass) -> u8 {
    match class {
        FailureClass::Configuration => CONFIGURATION,
        FailureClass::Input => INPUT,
        FailureClass::Unavailable => UNAVAILABLE,
        FailureClass::Hook => HOOK,
        FailureClass::CannotCreate => CANNOT_CREATE,
        FailureClass::Permission => PERMISSION,
        FailureClass::Interrupted(signal) => of_signal(signal),
    }
}

/// 128 + n, as a shell reports a signal.
fn of_signal(name: &str) -> u8 {
    use std::str::FromStr as _;
    nix::sys::signal::Signal::from_str(&format!("SIG{name}"))
        .ok()
        .and_then(|signal| u8::try_from(128 + signal as i32).ok())
        .unwrap_or(FAILURE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interruption_ends_as_a_shell_would_report_it() {
        assert_eq!(of_failure(&FailureClass::Interrupted("TERM".into())), 143);
        assert_eq!(of_failure(&FailureClass::Interrupted("INT".into())), 130);
    }

    #[test]
    fn the_readme_documents_every_exit_code() {
        let readme = include_str!("../../README.md");
        for (code, meaning, remedy) in TABLE {
            let row = format!("| {code} | {meaning} | {remedy} |");
            assert!(readme.contains(&row), "README.md lacks the row\n{row}");
        }
    }
}
