//! A `.wasm` of any content: no hook or a hook, and never more than its limits.

use std::time::Duration;

use crate::component::{InProcess, trial};
use crate::{SETTINGS, root_with};
use biomero_config::Environment;
use biomero_hooks::{Context, Facts, Identity};

const POLICY: &str = "component = \"hook.wasm\"\n\n[limits]\nfuel = 200000\nmemory_mib = 16\n\n[grants]\n";

pub(crate) fn run(data: &[u8]) {
    let trial = trial(root_with("hook.wasm", data), data, POLICY);
    if trial.hook.prepare(false, Duration::from_secs(10), &mut InProcess).is_err() {
        return;
    }
    let (environment, identity) = (Environment::default(), Identity::of_this_process());
    let context = Context {
        settings: &SETTINGS,
        environment: &environment,
        identity: &identity,
        facts: Facts::default(),
    };
    if let Ok(told) = trial.hook.told(&context) {
        let _ = trial.hook.plan(&told, &mut InProcess);
    }
    assert!(trial.hook.spent().memory <= 16 << 20);
}
