//! Job scripts, run by the real shell with a container program that writes down what it gets.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Output};

use biomero_config::ContainerRuntime;
use biomero_config::slurm_config::{BiomeroSettings, Slurm, SourceFile, Workflow, merge};
use proptest::prelude::*;
use tempfile::TempDir;

use super::*;
use crate::descriptor::Descriptor;

/// Writes its arguments, each ended by NUL, to `argv` beside itself, and a result.
const CONTAINER: &str = "#!/bin/bash\nprintf '%s\\0' \"$@\" > \"${0%/*}/argv\"\ntouch -- \"$DATA_PATH/data/out/result\"\nexit \"${EXIT:-0}\"\n";

fn settings(text: &str) -> BiomeroSettings {
    let file = SourceFile { path: "slurm-config.ini".into(), content: text.as_bytes().to_vec() };
    merge(&[file])
        .expect("an INI file")
        .typed(&biomero_config::Environment::default())
        .expect("settings")
        .settings
}

/// A workflow with one parameter for each id, and how they are written on the command line.
fn descriptor(inputs: &[(&str, &str, bool)]) -> Descriptor {
    let inputs: Vec<_> = inputs
        .iter()
        .map(|(id, flag, optional)| {
            serde_json::json!({"id": id, "type": "String", "command-line-flag": flag, "optional": optional})
        })
        .collect();
    let text = serde_json::json!({
        "schema-version": "cytomine-0.1", "name": "n", "description": "", "command-line": "",
        "container-image": {"image": "org/image"}, "inputs": inputs,
    });
    Descriptor::read("descriptor.json", text.to_string().as_bytes()).expect("a descriptor")
}

/// A cluster's folders, a container program, and one workflow.
struct Node {
    folder: TempDir,
    slurm: Slurm,
    workflow: Workflow,
    modules: Vec<String>,
    container: ContainerRuntime,
}

impl Node {
    fn new(more: &str) -> Self {
        let folder = TempDir::new().expect("a folder");
        let root = folder.path().display();
        let text = format!(
            "[SLURM]\nslurm_data_path={root}/da ta\nslurm_images_path={root}/images\nslurm_converters_path={root}/converters\nslurm_script_path={root}/scripts\n{more}\n[WORKFLOWS]\nwf=wf\nwf_job=jobs/wf.sh\n"
        );
        let settings = settings(&text);
        for path in ["bin", "images/wf", "converters", "da ta/run/data/in", "da ta/run/data/out"] {
            fs::create_dir_all(folder.path().join(path)).expect("a folder");
        }
        for image in ["images/wf/image_v1.sif", "converters/convert_zarr_to_tiff_latest.sif"] {
            fs::write(folder.path().join(image), "").expect("a file");
        }
        let workflow = settings.workflows.first().expect("a workflow").clone();
        let node = Self {
            folder,
            slurm: settings.slurm,
            workflow,
            modules: Vec::new(),
            container: ContainerRuntime::Auto,
        };
        node.program("apptainer", CONTAINER);
        node
    }

    fn path(&self, below: &str) -> std::path::PathBuf {
        self.folder.path().join(below)
    }

    fn program(&self, name: &str, text: &str) {
        let path = self.path("bin").join(name);
        fs::write(&path, text).expect("a file");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("a mode");
    }

