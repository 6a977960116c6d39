//! A minute of chaos. `cargo xtask chaos` does ten, and begins anew from the seed that this tells.

use std::time::Duration;

use biomero_tests::Result;
use biomero_tests::chaos::{Chaos, Extent, Plan};

/// The same each time: what fails here fails again.
const EXTENT: Extent = Extent { seed: 20, workflows: 24, during: Duration::from_secs(70) };

#[test]
fn whatever_is_killed_each_workflow_ends_once_and_for_a_true_reason() -> Result<()> {
    #[expect(clippy::print_stderr, reason = "a test's standard error is shown where it failed")]
    let tell = |line: &str| eprintln!("{line}");
    let plan = Plan::new(EXTENT);
    tell(&plan.to_string());
    let mut chaos = Chaos::prepare(plan)?;
    let outcome = chaos.run(&tell)?;
    tell(&outcome.to_string());
    // A minute in which nobody was killed would show nothing.
    assert!(outcome.killed.values().all(|times| *times > 0), "{outcome}");
    Ok(())
}
