//! `cargo xtask demo`: the main job, to be watched. A real registry as the master; a container made of namespaces; `init` as its
//! process 1, which first says what it would do, then does it and keeps a real icegridnode running, and beside it the service
//! that carries workflows. The node starts Processor-0, which runs a script of OMERO's. An image is exported, another one
//! analysed by a workflow that the service is asked for, and its results looked at.
//!
//! As it is shipped the worker needs nothing else: jobs run on this machine, the history is a file. With `--slurm` they run on a
//! real cluster, and the history is in a real PostgreSQL.
//!
//! Everything is below one scratch folder and ends with this program, on Ctrl-C as on an error.

mod cluster;
mod history;
mod images;
mod scripts;
mod workflow;

use std::process::Command;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use biomero_tests::icegrid::Registry;
use biomero_tests::jobs::Jobs;
use biomero_tests::namespace::{As, Finished, Namespace, Worker};
use biomero_tests::postgres::Postgres;
use biomero_tests::scratch::Scratch;
use biomero_tests::site_hook::{self, BANNER};
use biomero_tests::worker_root::{INIT, OMERO};
use biomero_tests::{binary, process, wait};

use crate::failure::Failure;
use crate::packages;

const STOP: Duration = Duration::from_secs(90);
/// `init --dry-run` when something would change.
const WOULD_CHANGE: i32 = 2;

/// What is asked for.
#[derive(Debug, Default)]
struct Options {
    once: bool,
    slurm: bool,
}

impl Options {
    fn of(words: &[&str]) -> Result<Self, Failure> {
        let mut options = Self::default();
        for word in words {
            match *word {
                "--once" => options.once = true,
                "--slurm" => options.slurm = true,
                other => {
                    return Err(Failure::Usage(format!(
                        "`demo` has no option `{other}`; it knows --once and --slurm"
                    )));
                }
            }
        }
        Ok(options)
    }
}

/// What a site gives its worker: a database and a cluster.
struct Site {
    server: Postgres,
    database: String,
    cluster: cluster::Demo,
}

impl Site {
    fn start(scratch: &Scratch) -> Result<Self, Failure> {
        heading("A database: PostgreSQL on a port of its own, empty");
        let server = Postgres::start(&scratch.folder("postgres")?)?;
        let database = server.create_database(history::DATABASE)?;
        println!("it answers on 127.0.0.1:{}", server.port());
        Ok(Self { server, database, cluster: cluster::Demo::start(scratch)? })
    }
}

/// Runs the main job until Ctrl-C, or once through with `--once`.
pub(crate) fn run(options: &[&str]) -> Result<(), Failure> {
    let options = Options::of(options)?;
    if options.slurm && !nix::unistd::Uid::effective().is_root() {
        return Err(Failure::Usage("`demo --slurm` needs root: Slurm's daemons and sshd do".to_owned()));
    }
    packages::install(&[packages::DEMO, packages::ICE, packages::CONTAINERS])?;
    if options.slurm {
        packages::install(&[packages::CLUSTER])?;
    }
    packages::install_python()?;
    let asked_to_stop = signals::on_interrupt();

    heading(
        "A master: icegridregistry, glacier2router and what stands for OMERO's server, on ports of their own",
    );
    let scratch = Scratch::new()?;
    let mut jobs = Jobs::start()?;
    jobs.deploy()?;
    let registry = jobs.registry()?;
    println!("it answers on 127.0.0.1:{}; it knows the nodes {:?}", registry.port(), registry.nodes()?);

    let site = options.slurm.then(|| Site::start(&scratch)).transpose()?;

    heading("A hook of the site's own, a component written in C: `init hooks test`");
    print!("{}", test_of_site_hook(&scratch)?);

    let mut deployment = jobs.deployment().with_processor().carrying_workflows();
    deployment.settings = "[hooks]\ncompiler = \"/opt/biomero/bin/init-hooks\"\n".to_owned();
    deployment.settings.push_str(workflow::SETTINGS);
    deployment.variables.push(("BIOMERO_SITE".to_owned(), "Example University".to_owned()));
    match &site {
        Some(site) => {
            deployment.settings.push_str(history::SERVICE);
            deployment.variables.push(("SQLALCHEMY_URL".to_owned(), site.database.clone()));
        }
        None => deployment = deployment.alone(),
    }
    let node = deployment.name.clone();
    let namespace = Namespace::new(scratch.path(), deployment, As::ServiceUser)?;
    BANNER.install(&site_hook::kept_banner(), namespace.root())?;
    images::install(namespace.root(), &scratch)?;
    match &site {
        Some(site) => {
            history::install(namespace.root())?;
            site.cluster.install(namespace.root(), history::LISTENERS_OFF)?;
        }
        None => workflow::install_alone(namespace.root())?,
    }
    heading("A worker, as NL-BIOMERO deploys it, with that hook: what `init --dry-run` says");
    let plan = namespace.run(&["--dry-run"], wait::PATIENCE)?.exits(WOULD_CHANGE)?;
    print!("{}", plan.output);

    heading("The same, for real: `init` as process 1");
    let start = Instant::now();
    let mut worker = namespace.start(&[])?;
    registry.lists(&node, &[namespace.log()], || worker.has_ended())?;
    print!("{}", std::fs::read_to_string(namespace.log()).unwrap_or_default());
    println!("the registry lists {:?} after {:.2?}", registry.nodes()?, start.elapsed());

    heading("`init status --main`, asked in the container as its engine does");
    print!("{}", exec(&worker, &namespace, &["status", "--main"])?.output);
    println!("\nprocesses in the container: {}", worker.processes().join(", "));

    heading("`init hooks`: what ran");
    print!("{}", exec(&worker, &namespace, &["hooks"])?.output);

    scripts::show(&mut jobs, &worker, &namespace)?;
    if let Some(site) = &site {
        history::show(&worker, &namespace, &site.server)?;
    }
    images::show(&worker, &namespace)?;
    workflow::show(&worker, &namespace)?;
    history::after_workflow(&worker, &namespace)?;

    heading("What to look at");
    println!("the worker's root folder   {}", namespace.root().display());
    println!("its node's configuration   {}", namespace.path(&format!("{OMERO}/etc/{node}.cfg")).display());
    println!("its ssh folder             {}", namespace.path("/opt/omero/server/.ssh").display());
    println!("the results                {}", namespace.path(workflow::RESULTS).display());
    println!("pictures of its images     {}", images::previews(&namespace));
    println!("what `init` said           {}", namespace.log().display());
    println!(
        "the registry               icegridadmin --Ice.Default.Locator='IceGrid/Locator:tcp -h 127.0.0.1 -p {}' -u root -p ome -e 'node list'",
        jobs.registry()?.port()
    );

    match &site {
        Some(site) => println!("the history                {}", history::by_hand(&site.server)?),
        None => println!("the history                {}", namespace.path(history::FILE).display()),
    }

    if !options.once {
        println!("\nCtrl-C stops it.");
        while !asked_to_stop.load(Ordering::Relaxed) && !worker.has_ended() {
            std::thread::sleep(Duration::from_millis(50));
        }
    }
    stop(worker, jobs.registry()?, &node)?;
    if !scratch.is_removed() {
        println!("kept: {}", scratch.path().display());
    }
    Ok(())
}

