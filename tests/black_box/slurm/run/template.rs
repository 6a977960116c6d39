//! A site's own template of job scripts.

use biomero_tests::cluster::worker::{WORKFLOW, Worker};
use biomero_tests::cluster::{PATIENCE, shared};
use biomero_tests::{Result, process};

use super::{image, objects, read, worker};

const TEMPLATE: &str = "#!/bin/bash
#SBATCH --job-name=own-$jobname
#SBATCH --time=5
printf '%s\\n' $PARAMS $INPARAMS > \"$DATA_PATH/data/out/words\"
";

fn templated(worker: &Worker, arguments: &[&str]) -> Result<std::process::Output> {
    let mut command = worker.processor(&[&["slurm"], arguments].concat())?;
    command.env("BIOMERO_INIT_SLURM__TEMPLATE", worker.folder().join("job.template"));
    process::output(&mut command, PATIENCE)
}

#[test]
fn jobs_are_made_from_the_sites_own_template() -> Result<()> {
    let cluster = shared()?;
    let workspace = cluster.workspace()?;
    let worker = worker(&cluster, &workspace)?;
    worker.write("job.template", TEMPLATE)?;
    let results = worker.folder().join("results");
    let (from, to) = (image(&worker)?.display().to_string(), results.display().to_string());
    let arguments = ["run", WORKFLOW, "--input", &from, "--output", &to, "--no-conversion"];
    let arguments = [&arguments[..], &["--param", "threshold_scale=0.9"]].concat();

    let plan = templated(&worker, &[&arguments[..], &["--dry-run"]].concat())?;
    let said = process::both(&plan);
    assert!(said.contains("#SBATCH --job-name=own-threshold"), "{said}");
    let done = templated(&worker, &arguments)?;
    assert!(done.status.success(), "{}", process::both(&done));
    let words = read(&results.join("words"))?;
    assert!(words.starts_with("--threshold_scale=0.9\n--infolder\n"), "{words}");

    let init = templated(&worker, &["init", WORKFLOW, "--dry-run", "--json"])?;
    let told = objects(&String::from_utf8_lossy(&init.stdout))?;
    let items = told.iter().flat_map(|told| told["items"].as_array().cloned().unwrap_or_default());
    let script = items.into_iter().find(|item| item["kind"] == "script");
    assert_eq!(script.map(|item| item["became"].clone()), Some("there".into()), "{told:?}");
    Ok(())
}

#[test]
fn a_template_that_is_none_is_told_with_its_file_before_anything_is_sent() -> Result<()> {
    let cluster = shared()?;
    let workspace = cluster.workspace()?;
    let worker = worker(&cluster, &workspace)?;
    let from = image(&worker)?.display().to_string();
    for (template, told) in [(None, "correct slurm.template"), (Some("echo\n"), "begin it with #!/bin/bash")]
    {
        if let Some(template) = template {
            worker.write("job.template", template)?;
        }
        for arguments in [&["run", WORKFLOW, "--input", &from][..], &["init", "--dry-run"]] {
            let output = templated(&worker, arguments)?;
            let said = process::both(&output);
            assert_eq!(output.status.code(), Some(78), "{arguments:?}: {said}");
            assert!(said.contains("job.template") && said.contains(told), "{arguments:?}: {said}");
        }
    }
    assert!(!workspace.path().join("data").exists(), "nothing was sent");
    Ok(())
}
