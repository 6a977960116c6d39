//! Guests that take too much: time, memory, stack, tables, lines of the log.

use biomero_tests::Result;

use super::guest::{self, Effect, Guest, Need, file};
use super::stage::Attack;

const FOR_EVER: &str = "(loop $again (br $again))";

/// Without this one, all others could be stopped for a mistake in our guests.
#[test]
fn a_guest_that_keeps_to_its_grants_and_limits_has_its_way() -> Result<()> {
    let variable = Effect::Variable { name: b"SITE".to_vec(), value: Some(b"here".to_vec()) };
    let guest = Guest::new().plans([file("/opt/site/greeting", "hello\n"), variable]);
    let guest = guest.needs(Need::Setting, "worker.name").plans_after(&Guest::log(guest::BASE, 5));
    let grants = "write = [\"/opt/site/\"]\nset = [\"SITE\"]\nsettings = [\"worker.name\"]";
    let stage = Attack::by(&guest)?.granted(grants);
    stage.install("")?;
    stage.run(&["--dry-run"])?.ends("a dry run", 2, &["says: guest", "+hello", "SITE=here"]);
    stage.run(&["apply"])?.ends("a start", 0, &["hostile: says: guest", "hostile: done changed=1"]);
    let greeting = std::fs::read_to_string(stage.laptop.at("/opt/site/greeting")).expect("it is there");
    assert_eq!(greeting, "hello\n");
    Ok(())
}

#[test]
fn an_endless_loop_runs_out_of_fuel_or_of_time_wherever_it_is() -> Result<()> {
    let fuel = "fuel = 10_000_000";
    let start = format!("(func $start {FOR_EVER}) (start $start)");
    let after = format!("(func (export \"cabi_post_biomero:hooks/hook@1.0.0#plan\") (param i32) {FOR_EVER})");
    for (attack, guest, limits, said) in [
        (
            "in plan",
            Guest::new().plans_after(FOR_EVER),
            fuel,
            "stopped in plan: it used up 10000000 units of fuel; is there an endless loop? limits.fuel raises it",
        ),
        ("in describe", Guest::new().describes_after(FOR_EVER), fuel, "stopped in describe: it used up 1000"),
        ("at its start", Guest::new().with(&start), fuel, "stopped in describe: it used up 1000"),
        (
            "when asked for room",
            Guest::new().allocates_after(FOR_EVER),
            fuel,
            "stopped in plan: it used up 1000",
        ),
        ("after its answer", Guest::new().with(&after), fuel, "stopped in plan: it used up 1000"),
        (
            "with all the fuel there is",
            Guest::new().plans_after(FOR_EVER),
            "fuel = 9_000_000_000_000_000_000\ntime = \"700ms\"",
            "stopped in plan: it did not end within 700ms; limits.time raises that",
        ),
    ] {
        Attack::by(&guest)?.limited(limits).must_be_stopped(attack, &[said])?;
    }
    Ok(())
}

#[test]
fn a_trap_is_told_with_its_name() -> Result<()> {
    for (attack, code, said) in [
        ("unreachable", "unreachable", "wasm `unreachable` instruction executed"),
        (
            "a division by nothing",
            "(drop (i32.div_u (i32.const 1) (local.get $i)))",
            "integer divide by zero",
        ),
        ("beyond its memory", "(drop (i32.load (i32.const -4)))", "out of bounds memory access"),
    ] {
        Attack::by(&Guest::new().plans_after(code))?.must_be_stopped(attack, &[said])?;
    }
    Ok(())
}

#[test]
fn whoever_calls_itself_without_end_runs_out_of_stack() -> Result<()> {
    let guest = Guest::new()
        .with("(func $deeper (param i64) (call $deeper (local.get 0)) (call $deeper (i64.const 1)))")
        .plans_after("(call $deeper (i64.const 0))");
    Attack::by(&guest)?.must_be_stopped(
        "recursion",
        &["stopped in plan: its stack overflowed; does it call itself without end?"],
    )
}

/// Each fills all it gets, and traps when it gets no more.
#[test]
fn memory_and_tables_grow_to_their_limits_and_no_further() -> Result<()> {
    let memory = "its memory limit of 64 MiB was reached (limits.memory_mib raises that)";
    let tables = "its limit of 1048576 table entries was reached";
    let grows = "(loop $more
        (local.set $i (memory.grow (i32.const 64)))
        (if (i32.eq (local.get $i) (i32.const -1)) (then unreachable))
        (memory.fill (i32.mul (local.get $i) (i32.const 65536)) (i32.const 1) (i32.const 4194304))
        (br $more))";
    let grows_a_table = "(loop $more
        (if (i32.eq (table.grow $t (ref.func $f) (i32.const 4096)) (i32.const -1)) (then unreachable))
        (br $more))";
    let table = "(func $f) (elem declare func $f) (table $t 1 funcref)";
    for (attack, guest, said) in [
        ("a memory that grows in plan", Guest::new().plans_after(grows), memory),
        ("a memory that grows in describe", Guest::new().describes_after(grows), memory),
        ("4 GiB from the beginning", Guest::new().pages(65536), memory),
        ("ninety memories", Guest::new().with(&"(memory 512)".repeat(90)), memory),
        ("a table that grows", Guest::new().with(table).plans_after(grows_a_table), tables),
        ("a table that is large", Guest::new().with("(table 4294967295 funcref)"), tables),
        ("sixty tables", Guest::new().with(&"(table 20000 funcref)".repeat(60)), tables),
    ] {
        // Growing copies: on a busy machine a second would be too short to get there.
        Attack::by(&guest)?.limited("time = \"20s\"").must_be_stopped(attack, &[said])?;
    }
    Ok(())
}
