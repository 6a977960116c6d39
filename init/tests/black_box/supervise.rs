//! Several services.

use std::fs;
use std::process::Command;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use crate::stage::{Running, Worker, as_pid_one, eventually, init, runs, skipped};

/// A service that says its name and each of these signals, and ends with TERM.
fn loyal(name: &str) -> String {
    format!(
        "[\"sh\", \"-c\", \"trap 'echo {name} got TERM; exit 0' TERM; trap 'echo {name} got HUP' HUP; echo {name} up; while :; do sleep 0.02; done\"]"
    )
}

#[test]
fn services_start_after_what_they_depend_on_and_stop_before_it() {
    let mut worker = Worker::start(&format!(
        "[services.c]\ncommand = {}\ndepends_on = [\"b\"]\nmain = true\n\
         [services.a]\ncommand = {}\nready.path = \"$ROOT/a-is-ready\"\nready.interval = \"20ms\"\n\
         [services.b]\ncommand = {}\ndepends_on = [\"a\"]\nready.exec = [\"test\", \"-e\", \"$ROOT/b-is-ready\"]\nready.interval = \"20ms\"\n",
        loyal("c"),
        loyal("a"),
        loyal("b")
    ));
    worker.init().says("a up");
    assert_eq!(worker.until("b", "waiting")["ready"], false);
    assert_eq!(worker.ask(&["status"]).0, 1);
    fs::write(worker.path("a-is-ready"), "").unwrap();
    worker.init().says("b up");
    worker.until("c", "waiting");
    fs::write(worker.path("b-is-ready"), "").unwrap();
    worker.init().says("c up");
    worker.until("c", "ready");
    assert_eq!(worker.ask(&["status"]).0, 0);
    worker.init().signal(Signal::SIGTERM);
    assert_eq!(worker.init().code(), 0);
    let out = worker.init().out();
    assert_eq!(out, "a up\nb up\nc up\nc got TERM\nb got TERM\na got TERM\n");
}

#[test]
fn the_worker_ends_with_its_main_service_s_code() {
    for (script, code) in [("exit 0", 0), ("exit 7", 7), ("kill -9 $$", 137)] {
        let mut worker = Worker::start(&format!(
            "[services.a]\ncommand = {}\n\
             [services.b]\ncommand = [\"sh\", \"-c\", \"sleep 0.3; {script}\"]\nmain = true\nrestart.policy = \"never\"\n",
            loyal("a")
        ));
        assert_eq!(worker.init().code(), code, "{}", worker.init().said());
        assert!(worker.init().out().contains("a got TERM"), "{}", worker.init().said());
    }
}

#[test]
fn a_crash_loop_backs_off_and_ends_in_one_clear_message() {
    let mut worker = Worker::start(
        "[services.a]\ncommand = [\"sh\", \"-c\", \"echo up; exit 3\"]\nmain = true\n\
         restart.delay = \"50ms\"\nrestart.give_up_after = 4\n",
    );
    assert_eq!(worker.init().code(), 3);
    assert_eq!(worker.init().out(), "up\n".repeat(4));
    let err = worker.init().err();
    assert_eq!(err.matches("ended 4 times within 1m: given up, the worker ends").count(), 1, "{err}");
    for pause in ["50ms", "100ms", "200ms"] {
        assert!(err.contains(&format!("starts again in {pause}")), "{err}");
    }
}

#[test]
fn another_service_s_crash_loop_leaves_the_rest_running() {
    let mut worker = Worker::start(&format!(
        "[services.a]\ncommand = [\"false\"]\nrestart.delay = \"10ms\"\nrestart.give_up_after = 2\n\
         [services.b]\ncommand = {}\nmain = true\n",
        loyal("b")
    ));
    worker.until("a", "gave-up");
    worker.until("b", "ready");
    assert_eq!(worker.ask(&["status"]).0, 1);
    worker.init().signal(Signal::SIGTERM);
    assert_eq!(worker.init().code(), 0);
}

