//! An OMERO that has jobs for a processor: the real registry and router, and the stand-in for Blitz that gives scripts to
//! whoever registers, written for `runtime/grid`.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};

use serde_json::{Value, json};

use crate::icegrid::{Registry, free_port};
use crate::process::Running;
use crate::scratch::Scratch;
use crate::worker_root::{Deployment, OMERO};
use crate::{Result, Trouble, binary, blitz, wait};

/// The application that the master's registry is given: Processor-0 as OMERO's templates describe it, `python` to be found on
/// the node's `PATH`.
const APPLICATION: &str = r#"<icegrid><application name="OMERO">
<node name="biomeroworker">
<server id="Processor-0" exe="python" activation="always" pwd="@home@">
<option>lib/python/runProcessor.py</option>
<env>PYTHONPATH=$${PYTHONPATH}:lib/python/</env>
<adapter name="ProcessorAdapter" endpoints="tcp">
<object identity="Processor-0" type="::omero::grid::Processor"/></adapter>
<properties><property name="Ice.MessageSizeMax" value="65536"/><property name="Ice.ImplicitContext" value="Shared"/></properties>
</server></node></application></icegrid>
"#;

/// The OMERO.
#[derive(Debug)]
pub struct Jobs {
    registry: Option<Registry>,
    registry_port: u16,
    router: Running,
    router_port: u16,
    blitz: Option<Blitz>,
    blitz_port: u16,
    types: PathBuf,
    scratch: Scratch,
}

/// Has a registry know the server that a worker's node starts; `folder` is for a file.
///
/// # Errors
/// The registry does not take it.
pub fn deploy(registry: &Registry, folder: &Path) -> Result<()> {
    let path = folder.join("application.xml");
    std::fs::write(&path, APPLICATION.replace("@home@", OMERO))
        .map_err(Trouble::doing("write the application"))?;
    registry.ask(&format!("application add '{}'", path.display())).map(drop)
}

#[derive(Debug)]
struct Blitz {
    child: Child,
    stdin: ChildStdin,
    answers: Receiver<String>,
    early: BTreeMap<i64, Value>,
    next: i64,
}

impl Drop for Blitz {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Jobs {
    /// Starts it and waits until it answers.
    ///
    /// # Errors
    /// Something is not installed or does not start.
    pub fn start() -> Result<Self> {
        let scratch = Scratch::new()?;
        let types = blitz::types(&scratch)?;
        let registry = Registry::start(scratch.path())?;
        let (registry_port, router_port, blitz_port) = (registry.port(), free_port()?, free_port()?);
        let blitz = Blitz::start(blitz_port, registry_port, &types, &scratch)?;
        let router = blitz::start_router(router_port, blitz_port, &[], &scratch.path().join("router.log"))?;
        let (registry, blitz) = (Some(registry), Some(blitz));
        Ok(Self { registry, registry_port, router, router_port, blitz, blitz_port, types, scratch })
    }

    /// The registry.
    ///
    /// # Errors
    /// It was stopped.
    pub fn registry(&self) -> Result<&Registry> {
        self.registry.as_ref().ok_or_else(|| Trouble::new("the registry was stopped"))
    }

    /// The router, which tests end.
    pub const fn router(&mut self) -> &mut Running {
        &mut self.router
    }

    /// Starts the router again where it was.
    ///
    /// # Errors
    /// It does not start.
    pub fn start_router(&mut self) -> Result<()> {
        let log = self.scratch.path().join("router.log");
        self.router = blitz::start_router(self.router_port, self.blitz_port, &[], &log)?;
        Ok(())
    }

    /// Ends registry and Blitz, as a master that is restarted does, and starts them again where they were.
    ///
    /// # Errors
    /// They do not end, or do not start.
    pub fn restart(&mut self) -> Result<()> {
        self.blitz = None;
        if let Some(registry) = self.registry.take() {
            registry.stop()?;
        }
        self.registry = Some(Registry::start_at(self.scratch.path(), self.registry_port, &[])?);
        self.blitz = Some(Blitz::start(self.blitz_port, self.registry_port, &self.types, &self.scratch)?);
        Ok(())
    }

    /// Where the types of scripts that call OMERO are.
    pub fn types(&self) -> &Path {
        &self.types
    }

    /// A worker whose master this is.
    pub fn deployment(&self) -> Deployment {
        let mut deployment = Deployment::internal(self.registry_port);
        let port = ("BIOMERO_INIT_OMERO__PORTS__TCP".to_owned(), self.router_port.to_string());
        deployment.variables.push(port);
        deployment
    }

    /// Has the registry know the server that a node starts.
    ///
    /// # Errors
    /// The registry does not take it.
    pub fn deploy(&self) -> Result<()> {
        deploy(self.registry()?, self.scratch.path())
    }

    /// Waits until the registry says that the processor is so.
    ///
    /// # Errors
    /// It is not in time.
    pub fn processor_is(&self, state: &str, logs: &[&Path]) -> Result<()> {
        let registry = self.registry()?;
        wait::until(&format!("Processor-0 to be {state}"), wait::PATIENCE, logs, || {
            registry.ask("server state Processor-0").is_ok_and(|found| found.starts_with(state)).then_some(())
        })
    }

