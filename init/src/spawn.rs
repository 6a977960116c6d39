//! Starting a process: everything is prepared before the child exists, so that between its birth and `exec` only
//! system calls run.
//!
//! Invariants: the program is looked up in the *child's* `PATH`, as the child's user, in the child's directory; the
//! child has the signal mask and dispositions that `init` inherited; no descriptor of `init`'s beyond 0 to 2 reaches it.

pub(crate) mod system;

use std::ffi::{CString, NulError, OsStr, OsString};
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use biomero_config::Environment;
use nix::libc;

use crate::reaper::Pid;
use crate::signals::{Inherited, Signal};
use system::{ChildFailure, Prepared, Step};

pub(crate) use system::Group;

/// Where a program is looked for when the environment has no `PATH`: what the C library takes.
const PATH_WITHOUT_A_PATH: &str = "/bin:/usr/bin";

/// A program to start.
#[derive(Debug, Clone)]
pub(crate) struct Command {
    /// Program and arguments.
    pub(crate) argv: Vec<OsString>,
    /// The whole environment.
    pub(crate) environment: Environment,
    /// Working directory; `init`'s own when absent.
    pub(crate) directory: Option<PathBuf>,
    /// User and group to become; needs root. Supplementary groups are those of the user.
    pub(crate) user: Option<(u32, u32)>,
    /// What the child leads.
    pub(crate) group: Group,
    /// Gives the child an empty signal mask and default dispositions instead of those inherited, as dumb-init does.
    pub(crate) fresh_signals: bool,
    /// Sent to the child when `init` dies.
    pub(crate) parent_death_signal: Option<Signal>,
}

impl Command {
    /// A program in its own process group, that inherits everything else.
    pub(crate) fn new(argv: Vec<OsString>, environment: Environment) -> Self {
        Self {
            argv,
            environment,
            directory: None,
            user: None,
            group: Group::Own,
            fresh_signals: false,
            parent_death_signal: None,
        }
    }

    /// The program as it was named.
    pub(crate) fn program(&self) -> String {
        self.argv.first().map_or_else(String::new, |program| program.to_string_lossy().into_owned())
    }

    /// Starts it with `init`'s own standard streams.
    ///
    /// # Errors
    /// [`SpawnError`].
    pub(crate) fn spawn(&self, inherited: Inherited) -> Result<Pid, SpawnError> {
        self.spawn_with(inherited, [None, None, None])
    }

    /// Starts it with these descriptors as standard input, output and error; `None` inherits `init`'s.
    ///
    /// # Errors
    /// [`SpawnError`].
    pub(crate) fn spawn_with(
        &self,
        inherited: Inherited,
        stdio: [Option<&OwnedFd>; 3],
    ) -> Result<Pid, SpawnError> {
        let prepared = self.prepare(inherited, stdio)?;
        match system::start(&prepared) {
            Ok(Ok(pid)) => Ok(pid),
            Ok(Err(failure)) => Err(self.explain(&failure)),
            Err(error) => Err(SpawnError::Process { program: self.program(), error }),
        }
    }

    fn prepare(&self, inherited: Inherited, stdio: [Option<&OwnedFd>; 3]) -> Result<Prepared, SpawnError> {
        let zero = |_: NulError| SpawnError::ZeroByte { program: self.program() };
        let text = |text: &OsStr| CString::new(text.as_bytes()).map_err(zero);
        let program = self.argv.first().ok_or(SpawnError::NoProgram)?;
        let inherited = if self.fresh_signals { Inherited::NOTHING } else { inherited };
        let variable = |(name, value): (&OsString, &OsString)| {
            let mut bytes = Vec::with_capacity(name.len() + value.len() + 2);
            bytes.extend_from_slice(name.as_bytes());
            bytes.push(b'=');
            bytes.extend_from_slice(value.as_bytes());
            CString::new(bytes).map_err(zero)
        };
        Ok(Prepared {
            candidates: candidates(program, &self.environment)
                .into_iter()
                .map(|path| CString::new(path.into_os_string().into_vec()).map_err(zero))
                .collect::<Result<_, _>>()?,
            argv: self.argv.iter().map(|argument| text(argument)).collect::<Result<_, _>>()?,
            environment: self.environment.iter().map(variable).collect::<Result<_, _>>()?,
            directory: self.directory.as_ref().map(|directory| text(directory.as_os_str())).transpose()?,
            user: self.user.filter(|_| nix::unistd::geteuid().is_root()).map(|(user, group)| {
                let groups = supplementary_groups(user, group);
                (user, group, groups)
            }),
            group: self.group,
            mask: inherited.mask,
            ignored: inherited.ignored,
            reset_all: self.fresh_signals,
            parent_death_signal: self.parent_death_signal.map(Signal::get),
            stdio: stdio.map(|descriptor| descriptor.map(AsRawFd::as_raw_fd)),
        })
    }

