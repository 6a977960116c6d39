//! What neither is OME-Zarr nor TIFF, by way of bioformats2raw; and how it ends where that does not.

use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use biomero_tests::process::Running;
use biomero_tests::{Result, Trouble, imaging, process, wait};
use nix::sys::signal::Signal;

use super::stage::Stage;

const DEADLINE: Duration = Duration::from_secs(240);

/// Puts a program of this text where `bioformats2raw` is looked for; its name for `--bioformats2raw`.
fn program(stage: &Stage, text: &str) -> Result<String> {
    let path = stage.path("bioformats2raw");
    std::fs::write(&path, format!("#!/bin/sh\nif [ \"$1\" = --version ]; then {text}\n"))
        .and_then(|()| std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)))
        .map_err(Trouble::doing("write a program"))?;
    Ok(path.display().to_string())
}

/// What is beside the images: nothing, if all went well or all was cleared away.
fn left(stage: &Stage, folder: &str) -> Vec<String> {
    let entries = std::fs::read_dir(stage.path(folder)).into_iter().flatten().flatten();
    entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
}

#[test]
fn formats_that_bio_formats_alone_reads_are_read_to_the_last_bit() -> Result<()> {
    let stage = Stage::new()?;
    stage.images(&["tiles.ome.tif", "packbits.ome.tif"])?;
    imaging::bioformats2raw(&stage.path("bioformats2raw"))?;
    let mut written = 0;
    for (image, format) in [("tiles.ome.tif", "ics"), ("tiles.ome.tif", "ome"), ("packbits.ome.tif", "ics")] {
        let name = format!("{}.{format}", image.replace(".ome.tif", ""));
        imaging::bio_formats("ImageConverter", &[&stage.path(image), &stage.path(&name)])?;
        let made = format!("made/{name}");
        std::fs::create_dir_all(stage.path(&made)).map_err(Trouble::doing("make a folder"))?;
        std::fs::copy(stage.path(&format!("{image}.npy")), stage.path(&format!("{made}.npy")))
            .map_err(Trouble::doing("copy what it holds"))?;
        let with = |verb: &str, arguments: &[&str]| {
            let mut command = stage.command(&[&[verb, name.as_str()], arguments].concat());
            let path = std::env::var_os("PATH").unwrap_or_default();
            let path = std::iter::once(stage.path("")).chain(std::env::split_paths(&path));
            command.env("PATH", std::env::join_paths(path).map_err(|error| Trouble::new(error.to_string()))?);
            process::succeed(&mut command, DEADLINE)
        };
        with("export", &["--output", &made])?;
        with("convert", &["--output", &format!("{made}/made.tif"), "--compress", "zstd"])?;
        written += 2;
        let told = with("inspect", &["--series", "0"])?;
        assert!(told.contains("OME-Zarr 0.4"), "{told}");
        let hidden: Vec<_> = left(&stage, &made).into_iter().filter(|name| name.starts_with('.')).collect();
        assert!(hidden.is_empty(), "{hidden:?}");
    }
    let told = imaging::run("readers.py", &[&stage.path("made")])?;
    assert_eq!(told.trim(), format!("{written} images read"));
    // What we read ourselves it reads too, when it is asked to.
    let name = stage.path("bioformats2raw").display().to_string();
    let by = ["--reader", "bioformats2raw", "--bioformats2raw", name.as_str()];
    stage.answer(&[&["convert", "tiles.ome.tif", "--output", "made/tiles.ics/by.tif"], &by[..]].concat())?;
    let told = imaging::run("readers.py", &[&stage.path("made")])?;
    assert_eq!(told.trim(), format!("{} images read", written + 1));
    let told = stage.ends_with(1, &[&["inspect", "tiles.ome.tif.npy"], &by[..]].concat())?;
    assert!(told.contains("bioformats2raw cannot read") && told.contains("Exception"), "{told}");
    Ok(())
}