    fn site(&self) -> Site<'_> {
        Site {
            slurm: &self.slurm,
            converters: &[],
            container: self.container,
            modules: &self.modules,
            template: None,
            program: None,
        }
    }

    fn plan(&self, descriptor: &Descriptor, given: &[(String, String)]) -> JobPlan {
        let arguments = Arguments::of(descriptor, given).expect("arguments");
        let call = Call {
            version: "v1",
            input: "run",
            arguments: &arguments,
            use_gpu: None,
            time: None,
            email: None,
            options: &[],
            comment: "c",
        };
        plan(&self.workflow, descriptor, &self.site(), &call).expect("a plan")
    }

    /// Runs a script as Slurm does, and returns what the container got.
    fn run(
        &self,
        text: &str,
        environment: &[(String, String)],
        arguments: &[String],
    ) -> (Output, Option<Vec<String>>) {
        let script = self.path("job.sh");
        fs::write(&script, text).expect("a file");
        let path = format!("{}:/usr/bin:/bin", self.path("bin").display());
        let argv = self.path("bin/argv");
        let _ = fs::remove_file(&argv);
        let output = Command::new("bash")
            .arg(&script)
            .args(arguments)
            .env_clear()
            .env("PATH", path)
            .envs(environment.iter().map(|(name, value)| (name, value)))
            .current_dir(self.folder.path())
            .output()
            .expect("bash runs");
        (output, fs::read(&argv).ok().map(|argv| words_of(&argv)))
    }

    fn run_plan(&self, plan: &JobPlan) -> (Output, Option<Vec<String>>) {
        if let Some(file) = &plan.environment_file {
            fs::write(&file.path, &file.text).expect("a file");
        }
        let text = plan.script.text.as_deref().expect("a text");
        self.run(text, &plan.submission.environment, &plan.submission.arguments)
    }
}

fn words_of(argv: &[u8]) -> Vec<String> {
    let text = String::from_utf8(argv.to_vec()).expect("UTF-8");
    text.split_terminator('\0').map(str::to_owned).collect()
}

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// What the container gets, besides parameters.
fn expected(node: &Node, gpu: &[&str], parameters: &[String]) -> Vec<String> {
    let data = node.path("da ta/run/data").display().to_string();
    let image = node.path("images/wf/image_v1.sif").display().to_string();
    let mut words = vec!["run".to_owned()];
    words.extend(gpu.iter().map(|word| (*word).to_owned()));
    words.push(image);
    words.extend([
        "--infolder".to_owned(),
        format!("{data}/in"),
        "--gtfolder".to_owned(),
        format!("{data}/gt"),
    ]);
    words.extend(["--outfolder".to_owned(), format!("{data}/out")]);
    words.extend_from_slice(parameters);
    words.extend(["--local".to_owned(), "-nmc".to_owned()]);
    words
}

#[test]
fn a_job_gets_its_parameters_and_what_was_left_out_is_left_out() {
    let node = Node::new("");
    let descriptor = descriptor(&[
        ("a-b", "--@id", false),
        ("maybe", "--maybe", true),
        ("two", "-x --two", false),
        ("path", "-p", false),
    ]);
    let given =
        [("a-b", "1"), ("two", "2"), ("path", "/x")].map(|(name, value)| (name.to_owned(), value.to_owned()));
    let plan = node.plan(&descriptor, &given);
    let (output, argv) = node.run_plan(&plan);
    assert!(output.status.success(), "{}", said(&output));
    let parameters = ["--a-b=1", "-x", "--two=2", "-p=/x"].map(str::to_owned);
    assert_eq!(argv, Some(expected(&node, &["--nv"], &parameters)), "{}", said(&output));
    let data = node.path("da ta/run").display().to_string();
    let banner =
        format!("Running wf Job w/ {}/images/wf | image_v1.sif | {data} | ", node.folder.path().display());
    assert!(said(&output).contains(&banner), "{}", said(&output));
}

#[test]
fn the_gpu_flag_comes_from_the_variable_where_it_is_injected() {
    for (configured, flag) in [("", None), ("wf_use_gpu=yes", Some("--nv"))] {
        let mut node = Node::new("inject_gpu_flag=yes");
        node.workflow.use_gpu = !configured.is_empty();
        let plan = node.plan(&descriptor(&[]), &[]);
        let (output, argv) = node.run_plan(&plan);
        let gpu: Vec<&str> = flag.into_iter().collect();
        assert_eq!(argv, Some(expected(&node, &gpu, &[])), "{}", said(&output));
    }
}

