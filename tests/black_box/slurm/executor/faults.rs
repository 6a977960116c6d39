//! What goes wrong around a job: runners that are killed, machines that go down, programs that are not there.

use std::path::PathBuf;

use biomero_slurm::executor::Executor;
use biomero_slurm::job::State;
use biomero_tests::{Result, Trouble, binary, wait};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::{FAMILY, MEMBERS, Machine, PATIENCE, left, options, said};

fn pid(text: &str) -> Result<Pid> {
    text.trim().parse().map(Pid::from_raw).map_err(|_| Trouble::new(format!("{text} is no process")))
}

#[test]
fn a_runner_that_is_killed_is_a_failed_node_and_leaves_nothing() -> Result<()> {
    let machine = Machine::new(1)?;
    let id = machine.run(&FAMILY.replacen("trap", "echo $PPID > runner\ntrap", 1), &[])?;
    let next = machine.run("#!/bin/sh\necho next >> order\n", &[])?;
    let pids = machine.lines("pids", MEMBERS)?;
    kill(pid(&machine.lines("runner", 1)?.concat())?, Signal::SIGKILL)
        .map_err(|errno| Trouble::new(format!("the runner: {errno}")))?;
    let job = machine.one_ended(id)?;
    assert_eq!((job.state, job.exit), (State::NodeFail, None), "{job:?}");
    assert_eq!(left(&pids), [""; 0]);
    assert_eq!(machine.one_ended(next)?.state, State::Completed, "the queue goes on");
    Ok(())
}

#[test]
fn a_runner_that_is_told_to_end_ends_its_job_first() -> Result<()> {
    let machine = Machine::new(1)?;
    let id = machine.run(&FAMILY.replacen("trap", "echo $PPID > runner\ntrap", 1), &[])?;
    let pids = machine.lines("pids", MEMBERS)?;
    kill(pid(&machine.lines("runner", 1)?.concat())?, Signal::SIGTERM)
        .map_err(|errno| Trouble::new(format!("the runner: {errno}")))?;
    assert_eq!(machine.one_ended(id)?.state, State::NodeFail);
    assert_eq!(left(&pids), [""; 0]);
    assert!(machine.log(id)?.contains("told its runner to end"));
    Ok(())
}

#[test]
fn a_runner_that_never_comes_up_is_given_up_and_its_script_never_begins() -> Result<()> {
    let machine = Machine::with(1, PathBuf::from("/bin/false"))?;
    let id = machine.run("#!/bin/sh\ntouch began\n", &[])?;
    let job = machine.one_ended(id)?;
    assert_eq!(job.state, State::NodeFail);
    assert!(job.reason.is_some_and(|reason| reason.contains("could not be started")));
    assert!(!machine.exists("began"));

    // One that is there again in time is not held against the job.
    let Machine { scratch, .. } = &machine;
    let waiting = machine.run("#!/bin/sh\ntouch began\n", &[])?;
    let repaired = Executor::open(&scratch.path().join("queue"), options(scratch, 1, binary::processor()?))
        .map_err(said)?;
    wait::until("the job's end", PATIENCE, &[], || {
        repaired.states(&[waiting]).ok()?.into_iter().find(|job| job.state == State::Completed)
    })?;
    assert!(machine.exists("began"));
    Ok(())
}

#[test]
fn a_job_outlives_whoever_submitted_it() -> Result<()> {
    let machine = Machine::new(1)?;
    let id = machine.run("#!/bin/sh\necho begun >> order\nwhile ! [ -e go ]; do sleep 0.1; done\n", &[])?;
    machine.lines("order", 1)?;
    // Another program, which knows no more than the folder.
    let other = Executor::resume(&machine.scratch.path().join("queue")).map_err(said)?;
    let job = other.states(&[id]).map_err(said)?.pop().ok_or_else(|| Trouble::new("no job"))?;
    assert_eq!(job.state, State::Running);
    std::fs::write(machine.scratch.path().join("go"), "").map_err(Trouble::doing("let it go"))?;
    wait::until("the job's end", PATIENCE, &[], || {
        other.states(&[id]).ok()?.into_iter().find(|job| job.state == State::Completed)
    })?;
    Ok(())
}

#[test]
fn a_damaged_job_stops_no_other() -> Result<()> {
    let machine = Machine::new(1)?;
    let damaged = machine.run("#!/bin/sh\n", &[("cpus-per-task", "64")])?;
    let path = machine.scratch.path().join(format!("queue/live/{}/standing.json", damaged.job));
    std::fs::write(&path, "{").map_err(Trouble::doing("damage a file"))?;
    let next = machine.run("#!/bin/sh\n", &[])?;
    assert_eq!(machine.one_ended(next)?.state, State::Completed);
    let told = machine.executor.states(&[damaged]).err().map(|error| error.to_string()).unwrap_or_default();
    assert!(told.contains("standing.json is damaged"), "{told}");
    Ok(())
}

#[test]
fn a_job_that_was_not_put_away_is_put_away_by_the_next() -> Result<()> {
    let machine = Machine::new(1)?;
    let id = machine.run("#!/bin/sh\n", &[])?;
    machine.ended(id)?;
    let place = |name: &str| machine.scratch.path().join("queue").join(name).join(id.to_string());
    std::fs::rename(place("ended"), place("live")).map_err(Trouble::doing("undo the last step"))?;
    assert_eq!(machine.one(id)?.state, State::Completed);
    assert!(place("ended").is_dir() && !place("live").exists());
    Ok(())
}
