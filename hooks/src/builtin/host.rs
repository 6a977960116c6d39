//! Host names and addresses on their way into a configuration file.
//!
//! Invariant: what leaves [`checked`] holds no white space, no line end, no quote and no `@`, so that a value put
//! into a template can neither start a line of its own nor be taken for a token.

use std::net::IpAddr;

use crate::hook::HookError;

/// The longest name that DNS knows.
const LONGEST: usize = 253;

/// A host name or address as it may stand in a file, brackets around an IPv6 address taken off.
pub(super) fn checked(setting: &str, host: &str) -> Result<String, HookError> {
    let bare = host.strip_prefix('[').and_then(|inner| inner.strip_suffix(']')).unwrap_or(host);
    if bare.parse::<IpAddr>().is_ok() {
        return Ok(bare.to_owned());
    }
    let well_formed = !host.is_empty()
        && host.len() <= LONGEST
        && !host.starts_with(['-', '.'])
        && host
            .chars()
            .all(|character| character.is_ascii_alphanumeric() || matches!(character, '.' | '-' | '_'));
    if well_formed {
        return Ok(host.to_owned());
    }
    Err(HookError::Invalid {
        place: setting.to_owned(),
        problem: format!("{host:?} is neither a host name nor an address"),
        remedy: "write a name as biomeroworker or worker.example.org, or an address as 10.0.0.7 or fd00::7"
            .to_owned(),
    })
}

/// The host as an Ice endpoint takes it: an IPv6 address in double quotes, since `:` separates endpoints there.
pub(super) fn in_endpoint(host: &str) -> String {
    match host.parse() {
        Ok(IpAddr::V6(address)) => format!("\"{address}\""),
        _ => host.to_owned(),
    }
}

/// Whether a host is this machine itself.
pub(super) fn is_loopback(host: &str) -> bool {
    host.eq_ignore_ascii_case("localhost")
        || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_addresses_are_taken() {
        for (host, taken) in [
            ("biomeroworker", "biomeroworker"),
            ("omero_worker-1.example.org", "omero_worker-1.example.org"),
            ("10.0.0.7", "10.0.0.7"),
            ("fd00::7", "fd00::7"),
            ("[fd00::7]", "fd00::7"),
        ] {
            assert_eq!(checked("worker.address", host).as_deref(), Ok(taken));
        }
    }

    #[test]
    fn what_could_change_the_file_around_it_is_refused() {
        for host in ["", "a b", "a\nIce.Trace=1", "a@b", "-p", "\"", "a:1", "[a]", &"a".repeat(254), "ä"] {
            assert!(checked("worker.address", host).is_err(), "{host}");
        }
    }

    #[test]
    fn an_ipv6_address_is_quoted_in_an_endpoint_and_nothing_else_is() {
        assert_eq!(in_endpoint("fd00::7"), "\"fd00::7\"");
        assert_eq!(in_endpoint("10.0.0.7"), "10.0.0.7");
        assert_eq!(in_endpoint("(address of omero)"), "(address of omero)");
    }

    #[test]
    fn a_loopback_host_is_recognised() {
        for host in ["127.0.0.1", "127.1.2.3", "localhost", "LocalHost", "::1"] {
            assert!(is_loopback(host), "{host}");
        }
        for host in ["omeroserver", "10.0.0.1", "0.0.0.0"] {
            assert!(!is_loopback(host), "{host}");
        }
    }
}
