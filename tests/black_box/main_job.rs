//! The main job: as process 1, render a worker's configuration and keep a real icegridnode in a real registry.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use biomero_tests::icegrid::{Registry, free_port};
use biomero_tests::namespace::{As, Namespace};
use biomero_tests::scratch::Scratch;
use biomero_tests::worker_root::{DATABASE_PASSWORD, Deployment, INIT, OMERO, SERVICE_USER};
use biomero_tests::{Result, Trouble, binary, process, queue, tree, wait};

/// icegridnode without servers is gone in about a second; this leaves room for a busy machine.
const STOP: Duration = Duration::from_secs(20);

fn grid() -> Result<(queue::Turn, Scratch, Registry)> {
    let turn = queue::turn()?;
    let scratch = Scratch::new()?;
    let registry = Registry::start(&scratch.folder("master")?)?;
    Ok((turn, scratch, registry))
}

/// Starts the worker, waits until the registry lists it, runs `check`, stops it, and asks that nothing is left.
fn runs(
    scratch: &Scratch,
    registry: &Registry,
    deployment: Deployment,
    user: As,
    check: impl FnOnce(&Namespace, &biomero_tests::namespace::Worker) -> Result<()>,
) -> Result<()> {
    let node = deployment.name.clone();
    let namespace = Namespace::new(scratch.path(), deployment, user)?;
    let mut worker = namespace.start(&[])?;
    let node_errors = namespace.path(&format!("{OMERO}/var/log/{node}.err"));
    registry.lists(&node, &[namespace.log(), &node_errors], || worker.has_ended())?;
    check(&namespace, &worker)?;

    let start = Instant::now();
    let init = worker.init()?;
    assert_eq!(
        worker.stop(STOP)?,
        0,
        "a worker that was asked to stop exits 0\n{}",
        wait::ends_of(&[namespace.log()])
    );
    assert!(!registry.nodes()?.contains(&node), "{node} is still listed {:?} after TERM", start.elapsed());
    assert!(!Path::new(&format!("/proc/{init}")).exists(), "process 1 is gone, and with it its namespace");
    assert!(!namespace.path("/run/biomero/init.sock").exists(), "the control socket is removed");
    Ok(())
}

#[test]
fn an_internal_worker_as_the_image_runs_it_is_listed_by_the_registry_and_leaves_nothing() -> Result<()> {
    let (_turn, scratch, registry) = grid()?;
    runs(&scratch, &registry, Deployment::internal(registry.port()), As::ServiceUser, |namespace, worker| {
        same_as_the_shell_scripts(namespace, &Deployment::internal(registry.port()))?;
        assert_eq!(registry.ask("node ping biomeroworker")?.trim(), "node is up");
        let mut processes = worker.processes();
        processes.sort();
        assert_eq!(processes, ["icegridnode", "init"], "nothing else runs in the container");
        keeps_the_password(namespace)
    })
}

#[test]
fn an_external_worker_listens_on_its_published_port() -> Result<()> {
    let (_turn, scratch, registry) = grid()?;
    let port = free_port()?;
    let deployment = Deployment::external(registry.port(), port);
    runs(&scratch, &registry, deployment.clone(), As::ServiceUser, |namespace, _worker| {
        same_as_the_shell_scripts(namespace, &deployment)?;
        assert!(biomero_tests::icegrid::accepts(port), "the node listens on port {port}");
        Ok(())
    })
}

#[test]
fn started_as_root_it_drops_to_the_service_user() -> Result<()> {
    let (_turn, scratch, registry) = grid()?;
    if !nix::unistd::Uid::effective().is_root() {
        return Ok(());
    }
    runs(&scratch, &registry, Deployment::internal(registry.port()), As::Root, |_namespace, worker| {
        let init = worker.init()?;
        let node = wait::until("icegridnode", wait::PATIENCE, &[], || {
            process::children(init).into_iter().find(|child| {
                fs::read_to_string(format!("/proc/{child}/comm"))
                    .is_ok_and(|name| name.trim() == "icegridnode")
            })
        })?;
        let status =
            fs::read_to_string(format!("/proc/{node}/status")).map_err(Trouble::doing("look at the node"))?;
        let users = status.lines().find(|line| line.starts_with("Uid:")).unwrap_or_default();
        assert_eq!(
            users.split_whitespace().skip(1).collect::<Vec<_>>(),
            vec![SERVICE_USER.to_string(); 4],
            "{status}"
        );
        let groups = status.lines().find(|line| line.starts_with("Groups:")).unwrap_or_default();
        assert!(
            !groups.split_whitespace().any(|group| group == "0"),
            "root's groups are dropped too: {groups}"
        );
        Ok(())
    })
}

