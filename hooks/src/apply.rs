//! The interpreter that applies effects. All writing of the start-up happens in this file.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use biomero_config::{Environment, mask_urls};
use nix::fcntl::{Flock, FlockArg};

use crate::change::{Change, examine, examine_file};
use crate::confine::Place;
use crate::context::Identity;
use crate::digest::sha256;
use crate::disk::FILE_LIMIT;
use crate::effect::{CommandEffect, Effect, FileEffect, Lock};
use crate::failure::FailureClass;
use crate::machine::{Exit, Machine, MachineError, Process};
use crate::overlay::Overlay;
use crate::visible::visible;

/// How long another program may hold a lock that a file effect names.
const LOCK_DEADLINE: Duration = Duration::from_secs(15);

/// The first pause between two looks at a path that is waited for; each further one is twice as long.
const FIRST_LOOK: Duration = Duration::from_millis(50);
/// The longest of them.
const LAST_LOOK: Duration = Duration::from_secs(1);

/// Why an effect could not be applied.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// A file could not be changed.
    #[error("cannot {doing} {}: {reason}; {remedy}", path.display())]
    File {
        /// The attempt, as a verb.
        doing: &'static str,
        /// The file.
        path: PathBuf,
        /// The system's reason.
        reason: io::Error,
        /// What to do.
        remedy: String,
    },
    /// Another program holds a lock.
    #[error("the lock {} was held by another program for {}; end that program (fuser {0}), or remove the file if none runs", path.display(), biomero_config::duration::display(LOCK_DEADLINE))]
    Locked {
        /// The lock file.
        path: PathBuf,
    },
    /// A file changed between planning and writing. The hook is planned again; this is seen only if that goes on.
    #[error("{} keeps being changed by another program; stop that program and start again", path.display())]
    ChangedUnderneath {
        /// The file.
        path: PathBuf,
    },
    /// A program did not exit 0.
    #[error("{program} {how}; its own lines above say why; run it by hand with: {typed}")]
    Command {
        /// The program.
        program: String,
        /// Exit code or signal.
        how: String,
        /// The whole command line.
        typed: String,
    },
    /// Something waited for did not come, or a program could not be started.
    #[error("{what}: {source}")]
    Machine {
        /// What was attempted.
        what: String,
        /// Why it failed.
        source: MachineError,
    },
    /// A stop signal.
    #[error("interrupted by SIG{0}")]
    Interrupted(String),
}

impl ApplyError {
    /// The kind of failure, which decides the exit code.
    pub fn class(&self) -> FailureClass {
        match self {
            Self::File { reason, .. } => match reason.kind() {
                io::ErrorKind::PermissionDenied => FailureClass::Permission,
                _ => FailureClass::CannotCreate,
            },
            Self::Locked { .. } | Self::ChangedUnderneath { .. } => FailureClass::CannotCreate,
            Self::Command { .. } => FailureClass::Hook,
            Self::Machine { source: MachineError::Timeout { .. }, .. } => FailureClass::Unavailable,
            Self::Machine { .. } => FailureClass::Hook,
            Self::Interrupted(signal) => FailureClass::Interrupted(signal.clone()),
        }
    }
}

/// What an applying interpreter works on.
pub(crate) struct Applier<'a> {
    pub(crate) overlay: &'a Overlay,
    pub(crate) identity: &'a Identity,
    pub(crate) environment: &'a mut Environment,
    pub(crate) machine: &'a mut dyn Machine,
    /// Whether programs run, or are passed over.
    pub(crate) run_programs: bool,
    /// When the hook's time is over.
    pub(crate) until: Instant,
}

