//! What becomes of a workflow whose job fails, and of one that is asked for again.

use biomero_tests::Result;
use serde_json::json;

use super::stage::{Desk, request};

#[test]
fn a_failure_tells_its_step_its_exit_code_and_the_end_of_the_log() -> Result<()> {
    let desk = Desk::embedded()?;
    let serve = desk.serve()?;
    desk.images("one", &[("fail", "the model is not there\n")])?;
    let id = desk.submit(&request(&desk, "one"))?;
    let shown = desk.ended(&id, &[&serve])?;
    assert_eq!(shown["phase"], "FAILED", "{shown:#}");
    let failure = &shown["failure"];
    assert_eq!((&failure["step"], &failure["exit_code"]), (&json!("run"), &json!(7)), "{shown:#}");
    assert_eq!(failure["log"], json!(["first line", "the model is not there"]), "{shown:#}");
    assert_eq!(desk.history(&id)?["state"], "failed");
    assert!(!desk.results("one").exists());
    desk.ran_once(&id)?;
    desk.left_nothing(&id)?;
    desk.is_recorded_once(&id)
}

#[test]
fn what_has_failed_is_done_once_more_from_where_it_failed() -> Result<()> {
    let desk = Desk::embedded()?;
    let serve = desk.serve()?;
    desk.images("one", &[("fail", "no\n")])?;
    let mut request = request(&desk, "one");
    request["policy"] = json!({ "clean_up": "on-success" });
    let id = desk.submit(&request)?;
    assert_eq!(desk.ended(&id, &[&serve])?["phase"], "FAILED");
    std::fs::write(desk.data().join("mended"), "").expect("mended");
    let again = desk.retry(&id)?;
    assert_eq!((&again["phase"], &again["round"]), (&json!("INITIALIZING"), &json!(1)));
    let shown = desk.ended(&id, &[&serve])?;
    assert_eq!(shown["phase"], "DONE", "{shown:#}\n{}", serve.output());
    desk.has_results("one")?;
    assert_eq!(desk.jobs(&id).len(), 2);
    let history = desk.history(&id)?;
    let names =
        history["tasks"].as_array().into_iter().flatten().filter_map(|task| task["task_name"].as_str());
    let transfers = names.filter(|name| *name == "_SLURM_Image_Transfer.py").count();
    assert_eq!(transfers, 1, "images are sent once: {history:#}");
    desk.left_nothing(&id)?;
    desk.is_recorded_once(&id)
}
