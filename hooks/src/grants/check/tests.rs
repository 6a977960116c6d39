use std::time::Duration;

use proptest::prelude::*;

use super::super::Pattern;
use super::*;
use crate::effect::{Content, Lock, Owner, Text};

fn grants() -> Grants {
    Grants {
        read: vec![PathGrant::Below("/data".into())],
        write: vec![
            PathGrant::Below("/opt/site".into()),
            PathGrant::Exact("/etc/pip.conf".into()),
            PathGrant::Below("/etc/biomero".into()),
            PathGrant::Matching { directory: "/srv".into(), name: Pattern::new("*.pem") },
        ],
        set: vec![Pattern::new("*_PROXY"), Pattern::new("LD_*"), Pattern::new("PATH")],
        wait: vec![Pattern::new("omeroserver:*")],
        run: vec![vec!["update-ca-certificates".to_owned()], vec!["git".to_owned(), "config".to_owned()]],
        ..Grants::default()
    }
}

fn protected() -> Protected {
    Protected {
        own: vec!["/etc/biomero/init.toml".into(), "/etc/biomero/hooks.d".into()],
        rendered: [
            (PathBuf::from("/opt/site/other"), "ice-config".to_owned()),
            ("/etc/pip.conf".into(), "pip".to_owned()),
        ]
        .into(),
    }
}

fn file(path: &str) -> FileEffect {
    FileEffect {
        path: path.into(),
        content: Content::Public(Vec::new()),
        mode: 0o644,
        owner: Owner::ServiceUser,
        lock: None,
    }
}

fn command(argv: &[&str], as_service_user: bool) -> Effect {
    Effect::Command(CommandEffect {
        argv: argv.iter().map(|word| (*word).to_owned()).collect(),
        environment: Vec::new(),
        directory: None,
        as_service_user,
        deadline: Duration::from_secs(1),
        says: String::new(),
    })
}

fn variable(name: &str) -> Effect {
    Effect::Variable { name: name.to_owned(), value: Some(Text::from("x")) }
}

#[test]
fn what_is_granted_passes() {
    let effects = [
        Effect::File(file("/opt/site/a/b")),
        Effect::File(file("/etc/pip.conf")),
        Effect::File(file("/srv/x.pem")),
        Effect::Directory { path: "/opt/site/d".into(), mode: 0o755, owner: Owner::ServiceUser },
        Effect::MoveAside { path: "/opt/site/a".into(), to: "/opt/site/b".into(), reason: String::new() },
        Effect::Remove { path: "/opt/site/a".into() },
        Effect::WaitPath { path: "/data/x".into(), deadline: Duration::ZERO },
        Effect::WaitTcp { address: "omeroserver:4061".into(), deadline: Duration::ZERO },
        variable("HTTPS_PROXY"),
        variable("PATH"),
        command(&["update-ca-certificates", "--fresh"], true),
        Effect::Notice("anything".to_owned()),
    ];
    assert_eq!(grants().check(&effects, &protected(), &|_| None).told(), []);
}

#[test]
fn what_is_not_granted_is_told_with_the_rule_and_the_line_to_write() {
    let locked = FileEffect {
        lock: Some(Lock { path: "/var/lock".into(), based_on: None }),
        ..file("/opt/site/locked")
    };
    let effects = [
        Effect::File(file("/etc/shadow")),
        Effect::File(file("/opt/site/../../etc/shadow")),
        Effect::File(file("../../etc/shadow")),
        Effect::File(file("/opt/sitewide")),
        Effect::File(file("/opt/site/a\nb")),
        Effect::File(file("/opt/site/nul\0")),
        Effect::File(file("/opt/site//a")),
        Effect::File(file(&format!("/opt/site/{}", "x".repeat(256)))),
        Effect::File(file("/etc/biomero/init.toml")),
        Effect::File(file("/etc/biomero/hooks.d/99-evil.sh")),
        Effect::Remove { path: "/etc/biomero".into() },
        Effect::File(file("/opt/site/other")),
        Effect::File(FileEffect { mode: 0o4755, ..file("/opt/site/suid") }),
        Effect::File(locked),
        Effect::Directory { path: "/srv/deep/x.pem".into(), mode: 0o1777, owner: Owner::Init },
        Effect::MoveAside { path: "/opt/site/a".into(), to: "/etc/pip.conf".into(), reason: String::new() },
        Effect::WaitPath { path: "/etc/shadow".into(), deadline: Duration::ZERO },
        Effect::WaitTcp { address: "169.254.169.254:80".into(), deadline: Duration::ZERO },
        variable("LD_PRELOAD"),
        variable("A=B"),
        variable("HOME"),
        Effect::Variable { name: "X_PROXY".into(), value: Some(Text::from("a\0b")) },
        command(&["update-ca-certificates"], false),
        command(&["git"], true),
        command(&["git", "config-but-not", "x"], true),
        command(&["/bin/sh", "-c", "rm -rf /\x1b[2J"], true),
        command(&[], true),
    ];
    // As many at a time as are told.
    let told: Vec<String> = effects
        .chunks(10)
        .map(|effects| grants().check(effects, &protected(), &|_| None))
        .flat_map(|refusals| refusals.told().iter().map(ToString::to_string).collect::<Vec<_>>())
        .collect();
    insta::assert_snapshot!(told.join("\n"));
}

