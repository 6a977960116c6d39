//! Metrics, as Prometheus scrapes them: what they tell is what was done, and what the page and the dashboard name is there.

use std::collections::BTreeSet;
use std::fs::File;
use std::path::Path;
use std::process::Command;

use biomero_tests::{Result, Trouble, http, process, wait};
use serde_json::Value;

use super::Asked;

/// Those that are told where `init` is asked.
const OF_INIT: [&str; 2] = ["biomero_service_restarts_total", "biomero_service_ready"];

#[test]
fn what_was_done_is_counted_and_prometheus_finds_nothing_wrong() -> Result<()> {
    let asked = Asked::embedded()?;
    let done = asked.submit("done", &[])?;
    let failed = asked.submit("failed", &[("fail", "no such thing")])?;
    assert_eq!(asked.ended(&done)?["phase"], "DONE");
    assert_eq!(asked.ended(&failed)?["phase"], "FAILED");
    let text = wait::until("metrics of both", wait::PATIENCE, &[asked.serve.log()], || {
        let text = http::get(&asked.socket, "/metrics").ok()?.text();
        let has = |line: &str| text.lines().any(|told| told == line);
        let both = has("biomero_workflows_ended_total{end=\"done\"} 1")
            && has("biomero_workflows_ended_total{end=\"failed\"} 1");
        both.then_some(text)
    })?;
    for line in [
        "biomero_acting 1",
        "biomero_database_up 1",
        "biomero_workflows_ended_total{end=\"cancelled\"} 0",
        "biomero_workflow_step_duration_seconds_count{step=\"transfer\"} 2",
        "biomero_workflow_step_duration_seconds_count{step=\"run\"} 1",
        "biomero_workflow_step_failures_total{step=\"run\"} 1",
        "biomero_workflow_duration_seconds_count{end=\"done\"} 1",
        "biomero_workflow_duration_seconds_count{end=\"failed\"} 1",
    ] {
        assert!(text.lines().any(|told| told == line), "{line} is missing in\n{text}");
    }
    assert!(number(&text, "process_resident_memory_bytes")? > 1e6, "{text}");
    assert!(number(&text, "biomero_event_last_id")? > 4.0, "{text}");
    assert!(number(&text, "biomero_event_lag_seconds")? < 60.0, "{text}");

    let file = asked.desk.worker.write("metrics", &text)?;
    let mut promtool = Command::new("promtool");
    promtool.args(["check", "metrics"]).stdin(File::open(&file).map_err(Trouble::doing("open metrics"))?);
    let checked = process::output(&mut promtool, wait::PATIENCE)?;
    let said = String::from_utf8_lossy(&checked.stderr).into_owned();
    assert!(checked.status.success() && said.is_empty(), "{said}\n{text}");
    Ok(())
}

#[test]
fn the_page_and_the_dashboard_name_what_is_there() -> Result<()> {
    let asked = Asked::embedded()?;
    let text = http::get(&asked.socket, "/metrics")?.text();
    let types = text.lines().filter_map(|line| line.strip_prefix("# TYPE "));
    let mut told: BTreeSet<&str> = types.filter_map(|line| line.split(' ').next()).collect();
    told.extend(OF_INIT);
    let page = read("docs/observe.md")?;
    let cells = page.lines().filter(|line| line.starts_with("| `")).filter_map(|line| line.split('|').nth(1));
    let named: BTreeSet<&str> =
        cells.flat_map(|cell| cell.split('`')).filter(|word| word.contains('_')).collect();
    assert_eq!(named, told, "docs/observe.md has another list than /metrics");

    let dashboard: Value = serde_json::from_str(&read("docker/grafana.json")?)
        .map_err(|error| Trouble::new(error.to_string()))?;
    let mut shown = Vec::new();
    expressions(&dashboard, &mut shown);
    assert!(shown.len() >= 15, "{shown:?}");
    for expression in &shown {
        let words = expression.split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_');
        let metrics: Vec<&str> =
            words.filter(|word| word.starts_with("biomero_") || word.starts_with("process_")).collect();
        assert!(!metrics.is_empty(), "{expression} shows no metric of the worker");
        for metric in metrics {
            let family = metric.strip_suffix("_bucket").unwrap_or(metric);
            assert!(told.contains(family), "docker/grafana.json shows {metric}, which is not told");
        }
    }
    let rules = page.split("```yaml\n").find(|block| block.starts_with("groups:"));
    let rules = rules.and_then(|block| block.split("```").next()).unwrap_or_default();
    let rules = asked.desk.worker.write("rules.yaml", rules)?;
    let mut promtool = Command::new("promtool");
    process::succeed(promtool.args(["check", "rules"]).arg(rules), wait::PATIENCE)?;
    Ok(())
}

fn read(path: &str) -> Result<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path);
    std::fs::read_to_string(path).map_err(Trouble::doing("read a page"))
}

fn number(text: &str, name: &str) -> Result<f64> {
    let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    let number = value.and_then(|value| value.parse().ok());
    number.ok_or_else(|| Trouble::new(format!("no {name} in\n{text}")))
}

fn expressions(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Array(values) => values.iter().for_each(|value| expressions(value, found)),
        Value::Object(members) => {
            for (key, value) in members {
                match value {
                    Value::String(text) if key == "expr" => found.push(text.clone()),
                    _ => expressions(value, found),
                }
            }
        }
        _ => {}
    }
}
