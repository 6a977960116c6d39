//! The file by which a script finds OMERO and its session (`ICE_CONFIG`).

use biomero_config::Secret;
use biomero_omero::Address;

/// Its text.
pub(super) fn text(job: i64, session: &str, parse: bool, router: &Address) -> Secret<String> {
    let transport = if router.secure { "ssl" } else { "tcp" };
    let router = format!("OMERO.Glacier2/router:{transport} -p {} -h {}", router.port, router.host);
    let job = job.to_string();
    let properties = [
        ("omero.job", job.as_str()),
        ("omero.user", session),
        ("omero.pass", session),
        ("Ice.Default.Router", &router),
        ("omero.scripts.parse", if parse { "true" } else { "" }),
    ];
    let lines = properties.into_iter().filter(|(_, value)| !value.is_empty());
    Secret::new(lines.map(|(name, value)| format!("{name}={}\n", escaped(value))).collect())
}

/// What a value may hold that would end it: it comes from outside.
fn escaped(value: &str) -> String {
    let mut text = String::with_capacity(value.len());
    for character in value.chars() {
        match character {
            '#' | '=' | '\\' => text.extend(['\\', character]),
            '\n' | '\r' => {}
            other => text.push(other),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_what_omero_writes() {
        let router = Address::plain("127.0.0.1");
        let text = text(77, "1111", false, &router);
        let expected = "omero.job=77\nomero.user=1111\nomero.pass=1111\n\
                        Ice.Default.Router=OMERO.Glacier2/router:tcp -p 4063 -h 127.0.0.1\n";
        assert_eq!(text.reveal(), expected);
    }

    #[test]
    fn a_session_cannot_add_a_property() {
        let text = text(77, "a\nomero.host=elsewhere # b", true, &Address::plain("h"));
        assert!(text.reveal().contains("omero.user=aomero.host\\=elsewhere \\# b\n"), "{}", text.reveal());
        assert!(text.reveal().ends_with("omero.scripts.parse=true\n"));
    }
}