#[test]
fn a_directory_that_holds_what_another_hook_rendered_is_left_alone() {
    let directory =
        |path: &str| Effect::Directory { path: path.into(), mode: 0o777, owner: Owner::ServiceUser };
    let mut protected = protected();
    protected.rendered.insert("/opt/site/app/etc/app.conf".into(), "app".to_owned());
    let aside =
        |path: &str, to: &str| Effect::MoveAside { path: path.into(), to: to.into(), reason: String::new() };
    let effects = [
        aside("/opt/site/app", "/opt/site/old"),
        aside("/opt/site/old", "/opt/site/app/etc"),
        directory("/opt/site/app/etc"),
        Effect::Remove { path: "/opt/site/app".into() },
        Effect::File(file("/opt/site/app/etc")),
    ];
    let refused = |grants: &Grants, effects: &[Effect]| grants.check(effects, &protected, &|_| None).len();
    // The second has its parts in two directories, too.
    assert_eq!(refused(&grants(), &effects), effects.len() + 1);
    let told = grants().check(&effects[..1], &protected, &|_| None).told()[0].to_string();
    insta::assert_snapshot!(told, @r#"move /opt/site/app to /opt/site/old: the hook app rendered /opt/site/app/etc/app.conf below it in this start; to allow it all the same, name the file: write = ["/opt/site/app/etc/app.conf"]"#);
    // What lies beside is not kept, nor is what the site names.
    let beside = [directory("/opt/site/app/etc/other"), directory("/opt/site/application")];
    assert_eq!(refused(&grants(), &beside), 0);
    let mut named = grants();
    named.write.push(PathGrant::Exact("/opt/site/app/etc/app.conf".into()));
    assert_eq!(refused(&named, &effects[2..]), 0);
}

#[test]
fn what_others_rendered_may_be_waited_for() {
    let wait = Effect::WaitPath { path: "/opt/site/other".into(), deadline: Duration::ZERO };
    assert_eq!(grants().check(&[wait], &protected(), &|_| None).told(), []);
}

#[test]
fn nothing_is_granted_by_default() {
    let effects = [Effect::File(file("/tmp/x")), variable("X"), command(&["true"], true)];
    assert_eq!(Grants::default().check(&effects, &Protected::default(), &|_| None).len(), effects.len());
}

#[test]
fn of_many_refusals_the_first_are_told_each_in_a_few_words() {
    let long = "\u{202e}x".repeat(1 << 17);
    let effects: Vec<Effect> = (0..1000)
        .flat_map(|number| {
            [
                Effect::File(file(&format!("/no/{number}/{long}"))),
                variable(&long),
                command(&[&long, &long], true),
                Effect::WaitTcp { address: long.clone(), deadline: Duration::ZERO },
            ]
        })
        .take(100)
        .collect();
    let refusals = grants().check(&effects, &protected(), &|_| None);
    // The variables are too large together as well.
    assert_eq!((refusals.told().len(), refusals.len()), (20, effects.len() + 1));
    let told = refusals.to_string();
    assert!(told.ends_with("\n  and 81 more"), "{}", &told[told.len() - 100..]);
    assert!(told.len() < 20 * 8000 && !told.contains('\u{202e}'), "{} bytes", told.len());
}

#[test]
fn the_variables_of_one_plan_leave_room_for_programs_to_start() {
    let set = |count: usize, bytes: usize| -> Vec<Effect> {
        let value = Some(Text::Public("x".repeat(bytes)));
        (0..count)
            .map(|number| Effect::Variable { name: format!("V{number:03}_PROXY"), value: value.clone() })
            .collect()
    };
    let refused = |effects: &[Effect]| grants().check(effects, &protected(), &|_| None).to_string();
    assert_eq!(refused(&set(256, 1000)), "");
    assert_eq!(refused(&set(8, (32 << 10) - 12)), "");
    insta::assert_snapshot!(refused(&set(257, 1)), @"set 257 variables: one plan sets at most 256");
    insta::assert_snapshot!(refused(&set(8, (32 << 10) - 11)), @"set variables of 257 KiB: all that one plan sets have at most 256 KiB, names and values");
}

proptest! {
    #[test]
    fn no_path_outside_the_grants_passes(path in "(/|\\.\\.|\\.|opt|site|etc|biomero|srv|a|\\n|x\\.pem|pip\\.conf){0,9}") {
        let refused = grants().check(&[Effect::File(file(&path))], &protected(), &|_| None);
        if refused.is_empty() {
            let inside = path.starts_with("/opt/site/")
                || path == "/opt/site"
                || path == "/etc/pip.conf"
                || path == "/etc/biomero"
                || path.starts_with("/etc/biomero/")
                || path.starts_with("/srv/");
            prop_assert!(inside && !path.contains("..") && !path.contains("//"), "{path}");
        }
    }
}
