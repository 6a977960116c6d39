//! Why there is no connection: one message for each cause, with the server, the database and the user, and with what
//! to do. No password is in them.

use std::error::Error as _;
use std::fmt;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use rustls::CertificateError;
use thiserror::Error;
use tokio_postgres::error::{DbError, SqlState};

use crate::error::Class;
use crate::postgres::error::{Kind, reason};
use crate::url::SessionAttributes;

/// What a connection was to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// Host and port, or the path of the socket.
    pub server: String,
    /// The name of the database.
    pub database: String,
    /// The name of the user.
    pub user: String,
}

impl fmt::Display for Endpoint {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} (database {:?}, user {:?})", self.server, self.database, self.user)
    }
}

/// Why there is no connection.
#[derive(Debug, Error)]
pub enum ConnectError {
    /// Nobody said which user to be, and the process has no name.
    #[error(
        "no user for the database: the URL names none, and the user that this process runs as has no name; write postgresql://USER@HOST/DATABASE"
    )]
    NoUser,
    /// A file for encryption cannot be used.
    #[error("cannot use the {what} {} for the connection to the database: {reason}", path.display())]
    File {
        /// What it is.
        what: &'static str,
        /// Where.
        path: PathBuf,
        /// Why not, and what to do.
        reason: String,
    },
    /// No authority to verify with.
    #[error(
        "sslmode={mode} verifies the server's certificate, but no authority's certificate is there: name its file by sslrootcert= (or sslrootcert=system), or put it at ~/.postgresql/root.crt"
    )]
    NoRoots {
        /// The mode.
        mode: &'static str,
    },
    /// The certificates of the machine cannot be read.
    #[error(
        "sslrootcert=system: cannot read the authorities that this machine trusts: {reason}; install ca-certificates"
    )]
    SystemRoots {
        /// Why not.
        reason: String,
    },
    /// The name leads nowhere.
    #[error(
        "cannot resolve the host of {at}: {reason}; is the name right, and does the container share a network with the database?"
    )]
    Unresolvable {
        /// Where.
        at: Box<Endpoint>,
        /// What the resolver said.
        reason: String,
    },
    /// Nobody listens.
    #[error(
        "{at} refuses connections: is PostgreSQL running there, on this port, and does listen_addresses in postgresql.conf include it?"
    )]
    Refused {
        /// Where.
        at: Box<Endpoint>,
    },
    /// No such socket.
    #[error(
        "there is no socket {at}: is PostgreSQL running on this machine? Another folder is named by ?host=/folder, another machine by its name"
    )]
    NoSocket {
        /// Where.
        at: Box<Endpoint>,
    },
    /// The network, or the rights of the socket's file.
    #[error("cannot reach {at}: {reason}")]
    Unreachable {
        /// Where.
        at: Box<Endpoint>,
        /// What the system said.
        reason: String,
    },
    /// No answer.
    #[error("{at} has not answered within {} s: is it PostgreSQL, is a firewall between, is the server overloaded? connect_timeout= in the URL allows longer", limit.as_secs_f32())]
    Deadline {
        /// Where.
        at: Box<Endpoint>,
        /// What was allowed.
        limit: Duration,
    },
    /// It hung up.
    #[error("{at} has closed the connection while it was made: {reason}; its log may say why")]
    Closed {
        /// Where.
        at: Box<Endpoint>,
        /// How.
        reason: String,
    },
    /// It starts, stops or recovers.
    #[error("{at} takes no connections now: {message}; it does again once it has started")]
    NotReady {
        /// Where.
        at: Box<Endpoint>,
        /// What it said.
        message: String,
    },
    /// All its connections are taken.
    #[error(
        "{at} has no connection left: {message}; end idle sessions (SELECT * FROM pg_stat_activity) or raise max_connections"
    )]
    TooMany {
        /// Where.
        at: Box<Endpoint>,
        /// What it said.
        message: String,
    },
    /// It asked for a password and there is none.
    #[error(
        "{at} asks for a password and none was given: write it in the URL (%-encoded), in PGPASSWORD or in ~/.pgpass (mode 0600)"
    )]
    NoPassword {
        /// Where.
        at: Box<Endpoint>,
    },
    /// The password is wrong, or the role does not exist: PostgreSQL does not say which.
    #[error(
        "{at} does not accept the password: it is wrong, or the user does not exist there; \"@\", \":\", \"/\" and \"%\" in a URL's password are written %40, %3A, %2F and %25"
    )]
    WrongPassword {
        /// Where.
        at: Box<Endpoint>,
    },
    /// No such role.
    #[error(
        "{at} does not know the user: {message}; create it (CREATE ROLE … LOGIN), or correct the user in the URL"
    )]
    UnknownUser {
        /// Where.
        at: Box<Endpoint>,
        /// What it said.
        message: String,
    },
    /// `pg_hba.conf` says no.
    #[error(
        "{at} does not let the user in: {message}; pg_hba.conf there decides, by address, database, user and encryption (sslmode=require where it asks for it)"
    )]
    NotAllowed {
        /// Where.
        at: Box<Endpoint>,
        /// What it said.
        message: String,
    },
    /// No such database.
    #[error(
        "{at} has no such database: {message}; create it (CREATE DATABASE … OWNER …), or correct the name in the URL"
    )]
    UnknownDatabase {
        /// Where.
        at: Box<Endpoint>,
        /// What it said.
        message: String,
    },
    /// No right to connect to the database.
    #[error("{at} does not let the user connect: {message}; GRANT CONNECT ON DATABASE … TO …")]
    Permission {
        /// Where.
        at: Box<Endpoint>,
        /// What it said.
        message: String,
    },
    /// A way to prove who one is that is not spoken here.
    #[error(
        "{at} asks for authentication in a way that is not spoken here ({reason}): use scram-sha-256, md5, password, cert, peer or trust in pg_hba.conf"
    )]
    Authentication {
        /// Where.
        at: Box<Endpoint>,
        /// Which.
        reason: String,
    },
    /// It cannot encrypt.
    #[error(
        "{at} does not encrypt, which sslmode demands: switch on ssl in postgresql.conf, or write sslmode=prefer if the network is trusted"
    )]
    TlsRefused {
        /// Where.
        at: Box<Endpoint>,
    },
    /// Its certificate is not trusted.
    #[error(
        "the certificate of {at} is not trusted: {reason}; sslrootcert= names the file of the authority that has signed it"
    )]
    Untrusted {
        /// Where.
        at: Box<Endpoint>,
        /// Why.
        reason: String,
    },
    /// Its certificate is another host's.
    #[error("the certificate of {at} is for {}: write that name as the host, or sslmode=verify-ca if any server of the authority will do", if presented.is_empty() { "no name at all".to_owned() } else { presented.join(", ") })]
    WrongName {
        /// Where.
        at: Box<Endpoint>,
        /// Whose it is.
        presented: Vec<String>,
    },
    /// Encryption fails otherwise.
    #[error("cannot encrypt the connection to {at}: {reason}")]
    Tls {
        /// Where.
        at: Box<Endpoint>,
        /// How.
        reason: String,
    },
    /// It is not what `target_session_attrs` wants.
    #[error("{at} is not what target_session_attrs={} in the URL asks for: name the server that is, or all of them by ?host=ONE,OTHER", attribute(*wanted))]
    Session {
        /// Where.
        at: Box<Endpoint>,
        /// What it was to be.
        wanted: SessionAttributes,
    },
    /// Anything else it said.
    #[error("cannot connect to {at}: {reason}")]
    Other {
        /// Where.
        at: Box<Endpoint>,
        /// What was said.
        reason: String,
    },
    /// None of several servers.
    #[error("no server of the URL can be used: {}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Several(Vec<ConnectError>),
    /// All connections of the pool are taken.
    #[error("no connection to the database became free within {} s: more of them, or fewer commands at once", limit.as_secs_f32())]
    Busy {
        /// What was allowed.
        limit: Duration,
    },
    /// The pool itself.
    #[error("cannot hold connections to the database: {reason}")]
    Pool {
        /// Why not.
        reason: String,
    },
}

