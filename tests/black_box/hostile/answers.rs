//! Guests whose answers are too large, or no answers at all: what they hand over is not what the interface says.

use biomero_tests::Result;

use super::guest::{Effect, Guest, Need};
use super::stage::{Attack, CONFIGURATION};

/// All of them fill their memory up to its limit first, so that what the host copies comes on top.
fn full() -> Guest {
    let end = "(i32.mul (memory.size) (i32.const 65536))";
    let fill = format!("(memory.fill (global.get $next) (i32.const 0) (i32.sub {end} (global.get $next)))");
    Guest::new().pages(1000).plans_after(&fill)
}

#[test]
fn an_answer_that_is_too_large_is_not_taken_over() -> Result<()> {
    let too_large = "its answer is larger than 32 MiB";
    for (attack, guest, said) in [
        (
            "one effect too many",
            Guest::new().plans(vec![Effect::Notice(b"x".to_vec()); 1001]),
            "1001 effects, 1000 is the limit",
        ),
        ("as many effects as are copied at all", full().claims(200_000), "200000 effects, 1000 is the limit"),
        ("a million effects", full().claims(1_000_000), too_large),
        ("a text of 60 MB", full().plans([Effect::NoticeOf(60_000_000)]), too_large),
        ("a hundred texts of 1 MB", full().plans(vec![Effect::NoticeOf(1_000_000); 100]), too_large),
    ] {
        Attack::by(&guest)?.limited("time = \"20s\"").must_be_stopped(attack, &[said, "stopped in plan"])?;
    }
    Ok(())
}

#[test]
fn what_lies_outside_of_its_memory_is_not_read() -> Result<()> {
    let text = || Effect::Notice(b"x".to_vec());
    let outside = "out of bounds";
    for (attack, guest, said) in [
        ("a list that would take 1 GiB", Guest::new().claims((1 << 30) / 64), outside),
        ("a list that would take 4 GiB", Guest::new().claims((1 << 26) - 1), outside),
        ("a list that would take 256 GiB", Guest::new().claims(u32::MAX), outside),
        ("a text of 1 GB", Guest::new().plans([Effect::NoticeOf(1_000_000_000)]), outside),
        ("a text of 4 GiB", Guest::new().plans([Effect::NoticeOf(u32::MAX)]), outside),
        ("an answer at the end", Guest::new().plans([text()]).answers_at(u32::MAX - 7), outside),
        ("an answer askew", Guest::new().plans([text()]).answers_at(1025), "not aligned"),
        (
            "room that is not there",
            Guest::new().needs(Need::Setting, "worker.name").allocates_after("(return (i32.const -8))"),
            "realloc return: beyond end of memory",
        ),
    ] {
        Attack::by(&guest)?
            .granted("settings = [\"worker.name\"]")
            .must_be_stopped(attack, &[said, "stopped in plan"])?;
    }
    Ok(())
}

#[test]
fn what_the_interface_does_not_know_is_no_answer() -> Result<()> {
    let path = Effect::Directory { path: b"/opt/site/caf\xe9s".to_vec(), mode: 0o755 };
    for (attack, guest, said) in [
        ("a path that is no text", Guest::new().plans([path]), ["stopped in plan", "utf-8"]),
        (
            "a name that is no text",
            Guest::new().called(b"caf\xe9s", "1.0.0"),
            ["stopped in describe", "utf-8"],
        ),
        (
            "an effect that there is none of",
            Guest::new().plans([Effect::Unknown]),
            ["stopped in plan", "discriminant"],
        ),
    ] {
        Attack::by(&guest)?.must_be_stopped(attack, &said)?;
    }
    Ok(())
}

#[test]
fn what_a_component_says_of_an_error_is_told_in_readable_length_without_control_characters() -> Result<()> {
    for (attack, complaint) in [
        ("a long one", "x".repeat(1_000_000)),
        ("one with control characters", "settings.toml:1\r\ninit: error: \x1b[2J\u{9b}31m".to_owned()),
    ] {
        let guest = Guest::new().complains(complaint);
        Attack::by(&guest)?.must_end_a_start_with(CONFIGURATION, attack, &[])?;
    }
    Ok(())
}
