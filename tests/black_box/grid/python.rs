//! OMERO's own processor, unchanged, whose scripts get the variables that ours says.

use std::time::{Duration, Instant};

use biomero_tests::worker_root::{self, DATABASE_PASSWORD, OMERO, SERVICE_USER, SHIM};
use biomero_tests::{Result, Trouble, binary, wait};
use serde_json::Value;

use super::stage::{Stage, paths};

const PYTHON: &str = "[processor]\nmode = 'python'\n[processor.variables]\nforward = ['SITE_*']\nwithhold = ['LC_*']\nset.FROM_SETTINGS = 'yes'\n";

#[test]
fn omeros_own_processor_runs_with_the_same_variables_for_its_scripts() -> Result<()> {
    let fixture = binary::workspace().join("tests/fixtures/grid/runProcessor.py");
    let program = std::fs::read_to_string(fixture).map_err(Trouble::doing("read runProcessor.py"))?;
    let mut stage = Stage::start(
        |deployment| {
            deployment.settings.push_str(PYTHON);
            for (name, value) in [("SITE_KEY", "1"), ("LC_ALL", "C"), ("no_proxy", "omeroserver")] {
                deployment.variables.push((name.to_owned(), value.to_owned()));
            }
        },
        |jobs| jobs.deploy(),
        |namespace| {
            let path = format!("{}/lib/python/runProcessor.py", OMERO.trim_start_matches('/'));
            let path = worker_root::write(namespace.root(), &path, &program, 0o644)?;
            worker_root::give_file(&path, SERVICE_USER)
        },
    )?;
    let logs = stage.logs.clone();
    let logs = paths(&logs);
    stage.jobs.processor_is("active", &logs)?;
    let path = stage.namespace.path(&format!("{OMERO}/var/log/shown"));
    let shown =
        wait::until("what the script has", wait::PATIENCE, &logs, || std::fs::read_to_string(&path).ok())?;
    let shown: Value =
        serde_json::from_str(&shown).map_err(|error| Trouble::new(format!("{shown}: {error}")))?;
    let variable = |name: &str| shown["variables"][name].as_str();
    assert_eq!(shown["executable"], "/opt/omero/server/venv3/bin/python");
    assert_eq!(variable("OMERO_HOME"), Some(OMERO));
    // What its own list leaves out comes from the processor that started it.
    assert!(variable("SQLALCHEMY_URL").is_some_and(|url| url.contains(DATABASE_PASSWORD)), "{shown}");
    assert_eq!(variable("PERSISTENCE_MODULE"), Some("eventsourcing_sqlalchemy"));
    assert_eq!((variable("SITE_KEY"), variable("FROM_SETTINGS")), (Some("1"), Some("yes")));
    assert_eq!(variable("no_proxy"), Some("omeroserver"));
    assert_eq!((variable("LC_ALL"), variable("OMERO_NODE")), (None, None));
    assert!(variable("PATH").is_some_and(|path| !path.contains(SHIM)), "{shown}");
    let config = format!("{}/config", shown["folder"].as_str().unwrap_or_default());
    assert_eq!(variable("ICE_CONFIG"), Some(config.as_str()));

    let begun = Instant::now();
    assert_eq!(stage.worker.stop(wait::PATIENCE)?, 0);
    assert!(
        begun.elapsed() < Duration::from_secs(30),
        "the node knows that server too: {:?}",
        begun.elapsed()
    );
    Ok(())
}
