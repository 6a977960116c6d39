//! Guests that talk: the one thing that a hook can call is the log, and it is `init`'s.

use biomero_tests::Result;

use super::guest::{BASE, Effect, Guest};
use super::stage::{Attack, PEAK, Run};

/// Says the same line again and again.
fn says(times: u32, length: u32) -> String {
    format!(
        "(loop $again {} (local.set $i (i32.add (local.get $i) (i32.const 1)))
           (br_if $again (i32.lt_u (local.get $i) (i32.const {times}))))",
        Guest::log(BASE, length)
    )
}

fn runs(guest: &Guest) -> Result<[Run; 2]> {
    let stage = Attack::by(guest)?.limited("time = \"20s\"");
    stage.install("")?;
    Ok([stage.run(&["--dry-run"])?, stage.run(&["apply"])?])
}

fn said(run: &Run) -> Vec<&str> {
    run.told.lines().filter(|line| line.contains("says: ")).collect()
}

#[test]
fn a_hundred_thousand_lines_are_cut_to_two_hundred_and_the_rest_is_counted() -> Result<()> {
    for run in runs(&Guest::new().called("guest", "1.0.0").plans_after(&says(100_000, 5)))? {
        let said = said(&run);
        assert_eq!(said.len(), 201, "{}", run.told);
        assert!(said[199].ends_with("says: guest"), "{}", said[199]);
        assert!(said[200].ends_with("says: 99800 more lines left out, 200 is the limit"), "{}", said[200]);
    }
    Ok(())
}

#[test]
fn a_long_line_is_cut() -> Result<()> {
    let guest = Guest::new().called("x".repeat(1_000_000), "1.0.0").plans_after(&says(1, 1_000_000));
    for run in runs(&guest)? {
        let said = said(&run);
        assert_eq!(said.len(), 1, "{} lines", said.len());
        assert!(said[0].len() < 2200 && said[0].ends_with('…'), "{} bytes", said[0].len());
    }
    Ok(())
}

/// A line break would let it forge a line of `init`'s, an escape sequence one of the terminal's.
#[test]
fn nothing_but_text_reaches_the_terminal() -> Result<()> {
    let evil = "innocent\r\ninit: error: disk full\x1b[2J\x1b]0;title\x07\u{9b}31m\0end";
    let guest = Guest::new().called(evil, "1.0.0").plans_after(&says(1, evil.len() as u32));
    let guest = guest.plans([Effect::Notice(evil.into())]);
    for run in runs(&guest)? {
        assert!(!run.told.lines().any(|line| line.starts_with("init: error")), "{}", run.told);
        assert_eq!(run.told.chars().find(|c| c.is_control() && *c != '\n'), None, "{:?}", run.told);
        assert_eq!(
            run.told.lines().filter(|line| line.contains("innocent  init: error: disk full")).count(),
            2,
            "{}",
            run.told
        );
    }
    Ok(())
}

#[test]
fn no_line_turns_the_direction_of_writing_round() -> Result<()> {
    let evil = "innocent\u{202e}txet\u{2066}";
    let guest = Guest::new().called(evil, "1.0.0").plans_after(&says(1, evil.len() as u32));
    for run in runs(&guest.plans([Effect::Notice(evil.into())]))? {
        assert!(!run.told.contains(['\u{202e}', '\u{2066}']), "{:?}", run.told);
    }
    Ok(())
}

#[test]
fn what_is_no_line_of_its_own_is_not_read() -> Result<()> {
    for (attack, guest, said) in [
        ("a line of 60 MB", Guest::new().pages(1000).plans_after(&says(1, 60_000_000)), "stopped in plan"),
        ("a line of 4 GiB", Guest::new().plans_after(&says(1, u32::MAX)), "out of bounds"),
        (
            "a line that is no text",
            Guest::new().called(b"caf\xe9s", "1.0.0").plans_after("").describes_after(&says(1, 5)),
            "utf-8",
        ),
        (
            "a level that there is none of",
            Guest::new().plans_after("(call $log (i32.const 7) (i32.const 1024) (i32.const 5))"),
            "discriminant",
        ),
    ] {
        Attack::by(&guest)?.must_be_stopped(attack, &[said])?;
    }
    Ok(())
}

/// Reading what it says costs time that no fuel is counted for.
#[test]
fn talking_counts_as_time() -> Result<()> {
    let stage = Attack::by(&Guest::new().pages(20).plans_after(&says(100_000, 1_000_000)))?;
    stage.install("")?;
    let said = "stopped in plan: it did not end within 1s; limits.time raises that";
    for arguments in ["--dry-run", "apply"] {
        let run = stage.run(&[arguments])?;
        assert!(run.told.contains(said), "{}", run.told);
        assert!(run.peak < PEAK, "init had {} MiB at its peak", run.peak >> 10);
    }
    Ok(())
}
