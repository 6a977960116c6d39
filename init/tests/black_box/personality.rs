//! `init` behind a link named `tini` or `dumb-init`, side by side with the real ones.

use std::path::Path;
use std::process::Command;

use nix::sys::signal::Signal;

use crate::stage::{Running, linked_as};

/// Runs the real program and ours on one command line; both must end alike. Returns both outputs.
fn side_by_side(name: &str, args: &[&str], variables: &[(&str, &str)]) -> [(i32, String, String); 2] {
    let (_folder, link) = linked_as(name);
    let real = Path::new("/usr/bin").join(name);
    assert!(real.exists(), "install Debian's package {name} to run this test");
    [real.as_path(), link.as_path()].map(|program| {
        let mut run = Running::start(Command::new(program).args(args).envs(variables.iter().copied()));
        (run.code(), run.out(), run.err())
    })
}

/// What a child sees of itself: led groups, signal mask, ignored signals, arguments. With built-ins alone: a shell that
/// starts a program blocks signals meanwhile.
const OBSERVE: &str = "IFS=' ' read -r pid comm state ppid pgrp session tty tpgid rest < /proc/$$/stat; \
    [ $pgrp = $pid ] && echo leads its group; [ $session = $pid ] && echo leads its session; \
    while read -r line; do case $line in SigBlk*|SigIgn*) echo \"$line\";; esac; done < /proc/$$/status; \
    echo \"arguments: $0 $*\"; pwd";

#[test]
fn tini_ends_alike_and_its_child_sees_the_same() {
    for args in [
        &["-s", "--", "true"][..],
        &["-s", "--", "sh", "-c", "exit 3"],
        &["-s", "-e", "3", "--", "sh", "-c", "exit 3"],
        &["-s", "-e", "3", "-e", "143", "--", "sh", "-c", "kill -TERM $$"],
        &["-s", "-e", "+4", "--", "sh", "-c", "exit 4"],
        &["-s", "-e", " 4", "--", "sh", "-c", "exit 4"],
        &["-s", "-e", "", "--", "sh", "-c", "exit 4"],
        &["-s", "--", "sh", "-c", "kill -9 $$"],
        &["-sg", "--", "sh", "-c", OBSERVE, "a", "b c"],
        &["-s", "-p", "SIGKILL", "--", "sh", "-c", OBSERVE],
        &["-svw", "-pSIGTERM", "--", "true"],
        &["true"],
        &["-s", "true", "x"],
        &["--", "no-such-program"],
        &["--", "/etc/passwd"],
        &["--", "/tmp"],
        &["--", ""],
        &[],
        &["--"],
        &["-h"],
        &["-h", "true"],
        &["-l"],
        &["--version"],
        &["--version", "true"],
        &["-x", "true"],
        &["-e"],
        &["-e", "256", "true"],
        &["-e", "-1", "true"],
        &["-e", "1x", "true"],
        &["-p", "KILL", "true"],
        &["-p", "9", "true"],
        &["-p", "sigkill", "true"],
        &["-p", "SIGSTKFLT", "true"],
        &["-p", "SIGIOT", "true"],
        &["-p", "SIGSYS", "true"],
    ] {
        let [real, ours] = side_by_side("tini", args, &[]);
        assert_eq!(ours.0, real.0, "{args:?}\nreal: {}\nours: {}", real.2, ours.2);
        if !matches!(args, ["-h" | "-l" | "--version" | "-svw", ..]) {
            assert_eq!(ours.1, real.1, "{args:?}");
        }
        assert_eq!(ours.2.is_empty(), real.2.is_empty(), "{args:?}\nreal: {}\nours: {}", real.2, ours.2);
    }
}

#[test]
fn tini_s_messages_keep_the_shape_that_scripts_look_for() {
    let [real, ours] = side_by_side("tini", &["--version"], &[]);
    assert!(
        real.1.starts_with("tini version 0.19.0") && ours.1.starts_with("tini version 0.19.0"),
        "{}",
        ours.1
    );
    for args in [&["--", "no-such-program"][..], &["-e", "x", "true"], &["-p", "KILL", "true"]] {
        let fatal = |text: &str| {
            let line = text
                .lines()
                .find(|line| line.starts_with("[FATAL tini ("))
                .unwrap_or_else(|| panic!("{text}"));
            line.split_once(")] ").unwrap().1.to_owned()
        };
        let [real, ours] = side_by_side("tini", args, &[]);
        assert_eq!(fatal(&ours.2), fatal(&real.2));
    }
    for verbosity in ["0", "1", "2", "3", "4", "x"] {
        let tags = |text: &str| {
            let mut tags: Vec<_> =
                text.lines().filter(|line| line.starts_with('[')).map(|line| line[1..6].to_owned()).collect();
            tags.dedup();
            tags.sort();
            tags.dedup();
            tags
        };
        let [real, ours] = side_by_side("tini", &["true"], &[("TINI_VERBOSITY", verbosity)]);
        assert_eq!(tags(&ours.1), tags(&real.1), "verbosity {verbosity}\nreal: {}\nours: {}", real.1, ours.1);
        assert_eq!(tags(&ours.2), tags(&real.2), "verbosity {verbosity}\nreal: {}\nours: {}", real.2, ours.2);
    }
}

