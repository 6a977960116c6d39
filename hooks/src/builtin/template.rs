//! Templates with `@token@`s, as OMERO ships them.
//!
//! Invariants: a value is put in once and never read again for tokens; a token that is left in a line that takes
//! effect is an error, while comments (from `#` on) keep whatever they say; bytes that are not UTF-8 pass through.

use std::path::Path;

use super::host;
use crate::hook::HookError;

/// A token without its `@`s, and what stands for it.
pub(super) type Value<'a> = (&'a str, String);

/// The template with every known token replaced.
pub(super) fn render(template: &[u8], values: &[Value<'_>]) -> Vec<u8> {
    let mut rendered = Vec::with_capacity(template.len());
    let mut rest = template;
    while let Some(at) = rest.iter().position(|&byte| byte == b'@') {
        rendered.extend_from_slice(&rest[..at]);
        rest = &rest[at..];
        let known = values.iter().find_map(|(token, value)| {
            rest[1..].strip_prefix(token.as_bytes())?.strip_prefix(b"@").map(|after| (value, after))
        });
        if let Some((value, after)) = known {
            // In an endpoint an IPv6 address is quoted; elsewhere, as after `omero.host=`, it must not be.
            let value = if rendered.ends_with(b"-h ") { host::in_endpoint(value) } else { value.clone() };
            rendered.extend_from_slice(value.as_bytes());
            rest = after;
        } else {
            rendered.push(b'@');
            rest = &rest[1..];
        }
    }
    rendered.extend_from_slice(rest);
    rendered
}

/// Refuses a file in which a token is left in a line that takes effect.
pub(super) fn complete(rendered: &[u8], template: &Path, values: &[Value<'_>]) -> Result<(), HookError> {
    for (index, line) in rendered.split(|&byte| byte == b'\n').enumerate() {
        let Some(token) = first_token(effective(line)) else { continue };
        let known: Vec<&str> = values.iter().map(|(name, _)| *name).collect();
        let nearest = biomero_config::nearest(&token, known.iter().copied());
        return Err(HookError::Invalid {
            place: format!("{} line {}", template.display(), index + 1),
            problem: format!("nothing is known to stand for @{token}@"),
            remedy: nearest.map_or_else(
                || format!("write the value itself, or one of {}", listed(&known)),
                |nearest| format!("did you mean @{nearest}@? Otherwise write the value itself"),
            ),
        });
    }
    Ok(())
}

/// The part of a line that is not a comment. In Ice's configuration files `#` starts one unless it is escaped.
pub(super) fn effective(line: &[u8]) -> &[u8] {
    let comment = (0..line.len()).find(|&at| line[at] == b'#' && (at == 0 || line[at - 1] != b'\\'));
    &line[..comment.unwrap_or(line.len())]
}

fn first_token(line: &[u8]) -> Option<String> {
    let mut rest = line;
    loop {
        let at = rest.iter().position(|&byte| byte == b'@')?;
        rest = &rest[at + 1..];
        let length = rest
            .iter()
            .position(|byte| !byte.is_ascii_alphanumeric() && !matches!(byte, b'.' | b'_' | b'-'))
            .unwrap_or(rest.len());
        if length > 0 && rest.get(length) == Some(&b'@') {
            return Some(String::from_utf8_lossy(&rest[..length]).into_owned());
        }
    }
}

fn listed(known: &[&str]) -> String {
    known.iter().map(|token| format!("@{token}@")).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn values() -> Vec<Value<'static>> {
        vec![("omero.master.host", "10.0.0.5".to_owned()), ("omero.ports.prefix", String::new())]
    }

    #[test]
    fn every_known_token_is_replaced_and_the_rest_kept() {
        for (template, rendered) in [
            (&b"h=@omero.master.host@\n"[..], &b"h=10.0.0.5\n"[..]),
            (b"@omero.ports.prefix@@omero.master.host@", b"10.0.0.5"),
            (b"a@b @@omero.master.host@ @omero.master.host", b"a@b @10.0.0.5 @omero.master.host"),
            (b"\xe9 # Latin-1\n", b"\xe9 # Latin-1\n"),
        ] {
            assert_eq!(render(template, &values()), rendered);
        }
    }

    #[test]
    fn an_ipv6_address_is_quoted_where_it_stands_in_an_endpoint() {
        let values = vec![("omero.master.host", "fd00::7".to_owned())];
        let rendered =
            render(b"r=tcp -h @omero.master.host@ -p 1\nomero.host=@omero.master.host@\n", &values);
        assert_eq!(rendered, b"r=tcp -h \"fd00::7\" -p 1\nomero.host=fd00::7\n");
    }

    #[test]
    fn a_left_token_is_an_error_that_names_the_nearest_one() {
        let error =
            complete(b"a=1\nb=@omero.mastr.host@\n", Path::new("/etc/ice.config"), &values()).unwrap_err();
        insta::assert_snapshot!(error, @"/etc/ice.config line 2: nothing is known to stand for @omero.mastr.host@; did you mean @omero.master.host@? Otherwise write the value itself");
        let error = complete(b"a=@site@", Path::new("/etc/ice.config"), &values()).unwrap_err();
        insta::assert_snapshot!(error, @"/etc/ice.config line 1: nothing is known to stand for @site@; write the value itself, or one of @omero.master.host@, @omero.ports.prefix@");
    }

    #[test]
    fn a_token_in_a_comment_and_a_lone_at_sign_are_left_alone() {
        for text in ["## Router=-p @omero.port@", "a=1 # @x@", "T=O/T@O.T", "a=b@c d@e"] {
            assert_eq!(complete(text.as_bytes(), Path::new("/t"), &values()), Ok(()), "{text}");
        }
        assert!(complete(b"a=\\#@x@", Path::new("/t"), &values()).is_err(), "an escaped # starts no comment");
    }

    proptest! {
        #[test]
        fn no_known_token_is_ever_left(text in "(@|omero\\.master\\.host|omero\\.ports\\.prefix|[a-z.#\n ])*") {
            let values = vec![("omero.master.host", "h".to_owned()), ("omero.ports.prefix", "1".to_owned())];
            let rendered = String::from_utf8(render(text.as_bytes(), &values)).unwrap();
            for (token, _) in &values {
                let token = format!("@{token}@");
                prop_assert!(!rendered.contains(&token), "{rendered:?}");
            }
        }

        #[test]
        fn any_bytes_render_without_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = complete(&render(&bytes, &values()), Path::new("/t"), &values());
        }
    }
}