#[test]
fn a_service_that_ignores_term_is_killed_with_its_group_at_the_deadline() {
    let mut worker = Worker::start(
        "[services.a]\ncommand = [\"sh\", \"-c\", \"trap '' TERM; sh -c 'echo inner $$; while :; do sleep 0.05; done' & echo up; while :; do sleep 0.05; done\"]\n\
         main = true\nstop.deadline = \"400ms\"\n",
    );
    worker.init().says("up");
    worker.init().says("inner");
    let inner =
        worker.init().out().lines().find_map(|line| line.strip_prefix("inner ")?.parse().ok()).unwrap();
    assert!(runs(inner));
    let sent = Instant::now();
    worker.init().signal(Signal::SIGTERM);
    assert_eq!(worker.init().code(), 137);
    assert!(sent.elapsed() >= Duration::from_millis(400));
    assert!(!runs(inner), "{}", worker.init().said());
    assert!(worker.init().err().contains("still running 400ms after SIGTERM: killing its process group"));
}

#[test]
fn a_second_ctrl_c_kills_at_once_and_a_second_term_does_not() {
    for (second, killed) in [(Signal::SIGINT, true), (Signal::SIGTERM, false)] {
        let mut worker = Worker::start(
            "[services.a]\ncommand = [\"sh\", \"-c\", \"trap 'sleep 1; exit 5' TERM; echo up; while :; do sleep 0.02; done\"]\n\
             main = true\nstop.deadline = \"50s\"\n",
        );
        worker.init().says("up");
        worker.init().signal(Signal::SIGINT);
        worker.init().complains("stopping all services");
        worker.init().signal(second);
        assert_eq!(worker.init().code(), if killed { 137 } else { 5 }, "{}", worker.init().said());
    }
}

#[test]
fn a_stop_while_services_still_start_ends_at_once() {
    let mut worker = Worker::start(&format!(
        "[services.a]\ncommand = {}\nready.path = \"$ROOT/never\"\n\
         [services.b]\ncommand = [\"sleep\", \"60\"]\ndepends_on = [\"a\"]\nmain = true\n",
        loyal("a")
    ));
    worker.init().says("a up");
    worker.init().signal(Signal::SIGTERM);
    assert_eq!(worker.init().code(), 143, "{}", worker.init().said());
    assert_eq!(worker.init().out(), "a up\na got TERM\n");
}

#[test]
fn a_service_that_is_not_ready_in_time_is_stopped_and_that_is_told() {
    let mut worker = Worker::start(
        "[services.a]\ncommand = [\"sleep\", \"60\"]\nmain = true\nrestart.policy = \"never\"\n\
         ready.tcp = \"127.0.0.1:1\"\nready.deadline = \"300ms\"\nready.interval = \"50ms\"\n",
    );
    assert_eq!(worker.init().code(), 143, "{}", worker.init().said());
    assert!(worker.init().err().contains("not ready after 300ms"), "{}", worker.init().said());
}

#[test]
fn a_listening_port_makes_a_service_ready() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let worker = Worker::start(&format!(
        "[services.a]\ncommand = [\"sleep\", \"60\"]\nready.tcp = \"{address}\"\nmain = true\n"
    ));
    worker.until("a", "ready");
}

/// Sends a text to a `NOTIFY_SOCKET`. perl is part of every Debian; the kernel adds who sent its datagram.
const SAY: &str = "use Socket; my ($address, $text) = @ARGV; $address =~ s/^@/\\0/; socket(S, AF_UNIX, SOCK_DGRAM, 0);\n\
                   defined send(S, $text, 0, pack('Sa*', AF_UNIX, $address)) or die $!;\n";

