//! How jobs stand: one question for any number. `squeue` is asked after all of them; `sacct` only after those that slurmctld
//! does not say wait or run, so that following jobs costs slurmdbd nothing: it takes 100 ms for what slurmctld answers in 15.

use std::collections::{BTreeMap, BTreeSet};

use super::frame::{Marks, Section};
use super::log::{self, Look, Wish};
use super::merge::{self, Heard};
use super::record::{self, Record};
use super::{Error, Slurm};
use crate::command::Command;
use crate::job::{Job, JobId, State};

/// How jobs stand, and who said so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    /// One for each job asked after, and of an array that was asked after as a whole one for each task. Ordered by id.
    pub jobs: Vec<Job>,
    /// Whether slurmctld answered. Where it did not, the states are those of the accounting, which may be old.
    pub controller: Heard,
    /// Whether the accounting answered, if it was asked. Where it did not, how a job ended is not known, and jobs that ended more than
    /// `MinJobAge` ago are [`State::Unknown`].
    pub accounting: Heard,
}

/// Whose jobs are listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Whose {
    /// Those of who logs in.
    Mine,
    /// Everybody's, as far as the cluster shows them.
    All,
}

/// How many tasks of one array are asked after one by one; of more, the whole array is.
const SINGLE_TASKS: usize = 16;

/// How many bytes of ids one program is given: an argument may have 128 KiB (`MAX_ARG_STRLEN`, execve(2)).
const IDS_AT_ONCE: usize = 100_000;

/// How many bytes a thousand jobs' records may have, names, comments and marks included, is about 700,000.
const LARGEST_ANSWER: usize = 128 << 20;

