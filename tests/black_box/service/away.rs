//! What keeps the service from its work: the node stays, and the reason is told where people look.

use std::os::unix::fs::PermissionsExt as _;

use biomero_tests::icegrid::free_port;
use biomero_tests::worker_root::{self, DATABASE_PASSWORD, INIT};
use biomero_tests::{Result, Trouble};

use super::stage::Stage;

/// The node is up and the worker healthy, whatever the service is.
fn stays(stage: &Stage) -> Result<()> {
    assert_eq!(stage.service("node")?["state"], "ready");
    let ask = |more: &[&str], code| {
        stage.worker.exec(&stage.namespace, &[&[INIT, "status"], more].concat())?.exits(code).map(drop)
    };
    ask(&["--main"], 0)?;
    ask(&[], 1)
}

/// Waits until `init status` tells it; the log does too.
fn tells(stage: &Stage, words: &[&str]) -> Result<()> {
    let has_all = |text: &str| words.iter().all(|word| text.contains(word));
    let service = stage.waits("the reason", |service| service["says"].as_str().is_some_and(has_all))?;
    assert_ne!(service["state"], "gave-up", "it is tried again: {service:#}");
    let said = std::fs::read_to_string(stage.namespace.log()).map_err(Trouble::doing("read the log"))?;
    assert!(words.iter().all(|word| said.contains(word)), "{words:?} are in the log:\n{said}");
    Ok(())
}

#[test]
fn a_database_that_is_away_is_waited_for_and_told_of() -> Result<()> {
    let port = free_port()?;
    let stage = Stage::start(|deployment| {
        let url = format!("postgresql+psycopg2://biomero:{DATABASE_PASSWORD}@127.0.0.1:{port}/biomero");
        deployment.variables.push(("SQLALCHEMY_URL".to_owned(), url));
    })?;
    tells(&stage, &["the database is not there yet", &port.to_string()])?;
    assert_eq!(stage.service("workflows")?["state"], "starting");
    stays(&stage)?;
    assert!(!stage.said().contains(DATABASE_PASSWORD));
    Ok(())
}

#[test]
fn a_state_folder_that_cannot_be_written_is_named_with_the_remedy() -> Result<()> {
    let stage = Stage::start_in(
        |_| (),
        |namespace| {
            namespace.prepare(
                "mount --bind \"$root/var/lib/biomero\" \"$root/var/lib/biomero\"; mount -o remount,bind,ro \"$root/var/lib/biomero\"",
            );
            Ok(())
        },
    )?;
    tells(&stage, &["/var/lib/biomero", "Read-only", "events.file"])?;
    stays(&stage)
}

#[test]
fn a_state_folder_of_somebody_else_is_named_with_the_remedy() -> Result<()> {
    if !nix::unistd::Uid::effective().is_root() {
        return Ok(());
    }
    let stage = Stage::start_in(
        |_| (),
        |namespace| {
            let folder = namespace.path("/var/lib/biomero");
            worker_root::give(&folder, 0)?;
            std::fs::set_permissions(&folder, std::fs::Permissions::from_mode(0o755))
                .map_err(Trouble::doing("open a folder"))
        },
    )?;
    tells(&stage, &["/var/lib/biomero", "denied", "events.file"])?;
    stays(&stage)
}

#[test]
fn without_the_state_folder_everything_is_in_the_users_own() -> Result<()> {
    let stage = Stage::start_in(
        |_| (),
        |namespace| {
            std::fs::remove_dir(namespace.path("/var/lib/biomero")).map_err(Trouble::doing("remove a folder"))
        },
    )?;
    stage.is_ready()?;
    let history = stage.namespace.path("/opt/omero/server/.local/state/biomero/events.sqlite");
    assert!(history.exists(), "{}", history.display());
    Ok(())
}

#[test]
fn a_program_that_is_not_there_is_named() -> Result<()> {
    let stage = Stage::start(|deployment| {
        let command = ("BIOMERO_INIT_SERVICES__WORKFLOWS__COMMAND", "[\"/usr/local/bin/absent\", \"serve\"]");
        deployment.variables.push((command.0.to_owned(), command.1.to_owned()));
    })?;
    stage.waits("another try", |service| service["restarts"].as_u64().is_some_and(|tries| tries > 0))?;
    let said = std::fs::read_to_string(stage.namespace.log()).map_err(Trouble::doing("read the log"))?;
    assert!(said.contains("/usr/local/bin/absent"), "{said}");
    stays(&stage)
}
