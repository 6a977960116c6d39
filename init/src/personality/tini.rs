//! tini's command line and variables.
//!
//! Where we differ, on purpose: options behind the command's name are always the command's (see
//! `getopt`); a signal that would end tini itself for want of a handler (ABRT, FPE and the like sent by
//! another process) is forwarded like the rest.

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt as _;

use biomero_config::Environment;

use super::Request;
use super::getopt::{self, Known};
use crate::passthrough::{Options, Rest, Voice};
use crate::signals::Signal;
use crate::spawn::{Command, Group};

const VERSION: &str = "0.19.0";

const OPTIONS: &[Known] =
    &[flag(b'h'), flag(b's'), valued(b'p'), flag(b'v'), flag(b'w'), flag(b'g'), valued(b'e'), flag(b'l')];

const fn flag(short: u8) -> Known {
    Known { short, long: None, takes_value: false }
}

const fn valued(short: u8) -> Known {
    Known { short, long: None, takes_value: true }
}

pub(super) fn request(args: &[OsString], environment: &Environment, is_pid_one: bool) -> Request {
    let me = args.first().map_or("tini".into(), |name| name.to_string_lossy().into_owned());
    let base = me.rsplit('/').next().unwrap_or(&me);
    let words = args.get(1..).unwrap_or_default();
    if let [only] = words
        && only == "--version"
    {
        return Request::Print(version());
    }
    let (given, command) = match getopt::parse(words, OPTIONS) {
        Ok(parsed) => parsed,
        Err(complaint) => return Request::Refuse(format!("{me}: {complaint}\n{}", usage(base)), 1),
    };
    let mut options = Options {
        to_group: environment.get_os("TINI_KILL_PROCESS_GROUP").is_some(),
        suspend: false,
        rest: Rest::Leave,
        subreaper: environment.get_os("TINI_SUBREAPER").is_some(),
        ..Options::default()
    };
    for terminal_access in [Signal::TTIN, Signal::TTOU] {
        options.rewrites.set(terminal_access, None);
    }
    let mut verbosity =
        environment.get_os("TINI_VERBOSITY").map_or(1, |level| leading_number(level.as_bytes()));
    let mut warn_on_reap = false;
    for (letter, value) in given {
        let value = value.unwrap_or_default();
        let refuse = || {
            let option = char::from(letter);
            let value = value.to_string_lossy();
            Request::Refuse(
                format!("[FATAL tini ({})] Not a valid option for -{option}: {value}\n", std::process::id()),
                1,
            )
        };
        match letter {
            b'h' => return Request::Print(usage(base)),
            b'l' => return Request::Print(license()),
            b's' => options.subreaper = true,
            b'v' => verbosity = verbosity.saturating_add(1),
            b'w' => warn_on_reap = true,
            b'g' => options.to_group = true,
            b'p' => match value.to_str().and_then(signal_by_full_name) {
                Some(signal) => options.parent_death_signal = Some(signal),
                None => return refuse(),
            },
            _ => match value.to_str().and_then(exit_code) {
                Some(code) => options.remapped.push(code),
                None => return refuse(),
            },
        }
    }
    if command.is_empty() {
        return Request::Refuse(usage(base), 1);
    }
    options.voice = Voice::Tini { verbosity, warn_on_reap };
    let mut warnings = Vec::new();
    if !is_pid_one && !options.subreaper && verbosity > 0 {
        warnings.push(format!(
            "[WARN  tini ({})] Neither PID 1 nor registered as a child subreaper: orphaned processes will not be \
             handed to tini, so that zombies stay.\nUse the -s option, set the environment variable TINI_SUBREAPER, \
             or run as PID 1.\n",
            std::process::id()
        ));
    }
    let mut command = Command::new(command.to_vec(), environment.clone());
    command.group = Group::Foreground;
    Request::Run(Box::new((command, options, warnings)))
}

/// As C's `atoi`: digits at the beginning, 0 without any.
fn leading_number(text: &[u8]) -> u8 {
    let digits = text.iter().take_while(|byte| byte.is_ascii_digit());
    digits.fold(0, |number: u8, digit| number.saturating_mul(10).saturating_add(digit - b'0'))
}

/// As C's `strtol` over the whole text: 0 to 255, an optional sign, an empty text is 0.
fn exit_code(text: &str) -> Option<u8> {
    let text = text.trim_start();
    if text.is_empty() {
        return Some(0);
    }
    text.parse::<i64>().ok().and_then(|code| u8::try_from(code).ok())
}

/// Only full names of the standard's signals, as `SIGTERM`.
fn signal_by_full_name(text: &str) -> Option<Signal> {
    let signal: Signal = text.strip_prefix("SIG")?.parse().ok()?;
    (signal.to_string() == text
        && signal.get() < 32
        && !matches!(signal, Signal::STKFLT | Signal::IO | Signal::PWR))
    .then_some(signal)
}

fn version() -> String {
    format!("tini version {VERSION} - biomero-init {}\n", env!("CARGO_PKG_VERSION"))
}

fn license() -> String {
    "biomero-init, called as tini. Licensed under the Apache License, Version 2.0:\n\
     https://www.apache.org/licenses/LICENSE-2.0\n"
        .to_owned()
}

fn usage(me: &str) -> String {
    format!(
        "{me} ({})\n\
         Usage: {me} [OPTIONS] PROGRAM -- [ARGS] | --version\n\n\
         Runs a program, forwards signals to it, collects orphaned processes, and ends with its exit code.\n\n\
         Command line options:\n\n  \
         --version: Print the version and exit.\n  \
         -h: Print this help and exit.\n  \
         -s: Become a child subreaper.\n  \
         -p SIGNAL: Get SIGNAL when the parent dies, e.g. \"-p SIGKILL\".\n  \
         -v: Say more. Up to 3 times.\n  \
         -w: Warn when an orphan is collected.\n  \
         -g: Send signals to the process group of the program.\n  \
         -e EXIT_CODE: Turn EXIT_CODE (0 to 255) into 0.\n  \
         -l: Print the licence and exit.\n\n\
         Environment variables:\n\n  \
         TINI_SUBREAPER: as -s.\n  \
         TINI_VERBOSITY: how much to say (default: 1).\n  \
         TINI_KILL_PROCESS_GROUP: as -g.\n\n",
        version().trim_end()
    )
}
