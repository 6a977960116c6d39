//! A grid on loopback: the real registry, node and router, and a stand-in for Blitz, which cannot be installed.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};
use tempfile::TempDir;

pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_grid-test-scripts");
/// The Python that Debian's package of Ice belongs to.
pub(crate) const PYTHON: &str = "/usr/bin/python3";
/// Longer than anything here takes on a busy machine.
pub(crate) const LONG: Duration = Duration::from_secs(60);

/// A process that ends with the test.
pub(crate) struct Running(pub(crate) Child);

impl Running {
    pub(crate) fn start(command: &mut Command, log: &Path) -> Self {
        let log = File::options().create(true).append(true).open(log).unwrap();
        let child = command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log).spawn();
        Self(child.unwrap_or_else(|error| panic!("{:?}: {error}", command.get_program())))
    }

    /// TERM, and how long it takes until it has ended.
    pub(crate) fn stop(&mut self) -> Duration {
        let begun = Instant::now();
        kill(Pid::from_raw(i32::try_from(self.0.id()).unwrap()), Signal::SIGTERM).unwrap();
        until("a process to end", || self.0.try_wait().unwrap());
        begun.elapsed()
    }

    pub(crate) fn kill(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Waits for something.
pub(crate) fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(begun.elapsed() < LONG, "{what} takes too long");
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// A grid without a processor.
pub(crate) struct Grid {
    pub(crate) folder: TempDir,
    registry: Option<Running>,
    registry_port: u16,
    router: Option<Running>,
    pub(crate) router_port: u16,
    blitz: Option<Blitz>,
    blitz_port: u16,
}

struct Blitz {
    _process: Running,
    stdin: ChildStdin,
    answers: Receiver<Value>,
    early: BTreeMap<i64, Value>,
    next: i64,
}

impl Grid {
    pub(crate) fn start() -> Self {
        let folder = TempDir::new().unwrap();
        let mut grid = Self {
            folder,
            registry: None,
            registry_port: free_port(),
            router: None,
            router_port: free_port(),
            blitz: None,
            blitz_port: free_port(),
        };
        types(&grid.path("types"));
        grid.start_registry();
        grid.start_blitz();
        grid.start_router();
        grid
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn locator(&self) -> String {
        format!("IceGrid/Locator:tcp -h 127.0.0.1 -p {}", self.registry_port)
    }

    pub(crate) fn start_registry(&mut self) {
        let database = self.path("registry");
        std::fs::create_dir_all(&database).unwrap();
        let mut command = Command::new("icegridregistry");
        command.arg("--nochdir").args([
            format!("--IceGrid.Registry.Client.Endpoints=tcp -h 127.0.0.1 -p {}", self.registry_port),
            "--IceGrid.Registry.Server.Endpoints=tcp -h 127.0.0.1".to_owned(),
            "--IceGrid.Registry.Internal.Endpoints=tcp -h 127.0.0.1".to_owned(),
            format!("--IceGrid.Registry.LMDB.Path={}", database.display()),
            "--IceGrid.Registry.DynamicRegistration=0".to_owned(),
            "--IceGrid.Registry.AdminPermissionsVerifier=IceGrid/NullPermissionsVerifier".to_owned(),
        ]);
        self.registry = Some(Running::start(&mut command, &self.path("registry.log")));
        until("the registry", || self.admin("node list"));
    }

    pub(crate) fn stop_registry(&mut self) {
        self.registry.take().unwrap().stop();
    }

    /// What an administrator is told, if the command succeeds.
    pub(crate) fn admin(&self, command: &str) -> Option<String> {
        let output = Command::new("icegridadmin")
            .arg(format!("--Ice.Default.Locator={}", self.locator()))
            .args(["--username", "root", "--password", "ome", "-e", command])
            .output()
            .unwrap();
        output.status.success().then(|| String::from_utf8(output.stdout).unwrap())
    }

    pub(crate) fn start_blitz(&mut self) {
        let mut child = Command::new(PYTHON)
            .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/blitz.py"))
            .arg(format!("tcp -h 127.0.0.1 -p {}", self.blitz_port))
            .arg(format!("--Ice.Default.Locator={}", self.locator()))
            .args(["--Ice.ThreadPool.Server.Size=16", "--Ice.MessageSizeMax=65536"])
            .env("PYTHONPATH", self.path("types"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(File::options().create(true).append(true).open(self.path("blitz.log")).unwrap())
            .spawn()
            .unwrap();
        let (stdin, stdout) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        let (sender, answers) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                let _ = sender.send(serde_json::from_str(&line).unwrap_or_else(|_| panic!("{line}")));
            }
        });
        let mut blitz = Blitz { _process: Running(child), stdin, answers, early: BTreeMap::new(), next: 1 };
        assert_eq!(blitz.answer(0)["value"], "ready");
        self.blitz = Some(blitz);
    }

    pub(crate) fn stop_blitz(&mut self) {
        self.blitz = None;
    }

    fn start_router(&mut self) {
        let mut command = Command::new("glacier2router");
        command.args([
            "--Glacier2.InstanceName=OMERO.Glacier2".to_owned(),
            format!("--Glacier2.Client.Endpoints=tcp -h 127.0.0.1 -p {}", self.router_port),
            "--Glacier2.Server.Endpoints=tcp -h 127.0.0.1".to_owned(),
            format!("--Glacier2.SessionManager=BlitzManager:tcp -h 127.0.0.1 -p {}", self.blitz_port),
            format!("--Glacier2.PermissionsVerifier=BlitzVerifier:tcp -h 127.0.0.1 -p {}", self.blitz_port),
            "--Glacier2.Client.ForwardContext=1".to_owned(),
            "--Glacier2.SessionTimeout=600".to_owned(),
            "--Glacier2.Filter.Category.Accept=ProcessCallback ProcessorCallback".to_owned(),
            "--Ice.MessageSizeMax=65536".to_owned(),
        ]);
        self.router = Some(Running::start(&mut command, &self.path("router.log")));
        until("the router", || TcpStream::connect(("127.0.0.1", self.router_port)).ok());
    }

    /// Has Blitz do something, which does not wait for what comes of it.
    pub(crate) fn begin(&mut self, what: &str, with: Value) -> i64 {
        let blitz = self.blitz.as_mut().unwrap();
        let id = blitz.next;
        blitz.next += 1;
        let mut line = with;
        line["do"] = json!(what);
        line["id"] = json!(id);
        writeln!(blitz.stdin, "{line}").unwrap();
        id
    }

    /// What came of it.
    pub(crate) fn end(&mut self, id: i64) -> Result<Value, String> {
        let answer = self.blitz.as_mut().unwrap().answer(id);
        match answer.get("error") {
            Some(error) => {
                Err(format!("{}: {}", error.as_str().unwrap(), answer["message"].as_str().unwrap()))
            }
            None => Ok(answer["value"].clone()),
        }
    }

    pub(crate) fn ask(&mut self, what: &str, with: Value) -> Result<Value, String> {
        let id = self.begin(what, with);
        self.end(id)
    }

    pub(crate) fn has(&mut self, what: &str, with: Value) -> Value {
        self.ask(what, with).unwrap_or_else(|error| panic!("{what}: {error}\n{}", self.log()))
    }

    /// Has a script be that of every job.
    pub(crate) fn script(&mut self, text: &str) {
        self.has("script", json!({ "set": { "text": text, "sha1": null, "valid": true } }));
    }

    /// Waits until Blitz knows a processor.
    pub(crate) fn knows_the_processor(&mut self) -> String {
        let begun = Instant::now();
        loop {
            if let Some(processor) = self.has("there", json!({})).as_str() {
                return processor.to_owned();
            }
            assert!(begun.elapsed() < LONG, "no processor: {}", self.log());
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    pub(crate) fn log(&self) -> String {
        let mut text = String::new();
        for name in ["processor.log", "node.log", "blitz.log", "registry.log"] {
            let log = std::fs::read_to_string(self.path(name)).unwrap_or_default();
            text += &format!("{name}:\n{}\n", &log[log.len().saturating_sub(3000)..]);
        }
        text
    }

    /// The arguments of a processor that is started by hand.
    fn arguments(&self) -> Vec<String> {
        let port = self.router_port.to_string();
        vec![
            "processor".to_owned(),
            self.path("runs").display().to_string(),
            port,
            "/bin/sh".to_owned(),
            PYTHON.to_owned(),
        ]
    }

    /// A processor that no node has started.
    pub(crate) fn processor(&self) -> Running {
        self.processor_with("AT_ONCE", "60")
    }

    /// One with a variable that the program of the tests reads.
    pub(crate) fn processor_with(&self, variable: &str, value: &str) -> Running {
        let mut command = Command::new(PROGRAM);
        command.args(self.arguments()).arg(self.locator());
        command.env("PYTHONPATH", self.path("types")).env(variable, value);
        Running::start(&mut command, &self.path("processor.log"))
    }

    /// A node that starts a processor.
    pub(crate) fn node(&self) -> Running {
        // Nobody else may have to be able to read where we were built.
        let program = self.path("processor");
        if !program.exists() {
            std::fs::copy(PROGRAM, &program).unwrap();
        }
        let options: String =
            self.arguments().iter().map(|each| format!("<option>{each}</option>")).collect();
        let application = format!(
            r#"<icegrid><application name="OMERO"><node name="worker">
            <server id="Processor-0" exe="{program}" activation="always">{options}
            <env>PYTHONPATH={types}</env>
            <adapter name="ProcessorAdapter" endpoints="tcp -h 127.0.0.1"/></server></node></application></icegrid>"#,
            program = program.display(),
            types = self.path("types").display(),
        );
        let xml = self.path("application.xml");
        std::fs::write(&xml, application).unwrap();
        if self.admin("application list").is_some_and(|list| !list.contains("OMERO")) {
            self.admin(&format!("application add '{}'", xml.display())).expect("the application is taken");
        }
        let data = self.path("node");
        let mut command =
            as_no_administrator("icegridnode", &[self.folder.path(), &data, &self.path("runs")]);
        command.arg("--nochdir").args([
            format!("--Ice.Default.Locator={}", self.locator()),
            "--IceGrid.Node.Name=worker".to_owned(),
            "--IceGrid.Node.Endpoints=tcp -h 127.0.0.1".to_owned(),
            format!("--IceGrid.Node.Data={}", data.display()),
        ]);
        Running::start(&mut command, &self.path("node.log"))
    }

    /// Waits until the registry says that the server is so.
    pub(crate) fn server_is(&self, state: &str) {
        let mut last = String::new();
        let begun = Instant::now();
        while !last.starts_with(state) {
            assert!(begun.elapsed() < LONG, "the server is {last:?}: {}", self.log());
            last = self.admin("server state Processor-0").unwrap_or_default();
        }
    }
}

impl Blitz {
    fn answer(&mut self, id: i64) -> Value {
        loop {
            if let Some(answer) = self.early.remove(&id) {
                return answer;
            }
            let answer =
                self.answers.recv_timeout(LONG).unwrap_or_else(|_| panic!("Blitz does not answer {id}"));
            self.early.insert(answer["id"].as_i64().unwrap(), answer);
        }
    }
}

/// A program that is not root's, since IceGrid starts no servers that are, with folders of its own.
fn as_no_administrator(program: &str, folders: &[&Path]) -> Command {
    const NOBODY: u32 = 65534;
    for folder in folders {
        std::fs::create_dir_all(folder).unwrap();
    }
    if !nix::unistd::getuid().is_root() {
        return Command::new(program);
    }
    for folder in folders {
        std::os::unix::fs::chown(folder, Some(NOBODY), Some(NOBODY)).unwrap();
    }
    let mut command = Command::new("setpriv");
    command.args([format!("--reuid={NOBODY}"), format!("--regid={NOBODY}"), "--clear-groups".to_owned()]);
    command.arg(program);
    command
}

/// What `slice2py` makes of the tables.
fn types(folder: &Path) {
    let tables = Path::new(env!("CARGO_MANIFEST_DIR")).join("../omero/schema");
    let tables = ["model.schema", "types.schema", "operations.schema"]
        .map(|name| (name, std::fs::read_to_string(tables.join(name)).unwrap()));
    let tables: Vec<(&str, &str)> = tables.iter().map(|(name, text)| (*name, text.as_str())).collect();
    let checked = biomero_omero_generator::read(&tables).unwrap_or_else(|error| panic!("{error}"));
    std::fs::create_dir_all(folder).unwrap();
    let slice = folder.join("omero.ice");
    std::fs::write(&slice, biomero_omero_generator::slice::print(&checked)).unwrap();
    let status = Command::new("slice2py")
        .args(["--underscore", "-I/usr/share/ice/slice", "--output-dir"])
        .arg(folder)
        .arg(&slice)
        .status()
        .unwrap();
    assert!(status.success());
}