fn attribute(wanted: SessionAttributes) -> &'static str {
    match wanted {
        SessionAttributes::Any => "any",
        SessionAttributes::ReadWrite => "read-write",
        SessionAttributes::ReadOnly => "read-only",
        SessionAttributes::Primary => "primary",
        SessionAttributes::Standby => "standby",
    }
}

impl ConnectError {
    /// What it means that a connection was not made for this `error`.
    pub(super) fn new(at: Box<Endpoint>, error: tokio_postgres::Error) -> Self {
        if let Some(said) = error.as_db_error() {
            return Self::said(at, said);
        }
        let reason = reason(&error);
        let Some(source) = error.source() else {
            return if error.is_closed() { Self::Closed { at, reason } } else { Self::Other { at, reason } };
        };
        if let Some(error) = source.downcast_ref::<io::Error>() {
            return match error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
                Some(error) => Self::tls(at, error),
                None => Self::io(at, error),
            };
        }
        // These have no type of their own; a test with a server holds each text.
        match source.to_string().as_str() {
            "server does not support TLS" => Self::TlsRefused { at },
            "password missing" => Self::NoPassword { at },
            text if text.contains("authentication method")
                || text.contains("SASL mechanism")
                || text.contains("channel binding") =>
            {
                Self::Authentication { at, reason: text.to_owned() }
            }
            _ => Self::Other { at, reason },
        }
    }

    fn said(at: Box<Endpoint>, said: &DbError) -> Self {
        let message = said.message().to_owned();
        match *said.code() {
            SqlState::INVALID_PASSWORD => Self::WrongPassword { at },
            // The text is in the server's language; the name of its function is not.
            SqlState::INVALID_AUTHORIZATION_SPECIFICATION => match said.routine() {
                Some("InitializeSessionUserId") => Self::UnknownUser { at, message },
                _ => Self::NotAllowed { at, message },
            },
            SqlState::INVALID_CATALOG_NAME => Self::UnknownDatabase { at, message },
            SqlState::INSUFFICIENT_PRIVILEGE => Self::Permission { at, message },
            SqlState::TOO_MANY_CONNECTIONS => Self::TooMany { at, message },
            SqlState::CANNOT_CONNECT_NOW | SqlState::ADMIN_SHUTDOWN | SqlState::CRASH_SHUTDOWN => {
                Self::NotReady { at, message }
            }
            _ => Self::Other { at, reason: format!("{message} (SQLSTATE {})", said.code().code()) },
        }
    }

    fn io(at: Box<Endpoint>, error: &io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::ConnectionRefused => Self::Refused { at },
            io::ErrorKind::NotFound => Self::NoSocket { at },
            io::ErrorKind::UnexpectedEof
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionAborted
            | io::ErrorKind::BrokenPipe => Self::Closed { at, reason: error.to_string() },
            _ => Self::Unreachable { at, reason: error.to_string() },
        }
    }

    fn tls(at: Box<Endpoint>, error: &rustls::Error) -> Self {
        match error {
            rustls::Error::InvalidCertificate(CertificateError::NotValidForNameContext {
                presented, ..
            }) => Self::WrongName { at, presented: presented.clone() },
            rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer) => {
                Self::Untrusted { at, reason: "none of the authorities has signed it".to_owned() }
            }
            rustls::Error::InvalidCertificate(CertificateError::Other(other)) => {
                Self::Untrusted { at, reason: other.to_string() }
            }
            rustls::Error::InvalidCertificate(error) => Self::Untrusted { at, reason: error.to_string() },
            error => Self::Tls { at, reason: error.to_string() },
        }
    }

    /// Whether the next server of the list is to be asked. One that has answered with a refusal stands for all.
    pub(super) const fn another_server_may_do(&self) -> bool {
        matches!(
            self,
            Self::Unresolvable { .. }
                | Self::Refused { .. }
                | Self::NoSocket { .. }
                | Self::Unreachable { .. }
                | Self::Deadline { .. }
                | Self::Closed { .. }
                | Self::NotReady { .. }
                | Self::Session { .. }
        )
    }

    /// Whether it could be otherwise with encryption, or without.
    pub(super) const fn depends_on_encryption(&self) -> bool {
        matches!(
            self,
            Self::NotAllowed { .. }
                | Self::UnknownUser { .. }
                | Self::TlsRefused { .. }
                | Self::Untrusted { .. }
                | Self::WrongName { .. }
                | Self::Tls { .. }
        )
    }

    /// What it is about.
    pub(crate) const fn class(&self) -> Class {
        match self {
            Self::NoPassword { .. }
            | Self::WrongPassword { .. }
            | Self::UnknownUser { .. }
            | Self::NotAllowed { .. }
            | Self::Permission { .. }
            | Self::Authentication { .. } => Class::Permission,
            Self::NoUser
            | Self::File { .. }
            | Self::NoRoots { .. }
            | Self::SystemRoots { .. }
            | Self::TlsRefused { .. }
            | Self::Untrusted { .. }
            | Self::WrongName { .. }
            | Self::Tls { .. }
            | Self::Session { .. } => Class::Unsuitable,
            Self::UnknownDatabase { .. } => Class::Absent,
            Self::Unresolvable { .. }
            | Self::Refused { .. }
            | Self::NoSocket { .. }
            | Self::Unreachable { .. }
            | Self::Deadline { .. }
            | Self::Closed { .. }
            | Self::NotReady { .. }
            | Self::TooMany { .. }
            | Self::Several(_)
            | Self::Busy { .. }
            | Self::Pool { .. }
            | Self::Other { .. } => Class::Unavailable,
        }
    }

    /// What is to be done about it.
    pub(crate) fn kind(&self) -> Kind {
        match self {
            Self::Several(errors) if errors.iter().any(|error| error.kind() == Kind::Retry) => Kind::Retry,
            Self::Session { .. } | Self::TooMany { .. } => Kind::Retry,
            Self::Busy { .. } => Kind::Deadline,
            Self::NotAllowed { .. } | Self::Permission { .. } => Kind::Permission,
            error if error.another_server_may_do() => Kind::Retry,
            _ => Kind::Other,
        }
    }
}
