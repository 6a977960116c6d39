//! What squeue(1) and sacct(1) say of a job, in our types.
//!
//! Invariants: a word that cannot be read is left out, not guessed; `(null)`, `N/A`, `None` and `Unknown` are nothing.

use std::path::PathBuf;
use std::time::Duration;

use super::array::Place;
use super::frame::Marks;
use crate::job::{ExitCode, Job, JobId, State};

/// A record: the tasks it stands for, and a job whose id is that of the whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Record {
    pub(super) place: Place,
    pub(super) job: Job,
}

/// What `squeue --format` is asked for: array job id, state, reason, partition, name, nodes, comment, submitted, started, end
/// (expected or real), run time, limit, processors, folder, own job id.
const SQUEUE: &[&str] =
    &["%i", "%T", "%r", "%P", "%j", "%N", "%k", "%V", "%S", "%e", "%M", "%l", "%C", "%Z", "%A"];

/// What `sacct --format` is asked for.
pub(super) const SACCT: &str = "JobID,State,ExitCode,Reason,Partition,JobName,NodeList,Comment,Submit,Start,End,\
     ElapsedRaw,TimelimitRaw,AllocCPUS,TotalCPU,WorkDir,JobIDRaw";

/// The format for `squeue`, each field followed by the mark.
pub(super) fn squeue_format(marks: &Marks) -> String {
    SQUEUE.iter().flat_map(|field| [*field, marks.field.as_str()]).collect()
}

/// The records of `squeue`.
pub(super) fn of_squeue(marks: &Marks, answer: &[u8]) -> Vec<Record> {
    marks.records(answer, SQUEUE.len()).iter().filter_map(|fields| squeue(fields)).collect()
}

/// The records of `sacct -X`.
pub(super) fn of_sacct(marks: &Marks, answer: &[u8]) -> Vec<Record> {
    marks.records(answer, SACCT.split(',').count()).iter().filter_map(|fields| sacct(fields)).collect()
}

/// As [`of_sacct`], where the line that each was submitted by is asked for behind the others.
pub(super) fn with_lines(marks: &Marks, answer: &[u8]) -> Vec<(Record, String)> {
    let records = marks.records(answer, SACCT.split(',').count() + 1);
    let read = |fields: &Vec<String>| {
        let (line, fields) = fields.split_last()?;
        Some((sacct(fields)?, line.clone()))
    };
    records.iter().filter_map(read).collect()
}

fn squeue(fields: &[String]) -> Option<Record> {
    let [
        id,
        state,
        reason,
        partition,
        name,
        nodes,
        comment,
        submitted,
        started,
        ended,
        elapsed,
        limit,
        processors,
        folder,
        own,
    ] = fields
    else {
        return None;
    };
    let place = Place::read(id)?;
    let state = State::read(state);
    // One that was cancelled while it waited has the moment of its end for a start as well, and never had a node.
    let begun = match present(nodes) {
        None if started == ended => false,
        _ => state.is_ended() || state.group() == crate::job::Group::Running,
    };
    let mut job = empty(&place, own);
    job.state = state;
    job.reason = present(reason);
    job.partition = present(partition);
    name.clone_into(&mut job.name);
    job.nodes = present(nodes);
    job.comment = present(comment);
    job.submitted = moment(submitted);
    // Of a job that waits, and the end of one that runs, these are what the scheduler expects.
    job.started = moment(started).filter(|_| begun);
    job.ended = moment(ended).filter(|_| state.is_ended());
    job.elapsed = duration(elapsed).filter(|_| job.started.is_some());
    job.limit = duration(limit);
    job.processors = processors.parse().ok();
    job.folder = present(folder).map(PathBuf::from);
    Some(Record { place, job })
}

fn sacct(fields: &[String]) -> Option<Record> {
    let [
        id,
        state,
        exit,
        reason,
        partition,
        name,
        nodes,
        comment,
        submitted,
        started,
        ended,
        elapsed,
        limit,
        processors,
        processor_time,
        folder,
        own,
    ] = fields
    else {
        return None;
    };
    let place = Place::read(id)?;
    let mut job = empty(&place, own);
    job.state = State::read(state);
    job.reason = present(reason);
    job.exit = exit_code(exit).filter(|_| job.state.is_ended());
    job.partition = present(partition);
    name.clone_into(&mut job.name);
    job.nodes = present(nodes);
    job.comment = present(comment);
    job.submitted = moment(submitted);
    job.started = moment(started);
    job.ended = moment(ended);
    job.elapsed = elapsed.parse().ok().map(Duration::from_secs).filter(|_| job.started.is_some());
    job.limit = limit.parse().ok().map(|minutes: u64| Duration::from_secs(minutes.saturating_mul(60)));
    job.processors = processors.parse().ok();
    job.processor_time = duration(processor_time).filter(|_| job.state.is_ended());
    job.folder = present(folder).map(PathBuf::from);
    Some(Record { place, job })
}

