//! Many runs that ask, of a source that counts what it is asked. The real cluster is asked in the black-box tests.

use std::future::pending;
use std::sync::atomic::{AtomicBool, AtomicUsize};

use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::*;
use crate::job::State;
use crate::scheduler::watch::{Change, Pace, Watch, WatchOptions};
use crate::scheduler::{Heard, unknown};

const POLL: Duration = Duration::from_secs(60);

/// Each job runs, and its log has a line more each time, until it is told to end.
#[derive(Debug, Default)]
struct Cluster {
    questions: AtomicUsize,
    /// How many jobs, and how many logs, the last question was about.
    asked: Mutex<(usize, usize)>,
    looked: Mutex<BTreeMap<PathBuf, usize>>,
    is_silent: AtomicBool,
    is_stuck: AtomicBool,
    ended: Mutex<BTreeSet<JobId>>,
}

impl Standing for Arc<Cluster> {
    type Error = &'static str;

    async fn standing(&self, ids: &[JobId]) -> Result<Snapshot, Self::Error> {
        Ok(self.look(ids, &[]).await?.0)
    }

    async fn complete(&self, _: &mut [Job]) {}
}

impl Looking for Arc<Cluster> {
    async fn look(&self, ids: &[JobId], logs: &[Wish]) -> Result<(Snapshot, Vec<Option<Look>>), Self::Error> {
        self.questions.fetch_add(1, Ordering::Relaxed);
        *self.asked.lock().expect("unpoisoned") = (ids.len(), logs.len());
        // As long as a question takes.
        sleep(Duration::from_millis(200)).await;
        if self.is_stuck.load(Ordering::Relaxed) {
            pending::<()>().await;
        }
        if self.is_silent.load(Ordering::Relaxed) {
            return Err("the network is down");
        }
        let ended = self.ended.lock().expect("unpoisoned");
        let state = |id: &JobId| if ended.contains(id) { State::Failed } else { State::Running };
        let jobs = ids.iter().map(|id| Job { state: state(id), ..unknown(*id) }).collect();
        let mut looked = self.looked.lock().expect("unpoisoned");
        let looks = logs.iter().map(|wish| {
            *looked.entry(wish.path.clone()).or_default() += 1;
            let line = b"7%\n";
            let size = wish.known.as_ref().map_or(0, |(_, size)| *size) + line.len() as u64;
            let bytes = line.iter().copied().cycle().take(size as usize).skip(wish.from as usize).collect();
            Some(Look::of(&wish.path.display().to_string(), size, wish.from, bytes))
        });
        Ok((Snapshot { jobs, controller: Heard::Yes, accounting: Heard::Off }, looks.collect()))
    }
}

impl Cluster {
    fn questions(&self) -> usize {
        self.questions.load(Ordering::Relaxed)
    }

    fn asked(&self) -> (usize, usize) {
        *self.asked.lock().expect("unpoisoned")
    }

    fn ends(&self, job: u32) {
        self.ended.lock().expect("unpoisoned").insert(JobId::of(job));
    }
}

type Asked = Beat<Arc<Cluster>>;

fn cluster() -> (Arc<Cluster>, Asked) {
    let cluster = Arc::new(Cluster::default());
    (Arc::clone(&cluster), Beat::new(cluster, POLL))
}

