//! `init` called through a link named `tini` or `dumb-init` takes that program's command line, environment variables,
//! exit codes and the shape of its messages, so that an image built on either switches by a link.
//!
//! Both are translated to one command and the options of `passthrough`; nothing of them reaches
//! further. Written from the programs' documentation and from running them; the tests run them side by side.

mod dumb_init;
mod getopt;
mod tini;

use std::ffi::{OsStr, OsString};
use std::io::Write as _;
use std::os::unix::ffi::OsStrExt as _;

use biomero_config::Environment;

use crate::passthrough::{self, Options};
use crate::signals::Signals;
use crate::spawn::Command;

/// Which program we were called as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Personality {
    /// `tini`, `tini-static`, `docker-init`
    Tini,
    /// `dumb-init`
    DumbInit,
}

/// What a command line asks for.
#[derive(Debug)]
enum Request {
    /// Print to standard output and end with 0.
    Print(String),
    /// Print to standard error and end with this code.
    Refuse(String, u8),
    /// Run a command; warnings go first.
    Run(Box<(Command, Options, Vec<String>)>),
}

/// The personality that a program name stands for: its last path component.
pub(crate) fn from_argv0(name: &OsStr) -> Option<Personality> {
    match name.as_bytes().rsplit(|&byte| byte == b'/').next()? {
        b"tini" | b"tini-static" | b"docker-init" => Some(Personality::Tini),
        b"dumb-init" => Some(Personality::DumbInit),
        _ => None,
    }
}

impl Personality {
    /// Does what the program would do and returns its exit code. `args` begins with the program's own name.
    pub(crate) fn main(self, args: &[OsString], environment: &Environment) -> u8 {
        match self.request(args, environment, std::process::id() == 1) {
            Request::Print(text) => {
                let told = std::io::stdout().write_all(text.as_bytes());
                u8::from(told.is_err())
            }
            Request::Refuse(text, code) => {
                drop(std::io::stderr().write_all(text.as_bytes()));
                code
            }
            Request::Run(run) => {
                let (command, options, warnings) = *run;
                for warning in warnings {
                    drop(std::io::stderr().write_all(warning.as_bytes()));
                }
                match Signals::install() {
                    Ok(signals) => passthrough::run_command(&command, &options, signals),
                    Err(error) => {
                        drop(writeln!(std::io::stderr(), "init: {error}"));
                        1
                    }
                }
            }
        }
    }

    fn request(self, args: &[OsString], environment: &Environment, is_pid_one: bool) -> Request {
        match self {
            Self::Tini => tini::request(args, environment, is_pid_one),
            Self::DumbInit => dumb_init::request(args, environment),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_s_name_decides() {
        for (name, expected) in [
            ("/usr/bin/dumb-init", Some(Personality::DumbInit)),
            ("dumb-init", Some(Personality::DumbInit)),
            ("/sbin/tini", Some(Personality::Tini)),
            ("tini-static", Some(Personality::Tini)),
            ("/usr/bin/docker-init", Some(Personality::Tini)),
            ("/tini/init", None),
            ("tini/", None),
            ("", None),
        ] {
            assert_eq!(from_argv0(OsStr::new(name)), expected, "{name}");
        }
    }
}
