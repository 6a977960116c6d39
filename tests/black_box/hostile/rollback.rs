//! `rollback = true`: where a new version of a component fails, the last one that ran well takes its place, and it is told.

use std::fs;

use biomero_tests::{Result, Trouble};

use super::guest::{Guest, file};
use super::stage::{Attack, CACHE, HOOKS, digest};

const ROLLBACK: &str = "rollback = true\n";
const VERSION: &str = "/opt/site/version";

/// Makes a component; the stage has room for its files.
type Make = fn(&Attack) -> Result<Vec<u8>>;

fn version(version: &str) -> Guest {
    Guest::new().called("site", version).plans([file(VERSION, version)])
}

/// A hook whose version 1 ran well, if it may be fallen back to.
fn first_ran(keys: &str) -> Result<Attack> {
    let stage = Attack::by(&version("1.0.0"))?.keyed(keys);
    stage.install("")?;
    stage.run(&["apply"])?.ends("version 1", 0, &["hostile: done changed=1"]);
    // What runs from here on writes it again.
    fs::remove_file(stage.laptop.at(VERSION)).map_err(Trouble::doing("remove what it wrote"))?;
    Ok(stage)
}

fn written(stage: &Attack) -> Option<String> {
    fs::read_to_string(stage.laptop.at(VERSION)).ok()
}

/// What the manifest says of the hook.
fn noted(stage: &Attack) -> Result<serde_json::Value> {
    let text = fs::read(stage.laptop.at("/run/biomero/manifest.json"))
        .map_err(Trouble::doing("read the manifest"))?;
    let manifest: serde_json::Value = serde_json::from_slice(&text).expect("the manifest is JSON");
    let hooks = manifest["hooks"].as_array().cloned().unwrap_or_default();
    Ok(hooks.into_iter().find(|hook| hook["name"] == "hostile").unwrap_or_default())
}

#[test]
fn whatever_is_wrong_with_a_new_version_the_last_good_one_runs_and_it_is_told() -> Result<()> {
    let cases: [(&str, Make, &str); 5] = [
        (
            "it traps",
            |stage| version("2.0.0").plans_after("unreachable").component(stage.scratch()),
            "wasm `unreachable` instruction executed",
        ),
        (
            "it never ends",
            |stage| version("2.0.0").describes_after("(loop (br 0))").component(stage.scratch()),
            "stopped in describe",
        ),
        (
            "it asks for too much",
            |stage| version("2.0.0").plans([file("/etc/shadow", "x")]).component(stage.scratch()),
            "write /etc/shadow: not granted",
        ),
        ("it is no component", |_| Ok(b"random bytes".to_vec()), "it could not be compiled"),
        (
            "it is of another version",
            |_| super::guest::assemble("(component)"),
            "it exports no biomero:hooks/hook",
        ),
    ];
    for (attack, make, said) in cases {
        let stage = first_ran(ROLLBACK)?;
        let good = digest(&stage.laptop.at(HOOKS).join("hostile.wasm"))?;
        let new = make(&stage)?;
        let stage = stage.now(new);
        stage.install("")?;

        let before = stage.tree()?;
        let dry = stage.run(&["--dry-run"])?;
        dry.ends(attack, 2, &["falls back to the component that last ran well", said, "+1.0.0"]);
        dry.changed_only(attack, &before, &stage.tree()?, &[]);

        let warned = stage.run(&["apply"])?;
        warned.ends(
            attack,
            1,
            &[
                "warning: hostile: ",
                said,
                "the component that last ran well takes its place",
                "witness: done",
            ],
        );
        assert_eq!(written(&stage).as_deref(), Some("1.0.0"), "{attack}");
        let noted = noted(&stage)?;
        assert_eq!(noted["fell_back"], true, "{attack}: {noted}");
        assert_eq!(noted["succeeded"], true, "{attack}: {noted}");
        assert_eq!(noted["sha256"], good.as_str(), "{attack}: {noted}");
        assert_eq!(noted["component"], "site 1.0.0", "{attack}: {noted}");

        // It stays so with each start, until there is a version that runs.
        stage.run(&["apply"])?.ends(attack, 1, &["the component that last ran well takes its place"]);
        let third = version("3.0.0").component(stage.scratch())?;
        let stage = stage.now(third);
        stage.install("")?;
        stage.run(&["apply"])?.ends(attack, 0, &["hostile: done changed=1"]);
        assert_eq!(written(&stage).as_deref(), Some("3.0.0"), "{attack}");
    }
    Ok(())
}

#[test]
fn without_rollback_a_new_version_that_fails_ends_the_start() -> Result<()> {
    for keys in ["", "rollback = false\n"] {
        let stage = first_ran(keys)?;
        let second = version("2.0.0").plans_after("unreachable").component(stage.scratch())?;
        stage.now(second).must_be_stopped("no rollback", &["wasm `unreachable` instruction executed"])?;
    }
    Ok(())
}

#[test]
fn where_no_version_ever_ran_well_there_is_nothing_to_fall_back_to() -> Result<()> {
    let guest = version("1.0.0").plans_after("unreachable");
    Attack::by(&guest)?
        .keyed(ROLLBACK)
        .must_be_stopped("the first version", &["wasm `unreachable` instruction executed"])
}

/// The `.wasm` of the last good version is gone: there is only its machine code, and that may be gone too.
#[test]
fn where_the_last_good_version_is_gone_or_fails_too_both_failures_are_told() -> Result<()> {
    let second = |stage: &Attack| version("2.0.0").plans_after("unreachable").component(stage.scratch());
    let stage = first_ran(ROLLBACK)?;
    for entry in fs::read_dir(stage.laptop.at(CACHE)).map_err(Trouble::doing("list the cache"))?.flatten() {
        if !entry.file_name().to_string_lossy().starts_with("last-good") {
            fs::remove_file(entry.path()).map_err(Trouble::doing("remove machine code"))?;
        }
    }
    let new = second(&stage)?;
    let stage = stage.now(new);
    stage.install("")?;
    let said = ["wasm `unreachable` instruction executed", "it could not be compiled"];
    stage.run(&["--dry-run"])?.ends("a dry run", 1, &said);
    stage.run(&["apply"])?.ends("a start", 70, &said);
    Ok(())
}
