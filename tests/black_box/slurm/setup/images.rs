//! Images are pulled once, whole or not at all, by a process or by a job.

use std::time::Duration;

use biomero_tests::cluster::{Cluster, Image, Options, PATIENCE, shared};
use biomero_tests::scratch::Scratch;
use biomero_tests::{Result, Trouble, process, wait};
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use serde_json::Value;

use super::stage::{Stage, names};

#[test]
fn setting_up_twice_changes_nothing() -> Result<()> {
    let cluster = shared()?;
    let work = cluster.workspace()?;
    cluster.publish(Image::Copy, "org/twice:v1")?;
    let stage = Stage::new(&cluster, &work, "twice")?;

    let (code, planned) = stage.ask(&["init", "--dry-run"])?;
    assert_eq!(code, 0, "{planned:#}");
    assert!(Stage::became(&planned).iter().all(|became| became == "would make"), "{planned:#}");
    assert_eq!(Stage::states(&planned), ["absent", "absent"]);
    assert!(names(work.path(), "").is_empty(), "a dry run makes nothing");

    let (code, first) = stage.ask(&["init", "--wait"])?;
    assert_eq!(code, 0, "{first:#}");
    assert!(Stage::became(&first).iter().all(|became| became == "made"), "{first:#}");
    assert_eq!(Stage::states(&first), ["done", "done"], "{first:#}");
    assert_eq!(
        names(&stage.path("images/copy"), ".sif").iter().filter(|name| !name.starts_with('.')).count(),
        1
    );
    assert!(stage.path("converters/convert_zarr_to_tiff_v1.sif").exists());
    let digest = cluster.run(&format!("sha256sum < {}", stage.path("images/copy/twice_v1.sif").display()))?;
    assert_eq!(first["images"][0]["sha256"], digest.split(' ').next().unwrap_or_default());
    let modified = |name: &str| std::fs::metadata(stage.path(name)).and_then(|found| found.modified()).ok();
    let before = [modified("images/copy/twice_v1.sif"), modified("scripts/jobs/copy.sh")];
    assert!(before.iter().all(Option::is_some), "{before:?}");

    let (code, again) = stage.ask(&["init", "--wait"])?;
    assert_eq!(code, 0, "{again:#}");
    assert!(Stage::became(&again).iter().all(|became| became == "there"), "{again:#}");
    assert_eq!(again["launched"], Value::Null);
    assert_eq!(before, [modified("images/copy/twice_v1.sif"), modified("scripts/jobs/copy.sh")]);
    Ok(())
}

#[test]
fn an_image_that_is_not_to_be_had_says_why_and_comes_when_it_is() -> Result<()> {
    let cluster = shared()?;
    let work = cluster.workspace()?;
    let stage = Stage::new(&cluster, &work, "later")?;
    let (code, failed) = stage.ask(&["init", "--wait"])?;
    assert_eq!(code, 2, "{failed:#}");
    assert_eq!(Stage::states(&failed), ["failed", "failed"]);
    let image = &failed["images"][0];
    assert_eq!(image["code"], 255, "{image:#}");
    assert!(image["log"].as_str().unwrap_or_default().contains("manifest unknown"), "{image:#}");
    assert!(!stage.path("images/copy/later_v1.sif").exists());

    cluster.publish(Image::Copy, "org/later:v1")?;
    // The first attempt of the next pull fails too.
    cluster.fail_pulls("org/later:v1", 1)?;
    let (code, done) = stage.ask(&["init", "--wait"])?;
    assert_eq!((code, Stage::states(&done)), (0, vec!["done".to_owned(), "done".to_owned()]), "{done:#}");
    let attempts: Vec<&Value> = [0, 1].map(|at| &done["images"][at]["attempt"]).to_vec();
    assert!(attempts.contains(&&Value::from(2)), "{done:#}");
    Ok(())
}

