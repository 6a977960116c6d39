//! Hooks whose effects are given: a program to run, or a list from a TOML file.

use std::path::PathBuf;
use std::time::Duration;

use crate::context::{Context, Need};
use crate::effect::{CommandEffect, Effect};
use crate::hook::{Hook, HookError};

/// A hook that runs one program. What the program does is unknown, and a dry run says so.
#[derive(Debug)]
pub(super) struct CommandHook {
    name: String,
    summary: String,
    argv: Vec<String>,
    directory: Option<PathBuf>,
}

impl CommandHook {
    pub(super) fn new(name: &str, summary: &str, argv: Vec<String>, directory: Option<PathBuf>) -> Self {
        Self { name: name.to_owned(), summary: summary.to_owned(), argv, directory }
    }
}

impl Hook for CommandHook {
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
        Ok(vec![Effect::Command(CommandEffect {
            argv: self.argv.clone(),
            environment: Vec::new(),
            directory: self.directory.clone(),
            as_service_user: false,
            // The hook's own deadline is the one that counts.
            deadline: Duration::MAX,
            says: "effects unknown".to_owned(),
        })])
    }
}

/// A hook whose effects a site listed.
#[derive(Debug)]
pub(super) struct ListedHook {
    pub(super) name: String,
    pub(super) summary: String,
    pub(super) effects: Vec<Effect>,
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
