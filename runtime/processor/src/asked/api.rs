//! `processor api`: the document, and tokens.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;

use biomero_config::Environment;

use crate::api::{document, token};
use crate::command_line::asked::{Api, ApiVerb};
use crate::ended::Ended;
use crate::exit_code;
use crate::output::{Answer, note};

/// Runs a verb; returns the exit code.
pub(crate) fn run(asked: &Api, environment: &Environment) -> Result<u8, Ended> {
    let mut answer = Answer::new(false, environment);
    match &asked.verb {
        ApiVerb::Document => answer.line(document().trim_end())?,
        ApiVerb::Token { name, add } => {
            let (token, line) = token::make(name)?;
            match add {
                Some(path) => {
                    let unwritable = |source| Ended::TokenFile { path: path.clone(), source };
                    let mut file = OpenOptions::new()
                        .append(true)
                        .create(true)
                        .mode(0o600)
                        .open(path)
                        .map_err(unwritable)?;
                    // In one write, so that two at once do not end up in one line.
                    file.write_all(format!("{line}\n").as_bytes()).map_err(unwritable)?;
                }
                None => note(format!("for the file that api.tokens names:\n{line}\nthe token itself:")),
            }
            answer.line(token)?;
        }
    }
    answer.flush()?;
    Ok(exit_code::SUCCESS)
}
