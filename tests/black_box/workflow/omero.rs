//! Workflows that read images of OMERO and bring their results there, over the real router and registry.

mod killed;
mod lent;

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use biomero_tests::blitz::Omero;
use biomero_tests::icegrid::free_port;
use biomero_tests::process::Running;
use biomero_tests::{Result, Trouble, binary, http, imaging, process, wait};
use serde_json::Value;

use super::stage::Desk;
use crate::omero::{root, run, seen, sees, trouble};

/// Images that the stand-in has the samples of, in dataset 5 of group 3.
const IMAGES: &str =
    "10|slide [1].svs|1|3|1|150|200\n8|cells.tiff|1|2|2|1100|1300\n63|slow.tiff|1|1|40|300|300";

/// The user of every session.
const USER: i64 = 5;

/// What the job makes of each image: a table and a label image. It waits where it is told to.
const TEMPLATE: &str = r#"#!/bin/bash
#SBATCH --job-name=$jobname
#SBATCH --time=10
echo "$SLURM_JOB_ID $SLURMD_NODENAME" >> "COUNTS/$(basename "$DATA_PATH")"
while [ -e "HOLD" ]; do sleep 0.1; done
cd "$DATA_PATH/data/in"
for image in *.ome.zarr; do
  name=${image%.ome.zarr}
  printf 'Object,area\n1,2.5\n2,3\n' > "../out/$name.csv"
  cp "LABELS" "../out/${name}_mask.tif"
done
"#;

/// A label image of two objects, as large as image 10.
const LABELS: &str = "
import sys
import numpy as np
import tifffile
labels = np.zeros((150, 200), np.uint8)
labels[3:9, 4:8] = 1
labels[30:40, 20:50] = 2
tifffile.imwrite(sys.argv[1], labels)
";

/// A worker beside an OMERO, and a session of somebody who asks.
struct Stage {
    omero: Omero,
    desk: Desk,
    key: String,
}

impl Stage {
    /// In the grid of that OMERO.
    fn new() -> Result<Self> {
        Self::with(None)
    }

    /// One to which the grid does not answer.
    fn outside_of_the_grid() -> Result<Self> {
        Self::with(Some(free_port()?))
    }

    fn with(registry: Option<u16>) -> Result<Self> {
        binary::processor()?;
        let omero = Omero::start()?;
        let mut desk = Desk::embedded()?;
        let registry = registry.unwrap_or_else(|| omero.registry().port());
        for (name, value) in [
            ("MASTER__HOST", "127.0.0.1".to_owned()),
            ("OMERO__PORTS__TCP", omero.port().to_string()),
            ("OMERO__PORTS__REGISTRY", registry.to_string()),
            ("API__RATE", "100000".to_owned()),
        ] {
            desk.worker.variable(&format!("BIOMERO_INIT_{name}"), &value);
        }
        let (labels, hold) = (desk.worker.folder().join("labels.tif"), desk.worker.folder().join("hold"));
        let template = TEMPLATE.replace("LABELS", &labels.display().to_string());
        desk.template(&template.replace("HOLD", &hold.display().to_string()))?;
        let mut python = Command::new(imaging::interpreter()?);
        process::succeed(python.args(["-c", LABELS]).arg(&labels), wait::PATIENCE)?;
        let key = session(&omero)?;
        let stage = Self { omero, desk, key };
        stage.tell("prepare", IMAGES)?;
        Ok(stage)
    }

    /// Has Blitz behave in some way.
    fn tell(&self, key: &str, value: &str) -> Result<()> {
        run(async {
            let session = root(&self.omero).await?;
            session.config().await.map_err(trouble)?.set_config_value(key, value).await.map_err(trouble)
        })
    }

    /// What Blitz has seen.
    fn seen(&self, key: &str) -> Result<String> {
        run(async { seen(&root(&self.omero).await?, key).await })
    }

    /// Waits until as many sessions that were made for workflows are left.
    fn sessions_are(&self, count: &str) -> Result<()> {
        run(async { sees(&root(&self.omero).await?, "userSessions", |seen| seen == count).await.map(drop) })
    }

    /// `processor serve`, that answers.
    fn serve(&self) -> Result<Running> {
        let serve = self.desk.serve()?;
        wait::until("readiness", wait::PATIENCE, &[serve.log()], || {
            http::get(&self.desk.socket("serve"), "/ready").ok().filter(|answer| answer.status == 200)
        })?;
        Ok(serve)
    }

