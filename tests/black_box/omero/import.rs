//! `processor import`: results come home into OMERO. What is there afterwards is read by the real Ice for Python over the router, and
//! masks are drawn again by numpy.

mod images;
mod killed;
mod refused;

use std::collections::BTreeMap;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

use biomero_tests::blitz::Omero;
use biomero_tests::scratch::Scratch;
use biomero_tests::{Result, Trouble, binary, imaging, process};
use serde_json::Value;

use super::{root, run, trouble};

const DEADLINE: Duration = Duration::from_secs(120);
const WORKFLOW: &str = "018f3e5a-0000-7000-8000-000000000001";

/// Two images of dataset 5, which are in wells A1 and B2 of plate 6.
const IMAGES: &str = "10|cells.tif|1|3|1|70|90|0|0\n11|stack.ome.tif|1|1|4|64|48|1|1";

/// An OMERO with images, a session of it, and a folder of results.
struct Stage {
    omero: Omero,
    scratch: Scratch,
    session: String,
}

impl Stage {
    /// With the results of a workflow; Python writes them.
    fn new() -> Result<Self> {
        let stage = Self::empty()?;
        let mut command = Command::new(imaging::interpreter()?);
        command.arg(fixture("results.py")).arg(stage.results());
        process::succeed(&mut command, DEADLINE)?;
        Ok(stage)
    }

    /// Without results yet.
    fn empty() -> Result<Self> {
        // Building it takes longer than a test may.
        binary::processor()?;
        let (omero, scratch) = (Omero::start()?, Scratch::new()?);
        let session = run(async {
            let session = root(&omero).await?;
            // It goes on when this connection ends.
            session.detach().await.map_err(trouble)?;
            Ok(session.id().reveal().clone())
        })?;
        let stage = Self { omero, scratch, session };
        stage.tell("prepare", IMAGES)?;
        Ok(stage)
    }

    fn results(&self) -> PathBuf {
        self.scratch.path().join("results")
    }

    fn put(&self, name: &str, content: &[u8]) -> Result<()> {
        let path = self.results().join(name);
        std::fs::create_dir_all(path.parent().unwrap_or(&path))
            .and_then(|()| std::fs::write(&path, content))
            .map_err(Trouble::doing(format!("write {}", path.display())))
    }

    /// Has Blitz behave in some way.
    fn tell(&self, key: &str, value: &str) -> Result<()> {
        run(async {
            let session = root(&self.omero).await?;
            session.config().await.map_err(trouble)?.set_config_value(key, value).await.map_err(trouble)
        })
    }

    /// Waits until Blitz has seen this.
    fn sees(&self, key: &str, value: &str) -> Result<()> {
        run(async {
            let session = root(&self.omero).await?;
            super::sees(&session, key, |seen| seen == value).await.map(drop)
        })
    }

    /// The command, with what all of them have.
    fn command(&self, arguments: &[&str]) -> Result<Command> {
        let server = format!("127.0.0.1:{}", self.omero.port());
        let mut command = Command::new(binary::processor()?);
        command.arg("import").arg(self.results()).args(arguments);
        command.args(["-s", &server, "-k", &self.session, "--workflow", WORKFLOW]);
        command.current_dir(self.scratch.path());
        Ok(command)
    }

    fn import(&self, arguments: &[&str]) -> Result<Output> {
        process::output(&mut self.command(arguments)?, DEADLINE)
    }

