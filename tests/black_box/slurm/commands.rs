//! Jobs, against the real Python: the same options in the same order, the same variables with the same values, the same words
//! for the workflow's program, the same record.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use biomero_config::slurm_config::{BiomeroSettings, SourceFile, merge};
use biomero_config::{ContainerRuntime, Environment};
use biomero_slurm::Descriptor;
use biomero_slurm::job::Submission;
use biomero_slurm::workflow::{Arguments, Call, Conversion, Site, conversion, plan};
use biomero_tests::scratch::Scratch;
use biomero_tests::{Result, Trouble, biomero};
use serde_json::{Value, json};

/// Writes its arguments to the file that `RECORD` names, and a result.
const CONTAINER: &str =
    "#!/bin/bash\nprintf '%s\\0' \"$@\" > \"$RECORD\"\ntouch \"$DATA_PATH/data/out/result\"\n";

/// Lines of `[SLURM]`, and of the workflow.
const CONFIGURATIONS: &[(&str, &str)] = &[
    ("", ""),
    ("", "wf_job_gres=gpu:1g.10gb:1\nwf_job_partition=gpu\nwf_job_mem=15GB"),
    ("slurm_default_partition=short", ""),
    ("slurm_default_partition=short", "wf_job_partition=long"),
    ("sbatch_reservation=biomero\nsbatch_qos=high\nsbatch_mem=1G", "wf_job_mem=2G"),
    ("gpu_partition=gpus\ngpu_gres=gpu:a100:1", "wf_use_gpu=true"),
    ("gpu_partition=gpus\ngpu_gpus=1", "wf_use_gpu=true\nwf_job_partition=mine\nwf_job_time=01:00:00"),
    ("gpu_partition=gpus\ngpu_gres=gpu:1", "wf_use_gpu=false"),
    ("inject_gpu_flag=true\ngpu_partition=gpus\ngpu_gres=gpu:1", "wf_use_gpu=false"),
    ("inject_gpu_flag=true\ngpu_gpus=a100:1\nslurm_default_partition=short", "wf_use_gpu=true"),
    ("inject_gpu_flag=true", ""),
    ("slurm_data_bind_path=/scratch:/data,/home", "wf_job_constraint=\"a100|h100\""),
    ("env_file_submission=true\nslurm_conversion_partition=cpu-short\nslurm_data_bind_path=/scratch", ""),
    (
        "slurm_conversion_partition=cpu-short\nslurm_default_partition=short\nsbatch_partition=other\nsbatch_account=a",
        "",
    ),
    ("slurm_data_bind_path=\ngpu_partition=\nsbatch_comment=", "wf_job_exclusive=\nwf_job_mail-type=ALL"),
    ("env_file_submission=yes\ninject_gpu_flag=yes\nsbatch_constraint='x y'", "wf_use_gpu=1"),
];

/// Lines of `[CONVERTERS]`.
const CONVERTERS: &[&str] = &[
    "",
    "[CONVERTERS]\nzarr_to_tiff=cellularimagingcf/convert_zarr_to_tiff:1.14.0",
    "[CONVERTERS]\nzarr_to_tiff=org/conv",
];

/// A descriptor, what a call says of its parameters, the time limit, and the address.
type Said = (Value, Vec<(&'static str, &'static str)>, Option<&'static str>, Option<&'static str>);

