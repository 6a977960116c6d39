//! What lies in a component's memory where its answer should be, of any content: effects that are checked and shown,
//! or an error.

use std::path::Path;
use std::sync::LazyLock;
use std::time::Duration;

use crate::SETTINGS;
use crate::component::{InProcess, componentize, trial};
use biomero_config::Environment;
use biomero_hooks::component::{FileContent, FileState, GuestContext, InputFile, answer_json, unexpected};
use biomero_hooks::{Disk, Effect, Identity, PlannedEffect, Start, Trial};

const POLICY: &str = "component = \"hook.wasm\"\n\n[limits]\nfuel = 200000\nmemory_mib = 16\n\n[grants]\n\
    read = [\"/answer\"]\nwrite = [\"/srv/\"]\nset = [\"*\"]\nwait = [\"db:*\"]\nrun = [[\"true\"]]\n";

/// Wants the file `/answer`, which is put at 4096, and answers with what is there. All other strings go below.
const MODULE: &str = include_str!("component_answer.wat");

thread_local! {
    static TRIAL: LazyLock<Trial> = LazyLock::new(|| {
        let folder = tempfile::tempdir().expect("a folder").keep();
        let trial = trial(&folder, &componentize(MODULE), POLICY);
        trial.hook.prepare(false, Duration::from_secs(60), &mut InProcess).expect("it is a hook");
        trial
    });
}

pub(crate) fn run(data: &[u8]) {
    let context = GuestContext {
        settings: Default::default(),
        environment: Default::default(),
        identity: Identity::of_this_process(),
        files: vec![InputFile {
            asked: "/answer".to_owned(),
            path: "/answer".to_owned(),
            state: FileState::File {
                content: FileContent::Hexadecimal(data.to_vec()),
                mode: 0o644,
                owner: 0,
            },
        }],
        addresses: Vec::new(),
    };
    let environment = Environment::default();
    let start = Start {
        settings: &SETTINGS,
        identity: &context.identity,
        environment: &environment,
        run_programs: false,
    };
    TRIAL.with(|trial| {
        let answer = trial.hook.plan(&context, &mut InProcess);
        let answered = answer_json(&answer);
        assert_eq!(unexpected(&answered, &answered), None);
        let Ok(effects) = answer else { return };
        for effect in &effects {
            let shown = PlannedEffect::text_of_new(effect);
            assert!(!shown.contains('\u{1b}'), "{shown:?}");
            let refusals =
                biomero_hooks::refusals(&trial.hook, std::slice::from_ref(effect), &start, &Disk::below("/"));
            if let (Effect::File(file), true) = (effect, refusals.is_empty()) {
                assert!(file.path.starts_with("/srv/") && file.path != Path::new("/srv"), "{:?}", file.path);
                assert_eq!(file.mode & !0o777, 0);
            }
        }
    });
}
