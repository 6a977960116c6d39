//! The sequence of calls, call by call, against that of OMERO's own processor.

use serde_json::{Value, json};

use crate::support::{Grid, until};

/// What OMERO's own calls in a phase.
fn recorded(phase: &str) -> Vec<&'static str> {
    let text = include_str!("../fixtures/calls-of-omeros-own.txt");
    let lines = text.lines().skip_while(|line| *line != phase).skip(1);
    lines.map_while(|line| line.strip_prefix("  ")).collect()
}

/// What was called since, in the words of the record.
fn called(grid: &mut Grid, from: usize) -> Vec<String> {
    let state = grid.has("state", json!({}));
    let calls = &state["calls"].as_array().unwrap()[from..];
    let words = |call: &Value| {
        let group = call[2].as_str().map(|group| format!(" in {group}")).unwrap_or_default();
        let what = match call[0].as_str().unwrap() {
            "setStatus" => format!(" {}", call[1][1].as_str().unwrap()),
            "create" => format!(" as {}", call[3].as_str().unwrap()),
            "saveAndReturnObject" => format!(" {}", call[1][1].as_str().unwrap()),
            _ => String::new(),
        };
        format!("{}{what}{group}", call[0].as_str().unwrap())
    };
    calls.iter().map(words).filter(|call| call != "getSession").collect()
}

fn count(grid: &mut Grid) -> usize {
    grid.has("state", json!({}))["calls"].as_array().unwrap().len()
}

fn wait_for(grid: &mut Grid, from: usize, call: &str) {
    until(call, || called(grid, from).iter().any(|called| called == call).then_some(()));
}

#[test]
fn the_server_sees_the_calls_that_omeros_own_processor_makes_in_their_order() {
    let mut grid = Grid::start();
    let _processor = grid.processor();
    let go = grid.path("go");
    grid.script(&format!(
        "while [ ! -e {} ]; do sleep 0.01; done; echo warn >&2; grep -q parse config && exit 1; echo out",
        go.display()
    ));
    grid.knows_the_processor();
    assert_eq!(called(&mut grid, 0), recorded("register"));

    let before = count(&mut grid);
    grid.has("accept", json!({}));
    assert_eq!(called(&mut grid, before), recorded("accept"));

    let before = count(&mut grid);
    let parsing = grid.begin("parse", json!({ "job": 76 }));
    wait_for(&mut grid, before, "JobHandle.close in 3");
    std::fs::write(&go, "").unwrap();
    grid.end(parsing).unwrap();
    assert_eq!(called(&mut grid, before), recorded("parse"));

    std::fs::remove_file(&go).unwrap();
    let before = count(&mut grid);
    grid.has("process", json!({ "job": 77, "parameters": {} }));
    // The answer goes out beside the end of the session.
    wait_for(&mut grid, before, "destroy");
    std::fs::write(&go, "").unwrap();
    grid.has("wait", json!({ "job": 77 }));
    wait_for(&mut grid, before, "closeSession");
    assert_eq!(called(&mut grid, before), recorded("process"));
}