    /// Runs it and has OMERO kill it at a changing call, the first being 1; false where it ended well before that.
    fn is_killed_at(&self, call: u32, arguments: &[&str]) -> Result<bool> {
        let pid = self.scratch.path().join("pid");
        self.tell("kill", &format!("{call} {}", pid.display()))?;
        let mut command = Command::new("sh");
        command.args(["-c", r#"echo $$ > "$1"; shift; exec "$@""#, "sh"]).arg(&pid).arg(binary::processor()?);
        command.args(self.command(arguments)?.get_args());
        let ended = process::output(&mut command, DEADLINE)?;
        if !ended.status.success() {
            assert_eq!(ended.status.signal(), Some(9), "{}", process::both(&ended));
        }
        Ok(!ended.status.success())
    }

    /// Runs it to its end; the steps of its answer.
    fn steps(&self, arguments: &[&str]) -> Result<(Vec<Value>, Value)> {
        let arguments: Vec<&str> = arguments.iter().copied().chain(["--json"]).collect();
        let ended = self.import(&arguments)?;
        if !ended.status.success() {
            return Err(Trouble::new(format!("{}{}", process::both(&ended), self.omero.logs())));
        }
        let answer: Value = serde_json::from_slice(&ended.stdout).map_err(trouble)?;
        Ok((answer["steps"].as_array().cloned().unwrap_or_default(), answer))
    }

    /// What OMERO has, as another program reads it.
    fn there(&self) -> Result<Value> {
        let text = self.omero.python(&fixture("read_back.py"), &[&self.omero.port().to_string()])?;
        std::fs::write(self.scratch.path().join("there.json"), &text).map_err(Trouble::doing("write"))?;
        serde_json::from_str(&text).map_err(trouble)
    }

    /// Has numpy draw what was read last, and compare it with a label image.
    fn compare(&self, image: &str, labels: &str) -> Result<String> {
        let mut command = Command::new(imaging::interpreter()?);
        command.arg(fixture("masks.py")).arg(self.scratch.path().join("there.json"));
        command.arg(image).arg(self.results().join(labels));
        process::succeed(&mut command, DEADLINE)
    }
}

fn fixture(name: &str) -> PathBuf {
    binary::workspace().join("tests/fixtures/import").join(name)
}

/// How many steps are in each state.
fn states(steps: &[Value]) -> BTreeMap<&str, usize> {
    let mut states = BTreeMap::new();
    for step in steps {
        *states.entry(step["state"].as_str().unwrap_or("none")).or_default() += 1;
    }
    states
}

fn array<'v>(value: &'v Value, key: &str) -> &'v [Value] {
    value[key].as_array().map(Vec::as_slice).unwrap_or_default()
}

/// The objects that the annotation of a file is linked to.
fn linked(there: &Value, file: &str) -> Vec<String> {
    let id = array(there, "files").iter().find(|known| known["name"] == file).map(|known| &known["id"]);
    let annotations = there["annotations"].as_object().cloned().unwrap_or_default();
    let of_it: Vec<i64> = annotations
        .iter()
        .filter(|(_, annotation)| Some(&annotation[2]) == id)
        .filter_map(|(key, _)| key.parse().ok())
        .collect();
    let links =
        array(there, "links").iter().filter(|link| of_it.contains(&link[1].as_i64().unwrap_or_default()));
    links.filter_map(|link| link[0].as_str().map(str::to_owned)).collect()
}

fn sha1_of(path: &Path) -> Result<String> {
    let told = process::succeed(Command::new("sha1sum").arg(path), DEADLINE)?;
    Ok(told.split_whitespace().next().unwrap_or_default().to_owned())
}

