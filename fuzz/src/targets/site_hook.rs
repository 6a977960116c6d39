//! A file of `hooks.d` of any content: a hook or problems, and every path that it names absolute and without `..`.

use std::path::Component;

use crate::{SETTINGS, root_with};
use biomero_config::{Environment, Values};
use biomero_hooks::{Context, Disk, Effect, Facts, Identity, Site, schedule};

pub(crate) fn run(data: &[u8]) {
    let disk = Disk::below(root_with("etc/biomero/hooks.d/50-site.toml", data));
    let identity = Identity::of_this_process();
    let values = Values::default();
    let site =
        Site { settings: &SETTINGS, values: &values, disk: &disk, identity: &identity, arguments: &[] };
    let Ok(hooks) = schedule(biomero_hooks::builtin::all(), &site) else { return };
    let environment = Environment::default();
    for hook in hooks.iter().filter(|hook| hook.digest.is_some()).filter_map(|hook| hook.hook()) {
        let context = Context {
            settings: &SETTINGS,
            environment: &environment,
            identity: &identity,
            facts: Facts::default(),
        };
        for effect in hook.plan(&context).unwrap_or_default() {
            let path = match &effect {
                Effect::File(file) => &file.path,
                Effect::Directory { path, .. } | Effect::Remove { path } | Effect::WaitPath { path, .. } => {
                    path
                }
                _ => continue,
            };
            assert!(
                path.is_absolute() && !path.components().any(|part| part == Component::ParentDir),
                "{path:?}"
            );
        }
    }
}
