//! `docs/migrate.md` word for word: each block that is marked is run, in a deployment of NL-BIOMERO's worker on a real engine,
//! with a real registry, cluster and database; there, and back again.

use std::cell::Cell;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use biomero_tests::cluster::worker::{VERSION, WORKFLOW, slurm_config};
use biomero_tests::cluster::{self, Image, Workspace};
use biomero_tests::engine::Engine;
use biomero_tests::icegrid::Registry;
use biomero_tests::scratch::Scratch;
use biomero_tests::worker_root::{SERVICE_USER, give, write};
use biomero_tests::{Result, Trouble, binary, postgres, process, queue, tree, wait, worker_image};

use super::page::{Block, Page};

/// What the page calls the image.
const IMAGE: &str = "biomero-worker";

/// For one block: an engine on a busy machine starts a few containers in it.
const PATIENCE: Duration = Duration::from_secs(240);

/// A deployment of NL-BIOMERO, as far as its worker goes.
struct Site {
    folder: PathBuf,
    engine: Engine,
    registry: Registry,
    blocks: Vec<Block>,
    ran: Cell<usize>,
    workspace: Workspace,
    cluster: Arc<cluster::Shared>,
    database: Arc<postgres::Shared>,
    // Last: the folder goes when what lives in it has ended.
    _scratch: Scratch,
    _turn: queue::Turn,
}

impl Site {
    fn new() -> Result<Self> {
        let turn = queue::turn()?;
        let scratch = Scratch::new()?;
        let registry = Registry::start(&scratch.folder("master")?)?;
        let engine = Engine::start(&scratch.folder("docker")?)?;
        worker_image::build(&engine, &scratch, IMAGE)?;
        let (cluster, database) = (cluster::shared()?, postgres::shared()?);
        let workspace = cluster.workspace()?;
        let site = Self {
            folder: scratch.folder("nl-biomero")?,
            engine,
            registry,
            blocks: Page::read("docs/migrate.md")?.blocks(),
            ran: Cell::new(0),
            workspace,
            cluster,
            database,
            _scratch: scratch,
            _turn: turn,
        };
        site.lay_out()?;
        Ok(site)
    }

    /// The files of the deployment: NL-BIOMERO's, the site's variables, keys and workflows.
    fn lay_out(&self) -> Result<()> {
        let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/deployment");
        let mut copy = Command::new("cp");
        copy.args(["-a", "--no-target-directory"]).arg(&fixtures).arg(&self.folder);
        process::succeed(&mut copy, wait::PATIENCE)?;
        let scripts = binary::workspace().join("hooks/tests/as_the_scripts_do.sh");
        self.copy(&scripts, "biomeroworker/as_the_scripts_do.sh")?;
        self.write(".env", &self.variables()?)?;
        self.keys()?;
        // A deployment that has run has its folders on the cluster.
        for folder in ["data", "images", "converters", "scripts"] {
            self.workspace.write(&format!("{folder}/.keep"), "")?;
        }
        let workflows = slurm_config("localslurm", self.workspace.path(), "", "");
        let online = format!("https://github.com/biomerotests/{WORKFLOW}/tree/{VERSION}");
        self.write("web/slurm-config.ini", &workflows.replace(&online, "/data/workflows/threshold"))?;
        let descriptor = Image::Threshold.descriptor().unwrap_or_default();
        self.write("web/L-Drive/workflows/threshold/descriptor.json", descriptor)?;
        self.write("logs/biomeroworker/.keep", "")?;
        for folder in [".ssh", "web", "logs"] {
            give(&self.folder.join(folder), SERVICE_USER)?;
        }
        self.let_compose_be_a_plugin()
    }

    fn variables(&self) -> Result<String> {
        let url = self.database.create_database("migration")?;
        // BIOMERO's tables, which a deployment has; other tests compare them with those that Python makes.
        let mut init = Command::new(binary::processor()?);
        process::succeed(init.args(["events", "init"]).env("SQLALCHEMY_URL", &url), wait::PATIENCE)?;
        Ok(format!(
            "REGISTRY_PORT={}\nDATABASE_URL={url}\nOMERO_SCRIPTS_TIMEOUT=604800000\n\
             OMERO_SESSIONS_TIMEOUT=604800000\nOMERO_LOGGING_LEVEL=10\nIMPORTER_ENABLED=TRUE\n",
            self.registry.port()
        ))
    }

    fn keys(&self) -> Result<()> {
        let login = self.cluster.private_key();
        self.copy(&login, ".ssh/id_ed25519")?;
        self.copy(&self.cluster.known_hosts(), ".ssh/known_hosts")?;
        self.write(".ssh/id_ed25519.pub", "ssh-ed25519 AAAA biomero\n")?;
        let config = format!(
            "Host localslurm\n  HostName 127.0.0.1\n  Port {}\n  User {}\n  IdentityFile ~/.ssh/id_ed25519\n",
            self.cluster.port(),
            self.cluster.user()
        );
        self.write(".ssh/config", &config)
    }

    fn write(&self, path: &str, content: &str) -> Result<()> {
        write(&self.folder, path, content, 0o644).map(drop)
    }

    fn copy(&self, from: &Path, to: &str) -> Result<()> {
        let content = fs::read_to_string(from).map_err(Trouble::doing(format!("read {}", from.display())))?;
        self.write(to, &content)
    }

