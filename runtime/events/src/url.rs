//! The URL of the database, as deployments write it today: for SQLAlchemy 2.0 and, beneath it, libpq.
//!
//! The same text is read by Python workers beside us, so it means here what it means there, down to what is
//! %-decoded (user and password) and what is not (the database's name). Invariants: the value holds the password and
//! shows it to nobody; an error shows no piece of the text that could belong to a password; whatever the text, the
//! answer is a value or an error. What the environment adds comes in by [`DatabaseUrl::with_environment`] alone.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use biomero_config::{MASK, Secret};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

mod environment;
mod error;
mod options;
mod parse;
mod password_file;

pub use error::UrlError;

/// Longer texts are refused: the longest sensible one names a few hosts and three files.
pub const MAX_LENGTH: usize = 8192;

/// The port of a server that says none.
pub const DEFAULT_PORT: u16 = 5432;

/// Where servers put their socket: Debian's and Red Hat's folder, then PostgreSQL's own.
const SOCKET_DIRECTORIES: [&str; 2] = ["/var/run/postgresql", "/tmp"];

/// Which database keeps the history.
#[derive(Clone, PartialEq, Eq)]
pub enum DatabaseUrl {
    /// A PostgreSQL server.
    Postgres(Box<PostgresUrl>),
    /// A file of the embedded store.
    Sqlite(PathBuf),
}

/// How to reach a PostgreSQL database, and what was said about the connection.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct PostgresUrl {
    pub(crate) user: Option<String>,
    password: Option<Secret<String>>,
    pub(crate) database: Option<String>,
    places: Vec<Place>,
    ports: Vec<Option<u16>>,
    pub(crate) ssl_mode: Option<SslMode>,
    pub(crate) root_certificates: Option<RootCertificates>,
    pub(crate) client_certificate: Option<PathBuf>,
    pub(crate) client_key: Option<PathBuf>,
    pub(crate) channel_binding: Option<ChannelBinding>,
    pub(crate) connect_timeout: Option<Duration>,
    pub(crate) application_name: Option<String>,
    pub(crate) options: Option<String>,
    pub(crate) session: Option<SessionAttributes>,
    pub(crate) keepalives: Option<bool>,
    pub(crate) keepalives_idle: Option<Duration>,
    pub(crate) keepalives_interval: Option<Duration>,
    pub(crate) keepalives_count: Option<u32>,
    pub(crate) tcp_user_timeout: Option<Duration>,
    pub(crate) time_zone: Option<String>,
    /// The user's `~/.postgresql`, where libpq looks for certificates that nobody named.
    pub(crate) certificates: Option<PathBuf>,
    password_file: Option<PathBuf>,
    passwords: Vec<password_file::Entry>,
    given: Vec<&'static str>,
}

/// One server to try.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Server {
    /// Where it is.
    pub place: Place,
    /// Its TCP port; also the end of its socket's name.
    pub port: u16,
}

/// Where a server is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// A host name or address.
    Tcp(String),
    /// The folder of its Unix socket.
    Unix(PathBuf),
}

/// libpq's `sslmode`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum SslMode {
    /// Never encrypted.
    Disable,
    /// Encrypted where the server insists.
    Allow,
    /// Encrypted where the server can.
    #[default]
    Prefer,
    /// Always encrypted.
    Require,
    /// And the server's certificate is from an authority that is trusted.
    VerifyCa,
    /// And it is the certificate of the host that was named.
    VerifyFull,
}

/// Which authorities are trusted: libpq's `sslrootcert`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RootCertificates {
    /// Those of the machine.
    System,
    /// Those in a PEM file.
    File(PathBuf),
}

/// Whether the password's proof is tied to the encrypted channel: libpq's `channel_binding`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChannelBinding {
    /// Never.
    Disable,
    /// Where the server can.
    Prefer,
    /// Always.
    Require,
}

/// What the session must be good for: libpq's `target_session_attrs`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SessionAttributes {
    /// Anything.
    Any,
    /// Transactions write by default.
    ReadWrite,
    /// Transactions only read by default.
    ReadOnly,
    /// The server is not in recovery.
    Primary,
    /// The server is in recovery.
    Standby,
}

