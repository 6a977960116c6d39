use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

use biomero_config::{OnFailure, Settings, Values};

use super::{Kind, Origin, ScheduleError, Scheduled, Site, schedule};
use crate::context::{Context, Identity, Need};
use crate::disk::Disk;
use crate::effect::Effect;
use crate::hook::{Hook, HookError};

struct BuiltIn(&'static str);

impl Hook for BuiltIn {
    fn name(&self) -> &str {
        self.0
    }
    fn summary(&self) -> &str {
        "a built-in"
    }
    fn needs(&self, _context: &Context<'_>) -> Vec<Need> {
        Vec::new()
    }
    fn plan(&self, _context: &Context<'_>) -> Result<Vec<Effect>, HookError> {
        Ok(vec![Effect::Notice(self.0.to_owned())])
    }
}

/// A root with files of `/startup` (executable) and of `hooks.d`, scheduled with two built-ins at 10 and 90.
fn scheduled(files: &[(&str, &str)]) -> Result<Vec<Scheduled>, ScheduleError> {
    let root = tempfile::tempdir().unwrap();
    for (path, content) in files {
        let path = root.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, content).unwrap();
        let executable = path.extension().is_none_or(|extension| extension != "toml");
        fs::set_permissions(&path, fs::Permissions::from_mode(if executable { 0o755 } else { 0o644 }))
            .unwrap();
    }
    let built_in: Vec<(u16, Box<dyn Hook>)> =
        vec![(10, Box::new(BuiltIn("ssh-keys"))), (90, Box::new(BuiltIn("icegrid-node")))];
    let disk = Disk::below(root.path());
    let site = Site {
        settings: &settings(),
        values: &Values::default(),
        disk: &disk,
        identity: &Identity::of_this_process(),
        arguments: &["argument".to_owned()],
    };
    schedule(built_in, &site)
}

/// The shipped ones without what they say of built-ins that are not here.
fn settings() -> Settings {
    let mut settings = Settings::shipped();
    settings.hooks.per_hook.clear();
    settings
}

fn names(hooks: &[Scheduled]) -> Vec<&str> {
    hooks.iter().map(|hook| hook.name.as_str()).collect()
}

#[test]
fn executables_of_startup_keep_their_place_between_the_built_ins() {
    let hooks =
        scheduled(&[("startup/95-late.sh", ""), ("startup/05-early", ""), ("startup/last.sh", "")]).unwrap();
    assert_eq!(names(&hooks), ["05-early", "ssh-keys", "icegrid-node", "95-late.sh", "last.sh"]);
    assert_eq!(hooks[0].kind, Kind::Exec);
}

#[test]
fn an_executable_that_a_built_in_replaces_is_listed_and_skipped() {
    let hooks = scheduled(&[("startup/10-mount-ssh.sh", ""), ("startup/99-run.sh", "")]).unwrap();
    let skipped: Vec<_> = hooks.iter().filter_map(|hook| hook.skipped.as_deref()).collect();
    assert_eq!(skipped, ["replaced by ssh-keys", "replaced by icegrid-node"]);
}

#[test]
fn executables_of_startup_get_the_arguments_of_init() {
    let hooks = scheduled(&[("startup/20-x.sh", "")]).unwrap();
    let settings = Settings::shipped();
    let identity = Identity::of_this_process();
    let environment = biomero_config::Environment::default();
    let context = Context {
        settings: &settings,
        environment: &environment,
        identity: &identity,
        facts: Default::default(),
    };
    let effects = hooks[1].hook().unwrap().plan(&context).unwrap();
    let [Effect::Command(command)] = effects.as_slice() else { panic!("{effects:?}") };
    assert_eq!(command.argv, ["/startup/20-x.sh", "argument"]);
}

#[test]
fn a_site_hook_of_the_same_name_replaces_a_built_in_and_says_so() {
    let hooks = scheduled(&[("etc/biomero/hooks.d/15-ssh-keys.sh", "#!/bin/sh\n")]).unwrap();
    assert_eq!(names(&hooks), ["ssh-keys", "icegrid-node"]);
    assert_eq!(hooks[0].replaces, Some(Origin::Init));
    assert_eq!(hooks[0].number, 15);
    assert_eq!(hooks[0].digest.as_deref().map(str::len), Some(64));
}