fn calls() -> Vec<Said> {
    let biaflows = json!({"name": "n", "description": "d", "schema-version": "cytomine-0.1", "command-line": "c",
        "container-image": {"image": "org/w_image"}, "inputs": [
        {"id": "diameter", "type": "Number", "default-value": 30.0}, {"id": "channel", "type": "Number", "default-value": -1},
        {"id": "model", "type": "String", "default-value": "nuclei v2"}, {"id": "use_gpu", "type": "Boolean", "default-value": true},
        {"id": "tiny", "type": "Number", "default-value": 1e-7, "command-line-flag": "-t"}, {"id": "cytomine_x", "type": "String"}]});
    let bilayers = json!({"citations": [{"name": "T", "license": "MIT", "description": "d"}], "exec_function": {"cli_command": "x"},
        "docker_image": {"org": "o", "name": "n"}, "inputs": [{"name": "img", "type": "image", "cli_tag": "--dir="}],
        "outputs": [{"name": "o", "type": "image", "cli_tag": "--savedir"}, {"name": "none", "type": "file", "cli_tag": "None"}],
        "parameters": [{"name": "size", "type": "float", "default": 2, "cli_tag": "--size"},
            {"name": "save", "type": "textbox", "cli_tag": "--save", "output_dir_set": true}]});
    let native = json!({"schema-version": "biomero-0.1", "name": "n", "description": "d", "command-line": "c",
        "container-image": {"image": "o/native", "type": "oci"}, "inputs": [{"id": "text", "type": "string", "default-value": "a-b"},
        {"id": "number", "type": "Number", "default-value": 0.5, "command-line-flag": "--@id"}]});
    vec![
        (biaflows.clone(), vec![], None, None),
        (
            biaflows,
            vec![("use_gpu", "false"), ("diameter", "17"), ("model", "cyto")],
            Some("00:30:00"),
            Some("me@example.org"),
        ),
        (bilayers, vec![("size", "0.25")], Some("1-00:00:00"), None),
        (native, vec![], None, Some("a.b+c@x.nl")),
    ]
}

fn settings(ini: &str) -> Result<BiomeroSettings> {
    let file = SourceFile { path: "slurm-config.ini".into(), content: ini.as_bytes().to_vec() };
    let told = |notices: Vec<biomero_config::slurm_config::Notice>| Trouble::new(format!("{notices:?}"));
    Ok(merge(&[file]).map_err(told)?.typed(&Environment::default()).map_err(told)?.settings)
}

/// As on a command line. Python writes `--exclusive=` for an option without a value.
fn options(submission: &Submission) -> Vec<String> {
    let option = |(name, value): &(String, Option<String>)| match value {
        Some(value) => format!("--{name}={value}"),
        None => format!("--{name}="),
    };
    submission.options.iter().map(option).collect()
}

/// The options of Python's, without those that are fields of a submission.
fn theirs(answer: &Value) -> Vec<String> {
    let fields = ["--output=", "--export=", "--array="];
    let options = answer["options"].as_array().into_iter().flatten().filter_map(Value::as_str);
    options
        .filter(|option| !fields.iter().any(|field| option.starts_with(field)))
        .map(str::to_owned)
        .collect()
}

fn variables(environment: &[(String, String)]) -> BTreeMap<String, String> {
    environment.iter().cloned().collect()
}

fn their_variables(answer: &Value) -> Result<BTreeMap<String, String>> {
    serde_json::from_value(answer["environment"].clone()).map_err(|error| Trouble::new(error.to_string()))
}

