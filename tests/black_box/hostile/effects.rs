//! Guests that ask for effects which nobody granted them. All of them may write below `/opt/site`.

use std::fs;
use std::os::unix::fs::symlink;

use biomero_tests::Result;

use super::guest::{Effect, Guest, file};
use super::stage::{Attack, CACHE, CANNOT_CREATE, HOOKS};
use crate::laptop::Laptop;

const REFUSED: &str = "the component asked for what its [grants] do not hold";

fn bytes(text: &str) -> Vec<u8> {
    text.as_bytes().to_vec()
}

fn remove(path: &str) -> Effect {
    Effect::Remove(bytes(path))
}

fn moved(path: &str, to: &str) -> Effect {
    Effect::MoveAside { path: bytes(path), to: bytes(to) }
}

fn directory(path: &str, mode: u32) -> Effect {
    Effect::Directory { path: bytes(path), mode }
}

fn variable(name: &str, value: &str) -> Effect {
    Effect::Variable { name: bytes(name), value: Some(bytes(value)) }
}

fn command(argv: &[&str], as_service_user: bool) -> Effect {
    Effect::Command { argv: argv.iter().map(|word| bytes(word)).collect(), as_service_user }
}

#[test]
fn nothing_is_written_outside_of_the_granted_folder() -> Result<()> {
    for (attack, effect, rule) in [
        (
            "the shadow file",
            file("/etc/shadow", "root::0:0:::::\n"),
            "write /etc/shadow: not granted; to allow it: write = [\"/etc/shadow\"]",
        ),
        (
            "the shadow file from a relative path",
            file("../../etc/shadow", "x"),
            "write ../../etc/shadow: a path is absolute",
        ),
        ("the shadow file by way of the folder", file("/opt/site/../../etc/shadow", "x"), "without .."),
        ("a folder that begins like it", file("/opt/site-2/x", "x"), "write /opt/site-2/x: not granted"),
        ("a path that is no shortest one", file("/opt/site//x", "x"), "shortest form"),
        ("a path with a dot", file("/opt/site/./x", "x"), "shortest form"),
        ("no path", file("", "x"), "a path is absolute"),
        ("the root folder", file("/", "x"), "belongs to init"),
        ("a line break", file("/opt/site/a\nb", "x"), "without control characters"),
        ("the end of a text in C", file("/opt/site/a\0b", "x"), "without control characters"),
        ("a name of 300 bytes", file(format!("/opt/site/{}", "x".repeat(300)), "x"), "shortest form"),
        ("a folder", directory("/srv/new", 0o755), "make the directory /srv/new: not granted"),
        ("removing", remove("/etc/passwd"), "remove /etc/passwd: not granted"),
        ("removing with ..", remove("/opt/site/../../etc/passwd"), "without .."),
        ("moving out", moved("/opt/site/a", "/etc/a"), "move /opt/site/a to /etc/a: not granted"),
        ("moving in", moved("/etc/passwd", "/opt/site/passwd"), "within its own directory"),
        (
            "a lock elsewhere",
            Effect::File {
                path: bytes("/opt/site/x"),
                content: bytes("x"),
                mode: 0o644,
                lock: Some(bytes("/etc/nologin")),
            },
            "take the lock /etc/nologin: not granted",
        ),
    ] {
        let guest = Guest::new().plans([effect]);
        Attack::by(&guest)?.must_be_stopped(attack, &[REFUSED, rule])?;
    }
    Ok(())
}

/// What is granted is refused with the rest: a start-up does not do half of what a hook wants.
#[test]
fn one_refusal_is_enough_for_all_effects_of_a_hook() -> Result<()> {
    let guest =
        Guest::new().plans([file("/opt/site/granted", "x"), file("/etc/shadow", "x"), remove("/etc/passwd")]);
    Attack::by(&guest)?.must_be_stopped(
        "two of three",
        &["write /etc/shadow: not granted", "remove /etc/passwd: not granted"],
    )
}