#[test]
fn tini_s_variables_count_by_being_there() {
    for variable in ["TINI_SUBREAPER", "TINI_KILL_PROCESS_GROUP"] {
        for value in ["", "0", "1"] {
            let [real, ours] = side_by_side("tini", &["sh"], &[(variable, value)]);
            assert_eq!(ours.2.is_empty(), real.2.is_empty(), "{variable}={value}\n{}\n{}", real.2, ours.2);
        }
    }
}

#[test]
fn options_of_the_command_are_not_tini_s() {
    // As with musl's getopt; glibc's tini would refuse this.
    let (_folder, link) = linked_as("tini");
    let mut run = Running::start(Command::new(link).args(["-s", "sh", "-c", "exit 8"]));
    assert_eq!(run.code(), 8, "{}", run.said());
}

#[test]
fn dumb_init_ends_alike_and_its_child_sees_the_same() {
    for args in [
        &["true"][..],
        &["--", "sh", "-c", "exit 3"],
        &["sh", "-c", "exit 3"],
        &["sh", "-c", "kill -9 $$"],
        &["-c", "sh", "-c", OBSERVE, "a", "b c"],
        &["sh", "-c", OBSERVE],
        &["--single-child", "--rewrite", "15:2", "--rewrite=1:0", "true"],
        &["--sing", "true"],
        &["-r15:2", "true"],
        &["-r", "+15:2", "true"],
        &["-r", " 15: 2", "true"],
        &["-r", "15:2x", "true"],
        &["-r", "15:2:3", "true"],
        &["-r", "31:0", "true"],
        &["-r", "0:2", "true"],
        &["-r", "32:2", "true"],
        &["-r", "15:32", "true"],
        &["-r", "15", "true"],
        &["-r", "15:", "true"],
        &["-r", "TERM:INT", "true"],
        &["-r", "15:-1", "true"],
        &["-r"],
        &["-x", "true"],
        &["--foo", "true"],
        &["--version=3"],
        &["--ver"],
        &["-h"],
        &["-V"],
        &[],
        &["no-such-program"],
        &["/etc/passwd"],
        &["/tmp"],
        &[""],
    ] {
        let [real, ours] = side_by_side("dumb-init", args, &[]);
        assert_eq!(ours.0, real.0, "{args:?}\nreal: {}\nours: {}", real.2, ours.2);
        assert_eq!(ours.1, real.1, "{args:?}");
        assert_eq!(ours.2.is_empty(), real.2.is_empty(), "{args:?}\nreal: {}\nours: {}", real.2, ours.2);
    }
}

#[test]
fn dumb_init_s_variables_and_messages_are_taken() {
    let plain = |text: &str| {
        let digits = |line: &str| {
            line.chars()
                .map(|character| if character.is_ascii_digit() { '#' } else { character })
                .collect::<String>()
        };
        let mut lines: Vec<_> = text.lines().map(digits).collect();
        // The order of what parent and child say is not theirs to choose.
        lines.sort();
        lines
    };
    let [real, ours] =
        side_by_side("dumb-init", &["true"], &[("DUMB_INIT_DEBUG", "1"), ("DUMB_INIT_SETSID", "0")]);
    let received = |line: &String| !line.contains("Received signal");
    let kept = |text: &str| plain(text).into_iter().filter(received).collect::<Vec<_>>();
    assert_eq!(kept(&ours.2), kept(&real.2));
    for (variable, value) in
        [("DUMB_INIT_SETSID", "0"), ("DUMB_INIT_SETSID", "1"), ("DUMB_INIT_SETSID", "no")]
    {
        let [real, ours] = side_by_side("dumb-init", &["sh", "-c", OBSERVE], &[(variable, value)]);
        assert_eq!(ours.1, real.1, "{variable}={value}");
    }
    let [_, ours] = side_by_side("dumb-init", &["-V"], &[]);
    assert!(ours.2.starts_with("dumb-init v1.2.5"), "{}", ours.2);
}

/// Tells every signal that it gets; ends with TERM.
const TELLS_SIGNALS: &str = "for s in HUP INT QUIT USR1 USR2 ALRM CONT WINCH PWR RTMIN; do trap \"echo $s\" $s; done; \
    trap 'echo TERM; exit 5' TERM; echo ready; while :; do sleep 0.02; done";

