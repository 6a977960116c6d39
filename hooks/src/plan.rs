//! A plan as it is shown: for a reader with a unified diff for every file, for a program as JSON.
//!
//! What others wrote is spelt out for a reader where a terminal would obey it; JSON has it as it is.

use std::fmt::Write as _;
use std::time::Duration;

use biomero_config::mask_urls;
use serde_json::{Value, json};

use crate::change::Change;
use crate::component::Line;
use crate::digest::sha256;
use crate::effect::Effect;
use crate::schedule::{Kind, Origin, Scheduled};
use crate::visible::{visible, visible_lines};
use difference::difference;

mod difference;

/// Time to compare all files of a plan line by line.
const ALL_DIFFS_TIME: Duration = Duration::from_secs(5);

/// What a start-up would do.
#[derive(Debug)]
pub struct Plan {
    /// Every hook, those that are left out included.
    pub hooks: Vec<HookPlan>,
}

/// What one hook would do.
#[derive(Debug)]
pub struct HookPlan {
    number: u16,
    name: String,
    kind: Kind,
    origin: Origin,
    replaces: Option<Origin>,
    skipped: Option<String>,
    pub(crate) effects: Vec<PlannedEffect>,
    pub(crate) failure: Option<String>,
    /// Why the component that last ran well stands in for the one in `hooks.d`.
    pub(crate) fell_back: Option<String>,
    /// What a component said.
    pub(crate) lines: Vec<Line>,
}

/// An effect and what it would change.
#[derive(Debug)]
pub struct PlannedEffect {
    /// The effect.
    pub effect: Effect,
    /// What it would change.
    pub change: Change,
}

impl HookPlan {
    pub(crate) fn of(hook: &Scheduled) -> Self {
        Self {
            number: hook.number,
            name: hook.name.clone(),
            kind: hook.kind,
            origin: hook.origin.clone(),
            replaces: hook.replaces.clone(),
            skipped: hook.skipped.clone(),
            effects: Vec::new(),
            failure: None,
            fell_back: None,
            lines: Vec::new(),
        }
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    fn write(&self, text: &mut String, patience: &mut Duration) {
        let number = if self.number == u16::MAX { "--".to_owned() } else { format!("{:02}", self.number) };
        let _ = write!(text, "{number} {}", visible(&self.name));
        if self.kind != Kind::BuiltIn {
            let _ = write!(text, "  ({}, {})", self.kind, visible(&self.origin.to_string()));
        }
        if let Some(replaced) = &self.replaces {
            let _ = write!(text, "  in place of the one from {}", visible(&replaced.to_string()));
        }
        match &self.skipped {
            Some(reason) => {
                let _ = writeln!(text, "  skipped: {}", visible(reason));
                return;
            }
            None => text.push('\n'),
        }
        if let Some(reason) = &self.fell_back {
            let reason = visible_lines(reason);
            let _ = writeln!(text, " # falls back to the component that last ran well: {reason}");
        }
        for line in &self.lines {
            let _ = writeln!(text, " # says: {}", visible(&line.text));
        }
        for planned in &self.effects {
            planned.write(text, patience);
        }
        if self.effects.is_empty() && self.failure.is_none() {
            text.push_str("   nothing to do\n");
        }
        if let Some(failure) = &self.failure {
            let _ = writeln!(text, "   would fail: {}", visible_lines(failure));
        }
    }

    fn json(&self, patience: &mut Duration) -> Value {
        json!({
            "number": self.number,
            "name": self.name,
            "kind": self.kind.to_string(),
            "origin": self.origin.to_string(),
            "replaces": self.replaces.as_ref().map(ToString::to_string),
            "skipped": self.skipped,
            "failure": self.failure,
            "fell_back": self.fell_back,
            "lines": self.lines,
            "effects": self.effects.iter().map(|planned| planned.json(patience)).collect::<Vec<_>>(),
        })
    }
}

impl Plan {
    /// Whether a start would change the machine, as far as can be known. A program that would run counts.
    pub fn changes(&self) -> usize {
        self.effects().filter(|planned| planned.change.changes_the_machine()).count()
    }

