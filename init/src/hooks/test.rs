//! `init hooks test`: one component, one recorded context, and what its grants say of the answer. Nothing is changed.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use biomero_config::Environment;
use biomero_hooks::component::{ComponentHook, GuestContext, Level, answer_json, unexpected};
use biomero_hooks::{Effect, PlannedEffect, Refusals, Start, Trial};

use super::Bench;
use crate::command_line::{Common, HookTest};
use crate::exit_code;
use crate::output::{error, print, print_json, warning};

/// Runs the component and shows what came of it.
pub(crate) fn test(common: &Common, environment: &Environment, options: &HookTest) -> Result<u8, String> {
    let recorded: GuestContext = read_json(&options.context, "init hooks context")?;
    let expected: Option<serde_json::Value> =
        options.expect.as_deref().map(|path| read_json(path, "init hooks test --json")).transpose()?;
    let mut bench = Bench::new(common, environment, Some(&recorded.identity))?;
    let trial = bench.trial(&options.component, options.policy.as_deref(), Some(&recorded))?;
    let hook = &trial.hook;
    let deadline = bench.loaded.settings.hooks.default.deadline;
    hook.prepare(true, deadline, &mut bench.machine).map_err(|error| told(hook, &error))?;
    let (told_context, missing) = hook.select(&recorded).map_err(|error| error.to_string())?;
    for missing in missing {
        warning(format!("{} has not {missing}", options.context.display()));
    }
    let answer = hook.plan(&told_context, &mut bench.machine);
    let start = Start {
        settings: &bench.loaded.settings,
        identity: &bench.identity,
        environment,
        run_programs: false,
    };
    let refusals = |effects: &[Effect]| biomero_hooks::refusals(hook, effects, &start, &bench.disk);
    let answered = answer_json(&answer);
    if options.json {
        print_json(&answered);
    } else {
        print(&report(&trial, &told_context, &answer, &refusals));
    }
    let refused = answer.as_ref().map(|effects| refusals(effects)).unwrap_or_default();
    if !refused.is_empty() {
        error(format!("{}: {refused}", hook.name()));
    }
    let difference = expected.as_ref().and_then(|expected| unexpected(expected, &answered));
    if let (Some(difference), Some(path)) = (&difference, &options.expect) {
        error(format!("{}: the answer is not what {} expects:\n{difference}", hook.name(), path.display()));
    }
    // A hook may be expected to fail: then its error is the answer.
    let failed = expected.is_none() && answer.is_err();
    if let (Err(reason), true) = (&answer, failed) {
        error(format!("{}: {reason}", hook.name()));
    }
    let is_well = refused.is_empty() && difference.is_none() && !failed;
    Ok(if is_well { exit_code::SUCCESS } else { exit_code::FAILURE })
}

fn told(hook: &ComponentHook, error: &dyn std::fmt::Display) -> String {
    for line in hook.take_lines() {
        warning(format!("{} says: {}", hook.name(), line.text));
    }
    format!("{}: {error}", hook.name())
}

fn report(
    trial: &Trial,
    context: &GuestContext,
    answer: &Result<Vec<Effect>, biomero_hooks::HookError>,
    refusals: &dyn Fn(&[Effect]) -> Refusals,
) -> String {
    let hook = &trial.hook;
    let mut text = String::new();
    if let Some(description) = hook.description() {
        let _ = writeln!(text, "hook     {}", hook.name());
        let _ =
            writeln!(text, "is       {} {}: {}", description.name, description.version, description.summary);
    }
    let pinned = match trial.is_pinned {
        Some(true) => "pinned",
        Some(false) => "another file is pinned: init hooks pin it",
        None => "not pinned",
    };
    let _ = writeln!(text, "sha256   {} ({pinned})", hook.source().digest);
    let policy = trial.policy.as_ref().map_or_else(
        || "none names it: nothing is granted".to_owned(),
        |policy| policy.display().to_string(),
    );
    let _ = writeln!(text, "policy   {policy}");
    let _ = writeln!(
        text,
        "is told  {} settings, {} variables, {} files, {} addresses",
        context.settings.len(),
        context.environment.len(),
        context.files.len(),
        context.addresses.len()
    );
    for line in hook.take_lines() {
        let level = match line.level {
            Level::Debug => "debug",
            Level::Info => "info",
            Level::Warn => "warn",
        };
        let _ = writeln!(text, "says     {level}: {}", line.text);
    }
    let (spent, limits) = (hook.spent(), hook.source().limits);
    let _ = writeln!(
        text,
        "uses     {:.1} ms of {}, {:.1} MiB of {} MiB, {} of {} units of fuel",
        spent.time.as_secs_f64() * 1e3,
        biomero_config::duration::display(limits.time),
        spent.memory as f64 / f64::from(1 << 20),
        limits.memory >> 20,
        spent.fuel,
        limits.fuel
    );
    match answer {
        Ok(effects) if effects.is_empty() => text.push_str("effects  none\n"),
        Ok(effects) => {
            text.push_str("effects\n");
            for effect in effects {
                text.push_str(&PlannedEffect::text_of_new(effect));
                for refusal in refusals(std::slice::from_ref(effect)).told() {
                    let _ = writeln!(text, "   REFUSED {}", refusal.rule);
                }
            }
        }
        Err(error) => {
            let _ = writeln!(text, "fails    {error}");
        }
    }
    text
}

/// Reads a file that a command of ours wrote.
fn read_json<T: serde::de::DeserializeOwned>(path: &Path, written_by: &str) -> Result<T, String> {
    let content = fs::read(path).map_err(|error| format!("cannot read {}: {error}", path.display()))?;
    serde_json::from_slice(&content)
        .map_err(|error| format!("{}: {error}; `{written_by}` writes such a file", path.display()))
}
