//! New images, through what stands for `omero import`.

use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

use biomero_tests::{Result, Trouble, process};
use serde_json::Value;

use super::{IMAGES, Stage, WORKFLOW, array, fixture, states};

impl Stage {
    /// The program `omero`.
    fn program(&self) -> Result<PathBuf> {
        let program = self.scratch.path().join("omero");
        let python = self.omero.python_line(&fixture("importer.py"));
        let calls = self.scratch.path().join("calls");
        let text = format!("#!/bin/sh\nexport OMERO_CALLS='{}'\nexec {python} \"$@\"\n", calls.display());
        std::fs::write(&program, text)
            .and_then(|()| std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)))
            .map_err(Trouble::doing("write a program"))?;
        Ok(program)
    }

    fn calls(&self) -> Vec<Value> {
        let text = std::fs::read_to_string(self.scratch.path().join("calls")).unwrap_or_default();
        text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
    }
}

/// Images by their names, and the names of their datasets, but for those that were there.
fn imported(there: &Value) -> Vec<(String, String)> {
    let name = |id: &Value| there["datasets"][id.to_string()].as_str().unwrap_or_default().to_owned();
    let images = array(there, "images").iter().filter(|image| image[0].as_i64() > Some(100));
    images.map(|image| (image[1].as_str().unwrap_or_default().to_owned(), name(&image[2]))).collect()
}

#[test]
fn images_are_imported_once_by_a_session_of_their_own() -> Result<()> {
    let stage = Stage::empty()?;
    stage.put("cells_mask.tif", b"II*\0 and so on")?;
    stage.put("-k.ome.zarr/.zattrs", b"{}")?;
    let program = stage.program()?.display().to_string();
    let arguments = [
        "omero:Dataset:5",
        "--attach",
        "none",
        "--job",
        "7",
        "--import-to",
        "masks",
        "--rename",
        "{original_file}: {file}.{ext}",
        "--transfer",
        "ln_s",
        "--omero",
        &program,
    ];
    let (steps, answer) = stage.steps(&arguments)?;
    assert_eq!(states(&steps).get("made"), Some(&steps.len()), "{answer:#}");
    let there = stage.there()?;
    let masks = || "masks".to_owned();
    assert_eq!(
        imported(&there),
        [("-k: -k.ome.zarr".to_owned(), masks()), ("cells: cells_mask.tif".to_owned(), masks())]
    );
    // What the workflow was stands beside them.
    let maps = array(&there, "maps").len();
    let links = array(&there, "links")
        .iter()
        .filter(|link| link[0].as_str().is_some_and(|to| to.starts_with("Image:")));
    // A mark and each of the maps.
    assert_eq!(links.count(), 2 * (1 + maps), "{there:#}");
    let calls = stage.calls();
    assert_eq!(calls.len(), 2);
    for call in &calls {
        assert_ne!(call["k"].as_str(), Some(stage.session.as_str()));
        assert_eq!(call["transfer"], "ln_s");
        assert!(call["description"].as_str().is_some_and(|text| text.contains(WORKFLOW)), "{call}");
    }
    stage.sees("userSessions", "0")?;

    let (steps, answer) = stage.steps(&arguments)?;
    assert_eq!(states(&steps), [("there", steps.len())].into(), "{answer:#}");
    assert_eq!((stage.calls().len(), stage.there()? == there), (2, true));
    Ok(())
}

#[test]
fn an_import_that_is_killed_is_not_done_twice() -> Result<()> {
    let stage = Stage::empty()?;
    stage.put("cells_mask.tif", b"II*\0 and so on")?;
    let program = stage.program()?.display().to_string();
    let arguments = ["omero:Dataset:5", "--attach", "none", "--import-to", "masks", "--omero", &program];
    let mut kills = 0;
    loop {
        stage.tell("prepare", IMAGES)?;
        if !stage.is_killed_at(kills + 1, &arguments)? {
            break;
        }
        kills += 1;
        stage.steps(&arguments)?;
        let there = stage.there()?;
        assert_eq!(
            imported(&there),
            [("cells_mask.tif".to_owned(), "masks".to_owned())],
            "killed after call {kills}"
        );
    }
    // The keys and values, the dataset, the mark, the image, and the keys and values beside it.
    assert_eq!(kills, 5);
    Ok(())
}

#[test]
fn what_cannot_be_imported_is_told_without_a_session() -> Result<()> {
    let stage = Stage::empty()?;
    stage.put("cells_mask.tif", b"II*\0 and so on")?;
    let program = stage.program()?;
    let refusing = stage.scratch.path().join("refusing");
    let text = format!("#!/bin/sh\nexport OMERO_REFUSE=1\nexec '{}' \"$@\"\n", program.display());
    std::fs::write(&refusing, text)
        .and_then(|()| std::fs::set_permissions(&refusing, std::fs::Permissions::from_mode(0o755)))
        .map_err(Trouble::doing("write a program"))?;
    for (program, code, told) in [
        (
            refusing.display().to_string(),
            1,
            "cells_mask.tif is not imported: `omero import` ended with exit status: 1: 2026-11-28 ERROR",
        ),
        ("/bin/true".to_owned(), 78, "/bin/true is not OMERO's command line"),
        ("no-such-omero".to_owned(), 78, "cannot start no-such-omero"),
    ] {
        let arguments = ["omero:Dataset:5", "--import-to", "omero:Dataset:5", "--omero", program.as_str()];
        let ended = stage.import(&arguments)?;
        let both = process::both(&ended);
        assert_eq!(ended.status.code(), Some(code), "{both}");
        assert!(both.contains(told), "{both}");
        assert!(
            stage.calls().iter().filter_map(|call| call["k"].as_str()).all(|key| !both.contains(key)),
            "{both}"
        );
    }
    stage.sees("userSessions", "0")?;
    let both = process::both(&stage.import(&["omero:Dataset:5", "--import-to", "omero:Plate:6"])?);
    assert!(both.contains("Plate:6 is none"), "{both}");
    Ok(())
}
