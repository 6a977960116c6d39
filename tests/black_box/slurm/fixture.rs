//! The cluster that the tests stand on is what they take it for: jobs run, and what is stopped is missed until it is
//! started again.

use biomero_tests::cluster::{Cluster, Daemon, Options, Slurm, Sshd, shared, slurm, sshd};
use biomero_tests::scratch::Scratch;
use biomero_tests::{Result, Trouble, process};

#[test]
fn a_job_runs_and_is_told_of() -> Result<()> {
    let cluster = shared()?;
    let work = cluster.workspace()?;
    work.write("job.sh", "#!/bin/bash\nid -un\npwd\n")?;
    let job = cluster.submit(&work, "--output=out.log job.sh")?;
    assert_eq!(cluster.ended(job)?, "COMPLETED");
    assert_eq!(work.read("out.log")?, format!("{}\n{}\n", cluster.user(), work.path().display()));
    Ok(())
}

#[test]
fn a_job_that_is_cancelled_ends() -> Result<()> {
    let cluster = shared()?;
    let work = cluster.workspace()?;
    let job = cluster.submit(&work, "--wrap 'sleep 600'")?;
    cluster.is(job, "RUNNING")?;
    cluster.run(&format!("scancel {job}"))?;
    assert_eq!(cluster.ended(job)?, "CANCELLED");
    Ok(())
}

#[test]
fn each_daemon_is_missed_while_it_is_stopped_and_works_again() -> Result<()> {
    let scratch = Scratch::new()?;
    let mut cluster = Cluster::start(scratch.path(), &Options::default())?;
    let work = cluster.workspace()?;
    let fails = |cluster: &Cluster, command: &str| -> Result<()> {
        let output = cluster.output(command)?;
        assert!(!output.status.success(), "{command}: {}", process::both(&output));
        Ok(())
    };

    cluster.slurm.stop(Daemon::Slurmctld)?;
    fails(&cluster, "scontrol ping 2>/dev/null | grep UP")?;
    cluster.run("sacct -n")?;
    cluster.slurm.run(Daemon::Slurmctld)?;
    cluster.run("squeue")?;

    cluster.slurm.kill(Daemon::Slurmdbd)?;
    fails(&cluster, "sacct -n")?;
    let job = cluster.submit(&work, "--wrap true")?;
    cluster.slurm.run(Daemon::Slurmdbd)?;
    assert_eq!(cluster.ended(job)?, "COMPLETED", "what happened meanwhile is told later");

    let running = cluster.submit(&work, "--output=out.log --wrap 'sleep 3; echo done'")?;
    cluster.is(running, "RUNNING")?;
    cluster.slurm.stop(Daemon::Slurmd)?;
    let waiting = cluster.submit(&work, "--wrap true")?;
    cluster.slurm.run(Daemon::Slurmd)?;
    for job in [running, waiting] {
        assert_eq!(cluster.ended(job)?, "COMPLETED");
    }
    assert_eq!(work.read("out.log")?, "done\n");

    cluster.sshd.kill()?;
    fails(&cluster, "true")?;
    cluster.sshd.listen()?;
    cluster.run("true")?;
    Ok(())
}

#[test]
fn a_login_node_is_as_it_is_asked_for() -> Result<()> {
    let scratch = Scratch::new()?;
    let sshd = Sshd::start(scratch.path(), &sshd::Options::default())?;
    assert_eq!(sshd.run("echo $0; pwd")?, format!("bash\n{}", sshd.home().display()));
    let jumped = process::succeed(
        std::process::Command::new("ssh").arg("-F").arg(sshd.ssh_config()).args([sshd.jumped(), "id -un"]),
        biomero_tests::cluster::PATIENCE,
    )?;
    assert_eq!(jumped.trim(), sshd.user());
    sshd.bashrc("echo noise\n")?;
    assert_eq!(sshd.run("echo answer")?, "noise\nanswer");
    assert!(sftp(&sshd)?);

    let user = sshd.user().to_owned();
    drop(sshd);
    let known = std::fs::read_to_string("/etc/passwd").map_err(Trouble::doing("read the list of users"))?;
    assert!(
        !known.lines().any(|line| line.starts_with(&format!("{user}:"))),
        "{user} goes with its login node"
    );

    let plain = Scratch::new()?;
    let options = sshd::Options { sftp: false, shell: "/bin/dash".to_owned(), ..Default::default() };
    let sshd = Sshd::start(plain.path(), &options)?;
    assert_eq!(sshd.run("echo $0")?, "dash");
    assert!(!sftp(&sshd)?);
    Ok(())
}

fn sftp(sshd: &Sshd) -> Result<bool> {
    let mut sftp = std::process::Command::new("sftp");
    sftp.args(["-b", "/dev/null", "-F"]).arg(sshd.ssh_config()).arg(sshd.alias());
    Ok(process::output(&mut sftp, biomero_tests::cluster::PATIENCE)?.status.success())
}

