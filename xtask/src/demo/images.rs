//! Images in the demo: files as a microscope leaves them become OME-Zarr in the worker, and are looked at; so are results.

use std::path::Path;
use std::process::Command;

use biomero_tests::cluster::sample;
use biomero_tests::namespace::{Namespace, Worker};
use biomero_tests::scratch::Scratch;
use biomero_tests::worker_root::{PROCESSOR, SERVICE_USER};
use biomero_tests::{binary, process, wait};

use super::{heading, quoted};
use crate::failure::Failure;

/// Where the files are, and where their OME-Zarr and pictures of it go.
const FILES: &str = "/opt/omero/server/files";
const EXPORTED: &str = "/opt/omero/server/images";
const PREVIEWS: &str = "/opt/omero/server/previews";

/// What they are called.
const NAMES: [&str; 2] = ["nucleus", "membrane of a cell"];

/// The first of the files.
pub(super) fn first() -> String {
    format!("{FILES}/{}.ome.tif", NAMES[0])
}

/// Puts parts of a real micrograph into the worker's root folder, as OME-TIFF.
pub(super) fn install(root: &Path, scratch: &Scratch) -> Result<(), Failure> {
    let cells = scratch.folder("cells")?;
    sample::cells(&cells, &NAMES)?;
    for folder in [FILES, EXPORTED, PREVIEWS] {
        let path = inside(root, folder);
        std::fs::create_dir_all(&path).map_err(|source| Failure::File {
            action: "make",
            path: path.clone(),
            source,
        })?;
        if folder == FILES {
            for name in NAMES {
                let mut convert = Command::new(binary::processor()?);
                convert.args(["convert", "--compress", "lzw"]).arg(cells.join(format!("{name}.zarr")));
                convert.arg("--output").arg(path.join(format!("{name}.ome.tif")));
                process::succeed(&mut convert, wait::PATIENCE)?;
            }
        }
        process::succeed(
            Command::new("chown").args(["-R", &SERVICE_USER.to_string()]).arg(&path),
            wait::PATIENCE,
        )?;
    }
    Ok(())
}

/// Exports one of them, and looks at what was made.
pub(super) fn show(worker: &Worker, namespace: &Namespace) -> Result<(), Failure> {
    let run = |arguments: &[&str]| -> Result<(), Failure> {
        heading(&format!("`processor {}`", quoted(arguments)));
        let finished = worker.exec(namespace, &[&[PROCESSOR], arguments].concat())?.exits(0)?;
        print!("{}", finished.output);
        Ok(())
    };
    let [_, name] = NAMES;
    run(&["export", &format!("{FILES}/{name}.ome.tif"), "--output", EXPORTED])?;
    let exported = format!("{EXPORTED}/{name}.ome.zarr");
    run(&["inspect", &exported, "--verify", "--preview", &format!("{PREVIEWS}/{name}.png")])
}

/// Looks at an image among results, and saves a picture of it.
pub(super) fn show_results(worker: &Worker, namespace: &Namespace, results: &str) -> Result<(), Failure> {
    let folder = namespace.path(results);
    let listed = std::fs::read_dir(&folder).map_err(|source| Failure::File {
        action: "read",
        path: folder.clone(),
        source,
    })?;
    let image = listed
        .flatten()
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .find(|name| Path::new(name).extension().is_some_and(|ending| ending == "tif" || ending == "tiff"));
    let Some(image) = image else {
        return Err(Failure::Unexpected(format!("no image has come back to {}", folder.display())));
    };
    let (image, picture) = (format!("{results}/{image}"), format!("{PREVIEWS}/result.png"));
    heading(&format!("`processor inspect {image} --preview {picture}`"));
    let finished =
        worker.exec(namespace, &[PROCESSOR, "inspect", &image, "--preview", &picture])?.exits(0)?;
    print!("{}", finished.output);
    Ok(())
}

/// Where the pictures are, from outside.
pub(super) fn previews(namespace: &Namespace) -> String {
    namespace.path(PREVIEWS).display().to_string()
}

fn inside(root: &Path, path: &str) -> std::path::PathBuf {
    root.join(path.trim_start_matches('/'))
}
