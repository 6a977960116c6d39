//! A hook whose effects are given: a program to run, or a list from a TOML file.

use std::path::PathBuf;
use std::time::Duration;

use crate::context::{Context, Need};
use crate::effect::{CommandEffect, Effect};
use crate::hook::{Hook, HookError};

/// A hook whose effects are known before it is asked.
#[derive(Debug)]
pub(super) struct ListedHook {
    pub(super) name: String,
    pub(super) summary: String,
    pub(super) effects: Vec<Effect>,
}

/// One program to run. What it does is unknown, and a dry run says so.
pub(super) fn program(argv: Vec<String>, directory: Option<PathBuf>, as_service_user: bool) -> Effect {
    Effect::Command(CommandEffect {
        argv,
        environment: Vec::new(),
        directory,
        as_service_user,
        // The hook's own deadline is the one that counts.
        deadline: Duration::MAX,
        says: "effects unknown".to_owned(),
    })
}

impl Hook for ListedHook {
    fn name(&self) -> &str {
        &self.name
    }

    fn summary(&self) -> &str {
        &self.summary
    }

    fn needs(&self, _context: &Context<'_>) -> Vec<Need> {
        Vec::new()
    }

    fn plan(&self, _context: &Context<'_>) -> Result<Vec<Effect>, HookError> {
        Ok(self.effects.clone())
    }
}
