//! Whether a submission whose answer was lost has become a job: it is looked for by its comment.
//!
//! Invariant: "there is none" is said only when nothing that was asked can still become a job (sbatch has been ended by
//! its deadline, and slurmctld has had time for what it had received), and when a job of it would still be known.

use std::collections::BTreeSet;
use std::time::Duration;

use super::frame::Marks;
use super::merge::Heard;
use super::{Error, Slurm, record};
use crate::command::Command;
use crate::job::{Job, State, is_another};

/// How long after its sender is gone slurmctld may still work on a submission.
const SETTLING: Duration = Duration::from_secs(10);

/// What was seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Sighting {
    /// The job, where there is one.
    pub(super) job: Option<u32>,
    pub(super) controller: Heard,
    pub(super) accounting: Heard,
    /// How long slurmctld remembers an ended job: `MinJobAge` of slurm.conf(5). None where it cannot be told.
    pub(super) remembered: Option<Duration>,
}

/// What follows from it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Verdict {
    /// This is the job.
    Found(u32),
    /// There is none, and there will be none.
    Absent,
    /// It cannot be told yet.
    Wait(String),
}

/// Decides. `elapsed` is the time since sbatch was started, `program` how long it may have run.
pub(super) fn decide(seen: &Sighting, elapsed: Duration, program: Duration) -> Verdict {
    if let Some(job) = seen.job {
        return Verdict::Found(job);
    }
    if let Heard::No(reason) = &seen.controller {
        return Verdict::Wait(format!("slurmctld does not answer ({reason})"));
    }
    // `timeout` ends sbatch, and kills it two seconds later.
    if elapsed < program + SETTLING {
        return Verdict::Wait("sbatch may still be running there".to_owned());
    }
    let still_remembered = seen.remembered.is_some_and(|age| age.is_zero() || elapsed + SETTLING < age);
    if still_remembered || seen.accounting.is_yes() {
        return Verdict::Absent;
    }
    let accounting = match &seen.accounting {
        Heard::No(reason) => format!("the accounting does not answer ({reason})"),
        _ => "this cluster keeps no accounts".to_owned(),
    };
    Verdict::Wait(format!("slurmctld may have forgotten it, and {accounting}"))
}

/// The marks, the deadline, and since when. The comment is not told: it is looked for here, in what `sacct` knows of the
/// command line too, because the comment itself reaches the accounting with the job's end, or never.
const LOOKUP: &str = r#"
export LC_ALL=C
mark=$1 end=$2 deadline=$3 queue=$4 since=$5; exec 3>&1
tell() { printf '%s%s%s%s%s%s%s' "$end" "$1" "$mark" "$2" "$mark" "$3" "$end"; }
me=$(id -un)
said=$(timeout -k 2 "$deadline" squeue -h -t all -o "$queue" -u "$me" 2>&1 1>&3 3>&-); tell squeue $? "$said"
said=$(timeout -k 2 "$deadline" sacct -n -X -D -p --delimiter="$mark" -o JobID,State,Comment,SubmitLine -S "$since" -u "$me" 2>&1 1>&3 3>&-); tell sacct $? "$said"
said=$(timeout -k 2 "$deadline" scontrol show config 2>&1 1>&3 3>&-); tell scontrol $? "$said"
"#;

/// The marks, the deadline, the format, and since when: every record of ours, also those of which there is a newer one.
const RECORDS: &str = r#"
export SLURM_TIME_FORMAT=%s SLURM_BITSTR_LEN=0 LC_ALL=C
mark=$1 end=$2 deadline=$3 account=$4 since=$5; exec 3>&1
tell() { printf '%s%s%s%s%s%s%s' "$end" "$1" "$mark" "$2" "$mark" "$3" "$end"; }
said=$(timeout -k 2 "$deadline" sacct -n -X -D -p --delimiter="$mark" -o "$account,SubmitLine" -S "$since" -u "$(id -un)" 2>&1 1>&3 3>&-); tell sacct $? "$said"
"#;

impl Slurm {
    /// How the job with this comment ended that was submitted within `within`, whoever has its number now; none where the
    /// accounting does not know.
    ///
    /// # Errors
    /// The cluster cannot be asked.
    pub async fn ended(&self, comment: &str, within: Duration) -> Result<Option<Job>, Error> {
        let marks = Marks::new();
        let command = Command::shell(RECORDS).arg(&marks.field).arg(&marks.end).arg(self.seconds());
        let command = command.arg(record::SACCT).arg(since(within)).repeatable();
        let answer = self.cluster.ask(&command.deadline(self.deadline(1))).await?;
        Ok(end_of(&marks, &answer, comment))
    }

    /// How long after sbatch was started it may still become a job.
    pub(crate) const fn settled(&self) -> Duration {
        self.options.program.saturating_add(SETTLING)
    }