#[test]
fn no_grant_covers_what_belongs_to_init_itself() -> Result<()> {
    let own = "belongs to init or its hooks, and no grant covers it";
    for path in [
        "/etc/biomero/init.toml".to_owned(),
        "/etc/biomero/init.d/50-more.toml".to_owned(),
        format!("{HOOKS}/50-hostile.toml"),
        format!("{HOOKS}/60-more.sh"),
        format!("{CACHE}/0123456789abcdef-0123456789abcdef.cwasm"),
        "/usr/local/bin/init-hooks".to_owned(),
        "/startup/99-more.sh".to_owned(),
        "/run/biomero/init.sock".to_owned(),
        "/run/biomero/manifest.json".to_owned(),
        "/run/biomero/hooks/last-good-0123456789abcdef".to_owned(),
    ] {
        let guest = Guest::new().plans([file(&path, "x")]);
        let grants = format!("write = [\"{path}\", \"/etc/biomero/\", \"/var/cache/\", \"/run/biomero/\"]");
        Attack::by(&guest)?.granted(&grants).must_be_stopped(&path, &[REFUSED, own])?;
    }
    for (attack, effect) in [
        ("a folder that is on the way", moved("/etc/biomero", "/etc/biomero-old")),
        ("a folder that is on the way to it", remove("/var/cache/biomero")),
        ("a mode of the folder", directory("/etc/biomero/hooks.d", 0o777)),
        ("a file in its place", file("/etc/biomero", "x")),
    ] {
        let grants = "write = [\"/etc/biomero\", \"/etc/biomero-old\", \"/var/cache/biomero/\"]";
        Attack::by(&Guest::new().plans([effect]))?
            .granted(grants)
            .must_be_stopped(attack, &[REFUSED, own])?;
    }
    Ok(())
}

#[test]
fn what_another_hook_rendered_is_covered_by_its_own_name_only() -> Result<()> {
    let rule = "the hook rendering rendered it in this start; to allow it all the same, name the file: write = [\"/opt/site/rendered\"]";
    for (attack, effect) in [
        ("writing", file("/opt/site/rendered", "x")),
        ("removing", remove("/opt/site/rendered")),
        ("moving away", moved("/opt/site/rendered", "/opt/site/other")),
    ] {
        let stage = Attack::by(&Guest::new().plans([effect]))?;
        let text = "[[effects]]\nfile = { path = \"/opt/site/rendered\", content = \"ours\\n\" }\n";
        stage.hook("02-rendering.toml", text)?;
        // It is there already, so that the hook before leaves the tree as it is.
        fs::write(stage.laptop.at("/opt/site/rendered"), "ours\n").expect("a file can be written");
        stage.must_be_stopped(attack, &[REFUSED, rule])?;
    }
    Ok(())
}

#[test]
fn what_another_hook_rendered_does_not_go_with_its_folder() -> Result<()> {
    for (attack, effect) in [
        ("moving its folder away", moved("/opt/site/folder", "/opt/site/other")),
        ("a file in place of its folder", file("/opt/site/folder", "x")),
    ] {
        let stage = Attack::by(&Guest::new().plans([effect]))?;
        let text = "[[effects]]\nfile = { path = \"/opt/site/folder/rendered\", content = \"ours\\n\" }\n";
        stage.hook("02-rendering.toml", text)?;
        fs::create_dir(stage.laptop.at("/opt/site/folder"))
            .and_then(|()| fs::write(stage.laptop.at("/opt/site/folder/rendered"), "ours\n"))
            .expect("a file can be written");
        stage.must_be_stopped(attack, &[REFUSED, "rendering"])?;
    }
    Ok(())
}

/// The administrator's own symlink to the granted folder is followed; one below it is not.
#[test]
fn no_symlink_below_the_granted_folder_is_followed() -> Result<()> {
    for (attack, target, effect) in [
        ("a file below an absolute link", "/etc", file("/opt/site/link/shadow", "x")),
        ("a file below a relative link", "../../etc", file("/opt/site/link/shadow", "x")),
        ("a folder below a link", "/etc", directory("/opt/site/link/new", 0o755)),
        ("removing below a link", "/etc", remove("/opt/site/link/passwd")),
        ("moving below a link", "/etc", moved("/opt/site/link/passwd", "/opt/site/link/other")),
        ("a file below a link to /proc", "/proc/self/root/etc", file("/opt/site/link/shadow", "x")),
    ] {
        let stage = Attack::by(&Guest::new().plans([effect]))?;
        symlink(target, stage.laptop.at("/opt/site/link")).expect("a link can be made");
        stage.must_end_a_start_with(CANNOT_CREATE, attack, &["symbolic link"])?;
    }
    Ok(())
}

#[test]
fn no_folder_is_made_where_a_symlink_is() -> Result<()> {
    let stage = Attack::by(&Guest::new().plans([directory("/opt/site/link", 0o777)]))?;
    symlink("/etc", stage.laptop.at("/opt/site/link")).expect("a link can be made");
    stage.must_end_a_start_with(CANNOT_CREATE, "a folder over a link", &["/opt/site/link"])
}

