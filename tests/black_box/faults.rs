//! What goes wrong around a start-up, made to go wrong for real. Each ends in one clear message and a documented code.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use biomero_tests::namespace::{As, Finished, Namespace};
use biomero_tests::scratch::Scratch;
use biomero_tests::silent_dns::SilentDns;
use biomero_tests::worker_root::{self, Deployment, INIT, OMERO};
use biomero_tests::{Result, Trouble, process, queue, tree, wait};
use nix::sys::signal::{Signal, kill};

// The table of exit codes in README.md.
const MISSING_INPUT: i32 = 66;
const UNAVAILABLE: i32 = 69;
const HOOK: i32 = 70;
const CANNOT_WRITE: i32 = 73;
const REFUSED: i32 = 77;

const SOON: Duration = Duration::from_secs(30);

/// A worker that runs its hooks and then a program that ends at once.
const START: &[&str] = &["--", "/bin/true"];

fn worker(deployment: Deployment) -> Result<(queue::Turn, Scratch, Namespace)> {
    let turn = queue::turn()?;
    let scratch = Scratch::new()?;
    let namespace = Namespace::new(scratch.path(), deployment, As::ServiceUser)?;
    Ok((turn, scratch, namespace))
}

fn is_root() -> bool {
    nix::unistd::Uid::effective().is_root()
}

/// The message names what it is about.
fn names(finished: &Finished, words: &[&str]) {
    for word in words {
        assert!(finished.errors.contains(word), "`{word}` is in the message:\n{}", finished.errors);
    }
}

/// Makes `folder` a file system of its own with a few kilobytes left, its content kept.
fn full(folder: &str, kind: &str) -> String {
    let mount = match kind {
        "tmpfs" => "mount -t tmpfs -o size=256k,mode=0755 tmpfs \"$full\"".to_owned(),
        _ => "truncate -s 1M \"$root.ext4\"; mkfs.ext4 -q -m 0 -N 64 \"$root.ext4\"; mount -o loop \"$root.ext4\" \"$full\""
            .to_owned(),
    };
    format!(
        "full=\"$root{folder}\"; cp -a \"$full\" \"$full.kept\"; {mount}; cp -a \"$full.kept/.\" \"$full/\"; rm -rf \"$full.kept\"; \
         chown -R --reference=\"$root/opt/omero/server\" \"$full\"; dd if=/dev/zero of=\"$full/ballast\" bs=512 2>/dev/null || :; \
         cp -a \"$full\" \"$root/tmp/seen\""
    )
}

#[test]
fn a_full_disk_is_named_and_leaves_no_half_written_file() -> Result<()> {
    for kind in ["tmpfs", "ext4"] {
        if !is_root() {
            return Ok(());
        }
        let (_turn, _scratch, mut namespace) = worker(Deployment::internal(4061))?;
        namespace.prepare(&full(&format!("{OMERO}/etc"), kind));
        // What is left on the full disk is looked at from inside, after init has ended.
        let look = format!(
            "{INIT} -- /bin/true; code=$?; cd {OMERO}/etc && find . -type f ! -name ballast -exec sha256sum {{}} + | sort > /tmp/after; cd /tmp/seen && find . -type f ! -name ballast -exec sha256sum {{}} + | sort > /tmp/before; exit $code"
        );
        let output = process::output(&mut namespace.command(&["/bin/sh", "-c", &look]), SOON)?;
        let said = process::both(&output);
        assert_eq!(output.status.code(), Some(CANNOT_WRITE), "{kind}: {said}");
        assert!(said.contains("No space left on device") && said.contains("/etc/"), "{kind}: {said}");
        assert_eq!(
            namespace.read("/tmp/after")?,
            namespace.read("/tmp/before")?,
            "{kind}: nothing is left behind"
        );
    }
    Ok(())
}

