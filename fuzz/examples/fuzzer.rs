//! Feeds one target, named by `BIOMERO_FUZZ_TARGET`, with what libFuzzer makes up; `list` tells their names, seeds and longest
//! inputs. `cargo xtask fuzz` builds and runs it.
#![no_main]
#![allow(unsafe_code, reason = "the macro exports the function that libFuzzer calls")]
#![allow(clippy::print_stdout, reason = "`cargo xtask fuzz` reads its list")]

use std::sync::LazyLock;

use biomero_fuzz::TARGETS;
use libfuzzer_sys::fuzz_target;

static RUN: LazyLock<fn(&[u8])> = LazyLock::new(|| {
    let asked = std::env::var("BIOMERO_FUZZ_TARGET").unwrap_or_default();
    if asked == "list" {
        for target in TARGETS {
            println!("{}\t{}\t{}", target.name, target.seeds, target.longest);
        }
        std::process::exit(0);
    }
    let found = TARGETS.iter().find(|target| target.name == asked);
    found.unwrap_or_else(|| panic!("BIOMERO_FUZZ_TARGET={asked}: no target has this name")).run
});

fuzz_target!(init: { LazyLock::force(&RUN); }, |data: &[u8]| RUN(data));
