//! What the host keeps for one running instance: what it has used and what it has said.

use wasmtime::ResourceLimiter;

use super::guest::{Level, Line};
use super::limits::{self, Limits};
use crate::visible::is_hidden;

/// See the module.
#[derive(Debug)]
pub(super) struct State {
    memory_limit: usize,
    memory: usize,
    table_entries: usize,
    /// The limit that was in the way, in words.
    pub(super) refused: Option<String>,
    pub(super) lines: Vec<Line>,
    lines_left_out: usize,
}

impl State {
    pub(super) const fn new(limits: &Limits) -> Self {
        Self {
            memory_limit: limits.memory,
            memory: 0,
            table_entries: 0,
            refused: None,
            lines: Vec::new(),
            lines_left_out: 0,
        }
    }

    pub(super) fn say(&mut self, level: Level, text: &str) {
        if self.lines.len() == limits::LINES {
            self.lines_left_out += 1;
            return;
        }
        self.lines.push(Line { level, text: readable(text, limits::LINE) });
    }

    /// Memory of all instances together, in bytes.
    pub(super) const fn memory(&self) -> usize {
        self.memory
    }

    /// What was said, and how much was left out.
    pub(super) fn into_lines(mut self) -> Vec<Line> {
        if self.lines_left_out > 0 {
            let text = format!("{} more lines left out, {} is the limit", self.lines_left_out, limits::LINES);
            self.lines.push(Line { level: Level::Warn, text });
        }
        self.lines
    }
}

/// Text of a component on its way to a terminal or a log: one line, no control characters, cut to `most` bytes.
pub fn readable(text: &str, most: usize) -> String {
    let mut end = text.len().min(most);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    let cut = if end < text.len() { "…" } else { "" };
    let clean = text[..end].trim_end().chars().map(|c| if is_hidden(c) || c == '\t' { ' ' } else { c });
    clean.chain(cut.chars()).collect()
}

impl ResourceLimiter for State {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let total = self.memory.saturating_add(desired.saturating_sub(current));
        if total > self.memory_limit {
            self.refused = Some(format!("its memory limit of {} MiB", self.memory_limit >> 20));
            return Ok(false);
        }
        self.memory = total;
        Ok(true)
    }

    fn table_growing(
        &mut self,
        current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let total = self.table_entries.saturating_add(desired.saturating_sub(current));
        if total > limits::TABLE_ENTRIES {
            self.refused = Some(format!("its limit of {} table entries", limits::TABLE_ENTRIES));
            return Ok(false);
        }
        self.table_entries = total;
        Ok(true)
    }

    fn instances(&self) -> usize {
        limits::PARTS
    }

    fn tables(&self) -> usize {
        limits::PARTS
    }

    fn memories(&self) -> usize {
        limits::PARTS
    }
}
