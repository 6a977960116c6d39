//! Where the settings name folders, workflows read and write nowhere else.

use std::os::unix::fs::symlink;

use biomero_tests::{Result, Trouble, process};
use serde_json::json;

use super::stage::{Desk, request};

/// A worker that is allowed the folders `in` and `home`.
fn limited() -> Result<Desk> {
    let mut desk = Desk::embedded()?;
    for folder in ["in", "home", "elsewhere"] {
        std::fs::create_dir_all(desk.worker.folder().join(folder))
            .map_err(Trouble::doing("make a folder"))?;
    }
    let folders = ["in", "home"].map(|folder| desk.worker.folder().join(folder));
    desk.worker.variable("BIOMERO_INIT_WORKFLOW__PATHS", &json!(folders).to_string());
    Ok(desk)
}

#[test]
fn what_lies_elsewhere_is_refused_also_behind_a_link() -> Result<()> {
    let desk = limited()?;
    let elsewhere = desk.worker.folder().join("elsewhere");
    desk.worker.write("elsewhere/one.tif", "pixels")?;
    desk.images("linked", &[])?;
    let link = |to: &std::path::Path, from: &str| {
        symlink(to, desk.worker.folder().join(from)).map_err(Trouble::doing("make a link"))
    };
    link(&elsewhere, "in/away")?;
    link(&elsewhere, "home/away")?;
    link(&elsewhere.join("one.tif"), "in/linked/two.tif")?;
    let results = |path: std::path::PathBuf| json!({ "directory": path });
    for (field, value) in [
        ("inputs", json!([elsewhere])),
        ("inputs", json!([desk.worker.folder().join("in/away/one.tif")])),
        ("inputs", json!([desk.worker.folder().join("in/linked")])),
        ("inputs", json!(["/nowhere/at/all"])),
        ("results", results(elsewhere.join("new"))),
        ("results", results(desk.results("away/new"))),
        ("results", results(desk.worker.folder().join("home"))),
        ("parameters", json!([["weights", elsewhere.join("model.pt")]])),
    ] {
        let mut request = request(&desk, "one");
        request[field] = value.clone();
        let output = desk.output(&["submit", &desk.write_request(&request)?])?;
        let said = process::both(&output);
        assert_eq!(output.status.code(), Some(64), "{value}: {said}");
        assert!(said.contains(&format!("{field}: ")) && said.contains("workflow.paths"), "{value}: {said}");
        assert!(!said.contains("No such file"), "whether it is there is told to nobody: {said}");
    }
    assert_eq!(desk.count("SELECT count(*) FROM biomero_worker_workflow")?, 0);
    Ok(())
}

#[test]
fn what_lies_within_is_carried_and_a_link_that_was_put_there_later_is_not_followed() -> Result<()> {
    let desk = limited()?;
    desk.worker.write("elsewhere/secret", "secret")?;
    let one = desk.submit(&request(&desk, "one"))?;
    let two = desk.submit(&request(&desk, "two"))?;
    symlink(desk.worker.folder().join("elsewhere/secret"), desk.worker.folder().join("in/two/three.tif"))
        .map_err(Trouble::doing("make a link"))?;
    let serve = desk.serve()?;
    assert_eq!(desk.ended(&one, &[&serve])?["phase"], "DONE", "{}", serve.output());
    desk.has_results("one")?;
    let shown = desk.ended(&two, &[&serve])?;
    assert_eq!(shown["phase"], "FAILED", "{shown:#}");
    let reason = shown["failure"]["reason"].as_str().unwrap_or_default();
    assert!(reason.contains("three.tif leads to") && reason.contains("workflow.paths"), "{reason}");
    assert!(!desk.results("two").exists());
    Ok(())
}
