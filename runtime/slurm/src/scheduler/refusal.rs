//! Why `sbatch` refuses a job, from what it says, and what to do about it.
//!
//! The messages are those of Slurm's `slurm_errno.c` and of sbatch itself; they are not translated. The table is tested
//! against what a real sbatch says (the black-box tests).

use std::fmt;

/// A refusal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// Of what kind.
    pub kind: RefusalKind,
    /// What sbatch said, without its prefix; bounded.
    pub said: String,
    /// What to do.
    pub remedy: String,
}

impl fmt::Display for Refusal {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}; {}", self.said, self.remedy)
    }
}

/// The kinds of refusals.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum RefusalKind {
    /// There is no such partition, or it is not for us, or it is closed.
    Partition,
    /// The account does not exist or is not ours.
    Account,
    /// The quality of service does not exist or is not ours.
    Qos,
    /// There is no such generic resource.
    Gres,
    /// The time limit is not one, or too long.
    TimeLimit,
    /// Memory, processors or nodes that no node has.
    Resources,
    /// A constraint, a reservation, a licence, a node that does not exist.
    Constraint,
    /// The script cannot be read, or is none.
    Script,
    /// The array is too large, or not one.
    Array,
    /// What the job depends on is not there.
    Dependency,
    /// An option that this sbatch does not have, or a value that it does not understand.
    Option,
    /// There are too many jobs already: later, when others have ended.
    TooMany,
    /// The user or the daemons do not trust each other, or the job may not be submitted.
    Permission,
    /// slurmctld was not reached: nothing was submitted.
    Unreachable,
    /// slurmctld did not answer in time: the job may have been submitted.
    Unanswered,
    /// Something else.
    Other,
}

impl RefusalKind {
    /// Whether the same submission may be accepted at another time.
    #[must_use]
    pub const fn may_pass(self) -> bool {
        matches!(self, Self::TooMany | Self::Unreachable | Self::Unanswered)
    }
}

/// How many bytes of what was said are kept.
const LONGEST: usize = 2000;

