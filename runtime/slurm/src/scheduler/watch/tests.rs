//! Following, by answers that are written down: what is asked and told at which moment. The real cluster is asked in
//! the black-box tests.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use super::super::Heard;
use super::super::merge::unknown;
use super::*;
use crate::job::ExitCode;

/// When, and after which jobs.
type Question = (Instant, Vec<JobId>);

/// Answers in order; the last one again and again.
#[derive(Clone)]
struct Answers {
    answers: Arc<Mutex<VecDeque<Result<Snapshot, String>>>>,
    asked: Arc<Mutex<Vec<Question>>>,
}

impl Answers {
    fn new(answers: impl IntoIterator<Item = Result<Snapshot, String>>) -> Self {
        Self { answers: Arc::new(Mutex::new(answers.into_iter().collect())), asked: Arc::default() }
    }

    fn asked(&self) -> Vec<(Instant, Vec<JobId>)> {
        self.asked.lock().expect("unpoisoned").clone()
    }
}

impl Standing for Answers {
    type Error = String;

    async fn standing(&self, ids: &[JobId]) -> Result<Snapshot, String> {
        self.asked.lock().expect("unpoisoned").push((Instant::now(), ids.to_vec()));
        let mut answers = self.answers.lock().expect("unpoisoned");
        if answers.len() > 1 { answers.pop_front() } else { answers.front().cloned() }.expect("an answer")
    }

    async fn complete(&self, jobs: &mut [Job]) {
        for job in jobs {
            job.peak_memory = Some(7);
        }
    }
}

fn job(id: &str, state: State) -> Job {
    let exit = state.is_ended().then_some(ExitCode { code: 0, signal: 0 });
    Job { state, exit, ..unknown(id.parse().expect("an id")) }
}

fn told(jobs: Vec<Job>) -> Result<Snapshot, String> {
    Ok(Snapshot { jobs, controller: Heard::Yes, accounting: Heard::Yes })
}

async fn all(mut watch: Watch<Answers>, adder: Adder) -> Vec<String> {
    drop(adder);
    let mut all = Vec::new();
    while let Some(change) = watch.next().await {
        all.push(match change {
            Change::Job(job) => format!("{} {}", job.id, job.state),
            Change::Silent { reason, .. } => format!("silent: {reason}"),
            Change::Back => "back".to_owned(),
            Change::Gone { id, .. } => format!("{id} gone"),
        });
    }
    all
}

fn watch(answers: &Answers, ids: &[&str]) -> (Watch<Answers>, Adder) {
    let ids: Vec<JobId> = ids.iter().map(|id| id.parse().expect("an id")).collect();
    Watch::new(answers.clone(), &ids, WatchOptions::default())
}

#[tokio::test(start_paused = true)]
async fn only_changes_are_told_and_all_jobs_are_asked_after_at_once() {
    let answers = Answers::new([
        told(vec![job("1", State::Pending), job("2", State::Pending)]),
        told(vec![job("1", State::Running), job("2", State::Pending)]),
        told(vec![job("1", State::Running), job("2", State::Pending)]),
        told(vec![job("1", State::Completed), job("2", State::Running)]),
        told(vec![job("2", State::Failed)]),
    ]);
    let (watch, adder) = watch(&answers, &["1", "2"]);
    let all = all(watch, adder).await;
    assert_eq!(all, ["1 PENDING", "2 PENDING", "1 RUNNING", "1 COMPLETED", "2 RUNNING", "2 FAILED"]);
    let asked: Vec<usize> = answers.asked().iter().map(|(_, ids)| ids.len()).collect();
    assert_eq!(asked, [2, 2, 2, 2, 1], "what has ended is not asked after");
}

#[tokio::test(start_paused = true)]
async fn of_an_array_only_what_is_open_is_asked_after_until_all_that_is_known_has_ended() {
    let answers = Answers::new([
        told(vec![job("7_0", State::Completed), job("7_1", State::Running), job("7_2", State::Pending)]),
        told(vec![job("7_1", State::Failed), job("7_2", State::Running)]),
        told(vec![job("7_2", State::Completed)]),
        // The accounting was late with one that ended before anybody asked.
        told(vec![
            job("7_0", State::Completed),
            job("7_1", State::Failed),
            job("7_2", State::Completed),
            job("7_3", State::Completed),
        ]),
    ]);
    let (watch, adder) = watch(&answers, &["7"]);
    let all = all(watch, adder).await;
    assert_eq!(
        all,
        [
            "7_0 COMPLETED",
            "7_1 RUNNING",
            "7_2 PENDING",
            "7_1 FAILED",
            "7_2 RUNNING",
            "7_2 COMPLETED",
            "7_3 COMPLETED"
        ]
    );
    let asked: Vec<String> = answers
        .asked()
        .iter()
        .map(|(_, ids)| ids.iter().map(ToString::to_string).collect::<Vec<_>>().join(","))
        .collect();
    assert_eq!(asked, ["7", "7_1,7_2", "7_2", "7"]);
    let moments = answers.asked();
    assert_eq!(moments[2].0, moments[3].0, "nobody waits for what may be over");
}

