//! The static `convert`: with nothing around it, and by several of it that know nothing of each other.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use biomero_tests::{Result, Trouble, binary, imaging, process};

use super::stage::Stage;

const DEADLINE: Duration = Duration::from_secs(120);

fn copy(from: &Path, to: &Path) -> Result<()> {
    std::fs::copy(from, to).map(drop).map_err(Trouble::doing(format!("write {}", to.display())))
}

#[test]
fn it_runs_where_there_is_nothing_but_itself_and_its_image() -> Result<()> {
    let program = binary::convert()?;
    let told = process::output(Command::new("ldd").arg(&program), DEADLINE)?;
    let told = process::both(&told);
    assert!(told.contains("statically linked") || told.contains("not a dynamic executable"), "{told}");
    let stage = Stage::new()?;
    stage.images(&["lz4.zarr", "v3_shards.zarr", "zstd.ome.tif"])?;
    copy(&program, &stage.path("convert"))?;
    let alone = |arguments: &[&str]| {
        let mut command = Command::new("chroot");
        command.arg(stage.path("")).arg("/convert").args(arguments).env_clear();
        command.env("PATH", std::env::var_os("PATH").unwrap_or_default());
        process::succeed(&mut command, DEADLINE)
    };
    for (image, arguments) in [
        ("lz4.zarr", &["--compress", "zstd", "--remove-source"][..]),
        ("v3_shards.zarr", &["--compress", "lzw", "--pyramid"]),
        ("zstd.ome.tif", &[]),
    ] {
        std::fs::create_dir_all(stage.path(&format!("made/{image}")))
            .map_err(Trouble::doing("make a folder"))?;
        let output = format!("/made/{image}/ours.tif");
        let source = format!("/{image}");
        let told = alone(&[&[source.as_str(), "--output", &output, "--json"], arguments].concat())?;
        assert!(told.starts_with(&format!("{{\"path\":\"{output}\"")), "{told}");
        copy(&stage.path(&format!("{image}.npy")), &stage.path(&format!("made/{image}.npy")))?;
    }
    assert!(!stage.path("lz4.zarr").exists());
    // A container of two megabytes, whose C library is within its only program.
    copy(&binary::find("busybox")?, &stage.path("busybox"))?;
    let line = "cd /made && /convert /v3_shards.zarr --output v3_shards.zarr/again.tif && echo done";
    let mut busybox = Command::new("chroot");
    busybox.arg(stage.path("")).args(["/busybox", "sh", "-c", line]);
    assert!(process::succeed(&mut busybox, DEADLINE)?.ends_with("done\n"));
    assert_eq!(imaging::run("readers.py", &[&stage.path("made")])?.trim(), "4 images read");
    Ok(())
}

#[test]
fn parts_of_an_image_are_one_image_to_others_whichever_of_them_is_opened() -> Result<()> {
    let stage = Stage::new()?;
    let program = binary::convert()?;
    stage.images(&["tiles.ome.tif", "lz4.zarr", "big.ome.tif"])?;
    let mut read = 0;
    for (image, parts, arguments) in [
        ("tiles.ome.tif", 5, &[][..]),
        ("lz4.zarr", 4, &["--compress", "zstd"]),
        ("big.ome.tif", 2, &["--compress", "lzw", "--pyramid"]),
    ] {
        let made = stage.path(&format!("made/{image}"));
        std::fs::create_dir_all(&made).map_err(Trouble::doing("make a folder"))?;
        copy(&stage.path(&format!("{image}.npy")), &stage.path(&format!("made/{image}.npy")))?;
        for part in (1..=parts).rev() {
            let mut command = Command::new(&program);
            command.current_dir(stage.path("")).arg(image).args(arguments);
            command.arg("--part").arg(format!("{part}/{parts}"));
            command.arg("--output").arg(made.join("set.ome.tif"));
            process::succeed(&mut command, DEADLINE)?;
            read += 1;
        }
        for part in [1, parts] {
            let theirs = made.join(format!("theirs_{part}.ome.tif"));
            let ours = made.join(format!("set_{part}-of-{parts}.ome.tif"));
            imaging::bio_formats("ImageConverter", &[&ours, &theirs])?;
            read += 1;
            let told = stage.answer(&["inspect", &ours.display().to_string(), "--verify"])?;
            assert!(!told.contains("not there"), "{told}");
        }
    }
    assert_eq!(imaging::run("readers.py", &[&stage.path("made")])?.trim(), format!("{read} images read"));
    // One that is missing is told, by us and by others.
    let set = stage.path("made/tiles.ome.tif/set_3-of-5.ome.tif");
    std::fs::remove_file(set).map_err(Trouble::doing("remove a part"))?;
    let told = stage.answer(&["inspect", "made/tiles.ome.tif/set_1-of-5.ome.tif"])?;
    assert!(told.contains("3 of its planes are not there"), "{told}");
    for (arguments, message) in [
        (&["convert", "lz4.zarr", "--part", "0/4"][..], "write the number of the part"),
        (&["convert", "lz4.zarr", "--part", "5/4"], "write the number of the part"),
        (&["convert", "lz4.zarr", "--part", "1/7"], "an image of 6 planes has no 7 parts"),
        (&["convert", "lz4.zarr", "--part", "1/2", "--remove-source"], "cannot be used with"),
        (&["convert", "lz4.zarr", "--list", "x", "--task", "1"], "cannot be used with"),
        (&["convert", "--list", "x"], "--task"),
        (&["convert"], "<ZARR>"),
    ] {
        let told = stage.ends_with(64, arguments)?;
        assert!(told.contains(message), "{message}\nis not in\n{told}");
    }
    Ok(())
}

#[test]
fn a_conversion_that_was_stopped_before_its_source_was_gone_is_taken_up_again() -> Result<()> {
    let stage = Stage::new()?;
    stage.images(&["lz4.zarr", "zstd.zarr"])?;
    stage.answer(&["convert", "lz4.zarr", "--compat", "biomero"])?;
    let told = stage.answer(&["convert", "lz4.zarr", "--compat", "biomero", "--remove-source"])?;
    assert!(told.contains("was there already and is the same"), "{told}");
    assert!(!stage.path("lz4.zarr").exists() && stage.path("lz4.0.tif").exists());
    // What is not its own is never replaced, and nothing goes.
    copy(&stage.path("lz4.0.tif"), &stage.path("zstd.0.tif"))?;
    let told = stage.ends_with(73, &["convert", "zstd.zarr", "--compat", "biomero", "--remove-source"])?;
    assert!(told.contains("is there already and stays as it is"), "{told}");
    std::fs::write(stage.path("zstd.0.tif"), "no image").map_err(Trouble::doing("write a file"))?;
    stage.ends_with(73, &["convert", "zstd.zarr", "--compat", "biomero", "--remove-source"])?;
    assert!(stage.path("zstd.zarr").exists());
    Ok(())
}
