//! Where OMERO is.

use biomero_omero::Address;

use super::Unread;

/// Where its router is without TLS.
const PLAIN: u16 = 4063;
/// And with it.
const SECURE: u16 = 4064;

/// Who is asked: `HOST` or `HOST:PORT`, an IPv6 address in brackets, with `ssl://` or `tcp://` before it where the port does not
/// tell: OMERO's 4064 is that of TLS, and every other is not.
pub(crate) fn address(server: &str, port: Option<u16>) -> Result<Address, Unread> {
    let wrong = || Unread::Server(server.to_owned());
    let (scheme, place) =
        server.split_once("://").map_or((None, server), |(scheme, rest)| (Some(scheme), rest));
    let (host, told) = match place.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((host, "")) => (host, None),
        Some((host, port)) => {
            (host, Some(port.strip_prefix(':').and_then(|port| port.parse().ok()).ok_or_else(wrong)?))
        }
        None => match place.rsplit_once(':') {
            Some((host, port)) if !host.contains(':') => (host, Some(port.parse().map_err(|_| wrong())?)),
            _ => (place, None),
        },
    };
    let is_name = |letter: char| !letter.is_whitespace() && !letter.is_control() && !"/@[]".contains(letter);
    if host.is_empty() || !host.chars().all(is_name) {
        return Err(wrong());
    }
    let port = port.or(told);
    let (secure, port) = match scheme {
        None => (port == Some(SECURE), port.unwrap_or(PLAIN)),
        Some("tcp") => (false, port.unwrap_or(PLAIN)),
        Some("ssl") => (true, port.unwrap_or(SECURE)),
        Some("ws" | "wss") => return Err(Unread::WebSocket(server.to_owned())),
        Some(_) => return Err(wrong()),
    };
    Ok(Address { host: host.to_owned(), port, secure })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_may_say_its_port_and_whether_it_has_tls() {
        for (text, host, port, secure) in [
            ("omero", "omero", 4063, false),
            ("omero:14063", "omero", 14063, false),
            ("omero:4064", "omero", 4064, true),
            ("tcp://omero:4064", "omero", 4064, false),
            ("ssl://omero", "omero", 4064, true),
            ("ssl://omero:14064", "omero", 14064, true),
            ("tcp://omero", "omero", 4063, false),
            ("::1", "::1", 4063, false),
            ("[::1]:4064", "::1", 4064, true),
            ("[::1]", "::1", 4063, false),
        ] {
            let read = address(text, None).map(|address| (address.host, address.port, address.secure));
            assert_eq!(read.ok(), Some((host.to_owned(), port, secure)), "{text}");
        }
        for wrong in [
            "",
            ":4063",
            "omero:",
            "omero:port",
            "[::1]4063",
            "omero:99999",
            "http://omero",
            "a/b",
            "a b",
            "u@h",
        ] {
            assert!(matches!(address(wrong, None), Err(Unread::Server(_))), "{wrong}");
        }
        assert!(matches!(address("wss://omero", None), Err(Unread::WebSocket(_))));
        // What is said beside it counts for more.
        assert_eq!(
            address("omero:1", Some(4064)).ok().map(|address| (address.port, address.secure)),
            Some((4064, true))
        );
    }
}