/// What the container is given when a script runs.
fn words(root: &Path, script: &str, environment: &[(String, String)]) -> Result<Vec<String>> {
    let (path, record) = (root.join("script.sh"), root.join("record"));
    let _ = fs::remove_file(&record);
    fs::write(&path, script).map_err(Trouble::doing("write a script"))?;
    let output = Command::new("bash")
        .arg(&path)
        .env_clear()
        .env("PATH", format!("{}:/usr/bin:/bin", root.join("bin").display()))
        .env("RECORD", &record)
        .envs(environment.iter().map(|(name, value)| (name, value)))
        .output()
        .map_err(Trouble::doing("run bash"))?;
    let told = || {
        Trouble::new(format!(
            "{}{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        ))
    };
    if !output.status.success() {
        return Err(told());
    }
    let record = fs::read_to_string(&record).map_err(|_| told())?;
    Ok(record.split_terminator('\0').map(str::to_owned).collect())
}

#[test]
fn a_call_becomes_the_job_that_python_submits() -> Result<()> {
    let scratch = Scratch::new()?;
    let root = scratch.path();
    for folder in ["bin", "images/wf/x", "data/run_1/data/in", "data/run_1/data/out"] {
        fs::create_dir_all(root.join(folder)).map_err(Trouble::doing("make a folder"))?;
    }
    let container = root.join("bin/singularity");
    fs::write(&container, CONTAINER).map_err(Trouble::doing("write a program"))?;
    fs::set_permissions(&container, fs::Permissions::from_mode(0o755))
        .map_err(Trouble::doing("set a mode"))?;
    let mut asked = Vec::new();
    let mut ours = Vec::new();
    for (number, (slurm, workflow)) in CONFIGURATIONS.iter().enumerate() {
        let converters = CONVERTERS[number % CONVERTERS.len()];
        let place = root.display();
        let ini = format!(
            "[SLURM]\nslurm_data_path={place}/data\nslurm_images_path={place}/images\nslurm_script_path={place}/scripts\n{slurm}\n[WORKFLOWS]\nwf=wf/x\nwf_job=jobs/wf.sh\n{workflow}\n{converters}\n"
        );
        let settings = settings(&ini)?;
        let configured = settings.workflows.first().ok_or_else(|| Trouble::new("no workflow"))?;
        let site = Site {
            slurm: &settings.slurm,
            converters: &settings.converters,
            container: ContainerRuntime::Auto,
            modules: &[],
            template: None,
            program: None,
        };
        for (descriptor, given, time, email) in calls() {
            let read = Descriptor::read("descriptor.json", descriptor.to_string().as_bytes());
            let read = read.map_err(|error| Trouble::new(error.to_string()))?;
            let given: Vec<_> =
                given.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
            let arguments =
                Arguments::of(&read, &given).map_err(|error| Trouble::new(format!("{error:?}")))?;
            // In pairs: the order is a part of what is recorded.
            let typed: Vec<Value> =
                arguments.iter().map(|argument| json!([argument.id, argument.value.to_json()])).collect();
            let call = Call {
                version: "v1.2.7",
                input: "run_1",
                arguments: &arguments,
                use_gpu: None,
                time,
                email,
                options: &[],
                comment: "c",
            };
            let told = |error: biomero_slurm::workflow::PlanError| Trouble::new(error.to_string());
            let job = plan(configured, &read, &site, &call).map_err(told)?;
            let conversion =
                Conversion { input: "run_1", source: "zarr", target: "tiff", comment: "c", at_once: None };
            let conversion = conversion::plan(&site, &conversion, &["a.zarr".to_owned()]).map_err(told)?;
            asked.push(json!({"ini": ini, "descriptor": descriptor, "version": "v1.2.7", "input": "run_1",
                "email": email, "time": time, "arguments": typed}));
            ours.push((job, conversion));
        }
    }
    let file = root.join("calls.json");
    fs::write(&file, Value::from(asked.clone()).to_string()).map_err(Trouble::doing("write the calls"))?;
    let answer = biomero::run("commands.py", &[&file.to_string_lossy()], &[])?;
    let answers: Vec<Value> =
        serde_json::from_str(&answer).map_err(|error| Trouble::new(format!("{error}: {answer}")))?;
    assert_eq!((answers.len(), ours.len()), (CONFIGURATIONS.len() * calls().len(), answers.len()));

    for ((answer, (job, conversion)), asked) in answers.iter().zip(ours).zip(&asked) {
        let what = || format!("{}\n{}", asked["ini"].as_str().unwrap_or_default(), asked["arguments"]);
        assert_eq!(options(&job.submission), theirs(answer), "{}", what());
        assert_eq!(variables(&job.environment), their_variables(answer)?, "{}", what());
        assert_eq!(json!(job.script.path), answer["script"], "{}", what());
        assert_eq!(json!(job.submission.arguments), answer["arguments"], "{}", what());
        assert_eq!(json!(job.recorded), answer["recorded"], "{}", what());
        fs::write(&job.image, "").map_err(Trouble::doing("write an image"))?;
        let text = job.script.text.as_deref().ok_or_else(|| Trouble::new("no script"))?;
        let theirs_text = answer["text"].as_str().unwrap_or_default();
        assert_eq!(
            words(root, text, &job.environment)?,
            words(root, theirs_text, &job.environment)?,
            "{}",
            what()
        );

        let answer = &answer["conversion"];
        assert_eq!(options(&conversion.submission), theirs(answer), "{}", what());
        let mut environment = variables(&conversion.environment);
        // Python names it by an option, relative to the login folder.
        assert!(environment.remove("CONFIG_PATH").is_some());
        assert_eq!(environment, their_variables(answer)?, "{}", what());
        assert_eq!(
            json!(
                conversion
                    .environment
                    .iter()
                    .find(|(name, _)| name == "CONVERTER_IMAGE")
                    .map(|(_, image)| image)
            ),
            answer["image"]
        );
        assert_eq!(json!(conversion.version), answer["version"]);
    }
    Ok(())
}
