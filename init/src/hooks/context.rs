//! `init hooks context`: what a hook would be told here, for a file that travels to its engineer's laptop.

use std::ffi::OsStr;
use std::path::Path;

use biomero_config::{Environment, MASK};
use biomero_hooks::component::GuestContext;
use biomero_hooks::{Overlay, Start};

use super::Bench;
use crate::command_line::Common;
use crate::output::{print, warning};
use crate::{exit_code, start};

/// Prints the context of a scheduled hook, of a component in a file, or of no hook in particular.
pub(crate) fn context(
    common: &Common,
    environment: &Environment,
    hook: Option<&OsStr>,
    policy: Option<&Path>,
) -> Result<u8, String> {
    let mut bench = Bench::new(common, environment, None)?;
    let recorded = match hook {
        Some(hook) => record(&mut bench, environment, hook, policy)?,
        None => GuestContext::without_hook(&bench.loaded.values, environment, &bench.identity),
    };
    let masked = recorded.masked(|key| bench.loaded.values.is_secret(key));
    let text = serde_json::to_string_pretty(&masked).map_err(|error| error.to_string())?;
    let secrets = text.matches(MASK).count();
    print(&text);
    if secrets > 0 {
        warning(format!("{secrets} secrets are masked as {MASK}; put test values in their place"));
    }
    Ok(exit_code::SUCCESS)
}

fn record(
    bench: &mut Bench,
    environment: &Environment,
    hook: &OsStr,
    policy: Option<&Path>,
) -> Result<GuestContext, String> {
    let path = Path::new(hook);
    let is_file = path.extension().is_some_and(|extension| extension == "wasm");
    let trial = is_file.then(|| bench.trial(path, policy, None)).transpose()?;
    let hooks = start::schedule(&bench.loaded, &bench.disk, &bench.identity, &[]).map_err(|_| {
        "the hooks of this machine must make sense before one is asked what it is told".to_owned()
    })?;
    let (component, number) = match &trial {
        Some(trial) => (&trial.hook, trial.number),
        None => {
            let name = hook.to_string_lossy();
            let component = hooks.iter().find(|hook| hook.name == name).map(|hook| hook.component());
            match component {
                Some(Some(component)) => (component, None),
                Some(None) => {
                    return Err(format!(
                        "{name} is no component: a context is what a component is told (`init hooks` lists their kinds)"
                    ));
                }
                None => {
                    return Err(format!(
                        "there is no hook {name}; `init hooks` lists them; a file ends in .wasm"
                    ));
                }
            }
        }
    };
    let start = Start {
        settings: &bench.loaded.settings,
        identity: &bench.identity,
        environment,
        run_programs: false,
    };
    let overlay = Overlay::over(bench.disk.clone());
    biomero_hooks::record(&start, &hooks, overlay, component, number, &mut bench.machine)
        .map_err(|error| format!("hook {}: {error}", component.name()))
}
