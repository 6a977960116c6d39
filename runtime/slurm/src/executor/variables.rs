//! The variables a task has: those of sbatch(1), "OUTPUT ENVIRONMENT VARIABLES", as Slurm 22.05 sets them for a batch script
//! on one node.

use std::collections::BTreeMap;
use std::path::Path;

use super::processes::TOKEN;
use super::request::Request;
use super::task::Task;

/// Where it runs.
#[derive(Debug, Clone)]
pub(super) struct Place<'a> {
    pub(super) host: &'a str,
    pub(super) user: &'a str,
    pub(super) uid: u32,
}

/// What the partition is called that is none.
pub(super) const PARTITION: &str = "embedded";

/// Ours, then the job's own, then Slurm's: a job cannot be told that it is another.
pub(super) fn variables(
    inherited: &[(String, String)],
    request: &Request,
    job: u32,
    task: &Task,
    place: &Place<'_>,
) -> BTreeMap<String, String> {
    let mut variables = BTreeMap::new();
    if request.inherits {
        variables.extend(inherited.iter().cloned());
    }
    variables.extend(request.variables.iter().cloned());
    let mut set = |name: &str, value: String| {
        variables.insert(name.to_owned(), value);
    };
    let processors = request.needs.processors.to_string();
    for name in ["SLURM_JOB_ID", "SLURM_JOBID"] {
        set(name, task.own.to_string());
    }
    for name in ["SLURM_NODELIST", "SLURM_JOB_NODELIST", "SLURMD_NODENAME", "SLURM_SUBMIT_HOST"] {
        set(name, place.host.to_owned());
    }
    for name in ["SLURM_CPUS_ON_NODE", "SLURM_JOB_CPUS_PER_NODE"] {
        set(name, processors.clone());
    }
    for name in ["SLURM_NNODES", "SLURM_JOB_NUM_NODES"] {
        set(name, "1".to_owned());
    }
    for name in ["SLURM_PROCID", "SLURM_LOCALID", "SLURM_NODEID"] {
        set(name, "0".to_owned());
    }
    set("SLURM_TASKS_PER_NODE", request.parallel.unwrap_or(1).to_string());
    set("SLURM_JOB_NAME", request.name.clone());
    set("SLURM_SUBMIT_DIR", text(&request.folder));
    set("SLURM_JOB_PARTITION", PARTITION.to_owned());
    set("SLURM_CLUSTER_NAME", PARTITION.to_owned());
    set("SLURM_JOB_USER", place.user.to_owned());
    set("SLURM_JOB_UID", place.uid.to_string());
    if let Some(each) = request.processors_each {
        set("SLURM_CPUS_PER_TASK", each.to_string());
    }
    if let Some(parallel) = request.parallel {
        set("SLURM_NTASKS", parallel.to_string());
        set("SLURM_NPROCS", parallel.to_string());
    }
    if let Some(memory) = request.needs.memory {
        set("SLURM_MEM_PER_NODE", (memory >> 20).to_string());
    }
    if task.restarts > 0 {
        set("SLURM_RESTART_COUNT", task.restarts.to_string());
    }
    if let (Some(index), Some(first), Some(last)) = (task.index, request.array.first(), request.array.last())
    {
        set("SLURM_ARRAY_JOB_ID", job.to_string());
        set("SLURM_ARRAY_TASK_ID", index.to_string());
        set("SLURM_ARRAY_TASK_MIN", first.to_string());
        set("SLURM_ARRAY_TASK_MAX", last.to_string());
        set("SLURM_ARRAY_TASK_COUNT", request.array.len().to_string());
        set("SLURM_ARRAY_TASK_STEP", step(&request.array).to_string());
    }
    set("ENVIRONMENT", "BATCH".to_owned());
    set(TOKEN, task.token.clone());
    variables
}

/// As Slurm tells it: 1 unless all are equally far apart.
fn step(indices: &[u32]) -> u32 {
    let mut steps = indices.iter().zip(indices.iter().skip(1)).map(|(one, next)| next.saturating_sub(*one));
    let first = steps.next().unwrap_or(1);
    if steps.all(|step| step == first) { first } else { 1 }
}

fn text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_step_of_an_array_is_told_where_there_is_one() {
        for (indices, expected) in [(&[1, 3, 5][..], 2), (&[1, 2, 5], 1), (&[4], 1)] {
            assert_eq!(step(indices), expected, "{indices:?}");
        }
    }
}
