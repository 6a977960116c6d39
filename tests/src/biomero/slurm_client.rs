//! The real `SlurmClient` of biomero against a test cluster or a login node alone: to compare what it sends, the job
//! scripts that it writes, and the time that it takes.
//!
//! ```ignore
//! let cluster = biomero_tests::cluster::shared()?;
//! let work = cluster.workspace()?;
//! let ini = format!("[SSH]\nhost=slurm\n[SLURM]\nslurm_data_path={}/data\n…", work.name());
//! let mut python = SlurmClient::start(scratch.path(), &cluster, &ini, &[Descriptor::threshold()])?;
//! let called = python.call("check_job_status", &json!([[17]]))?;
//! assert_eq!(called.commands(), ["sacct -n -o JobId,State,End -X -j 17"]);
//! ```
//!
//! Methods have Python's names. Jobs are waited for by `python.wait(id)`, which polls every ten seconds as Python does.

use std::path::Path;

use serde_json::{Value, json};

use super::Biomero;
use crate::cluster::{Image, Login};
use crate::{Result, Trouble};

/// A file that Python finds on `https://github.com`.
#[derive(Debug, Clone, Copy)]
pub struct Descriptor<'a> {
    /// `organisation/repository`.
    pub repository: &'a str,
    /// A tag or a branch.
    pub reference: &'a str,
    /// `descriptor.json`, `descriptor.yaml` or `config.yaml`.
    pub file: &'a str,
    /// Its content.
    pub text: &'a str,
}

impl Descriptor<'static> {
    /// That of [`Image::Threshold`]: `https://github.com/biomerotests/threshold/tree/v1.0.0`.
    pub fn threshold() -> Self {
        Self {
            repository: "biomerotests/threshold",
            reference: "v1.0.0",
            file: "descriptor.json",
            text: Image::Threshold.descriptor().unwrap_or_default(),
        }
    }
}

/// A running Python with a client that is connected; killed when dropped.
#[derive(Debug)]
pub struct SlurmClient {
    biomero: Biomero,
}

/// What came of a call.
#[derive(Debug)]
pub struct Called {
    /// What the method returned: a `Result` as its fields, a tuple as a list.
    pub returned: Value,
    /// What was sent meanwhile, in turn: `{"exec": …}`, `{"put": …}`, `{"get": …}`.
    pub sent: Vec<Value>,
}

impl Called {
    /// The command lines among what was sent.
    pub fn commands(&self) -> Vec<&str> {
        self.sent.iter().filter_map(|one| one.get("exec")?.as_str()).collect()
    }
}

impl SlurmClient {
    /// Starts Python with `home`, a folder of its own, as its home, and connects as OMERO's scripts do:
    /// `SlurmClient.from_config()` with `ini` as the only `slurm-config.ini`. The history is in an SQLite file there.
    ///
    /// # Errors
    /// It does not start, or cannot connect.
    pub fn start(home: &Path, login: &Login, ini: &str, descriptors: &[Descriptor<'_>]) -> Result<Self> {
        let descriptors_below = home.join("github");
        let config = std::fs::read_to_string(login.ssh_config())
            .map_err(Trouble::doing(format!("read {}", login.ssh_config().display())))?;
        write(&home.join(".ssh/config"), &config)?;
        write(&home.join("slurm-config.ini"), ini)?;
        write(&home.join("tmp/.keep"), "")?;
        write(&descriptors_below.join(".keep"), "")?;
        for Descriptor { repository, reference, file, text } in descriptors {
            write(&descriptors_below.join(repository).join("raw").join(reference).join(file), text)?;
        }
        let text = |path: &Path| path.display().to_string();
        let biomero = Biomero::start_with(
            home,
            &[
                ("HOME", &text(home)),
                // Its cache of descriptors is there, and must not be another test's.
                ("TMPDIR", &text(&home.join("tmp"))),
                ("DESCRIPTORS", &text(&descriptors_below)),
                ("BIOMERO_SLURM_CONFIG_FILE", &text(&home.join("slurm-config.ini"))),
                ("SQLALCHEMY_URL", &format!("sqlite:///{}", home.join("history.sqlite").display())),
            ],
        )?;
        let mut client = Self { biomero };
        client.biomero.ask("connect", &json!({}))?;
        Ok(client)
    }

    /// Calls a method of the client with these arguments, a list, or an object of those with names. `{"uuid": …}` stands
    /// for an id.
    ///
    /// # Errors
    /// Python raises an exception.
    pub fn call(&mut self, method: &str, arguments: &Value) -> Result<Called> {
        let mut answer = self.biomero.ask("call", &question(method, arguments))?;
        let sent = answer["sent"].as_array().cloned().unwrap_or_default();
        Ok(Called { returned: answer["returned"].take(), sent })
    }

    /// The seconds that each of so many calls took in Python.
    ///
    /// # Errors
    /// Python raises an exception.
    pub fn call_times(&mut self, method: &str, arguments: &Value, rounds: usize) -> Result<Vec<f64>> {
        let mut question = question(method, arguments);
        question["rounds"] = json!(rounds);
        let taken = self.biomero.ask("call_times", &question)?;
        let taken = taken.as_array().and_then(|taken| taken.iter().map(Value::as_f64).collect());
        taken.ok_or_else(|| Trouble::new(format!("Python took no times of {method}")))
    }

    /// `SlurmJob.wait_for_completion` of a job that a call has returned as an object: its last state.
    ///
    /// # Errors
    /// Python raises an exception.
    pub fn wait(&mut self, job: u64) -> Result<String> {
        let state = self.biomero.ask("wait", &json!({ "job": job }))?;
        Ok(state.as_str().unwrap_or_default().to_owned())
    }
}

fn question(method: &str, arguments: &Value) -> Value {
    if arguments.is_object() {
        json!({ "method": method, "keywords": arguments })
    } else {
        json!({ "method": method, "arguments": arguments })
    }
}

fn write(path: &Path, text: &str) -> Result<()> {
    let folder = path.parent().unwrap_or(Path::new("/"));
    std::fs::create_dir_all(folder)
        .and_then(|()| std::fs::write(path, text))
        .map_err(Trouble::doing(format!("write {}", path.display())))
}
