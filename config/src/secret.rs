//! A value that must not reach a log, a diff or a manifest.

use std::fmt;

use serde::{Deserialize, Deserializer};

/// Holds a secret; both `Debug` and `Display` print `********`. [`Secret::reveal`] is the one way in.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Secret<T>(T);

/// What stands where a secret was left out.
pub const MASK: &str = "********";

impl<T> Secret<T> {
    /// Wraps a value.
    pub const fn new(value: T) -> Self {
        Self(value)
    }

    /// The value itself: for the place that uses it, never for a message.
    pub const fn reveal(&self) -> &T {
        &self.0
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Secret<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        T::deserialize(deserializer).map(Self)
    }
}

impl<T> fmt::Debug for Secret<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(MASK)
    }
}

impl<T> fmt::Display for Secret<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(MASK)
    }
}

/// Whether a variable, property or key of this name holds a secret by the field's naming habits.
///
/// True for names with a word of `password`, `passwd`, `pass`, `secret`, `token` or `key`-like endings, as
/// `OMERO_PASSWORD`, `ROOTPASS`, `CONFIG_omero_db_pass`, `METABASE_SECRET_KEY`.
pub fn names_a_secret(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    ["password", "passwd", "passphrase", "secret", "token", "credential", "private_key", "api_key", "apikey"]
        .iter()
        .any(|word| name.contains(word))
        || name.split(['_', '.', '-']).any(|word| word == "pass" || word == "pwd")
        || name.ends_with("pass")
}

/// How access tokens begin that stand alone before the `@` of a repository's URL.
const TOKENS: [&str; 7] = ["ghp_", "gho_", "ghs_", "ghu_", "github_pat_", "glpat-", "gldt-"];

/// The text with the password of every URL in it masked: `postgresql://user:********@host/db`.
///
/// A URL reaches from its `://` to white space. Its password reaches from the first `:` to the last `@` in it, because
/// people write passwords with `@`, `/`, `#` and even `://` unescaped: rather too much is masked than the tail of a
/// password shown. Masked too are an access token before the `@`, and parameters whose name is that of a secret.
pub fn mask_urls(text: &str) -> String {
    let mut masked = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(scheme) = rest.find("://") {
        let (before, after) = rest.split_at(scheme + "://".len());
        let end = after.find(|character: char| character.is_ascii_whitespace()).unwrap_or(after.len());
        masked.push_str(before);
        let place = match after[..end].rsplit_once('@') {
            Some((user_information, place)) => {
                mask_user_information(&mut masked, user_information);
                place
            }
            None => &after[..end],
        };
        mask_parameters(&mut masked, place);
        rest = &after[end..];
    }
    masked.push_str(rest);
    masked
}

fn mask_user_information(masked: &mut String, user_information: &str) {
    match user_information.split_once(':') {
        Some((user, _)) => {
            masked.push_str(user);
            masked.push(':');
            masked.push_str(MASK);
        }
        None if TOKENS.iter().any(|start| user_information.starts_with(start)) => masked.push_str(MASK),
        None => masked.push_str(user_information),
    }
    masked.push('@');
}

/// `?password=x&sslmode=require`: the value of each parameter that is named as a secret.
fn mask_parameters(masked: &mut String, place: &str) {
    for (at, part) in place.split_inclusive(['?', '&', ';', '#']).enumerate() {
        let (body, separator) = match part.strip_suffix(['?', '&', ';', '#']) {
            Some(body) => (body, &part[body.len()..]),
            None => (part, ""),
        };
        match body.split_once('=') {
            Some((name, value)) if at > 0 && names_a_secret(name) && !value.is_empty() => {
                masked.push_str(name);
                masked.push('=');
                masked.push_str(MASK);
            }
            _ => masked.push_str(body),
        }
        masked.push_str(separator);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_never_printed() {
        let secret = Secret::new("s3cr3t".to_owned());
        assert_eq!(format!("{secret} {secret:?}"), "******** ********");
    }

    #[test]
    fn the_password_of_a_url_is_masked_and_the_rest_kept() {
        for (text, masked) in [
            (
                "postgresql+psycopg2://u:p%40ss@db:5432/biomero",
                "postgresql+psycopg2://u:********@db:5432/biomero",
            ),
            ("postgresql://u:p@ss/word@db/x?a=b", "postgresql://u:********@db/x?a=b"),
            ("http://proxy:3128", "http://proxy:3128"),
            ("see http://h/p and ftp://a:b@c", "see http://h/p and ftp://a:********@c"),
            ("no url: here@all", "no url: here@all"),
            ("http://u:a://b@h/x", "http://u:********@h/x"),
            ("http://u:a?b#c\"d'e@h", "http://u:********@h"),
            ("redis://:p@h", "redis://:********@h"),
            ("ssh://git@h:22/x", "ssh://git@h:22/x"),
            ("http://a:b@c,http://d:e@f", "http://a:********@f"),
            ("://", "://"),
            ("https://ghp_abc@github.com/x/y", "https://********@github.com/x/y"),
            (
                "pg://h/db?user=u&password=p&sslmode=require",
                "pg://h/db?user=u&password=********&sslmode=require",
            ),
            ("pg://h/password=x?a", "pg://h/password=x?a"),
            ("a://u:p@h\nb://u:p@h\n", "a://u:********@h\nb://u:********@h\n"),
        ] {
            assert_eq!(mask_urls(text), masked);
        }
    }

    #[test]
    fn secrets_are_known_by_their_names() {
        for name in
            ["OMERO_PASSWORD", "ROOTPASS", "CONFIG_omero_db_pass", "METABASE_SECRET_KEY", "GITHUB_TOKEN"]
        {
            assert!(names_a_secret(name), "{name}");
        }
        for name in ["PATH", "OMERO_WORKER_NAME", "PASSENGER", "CONFIG_omero_master_host"] {
            assert!(!names_a_secret(name), "{name}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_password_is_shown_whatever_characters_it_has(
            before in "\\PC{0,8} ?",
            password in "([@:/?#&;=%\"'\\\\<>\u{a0}]|://|password=|\\PC|[a-z]){1,12}",
            after in "( \\PC{0,8})?",
        ) {
            let password: String = password.chars().filter(|character| !character.is_ascii_whitespace()).collect();
            proptest::prop_assume!(!before.contains("://"));
            let masked = mask_urls(&format!("{before}pg://user:{password}@host/db{after}"));
            proptest::prop_assert_eq!(masked, format!("{before}pg://user:{MASK}@host/db{}", mask_urls(&after)));
        }

        #[test]
        fn a_text_without_a_url_is_unchanged(text in "\\PC{0,30}") {
            proptest::prop_assume!(!text.contains("://"));
            proptest::prop_assert_eq!(mask_urls(&text), text);
        }

        #[test]
        fn masking_twice_masks_no_more(text in "([a-z@:/?&=# ]|://|password=){0,20}") {
            let once = mask_urls(&text);
            proptest::prop_assert_eq!(mask_urls(&once), once);
        }
    }
}
