//! Reasons: which of them say that a job cannot start as it is, and what is to be done about each.
//!
//! The words are those of squeue(1), "JOB REASON CODES", and of the page "Resource Limits" of Slurm. A reason that passes
//! by itself, when others end or come back, is none of these.

/// Why a waiting job with this reason can never start by itself, with what to do; none where it may.
#[must_use]
pub fn never(reason: &str) -> Option<String> {
    // Behind the first comma there are details: `ReqNodeNotAvail, UnavailableNodes:n1`.
    let word = reason.split(',').next().unwrap_or_default().trim();
    if let Some((_, told)) = EXACT.iter().find(|(name, _)| word.eq_ignore_ascii_case(name)) {
        return Some((*told).to_owned());
    }
    let lower = word.replace('_', " ").to_ascii_lowercase();
    if let Some((_, told)) = SENTENCES.iter().find(|(part, _)| lower.contains(part)) {
        return Some((*told).to_owned());
    }
    limit(word)
}

/// Whether a job with this reason could not be started on its node: through no fault of its own, as far as can be told.
#[must_use]
pub fn is_launch_failure(reason: &str) -> bool {
    never(reason).as_deref() == Some(LAUNCH)
}

/// Reasons that are one word.
const EXACT: &[(&str, &str)] = &[
    (
        "PartitionTimeLimit",
        "it asks for more time than the partition allows: ask for less (--time) or for another partition (--partition)",
    ),
    (
        "PartitionNodeLimit",
        "it asks for more nodes than the partition has or allows: ask for fewer (--nodes) or for another partition (--partition)",
    ),
    (
        "PartitionConfig",
        "it asks for more processors, memory or nodes than the partition's nodes have: ask for less (--cpus-per-task, --mem, --nodes) or for another partition (--partition)",
    ),
    (
        "BadConstraints",
        "no node can be what it asks for: correct its constraints (--constraint, --gres, --mem, --nodelist)",
    ),
    (
        "DependencyNeverSatisfied",
        "a job that it depends on did not succeed: cancel it, put that right, and submit again",
    ),
    ("JobHeldAdmin", "an administrator holds it: ask them; only they can release it"),
    ("JobHeldUser", "it is held: release it (scontrol release) or cancel it"),
    (
        "AccountNotAllowed",
        "its account may not use the partition: choose another account (--account) or partition (--partition)",
    ),
    (
        "InvalidAccount",
        "its account does not exist any more: choose another (--account) or ask an administrator for it",
    ),
    (
        "InvalidQOS",
        "its quality of service is not one that it may have: choose another (--qos) or ask an administrator for it",
    ),
    (
        "QOSNotAllowed",
        "its quality of service may not use the partition: choose another (--qos) or another partition (--partition)",
    ),
    (
        "ReservationDeleted",
        "its reservation is gone: submit again without it or with another (--reservation)",
    ),
    (
        "ReservationInvalid",
        "its reservation cannot be used: submit again without it or with another (--reservation)",
    ),
    ("JobLaunchFailure", LAUNCH),
    ("DeadLine", "it could not end before its deadline any more: submit again with a later one (--deadline)"),
    (
        "AssociationTimeLimit",
        "its account has no time left: ask an administrator for more, or choose another account (--account)",
    ),
    (
        "QOSTimeLimit",
        "its quality of service has no time left: ask an administrator for more, or choose another (--qos)",
    ),
    (
        "QOSUsageThreshold",
        "its account has used more than its quality of service allows: choose another (--qos) or ask an administrator",
    ),
];

const LAUNCH: &str = "it could not be started on its node and is held: look whether its script, its folder and its log's folder exist on the nodes, then release it (scontrol release)";

/// Parts of reasons that are sentences, in lower case; `squeue` writes them with underscores.
const SENTENCES: &[(&str, &str)] = &[
    ("launch failed requeued held", LAUNCH),
    (
        "job requeued in held state",
        "it was put back into the queue and is held: release it (scontrol release) or cancel it",
    ),
    (
        "not permitted to use this partition",
        "its account or quality of service may not use the partition: choose another (--account, --qos, --partition)",
    ),
    (
        "configuration is not available",
        "no node has what it asks for: ask for less, or for another partition (--partition)",
    ),
];

