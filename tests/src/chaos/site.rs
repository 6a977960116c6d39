//! Where it happens: a cluster, a database and a worker in its container, each of which can be killed and brought back.

use std::path::PathBuf;
use std::time::Duration;

use serde_json::{Value, json};

use super::container::Container;
use super::plan::{Victim, What, Wish, Work};
use crate::cluster::worker::{VERSION, Worker};
use crate::cluster::{Cluster, Daemon, Image, Options, PATIENCE, Workspace};
use crate::postgres::{Postgres, Stop};
use crate::scratch::Scratch;
use crate::{Result, Trouble, http, process, wait};

/// The database of the history.
pub(super) const DATABASE: &str = "chaos";
/// How long `init` may take to end all that is in the container.
const ENDING: Duration = Duration::from_secs(90);

/// The workflow.
const COPY: &str = r#"{"schema-version": "biomero-0.1", "name": "Copy", "description": "", "command-line": "copy",
    "container-image": {"image": "biomerotests/copy", "type": "oci"}, "inputs": []}"#;

/// What its job does, in a time limit that nothing here reaches, also when slurmctld has forgotten that it has ended: it tells that it runs, waits as long as its images say, fails if they say so, copies them, and tells
/// that it has ended. What it tells is appended: each job that ever runs is in that file.
const TEMPLATE: &str = r#"#!/bin/bash
#SBATCH --job-name=$jobname
#SBATCH --time=50
#SBATCH --mem=64M
told="COUNTS/$(basename "$DATA_PATH")"
echo "begun $SLURM_JOB_ID" >> "$told"
cd "$DATA_PATH/data/in"
sleep "$(cat sleep)"
if [ -e fail ]; then
  echo "told to fail with $(cat fail)" >&2
  echo "ended $SLURM_JOB_ID" >> "$told"
  exit "$(cat fail)"
fi
cp -r . ../out/
echo "ended $SLURM_JOB_ID" >> "$told"
"#;

/// Where it happens. What stands on the others is dropped before them.
#[derive(Debug)]
pub(super) struct Site {
    container: Container,
    worker: Worker,
    workspace: Workspace,
    cluster: Cluster,
    server: Postgres,
    scratch: Scratch,
}

impl Site {
    /// Starts all of it; it dies with the thread that called this.
    pub(super) fn start() -> Result<Self> {
        let scratch = Scratch::new()?;
        let server = Postgres::start(&scratch.folder("postgres")?)?;
        let database = server.create_database(DATABASE)?;
        let cluster = Cluster::start(&scratch.folder("cluster")?, &Options::default())?;
        let workspace = cluster.workspace()?;
        let worker = worker(&cluster, &workspace, &database)?;
        let mut container = Container::new(&worker)?;
        container.start(&worker)?;
        let site = Self { container, worker, workspace, cluster, server, scratch };
        wait::until("a worker that is ready", wait::PATIENCE, &[site.container.log()], || {
            http::get(&site.socket(), "/ready").ok().filter(|answer| answer.status == 200)
        })?;
        Ok(site)
    }

    /// The folders of all of it stay; where they are.
    pub(super) fn keep(&mut self) -> [PathBuf; 2] {
        self.worker.keep();
        self.scratch.keep();
        [self.worker.folder().to_path_buf(), self.scratch.path().to_path_buf()]
    }

    /// Where the worker is asked.
    pub(super) fn socket(&self) -> PathBuf {
        self.worker.folder().join("serve.sock")
    }

    pub(super) const fn worker(&self) -> &Worker {
        &self.worker
    }

    pub(super) const fn cluster(&self) -> &Cluster {
        &self.cluster
    }

    pub(super) const fn server(&self) -> &Postgres {
        &self.server
    }

    pub(super) const fn container(&self) -> &Container {
        &self.container
    }

    /// Where each workflow has its data on the cluster.
    pub(super) fn data(&self) -> PathBuf {
        self.workspace.path().join("data")
    }

    /// Where jobs tell that they run.
    pub(super) fn counts(&self) -> PathBuf {
        self.workspace.path().join("counts")
    }

    /// Where results go that are asked for under this name.
    pub(super) fn results(&self, name: &str) -> PathBuf {
        self.worker.folder().join("home").join(name)
    }

    /// Kills a victim; false where it is not there to be killed.
    pub(super) fn kill(&mut self, victim: Victim) -> Result<bool> {
        match victim {
            Victim::Processor => return Ok(self.container.kill_processor()),
            Victim::Container => return self.container.kill(),
            Victim::Login => self.cluster.sshd.kill()?,
            Victim::Scheduler => {
                // What it took since is lost, and the numbers of those jobs are given to others while they run. What Slurm then
                // tells of either is not so: nobody could end for a reason that is true. (`workflow::forgotten` tests the
                // part of it that can be made good.)
                self.cluster.slurm.has_saved();
                self.cluster.slurm.kill(Daemon::Slurmctld)?;
            }
            Victim::Database => self.server.stop(Stop::Kill)?,
        }
        Ok(true)
    }