/// The folder that a site granted, or a file in it, is one of `init`'s own under another name.
#[test]
fn another_name_of_what_belongs_to_init_itself_is_not_covered_either() -> Result<()> {
    let link = |target: &'static str| {
        move |laptop: &Laptop| {
            fs::remove_dir(laptop.at("/opt/site"))
                .and_then(|()| symlink(target, laptop.at("/opt/site")))
                .expect("a link can be made");
        }
    };
    let own = "belongs to init or its hooks, and no grant covers it";
    for (attack, target, path) in [
        ("a hook", HOOKS, "/opt/site/60-more.toml"),
        ("settings", "/etc/biomero", "/opt/site/init.toml"),
        ("machine code", CACHE, "/opt/site/0123456789abcdef-0123456789abcdef.cwasm"),
    ] {
        let stage = Attack::by(&Guest::new().plans([file(path, "x")]))?.after(link(target));
        stage.must_be_stopped(attack, &[REFUSED, own])?;
    }
    Ok(())
}

#[test]
fn a_mode_has_permission_bits_only() -> Result<()> {
    for (attack, mode, shown) in
        [("set-uid", 0o4755, "4755"), ("set-gid", 0o2755, "2755"), ("sticky", 0o1777, "1777")]
    {
        let rule = ["with mode", shown, "set-uid, set-gid and sticky are refused"];
        let program = Effect::File { path: bytes("/opt/site/x"), content: bytes("x"), mode, lock: None };
        let effects = [program, directory("/opt/site/new", mode)];
        for effect in effects {
            Attack::by(&Guest::new().plans([effect]))?.must_be_stopped(attack, &rule)?;
        }
    }
    Ok(())
}

#[test]
fn no_variable_is_set_that_is_not_granted_and_some_only_by_their_name() -> Result<()> {
    for (attack, effect, grants, said) in [
        (
            "nothing granted",
            variable("SITE", "x"),
            "",
            "set the variable SITE: not granted; to allow it: set = [\"SITE\"]",
        ),
        (
            "the loader's",
            variable("LD_PRELOAD", "/opt/site/evil.so"),
            "set = [\"*\"]",
            "set the variable LD_PRELOAD: not granted",
        ),
        ("Python's", variable("PYTHONPATH", "/opt/site"), "set = [\"*\"]", "set the variable PYTHONPATH"),
        ("where programs are", variable("PATH", "/opt/site"), "set = [\"PATH*\"]", "set the variable PATH"),
        ("the shell's", variable("BASH_ENV", "/opt/site/x"), "set = [\"*\"]", "set the variable BASH_ENV"),
        ("a function of the shell", variable("BASH_FUNC_ls%%", "() { :; }"), "set = [\"*\"]", "BASH_FUNC_ls"),
        ("OMERO's", variable("OMERODIR", "/opt/site"), "set = [\"OMERO*\"]", "set the variable OMERODIR"),
        (
            "init's own",
            variable("BIOMERO_INIT_HOOKS_CACHE", "/opt/site"),
            "set = [\"*\"]",
            "BIOMERO_INIT_HOOKS_CACHE",
        ),
        ("two in one", variable("A=B\nLD_PRELOAD", "x"), "set = [\"*\"]", "a name has no ="),
        ("two in one value", variable("SITE", "x\0LD_PRELOAD=/x"), "set = [\"*\"]", "no NUL character"),
        ("a large one", variable("SITE", &"x".repeat(200_000)), "set = [\"*\"]", "at most 32 KiB"),
        (
            "removing one",
            Effect::Variable { name: bytes("PATH"), value: None },
            "set = [\"*\"]",
            "set the variable PATH",
        ),
    ] {
        Attack::by(&Guest::new().plans([effect]))?
            .granted(grants)
            .must_be_stopped(attack, &[REFUSED, said])?;
    }
    Ok(())
}

/// No program can be started any more with an environment of megabytes.
#[test]
fn no_hook_sets_more_variables_than_a_program_can_have() -> Result<()> {
    let effects = (0..200).map(|n| variable(&format!("SITE_{n}"), &"x".repeat(32_000)));
    Attack::by(&Guest::new().plans(effects))?
        .granted("set = [\"SITE_*\"]")
        .must_be_stopped("6 MB of variables", &[REFUSED])
}