#[tokio::test(start_paused = true)]
async fn an_accounting_that_is_not_asked_is_not_back() {
    let accounting = |jobs, accounting| Ok(Snapshot { jobs, controller: Heard::Yes, accounting });
    let refused = || Heard::No("refused".to_owned());
    let answers = Answers::new([
        accounting(vec![job("1", State::Completed), job("2", State::Running)], refused()),
        accounting(vec![job("2", State::Running)], Heard::Unasked),
        accounting(vec![job("2", State::Completed)], refused()),
    ]);
    let (watch, adder) = watch(&answers, &["1", "2"]);
    let all = all(watch, adder).await;
    assert_eq!(all.len(), 4, "{all:?}");
    assert!(all.iter().any(|told| told.starts_with("silent: the accounting")), "{all:?}");
    assert!(!all.contains(&"back".to_owned()), "{all:?}");
}

#[tokio::test(start_paused = true)]
async fn silence_is_told_once_and_nothing_is_concluded_from_it() {
    let controller = Snapshot {
        jobs: vec![job("1", State::Running)],
        controller: Heard::No("connect failure".to_owned()),
        accounting: Heard::Yes,
    };
    let answers = Answers::new([
        told(vec![job("1", State::Running)]),
        Err("the connection was lost".to_owned()),
        Err("cannot connect".to_owned()),
        Ok(controller),
        told(vec![job("1", State::Running)]),
        told(vec![job("1", State::Completed)]),
    ]);
    let (watch, adder) = watch(&answers, &["1"]);
    assert_eq!(
        all(watch, adder).await,
        ["1 RUNNING", "silent: the connection was lost", "back", "1 COMPLETED"]
    );
}

#[tokio::test(start_paused = true)]
async fn what_nobody_knows_is_given_up_only_when_all_answer_for_long() {
    let silent = Snapshot {
        jobs: vec![job("1", State::Unknown)],
        controller: Heard::Yes,
        accounting: Heard::No("refused".to_owned()),
    };
    let answers = Answers::new([
        told(vec![job("1", State::Running)]),
        Ok(silent.clone()),
        Ok(silent),
        told(vec![job("1", State::Unknown)]),
    ]);
    let begun = Instant::now();
    let (watch, adder) = watch(&answers, &["1"]);
    let all = all(watch, adder).await;
    assert_eq!(all.first().map(String::as_str), Some("1 RUNNING"));
    assert!(all.iter().any(|told| told.starts_with("silent: the accounting")), "{all:?}");
    assert_eq!(all.last().map(String::as_str), Some("1 gone"));
    assert!(begun.elapsed() >= WatchOptions::default().forget);
}

#[tokio::test(start_paused = true)]
async fn an_end_is_told_when_it_is_known_how_or_never_will_be() {
    let open = Job { exit: None, ..job("1", State::Failed) };
    let answers = Answers::new([
        told(vec![open.clone()]),
        told(vec![open.clone()]),
        told(vec![job("1", State::Failed)]),
    ]);
    let (mut followed, adder) = watch(&answers, &["1"]);
    drop(adder);
    let Some(Change::Job(ended)) = followed.next().await else { panic!("an end") };
    assert!(ended.exit.is_some() && ended.peak_memory == Some(7));
    assert_eq!(followed.next().await, None);
    assert_eq!(answers.asked().len(), 3);

    let never = Answers::new([told(vec![open])]);
    let begun = Instant::now();
    let (watch, adder) = watch(&never, &["1"]);
    assert_eq!(all(watch, adder).await, ["1 FAILED"]);
    assert!(begun.elapsed() >= WatchOptions::default().settle);
}

#[tokio::test(start_paused = true)]
async fn an_array_is_over_with_its_last_task() {
    let answers = Answers::new([
        told(vec![job("7_0", State::Running), job("7_1", State::Pending)]),
        told(vec![job("7_0", State::Completed), job("7_1", State::Pending)]),
        told(vec![job("7_0", State::Completed), job("7_1", State::Cancelled)]),
    ]);
    let (watch, adder) = watch(&answers, &["7"]);
    assert_eq!(all(watch, adder).await, ["7_0 RUNNING", "7_1 PENDING", "7_0 COMPLETED", "7_1 CANCELLED"]);
}