#[test]
fn why_a_service_ended_is_what_it_said_last() {
    let mut worker = Worker::new(&format!(
        "[services.a]\ncommand = {}\nmain = true\n[services.b]\ncommand = [\"sh\", \"$ROOT/service\"]\n\
         ready.notify = true\nrestart.delay = \"30s\"\nrestart.policy = \"always\"\n",
        loyal("a")
    ));
    fs::write(worker.path("say"), SAY).unwrap();
    let script =
        format!("exec perl {} $NOTIFY_SOCKET 'STATUS=the disk is full'\n", worker.path("say").display());
    fs::write(worker.path("service"), script).unwrap();
    worker.launch();
    eventually("its last word", String::new, || {
        let b = worker.service("b")?;
        (b["state"] == "backing-off" && b["says"] == "the disk is full").then_some(())
    });
    assert_eq!(worker.until("a", "ready")["says"], serde_json::Value::Null);
}

#[test]
fn a_service_can_say_itself_that_it_is_ready_and_nobody_else_can() {
    let mut worker = Worker::new(
        "[services.a]\ncommand = [\"sh\", \"$ROOT/service\"]\nready.notify = true\nmain = true\n",
    );
    let [say_path, service, address, go] = ["say", "service", "address", "go"].map(|name| worker.path(name));
    fs::write(&say_path, SAY).unwrap();
    let script = format!(
        "echo $NOTIFY_SOCKET > {}; while ! [ -e {} ]; do sleep 0.02; done\n\
         perl {} $NOTIFY_SOCKET 'STATUS=serving\nREADY=1'; sleep 60\n",
        address.display(),
        go.display(),
        say_path.display()
    );
    fs::write(service, script).unwrap();
    worker.launch();
    let address = eventually("the address", String::new, || {
        fs::read_to_string(&address).ok().filter(|text| text.ends_with('\n'))
    });
    if nix::unistd::geteuid().is_root() {
        let forged = Command::new("setpriv")
            .args([
                "--reuid=65534",
                "--regid=65534",
                "--clear-groups",
                "perl",
                "-e",
                SAY,
                address.trim(),
                "READY=1",
            ])
            .status()
            .unwrap();
        assert!(forged.success());
        worker.init().complains("of user 65534 speaks in its name and is not heeded");
    }
    assert_eq!(worker.service("a").unwrap()["state"], "starting");
    fs::write(go, "").unwrap();
    let service = worker.until("a", "ready");
    assert_eq!(service["says"], "serving", "{}", worker.init().said());
}

#[test]
fn other_signals_are_forwarded_to_all_services() {
    let mut worker = Worker::start(&format!(
        "[services.a]\ncommand = {}\n[services.b]\ncommand = {}\nmain = true\n",
        loyal("a"),
        loyal("b")
    ));
    worker.init().says("a up");
    worker.init().says("b up");
    worker.init().signal(Signal::SIGHUP);
    worker.init().says("a got HUP");
    worker.init().says("b got HUP");
    worker.init().signal(Signal::SIGTERM);
    assert_eq!(worker.init().code(), 0, "and nothing is left running");
}

#[test]
fn output_can_be_prefixed_and_an_endless_line_takes_no_memory() {
    let mut worker = Worker::start(
        "[log]\nservices = \"prefixed\"\n\
         [services.a]\ncommand = [\"sh\", \"-c\", \"echo hello; echo oops >&2; head -c 10000000 /dev/zero | tr '\\\\0' x; echo; echo done\"]\n\
         main = true\nrestart.policy = \"never\"\n",
    );
    assert_eq!(worker.init().code(), 0);
    let out = worker.init().out();
    assert!(out.starts_with("a | hello\n"), "{}", &out[..200]);
    assert!(out.ends_with("a | done\n"), "{}", &out[out.len() - 200..]);
    assert!(worker.init().err().contains("a | oops\n"));
    assert_eq!(out.matches('x').count(), 10_000_000);
    assert!(out.lines().all(|line| line.len() <= 8 * 1024 + 4));
}

