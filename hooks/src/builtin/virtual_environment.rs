//! `virtual-environment`: the environment that the image's entry point sets up by activating OMERO's Python
//! environment, and `OMERODIR`.

use std::ffi::OsStr;

use crate::context::{Context, FileFact, Need};
use crate::effect::Effect;
use crate::hook::{Hook, HookError};

/// See the module.
#[derive(Debug)]
pub struct VirtualEnvironmentHook;

/// Where programs are found when the container says nothing.
const FALLBACK_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

impl Hook for VirtualEnvironmentHook {
    fn name(&self) -> &'static str {
        "virtual-environment"
    }

    fn summary(&self) -> &'static str {
        "puts OMERO's Python environment first in PATH and sets OMERODIR"
    }

    fn needs(&self, context: &Context<'_>) -> Vec<Need> {
        vec![Need::File(context.settings.omero.virtual_environment.join("bin"))]
    }

    fn plan(&self, context: &Context<'_>) -> Result<Vec<Effect>, HookError> {
        let omero = &context.settings.omero;
        let bin = omero.virtual_environment.join("bin");
        let mut effects = vec![variable("OMERODIR", omero.directory.as_os_str())];
        if !matches!(context.facts.file(&bin), FileFact::Directory { .. }) {
            effects.push(Effect::Notice(format!(
                "{} is not a directory: programs are found through PATH as it is; set omero.virtual_environment if OMERO's Python environment is elsewhere",
                bin.display()
            )));
            return Ok(effects);
        }
        let path = context.environment.get("PATH").filter(|path| !path.is_empty()).unwrap_or(FALLBACK_PATH);
        let first = bin.display().to_string();
        effects.push(variable("VIRTUAL_ENV", omero.virtual_environment.as_os_str()));
        let path = if path.split(':').next() == Some(first.as_str()) {
            path.to_owned()
        } else {
            format!("{first}:{path}")
        };
        effects.push(Effect::Variable { name: "PATH".to_owned(), value: Some(path.as_str().into()) });
        // It would redirect the environment's interpreter to another standard library.
        if context.environment.get_os("PYTHONHOME").is_some() {
            effects.push(Effect::Variable { name: "PYTHONHOME".to_owned(), value: None });
        }
        Ok(effects)
    }
}

fn variable(name: &str, value: &OsStr) -> Effect {
    Effect::Variable { name: name.to_owned(), value: Some(value.to_string_lossy().as_ref().into()) }
}

#[cfg(test)]
mod tests {
    use super::super::fixture::Fixture;
    use super::*;
    use crate::context::Facts;

    fn with_environment() -> Facts {
        Facts::default().with_file(
            "/opt/omero/server/venv3/bin",
            FileFact::Directory { mode: 0o755, uid: 0, writable: false },
        )
    }

    #[test]
    fn the_environment_comes_first_in_the_path_and_only_once() {
        for (path, expected) in [
            (Some("/usr/bin:/bin"), "/opt/omero/server/venv3/bin:/usr/bin:/bin"),
            (Some("/opt/omero/server/venv3/bin:/bin"), "/opt/omero/server/venv3/bin:/bin"),
            (
                Some("/ice/bin:/opt/omero/server/venv3/bin"),
                "/opt/omero/server/venv3/bin:/ice/bin:/opt/omero/server/venv3/bin",
            ),
            (
                Some(""),
                "/opt/omero/server/venv3/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            ),
            (
                None,
                "/opt/omero/server/venv3/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            ),
        ] {
            let mut fixture = Fixture::new();
            if let Some(path) = path {
                fixture.environment.set("PATH", path);
            }
            let effects = fixture.plan(&VirtualEnvironmentHook, with_environment()).unwrap();
            assert!(
                effects.contains(&Effect::Variable { name: "PATH".to_owned(), value: Some(expected.into()) }),
                "{effects:?}"
            );
        }
    }

    #[test]
    fn a_python_home_that_would_redirect_the_interpreter_goes() {
        let mut fixture = Fixture::new();
        fixture.environment.set("PYTHONHOME", "/usr");
        fixture.environment.set("PATH", "/bin");
        insta::assert_snapshot!(fixture.shown(&VirtualEnvironmentHook, with_environment()), @"
        variable OMERODIR = /opt/omero/server/OMERO.server
        variable VIRTUAL_ENV = /opt/omero/server/venv3
        variable PATH = /opt/omero/server/venv3/bin:/bin
        variable PYTHONHOME removed
        ");
    }

    #[test]
    fn without_a_python_environment_the_path_stays_as_it_is() {
        insta::assert_snapshot!(Fixture::new().shown(&VirtualEnvironmentHook, Facts::default()), @"
        variable OMERODIR = /opt/omero/server/OMERO.server
        notice: /opt/omero/server/venv3/bin is not a directory: programs are found through PATH as it is; set omero.virtual_environment if OMERO's Python environment is elsewhere
        ");
    }
}
