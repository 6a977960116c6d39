//! `processor serve` is killed, again and again, at any moment.

use std::collections::BTreeMap;
use std::time::Duration;

use biomero_tests::cluster::shared;
use biomero_tests::{Result, postgres, wait};
use nix::sys::signal::Signal;

use super::stage::{Desk, request};

/// Numbers that look like chance, and are the same for the same seed.
struct Chance(u64);

impl Chance {
    #[expect(clippy::print_stderr, reason = "a test's standard error is shown where it failed")]
    fn new() -> Self {
        let seed = std::env::var("BIOMERO_SEED").ok().and_then(|seed| seed.parse().ok());
        let seed = seed.unwrap_or_else(|| uuid::Uuid::new_v4().as_u64_pair().0 | 1);
        // A run that fails is tried again with what is told here.
        eprintln!("BIOMERO_SEED={seed}");
        Self(seed)
    }

    /// Below `limit`.
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }
}

/// Kills `processor serve` so many times while these are carried, then lets it come to their ends.
fn kill_again_and_again(desk: &Desk, ids: &BTreeMap<String, String>, kills: u32, longest: u64) -> Result<()> {
    let mut chance = Chance::new();
    for _ in 0..kills {
        let mut serve = desk.serve()?;
        std::thread::sleep(Duration::from_millis(30 + chance.below(longest)));
        serve.signal(Signal::SIGKILL)?;
        serve.ended_within(wait::PATIENCE)?;
    }
    let serve = desk.serve()?;
    for (name, id) in ids {
        let shown = desk.ended(id, &[&serve])?;
        assert_eq!(shown["phase"], "DONE", "{shown:#}\n{}", serve.output());
        desk.has_results(name)?;
        desk.ran_once(id)?;
        desk.left_nothing(id)?;
        desk.is_recorded_once(id)?;
        assert_eq!(desk.history(id)?["state"], "completed");
    }
    Ok(())
}

#[test]
fn killed_at_thirty_moments_it_does_everything_once() -> Result<()> {
    let desk = Desk::embedded()?;
    let mut ids = BTreeMap::new();
    for name in ["a", "b", "c", "d"] {
        desk.images(name, &[("sleep", "1")])?;
        ids.insert(name.to_owned(), desk.submit(&request(&desk, name))?);
    }
    kill_again_and_again(&desk, &ids, 30, 900)
}

#[test]
fn fifty_on_a_real_cluster_survive_it_too() -> Result<()> {
    let cluster = shared()?;
    let workspace = cluster.workspace()?;
    let server = postgres::shared()?;
    let desk = Desk::on(&cluster, &workspace, &server.create_database("carried")?)?;
    let mut ids = BTreeMap::new();
    for number in 0..50 {
        let name = format!("n{number}");
        ids.insert(name.clone(), desk.submit(&request(&desk, &name))?);
    }
    kill_again_and_again(&desk, &ids, 12, 8_000)
}
