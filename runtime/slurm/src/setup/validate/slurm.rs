//! Slurm: its programs, its daemons, its accounting, the partitions and resources that the configuration names.

use std::collections::BTreeSet;

use biomero_config::slurm_config::BiomeroSettings;

use crate::setup::end_of;
use crate::setup::facts::{Facts, Partition};
use crate::setup::finding::Finding;

/// What nothing works without.
const NEEDED: [&str; 4] = ["sbatch", "squeue", "sacct", "scancel"];

pub(super) fn findings(settings: &BiomeroSettings, facts: &Facts) -> Vec<Finding> {
    let missing: Vec<&str> = NEEDED.into_iter().filter(|name| facts.program(name).is_none()).collect();
    let mut findings = vec![of_programs(&missing, facts)];
    if missing.contains(&"sbatch") {
        let because = "Slurm's programs are not on the PATH";
        findings.extend(
            ["slurmctld", "accounting", "association", "partitions"]
                .map(|step| Finding::not_tried(step, because)),
        );
        return findings;
    }
    let answers = of_controller(facts);
    let is_up = answers.remedy.is_none();
    findings.push(answers);
    if !is_up {
        let because = "slurmctld does not answer";
        findings.extend(
            ["accounting", "association", "partitions"].map(|step| Finding::not_tried(step, because)),
        );
        return findings;
    }
    findings.extend(of_accounting(facts));
    findings.extend(of_requeue(facts));
    findings.push(of_association(facts));
    findings.extend(of_partitions(settings, facts));
    findings.extend(of_resources(settings, facts));
    findings
}

fn of_programs(missing: &[&str], facts: &Facts) -> Finding {
    const STEP: &str = "Slurm";
    if missing.is_empty() {
        let version = facts.get("version").unwrap_or("of an unknown version");
        return Finding::ok(STEP, format!("{}, {version}", NEEDED.join(", ")));
    }
    let told = format!(
        "{} not on the PATH of a command by SSH, which is {}",
        missing.join(", "),
        facts.get("path").unwrap_or("not told")
    );
    Finding::failed(
        STEP,
        told,
        "in ~/.bashrc on the cluster, before anything that returns early: export PATH=$PATH:/usr/local/slurm/bin (where `type sbatch` finds it in a login there)",
    )
}

fn of_controller(facts: &Facts) -> Finding {
    const STEP: &str = "slurmctld";
    match facts.get("ping") {
        Some(said) if said.contains(" UP") => Finding::ok(STEP, said.lines().next().unwrap_or_default()),
        Some(said) => Finding::failed(
            STEP,
            end_of(said, 300),
            "ask the cluster's administrators; on the node of slurmctld: systemctl status slurmctld",
        ),
        // Where there is no scontrol, the partitions tell.
        None if facts.get("partitions").is_some() => Finding::ok(STEP, "it answers sinfo"),
        None => Finding::failed(STEP, "neither scontrol nor sinfo says anything", "scontrol ping"),
    }
}

fn of_accounting(facts: &Facts) -> Vec<Finding> {
    const STEP: &str = "accounting";
    let storage = facts.config("AccountingStorageType");
    let is_on = storage.is_none_or(|storage| storage.ends_with("/slurmdbd") || storage.ends_with("/mysql"));
    if !is_on {
        return vec![Finding::failed(
            STEP,
            format!(
                "off (AccountingStorageType is {}): what became of a job is only known for minutes",
                storage.unwrap_or_default()
            ),
            "in slurm.conf: AccountingStorageType=accounting_storage/slurmdbd, with a slurmdbd; then restart slurmctld",
        )];
    }
    if facts.get("sacct code").is_some_and(|code| code != "0") {
        return vec![Finding::failed(
            STEP,
            format!("sacct does not answer: {}", end_of(facts.get("sacct").unwrap_or_default(), 300)),
            "sacct; ask the administrators whether slurmdbd runs",
        )];
    }
    let mut findings = vec![Finding::ok(STEP, storage.unwrap_or("sacct answers"))];
    let flags = facts.config("AccountingStoreFlags");
    if let Some(flags) = flags
        && !flags.split(',').any(|flag| flag.trim() == "job_comment")
    {
        findings.push(Finding::warning(
            "accounting of comments",
            "off: a job whose submission was not answered is found again only as long as squeue has it (MinJobAge)",
            "in slurm.conf: AccountingStoreFlags=job_comment; then scontrol reconfigure",
        ));
    }
    findings
}

