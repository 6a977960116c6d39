//! `cargo xtask chaos`: ten minutes in which whatever carries two hundred workflows is killed at random moments, and then a look
//! at whether any of them has noticed.
//!
//! What happens follows from a seed, which is told first. A run that fails leaves its folders, and tells how it is done again.

use std::time::Duration;

use biomero_tests::chaos::{Chaos, Extent, Plan};

use crate::failure::Failure;
use crate::packages;

const WORKFLOWS: usize = 200;
const MINUTES: u64 = 10;

/// Runs it.
pub(crate) fn run(options: &[&str]) -> Result<(), Failure> {
    let extent = extent(options)?;
    packages::install(&[packages::DEMO, packages::CLUSTER])?;
    let plan = Plan::new(extent);
    print!("{plan}");
    println!("\n==> A cluster, a database, and a worker in its container");
    let mut chaos = Chaos::prepare(plan)?;
    println!("\n==> Chaos");
    match chaos.run(&|line| println!("{line}")) {
        Ok(outcome) => {
            println!("\n==> Everything holds\n{outcome}");
            Ok(())
        }
        Err(trouble) => {
            let folders = chaos.keep().map(|folder| folder.display().to_string()).join(" and ");
            let Extent { seed, workflows, during } = extent;
            let minutes = during.as_secs() / 60;
            Err(Failure::Unexpected(format!(
                "{trouble}\n\nits folders stay: {folders}\nthe same again:\n\n  \
                 cargo xtask chaos --seed {seed} --workflows {workflows} --minutes {minutes}\n"
            )))
        }
    }
}

fn extent(options: &[&str]) -> Result<Extent, Failure> {
    let seed = chance();
    let mut extent = Extent { seed, workflows: WORKFLOWS, during: Duration::from_secs(MINUTES * 60) };
    for option in options.chunks(2) {
        let [name, value] = option else { return Err(usage(option)) };
        let number: u64 = value.parse().map_err(|_| usage(option))?;
        match *name {
            "--seed" => extent.seed = number,
            "--workflows" => extent.workflows = usize::try_from(number).map_err(|_| usage(option))?,
            "--minutes" => extent.during = Duration::from_secs(number.saturating_mul(60)),
            _ => return Err(usage(option)),
        }
    }
    Ok(extent)
}

fn usage(given: &[&str]) -> Failure {
    let given = given.join(" ");
    Failure::Usage(format!("`{given}`: `chaos` knows --seed N, --workflows N and --minutes N, whole numbers"))
}

/// A number that nobody has chosen, short enough to be typed.
fn chance() -> u64 {
    use std::hash::{BuildHasher as _, RandomState};
    RandomState::new().hash_one(std::process::id()) % 1_000_000
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_is_told_by_three_numbers() {
        let extent = extent(&["--seed", "7", "--workflows", "3", "--minutes", "2"]).expect("an extent");
        assert_eq!(extent, Extent { seed: 7, workflows: 3, during: Duration::from_secs(120) });
        for wrong in [&["--seed"][..], &["--seed", "x"], &["--hours", "1"]] {
            assert!(super::extent(wrong).is_err(), "{wrong:?}");
        }
    }
}
