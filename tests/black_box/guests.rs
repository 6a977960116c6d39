//! The example site hooks in a real start-up: what `cargo xtask guests` built, with the TOML files that come with it.

use std::fs;
use std::io;
use std::net::{Shutdown, TcpListener, TcpStream};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use biomero_tests::icegrid::{Registry, free_port};
use biomero_tests::namespace::{As, Namespace};
use biomero_tests::scratch::Scratch;
use biomero_tests::site_hook::{self, BANNER, EXAMPLES, NAT_WORKER, PIP_CONF, SITE_PROXY, SLURM_CLUSTER};
use biomero_tests::worker_root::{self, Deployment, INIT, OMERO, SERVICE_USER};
use biomero_tests::{Result, Trouble, binary, process, queue, wait};

const COMPILER: &str = "[hooks]\ncompiler = \"/opt/biomero/bin/init-hooks\"\n";

#[test]
fn site_hooks_set_up_a_worker_behind_a_proxy_and_nat_for_one_of_two_clusters() -> Result<()> {
    let _turn = queue::turn()?;
    let scratch = Scratch::new()?;
    let registry = Registry::start(&scratch.folder("master")?)?;
    let router = Router::start()?;

    let mut deployment = Deployment::internal(registry.port());
    deployment.settings = format!(
        "[worker]\nmode = \"external\"\nbind = \"127.0.0.2\"\nport = {}\n\n{COMPILER}",
        router.forwards_to
    );
    let cluster = format!("{OMERO}/etc/cluster.ini");
    for (name, value) in [
        ("BIOMERO_PUBLIC_ADDRESS", "127.0.0.1"),
        ("BIOMERO_PUBLIC_PORT", &router.port.to_string()),
        ("BIOMERO_CLUSTER", "snellius"),
        ("BIOMERO_SLURM_CONFIG_FILE", &cluster),
        ("BIOMERO_SITE", "Example University"),
        ("HTTPS_PROXY", "http://worker:wonderland@proxy.example.org:3128"),
    ] {
        deployment.variables.push((name.to_owned(), value.to_owned()));
    }
    let namespace = Namespace::new(scratch.path(), deployment, As::ServiceUser)?;
    let root = namespace.root();
    for example in [SITE_PROXY, SLURM_CLUSTER, NAT_WORKER, BANNER] {
        example.install(&example.built()?, root)?;
    }
    let pem = |name: &str| {
        fs::read_to_string(SITE_PROXY.source("src/testdata").join(name))
            .map_err(Trouble::doing("read a certificate"))
    };
    worker_root::write(root, "etc/pki/tls/certs/ca-bundle.crt", &pem("system.pem")?, 0o644)?;
    worker_root::write(root, "etc/biomero/site-ca/site.pem", &pem("site.pem")?, 0o644)?;
    for name in ["local", "snellius"] {
        let text = format!("[SSH]\nhost = {name}\n");
        worker_root::write(root, &format!("etc/biomero/clusters/{name}.ini"), &text, 0o644)?;
    }
    let cache = root.join("var/cache/biomero/hooks");
    fs::create_dir_all(&cache).map_err(Trouble::doing("make the cache"))?;
    worker_root::give(&cache, SERVICE_USER)?;

    // Their effects and differences are shown like those of any other hook.
    let plan = namespace.run(&["--dry-run"], wait::PATIENCE)?.exits(2)?.output;
    for shown in [
        "90 icegrid-node  (wasm, /etc/biomero/hooks.d/90-icegrid-node.toml)  in place of the one from init",
        &format!("+IceGrid.Node.PublishedEndpoints=tcp -h 127.0.0.1 -p {}", router.port),
        "+host = snellius",
        "REQUESTS_CA_BUNDLE=",
        "+SITE='Example University'",
    ] {
        assert!(plan.contains(shown), "{shown}:\n{plan}");
    }
    assert!(!plan.contains("wonderland"), "{plan}");

    let mut worker = namespace.start(&[])?;
    registry.lists("biomeroworker", &[namespace.log()], || worker.has_ended())?;
    assert_eq!(registry.ask("node ping biomeroworker")?.trim(), "node is up");
    assert!(router.connections() > 0, "the registry reaches the node through the router");

    let node = namespace.read(&format!("{OMERO}/etc/biomeroworker.cfg"))?;
    assert!(node.contains(&format!("Endpoints=tcp -h 127.0.0.2 -p {}\n", router.forwards_to)), "{node}");
    let bundle = namespace.read(&format!("{OMERO}/etc/site-ca-bundle.pem"))?;
    assert_eq!(bundle.matches("BEGIN CERTIFICATE").count(), 2, "the public authority and the site's");
    assert!(namespace.read(&cluster)?.contains("[SSH]\nhost = snellius\n"));
    let identity = namespace.read(&format!("{OMERO}/etc/worker-identity"))?;
    assert!(identity.contains("SITE='Example University'\n"), "{identity}");

    // Services have the variables, and the built-in reads what the cluster's hook wrote.
    let environment = environment_of_node(&worker)?;
    for (name, value) in [
        ("REQUESTS_CA_BUNDLE", format!("{OMERO}/etc/site-ca-bundle.pem")),
        ("https_proxy", "http://worker:wonderland@proxy.example.org:3128".to_owned()),
        ("NO_PROXY", "localhost,127.0.0.1,::1,biomeroworker,omeroserver".to_owned()),
        ("BIOMERO_SLURM_CONFIG_FILE", cluster.clone()),
    ] {
        assert!(environment.contains(&format!("{name}={value}")), "{name} in {environment:#?}");
    }
    let checked = worker.exec(&namespace, &[INIT, "slurm-config", "--origin"])?.exits(0)?;
    assert!(checked.output.contains("cluster.ini"), "{}", checked.output);

    assert_eq!(worker.stop(wait::PATIENCE)?, 0, "{}", wait::ends_of(&[namespace.log()]));
    let log = fs::read_to_string(namespace.log()).map_err(Trouble::doing("read the log"))?;
    assert!(!log.contains("wonderland"), "the proxy's password is not told:\n{log}");
    Ok(())
}

