use std::time::Instant;

use super::difference::DIFF_TIME;
use super::*;
use crate::change::{Before, SHOWN};
use crate::effect::{CommandEffect, Content, FileEffect, Owner, Text};

fn file(content: &[u8]) -> FileEffect {
    FileEffect {
        path: "/etc/app.conf".into(),
        content: Content::Public(content.to_vec()),
        mode: 0o644,
        owner: Owner::ServiceUser,
        lock: None,
    }
}

fn plan(effects: Vec<(Effect, Change)>) -> Plan {
    let effects = effects.into_iter().map(|(effect, change)| PlannedEffect { effect, change }).collect();
    let hook = HookPlan {
        number: 50,
        name: "site\x1b]0;x\x07".to_owned(),
        kind: Kind::Effects,
        origin: Origin::File("/etc/biomero/hooks.d/50-\x1b[1m.toml".into()),
        replaces: None,
        skipped: None,
        effects,
        failure: Some("it failed:\n  for \x1b[2J".to_owned()),
        fell_back: Some("once\u{202e}".to_owned()),
        lines: vec![Line { level: crate::component::Level::Info, text: "hello\u{200b}".to_owned() }],
    };
    Plan { hooks: vec![hook] }
}

#[test]
fn no_text_of_others_reaches_the_terminal_as_it_is() {
    let hostile = "a\x1b[2K\rb\u{202e}c\u{9b}d\n\te\n";
    let before = Change::Replace { before: Before::File(b"old\x1b[2K\r\n".to_vec()) };
    let line = "x\x1b[A\ny";
    let waits = Duration::from_secs(1);
    let effects = vec![
        (Effect::File(file(hostile.as_bytes())), before),
        (
            Effect::Variable { name: line.into(), value: Some(Text::from(line)) },
            Change::Variable { was_set: false },
        ),
        (Effect::Variable { name: line.into(), value: None }, Change::Variable { was_set: true }),
        (Effect::WaitTcp { address: line.into(), deadline: waits }, Change::Wait),
        (Effect::WaitPath { path: line.into(), deadline: waits }, Change::Wait),
        (Effect::Remove { path: line.into() }, Change::Remove),
        (Effect::MoveAside { path: line.into(), to: line.into(), reason: line.into() }, Change::Move),
        (
            Effect::Command(CommandEffect {
                argv: vec!["run".to_owned(), line.to_owned()],
                environment: Vec::new(),
                directory: None,
                as_service_user: true,
                deadline: waits,
                says: line.to_owned(),
            }),
            Change::Run,
        ),
        (Effect::Notice(line.into()), Change::Notice),
    ];
    let plan = plan(effects);
    let text = plan.text();
    assert!(
        !text.contains(|character: char| character.is_control() && !"\n\t".contains(character)),
        "{text:?}"
    );
    insta::assert_snapshot!(text);
    // A program gets what there is.
    let json: Value = serde_json::from_str(&plan.json().to_string()).unwrap();
    assert_eq!(json["hooks"][0]["effects"][1]["name"], line);
    assert!(json["hooks"][0]["effects"][0]["diff"].as_str().unwrap().contains("a\x1b[2K\r"));
    assert!(json["hooks"][0]["failure"].as_str().unwrap().contains('\x1b'));
    assert!(json["failures"][0].as_str().unwrap().contains('\x1b'));
    assert!(!plan.failures()[0].contains('\x1b'));
}

#[test]
fn a_file_too_large_to_show_is_told_by_size_and_digest() {
    let short = |file: &FileEffect, before| {
        let mut patience = ALL_DIFFS_TIME;
        difference(file, before, &mut patience)
    };
    let large = vec![b'x'; usize::try_from(SHOWN).unwrap() + 1];
    let told = [
        short(&file(b"new"), Some(&Before::LargeFile(10 << 30))),
        short(&file(&large), None),
        short(&file(&large), Some(&Before::File(b"old".to_vec()))),
        short(&file(&[0xff]), Some(&Before::Other)),
    ];
    insta::assert_snapshot!(told.concat());
}

#[test]
fn what_cannot_be_compared_in_time_is_told_by_sizes_and_digests() {
    // No line of the one is in the same place in the other: the work grows with the square of the lines.
    let lines = |step: usize| -> Vec<u8> {
        (0..150_000_usize).flat_map(|line| format!("{}\n", line * step % 149_993).into_bytes()).collect()
    };
    let (old, new) = (lines(1), lines(7919));
    // A quick machine compares them within the half second that a file has: less is left here than reading them takes.
    let mut patience = Duration::from_millis(10);
    let began = Instant::now();
    let told = difference(&file(&new), Some(&Before::File(old)), &mut patience);
    assert!(told.contains("takes too long"), "{}", &told[..200.min(told.len())]);
    assert!(began.elapsed() < 10 * DIFF_TIME, "{:?}", began.elapsed());
    // Nothing is left for the other files.
    assert_eq!(patience, Duration::ZERO);
    let told = difference(&file(b"new\n"), None, &mut patience);
    assert!(told.contains("takes too long"), "{told}");
}