    /// What would fail, for a reader.
    pub fn failures(&self) -> Vec<String> {
        self.failed().map(|failure| visible_lines(&failure).into_owned()).collect()
    }

    fn failed(&self) -> impl Iterator<Item = String> {
        self.hooks.iter().filter_map(|hook| Some(format!("hook {}: {}", hook.name, hook.failure.as_ref()?)))
    }

    /// All effects in order.
    pub fn effects(&self) -> impl Iterator<Item = &PlannedEffect> {
        self.hooks.iter().flat_map(|hook| &hook.effects)
    }

    /// The plan for a reader. Secrets are masked.
    pub fn text(&self) -> String {
        let mut text = String::new();
        let mut patience = ALL_DIFFS_TIME;
        for hook in &self.hooks {
            hook.write(&mut text, &mut patience);
        }
        text
    }

    /// The plan for a program. Secrets are masked; the shape is described in the README.
    pub fn json(&self) -> Value {
        let mut patience = ALL_DIFFS_TIME;
        let hooks: Vec<Value> = self.hooks.iter().map(|hook| hook.json(&mut patience)).collect();
        json!({ "changes": self.changes(), "failures": self.failed().collect::<Vec<_>>(), "hooks": hooks })
    }
}

impl PlannedEffect {
    /// A mark for the margin: what happens to the machine.
    const fn mark(&self) -> char {
        match self.change {
            Change::Nothing => '=',
            Change::Create => '+',
            Change::Replace { .. } | Change::Attributes { .. } | Change::Move => '~',
            Change::Remove => '-',
            Change::Variable { .. } => '$',
            Change::Wait => '?',
            Change::Run => '!',
            Change::Notice => '#',
        }
    }

    /// The effect where nothing is there yet, for a reader. Secrets are masked.
    pub fn text_of_new(effect: &Effect) -> String {
        let change = match effect {
            Effect::Directory { .. } | Effect::File(_) => Change::Create,
            Effect::Remove { .. } => Change::Remove,
            Effect::MoveAside { .. } => Change::Move,
            Effect::Variable { .. } => Change::Variable { was_set: false },
            Effect::WaitTcp { .. } | Effect::WaitPath { .. } => Change::Wait,
            Effect::Command(_) => Change::Run,
            Effect::Notice(_) => Change::Notice,
        };
        let mut text = String::new();
        let mut patience = ALL_DIFFS_TIME;
        Self { effect: effect.clone(), change }.write(&mut text, &mut patience);
        text
    }

    fn write(&self, text: &mut String, patience: &mut Duration) {
        let _ = writeln!(text, " {} {}", self.mark(), self.sentence());
        if let Some(difference) = self.difference(patience) {
            for line in difference.trim_end_matches('\n').split('\n') {
                let _ = writeln!(text, "     {}", visible(line));
            }
        }
    }

    /// For a file whose content would be another.
    fn difference(&self, patience: &mut Duration) -> Option<String> {
        match (&self.effect, &self.change) {
            (Effect::File(file), Change::Create) => Some(difference(file, None, patience)),
            (Effect::File(file), Change::Replace { before }) => {
                Some(difference(file, Some(before), patience))
            }
            _ => None,
        }
    }

    fn sentence(&self) -> String {
        let would = if self.change == Change::Run { "would " } else { "" };
        format!("{would}{}", sentence(&self.effect, &self.change))
    }

