//! A worker's side with a workflow whose job tells of itself: how often it ran is counted where it runs.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

use biomero_tests::cluster::worker::{VERSION, Worker};
use biomero_tests::cluster::{Access, Image, PATIENCE, Workspace, image};
use biomero_tests::process::Running;
use biomero_tests::{Result, Trouble, process, wait};
use serde_json::{Value, json};

/// The workflow.
const COPY: &str = r#"{"schema-version": "biomero-0.1", "name": "Copy", "description": "", "command-line": "copy",
    "container-image": {"image": "biomerotests/copy", "type": "oci"}, "inputs": [
    {"id": "weights", "type": "file", "file-attachment": true, "format": ["pt"], "optional": true}]}"#;

/// What its job does: it tells that it runs, says what its images say, waits as long as they say, fails if they say so, and
/// copies them.
const TEMPLATE: &str = r#"#!/bin/bash
#SBATCH --job-name=$jobname
#SBATCH --time=10
echo "$SLURM_JOB_ID $SLURMD_NODENAME" >> "COUNTS/$(basename "$DATA_PATH")"
cd "$DATA_PATH/data/in"
[ ! -e says ] || cat says
[ ! -e sleep ] || sleep "$(cat sleep)"
if [ -e away ] && [ "$SLURMD_NODENAME" = "$(cat away)" ]; then
  echo "No corresponding input file" >&2
  exit 1
fi
if [ -e fail ] && [ ! -e ../../../mended ]; then
  echo "first line" >&2
  cat fail >&2
  exit 7
fi
cp -r . ../out/
"#;

/// A worker's side.
pub(super) struct Desk {
    pub(super) worker: Worker,
    remote: PathBuf,
    database: Option<String>,
    counts: PathBuf,
}

/// A request for the results folder of this name.
pub(super) fn request(desk: &Desk, name: &str) -> Value {
    json!({
        "workflow": "copy",
        "inputs": [desk.images(name, &[]).expect("images")],
        "user": 2,
        "group": 3,
        "results": { "directory": desk.results(name) },
    })
}

impl Desk {
    /// On a machine without Slurm, its history in a file.
    pub(super) fn embedded() -> Result<Self> {
        Self::without_slurm(None)
    }

    /// The same, its history in a database.
    pub(super) fn embedded_on(database: &str) -> Result<Self> {
        Self::without_slurm(Some(database.to_owned()))
    }

    fn without_slurm(database: Option<String>) -> Result<Self> {
        let worker = Worker::embedded()?;
        let remote = worker.remote().to_path_buf();
        let place = remote.join(format!("images/copy/copy_{VERSION}.sif"));
        let folder = place.parent().unwrap_or(&remote).to_path_buf();
        std::fs::create_dir_all(folder)
            .and_then(|()| std::fs::copy(image(Image::Copy).map_err(std::io::Error::other)?, &place))
            .map_err(Trouble::doing("place an image"))?;
        let counts = worker.folder().join("counts");
        Self { worker, remote, database, counts }.set_up()
    }

    /// With a real cluster, and its history in a database.
    pub(super) fn on(access: &Access, workspace: &Workspace, database: &str) -> Result<Self> {
        let worker = Worker::new(access, workspace)?;
        access.place(Image::Copy, workspace, &format!("images/copy/copy_{VERSION}.sif"))?;
        workspace.write("counts/.here", "")?;
        let (remote, counts) = (workspace.path().to_path_buf(), workspace.path().join("counts"));
        std::fs::set_permissions(&counts, std::os::unix::fs::PermissionsExt::from_mode(0o777))
            .map_err(Trouble::doing("open a folder to all"))?;
        Self { worker, remote, database: Some(database.to_owned()), counts }.set_up()
    }

    fn set_up(mut self) -> Result<Self> {
        std::fs::create_dir_all(&self.counts).map_err(Trouble::doing("make a folder"))?;
        self.worker.write("descriptors/copy.json", COPY)?;
        self.worker.configure(
            "",
            &format!("copy = copy\ncopy_repo = https://github.com/biomerotests/copy/tree/{VERSION}\ncopy_job = jobs/copy.sh"),
        )?;
        let template = self.template(TEMPLATE)?;
        self.worker.set("TEMPLATE", &template.display().to_string());
        self.worker.set("POLL", "2s");
        Ok(self)
    }

