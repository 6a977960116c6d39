//! A small job that looks from a compute node: are the folders there, does a container runtime run. The login node sees neither.
//!
//! The answer is the job's exit code alone: where the nodes do not see the folders, nothing else could come back.

use std::path::Path;
use std::time::Duration;

use biomero_config::slurm_config::BiomeroSettings;
use tokio::io::AsyncReadExt as _;

use super::finding::Finding;
use super::validate::partitions;
use super::{Containers, end_of};
use crate::{Cluster, Command, Status};

/// The job.
const PROBE: &str = include_str!("probe.sh");

/// How long a job may wait and run.
const DEADLINE: Duration = Duration::from_secs(300);

/// Runs `sbatch` so that the job's id is told at once, and its exit code at the end. Relative paths begin at the login folder here, wherever
/// the job begins. Arguments: four folders, then options of `sbatch`; the job is standard input.
const SUBMIT: &str = r#"i=0
while [ "$i" -lt 4 ]; do
    case $1 in /*) one=$1 ;; *) one=$PWD/$1 ;; esac
    set -- "$@" "$one"
    shift
    i=$((i + 1))
done
# The options are in front now, the folders behind.
n=$(($# - 4)) i=0
while [ "$i" -lt "$n" ]; do set -- "$@" "$1"; shift; i=$((i + 1)); done
data=$1 images=$2 scripts=$3 converters=$4
shift 4
exec sbatch --parsable --wait "$@" /dev/stdin "$data" "$images" "$scripts" "$converters" "$RUNTIMES" "$MODULES""#;

/// What the bits of the exit code mean: the step, what was found, what to do.
const BITS: [(u8, &str, &str, &str); 6] = [
    (
        1,
        "data folder",
        "not there, or it cannot be written",
        "use a path that compute nodes mount: correct slurm_data_path",
    ),
    (2, "images folder", "not there", "use a path that compute nodes mount: correct slurm_images_path"),
    (4, "scripts folder", "not there", "use a path that compute nodes mount: correct slurm_script_path"),
    (
        8,
        "converters folder",
        "not there",
        "use a path that compute nodes mount: correct slurm_converters_path",
    ),
    (
        16,
        "container runtime",
        "neither apptainer nor singularity is on the PATH, nor brought by a module",
        "have apptainer installed on compute nodes, or load its module in ~/.bashrc",
    ),
    (32, "container runtime", "it does not run", "type there: apptainer --version"),
];

/// Submits one job to each partition that the configuration names, or to the default one.
pub async fn probe(cluster: &Cluster, settings: &BiomeroSettings, containers: &Containers) -> Vec<Finding> {
    let named = partitions(settings);
    let mut findings = Vec::new();
    if named.is_empty() {
        findings.extend(one(cluster, settings, containers, None).await);
    }
    for (partition, _) in &named {
        findings.extend(one(cluster, settings, containers, Some(partition)).await);
    }
    findings
}

async fn one(
    cluster: &Cluster,
    settings: &BiomeroSettings,
    containers: &Containers,
    partition: Option<&str>,
) -> Vec<Finding> {
    let slurm = &settings.slurm;
    let step = partition.map_or_else(|| "job".to_owned(), |name| format!("job in {name}"));
    let options = slurm
        .sbatch_options
        .iter()
        .filter(|(name, _)| ["account", "qos", "reservation"].contains(&name.as_str()));
    let submit = Command::shell(SUBMIT)
        .args([&slurm.data_path, &slurm.images_path, &slurm.script_path, &slurm.converters_path])
        .args(["--job-name=biomero-validate", "--output=/dev/null", "--time=5", "--ntasks=1"])
        .args(partition.map(|name| format!("--partition={name}")))
        .args(options.map(|(name, value)| format!("--{name}={value}")))
        .env("RUNTIMES", containers.runtimes())
        .env("MODULES", containers.modules())
        .input(PROBE)
        .deadline(DEADLINE + Duration::from_secs(30));
    let mut told = Vec::new();
    let ended = tokio::time::timeout(DEADLINE, run(cluster, &submit, &mut told)).await;
    let job = String::from_utf8_lossy(&told);
    let job = job.trim().split(';').next().unwrap_or_default().to_owned();
    let is_id = !job.is_empty() && job.bytes().all(|digit| digit.is_ascii_digit());
    match ended {
        Ok(Ok((status, stderr))) => {
            let node = if is_id { node_of(cluster, &job).await } else { None };
            of_end(&step, &job, node.as_deref(), status, &stderr)
        }
        Ok(Err(error)) => vec![Finding::failed(&step, error.to_string(), "processor slurm validate --job")],
        Err(_) if is_id => {
            let reason = Command::new("squeue").args(["-h", "-o", "%T %r", "-j", &job]).repeatable();
            let reason = cluster.ask(&reason).await.unwrap_or_default();
            let reason = String::from_utf8_lossy(&reason).trim().to_owned();
            let _ = cluster.run(&Command::new("scancel").arg(&job).repeatable()).await;
            vec![Finding::warning(
                &step,
                format!(
                    "job {job} did not end within {} s and was cancelled; squeue said: {reason}",
                    DEADLINE.as_secs()
                ),
                "see when the partition has room: squeue --start; sinfo",
            )]
        }
        Err(_) => vec![Finding::failed(&step, "sbatch did not answer", "sbatch --version; scontrol ping")],
    }
}

async fn run(
    cluster: &Cluster,
    submit: &Command,
    told: &mut Vec<u8>,
) -> Result<(Status, Vec<u8>), crate::Error> {
    use tokio::io::AsyncWriteExt as _;
    let mut running = cluster.spawn(submit).await?;
    if let Some(mut stdin) = running.stdin.take() {
        // Where `sbatch` refuses at once, it reads nothing, and says why.
        let _ = stdin.write_all(submit.what_it_reads()).await;
        let _ = stdin.shutdown().await;
    }
    let mut buffer = [0; 256];
    loop {
        match running.stdout.read(&mut buffer).await {
            Ok(read) if read > 0 && told.len() < 4096 => told.extend(buffer.iter().take(read)),
            Ok(0) | Err(_) => break,
            Ok(_) => {}
        }
    }
    running.wait().await
}

async fn node_of(cluster: &Cluster, job: &str) -> Option<String> {
    let show = Command::new("scontrol").args(["-o", "show", "job", job]).repeatable();
    let told = cluster.ask(&show).await.ok()?;
    let told = String::from_utf8_lossy(&told);
    // A name of a job may hold anything, and stands before.
    let node = told.rsplit(' ').find_map(|word| word.strip_prefix("NodeList="))?;
    Some(node.to_owned()).filter(|node| node != "(null)")
}

fn of_end(step: &str, job: &str, node: Option<&str>, status: Status, stderr: &[u8]) -> Vec<Finding> {
    let node = node.unwrap_or("a compute node");
    let said = String::from_utf8_lossy(stderr);
    let said = end_of(said.trim(), 300);
    match status {
        Status::Exited(0) => {
            vec![Finding::ok(
                step,
                format!("job {job} on {node} sees all folders and has a container runtime"),
            )]
        }
        Status::Exited(code) if (65..128).contains(&code) => BITS
            .into_iter()
            .filter(|(bit, ..)| (code - 64) & bit != 0)
            .map(|(_, what, told, remedy)| {
                Finding::failed(
                    format!("{step}: {what}"),
                    format!("on {node}: {told}"),
                    format!("{remedy}; {}", typed(node)),
                )
            })
            .collect(),
        Status::Exited(_) if job.is_empty() => {
            vec![Finding::failed(
                step,
                format!("sbatch refuses it: {said}"),
                "correct the option that it names in slurm-config.ini",
            )]
        }
        status => {
            let ended = match status {
                Status::Exited(code) => format!("ended with {code}"),
                Status::Killed => "was killed".to_owned(),
            };
            let remedy = format!("scontrol show job {job}; sacct -j {job} -o State,ExitCode,Reason,NodeList");
            vec![Finding::failed(step, format!("job {job} on {node} {ended}; {said}"), remedy)]
        }
    }
}

/// How people look for themselves.
fn typed(node: &str) -> String {
    let is_name = node.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte));
    if is_name {
        format!("look: srun -w {} ls", super::login::quoted(Path::new(node)))
    } else {
        "look: srun ls".to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::setup::finding::Outcome;

    #[test]
    fn the_exit_code_tells_all_that_is_wrong_there() {
        let findings = of_end("job", "7", Some("n1"), Status::Exited(64 + 1 + 8 + 16), b"");
        let steps: Vec<&str> = findings.iter().map(|finding| finding.step.as_str()).collect();
        assert_eq!(steps, ["job: data folder", "job: converters folder", "job: container runtime"]);
        assert!(
            findings
                .iter()
                .all(|finding| finding.outcome == Outcome::Failed && finding.told.starts_with("on n1"))
        );
        assert_eq!(of_end("job", "7", None, Status::Exited(0), b"")[0].outcome, Outcome::Ok);
        let refused =
            of_end("job", "", None, Status::Exited(1), b"sbatch: error: invalid partition specified: x");
        assert!(refused[0].told.contains("invalid partition"));
        assert!(of_end("job", "7", None, Status::Exited(1), b"")[0].told.contains("ended with 1"));
    }
}
