//! Which rendered files may be shown.

use super::template;
use crate::effect::Content;

/// Passwords that OMERO publishes in its own templates: to hide a file for them would hide it for nothing.
const PUBLISHED: [&[u8]; 4] = [b"", b"ome", b"omero", b"SUPER_SECRET"];

/// A file of `NAME=VALUE` lines: secret as soon as a name is that of a secret, or a URL carries a password.
pub(super) fn of_properties(content: Vec<u8>) -> Content {
    let holds_secret = content.split(|&byte| byte == b'\n').any(|line| {
        let line = String::from_utf8_lossy(template::effective(line)).into_owned();
        let Some((name, value)) = line.split_once('=') else { return false };
        let published = PUBLISHED.contains(&value.trim().as_bytes());
        (biomero_config::names_a_secret(name.trim()) && !published)
            || biomero_config::mask_urls(value) != value
    });
    if holds_secret { Content::secret(content) } else { Content::Public(content) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_secret_when_it_holds_a_password_that_is_not_published() {
        for (text, secret) in [
            ("IceGridAdmin.Password=ome\n", false),
            ("omero.pass=SUPER_SECRET\nomero.rootpass=omero\n", false),
            ("a=1\nomero.pass = hunter2\n", true),
            ("# omero.pass=hunter2\n", false),
            ("omero.pass=\n", false),
            ("db=postgresql://u:p@h/d\n", true),
        ] {
            assert_eq!(of_properties(text.into()).is_secret(), secret, "{text}");
        }
    }
}
