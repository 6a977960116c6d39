//! A run whose cluster is in trouble meanwhile: it waits, or says that it is to be taken up again; and then it goes on.

use std::os::unix::fs::PermissionsExt as _;

use biomero_tests::cluster::worker::{WORKFLOW, Worker};
use biomero_tests::cluster::{Access, Cluster, Daemon, Options, Workspace, shared};
use biomero_tests::scratch::Scratch;
use biomero_tests::{Result, Trouble};

use super::begun::Begun;
use super::read;

/// A job script of the site's own, which a run takes as it is: it ends once there is a file `go`, and needs no image.
const SCRIPT: &str = "#!/bin/bash\nwhile [ ! -e \"$DATA_PATH/../../go\" ]; do sleep 0.2; done\n\
                      cp \"$DATA_PATH/data/in/image.txt\" \"$DATA_PATH/data/out/result.txt\"\n";

/// A worker with an image, and with [`SCRIPT`] on its cluster; the arguments of the run.
fn stage(cluster: &Access, workspace: &Workspace) -> Result<(Worker, Vec<String>)> {
    let mut worker = Worker::new(cluster, workspace)?;
    worker.set("POLL", "2s");
    workspace.write(&format!("scripts/jobs/{WORKFLOW}.sh"), SCRIPT)?;
    worker.write("images/image.txt", "of cells")?;
    let folder = worker.folder().display();
    let arguments =
        vec![WORKFLOW.to_owned(), format!("--input={folder}/images"), format!("--output={folder}/results")];
    Ok((worker, arguments))
}

/// That the run succeeds, with its results, and that each of these steps has submitted one job, which the history knows.
fn is_well(mut run: Begun<'_>, worker: &Worker, steps: &[&str]) -> Result<()> {
    assert_eq!(run.exit_code()?, Some(0), "{}", run.process.output());
    assert_eq!(read(&worker.folder().join("results/result.txt"))?, "of cells");
    run.is_recorded_once(steps)
}

#[test]
fn a_run_waits_while_its_cluster_does_not_answer() -> Result<()> {
    let scratch = Scratch::new()?;
    let mut cluster = Cluster::start(scratch.path(), &Options::default())?;
    let access = cluster.access().clone();
    let workspace = cluster.workspace()?;
    let (worker, arguments) = stage(&cluster, &workspace)?;
    let run = Begun::new(&worker, &access, &arguments)?;
    run.until("its job", || run.has_job("workflow"))?;

    let told = |word: &str| run.until(word, || run.process.output().contains(word));
    cluster.sshd.kill()?;
    told("the connection was lost")?;
    cluster.sshd.listen()?;
    cluster.slurm.stop(Daemon::Slurmctld)?;
    told("it is waited for")?;
    // The job ends while nobody is there to hear of it.
    workspace.write("go", "")?;
    cluster.slurm.run(Daemon::Slurmctld)?;
    cluster.slurm.kill(Daemon::Slurmdbd)?;
    cluster.slurm.run(Daemon::Slurmdbd)?;
    is_well(run, &worker, &["workflow"])
}

#[test]
fn a_run_that_failed_in_passing_is_taken_up_again() -> Result<()> {
    let cluster = shared()?;
    let workspace = cluster.workspace()?;
    workspace.write("go", "")?;
    let (worker, arguments) = stage(&cluster, &workspace)?;
    let in_the_way = workspace.write("data", "no folder")?;
    let mut run = Begun::new(&worker, &cluster, &arguments)?;
    assert_eq!(run.exit_code()?, Some(69), "{}", run.process.output());
    let hint = format!("take it up again: processor slurm run --resume {}", run.id);
    assert!(run.process.output().contains(&hint), "{}", run.process.output());
    std::fs::remove_file(&in_the_way).map_err(Trouble::doing("remove a file"))?;
    run.resume()?;
    is_well(run, &worker, &["workflow"])
}

#[test]
fn what_a_killed_process_has_asked_for_is_waited_for() -> Result<()> {
    let scratch = Scratch::new()?;
    let cluster = Cluster::start(scratch.path(), &Options::default())?;
    let workspace = cluster.workspace()?;
    workspace.write("go", "")?;
    let (worker, arguments) = stage(&cluster, &workspace)?;
    worker.write("images/image.zarr/0", "")?;
    workspace.write("scripts/convert_job_array.sh", "#!/bin/bash\n")?;
    // sbatch takes its time, and whoever asks for jobs meanwhile hears of none.
    let folder = workspace.path().display();
    for (program, lines) in [
        (
            "sbatch",
            "touch $here/asked; while [ ! -e $here/free ]; do sleep 0.1; done; exec /usr/bin/sbatch \"$@\"",
        ),
        ("squeue", "/usr/bin/squeue \"$@\"; code=$?; touch $here/looked; exit $code"),
    ] {
        let text = format!("#!/bin/sh\nhere={folder}\n{lines}\n");
        let path = workspace.write(&format!("programs/{program}"), text)?;
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755))
            .map_err(Trouble::doing("make a program"))?;
    }
    cluster.bashrc(&format!("export PATH={folder}/programs:$PATH\n"))?;
    let mut run = Begun::new(&worker, &cluster, &arguments)?;
    let is_there = |name: &str| workspace.path().join(name).exists();
    run.kill_once("while it submits", || is_there("asked"))?;
    assert!(!is_there("looked"));
    run.resume()?;
    run.until("a look for the job", || is_there("looked"))?;
    workspace.write("free", "")?;
    is_well(run, &worker, &["convert", "workflow"])
}
