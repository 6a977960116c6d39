//! `init status`, `restart`, `stop`, `start`.

use std::fs;
use std::io::{Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::{UnixListener, UnixStream};
use std::process::Command;

use nix::sys::signal::Signal;

use crate::stage::{PATIENCE, Worker, eventually, runs, skipped};

const SLEEPER: &str = "[services.a]\ncommand = [\"sleep\", \"600\"]\nmain = true\n\
                       [services.b]\ncommand = [\"sleep\", \"600\"]\ndepends_on = [\"a\"]\n";

/// Sends bytes and returns the answer.
fn raw(worker: &Worker, request: &[u8]) -> String {
    let mut stream = UnixStream::connect(worker.socket()).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    // A request that is too long is answered before it was read to its end.
    let _ = stream.write_all(request);
    let _ = stream.shutdown(std::net::Shutdown::Write);
    let mut answer = String::new();
    let _ = stream.read_to_string(&mut answer);
    answer
}

#[test]
fn services_are_listed_restarted_stopped_and_started() {
    let worker = Worker::start(SLEEPER);
    let first = worker.until("b", "ready")["pid"].as_i64().unwrap();
    let (code, out, _) = worker.ask(&["status"]);
    assert_eq!(code, 0);
    assert!(out.contains("a (main)") && out.contains("ready") && out.contains("started in"), "{out}");

    assert_eq!(worker.ask(&["restart", "b"]).0, 0);
    let again = eventually("another process", String::new, || {
        worker.service("b").filter(|b| b["state"] == "ready" && b["pid"].as_i64() != Some(first))
    });
    assert_eq!(
        (again["restarts"].as_u64(), again["last_exit"].as_str()),
        (Some(1), Some("killed by SIGTERM"))
    );
    assert!(!runs(i32::try_from(first).unwrap()));

    assert_eq!(worker.ask(&["stop", "b"]).0, 0);
    worker.until("b", "stopped");
    assert_eq!(worker.ask(&["status"]).0, 1);
    assert_eq!(
        worker.ask(&["status", "--main"]).0,
        0,
        "the main service is ready, which is what a health check asks"
    );
    assert_eq!(worker.ask(&["start", "b"]).0, 0);
    worker.until("b", "ready");

    // A main service that is stopped on request does not end the worker.
    assert_eq!(worker.ask(&["stop", "a"]).0, 0);
    worker.until("a", "stopped");
    assert_eq!(worker.ask(&["status", "--main"]).0, 1);
    assert_eq!(worker.ask(&["start", "a"]).0, 0);
    worker.until("a", "ready");
}

#[test]
fn an_unknown_service_is_refused_with_the_ones_there_are() {
    let worker = Worker::start(SLEEPER);
    worker.until("b", "ready");
    let (code, out, err) = worker.ask(&["restart", "c"]);
    assert_ne!(code, 0);
    assert!(err.contains("there is no service \"c\": the services are a, b"), "{out}{err}");
}

#[test]
fn without_a_running_init_it_says_what_to_do() {
    let worker = Worker::new(SLEEPER);
    let (code, _, err) = worker.ask(&["status"]);
    assert_eq!(code, 1);
    assert!(err.contains("no init supervises services here"), "{err}");
}

#[test]
fn garbage_is_refused_and_harms_nobody() {
    let worker = Worker::start(SLEEPER);
    worker.until("b", "ready");
    for (request, told) in [
        (&b"hello\n"[..], "not a request"),
        (b"{\"verb\":\"explode\"}\n", "not a request"),
        (b"{\"verb\":\"status\",\"more\":1}\n", "not a request"),
        (b"{\"verb\":\"restart\"}\n", "name a service"),
        (b"\xff\xfe\x00\n", "not a request"),
        (b"", "not a request"),
        (&[b'x'; 100_000], "at most 4096 bytes"),
    ] {
        let answer = raw(&worker, request);
        // The socket of an over-long request may be reset before its answer is read.
        assert!(
            answer.contains(told) || (answer.is_empty() && request.len() > 4096),
            "{request:?}: {answer}"
        );
    }
    assert_eq!(worker.ask(&["status"]).0, 0);
}

#[test]
fn peers_that_dawdle_do_not_keep_others_out_for_ever() {
    let worker = Worker::start(SLEEPER);
    worker.until("b", "ready");
    let _dawdling: Vec<_> = (0..20).map(|_| UnixStream::connect(worker.socket()).unwrap()).collect();
    eventually("an answer all the same", String::new, || (worker.ask(&["status"]).0 == 0).then_some(()));
}

#[test]
fn only_root_and_its_own_user_are_answered() {
    if !nix::unistd::geteuid().is_root() {
        skipped("only root can ask as somebody else");
        return;
    }
    let worker = Worker::start(SLEEPER);
    worker.until("b", "ready");
    let mode = |path: &std::path::Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&worker.socket()), 0o600);
    assert_eq!(mode(worker.socket().parent().unwrap()), 0o700);
    // Even where somebody opened the way to the socket, the kernel's word on the peer counts.
    for (path, mode) in
        [(worker.folder.path(), 0o755), (&worker.path("run"), 0o755), (&worker.socket(), 0o666)]
    {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }
    let ask = "use Socket; socket(S, AF_UNIX, SOCK_STREAM, 0); connect(S, pack('Sa*', AF_UNIX, $ARGV[0])) or die $!; \
               syswrite(S, \"{\\\"verb\\\":\\\"stop\\\",\\\"service\\\":\\\"a\\\"}\\n\"); print <S>;";
    let asked = Command::new("setpriv")
        .args(["--reuid=65534", "--regid=65534", "--clear-groups", "perl", "-e", ask])
        .arg(worker.socket())
        .output()
        .unwrap();
    let answer = String::from_utf8_lossy(&asked.stdout).into_owned();
    assert!(answer.contains("user 65534 may not control this init"), "{answer}{:?}", asked.stderr);
    assert_eq!(worker.service("a").unwrap()["state"], "ready");
}

#[test]
fn what_a_dead_init_left_is_replaced_and_a_live_one_is_not() {
    let worker = Worker::new(SLEEPER);
    fs::create_dir(worker.path("run")).unwrap();
    drop(UnixListener::bind(worker.socket()).unwrap());
    let first = crate::stage::Running::start(&mut worker.command(&["--no-hooks"]));
    worker.until("b", "ready");
    let mut second = crate::stage::Running::start(&mut worker.command(&["--no-hooks"]));
    assert_eq!(second.code(), 71);
    assert!(second.err().contains("another init answers on"), "{}", second.said());
    assert_eq!(worker.ask(&["status"]).0, 0, "the first one still answers");
    first.signal(Signal::SIGTERM);
    eventually("the socket removed", || first.said(), || (!worker.socket().exists()).then_some(()));
}

#[test]
fn services_run_even_where_the_socket_cannot_be_made() {
    let worker = Worker::new("[services.a]\ncommand = [\"sh\", \"-c\", \"echo up; exit 0\"]\nmain = true\n");
    fs::write(worker.path("run"), "in the way").unwrap();
    let mut run = crate::stage::Running::start(&mut worker.command(&["--no-hooks"]));
    assert_eq!(run.code(), 0);
    assert_eq!(run.out(), "up\n");
    assert!(run.err().contains("cannot open the control socket"), "{}", run.said());
}
