//! `select`, `list`, `show`, `stats` and `export`.

use std::process::Stdio;

use biomero_tests::{Result, Trouble};
use serde_json::{Value, json};

use super::stage::{Stage, TASK, WORKFLOW, bytes, fields, objects, samples};

#[test]
fn select_is_what_python_calls_so_without_its_limit() -> Result<()> {
    let stage = Stage::with_history("processor_select")?;
    let ids = |arguments: &[&str]| -> Result<Vec<Value>> {
        Ok(stage.objects(arguments)?.iter().map(|object| object["id"].clone()).collect())
    };
    assert_eq!(ids(&["select"])?, (1..=10).map(Value::from).collect::<Vec<_>>());
    assert_eq!(ids(&["select", "--start", "40", "--limit", "10"])?, [40, 41, 42].map(Value::from));
    assert_eq!(ids(&["select", "--start", "54", "--limit", "10"])?, [] as [Value; 0]);
    assert_eq!(ids(&["select", "--limit", "100000"])?.len(), 42);
    assert_eq!(
        ids(&["select", "--topic", "TaskFailed", "--topic", "WorkflowFailed"])?,
        [41, 42].map(Value::from)
    );
    assert_eq!(ids(&["select", "--topic", "Task", "--limit", "2"])?, [2, 4].map(Value::from));
    Ok(())
}

#[test]
fn an_event_is_an_object_for_programs_and_a_line_for_people() -> Result<()> {
    let stage = Stage::with_history("processor_select_shapes")?;
    let event = stage.object(&["select", "--start", "41", "--limit", "1"])?;
    assert_eq!(
        event,
        json!({
            "id": 41,
            "originator_id": "749cc9bd-2e23-4676-b120-651389b8d968",
            "originator_version": 4,
            "topic": "biomero.eventsourcing:Task.TaskFailed",
            "state": {
                "timestamp": { "_type_": "datetime_iso", "_data_": "2026-11-22T19:11:23.673401+00:00" },
                "error_message": "Slurm job state FAILED",
            },
        })
    );
    assert_eq!(
        stage.succeed(&["select", "--start", "41", "--limit", "1"])?,
        "    ID  TIME (UTC)           ORIGINATOR                             V  EVENT              WHAT\n    41  2026-11-22 19:11:23  749cc9bd-2e23-4676-b120-651389b8d968   4  TaskFailed         error_message=\"Slurm job state FAILED\"\n"
    );
    let none = stage.succeed(&["select", "--start", "43"])?;
    assert!(none.starts_with("no events from id 43 on in postgresql://"), "{none}");
    Ok(())
}

#[test]
fn workflow_runs_are_listed_newest_first_by_pages_and_filters() -> Result<()> {
    let stage = Stage::with_history("processor_list")?;
    let ids = |arguments: &[&str]| -> Result<Vec<Value>> {
        let rows = stage.objects(&[&["list"], arguments].concat())?;
        Ok(rows.iter().map(|row| row["workflow_id"].clone()).collect())
    };
    let failed = "3ae47682-f2b4-4f54-a772-fe9d1d8243c4";
    assert_eq!(ids(&[])?, [failed, WORKFLOW]);
    assert_eq!(ids(&["--limit", "1", "--offset", "1"])?, [WORKFLOW]);
    assert_eq!(ids(&["--status", "FAI*"])?, [failed]);
    assert_eq!(ids(&["--user", "2"])?, [WORKFLOW]);
    assert_eq!(ids(&["--name", "cellpose"])?, [WORKFLOW]);
    assert_eq!(ids(&["--since", "2026-11-22T19:11:23Z", "--until", "2036-01-01"])?, [failed]);
    let text = stage.succeed(&["list", "--limit", "1"])?;
    assert!(text.contains("FAILED") && text.ends_with("1 of 2 so far; --offset 1 goes on\n"), "{text}");
    Ok(())
}