fn of_requeue(facts: &Facts) -> Vec<Finding> {
    let mut findings = Vec::new();
    if let Some(largest) = facts.config("MaxArraySize").and_then(|text| text.parse::<u64>().ok()) {
        let told = format!("an array has up to {} tasks", largest.saturating_sub(1));
        findings.push(if largest < 2 {
            Finding::failed(
                "arrays",
                "MaxArraySize allows none: images cannot be converted",
                "in slurm.conf: MaxArraySize=1001",
            )
        } else {
            Finding::ok("arrays", told)
        });
    }
    if facts.config("JobRequeue") == Some("0") {
        findings.push(Finding::warning(
            "requeue",
            "JobRequeue is 0: a job whose node is lost fails instead of starting again",
            "in [SLURM] of slurm-config.ini: sbatch_requeue =",
        ));
    }
    findings
}

fn of_association(facts: &Facts) -> Finding {
    const STEP: &str = "association";
    let user = facts.get("user").unwrap_or("our user");
    let is_enforced = facts.config("AccountingStorageEnforce").is_some_and(|enforced| {
        enforced.split(',').any(|word| matches!(word, "associations" | "limits" | "qos" | "safe"))
    });
    if facts.get("association code").is_some_and(|code| code != "0") {
        let said = facts.get("associations").unwrap_or_default();
        return Finding::warning(
            STEP,
            format!("sacctmgr does not answer: {}", end_of(said, 300)),
            "sacctmgr show assoc",
        );
    }
    let accounts: BTreeSet<&str> = facts
        .get("associations")
        .unwrap_or_default()
        .lines()
        .filter_map(|line| line.split('|').nth(1))
        .filter(|account| !account.is_empty())
        .collect();
    if !accounts.is_empty() {
        let accounts: Vec<&str> = accounts.into_iter().take(20).collect();
        return Finding::ok(STEP, format!("{user} may use {}", accounts.join(", ")));
    }
    let told = format!("{user} has none");
    let remedy = format!("an administrator types: sacctmgr add user {user} account=ACCOUNT");
    if is_enforced {
        Finding::failed(STEP, format!("{told}: every job is refused"), remedy)
    } else {
        Finding::warning(STEP, format!("{told}; here jobs run without"), remedy)
    }
}

/// The partitions that the configuration names, and what for.
pub(crate) fn named(settings: &BiomeroSettings) -> Vec<(String, String)> {
    let slurm = &settings.slurm;
    let mut named: Vec<(String, String)> = Vec::new();
    let mut add = |partition: &str, key: String| {
        // A list is fine for Slurm.
        for one in partition.split(',').map(str::trim).filter(|one| !one.is_empty()) {
            if !named.iter().any(|(known, _)| known == one) {
                named.push((one.to_owned(), key.clone()));
            }
        }
    };
    let keys = [
        (&slurm.default_partition, "slurm_default_partition"),
        (&slurm.conversion_partition, "slurm_conversion_partition"),
        (&slurm.gpu_partition, "gpu_partition"),
    ];
    for (partition, key) in keys {
        if let Some(partition) = partition {
            add(partition, key.to_owned());
        }
    }
    for (option, value) in slurm.sbatch_options.iter().filter(|(option, _)| option == "partition") {
        add(value, format!("sbatch_{option}"));
    }
    for workflow in &settings.workflows {
        for (option, value) in workflow.job_options.iter().filter(|(option, _)| option == "partition") {
            add(value, format!("{}_job_{option}", workflow.name));
        }
    }
    named
}

