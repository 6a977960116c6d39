//! The real Python client on the test cluster: what others compare with works.

use biomero_tests::biomero::{Descriptor, SlurmClient};
use biomero_tests::cluster::{Image, shared};
use biomero_tests::scratch::Scratch;
use biomero_tests::{Result, Trouble};
use serde_json::json;

#[test]
fn python_runs_a_workflow_on_the_cluster() -> Result<()> {
    let (cluster, scratch) = (shared()?, Scratch::new()?);
    let work = cluster.workspace()?;
    let name = work.name();
    let ini = format!(
        "[SSH]\nhost=slurm\n\
         [SLURM]\nslurm_data_path={name}/data\nslurm_images_path={name}/images\n\
         slurm_converters_path={name}/converters\nslurm_script_path={name}/scripts\n\
         [WORKFLOWS]\nthreshold=threshold\n\
         threshold_repo=https://github.com/biomerotests/threshold/tree/v1.0.0\n\
         threshold_job=jobs/threshold.sh\nthreshold_job_mem=2G\n"
    );
    let mut python = SlurmClient::start(scratch.path(), &cluster, &ini, &[Descriptor::threshold()])?;

    let made = python.call("setup_directories", &json!([]))?;
    assert_eq!(
        made.commands(),
        [format!("mkdir -p \"{name}/data\" && mkdir -p \"{name}/scripts\" && mkdir -p \"{name}/images\"")]
    );
    python.call("update_slurm_scripts", &json!({ "generate_jobs": true }))?;
    assert!(work.read("scripts/jobs/threshold.sh")?.contains("--threshold_scale=\"$THRESHOLD_SCALE\""));

    // As unpack_data leaves it.
    cluster.run(&format!("mkdir -p {name}/images/threshold {name}/data/squares/data/{{in,out,gt}}"))?;
    cluster.place(Image::Threshold, &work, "images/threshold/threshold_v1.0.0.sif")?;
    cluster.run(&format!(
        "cd {name} && apptainer exec images/threshold/threshold_v1.0.0.sif python3 -c \"import numpy, tifffile; \
         a = numpy.zeros((32, 32), 'uint8'); a[4:14, 4:14] = 200; \
         tifffile.imwrite('data/squares/data/in/squares.tif', a)\""
    ))?;
    let submitted = python.call(
        "run_workflow_job",
        &json!({ "workflow_name": "threshold", "workflow_version": "v1.0.0", "input_data": "squares", "threshold_scale": 1.0 }),
    )?;
    let sent = submitted.commands().join("\n");
    assert!(sent.contains("sbatch --mem=2G --output=omero-%j.log"), "{sent}");
    let job = submitted.returned["job_id"]
        .as_u64()
        .ok_or_else(|| Trouble::new(format!("no job: {}", submitted.returned)))?;
    let state = cluster.ended(job)?;
    let log = cluster.run(&format!("cat omero-{job}.log"))?;
    assert_eq!(state, "COMPLETED", "{log}");
    assert!(log.contains("squares.tif: 1 objects, 100%"), "{log}");
    assert_eq!(work.read("data/squares/data/out/squares.csv")?.replace('\r', ""), "label,area\n1,100\n");
    assert_eq!(python.wait(job)?, "COMPLETED");

    let asked = python.call("check_job_status", &json!([[job]]))?;
    assert_eq!(asked.commands(), [format!("sacct -n -o JobId,State,End -X -j {job}")]);
    assert_eq!(asked.returned[0][job.to_string()], "COMPLETED");
    assert_eq!(python.call_times("check_job_status", &json!([[job]]), 2)?.len(), 2);
    cluster.run(&format!("rm omero-{job}.log"))?;
    Ok(())
}