#[test]
fn an_unreadable_key_is_named_and_never_shown() -> Result<()> {
    if !is_root() {
        return Ok(());
    }
    let (_turn, _scratch, namespace) = worker(Deployment::internal(4061))?;
    let key = namespace.path("/tmp/.ssh/id_ed25519");
    chown(&key, Some(0), Some(0)).map_err(Trouble::doing("give the key to root"))?;
    fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).map_err(Trouble::doing("close the key"))?;
    let finished = namespace.run(START, SOON)?;
    assert!(
        [MISSING_INPUT, REFUSED].contains(&finished.code),
        "exit code {}\n{}",
        finished.code,
        finished.errors
    );
    names(&finished, &["/tmp/.ssh/id_ed25519", "ssh-keys"]);
    let line =
        fs::read_to_string(&key).unwrap_or_default().lines().nth(1).unwrap_or("PRIVATE KEY").to_owned();
    assert!(!finished.errors.contains(&line), "the key is not shown:\n{}", finished.errors);
    Ok(())
}

#[test]
fn a_missing_template_is_named() -> Result<()> {
    let (_turn, _scratch, namespace) = worker(Deployment::internal(4061))?;
    fs::remove_file(namespace.path(&format!("{OMERO}/etc/templates/ice.config")))
        .map_err(Trouble::doing("remove a template"))?;
    let finished = namespace.run(START, SOON)?.exits(MISSING_INPUT)?;
    names(&finished, &["etc/templates/ice.config", "ice-config"]);
    Ok(())
}

#[test]
fn a_folder_of_someone_else_is_named_with_who_we_are() -> Result<()> {
    if !is_root() {
        return Ok(());
    }
    let (_turn, _scratch, namespace) = worker(Deployment::internal(4061))?;
    worker_root::give(&namespace.path(&format!("{OMERO}/etc")), 0)?;
    let finished = namespace.run(START, SOON)?;
    assert!(
        [CANNOT_WRITE, REFUSED].contains(&finished.code),
        "exit code {}\n{}",
        finished.code,
        finished.errors
    );
    names(&finished, &[&format!("{OMERO}/etc"), "1000"]);
    Ok(())
}

#[test]
fn a_program_of_a_hook_that_fails_or_hangs_ends_the_start_by_its_name() -> Result<()> {
    for (hook, text, code, words) in [
        ("15-fails.toml", "command = [\"false\"]\n", HOOK, ["hook fails", "exit code 1"]),
        (
            "15-hangs.toml",
            "command = [\"sleep\", \"600\"]\ndeadline = \"300ms\"\n",
            UNAVAILABLE,
            ["hook hangs", "sleep"],
        ),
        ("15-gone.toml", "command = [\"/opt/site/gone\"]\n", HOOK, ["hook gone", "/opt/site/gone"]),
    ] {
        let (_turn, _scratch, namespace) = worker(Deployment::internal(4061))?;
        worker_root::write(namespace.root(), &format!("etc/biomero/hooks.d/{hook}"), text, 0o644)?;
        let finished = namespace.run(START, SOON)?.exits(code)?;
        names(&finished, &words);
    }
    Ok(())
}

#[test]
fn a_name_server_that_never_answers_costs_no_more_than_the_deadline() -> Result<()> {
    if !is_root() {
        return Ok(());
    }
    let mut deployment = Deployment::internal(4061);
    deployment.settings = "[wait]\nresolve = \"2s\"\n".to_owned();
    let (_turn, _scratch, namespace) = worker(deployment)?;
    let dns = unresolvable(&namespace)?;
    let start = Instant::now();
    let finished = namespace.run(START, SOON)?.exits(UNAVAILABLE)?;
    let took = start.elapsed();
    assert!(dns.questions() > 0, "the name server was asked");
    assert!(
        took < Duration::from_secs(8),
        "it took {took:?} although wait.resolve is 2 s:\n{}",
        finished.errors
    );
    names(&finished, &["wait.resolve"]);
    assert!(
        ["omeroserver", "biomeroworker"].iter().any(|name| finished.errors.contains(name)),
        "the name is in the message:\n{}",
        finished.errors
    );
    Ok(())
}

