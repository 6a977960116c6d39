//! The same job script under real Slurm and under the embedded executor sees the same.

use std::collections::BTreeMap;

use biomero_slurm::job::{Array, JobId};
use biomero_tests::Result;
use biomero_tests::cluster::shared;

use super::Machine;

/// Writes all that Slurm tells it, and how its folder and log are.
const SCRIPT: &str = "#!/bin/bash\n\
    #SBATCH --job-name=par/ity --cpus-per-task=1 --ntasks 1 --mem=64M\n\
    #SBATCH -t 00:05:00 # minutes\n\
    env | grep -E '^(SLURM|ENVIRONMENT|CONFIG_PATH)' | sort\n\
    [ \"$PWD\" = \"$SLURM_SUBMIT_DIR\" ] && echo FOLDER=same\n\
    echo ARGUMENT=$1\n\
    read line || echo STDIN=empty\n\
    echo SIGNALS=$(awk '/SigIgn|SigBlk/ {print $2}' /proc/$$/status)\n";

/// Those whose values are this machine's, this job's or of one Slurm only.
const DIFFER: &[&str] = &[
    "SLURM_ARRAY_JOB_ID",
    "SLURM_JOBID",
    "SLURM_JOB_ID",
    "SLURM_SUBMIT_DIR",
    "SLURM_JOB_PARTITION",
    "SLURM_CLUSTER_NAME",
    "SLURM_JOB_USER",
    "SLURM_JOB_UID",
    "SLURM_NODELIST",
    "SLURM_JOB_NODELIST",
    "SLURMD_NODENAME",
    "SLURM_SUBMIT_HOST",
];

/// What Slurm sets besides: about its own daemons, which nothing here stands for.
const SLURMS_OWN: &[&str] = &[
    "SLURM_CONF",
    "SLURM_EXPORT_ENV",
    "SLURM_GET_USER_ENV",
    "SLURM_GTIDS",
    "SLURM_JOB_ACCOUNT",
    "SLURM_JOB_GID",
    "SLURM_JOB_QOS",
    "SLURM_NODE_ALIASES",
    "SLURM_PRIO_PROCESS",
    "SLURM_TASK_PID",
    "SLURM_TOPOLOGY_ADDR",
    "SLURM_TOPOLOGY_ADDR_PATTERN",
    "SLURM_WORKING_CLUSTER",
];

fn variables(log: &str) -> BTreeMap<String, String> {
    log.lines()
        .filter_map(|line| line.split_once('='))
        .map(|(name, value)| {
            (name.to_owned(), if name == "SIGNALS" { standard(value) } else { value.to_owned() })
        })
        .collect()
}

/// Of masks of signals, those below 32: the two above are the C library's, and whoever started us may ignore them.
fn standard(masks: &str) -> String {
    let masks = masks.split(' ').map(|mask| u64::from_str_radix(mask, 16).map(|mask| mask & 0x7fff_ffff));
    format!("{:x?}", masks.collect::<Vec<_>>())
}

#[test]
fn a_job_script_sees_the_same_values_under_both() -> Result<()> {
    let cluster = shared()?;
    let work = cluster.workspace()?;
    work.write("job.sh", SCRIPT)?;
    let arguments =
        "--output=omero-%A_%3a.log --array=2-6:2%1 --export=ALL,CONFIG_PATH=/a=b job.sh 'an argument'";
    let slurm = cluster.submit(&work, arguments)?;
    cluster.ended(slurm)?;
    let theirs = variables(&work.read(&format!("omero-{slurm}_004.log"))?);

    let machine = Machine::new(2)?;
    let mut asked = machine.job(SCRIPT)?;
    asked.arguments = vec!["an argument".to_owned()];
    asked.options = super::owned(&[("array", "2-6:2%1"), ("export", "ALL,CONFIG_PATH=/a=b")]);
    asked.output = "omero-%A_%3a.log".to_owned();
    let id = machine.submit(&asked)?;
    machine.ended(id)?;
    assert!(machine.exists(&format!("omero-{id}_004.log")));
    let ours = variables(&machine.log(JobId { task: Some(4), ..id })?);

    assert!(theirs.len() > 20, "{theirs:?}");
    let mut differences = Vec::new();
    for (name, value) in &theirs {
        match ours.get(name) {
            _ if SLURMS_OWN.contains(&name.as_str()) => {}
            None => differences.push(format!("{name}={value} is missing here")),
            Some(found) if found == value || DIFFER.contains(&name.as_str()) => {}
            Some(found) => differences.push(format!("{name} is {value} there and {found} here")),
        }
    }
    differences.extend(
        ours.keys().filter(|name| !theirs.contains_key(*name)).map(|name| format!("{name} is not Slurm's")),
    );
    assert_eq!(differences, [""; 0]);
    Ok(())
}

#[test]
fn a_job_s_array_is_the_same_by_option_and_by_type() -> Result<()> {
    let machine = Machine::new(2)?;
    let ids = |typed: bool| -> Result<Vec<Option<u32>>> {
        let mut asked = machine.job("#!/bin/sh\n")?;
        if typed {
            asked.array = Some(Array { first: 3, last: 5, at_once: Some(2) });
        } else {
            asked.options = super::owned(&[("array", "3-5%2")]);
        }
        let id = machine.submit(&asked)?;
        Ok(machine.ended(id)?.iter().map(|task| task.id.task).collect())
    };
    assert_eq!(ids(true)?, ids(false)?);
    Ok(())
}
