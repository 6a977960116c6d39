//! `config.xml` as another program may have left it: set properties in it, and find nothing to do the second time.

use std::path::Path;

use crate::plan;
use biomero_hooks::builtin::OmeroPropertiesHook;
use biomero_hooks::{Effect, Facts, FileFact};

const CONFIG: &str = "/opt/omero/server/OMERO.server/etc/grid/config.xml";

pub(crate) fn run(data: &[u8]) {
    let planned = |content: &[u8]| {
        let facts = Facts::default().with_file(CONFIG, FileFact::file(content));
        let effects = plan(&OmeroPropertiesHook, facts).ok()?;
        Some(effects.into_iter().find_map(|effect| match effect {
            Effect::File(file) if file.path == Path::new(CONFIG) => Some(file.content.bytes().to_vec()),
            _ => None,
        }))
    };
    let Some(Some(written)) = planned(data) else { return };
    let again = planned(&written).expect("what was written is understood");
    assert!(again.is_none_or(|again| again == written), "the second time changes it again");
}
