//! `convert`: what `processor convert` does, as a program that needs nothing but a kernel. See ARCHITECTURE.md.

use std::io::{self, IsTerminal as _, Write as _};
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};

use biomero_convert::command_line::{Convert, EXAMPLES};
use biomero_convert::work::Interruption;
use biomero_convert::{Converted, Error, exit_code, run};
use clap::{Args as _, Command, FromArgMatches as _};

fn main() -> ExitCode {
    let command = Convert::augment_args(Command::new("convert").version(env!("CARGO_PKG_VERSION")))
        .about("Convert an OME-Zarr into an OME-TIFF")
        .after_help(EXAMPLES.replace("processor convert", "convert"));
    let parsed = command.try_get_matches();
    let asked = match parsed.and_then(|matches| Convert::from_arg_matches(&matches)) {
        Ok(asked) => asked,
        Err(error) => {
            let code = if error.use_stderr() { exit_code::USAGE } else { exit_code::SUCCESS };
            // Help and version go to standard output, complaints to standard error: clap knows which.
            let _ = error.print();
            return ExitCode::from(code);
        }
    };
    let outcome = Interruption::new().and_then(|interruption| {
        let shown = Percent::default();
        let outcome = run(&asked, &interruption, &|what, done, of| shown.at(what, done, of));
        shown.clear();
        outcome
    });
    match outcome {
        Ok(converted) => answer(&converted, asked.json),
        Err(error) => {
            tell(&error);
            ExitCode::from(error.exit_code())
        }
    }
}

fn answer(converted: &Converted, json: bool) -> ExitCode {
    let line = match json {
        true => converted.object().unwrap_or_default(),
        false => converted.line(&inert(&converted.path.to_string_lossy())),
    };
    match writeln!(io::stdout(), "{line}") {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            let _ = writeln!(io::stderr(), "convert: error: cannot write the answer: {error}");
            ExitCode::from(exit_code::CANNOT_WRITE)
        }
        _ => ExitCode::from(exit_code::SUCCESS),
    }
}

fn tell(error: &Error) {
    for line in error.to_string().lines() {
        let _ = writeln!(io::stderr(), "convert: error: {}", inert(line));
    }
}

/// A text of others, which may not draw on the terminal.
fn inert(text: &str) -> String {
    let harmless =
        |letter: char| if letter.is_control() { letter.escape_default().to_string() } else { letter.into() };
    text.chars().map(harmless).collect()
}

/// How far it is, on a terminal.
#[derive(Default)]
struct Percent(AtomicU64);

impl Percent {
    fn at(&self, what: &str, done: u64, of: u64) {
        let percent = u64::try_from(u128::from(done) * 100 / u128::from(of.max(1))).unwrap_or(100);
        if self.0.swap(percent, Ordering::Relaxed) != percent && io::stderr().is_terminal() {
            let _ = write!(io::stderr(), "\r{what} {percent} %  ");
        }
    }

    fn clear(&self) {
        if io::stderr().is_terminal() {
            let _ = write!(io::stderr(), "\r{:20}\r", "");
        }
    }
}
