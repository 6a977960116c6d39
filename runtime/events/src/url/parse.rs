//! The parts of the text, found as SQLAlchemy finds them (`sqlalchemy.engine.url.make_url`): the password ends at the
//! first `@` after it began and may hold `/`, `?`, `#` and `:`; of an option without a value nothing is known.

use std::borrow::Cow;
use std::path::PathBuf;

use percent_encoding::percent_decode_str;

use super::options::known;
use super::{DatabaseUrl, MAX_LENGTH, PostgresUrl, UrlError};

impl DatabaseUrl {
    /// Reads a URL, from its text alone.
    ///
    /// # Errors
    /// What is wrong with it, never a piece of it that could be a password's.
    pub fn parse(text: &str) -> Result<Self, UrlError> {
        if text.len() > MAX_LENGTH {
            return Err(UrlError::TooLong { length: text.len() });
        }
        let inner = text.trim();
        if let Some(at) = text.find(char::is_control) {
            return Err(UrlError::Control { at });
        }
        if inner.len() != text.len() {
            let at = if text.starts_with(inner) { inner.len() } else { 0 };
            return Err(UrlError::Control { at });
        }
        let (scheme, rest) = text.split_once("://").ok_or(UrlError::NoScheme)?;
        if !scheme.chars().all(|letter| letter.is_ascii_alphanumeric() || letter == '_' || letter == '+') {
            return Err(UrlError::NoScheme);
        }
        match scheme.split('+').next().unwrap_or_default() {
            "postgresql" | "postgres" => postgres(rest).map(|url| Self::Postgres(Box::new(url))),
            "sqlite" => sqlite(rest).map(Self::Sqlite),
            "" => Err(UrlError::NoScheme),
            dialect => Err(UrlError::Dialect { dialect: dialect.chars().take(40).collect() }),
        }
    }
}

fn sqlite(rest: &str) -> Result<PathBuf, UrlError> {
    if rest.contains('?') {
        return Err(UrlError::SqliteOptions);
    }
    match rest.strip_prefix('/') {
        None if rest.is_empty() => Err(UrlError::InMemory),
        None => Err(UrlError::SqliteHost),
        Some("" | ":memory:") => Err(UrlError::InMemory),
        Some(path) => Ok(PathBuf::from(path)),
    }
}

fn postgres(rest: &str) -> Result<PostgresUrl, UrlError> {
    let (user, password, rest) = user_information(rest);
    if rest.contains('@') {
        return Err(UrlError::SecondAt);
    }
    let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
    let (authority, database) = rest.split_once('/').unwrap_or((rest, ""));
    let (host, port) = host_and_port(authority)?;

    let mut url = PostgresUrl::default();
    options(&mut url, query)?;
    let host = decoded(host, "host", false)?;
    let user = decoded(user, "user's name", false)?;
    let password = decoded(password, "password", false)?;
    for (name, value) in
        [("host", &*host), ("port", port), ("user", &*user), ("password", &*password), ("dbname", database)]
    {
        if !value.is_empty() && !url.has(name) {
            url.set(name, value, &format!("the {name} in the database URL"))?;
        }
    }
    url.check()?;
    Ok(url)
}

/// What stands before the `@`, and what after. A name reaches to the last `@` before the first `:` or `/`; a password
/// from a `:` right behind a name to the first `@`.
fn user_information(rest: &str) -> (&str, &str, &str) {
    let end = rest.find([':', '/']).unwrap_or(rest.len());
    let (name, behind) = rest.split_at(end);
    if let Some((password, after)) = behind.strip_prefix(':').and_then(|behind| behind.split_once('@')) {
        return (name, password, after);
    }
    match name.rfind('@') {
        Some(at) => {
            let (name, after) = rest.split_at(at);
            (name, "", after.strip_prefix('@').unwrap_or(after))
        }
        None => ("", "", rest),
    }
}

/// `host`, `host:port`, `[::1]`, `[::1]:port`.
fn host_and_port(authority: &str) -> Result<(&str, &str), UrlError> {
    let (host, behind) = match authority.strip_prefix('[') {
        Some(bracketed) => {
            bracketed.split_once(']').filter(|(host, _)| !host.is_empty()).ok_or(UrlError::Host)?
        }
        None => authority.split_at(authority.find(':').unwrap_or(authority.len())),
    };
    match behind.strip_prefix(':') {
        Some(port) => Ok((host, port)),
        None if behind.is_empty() => Ok((host, "")),
        None => Err(UrlError::Host),
    }
}

/// `name=value&name=value`, decoded as of a form. Hosts may be repeated.
fn options(url: &mut PostgresUrl, query: &str) -> Result<(), UrlError> {
    let mut pairs: Vec<(Cow<'_, str>, Cow<'_, str>)> = Vec::new();
    for pair in query.split('&') {
        let Some((name, value)) = pair.split_once('=').filter(|(_, value)| !value.is_empty()) else {
            continue;
        };
        pairs.push((decoded(name, "name of an option", true)?, decoded(value, "value of an option", true)?));
    }
    let shown = !pairs.iter().any(|(name, _)| name == "password");
    // Ports before hosts, whose own would be a second answer.
    pairs.sort_by_key(|(name, _)| name == "host");
    let mut hosts = Vec::new();
    for (name, value) in &pairs {
        let name = known(name, shown)?;
        if name == "host" {
            hosts.push(&**value);
        } else if url.has(name) {
            return Err(UrlError::Twice { name: name.to_owned() });
        } else {
            url.set(name, value, &format!("the option {name} of the database URL"))?;
        }
    }
    if !hosts.is_empty() {
        url.set("host", &hosts.join(","), "the option host of the database URL")?;
    }
    Ok(())
}

fn decoded<'a>(text: &'a str, part: &'static str, form: bool) -> Result<Cow<'a, str>, UrlError> {
    if form && text.contains('+') {
        let text = text.replace('+', " ");
        return percent_decode_str(&text)
            .decode_utf8()
            .map(|text| Cow::Owned(text.into_owned()))
            .map_err(|_| UrlError::NotUtf8 { part });
    }
    percent_decode_str(text).decode_utf8().map_err(|_| UrlError::NotUtf8 { part })
}