#[tokio::test(start_paused = true)]
async fn a_task_that_waited_and_has_left_no_record_counts_as_cancelled() {
    for ids in [&["7"][..], &["7_0", "7_1"]] {
        let answers = Answers::new([
            told(vec![job("7_0", State::Running), job("7_1", State::Pending)]),
            told(vec![job("7_0", State::Running)]),
            // It was not gone after all: between two answers nothing is concluded.
            told(vec![job("7_0", State::Running), job("7_1", State::Pending)]),
            told(vec![job("7_0", State::Completed), job("7_1", State::Unknown)]),
            told(vec![job("7_0", State::Completed)]),
        ]);
        let (watch, adder) = watch(&answers, ids);
        let begun = Instant::now();
        let expected = ["7_0 RUNNING", "7_1 PENDING", "7_0 COMPLETED", "7_1 CANCELLED"];
        assert_eq!(all(watch, adder).await, expected, "{ids:?}");
        assert!(begun.elapsed() >= WatchOptions::default().settle);
        assert!(begun.elapsed() < WatchOptions::default().forget);
    }
}

#[tokio::test(start_paused = true)]
async fn a_task_that_is_missing_may_have_ended_where_no_accounts_are_kept_or_it_ran() {
    for (was, accounting) in [(State::Pending, Heard::Off), (State::Running, Heard::Yes)] {
        let now = |jobs| Ok(Snapshot { jobs, controller: Heard::Yes, accounting: accounting.clone() });
        let answers = Answers::new([
            now(vec![job("7_0", State::Running), job("7_1", was)]),
            now(vec![job("7_0", State::Completed)]),
        ]);
        let begun = Instant::now();
        let (watch, adder) = watch(&answers, &["7"]);
        assert_eq!(all(watch, adder).await.last().map(String::as_str), Some("7_1 gone"), "{was}");
        assert!(begun.elapsed() >= WatchOptions::default().forget);
    }
    let silent = Snapshot {
        jobs: vec![job("7_0", State::Running)],
        controller: Heard::No("connect failure".to_owned()),
        accounting: Heard::Yes,
    };
    let hour = (0..200).map(|_| Ok(silent.clone()));
    let before = told(vec![job("7_0", State::Running), job("7_1", State::Pending)]);
    let after = told(vec![job("7_0", State::Completed), job("7_1", State::Completed)]);
    let answers = Answers::new([before].into_iter().chain(hour).chain([after]));
    let (watch, adder) = watch(&answers, &["7"]);
    let all = all(watch, adder).await;
    assert_eq!(
        all.iter().filter(|told| told.contains("7_1")).collect::<Vec<_>>(),
        ["7_1 PENDING", "7_1 COMPLETED"]
    );
}

#[tokio::test(start_paused = true)]
async fn a_job_that_is_added_is_asked_after_at_once() {
    let long = WatchOptions {
        pace: Pace { shortest: Duration::from_secs(1000), longest: Duration::from_secs(1000) },
        ..WatchOptions::default()
    };
    let answers = Answers::new([
        told(vec![job("1", State::Running)]),
        told(vec![job("1", State::Running), job("2", State::Running)]),
        told(vec![job("1", State::Completed), job("2", State::Completed)]),
    ]);
    let (mut watch, adder) = Watch::new(answers.clone(), &[JobId::of(1)], long);
    assert!(watch.next().await.is_some());
    let begun = Instant::now();
    assert!(adder.add(vec![JobId::of(2)]).await);
    drop(adder);
    let Some(Change::Job(second)) = watch.next().await else { panic!("the second job") };
    assert_eq!(second.id, JobId::of(2));
    assert!(begun.elapsed() < Duration::from_secs(10));
    while watch.next().await.is_some() {}
    assert_eq!(answers.asked().len(), 3);
}

#[tokio::test(start_paused = true)]
async fn who_stops_waiting_for_the_next_change_loses_none() {
    let answers =
        Answers::new([told(vec![job("1", State::Running)]), told(vec![job("1", State::Completed)])]);
    let (mut watch, adder) = watch(&answers, &["1"]);
    drop(adder);
    let mut told = 0;
    for _ in 0..10_000 {
        match tokio::time::timeout(Duration::from_millis(10), watch.next()).await {
            Ok(Some(_)) => told += 1,
            Ok(None) => break,
            Err(_) => {}
        }
    }
    assert_eq!(told, 2);
}
