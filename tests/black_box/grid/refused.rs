//! What cannot be is told, with an exit code.

use std::process::Command;
use std::time::{Duration, Instant};

use biomero_tests::process::Running;
use biomero_tests::scratch::Scratch;
use biomero_tests::worker_root::PROCESSOR;
use biomero_tests::{Result, binary, wait};
use nix::sys::signal::Signal;

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

/// Of a master whose name does not resolve.
fn without_master(scratch: &Scratch, variables: &[(&str, &str)]) -> Result<Running> {
    let mut processor = Command::new(binary::processor()?);
    processor.arg("grid").env_clear().env("BIOMERO_INIT_PROCESSOR__RUNS", scratch.path().join("runs"));
    processor.envs(variables.iter().copied());
    Running::start("processor", processor, &scratch.path().join("processor.log"))
}

#[test]
fn a_master_that_does_not_resolve_is_waited_for_and_a_signal_ends_that() -> Result<()> {
    let scratch = Scratch::new()?;
    let master = [("CONFIG_omero_master_host", "nowhere.invalid"), ("BIOMERO_INIT_WAIT__RESOLVE", "1h")];
    let mut processor = without_master(&scratch, &master)?;
    let status = format!("/proc/{}/status", processor.id());
    wait::until("TERM to be caught", wait::PATIENCE, &[processor.log()], || {
        let status = std::fs::read_to_string(&status).ok()?;
        let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:"))?;
        let caught = u64::from_str_radix(caught.trim(), 16).ok()?;
        (caught & (1 << (Signal::SIGTERM as u32 - 1)) != 0).then_some(())
    })?;
    let begun = Instant::now();
    assert_eq!(processor.stop(wait::PATIENCE)?.code(), Some(0), "{}", processor.output());
    assert!(begun.elapsed() < Duration::from_secs(20), "not the hour that a name may take");

    let master = [("CONFIG_omero_master_host", "nowhere.invalid"), ("BIOMERO_INIT_WAIT__RESOLVE", "50ms")];
    let mut processor = without_master(&scratch, &master)?;
    assert_eq!(processor.ended_within(wait::PATIENCE)?.code(), Some(69));
    assert!(processor.output().contains("set processor.address"), "{}", processor.output());
    Ok(())
}

#[test]
fn what_the_settings_lack_is_named() -> Result<()> {
    let scratch = Scratch::new()?;
    let python = [("CONFIG_omero_master_host", "omeroserver"), ("BIOMERO_INIT_PROCESSOR__MODE", "python")];
    for (variables, expected) in [(&[][..], "set master.host"), (&python, "enable services.node")] {
        let mut processor = without_master(&scratch, variables)?;
        assert_eq!(processor.ended_within(wait::PATIENCE)?.code(), Some(78), "{}", processor.output());
        assert!(processor.output().contains(expected), "{}", processor.output());
    }
    Ok(())
}
