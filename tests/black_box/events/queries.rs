//! The questions that Python's listeners answer, asked of both sides about the same views.

use std::collections::BTreeMap;

use biomero_events::query::{TaskStatistics, Whose};
use biomero_tests::biomero::{Biomero, LISTENERS};
use biomero_tests::scenario::{self, Call};
use biomero_tests::scratch::Scratch;
use biomero_tests::{Result, postgres};
use serde_json::{Value, json};

use super::ours::Ours;

/// Everybody's, a user's, a group's, both; and those of somebody who has none.
const WHOSE: [(Option<i32>, Option<i32>); 5] =
    [(None, None), (Some(1), None), (None, Some(2)), (Some(0), Some(1)), (Some(99), None)];

/// What Python answers, its dictionaries as sorted pairs.
fn theirs(python: &mut Biomero, listener: &str, method: &str, arguments: &Value) -> Result<Value> {
    python.ask("ask", &json!({ "listener": listener, "method": method, "arguments": arguments }))
}

/// Pairs in the order in which the driver puts Python's.
fn pairs(pairs: impl IntoIterator<Item = (Value, Value)>) -> BTreeMap<String, Value> {
    pairs.into_iter().map(|(key, value)| (key.to_string(), value)).collect()
}

fn of_python(answer: &Value) -> BTreeMap<String, Value> {
    pairs(answer.as_array().into_iter().flatten().map(|pair| (pair[0].clone(), pair[1].clone())))
}

fn by_task(
    statistics: &[TaskStatistics],
    value: impl Fn(&TaskStatistics) -> Option<Value>,
) -> BTreeMap<String, Value> {
    let key = |task: &TaskStatistics| json!([task.task.name, task.task.version]);
    pairs(statistics.iter().filter_map(|task| Some((key(task), value(task)?))))
}

/// Lists are sets here: Python's come in the order in which the database has the rows.
fn sorted(mut answers: BTreeMap<String, Value>) -> BTreeMap<String, Value> {
    for list in answers.values_mut().filter_map(Value::as_array_mut) {
        list.sort_by_key(Value::to_string);
    }
    answers
}

#[test]
fn each_question_has_the_answer_that_pythons_listeners_give() -> Result<()> {
    let (server, scratch) = (postgres::shared()?, Scratch::new()?);
    let mut python = Biomero::start(scratch.path())?;
    let url = server.create_database("queries")?;
    python.open(&url, &LISTENERS)?;
    python.play(&scenario::calls(31, 160).iter().map(Call::to_json).collect::<Vec<_>>())?;
    let ours = Ours::initialised(&url)?;
    let log = ours.log();
    let everybody = ours.block(log.task_statistics(Whose::default()))?;
    assert!(everybody.iter().any(|task| !task.failures.is_empty() && task.average_seconds.is_some()));
    for (user, group) in WHOSE {
        let (whose, asked) = (Whose { user, group }, json!({ "user": user, "group": group }));

        let mut jobs = BTreeMap::<i32, Vec<i32>>::new();
        for job in ours.block(log.jobs(whose, &[]))? {
            jobs.entry(job.user).or_default().push(job.slurm_job_id);
        }
        let found = of_python(&theirs(&mut python, "jobAccounting", "get_jobs", &asked)?);
        if user.is_none() && group.is_none() {
            let listed = pairs(jobs.iter().map(|(user, jobs)| (json!(user), json!(jobs))));
            assert_eq!(sorted(listed), sorted(found));
        } else {
            // Python puts all of them under the user that was asked for, who may be nobody.
            let listed: Vec<i32> = jobs.into_values().flatten().collect();
            assert_eq!(sorted(pairs([(json!(user), json!(listed))])), sorted(found), "{whose:?}");
        }

        let statistics = ours.block(log.task_statistics(whose))?;
        let counts = theirs(&mut python, "workflowAnalytics", "get_task_counts", &asked)?;
        assert_eq!(by_task(&statistics, |task| Some(json!(task.count))), of_python(&counts), "{whose:?}");
        let failures = theirs(&mut python, "workflowAnalytics", "get_task_failures", &asked)?;
        let listed = |task: &TaskStatistics| (!task.failures.is_empty()).then(|| json!(task.failures));
        assert_eq!(sorted(by_task(&statistics, listed)), sorted(of_python(&failures)), "{whose:?}");

        let durations =
            of_python(&theirs(&mut python, "workflowAnalytics", "get_average_task_duration", &asked)?);
        let averages = by_task(&statistics, |task| task.average_seconds.map(Value::from));
        assert_eq!(averages.keys().collect::<Vec<_>>(), durations.keys().collect::<Vec<_>>(), "{whose:?}");
        for (task, average) in &averages {
            // A decimal number of Python's is text in JSON.
            let python = durations[task].as_str().and_then(|text| text.parse::<f64>().ok());
            let close =
                average.as_f64().zip(python).is_some_and(|(ours, theirs)| (ours - theirs).abs() < 1e-6);
            assert!(close, "{task}: {average} and {}", durations[task]);
        }
    }
    Ok(())
}

#[test]
fn a_jobs_task_and_a_tasks_days_are_pythons() -> Result<()> {
    let (server, scratch) = (postgres::shared()?, Scratch::new()?);
    let mut python = Biomero::start(scratch.path())?;
    let url = server.create_database("queries_of_days")?;
    server.psql("postgres", "ALTER DATABASE queries_of_days SET timezone = 'Europe/Amsterdam'")?;
    python.open(&url, &LISTENERS)?;
    python.play(&scenario::calls(32, 120).iter().map(Call::to_json).collect::<Vec<_>>())?;
    // Before the views are changed by hand: it writes them as the log has them.
    let ours = Ours::initialised(&url)?;
    // Of tasks with one name, one today, one a second before midnight, and so on back.
    server.psql(
        "queries_of_days",
        "UPDATE biomero_task_execution AS task
         SET start_time = date_trunc('day', start_time) - (earlier - 1) * interval '1 day' - interval '1 second'
         FROM (SELECT task_id, row_number() OVER (PARTITION BY task_name) - 1 AS earlier FROM biomero_task_execution)
              AS numbered
         WHERE numbered.task_id = task.task_id AND earlier > 0",
    )?;
    let log = ours.log();
    for job in [1, 2, 3, 40, 41, 42, -1, 2_147_483_647, 7_777] {
        let task = ours.block(log.task_of_job(job))?;
        assert_eq!(
            json!(task),
            theirs(&mut python, "jobAccounting", "get_task_id", &json!([job]))?,
            "job {job}"
        );
    }
    let statistics = ours.block(log.task_statistics(Whose::default()))?;
    let mut names: Vec<&str> = statistics.iter().map(|task| task.task.name.as_str()).collect();
    names.push("nobody runs this");
    let mut days = 0;
    for name in names {
        for (user, group) in WHOSE {
            let usage = ours.block(log.usage_over_time(name, Whose { user, group }))?;
            let date = |day: &biomero_events::query::DayUsage| {
                format!("{:04}-{:02}-{:02}", day.date.year(), u8::from(day.date.month()), day.date.day())
            };
            let asked = json!({ "task_name": name, "user": user, "group": group });
            let found = theirs(&mut python, "workflowAnalytics", "get_task_usage_over_time", &asked)?;
            let counted = pairs(usage.iter().map(|day| (json!(date(day)), json!(day.count))));
            assert_eq!(counted, of_python(&found), "{name}, {user:?}, {group:?}");
            days = days.max(usage.len());
        }
    }
    assert!(days > 1, "tasks that ran on several days are among them");
    Ok(())
}