impl PostgresUrl {
    /// The servers to try, in this order.
    pub fn servers(&self) -> Vec<Server> {
        let usual: Vec<Place>;
        let places = if self.places.is_empty() {
            usual = SOCKET_DIRECTORIES.iter().map(|directory| Place::Unix(directory.into())).collect();
            &usual
        } else {
            &self.places
        };
        let only = if self.ports.len() == 1 { self.ports.first().copied().flatten() } else { None };
        places
            .iter()
            .enumerate()
            .map(|(at, place)| Server {
                place: place.clone(),
                port: only.or_else(|| self.ports.get(at).copied().flatten()).unwrap_or(DEFAULT_PORT),
            })
            .collect()
    }

    /// The user's name, when one was given.
    pub fn user(&self) -> Option<&str> {
        self.user.as_deref()
    }

    /// The database's name: the user's where none was given.
    pub fn database(&self) -> Option<&str> {
        self.database.as_deref().or(self.user.as_deref())
    }

    /// The password at `server`: the one given, else the password file's.
    pub fn password(&self, server: &Server) -> Option<&Secret<String>> {
        match &self.password {
            Some(password) => Some(password),
            None => password_file::find(&self.passwords, server, self.database()?, self.user()?),
        }
    }

    /// libpq's default depends on the authorities: with those of the machine, which anybody may be certified by, the
    /// name counts too.
    pub(crate) fn ssl_mode(&self) -> SslMode {
        self.ssl_mode.unwrap_or(match self.root_certificates {
            Some(RootCertificates::System) => SslMode::VerifyFull,
            _ => SslMode::default(),
        })
    }
}

impl fmt::Display for Server {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.place {
            Place::Tcp(host) if host.contains(':') => write!(formatter, "[{host}]:{}", self.port),
            Place::Tcp(host) => write!(formatter, "{host}:{}", self.port),
            Place::Unix(directory) => {
                write!(formatter, "{}", directory.join(format!(".s.PGSQL.{}", self.port)).display())
            }
        }
    }
}

/// What a user's and a database's name are shown with as they are.
const PLAIN: &AsciiSet = &NON_ALPHANUMERIC.remove(b'_').remove(b'-').remove(b'.');

impl fmt::Display for PostgresUrl {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("postgresql://")?;
        if let Some(user) = &self.user {
            write!(formatter, "{}", utf8_percent_encode(user, PLAIN))?;
        }
        if self.password.is_some() {
            write!(formatter, ":{MASK}")?;
        }
        if self.user.is_some() || self.password.is_some() {
            formatter.write_str("@")?;
        }
        let servers = self.servers();
        let hosts = servers.iter().filter(|server| matches!(server.place, Place::Tcp(_)));
        for (at, server) in hosts.enumerate() {
            write!(formatter, "{}{server}", if at > 0 { "," } else { "" })?;
        }
        if let Some(database) = self.database() {
            write!(formatter, "/{}", utf8_percent_encode(database, PLAIN))?;
        }
        let mut separator = '?';
        for server in self.places.iter().zip(&servers) {
            if let (Place::Unix(directory), Server { port, .. }) = server {
                write!(formatter, "{separator}host={}&port={port}", directory.display())?;
                separator = '&';
            }
        }
        if let Some((name, _)) = options::SSL_MODES.iter().find(|(_, mode)| Some(*mode) == self.ssl_mode) {
            write!(formatter, "{separator}sslmode={name}")?;
        }
        Ok(())
    }
}

impl fmt::Display for DatabaseUrl {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Postgres(url) => url.fmt(formatter),
            Self::Sqlite(path) => write!(formatter, "sqlite:///{}", path.display()),
        }
    }
}

// Derived, they would show where the password's letters end.
impl fmt::Debug for PostgresUrl {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

impl fmt::Debug for DatabaseUrl {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

#[cfg(test)]
mod tests;