#[test]
fn two_that_set_up_at_once_pull_once() -> Result<()> {
    let scratch = Scratch::new()?;
    let cluster = Cluster::start(scratch.path(), &Options::default())?;
    let work = cluster.workspace()?;
    cluster.publish(Image::Copy, "org/once:v1")?;
    cluster.slow_pulls("org/once:v1", Duration::from_secs(3))?;
    // What counts, before the stand-in on the path.
    work.write(
        "bin/apptainer",
        "#!/bin/sh\n[ \"$1\" != pull ] || echo \"$*\" >> \"$HOME/pulls\"\n\
         PATH=${PATH#*:} exec apptainer \"$@\"\n",
    )?;
    cluster.run(&format!("chmod +x {}/bin/apptainer", work.name()))?;
    cluster.bashrc(&format!("PATH={}:$PATH\n", work.path().join("bin").display()))?;
    let stage = Stage::new(&cluster, &work, "once")?;
    let mut both = Vec::new();
    for _ in 0..2 {
        let mut command = stage.command(&["init", "--wait", "--json"])?;
        command.stdout(std::process::Stdio::piped());
        both.push(command.spawn().map_err(Trouble::doing("start processor"))?);
    }
    for one in both {
        let output = one.wait_with_output().map_err(Trouble::doing("wait for processor"))?;
        assert!(output.status.success(), "{}", process::both(&output));
    }
    let pulls = cluster.run("cat pulls")?;
    assert_eq!(pulls.lines().count(), 2, "one of each image:\n{pulls}");
    assert!(names(&stage.path("images/copy"), ".part").is_empty());
    assert!(names(&stage.path("images/copy"), ".lock").is_empty());
    Ok(())
}

#[test]
fn a_pull_that_is_killed_leaves_no_half_image_and_the_next_one_succeeds() -> Result<()> {
    let cluster = shared()?;
    let work = cluster.workspace()?;
    cluster.publish(Image::Copy, "org/killed:v1")?;
    cluster.slow_pulls("org/killed:v1", Duration::from_secs(600))?;
    let stage = Stage::new(&cluster, &work, "killed")?;
    let (_, begun) = stage.ask(&["init", "copy"])?;
    assert_eq!(begun["launched"]["by"], "process", "{begun:#}");
    let status = |state: &str| -> Result<Value> {
        let mut last = Value::Null;
        let found = wait::until(&format!("an image that is {state}"), PATIENCE, &[], || {
            last = stage.ask(&["init", "copy", "--status"]).ok()?.1;
            (Stage::states(&last) == [state]).then(|| last.clone())
        });
        found.map_err(|trouble| Trouble::new(format!("{trouble}: {last:#}")))
    };
    status("pulling")?;

    // This machine is the login node: the puller leads a session, and with it a group.
    let id = begun["launched"]["id"].as_i64().and_then(|id| i32::try_from(id).ok()).unwrap_or_default();
    assert!(id > 1, "{begun:#}");
    killpg(Pid::from_raw(id), Signal::SIGKILL)
        .map_err(|error| Trouble::new(format!("kill {id}: {error}")))?;
    let failed = status("failed")?;
    let reason = failed["images"][0]["reason"].as_str().unwrap_or_default().to_owned();
    assert!(reason.contains("nobody does any more"), "{failed:#}");
    assert!(!stage.path("images/copy/killed_v1.sif").exists());

    cluster.slow_pulls("org/killed:v1", Duration::ZERO)?;
    let (code, done) = stage.ask(&["init", "copy", "--wait"])?;
    assert_eq!((code, Stage::states(&done)), (0, vec!["done".to_owned()]), "{done:#}");
    assert!(names(&stage.path("images/copy"), ".part").is_empty());
    Ok(())
}

#[test]
fn a_job_pulls_where_the_login_node_must_not() -> Result<()> {
    let cluster = shared()?;
    let work = cluster.workspace()?;
    cluster.publish(Image::Copy, "org/job:v1")?;
    let stage = Stage::new(&cluster, &work, "job")?;
    let lines = |memory: &str| {
        format!("slurm_image_pull_via_sbatch=true\nimage_pull_cpus=1\nimage_pull_mem={memory}\n")
    };
    stage.configure("job", &lines("900T"))?;
    let output = process::output(&mut stage.command(&["init"])?, PATIENCE)?;
    let told = process::both(&output);
    assert!(!output.status.success() && told.contains("refuses the job that pulls images"), "{told}");

    for memory in ["500M", ""] {
        stage.configure("job", &lines(memory))?;
        let (code, done) = stage.ask(&["init", "--wait", "--force"])?;
        assert_eq!(done["launched"]["by"], "job", "{done:#}");
        assert_eq!((code, Stage::states(&done)), (0, vec!["done".to_owned(), "done".to_owned()]), "{done:#}");
        assert_eq!(done["images"][0]["job"], done["launched"]["id"].to_string(), "{done:#}");
    }
    Ok(())
}
