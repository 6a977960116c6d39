//! Which job starts when.

use std::collections::BTreeSet;
use std::process::Command;

use biomero_slurm::job::{After, Array, JobId, State};
use biomero_tests::{Result, Trouble, process};

use super::{Machine, PATIENCE};

#[test]
fn jobs_start_in_the_order_of_their_submission() -> Result<()> {
    let machine = Machine::new(1)?;
    let mut last = None;
    for number in 0..12 {
        let mut asked = machine.job("#!/bin/sh\necho $1 >> order\n")?;
        asked.arguments = vec![number.to_string()];
        last = Some(machine.submit(&asked)?);
    }
    machine.ended(last.ok_or_else(|| Trouble::new("no job"))?)?;
    let expected: Vec<String> = (0..12).map(|number| number.to_string()).collect();
    assert_eq!(machine.lines("order", 12)?, expected);
    Ok(())
}

#[test]
fn an_array_of_fifty_has_two_tasks_at_once() -> Result<()> {
    let machine = Machine::new(8)?;
    let mut asked = machine.job(
        "#!/bin/sh\nmkdir at-$SLURM_ARRAY_TASK_ID && sleep 0.2\nls -d at-* | wc -l >> counts\n\
         rmdir at-$SLURM_ARRAY_TASK_ID\necho \"$SLURM_ARRAY_TASK_ID of $SLURM_ARRAY_TASK_COUNT\"\nexit $((SLURM_ARRAY_TASK_ID == 7))\n",
    )?;
    asked.array = Some(Array { first: 1, last: 50, at_once: Some(2) });
    let id = machine.submit(&asked)?;
    let tasks = machine.ended(id)?;
    assert_eq!(tasks.len(), 50);
    for task in &tasks {
        let expected = if task.id.task == Some(7) { State::Failed } else { State::Completed };
        assert_eq!(task.state, expected, "{task:?}");
    }
    let counts: BTreeSet<String> =
        machine.lines("counts", 50)?.iter().map(|count| count.trim().to_owned()).collect();
    assert!(counts.is_subset(&["1".to_owned(), "2".to_owned()].into()), "{counts:?}");
    assert!(counts.contains("2"), "they run beside each other: {counts:?}");
    assert_eq!(machine.log(JobId { task: Some(50), ..id })?, "50 of 50\n");
    assert!(machine.exists(&format!("job-{id}_1.log")));
    Ok(())
}

#[test]
fn a_task_of_an_array_is_cancelled_alone() -> Result<()> {
    let machine = Machine::new(2)?;
    let mut asked = machine.job("#!/bin/sh\necho x >> began\nwhile ! [ -e go ]; do sleep 0.1; done\n")?;
    asked.array = Some(Array { first: 0, last: 2, at_once: None });
    let id = machine.submit(&asked)?;
    machine.lines("began", 2)?;
    machine.executor.cancel(&[JobId { task: Some(1), ..id }]).map_err(super::said)?;
    machine.lines("began", 3)?;
    std::fs::write(machine.scratch.path().join("go"), "").map_err(Trouble::doing("let them go"))?;
    let states: Vec<State> = machine.ended(id)?.iter().map(|task| task.state).collect();
    assert_eq!(states, [State::Completed, State::Cancelled, State::Completed]);
    Ok(())
}

#[test]
fn what_depends_on_another_waits_for_it_or_is_cancelled() -> Result<()> {
    let machine = Machine::new(4)?;
    let first = machine
        .run("#!/bin/sh\nwhile ! [ -e go ]; do sleep 0.1; done\necho first >> order\nexit 1\n", &[])?;
    let after = |after: After, name: &str| -> Result<JobId> {
        let mut asked = machine.job("#!/bin/sh\necho $1 >> order\n")?;
        asked.arguments = vec![name.to_owned()];
        asked.after = Some(after);
        machine.submit(&asked)
    };
    let any = after(After::Ended(vec![first]), "any")?;
    let succeeded = after(After::Succeeded(vec![first]), "succeeded")?;
    let last = after(After::Succeeded(vec![any]), "last")?;
    let job = machine.one(last)?;
    assert_eq!((job.state, job.reason.as_deref()), (State::Pending, Some("Dependency")));
    std::fs::write(machine.scratch.path().join("go"), "").map_err(Trouble::doing("let it go"))?;
    assert_eq!(machine.one_ended(last)?.state, State::Completed);
    assert_eq!(machine.one_ended(any)?.state, State::Completed);
    let job = machine.one_ended(succeeded)?;
    assert_eq!((job.state, job.reason.as_deref()), (State::Cancelled, Some("DependencyNeverSatisfied")));
    assert_eq!(machine.lines("order", 3)?, ["first", "any", "last"]);
    Ok(())
}

#[test]
fn two_programs_that_submit_at_once_run_each_job_once() -> Result<()> {
    let machine = Machine::new(4)?;
    let script = machine.scratch.path().join("job.sh");
    std::fs::write(&script, "#!/bin/sh\necho $1 >> ran\n").map_err(Trouble::doing("write a script"))?;
    let programs = ["one", "two"].map(|prefix| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_queue_jobs"));
        command.arg(machine.scratch.path().join("queue")).arg(&script).args([prefix, "100", "20"]);
        std::thread::spawn(move || process::succeed(&mut command, PATIENCE))
    });
    for program in programs {
        program.join().map_err(|_| Trouble::new("a thread ended early"))??;
    }
    biomero_tests::wait::until("an empty queue", PATIENCE, &[], || {
        machine.executor.queue().ok().filter(Vec::is_empty)
    })?;
    let ran = machine.lines("ran", 220)?;
    let different: BTreeSet<&String> = ran.iter().collect();
    assert_eq!((ran.len(), different.len()), (220, 220));
    Ok(())
}
