use biomero_config::Environment;
use biomero_config::slurm_config::{SourceFile, merge};

use super::*;
use crate::cluster::HostKeys;

fn settings(ini: &str) -> BiomeroSettings {
    let file = SourceFile { path: "slurm-config.ini".into(), content: ini.as_bytes().to_vec() };
    let merged = merge(&[file]).expect("a configuration");
    merged.typed(&Environment::default()).expect("it makes sense").settings
}

const INI: &str = "[SSH]\nhost=slurm\n[SLURM]\nslurm_data_path=data\nslurm_default_partition=cpu\n[ANALYTICS]\ntrack_workflows=False\n";

/// A node where all is well.
fn well() -> Facts {
    let mut facts = Facts::default()
        .with("that is", "all")
        .with("user", "ada")
        .with("version", "slurm 22.05.8")
        .with("ping code", "0")
        .with("ping", "Slurmctld(primary) at node is UP")
        .with("sacct code", "0")
        .with("association code", "0")
        .with("associations", "c|lab|\nc|lab|gpu")
        .with("partitions", "cpu|up|1:00:00|1|idle|2|4000|(null)\ngpu|up|30:00|1|mixed|2|4000|gpu:1g.10gb:4(S:0-1)")
        .with(
            "config",
            "AccountingStorageEnforce = associations\nAccountingStorageType   = accounting_storage/slurmdbd\nAccountingStoreFlags = job_comment,job_env\nJobRequeue = 1\nMaxArraySize = 1001",
        )
        .with("runtime", "/usr/bin/apptainer")
        .with("runtime version", "apptainer version 1.3.0");
    for program in ["sbatch", "squeue", "sacct", "scancel", "tar", "sha256sum", "find", "setsid", "7z"] {
        facts = facts.with(&format!("program {program}"), "/usr/bin/x");
    }
    for kind in ["data", "images", "scripts", "converters"] {
        facts = facts
            .with(&format!("{kind} path"), "/home/ada/x")
            .with(&format!("{kind} is"), "folder")
            .with(&format!("{kind} write"), "yes")
            .with(&format!("{kind} space"), "/dev/sda 100000000 1 99999999 1% /")
            .with(&format!("{kind} inodes"), "/dev/sda 100000000 1 99999999 1% /");
    }
    facts
}

fn look(ini: &str, facts: &Facts) -> Vec<Finding> {
    let settings = settings(ini);
    let way = Way { host: "slurm".into(), config: None, host_keys: HostKeys::Strict, connect: SLOW };
    of_facts(
        &Asked {
            settings: &settings,
            way: Some(way),
            with_slurm: true,
            containers: &Containers::default(),
            job: false,
        },
        facts,
    )
}

/// What is not well, as `STEP OUTCOME`.
fn trouble(ini: &str, facts: &Facts) -> Vec<String> {
    let findings = look(ini, facts);
    for finding in &findings {
        let wants_remedy = matches!(finding.outcome, Outcome::Failed | Outcome::Warning);
        assert_eq!(wants_remedy, finding.remedy.is_some(), "{finding:?}");
    }
    findings
        .iter()
        .filter(|finding| finding.outcome != Outcome::Ok)
        .map(|finding| format!("{} {}", finding.step, finding.outcome.word()))
        .collect()
}

#[test]
fn a_node_where_all_is_well_has_nothing_to_be_put_right() {
    assert_eq!(trouble(INI, &well()), Vec::<String>::new());
}