/// What a site's engineer sees before anything is installed.
fn test_of_site_hook(scratch: &Scratch) -> Result<String, Failure> {
    let mut test = Command::new(binary::init()?);
    test.args(["hooks", "test"]).arg(site_hook::kept_banner());
    test.env("BIOMERO_INIT_HOOKS__COMPILER", binary::compiler()?);
    test.env("XDG_CACHE_HOME", scratch.path());
    for (option, file) in
        [("--policy", "hook.toml"), ("--context", "context.json"), ("--expect", "plan.json")]
    {
        test.arg(option).arg(BANNER.source(file));
    }
    Ok(process::succeed(&mut test, wait::PATIENCE)?)
}

fn exec(worker: &Worker, namespace: &Namespace, arguments: &[&str]) -> Result<Finished, Failure> {
    Ok(worker.exec(namespace, &[&[INIT], arguments].concat())?.exits(0)?)
}

fn stop(mut worker: Worker, registry: &Registry, node: &str) -> Result<(), Failure> {
    heading("TERM to process 1");
    let start = Instant::now();
    let code = worker.stop(STOP)?;
    println!(
        "init ended with {code} after {:.2?}; the registry lists {:?}",
        start.elapsed(),
        registry.nodes()?
    );
    if code != 0 {
        return Err(Failure::Unexpected(format!(
            "init ended with {code} instead of 0 when it was asked to stop"
        )));
    }
    if registry.nodes()?.iter().any(|name| name == node) {
        return Err(Failure::Unexpected(format!("the registry still lists {node} after init has ended")));
    }
    Ok(())
}

/// As one would type it.
fn quoted(words: &[&str]) -> String {
    let quoted = |word: &&str| if word.contains(' ') { format!("'{word}'") } else { (*word).to_owned() };
    words.iter().map(quoted).collect::<Vec<_>>().join(" ")
}

fn heading(text: &str) {
    println!("\n==> {text}");
}

mod signals {
    //! Ctrl-C as a flag that the one waiting loop looks at, so that destructors run.
    #![allow(unsafe_code, reason = "installing a signal handler")]

    use std::sync::atomic::{AtomicBool, Ordering};

    use nix::sys::signal::{SigHandler, Signal, signal};

    static INTERRUPTED: AtomicBool = AtomicBool::new(false);

    extern "C" fn interrupted(_signal: nix::libc::c_int) {
        INTERRUPTED.store(true, Ordering::Relaxed);
    }

    /// From now on Ctrl-C and TERM only set the flag that is returned.
    pub(super) fn on_interrupt() -> &'static AtomicBool {
        for name in [Signal::SIGINT, Signal::SIGTERM] {
            // SAFETY: the handler stores to an atomic and does nothing else, which is async-signal-safe.
            let _ = unsafe { signal(name, SigHandler::Handler(interrupted)) };
        }
        &INTERRUPTED
    }
}