/// Parts of messages in lower case, the kind they are of, and the remedy; the first that is found counts.
const TABLE: &[(&[&str], RefusalKind, &str)] = &[
    (
        &[
            "socket timed out",
            "zero bytes were transmitted or received",
            "connection timed out",
            "message receive failure",
            "message send failure",
            "communication shutdown failure",
            "missing socket error",
            "unexpected message received",
            "header lengths are longer than data received",
            // It was reached, and ended before it had answered: what it had taken it may know when it is back.
            "(receive failure)",
            "(send failure)",
            "(shutdown failure)",
            "transport endpoint is not connected",
        ],
        RefusalKind::Unanswered,
        "slurmctld was slow to answer: it is tried again",
    ),
    (
        &[
            "unable to contact slurm controller",
            "slurm controller not responding",
            "communication connection failure",
            "connect failure",
            "slurm backup controller in standby",
        ],
        RefusalKind::Unreachable,
        "slurmctld is not reachable: try again later, or ask the cluster's administrator",
    ),
    (
        &[
            "maxsubmitjob",
            "maxjobsper",
            "submitjobslimit",
            "temporarily unable to accept job",
            "resource temporarily unavailable",
            "maximum number of jobs",
            "max jobs",
        ],
        RefusalKind::TooMany,
        "there are as many jobs as are allowed: try again when others have ended",
    ),
    (
        &["violates accounting/qos policy", "accounting/qos policy"],
        RefusalKind::Qos,
        "ask for less time or fewer resources, or for another account or quality of service (--account, --qos); `sacctmgr show assoc user=$USER` shows the limits",
    ),
    (
        &[
            "invalid partition",
            "required partition not available",
            "group not permitted to use this partition",
            "partition configuration",
            "unspecified partition",
        ],
        RefusalKind::Partition,
        "choose one of the partitions that `sinfo` lists (--partition; slurm_default_partition in slurm-config.ini)",
    ),
    (
        &["invalid account", "invalid user for association", "invalid association"],
        RefusalKind::Account,
        "choose an account of yours (--account; `sacctmgr show assoc user=$USER` lists them), or ask the cluster's administrator for one",
    ),
    (
        &["invalid qos"],
        RefusalKind::Qos,
        "choose a quality of service of yours (--qos; `sacctmgr show assoc user=$USER` lists them)",
    ),
    (
        &["generic resource", "invalid gres", "invalid trestype", "gpus"],
        RefusalKind::Gres,
        "ask for a resource that a node has (--gres; `sinfo -o '%P %G'` lists them)",
    ),
    (
        &["invalid --time", "time limit", "timelimit"],
        RefusalKind::TimeLimit,
        "write the limit as minutes or as days-hours:minutes:seconds (--time), within that of the partition (`sinfo -o '%P %l'`)",
    ),
    (&["array"], RefusalKind::Array, "submit fewer tasks at a time, or write the indices as 0-9 or 0-9%4"),
    (
        &["dependency"],
        RefusalKind::Dependency,
        "the job that it has to wait for does not exist any more: submit it again without, or after another one",
    ),
    (
        &[
            "unable to open file",
            "does not look like a batch script",
            "dos line breaks",
            "batch script is empty",
            "unable to read script",
            "pathname of a file",
            "batch script contains",
        ],
        RefusalKind::Script,
        "look at the script on the cluster: it has to exist, to be readable, and to begin with a line like #!/bin/bash, in lines that end as Unix has them",
    ),
    (
        &[
            "requested node configuration is not available",
            "memory specification can not be satisfied",
            "memory required by task is not available",
            "more processors requested than permitted",
            "node count specification invalid",
            "cpu count specification invalid",
            "cpu count per node can not be satisfied",
        ],
        RefusalKind::Resources,
        "ask for no more than a node of the partition has (--mem, --cpus-per-task, --nodes; `sinfo -o '%P %c %m'` lists them)",
    ),
    (
        &["invalid feature", "reservation", "license", "invalid node name", "constraint", "node list"],
        RefusalKind::Constraint,
        "correct or leave out what it is bound to (--constraint, --reservation, --licenses, --nodelist)",
    ),
    (
        &[
            "unrecognized option",
            "invalid numeric value",
            "requires an argument",
            "invalid --",
            "ambiguous",
            "invalid argument",
            "no cluster '",
        ],
        RefusalKind::Option,
        "correct the option (a `…_job_…` or `sbatch_…` key of slurm-config.ini, or a line #SBATCH of the script); `sbatch --help` lists them",
    ),
    (
        &["permission denied", "access denied", "authentication", "munge", "not permitted", "user id"],
        RefusalKind::Permission,
        "the account cannot submit here: ask the cluster's administrator",
    ),
];