#[test]
fn prefixed_output_that_nobody_reads_does_not_stop_the_collecting_of_processes() {
    let worker = Worker::new(
        "[log]\nservices = \"prefixed\"\n\
         [services.loud]\ncommand = [\"sh\", \"-c\", \"yes\"]\nstop.deadline = \"300ms\"\n\
         [services.a]\ncommand = [\"sh\", \"-c\", \"(sleep 0.1 &); exit 3\"]\nrestart.delay = \"20ms\"\nrestart.give_up_after = 3\n",
    );
    let mut child = worker
        .command(&["--no-hooks"])
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    worker.until("a", "gave-up");
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(i32::try_from(child.id()).unwrap()), Signal::SIGTERM)
        .unwrap();
    let ended = eventually("the end", String::new, || child.try_wait().unwrap());
    assert_eq!(ended.code(), Some(0), "no main service: a stop is a success");
}

#[test]
fn the_last_words_of_a_service_reach_a_reader_that_is_slow() {
    let worker = Worker::new(
        "[log]\nservices = \"prefixed\"\n\
         [services.a]\ncommand = [\"sh\", \"-c\", \"head -c 300000 /dev/zero | tr '\\\\0' x; echo; echo last words\"]\n\
         main = true\nrestart.policy = \"never\"\n",
    );
    let mut child = worker
        .command(&["--no-hooks"])
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    std::thread::sleep(Duration::from_millis(500));
    let mut out = String::new();
    std::io::Read::read_to_string(&mut child.stdout.take().unwrap(), &mut out).unwrap();
    assert!(
        out.ends_with("a | last words\n"),
        "{} bytes, the last: {:?}",
        out.len(),
        out.get(out.len() - 40..)
    );
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

#[test]
fn as_pid_one_nothing_is_left_behind() {
    let worker = Worker::new(
        "[services.a]\ncommand = [\"sh\", \"-c\", \"setsid sh -c 'trap \\\"echo daemon got TERM; exit\\\" TERM; echo up; while :; do sleep 0.02; done' & sleep 0.5; exit 4\"]\n\
         main = true\nrestart.policy = \"never\"\n",
    );
    let Some(mut command) = as_pid_one(&[init(), "--no-hooks"]) else { return };
    let mut run = Running::start(command.env("BIOMERO_INIT_CONFIG", worker.path("init.toml")));
    assert_eq!(run.code(), 4, "{}", run.said());
    assert!(run.out().contains("daemon got TERM"), "{}", run.said());
}

#[test]
fn an_ordinary_child_leaves_nothing_behind_either() {
    let mut worker = Worker::start(
        "[services.a]\ncommand = [\"sh\", \"-c\", \"setsid sh -c 'echo daemon $$; while :; do sleep 0.05; done' & sleep 0.5; exit 4\"]\n\
         main = true\nrestart.policy = \"never\"\n",
    );
    assert_eq!(worker.init().code(), 4, "{}", worker.init().said());
    let daemon = worker.init().out().trim().strip_prefix("daemon ").unwrap().parse().unwrap();
    assert!(!runs(daemon), "{}", worker.init().said());
}

#[test]
fn a_program_that_does_not_exist_is_named_with_the_path_that_was_searched() {
    let mut worker = Worker::start(
        "[services.a]\ncommand = [\"no-such-program\"]\nmain = true\nrestart.policy = \"never\"\nenvironment.PATH = \"/nowhere\"\n",
    );
    assert_eq!(worker.init().code(), 127);
    assert!(worker.init().err().contains("no such program in PATH (/nowhere)"), "{}", worker.init().said());
}

#[test]
fn a_service_runs_as_its_user_with_its_environment_in_its_directory() {
    if !nix::unistd::geteuid().is_root() {
        skipped("only root changes users");
        return;
    }
    let mut worker = Worker::start(
        "[services.a]\ncommand = [\"sh\", \"-c\", \"id -un; id -Gn; echo $USER; echo $COLOUR; pwd; exit 0\"]\nuser = \"nobody\"\n\
         directory = \"/usr\"\nenvironment.COLOUR = \"blue\"\nmain = true\n",
    );
    assert_eq!(worker.init().code(), 0, "{}", worker.init().said());
    assert_eq!(worker.init().out(), "nobody\nnogroup\nnobody\nblue\n/usr\n");
}
