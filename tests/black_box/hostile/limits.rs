//! Guests that take too much: time, memory, stack, tables.

use biomero_tests::Result;

use super::guest::{self, Effect, Guest, Need, file};
use super::stage::Attack;

const FOR_EVER: &str = "(loop $again (br $again))";

#[test]
fn an_endless_loop_runs_out_of_fuel_or_of_time() -> Result<()> {
    for (attack, guest, limits, said) in [
        (
            "a loop in plan",
            Guest::new().plans_after(FOR_EVER),
            "fuel = 10_000_000",
            "stopped in plan: it used up 10000000 units of fuel; is there an endless loop? limits.fuel raises it",
        ),
        (
            "a loop in describe",
            Guest::new().describes_after(FOR_EVER),
            "fuel = 10_000_000",
            "stopped in describe: it used up 10000000 units of fuel",
        ),
        (
            "a loop with all the fuel there is",
            Guest::new().plans_after(FOR_EVER),
            "fuel = 9_000_000_000_000_000_000\ntime = \"700ms\"",
            "stopped in plan: it did not end within 700ms; limits.time raises that",
        ),
    ] {
        Attack::by(&guest)?.limited(limits).is_stopped(attack, &[said])?;
    }
    Ok(())
}

#[test]
fn a_trap_is_told_with_its_name() -> Result<()> {
    Attack::by(&Guest::new().plans_after("unreachable"))?
        .is_stopped("a trap", &["stopped in plan: it trapped: "])
}

#[test]
fn whoever_calls_itself_without_end_runs_out_of_stack() -> Result<()> {
    let guest = Guest::new()
        .with("(func $deeper (param i64) (call $deeper (local.get 0)) (call $deeper (i64.const 1)))");
    let guest = guest.plans_after("(call $deeper (i64.const 0))");
    Attack::by(&guest)?.is_stopped("recursion", &["its stack overflowed; does it call itself without end?"])
}

/// Without this one, all others could be stopped for a mistake in our guests.
#[test]
fn a_guest_that_keeps_to_its_grants_and_limits_has_its_way() -> Result<()> {
    let variable = Effect::Variable { name: b"SITE".to_vec(), value: Some(b"here".to_vec()) };
    let guest = Guest::new().plans([file("/opt/site/greeting", "hello\n"), variable]);
    let guest = guest.needs(Need::Setting, "worker.name").plans_after(&Guest::log(guest::BASE, 5));
    let stage = Attack::by(&guest)?
        .granted("write = [\"/opt/site/\"]\nset = [\"SITE\"]\nsettings = [\"worker.name\"]");
    stage.install("")?;
    stage.run(&["--dry-run"])?.ends("a dry run", 2, &["says: guest", "+hello", "SITE=here"]);
    stage.run(&["apply"])?.ends("a start", 0, &["hostile: says: guest", "hostile: done changed=1"]);
    assert_eq!(
        std::fs::read_to_string(stage.laptop.at("/opt/site/greeting")).expect("it is there"),
        "hello\n"
    );
    Ok(())
}
