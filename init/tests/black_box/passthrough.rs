//! `init --no-hooks -- COMMAND`.

use std::process::Command;
use std::time::Instant;

use nix::sys::signal::Signal;

use crate::stage::{Running, as_pid_one, eventually, init, runs};

fn passthrough(options: &[&str], script: &str) -> Command {
    let mut command = Command::new(init());
    command.arg("--no-hooks").args(options).args(["--", "sh", "-c", script]);
    command
}

#[test]
fn it_ends_with_the_command_s_code_or_128_and_the_signal() {
    for (script, code) in [("exit 0", 0), ("exit 7", 7), ("kill -9 $$", 137), ("kill -TERM $$", 143)] {
        assert_eq!(Running::start(&mut passthrough(&[], script)).code(), code, "{script}");
    }
}

#[test]
fn a_command_that_cannot_start_is_told_and_ends_as_in_a_shell() {
    for (program, code, told) in
        [("no-such-program", 127, "no such program in PATH"), ("/etc/passwd", 126, "Permission denied")]
    {
        let mut run = Running::start(Command::new(init()).args(["--no-hooks", "--", program]));
        assert_eq!(run.code(), code);
        assert!(run.err().contains(program) && run.err().contains(told), "{}", run.said());
    }
}

#[test]
fn signals_reach_the_whole_process_group() {
    let script = "sh -c 'trap \"echo inner got it; exit\" USR1; echo ready; while :; do sleep 0.02; done' & \
                  trap 'echo outer got it' USR1; while kill -0 $! 2>/dev/null; do wait $!; done; exit 5";
    let mut run = Running::start(&mut passthrough(&[], script));
    run.says("ready");
    run.signal(Signal::SIGUSR1);
    assert_eq!(run.code(), 5, "{}", run.said());
    assert!(run.out().contains("inner got it") && run.out().contains("outer got it"), "{}", run.said());
}

#[test]
fn a_signal_can_be_rewritten_or_dropped() {
    let script = "trap 'echo int; exit 3' INT; trap 'echo hup' HUP; echo ready; while :; do sleep 0.02; done";
    let mut run = Running::start(&mut passthrough(&["--rewrite", "TERM:INT", "--rewrite", "1:0"], script));
    run.says("ready");
    run.signal(Signal::SIGHUP);
    run.signal(Signal::SIGTERM);
    assert_eq!(run.code(), 3);
    assert_eq!(run.out(), "ready\nint\n");
}

#[test]
fn term_can_be_held_back() {
    let mut run = Running::start(&mut passthrough(
        &["--term-delay", "700ms"],
        "trap 'echo term; exit 0' TERM; echo ready; while :; do sleep 0.02; done",
    ));
    run.says("ready");
    let sent = Instant::now();
    run.signal(Signal::SIGTERM);
    assert_eq!(run.code(), 0);
    assert!(sent.elapsed().as_millis() >= 700, "ended after {:?}", sent.elapsed());
}

#[test]
fn what_the_command_leaves_in_its_group_gets_term() {
    let script = "sh -c 'trap \"echo rest got term; exit\" TERM; echo ready; while :; do sleep 0.02; done' & \
                  while ! [ -e /proc/self/fd/1 ]; do :; done; sleep 0.5; exit 4";
    let mut run = Running::start(&mut passthrough(&[], script));
    assert_eq!(run.code(), 4);
    assert!(run.out().contains("rest got term"), "{}", run.said());
}

#[test]
fn all_descendants_can_be_waited_for() {
    let script = "setsid sh -c 'sleep 0.7; echo descendant done' & exit 6";
    let mut run = Running::start(&mut passthrough(&["--wait-descendants", "--subreaper"], script));
    assert_eq!(run.code(), 6);
    assert_eq!(run.out(), "descendant done\n");
}

#[test]
fn as_pid_one_it_ends_what_left_the_group_too() {
    let script = "setsid sh -c 'trap \"echo daemon got term; exit\" TERM; echo up; while :; do sleep 0.02; done' & \
                  sleep 0.5; exit 6";
    let Some(mut command) = as_pid_one(&[init(), "--no-hooks", "--", "sh", "-c", script]) else { return };
    let mut run = Running::start(&mut command);
    assert_eq!(run.code(), 6);
    assert!(run.out().contains("daemon got term"), "{}", run.said());
}

