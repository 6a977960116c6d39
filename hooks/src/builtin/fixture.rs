//! What the tests of the built-in hooks share: a context to plan in, and effects as text for snapshots.

use std::fmt::Write as _;

use biomero_config::{Environment, Settings};

use crate::context::{Context, Facts, Identity, Need};
use crate::effect::{Content, Effect};
use crate::hook::{Hook, HookError};

/// Everything a context borrows.
pub(super) struct Fixture {
    pub(super) settings: Settings,
    pub(super) environment: Environment,
    pub(super) identity: Identity,
}

impl Fixture {
    /// The image's ordinary start: the service user itself, shipped defaults, a master.
    pub(super) fn new() -> Self {
        let mut settings = Settings::shipped();
        settings.master.host = Some("omeroserver".to_owned());
        Self {
            settings,
            environment: Environment::default(),
            identity: Identity {
                uid: 1000,
                gid: 1000,
                service_uid: 1000,
                service_gid: 1000,
                service_name: "omero-server".to_owned(),
                service_home: "/opt/omero/server".into(),
            },
        }
    }

    fn context(&self, facts: Facts) -> Context<'_> {
        Context { settings: &self.settings, environment: &self.environment, identity: &self.identity, facts }
    }

    pub(super) fn needs(&self, hook: &dyn Hook) -> Vec<Need> {
        hook.needs(&self.context(Facts::default()))
    }

    pub(super) fn plan(&self, hook: &dyn Hook, facts: Facts) -> Result<Vec<Effect>, HookError> {
        hook.plan(&self.context(facts))
    }

    /// The plan as text, one effect a paragraph.
    pub(super) fn shown(&self, hook: &dyn Hook, facts: Facts) -> String {
        match self.plan(hook, facts) {
            Ok(effects) => shown(&effects),
            Err(error) => format!("error: {error}"),
        }
    }
}

/// Effects as text; a secret's length stands for it.
pub(super) fn shown(effects: &[Effect]) -> String {
    let mut text = String::new();
    for effect in effects {
        match effect {
            Effect::Directory { path, mode, owner } => {
                let _ = writeln!(text, "directory {} {mode:o} {owner:?}", path.display());
            }
            Effect::File(file) => {
                let _ = write!(text, "file {} {:o} {:?}", file.path.display(), file.mode, file.owner);
                if let Some(lock) = &file.lock {
                    let _ = write!(text, ", lock {}", lock.path.display());
                }
                let _ = match &file.content {
                    Content::Public(bytes) => {
                        writeln!(
                            text,
                            "\n  | {}",
                            String::from_utf8_lossy(bytes).trim_end().replace('\n', "\n  | ")
                        )
                    }
                    Content::Secret(bytes) => writeln!(text, ", {} secret bytes", bytes.reveal().len()),
                };
            }
            Effect::Notice(notice) => {
                let _ = writeln!(text, "notice: {notice}");
            }
            Effect::Variable { name, value } => {
                let value = value.as_ref().map_or("removed".to_owned(), |value| format!("= {value}"));
                let _ = writeln!(text, "variable {name} {value}");
            }
            Effect::MoveAside { path, to, reason } => {
                let _ = writeln!(text, "move {} to {}: {reason}", path.display(), to.display());
            }
            other => {
                let _ = writeln!(text, "{other:?}");
            }
        }
    }
    text
}

/// The one file of a plan with this path.
pub(super) fn file<'a>(effects: &'a [Effect], path: &str) -> &'a crate::effect::FileEffect {
    effects
        .iter()
        .find_map(|effect| match effect {
            Effect::File(file) if file.path == std::path::Path::new(path) => Some(file),
            _ => None,
        })
        .unwrap_or_else(|| panic!("no file {path} in\n{}", shown(effects)))
}