/// Limits of an association or a quality of service: `AssocMaxCpuPerJobLimit`, `QOSMinMemory`, `AssocGrpCPUMinutesLimit`.
fn limit(word: &str) -> Option<String> {
    let (whose, option, rest) = if let Some(rest) = word.strip_prefix("Assoc") {
        ("its account", "--account", rest)
    } else {
        ("its quality of service", "--qos", word.strip_prefix("QOS")?)
    };
    // A budget of minutes is used up; what is only in use (`AssocGrpCpuLimit`, `…RunMinutes`) comes back when others end.
    if rest.starts_with("Grp") && rest.contains("Minutes") && !rest.contains("RunMin") {
        return Some(format!(
            "{whose} has used up its budget ({word}): ask an administrator for more, or choose another ({option})"
        ));
    }
    let of_one_job = rest.contains("PerJob")
        || rest.starts_with("Min")
        || rest.starts_with("MaxWall")
        || rest.starts_with("MaxNodeMinutes")
        || (rest.starts_with("Max") && rest.contains("MinutesPer"))
        || (rest.starts_with("Max") && rest.contains("PerNode"));
    of_one_job.then(|| {
        format!(
            "it asks for what {whose} does not allow a single job ({word}): ask for less (--cpus-per-task, --mem, --time, --nodes, --gres), or choose another ({option})"
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_can_never_start_is_told_with_what_to_do() {
        for (reason, remedy) in [
            ("PartitionTimeLimit", "--time"),
            ("PartitionNodeLimit", "--nodes"),
            ("PartitionConfig", "--cpus-per-task"),
            ("BadConstraints", "--constraint"),
            ("DependencyNeverSatisfied", "submit again"),
            ("JobHeldAdmin", "administrator"),
            ("JobHeldUser", "scontrol release"),
            ("AccountNotAllowed", "--account"),
            ("InvalidQOS", "--qos"),
            ("AssocMaxCpuPerJobLimit", "--account"),
            ("AssocMaxWallDurationPerJobLimit", "--time"),
            ("AssocGrpCPUMinutesLimit", "budget"),
            ("QOSMaxMemoryPerJob", "--qos"),
            ("QOSMaxGRESPerJob", "--gres"),
            ("QOSMinCpuNotSatisfied", "--qos"),
            ("QOSMaxWallDurationPerJobLimit", "--time"),
            ("QOSMaxCpuPerNode", "--qos"),
            ("QOSGrpGRESMinutes", "budget"),
            ("launch failed requeued held", "scontrol release"),
            ("launch_failed_requeued_held", "scontrol release"),
            ("job_requeued_in_held_state", "scontrol release"),
            ("Job's_QOS_not_permitted_to_use_this_partition_(gpu_allows_a)", "--partition"),
        ] {
            let told = never(reason).unwrap_or_else(|| panic!("{reason} is never"));
            assert!(told.contains(remedy), "{reason}: {told}");
        }
    }

    #[test]
    fn what_merely_waits_is_not_told_as_hopeless() {
        for reason in [
            "None",
            "Priority",
            "Resources",
            "Dependency",
            "BeginTime",
            "JobArrayTaskLimit",
            "Licenses",
            "NodeDown",
            "PartitionDown",
            "PartitionInactive",
            "Reservation",
            "Prolog",
            "Cleaning",
            "ReqNodeNotAvail, UnavailableNodes:n1,n2",
            "ReqNodeNotAvail,_UnavailableNodes:n1",
            "Nodes_required_for_job_are_DOWN,_DRAINED_or_reserved_for_jobs_in_higher_priority_partitions",
            "AssocGrpCpuLimit",
            "AssocGrpCPURunMinutesLimit",
            "AssocMaxJobsLimit",
            "QOSGrpNodeLimit",
            "QOSMaxJobsPerUserLimit",
            "QOSMaxCpuPerUserLimit",
            "QOSResourceLimit",
            "AssociationJobLimit",
            "",
        ] {
            assert_eq!(never(reason), None, "{reason}");
        }
    }
}
