//! What cannot be is told, with an exit code.

use biomero_tests::Result;
use biomero_tests::worker_root::PROCESSOR;

use super::stage::Stage;

#[test]
fn a_second_processor_is_refused_and_a_dry_run_is_not() -> Result<()> {
    let stage = Stage::with_node(|_| ())?;
    let second = stage.worker.exec(&stage.namespace, &[PROCESSOR, "grid"])?.exits(69)?;
    assert!(
        second.errors.contains("another processor runs scripts in /opt/omero/server/tmp/scripts"),
        "{}",
        second.errors
    );
    let shown = stage.worker.exec(&stage.namespace, &[PROCESSOR, "grid", "--dry-run"])?.exits(0)?;
    assert!(shown.output.contains("router: omeroserver, port "), "{}", shown.output);
    Ok(())
}