    /// `processor` with these arguments, in the name of whoever has this session.
    fn said(&self, session: Option<&str>, arguments: &[&str]) -> Result<Output> {
        let mut command = self.desk.command_at("serve", arguments)?;
        command.envs(session.map(|session| ("OMERO_SESSION", session)));
        process::output(&mut command, wait::PATIENCE)
    }

    /// `processor run copy` on these, with results in OMERO; its id.
    fn submit(&self, images: &[&str]) -> Result<String> {
        let images = images.iter().flat_map(|image| ["--image", image]);
        let arguments: Vec<&str> =
            ["run", "copy", "--to-omero", "--rois", "--no-conversion"].into_iter().chain(images).collect();
        let said = self.said(Some(&self.key), &arguments)?;
        if !said.status.success() {
            return Err(Trouble::new(format!("{}{}", process::both(&said), self.omero.logs())));
        }
        Ok(String::from_utf8_lossy(&said.stdout).trim().to_owned())
    }

    /// Keeps jobs from going on, until what is returned is removed.
    fn hold(&self) -> Result<PathBuf> {
        self.desk.worker.write("hold", "")
    }

    /// Where the session of a workflow is kept.
    fn file(&self, id: &str) -> PathBuf {
        self.desk.worker.folder().join(".local/state/biomero/sessions").join(id)
    }

    /// The session that a workflow was lent.
    fn lent(&self, id: &str) -> Result<String> {
        let path = self.file(id);
        let text = std::fs::read(&path).map_err(Trouble::doing(format!("read {}", path.display())))?;
        let kept: Value = serde_json::from_slice(&text).map_err(trouble)?;
        Ok(kept["session"].as_str().unwrap_or_default().to_owned())
    }

    /// Waits until a job of a workflow runs.
    fn runs(&self, id: &str, serve: &Running) -> Result<()> {
        wait::until("a job", wait::PATIENCE, &[serve.log()], || {
            (!self.desk.jobs(id).is_empty()).then_some(())
        })
    }

    /// Waits until it has ended, as which it is expected to.
    fn ends(&self, id: &str, serve: &Running, phase: &str) -> Result<Value> {
        let shown = self.desk.ended(id, &[serve])?;
        if shown["phase"] != phase {
            return Err(Trouble::new(format!("{shown:#}\n{}{}", serve.output(), self.omero.logs())));
        }
        Ok(shown)
    }

    /// What OMERO has, as another program reads it.
    fn there(&self) -> Result<Value> {
        let script = binary::workspace().join("tests/fixtures/import/read_back.py");
        let text = self.omero.python(&script, &[&self.omero.port().to_string()])?;
        serde_json::from_str(&text).map_err(trouble)
    }

    /// The files of the worker that hold a text.
    fn holding(&self, text: &str) -> Vec<PathBuf> {
        let mut found = Vec::new();
        holding(self.desk.worker.folder(), text.as_bytes(), &mut found);
        found
    }
}

/// A session that goes on when whoever has begun it is gone.
fn session(omero: &Omero) -> Result<String> {
    run(async {
        let session = root(omero).await?;
        session.detach().await.map_err(trouble)?;
        Ok(session.id().reveal().clone())
    })
}

fn holding(folder: &Path, text: &[u8], found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        match entry.file_type() {
            Ok(kind) if kind.is_dir() => holding(&path, text, found),
            Ok(kind) if kind.is_file() => {
                let content = std::fs::read(&path).unwrap_or_default();
                if content.windows(text.len()).any(|window| window == text) {
                    found.push(path);
                }
            }
            _ => {}
        }
    }
}

/// How many things of each kind there are, and each file's name once.
fn counted(there: &Value) -> BTreeMap<String, usize> {
    let kinds = ["files", "links", "annotations", "maps", "rois", "tables"];
    let count = |kind: &str| match &there[kind] {
        Value::Array(all) => all.len(),
        Value::Object(all) => all.len(),
        _ => 0,
    };
    kinds.into_iter().map(|kind| (kind.to_owned(), count(kind))).collect()
}

