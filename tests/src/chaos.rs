//! Chaos: many workflows, while whatever carries them is killed at random moments; then everything is looked at.
//!
//! What is asked for and what is killed follows from a seed (`plan`), so that a run that fails is done again. Nothing is
//! pretended: a real cluster, a real database, the worker in a container of its own whose process 1 is `init`. What is
//! asked of the worker is asked again under the same id until it is answered (`client`); at the end each workflow has to
//! have ended for a reason that is true, once, with nothing lost and nothing left (`ends`).

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::Value;
use uuid::Uuid;

use crate::{Result, Trouble, http, wait};

mod client;
mod container;
mod ends;
mod plan;
mod site;

use client::{CLIENTS, Client, Kept};
pub use ends::Ended;
pub use plan::{Disaster, Extent, Plan, Victim, Wish};
use site::Site;

/// How long workflows may take to end once nothing is killed any more, on a machine with ten times more to do than processors:
/// all of them, and each.
const ENDING: (Duration, Duration) = (Duration::from_secs(240), Duration::from_secs(6));
/// How often it is told how far it is.
const TOLD: Duration = Duration::from_secs(20);
/// How often the node says what runs there, once nothing is killed any more. Slurm waits for 20 s, by its `BatchStartTimeout` and
/// `MessageTimeout`, before it misses a job.
const REGISTERED: Duration = Duration::from_secs(30);

/// A site, and what is to happen there.
#[derive(Debug)]
pub struct Chaos {
    plan: Plan,
    site: Site,
}

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// How workflows have ended.
    pub ended: Ended,
    /// How often each was killed.
    pub killed: BTreeMap<Victim, usize>,
    /// How often a client had no answer, and asked again.
    pub asked_again: usize,
    /// How long it took until all had ended, once nothing was killed any more.
    pub settled: Duration,
}

/// Something that is done to a victim.
#[derive(Debug, Clone, Copy)]
enum Blow {
    Kill(Duration),
    BringBack,
}

impl Chaos {
    /// Starts a site. It dies with the thread that called this.
    ///
    /// # Errors
    /// Something is not installed, or does not start.
    pub fn prepare(plan: Plan) -> Result<Self> {
        let site = Site::start()?;
        site.worker().write("plan.txt", &plan.to_string())?;
        Ok(Self { plan, site })
    }

    /// The folders of the site stay when this is dropped; where they are.
    pub fn keep(&mut self) -> [PathBuf; 2] {
        self.site.keep()
    }