    /// Has jobs do this; `COUNTS` is the folder in which they tell that they ran.
    pub(super) fn template(&self, text: &str) -> Result<PathBuf> {
        self.worker.write("job.template", &text.replace("COUNTS", &self.counts.display().to_string()))
    }

    /// A folder of images; each of `notes` is a file that tells the job what to do.
    pub(super) fn images(&self, name: &str, notes: &[(&str, &str)]) -> Result<PathBuf> {
        self.worker.write(&format!("in/{name}/one.tif"), &format!("pixels of {name}"))?;
        for (note, text) in notes {
            self.worker.write(&format!("in/{name}/{note}"), text)?;
        }
        Ok(self.worker.folder().join("in").join(name))
    }

    /// Where results of this name go.
    pub(super) fn results(&self, name: &str) -> PathBuf {
        self.worker.folder().join("home").join(name)
    }

    /// What is below everything on the cluster, as all its data folders see it.
    pub(super) fn data(&self) -> PathBuf {
        self.remote.join("data")
    }

    fn command(&self, arguments: &[&str]) -> Result<Command> {
        let mut command = self.worker.processor(arguments)?;
        if let Some(database) = &self.database {
            command.env("SQLALCHEMY_URL", database);
        }
        Ok(command)
    }

    /// `processor serve`; what it writes is behind what those before it wrote.
    pub(super) fn serve(&self) -> Result<Running> {
        self.serve_as("serve")
    }

    /// The same with a log of another name.
    pub(super) fn serve_as(&self, name: &str) -> Result<Running> {
        self.serve_with(name, &[])
    }

    /// The same with further variables.
    pub(super) fn serve_with(&self, name: &str, variables: &[(&str, &Path)]) -> Result<Running> {
        let log = self.worker.folder().join(format!("{name}.log"));
        // Of several workers each is asked at a socket of its own.
        let mut command = self.command_at(name, &["serve", "--verbose"])?;
        command.envs(variables.iter().copied());
        Running::start("processor serve", command, &log)
    }

    /// Where the worker of this name is asked.
    pub(super) fn socket(&self, name: &str) -> PathBuf {
        self.worker.folder().join(format!("{name}.sock"))
    }

    /// `processor` with these arguments, which asks the worker of this name.
    pub(super) fn command_at(&self, name: &str, arguments: &[&str]) -> Result<Command> {
        let mut command = self.command(arguments)?;
        command.env("BIOMERO_INIT_API__SOCKET", self.socket(name));
        Ok(command)
    }

    /// Waits until a `processor serve` says something.
    pub(super) fn says(&self, serve: &Running, what: &str) -> Result<()> {
        wait::until(what, PATIENCE, &[serve.log()], || serve.output().contains(what).then_some(()))
    }

    /// `processor workflow`, whatever comes of it.
    pub(super) fn output(&self, arguments: &[&str]) -> Result<Output> {
        process::output(&mut self.command(&[&["workflow"], arguments].concat())?, PATIENCE)
    }

    fn asked(&self, arguments: &[&str]) -> Result<Value> {
        let mut command = self.command(&[&["workflow"], arguments, &["--json"]].concat())?;
        let said = process::succeed(&mut command, PATIENCE)?;
        serde_json::from_str(&said).map_err(|error| Trouble::new(format!("{error}: {said}")))
    }

    pub(super) fn write_request(&self, request: &Value) -> Result<String> {
        let path = self.worker.write("request.json", &request.to_string())?;
        Ok(path.display().to_string())
    }

    /// Asks for a workflow; its id.
    pub(super) fn submit(&self, request: &Value) -> Result<String> {
        let path = self.write_request(request)?;
        Ok(self.asked(&["submit", &path])?["id"].as_str().unwrap_or_default().to_owned())
    }

    /// Asks for a batch: its id, and those of its workflows.
    pub(super) fn submit_batch(&self, request: &Value) -> Result<(String, Vec<String>)> {
        let path = self.write_request(request)?;
        let told = self.asked(&["submit", &path, "--batch"])?;
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        Ok((text(&told["id"]), told["children"].as_array().into_iter().flatten().map(text).collect()))
    }

    /// How a workflow stands.
    pub(super) fn show(&self, id: &str) -> Result<Value> {
        self.asked(&["show", id])
    }

    /// Ends it.
    pub(super) fn cancel(&self, id: &str) -> Result<Value> {
        self.asked(&["cancel", id])
    }

