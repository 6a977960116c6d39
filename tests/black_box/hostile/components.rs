//! Files that are no component, or none for this `init`: what is loaded is what was pinned, and it has the shape of a hook.

use std::fs;
use std::os::unix::fs::symlink;

use biomero_tests::Result;

use super::guest::{Guest, assemble};
use super::stage::Attack;

/// A component in text with the exports of a hook, which are of other types and never come to be asked; `more` goes
/// before them.
fn shaped_as(interface: &str, more: &str) -> Result<Vec<u8>> {
    assemble(&format!(
        r#"(component
          {more}
          (core module $functions (func (export "f")))
          (core instance $core (instantiate $functions))
          (func $f (canon lift (core func $core "f")))
          (instance $hook (export "describe" (func $f)) (export "plan" (func $f)))
          (export "{interface}" (instance $hook)))"#
    ))
}

/// The bytes of a component that would be a good one.
fn good() -> Result<Vec<u8>> {
    let attack = Attack::with(Vec::new())?;
    Guest::new().component(attack.scratch())
}

#[test]
fn what_is_no_component_is_told_for_what_it_is() -> Result<()> {
    let mut cut = good()?;
    cut.truncate(cut.len() / 2);
    let mut garbled = good()?;
    garbled.iter_mut().skip(8).for_each(|byte| *byte ^= 0x5a);
    let random: Vec<u8> = (0..65_536_u32).map(|n| n.wrapping_mul(2_654_435_761).to_be_bytes()[0]).collect();
    let said =
        "it could not be compiled: exit code 1; its own line above says why; by hand: init-hooks compile";
    for (attack, bytes, why) in [
        ("an empty file", Vec::new(), "the file is empty"),
        ("random bytes", random, "this is no WebAssembly"),
        ("a script", b"#!/bin/sh\nid\n".to_vec(), "this is no WebAssembly"),
        ("half a component", cut, "not a valid component"),
        ("a garbled component", garbled, "not a valid component"),
        (
            "a core module",
            assemble(&Guest::new().wat())?,
            "this is a core module; make a component of it: init-hooks componentize",
        ),
    ] {
        Attack::with(bytes)?.must_be_stopped(attack, &[why, said])?;
    }
    Ok(())
}

