//! `omero zarr export` as BIOMERO's transfer script calls it, done by this program in its place.

use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::PathBuf;
use std::process::{Command, Output};
use std::time::Duration;

use biomero_tests::blitz;
use biomero_tests::{Result, Trouble, binary, process};

use super::export::Stage;

/// A folder for the `PATH` with this program under another name, and behind it one with an `omero` that is another's.
fn on_the_path(stage: &Stage, name: &str) -> Result<String> {
    let [ours, other] = ["ours", "other"].map(|folder| stage.path(folder));
    for folder in [&ours, &other] {
        std::fs::create_dir_all(folder).map_err(Trouble::doing("make a folder"))?;
    }
    symlink(binary::processor()?, ours.join(name)).map_err(Trouble::doing("make a link"))?;
    let omero = other.join("omero");
    std::fs::write(&omero, "#!/bin/sh\necho \"the other omero: $*\"\nexit 7\n")
        .map_err(Trouble::doing("write a script"))?;
    std::fs::set_permissions(&omero, std::fs::Permissions::from_mode(0o755))
        .map_err(Trouble::doing("make it executable"))?;
    Ok(format!("{}:{}:/usr/bin:/bin", ours.display(), other.display()))
}

/// Has a shell run a line, as the script does.
fn shell(stage: &Stage, path: &str, line: &str) -> Result<Output> {
    let mut command = Command::new("sh");
    command.args(["-c", line]).env("PATH", path).current_dir(stage.path(""));
    process::output(&mut command, Duration::from_secs(120))
}

#[test]
fn the_transfer_scripts_own_line_works_with_ours_in_the_place_of_omero() -> Result<()> {
    let stage = Stage::new()?;
    let path = on_the_path(&stage, "omero")?;
    let (server, key) = (stage.server(), &stage.key);
    let folder = stage.path("out").display().to_string();
    for (object, made) in [("Image:8", "8.ome.zarr"), ("Plate:3", "3.ome.zarr")] {
        let line = format!(
            "export JAVA_HOME=$(readlink -f /usr/bin/java | sed \"s:bin/java::\") && omero zarr -s \"{server}\" -k \"{key}\" export \
             --format 0.4 --output \"{folder}\" {object}"
        );
        let exported = shell(&stage, &path, &line)?;
        let told = process::both(&exported);
        assert!(exported.status.success(), "{told}");
        assert!(told.contains(&format!("{made} (0.4)")) && told.contains("Finished."), "{told}");
        assert!(stage.path("out").join(made).join(".zattrs").is_file(), "{told}");
    }
    blitz::compare(8, &stage.path("out/8.ome.zarr"), None)?;
    blitz::compare(20, &stage.path("out/3.ome.zarr/B/9/0"), None)?;
    // Whatever else is asked of omero is asked of the other one.
    let other = shell(&stage, &path, "omero login -s here")?;
    assert_eq!(other.status.code(), Some(7));
    assert!(process::both(&other).contains("the other omero: login -s here"), "{}", process::both(&other));
    assert_eq!(stage.seen("open")?, "0");
    Ok(())
}

#[test]
fn flags_of_omero_cli_zarr_have_their_meaning() -> Result<()> {
    let stage = Stage::new()?;
    let path = on_the_path(&stage, "omero-zarr")?;
    let login = format!("omero-zarr -s 127.0.0.1 -p {} --key {}", stage.omero.port(), stage.key);
    let chunks = |document: PathBuf, key: &str| -> Result<serde_json::Value> {
        let text =
            std::fs::read(&document).map_err(Trouble::doing(format!("read {}", document.display())))?;
        let document: serde_json::Value =
            serde_json::from_slice(&text).map_err(|error| Trouble::new(error.to_string()))?;
        Ok(document.pointer(key).cloned().unwrap_or_default())
    };
    // A number alone is an image's, 0.5 is what omero-cli-zarr 0.8.0 writes, abbreviations are argparse's.
    let told = shell(&stage, &path, &format!("{login} export 8 --tile_width 512 --tile_h 512 --out out"))?;
    assert!(told.status.success(), "{}", process::both(&told));
    let shape = chunks(stage.path("out/8.ome.zarr/0/zarr.json"), "/chunk_grid/configuration/chunk_shape")?;
    assert_eq!(shape, serde_json::json!([1, 1, 512, 512]));
    blitz::compare(8, &stage.path("out/8.ome.zarr"), None)?;
    // By name, into the folder that is said before the verb.
    let line = format!("{login} --output named export Image:10 --name_by name --format 0.4");
    let told = shell(&stage, &path, &line)?;
    assert!(told.status.success(), "{}", process::both(&told));
    blitz::compare(10, &stage.path("named/slide (1).svs.ome.zarr"), None)?;
    // As the release that wrote with zarr 2; the password begins a session of its own.
    let own = format!("omero-zarr -s root@127.0.0.1 -p {} -w omero -q", stage.omero.port());
    let told = shell(&stage, &path, &format!("{own} export Image:8 --as 0.5.5 --output old"))?;
    assert!(told.status.success() && told.stdout.is_empty(), "{}", process::both(&told));
    let compressor = chunks(stage.path("old/8.zarr/0/.zarray"), "/compressor/cname")?;
    assert_eq!(compressor, "lz4");
    blitz::compare(8, &stage.path("old/8.zarr"), None)?;
    // The session of a password has ended; the other has not.
    assert_ne!(stage.seen("destroyed")?, stage.key);
    let again =
        shell(&stage, &path, &format!("{login} export 8 --tile_width 512 --tile_height 512 --output out"))?;
    assert!(process::both(&again).contains("is there already"), "{}", process::both(&again));
    Ok(())
}

#[test]
fn what_is_not_done_is_refused_by_its_name() -> Result<()> {
    let stage = Stage::new()?;
    let path = on_the_path(&stage, "omero-zarr")?;
    let login = format!("omero-zarr -s {} -k {}", stage.server(), stage.key);
    for (line, reason) in [
        (format!("{login} export Image:8 --bf"), "--bf and --bfpath"),
        (format!("{login} export Image:8 --bfpath a.svs"), "--bf and --bfpath"),
        (format!("{login} export Image:8 --resolutions 3"), "--resolutions"),
        (format!("{login} export Image:8 --tile_width 512"), "512 × 1024"),
        (format!("{login} export Image:8 --tile_width 511 --tile_height 511"), "even number"),
        (format!("{login} export Image:8 --format 0.6"), "0.6"),
        (format!("{login} export Image:8 --format 0.5 --as 0.5.5"), "0.4 alone"),
        (format!("{login} export Image:8 --name_by date"), "date"),
        (format!("{login} export Image:8 --unknown"), "--unknown"),
        (format!("{login} export Screen:8"), "Plate:ID"),
        (format!("{login} masks Image:8 --style split"), "masks are not added"),
        (format!("{login} polygons Image:8"), "polygons are not added"),
        (format!("{login} import https://host/image.zarr --name n"), "nothing is written into OMERO"),
        (format!("{login} --sudo root export Image:8"), "--sudo"),
        (format!("{login} -C export Image:8"), "--create"),
        ("omero-zarr export Image:8".to_owned(), "--server"),
        (format!("omero-zarr -s {} export Image:8", stage.server()), "--key"),
    ] {
        let refused = shell(&stage, &path, &line)?;
        let told = process::both(&refused);
        assert_eq!(refused.status.code(), Some(64), "{line}: {told}");
        assert!(told.contains(reason), "{line}: {told}");
    }
    assert!(!stage.path("8.ome.zarr").exists());
    Ok(())
}