    /// Asks for it once more.
    pub(super) fn retry(&self, id: &str) -> Result<Value> {
        self.asked(&["retry", id])
    }

    /// Waits until it has ended; how it stands then.
    pub(super) fn ended(&self, id: &str, serves: &[&Running]) -> Result<Value> {
        let over = ["DONE", "FAILED", "CANCELLED"];
        self.waits(id, "over", serves, |shown| shown["phase"].as_str().is_some_and(|now| over.contains(&now)))
    }

    fn waits(&self, id: &str, what: &str, serves: &[&Running], is: impl Fn(&Value) -> bool) -> Result<Value> {
        let logs: Vec<&Path> = serves.iter().map(|serve| serve.log()).collect();
        let mut last = Value::Null;
        let waited = wait::until(&format!("workflow {id} {what}"), PATIENCE, &logs, || {
            last = self.show(id).ok()?;
            // Each look is a process.
            std::thread::sleep(Duration::from_millis(100));
            is(&last).then(|| last.clone())
        });
        waited.map_err(|trouble| Trouble::new(format!("{trouble}\n{last:#}")))
    }

    /// As `processor events show` tells it.
    pub(super) fn history(&self, id: &str) -> Result<Value> {
        let said = process::succeed(&mut self.command(&["events", "show", id, "--json"])?, PATIENCE)?;
        serde_json::from_str(&said).map_err(|error| Trouble::new(format!("{error}: {said}")))
    }

    /// Its images are its results.
    pub(super) fn has_results(&self, name: &str) -> Result<()> {
        let path = self.results(name).join("one.tif");
        let text = std::fs::read_to_string(&path)
            .map_err(Trouble::doing(format!("read results in {}", path.display())))?;
        assert_eq!(text, format!("pixels of {name}"));
        Ok(())
    }

    /// The jobs that ran for it, by what they told.
    pub(super) fn jobs(&self, id: &str) -> Vec<String> {
        let ending = format!("_{}", id.replace('-', ""));
        let entries = std::fs::read_dir(&self.counts).into_iter().flatten().flatten();
        let of_it = entries.filter(|entry| entry.file_name().to_string_lossy().ends_with(&ending));
        let texts = of_it.filter_map(|entry| std::fs::read_to_string(entry.path()).ok());
        texts.flat_map(|text| text.lines().map(str::to_owned).collect::<Vec<_>>()).collect()
    }

    /// One job ran for it.
    pub(super) fn ran_once(&self, id: &str) -> Result<()> {
        let jobs = self.jobs(id);
        assert_eq!(jobs.len(), 1, "{id}: {jobs:?}");
        Ok(())
    }

    /// Nothing of it is left on the way.
    pub(super) fn left_nothing(&self, id: &str) -> Result<()> {
        let id = id.replace('-', "");
        let folders =
            [self.data(), self.results(""), self.worker.folder().join(".local/state/biomero/workflows")];
        for folder in folders {
            for entry in std::fs::read_dir(&folder).into_iter().flatten().flatten() {
                let name = entry.file_name().to_string_lossy().replace('-', "");
                assert!(!name.contains(&id), "{} is left", entry.path().display());
            }
        }
        Ok(())
    }

    /// Nothing of it is in the history twice, and the views are what the log makes them.
    pub(super) fn is_recorded_once(&self, id: &str) -> Result<()> {
        let mut seen = BTreeSet::new();
        for event in self.history(id)?["events"].as_array().into_iter().flatten() {
            let (of, topic, mut state) = (&event["originator_id"], &event["topic"], event["state"].clone());
            // A state is told of again when another start is in prospect, and each round begins.
            let again = ["Task.StatusUpdated", "WorkflowRun.WorkflowStarted"];
            if again.iter().any(|name| topic == format!("biomero.eventsourcing:{name}").as_str()) {
                continue;
            }
            state.as_object_mut().map(|state| state.remove("timestamp"));
            assert!(seen.insert(format!("{of} {topic} {state}")), "twice in the history: {event:#}");
        }
        process::succeed(&mut self.command(&["events", "doctor"])?, PATIENCE).map(drop)
    }

    /// A number that the file of the history answers with.
    pub(super) fn count(&self, statement: &str) -> Result<i64> {
        rusqlite::Connection::open(self.worker.folder().join("events.sqlite"))
            .and_then(|history| history.query_row(statement, [], |row| row.get(0)))
            .map_err(|error| Trouble::new(format!("{statement}: {error}")))
    }
}