    /// Waits until Blitz knows a processor; its reference.
    ///
    /// # Errors
    /// None comes in time.
    pub fn knows_the_processor(&mut self, logs: &[&Path]) -> Result<String> {
        wait::until("a processor that Blitz knows", wait::PATIENCE, logs, || {
            self.ask("there", json!({})).ok()?.as_str().map(str::to_owned)
        })
    }

    /// Has a script be that of every job, and the session of every job be there.
    ///
    /// # Errors
    /// Blitz does not answer.
    pub fn script(&mut self, text: &str) -> Result<()> {
        self.ask("script", json!({ "set": { "text": text, "sha1": null, "valid": true } })).map(drop)
    }

    /// Has Blitz do something, and waits for what comes of it.
    ///
    /// # Errors
    /// What went wrong, as Ice or Blitz says it.
    pub fn ask(&mut self, what: &str, with: Value) -> Result<Value> {
        let log = self.log();
        let blitz = self.blitz.as_mut().ok_or_else(|| Trouble::new("Blitz was stopped"))?;
        let id = blitz.begin(what, with)?;
        blitz.end(id, &log)
    }

    /// Has Blitz do something for each, all at once; what comes of it, in their order.
    ///
    /// # Errors
    /// The first that went wrong.
    pub fn ask_all(&mut self, what: &str, with: impl IntoIterator<Item = Value>) -> Result<Vec<Value>> {
        let log = self.log();
        let blitz = self.blitz.as_mut().ok_or_else(|| Trouble::new("Blitz was stopped"))?;
        let begun: Vec<i64> = with.into_iter().map(|with| blitz.begin(what, with)).collect::<Result<_>>()?;
        begun.into_iter().map(|id| blitz.end(id, &log)).collect()
    }

    /// The output that Blitz was given of a job.
    ///
    /// # Errors
    /// It was given none.
    pub fn output(&mut self, job: i64, name: &str) -> Result<String> {
        let state = self.ask("state", json!({}))?;
        let links = state["links"].as_array().into_iter().flatten();
        let files = links.filter(|link| link[1] == job).map(|link| &state["files"][link[2].to_string()]);
        let file = files.into_iter().find(|file| file["name"] == name);
        let text = file.and_then(|file| file["head"].as_str());
        text.map(str::to_owned).ok_or_else(|| Trouble::new(format!("job {job} has no {name}: {state}")))
    }

    fn log(&self) -> PathBuf {
        self.scratch.path().join("blitz.log")
    }
}

impl Blitz {
    fn start(port: u16, registry: u16, types: &Path, scratch: &Scratch) -> Result<Self> {
        let log = scratch.path().join("blitz.log");
        let errors =
            File::options().create(true).append(true).open(&log).map_err(Trouble::doing("write a log"))?;
        let mut child = Command::new(blitz::PYTHON)
            .arg(binary::workspace().join("runtime/grid/tests/fixtures/blitz.py"))
            .arg(format!("tcp -h 127.0.0.1 -p {port}"))
            .arg(format!("--Ice.Default.Locator=IceGrid/Locator:tcp -h 127.0.0.1 -p {registry}"))
            .args(["--Ice.ThreadPool.Server.Size=16", "--Ice.MessageSizeMax=65536"])
            .env("PYTHONPATH", types)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(errors)
            .spawn()
            .map_err(Trouble::doing("start blitz.py"))?;
        let (Some(stdin), Some(stdout)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(Trouble::new("blitz.py has no pipes"));
        };
        let (sender, answers) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(std::result::Result::ok) {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        let mut blitz = Self { child, stdin, answers, early: BTreeMap::new(), next: 1 };
        blitz.end(0, &log)?;
        Ok(blitz)
    }

    fn begin(&mut self, what: &str, with: Value) -> Result<i64> {
        let id = self.next;
        self.next += 1;
        let mut line = with;
        line["do"] = json!(what);
        line["id"] = json!(id);
        writeln!(self.stdin, "{line}").map_err(Trouble::doing("ask Blitz"))?;
        Ok(id)
    }

    fn end(&mut self, id: i64, log: &Path) -> Result<Value> {
        let answer = loop {
            if let Some(answer) = self.early.remove(&id) {
                break answer;
            }
            let line = self.answers.recv_timeout(wait::PATIENCE).map_err(|error| {
                Trouble::new(format!("Blitz does not answer: {error}{}", wait::ends_of(&[log])))
            })?;
            let answer: Value =
                serde_json::from_str(&line).map_err(|error| Trouble::new(format!("{line}: {error}")))?;
            self.early.insert(answer["id"].as_i64().unwrap_or(-1), answer);
        };
        match answer["error"].as_str() {
            None => Ok(answer["value"].clone()),
            Some(error) => {
                Err(Trouble::new(format!("{error}: {}", answer["message"].as_str().unwrap_or_default())))
            }
        }
    }
}