    /// Does it, and looks at what came of it. `tell` hears what is done.
    ///
    /// # Errors
    /// Something that has to hold does not.
    pub fn run(&mut self, tell: &dyn Fn(&str)) -> Result<Outcome> {
        let requests = self.plan.wishes.iter().map(|wish| self.site.request(wish));
        let requests = requests.collect::<Result<Vec<_>>>()?;
        let mut lanes: Vec<Vec<(&Wish, (&'static str, Value))>> = vec![Vec::new(); CLIENTS];
        for (place, (wish, request)) in self.plan.wishes.iter().zip(requests).enumerate() {
            lanes[place % CLIENTS].push((wish, request));
        }
        let (again, socket, begun) = (AtomicUsize::new(0), self.site.socket(), Instant::now());
        let patience = patience(&self.plan);
        let until = begun + self.plan.extent.during + patience;
        let over = AtomicBool::new(false);
        let client = Client { socket: &socket, begun, until, again: &again, over: &over };
        let site = &mut self.site;
        let (killed, kept) = std::thread::scope(|scope| -> Result<_> {
            let asking: Vec<_> = lanes.iter().map(|lane| scope.spawn(|| client.ask(lane))).collect();
            let killed = strike(site, &self.plan, begun, tell);
            over.store(killed.is_err(), Ordering::Relaxed);
            let mut kept: BTreeMap<Uuid, Kept> = BTreeMap::new();
            for lane in asking {
                let asked = lane.join().map_err(|_| Trouble::new("a client has panicked"))?;
                // What kept the others from going on is told before what they say of it.
                if killed.is_ok() {
                    kept.extend(asked?);
                }
            }
            Ok((killed?, kept))
        })?;
        tell("nothing is killed any more");
        let quiet = Instant::now();
        settle(site, patience, tell)?;
        let settled = quiet.elapsed();
        let ended = ends::check(site, &self.plan, &kept).map_err(|trouble| {
            Trouble::new(format!("{trouble}{}", wait::ends_of(&[site.container().log()])))
        })?;
        Ok(Outcome { ended, killed, asked_again: again.into_inner(), settled })
    }
}

fn patience(plan: &Plan) -> Duration {
    let (all, each) = ENDING;
    all + each * u32::try_from(plan.extent.workflows).unwrap_or(u32::MAX)
}

/// Kills and brings back, each at its moment, or as soon as what came before is done.
fn strike(
    site: &mut Site,
    plan: &Plan,
    begun: Instant,
    tell: &dyn Fn(&str),
) -> Result<BTreeMap<Victim, usize>> {
    let mut blows: Vec<(Duration, Victim, Blow)> = Vec::new();
    for disaster in &plan.disasters {
        blows.push((disaster.at, disaster.victim, Blow::Kill(disaster.down)));
        blows.push((disaster.over(), disaster.victim, Blow::BringBack));
    }
    blows.sort_by_key(|(at, ..)| *at);
    let mut killed: BTreeMap<Victim, usize> = Victim::ALL.into_iter().map(|victim| (victim, 0)).collect();
    for (at, victim, blow) in blows {
        std::thread::sleep(at.saturating_sub(begun.elapsed()));
        let now = begun.elapsed().as_secs_f64();
        let name = victim.name();
        match blow {
            Blow::Kill(down) => {
                site.stands()?;
                let is_killed = site.kill(victim)?;
                *killed.entry(victim).or_default() += usize::from(is_killed);
                let how = if is_killed { "" } else { " (it was not there)" };
                tell(&format!("{now:>7.1} s  {name} killed{how}, away for {:.1} s", down.as_secs_f64()));
            }
            Blow::BringBack if victim == Victim::Processor => {}
            Blow::BringBack => {
                site.bring_back(victim)?;
                tell(&format!("{:>7.1} s  {name} is back", begun.elapsed().as_secs_f64()));
            }
        }
    }
    std::thread::sleep(plan.extent.during.saturating_sub(begun.elapsed()));
    Ok(killed)
}

/// Waits until nothing is left to be done.
fn settle(site: &mut Site, patience: Duration, tell: &dyn Fn(&str)) -> Result<()> {
    let socket = site.socket();
    let (mut told, mut registered) = (Instant::now(), Instant::now());
    let mut last = String::new();
    let log = site.container().log().to_path_buf();
    let waited = wait::until("the end of all workflows", patience, &[&log], || {
        std::thread::sleep(Duration::from_millis(250));
        let answer = http::get(&socket, "/v1/workflows?open=true&limit=500").ok()?;
        let open = answer.json();
        if told.elapsed() >= TOLD {
            told = Instant::now();
            tell(&format!("{} workflows are open", open["total"]));
        }
        last = format!("{open:#}");
        if registered.elapsed() >= REGISTERED && site.register_node().is_ok() {
            registered = Instant::now();
        }
        (answer.status == 200 && open["total"] == 0).then_some(())
    });
    site.stands()?;
    waited.map_err(|trouble| Trouble::new(format!("{trouble}\nstill open: {last}")))
}

impl fmt::Display for Outcome {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Ended { done, failed, cancelled, forgotten, run_again } = self.ended;
        let all = done + failed + cancelled;
        writeln!(
            formatter,
            "{all} workflows: {done} done, {failed} failed as told, {cancelled} cancelled as asked"
        )?;
        let killed: Vec<String> =
            self.killed.iter().map(|(victim, times)| format!("{} {times}", victim.name())).collect();
        writeln!(formatter, "killed: {}", killed.join(", "))?;
        writeln!(
            formatter,
            "jobs that slurmctld had forgotten: {forgotten}; that it has run again itself: {run_again}"
        )?;
        writeln!(formatter, "asked again for want of an answer: {}", self.asked_again)?;
        write!(formatter, "all had ended {:.1} s after the last was killed", self.settled.as_secs_f64())
    }
}
