//! What goes wrong while an image of OMERO is read: it is told with the image and the place, nothing half written is left, and
//! nothing stays open in a session that goes on.

use std::time::{Duration, Instant};

use biomero_tests::process::{self, Running};
use biomero_tests::{Result, Trouble, wait};
use nix::sys::signal::Signal;

use super::export::Stage;
use super::{root, run};

/// Starts an export of an image that is sent slowly, and waits until it is under way.
fn under_way(stage: &Stage) -> Result<Running> {
    let command = stage.command("omero:Image:63", &["--threads", "2"])?;
    let export = Running::start("processor", command, &stage.path("export.log"))?;
    wait::until("the export to be under way", wait::PATIENCE, &[export.log()], || {
        let tiles = stage.seen("tiles").ok()?;
        tiles.parse().is_ok_and(|tiles: u32| tiles >= 3).then_some(())
    })?;
    Ok(export)
}

/// Waits for its end; what it said.
fn ended(export: &mut Running, code: i32) -> Result<String> {
    let began = Instant::now();
    let status = export.ended_within(Duration::from_secs(40))?;
    let told = export.output();
    if status.code() != Some(code) {
        return Err(Trouble::new(format!("{status} and not {code} after {:?}: {told}", began.elapsed())));
    }
    Ok(told)
}

#[test]
fn tiles_that_are_not_what_they_should_be_are_told_with_their_place() -> Result<()> {
    let stage = Stage::new()?;
    for (image, reason) in [
        (60, "OMERO has sent 179999 bytes of a tile that has 180000"),
        (61, "OMERO has sent 180001 bytes of a tile that has 180000"),
        (62, "OMERO has sent 0 bytes of a tile that has 180000"),
        (64, "getTile: ResourceError: the file is gone"),
        (65, "OMERO has sent 62914560 bytes of a tile that has 180000"),
    ] {
        let failed = stage.fails(&format!("omero:Image:{image}"), &["--threads", "2"])?;
        let told = process::both(&failed);
        assert_eq!(failed.status.code(), Some(1), "{told}");
        assert!(told.contains(reason), "{told}");
        let place = format!("omero:Image:{image}, time 0, channel 0, depth ");
        assert!(told.contains(&place) && told.contains("rows 0 to 299, columns 0 to 299"), "{told}");
        assert!(!told.contains(&stage.key), "{told}");
    }
    assert_eq!(stage.left(), Vec::<String>::new());
    assert_eq!(stage.seen("open")?, "0");
    Ok(())
}

#[test]
fn a_router_that_is_killed_ends_an_export_at_once() -> Result<()> {
    let mut stage = Stage::new()?;
    let mut export = under_way(&stage)?;
    stage.omero.router().signal(Signal::SIGKILL)?;
    let killed = Instant::now();
    let told = ended(&mut export, 69)?;
    assert!(killed.elapsed() < Duration::from_secs(20), "{:?}", killed.elapsed());
    assert!(told.contains("omero:Image:63, time 0, channel 0, depth"), "{told}");
    assert_eq!(stage.left(), Vec::<String>::new());
    Ok(())
}

#[test]
fn a_session_that_expires_ends_an_export() -> Result<()> {
    let stage = Stage::new()?;
    let mut export = under_way(&stage)?;
    run(async {
        let config = root(&stage.omero).await?;
        let config = config.config().await.map_err(super::trouble)?;
        config.set_config_value("expire", &stage.key).await.map_err(super::trouble)
    })?;
    let told = ended(&mut export, 69)?;
    assert!(told.contains("omero:Image:63, time 0, channel 0, depth"), "{told}");
    assert!(told.contains("its session has ended") && !told.contains(&stage.key), "{told}");
    assert_eq!(stage.left(), Vec::<String>::new());
    Ok(())
}

#[test]
fn an_export_that_is_stopped_goes_on_where_it_was_if_that_was_wished() -> Result<()> {
    let stage = Stage::new()?;
    let command = stage.command("omero:Image:63", &["--threads", "1", "--keep-partial"])?;
    let mut export = Running::start("processor", command, &stage.path("export.log"))?;
    wait::until("the export to be under way", wait::PATIENCE, &[export.log()], || {
        stage.seen("tiles").ok()?.parse().is_ok_and(|tiles: u32| tiles >= 10).then_some(())
    })?;
    export.signal(Signal::SIGTERM)?;
    let told = ended(&mut export, 1)?;
    assert!(told.contains("the same command goes on there"), "{told}");
    let before: u32 = stage.seen("tiles")?.parse().unwrap_or_default();
    let again = process::output(&mut stage.command("omero:Image:63", &[])?, Duration::from_secs(60))?;
    assert!(again.status.success(), "{}", process::both(&again));
    let after: u32 = stage.seen("tiles")?.parse().unwrap_or_default();
    // Of forty tiles those that were whole are not asked for again.
    assert!(after - before <= 32, "{before} tiles, then {after}");
    biomero_tests::blitz::compare(63, &stage.path("out/63.ome.zarr"), None)?;
    assert_eq!(stage.seen("open")?, "0");
    Ok(())
}