/// The marks, the deadline, the format, how many lists of ids, and these; then, where logs are looked at, how many bytes of each,
/// what is known of each, and their names. `exec 3` lets complaints be told from answers.
///
/// One `stat` tells of all logs; those that are not there are one that is, so that a line of it belongs to each. Where one goes
/// at this very moment nothing is told of any, until the next look.
const QUEUE: &str = r#"
export SLURM_TIME_FORMAT=%s SLURM_BITSTR_LEN=0 LC_ALL=C
mark=$1 end=$2 deadline=$3 queue=$4 lists=$5; shift 5; exec 3>&1
tell() { printf '%s%s%s%s%s%s%s' "$end" "$1" "$mark" "$2" "$mark" "$3" "$end"; }
while [ "$lists" -gt 0 ]; do
said=$(timeout -k 2 "$deadline" squeue -h -a -t all -o "$queue" -j "$1" 2>&1 1>&3 3>&-); tell squeue $? "$said"
lists=$((lists - 1)); shift
done
[ "$#" -gt 2 ] || exit 0
most=$1 known=$2 place=0 count=0; shift 2; set -f
for path; do [ -f "$path" ] || path=/dev/null; set -- "$@" "$path"; shift; done
stats=$(timeout -k 2 "$deadline" stat -L -c %d:%i/%s -- "$@" 2>/dev/null)
for told in $stats; do count=$((count + 1)); done
[ "$count" -eq "$#" ] || exit 0
for told in $stats; do
was=${known%% *} path=$1 place=$((place + 1)); known=${known#* }; shift
if [ "$path" = /dev/null ] || [ "$told" = "${was%,*}" ]; then continue; fi
from=${was#*,} least=$((${told#*/} - most + 1))
if [ "$from" -lt "$least" ]; then from=$least; fi
tail -c "+$from" -- "$path" 2>/dev/null | head -c "$most"; tell log 0 "$place $told $from"
done
exit 0
"#;

/// The marks, the deadline, the format, then lists of ids: of the accounting.
const ACCOUNTS: &str = r#"
export SLURM_TIME_FORMAT=%s SLURM_BITSTR_LEN=0 LC_ALL=C
mark=$1 end=$2 deadline=$3 account=$4; shift 4; exec 3>&1
tell() { printf '%s%s%s%s%s%s%s' "$end" "$1" "$mark" "$2" "$mark" "$3" "$end"; }
for ids; do
said=$(timeout -k 2 "$deadline" sacct -n -X -a -p --delimiter="$mark" -o "$account" -j "$ids" 2>&1 1>&3 3>&-); tell sacct $? "$said"
done
"#;

/// The marks, the deadline, the two formats, since when, and whose: `mine` or `all`.
const BY_USER: &str = r#"
export SLURM_TIME_FORMAT=%s SLURM_BITSTR_LEN=0 LC_ALL=C
mark=$1 end=$2 deadline=$3 queue=$4 account=$5 since=$6 whose=$7; shift 7; exec 3>&1
tell() { printf '%s%s%s%s%s%s%s' "$end" "$1" "$mark" "$2" "$mark" "$3" "$end"; }
if [ "$whose" = mine ]; then set -- -u "$(id -un)"; else set -- -a; fi
said=$(timeout -k 2 "$deadline" squeue -h -t all -o "$queue" "$@" 2>&1 1>&3 3>&-); tell squeue $? "$said"
said=$(timeout -k 2 "$deadline" sacct -n -X -p --delimiter="$mark" -o "$account" -S "$since" "$@" 2>&1 1>&3 3>&-); tell sacct $? "$said"
"#;

/// What `sacct --format` is asked for of the steps of ended jobs.
const USED: &str = "JobID,MaxRSS,TotalCPU,State";

/// As [`ACCOUNTS`], with the steps of each job.
const USAGE: &str = r#"
export LC_ALL=C SLURM_BITSTR_LEN=0
mark=$1 end=$2 deadline=$3 account=$4; shift 4; exec 3>&1
tell() { printf '%s%s%s%s%s%s%s' "$end" "$1" "$mark" "$2" "$mark" "$3" "$end"; }
for ids; do
said=$(timeout -k 2 "$deadline" sacct -n -a -p --noconvert --delimiter="$mark" -o "$account" -j "$ids" 2>&1 1>&3 3>&-); tell sacct $? "$said"
done
"#;

/// The most memory that a job's steps had, the processor time of all, and whether one was ended for its memory.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Usage {
    peak_memory: Option<u64>,
    processor_time: Option<std::time::Duration>,
    out_of_memory: bool,
}

impl Slurm {
    /// How these jobs stand. One round trip for any number, a second one where some do not wait or run; none is left out.
    ///
    /// # Errors
    /// Neither slurmctld nor the accounting answers, or the cluster cannot be asked.
    pub async fn states(&self, ids: &[JobId]) -> Result<Vec<Job>, Error> {
        Ok(self.snapshot(ids).await?.jobs)
    }

    /// As [`Slurm::states`], with who said so.
    ///
    /// # Errors
    /// As there.
    pub async fn snapshot(&self, ids: &[JobId]) -> Result<Snapshot, Error> {
        Ok(self.look(ids, &[]).await?.0)
    }

    /// As [`Slurm::snapshot`], and what is new in these logs, [`log::MOST_LOGS`] at most, in the same round trip.
    ///
    /// # Errors
    /// As there. That a log cannot be read is none.
    pub async fn look(&self, ids: &[JobId], logs: &[Wish]) -> Result<(Snapshot, Vec<Option<Look>>), Error> {
        if ids.is_empty() {
            let snapshot = Snapshot { jobs: Vec::new(), controller: Heard::Yes, accounting: Heard::Yes };
            return Ok((snapshot, vec![None; logs.len()]));
        }
        let marks = Marks::new();
        let lists = lists(ids, Tasks::Many);
        let programs = u32::try_from(lists.len() + 1).unwrap_or(u32::MAX);
        let command = self.question(QUEUE, &marks).arg(record::squeue_format(&marks));
        let command = command.arg(lists.len().to_string()).args(lists).args(log::arguments(logs));
        let answer = self.cluster.ask(&command.deadline(self.deadline(programs))).await?;
        let sections = marks.sections(&answer);
        let looks = log::looks(&sections, logs.len());
        Ok((self.standing_of(ids, &marks, &sections).await?, looks))
    }

    /// How these stand, by what `squeue` has said; who waits or runs no more is asked after once more.
    async fn standing_of(
        &self,
        ids: &[JobId],
        marks: &Marks,
        sections: &[Section<'_>],
    ) -> Result<Snapshot, Error> {
        let (squeue, controller) = self.queued(marks, sections)?;
        let open = match &controller {
            Heard::Yes => merge::open(ids, &squeue).map_err(|merge::TooMany| self.too_many())?,
            _ => ids.to_vec(),
        };
        if open.is_empty() {
            return self
                .merged(ids, Told { squeue, sacct: Vec::new(), controller, accounting: Heard::Unasked });
        }
        let answer = self.ask(ACCOUNTS, marks, record::SACCT, &open).await?;
        let (sacct, accounting) = recorded(marks, &marks.sections(&answer));
        self.merged(ids, self.told(squeue, controller, sacct, accounting)?)
    }

    async fn ask(
        &self,
        script: &'static str,
        marks: &Marks,
        format: &str,
        ids: &[JobId],
    ) -> Result<Vec<u8>, Error> {
        let lists = lists(ids, Tasks::Many);
        let programs = u32::try_from(lists.len()).unwrap_or(u32::MAX);
        let command = self.question(script, marks).arg(format).args(lists).deadline(self.deadline(programs));
        Ok(self.cluster.ask(&command).await?)
    }

    /// Jobs that wait or run, and those that ended within `hours`.
    ///
    /// # Errors
    /// As [`Slurm::states`].
    pub async fn list(&self, whose: Whose, hours: u32) -> Result<Snapshot, Error> {
        let marks = Marks::new();
        let whose = match whose {
            Whose::Mine => "mine",
            Whose::All => "all",
        };
        let command = self.question(BY_USER, &marks).arg(record::squeue_format(&marks)).arg(record::SACCT);
        let command = command.arg(format!("now-{hours}hours")).arg(whose).deadline(self.deadline(2));
        let answer = self.cluster.ask(&command).await?;
        let sections = marks.sections(&answer);
        let (squeue, controller) = self.queued(&marks, &sections)?;
        let (sacct, accounting) = recorded(&marks, &sections);
        let told = self.told(squeue, controller, sacct, accounting)?;
        let known: BTreeSet<JobId> =
            told.squeue.iter().chain(&told.sacct).map(|record| JobId::of(record.place.job())).collect();
        self.merged(&known.into_iter().collect::<Vec<_>>(), told)
    }

    /// Fills in what ended jobs used: the most memory of a step, processor time. One round trip; what is not known stays none.
    ///
    /// A job that the accounting calls failed although one of its steps was ended for its memory (`OverMemoryKill` of
    /// slurm.conf(5) makes it so) gets that as its reason.
    ///
    /// # Errors
    /// The cluster cannot be asked. That the accounting does not answer is none.
    pub async fn add_usage(&self, jobs: &mut [Job]) -> Result<(), Error> {
        let ended: Vec<JobId> = jobs.iter().filter(|job| job.state.is_ended()).map(|job| job.id).collect();
        if ended.is_empty() {
            return Ok(());
        }
        let marks = Marks::new();
        let answer = self.ask(USAGE, &marks, USED, &ended).await?;
        let sections = marks.sections(&answer);
        let used = used(sections.iter().flat_map(|section| marks.records(section.answer, 4)));
        for job in jobs.iter_mut().filter(|job| job.state.is_ended()) {
            let Some(usage) = used.get(&job.id) else { continue };
            job.peak_memory = usage.peak_memory.or(job.peak_memory);
            job.processor_time = usage.processor_time.or(job.processor_time);
            if job.state == State::Failed && usage.out_of_memory {
                job.reason = Some(super::failure::OVER_MEMORY.to_owned());
            }
        }
        Ok(())
    }

    fn question(&self, script: &'static str, marks: &Marks) -> Command {
        let command = Command::shell(script).arg(&marks.field).arg(&marks.end).arg(self.seconds());
        command.largest_answer(LARGEST_ANSWER).repeatable()
    }

    /// What slurmctld said.
    fn queued(&self, marks: &Marks, sections: &[Section<'_>]) -> Result<(Vec<Record>, Heard), Error> {
        let of = || of("squeue", sections);
        if let Some(missing) = of().find(|section| section.code == 127) {
            let host = self.cluster.name().to_owned();
            return Err(Error::NoSlurm { host, said: missing.complaint.clone() });
        }
        let records = of().flat_map(|section| record::of_squeue(marks, section.answer)).collect();
        Ok((records, heard(of(), "squeue")))
    }

    /// What both said, unless neither did.
    fn told(
        &self,
        squeue: Vec<Record>,
        controller: Heard,
        sacct: Vec<Record>,
        accounting: Heard,
    ) -> Result<Told, Error> {
        if let (Heard::No(controller), Heard::No(_) | Heard::Off) = (&controller, &accounting) {
            let host = self.cluster.name().to_owned();
            let accounting = match &accounting {
                Heard::No(reason) => reason.clone(),
                _ => String::from("this cluster keeps no accounts"),
            };
            return Err(Error::Silent { host, controller: controller.clone(), accounting });
        }
        Ok(Told { squeue, sacct, controller, accounting })
    }

    fn merged(&self, ids: &[JobId], told: Told) -> Result<Snapshot, Error> {
        let Told { squeue, sacct, controller, accounting } = told;
        let jobs = merge::merge(ids, &squeue, &sacct, &controller, &accounting)
            .map_err(|merge::TooMany| self.too_many())?;
        Ok(Snapshot { jobs, controller, accounting })
    }

    fn too_many(&self) -> Error {
        Error::TooManyTasks { host: self.cluster.name().to_owned() }
    }
}

/// The sections of one program.
fn of<'a>(program: &'a str, sections: &'a [Section<'a>]) -> impl Iterator<Item = &'a Section<'a>> {
    sections.iter().filter(move |section| section.program == program)
}

/// What the accounting said.
fn recorded(marks: &Marks, sections: &[Section<'_>]) -> (Vec<Record>, Heard) {
    // What was cut off when it gave up is not what was asked for.
    let whole = of("sacct", sections).filter(|section| section.code == 0);
    let records = whole.flat_map(|section| record::of_sacct(marks, section.answer)).collect();
    (records, heard(of("sacct", sections), "sacct"))
}

/// What both said.
struct Told {
    squeue: Vec<Record>,
    sacct: Vec<Record>,
    controller: Heard,
    accounting: Heard,
}

/// Whether a program's daemon answered each time.
fn heard<'a>(sections: impl Iterator<Item = &'a Section<'a>>, program: &str) -> Heard {
    let mut heard = Heard::No(format!("`{program}` was not run"));
    for section in sections {
        match one_heard(section) {
            Heard::Yes => heard = Heard::Yes,
            silent => return silent,
        }
    }
    heard
}

pub(super) fn one_heard(section: &Section<'_>) -> Heard {
    let said = section.complaint.to_ascii_lowercase();
    match section.code {
        0 => Heard::Yes,
        // That slurmctld does not know the one job that was asked after is an answer.
        _ if said.contains("invalid job id") => Heard::Yes,
        _ if said.contains("accounting storage is disabled") => Heard::Off,
        124 | 137 => Heard::No("it took too long".to_owned()),
        code => {
            let reason = section.complaint.lines().last().unwrap_or_default().trim();
            Heard::No(if reason.is_empty() { format!("it ended with {code}") } else { reason.to_owned() })
        }
    }
}

/// What is said of many tasks of one array.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tasks {
    /// The whole array stands for them: who asks can leave out what is too much.
    Many,
    /// Each is named: the others are not meant.
    Each,
}

