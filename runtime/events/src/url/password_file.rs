//! The password file of libpq (`~/.pgpass`): lines of `host:port:database:user:password`, where `*` is anything and a
//! backslash takes the next character as it is. As there, a file that others may read is not used.

use std::io::Read as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use biomero_config::Secret;

use super::{Place, SOCKET_DIRECTORIES, Server};

/// More of it is not read.
const LONGEST: u64 = 1 << 20;

/// One line.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Entry {
    host: Pattern,
    port: Pattern,
    database: Pattern,
    user: Pattern,
    password: Secret<String>,
}

/// `None` is `*`.
#[derive(Clone, PartialEq, Eq)]
struct Pattern(Option<String>);

impl Pattern {
    fn matches(&self, text: &str) -> bool {
        self.0.as_ref().is_none_or(|wanted| wanted == text)
    }
}

/// The lines of the file at `path`; none if it cannot be used, and a warning where somebody should know.
pub(super) fn read(path: &Path, named: bool) -> Vec<Entry> {
    let metadata = match std::fs::metadata(path) {
        Ok(metadata) => metadata,
        Err(_) if !named => return Vec::new(),
        Err(error) => {
            tracing::warn!("the password file {} is not used: {error}", path.display());
            return Vec::new();
        }
    };
    if !metadata.is_file() {
        tracing::warn!("the password file {} is not used: it is not a regular file", path.display());
        return Vec::new();
    }
    let mode = metadata.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        tracing::warn!(
            "the password file {} is not used: others may read it (mode {mode:04o}); chmod 0600 it",
            path.display()
        );
        return Vec::new();
    }
    let mut bytes = Vec::new();
    match std::fs::File::open(path).and_then(|file| file.take(LONGEST).read_to_end(&mut bytes)) {
        Ok(_) => parse(&String::from_utf8_lossy(&bytes)),
        Err(error) => {
            tracing::warn!("the password file {} is not used: {error}", path.display());
            Vec::new()
        }
    }
}

/// A line that has fewer than five fields is passed over.
pub(super) fn parse(text: &str) -> Vec<Entry> {
    text.lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| {
            let mut fields = Fields(line.trim_end_matches('\r'));
            let [host, port, database, user] =
                [fields.next()?, fields.next()?, fields.next()?, fields.next()?];
            let (_, password) = fields.next()?;
            let pattern = |(raw, text): (&str, String)| Pattern((raw != "*").then_some(text));
            Some(Entry {
                host: pattern(host),
                port: pattern(port),
                database: pattern(database),
                user: pattern(user),
                password: Secret::new(password),
            })
        })
        .collect()
}

/// The fields of a line: as it is written, and without the backslashes.
struct Fields<'a>(&'a str);

impl<'a> Iterator for Fields<'a> {
    type Item = (&'a str, String);

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let mut text = String::new();
        let mut letters = self.0.char_indices();
        while let Some((at, letter)) = letters.next() {
            match letter {
                ':' => {
                    let (raw, behind) = self.0.split_at(at);
                    self.0 = behind.strip_prefix(':').unwrap_or(behind);
                    return Some((raw, text));
                }
                '\\' => text.push(letters.next().map_or('\\', |(_, next)| next)),
                letter => text.push(letter),
            }
        }
        Some((std::mem::take(&mut self.0), text))
    }
}

/// The password of the first line that fits. A server on this machine's usual socket is `localhost` there.
pub(super) fn find<'a>(
    entries: &'a [Entry],
    server: &Server,
    database: &str,
    user: &str,
) -> Option<&'a Secret<String>> {
    let host = match &server.place {
        Place::Tcp(host) => host.as_str(),
        Place::Unix(directory) if SOCKET_DIRECTORIES.iter().any(|usual| Path::new(usual) == directory) => {
            "localhost"
        }
        Place::Unix(directory) => directory.to_str()?,
    };
    let port = server.port.to_string();
    entries
        .iter()
        .find(|entry| {
            entry.host.matches(host)
                && entry.port.matches(&port)
                && entry.database.matches(database)
                && entry.user.matches(user)
        })
        .map(|entry| &entry.password)
        .filter(|password| !password.reveal().is_empty())
}