#[test]
fn a_workflow_run_is_shown_with_its_tasks_their_jobs_and_how_long_each_took() -> Result<()> {
    let stage = Stage::with_history("processor_show")?;
    let text = stage.succeed(&["show", WORKFLOW])?;
    for line in [
        "workflow run 0b0367c8-05d5-44e7-8ca9-82c71453c899: completed after 1.0s\n",
        "  user, group  2, 3\n",
        "   3  a372a613-c846-4764-8b8e-746ccad6d55b  cellpose                  v1.2.7   completed  0.4s  Job 42 is COMPLETED.\n",
        " 42     3  2026-11-22 19:11:23  COMPLETED  0.2s      100%\n",
        "33  2026-11-22 19:11:23   1.0s         5  WorkflowCompleted\n",
    ] {
        assert!(text.contains(line), "{line}\nis not in\n{text}");
    }
    let run = stage.object(&["show", WORKFLOW])?;
    assert_eq!(run["kind"], "WorkflowRun");
    assert_eq!((&run["user"], &run["group"], &run["state"]), (&json!(2), &json!(3), &json!("completed")));
    assert_eq!(run["tasks"].as_array().map(Vec::len), Some(4));
    assert_eq!(run["tasks"][2]["jobs"][0]["job_id"], 42);
    assert_eq!(run["events"].as_array().map(Vec::len), Some(33));
    Ok(())
}

#[test]
fn a_task_is_shown_with_what_python_knows_of_it() -> Result<()> {
    let stage = Stage::with_history("processor_show_task")?;
    let task = stage.object(&["show", TASK])?;
    assert_eq!(task["kind"], "Task");
    assert_eq!(task["workflow_id"], WORKFLOW);
    assert_eq!((&task["version"], &task["task_name"]), (&json!(12), &json!("cellpose")));
    assert_eq!(task["params"]["cp_model"], "nuclei — é");
    assert_eq!(task["results"][0]["stdout"], "Submitted batch job 42\n");
    assert_eq!(task["jobs"][0]["status"], "COMPLETED");
    let text = stage.succeed(&["show", TASK])?;
    assert!(text.starts_with(&format!("task {TASK}: completed after 0.4s\n")), "{text}");
    assert!(text.contains(&format!("  workflow run  {WORKFLOW}\n")), "{text}");
    Ok(())
}

#[test]
fn a_row_that_is_no_event_is_shown_in_its_place_with_what_to_do() -> Result<()> {
    let stage = Stage::with_history("processor_show_corrupt")?;
    stage.psql("UPDATE workflowtracker_events SET state = 'no JSON' WHERE id = 21")?;
    let text = stage.ends_with(65, &["show", WORKFLOW])?;
    let line = text.lines().find(|line| line.starts_with("21 ")).unwrap_or_default();
    assert!(line.contains("event 21 of the log") && line.contains("keep a copy of that row"), "{text}");
    assert!(text.contains("completed after 1.0s"), "what is behind it counts:\n{text}");
    let output = stage.run(&["show", TASK, "--json"])?;
    assert_eq!(output.status.code(), Some(65));
    let task = objects(&String::from_utf8_lossy(&output.stdout))?.remove(0);
    let corrupt: Vec<&Value> =
        task["events"].as_array().into_iter().flatten().filter(|event| !event["corrupt"].is_null()).collect();
    assert_eq!(corrupt.len(), 1);
    assert_eq!(corrupt[0]["state_hex"], "6e6f204a534f4e");
    Ok(())
}

#[test]
fn stats_counts_what_python_counts() -> Result<()> {
    let stage = Stage::with_history("processor_stats")?;
    let stats = stage.object(&["stats", "--task", "cellpose"])?;
    assert_eq!((&stats["events"], &stats["behind"]), (&json!(42), &json!(0)));
    assert_eq!(
        stats["jobs"],
        json!([{ "user": -1, "jobs": 1, "completed": 0 }, { "user": 2, "jobs": 2, "completed": 2 }])
    );
    assert_eq!(
        stats["workflows"],
        json!([{ "status": "DONE", "count": 1 }, { "status": "FAILED", "count": 1 }])
    );
    let cellpose = &stats["tasks"]
        .as_array()
        .and_then(|tasks| tasks.iter().find(|task| task["task_version"] == "v1.2.7"))
        .cloned()
        .unwrap_or_default();
    assert_eq!((&cellpose["count"], &cellpose["ended"]), (&json!(1), &json!(1)));
    assert!(
        cellpose["average_seconds"].as_f64().is_some_and(|seconds| (seconds - 0.357911).abs() < 1e-6),
        "{cellpose}"
    );
    assert_eq!(stats["days"].as_array().map(Vec::len), Some(1));
    assert_eq!(
        stage.object(&["stats", "--user", "2"])?["workflows"],
        json!([{ "status": "DONE", "count": 1 }])
    );
    let text = stage.succeed(&["stats"])?;
    for line in ["42 events in postgresql://", "the views are up to date\n", "StatusUpdated          8\n"] {
        assert!(text.contains(line), "{text}");
    }
    Ok(())
}