#[test]
fn a_stop_while_a_name_resolves_ends_the_start_at_once() -> Result<()> {
    if !is_root() {
        return Ok(());
    }
    let (_turn, _scratch, namespace) = worker(Deployment::internal(4061))?;
    let dns = unresolvable(&namespace)?;
    let mut worker = namespace.start(&[])?;
    wait::until("a question to the name server", SOON, &[namespace.log()], || {
        (dns.questions() > 0).then_some(())
    })?;
    stops_at_once(&namespace, &mut worker)
}

#[test]
fn a_stop_while_a_start_up_script_runs_ends_the_script_too() -> Result<()> {
    let (_turn, _scratch, namespace) = worker(Deployment::internal(4061))?;
    worker_root::write(
        namespace.root(),
        "startup/30-slow.sh",
        "#!/bin/sh\nsleep 1000 &\nsleep 1000\n",
        0o755,
    )?;
    let mut worker = namespace.start(&[])?;
    wait::until("the script's sleeps", SOON, &[namespace.log()], || {
        (worker.processes().iter().filter(|name| *name == "sleep").count() == 2).then_some(())
    })?;
    stops_at_once(&namespace, &mut worker)?;
    let half: Vec<PathBuf> = leftovers(&namespace)?;
    assert!(half.is_empty(), "nothing is left half applied: {half:?}");
    Ok(())
}

fn stops_at_once(namespace: &Namespace, worker: &mut biomero_tests::namespace::Worker) -> Result<()> {
    let start = Instant::now();
    let code = worker.stop(SOON)?;
    let took = start.elapsed();
    let log = wait::ends_of(&[namespace.log()]);
    assert_eq!(code, 128 + Signal::SIGTERM as i32, "{log}");
    assert!(took < Duration::from_secs(5), "it took {took:?} to stop{log}");
    assert!(log.contains("TERM"), "the message names the signal{log}");
    Ok(())
}

/// Takes the names out of the worker's `/etc/hosts` and leaves it a name server that swallows questions.
fn unresolvable(namespace: &Namespace) -> Result<SilentDns> {
    let dns = SilentDns::start()?;
    worker_root::write(namespace.root(), "etc/hosts", "127.0.0.1 localhost\n", 0o644)?;
    worker_root::write(namespace.root(), "etc/resolv.conf", &dns.resolv_conf(), 0o644)?;
    Ok(dns)
}

/// KILL at any moment of a start: what is under its own name is whole, and the next start makes it all good.
#[test]
fn killed_in_the_middle_of_applying_nothing_is_half_written_and_the_next_start_heals() -> Result<()> {
    const ROUNDS: u32 = 40;
    let (_turn, scratch, namespace) = worker(Deployment::internal(4061))?;
    // Many large files, so that most kills hit the middle of a write.
    for number in 0..60 {
        let mut file = fs::File::create(namespace.path(&format!("/tmp/.ssh/known_hosts.{number}")))
            .map_err(Trouble::doing("write a large file"))?;
        file.write_all(format!("host{number} ssh-ed25519 AAAA\n").repeat(4000).as_bytes())
            .map_err(Trouble::doing("write a large file"))?;
    }
    fs::remove_file(namespace.path("/startup/20-site.sh"))
        .map_err(Trouble::doing("remove the site's script"))?;
    let folder = namespace.path("/opt/omero/server");
    let pristine = scratch.path().join("pristine");
    duplicate(&folder, &pristine)?;
    let start = Instant::now();
    namespace.run(START, SOON)?.exits(0)?;
    let whole_start = start.elapsed();
    let whole = contents(&folder)?;
    let before = contents(&pristine)?;

    let mut hit = 0;
    for round in 0..ROUNDS {
        fs::remove_dir_all(&folder).map_err(Trouble::doing("clear the worker"))?;
        duplicate(&pristine, &folder)?;
        // Half of the kills spread evenly over a whole start, container and all; half in the thick of the writing.
        let moment = if round % 2 == 0 {
            Moment::After(whole_start * (round + 1) / ROUNDS)
        } else {
            Moment::OfWriting(&folder.join(".ssh"), Duration::from_micros(300) * round)
        };
        kill_at(&namespace, &moment)?;
        let now = contents(&folder)?;
        let written = now.keys().filter(|path| !before.contains_key(*path)).count();
        hit += u32::from(written > 0 && now.len() < whole.len());
        for (path, content) in &now {
            let is_whole = whole.get(path) == Some(content) || before.get(path) == Some(content);
            // What is being written has a name that no reader looks for.
            assert!(
                is_whole || !whole.contains_key(path),
                "round {round}: {} is half written",
                path.display()
            );
        }
        if round % 8 == 7 {
            namespace.run(START, SOON)?.exits(0)?;
            let healed = contents(&folder)?;
            let differing: Vec<&PathBuf> = whole
                .keys()
                .chain(healed.keys())
                .filter(|path| whole.get(*path) != healed.get(*path))
                .collect();
            assert!(differing.is_empty(), "round {round}: after the next start these differ: {differing:?}");
        }
    }
    assert!(
        hit >= 3,
        "only {hit} of {ROUNDS} kills hit the middle of a start of {whole_start:?}: write more files"
    );
    Ok(())
}

