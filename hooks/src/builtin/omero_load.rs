//! `omero-load`: the site's `*.omero` files through OMERO's own `omero load`, since they may hold any command.
//!
//! This is the one built-in that starts Python, and only where such a file is.

use crate::context::{Context, Need};
use crate::effect::{CommandEffect, Effect};
use crate::hook::{Hook, HookError};

/// See the module.
#[derive(Debug)]
pub struct OmeroLoadHook;

const SUFFIX: &str = ".omero";

impl Hook for OmeroLoadHook {
    fn name(&self) -> &'static str {
        "omero-load"
    }

    fn summary(&self) -> &'static str {
        "runs `omero load` on the *.omero files of omero.config_directory, if there are any"
    }

    fn needs(&self, context: &Context<'_>) -> Vec<Need> {
        let directory = context.settings.omero.config_directory.clone();
        vec![Need::Names { directory, suffix: SUFFIX.to_owned() }]
    }

    fn plan(&self, context: &Context<'_>) -> Result<Vec<Effect>, HookError> {
        let omero = &context.settings.omero;
        // As a shell's `*`, OMERO's leaves out names that begin with a dot: editors' backups, the folders of Kubernetes.
        let names: Vec<&str> = context
            .facts
            .names(&omero.config_directory)
            .iter()
            .map(String::as_str)
            .filter(|name| !name.starts_with('.'))
            .collect();
        if names.is_empty() {
            return Ok(Vec::new());
        }
        let Some(pattern) = omero.config_directory.join(format!("*{SUFFIX}")).to_str().map(str::to_owned)
        else {
            return Err(HookError::Invalid {
                place: "omero.config_directory".to_owned(),
                problem: "is not UTF-8".to_owned(),
                remedy: "rename the directory".to_owned(),
            });
        };
        let program = omero.virtual_environment.join("bin/omero").display().to_string();
        Ok(vec![Effect::Command(CommandEffect {
            says: format!("loads {} into OMERO's configuration", names.join(", ")),
            argv: vec![program, "load".to_owned(), "--glob".to_owned(), pattern],
            environment: Vec::new(),
            directory: Some(omero.directory.clone()),
            as_service_user: true,
            deadline: context.settings.hooks.default.deadline,
        })])
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixture::Fixture;
    use super::*;
    use crate::context::Facts;

    fn facts(names: &[&str]) -> Facts {
        let names = names.iter().map(|name| (*name).to_owned()).collect();
        Facts::default().with_names("/opt/omero/server/config", names)
    }

    #[test]
    fn the_sites_files_are_loaded_by_one_command_of_omeros_own() {
        let effects =
            Fixture::new().plan(&OmeroLoadHook, facts(&[".old.omero", "01-a.omero", "02-b.omero"])).unwrap();
        let [Effect::Command(command)] = effects.as_slice() else { panic!("{effects:?}") };
        assert_eq!(
            command.argv,
            ["/opt/omero/server/venv3/bin/omero", "load", "--glob", "/opt/omero/server/config/*.omero"]
        );
        assert_eq!(command.says, "loads 01-a.omero, 02-b.omero into OMERO's configuration");
        assert!(command.as_service_user);
    }

    #[test]
    fn without_such_files_no_python_is_started() {
        for names in [&[][..], &[".hidden.omero"]] {
            assert_eq!(Fixture::new().plan(&OmeroLoadHook, facts(names)).unwrap(), []);
        }
    }
}
