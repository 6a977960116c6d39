//! The image: built by a real engine from the Dockerfile on a small Debian base, run as a deployment runs it.

use std::time::Duration;

use biomero_tests::engine::{Container, Engine};
use biomero_tests::icegrid::Registry;
use biomero_tests::scratch::Scratch;
use biomero_tests::worker_root::{self, Deployment};
use biomero_tests::{Result, Trouble, queue, wait, worker_image};

const IMAGE: &str = "biomeroworker:test";

/// `docker stop` waits this long before it kills.
const STOP: Duration = Duration::from_secs(30);

/// What a deployment gives every worker that has nothing writable but what it needs.
const HARDENED: &[&str] = &[
    "--read-only",
    "--cap-drop=ALL",
    "--security-opt=no-new-privileges",
    "--tmpfs=/tmp:mode=1777",
    "--tmpfs=/run/biomero:uid=1000,gid=1000,mode=0700",
    "--tmpfs=/opt/omero/server/.ssh:uid=1000,gid=1000,mode=0700",
    "--tmpfs=/opt/omero/server/tmp:uid=1000,gid=1000,mode=0700,exec",
    "--tmpfs=/opt/omero/server/omero:uid=1000,gid=1000,mode=0700",
    "--volume=/opt/omero/server/OMERO.server/etc",
    "--volume=/opt/omero/server/OMERO.server/var",
    "--volume=/var/lib/biomero",
];

struct Site {
    engine: Engine,
    registry: Registry,
    keys: String,
    hosts: Vec<String>,
    variables: Vec<String>,
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
        let mut deployment = Deployment::internal(registry.port());
        deployment
            .variables
            .push(("BIOMERO_INIT_OMERO__PORTS__REGISTRY".to_owned(), registry.port().to_string()));
        let root = scratch.folder("deployment")?;
        worker_root::lay_out(&root, &deployment)?;
        let keys = root.join("tmp/.ssh");
        // As a deployment's user owns them: the container's user may read, and no more.
        worker_root::give(&keys, worker_root::SERVICE_USER)?;
        let variables = deployment
            .environment()
            .into_iter()
            .filter(|(name, _)| name != "PATH")
            .map(|(name, value)| format!("--env={name}={value}"))
            .collect();
        let hosts =
            ["omeroserver", "biomeroworker"].map(|name| format!("--add-host={name}:127.0.0.1")).to_vec();
        Ok(Self {
            engine,
            registry,
            keys: format!("--volume={}:/tmp/.ssh:ro", keys.display()),
            hosts,
            variables,
            _scratch: scratch,
            _turn: turn,
        })
    }

    fn run(&self, options: &[&str], command: &[&str]) -> Result<Container<'_>> {
        let mut arguments: Vec<&str> = vec![&self.keys];
        arguments.extend(self.hosts.iter().chain(&self.variables).map(String::as_str));
        arguments.extend(options);
        arguments.push(IMAGE);
        arguments.extend(command);
        self.engine.run(&arguments)
    }

    fn lists(&self, container: &Container<'_>) -> Result<()> {
        let ended = || container.inspect("{{.State.Running}}").is_ok_and(|running| running == "false");
        self.registry.lists("biomeroworker", &[], ended).map_err(|trouble| {
            Trouble::new(format!(
                "{trouble}
--- logs ---
{}",
                container.logs()
            ))
        })
    }
}

/// One engine and one build for all that is asked of the image: both take longer than the questions.
#[test]
fn the_image_runs_as_an_ordinary_user_with_nothing_writable_and_no_capability() -> Result<()> {
    if !nix::unistd::Uid::effective().is_root() {
        return Ok(());
    }
    let site = Site::new()?;
    hardened_worker_is_listed_healthy_and_stops_in_time(&site)?;
    without_a_database_it_carries_workflows(&site)?;
    dry_run_shows_the_plan_and_changes_nothing(&site)?;
    an_arbitrary_command_runs_under_init(&site)?;
    the_names_of_the_replaced_inits_lead_to_init(&site)?;
    where_no_database_is_named_the_history_is_a_file_of_the_service_user(&site)
}

