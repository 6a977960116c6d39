//! A mounted key and a `known_hosts` of any content: nothing outside of the target, and no secret in a message.

use crate::plan;
use biomero_hooks::builtin::SshKeysHook;
use biomero_hooks::{Effect, Facts, FileFact, TreeEntry};

const TARGET: &str = "/opt/omero/server/.ssh";

pub(crate) fn run(data: &[u8]) {
    let entry = |path: &str| TreeEntry { path: path.into(), fact: FileFact::file(data) };
    let facts = Facts::default()
        .with_tree("/tmp/.ssh", ["config", "id_rsa", "id_rsa.pub", "known_hosts"].map(entry).to_vec())
        .with_file(format!("{TARGET}/known_hosts"), FileFact::file(data));
    for effect in plan(&SshKeysHook, facts).unwrap_or_default() {
        match effect {
            Effect::File(file) => assert!(file.path.starts_with(TARGET), "{:?}", file.path),
            Effect::Directory { path, .. } => assert!(path.starts_with(TARGET)),
            Effect::Notice(_) => {}
            other => panic!("{other:?}"),
        }
    }
}
