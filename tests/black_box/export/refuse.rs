//! What cannot be done is said in one message with what to do, leaves nothing behind, and has its exit code.

use std::time::Duration;

use biomero_tests::process::Running;
use biomero_tests::{Result, Trouble, wait};
use nix::sys::signal::Signal;

use super::stage::Stage;

#[test]
fn each_mistake_has_its_message_and_its_code() -> Result<()> {
    let stage = Stage::new()?;
    stage.images(&["lzw.ome.tif", "lz4.zarr", "complex.tif"])?;
    let whole = std::fs::read(stage.path("lzw.ome.tif")).map_err(Trouble::doing("read an image"))?;
    let write = |name: &str, content: &[u8]| {
        std::fs::write(stage.path(name), content).map_err(Trouble::doing(format!("write {name}")))
    };
    write("short.tif", &whole[..whole.len() / 2])?;
    write("text.tif", b"no image")?;
    // A directory that is followed by itself.
    write("circle.tif", b"II*\0\x08\0\0\0\0\0\x08\0\0\0")?;
    stage.large("large.zarr", 5000)?;
    stage.answer(&["export", "lz4.zarr", "--output", "there"])?;
    std::fs::create_dir_all(stage.path("else/lz4.ome.zarr/deep")).map_err(Trouble::doing("make a folder"))?;
    for (code, arguments, message) in [
        (66, &["export", "nothing.tif", "--output", "out"][..], "No such file"),
        (69, &["export", "text.tif", "--output", "out", "--bioformats2raw", "/nowhere"], "bioformats2raw"),
        (
            1,
            &["convert", "complex.tif", "--output", "out/complex.ome.tif"],
            "complex numbers; save their real parts",
        ),
        (
            64,
            &["convert", "lz4.zarr", "--output", "out/rgb.ome.tif", "--rgb"],
            "no picture in red, green and blue",
        ),
        (65, &["export", "circle.tif", "--output", "out"], "circle"),
        (65, &["export", "short.tif", "--output", "out"], "short.tif is damaged"),
        (73, &["export", "lz4.zarr", "--output", "there", "--level", "2"], "is there already"),
        (73, &["export", "lz4.zarr", "--output", "else", "--overwrite"], "is there already"),
        (64, &["export", "lz4.zarr", "--output", "out", "--format", "0.4", "--shard", "2"], "write 0.5"),
        (64, &["export", "lz4.zarr", "--output", "out", "--name", "../x"], "a name has no /"),
        (64, &["export", "lz4.zarr", "--output", "out", "--series", "1"], "from 0 to 0"),
        (64, &["export", "large.zarr", "--output", "out", "--memory", "16"], "--memory"),
        (64, &["convert", "lz4.zarr", "--compat", "biomero", "--pyramid"], "cannot be used with"),
        (66, &["inspect", "lz4.zarr", "--verify"], "no digests"),
    ] {
        let told = stage.ends_with(code, arguments)?;
        assert!(told.contains(message), "{message}\nis not in\n{told}");
        let left = stage.path("out");
        let left = std::fs::read_dir(&left).map_or(0, |entries| entries.flatten().count());
        assert_eq!(left, 0, "{arguments:?} left something");
    }
    Ok(())
}

#[test]
fn what_is_stopped_leaves_nothing() -> Result<()> {
    let stage = Stage::new()?;
    stage.large("large.zarr", 200_000)?;
    for signal in [Signal::SIGINT, Signal::SIGTERM] {
        let command = stage.command(&["export", "large.zarr", "--output", "out", "--codec", "none"]);
        let mut running = Running::start("processor", command, &stage.path("log"))?;
        let out = stage.path("out");
        let is_busy =
            || std::fs::read_dir(&out).ok()?.flatten().next()?.path().join("image/0").exists().then_some(());
        wait::until("the first chunk", Duration::from_secs(60), &[running.log()], is_busy)?;
        running.signal(signal)?;
        let status = running.ended_within(Duration::from_secs(30))?;
        assert_eq!(status.code(), Some(1), "{}", running.output());
        assert!(running.output().contains("it was stopped"), "{}", running.output());
        assert!(std::fs::read_dir(&out).is_ok_and(|entries| entries.count() == 0));
    }
    Ok(())
}
