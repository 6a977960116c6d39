//! A worker that is killed while it reads from OMERO or writes there goes on where it was.

use std::time::Duration;

use biomero_tests::{Result, Trouble, wait};
use nix::sys::signal::Signal;

use super::{IMAGES, Stage, counted};

#[test]
fn killed_while_results_are_brought_home_it_brings_nothing_twice() -> Result<()> {
    let stage = Stage::new()?;
    let serve = stage.serve()?;
    let id = stage.submit(&["omero:Image:10"])?;
    stage.ends(&id, &serve, "DONE")?;
    let whole = counted(&stage.there()?);
    let calls: u32 = stage.seen("calls")?.parse().unwrap_or_default();
    assert!(calls > 8, "{calls} calls that change something");
    drop(serve);

    let pid = stage.desk.worker.folder().join("pid");
    // At the first, at the last, and in between.
    for call in [1, calls / 3, 2 * calls / 3, calls] {
        stage.tell("prepare", IMAGES)?;
        let mut serve = stage.serve()?;
        std::fs::write(&pid, serve.id().to_string()).map_err(Trouble::doing("write a number"))?;
        stage.tell("kill", &format!("{call} {}", pid.display()))?;
        let id = stage.submit(&["omero:Image:10"])?;
        serve.ended_within(wait::PATIENCE)?;
        let serve = stage.serve()?;
        stage.ends(&id, &serve, "DONE")?;
        let there = stage.there()?;
        assert_eq!(counted(&there), whole, "killed after call {call}: {there:#}");
        stage.desk.ran_once(&id)?;
        stage.desk.is_recorded_once(&id)?;
    }
    stage.sessions_are("0")
}

#[test]
fn killed_while_an_image_is_read_it_reads_it_to_its_end() -> Result<()> {
    let stage = Stage::new()?;
    let mut serve = stage.serve()?;
    // Its 40 planes take their time.
    let id = stage.submit(&["omero:Image:63"])?;
    let staged = stage.desk.worker.folder().join(".local/state/biomero/workflows").join(&id).join("images");
    for _ in 0..2 {
        wait::until("a part of an image", wait::PATIENCE, &[serve.log()], || {
            std::fs::read_dir(&staged).ok()?.next().map(drop)
        })?;
        std::thread::sleep(Duration::from_secs(1));
        serve.signal(Signal::SIGKILL)?;
        serve.ended_within(wait::PATIENCE)?;
        serve = stage.serve()?;
    }
    let shown = stage.desk.ended(&id, &[&serve])?;
    // The label image is not of its size, which is told; the table is there.
    assert_eq!(shown["failure"]["step"], "deliver", "{shown:#}\n{}", serve.output());
    assert_eq!(counted(&stage.there()?)["tables"], 1);
    stage.desk.ran_once(&id)
}