    fn explain(&self, failure: &ChildFailure) -> SpawnError {
        let program = self.program();
        let reason = system::describe(failure.errno);
        match (failure.step, failure.errno) {
            (Step::Exec, libc::ENOENT | libc::ENOTDIR) => {
                let path = (!program.contains('/')).then(|| search_path(&self.environment).into_owned());
                SpawnError::NotFound { program, path }
            }
            (Step::Exec, errno) => SpawnError::NotExecutable { program, reason, errno },
            (Step::Directory, _) => SpawnError::Directory {
                program,
                directory: self.directory.clone().unwrap_or_default(),
                reason,
            },
            (Step::Groups | Step::GroupId | Step::UserId, _) => {
                let (user, group) = self.user.unwrap_or_default();
                SpawnError::User { program, user, group, reason }
            }
            (step, _) => SpawnError::Child { program, step: format!("{step:?}").to_lowercase(), reason },
        }
    }
}

fn search_path(environment: &Environment) -> std::borrow::Cow<'_, str> {
    environment.get_os("PATH").map_or(PATH_WITHOUT_A_PATH.into(), |path| path.to_string_lossy())
}

/// The paths to try, in order. A name with `/` is a path; an empty element of `PATH` is the working directory.
fn candidates(program: &OsStr, environment: &Environment) -> Vec<PathBuf> {
    if program.is_empty() || program.as_bytes().contains(&b'/') {
        return vec![PathBuf::from(program)];
    }
    let default = OsString::from(PATH_WITHOUT_A_PATH);
    let path = environment.get_os("PATH").unwrap_or(&default);
    path.as_bytes()
        .split(|&byte| byte == b':')
        .map(|directory| match directory {
            [] => Path::new(".").join(program),
            _ => Path::new(OsStr::from_bytes(directory)).join(program),
        })
        .collect()
}

/// As `initgroups` would set them; only the main group where the system has no name for the user.
fn supplementary_groups(user: u32, group: u32) -> Vec<u32> {
    let name = nix::unistd::User::from_uid(user.into()).ok().flatten().map(|user| user.name);
    name.and_then(|name| CString::new(name).ok())
        .and_then(|name| nix::unistd::getgrouplist(&name, group.into()).ok())
        .map_or_else(|| vec![group], |groups| groups.into_iter().map(nix::unistd::Gid::as_raw).collect())
}