#[test]
fn a_toml_file_disables_changes_or_adds() {
    let hooks = scheduled(&[
        ("etc/biomero/hooks.d/10-ssh-keys.toml", "enabled = false"),
        ("etc/biomero/hooks.d/91-icegrid-node.toml", "deadline = '7s'\nretries = 3\non_failure = 'warn'"),
        (
            "etc/biomero/hooks.d/50-proxy.toml",
            "[[effects]]\nvariable = { name = 'HTTP_PROXY', value = 'http://p:1' }",
        ),
    ])
    .unwrap();
    assert_eq!(names(&hooks), ["ssh-keys", "proxy", "icegrid-node"]);
    assert!(hooks[0].skipped.as_deref().unwrap().starts_with("disabled by"));
    assert_eq!(hooks[1].kind, Kind::Effects);
    assert_eq!(hooks[2].kind, Kind::BuiltIn);
    assert_eq!(hooks[2].policy.deadline, Duration::from_secs(7));
    assert_eq!((hooks[2].policy.retries, hooks[2].policy.on_failure), (3, OnFailure::Warn));
}

#[test]
fn after_and_before_outrank_numbers() {
    let hooks = scheduled(&[
        ("etc/biomero/hooks.d/05-late.toml", "command = ['true']\nafter = ['icegrid-node']"),
        ("etc/biomero/hooks.d/95-early.toml", "command = ['true']\nbefore = ['ssh-keys']"),
    ])
    .unwrap();
    assert_eq!(names(&hooks), ["early", "ssh-keys", "icegrid-node", "late"]);
}

#[test]
fn what_is_wrong_is_told_with_file_line_and_the_nearest_name() {
    let cases: &[(&str, &[(&str, &str)])] = &[
        (
            "cycle",
            &[
                ("a.toml", "command = ['true']\nafter = ['b']"),
                ("b.toml", "command = ['true']\nafter = ['a']"),
            ],
        ),
        ("missing reference", &[("a.toml", "command = ['true']\nafter = ['icegrid-nod']")]),
        ("nothing to disable", &[("ssh-key.toml", "enabled = false")]),
        ("nothing to do", &[("new.toml", "summary = 'x'")]),
        ("misspelt key", &[("a.toml", "summary = 'x'\ncomand = ['true']")]),
        ("both bodies", &[("a.toml", "command = ['true']\n[[effects]]\nremove = { path = '/x' }")]),
        (
            "relative path",
            &[("a.toml", "[[effects]]\nremove = { path = '/x' }\n[[effects]]\nremove = { path = 'x/../y' }")],
        ),
        ("unknown effect", &[("a.toml", "\n[[effects]]\nrename = { path = '/x' }")]),
        ("bad mode", &[("a.toml", "[[effects]]\nfile = { path = '/x', content = '', mode = '0999' }")]),
        ("bad deadline", &[("a.toml", "command = ['true']\ndeadline = 'soon'")]),
    ];
    let mut report = String::new();
    for (case, files) in cases {
        let files: Vec<(String, &str)> = files
            .iter()
            .map(|(name, content)| (format!("etc/biomero/hooks.d/50-{name}"), *content))
            .collect();
        let files: Vec<(&str, &str)> =
            files.iter().map(|(name, content)| (name.as_str(), *content)).collect();
        let error = scheduled(&files).expect_err(case);
        report.push_str(&format!("{case}: {error}\n"));
    }
    insta::assert_snapshot!(report);
}

#[test]
fn all_problems_of_all_files_are_told_together() {
    let error = scheduled(&[
        ("etc/biomero/hooks.d/x.toml", ""),
        ("etc/biomero/hooks.d/50-y.exe", ""),
        ("etc/biomero/hooks.d/60-z.toml", "command = []"),
    ])
    .unwrap_err();
    assert_eq!(error.problems.len(), 3, "{error}");
}

#[test]
fn what_editors_and_volumes_leave_in_hooks_d_is_passed_over() {
    let hooks = scheduled(&[
        ("etc/biomero/hooks.d/.50-x.toml.swp", "x"),
        ("etc/biomero/hooks.d/50-x.toml~", "x"),
        ("etc/biomero/hooks.d/README.md", "x"),
        ("etc/biomero/hooks.d/..data/50-x.toml", "x"),
    ])
    .unwrap();
    assert_eq!(names(&hooks), ["ssh-keys", "icegrid-node"]);
}