#[test]
fn an_export_holds_every_byte() -> Result<()> {
    let stage = Stage::with_history("processor_export")?;
    assert_eq!(stage.succeed(&["export", "--format", "psv"])?, samples()?);
    stage.psql("UPDATE workflowtracker_events SET state = '\\xff00' WHERE id = 41; UPDATE workflowtracker_events SET state = convert_to(E'a,\"b\"\\n', 'UTF8') WHERE id = 42")?;
    let expected = |id: &str, state: &str| match id {
        "41" => vec![0xff, 0],
        "42" => b"a,\"b\"\n".to_vec(),
        _ => bytes(state),
    };
    let exported = objects(&stage.succeed(&["export"])?)?;
    let csv = stage.succeed(&["export", "--format", "csv"])?;
    let mut csv = records(&csv).into_iter().skip(1);
    for (line, object) in samples()?.lines().zip(exported) {
        let [id, originator, version, topic, state] = fields(line);
        let expected = expected(id, state);
        assert_eq!(object["originator_id"], originator);
        assert_eq!(original(object["state"].as_str().unwrap_or_default()), expected);
        let record = csv.next().ok_or_else(|| Trouble::new("a row is missing"))?;
        assert_eq!(record[..4], [id, originator, version, topic].map(str::to_owned));
        assert_eq!(original(&record[4]), expected);
    }
    assert_eq!(csv.next(), None);
    Ok(())
}

/// The bytes that an export has written as this text.
fn original(text: &str) -> Vec<u8> {
    text.strip_prefix("\\x").map_or_else(|| text.as_bytes().to_vec(), bytes)
}

/// The records of RFC 4180.
fn records(text: &str) -> Vec<Vec<String>> {
    let (mut records, mut record, mut field, mut quoted) = (Vec::new(), Vec::new(), String::new(), false);
    let mut letters = text.chars().peekable();
    while let Some(letter) = letters.next() {
        match letter {
            '"' if quoted && letters.peek() == Some(&'"') => field.extend(letters.next()),
            '"' => quoted = !quoted,
            ',' if !quoted => record.push(std::mem::take(&mut field)),
            '\r' if !quoted => {}
            '\n' if !quoted => {
                record.push(std::mem::take(&mut field));
                records.push(std::mem::take(&mut record));
            }
            letter => field.push(letter),
        }
    }
    records
}

#[test]
fn a_reader_that_has_enough_is_no_error() -> Result<()> {
    let stage = Stage::with_history("processor_pipe")?;
    let mut command = stage.command(&["export"]);
    let mut child =
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().map_err(Trouble::doing("start it"))?;
    drop(child.stdout.take());
    let output = child.wait_with_output().map_err(Trouble::doing("wait for it"))?;
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    Ok(())
}

#[test]
fn an_answer_that_cannot_be_written_is_told() -> Result<()> {
    let stage = Stage::with_history("processor_full")?;
    let full = std::fs::File::options().write(true).open("/dev/full");
    let mut command = stage.command(&["export"]);
    command.stdout(full.map_err(Trouble::doing("open /dev/full"))?).stderr(Stdio::piped());
    let child = command.spawn().map_err(Trouble::doing("start it"))?;
    let output = child.wait_with_output().map_err(Trouble::doing("wait for it"))?;
    assert_eq!(output.status.code(), Some(73));
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(told.starts_with("processor: error: cannot write the answer: No space left on device"), "{told}");
    Ok(())
}