fn of_partitions(settings: &BiomeroSettings, facts: &Facts) -> Vec<Finding> {
    let partitions = facts.partitions();
    let there: Vec<&str> = partitions.iter().map(|partition| partition.name.as_str()).take(30).collect();
    if partitions.is_empty() {
        return vec![Finding::failed("partitions", "sinfo tells of none", "sinfo")];
    }
    let named = named(settings);
    if named.is_empty() {
        return vec![Finding::ok(
            "partitions",
            format!("jobs go to the cluster's default; there are {}", there.join(", ")),
        )];
    }
    named
        .iter()
        .map(|(name, key)| {
            let step = format!("partition {name}");
            match partitions.iter().find(|partition| partition.name == *name) {
                None => Finding::failed(
                    step,
                    format!("{key} names it, and it is not there; there are {}", there.join(", ")),
                    format!("correct {key} in slurm-config.ini; see `sinfo`"),
                ),
                Some(partition) => of_partition(step, partition),
            }
        })
        .collect()
}

fn of_partition(step: String, partition: &Partition) -> Finding {
    let nodes: Vec<String> =
        partition.nodes.iter().map(|(number, state)| format!("{number} {state}")).collect();
    let told = format!(
        "up to {}, {} processors and {} MB a node; nodes: {}",
        partition.limit,
        partition.processors,
        partition.memory,
        nodes.join(", ")
    );
    if !partition.is_up {
        let remedy =
            format!("an administrator types: scontrol update partitionname={} state=up", partition.name);
        return Finding::failed(step, format!("it takes no jobs; {told}"), remedy);
    }
    let is_usable = |state: &str| {
        !["down", "drain", "fail", "unk", "error", "inval", "maint"]
            .iter()
            .any(|word| state.to_lowercase().starts_with(word))
            && !state.ends_with('*')
    };
    if !partition.nodes.iter().any(|(number, state)| *number > 0 && is_usable(state)) {
        return Finding::warning(step, format!("none of its nodes can be used now; {told}"), "sinfo -R");
    }
    Finding::ok(step, told)
}

fn of_resources(settings: &BiomeroSettings, facts: &Facts) -> Option<Finding> {
    const STEP: &str = "GPU";
    let slurm = &settings.slurm;
    let wants = settings.workflows.iter().any(|workflow| workflow.use_gpu);
    let resource = slurm.gpu_gres.as_deref();
    if resource.is_none() && slurm.gpu_gpus.is_none() {
        return wants.then(|| {
            Finding::warning(
                STEP,
                "workflows ask for one, and neither gpu_gres nor gpu_gpus says how",
                "in [SLURM] of slurm-config.ini: gpu_gres = gpu:1, gpu_partition = the partition that has them",
            )
        });
    }
    let (key, asked) = resource.map_or(("gpu_gpus", "gpu"), |resource| ("gpu_gres", resource));
    let partitions = facts.partitions();
    let looked: Vec<&Partition> = partitions
        .iter()
        .filter(|partition| {
            slurm
                .gpu_partition
                .as_deref()
                .is_none_or(|names| names.split(',').any(|name| name.trim() == partition.name))
        })
        .collect();
    let there: BTreeSet<&str> =
        looked.iter().flat_map(|partition| &partition.resources).map(String::as_str).collect();
    // `gpu:1g.10gb:1` and `gpu:1` against `gpu:1g.10gb:4(S:0-1)`: the name, and the type where one is asked for.
    let parts: Vec<&str> = asked.split(':').collect();
    let kind =
        parts.get(1).filter(|part| !part.is_empty() && !part.bytes().all(|digit| digit.is_ascii_digit()));
    let matches = |resource: &str| {
        let mut there = resource.split(['(', ':']);
        there.next() == parts.first().copied() && kind.is_none_or(|kind| there.next() == Some(kind))
    };
    let list: Vec<&str> = there.iter().copied().take(20).collect();
    if list.iter().any(|resource| matches(resource)) {
        return Some(Finding::ok(STEP, format!("{asked} is there: {}", list.join(", "))));
    }
    let where_ =
        slurm.gpu_partition.as_ref().map_or("any partition".to_owned(), |name| format!("partition {name}"));
    let told =
        if list.is_empty() { "there is none".to_owned() } else { format!("there is {}", list.join(", ")) };
    Some(Finding::failed(
        STEP,
        format!("{key} asks for {asked}, which no node of {where_} has; {told}"),
        format!("correct {key} in slurm-config.ini; see `sinfo -o '%P %G'`"),
    ))
}