#[test]
fn each_fault_is_told_at_its_step() {
    let config = |text: &str| well().with("config", text);
    let table: Vec<(&str, Facts, &[&str])> = vec![
        (
            "no sbatch",
            well().without("program sbatch"),
            &[
                "Slurm failed",
                "slurmctld not tried",
                "accounting not tried",
                "association not tried",
                "partitions not tried",
            ],
        ),
        ("no squeue", well().without("program squeue"), &["Slurm failed"]),
        (
            "slurmctld down",
            well().with("ping", "Slurmctld(primary) at node is DOWN"),
            &["slurmctld failed", "accounting not tried", "association not tried", "partitions not tried"],
        ),
        ("accounting off", config("AccountingStorageType = accounting_storage/none"), &["accounting failed"]),
        ("slurmdbd down", well().with("sacct code", "1"), &["accounting failed"]),
        (
            "comments are not kept",
            config("AccountingStorageType = accounting_storage/slurmdbd\nAccountingStoreFlags = job_script"),
            &["accounting of comments warning"],
        ),
        ("no arrays", config("MaxArraySize = 1"), &["arrays failed"]),
        ("no requeue", config("JobRequeue = 0"), &["requeue warning"]),
        ("no association", well().with("associations", ""), &["association failed"]),
        (
            "none, and none is asked for",
            well().with("associations", "").without("config"),
            &["association warning"],
        ),
        (
            "partition missing",
            well().with("partitions", "x|up|1|1|idle|1|1|(null)"),
            &["partition cpu failed"],
        ),
        (
            "partition down",
            well().with("partitions", "cpu|down|1|1|idle|1|1|(null)"),
            &["partition cpu failed"],
        ),
        (
            "nodes drained",
            well().with("partitions", "cpu|up|1|1|drained|1|1|(null)\ncpu|up|1|3|idle*|1|1|(null)"),
            &["partition cpu warning"],
        ),
        ("data is missing", well().with("data is", "absent"), &["data folder failed"]),
        ("data is a file", well().with("data is", "other"), &["data folder failed"]),
        ("data cannot be written", well().with("data write", "Permission denied"), &["data folder failed"]),
        (
            "disk full",
            well()
                .with("data space", "/dev/sda 100 99 1 99% /")
                .with("data write", "No space left on device"),
            &["data folder failed", "data room failed"],
        ),
        ("disk nearly full", well().with("data space", "/d 9 9 1048576 99% /"), &["data room warning"]),
        ("no inodes", well().with("images inodes", "/d 100000 99000 1000 99% /"), &["images room warning"]),
        (
            "over quota",
            well().with("quota", "Disk quotas for user ada:\n/dev/sda 200* 100 100"),
            &["quota failed"],
        ),
        ("no containers", well().without("runtime"), &["container runtime failed"]),
        ("no tar", well().without("program tar"), &["programs failed"]),
        ("no zip", well().without("program 7z"), &["zip tool warning"]),
        ("clock ahead", well().with("clock", "3600"), &["clock warning"]),
    ];
    for (fault, facts, expected) in table {
        assert_eq!(trouble(INI, &facts), expected, "{fault}");
    }
}

#[test]
fn what_the_configuration_asks_for_is_looked_for() {
    let table: [(&str, &[&str]); 6] = [
        ("gpu_gres=gpu:1g.10gb:1\ngpu_partition=gpu\n", &[]),
        ("gpu_gres=gpu:2\n", &[]),
        ("gpu_gres=gpu:a100:1\n", &["GPU failed"]),
        ("gpu_gres=gpu:1\ngpu_partition=cpu\n", &["GPU failed"]),
        ("slurm_script_repo=https://example.org/x\n", &["git failed"]),
        ("slurm_conversion_partition=fast\n", &["partition fast failed"]),
    ];
    for (lines, expected) in table {
        let ini = INI.replace("[ANALYTICS]", &format!("{lines}[ANALYTICS]"));
        assert_eq!(trouble(&ini, &well()), expected, "{lines}");
    }
}

#[test]
fn an_answer_that_ends_early_says_where_and_calls_nothing_fine_that_was_not_told() {
    let mut facts = Facts::read(b"user\0ada\0program sbatch\0/x\0asks\0/scratch\0");
    facts.took = Duration::from_secs(1);
    let findings = look(INI, &facts);
    let first = &findings[0];
    assert_eq!((first.step.as_str(), first.outcome), ("answers", Outcome::Failed));
    assert!(first.remedy.as_deref().is_some_and(|text| text.ends_with("df /scratch")), "{first:?}");
    for finding in &findings {
        assert_ne!(finding.outcome, Outcome::Ok, "{finding:?}");
    }
}