/// Lists of ids, each short enough for an argument.
pub(super) fn lists(ids: &[JobId], named: Tasks) -> Vec<String> {
    let mut arrays: BTreeMap<u32, BTreeSet<Option<u32>>> = BTreeMap::new();
    for id in ids {
        arrays.entry(id.job).or_default().insert(id.task);
    }
    let mut lists = vec![String::new()];
    for (job, tasks) in arrays {
        let whole = tasks.contains(&None) || (named == Tasks::Many && tasks.len() > SINGLE_TASKS);
        let tasks = if whole { BTreeSet::from([None]) } else { tasks };
        for task in tasks {
            let id = JobId { job, task }.to_string();
            match lists.last_mut() {
                Some(list) if list.is_empty() => *list = id,
                Some(list) if list.len() + id.len() < IDS_AT_ONCE => {
                    list.push(',');
                    list.push_str(&id);
                }
                _ => lists.push(id),
            }
        }
    }
    lists
}

/// What each job used, by the records of its steps: id, memory, processor time, state.
fn used(records: impl Iterator<Item = Vec<String>>) -> BTreeMap<JobId, Usage> {
    let mut used: BTreeMap<JobId, Usage> = BTreeMap::new();
    for fields in records {
        let [id, memory, time, state] = fields.as_slice() else { continue };
        let (job, step) = id.split_once('.').unwrap_or((id, ""));
        let Ok(job) = job.trim_end_matches("+0").parse::<JobId>() else { continue };
        let usage = used.entry(job).or_default();
        if step.is_empty() {
            usage.processor_time = record::duration(time);
        }
        usage.peak_memory = usage.peak_memory.max(record::bytes(memory));
        // The limit of memory is kept by root; nobody else ends a step of a job that goes on to fail.
        usage.out_of_memory |= State::read(state) == State::OutOfMemory || state.trim() == "CANCELLED by 0";
    }
    used
}

