//! How a script is started.

use std::fs::{File, OpenOptions};
use std::os::fd::OwnedFd;
use std::os::unix::fs::OpenOptionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::process::{Command, Stdio};

use nix::libc::O_NONBLOCK;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::unistd::Pid;
use tokio::net::unix::pipe::Receiver;

use crate::processes::TOKEN;
use crate::script::{Error, Folder, Limits, Request};

/// A script that runs.
pub(super) struct Script {
    pub(super) pid: Pid,
    pub(super) stdout: Receiver,
    pub(super) stderr: Receiver,
}

/// The pipe of orders, and the one that ends with us. Both are open for reading and writing, so that neither waits for anybody
/// nor comes to an end before we do.
pub(super) fn pipes(folder: &Folder) -> Result<(Receiver, File), Error> {
    let open = |name: &str| {
        let path = folder.at(name);
        let file = OpenOptions::new().read(true).write(true).custom_flags(O_NONBLOCK).open(&path);
        file.map_err(Error::file("open", &path))
    };
    let orders = Receiver::from_file(open("orders")?).map_err(Error::system("read orders"))?;
    Ok((orders, open("life")?))
}

/// What to run, as it comes on our standard input.
pub(super) fn request() -> Result<Request, Error> {
    let request = serde_json::from_reader(std::io::stdin().lock());
    request.map_err(Error::content("request", std::path::Path::new("standard input")))
}

/// Starts the script; what went wrong in words for people, since it is the job that failed, not we.
pub(super) fn start(folder: &Folder, request: &Request) -> Result<Script, String> {
    confine(&request.limits)?;
    let launcher = request.launcher.display();
    let mut child = Command::new(&request.launcher)
        .arg("./script")
        .env_clear()
        .envs(request.variables.iter())
        .env(TOKEN, folder.token())
        .current_dir(folder.path())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .spawn()
        .map_err(|error| format!("its launcher {launcher} cannot be started: {error}"))?;
    let pid = Pid::from_raw(child.id().cast_signed());
    let (Some(stdout), Some(stderr)) = (child.stdout.take(), child.stderr.take()) else {
        return Err("it has no output".to_owned());
    };
    let pipe = |end: OwnedFd| {
        Receiver::from_owned_fd(end).map_err(|error| format!("its output cannot be read: {error}"))
    };
    Ok(Script { pid, stdout: pipe(stdout.into())?, stderr: pipe(stderr.into())? })
}

/// What each of its processes may have is inherited from us. No core: it would hold the session's id.
fn confine(limits: &Limits) -> Result<(), String> {
    let address_space = limits.address_space.map(|bytes| bytes.max(Limits::LEAST_ADDRESS_SPACE));
    let wanted = [
        (Resource::RLIMIT_CORE, Some(0)),
        (Resource::RLIMIT_NOFILE, limits.open_files),
        (Resource::RLIMIT_AS, address_space),
    ];
    for (resource, most) in wanted {
        let Some(most) = most else { continue };
        let set =
            getrlimit(resource).and_then(|(_, hard)| setrlimit(resource, most.min(hard), most.min(hard)));
        set.map_err(|errno| format!("{resource:?} cannot be set to {most}: {errno}"))?;
    }
    Ok(())
}
