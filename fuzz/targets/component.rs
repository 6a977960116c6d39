//! A `.wasm` of any content: no hook or a hook, and never more than its limits.
#![no_main]

use std::time::Duration;

use biomero_config::Environment;
use biomero_fuzz::component::{InProcess, trial};
use biomero_fuzz::{SETTINGS, root_with};
use biomero_hooks::{Context, Facts, Identity};
use libfuzzer_sys::fuzz_target;

const POLICY: &str = "component = \"hook.wasm\"\n\n[limits]\nfuel = 200000\nmemory_mib = 16\n\n[grants]\n";

fuzz_target!(|data: &[u8]| {
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
});
