//! Batches: many workflows that are asked for, looked at and ended as one.

use biomero_tests::Result;
use serde_json::json;

use super::stage::{Desk, request};

#[test]
fn a_batch_has_come_as_far_as_its_workflows() -> Result<()> {
    let desk = Desk::embedded()?;
    let serve = desk.serve()?;
    let mut batch = request(&desk, "batch");
    desk.images("b", &[("fail", "no\n")])?;
    batch["inputs"] = json!([desk.images("a", &[])?, desk.images("b", &[])?, desk.images("c", &[])?]);
    let (id, children) = desk.submit_batch(&batch)?;
    assert_eq!(children.len(), 3);
    let shown = desk.ended(&id, &[&serve])?;
    assert_eq!(shown["phase"], "FAILED", "{shown:#}");
    assert_eq!(shown["children"], json!({ "of": 3, "done": 2, "failed": 1, "cancelled": 0 }));
    assert_eq!(desk.show(&children[1])?["phase"], "FAILED");
    for (place, name) in [(1, "a"), (3, "c")] {
        let path = desk.results("batch").join(place.to_string()).join("one.tif");
        assert_eq!(std::fs::read_to_string(path).unwrap_or_default(), format!("pixels of {name}"));
    }
    assert_eq!(desk.history(&id)?["state"], "failed");

    // What has failed is done once more, and nothing else.
    std::fs::write(desk.data().join("mended"), "").expect("mended");
    desk.retry(&id)?;
    let shown = desk.ended(&id, &[&serve])?;
    assert_eq!(shown["phase"], "DONE", "{shown:#}\n{}", serve.output());
    let jobs: Vec<usize> = children.iter().map(|child| desk.jobs(child).len()).collect();
    assert_eq!(jobs, [1, 2, 1]);
    // The batch itself comes to the same progress in each round.
    for child in &children {
        desk.is_recorded_once(child)?;
    }
    Ok(())
}