#[test]
fn a_component_that_was_built_for_1_0_0_runs_for_ever() -> Result<()> {
    let scratch = Scratch::new()?;
    let namespace =
        Namespace::new(scratch.path(), dry("BIOMERO_SITE", "Example University"), As::ServiceUser)?;
    BANNER.install(&site_hook::kept_banner(), namespace.root())?;
    // 2: something would change.
    let shown = namespace.run(&["--dry-run"], wait::PATIENCE)?.exits(2)?;
    assert!(shown.output.contains("+SITE='Example University'"), "{}", shown.output);
    Ok(())
}

#[test]
fn a_hook_in_python_is_a_hook_like_any_other() -> Result<()> {
    let scratch = Scratch::new()?;
    let deployment = dry("BIOMERO_PIP_INDEX", "https://pypi.example.org/simple");
    let namespace = Namespace::new(scratch.path(), deployment, As::ServiceUser)?;
    PIP_CONF.install(&PIP_CONF.built()?, namespace.root())?;
    // An interpreter of 19 MB, by a compiler that was not optimised.
    let shown = namespace.run(&["--dry-run"], Duration::from_secs(300))?.exits(2)?;
    assert!(shown.output.contains("+index-url = https://pypi.example.org/simple"), "{}", shown.output);
    Ok(())
}

#[test]
fn every_example_answers_its_context_with_its_plan_and_is_granted_all_of_it() -> Result<()> {
    let scratch = Scratch::new()?;
    for example in EXAMPLES {
        let mut test = Command::new(binary::init()?);
        test.args(["hooks", "test"]).arg(example.built()?);
        test.env("BIOMERO_INIT_HOOKS__COMPILER", binary::compiler()?);
        test.env("XDG_CACHE_HOME", scratch.path());
        for (option, file) in
            [("--policy", "hook.toml"), ("--context", "context.json"), ("--expect", "plan.json")]
        {
            test.arg(option).arg(example.source(file));
        }
        process::succeed(&mut test, Duration::from_secs(300))?;
    }
    Ok(())
}

/// A deployment for a dry run, with one more variable.
fn dry(name: &str, value: &str) -> Deployment {
    let mut deployment = Deployment::internal(4061);
    deployment.settings = COMPILER.to_owned();
    deployment.variables.push((name.to_owned(), value.to_owned()));
    deployment
}

fn environment_of_node(worker: &biomero_tests::namespace::Worker) -> Result<Vec<String>> {
    let init = worker.init()?;
    let named = |child: &nix::unistd::Pid| {
        fs::read_to_string(format!("/proc/{child}/comm")).is_ok_and(|name| name.trim() == "icegridnode")
    };
    let node =
        wait::until("icegridnode", wait::PATIENCE, &[], || process::children(init).into_iter().find(named))?;
    let environment = fs::read_to_string(format!("/proc/{node}/environ"))
        .map_err(Trouble::doing("read the node's environment"))?;
    Ok(environment.split('\0').map(str::to_owned).collect())
}

/// A router that forwards one port of its own to another port of another address.
struct Router {
    port: u16,
    forwards_to: u16,
    connections: Arc<AtomicUsize>,
}

impl Router {
    fn start() -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").map_err(Trouble::doing("open the router's port"))?;
        let port = listener.local_addr().map_err(Trouble::doing("look at the router's port"))?.port();
        let forwards_to = free_port()?;
        let connections = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&connections);
        // Ends with the test's process.
        thread::spawn(move || {
            for outside in listener.incoming().flatten() {
                let Ok(inside) = TcpStream::connect(("127.0.0.2", forwards_to)) else { continue };
                counted.fetch_add(1, Ordering::Relaxed);
                forward(&outside, &inside);
                forward(&inside, &outside);
            }
        });
        Ok(Self { port, forwards_to, connections })
    }

    fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }
}

fn forward(from: &TcpStream, to: &TcpStream) {
    if let (Ok(mut from), Ok(mut to)) = (from.try_clone(), to.try_clone()) {
        thread::spawn(move || {
            let _ = io::copy(&mut from, &mut to);
            let _ = to.shutdown(Shutdown::Write);
        });
    }
}