    fn json(&self, patience: &mut Duration) -> Value {
        let change = match &self.change {
            Change::Nothing => "nothing",
            Change::Create => "create",
            Change::Replace { .. } => "replace",
            Change::Attributes { .. } => "attributes",
            Change::Remove => "remove",
            Change::Move => "move",
            Change::Variable { .. } => "variable",
            Change::Wait => "wait",
            Change::Run => "run",
            Change::Notice => "notice",
        };
        let mut value = match &self.effect {
            Effect::Directory { path, mode, owner } => json!({
                "effect": "directory", "path": path, "mode": format!("{mode:o}"), "owner": owner.name(),
            }),
            Effect::File(file) => {
                let mut value = json!({
                    "effect": "file", "path": file.path, "mode": format!("{:o}", file.mode),
                    "owner": file.owner.name(), "secret": file.content.is_secret(),
                });
                if !file.content.is_secret() {
                    value["sha256"] = sha256(file.content.bytes()).into();
                }
                if let Some(difference) = self.difference(patience) {
                    value["diff"] = difference.into();
                }
                value
            }
            Effect::Remove { path } => json!({ "effect": "remove", "path": path }),
            Effect::MoveAside { path, to, reason } => {
                json!({ "effect": "move-aside", "path": path, "to": to, "reason": reason })
            }
            Effect::Variable { name, value } => {
                let value = value.as_ref().map(|value| mask_urls(&value.to_string()));
                json!({ "effect": "variable", "name": name, "value": value })
            }
            Effect::WaitTcp { address, deadline } => {
                json!({ "effect": "wait-tcp", "address": address, "deadline_ms": millis(*deadline) })
            }
            Effect::WaitPath { path, deadline } => {
                json!({ "effect": "wait-path", "path": path, "deadline_ms": millis(*deadline) })
            }
            Effect::Command(command) => json!({
                "effect": "command",
                "argv": command.argv.iter().map(|word| mask_urls(word)).collect::<Vec<_>>(),
                "says": command.says,
            }),
            Effect::Notice(notice) => json!({ "effect": "notice", "text": notice }),
        };
        value["change"] = change.into();
        value
    }
}

/// An effect in one line, secrets masked.
pub fn sentence(effect: &Effect, change: &Change) -> String {
    visible(&plain_sentence(effect, change)).into_owned()
}

fn plain_sentence(effect: &Effect, change: &Change) -> String {
    let attributes = match change {
        Change::Attributes { mode, owner } => {
            let mode = mode.map(|mode| format!("mode was {mode:o}"));
            let owner = owner.map(|(uid, gid)| format!("owner was {uid}:{gid}"));
            let parts: Vec<String> = mode.into_iter().chain(owner).collect();
            format!(" ({})", parts.join(", "))
        }
        _ => String::new(),
    };
    match effect {
        Effect::Directory { path, mode, owner } => {
            format!("directory {} {mode:o} {}{attributes}", path.display(), owner.name())
        }
        Effect::File(file) => {
            let secret = if file.content.is_secret() { " (secret)" } else { "" };
            format!("file {} {:o} {}{secret}{attributes}", file.path.display(), file.mode, file.owner.name())
        }
        Effect::Remove { path } => format!("remove {}", path.display()),
        Effect::MoveAside { path, to, reason } => {
            format!("move {} to {}: {reason}", path.display(), to.display())
        }
        Effect::Variable { name, value: Some(value) } => format!("{name}={}", mask_urls(&value.to_string())),
        Effect::Variable { name, value: None } => format!("unset {name}"),
        Effect::WaitTcp { address, deadline } => {
            format!("wait until {address} accepts a connection, {}", limit(*deadline))
        }
        Effect::WaitPath { path, deadline } => {
            format!("wait until {} exists, {}", path.display(), limit(*deadline))
        }
        Effect::Command(command) => {
            format!("run {}: {}", mask_urls(&command.argv.join(" ")), command.says)
        }
        Effect::Notice(notice) => notice.clone(),
    }
}

fn limit(deadline: std::time::Duration) -> String {
    format!("{} at most", biomero_config::duration::display(deadline))
}

fn millis(deadline: std::time::Duration) -> u64 {
    u64::try_from(deadline.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