fn hardened_worker_is_listed_healthy_and_stops_in_time(site: &Site) -> Result<()> {
    let quick_health = ["--health-interval=1s", "--health-start-period=0s"];
    let container = site.run(&[HARDENED, &quick_health].concat(), &[])?;
    site.lists(&container)?;
    container.becomes("{{.State.Health.Status}}", "healthy", wait::PATIENCE)?;
    assert_eq!(container.exec(&["cat", "/proc/1/comm"])?, "init");
    let status = container.exec(&["cat", "/proc/1/status"])?;
    let of = |name: &str| {
        status
            .lines()
            .find_map(|line| line.strip_prefix(name))
            .map(|rest| rest.split_whitespace().next().unwrap_or_default().to_owned())
    };
    assert_eq!(of("Uid:").as_deref(), Some("1000"), "process 1 is an ordinary user");
    assert_eq!(of("CapBnd:").as_deref(), Some("0000000000000000"), "no capability can be gained");
    let modes = container.exec(&["sh", "-c", "cd /opt/omero/server/.ssh && stat -c '%a %n' . *"])?;
    assert_eq!(modes, "700 .\n600 config\n600 id_ed25519\n644 id_ed25519.pub\n644 known_hosts");

    let (took, code) = container.stop(STOP)?;
    assert_eq!(code, 0, "{}", container.logs());
    assert!(took < STOP, "stopped after {took:?}, before the engine would have killed it");
    assert!(!site.registry.nodes()?.contains(&"biomeroworker".to_owned()), "the node is deactivated");
    Ok(())
}

fn without_a_database_it_carries_workflows(site: &Site) -> Result<()> {
    let container = site.run(&[HARDENED, &["--env=SQLALCHEMY_URL="]].concat(), &[])?;
    let status = wait::until("every service to be ready", wait::PATIENCE, &[], || {
        container.exec(&["init", "status"]).ok()
    })
    .map_err(|trouble| Trouble::new(format!("{trouble}\n--- logs ---\n{}", container.logs())))?;
    assert!(status.contains("workflows"), "{status}");
    assert!(container.exec(&["processor", "workflows"])?.contains("no workflows"));
    Ok(())
}

fn dry_run_shows_the_plan_and_changes_nothing(site: &Site) -> Result<()> {
    let container = site.run(HARDENED, &["--dry-run"])?;
    container.becomes("{{.State.Status}}", "exited", wait::PATIENCE)?;
    assert_eq!(
        container.inspect("{{.State.ExitCode}}")?,
        "2",
        "something would change\n{}",
        container.logs()
    );
    let logs = container.logs();
    assert!(logs.contains("etc/biomeroworker.cfg"), "the node's configuration is in the plan:\n{logs}");
    assert_eq!(
        site.engine.ask(&["diff", &container.inspect("{{.Id}}")?])?,
        "",
        "the container's files are untouched"
    );
    Ok(())
}

fn an_arbitrary_command_runs_under_init(site: &Site) -> Result<()> {
    let container =
        site.run(&["--read-only"], &["--no-hooks", "--", "sh", "-c", "cat /proc/1/comm; exit 42"])?;
    container.becomes("{{.State.Status}}", "exited", wait::PATIENCE)?;
    assert_eq!(container.inspect("{{.State.ExitCode}}")?, "42");
    assert_eq!(container.logs().trim(), "init");
    Ok(())
}

fn the_names_of_the_replaced_inits_lead_to_init(site: &Site) -> Result<()> {
    for name in ["/usr/local/bin/dumb-init", "/usr/local/bin/tini"] {
        let entrypoint = format!("--entrypoint={name}");
        let container = site.run(&[&entrypoint], &["--", "sh", "-c", "readlink -f /proc/1/exe; exit 7"])?;
        container.becomes("{{.State.Status}}", "exited", wait::PATIENCE)?;
        assert_eq!(container.inspect("{{.State.ExitCode}}")?, "7", "{name}");
        assert_eq!(container.logs().trim(), "/usr/local/bin/init", "{name}");
    }
    Ok(())
}

fn where_no_database_is_named_the_history_is_a_file_of_the_service_user(site: &Site) -> Result<()> {
    let init = ["--no-hooks", "--", "processor", "events", "init"];
    let container = site.run(&["--env=SQLALCHEMY_URL="], &init)?;
    container.becomes("{{.State.Status}}", "exited", wait::PATIENCE)?;
    let logs = container.logs();
    assert!(logs.contains("created 19 tables in sqlite:////var/lib/biomero/events.sqlite"), "{logs}");
    Ok(())
}