#[test]
fn a_login_node_refuses_who_it_no_longer_knows() -> Result<()> {
    let scratch = Scratch::new()?;
    let mut sshd = Sshd::start(scratch.path(), &sshd::Options::default())?;
    let refusal =
        |sshd: &Sshd| sshd.run("true").map_or_else(|trouble| trouble.to_string(), |_| String::new());
    sshd.change_host_key()?;
    let changed = refusal(&sshd);
    assert!(changed.contains("Host key verification failed"), "{changed}");
    sshd.know_host()?;
    sshd.run("true")?;
    sshd.forget_key()?;
    let forgotten = refusal(&sshd);
    assert!(forgotten.contains("Permission denied (publickey)"), "{forgotten}");
    sshd.authorise_key()?;
    sshd.run("true")?;
    Ok(())
}

#[test]
fn a_connection_that_is_cut_ends_and_the_next_one_is_let_in() -> Result<()> {
    let scratch = Scratch::new()?;
    let sshd = Sshd::start(scratch.path(), &sshd::Options::default())?;
    let log = scratch.path().join("ssh.log");
    let mut client = process::Running::start("ssh", sshd.ssh("echo there; sleep 600"), &log)?;
    biomero_tests::wait::until("a session", biomero_tests::cluster::PATIENCE, &[&log], || {
        (client.output() == "there\n").then_some(())
    })?;
    assert_eq!(sshd.connection_count(), 1);
    sshd.cut();
    assert_eq!(client.ended_within(biomero_tests::cluster::PATIENCE)?.code(), Some(255));
    sshd.run("true")?;
    Ok(())
}

#[test]
fn a_cluster_may_keep_no_accounts_and_have_long_arrays() -> Result<()> {
    let scratch = Scratch::new()?;
    let options = slurm::Options { accounting: false, max_array_size: 20_001, ..Default::default() };
    let cluster = Slurm::start(scratch.path(), &options, &[])?;
    let shown = process::succeed(
        cluster.command("scontrol").args(["show", "config"]),
        biomero_tests::cluster::PATIENCE,
    )?;
    assert!(shown.lines().any(|line| line.starts_with("MaxArraySize") && line.ends_with("20001")), "{shown}");
    let told = process::output(&mut cluster.command("sacct"), biomero_tests::cluster::PATIENCE)?;
    assert!(process::both(&told).contains("accounting storage is disabled"), "{}", process::both(&told));
    let ran = process::succeed(
        cluster.command("srun").args(["--ntasks=1", "printenv", "SLURM_JOB_PARTITION"]),
        biomero_tests::cluster::PATIENCE,
    )?;
    assert_eq!(ran.trim(), "cpu");
    Ok(())
}

#[test]
fn what_a_killed_run_has_left_is_removed_by_the_next() -> Result<()> {
    let scratch = Scratch::new()?;
    let log = scratch.path().join("test_cluster.log");
    let output = std::fs::File::create(&log).map_err(Trouble::doing("write a log"))?;
    let mut owner = std::process::Command::new(env!("CARGO_BIN_EXE_test_cluster"))
        // Closed, it would end the cluster.
        .stdin(std::process::Stdio::piped())
        .stdout(output)
        .spawn()
        .map_err(Trouble::doing("start test_cluster"))?;
    let told = biomero_tests::wait::until("a cluster", biomero_tests::cluster::PATIENCE, &[&log], || {
        let text = std::fs::read_to_string(&log).ok()?;
        let told = text.lines().find_map(|line| line.strip_prefix("export BIOMERO_TEST_CLUSTER="))?;
        text.contains("# ssh").then(|| std::path::PathBuf::from(told))
    });
    let submitted = told.as_ref().map_or_else(
        |_| Ok(String::new()),
        |folder| {
            let mut ssh = std::process::Command::new("ssh");
            ssh.arg("-F").arg(folder.join("ssh/config"));
            ssh.args(["slurm", "sbatch --wrap 'touch began; sleep 600' >&2; while ! test -e began; do sleep 0.1; done; id -un"]);
            process::succeed(&mut ssh, biomero_tests::cluster::PATIENCE)
        },
    );
    let _ = owner.kill();
    let _ = owner.wait();
    let (folder, user) = (told?, submitted?);

    let sshd = Sshd::start(&scratch.folder("next")?, &sshd::Options::default())?;
    let known = std::fs::read_to_string("/etc/passwd").map_err(Trouble::doing("read the list of users"))?;
    assert!(!known.lines().any(|line| line.starts_with(&format!("{}:", user.trim()))), "{user} is left");
    let of_it = folder.display().to_string();
    biomero_tests::wait::until("the end of all that ran", biomero_tests::cluster::PATIENCE, &[], || {
        let entries = std::fs::read_dir("/proc").ok()?.flatten();
        let mut environments = entries.filter_map(|entry| std::fs::read(entry.path().join("environ")).ok());
        let of_it = format!("SLURM_CONF={of_it}/");
        let is_of_it =
            |text: &Vec<u8>| text.split(|byte| *byte == 0).any(|pair| pair.starts_with(of_it.as_bytes()));
        (!environments.any(|text| is_of_it(&text))).then_some(())
    })?;
    drop(sshd);
    std::fs::remove_dir_all(&folder).map_err(Trouble::doing(format!("remove {}", folder.display())))
}

#[test]
fn a_login_shell_may_be_a_c_shell() -> Result<()> {
    let scratch = Scratch::new()?;
    let options = sshd::Options { shell: "/bin/tcsh".to_owned(), ..Default::default() };
    let sshd = Sshd::start(scratch.path(), &options)?;
    assert_eq!(sshd.run("set word = c; echo $word $shell")?, "c /bin/tcsh");
    Ok(())
}