/// A job of which nothing is known but which it is. The own id of a rest is that of its array.
fn empty(place: &Place, own: &str) -> Job {
    let (id, own) = match place {
        Place::One(id) => (*id, own.trim_end_matches("+0").parse().ok()),
        Place::Rest { job, .. } => (JobId::of(*job), None),
    };
    Job { own, ..super::merge::unknown(id) }
}

fn present(text: &str) -> Option<String> {
    let nothing = matches!(text.trim(), "" | "(null)" | "N/A" | "n/a" | "None" | "None assigned" | "Unknown");
    (!nothing).then(|| text.to_owned())
}

/// Seconds since 1970, as `SLURM_TIME_FORMAT=%s` makes them.
fn moment(text: &str) -> Option<i64> {
    text.trim().parse().ok().filter(|seconds| *seconds > 0)
}

/// `3:0`: the exit code, and the signal that ended it.
pub(super) fn exit_code(text: &str) -> Option<ExitCode> {
    let (code, signal) = text.trim().split_once(':')?;
    Some(ExitCode { code: code.parse().ok()?, signal: signal.parse().ok()? })
}

/// `days-hours:minutes:seconds`, the first ones left out where they are nothing, with a fraction or without.
pub(super) fn duration(text: &str) -> Option<Duration> {
    let text = text.trim();
    let (days, clock) = match text.split_once('-') {
        Some((days, clock)) => (days.parse::<u64>().ok()?, clock),
        None => (0, text),
    };
    let (clock, fraction) = clock.split_once('.').unwrap_or((clock, ""));
    if !clock.contains(':') {
        return None;
    }
    let mut seconds = 0_u64;
    for (place, part) in clock.split(':').enumerate() {
        if place > 2 {
            return None;
        }
        seconds = seconds.checked_mul(60)?.checked_add(part.parse().ok()?)?;
    }
    let seconds = days.checked_mul(86_400)?.checked_add(seconds)?;
    let millis = match fraction {
        "" => 0,
        digits => format!("{digits:0<3}").get(..3)?.parse().ok()?,
    };
    Some(Duration::from_secs(seconds) + Duration::from_millis(millis))
}

