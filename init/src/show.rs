//! The commands that answer a question and change nothing.

use biomero_config::{Environment, Loaded, Row, slurm_config};
use biomero_hooks::{Disk, Manifest, Overlay};
use serde_json::json;

use crate::command_line::{Common, Start};
use crate::control::client;
use crate::output::{error, print, print_json, table, warning as warn};
use crate::signals::Signals;
use crate::start::{self, Ended};
use crate::{exit_code, machine};

/// `init --dry-run`.
pub(crate) fn dry_run(common: &Common, options: &Start, environment: &Environment) -> u8 {
    let run = || -> Result<u8, Ended> {
        let loaded = start::load(common, environment)?;
        let identity = start::identify(&loaded.settings, environment, &common.root)?;
        let disk = Disk::below(&common.root);
        let hooks = start::schedule(&loaded, &disk, &identity, &[])?;
        let signals = Signals::install().map_err(|reason| {
            error(reason);
            exit_code::FAILURE
        })?;
        let mut machine = machine::PidOne::new(signals);
        let on = biomero_hooks::Start {
            settings: &loaded.settings,
            identity: &identity,
            environment,
            run_programs: false,
        };
        let plan = biomero_hooks::plan(&on, &hooks, Overlay::over(disk), &mut machine);
        let failures = plan.failures();
        if options.json {
            let mut answer = plan.json();
            answer["warnings"] = loaded.warnings.clone().into();
            answer["services"] = services(&loaded).iter().map(Enabled::json).collect();
            print_json(&answer);
        } else {
            for warning in &loaded.warnings {
                print(&format!("# {warning}"));
            }
            print(&plan.text());
            for service in services(&loaded) {
                print(&service.sentence());
            }
            print(&match (failures.len(), plan.changes()) {
                (0, 0) => "nothing would change".to_owned(),
                (0, changes) => format!("{changes} changes; nothing was changed (dry run)"),
                (failed, changes) => {
                    format!("{failed} hooks would fail, {changes} changes; nothing was changed")
                }
            });
        }
        for failure in &failures {
            error(failure);
        }
        Ok(match (failures.is_empty(), plan.changes()) {
            (false, _) => exit_code::FAILURE,
            (true, 0) => exit_code::SUCCESS,
            (true, _) => exit_code::CHANGES,
        })
    };
    // A dry run has three answers; whatever keeps it from planning is the third.
    run().unwrap_or(exit_code::FAILURE)
}

/// A service that a start would start, as the settings tell it: secrets masked.
struct Enabled<'a> {
    name: &'a str,
    main: bool,
    /// The key that says how, and its value.
    started: Option<&'a Row>,
}

impl Enabled<'_> {
    fn sentence(&self) -> String {
        let Self { name, main, started } = self;
        let by = started.map(|row| format!(": {} = {}", row.key, row.value)).unwrap_or_default();
        format!("service {name}{} would start{by}", if *main { " (main)" } else { "" })
    }

    fn json(&self) -> serde_json::Value {
        let started = self.started.map(|row| json!({ "key": row.key, "value": row.value }));
        json!({ "name": self.name, "main": self.main, "started": started })
    }
}

/// What is enabled, by name.
fn services(loaded: &Loaded) -> Vec<Enabled<'_>> {
    let row = |key: String| loaded.describe().iter().find(|row| row.key == key);
    let enabled = loaded.settings.services.iter().filter(|(_, service)| service.enabled);
    let told = enabled.map(|(name, service)| Enabled {
        name,
        main: service.main,
        started: row(format!("services.{name}.command")).or_else(|| row(format!("services.{name}.launcher"))),
    });
    told.collect()
}

/// `init config`.
pub(crate) fn config(common: &Common, environment: &Environment, json: bool) -> u8 {
    let loaded = match start::load(common, environment) {
        Ok(loaded) => loaded,
        Err(code) => return code,
    };
    let mut rows = loaded.describe().to_vec();
    rows.extend(biomero_config::variables_passed_through(environment));
    if json {
        let rows: Vec<_> = rows
            .iter()
            .map(|row| json!({ "key": row.key, "value": row.value, "origin": row.origin.to_string() }))
            .collect();
        print_json(&json!({ "settings": rows, "warnings": loaded.warnings }));
        return exit_code::SUCCESS;
    }
    print(&biomero_config::table(&rows));
    for warning in &loaded.warnings {
        warn(warning);
    }
    exit_code::SUCCESS
}