#[test]
fn nothing_runs_and_nothing_is_waited_for_that_is_not_granted() -> Result<()> {
    let waits = |address: &str| Effect::WaitTcp(bytes(address));
    for (attack, effect, grants, said) in [
        (
            "a command",
            command(&["/bin/sh", "-c", "id"], true),
            "",
            "run /bin/sh -c id: not granted; to allow it: run = [",
        ),
        (
            "a command of root's",
            command(&["/bin/true"], false),
            "run = [[\"/bin/true\"]]",
            "to allow it: run_as_init = [",
        ),
        (
            "other arguments",
            command(&["/bin/sh", "-c", "id"], true),
            "run = [[\"/bin/sh\", \"/opt/x\"]]",
            "run /bin/sh -c id: not granted",
        ),
        (
            "the same word longer",
            command(&["/bin/true2"], true),
            "run = [[\"/bin/true\"]]",
            "run /bin/true2: not granted",
        ),
        ("no command", command(&[], true), "run = [[\"/bin/true\"]]", "a command has a program"),
        (
            "an address",
            waits("example.org:22"),
            "",
            "wait for example.org:22: not granted; to allow it: wait = [\"example.org:22\"]",
        ),
        ("another port", waits("omeroserver:22"), "wait = [\"omeroserver:4061\"]", "wait for omeroserver:22"),
        ("a path", Effect::WaitPath(bytes("/etc/shadow")), "", "wait for /etc/shadow: not granted"),
    ] {
        Attack::by(&Guest::new().plans([effect]))?
            .granted(grants)
            .must_be_stopped(attack, &[REFUSED, said])?;
    }
    Ok(())
}

#[test]
fn what_is_refused_is_told_without_control_characters() -> Result<()> {
    for (attack, effect) in [
        ("control characters in a path", file("/\x1b[2J\rx\u{9b}31m\u{202e}", "x")),
        ("control characters in a name", variable("\x1b[2J\r\u{9b}31m\u{202e}", "x")),
        ("control characters in an address", Effect::WaitTcp(bytes("\x1b[2J\r\u{202e}"))),
        ("control characters in a word", command(&["\x1b[2J\r\u{202e}"], true)),
    ] {
        Attack::by(&Guest::new().plans([effect]))?.must_be_stopped(attack, &[REFUSED])?;
    }
    Ok(())
}

#[test]
fn what_is_refused_is_told_in_readable_length() -> Result<()> {
    let (long, words) = ("x".repeat(1_000_000), vec!["x"; 100_000]);
    for (attack, effect) in [
        ("a long path", file(format!("/{long}"), "x")),
        ("a long name", variable(&long, "x")),
        ("a long address", Effect::WaitTcp(bytes(&long))),
        ("a long word", command(&[&long], true)),
        ("many words", command(&words, true)),
    ] {
        Attack::by(&Guest::new().plans([effect]))?.must_be_stopped(attack, &[REFUSED])?;
    }
    Ok(())
}

#[test]
fn a_thousand_refusals_are_told_in_readable_length() -> Result<()> {
    let effects = (0..1000).map(|n| file(format!("/etc/{n}"), "x"));
    Attack::by(&Guest::new().plans(effects))?
        .must_be_stopped("a thousand files", &[REFUSED, "/etc/0", "more"])
}

/// All of it granted. What is there is compared with what is to be there, and a dry run shows the difference.
#[test]
fn replacing_a_large_file_costs_nothing() -> Result<()> {
    let stage = Attack::by(&Guest::new().plans([file("/opt/site/large", "x")]))?;
    let hole = fs::File::create(stage.laptop.at("/opt/site/large")).and_then(|file| file.set_len(1 << 30));
    hole.expect("a hole takes no room");
    stage.must_cost_little("a file of 1 GiB")
}

#[test]
fn a_difference_that_is_hard_to_find_is_not_looked_for_any_longer() -> Result<()> {
    // Every line is there many times, in two orders that have little in common.
    let lines = |seed: u32| -> String {
        let mut number = seed;
        (0..250_000)
            .map(|_| {
                number = number.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                format!("{}\n", (number >> 16) % 50)
            })
            .collect()
    };
    let stage = Attack::by(&Guest::new().plans([file("/opt/site/lines", lines(1))]))?;
    fs::write(stage.laptop.at("/opt/site/lines"), lines(2)).expect("a file can be written");
    stage.must_cost_little("half a million lines")
}