#[test]
fn a_restarted_worker_finds_everything_as_it_left_it() -> Result<()> {
    let (_turn, scratch, registry) = grid()?;
    let namespace = Namespace::new(scratch.path(), Deployment::internal(registry.port()), As::ServiceUser)?;
    let node = "biomeroworker";
    let mut rendered = Vec::new();
    for start in ["first", "second"] {
        let mut worker = namespace.start(&[])?;
        registry.lists(node, &[namespace.log()], || worker.has_ended())?;
        rendered.push(rendered_files(&namespace)?);
        assert_eq!(worker.stop(STOP)?, 0, "the {start} run{}", wait::ends_of(&[namespace.log()]));
    }
    assert_eq!(rendered[0], rendered[1], "the second start renders what the first did");
    assert!(!namespace.path("/opt/omero/server/.ssh/.ssh").exists(), "keys are not nested by a restart");
    namespace.run(&["verify"], wait::PATIENCE)?.exits(0).map(drop)
}

#[test]
fn status_tells_the_health_check_that_the_node_runs() -> Result<()> {
    let (_turn, scratch, registry) = grid()?;
    runs(&scratch, &registry, Deployment::internal(registry.port()), As::ServiceUser, |namespace, worker| {
        let status = worker.exec(namespace, &[INIT, "status", "--json"])?.exits(0)?;
        let status: serde_json::Value = serde_json::from_str(&status.output).map_err(|error| {
            Trouble::new(format!("`status --json` is no JSON: {error}\n{}", status.output))
        })?;
        assert!(status.to_string().contains("\"node\""), "the service `node` is in {status}");
        let socket = fs::metadata(namespace.path("/run/biomero/init.sock"))
            .map_err(Trouble::doing("look at the socket"))?;
        assert_eq!(std::os::unix::fs::PermissionsExt::mode(&socket.permissions()) & 0o777, 0o600);
        Ok(())
    })
}

/// Every file that today's shell scripts leave for this deployment is there, with the same content and mode.
fn same_as_the_shell_scripts(namespace: &Namespace, deployment: &Deployment) -> Result<()> {
    let scratch = Scratch::new()?;
    for folder in ["tmp/.ssh", "opt/omero/server/OMERO.server/etc/templates"] {
        let to = scratch.path().join(folder);
        fs::create_dir_all(&to).map_err(Trouble::doing("make a folder for the scripts"))?;
        let mut copy = Command::new("cp");
        copy.args(["-a", "--no-target-directory"]).arg(namespace.path(folder)).arg(to);
        process::succeed(&mut copy, wait::PATIENCE)?;
    }
    let before = tree::read(scratch.path())?;
    let script = binary::workspace().join("hooks/tests/as_the_scripts_do.sh");
    let mode = if deployment.external.is_some() { "external" } else { "internal" };
    let mut bash = Command::new("bash");
    bash.arg(script).args([mode, &deployment.name, "127.0.0.1", "127.0.0.1"]).current_dir(scratch.path());
    process::succeed(&mut bash, wait::PATIENCE)?;

    let port = deployment.external.map_or(4062, |(_, port)| port);
    let theirs = tree::read(scratch.path())?;
    let ours = tree::read(namespace.root())?;
    let written: Vec<_> = theirs
        .iter()
        .filter(|(path, entry)| {
            !before.contains_key(*path) && entry.mode & nix::libc::S_IFMT == nix::libc::S_IFREG
        })
        .collect();
    assert!(written.len() >= 6, "the scripts write the keys and two configurations: {written:?}");
    for (path, theirs) in written {
        let ours =
            ours.get(path).ok_or_else(|| Trouble::new(format!("{} was not written", path.display())))?;
        // The scripts know one port only; two tests on one machine need two.
        let content = String::from_utf8_lossy(&theirs.content).replace("-p 4062", &format!("-p {port}"));
        assert_eq!(String::from_utf8_lossy(&ours.content), content, "{}", path.display());
        assert_eq!(ours.mode & 0o7777, theirs.mode & 0o7777, "mode of {}", path.display());
    }
    Ok(())
}

/// Everything below `etc` and `.ssh` with its content.
fn rendered_files(namespace: &Namespace) -> Result<Vec<(PathBuf, Vec<u8>)>> {
    let mut files = Vec::new();
    for folder in [format!("{OMERO}/etc"), "/opt/omero/server/.ssh".to_owned()] {
        let tree = tree::read(&namespace.path(&folder))?;
        files.extend(tree.into_iter().map(|(path, entry)| (path, entry.content)));
    }
    Ok(files)
}

/// The database's password, which is in the environment, is in no file and in no line that was said.
fn keeps_the_password(namespace: &Namespace) -> Result<()> {
    let said = fs::read_to_string(namespace.log()).map_err(Trouble::doing("read the log"))?;
    assert!(!said.contains(DATABASE_PASSWORD), "the password was said:\n{said}");
    for (path, entry) in tree::read(namespace.root())? {
        let holds =
            entry.content.windows(DATABASE_PASSWORD.len()).any(|bytes| bytes == DATABASE_PASSWORD.as_bytes());
        assert!(!holds, "{} holds the password", path.display());
    }
    Ok(())
}
