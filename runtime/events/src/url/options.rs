//! The options of libpq that are understood, each by the name it has in a URL and in the environment.

use std::path::PathBuf;
use std::time::Duration;

use biomero_config::{Secret, nearest};

use super::{ChannelBinding, Place, PostgresUrl, RootCertificates, SessionAttributes, SslMode, UrlError};

/// Names in a URL, and the variables that libpq reads where the URL says nothing.
pub(super) const OPTIONS: [(&str, Option<&str>); 22] = [
    ("host", Some("PGHOST")),
    ("port", Some("PGPORT")),
    ("user", Some("PGUSER")),
    ("password", Some("PGPASSWORD")),
    ("dbname", Some("PGDATABASE")),
    ("passfile", Some("PGPASSFILE")),
    ("sslmode", Some("PGSSLMODE")),
    ("sslrootcert", Some("PGSSLROOTCERT")),
    ("sslcert", Some("PGSSLCERT")),
    ("sslkey", Some("PGSSLKEY")),
    ("channel_binding", Some("PGCHANNELBINDING")),
    ("gssencmode", Some("PGGSSENCMODE")),
    ("connect_timeout", Some("PGCONNECT_TIMEOUT")),
    ("application_name", Some("PGAPPNAME")),
    ("client_encoding", Some("PGCLIENTENCODING")),
    ("options", Some("PGOPTIONS")),
    ("target_session_attrs", Some("PGTARGETSESSIONATTRS")),
    ("keepalives", None),
    ("keepalives_idle", None),
    ("keepalives_interval", None),
    ("keepalives_count", None),
    ("tcp_user_timeout", None),
];

pub(super) const SSL_MODES: [(&str, SslMode); 6] = [
    ("disable", SslMode::Disable),
    ("allow", SslMode::Allow),
    ("prefer", SslMode::Prefer),
    ("require", SslMode::Require),
    ("verify-ca", SslMode::VerifyCa),
    ("verify-full", SslMode::VerifyFull),
];

const SESSIONS: [(&str, SessionAttributes); 5] = [
    ("any", SessionAttributes::Any),
    ("read-write", SessionAttributes::ReadWrite),
    ("read-only", SessionAttributes::ReadOnly),
    ("primary", SessionAttributes::Primary),
    ("standby", SessionAttributes::Standby),
];

const CHANNEL_BINDINGS: [(&str, ChannelBinding); 3] = [
    ("disable", ChannelBinding::Disable),
    ("prefer", ChannelBinding::Prefer),
    ("require", ChannelBinding::Require),
];

/// The protocol's text is UTF-8 always, so that other encodings are refused instead of ignored.
const ENCODINGS: [(&str, ()); 4] = [("utf8", ()), ("utf-8", ()), ("unicode", ()), ("auto", ())];

/// Kerberos is not spoken: what insists on it is refused.
const GSS_MODES: [(&str, ()); 2] = [("disable", ()), ("prefer", ())];

/// The option's name as [`OPTIONS`] holds it.
///
/// # Errors
/// There is none of this name. It is shown unless the URL has a password among its options, whose unencoded `&` would
/// make a name of its end.
pub(super) fn known(name: &str, shown: bool) -> Result<&'static str, UrlError> {
    let mut names = OPTIONS.iter().map(|(known, _)| *known);
    if let Some(found) = names.clone().find(|known| *known == name) {
        return Ok(found);
    }
    let hint = if name == "ssl" { Some("sslmode") } else { nearest(name, names.clone()) };
    let hint = hint.filter(|_| shown).map_or_else(String::new, |near| format!("; did you mean {near}?"));
    let known = names.by_ref().collect::<Vec<_>>().join(", ");
    let name = if shown { beginning(name) } else { biomero_config::MASK.to_owned() };
    Err(UrlError::UnknownOption { name, hint, known })
}

impl PostgresUrl {
    /// Whether the option was given already.
    pub(super) fn has(&self, name: &str) -> bool {
        self.given.contains(&name)
    }

