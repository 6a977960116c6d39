//! Every verb of `processor slurm`, from a cluster that is not set up to one that nothing is left on, wherever jobs run;
//! and what `docs/slurm.md` promises of its answers.

mod exit_codes;
mod promises;

use biomero_tests::cluster::worker::{WORKFLOW, Worker};
use biomero_tests::cluster::{PATIENCE, sample, shared};
use biomero_tests::{Result, Trouble, wait};
use promises::Promises;
use serde_json::Value;

/// A worker that is asked, and the page that its answers are held to.
struct Desk {
    worker: Worker,
    promises: Promises,
}

impl Desk {
    /// Runs a verb with `--json`, which has to succeed; its answers, each as the page promises in the row for it.
    fn ask(&self, rows: &[&str], arguments: &[&str]) -> Result<Value> {
        let said = self.worker.succeeds(&[arguments, &["--json"]].concat())?;
        let parsed: serde_json::Result<Vec<Value>> =
            serde_json::Deserializer::from_str(&said).into_iter().collect();
        let answers = parsed.map_err(|error| Trouble::new(format!("{arguments:?}: {error}: {said}")))?;
        assert_eq!(answers.len(), rows.len(), "{arguments:?}: {said}");
        for (row, answer) in rows.iter().zip(&answers) {
            self.promises.hold(row, answer)?;
        }
        answers.into_iter().last().ok_or_else(|| Trouble::new(format!("{arguments:?}: no answer")))
    }

    /// As [`Self::ask`], of a verb with one answer.
    fn one(&self, row: &str, arguments: &[&str]) -> Result<Value> {
        self.ask(&[row], arguments)
    }

    /// From a cluster that is not set up to one that nothing is left on.
    fn every_verb(&self) -> Result<()> {
        let worker = &self.worker;
        let made = self.one("`init`, `init --status`", &["init", "--wait"])?;
        assert!(made["images"].as_array().is_some_and(|images| images.len() == 2), "{made:#}");
        let status = self.one("`init`, `init --status`", &["init", "--status"])?;
        assert!(
            status["images"].as_array().into_iter().flatten().all(|image| image["state"] == "done"),
            "{status:#}"
        );
        let examined = self.one("`validate`", &["validate", "--job"])?;
        assert_ne!(examined["verdict"], "failed", "{examined:#}");
        self.one("`workflows`", &["workflows", WORKFLOW])?;

        let (images, results) = (worker.folder().join("images"), worker.folder().join("results"));
        sample::cells(&images, &["one", "other"])?;
        let (from, to) = (format!("--input={}", images.display()), format!("--output={}", results.display()));
        self.one("`run --dry-run`", &["run", WORKFLOW, &from, "--dry-run"])?;
        let run =
            self.ask(&["`run` | the run, before", "`run` | the run, once"], &["run", WORKFLOW, &from, &to])?;
        let areas =
            std::fs::read_to_string(results.join("other.csv")).map_err(Trouble::doing("read a result"))?;
        assert!(areas.lines().count() > 1, "no object was found: {areas}");

        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let job = text(&run["job"]);
        let shown = self.one("`jobs`", &["jobs", &job])?;
        assert_eq!(shown["state"], "COMPLETED", "{shown:#}");
        self.one("`jobs`", &["jobs", &job, "--watch"])?;
        let log = worker.succeeds(&["log", &job])?;
        assert!(log.contains("other.tiff: ") && log.contains("Job completed successfully."), "{log}");
        self.is_cancelled(&from)?;

        let folder = text(&run["data"]);
        let data = folder.rsplit('/').next().unwrap_or_default();
        let again = format!("--output={}", worker.folder().join("again").display());
        let fetched = self.one("`fetch`", &["fetch", data, &again])?;
        assert!(fetched["fetched"].as_u64().is_some_and(|bytes| bytes > 0), "{fetched:#}");
        self.one("`clean`", &["clean", data, "--dry-run"])?;
        self.one("`clean`", &["clean", data])?;
        assert!(!std::path::Path::new(&folder).exists(), "{folder} is still there");
        Ok(())
    }

    /// That a job which runs is ended by `cancel`, and its run with it.
    fn is_cancelled(&self, from: &str) -> Result<()> {
        let script = self.worker.remote().join(format!("scripts/jobs/{WORKFLOW}.sh"));
        std::fs::write(&script, "#!/bin/bash\nsleep 600\n").map_err(Trouble::doing("edit the job script"))?;
        let mut run = self.worker.start(&["run", WORKFLOW, from, "--no-conversion"])?;
        let job = wait::until("a job that runs", PATIENCE, &[run.log()], || {
            let jobs = self.worker.succeeds(&["jobs", "--json"]).ok()?;
            let jobs = jobs.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
            let running = jobs
                .filter(|job| job["state"] == "RUNNING")
                .find_map(|job| Some(job["job"].as_str()?.to_owned()));
            // Others may have jobs there too.
            running.filter(|job| run.output().contains(&format!("job {job} ")))
        })?;
        self.one("`cancel`", &["cancel", &job])?;
        assert_eq!(run.ended_within(PATIENCE)?.code(), Some(1), "{}", run.output());
        assert!(run.output().contains("cancelled"), "{}", run.output());
        Ok(())
    }
}

#[test]
fn each_verb_works_over_ssh_and_answers_as_the_page_promises() -> Result<()> {
    let cluster = shared()?;
    let workspace = cluster.workspace()?;
    let desk = Desk { worker: Worker::new(&cluster, &workspace)?, promises: Promises::new()? };
    desk.every_verb()?;
    let attaching = r#"{"schema-version": "biomero-0.1", "name": "Attaching", "description": "", "command-line": "x",
        "container-image": {"image": "org/attaching:v1", "type": "oci"},
        "inputs": [{"id": "model", "type": "file", "file-attachment": true}]}"#;
    let model = format!("model={}", desk.worker.write("descriptors/attaching.json", attaching)?.display());
    let lines = "attaching = attaching\nattaching_repo = https://github.com/org/attaching\n\
                 attaching_job = jobs/attaching.sh\nother = other";
    desk.worker.configure("", lines)?;
    let from = format!("--input={}", desk.worker.folder().join("images").display());
    desk.one("`run --dry-run`", &["run", "attaching", &from, "--param", &model, "--dry-run"])?;
    let told = desk.worker.slurm(&["workflows", "--json"])?;
    let bare =
        String::from_utf8_lossy(&told.stdout).lines().last().and_then(|line| serde_json::from_str(line).ok());
    desk.promises.hold("`workflows`, one without descriptor", &bare.unwrap_or_default())?;
    assert_eq!(desk.promises.left(), [""; 0], "docs/slurm.md promises more than this test asks for");
    Ok(())
}

#[test]
fn each_verb_works_where_slurm_is_of_this_machine() -> Result<()> {
    let cluster = shared()?;
    let workspace = cluster.workspace()?;
    Desk { worker: Worker::local(&cluster, &workspace)?, promises: Promises::new()? }.every_verb()
}

#[test]
fn each_verb_works_without_slurm() -> Result<()> {
    Desk { worker: Worker::embedded()?, promises: Promises::new()? }.every_verb()
}