#[test]
fn signals_from_outside_and_inside_reach_pid_one() {
    let script = "trap 'echo got usr1' USR1; trap 'echo got term; exit 9' TERM; kill -USR1 1; sleep 0.3; \
                  kill -TERM 1; sleep 30";
    let Some(mut command) = as_pid_one(&[init(), "--no-hooks", "--", "sh", "-c", script]) else { return };
    let mut run = Running::start(&mut command);
    assert_eq!(run.code(), 9, "{}", run.said());
    assert_eq!(run.out(), "got usr1\ngot term\n");
}

#[test]
fn ten_thousand_orphans_are_collected() {
    // Each `( : & )` leaves one orphan. Afterwards nobody but the shell, its `ls` and init may be left.
    let script = "i=0; while [ $i -lt 10000 ]; do ( : & ); i=$((i+1)); done; sleep 1; \
                  ls -d /proc/[0-9]* | wc -l; exit 3";
    let Some(mut command) = as_pid_one(&[init(), "--no-hooks", "--", "sh", "-c", script]) else { return };
    let mut run = Running::start(&mut command);
    assert_eq!(run.code(), 3, "{}", run.said());
    let left: u32 = run.out().trim().parse().unwrap();
    assert!(left <= 4, "{left} processes are left");
}

#[test]
fn a_subreaper_collects_orphans() {
    let script = "( sleep 0.2 & ); sleep 0.6; for s in /proc/[0-9]*/stat; do read -r line < $s 2>/dev/null && \
                  case $line in *\") Z $PPID \"*) echo zombie: $line;; esac; done; exit 0";
    let mut run = Running::start(&mut passthrough(&["--subreaper"], script));
    assert_eq!(run.code(), 0);
    assert_eq!(run.out(), "");
}

#[test]
fn children_get_the_signal_mask_and_dispositions_that_init_was_started_with() {
    let observe = ["grep", "-E", "^Sig(Blk|Ign):", "/proc/self/status"];
    let under = |init: &[&str]| {
        let mut command = Command::new("env");
        command.args(["--ignore-signal=INT,PIPE,HUP,CHLD", "--block-signal=USR1,USR2,RTMIN+1"]);
        let mut run = Running::start(command.args(init).args(observe));
        assert_eq!(run.code(), 0, "{}", run.said());
        run.out()
    };
    let plain = under(&[]);
    assert!(!plain.contains("Blk:\t0000000000000000"), "{plain}");
    assert_eq!(under(&[init(), "--no-hooks", "--"]), plain);
}

#[test]
fn a_stopped_command_stops_init_and_continues_with_it() {
    let mut run = Running::start(&mut passthrough(
        &[],
        "trap 'echo continued' CONT; echo ready; n=0; while [ $n -lt 1000 ]; do sleep 0.02; n=$((n+1)); done",
    ));
    run.says("ready");
    let state = |pid: i32| {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        stat.rsplit(") ").next().and_then(|rest| rest.chars().next())
    };
    run.signal(Signal::SIGTSTP);
    eventually("init stopped", || run.said(), || (state(run.pid()) == Some('T')).then_some(()));
    run.signal(Signal::SIGCONT);
    run.says("continued");
    eventually("init continued", || run.said(), || (state(run.pid()) != Some('T')).then_some(()));
    run.signal(Signal::SIGTERM);
    assert_eq!(run.code(), 143);
}

#[test]
fn the_command_dies_with_its_group_when_it_ignores_term() {
    let script = "sh -c 'trap \"\" TERM; echo $$; while :; do sleep 0.1; done' & sleep 0.4; exit 2";
    let mut run = Running::start(&mut passthrough(&[], script));
    assert_eq!(run.code(), 2);
    let pid = run.out().trim().parse().unwrap();
    assert!(!runs(pid), "process {pid} is left");
    assert!(run.err().is_empty() || run.err().contains("SIGKILL"), "{}", run.said());
}