#[test]
fn results_come_home_once_and_are_what_others_read_there() -> Result<()> {
    let stage = Stage::new()?;
    let arguments = [
        "omero:Dataset:5",
        "--job",
        "4711",
        "--name",
        "cellpose",
        "--tag",
        "v1.4.0",
        "--param",
        "diameter=30",
        "--rois",
    ];
    let before = stage.there()?;
    let dry: Vec<&str> = arguments.iter().copied().chain(["--dry-run"]).collect();
    let (steps, answer) = stage.steps(&dry)?;
    assert_eq!(states(&steps), BTreeMap::from([("missing", steps.len())]), "{answer:#}");
    assert_eq!(stage.there()?, before);

    let (steps, answer) = stage.steps(&arguments)?;
    // Three of keys and values, seven files, two tables, two label images.
    assert_eq!(states(&steps), BTreeMap::from([("made", 14)]), "{answer:#}");
    let left = array(&answer, "left_out");
    assert_eq!((left.len(), left[0]["path"].as_str()), (1, Some("broken.csv")));
    assert!(left[0]["reason"].as_str().is_some_and(|reason| reason.contains("never closed")), "{left:?}");

    let there = stage.there()?;
    let mask = format!("cells_mask.{WORKFLOW}.tif");
    let table = format!("cells_4711_{WORKFLOW}.csv");
    for (name, path, to) in [
        (mask.as_str(), "cells_mask.tif", "Image:10"),
        (&format!("stack_label.{WORKFLOW}.ome.tif"), "stack_label.ome.tif", "Image:11"),
        (&table, "measured/cells.csv", "Dataset:5"),
        (&format!("broken_4711_{WORKFLOW}.csv"), "broken.csv", "Dataset:5"),
        ("omero-4711.log", "omero-4711.log", "Dataset:5"),
        ("all.zip", "all.zip", "Dataset:5"),
    ] {
        assert_eq!(linked(&there, name), [to], "{name}");
        let file = array(&there, "files").iter().find(|file| file["name"] == name);
        let file = file.ok_or_else(|| Trouble::new(format!("there is no {name}")))?;
        assert_eq!(file["sha1"].as_str(), Some(sha1_of(&stage.results().join(path))?.as_str()), "{name}");
    }
    let annotations = there["annotations"].as_object().cloned().unwrap_or_default();
    let space = "openmicroscopy.org/omero/scripts/results/created/SLURM/SLURM_GET_RESULTS";
    assert_eq!(annotations.values().filter(|annotation| annotation[0] == space).count(), 7);
    let of_mask = annotations.values().filter_map(|annotation| annotation[1].as_str());
    let told = format!("Result from job 4711 (Workflow {WORKFLOW}) | source: cells.tif (id: 10)");
    assert_eq!(of_mask.filter(|description| *description == told).count(), 1);

    let maps: BTreeMap<&str, &Value> =
        array(&there, "maps").iter().filter_map(|map| Some((map["ns"].as_str()?, &map["pairs"]))).collect();
    assert_eq!(maps.len(), 3, "{maps:?}");
    let task = maps["biomero/workflow/task/cellpose"].to_string();
    assert!(task.contains(r#"["Param_diameter","30"]"#) && task.contains(WORKFLOW), "{task}");

    let columns = array(&there["tables"], &format!("measured/{table}"));
    let kinds: Vec<_> = columns
        .iter()
        .filter_map(|column| Some((column["name"].as_str()?, column["kind"].as_str()?)))
        .collect();
    let expected = [
        ("Object", "LongColumn"),
        ("Größe_px", "StringColumn"),
        ("area", "DoubleColumn"),
        ("is round", "BoolColumn"),
    ];
    assert_eq!(kinds, expected);
    assert_eq!(array(&columns[0], "values").len(), 12_345);
    assert_eq!(columns[2]["values"][12_344].as_f64(), Some(12_344.0 / 3.0));
    assert_eq!(columns[1]["values"][5].as_str(), Some("cell 5"));

    assert_eq!(stage.compare("10", "cells_mask.tif")?.trim(), "masks 4 polygons 0");
    assert_eq!(stage.compare("11", "stack_label.ome.tif")?.trim(), "masks 8 polygons 0");

    // Again: nothing is there twice, nothing was sent.
    let (steps, answer) = stage.steps(&arguments)?;
    assert_eq!(states(&steps), BTreeMap::from([("there", 14)]), "{answer:#}");
    assert_eq!(stage.there()?, there);
    Ok(())
}

#[test]
fn objects_are_drawn_as_polygons_where_that_is_asked_for() -> Result<()> {
    let stage = Stage::new()?;
    let (steps, answer) = stage.steps(&[
        "omero:Dataset:5",
        "--attach",
        "none",
        "--no-tables",
        "--rois=*mask*",
        "--roi-shape",
        "polygon",
    ])?;
    assert_eq!(states(&steps), BTreeMap::from([("made", 2)]), "{answer:#}");
    stage.there()?;
    // One in two pieces.
    assert_eq!(stage.compare("10", "cells_mask.tif")?.trim(), "masks 0 polygons 5");
    Ok(())
}

#[test]
fn wells_and_images_in_a_table_are_those_of_the_plate() -> Result<()> {
    let stage = Stage::empty()?;
    stage.put("wells.csv", b"Well,count,image\nA1,5,10\nB2,6,11\nZ9,7,99\n")?;
    stage.steps(&["omero:Plate:6"])?;
    let there = stage.there()?;
    let columns = array(&there["tables"], &format!("wells_{WORKFLOW}.csv")).to_vec();
    let told: Vec<String> = columns
        .iter()
        .map(|column| format!("{} {} {}", column["name"], column["kind"], column["values"]))
        .collect();
    assert_eq!(
        told,
        [
            r#""Well Name" "StringColumn" ["A1","B2","Z9"]"#,
            r#""count" "LongColumn" [5,6,7]"#,
            r#""image" "ImageColumn" [10,11,99]"#,
            r#""Well" "WellColumn" [70,71,-1]"#,
            r#""Image Name" "StringColumn" ["cells.tif","stack.ome.tif",""]"#,
        ]
    );
    assert_eq!(linked(&there, &format!("wells_{WORKFLOW}.csv")), ["Plate:6"]);
    Ok(())
}