/// When process 1 is killed.
enum Moment<'a> {
    /// So long after the container was asked for.
    After(Duration),
    /// So long after the first entry of this folder has appeared.
    OfWriting(&'a Path, Duration),
}

fn kill_at(namespace: &Namespace, moment: &Moment<'_>) -> Result<()> {
    let mut child = namespace
        .command(&[&[INIT], START].concat())
        .stdin(std::process::Stdio::null())
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .spawn()
        .map_err(Trouble::doing("start init"))?;
    match moment {
        Moment::After(delay) => std::thread::sleep(*delay),
        Moment::OfWriting(folder, delay) => {
            let start = Instant::now();
            // Without a pause: the whole of the writing is shorter than any pause.
            while !fs::read_dir(folder).is_ok_and(|mut entries| entries.next().is_some())
                && start.elapsed() < SOON
            {
                std::hint::spin_loop();
            }
            std::thread::sleep(*delay);
        }
    }
    let outer = nix::unistd::Pid::from_raw(child.id().cast_signed());
    for init in process::children(outer) {
        let _ = kill(init, Signal::SIGKILL);
    }
    child.wait().map(drop).map_err(Trouble::doing("wait for init"))
}

fn duplicate(from: &Path, to: &Path) -> Result<()> {
    let mut copy = std::process::Command::new("cp");
    copy.args(["-a", "--no-target-directory"]).arg(from).arg(to);
    process::succeed(&mut copy, SOON).map(drop)
}

/// Every file's content, by path; what OMERO keeps of time and chance is left out.
fn contents(folder: &Path) -> Result<std::collections::BTreeMap<PathBuf, Vec<u8>>> {
    let tree = tree::read(folder)?;
    Ok(tree
        .into_iter()
        .filter(|(path, entry)| {
            entry.mode & nix::libc::S_IFMT == nix::libc::S_IFREG && !path.starts_with("OMERO.server/var")
        })
        // The generated comment of config.xml carries the time at which it was written.
        .map(|(path, entry)| {
            if path.ends_with("config.xml") {
                (path, without_comment(&entry.content))
            } else {
                (path, entry.content)
            }
        })
        .collect())
}

fn without_comment(xml: &[u8]) -> Vec<u8> {
    let text = String::from_utf8_lossy(xml);
    match (text.find("<!--"), text.find("-->")) {
        (Some(start), Some(end)) => format!("{}{}", &text[..start], &text[end + 3..]).into_bytes(),
        _ => xml.to_vec(),
    }
}

/// Files beside their name, as an interrupted write leaves them.
fn leftovers(namespace: &Namespace) -> Result<Vec<PathBuf>> {
    let known = |path: &Path| {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        !(name.ends_with(".init-new"))
    };
    Ok(tree::read(&namespace.path("/opt/omero/server"))?.into_keys().filter(|path| !known(path)).collect())
}
