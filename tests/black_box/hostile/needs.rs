//! Guests that want to know what they may not, or so much that telling them would be an attack.

use std::fs;

use biomero_tests::Result;

use super::guest::{Guest, Need};
use super::stage::{Attack, PASSWORD_KEY};

#[test]
fn what_is_not_granted_is_not_told() -> Result<()> {
    let password = || Guest::new().needs(Need::Setting, PASSWORD_KEY);
    for (attack, guest, grants, said) in [
        ("a setting", password(), "", "the setting properties"),
        ("a setting beside those granted", password(), "settings = [\"worker.*\"]", "the setting properties"),
        (
            "all settings",
            Guest::new().needs(Need::Setting, "*"),
            "settings = [\"worker.*\"]",
            "settings = [\"*\"]",
        ),
        (
            "a variable",
            Guest::new().needs(Need::Variable, "SQLALCHEMY_URL"),
            "",
            "environment = [\"SQLALCHEMY_URL\"]",
        ),
        (
            "all variables",
            Guest::new().needs(Need::Variable, "*"),
            "environment = [\"OMERO_*\"]",
            "environment = [\"*\"]",
        ),
        ("a file", Guest::new().needs(Need::File, "/etc/shadow"), "", "read = [\"/etc/shadow\"]"),
        (
            "a file outside",
            Guest::new().needs(Need::File, "/data/../etc/shadow"),
            "read = [\"/data/\"]",
            "without ..",
        ),
        (
            "a file in every folder",
            Guest::new().needs(Need::File, "/*/shadow"),
            "read = [\"/data/\"]",
            "a * in its last part only",
        ),
        (
            "a relative file",
            Guest::new().needs(Need::File, "etc/shadow"),
            "read = [\"/data/\"]",
            "absolute path",
        ),
        ("an address", Guest::new().needs(Need::Address, "example.org"), "", "resolve = [\"example.org\"]"),
    ] {
        Attack::by(&guest)?
            .granted(grants)
            .must_be_stopped(attack, &["asks for what its [grants] do not hold", said])?;
    }
    Ok(())
}

/// The value of a setting stands for its key in what is asked for: for one that is not granted, it would be told with
/// the path or the name, or in the message, or to a name server.
#[test]
fn no_setting_is_told_by_way_of_its_key_in_a_path_or_a_name() -> Result<()> {
    let key = format!("{{{PASSWORD_KEY}}}");
    // What a component hands on of the first file and of the first address that it is told.
    let path =
        "(call $log (i32.const 1) (i32.load offset=8 (local.get 12)) (i32.load offset=12 (local.get 12)))";
    let host =
        "(call $log (i32.const 1) (i32.load offset=8 (local.get 14)) (i32.load offset=12 (local.get 14)))";
    for (attack, need, what, tells) in [
        ("a path that is told", Need::File, format!("/data/{key}"), path),
        ("a path that makes no sense", Need::File, key.clone(), path),
        ("a folder with a *", Need::File, format!("/data/{key}/*/x"), path),
        ("a name that the name server is told", Need::Address, format!("{key}.invalid"), host),
        ("a name that is not granted", Need::Address, key.clone(), host),
    ] {
        let guest = Guest::new().needs(need, &what).plans_after(tells);
        Attack::by(&guest)?
            .granted("read = [\"/data/\"]\nresolve = [\"*.invalid\"]")
            .must_be_stopped(attack, &["asks for what its [grants] do not hold", "omero.ldap.password"])?;
    }
    Ok(())
}

/// All of it granted: what it costs must not depend on how often it is asked for.
#[test]
fn asking_for_settings_again_and_again_costs_nothing() -> Result<()> {
    let guest = Guest::new().needs_again(Need::Setting, 300_000, "worker.*");
    Attack::by(&guest)?.granted("settings = [\"worker.*\"]").must_cost_little("300000 patterns")
}

#[test]
fn asking_for_a_file_again_and_again_costs_nothing() -> Result<()> {
    for asked in ["/opt/site/large", "/opt/site/l*"] {
        let guest = Guest::new().needs_again(Need::File, 500, asked);
        let stage = Attack::by(&guest)?.granted("read = [\"/opt/site/\"]");
        fs::write(stage.laptop.at("/opt/site/large"), vec![b'x'; 2 << 20]).expect("a file can be written");
        stage.must_cost_little(asked)?;
    }
    Ok(())
}

#[test]
fn a_pattern_of_millions_of_stars_costs_nothing() -> Result<()> {
    let guest = Guest::new().needs(Need::Setting, format!("worker.{}", "*".repeat(12_000_000)));
    Attack::by(&guest)?.granted("settings = [\"worker.*\"]").must_cost_little("12 million stars")
}

/// Nothing of it granted, and what is said of it is still for a person to read.
#[test]
fn what_is_asked_for_is_told_in_readable_length() -> Result<()> {
    let long = "x".repeat(1_000_000);
    for (attack, need, what) in [
        ("a long setting", Need::Setting, long.clone()),
        ("a long variable", Need::Variable, long.clone()),
        ("a long path", Need::File, format!("/{long}")),
        ("a long path that makes no sense", Need::File, long.clone()),
        ("a long name", Need::Address, long),
        ("control characters in a path", Need::File, "\x1b[2J\r{x".to_owned()),
        ("control characters in a name", Need::Address, "\x1b[2J\r".to_owned()),
    ] {
        Attack::by(&Guest::new().needs(need, what))?.must_be_stopped(attack, &[])?;
    }
    Ok(())
}

#[test]
fn a_key_that_makes_no_sense_is_told_in_readable_length() -> Result<()> {
    let long = "x".repeat(1_000_000);
    for (attack, what) in [("a long key", format!("{{{long}}}")), ("half a brace", format!("{{{long}"))] {
        Attack::by(&Guest::new().needs(Need::File, what))?.must_be_stopped(attack, &[])?;
    }
    Ok(())
}

#[test]
fn asking_for_everything_at_once_is_told_in_a_few_lines() -> Result<()> {
    for (attack, need, what) in [
        ("300000 settings", Need::Setting, "x"),
        ("300000 variables", Need::Variable, "x"),
        ("300000 files", Need::File, "/x"),
        ("300000 addresses", Need::Address, "x"),
        ("300000 keys that there are none of", Need::File, "{worker.nam}"),
    ] {
        Attack::by(&Guest::new().needs_again(need, 300_000, what))?.must_be_stopped(attack, &[])?;
    }
    Ok(())
}

/// Looking a name up takes until a time limit, one after the other.
#[test]
fn names_that_nobody_answers_for_take_no_longer_than_the_hook_has() -> Result<()> {
    let guest = (0..200).fold(Guest::new(), |guest, n| guest.needs(Need::Address, format!("n{n}.invalid")));
    let stage = Attack::by(&guest)?.granted("resolve = [\"*.invalid\"]");
    stage.keyed("deadline = \"5s\"").must_cost_little("200 names")
}
