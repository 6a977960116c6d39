//! Each fault is told at its step, with what to do about it.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use biomero_tests::cluster::{Cluster, Daemon, Image, Options, PATIENCE, shared};
use biomero_tests::scratch::Scratch;
use biomero_tests::{Result, Trouble, process};
use serde_json::Value;

use super::stage::Stage;

/// The first step that begins with this and is not well: what is told, and what to do.
fn fault(stage: &Stage, arguments: &[&str], step: &str) -> Result<(String, String)> {
    let (code, answer) = stage.ask(arguments)?;
    let steps = answer["steps"].as_array().cloned().unwrap_or_default();
    let text = |step: &Value, key: &str| step[key].as_str().unwrap_or_default().to_owned();
    let found = steps.iter().find(|found| {
        text(found, "step").starts_with(step)
            && ["failed", "warning"].contains(&text(found, "outcome").as_str())
    });
    let Some(found) = found else {
        return Err(Trouble::new(format!("nothing is wrong with {step}, exit code {code}: {answer:#}")));
    };
    let has_failed = text(found, "outcome") == "failed";
    assert!(!has_failed || code == 2, "exit code {code}: {answer:#}");
    Ok((text(found, "told"), text(found, "remedy")))
}

/// That the step tells this, and has this to do.
fn tells(stage: &Stage, arguments: &[&str], step: &str, told: &str, remedy: &str) -> Result<()> {
    let found = fault(stage, arguments, step)?;
    assert!(found.0.contains(told), "{step} tells {:?}, not {told:?}", found.0);
    assert!(found.1.contains(remedy), "{step} has to do {:?}, not {remedy:?}", found.1);
    Ok(())
}

const VALIDATE: &[&str] = &["validate"];

#[test]
fn a_cluster_that_is_set_up_has_nothing_to_be_put_right_from_login_to_job() -> Result<()> {
    let cluster = shared()?;
    let work = cluster.workspace()?;
    cluster.publish(Image::Copy, "org/well:v1")?;
    let stage = Stage::new(&cluster, &work, "well")?;
    let (told, remedy) = fault(&stage, VALIDATE, "data folder")?;
    assert!(told.contains("is not there; it can be made"), "{told}");
    assert_eq!(remedy, "processor slurm init");
    stage.ask(&["init", "--wait"])?;
    let (code, answer) = stage.ask(&["validate", "--job"])?;
    assert_eq!(code, 0, "{answer:#}");
    let job = answer["steps"].as_array().and_then(|steps| steps.last()).cloned().unwrap_or_default();
    assert_eq!((&job["step"], &job["outcome"]), (&Value::from("job"), &Value::from("ok")), "{answer:#}");
    let left = cluster.run(&format!("find {} -name '.biomero-*'", work.name()))?;
    assert_eq!(left, "", "it leaves nothing");
    Ok(())
}

#[test]
fn what_the_configuration_names_and_the_cluster_has_not_is_told() -> Result<()> {
    let cluster = shared()?;
    let work = cluster.workspace()?;
    let stage = Stage::new(&cluster, &work, "named")?;
    let lines = "slurm_default_partition=nowhere\ngpu_gres=gpu:a100:1\nslurm_zip_cmd=nozip\n";
    stage.configure("named", lines)?;
    tells(&stage, VALIDATE, "partition nowhere", "slurm_default_partition", "see `sinfo`")?;
    tells(&stage, VALIDATE, "GPU", "gpu:a100:1", "correct gpu_gres")?;
    tells(&stage, VALIDATE, "zip tool", "nozip", "slurm_zip_cmd")?;
    tells(&stage, &["validate", "--job"], "job in nowhere", "invalid partition", "slurm-config.ini")?;
    Ok(())
}

#[test]
fn folders_that_cannot_be_used_are_told() -> Result<()> {
    let cluster = shared()?;
    let work = cluster.workspace()?;
    let stage = Stage::new(&cluster, &work, "folders")?;
    // Root's own, a file in its place, and a file system that is full.
    let data = stage.path("data");
    std::fs::create_dir(&data).map_err(Trouble::doing("make a folder"))?;
    work.write("scripts", "")?;
    let full = Full::mount(&stage.path("images"))?;
    tells(&stage, VALIDATE, "data folder", "Permission denied", "chmod u+rwx")?;
    tells(&stage, VALIDATE, "scripts folder", "no folder", "move it away")?;
    tells(&stage, VALIDATE, "images folder", "No space left", "make room: df -h")?;
    tells(&stage, VALIDATE, "images room", "free", "df -h")?;
    drop(full);
    tells(&stage, VALIDATE, "converters folder", "can be made", "processor slurm init")?;

    let (code, answer) = stage.ask(&["init", "copy"])?;
    assert_eq!(code, 2, "{answer:#}");
    let failed = answer["items"].as_array().into_iter().flatten().find(|item| item["became"] == "failed");
    assert!(
        failed.is_some_and(|item| item["name"].as_str().unwrap_or_default().ends_with("scripts")),
        "{answer:#}"
    );
    Ok(())
}

