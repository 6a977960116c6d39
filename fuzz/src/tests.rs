use std::fs;
use std::path::Path;

use super::{TARGETS, Target};

/// Each seed as it is, cut short, and with one byte in another's place: what a fuzzer would try first. The same at every run.
#[test]
fn every_target_takes_its_seeds_and_what_is_left_of_them() {
    for target in TARGETS {
        let seeds = seeds(target);
        assert!(!seeds.is_empty(), "{}: {} has no file", target.name, target.seeds);
        for seed in &seeds {
            (target.run)(seed);
            let Some(last) = seed.len().checked_sub(1) else { continue };
            for part in 0..8 {
                (target.run)(&seed[..last * part / 8]);
                let mut damaged = seed.clone();
                damaged[last * part / 8] ^= 1 << part;
                (target.run)(&damaged);
            }
        }
    }
}

fn seeds(target: &Target) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(target.seeds);
    let mut files: Vec<_> = fs::read_dir(folder)
        .expect("the folder of the seeds")
        .map(|entry| entry.expect("an entry of it").path())
        .filter(|path| path.is_file())
        .collect();
    files.sort();
    files.iter().map(|file| fs::read(file).expect("a seed")).collect()
}