/// `init verify`.
pub(crate) fn verify(common: &Common, environment: &Environment, json: bool) -> u8 {
    let Ok(loaded) = start::load(common, environment) else { return exit_code::FAILURE };
    let disk = Disk::below(&common.root);
    let manifest = match Manifest::load(&start::manifest_path(&loaded.settings, &disk)) {
        Ok(manifest) => manifest,
        Err(reason) => {
            error(reason);
            return exit_code::FAILURE;
        }
    };
    let drift = manifest.drift(&disk);
    if json {
        print_json(&json!({ "checked": manifest.len(), "drift": drift }));
    } else if drift.is_empty() {
        print(&format!("{} files and directories are as they were rendered", manifest.len()));
    } else {
        for drift in &drift {
            print(&format!("{} {} (hook {})", drift.path.display(), drift.what, drift.hook));
        }
        print("restart the worker to render them again, or `init --dry-run` to see the difference");
    }
    if drift.is_empty() { exit_code::SUCCESS } else { exit_code::CHANGES }
}

/// `init slurm-config`.
pub(crate) fn slurm_config(common: &Common, environment: &Environment, origin: bool, json: bool) -> u8 {
    let (loaded, identity) = match start::load(common, environment).and_then(|loaded| {
        start::identify(&loaded.settings, environment, &common.root).map(|who| (loaded, who))
    }) {
        Ok(both) => both,
        Err(code) => return code,
    };
    let disk = Disk::below(&common.root);
    let look = |path: &std::path::Path| disk.fact(path, &identity);
    let (sources, passed_over) =
        match biomero_hooks::builtin::read_slurm_config(&loaded.settings, &identity, look) {
            Ok(read) => read,
            Err(reason) => {
                error(reason);
                return exit_code::INPUT;
            }
        };
    let merged = match slurm_config::merge(&sources) {
        Ok(merged) => merged,
        Err(problems) => {
            problems.into_iter().for_each(error);
            return exit_code::CONFIGURATION;
        }
    };
    let (problems, ignored) = match merged.typed(environment) {
        Ok(typed) => (Vec::new(), typed.warnings),
        Err(problems) => (problems, Vec::new()),
    };
    let warnings = merged.warnings().iter().chain(&ignored).map(ToString::to_string);
    for warning in passed_over.into_iter().chain(warnings) {
        warn(warning);
    }
    let verdict = if problems.is_empty() { exit_code::SUCCESS } else { exit_code::CONFIGURATION };
    problems.into_iter().for_each(error);
    let rows = merged.rows(environment);
    if json {
        print_json(&json!(rows));
        return verdict;
    }
    if origin {
        let rows: Vec<[String; 3]> = rows
            .into_iter()
            .map(|row| {
                let value = row.value.unwrap_or_default();
                [format!("[{}] {}", row.section, row.key), value, row.origin.to_string()]
            })
            .collect();
        print(&table(["KEY", "VALUE", "FROM"], &rows));
    } else {
        let mut section = None;
        let mut text = String::new();
        for row in &rows {
            if section.as_ref() != Some(&row.section) {
                text.push_str(&format!("{}[{}]\n", if section.is_some() { "\n" } else { "" }, row.section));
                section = Some(row.section.clone());
            }
            match &row.value {
                Some(value) => text.push_str(&format!("{} = {}\n", row.key, value.replace('\n', "\n\t"))),
                None => text.push_str(&format!("{}\n", row.key)),
            }
        }
        print(&text);
    }
    verdict
}

/// `init status`.
pub(crate) fn status(common: &Common, environment: &Environment, main: bool, json: bool) -> u8 {
    let Ok(socket) = socket(common, environment) else { return exit_code::FAILURE };
    match client::status(&socket) {
        Ok(status) => {
            if json {
                print_json(&status.json())
            } else {
                print(&status.table())
            }
            let ready = if main { status.main_ready() } else { status.all_ready() };
            if ready { exit_code::SUCCESS } else { exit_code::FAILURE }
        }
        Err(reason) => {
            error(reason);
            exit_code::FAILURE
        }
    }
}

/// `init restart`, `init stop` and `init start`.
pub(crate) fn control(common: &Common, environment: &Environment, verb: &str, service: &str) -> u8 {
    let Ok(socket) = socket(common, environment) else { return exit_code::FAILURE };
    match client::command(&socket, verb, service) {
        Ok(answer) => {
            print(&answer);
            exit_code::SUCCESS
        }
        Err(reason) => {
            error(reason);
            exit_code::FAILURE
        }
    }
}

fn socket(common: &Common, environment: &Environment) -> Result<std::path::PathBuf, Ended> {
    let loaded = start::load(common, environment)?;
    let socket = loaded.settings.state.socket;
    Ok(Disk::below(&common.root).locate(&socket, true).unwrap_or(socket))
}
