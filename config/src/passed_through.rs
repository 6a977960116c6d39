//! Variables that are no settings of ours but are handed to services: checked, so that a mistake in them is found
//! at the start and not in the traceback of a job.

use crate::{Environment, mask_urls};

/// The variables, and what each is for.
pub(crate) const VARIABLES: &[(&str, &str)] = &[
    (
        "SQLALCHEMY_URL",
        "The database of BIOMERO's events, `postgresql+psycopg2://USER:PASSWORD@HOST:PORT/DATABASE`.",
    ),
    ("PERSISTENCE_MODULE", "How BIOMERO stores events; only `eventsourcing_sqlalchemy` works."),
    ("HTTP_PROXY", "Proxy for HTTP, `http://HOST:PORT`."),
    ("http_proxy", "As `HTTP_PROXY`; what most programs read."),
    ("HTTPS_PROXY", "Proxy for HTTPS, `http://HOST:PORT`."),
    ("https_proxy", "As `HTTPS_PROXY`."),
    ("FTP_PROXY", "Proxy for FTP, `http://HOST:PORT`."),
    ("ftp_proxy", "As `FTP_PROXY`."),
    ("NO_PROXY", "Hosts reached without a proxy, separated by commas."),
    ("no_proxy", "As `NO_PROXY`."),
];

/// What cannot work in the variables that are passed through. None of it stops the start.
pub(crate) fn warnings(environment: &Environment) -> Vec<String> {
    let mut warnings = Vec::new();
    for (name, _) in VARIABLES {
        let Some(raw) = environment.get_os(name) else { continue };
        let Some(value) = raw.to_str() else {
            warnings.push(format!("the variable {name} is not UTF-8 text; set it as UTF-8"));
            continue;
        };
        let complaint = match *name {
            _ if value.is_empty() => None,
            "SQLALCHEMY_URL" => database_url(value),
            "PERSISTENCE_MODULE" => (value != "eventsourcing_sqlalchemy").then(|| {
                format!(
                    "is \"{value}\", which BIOMERO refuses; set PERSISTENCE_MODULE=eventsourcing_sqlalchemy"
                )
            }),
            "NO_PROXY" | "no_proxy" => value.contains("://").then(|| {
                "holds a URL where host names are expected; write NO_PROXY=host,.domain,10.0.0.0/8".to_owned()
            }),
            _ => proxy_url(value),
        };
        warnings.extend(complaint.map(|complaint| format!("the variable {name} {complaint}")));
    }
    for upper in ["HTTP_PROXY", "HTTPS_PROXY", "FTP_PROXY", "NO_PROXY"] {
        let lower = upper.to_ascii_lowercase();
        if let (Some(one), Some(other)) = (environment.get(upper), environment.get(&lower))
            && one != other
        {
            warnings.push(format!(
                "the variables {upper} and {lower} differ, and which of them counts differs from program to program; set both to the same value"
            ));
        }
    }
    warnings
}

/// What is wrong with a URL that SQLAlchemy is to read: `dialect[+driver]://[user[:password]@][host][:port]/database`.
fn database_url(url: &str) -> Option<String> {
    let expected = "expected postgresql+psycopg2://USER:PASSWORD@HOST:PORT/DATABASE";
    let shown = shown(url);
    let Some((scheme, rest)) = url.split_once("://") else {
        return Some(format!("is no database URL; {expected}"));
    };
    let (dialect, driver) =
        scheme.split_once('+').map_or((scheme, None), |(dialect, driver)| (dialect, Some(driver)));
    let word = |word: &str| !word.is_empty() && word.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    if !word(dialect) || driver.is_some_and(|driver| !word(driver)) {
        return Some(format!("is {shown}, whose dialect is not a word; {expected}"));
    }
    if dialect == "postgres" {
        return Some(
            "has the dialect \"postgres\", which SQLAlchemy no longer knows; write postgresql+psycopg2://…"
                .to_owned(),
        );
    }
    if url.contains(char::is_whitespace) {
        return Some("holds white space; write a space in a password as %20".to_owned());
    }
    if dialect == "sqlite" {
        return None;
    }
    // SQLAlchemy takes the user information up to the last `@` before the first `/`.
    let authority = rest.split(['/', '?']).next().unwrap_or(rest);
    if !authority.contains('@') && rest.contains('@') {
        return Some(format!(
            "is {shown}, in which a \"/\" or \"?\" of the password ends the host; write them as %2F and %3F"
        ));
    }
    let place = authority.rsplit_once('@').map_or(authority, |(_, place)| place);
    bad_place(place).map(|reason| format!("is {shown}, {reason}; {expected}"))
}

fn proxy_url(url: &str) -> Option<String> {
    let shown = shown(url);
    let expected = "expected http://HOST:PORT";
    let Some((scheme, rest)) = url.split_once("://") else {
        return Some(format!("has no scheme; {expected}"));
    };
    if !["http", "https", "socks4", "socks4a", "socks5", "socks5h", "ftp"]
        .contains(&scheme.to_ascii_lowercase().as_str())
    {
        return Some(format!("is {shown}, whose scheme is not one of a proxy; {expected}"));
    }
    let authority = rest.split(['/', '?']).next().unwrap_or(rest);
    let place = authority.rsplit_once('@').map_or(authority, |(_, place)| place);
    if place.is_empty() {
        return Some(format!("is {shown}, which names no host; {expected}"));
    }
    bad_place(place).map(|reason| format!("is {shown}, {reason}; {expected}"))
}

/// What is wrong with `host:port`; either may be missing.
fn bad_place(place: &str) -> Option<&'static str> {
    let port = match place.strip_prefix('[') {
        Some(rest) => match rest.split_once(']') {
            Some((_, port)) => port.strip_prefix(':'),
            None => return Some("whose \"[\" is not closed"),
        },
        None => place.split_once(':').map(|(_, port)| port),
    };
    let valid = port.is_none_or(|port| port.parse::<u16>().is_ok_and(|port| port != 0));
    (!valid).then_some("whose port is not a number from 1 to 65535")
}

/// The URL for a message.
fn shown(url: &str) -> String {
    if url.len() <= 200 { format!("\"{}\"", mask_urls(url)) } else { "a long URL".to_owned() }
}
