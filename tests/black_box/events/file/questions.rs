//! The same answers from a file as from the server.

use std::collections::BTreeMap;
use std::time::Duration;

use biomero_events::query::{Page, Whose, WorkflowFilter};
use biomero_events::worker::JobUsage;
use biomero_tests::scratch::Scratch;
use biomero_tests::{Result, postgres, scenario, views};
use uuid::Uuid;

use super::{Ours, copied, file, told};

#[test]
fn a_file_answers_every_question_as_the_server_does() -> Result<()> {
    let (server, scratch) = (postgres::shared()?, Scratch::new()?);
    for seed in [210, 211] {
        let name = format!("asked_{seed}");
        let url = server.create_database(&name)?;
        let (_, file) = file(&scratch, &name);
        let theirs = Ours::initialised(&url)?;
        views::insert(&server, &name, &scenario::rows(seed, 200), scratch.path())?;
        // As two Python workers at once leave it: an event that came twice, and one that is missing.
        server.psql(
            &name,
            "INSERT INTO workflowtracker_events (originator_id, originator_version, topic, state)
             SELECT originator_id, last + step, topic, state
             FROM (SELECT *, max(originator_version) OVER (PARTITION BY originator_id) AS last FROM workflowtracker_events) AS rows,
                  (VALUES (1), (2), (7)) AS steps (step)
             WHERE topic LIKE '%WorkflowStarted' ORDER BY id LIMIT 6",
        )?;
        theirs.block(theirs.log().catch_up())?;
        theirs.block(theirs.log().record_job_usage(&[usage(1, Some(2)), usage(2, None)]))?;
        copied(&url, &file)?.map_err(told)?;
        let ours = Ours::open(&file)?;
        let [expected, answers] = [&theirs, &ours].map(answers);
        let (expected, answers) = (expected?, answers?);
        for (question, expected) in &expected {
            assert_eq!(answers.get(question), Some(expected), "seed {seed}: {question}");
        }
        for question in ["repetitions", "gaps", "usage of jobs", "workflows of user 1"] {
            assert!(expected[question].len() > 20, "seed {seed}: {question}: {}", expected[question]);
        }
        let (expected, answers) =
            [&theirs, &ours].map(|log| log.block(log.log().task_statistics(Whose::default()))).into();
        for (expected, answer) in expected?.iter().zip(answers?) {
            let near = |one: Option<f64>, other: Option<f64>| {
                one.zip(other).map_or(one == other, |(one, other)| (one - other).abs() < 1e-6)
            };
            assert!(near(expected.average_seconds, answer.average_seconds), "{expected:?} {answer:?}");
            assert_eq!(
                (&expected.task, expected.count, expected.ended),
                (&answer.task, answer.count, answer.ended)
            );
            assert_eq!(expected.failures, answer.failures);
        }
    }
    Ok(())
}

fn usage(job: i64, user: Option<i32>) -> JobUsage {
    let submitted = std::time::UNIX_EPOCH + Duration::from_micros(1_774_745_000_123_456);
    JobUsage {
        cluster: "spider".to_owned(),
        slurm_job_id: job,
        submitted: submitted.into(),
        task_id: None,
        user,
        group: Some(1),
        job_state: "COMPLETED".to_owned(),
        exit_code: Some(0),
        signal: None,
        partition: None,
        node_list: Some("wn-[1-2]".to_owned()),
        started: Some(submitted.into()),
        ended: None,
        elapsed_seconds: Some(100),
        allocated_cpus: Some(4),
        cpu_seconds: Some(350.25),
        max_rss_bytes: Some(1 << 35),
    }
}

/// What a log answers to all questions but for the average, as text.
fn answers(ours: &Ours) -> Result<BTreeMap<&'static str, String>> {
    let log = ours.log();
    let whose = |user| Whose { user: Some(user), group: None };
    let text = |answer: &dyn std::fmt::Debug| format!("{answer:?}");
    let listed = |filter: WorkflowFilter, offset, limit| {
        ours.block(log.workflows(&filter, Page { offset, limit })).map(|listed| text(&listed))
    };
    let all = WorkflowFilter::default;
    let newest = ours.block(log.workflows(&all(), Page { offset: 0, limit: 1 }))?.rows;
    let middle = newest.first().map(|row| row.start_time - Duration::from_secs(86_400));
    let id = newest.first().map_or_else(Uuid::nil, |row| row.workflow_id);
    let status = |status: &str| WorkflowFilter { status: Some(status.to_owned()), ..all() };
    Ok(BTreeMap::from([
        ("all jobs", text(&ours.block(log.jobs(Whose::default(), &[]))?)),
        ("jobs of user 1", text(&ours.block(log.jobs(whose(1), &[]))?)),
        ("some jobs", text(&ours.block(log.jobs(Whose::default(), &[1, 41, 99, -1]))?)),
        ("the task of a job", text(&ours.block(log.task_of_job(41))?)),
        ("usage over time", text(&ours.block(log.usage_over_time("cellpose", Whose::default()))?)),
        ("workflows", listed(all(), 0, 100)?),
        ("workflows of user 1", listed(WorkflowFilter { whose: whose(1), ..all() }, 0, 100)?),
        ("the second page", listed(all(), 1, 2)?),
        ("behind the last page", listed(all(), 100, 10)?),
        ("failed workflows", listed(status("FAILED"), 0, 100)?),
        ("workflows at a job", listed(status("JOB_*"), 0, 100)?),
        ("workflows by a pattern's letters", listed(status("J_B%"), 0, 100)?),
        ("workflows by name", listed(WorkflowFilter { name: Some("cellpose".to_owned()), ..all() }, 0, 9)?),
        ("new workflows", listed(WorkflowFilter { since: middle, ..all() }, 0, 100)?),
        ("old workflows", listed(WorkflowFilter { until: middle, ..all() }, 0, 100)?),
        ("a workflow", text(&ours.block(log.workflow_row(id))?)),
        ("a timeline", text(&ours.block(log.timeline(id))?)),
        ("the standing", text(&ours.block(log.standing())?)),
        ("repetitions", text(&ours.block(log.repetitions(100))?)),
        ("gaps", text(&ours.block(log.gaps(100))?)),
        ("usage of jobs", text(&ours.block(log.job_usage(Whose::default(), 10))?)),
        ("usage of the jobs of a user", text(&ours.block(log.job_usage(whose(2), 10))?)),
        ("usage by user", text(&ours.block(log.usage_by_user(Whose::default()))?)),
    ]))
}