#[test]
fn an_image_of_omero_is_carried_and_its_results_are_there() -> Result<()> {
    let stage = Stage::new()?;
    let serve = stage.serve()?;
    let hold = stage.hold()?;
    let id = stage.submit(&["omero:Image:10"])?;
    // The session in which it was asked for ends, as that of a script does.
    stage.tell("expire", &stage.key)?;
    stage.runs(&id, &serve)?;
    let lent = stage.lent(&id)?;
    assert_ne!(lent, stage.key, "it has one of its own");
    let mode =
        std::fs::metadata(stage.file(&id)).map_err(Trouble::doing("look at a file"))?.permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    assert_eq!(stage.holding(&lent), [stage.file(&id)], "nobody else is told of it");
    std::fs::remove_file(hold).map_err(Trouble::doing("let jobs go on"))?;

    let shown = stage.ends(&id, &serve, "DONE")?;
    assert_eq!(
        (&shown["request"]["user"], &shown["request"]["group"]),
        (&USER.into(), &3.into()),
        "{shown:#}"
    );
    let there = stage.there()?;
    // Keys and values of the workflow, its task and its job; a table, which is attached and stored; a label image, which is
    // attached, and its two objects.
    let expected = [("files", 3), ("links", 6), ("annotations", 3), ("maps", 3), ("rois", 2), ("tables", 1)];
    assert_eq!(counted(&there), expected.map(|(kind, count)| (kind.to_owned(), count)).into(), "{there:#}");
    let links = there["links"].as_array().cloned().unwrap_or_default();
    assert!(links.iter().all(|link| link[0] == "Image:10"), "{links:?}");
    let rows =
        there["tables"].as_object().and_then(|tables| tables.values().next()).cloned().unwrap_or_default();
    assert_eq!(
        (&rows[0]["values"], &rows[1]["values"]),
        (&serde_json::json!([1, 2]), &serde_json::json!([2.5, 3.0]))
    );

    let history = stage.desk.history(&id)?;
    assert_eq!((&history["state"], &history["user"]), (&"completed".into(), &USER.into()), "{history:#}");
    stage.desk.is_recorded_once(&id)?;
    stage.desk.left_nothing(&id)?;
    stage.sessions_are("0")?;
    for secret in [&lent, &stage.key] {
        assert_eq!(stage.holding(secret), Vec::<PathBuf>::new(), "a session's id is left somewhere");
    }
    Ok(())
}

#[test]
fn a_dataset_is_exported_image_by_image_under_their_names() -> Result<()> {
    let stage = Stage::new()?;
    stage.tell("prepare", "10|slide [1].svs|1|3|1|150|200\n8|cells.tiff|1|2|2|1100|1300")?;
    let serve = stage.serve()?;
    let results = stage.desk.results("cells").display().to_string();
    let arguments =
        ["run", "copy", "--image", "omero:Dataset:5", "--no-conversion", "--output", &results, "--json"];
    let said = stage.said(Some(&stage.key), &arguments)?;
    assert!(said.status.success(), "{}", process::both(&said));
    let answer: Value = serde_json::from_slice(&said.stdout).map_err(trouble)?;
    stage.ends(answer["id"].as_str().unwrap_or_default(), &serve, "DONE")?;
    let entries = std::fs::read_dir(&results).into_iter().flatten().flatten();
    let mut names: Vec<String> =
        entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.sort_unstable();
    assert_eq!(names, ["cells.csv", "cells_mask.tif", "slide [1].svs.csv", "slide [1].svs_mask.tif"]);
    stage.sessions_are("0")
}

#[test]
fn of_a_batch_all_have_one_session_which_ends_with_the_last() -> Result<()> {
    let stage = Stage::new()?;
    let serve = stage.serve()?;
    let hold = stage.hold()?;
    let arguments = [
        "run",
        "copy",
        "--image",
        "omero:Image:10",
        "--image",
        "omero:Image:8",
        "--batch",
        "--to-omero",
        "--no-conversion",
        "--json",
    ];
    let said = stage.said(Some(&stage.key), &arguments)?;
    assert!(said.status.success(), "{}", process::both(&said));
    let answer: Value = serde_json::from_slice(&said.stdout).map_err(trouble)?;
    let children: Vec<&str> =
        answer["children"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    assert_eq!(children.len(), 2, "{answer:#}");
    assert_eq!(stage.lent(children[0])?, stage.lent(children[1])?);
    assert_eq!(stage.seen("userSessions")?, "1");
    std::fs::remove_file(hold).map_err(Trouble::doing("let jobs go on"))?;
    stage.ends(answer["id"].as_str().unwrap_or_default(), &serve, "DONE")?;
    stage.sessions_are("0")?;
    let links = stage.there()?["links"].as_array().cloned().unwrap_or_default();
    for image in ["Image:10", "Image:8"] {
        assert!(links.iter().any(|link| link[0] == image), "{image}: {links:?}");
    }
    Ok(())
}