/// What sbatch's complaint means.
pub(super) fn classify(complaint: &str) -> Refusal {
    let lines: Vec<&str> = complaint
        .lines()
        .map(|line| line.trim().trim_start_matches("sbatch: ").trim_start_matches("error: ").trim())
        .map(|line| line.trim_start_matches("Batch job submission failed: "))
        .filter(|line| !line.is_empty() && !line.starts_with("Try \"sbatch"))
        .collect();
    let mut said = lines.join(" / ");
    if said.is_empty() {
        "sbatch does not say why".clone_into(&mut said);
    }
    if said.len() > LONGEST {
        let end = (0..=LONGEST).rev().find(|at| said.is_char_boundary(*at)).unwrap_or_default();
        said.truncate(end);
        said.push('…');
    }
    let lower = said.to_ascii_lowercase();
    let found = TABLE.iter().find(|(parts, _, _)| parts.iter().any(|part| lower.contains(part)));
    let (kind, remedy) = found.map_or(
        (RefusalKind::Other, "submit by hand on the cluster to see more (sbatch -vv)"),
        |(_, kind, remedy)| (*kind, *remedy),
    );
    Refusal { kind, said, remedy: remedy.to_owned() }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_sbatch_says_is_understood() {
        use RefusalKind::*;
        for (complaint, kind) in [
            (
                "sbatch: error: invalid partition specified: nope\nsbatch: error: Batch job submission failed: Invalid partition name specified",
                Partition,
            ),
            (
                "sbatch: error: Batch job submission failed: User's group not permitted to use this partition",
                Partition,
            ),
            (
                "sbatch: error: Batch job submission failed: Invalid account or account/partition combination specified",
                Account,
            ),
            ("sbatch: error: Batch job submission failed: Invalid qos specification", Qos),
            ("sbatch: error: Invalid generic resource (gres) specification", Gres),
            ("sbatch: error: Invalid --time specification", TimeLimit),
            (
                "sbatch: error: Batch job submission failed: Requested time limit is invalid (missing or exceeds some limit)",
                TimeLimit,
            ),
            ("sbatch: error: Unable to open file nofile.sh", Script),
            ("sbatch: error: Batch job submission failed: Invalid job array specification", Array),
            ("sbatch: unrecognized option '--foo'\nTry \"sbatch --help\" for more information", Option),
            (
                "sbatch: error: Memory specification can not be satisfied\nsbatch: error: Batch job submission failed: Requested node configuration is not available",
                Resources,
            ),
            ("sbatch: error: Invalid --mem specification", Option),
            ("sbatch: error: Batch job submission failed: Invalid feature specification", Constraint),
            ("sbatch: error: Batch job submission failed: Requested reservation is invalid", Constraint),
            ("sbatch: error: Batch job submission failed: Invalid license specification", Constraint),
            ("sbatch: error: This does not look like a batch script.  The first", Script),
            ("sbatch: error: Batch script contains DOS line breaks (\\r\\n)", Script),
            ("sbatch: error: Batch script is empty!", Script),
            ("sbatch: error: Invalid numeric value \"0\" for --cpus-per-task.", Option),
            ("sbatch: error: Batch job submission failed: Node count specification invalid", Resources),
            ("sbatch: error: Batch job submission failed: Job dependency problem", Dependency),
            (
                "sbatch: error: AssocMaxSubmitJobLimit\nsbatch: error: Batch job submission failed: Job violates accounting/QOS policy (job submit limit, user's size and/or time limits)",
                TooMany,
            ),
            (
                "sbatch: error: QOSMaxSubmitJobPerUserLimit\nsbatch: error: Batch job submission failed: Job violates accounting/QOS policy (job submit limit, user's size and/or time limits)",
                TooMany,
            ),
            (
                "sbatch: error: QOSMaxWallDurationPerJobLimit\nsbatch: error: Batch job submission failed: Job violates accounting/QOS policy (job submit limit, user's size and/or time limits)",
                Qos,
            ),
            (
                "sbatch: error: Batch job submission failed: Unable to contact slurm controller (connect failure)",
                Unreachable,
            ),
            (
                "sbatch: error: Batch job submission failed: Socket timed out on send/recv operation",
                Unanswered,
            ),
            // As when slurmctld is killed in the middle of it.
            (
                "sbatch: error: slurm_msg_sendto: address:port=127.0.0.1:15025 msg_type=4003: Unexpected missing socket error\nsbatch: error: Batch job submission failed: Unexpected missing socket error",
                Unanswered,
            ),
            (
                "sbatch: error: Batch job submission failed: Unable to contact slurm controller (receive failure)",
                Unanswered,
            ),
            ("sbatch: error: Batch job submission failed: Unspecified error", Other),
            ("", Other),
        ] {
            let refusal = classify(complaint);
            assert_eq!(refusal.kind, kind, "{complaint}");
            assert!(!refusal.said.contains("sbatch: ") && !refusal.remedy.is_empty(), "{refusal}");
        }
    }

    proptest! {
        #[test]
        fn no_complaint_is_too_long_or_too_odd(complaint in "\\PC{0,3000}") {
            prop_assert!(classify(&complaint).said.len() <= LONGEST + 4);
        }
    }
}