impl Applier<'_> {
    /// Applies one effect and tells what it changed. Applying it again changes nothing.
    pub(crate) fn apply(&mut self, effect: &Effect) -> Result<Change, ApplyError> {
        if let Some(signal) = self.machine.interrupted() {
            return Err(ApplyError::Interrupted(signal));
        }
        match effect {
            Effect::File(file) => self.write(file),
            Effect::Command(_) if !self.run_programs => Ok(Change::Nothing),
            Effect::Command(command) => self.run(command).map(|()| Change::Run),
            Effect::WaitTcp { address, deadline } => {
                let deadline = self.remaining(*deadline);
                let waited = self.machine.wait_tcp(address, deadline);
                waited.map(|()| Change::Wait).map_err(|error| {
                    from_machine(format!("waiting for {address} to accept a connection"), error)
                })
            }
            Effect::WaitPath { path, deadline } => {
                let waited = self.wait_path(path, self.remaining(*deadline));
                waited
                    .map(|()| Change::Wait)
                    .map_err(|error| from_machine(format!("waiting for {} to exist", path.display()), error))
            }
            Effect::Notice(_) => Ok(Change::Notice),
            Effect::Directory { path, .. } | Effect::Remove { path } | Effect::MoveAside { path, .. } => {
                let change = self.examine(effect, path)?;
                if change != Change::Nothing {
                    self.change_path(effect, &change)?;
                }
                Ok(change)
            }
            Effect::Variable { name, value } => {
                let change = self.examine(effect, Path::new(name))?;
                match value {
                    Some(value) => self.environment.set(name, value.reveal()),
                    None => self.environment.unset(name),
                }
                Ok(change)
            }
        }
    }

    /// The machine waits for a name, which may lead anywhere by then: for a hook that is confined, each look takes the
    /// way through the grants anew.
    fn wait_path(&mut self, path: &Path, deadline: Duration) -> Result<(), MachineError> {
        let disk = self.overlay.disk();
        if !disk.is_confined() {
            let located = disk.locate(path, true).unwrap_or_else(|_| path.to_owned());
            return self.machine.wait_path(&located, deadline);
        }
        let until = Instant::now() + deadline;
        let mut pause = FIRST_LOOK;
        loop {
            let last = match disk.is_there(path) {
                Ok(true) => return Ok(()),
                Ok(false) => "it is not there".to_owned(),
                Err(error) => error.to_string(),
            };
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                let last = format!("{}: {last}", path.display());
                return Err(MachineError::Timeout { after: deadline, last });
            }
            self.machine.pause(pause.min(left))?;
            pause = (2 * pause).min(LAST_LOOK);
        }
    }

    fn examine(&self, effect: &Effect, path: &Path) -> Result<Change, ApplyError> {
        examine(effect, self.overlay, self.identity, self.environment)
            .map_err(|error| self.failed("read", path, error))
    }

    fn change_path(&self, effect: &Effect, change: &Change) -> Result<(), ApplyError> {
        let disk = self.overlay.disk();
        match effect {
            Effect::Directory { path, mode, owner } => {
                if *change == Change::Create {
                    self.create_parents(path)?;
                    disk.create_directory(path, *mode).map_err(|error| self.failed("create", path, error))?;
                }
                self.set_attributes(path, change, *mode, self.identity.owner(*owner))
            }
            Effect::Remove { path } => disk.remove(path).map_err(|error| self.failed("remove", path, error)),
            Effect::MoveAside { path, to, .. } => {
                disk.rename_new(path, to).map_err(|error| self.failed("move aside", path, error))
            }
            _ => Ok(()),
        }
    }

    fn set_attributes(
        &self,
        path: &Path,
        change: &Change,
        mode: u32,
        owner: Option<(u32, u32)>,
    ) -> Result<(), ApplyError> {
        let disk = self.overlay.disk();
        let (set_mode, set_owner) = match change {
            Change::Attributes { mode, owner } => (mode.is_some(), owner.is_some()),
            _ => (false, true),
        };
        // The owner first: chown clears the set-id bits of a mode.
        if let (true, Some((uid, gid))) = (set_owner, owner) {
            disk.set_owner(path, uid, gid)
                .map_err(|error| self.failed("change the owner of", path, error))?;
        }
        if set_mode {
            disk.set_mode(path, mode).map_err(|error| self.failed("change the mode of", path, error))?;
        }
        Ok(())
    }

    fn write(&mut self, file: &FileEffect) -> Result<Change, ApplyError> {
        let change = examine_file(file, self.overlay, self.identity)
            .map_err(|error| self.failed("read", &file.path, error))?;
        if change == Change::Nothing {
            self.overlay.disk().remove_beside(&file.path);
            return Ok(change);
        }
        let owner = self.identity.owner(file.owner);
        if matches!(change, Change::Attributes { .. }) {
            self.overlay.disk().remove_beside(&file.path);
            self.set_attributes(&file.path, &change, file.mode, owner)?;
            return Ok(change);
        }
        self.create_parents(&file.path)?;
        let held = file.lock.as_ref().map(|lock| self.lock(lock)).transpose()?;
        if let Some(lock) = &file.lock {
            let now = match self.overlay.disk().read(&file.path, FILE_LIMIT) {
                Ok(content) => Some(sha256(&content)),
                Err(error) if error.kind() == io::ErrorKind::NotFound => None,
                Err(error) => return Err(self.failed("read", &file.path, error)),
            };
            if now != lock.based_on {
                return Err(ApplyError::ChangedUnderneath { path: file.path.clone() });
            }
        }
        let written = self
            .overlay
            .disk()
            .create_beside(&file.path)
            .and_then(|new| new.commit(file.content.bytes(), file.mode, owner));
        drop(held);
        written.map_err(|error| self.failed("write", &file.path, error))?;
        Ok(change)
    }

    /// Missing parent directories get mode 0755 and belong to whom the services run as.
    fn create_parents(&self, path: &Path) -> Result<(), ApplyError> {
        let disk = self.overlay.disk();
        let missing: Vec<&Path> = path
            .ancestors()
            .skip(1)
            .take_while(|parent| matches!(disk.metadata(parent), Ok(None)) && parent.parent().is_some())
            .collect();
        for parent in missing.into_iter().rev() {
            disk.create_directory(parent, 0o755).map_err(|error| self.failed("create", parent, error))?;
            if let Some((uid, gid)) = self.identity.owner(crate::Owner::ServiceUser) {
                disk.set_owner(parent, uid, gid)
                    .map_err(|error| self.failed("change the owner of", parent, error))?;
            }
        }
        Ok(())
    }

    fn lock(&mut self, lock: &Lock) -> Result<HeldLock, ApplyError> {
        let path = self
            .overlay
            .disk()
            .place_to_change(&lock.path)
            .map_err(|error| self.failed("lock", &lock.path, error))?;
        let until = Instant::now() + LOCK_DEADLINE;
        loop {
            let file = OpenOptions::new()
                .read(true)
                .write(true)
                .create(true)
                .truncate(false)
                .mode(0o644)
                .custom_flags(nix::fcntl::OFlag::O_NOFOLLOW.bits())
                .open(&path)
                .map_err(|error| self.failed("lock", &lock.path, error))?;
            match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
                // The holder before us may have removed the file between our open and our lock.
                Ok(held) if same_file(&held, &path) => return Ok(HeldLock { _held: held, path }),
                Ok(_) => {}
                Err((_, nix::errno::Errno::EWOULDBLOCK)) if Instant::now() < until => {
                    self.machine.pause(Duration::from_millis(50)).map_err(|error| {
                        from_machine(format!("waiting for the lock {}", path.display()), error)
                    })?;
                }
                Err((_, nix::errno::Errno::EWOULDBLOCK)) => {
                    return Err(ApplyError::Locked { path: lock.path.clone() });
                }
                Err((_, errno)) => return Err(self.failed("lock", &lock.path, errno.into())),
            }
        }
    }

    fn run(&mut self, command: &CommandEffect) -> Result<(), ApplyError> {
        let mut environment = self.environment.clone();
        for (name, value) in &command.environment {
            environment.set(name, value.reveal());
        }
        let deadline = self.remaining(command.deadline);
        let user = (self.identity.uid == 0 && command.as_service_user)
            .then_some((self.identity.service_uid, self.identity.service_gid));
        let process = Process {
            argv: &command.argv,
            environment: &environment,
            directory: command.directory.clone(),
            user,
        };
        let program = visible(command.argv.first().map_or("", String::as_str)).into_owned();
        match self.machine.run(&process, deadline) {
            Ok(Exit::Code(0)) => Ok(()),
            Ok(exit) => {
                let how = match exit {
                    Exit::Code(code) => format!("ended with exit code {code}"),
                    Exit::Signal(signal) => format!("was killed by signal {signal}"),
                };
                let typed = visible(&mask_urls(&command.argv.join(" "))).into_owned();
                Err(ApplyError::Command { program, how, typed })
            }
            Err(error) => Err(from_machine(format!("running {program}"), error)),
        }
    }

    fn remaining(&self, deadline: Duration) -> Duration {
        deadline.min(self.until.saturating_duration_since(Instant::now()))
    }

    fn failed(&self, doing: &'static str, path: &Path, reason: io::Error) -> ApplyError {
        let remedy = self.remedy(path, &reason);
        ApplyError::File { doing, path: path.to_owned(), reason, remedy }
    }

    fn remedy(&self, path: &Path, reason: &io::Error) -> String {
        let directory = path.parent().unwrap_or(path).display();
        match reason.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                format!("free space there (df -h {directory}; df -i {directory})")
            }
            io::ErrorKind::ReadOnlyFilesystem => format!("mount a volume or a tmpfs at {directory}"),
            io::ErrorKind::ResourceBusy => format!(
                "{} is itself a mount point and cannot be replaced: mount it elsewhere, or disable this hook",
                path.display()
            ),
            io::ErrorKind::PermissionDenied => {
                let parent = self.overlay.disk().metadata(path.parent().unwrap_or(path)).ok().flatten();
                let owned = parent.map_or(String::new(), |metadata| {
                    format!(
                        "{directory} belongs to uid {} with mode {:o}, ",
                        metadata.uid(),
                        metadata.mode() & 0o7777
                    )
                });
                format!(
                    "{owned}init runs as uid {}: chown it, or mount a volume that this user owns",
                    self.identity.uid
                )
            }
            io::ErrorKind::AlreadyExists | io::ErrorKind::NotADirectory | io::ErrorKind::IsADirectory => {
                "something else is there: look at it and move it away".to_owned()
            }
            _ => format!("look at it with: ls -la {directory}"),
        }
    }
}

/// A lock that is released, and its file removed, when dropped.
struct HeldLock {
    _held: Flock<File>,
    path: Place,
}

impl Drop for HeldLock {
    fn drop(&mut self) {
        // While it is still held, as its other users do; they check that what they locked is still there.
        let _ = std::fs::remove_file(&self.path);
    }
}

fn same_file(held: &File, path: &Path) -> bool {
    match (held.metadata(), std::fs::metadata(path)) {
        (Ok(held), Ok(there)) => (held.dev(), held.ino()) == (there.dev(), there.ino()),
        _ => false,
    }
}

fn from_machine(what: String, error: MachineError) -> ApplyError {
    match error {
        MachineError::Interrupted(signal) => ApplyError::Interrupted(signal),
        source => ApplyError::Machine { what, source },
    }
}