/// Why a program could not be started.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SpawnError {
    /// The command is empty.
    #[error("there is no program to start: the command is empty")]
    NoProgram,
    /// A string that the kernel could not take.
    #[error("cannot start {program}: a zero byte in its name, arguments, environment or directory")]
    ZeroByte {
        /// As it was named.
        program: String,
    },
    /// No such program.
    #[error("cannot start {program}: no such program{}", match path {
        Some(path) => format!(" in PATH ({path}); check the name, or write its full path"),
        None => "; check the path, and that the interpreter in its first line (#!) exists".to_owned(),
    })]
    NotFound {
        /// As it was named.
        program: String,
        /// The `PATH` that was searched.
        path: Option<String>,
    },
    /// It is there and cannot be executed.
    #[error(
        "cannot start {program}: {reason}; check that it is a program with execute permission (chmod a+rx)"
    )]
    NotExecutable {
        /// As it was named.
        program: String,
        /// The system's reason.
        reason: String,
        /// The system's error number.
        errno: i32,
    },
    /// Its working directory cannot be entered.
    #[error("cannot start {program}: cannot enter its working directory {}: {reason}", directory.display())]
    Directory {
        /// As it was named.
        program: String,
        /// The working directory.
        directory: PathBuf,
        /// The system's reason.
        reason: String,
    },
    /// Its user cannot be taken.
    #[error(
        "cannot start {program} as user {user}, group {group}: {reason}; without CAP_SETUID and CAP_SETGID, \
        start the container as that user (`--user {user}:{group}`)"
    )]
    User {
        /// As it was named.
        program: String,
        /// User id.
        user: u32,
        /// Group id.
        group: u32,
        /// The system's reason.
        reason: String,
    },
    /// Another step of the child failed.
    #[error("cannot start {program}: {reason} ({step})")]
    Child {
        /// As it was named.
        program: String,
        /// Which.
        step: String,
        /// The system's reason.
        reason: String,
    },
    /// No process could be made.
    #[error(
        "cannot start {program}: no new process: {error}; raise the limit of processes (`--pids-limit`, `ulimit -u`)"
    )]
    Process {
        /// As it was named.
        program: String,
        /// The system's reason.
        error: io::Error,
    },
}

impl SpawnError {
    /// As a shell would exit: 127 when there is no such program, 126 otherwise.
    pub(crate) const fn exit_code(&self) -> u8 {
        match self {
            Self::NotFound { .. } | Self::NoProgram => 127,
            _ => 126,
        }
    }

    /// The system's reason alone, in its words.
    pub(crate) fn reason(&self) -> String {
        match self {
            Self::NotFound { .. } => system::describe(libc::ENOENT),
            Self::NotExecutable { reason, .. }
            | Self::Directory { reason, .. }
            | Self::User { reason, .. }
            | Self::Child { reason, .. } => reason.clone(),
            other => other.to_string(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_is_looked_up_in_the_path_of_its_own_environment() {
        let with_path = Environment::from_iter([("PATH", "/a::/b")]);
        for (program, environment, expected) in [
            ("ls", &with_path, vec!["/a/ls", "./ls", "/b/ls"]),
            ("ls", &Environment::default(), vec!["/bin/ls", "/usr/bin/ls"]),
            ("./ls", &with_path, vec!["./ls"]),
            ("/x/ls", &with_path, vec!["/x/ls"]),
            ("", &with_path, vec![""]),
        ] {
            let expected: Vec<_> = expected.into_iter().map(PathBuf::from).collect();
            assert_eq!(candidates(OsStr::new(program), environment), expected, "{program}");
        }
    }

    #[test]
    fn a_program_that_cannot_start_is_named_with_the_remedy_and_a_shell_s_exit_code() {
        let environment = Environment::from_iter([("PATH", "/nowhere:/usr/bin")]);
        let start = |program: &str, directory: Option<&str>| {
            let mut command = Command::new(vec![program.into()], environment.clone());
            command.directory = directory.map(PathBuf::from);
            let error = command.spawn(Inherited::NOTHING).unwrap_err();
            format!("{} {error}", error.exit_code())
        };
        insta::assert_snapshot!(start("no-such-program", None), @"127 cannot start no-such-program: no such program in PATH (/nowhere:/usr/bin); check the name, or write its full path");
        insta::assert_snapshot!(start("/no/such", None), @"127 cannot start /no/such: no such program; check the path, and that the interpreter in its first line (#!) exists");
        insta::assert_snapshot!(start("/etc/passwd", None), @"126 cannot start /etc/passwd: Permission denied; check that it is a program with execute permission (chmod a+rx)");
        insta::assert_snapshot!(start("true", Some("/no/such")), @"126 cannot start true: cannot enter its working directory /no/such: No such file or directory");
        let zero = Command::new(vec!["true".into(), "a\0b".into()], environment.clone());
        insta::assert_snapshot!(zero.spawn(Inherited::NOTHING).unwrap_err(), @"cannot start true: a zero byte in its name, arguments, environment or directory");
    }
}
