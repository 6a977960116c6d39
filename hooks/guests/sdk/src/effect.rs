//! Building effects. Each kind becomes an [`Effect`] with `.into()`.

use std::time::Duration;

use crate::{Command, Directory, Effect, Entry, File, Lock, MoveAside, Owner, Variable, WaitPath, WaitTcp};

impl File {
    /// A file with exactly this text, mode 0644, owned by the service user.
    pub fn text(path: impl Into<String>, text: impl Into<String>) -> Self {
        Self::bytes(path, text.into())
    }

    /// A file with exactly these bytes, mode 0644, owned by the service user.
    pub fn bytes(path: impl Into<String>, content: impl Into<Vec<u8>>) -> Self {
        Self {
            path: path.into(),
            content: content.into(),
            secret: false,
            mode: 0o644,
            owner: Owner::ServiceUser,
            lock: None,
        }
    }

    /// With these permission bits, as `0o600`.
    #[must_use]
    pub fn mode(mut self, mode: u32) -> Self {
        self.mode = mode;
        self
    }

    /// Never shown in a diff or a log.
    #[must_use]
    pub fn secret(self) -> Self {
        self.secret_if(true)
    }

    /// Never shown in a diff or a log, if so.
    #[must_use]
    pub fn secret_if(mut self, secret: bool) -> Self {
        self.secret = secret;
        self
    }

    /// Owned by the user that `init` runs as.
    #[must_use]
    pub fn owned_by_init(mut self) -> Self {
        self.owner = Owner::Init;
        self
    }

    /// Replaced while this lock file is held, as other programs that write the file do. `based_on` is the SHA-256 of
    /// what the content was computed from, none where there was no file.
    #[must_use]
    pub fn locked(mut self, lock_file: impl Into<String>, based_on: Option<String>) -> Self {
        self.lock = Some(Lock { path: lock_file.into(), based_on });
        self
    }
}

impl Directory {
    /// A directory with mode 0755, owned by the service user. What is in it is left alone.
    pub fn new(path: impl Into<String>) -> Self {
        Self { path: path.into(), mode: 0o755, owner: Owner::ServiceUser }
    }

    /// With these permission bits, as `0o700`.
    #[must_use]
    pub fn mode(mut self, mode: u32) -> Self {
        self.mode = mode;
        self
    }

    /// Owned by the user that `init` runs as.
    #[must_use]
    pub fn owned_by_init(mut self) -> Self {
        self.owner = Owner::Init;
        self
    }
}

impl Variable {
    /// Set for later hooks and all services.
    pub fn set(name: impl Into<String>, value: impl Into<String>) -> Self {
        Self { name: name.into(), value: Some(value.into()), secret: false }
    }

    /// Removed for later hooks and all services.
    pub fn unset(name: impl Into<String>) -> Self {
        Self { name: name.into(), value: None, secret: false }
    }

    /// Never shown.
    #[must_use]
    pub fn secret(self) -> Self {
        self.secret_if(true)
    }

    /// Never shown, if so.
    #[must_use]
    pub fn secret_if(mut self, secret: bool) -> Self {
        self.secret = secret;
        self
    }
}

impl MoveAside {
    /// Renames what is at `path` to `to` in the same directory; the reason is shown.
    pub fn new(path: impl Into<String>, to: impl Into<String>, reason: impl Into<String>) -> Self {
        Self { path: path.into(), to: to.into(), reason: reason.into() }
    }
}

impl WaitTcp {
    /// Waits until `host:port` accepts a connection.
    pub fn new(address: impl Into<String>, deadline: Duration) -> Self {
        Self { address: address.into(), deadline: milliseconds(deadline) }
    }
}

impl WaitPath {
    /// Waits until a path exists.
    pub fn new(path: impl Into<String>, deadline: Duration) -> Self {
        Self { path: path.into(), deadline: milliseconds(deadline) }
    }
}

impl Command {
    /// A program and its arguments, run as the service user for a minute at most.
    pub fn new<A: Into<String>>(argv: impl IntoIterator<Item = A>) -> Self {
        Self {
            argv: argv.into_iter().map(Into::into).collect(),
            environment: vec![],
            directory: None,
            as_service_user: true,
            deadline: milliseconds(Duration::from_secs(60)),
            says: String::new(),
        }
    }

    /// With a variable on top of the environment.
    #[must_use]
    pub fn variable(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.environment.push(Entry { name: name.into(), value: value.into() });
        self
    }

    /// In this working directory.
    #[must_use]
    pub fn directory(mut self, path: impl Into<String>) -> Self {
        self.directory = Some(path.into());
        self
    }

    /// As the user that `init` runs as.
    #[must_use]
    pub fn as_init(mut self) -> Self {
        self.as_service_user = false;
        self
    }

    /// For so long at most.
    #[must_use]
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.deadline = milliseconds(deadline);
        self
    }

    /// What a dry run says of its effects.
    #[must_use]
    pub fn says(mut self, says: impl Into<String>) -> Self {
        self.says = says.into();
        self
    }
}

impl Effect {
    /// Nothing is at this path. A directory is removed only when it is empty.
    pub fn remove(path: impl Into<String>) -> Self {
        Self::Remove(path.into())
    }

    /// Something to look at, although nothing stops.
    pub fn notice(sentence: impl Into<String>) -> Self {
        Self::Notice(sentence.into())
    }
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

macro_rules! effects {
    ($($kind:ident),*) => {
        $(impl From<$kind> for Effect {
            fn from(effect: $kind) -> Self {
                Self::$kind(effect)
            }
        })*
    };
}

effects!(Directory, File, MoveAside, Variable, WaitTcp, WaitPath, Command);
