//! Killed after any call that changes something, the same command brings home what is missing, and nothing twice.

use std::process::Command;

use biomero_tests::{Result, Trouble, imaging, process};
use serde_json::{Value, json};

use super::{DEADLINE, IMAGES, Stage, array};

/// A small label image.
const LABELS: &str = "
import sys
import numpy as np
import tifffile
labels = np.zeros((70, 90), np.uint8)
labels[3:9, 4:8] = 1
labels[30:40, 20:50] = 2
tifffile.imwrite(sys.argv[1], labels)
";

/// What is there, by names instead of numbers, which depend on how often it was tried.
fn content(there: &Value) -> Value {
    let name = |file: &Value| {
        let named = array(there, "files").iter().find(|known| known["id"] == *file);
        named.map_or(Value::Null, |known| known["name"].clone())
    };
    let mut files: Vec<String> = array(there, "files")
        .iter()
        .map(|file| format!("{} {} {} {}", file["path"], file["name"], file["size"], file["sha1"]))
        .collect();
    let annotations = there["annotations"].as_object().cloned().unwrap_or_default();
    let mut links: Vec<String> = array(there, "links")
        .iter()
        .map(|link| {
            let annotation = annotations.get(&link[1].to_string());
            let map = array(there, "maps").iter().find(|map| map["id"] == link[1]);
            let what = annotation.map(|annotation| name(&annotation[2])).or(map.map(|map| map["ns"].clone()));
            format!("{} {}", link[0], what.unwrap_or_default())
        })
        .collect();
    let mut annotated: Vec<String> =
        annotations.values().map(|annotation| name(&annotation[2]).to_string()).collect();
    let mut rois: Vec<String> = array(there, "rois").iter().map(Value::to_string).collect();
    let mut maps: Vec<String> =
        array(there, "maps").iter().map(|map| format!("{} {}", map["ns"], map["pairs"])).collect();
    [&mut files, &mut links, &mut annotated, &mut rois, &mut maps].into_iter().for_each(|list| list.sort());
    json!([files, links, annotated, rois, maps, there["tables"]])
}

#[test]
fn killed_after_any_call_it_goes_on_where_it_was() -> Result<()> {
    let stage = Stage::empty()?;
    stage.put("cells.csv", b"Object,area\n1,2.5\n2,3\n")?;
    // Of three blocks.
    stage.put("all.zip", &b"PK content".repeat(900_000))?;
    let mut labels = Command::new(imaging::interpreter()?);
    labels.args(["-c", LABELS]).arg(stage.results().join("cells_mask.tif"));
    process::succeed(&mut labels, DEADLINE)?;
    let arguments = ["omero:Dataset:5", "omero:Plate:6", "--job", "4711", "--rois"];
    stage.steps(&arguments)?;
    let whole = content(&stage.there()?);

    let mut kills = 0;
    loop {
        stage.tell("prepare", IMAGES)?;
        if !stage.is_killed_at(kills + 1, &arguments)? {
            break;
        }
        kills += 1;
        let (_, answer) = stage.steps(&arguments)?;
        let there = content(&stage.there()?);
        if there != whole {
            return Err(Trouble::new(format!(
                "killed after call {kills}: {there:#} and not {whole:#}: {answer:#}"
            )));
        }
    }
    // Each file has five calls or more, the table six, and so on: less would mean that it was killed now and then only.
    assert!(kills >= 25, "it was killed {kills} times only");
    Ok(())
}