#[test]
fn a_key_that_ssh_would_refuse_is_told_before_it_does() -> Result<()> {
    let cluster = shared()?;
    let work = cluster.workspace()?;
    let mut stage = Stage::new(&cluster, &work, "keys")?;
    let config =
        std::fs::read_to_string(cluster.ssh_config()).map_err(Trouble::doing("read the configuration"))?;
    let key = stage.scratch.path().join("key");
    let ours = cluster.private_key().display().to_string();
    stage.ssh_config = stage.write("config", &config.replace(&ours, &key.display().to_string()))?;
    tells(&stage, VALIDATE, "keys", "none of these is there", "IdentityFile")?;

    std::fs::copy(&ours, &key).map_err(Trouble::doing("copy the key"))?;
    let mode = |mode| {
        std::fs::set_permissions(&key, std::fs::Permissions::from_mode(mode))
            .map_err(Trouble::doing("set a mode"))
    };
    mode(0o644)?;
    tells(&stage, VALIDATE, "keys", "mode 0644", "chmod 600")?;
    mode(0o600)?;
    process::succeed(
        Command::new("ssh-keygen").args(["-q", "-p", "-N", "secret", "-P", "", "-f"]).arg(&key),
        PATIENCE,
    )?;
    tells(&stage, VALIDATE, "keys", "passphrase", "ssh-keygen -p")?;
    let (told, _) = fault(&stage, VALIDATE, "login")?;
    assert!(!told.is_empty());

    stage.ssh_config = PathBuf::from("/nowhere/config");
    tells(&stage, VALIDATE, "SSH configuration", "/nowhere/config", "ls -l")?;
    Ok(())
}

#[test]
fn a_login_node_that_has_changed_is_told() -> Result<()> {
    let scratch = Scratch::new()?;
    let options = Options { without_apptainer: true, ..Options::default() };
    let mut cluster = Cluster::start(scratch.path(), &options)?;
    let work = cluster.workspace()?;
    let stage = Stage::new(&cluster, &work, "changed")?;
    tells(&stage, VALIDATE, "container runtime", "neither apptainer nor singularity", "module avail")?;

    cluster.bashrc("echo 'Welcome to the cluster'\n")?;
    tells(&stage, VALIDATE, "login shell", "Welcome", ".bashrc")?;

    let programs = scratch.folder("programs")?;
    link_all_but(&programs, &["sbatch", "squeue", "sacct", "scancel"])?;
    cluster.bashrc(&format!("PATH={}\n", programs.display()))?;
    tells(&stage, VALIDATE, "Slurm", "sbatch, squeue, sacct, scancel not on the PATH", "export PATH")?;
    cluster.bashrc("")?;

    cluster.slurm.stop(Daemon::Slurmctld)?;
    tells(&stage, VALIDATE, "slurmctld", "DOWN", "slurmctld")?;
    let configuration = cluster.configuration().to_path_buf();
    let text = std::fs::read_to_string(&configuration).map_err(Trouble::doing("read slurm.conf"))?;
    let off = text
        .lines()
        .filter(|line| !line.starts_with("AccountingStorage") && !line.starts_with("AccountingStore"))
        .collect::<Vec<_>>()
        .join("\n");
    std::fs::write(&configuration, format!("{off}\nAccountingStorageType=accounting_storage/none\n"))
        .map_err(Trouble::doing("write slurm.conf"))?;
    cluster.slurm.run(Daemon::Slurmctld)?;
    tells(&stage, VALIDATE, "accounting", "off", "AccountingStorageType=accounting_storage/slurmdbd")?;

    cluster.sshd.forget_key()?;
    let (told, remedy) = fault(&stage, VALIDATE, "login")?;
    assert!(!remedy.is_empty() && told.contains("ermission denied"), "{told}; {remedy}");
    cluster.sshd.authorise_key()?;
    cluster.sshd.change_host_key()?;
    let (told, remedy) = fault(&stage, VALIDATE, "login")?;
    assert!(!remedy.is_empty(), "{told}; {remedy}");
    cluster.sshd.kill()?;
    let (told, remedy) = fault(&stage, VALIDATE, "login")?;
    assert!(!remedy.is_empty(), "{told}; {remedy}");
    Ok(())
}

/// All programs of Debian in one folder, but for some.
fn link_all_but(folder: &Path, left_out: &[&str]) -> Result<()> {
    for entry in std::fs::read_dir("/usr/bin").map_err(Trouble::doing("read /usr/bin"))?.flatten() {
        let name = entry.file_name();
        if !left_out.iter().any(|left_out| name == *left_out) {
            std::os::unix::fs::symlink(entry.path(), folder.join(&name))
                .map_err(Trouble::doing("link a program"))?;
        }
    }
    Ok(())
}

/// A file system without room; gone when dropped.
struct Full(PathBuf);

impl Full {
    fn mount(path: &Path) -> Result<Self> {
        std::fs::create_dir_all(path).map_err(Trouble::doing("make a folder"))?;
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", "size=8k,mode=0777", "tmpfs"]).arg(path);
        process::succeed(&mut mount, PATIENCE)?;
        Ok(Self(path.to_path_buf()))
    }
}

impl Drop for Full {
    fn drop(&mut self) {
        let _ = process::succeed(Command::new("umount").arg(&self.0), PATIENCE);
    }
}
