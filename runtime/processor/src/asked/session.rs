//! The session of OMERO that a workflow is asked for in: one that is said, or that of the script of OMERO that asks.

use std::fs::File;
use std::io::Read as _;

use biomero_config::{Environment, Secret};

/// Where it is said so that nobody else of this machine sees it.
const VARIABLE: &str = "OMERO_SESSION";
/// Where a script of OMERO finds its own.
const CONFIG: &str = "ICE_CONFIG";
/// Such a file is never longer.
const LONGEST: u64 = 1 << 20;

/// It, if there is one.
pub(super) fn shown(said: Option<&str>, environment: &Environment) -> Option<Secret<String>> {
    let said = said.or_else(|| environment.get(VARIABLE)).map(str::trim).filter(|id| !id.is_empty());
    let said = said.map(str::to_owned);
    said.or_else(|| {
        let mut text = String::new();
        let file = File::open(environment.get_os(CONFIG)?).ok()?;
        file.take(LONGEST).read_to_string(&mut text).ok()?;
        of_script(&text)
    })
    .map(Secret::new)
}

/// A script is told its session in place of user and password.
fn of_script(config: &str) -> Option<String> {
    let value = |key: &str| {
        let mut lines = config.lines().filter_map(|line| line.split_once('='));
        lines.rfind(|(name, _)| name.trim() == key).map(|(_, value)| value.trim())
    };
    let session = value("omero.user").filter(|user| !user.is_empty())?;
    (value("omero.pass") == Some(session)).then(|| session.to_owned())
}

#[cfg(test)]
mod tests {
    use super::of_script;

    #[test]
    fn a_scripts_session_stands_for_user_and_password() {
        let config =
            "omero.job=77\nomero.user=31fa\nomero.pass=31fa\nIce.Default.Router=OMERO.Glacier2/router:tcp\n";
        assert_eq!(of_script(config).as_deref(), Some("31fa"));
        for other in
            ["", "omero.user=root\nomero.pass=omero\n", "omero.user=\nomero.pass=\n", "omero.user=31fa\n"]
        {
            assert_eq!(of_script(other), None, "{other}");
        }
    }
}