    /// Where Compose is no plugin of Docker's, as in Debian, it becomes one.
    fn let_compose_be_a_plugin(&self) -> Result<()> {
        if self.engine.ask(&["compose", "version"]).is_ok() {
            return Ok(());
        }
        let plugins = self.engine.settings().join("cli-plugins");
        let script = include_str!("../../fixtures/compose-plugin.sh");
        write(&plugins, "docker-compose", script, 0o755).map(drop)
    }

    /// What somebody types in the deployment's folder.
    fn shell(&self, text: &str) -> Command {
        let mut shell = Command::new("sh");
        shell.args(["-e", "-c", text]).current_dir(&self.folder).envs(self.engine.environment());
        shell.env("COMPOSE_HTTP_TIMEOUT", "240");
        shell
    }

    fn types(&self, text: &str) -> Result<String> {
        process::succeed(&mut self.shell(text), PATIENCE)
    }

    /// Runs what is marked in the sections whose headings begin so; each ends as it says.
    fn follow(&self, heading: &str) -> Result<()> {
        let marked = self.marked().filter(|block| block.heading.starts_with(heading));
        for block in marked {
            self.run(block).map_err(|trouble| {
                let logs = self.types("docker compose logs --tail 40 biomeroworker").unwrap_or_default();
                Trouble::new(format!("{}: {trouble}\n--- the worker says ---\n{logs}", block.place))
            })?;
            self.ran.set(self.ran.get() + 1);
        }
        Ok(())
    }

    fn marked(&self) -> impl Iterator<Item = &Block> {
        self.blocks.iter().filter(|block| block.note.as_ref().is_some_and(|note| note.starts_with("run")))
    }

    fn run(&self, block: &Block) -> Result<()> {
        let how = block.note.as_deref().and_then(|note| note.strip_prefix("run")).unwrap_or_default();
        if how == ": in time" {
            return wait::until("success", PATIENCE, &[], || self.types(&block.text).ok()).map(drop);
        }
        let codes: Vec<i32> = how.split(' ').filter_map(|word| word.parse().ok()).collect();
        let codes = if codes.is_empty() { vec![0] } else { codes };
        let output = process::output(&mut self.shell(&block.text), PATIENCE)?;
        if output.status.code().is_some_and(|code| codes.contains(&code)) {
            return Ok(());
        }
        let said = process::both(&output);
        Err(Trouble::new(format!("{} instead of {codes:?}:\n{}\n{said}", output.status, block.text)))
    }

    /// Which program is process 1 of the worker, once the registry has its node.
    fn process_one(&self) -> Result<String> {
        self.registry.lists("biomeroworker", &[], || false).map_err(|trouble| {
            let logs = self.types("docker compose logs biomeroworker").unwrap_or_default();
            Trouble::new(format!("{trouble}\n--- the worker says ---\n{logs}"))
        })?;
        Ok(self.types("docker compose exec biomeroworker cat /proc/1/comm")?.trim().to_owned())
    }

    fn container(&self) -> Result<String> {
        self.types("docker compose ps -q biomeroworker")
    }

    /// What is in the deployment's files, but for the logs.
    fn files(&self) -> Result<Vec<(PathBuf, Vec<u8>)>> {
        let all = tree::read(&self.folder)?.into_iter().map(|(path, entry)| (path, entry.content));
        Ok(all.filter(|(path, _)| !path.starts_with("logs") && !path.starts_with("before-init")).collect())
    }
}

#[test]
fn a_deployment_of_nl_biomero_moves_as_the_page_says_and_back() -> Result<()> {
    if !nix::unistd::Uid::effective().is_root() {
        return Ok(());
    }
    let site = Site::new()?;
    site.types("docker compose up -d biomeroworker")?;
    assert_eq!(site.process_one()?, "start.sh", "NL-BIOMERO's worker runs");
    let (files, container) = (site.files()?, site.container()?);

    for step in ["1. ", "2. ", "3. "] {
        site.follow(step)?;
    }
    let prepared = site.files()?;
    for step in ["4. ", "5. "] {
        site.follow(step)?;
    }
    assert_eq!(site.files()?, prepared, "looking changes nothing");
    assert_eq!(site.container()?, container, "the old worker still runs");
    site.follow("6. ")?;
    assert_eq!(site.process_one()?, "init", "ours runs");

    site.follow("The way back")?;
    assert_eq!(site.process_one()?, "start.sh", "NL-BIOMERO's runs again");
    assert_eq!(site.files()?, files, "and its files are as they were");
    assert_eq!(site.ran.get(), site.marked().count(), "every block that is marked was run");
    Ok(())
}

#[test]
fn what_the_readme_says_of_moving_is_what_the_page_says() -> Result<()> {
    let typed = |page: &Page| -> Vec<String> {
        let blocks = page.blocks().into_iter().filter(|block| block.language == "sh");
        let lines = blocks.flat_map(|block| block.text.lines().map(str::to_owned).collect::<Vec<_>>());
        let lines = lines.filter_map(|line| line.split(" #").next().map(|line| line.trim().to_owned()));
        lines.filter(|line| line.starts_with("docker compose ")).collect()
    };
    let page = typed(&Page::read("docs/migrate.md")?);
    let readme = typed(&Page::read("README.md")?);
    assert!(readme.len() >= 3, "the README says {readme:?}");
    for line in readme {
        assert!(page.contains(&line), "docs/migrate.md lacks `{line}`");
    }
    Ok(())
}
