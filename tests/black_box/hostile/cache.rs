//! Machine code that somebody changed: what `init` runs is what its compiler made, in a place where nobody else writes.
//!
//! What does not hold: whoever is the user that `init` runs as can put machine code there with its digest. Such a one
//! could also write `hooks.d`.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, chown, symlink};
use std::path::{Path, PathBuf};

use biomero_tests::worker_root::{self, SERVICE_USER};
use biomero_tests::{Result, Trouble};
use nix::unistd::Uid;

use super::guest::{Guest, file};
use super::stage::{Attack, CACHE, digest};

/// A hook that does what it may, compiled by a start-up.
fn compiled() -> Result<(Attack, PathBuf)> {
    let stage = Attack::by(&Guest::new().plans([file("/opt/site/good", "good\n")]))?;
    stage.install("")?;
    stage.run(&["apply"])?.ends("the first start", 0, &["hostile: done changed=1"]);
    fs::remove_file(stage.laptop.at("/opt/site/good")).map_err(Trouble::doing("remove what it wrote"))?;
    let code = machine_code(&stage.laptop.at(CACHE))?;
    Ok((stage, code))
}

/// The only machine code of a folder.
fn machine_code(folder: &Path) -> Result<PathBuf> {
    let entries = fs::read_dir(folder).map_err(Trouble::doing("list the cache"))?;
    let mut code =
        entries.flatten().map(|entry| entry.path()).filter(|path| path.extension() == Some("cwasm".as_ref()));
    code.next().ok_or_else(|| Trouble::new("nothing was kept"))
}

fn digest_beside(code: &Path) -> PathBuf {
    code.with_extension("cwasm.sha256")
}

/// Writes the digest that belongs to the machine code as it is now.
fn sign(code: &Path) -> Result<()> {
    let name = code.file_name().unwrap_or_default().to_string_lossy().into_owned();
    fs::write(digest_beside(code), format!("{}  {name}\n", digest(code)?))
        .map_err(Trouble::doing("write a digest"))
}

fn flip_a_bit(path: &Path) {
    let mut bytes = fs::read(path).expect("it can be read");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(path, bytes).expect("it can be written");
}

fn open_to_others(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("its mode can be changed");
}

#[test]
fn machine_code_that_was_changed_or_could_have_been_is_not_run() -> Result<()> {
    let ours =
        "so that what is in it could be anybody's: make it and what is above it writable for root or uid";
    type Tamper = fn(&Path);
    let cases: [(&str, Tamper, &[&str]); 9] = [
        (
            "one bit",
            flip_a_bit,
            &["it was changed or damaged and is not loaded; find out who did that, then: rm "],
        ),
        (
            "half of it",
            |code| {
                fs::File::options()
                    .write(true)
                    .open(code)
                    .and_then(|file| file.set_len(1000))
                    .expect("it can be cut")
            },
            &["it was changed or damaged"],
        ),
        ("the digest", |code| flip_a_bit(&digest_beside(code)), &["it was changed or damaged"]),
        (
            "no digest in its file",
            |code| fs::write(digest_beside(code), "\x1b[2J\n").expect("it can be written"),
            &["it was changed or damaged"],
        ),
        ("a file that others may write", |code| open_to_others(code, 0o646), &["has mode 646", ours]),
        (
            "a folder that others may write",
            |code| open_to_others(code.parent().expect("it is in one"), 0o757),
            &["has mode 757", ours],
        ),
        (
            "a folder that a group may write",
            |code| open_to_others(code.parent().expect("it is in one"), 0o775),
            &["has mode 775", ours],
        ),
        (
            "a folder above that others may write",
            |code| open_to_others(code.ancestors().nth(3).expect("it is below one"), 0o777),
            &["has mode 777", ours],
        ),
        (
            "a link",
            |code| {
                let elsewhere = code.with_extension("moved");
                fs::rename(code, &elsewhere)
                    .and_then(|()| symlink(&elsewhere, code))
                    .expect("a link can be made");
            },
            &["cannot open"],
        ),
    ];
    for (attack, tamper, said) in cases {
        let (stage, code) = compiled()?;
        tamper(&code);
        stage.must_be_stopped(attack, said)?;
    }
    Ok(())
}

/// Only root can give files away.
#[test]
fn machine_code_that_belongs_to_another_user_is_not_run_whatever_its_digest() -> Result<()> {
    if !Uid::effective().is_root() {
        return Ok(());
    }
    let (stage, code) = compiled()?;
    for path in [&code, &digest_beside(&code)] {
        chown(path, Some(12345), Some(12345)).map_err(Trouble::doing("give a file away"))?;
    }
    stage.must_be_stopped("another user's", &["belongs to uid 12345"])
}

/// The check of effects is that of the hook, whoever's code asked for them.
#[test]
fn grants_hold_for_machine_code_that_its_own_user_put_there() -> Result<()> {
    let evil = Attack::by(&Guest::new().plans([file("/etc/shadow", "root::0:0:::::\n")]))?;
    evil.install("")?;
    evil.run(&["apply"])?.ends("the evil one's start", 70, &["write /etc/shadow: not granted"]);
    let (stage, code) = compiled()?;
    fs::copy(machine_code(&evil.laptop.at(CACHE))?, &code).map_err(Trouble::doing("forge machine code"))?;
    sign(&code)?;
    stage.must_be_stopped("another component's", &["write /etc/shadow: not granted"])
}

#[test]
fn what_is_no_machine_code_is_refused_and_not_run() -> Result<()> {
    type Change = fn(&mut Vec<u8>);
    let cases: [(&str, Change); 4] = [
        ("nothing", Vec::clear),
        ("random bytes", |code| {
            (0_u32..)
                .zip(code.iter_mut())
                .for_each(|(n, byte)| *byte = n.wrapping_mul(2_654_435_761).to_be_bytes()[0])
        }),
        ("half of it", |code| code.truncate(code.len() / 2)),
        ("that of another version", |code| {
            // Behind its length.
            let at = code.windows(3).position(|text| text == b"\x0248").expect("it names its version");
            code[at + 1] = b'9';
        }),
    ];
    for (attack, change) in cases {
        let (stage, code) = compiled()?;
        let mut bytes = fs::read(&code).map_err(Trouble::doing("read machine code"))?;
        change(&mut bytes);
        fs::write(&code, bytes).map_err(Trouble::doing("write machine code"))?;
        sign(&code)?;
        stage.must_be_stopped(attack, &["the component cannot be used"])?;
    }
    Ok(())
}

/// Nothing is put where others could change it, and the hook runs all the same.
#[test]
fn a_cache_that_others_may_write_is_not_used_but_the_one_beside_the_state() -> Result<()> {
    let stage = Attack::by(&Guest::new().plans([file("/opt/site/good", "good\n")]))?;
    stage.install("")?;
    open_to_others(&stage.laptop.at(CACHE), 0o777);
    stage.run(&["apply"])?.ends("a start", 0, &["hostile: done changed=1"]);
    let mut left = fs::read_dir(stage.laptop.at(CACHE)).map_err(Trouble::doing("list the cache"))?;
    assert!(left.next().is_none(), "nothing is kept where others write");
    let second = machine_code(&stage.laptop.at("/run/biomero/hooks"))?;
    flip_a_bit(&second);
    worker_root::give(&second, SERVICE_USER)?;
    stage.must_be_stopped("one bit of it", &["it was changed or damaged and is not loaded"])
}