/// Bytes: `4153344`, or with the unit of 1024 that `sacct` adds: `4056K`, `1.5G`.
pub(super) fn bytes(text: &str) -> Option<u64> {
    let text = text.trim();
    let (number, unit) = match text.char_indices().last() {
        Some((at, letter)) if letter.is_ascii_alphabetic() => {
            let exponent = ['K', 'M', 'G', 'T', 'P'].iter().position(|unit| *unit == letter)?;
            (text.get(..at)?, 1024_f64.powi(i32::try_from(exponent).ok()? + 1))
        }
        _ => (text, 1.0),
    };
    let number: f64 = number.parse().ok()?;
    let bytes = number * unit;
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "between nothing and 2^53, where each whole number has a double of its own"
    )]
    (bytes.is_finite() && (0.0..9.0e15).contains(&bytes)).then_some(bytes as u64)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn told(marks: &Marks, lines: &[&str]) -> Vec<u8> {
        lines.iter().map(|line| line.replace('|', &marks.field) + "\n").collect::<String>().into_bytes()
    }

    #[test]
    fn records_of_squeue_of_22_05_are_read() {
        let marks = Marks::new();
        let answer = told(
            &marks,
            &[
                "2_[4-9%2]|PENDING|JobArrayTaskLimit|cpu|ok.sh||abc-2|1795636230|1795636300|N/A|0:00|10:00|1|/home/u|2|",
                "5|RUNNING|None|cpu|new\nline|localhost|(null)|1795636231|1795636231|1795636831|1-00:00:03|UNLIMITED|1|/home/u|5|",
                "2_3|CANCELLED|BeginTime|cpu|ok.sh|||1795636230|1795636240|1795636240|0:00|10:00|1|/home/u|6|",
                "7|COMPLETED|None|cpu|ok.sh|localhost||1795636230|1795636240|1795636240|0:00|10:00|1|/home/u|7|",
            ],
        );
        let records = of_squeue(&marks, &answer);
        assert_eq!(records.len(), 4);
        assert_eq!(records[0].place.ids(9).len(), 6);
        assert_eq!(records[0].job.reason.as_deref(), Some("JobArrayTaskLimit"));
        assert_eq!(records[0].job.started, None, "an expected start is none");
        let own: Vec<_> = records.iter().map(|record| record.job.own).collect();
        assert_eq!(own, [None, Some(5), Some(6), Some(7)], "tasks that wait together have none of their own");
        assert_eq!(records[0].job.limit, Some(Duration::from_secs(600)));
        let running = &records[1].job;
        assert_eq!(running.id, JobId::of(5));
        assert_eq!(running.name, "new\nline");
        assert_eq!((running.comment.as_deref(), running.reason.as_deref()), (None, None));
        assert_eq!((running.started, running.ended), (Some(1_795_636_231), None));
        assert_eq!(running.elapsed, Some(Duration::from_secs(86_403)));
        assert_eq!(running.limit, None);
        let times = |job: &Job| (job.started, job.ended, job.elapsed);
        assert_eq!(times(&records[2].job), (None, Some(1_795_636_240), None), "cancelled while it waited");
        let short = (Some(1_795_636_240), Some(1_795_636_240), Some(Duration::ZERO));
        assert_eq!(times(&records[3].job), short, "over within the second it began in");
    }

    #[test]
    fn records_of_sacct_of_22_05_are_read() {
        let marks = Marks::new();
        let answer = told(
            &marks,
            &[
                "1|FAILED|3:0|None|cpu|ok.sh|localhost|abc|1795636230|1795636230|1795636230|0|10|1|00:00.002|/home/u|1|",
                "9_4|CANCELLED by 1001|0:0|None|cpu|ok.sh|None assigned||1795636230|None|1795636231|0|Partition_Limit|0|00:00:00|/home/u|10|",
                "9.batch|CANCELLED|0:15|||||||||||||||",
            ],
        );
        let records = of_sacct(&marks, &answer);
        assert_eq!(records.len(), 2);
        let failed = &records[0].job;
        assert_eq!(failed.exit, Some(ExitCode { code: 3, signal: 0 }));
        assert_eq!(failed.processor_time, Some(Duration::from_millis(2)));
        assert_eq!(failed.limit, Some(Duration::from_secs(600)));
        let cancelled = &records[1].job;
        assert_eq!((failed.own, cancelled.own), (Some(1), Some(10)));
        assert_eq!(cancelled.state, State::Cancelled);
        assert_eq!((cancelled.started, cancelled.elapsed, cancelled.nodes.clone()), (None, None, None));
    }

    #[test]
    fn durations_and_sizes_are_read_in_all_forms() {
        for (text, seconds) in [
            ("0:03", Some(3.0)),
            ("10:00", Some(600.0)),
            ("1-02:03:04", Some(93_784.0)),
            ("00:00.002", Some(0.002)),
            ("02:03:04", Some(7384.0)),
            ("1-02:03", Some(86_523.0)),
            ("UNLIMITED", None),
            ("INVALID", None),
            ("", None),
            ("1:2:3:4", None),
            ("99999999999999999-00:00", None),
        ] {
            assert_eq!(duration(text).map(|duration| duration.as_secs_f64()), seconds, "{text}");
        }
        for (text, size) in [
            ("4153344", Some(4_153_344)),
            ("4056K", Some(4_153_344)),
            ("1.5G", Some(1_610_612_736)),
            ("", None),
            ("K", None),
            ("-3", None),
            ("1Z", None),
            ("inf", None),
        ] {
            assert_eq!(bytes(text), size, "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_answer_is_too_odd_to_be_read(answer in proptest::collection::vec(any::<u8>(), 0..400), text in "\\PC{0,20}") {
            let marks = Marks { field: "|".to_owned(), end: "#".to_owned() };
            let _ = (of_squeue(&marks, &answer), of_sacct(&marks, &answer), marks.sections(&answer));
            let _ = (duration(&text), bytes(&text), exit_code(&text), moment(&text));
        }
    }
}
