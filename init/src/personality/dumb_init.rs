//! dumb-init's command line and variables.
//!
//! Where we differ, on purpose: an ignored SIGCHLD inherited from the caller does not make us wait for ever.

use std::ffi::OsString;

use biomero_config::Environment;

use super::Request;
use super::getopt::{self, Known};
use crate::passthrough::{Options, Rest, Voice};
use crate::signals::Signal;
use crate::spawn::{Command, Group};

const VERSION: &str = "1.2.5";

/// What dumb-init ends with when the program cannot be started.
const CANNOT_START: u8 = 2;

const OPTIONS: &[Known] = &[
    Known { short: b'h', long: Some("help"), takes_value: false },
    Known { short: b'c', long: Some("single-child"), takes_value: false },
    Known { short: b'r', long: Some("rewrite"), takes_value: true },
    Known { short: b'v', long: Some("verbose"), takes_value: false },
    Known { short: b'V', long: Some("version"), takes_value: false },
];

pub(super) fn request(args: &[OsString], environment: &Environment) -> Request {
    let me = args.first().map_or("dumb-init".into(), |name| name.to_string_lossy().into_owned());
    let base = me.rsplit('/').next().unwrap_or(&me);
    let (given, command) = match getopt::parse(args.get(1..).unwrap_or_default(), OPTIONS) {
        Ok(parsed) => parsed,
        Err(complaint) => return Request::Refuse(format!("{me}: {complaint}\n"), 1),
    };
    let mut session = true;
    let mut debug = false;
    let mut rewrites = Vec::new();
    for (letter, value) in given {
        match letter {
            b'h' => return Request::Refuse(usage(base), 0),
            b'V' => return Request::Refuse(version(), 0),
            b'c' => session = false,
            b'v' => debug = true,
            _ => match value.as_ref().and_then(|value| value.to_str()).and_then(rewrite) {
                Some(rule) => rewrites.push(rule),
                None => return Request::Refuse(how_to_rewrite(), 1),
            },
        }
    }
    if command.is_empty() {
        let text = format!("Usage: {base} [option] program [args]\nTry {base} --help for full usage.\n");
        return Request::Refuse(text, 1);
    }
    let mut warnings = Vec::new();
    let is = |name: &str, value: &str| environment.get(name) == Some(value);
    if is("DUMB_INIT_DEBUG", "1") {
        debug = true;
        warnings.push("[dumb-init] Running in debug mode.\n".to_owned());
    }
    if is("DUMB_INIT_SETSID", "0") {
        session = false;
        warnings.extend(debug.then(|| "[dumb-init] Not running in setsid mode.\n".to_owned()));
    }
    let mut options = Options {
        to_group: session,
        rest: Rest::Terminate,
        cannot_start: Some(CANNOT_START),
        detach: session,
        to_root: true,
        voice: Voice::DumbInit { debug },
        ..Options::default()
    };
    // The command leads a session of its own, where the kernel ignores the terminal's stop signals: STOP it is.
    if session {
        for signal in [Signal::TSTP, Signal::TTIN, Signal::TTOU] {
            options.rewrites.set(signal, Some(Signal::STOP));
        }
    }
    for (from, to) in rewrites {
        options.rewrites.set(from, to);
    }
    // It knows the signals of the first hour only.
    for number in 32..=64 {
        if let Some(signal) = Signal::from_number(number) {
            options.rewrites.set(signal, None);
        }
    }
    let mut command = Command::new(command.to_vec(), environment.clone());
    command.group = if session { Group::Session } else { Group::Inherit };
    command.fresh_signals = true;
    Request::Run(Box::new((command, options, warnings)))
}

/// `FROM:TO` as C's `scanf` reads it, both numbers of at most 31; `TO` may be 0, and what follows it is not looked at.
fn rewrite(text: &str) -> Option<(Signal, Option<Signal>)> {
    let (from, to) = text.split_once(':')?;
    let number = |text: &str| text.trim_start().parse::<u32>().ok().filter(|number| *number <= 31);
    let to = to.trim_start();
    let end = to.find(|character: char| !character.is_ascii_digit() && character != '+').unwrap_or(to.len());
    let to = number(&to[..end])?;
    Some((Signal::from_number(number(from)?)?, Signal::from_number(to)))
}

fn version() -> String {
    format!("dumb-init v{VERSION} (biomero-init {})\n", env!("CARGO_PKG_VERSION"))
}

fn how_to_rewrite() -> String {
    "Usage: -r option takes <signum>:<signum>, where <signum> is between 1 and 31.\n\
     It can be given several times; a second <signum> of 0 drops the signal.\nUse --help for full usage.\n"
        .to_owned()
}

fn usage(me: &str) -> String {
    format!(
        "{}Usage: {me} [option] command [[arg] ...]\n\n\
         Runs a command, forwards signals to its session, collects orphaned processes, and ends with its exit code.\n\n\
         Optional arguments:\n   \
         -c, --single-child   Forward signals to the command's process only, not to its session.\n   \
         -r, --rewrite s:r    Forward signal r where s was received; r = 0 drops it. Can be given several times.\n   \
         -v, --verbose        Print debugging information to stderr.\n   \
         -h, --help           Print this help and exit.\n   \
         -V, --version        Print the version and exit.\n",
        version()
    )
}