#[test]
fn what_a_component_imports_and_exports_is_checked_before_it_runs() -> Result<()> {
    let imports = |name: &str| format!(r#"(import "{name}" (instance (export "f" (func))))"#);
    let many: String = (0..40).map(|n| imports(&format!("evil:net/socket{n}@1.0.0"))).collect();
    let hook = "biomero:hooks/hook@1.0.0";
    for (attack, component, said) in [
        (
            "WASI",
            shaped_as(hook, &imports("wasi:cli/environment@0.2.0"))?,
            &["it imports wasi:cli/environment@0.2.0; build it without WASI", "wasi = \"deny\""][..],
        ),
        (
            "sockets",
            shaped_as(hook, &imports("evil:net/socket@1.0.0"))?,
            &["it imports evil:net/socket@1.0.0; a hook may import biomero:hooks/log and nothing else"],
        ),
        (
            "both",
            shaped_as(hook, &(imports("evil:net/socket@1.0.0") + &imports("wasi:cli/environment@0.2.0")))?,
            &["a hook may import biomero:hooks/log and nothing else"],
        ),
        ("much", shaped_as(hook, &many)?, &["evil:net/socket0@1.0.0", "and 32 more"]),
        (
            "another version of the log",
            shaped_as(hook, &imports("biomero:hooks/log@2.0.0"))?,
            &["it imports biomero:hooks/log@2.0.0"],
        ),
        (
            "a log of another shape",
            shaped_as(hook, &imports("biomero:hooks/log@1.0.0"))?,
            &["biomero:hooks/log"],
        ),
        (
            "a version to come",
            shaped_as("biomero:hooks/hook@2.0.0", "")?,
            &["it is written for biomero:hooks@2.0.0, and this init speaks 1.0.0"],
        ),
        (
            "no version",
            shaped_as("biomero:hooks/hook", "")?,
            &["it is written for biomero:hooks@(no version)"],
        ),
        (
            "another interface",
            shaped_as("site:proxy/hook@1.0.0", "")?,
            &["it exports no biomero:hooks/hook, only site:proxy/hook@1.0.0"],
        ),
        ("no interface", assemble("(component)")?, &["it exports no biomero:hooks/hook, only nothing"]),
        ("functions of other types", shaped_as(hook, "")?, &["stopped in describe", "type mismatch"]),
    ] {
        Attack::with(component)?.must_be_stopped(attack, said)?;
    }
    Ok(())
}

#[test]
fn wasi_that_is_denied_is_a_trap_and_no_way_around_the_other_imports() -> Result<()> {
    let imports = r#"(import "wasi:cli/environment@0.2.0" (instance $wasi (export "f" (func))))
        (core func $lowered (canon lower (func $wasi "f")))
        (core module $calls (import "wasi" "f" (func $f)) (func $start (call $f)) (start $start))
        (core instance (instantiate $calls (with "wasi" (instance (export "f" (func $lowered))))))"#;
    let calls = shaped_as("biomero:hooks/hook@1.0.0", imports)?;
    Attack::with(calls)?
        .keyed("wasi = \"deny\"")
        .must_be_stopped("a call of WASI", &["stopped in describe", "wasi:cli/environment@0.2.0"])?;
    let evil = shaped_as(
        "biomero:hooks/hook@1.0.0",
        r#"(import "evil:net/socket@1.0.0" (instance (export "f" (func))))"#,
    )?;
    Attack::with(evil)?
        .keyed("wasi = \"deny\"")
        .must_be_stopped("another import", &["it imports evil:net/socket@1.0.0"])
}

#[test]
fn what_a_hook_has_no_use_for_is_not_compiled() -> Result<()> {
    let said = "not a valid component";
    for (attack, module) in [
        (
            "shared memory",
            "(memory 1 1 shared) (func (drop (memory.atomic.wait32 (i32.const 0) (i32.const 0) (i64.const -1))))",
        ),
        (
            "waiting in memory of its own",
            "(memory 1) (func (drop (memory.atomic.wait32 (i32.const 0) (i32.const 0) (i64.const -1))))",
        ),
        ("references to what is outside", "(table 1 externref)"),
        ("structures", "(type (struct (field i32)))"),
        ("exceptions", "(tag $oops) (func (throw $oops))"),
    ] {
        let component = shaped_as("biomero:hooks/hook@1.0.0", &format!("(core module {module})"))?;
        Attack::with(component)?.must_be_stopped(attack, &[said])?;
    }
    Ok(())
}

#[test]
fn a_component_of_very_many_parts_is_not_put_together() -> Result<()> {
    let hook = "biomero:hooks/hook@1.0.0";
    for (attack, part, said) in [
        (
            "a thousand instances",
            "(core instance (instantiate $m))".repeat(1000),
            "instances count exceeds limit",
        ),
        (
            "two hundred instances",
            "(core instance (instantiate $m))".repeat(200),
            "stopped in describe: resource limit exceeded",
        ),
    ] {
        let component = shaped_as(hook, &format!("(core module $m (memory 1)) {part}"))?;
        Attack::with(component)?.must_be_stopped(attack, &[said])?;
    }
    Ok(())
}

/// The compiler is a program of its own, without privileges and with limits.
#[test]
fn code_that_is_nested_very_deep_is_compiled_all_the_same() -> Result<()> {
    let nested = format!("(core module (func {} {}))", "(block ".repeat(20_000), ")".repeat(20_000));
    let component = shaped_as("biomero:hooks/hook@1.0.0", &nested)?;
    Attack::with(component)?.must_be_stopped("twenty thousand blocks in each other", &["stopped in describe"])
}

#[test]
fn a_name_in_a_component_reaches_no_terminal_as_it_is() -> Result<()> {
    let twice = format!("(func (export \"\\1b[2J\\u{{202e}}{}\"))", "x".repeat(90_000)).repeat(2);
    let component = shaped_as("biomero:hooks/hook@1.0.0", &format!("(core module {twice})"))?;
    Attack::with(component)?.must_be_stopped("a name that is exported twice", &["not a valid component"])
}

#[test]
fn only_the_file_that_was_pinned_is_looked_at() -> Result<()> {
    let other = "0123456789abcdef".repeat(4);
    let stage = Attack::by(&Guest::new())?;
    stage.install("")?;
    let own = super::stage::digest(&stage.laptop.at("/etc/biomero/hooks.d/hostile.wasm"))?;
    for (attack, keys, said) in [
        (
            "another digest",
            format!("sha256 = \"{other}\"\n"),
            &[own.as_str(), other.as_str(), "it is not the file that was checked", "init hooks pin"][..],
        ),
        ("no digest", "# sha256\n".to_owned(), &["is not pinned", own.as_str(), "allow_unpinned = true"]),
        ("half a digest", "sha256 = \"0123\"\n".to_owned(), &["give 64 hexadecimal digits"]),
    ] {
        Attack::by(&Guest::new())?.keyed(&keys).must_be_refused_at_once(attack, said)?;
    }
    Ok(())
}

#[test]
fn what_is_no_file_of_reasonable_size_is_not_read() -> Result<()> {
    type Make = fn(&std::path::Path);
    let cases: [(&str, Make, &str); 4] = [
        (
            "a pipe",
            |path| nix::unistd::mkfifo(path, nix::sys::stat::Mode::S_IRWXU).expect("a pipe can be made"),
            "it is no regular file",
        ),
        ("a folder", |path| fs::create_dir(path).expect("a folder can be made"), "it is no regular file"),
        (
            "nothing but zeros",
            |path| symlink("/dev/zero", path).expect("a link can be made"),
            "cannot read the component",
        ),
        (
            "a file of 1 TiB",
            |path| {
                fs::File::create(path).and_then(|file| file.set_len(1 << 40)).expect("a hole takes no room")
            },
            "it is larger than 128 MiB",
        ),
    ];
    for (attack, make, said) in cases {
        let stage = Attack::by(&Guest::new())?;
        let path = stage.laptop.at("/etc/biomero/hooks.d/other.wasm");
        make(&path);
        stage.hook("60-other.toml", "component = \"other.wasm\"\nallow_unpinned = true\n")?;
        // Gives all of it to the user that `init` runs as.
        stage.install("")?;
        for (arguments, code) in [("--dry-run", 1), ("apply", 78)] {
            stage.run(&[arguments])?.ends(attack, code, &["60-other.toml", said]);
        }
    }
    Ok(())
}

/// A function of 300 kB that makes the compiler ask for more memory than its limit.
#[test]
fn what_is_hard_to_compile_ends_the_compiler_and_not_init() -> Result<()> {
    let (locals, mut number) = (1500, 1_u32);
    let mut local = || {
        number = number.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (number >> 8) % locals
    };
    // Every local may come from everywhere.
    let branch = |(to, from): (u32, u32)| {
        format!("(if (local.get {to}) (then (local.set {to} (i32.add (local.get {from}) (i32.const 1)))))")
    };
    let branches: String = (0..20_000).map(|_| branch((local(), local()))).collect();
    let declared = "i32 ".repeat(locals as usize);
    let module = format!("(core module (func (local {declared}) (loop {branches} (br 0))))");
    let stage = Attack::with(shaped_as("biomero:hooks/hook@1.0.0", &module)?)?;
    stage.install("on_failure = \"warn\"\n")?;
    for arguments in ["--dry-run", "apply"] {
        let run = stage.run(&[arguments])?;
        run.ends(
            arguments,
            1,
            &["hook hostile: it could not be compiled: killed by signal 6", "init-hooks compile"],
        );
    }
    assert!(stage.laptop.at("/srv/witness/ran").exists(), "the hook after it ran");
    Ok(())
}
