//! `init hooks`: what runs here, and the bench on which a site's hook is made and tried.

mod context;
mod list;
mod new;
mod pin;
mod test;

use std::path::PathBuf;

use biomero_config::{Environment, Loaded};
use biomero_hooks::component::GuestContext;
use biomero_hooks::{Disk, Identity, Site, Trial};

use crate::command_line::{Common, HookWork};
use crate::machine::PidOne;
use crate::signals::Signals;
use crate::start::{self, Ended};
use crate::{exit_code, output};

pub(crate) use list::list;
pub(crate) use new::Language;

/// `init hooks WORK`.
pub(crate) fn work(common: &Common, environment: &Environment, work: &HookWork) -> u8 {
    let done = match work {
        HookWork::Test(options) => test::test(common, environment, options),
        HookWork::Context { hook, policy } => {
            context::context(common, environment, hook.as_deref(), policy.as_deref())
        }
        HookWork::Pin { component } => pin::pin(component),
        HookWork::New { name, lang, directory } => Ok(new::new(name, *lang, directory.as_deref())),
    };
    match done {
        Ok(code) => code,
        Err(message) => {
            output::error(message);
            exit_code::FAILURE
        }
    }
}

/// What a hook is tried with.
struct Bench {
    loaded: Loaded,
    identity: Identity,
    disk: Disk,
    machine: PidOne,
    /// Where compiled components of this user are kept.
    cache: PathBuf,
}

impl Bench {
    /// The settings of this machine, or of the tree below `--root`; without an `identity` the users are those of the
    /// machine, too.
    fn new(common: &Common, environment: &Environment, identity: Option<&Identity>) -> Result<Self, String> {
        let told = |_: Ended| "the settings must make sense before a hook is tried with them".to_owned();
        let loaded = start::load(common, environment).map_err(told)?;
        let identity = match identity {
            Some(identity) => identity.clone(),
            None => start::identify(&loaded.settings, environment, &common.root).map_err(told)?,
        };
        let signals = Signals::install().map_err(|error| error.to_string())?;
        let caches = environment
            .get("XDG_CACHE_HOME")
            .map(PathBuf::from)
            .or_else(|| environment.get("HOME").map(|home| PathBuf::from(home).join(".cache")));
        let cache = caches.unwrap_or_else(std::env::temp_dir).join("biomero-hooks");
        let disk = Disk::below(&common.root);
        Ok(Self { loaded, identity, disk, machine: PidOne::new(signals), cache })
    }

    fn site(&self) -> Site<'_> {
        Site {
            settings: &self.loaded.settings,
            values: &self.loaded.values,
            disk: &self.disk,
            identity: &self.identity,
            arguments: &[],
        }
    }

    /// A component in a file, with its policy.
    fn trial(
        &self,
        component: &std::path::Path,
        policy: Option<&std::path::Path>,
        context: Option<&GuestContext>,
    ) -> Result<Trial, String> {
        let here = [std::path::Path::new(".")];
        let trial = biomero_hooks::trial(component, policy, &here, context, self.cache.clone(), &self.site());
        trial.map_err(|error| error.to_string())
    }
}