#[test]
fn children_get_the_same_signals() {
    let bash_tells = ["bash", "-c", TELLS_SIGNALS];
    for (name, options) in [
        ("tini", &["-s", "--"][..]),
        ("tini", &["-s", "-g", "--"]),
        ("dumb-init", &["--"]),
        ("dumb-init", &["-c"]),
        ("dumb-init", &["-r", "1:10", "-r", "2:0"]),
    ] {
        let (_folder, link) = linked_as(name);
        let real = Path::new("/usr/bin").join(name);
        let transcripts = [real.as_path(), link.as_path()].map(|program| {
            let mut run = Running::start(Command::new(program).args(options).args(bash_tells));
            run.says("ready");
            for signal in [
                Signal::SIGHUP,
                Signal::SIGINT,
                Signal::SIGQUIT,
                Signal::SIGUSR1,
                Signal::SIGUSR2,
                Signal::SIGALRM,
                Signal::SIGWINCH,
                Signal::SIGPWR,
                Signal::SIGCONT,
            ] {
                run.signal(signal);
                // One at a time: signals that are pending together have no order.
                std::thread::sleep(std::time::Duration::from_millis(80));
            }
            run.signal(Signal::SIGTERM);
            (run.code(), run.out())
        });
        assert_eq!(transcripts[1], transcripts[0], "{name} {options:?}");
        assert!(transcripts[0].1.contains("WINCH"), "{}", transcripts[0].1);
    }
}

#[test]
fn dumb_init_ends_the_session_with_its_child_and_tini_does_not() {
    for (name, options) in [("dumb-init", &["--"][..]), ("tini", &["-s", "--"])] {
        let script = "sh -c 'trap \"echo rest got term; exit\" TERM; echo up; n=0; while [ $n -lt 100 ]; do sleep 0.02; \
                      n=$((n+1)); done' & sleep 0.5; exit 4";
        let (_folder, link) = linked_as(name);
        let real = Path::new("/usr/bin").join(name);
        let ends = [real.as_path(), link.as_path()].map(|program| {
            let mut run = Running::start(Command::new(program).args(options).args(["sh", "-c", script]));
            let code = run.code();
            std::thread::sleep(std::time::Duration::from_millis(300));
            (code, run.out())
        });
        assert_eq!(ends[1], ends[0], "{name}");
        assert_eq!(ends[0].1.contains("rest got term"), name == "dumb-init", "{}", ends[0].1);
    }
}

#[test]
fn an_ignored_sigchld_does_not_make_dumb_init_wait_for_ever() {
    let (_folder, link) = linked_as("dumb-init");
    let mut run = Running::start(
        Command::new("env").arg("--ignore-signal=CHLD").arg(link).args(["sh", "-c", "exit 3"]),
    );
    assert_eq!(run.code(), 3);
}

/// `script` gives a program a terminal of its own, as `docker run -it` does. The program takes the place of the
/// shell that `script` starts it with: dash would stay the leader of the session, and `dumb-init` then leaves the
/// terminal to it.
fn on_a_terminal(line: &str) -> Running {
    let line = format!("exec {line}");
    Running::start(Command::new("script").args(["-qec", &line, "/dev/null"]).env("SHELL", "/bin/sh"))
}

#[test]
fn the_command_is_in_the_foreground_of_the_terminal() {
    let observe = "IFS=' ' read -r pid comm state ppid pgrp session tty tpgid rest < /proc/$$/stat; \
        [ $tty != 0 ] && echo has a terminal; [ $tpgid = $pgrp ] && echo is in its foreground; \
        [ $session = $pid ] && echo leads its session";
    let folder = tempfile::tempdir().unwrap();
    let observing = folder.path().join("observe");
    std::fs::write(&observing, format!("{observe}\nexit 3\n")).unwrap();
    for (name, options) in [("tini", "-s --"), ("dumb-init", "--"), ("dumb-init", "-c")] {
        let (_folder, link) = linked_as(name);
        let real = Path::new("/usr/bin").join(name);
        let seen = [real.as_path(), link.as_path()].map(|program| {
            let mut run =
                on_a_terminal(&format!("{} {options} sh {}", program.display(), observing.display()));
            (run.code(), run.out())
        });
        assert_eq!(seen[1], seen[0], "{name} {options}");
        assert!(seen[0].1.contains("is in its foreground"), "{name} {options}: {}", seen[0].1);
    }
    let mut run =
        on_a_terminal(&format!("{} --no-hooks -- sh {}", crate::stage::init(), observing.display()));
    assert_eq!((run.code(), run.out().as_str()), (3, "has a terminal\r\nis in its foreground\r\n"));
}
