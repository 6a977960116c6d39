//! `init hooks`: the hooks of this worker in their order, and how each last ran.

use biomero_config::Environment;
use biomero_hooks::{Disk, Manifest, Ran, Scheduled};
use serde_json::json;

use crate::command_line::Common;
use crate::exit_code;
use crate::output::{print, print_json, table};
use crate::start::{self, Ended};

/// A hook and how it last ran, where it did.
type Row = (Scheduled, Option<Ran>);

/// `init hooks`.
pub(crate) fn list(common: &Common, environment: &Environment, json: bool) -> u8 {
    let hooks = match look_up(common, environment) {
        Ok(hooks) => hooks,
        Err(code) => return code,
    };
    if json {
        print_json(&hooks.iter().map(as_json).collect::<Vec<_>>().into());
    } else {
        let rows: Vec<[String; 7]> = hooks.iter().map(as_row).collect();
        print(&table(["ORDER", "HOOK", "KIND", "FROM", "SHA-256", "LAST RUN", "WHAT"], &rows));
    }
    exit_code::SUCCESS
}

fn look_up(common: &Common, environment: &Environment) -> Result<Vec<Row>, Ended> {
    let loaded = start::load(common, environment)?;
    let identity = start::identify(&loaded.settings, environment, &common.root)?;
    let disk = Disk::below(&common.root);
    let hooks = start::schedule(&loaded, &disk, &identity, &[])?;
    // Whoever may not read the manifest, or looks before the first start, still sees what would run.
    let manifest = Manifest::load(&start::manifest_path(&loaded.settings, &disk)).ok();
    let ran = |hook: &Scheduled| manifest.as_ref()?.hooks().iter().find(|ran| ran.name == hook.name).cloned();
    Ok(hooks.into_iter().map(|hook| (ran(&hook), hook)).map(|(ran, hook)| (hook, ran)).collect())
}

fn as_json((hook, ran): &Row) -> serde_json::Value {
    json!({
        "number": hook.number, "name": hook.name, "kind": hook.kind.to_string(),
        "origin": hook.origin.to_string(), "summary": hook.summary, "skipped": hook.skipped,
        "replaces": hook.replaces.as_ref().map(ToString::to_string), "sha256": hook.digest,
        "deadline_ms": u64::try_from(hook.policy.deadline.as_millis()).unwrap_or(u64::MAX),
        "retries": hook.policy.retries, "on_failure": hook.policy.on_failure,
        "after": hook.after, "before": hook.before, "last_run": ran,
    })
}

fn as_row((hook, ran): &Row) -> [String; 7] {
    let number = if hook.number == u16::MAX { "--".to_owned() } else { format!("{:02}", hook.number) };
    let replaces = hook.replaces.as_ref().map(|origin| format!("in place of {origin}'s; "));
    let what = match &hook.skipped {
        Some(reason) => format!("skipped: {reason}"),
        None => format!("{}{}", replaces.unwrap_or_default(), hook.summary),
    };
    let last_run = ran.as_ref().map_or_else(|| "-".to_owned(), |ran| in_words(ran, hook.digest.as_deref()));
    let (kind, origin) = (hook.kind.to_string(), hook.origin.to_string());
    [number, hook.name.clone(), kind, origin, short(hook.digest.as_deref()), last_run, what]
}

/// How a hook last ran, and whether what ran is what would run now.
fn in_words(ran: &Ran, digest: Option<&str>) -> String {
    let mut words = vec![if ran.succeeded { "ok" } else { "failed" }.to_owned()];
    words.extend(ran.component.clone());
    if ran.fell_back {
        words.push(format!("fell back to {}", short(ran.sha256.as_deref())));
    } else if ran.sha256.as_deref() != digest {
        words.push(format!("was {}", short(ran.sha256.as_deref())));
    }
    words.join(", ")
}

fn short(digest: Option<&str>) -> String {
    digest.and_then(|digest| digest.get(..12)).unwrap_or("-").to_owned()
}
