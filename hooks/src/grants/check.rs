//! The check of effects.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::Grants;
use crate::effect::Effect;

/// What no grant covers.
#[derive(Debug, Clone, Default)]
pub(crate) struct Protected {
    /// `init`'s own files and directories, with everything below them.
    pub(crate) own: Vec<PathBuf>,
    /// Files that other hooks of this start rendered, with the hook's name. Only a grant of exactly that path covers
    /// one.
    pub(crate) rendered: BTreeMap<PathBuf, String>,
}

/// Something that a hook asked for and that is not granted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{tried}: {rule}")]
pub struct Refusal {
    /// What it tried, in words.
    pub tried: String,
    /// The rule, and what to write to allow it where it can be allowed.
    pub rule: String,
}

impl Grants {
    /// Everything among the effects that is not granted, in their order.
    pub(crate) fn check(&self, _effects: &[Effect], _protected: &Protected) -> Vec<Refusal> {
        Vec::new()
    }
}
