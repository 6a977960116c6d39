//! A plan as it is shown: for a reader with a unified diff for every file, for a program as JSON.
//!
//! What others wrote is spelt out for a reader where a terminal would obey it; JSON has it as it is.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use biomero_config::{MASK, mask_urls};
use serde_json::{Value, json};
use similar::TextDiff;

use crate::change::{Before, Change, SHOWN};
use crate::component::Line;
use crate::digest::sha256;
use crate::effect::{Content, Effect, FileEffect, Owner};
use crate::schedule::{Kind, Origin, Scheduled};
use crate::visible::{visible, visible_lines};

/// A diff longer than this is cut, and says so; the digest still tells the whole.
const DIFF_LINES: usize = 400;
/// Time to compare one file line by line; what takes longer is told by sizes and digests.
const DIFF_TIME: Duration = Duration::from_millis(500);
/// The same for all files of a plan together.
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
fn difference(file: &FileEffect, before: Option<&Before>, patience: &mut Duration) -> String {
    let after = match &file.content {
        Content::Secret(bytes) => {
            let then = was(before, |_| String::new());
            let bytes = bytes.reveal().len();
            return format!("{MASK} ({bytes} bytes, {then}; secret content is not shown)\n");
        }
        Content::Public(bytes) => bytes,
    };
    let in_short = |why: &str| {
        let then = was(before, |bytes| format!(", SHA-256 {}", sha256(bytes)));
        format!("{} bytes, SHA-256 {}, {then}; {why}\n", after.len(), sha256(after))
    };
    let old = match before {
        Some(Before::LargeFile(_)) => return in_short("too large to show"),
        Some(Before::File(bytes)) => Some(bytes.as_slice()),
        Some(Before::Other) | None => None,
    };
    if after.len() as u64 > SHOWN {
        return in_short("too large to show");
    }
    let (Ok(old_text), Ok(new)) = (std::str::from_utf8(old.unwrap_or_default()), std::str::from_utf8(after))
    else {
        return in_short("binary content");
    };
    let (old_text, new) = (mask_urls(old_text), mask_urls(new));
    let path = file.path.display().to_string();
    let from = if old.is_some() { path.as_str() } else { "/dev/null" };
    let (began, time) = (Instant::now(), DIFF_TIME.min(*patience));
    let diff = TextDiff::configure().timeout(time).diff_lines(old_text.as_str(), new.as_str());
    let took = began.elapsed();
    *patience = patience.saturating_sub(took);
    if took >= time {
        return in_short("comparing it line by line takes too long");
    }
    let unified = diff.unified_diff().context_radius(2).header(from, &path).to_string();
    let lines = unified.lines().count();
    if lines <= DIFF_LINES {
        return unified;
    }
    let mut cut: String = unified.split_inclusive('\n').take(DIFF_LINES).collect();
    let _ = writeln!(cut, "… {} more lines", lines - DIFF_LINES);
    cut
}

/// What was there, in short; `more` says of a file's content what else is to be said.
fn was(before: Option<&Before>, more: impl Fn(&[u8]) -> String) -> String {
    match before {
        Some(Before::File(bytes)) => format!("was {} bytes{}", bytes.len(), more(bytes)),
        Some(Before::LargeFile(bytes)) => format!("was {bytes} bytes"),
        Some(Before::Other) => "was no readable file".to_owned(),
        None => "new".to_owned(),
    }
}

#[cfg(test)]
mod tests;
