//! `processor slurm workflows`, by the finished program.

use std::fs;
use std::process::{Command, Output};
use std::time::Duration;

use biomero_tests::scratch::Scratch;
use biomero_tests::{Result, Trouble, binary, process};
use serde_json::{Value, json};

const NATIVE: &str = r#"{"schema-version": "biomero-0.1", "name": "Good", "description": "Counts\u001b[2J cells", "command-line": "x",
    "container-image": {"image": "org/good:1.4", "type": "oci"}, "inputs": [
    {"id": "size", "type": "Number", "default-value": 0.5, "description": "how large", "value-choices": [0.5, 1.5]},
    {"id": "path", "type": "string", "optional": true}, {"id": "model", "type": "file", "file-attachment": true},
    {"id": "images", "type": "image", "set-by-server": true}]}"#;

/// Descriptors, and a configuration that names them.
struct Desk {
    scratch: Scratch,
}

impl Desk {
    fn new() -> Result<Self> {
        let scratch = Scratch::new()?;
        let write = |name: &str, text: &str| {
            fs::write(scratch.path().join(name), text).map_err(Trouble::doing(format!("write {name}")))
        };
        write("good.json", NATIVE)?;
        write("bad.json", "{\"name\": ")?;
        let folder = scratch.path().display();
        write(
            "slurm-config.ini",
            &format!(
                "[WORKFLOWS]\ngood=good\ngood_repo={folder}/good.json\ngood_job=jobs/good.sh\nbad=bad\nbad_repo={folder}/bad.json\nunnamed=unnamed\n"
            ),
        )?;
        Ok(Self { scratch })
    }

    fn run(&self, arguments: &[&str]) -> Result<Output> {
        let mut command = Command::new(binary::processor()?);
        command.args(["slurm", "workflows"]).args(arguments);
        command.env("BIOMERO_SLURM_CONFIG_FILE", self.scratch.path().join("slurm-config.ini"));
        command.env("HOME", self.scratch.path()).env_remove("XDG_CACHE_HOME");
        process::output(&mut command, Duration::from_secs(60))
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn each_workflow_is_listed_with_its_own_status() -> Result<()> {
    let desk = Desk::new()?;
    let output = desk.run(&[])?;
    assert_eq!(output.status.code(), Some(2), "{}", process::both(&output));
    let lines: Vec<String> = text(&output.stdout)
        .lines()
        .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "))
        .collect();
    assert_eq!(
        lines,
        [
            "WORKFLOW VERSION PARAMETERS IMAGE DESCRIPTOR",
            "good 1.4 3 org/good:1.4 a file of the site",
            "bad no descriptor",
            "unnamed no descriptor",
        ]
    );
    let errors = text(&output.stderr);
    assert!(errors.contains("processor: error: bad: ") && errors.contains("bad.json, line 1"), "{errors}");
    assert!(errors.contains("add unnamed_repo = "), "{errors}");

    let output = desk.run(&["--json"])?;
    let objects: Vec<Value> =
        text(&output.stdout).lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let [good, bad, unnamed] = objects.as_slice() else {
        return Err(Trouble::new(process::both(&output)));
    };
    assert_eq!(
        (&good["name"], &good["version"], &good["error"]),
        (&json!("good"), &json!("1.4"), &Value::Null)
    );
    for (broken, name) in [(bad, "bad"), (unnamed, "unnamed")] {
        assert_eq!(broken["name"], name);
        assert!(broken["error"].is_string(), "{broken}");
    }
    Ok(())
}

#[test]
fn one_workflow_is_shown_with_its_parameters() -> Result<()> {
    let desk = Desk::new()?;
    let output = desk.run(&["good"])?;
    assert_eq!(output.status.code(), Some(0), "{}", process::both(&output));
    let shown = text(&output.stdout);
    assert!(!shown.contains('\u{1b}') && shown.contains("Counts\\u{1b}[2J cells"), "{shown}");
    for part in [
        "size",
        "0.5, 1.5",
        "how large",
        "may be left out",
        "file to attach",
        "has to be given",
        "jobs/good.sh",
    ] {
        assert!(shown.contains(part), "{part} is missing:\n{shown}");
    }
    let output = desk.run(&["good", "--json"])?;
    let good: Value =
        serde_json::from_slice(&output.stdout).map_err(|error| Trouble::new(error.to_string()))?;
    let parameters: Vec<(&Value, &Value, &Value)> = good["parameters"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|one| (&one["id"], &one["variable"], &one["default"]))
        .collect();
    let [first, second, third] =
        [json!(["size", "SIZE", 0.5]), json!(["path", "PARAM_PATH", null]), json!(["model", "MODEL", null])];
    assert_eq!(
        parameters,
        [
            (&first[0], &first[1], &first[2]),
            (&second[0], &second[1], &second[2]),
            (&third[0], &third[1], &third[2])
        ]
    );
    assert_eq!(
        good["parameters"][0]["choices"],
        json!([{"value": 0.5, "label": null}, {"value": 1.5, "label": null}])
    );
    Ok(())
}

#[test]
fn what_cannot_be_shown_is_told() -> Result<()> {
    let desk = Desk::new()?;
    let missing = desk.run(&["godo"])?;
    assert_eq!(missing.status.code(), Some(64), "{}", process::both(&missing));
    assert!(text(&missing.stderr).contains("good, bad, unnamed"), "{}", process::both(&missing));
    let broken = desk.run(&["bad"])?;
    assert!(
        !broken.status.success() && text(&broken.stderr).contains("bad.json, line 1"),
        "{}",
        process::both(&broken)
    );
    Ok(())
}
