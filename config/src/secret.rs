//! A value that must not reach a log, a diff or a manifest.

use std::fmt;

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

/// The text with the password of every URL in it masked: `postgresql://user:********@host/db`.
pub fn mask_urls(text: &str) -> String {
    let mut masked = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(scheme) = rest.find("://") {
        let (before, after) = rest.split_at(scheme + 3);
        masked.push_str(before);
        let authority_end = after.find(['/', ' ', '\n', '\t', '"', '\'', '?', '#']).unwrap_or(after.len());
        // The last `@` ends the user information: an unescaped `@` or `/` in a password must not leak its tail.
        let line_end = after.find(['\n', ' ', '"', '\'']).unwrap_or(after.len());
        let end = after[..line_end].rfind('@').map_or(authority_end, |at| at.max(authority_end.min(at)));
        match after[..end].split_once(':') {
            Some((user, _)) if after[end..].starts_with('@') => {
                masked.push_str(user);
                masked.push(':');
                masked.push_str(MASK);
            }
            _ => masked.push_str(&after[..end]),
        }
        rest = &after[end..];
    }
    masked.push_str(rest);
    masked
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
}