#[test]
fn a_job_without_results_or_with_an_error_fails() {
    let node = Node::new("");
    let plan = node.plan(&descriptor(&[]), &[]);
    let mut failing = plan.clone();
    failing.submission.environment.push(("EXIT".to_owned(), "7".to_owned()));
    let (output, _) = node.run_plan(&failing);
    assert_eq!(output.status.code(), Some(7), "results or not: {}", said(&output));
    node.program("apptainer", "#!/bin/sh\nexit 0\n");
    fs::remove_file(node.path("da ta/run/data/out/result")).expect("it is there");
    let (output, _) = node.run_plan(&plan);
    assert_eq!(output.status.code(), Some(2), "{}", said(&output));
    fs::remove_file(node.path("images/wf/image_v1.sif")).expect("it is there");
    let (output, _) = node.run_plan(&plan);
    assert_eq!(output.status.code(), Some(3), "{}", said(&output));
    fs::remove_file(node.path("bin/apptainer")).expect("it is there");
    let (output, _) = node.run_plan(&plan);
    assert_eq!(output.status.code(), Some(3), "{}", said(&output));
    assert!(said(&output).contains("slurm.modules"), "{}", said(&output));
}

#[test]
fn a_parameter_that_nobody_set_is_an_error() {
    let node = Node::new("");
    let mut plan =
        node.plan(&descriptor(&[("needed", "--needed", false)]), &[("needed".to_owned(), "1".to_owned())]);
    plan.submission.environment.retain(|(name, _)| name != "NEEDED");
    let (output, argv) = node.run_plan(&plan);
    assert!(!output.status.success() && argv.is_none(), "{}", said(&output));
    assert!(said(&output).contains("NEEDED"), "{}", said(&output));
}

#[test]
fn a_module_that_is_there_is_loaded_and_one_that_is_not_ends_the_job() {
    let mut node = Node::new("");
    node.modules = vec!["apptainer/1.3".to_owned(), "it's missing".to_owned()];
    // A module system is a function of the shell, which travels in the environment.
    let function = ("BASH_FUNC_module%%".to_owned(), "() { [ \"$2\" = apptainer/1.3 ]; }".to_owned());
    let mut plan = node.plan(&descriptor(&[]), &[]);
    plan.submission.environment.push(function.clone());
    let (output, argv) = node.run_plan(&plan);
    assert_eq!((output.status.code(), argv), (Some(3), None), "{}", said(&output));
    assert!(said(&output).contains("the module it's missing cannot be loaded"), "{}", said(&output));
    node.modules.pop();
    let mut plan = node.plan(&descriptor(&[]), &[]);
    plan.submission.environment.push(function);
    let (output, _) = node.run_plan(&plan);
    assert!(output.status.success(), "{}", said(&output));
}

