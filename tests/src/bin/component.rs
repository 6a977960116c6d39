//! Measures a component as a start-up uses it: `component ROUNDS HOOK.wasm POLICY.toml CONTEXT.json CACHE COMPILER`.
//! Writes two medians in nanoseconds: from its file and its policy to a hook; and from there, by way of the cache, its
//! engine and an instance for each question, to its effects.

use std::net::IpAddr;
use std::os::fd::BorrowedFd;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

use biomero_config::{Settings, Values};
use biomero_hooks::component::GuestContext;
use biomero_hooks::{Disk, Exit, Machine, MachineError, Process, Site};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match measure(&arguments) {
        Ok(medians) => {
            #[allow(clippy::print_stdout, reason = "the answer")]
            {
                println!("{medians}");
            }
            ExitCode::SUCCESS
        }
        Err(reason) => {
            #[allow(clippy::print_stderr, reason = "why there is none")]
            {
                eprintln!("component: {reason}");
            }
            ExitCode::FAILURE
        }
    }
}

fn measure(arguments: &[String]) -> Result<String, String> {
    let [rounds, component, policy, context, cache, compiler] = arguments else {
        return Err("ROUNDS HOOK.wasm POLICY.toml CONTEXT.json CACHE COMPILER".to_owned());
    };
    let rounds: usize = rounds.parse().map_err(|_| format!("{rounds} rounds?"))?;
    let text = std::fs::read(context).map_err(|error| error.to_string())?;
    let context: GuestContext = serde_json::from_slice(&text).map_err(|error| error.to_string())?;
    let mut settings = Settings::shipped();
    settings.hooks.compiler = compiler.into();
    settings.hooks.cache = cache.into();
    let (values, disk) = (Values::default(), Disk::below("/"));
    let identity = &context.identity;
    let site = Site { settings: &settings, values: &values, disk: &disk, identity, arguments: &[] };
    let (mut found, mut planned) = (Vec::new(), Vec::new());
    // The first compiles.
    for _ in 0..=rounds {
        let began = Instant::now();
        let second = PathBuf::from(cache);
        let trial = biomero_hooks::trial(
            Path::new(component),
            Some(Path::new(policy)),
            &[],
            Some(&context),
            second,
            &site,
        )
        .map_err(|error| error.to_string())?;
        let there = Instant::now();
        let hook = &trial.hook;
        hook.prepare(true, Duration::from_secs(300), &mut Plain).map_err(|error| error.to_string())?;
        let (told, _) = hook.select(&context).map_err(|error| error.to_string())?;
        let effects = hook.plan(&told, &mut Plain).map_err(|error| error.to_string())?;
        if effects.is_empty() {
            return Err("it plans nothing".to_owned());
        }
        planned.push(there.elapsed());
        found.push(there - began);
    }
    let median = |times: &mut Vec<Duration>| {
        times.remove(0);
        times.sort();
        times[times.len() / 2].as_nanos()
    };
    Ok(format!("{} {}", median(&mut found), median(&mut planned)))
}

/// A machine that compiles and waits, as PID 1 does.
struct Plain;

impl Machine for Plain {
    fn run(&mut self, process: &Process<'_>, _: Duration) -> Result<Exit, MachineError> {
        let ended = Command::new(&process.argv[0]).args(&process.argv[1..]).status();
        Ok(Exit::Code(ended.ok().and_then(|status| status.code()).unwrap_or(-1)))
    }

    fn wait_readable(
        &mut self,
        descriptor: BorrowedFd<'_>,
        deadline: Duration,
    ) -> Result<bool, MachineError> {
        let timeout = PollTimeout::try_from(deadline).unwrap_or(PollTimeout::MAX);
        Ok(poll(&mut [PollFd::new(descriptor, PollFlags::POLLIN)], timeout).is_ok_and(|ready| ready > 0))
    }

    fn resolve(&mut self, _: &str, _: Duration) -> Result<Vec<IpAddr>, MachineError> {
        Ok(Vec::new())
    }

    fn wait_tcp(&mut self, _: &str, _: Duration) -> Result<(), MachineError> {
        Ok(())
    }

    fn wait_path(&mut self, _: &Path, _: Duration) -> Result<(), MachineError> {
        Ok(())
    }

    fn pause(&mut self, _: Duration) -> Result<(), MachineError> {
        Ok(())
    }

    fn interrupted(&mut self) -> Option<String> {
        None
    }
}