/// What the script says of these logs; no job is asked after.
#[cfg(test)]
pub(super) async fn looked_at(cluster: &crate::cluster::Cluster, logs: &[Wish]) -> Vec<Option<Look>> {
    let marks = Marks::new();
    let command = Command::shell(QUEUE).args([marks.field.as_str(), &marks.end, "25", "", "0"]);
    let answer = cluster.ask(&command.args(log::arguments(logs))).await.expect("an answer");
    log::looks(&marks.sections(&answer), logs.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(text: &str) -> Vec<JobId> {
        text.split(' ').map(|id| id.parse().expect("an id")).collect()
    }

    #[test]
    fn few_tasks_are_asked_after_by_themselves_and_many_by_their_array() {
        assert_eq!(lists(&ids("9 7_2 7_1 9"), Tasks::Many), ["7_1,7_2,9"]);
        assert_eq!(lists(&ids("7_1 7 8"), Tasks::Many), ["7,8"]);
        let many: Vec<JobId> = (0..1000).map(|task| JobId { job: 7, task: Some(task) }).collect();
        assert_eq!(lists(&many, Tasks::Many), ["7"]);
        assert!(lists(&many, Tasks::Each)[0].starts_with("7_0,7_1,"), "who cancels some does not cancel all");
    }

    #[test]
    fn no_list_is_longer_than_an_argument_may_be() {
        let many: Vec<JobId> = (0..100_000).map(|job| JobId::of(job + 10_000_000)).collect();
        let lists = lists(&many, Tasks::Many);
        assert!(lists.iter().all(|list| list.len() <= IDS_AT_ONCE));
        let asked: usize = lists.iter().map(|list| list.split(',').count()).sum();
        assert_eq!(asked, many.len());
    }

    #[test]
    fn silence_is_told_from_an_answer() {
        let section = |code, complaint: &str| Section {
            program: "squeue".to_owned(),
            code,
            complaint: complaint.to_owned(),
            answer: b"",
        };
        for (code, complaint, heard) in [
            (0, "", Heard::Yes),
            (0, "squeue: warning: something", Heard::Yes),
            (1, "slurm_load_jobs error: Invalid job id specified", Heard::Yes),
            (1, "Slurm accounting storage is disabled", Heard::Off),
            (124, "", Heard::No("it took too long".to_owned())),
            (9, "", Heard::No("it ended with 9".to_owned())),
            (
                1,
                "slurm_load_jobs error: Unable to contact slurm controller (connect failure)",
                Heard::No(
                    "slurm_load_jobs error: Unable to contact slurm controller (connect failure)".to_owned(),
                ),
            ),
        ] {
            assert_eq!(one_heard(&section(code, complaint)), heard, "{code} {complaint}");
        }
    }

    #[test]
    fn what_a_job_used_is_that_of_its_steps() {
        let line = |text: &str| text.split('|').map(str::to_owned).collect::<Vec<_>>();
        let used = used(
            [
                "1||00:01.500|FAILED",
                "1.batch|4153344|00:01.000|FAILED",
                "1.0|9000000|00:00.500|CANCELLED by 0",
                "2_3||00:00.003|COMPLETED",
                "2_3.batch|17K|00:00.003|COMPLETED",
                "nonsense|1|2|3",
            ]
            .into_iter()
            .map(line),
        );
        let failed = used[&JobId::of(1)];
        assert_eq!(failed.peak_memory, Some(9_000_000));
        assert_eq!(failed.processor_time, Some(std::time::Duration::from_millis(1500)));
        assert!(failed.out_of_memory);
        let task = used[&"2_3".parse().expect("an id")];
        assert_eq!((task.peak_memory, task.out_of_memory), (Some(17 * 1024), false));
    }
}