#[test]
fn a_stopped_job_stops_its_container() {
    let node = Node::new("");
    let container = "#!/bin/bash\ntrap 'echo heard > \"${0%/*}/heard\"; exit 0' TERM\ntouch \"${0%/*}/runs\"\nwhile :; do sleep 0.05; done\n";
    node.program("apptainer", container);
    let plan = node.plan(&descriptor(&[]), &[]);
    let script = node.path("job.sh");
    fs::write(&script, plan.script.text.as_deref().expect("a text")).expect("a file");
    let mut job = Command::new("bash")
        .arg(&script)
        .env("PATH", format!("{}:/usr/bin:/bin", node.path("bin").display()))
        .envs(plan.environment.iter().map(|(name, value)| (name, value)))
        .spawn()
        .expect("bash runs");
    let until = std::time::Instant::now() + std::time::Duration::from_secs(60);
    while !node.path("bin/runs").exists() && std::time::Instant::now() < until {
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    let id = nix::unistd::Pid::from_raw(i32::try_from(job.id()).expect("an id"));
    nix::sys::signal::kill(id, nix::sys::signal::Signal::SIGTERM).expect("it runs");
    assert_eq!(job.wait().expect("it ends").code(), Some(143));
    assert!(node.path("bin/heard").exists(), "the container was not told");
}

fn convert(node: &Node, names: &[String], task: usize) -> (Output, Option<Vec<String>>) {
    let data = node.path("da ta/run").display().to_string();
    let found: Vec<String> = names.iter().map(|name| format!("{data}/data/in/{name}")).collect();
    let conversion = Conversion { input: "run", source: "zarr", target: "tiff", comment: "c", at_once: None };
    let plan = conversion::plan(&node.site(), &conversion, &found).expect("a plan");
    fs::write(&plan.list.path, &plan.list.text).expect("a file");
    let mut environment = plan.environment.clone();
    environment.push(("SLURM_ARRAY_TASK_ID".to_owned(), task.to_string()));
    node.run(plan.script.text.as_deref().expect("a text"), &environment, &[])
}

#[test]
fn a_failed_conversion_keeps_its_input_and_nothing_outside_is_removed() {
    let node = Node::new("");
    node.program("apptainer", "#!/bin/sh\nexit 5\n");
    let image = node.path("da ta/run/data/in/a.zarr");
    fs::create_dir(&image).expect("a folder");
    let (output, _) = convert(&node, &["a.zarr".to_owned()], 1);
    assert_eq!(output.status.code(), Some(5), "{}", said(&output));
    assert!(image.exists());
    let (output, _) = convert(&node, &["a.zarr".to_owned()], 2);
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    node.program("apptainer", CONTAINER);
    let (output, argv) = convert(&node, &["../in/a.zarr".to_owned()], 1);
    assert_eq!((output.status.code(), argv), (Some(1), None), "{}", said(&output));
    assert!(image.exists());
}

#[test]
fn a_program_in_the_place_of_a_container_has_a_script_and_a_name_of_its_own() {
    let node = Node::new("");
    fs::write(node.path("convert"), program::smallest(0)).expect("a file");
    let program = Program::read(&node.path("convert")).expect("a program");
    let site = Site { program: Some(&program), ..node.site() };
    let conversion = Conversion { input: "run", source: "zarr", target: "tiff", comment: "c", at_once: None };
    let image = node.path("da ta/run/data/in/a '$(touch pwned).zarr");
    fs::create_dir(&image).expect("a folder");
    let found = [image.display().to_string()];
    let plan = conversion::plan(&site, &conversion, &found).expect("a plan");
    assert_eq!((plan.version.as_str(), plan.task.as_str()), (program.version(), "CONVERT_ZARR_TO_TIFF"));
    assert!(plan.script.path.ends_with("scripts/convert_program_array.sh"), "{}", plan.script.path);
    fs::write(&plan.list.path, &plan.list.text).expect("a file");
    let mut environment = plan.environment.clone();
    environment.push(("SLURM_ARRAY_TASK_ID".to_owned(), "1".to_owned()));
    let text = plan.script.text.expect("a text");
    let output = node.run(&text, &environment, &[]).0;
    assert_eq!(output.status.code(), Some(3), "{}", said(&output));
    // No container is needed, or asked for.
    node.program("apptainer", "#!/bin/sh\nexit 9\n");
    let converter = format!("../converters/{}", program.name());
    node.program(&converter, "#!/bin/sh\nprintf '%s\\n' \"$@\"\n");
    let output = node.run(&text, &environment, &[]).0;
    assert!(output.status.success(), "{}", said(&output));
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(told.contains(&format!("--compat\nbiomero\n--remove-source\n{}\n", image.display())), "{told}");
    assert!(!image.exists() && !node.path("pwned").exists());
    let other = Conversion { target: "png", ..conversion };
    let refused = conversion::plan(&site, &other, &found).expect_err("refused").to_string();
    assert!(refused.contains("slurm.converter"), "{refused}");
}

#[test]
fn nothing_to_convert_is_an_error_before_anything_is_submitted() {
    let node = Node::new("");
    let conversion = Conversion { input: "run", source: "zarr", target: "tiff", comment: "c", at_once: None };
    let refused = |found: &[&str]| {
        let found: Vec<String> = found.iter().map(|name| (*name).to_owned()).collect();
        conversion::plan(&node.site(), &conversion, &found).expect_err("refused").to_string()
    };
    assert!(refused(&[]).contains("there is nothing to convert: no .zarr in"));
    assert!(refused(&["a\nb.zarr"]).contains("rename the image"));
}

#[test]
fn a_name_that_leads_elsewhere_is_refused() {
    let node = Node::new("");
    let descriptor = descriptor(&[]);
    let arguments = Arguments::default();
    let call = Call {
        version: "v1",
        input: "run",
        arguments: &arguments,
        use_gpu: None,
        time: None,
        email: None,
        options: &[],
        comment: "c",
    };
    let refused = |call: Call<'_>| plan(&node.workflow, &descriptor, &node.site(), &call).is_err();
    assert!(!refused(call));
    for name in ["", "..", "../x", "a/b", "-x", "a b", "a\n", "$(x)", ".hidden"] {
        assert!(refused(Call { input: name, ..call }) && refused(Call { version: name, ..call }), "{name:?}");
    }
    for time in ["", "1:2:3:4", "now", "-1", "1 h", "0", "00:00:00", "1-", "--x"] {
        assert!(refused(Call { time: Some(time), ..call }), "{time:?}");
    }
    for time in ["30", "1:30", "01:00:00", "1-0", "1-12:30", "2-00:00:00", "UNLIMITED"] {
        assert!(!refused(Call { time: Some(time), ..call }), "{time:?}");
    }
    for email in ["", "-x@y", "a b@c", "a@", "@c", "a\n@c"] {
        assert!(refused(Call { email: Some(email), ..call }), "{email:?}");
    }
    for option in ["wrap", "array", "-x", "a b", "A=", ""] {
        assert!(refused(Call { options: &[(option.to_owned(), None)], ..call }), "{option:?}");
    }
}

#[test]
fn a_template_of_the_site_is_filled_as_python_fills_it() {
    let node = Node::new("inject_gpu_flag=yes\nenv_file_submission=yes");
    let template = "$jobname ${jobname}x $$HOME $HOME ${X:-} $(pwd) $GPU_FLAG\n$OPTIONAL_ENV\n$WF_TYPE $INPARAMS $OUTPARAMS $PARAMS $EXTRAPARAMS $";
    let site = Site { template: Some(template), ..node.site() };
    let descriptor = descriptor(&[("a", "--a", false), ("b", "-b; reboot", false)]);
    let script = script::of(&node.workflow, &descriptor, &site).expect("a script");
    let wanted = "wf wfx $HOME $HOME ${X:-} $(pwd) $GPU_FLAG\nif [ -n \"${1:-}\" ]; then . \"$1\"; fi\nbiaflows --infolder \"$DATA_PATH/data/in\" --gtfolder \"$DATA_PATH/data/gt\" --outfolder \"$DATA_PATH/data/out\" --a=\"$A\" '-b;' reboot=\"$B\" --local -nmc $";
    assert_eq!(script.text.as_deref(), Some(wanted));
}

#[test]
fn scripts_please_shellcheck() {
    let node = Node::new("inject_gpu_flag=yes");
    let job = node
        .plan(&descriptor(&[("a", "--@id", false), ("b", "-b", true)]), &[("a".to_owned(), "1".to_owned())]);
    fs::write(node.path("convert"), program::smallest(0)).expect("a file");
    let program = Program::read(&node.path("convert")).expect("a program");
    let by_program = Site { program: Some(&program), ..node.site() };
    let conversions = [node.site(), by_program].map(|site| script::of_conversion(&site).text);
    for text in [job.script.text].into_iter().chain(conversions) {
        let path = node.path("check.sh");
        fs::write(&path, text.expect("a text")).expect("a file");
        match Command::new("shellcheck").arg("--shell=bash").arg(&path).output() {
            Ok(output) => assert!(output.status.success(), "{}", said(&output)),
            // It is no part of what the tests need to run; the shell itself says whether it can be read.
            Err(_) => assert!(syntax_is_good(&path)),
        }
    }
}

fn syntax_is_good(path: &Path) -> bool {
    Command::new("bash").arg("-n").arg(path).status().is_ok_and(|status| status.success())
}

/// Text that a shell would make something of.
fn hostile() -> impl Strategy<Value = String> {
    let part = prop_oneof![
        Just("$(touch PWNED)".to_owned()),
        Just("`touch PWNED`".to_owned()),
        Just("; touch PWNED #".to_owned()),
        Just("' && touch PWNED '".to_owned()),
        Just("\" || touch PWNED \"".to_owned()),
        Just("\n".to_owned()),
        Just("\\".to_owned()),
        Just("${HOME}".to_owned()),
        Just("!!".to_owned()),
        Just("--".to_owned()),
        Just(" * ? [a] {b,c} ~ ".to_owned()),
        "[^\0]{0,8}",
    ];
    proptest::collection::vec(part, 0..5).prop_map(|parts| parts.concat())
}

proptest! {
    // Each case runs a shell.
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn values_arrive_unchanged_and_execute_nothing(value in hostile(), other in hostile(), in_file: bool) {
        let node = Node::new(if in_file { "env_file_submission=yes" } else { "" });
        let descriptor = descriptor(&[("first", "--first", false), ("sec ond", "-s", false)]);
        let given = [("first".to_owned(), value.clone()), ("sec ond".to_owned(), other.clone())];
        let (output, argv) = node.run_plan(&node.plan(&descriptor, &given));
        let parameters = [format!("--first={value}"), format!("-s={other}")];
        prop_assert_eq!(argv, Some(expected(&node, &["--nv"], &parameters)), "{}", said(&output));
        prop_assert!(!node.path("PWNED").exists());
        prop_assert_eq!(said(&output).matches("Job w/").count(), 1, "{}", said(&output));
    }

    #[test]
    fn a_hostile_descriptor_executes_nothing(id in hostile(), flag in hostile(), name in hostile()) {
        let mut node = Node::new("");
        node.workflow.name = name;
        prop_assume!(!id.is_empty() && !id.starts_with("cytomine"));
        let descriptor = descriptor(&[(&id, &flag, false)]);
        let arguments = Arguments::of(&descriptor, &[(id.clone(), "v".to_owned())]).expect("arguments");
        let call = Call { version: "v1", input: "run", arguments: &arguments, use_gpu: None, time: None, email: None, options: &[], comment: "c" };
        if let Ok(plan) = plan(&node.workflow, &descriptor, &node.site(), &call) {
            let (output, argv) = node.run_plan(&plan);
            prop_assert!(argv.is_some(), "{}", said(&output));
        }
        prop_assert!(!node.path("PWNED").exists());
    }

    #[test]
    fn files_are_converted_and_removed_whatever_they_are_called(name in hostile()) {
        let name: String = name.chars().filter(|letter| !"/\n".contains(*letter)).take(40).collect();
        prop_assume!(!name.contains(".."));
        let node = Node::new("");
        let name = format!("{name}.zarr");
        let path = node.path("da ta/run/data/in").join(&name);
        fs::create_dir(&path).expect("a folder");
        let (output, argv) = convert(&node, &["first.zarr".to_owned(), name.clone()], 2);
        let image = node.path("converters/convert_zarr_to_tiff_latest.sif").display().to_string();
        prop_assert_eq!(argv, Some(vec!["run".to_owned(), image, path.display().to_string()]), "{}", said(&output));
        prop_assert!(output.status.success() && !path.exists(), "{}", said(&output));
        prop_assert!(!node.path("PWNED").exists());
    }
}