/// Follows a job to its end, as a run does; what was told of it.
async fn follow(beat: Asked, job: u32) -> Vec<String> {
    let (place, log) = beat.follow(Some(PathBuf::from(format!("{job}.log"))));
    let mut log = log.expect("a log");
    let pace = Pace { longest: POLL, ..Pace::default() };
    let options = WatchOptions { pace, ..WatchOptions::default() };
    let (mut watch, adder) = Watch::new(place, &[JobId::of(job)], options);
    drop(adder);
    let mut told = Vec::new();
    loop {
        tokio::select! {
            change = watch.next() => match change {
                None => return told,
                Some(Change::Job(job)) => told.push(job.state.to_string()),
                Some(Change::Silent { reason, .. }) => told.push(reason),
                Some(Change::Back) => told.push("back".to_owned()),
                Some(Change::Gone { .. }) => told.push("gone".to_owned()),
            },
            news = log.news() => assert!(!news.restarted && !news.bytes.is_empty()),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn five_hundred_runs_ask_once_a_poll() {
    let (cluster, beat) = cluster();
    let mut runs = JoinSet::new();
    for job in 1..=500 {
        let beat = beat.clone();
        runs.spawn(async move {
            // Each begins at its own moment.
            sleep(Duration::from_millis(u64::from(job) * 117 % 50_000)).await;
            follow(beat, job).await
        });
    }
    sleep(POLL * 3).await;
    let before = cluster.questions();
    sleep(POLL * 10).await;
    let asked = cluster.questions() - before;
    assert!((9..=11).contains(&asked), "{asked} questions in ten polls");
    assert_eq!(cluster.asked(), (500, 500), "of all of them");

    for job in 1..=500 {
        cluster.ends(job);
    }
    let begun = Instant::now();
    while let Some(told) = runs.join_next().await {
        assert_eq!(told.expect("no run panics"), ["RUNNING", "FAILED"]);
    }
    assert!(begun.elapsed() < POLL * 2, "all know of it by the same answer");
}

#[tokio::test(start_paused = true)]
async fn a_run_alone_is_answered_as_soon_as_it_asks() {
    let (cluster, beat) = cluster();
    cluster.ends(1);
    let begun = Instant::now();
    assert_eq!(follow(beat.clone(), 1).await, ["FAILED"]);
    assert!(begun.elapsed() < SHORTEST, "it took {:?}", begun.elapsed());
    assert!(beat.shared.runs().all.is_empty(), "it is over, and nobody asks after it");
}

#[tokio::test(start_paused = true)]
async fn who_is_dropped_while_it_asks_keeps_nobody_waiting() {
    let (cluster, beat) = cluster();
    cluster.is_stuck.store(true, Ordering::Relaxed);
    let first = tokio::spawn(follow(beat.clone(), 1));
    sleep(Duration::from_secs(1)).await;
    let second = tokio::spawn(follow(beat.clone(), 2));
    sleep(Duration::from_secs(1)).await;
    cluster.is_stuck.store(false, Ordering::Relaxed);
    cluster.ends(2);
    first.abort();
    let told = timeout(POLL, second).await.expect("an answer").expect("no panic");
    assert_eq!(told, ["FAILED"]);
    assert_eq!(cluster.asked().0, 1, "who is gone is not asked after");
}

#[tokio::test(start_paused = true)]
async fn all_hear_that_nobody_answers_and_that_somebody_does_again() {
    let (cluster, beat) = cluster();
    let mut runs = JoinSet::new();
    for job in 1..=20 {
        runs.spawn(follow(beat.clone(), job));
    }
    sleep(POLL).await;
    cluster.is_silent.store(true, Ordering::Relaxed);
    sleep(POLL * 10).await;
    let while_silent = cluster.questions();
    sleep(POLL * 10).await;
    let asked = cluster.questions() - while_silent;
    assert!((9..=14).contains(&asked), "{asked} questions in ten polls: who is silent is left in peace");
    cluster.is_silent.store(false, Ordering::Relaxed);
    sleep(POLL * 2).await;
    for job in 1..=20 {
        cluster.ends(job);
    }
    while let Some(told) = runs.join_next().await {
        let told = told.expect("no run panics");
        assert_eq!(told, ["RUNNING", "the network is down", "back", "FAILED"]);
    }
}

#[tokio::test(start_paused = true)]
async fn more_logs_than_are_looked_at_together_have_their_turns() {
    let (cluster, beat) = cluster();
    let jobs = u32::try_from(MOST_LOGS).expect("few") + 100;
    let mut runs = JoinSet::new();
    for job in 1..=jobs {
        runs.spawn(follow(beat.clone(), job));
    }
    sleep(POLL * 12).await;
    assert_eq!(cluster.asked(), (jobs as usize, MOST_LOGS));
    let looked = cluster.looked.lock().expect("unpoisoned").clone();
    assert_eq!(looked.len(), jobs as usize, "none is left out");
    let (fewest, most) = (looked.values().min().expect("some"), looked.values().max().expect("some"));
    assert!(most - fewest <= 2, "from {fewest} to {most} looks");
}

#[tokio::test(start_paused = true)]
async fn of_a_whole_array_each_task_is_told_of_and_of_a_task_nothing_else() {
    let jobs = ["7_1", "7_2", "8", "9_1"];
    let jobs: Vec<Job> = jobs.iter().map(|id| unknown(id.parse().expect("an id"))).collect();
    let snapshot = Snapshot { jobs, controller: Heard::Yes, accounting: Heard::Off };
    let of = [JobId::of(7), JobId::of(8), "9_1".parse().expect("an id")].into();
    let answer = Answer { number: 1, of, told: Ok(snapshot), looks: BTreeMap::new() };
    for (asked, is_of, told) in [
        ("7", true, "7_1 7_2"),
        ("7_2", true, "7_2"),
        ("7_2 8", true, "7_2 8"),
        ("9_1", true, "9_1"),
        // It was asked about one of its tasks alone.
        ("9", false, "9_1"),
        ("10", false, ""),
    ] {
        let ids: Vec<JobId> = asked.split(' ').map(|id| id.parse().expect("an id")).collect();
        assert_eq!(answer.is_of(&ids), is_of, "{asked}");
        let jobs = answer.about(&ids).expect("an answer").jobs;
        let jobs: Vec<String> = jobs.iter().map(|job| job.id.to_string()).collect();
        assert_eq!(jobs.join(" "), told, "{asked}");
    }
}