#[test]
fn each_way_in_which_it_fails_has_its_message_and_its_code() -> Result<()> {
    let stage = Stage::new()?;
    std::fs::write(stage.path("image.czi"), "ZISRAWFILE").map_err(Trouble::doing("write an image"))?;
    let modern = "echo 'Version = 0.9.4'; exit 255; fi";
    let failing = |text: &str| format!("{modern}\n{text}");
    let none = stage.path("none/bioformats2raw").display().to_string();
    for (code, text, message) in [
        (69, None, "install bioformats2raw 0.5.0 or later with Java and libblosc"),
        (
            69,
            Some("echo 'Version = 0.4.0'; exit 255; fi".to_owned()),
            "is version 0.4.0; install bioformats2raw 0.5.0",
        ),
        (69, Some("echo 'no java'; exit 1; fi".to_owned()), "does not tell its version: no java"),
        (
            1,
            Some(failing("echo one; echo 'java.io.IOException: two' >&2; exit 3")),
            "java.io.IOException: two",
        ),
        (1, Some(failing("kill -KILL $$")), "signal: 9"),
        (
            1,
            Some(failing("echo '12:00:00 [main] ERROR c.g.b.Converter - Error while writing series 0'")),
            "complained",
        ),
        (1, Some(failing("exit 0")), "has made of image.czi what cannot be read"),
        (
            1,
            Some(failing("for last do :; done; mkdir \"$last\"; echo '{' > \"$last/.zgroup\"")),
            "what cannot be read",
        ),
        (
            1,
            Some(failing(
                "for last do :; done; mkdir \"$last\"; echo '{\"zarr_format\":2}' > \"$last/.zgroup\"; echo '{\"bioformats2raw.layout\":3}' > \"$last/.zattrs\"",
            )),
            "it has no image",
        ),
        (1, Some(failing("head -c 50000000 /dev/zero | tr '\\0' x; exit 1")), "ended with exit status: 1"),
        (
            73,
            Some(failing("echo 'java.io.IOException: No space left on device'; exit 1")),
            "the disk is full",
        ),
    ] {
        let named = match &text {
            Some(text) => program(&stage, text)?,
            None => none.clone(),
        };
        for arguments in [
            &["convert", "image.czi", "--output", "out/image.tif"][..],
            &["export", "image.czi", "--output", "out"],
        ] {
            let told = stage.ends_with(code, &[arguments, &["--bioformats2raw", &named]].concat())?;
            assert!(told.contains(message), "{message}\nis not in\n{told}");
            assert!(told.len() < 20_000, "{} bytes of it are shown", told.len());
            assert_eq!(left(&stage, "out"), Vec::<String>::new(), "{message}");
        }
    }
    Ok(())
}

/// The program, which has begun with something that never ends, and the ids of its processes.
fn busy(stage: &Stage) -> Result<(Running, Vec<String>)> {
    let _ = std::fs::remove_file(stage.path("pids"));
    let pids = stage.path("pids");
    let text = format!(
        "echo 'Version = 0.9.4'; exit 255; fi\nfor last do :; done; mkdir -p \"$last/0\"; sleep 1000 & echo $! $$ > {0}.new; mv {0}.new {0}; wait",
        pids.display()
    );
    let named = program(stage, &text)?;
    let command =
        stage.command(&["convert", "image.czi", "--output", "out/image.tif", "--bioformats2raw", &named]);
    let running = Running::start("processor", command, &stage.path("log"))?;
    let found = wait::until("bioformats2raw", Duration::from_secs(60), &[running.log()], || {
        std::fs::read_to_string(&pids).ok()
    })?;
    Ok((running, found.split_whitespace().map(str::to_owned).collect()))
}

fn are_gone(stage: &Stage, pids: &[String]) -> Result<()> {
    let lives = |pid: &String| {
        let stat = std::fs::read_to_string(PathBuf::from("/proc").join(pid).join("stat")).unwrap_or_default();
        !stat.is_empty() && !stat.contains(") Z ")
    };
    wait::until("the end of what was started", Duration::from_secs(30), &[], || {
        (!pids.iter().any(lives) && left(stage, "out").is_empty()).then_some(())
    })
}

#[test]
fn what_is_stopped_leaves_neither_a_process_nor_a_folder() -> Result<()> {
    let stage = Stage::new()?;
    std::fs::write(stage.path("image.czi"), "ZISRAWFILE").map_err(Trouble::doing("write an image"))?;
    for signal in [Signal::SIGINT, Signal::SIGTERM] {
        let (mut running, pids) = busy(&stage)?;
        assert_eq!(left(&stage, "out").len(), 1, "a folder was made beside the output");
        running.signal(signal)?;
        let status = running.ended_within(Duration::from_secs(30))?;
        assert_eq!(status.code(), Some(1), "{}", running.output());
        assert!(running.output().contains("it was stopped"), "{}", running.output());
        // At once: it was waited for.
        assert_eq!(left(&stage, "out"), Vec::<String>::new());
        are_gone(&stage, &pids)?;
    }
    // What cannot be caught is cleared up after, too.
    let (mut running, pids) = busy(&stage)?;
    running.signal(Signal::SIGKILL)?;
    running.ended_within(Duration::from_secs(30))?;
    are_gone(&stage, &pids)?;
    Ok(())
}

#[test]
fn a_disk_that_is_full_is_told_and_left_as_it_was() -> Result<()> {
    let stage = Stage::new()?;
    stage.images(&["tiles.ome.tif"])?;
    imaging::bioformats2raw(&stage.path("bioformats2raw"))?;
    imaging::bio_formats("ImageConverter", &[&stage.path("tiles.ome.tif"), &stage.path("tiles.ics")])?;
    std::fs::create_dir(stage.path("small")).map_err(Trouble::doing("make a folder"))?;
    // A file system of its own, in a namespace of its own, that is nearly full.
    let line = "mount -t tmpfs -o size=64k none small && \"$0\" convert tiles.ics --output small/image.tif --bioformats2raw \"$PWD/bioformats2raw\"; code=$?; ls -A small; exit $code";
    let mut command = Command::new("unshare");
    command.args(["--mount", "/bin/sh", "-c", line]).arg(biomero_tests::binary::processor()?);
    command.current_dir(stage.path(""));
    let output = process::output(&mut command, DEADLINE)?;
    let told = process::both(&output);
    assert_eq!(output.status.code(), Some(73), "{told}");
    assert!(told.contains("the disk is full"), "{told}");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "", "nothing is left there");
    Ok(())
}
