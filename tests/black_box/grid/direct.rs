//! A worker without a node: `init` runs the processor, which registers itself.

use biomero_tests::{Result, wait};
use serde_json::json;

use super::stage::{Stage, paths};

const WITHOUT_NODE: &str = "[services.node]\nenabled = false\n[services.processor]\nenabled = true\ncommand = ['/opt/biomero/bin/processor', 'grid']\n";

#[test]
fn a_processor_without_a_node_registers_itself_and_runs_scripts() -> Result<()> {
    let mut stage =
        Stage::start(|deployment| deployment.settings.push_str(WITHOUT_NODE), |_| Ok(()), |_| Ok(()))?;
    stage.jobs.script("print('without a node')")?;
    let logs = stage.logs.clone();
    let logs = paths(&logs);
    let known = stage.jobs.knows_the_processor(&logs)?;
    assert!(known.contains("tcp -h 127.0.0.1"), "its own address is told: {known}");
    assert_eq!(stage.run(77)?, json!(0));
    assert_eq!(stage.jobs.output(77, "stdout")?, "without a node\n");
    let described = stage.jobs.registry()?.ask("object describe Processor")?;
    assert!(described.contains("::omero::grid::Processor"), "{described}");
    let mut processes = stage.worker.processes();
    processes.sort();
    assert_eq!(processes, ["init", "processor"]);
    assert_eq!(stage.worker.stop(wait::PATIENCE)?, 0);
    Ok(())
}
