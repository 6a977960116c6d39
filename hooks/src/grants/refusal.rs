//! What was refused, in words that a component cannot make long, many or misleading.

use std::fmt;

use crate::visible::visible;

/// Refusals that are told; of further ones only the number is.
const TOLD: usize = 20;
/// Characters of each half of a refusal.
const LENGTH: usize = 600;
/// Characters of one word of a component's in it.
const WORD: usize = 200;

/// Something that a hook asked for and that is not granted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{tried}: {rule}")]
pub struct Refusal {
    /// What it tried, in words.
    pub tried: String,
    /// The rule, and what to write to allow it where it can be allowed.
    pub rule: String,
}

/// All that was refused of one plan.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Refusals {
    first: Vec<Refusal>,
    more: usize,
}

impl Refusals {
    pub(super) fn add(&mut self, tried: &str, rule: &str) {
        if self.first.len() == TOLD {
            self.more += 1;
        } else {
            let told = |text: &str| visible(&cut(text, LENGTH)).into_owned();
            self.first.push(Refusal { tried: told(tried), rule: told(rule) });
        }
    }

    /// Whether nothing was refused.
    pub fn is_empty(&self) -> bool {
        self.first.is_empty()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.first.len() + self.more
    }

    /// Those that are told.
    pub fn told(&self) -> &[Refusal] {
        &self.first
    }
}

impl fmt::Display for Refusals {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, refusal) in self.first.iter().enumerate() {
            write!(formatter, "{}{refusal}", if at == 0 { "" } else { "\n  " })?;
        }
        match self.more {
            0 => Ok(()),
            more => write!(formatter, "\n  and {more} more"),
        }
    }
}

/// A component's word as far as it is told.
pub(super) fn short(text: &str) -> String {
    cut(text, WORD)
}

fn cut(text: &str, most: usize) -> String {
    match text.char_indices().nth(most) {
        None => text.to_owned(),
        Some((end, _)) => format!("{}…", &text[..end]),
    }
}
