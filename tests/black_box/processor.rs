//! `processor events` against a real PostgreSQL with a history that Python wrote.

mod stage;

use biomero_tests::Result;
use stage::Stage;

#[test]
fn a_history_is_set_up_once() -> Result<()> {
    let stage = Stage::with_history("processor_init")?;
    for line in [
        &["init"][..],
        &["init"],
        &["init", "--json"],
        &["select"],
        &["select", "--start", "40", "--json"],
        &["show", stage::WORKFLOW],
        &["show", "2ef4f9c5-d2e0-494b-aad2-5295d7e6ca98", "--json"],
        &["show", "00000000-0000-0000-0000-000000000000"],
    ] {
        let output = stage.run(line)?;
        println!(
            "$ processor events {}\n{}\n=> {:?}",
            line.join(" "),
            biomero_tests::process::both(&output),
            output.status.code()
        );
    }
    Ok(())
}
