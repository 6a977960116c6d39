//! Files that a call attaches.

use biomero_tests::cluster::shared;
use biomero_tests::{Result, Trouble, process};
use serde_json::Value;

use super::{copying, image, objects, read};

/// A name that says something to a shell, a list, a flag and a terminal.
const STRANGE: &str = "-a 'strange' $(touch pwned);\n[model] é.pt";

#[test]
fn a_file_arrives_as_it_is_called_and_goes_with_the_run() -> Result<()> {
    let cluster = shared()?;
    let workspace = cluster.workspace()?;
    let worker = copying(&cluster, &workspace)?;
    let images = image(&worker)?.display().to_string();
    let weights = worker.write(&format!("models/{STRANGE}"), "heavy")?.display().to_string();
    worker.write("extra/below/table.csv", "1,2")?;
    let extra = worker.folder().join("extra").display().to_string();
    let results = worker.folder().join("results");
    let (weights, extra) = (format!("weights={weights}"), format!("extra={extra}"));
    let output = results.display().to_string();
    let arguments = ["run", "copy", "--input", &images, "--output", &output, "--clean", "--json"];
    let arguments = [&arguments[..], &["--param", &weights, "--param", &extra]].concat();

    let plan = objects(&worker.succeeds(&[&arguments[..], &["--dry-run"]].concat())?)?;
    let [plan] = plan.as_slice() else { return Err(Trouble::new(format!("{plan:?}"))) };
    let attached = format!("{}/data/attached/WEIGHTS/{STRANGE}", plan["data"].as_str().unwrap_or_default());
    assert_eq!(plan["environment"]["WEIGHTS"], Value::from(attached.as_str()), "{plan}");
    assert_eq!(plan["attached"][0]["target"], Value::from(attached.as_str()), "{plan}");
    assert_eq!(plan["warnings"], Value::Array(Vec::new()), "{plan}");
    assert!(!workspace.path().join("data").exists(), "a dry run sends nothing");

    let told = objects(&worker.succeeds(&arguments)?)?;
    let [begun, done] = told.as_slice() else { return Err(Trouble::new(format!("{told:?}"))) };
    assert!(begun["data"].is_string() && begun.get("results").is_none(), "{begun}");
    assert_eq!((&begun["run"], &begun["data"]), (&done["run"], &done["data"]), "{told:?}");
    assert_eq!(done["cleaned"], Value::Bool(true), "{done}");
    assert_eq!(read(&results.join(STRANGE))?, "heavy");
    assert_eq!(read(&results.join("extra/below/table.csv"))?, "1,2");
    assert_eq!(read(&results.join("one.tif"))?, "pixels");
    assert!(!workspace.path().join("pwned").exists() && !cluster.home().join("pwned").exists());
    let left: Vec<_> =
        std::fs::read_dir(workspace.path().join("data")).into_iter().flatten().flatten().collect();
    assert!(left.is_empty(), "{left:?}");
    Ok(())
}

#[test]
fn what_cannot_be_attached_is_told_before_anything_is_sent() -> Result<()> {
    let cluster = shared()?;
    let workspace = cluster.workspace()?;
    let worker = copying(&cluster, &workspace)?;
    let images = image(&worker)?.display().to_string();
    let pipe = worker.folder().join("pipe.pt");
    nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU)
        .map_err(|error| Trouble::new(format!("cannot make a pipe: {error}")))?;
    worker.write("table.csv", "1,2")?;
    for (file, code, told) in [
        ("missing.pt", 66, "weights: cannot read"),
        ("pipe.pt", 66, "it is neither a file nor a folder"),
        ("table.csv", 64, "a file ends in pt"),
        ("models/..", 64, "names neither a file nor a folder"),
    ] {
        worker.write("models/one.pt", "")?;
        let path = format!("weights={}", worker.folder().join(file).display());
        let output = worker.slurm(&["run", "copy", "--input", &images, "--param", &path])?;
        let said = process::both(&output);
        assert_eq!(output.status.code(), Some(code), "{file}: {said}");
        assert!(said.contains(told), "{file}: {said}");
    }
    assert!(!workspace.path().join("data").exists(), "nothing was sent");
    Ok(())
}

#[test]
fn a_file_may_go_with_variables_in_a_file() -> Result<()> {
    let cluster = shared()?;
    let workspace = cluster.workspace()?;
    let worker = copying(&cluster, &workspace)?;
    let text = read(&worker.folder().join("slurm-config.ini"))?;
    worker.write("slurm-config.ini", &text.replace("[SLURM]", "[SLURM]\nenv_file_submission = true"))?;
    let images = image(&worker)?.display().to_string();
    let weights = worker.write(&format!("models/{STRANGE}"), "heavy")?.display().to_string();
    let results = worker.folder().join("results");
    let (weights, output) = (format!("weights={weights}"), results.display().to_string());
    worker.succeeds(&["run", "copy", "--input", &images, "--output", &output, "--param", &weights])?;
    assert_eq!(read(&results.join(STRANGE))?, "heavy");
    Ok(())
}