    /// Looks for a job with this comment among those submitted since `elapsed` ago.
    pub(super) async fn sight(&self, comment: &str, elapsed: Duration) -> Result<Sighting, Error> {
        let marks = Marks::new();
        let queue = format!("%F{mark}%k{mark}", mark = marks.field);
        let command = Command::shell(LOOKUP).arg(&marks.field).arg(&marks.end).arg(self.seconds()).arg(queue);
        let command = command.arg(since(elapsed)).repeatable();
        let answer = self.cluster.ask(&command.deadline(self.deadline(3))).await?;
        Ok(seen(&marks, &answer, comment))
    }

    /// A number of slurm.conf(5), as `scontrol show config` tells it: `MaxArraySize`.
    pub(super) async fn configured(&self, key: &str) -> Option<u64> {
        let command = Command::new("scontrol").args(["show", "config"]).repeatable();
        let answer = self.cluster.ask(&command.deadline(self.deadline(1))).await.ok()?;
        configured(&answer, key)
    }
}

/// For `sacct --starttime`.
fn since(elapsed: Duration) -> String {
    format!("now-{}minutes", elapsed.as_secs().div_ceil(60) + 5)
}

/// Whether a job was submitted with this comment. It reaches the accounting by itself only with the job's end, or never.
fn is_of(comment: &str, told: &str, line: &str) -> bool {
    told == comment || line.split(' ').any(|word| word.strip_prefix("--comment=") == Some(comment))
}

/// The end of the newest record with this comment, unless it has none, or one after which slurmctld puts a job back.
fn end_of(marks: &Marks, answer: &[u8], comment: &str) -> Option<Job> {
    let sections = marks.sections(answer);
    let whole = sections.iter().filter(|section| section.code == 0);
    let records = whole.flat_map(|section| record::with_lines(marks, section.answer));
    let ours = records
        .filter(|(record, line)| is_of(comment, record.job.comment.as_deref().unwrap_or_default(), line));
    let newest = ours.max_by_key(|(record, _)| (record.job.submitted, record.job.started))?.0.job;
    let is_put_back = matches!(newest.state, State::NodeFail | State::Preempted | State::BootFail);
    Some(newest).filter(|job| job.state.is_ended() && !is_put_back)
}

fn seen(marks: &Marks, answer: &[u8], comment: &str) -> Sighting {
    let silent = |program: &str| Heard::No(format!("`{program}` did not answer"));
    let mut sighting =
        Sighting { job: None, controller: silent("squeue"), accounting: silent("sacct"), remembered: None };
    let number = |id: &str| id.split(['_', '+', '.']).next().and_then(|id| id.parse::<u32>().ok());
    // Those that slurmctld has, or that have ended; and those that wait or run by the accounting alone.
    let (mut sure, mut recorded) = (BTreeSet::new(), BTreeSet::new());
    // Numbers of jobs that slurmctld has forgotten, which others have by now.
    let mut replaced = BTreeSet::new();
    for section in marks.sections(answer) {
        let heard = super::query::one_heard(&section);
        match section.program.as_str() {
            "squeue" => {
                for fields in marks.records(section.answer, 2) {
                    let [id, told] = fields.as_slice() else { continue };
                    if told == comment {
                        sure.extend(number(id));
                    } else if is_another(told, comment) {
                        replaced.extend(number(id));
                    }
                }
                sighting.controller = heard;
            }
            "sacct" => {
                for fields in marks.records(section.answer, 4) {
                    let [id, state, told, line] = fields.as_slice() else { continue };
                    if is_of(comment, told, line) {
                        let known = if State::read(state).is_ended() { &mut sure } else { &mut recorded };
                        known.extend(number(id));
                    }
                }
                sighting.accounting = heard;
            }
            _ => sighting.remembered = configured(section.answer, "MinJobAge").map(Duration::from_secs),
        }
    }
    sighting.job = sure.first().or_else(|| recorded.difference(&replaced).next()).copied();
    sighting
}

