//! `processor serve`: workflows from their images to their results, whatever is killed meanwhile.

mod api;
mod batch;
mod cancel;
mod doctor;
mod failing;
mod forgotten;
mod killed;
mod omero;
mod paths;
mod polled;
mod rows;
mod stage;
mod together;

use biomero_tests::Result;

use stage::{Desk, request};

#[test]
fn a_workflow_is_carried_from_its_images_to_its_results() -> Result<()> {
    let desk = Desk::embedded()?;
    let serve = desk.serve()?;
    let id = desk.submit(&request(&desk, "one"))?;
    let shown = desk.ended(&id, &[&serve])?;
    assert_eq!(shown["phase"], "DONE", "{shown:#}\n{}", serve.output());
    desk.has_results("one")?;
    desk.ran_once(&id)?;
    desk.left_nothing(&id)?;
    let history = desk.history(&id)?;
    assert_eq!(history["state"], "completed", "{history:#}");
    let names: Vec<&str> = history["tasks"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|task| task["task_name"].as_str())
        .collect();
    assert_eq!(
        names,
        [
            "_SLURM_Image_Transfer.py",
            "copy",
            "SLURM_Get_Results.py",
            "SLURM_Import_Results.py",
            "SLURM_Clean_Up.py"
        ],
        "{history:#}"
    );
    desk.is_recorded_once(&id)
}

#[test]
fn an_image_of_its_own_is_exported_first() -> Result<()> {
    let desk = Desk::embedded()?;
    let images = desk.worker.folder().join("cells");
    biomero_tests::cluster::sample::cells(&images, &["nucleus"])?;
    let image = std::fs::read_dir(&images).into_iter().flatten().flatten().next().map(|entry| entry.path());
    let image = image.expect("a sample");
    let mut request = request(&desk, "one");
    request["inputs"] = serde_json::json!([image]);
    request["policy"] = serde_json::json!({ "convert": false });
    let serve = desk.serve()?;
    let id = desk.submit(&request)?;
    let shown = desk.ended(&id, &[&serve])?;
    assert_eq!(shown["phase"], "DONE", "{shown:#}\n{}", serve.output());
    let results = desk.results("one");
    let names: Vec<String> = std::fs::read_dir(&results)
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    assert_eq!(names, ["nucleus.ome.zarr"]);
    assert!(results.join("nucleus.ome.zarr/.zattrs").exists());
    desk.left_nothing(&id)
}

#[test]
fn what_makes_no_sense_is_refused_with_its_field_and_leaves_nothing() -> Result<()> {
    let desk = Desk::embedded()?;
    let there = desk.results("there");
    std::fs::create_dir_all(&there).and_then(|()| std::fs::write(there.join("a"), "a")).expect("a folder");
    for (field, value, told) in [
        ("workflow", serde_json::json!("cellpose"), "there are threshold, copy"),
        ("inputs", serde_json::json!(["/nowhere"]), "inputs: /nowhere"),
        ("inputs", serde_json::json!(["omero:Image:1"]), "omero:Image:1"),
        ("inputs", serde_json::json!(["cells"]), "is no input"),
        ("parameters", serde_json::json!([["wights", "/x"]]), "parameters: "),
        ("results", serde_json::json!({ "directory": there }), "is there already"),
        ("policy", serde_json::json!({ "time": "soon" }), "policy: "),
        ("police", serde_json::json!(null), "unknown field"),
    ] {
        let mut request = request(&desk, "one");
        request[field] = value;
        let output = desk.output(&["submit", &desk.write_request(&request)?])?;
        let said = biomero_tests::process::both(&output);
        assert_eq!(output.status.code(), Some(64), "{field}: {said}");
        assert!(said.contains(told), "{field}: {said}");
    }
    assert_eq!(desk.count("SELECT count(*) FROM biomero_worker_workflow")?, 0);
    assert_eq!(desk.count("SELECT count(*) FROM workflowtracker_events")?, 0);
    Ok(())
}

#[test]
fn the_same_asked_for_twice_under_one_id_is_taken_once() -> Result<()> {
    let desk = Desk::embedded()?;
    let id = "0199e7a1-0000-7000-8000-000000000001";
    let path = desk.write_request(&request(&desk, "one"))?;
    for _ in 0..2 {
        let output = desk.output(&["submit", &path, "--id", id])?;
        assert!(output.status.success(), "{}", biomero_tests::process::both(&output));
    }
    let other = desk.write_request(&request(&desk, "other"))?;
    let output = desk.output(&["submit", &other, "--id", id])?;
    assert_eq!(output.status.code(), Some(64), "{}", biomero_tests::process::both(&output));
    assert_eq!(desk.count("SELECT count(*) FROM biomero_worker_workflow")?, 1);
    let serve = desk.serve()?;
    assert_eq!(desk.ended(id, &[&serve])?["phase"], "DONE", "{}", serve.output());
    desk.ran_once(id)
}
