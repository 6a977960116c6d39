//! Host names and addresses on their way into a configuration file.

use std::net::IpAddr;

use biomero_hooks_guest::HookError;

/// A host name or address, brackets around an IPv6 address taken off. What comes out holds no white space, quote or
/// line end, so that it cannot start a line of its own.
pub(crate) fn checked(place: &str, host: &str) -> Result<String, HookError> {
    let bare = host.strip_prefix('[').and_then(|inner| inner.strip_suffix(']')).unwrap_or(host);
    if bare.parse::<IpAddr>().is_ok() {
        return Ok(bare.to_owned());
    }
    let well_formed = |character: char| character.is_ascii_alphanumeric() || ".-_".contains(character);
    if host.is_empty() || host.len() > 253 || host.starts_with(['-', '.']) || !host.chars().all(well_formed) {
        return Err(HookError::invalid(
            place,
            format!("{host:?} is neither a host name nor an address"),
            "write a name as worker.example.org, or an address as 203.0.113.7 or 2001:db8::7",
        ));
    }
    Ok(host.to_owned())
}

/// The host as an Ice endpoint takes it: an IPv6 address in double quotes, since `:` separates endpoints there.
pub(crate) fn in_endpoint(host: &str) -> String {
    if host.contains(':') { format!("\"{host}\"") } else { host.to_owned() }
}
