//! What can be wrong with a database URL. No message holds a piece that could be a password's: not the text, not what
//! stands where a port should (`user:password` without a host reads as host and port).

use thiserror::Error;

use super::MAX_LENGTH;

/// Why a text is no database URL, and what to write instead.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum UrlError {
    /// It exceeds [`MAX_LENGTH`].
    #[error("the database URL has {length} bytes; at most {MAX_LENGTH} are read")]
    TooLong {
        /// Its length.
        length: usize,
    },
    /// It holds what no URL does.
    #[error(
        "the database URL has a line break, a control character or a space at its end (byte {at}): remove it, or write it %-encoded"
    )]
    Control {
        /// Where.
        at: usize,
    },
    /// It has no scheme.
    #[error(
        "the database URL does not begin with a scheme: write postgresql://USER:PASSWORD@HOST:5432/DATABASE or sqlite:////absolute/path"
    )]
    NoScheme,
    /// Its scheme names a database that cannot keep the history.
    #[error(
        "the database URL is for {dialect:?}: the history is kept in PostgreSQL (postgresql://USER:PASSWORD@HOST:5432/DATABASE) or SQLite (sqlite:////absolute/path)"
    )]
    Dialect {
        /// What stands before the `://`, without the driver.
        dialect: String,
    },
    /// A second `@`.
    #[error(
        "the database URL has an \"@\" after the one that ends the password: write each other \"@\" as %40 (a database with one is named by ?dbname=)"
    )]
    SecondAt,
    /// A part that is not UTF-8 once it is decoded.
    #[error("the {part} in the database URL is not UTF-8 once it is %-decoded: encode its letters as UTF-8")]
    NotUtf8 {
        /// Which one.
        part: &'static str,
    },
    /// PostgreSQL's protocol ends every text at a NUL.
    #[error("{place} holds a NUL character, which PostgreSQL cannot be told")]
    Nul {
        /// Where.
        place: String,
    },
    /// A host that is none.
    #[error(
        "the host in the database URL is empty or has an unmatched bracket: write HOST, [IPv6 address], or ?host=/folder/of/the/socket"
    )]
    Host,
    /// A port that is none.
    #[error(
        "{place} is not a number from 1 to 65535 (what stands there is not shown: without a host it would be the password); several hosts are written ?host=ONE:5432&host=OTHER:5432"
    )]
    Port {
        /// Where.
        place: String,
    },
    /// Not as many ports as hosts.
    #[error("the database URL names {hosts} hosts and {ports} ports: give one port for all, or one for each")]
    Ports {
        /// How many hosts.
        hosts: usize,
        /// How many ports.
        ports: usize,
    },
    /// An option that does not exist.
    #[error("the database URL has the unknown option {name:?}{hint}; known are {known}")]
    UnknownOption {
        /// As it was written.
        name: String,
        /// `; did you mean …?`, or nothing.
        hint: String,
        /// All there are.
        known: String,
    },
    /// An option that is there twice.
    #[error("the database URL has the option {name} twice: keep one")]
    Twice {
        /// Which.
        name: String,
    },
    /// A value that an option cannot have.
    #[error("{place} is {value:?}: expected {expected}")]
    Value {
        /// The option or the variable.
        place: String,
        /// What was found, its beginning.
        value: String,
        /// What could be there.
        expected: String,
    },
    /// The machine's authorities certify anybody, so that without the name they prove nothing.
    #[error(
        "sslrootcert=system needs sslmode=verify-full: write it so, or name a file of your own authority"
    )]
    WeakSystem,
    /// The embedded store needs a file.
    #[error(
        "the database URL keeps the history in memory, where it would be lost: write sqlite:////absolute/path or sqlite:///relative/path"
    )]
    InMemory,
    /// `sqlite://host/path`.
    #[error("a SQLite URL has no host: write sqlite:////absolute/path or sqlite:///relative/path")]
    SqliteHost,
    /// `sqlite:///path?option`.
    #[error("a SQLite URL has no options here: remove what follows the \"?\"")]
    SqliteOptions,
}