/// `MinJobAge               = 300 sec`.
fn configured(configuration: &[u8], key: &str) -> Option<u64> {
    let text = String::from_utf8_lossy(configuration);
    let mut lines = text.lines().filter_map(|line| line.split_once('='));
    let (_, value) = lines.find(|(name, _)| name.trim() == key)?;
    value.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_certain_is_said() {
        let no = || Heard::No("connect failure".to_owned());
        let after = Duration::from_secs;
        let program = after(25);
        let seen = |job, controller, accounting, remembered: Option<u64>| Sighting {
            job,
            controller,
            accounting,
            remembered: remembered.map(Duration::from_secs),
        };
        for (case, sighting, elapsed, expected) in [
            ("it is there", seen(Some(5), Heard::Yes, Heard::Yes, Some(300)), 1, Some(Verdict::Found(5))),
            ("the accounting has it", seen(Some(5), no(), Heard::Yes, None), 1, Some(Verdict::Found(5))),
            ("sbatch may still run", seen(None, Heard::Yes, Heard::Yes, Some(300)), 30, None),
            ("it would be known", seen(None, Heard::Yes, no(), Some(300)), 40, Some(Verdict::Absent)),
            ("slurmctld is silent", seen(None, no(), Heard::Yes, Some(300)), 400, None),
            (
                "forgotten, but recorded",
                seen(None, Heard::Yes, Heard::Yes, Some(300)),
                400,
                Some(Verdict::Absent),
            ),
            ("perhaps forgotten", seen(None, Heard::Yes, no(), Some(300)), 400, None),
            ("nobody remembers", seen(None, Heard::Yes, Heard::Off, Some(10)), 40, None),
            (
                "nothing is ever forgotten",
                seen(None, Heard::Yes, Heard::Off, Some(0)),
                400,
                Some(Verdict::Absent),
            ),
            ("how long is not known", seen(None, Heard::Yes, Heard::Off, None), 40, None),
        ] {
            let verdict = decide(&sighting, after(elapsed), program);
            match expected {
                Some(expected) => assert_eq!(verdict, expected, "{case}"),
                None => assert!(matches!(verdict, Verdict::Wait(_)), "{case}: {verdict:?}"),
            }
        }
    }

    #[test]
    fn a_job_is_recognised_by_its_comment_or_its_command_line() {
        let marks = Marks::new();
        let (mark, end) = (&marks.field, &marks.end);
        let answer = format!(
            "7{mark}other{mark}\n9{mark}mine{mark}\n{end}squeue{mark}0{mark}{end}\
             8_[0-3]{mark}COMPLETED{mark}{mark}sbatch --comment=mine x.sh{mark}\n6{mark}RUNNING{mark}{mark}sbatch --comment=mine-2 x.sh{mark}\n{end}sacct{mark}0{mark}{end}\
             MinJobAge               = 300 sec\n{end}scontrol{mark}0{mark}{end}"
        );
        let sighting = seen(&marks, answer.as_bytes(), "mine");
        assert_eq!(sighting.job, Some(8));
        assert_eq!(sighting.remembered, Some(Duration::from_secs(300)));
        assert!(sighting.controller.is_yes() && sighting.accounting.is_yes());
    }

    #[test]
    fn a_job_whose_number_another_has_is_not_found() {
        let marks = Marks::new();
        let (mark, end) = (&marks.field, &marks.end);
        for (told, state, job) in [
            ("biomero-b", "PENDING", None),
            ("biomero-b", "COMPLETED", Some(7)),
            ("biomero-a", "PENDING", Some(7)),
            ("the site's", "PENDING", Some(7)),
        ] {
            let answer = format!(
                "7{mark}{told}{mark}\n{end}squeue{mark}0{mark}{end}\
                 7{mark}{state}{mark}{mark}sbatch --comment=biomero-a x.sh{mark}\n\
                 7{mark}RUNNING{mark}{mark}sbatch --comment=biomero-b x.sh{mark}\n{end}sacct{mark}0{mark}{end}"
            );
            assert_eq!(seen(&marks, answer.as_bytes(), "biomero-a").job, job, "{told} {state}");
        }
    }

    #[test]
    fn how_a_job_ended_is_known_whoever_has_its_number() {
        let marks = Marks::new();
        let (mark, end) = (&marks.field, &marks.end);
        let record = |state: &str, comment: &str, submitted: &str| {
            let fields = [
                "7",
                state,
                "0:0",
                "None",
                "cpu",
                "copy",
                "n1",
                "",
                submitted,
                "5",
                "9",
                "4",
                "10",
                "1",
                "00:01",
                "/x",
                "7",
                &format!("sbatch --comment={comment} x.sh"),
            ];
            fields.iter().flat_map(|field| [*field, mark.as_str()]).collect::<String>() + "\n"
        };
        for (records, ended) in [
            (
                vec![record("COMPLETED", "biomero-a", "3"), record("RUNNING", "biomero-b", "4")],
                Some(State::Completed),
            ),
            (vec![record("PENDING", "biomero-a", "3"), record("COMPLETED", "biomero-b", "4")], None),
            (vec![record("NODE_FAIL", "biomero-a", "3")], None),
            (
                vec![record("NODE_FAIL", "biomero-a", "3"), record("FAILED", "biomero-a", "4")],
                Some(State::Failed),
            ),
        ] {
            let answer = format!("{}{end}sacct{mark}0{mark}{end}", records.concat());
            let found = end_of(&marks, answer.as_bytes(), "biomero-a");
            assert_eq!(found.map(|job| job.state), ended, "{records:?}");
        }
    }
}