    /// Brings it back.
    pub(super) fn bring_back(&mut self, victim: Victim) -> Result<()> {
        match victim {
            // Its `init` does.
            Victim::Processor => Ok(()),
            Victim::Container => self.container.start(&self.worker),
            Victim::Login => self.cluster.sshd.listen(),
            Victim::Scheduler => {
                self.cluster.slurm.run(Daemon::Slurmctld)?;
                self.resume_node();
                Ok(())
            }
            Victim::Database => self.server.run(),
        }
    }

    /// Has the node say what runs there, as it does every few minutes: of what does not, slurmctld has missed the end, and runs it
    /// again.
    pub(super) fn register_node(&mut self) -> Result<()> {
        self.resume_node();
        self.cluster.slurm.stop(Daemon::Slurmd)?;
        self.cluster.slurm.run(Daemon::Slurmd)
    }

    /// What an administrator does where slurmctld has drained the node: it wanted to start a job there under a number under which
    /// one runs that it has forgotten. A node that is not drained is refused, and that is fine.
    fn resume_node(&self) {
        let mut resume = self.cluster.slurm("scontrol");
        resume.args(["update", "NodeName=localhost", "State=RESUME"]);
        let _ = process::output(&mut resume, PATIENCE);
    }

    /// That nothing has ended by itself.
    pub(super) fn stands(&mut self) -> Result<()> {
        if self.container.has_ended() {
            let log = wait::ends_of(&[self.container.log()]);
            return Err(Trouble::new(format!("the container has ended although nobody has killed it{log}")));
        }
        Ok(())
    }

    /// Stops the worker in good order.
    pub(super) fn stop_worker(&mut self) -> Result<()> {
        let status = self.container.stop(ENDING)?;
        match status.code() {
            Some(0) => Ok(()),
            _ => Err(Trouble::new(format!("the container ended with {status} when it was told to"))),
        }
    }

    /// Writes the images of something that is asked for; how it is asked for: the path, and what is sent there.
    pub(super) fn request(&self, wish: &Wish) -> Result<(&'static str, Value)> {
        let mut request = json!({
            "workflow": "copy",
            "user": wish.user,
            "group": 3,
            "results": { "directory": self.results(&wish.name) },
            // More often than usual, so that no outage of the plan is longer than what is waited for, and none costs minutes.
            "policy": { "retries": { "tries": 100, "first_seconds": 1, "longest_seconds": 5 } },
        });
        match &wish.what {
            What::One(work) => {
                request["inputs"] = json!([self.images(&wish.name, *work)?]);
                Ok(("/v1/workflows", request))
            }
            What::Cancelled(_) => {
                request["inputs"] = json!([self.images(&wish.name, Work::Copies(CANCELLED_SECONDS))?]);
                Ok(("/v1/workflows", request))
            }
            What::Batch(works) => {
                let group =
                    |(place, work): (usize, &Work)| Ok([self.images(&child(&wish.name, place), *work)?]);
                let groups = works.iter().enumerate().map(group).collect::<Result<Vec<_>>>()?;
                Ok(("/v1/batches", json!({ "groups": groups, "request": request })))
            }
        }
    }

    fn images(&self, name: &str, work: Work) -> Result<PathBuf> {
        let file = |file: &str, text: &str| self.worker.write(&format!("in/{name}/{file}"), text).map(drop);
        file("one.tif", &pixels(name))?;
        match work {
            Work::Copies(seconds) => file("sleep", &seconds.to_string())?,
            Work::Fails(code) => {
                file("sleep", "0")?;
                file("fail", &code.to_string())?;
            }
        }
        Ok(self.worker.folder().join("in").join(name))
    }
}

/// How long the job of a workflow waits that is cancelled: one that comes to its end is a fault of whoever cancels it.
const CANCELLED_SECONDS: u64 = 400;

/// What the images of a workflow hold, and its results.
pub(super) fn pixels(name: &str) -> String {
    format!("pixels of {name}\n").repeat(500)
}

/// What the folders of a workflow of a batch are called, by its place in it.
pub(super) fn child(batch: &str, place: usize) -> String {
    format!("{batch}-{}", place + 1)
}

fn worker(cluster: &Cluster, workspace: &Workspace, database: &str) -> Result<Worker> {
    let mut worker = Worker::new(cluster, workspace)?;
    cluster.place(Image::Copy, workspace, &format!("images/copy/copy_{VERSION}.sif"))?;
    workspace.write("counts/.here", "")?;
    worker.write("descriptors/copy.json", COPY)?;
    worker.configure(
        "",
        &format!("copy = copy\ncopy_repo = https://github.com/biomerotests/copy/tree/{VERSION}\ncopy_job = jobs/copy.sh"),
    )?;
    let counts = workspace.path().join("counts").display().to_string();
    let template = worker.write("job.template", &TEMPLATE.replace("COUNTS", &counts))?;
    worker.set("TEMPLATE", &template.display().to_string());
    worker.set("POLL", "2s");
    worker.variable("SQLALCHEMY_URL", database);
    let socket = worker.folder().join("serve.sock").display().to_string();
    worker.variable("BIOMERO_INIT_API__SOCKET", &socket);
    // Who watches asks more often than people do.
    worker.variable("BIOMERO_INIT_API__RATE", "100000");
    Ok(worker)
}