    /// Takes the value of an option; `place` says in an error where it stands.
    pub(super) fn set(&mut self, name: &'static str, value: &str, place: &str) -> Result<(), UrlError> {
        if value.contains('\0') {
            return Err(UrlError::Nul { place: place.to_owned() });
        }
        let text = || Some(value.to_owned());
        let path = || Some(PathBuf::from(value));
        match name {
            "host" => self.set_hosts(value, place)?,
            "port" => self.ports = ports(value, place)?,
            "user" => self.user = text(),
            "password" => self.password = text().map(Secret::new),
            "dbname" => self.database = text(),
            "passfile" => self.password_file = path(),
            "sslmode" => self.ssl_mode = Some(one_of(&SSL_MODES, value, place)?),
            "sslrootcert" if value == "system" => self.root_certificates = Some(RootCertificates::System),
            "sslrootcert" => self.root_certificates = path().map(RootCertificates::File),
            "sslcert" => self.client_certificate = path(),
            "sslkey" => self.client_key = path(),
            "channel_binding" => self.channel_binding = Some(one_of(&CHANNEL_BINDINGS, value, place)?),
            "gssencmode" => one_of(&GSS_MODES, value, place)?,
            // libpq waits for ever at 0 and for at least 2 seconds otherwise; here no wait is without an end.
            "connect_timeout" => {
                let seconds = whole(value, place, "a number of seconds")?;
                self.connect_timeout = (seconds > 0).then(|| Duration::from_secs(seconds.max(2).into()));
            }
            "application_name" => self.application_name = text(),
            "client_encoding" => one_of(&ENCODINGS, &value.to_ascii_lowercase(), place)?,
            "options" => self.options = text(),
            "target_session_attrs" => self.session = Some(one_of(&SESSIONS, value, place)?),
            "keepalives" => self.keepalives = Some(whole(value, place, "0 or 1")? != 0),
            "keepalives_idle" => self.keepalives_idle = seconds(value, place)?,
            "keepalives_interval" => self.keepalives_interval = seconds(value, place)?,
            "keepalives_count" => {
                self.keepalives_count = Some(whole(value, place, "a number")?).filter(|count| *count > 0);
            }
            "tcp_user_timeout" => {
                let milliseconds = whole(value, place, "a number of milliseconds")?;
                self.tcp_user_timeout =
                    Some(Duration::from_millis(milliseconds.into())).filter(|timeout| !timeout.is_zero());
            }
            // Every name of the table has its arm, which a test holds.
            _ => return known(name, true).map(drop),
        }
        self.given.push(name);
        Ok(())
    }

    /// `a`, `a,b`, `a:1`, `a:1,b:2` or `/folder`: the ports, where there is one, come with the hosts.
    fn set_hosts(&mut self, value: &str, place: &str) -> Result<(), UrlError> {
        let mut places = Vec::new();
        let mut with_ports = Vec::new();
        for token in value.split(',') {
            let (host, port) = match token.split_once(':') {
                Some((host, port)) if !port.contains(':') && !host.contains('/') => (host, Some(port)),
                _ => (token, None),
            };
            let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
            if host.is_empty() || host.contains(['[', ']', '@']) {
                return Err(UrlError::Host);
            }
            places.push(if host.starts_with('/') {
                Place::Unix(host.into())
            } else {
                Place::Tcp(host.to_owned())
            });
            with_ports.push(port);
        }
        self.places = places;
        if with_ports.iter().any(Option::is_some) {
            if self.has("port") {
                return Err(UrlError::Twice { name: "port".to_owned() });
            }
            let listed: Vec<&str> = with_ports.into_iter().map(Option::unwrap_or_default).collect();
            self.ports = ports(&listed.join(","), place)?;
            self.given.push("port");
        }
        Ok(())
    }

    /// What only all options together can tell.
    pub(super) fn check(&self) -> Result<(), UrlError> {
        let (hosts, ports) = (self.places.len().max(1), self.ports.len());
        if ports > 1 && ports != hosts {
            return Err(UrlError::Ports { hosts, ports });
        }
        if self.root_certificates == Some(RootCertificates::System) && self.ssl_mode() != SslMode::VerifyFull
        {
            return Err(UrlError::WeakSystem);
        }
        Ok(())
    }
}

/// `5432`, `5432,5433`, `5432,,5433`: an empty one is the default.
fn ports(value: &str, place: &str) -> Result<Vec<Option<u16>>, UrlError> {
    value
        .split(',')
        .map(|port| match port.parse::<u16>() {
            _ if port.is_empty() => Ok(None),
            Ok(number) if number > 0 && !port.starts_with('+') => Ok(Some(number)),
            _ => Err(UrlError::Port { place: place.to_owned() }),
        })
        .collect()
}

fn one_of<T: Copy>(values: &[(&str, T)], value: &str, place: &str) -> Result<T, UrlError> {
    if let Some((_, found)) = values.iter().find(|(name, _)| *name == value) {
        return Ok(*found);
    }
    let names: Vec<&str> = values.iter().map(|(name, _)| *name).collect();
    let near = nearest(value, names.iter().copied());
    let hint = near.map_or_else(String::new, |near| format!("; did you mean {near}?"));
    Err(unexpected(value, place, &format!("one of {}{hint}", names.join(", "))))
}

fn whole(value: &str, place: &str, expected: &str) -> Result<u32, UrlError> {
    value.trim().parse().map_err(|_| unexpected(value, place, expected))
}

/// A wait of the kernel's, where 0 stands for the kernel's own.
fn seconds(value: &str, place: &str) -> Result<Option<Duration>, UrlError> {
    let seconds = whole(value, place, "a number of seconds")?;
    Ok((seconds > 0).then(|| Duration::from_secs(seconds.into())))
}

fn unexpected(value: &str, place: &str, expected: &str) -> UrlError {
    UrlError::Value { place: place.to_owned(), value: beginning(value), expected: expected.to_owned() }
}

fn beginning(text: &str) -> String {
    text.chars().take(40).collect()
}
