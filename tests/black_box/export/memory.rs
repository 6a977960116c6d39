//! Memory does not depend on the size of an image: two gigabytes go through less than fifty megabytes.
//!
//! `processor` is measured against itself when it only looks: unoptimised, its code alone is half of that.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use biomero_tests::{Result, Trouble, binary, imaging, process};

use super::stage::Stage;

/// Resident at most, in KiB.
const MOST: u64 = 48 << 10;

/// What an export may take on top of that, in KiB.
const MORE: u64 = 32 << 10;

/// Two gigabytes, compressed without the optimiser of a release.
const DEADLINE: Duration = Duration::from_secs(540);

#[test]
fn two_gigabytes_are_exported_and_converted_in_less_than_fifty_megabytes() -> Result<()> {
    let stage = Stage::new()?;
    let large = stage.path("large.zarr");
    imaging::run("linked.py", &[&large, "16".as_ref(), "8192".as_ref()])?;
    let (processor, convert) = (binary::processor()?, binary::convert()?);
    let peak = |program: &Path, arguments: &[&str]| -> Result<u64> {
        let mut command = Command::new(env!("CARGO_BIN_EXE_peak_memory"));
        command.arg(stage.path("kib")).arg(program).args(arguments).current_dir(stage.path(""));
        process::succeed(&mut command, DEADLINE)?;
        let told = std::fs::read_to_string(stage.path("kib")).map_err(Trouble::doing("read the peak"))?;
        told.trim().parse().map_err(|_| Trouble::new(format!("a peak of {told:?}")))
    };
    let looking = peak(&processor, &["inspect", "large.zarr"])?;
    for (program, most, arguments) in [
        (&processor, looking + MORE, &["export", "large.zarr", "--output", "out", "--codec", "lz4"][..]),
        (
            &processor,
            looking + MORE,
            &["export", "large.zarr", "--output", "out", "--format", "0.5", "--shard", "2"],
        ),
        (&convert, MOST, &["large.zarr", "--output", "out/image.tif", "--compress", "zstd", "--pyramid"]),
        (&convert, MOST, &["large.zarr", "--output", "out/image.tif", "--compat", "biomero"]),
    ] {
        let peak = peak(program, arguments)?;
        assert!(peak <= most, "{arguments:?} took {peak} KiB; it may take {most}");
        std::fs::remove_dir_all(stage.path("out")).map_err(Trouble::doing("remove what was made"))?;
    }
    Ok(())
}
