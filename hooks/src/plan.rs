//! A plan as it is shown: for a reader with a unified diff for every file, for a program as JSON.

use std::fmt::Write as _;

use biomero_config::{MASK, mask_urls};
use serde_json::{Value, json};
use similar::TextDiff;

use crate::change::Change;
use crate::component::Line;
use crate::digest::sha256;
use crate::effect::{Content, Effect, FileEffect, Owner};
use crate::schedule::{Kind, Origin, Scheduled};

/// A diff longer than this is cut, and says so; the digest still tells the whole.
const DIFF_LINES: usize = 400;
/// Files larger than this are not compared line by line.
const DIFF_BYTES: usize = 1 << 20;

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
}

impl Plan {
    /// Whether a start would change the machine, as far as can be known. A program that would run counts.
    pub fn changes(&self) -> usize {
        self.effects().filter(|planned| planned.change.changes_the_machine()).count()
    }

    /// What would fail.
    pub fn failures(&self) -> Vec<String> {
        self.hooks
            .iter()
            .filter_map(|hook| hook.failure.as_ref().map(|failure| format!("hook {}: {failure}", hook.name)))
            .collect()
    }

    /// All effects in order.
    pub fn effects(&self) -> impl Iterator<Item = &PlannedEffect> {
        self.hooks.iter().flat_map(|hook| &hook.effects)
    }

    /// The plan for a reader. Secrets are masked.
    pub fn text(&self) -> String {
        let mut text = String::new();
        for hook in &self.hooks {
            let number =
                if hook.number == u16::MAX { "--".to_owned() } else { format!("{:02}", hook.number) };
            let _ = write!(text, "{number} {}", hook.name);
            if hook.kind != Kind::BuiltIn {
                let _ = write!(text, "  ({}, {})", hook.kind, hook.origin);
            }
            if let Some(replaced) = &hook.replaces {
                let _ = write!(text, "  in place of the one from {replaced}");
            }
            match &hook.skipped {
                Some(reason) => {
                    let _ = writeln!(text, "  skipped: {reason}");
                    continue;
                }
                None => text.push('\n'),
            }
            if let Some(reason) = &hook.fell_back {
                let _ = writeln!(text, " # falls back to the component that last ran well: {reason}");
            }
            for line in &hook.lines {
                let _ = writeln!(text, " # says: {}", line.text);
            }
            for planned in &hook.effects {
                planned.write(&mut text);
            }
            if hook.effects.is_empty() && hook.failure.is_none() {
                text.push_str("   nothing to do\n");
            }
            if let Some(failure) = &hook.failure {
                let _ = writeln!(text, "   would fail: {failure}");
            }
        }
        text
    }

    /// The plan for a program. Secrets are masked; the shape is described in the README.
    pub fn json(&self) -> Value {
        let hooks: Vec<Value> = self
            .hooks
            .iter()
            .map(|hook| {
                json!({
                    "number": hook.number,
                    "name": hook.name,
                    "kind": hook.kind.to_string(),
                    "origin": hook.origin.to_string(),
                    "replaces": hook.replaces.as_ref().map(ToString::to_string),
                    "skipped": hook.skipped,
                    "failure": hook.failure,
                    "fell_back": hook.fell_back,
                    "lines": hook.lines,
                    "effects": hook.effects.iter().map(PlannedEffect::json).collect::<Vec<_>>(),
                })
            })
            .collect();
        json!({ "changes": self.changes(), "failures": self.failures(), "hooks": hooks })
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
        Self { effect: effect.clone(), change }.write(&mut text);
        text
    }

    fn write(&self, text: &mut String) {
        let _ = writeln!(text, " {} {}", self.mark(), self.sentence());
        if let Effect::File(file) = &self.effect {
            let before = match &self.change {
                Change::Create => Some(None),
                Change::Replace { before } => Some(before.as_deref()),
                _ => None,
            };
            if let Some(before) = before {
                for line in difference(file, before).lines() {
                    let _ = writeln!(text, "     {line}");
                }
            }
        }
    }

    fn sentence(&self) -> String {
        let would = if self.change == Change::Run { "would " } else { "" };
        format!("{would}{}", sentence(&self.effect, &self.change))
    }

    fn json(&self) -> Value {
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
                "effect": "directory", "path": path, "mode": format!("{mode:o}"), "owner": owner_name(*owner),
            }),
            Effect::File(file) => {
                let mut value = json!({
                    "effect": "file", "path": file.path, "mode": format!("{:o}", file.mode),
                    "owner": owner_name(file.owner), "secret": file.content.is_secret(),
                });
                if !file.content.is_secret() {
                    value["sha256"] = sha256(file.content.bytes()).into();
                }
                if let Change::Create | Change::Replace { .. } = self.change {
                    let before = match &self.change {
                        Change::Replace { before } => before.as_deref(),
                        _ => None,
                    };
                    value["diff"] = difference(file, before).into();
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
            format!("directory {} {mode:o} {}{attributes}", path.display(), owner_name(*owner))
        }
        Effect::File(file) => {
            let secret = if file.content.is_secret() { " (secret)" } else { "" };
            format!(
                "file {} {:o} {}{secret}{attributes}",
                file.path.display(),
                file.mode,
                owner_name(file.owner)
            )
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

const fn owner_name(owner: Owner) -> &'static str {
    match owner {
        Owner::ServiceUser => "service-user",
        Owner::Init => "init",
    }
}

/// A unified diff from what is there to what would be; for a secret only its size and whether it differs.
fn difference(file: &FileEffect, before: Option<&[u8]>) -> String {
    let after = match &file.content {
        Content::Secret(bytes) => {
            let then =
                before.map_or_else(|| "new".to_owned(), |before| format!("was {} bytes", before.len()));
            return format!("{MASK} ({} bytes, {then}; secret content is not shown)\n", bytes.reveal().len());
        }
        Content::Public(bytes) => bytes,
    };
    let (Ok(old), Ok(new)) = (std::str::from_utf8(before.unwrap_or_default()), std::str::from_utf8(after))
    else {
        return format!("binary content, {} bytes, SHA-256 {}\n", after.len(), sha256(after));
    };
    if old.len().max(new.len()) > DIFF_BYTES {
        return format!("{} bytes, SHA-256 {}; too large to show\n", after.len(), sha256(after));
    }
    let (old, new) = (mask_urls(old), mask_urls(new));
    let path = file.path.display().to_string();
    let from = if before.is_some() { path.as_str() } else { "/dev/null" };
    let diff = TextDiff::from_lines(old.as_str(), new.as_str());
    let unified = diff.unified_diff().context_radius(2).header(from, &path).to_string();
    let lines = unified.lines().count();
    if lines <= DIFF_LINES {
        return unified;
    }
    let mut cut: String = unified.split_inclusive('\n').take(DIFF_LINES).collect();
    let _ = writeln!(cut, "… {} more lines", lines - DIFF_LINES);
    cut
}
