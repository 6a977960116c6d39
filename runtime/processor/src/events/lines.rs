//! `processor events record lines`: the verbs of `record`, one a line, over one connection.
//!
//! Invariants: a line is answered before the next one is read, and by exactly one line; none of them ends the program; no line
//! is held that is longer than [`LONGEST`].

use std::io::{self, BufRead, Read as _};

use biomero_events::json::Value;
use clap::Parser as _;
use thiserror::Error;
use tokio::sync::mpsc::{Receiver, channel};

use super::{Opened, record};
use crate::command_line::Line;
use crate::ended::Ended;
use crate::exit_code;
use crate::output::Answer;

/// Of a line, in bytes: more than the kernel lets one process be told by its arguments.
const LONGEST: u64 = 4 * 1024 * 1024;

/// Why a line was not taken.
#[derive(Debug, Error)]
pub(crate) enum LineError {
    /// It would have to be held whole.
    #[error(
        "the line is longer than {LONGEST} bytes: nothing was recorded; name a file instead of its content"
    )]
    TooLong,
    /// It is not an array of strings.
    #[error(
        "the line is no JSON array of words: {0}; write one as [\"fail-workflow\",\"UUID\",\"why\"], all words as strings"
    )]
    NoWords(#[source] serde_json::Error),
    /// No argument of a program could hold it, and no column of a database.
    #[error("the line has the character U+0000, which no database takes: leave it out")]
    Nul,
    /// The words are no command.
    #[error("{0}; see `processor events record --help`")]
    NoCommand(String),
}

/// Records what standard input says, until it ends.
pub(super) async fn run(opened: &Opened, answer: &mut Answer) -> Result<u8, Ended> {
    let mut lines = lines_of(io::stdin).map_err(Ended::System)?;
    while let Some(line) = lines.recv().await {
        let line = line.map_err(Ended::Lines)?;
        answer.object(recorded(opened, line).await.unwrap_or_else(|ended| ended.object()))?;
        answer.flush()?;
    }
    Ok(exit_code::SUCCESS)
}

async fn recorded(opened: &Opened, line: Result<Vec<u8>, LineError>) -> Result<Value, Ended> {
    let Line { command_id, tracked } = command(&line?)?;
    Ok(record::object(&record::append(opened, tracked.asked(), command_id).await?))
}

/// A line read, or one that is not kept.
type Read = io::Result<Result<Vec<u8>, LineError>>;

/// Reads in a thread of its own, one line ahead: meanwhile the connection to the database is looked after. The thread is not
/// waited for, since nothing ends a read.
fn lines_of<R: io::Read>(input: impl FnOnce() -> R + Send + 'static) -> io::Result<Receiver<Read>> {
    let (send, lines) = channel(1);
    std::thread::Builder::new().name("lines".to_owned()).spawn(move || {
        let mut input = io::BufReader::new(input());
        while let Some(line) = next_line(&mut input).transpose() {
            let is_last = line.is_err();
            if send.blocking_send(line).is_err() || is_last {
                return;
            }
        }
    })?;
    Ok(lines)
}

/// The next line; of one that is too long the rest is passed over.
fn next_line(input: &mut impl BufRead) -> io::Result<Option<Result<Vec<u8>, LineError>>> {
    let mut line = Vec::new();
    if input.by_ref().take(LONGEST + 1).read_until(b'\n', &mut line)? == 0 {
        return Ok(None);
    }
    if line.len() as u64 <= LONGEST || line.ends_with(b"\n") {
        return Ok(Some(Ok(line)));
    }
    input.skip_until(b'\n')?;
    Ok(Some(Err(LineError::TooLong)))
}

/// What the words of a line say.
fn command(line: &[u8]) -> Result<Line, LineError> {
    let words: Vec<String> = serde_json::from_slice(line).map_err(LineError::NoWords)?;
    if words.iter().any(|word| word.contains('\0')) {
        return Err(LineError::Nul);
    }
    Line::try_parse_from(words).map_err(|error| {
        let told = error.render().to_string();
        let told: Vec<&str> = told.trim_start_matches("error: ").split_whitespace().collect();
        LineError::NoCommand(told.join(" "))
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(mut input: &[u8]) -> Vec<Result<Vec<u8>, LineError>> {
        std::iter::from_fn(|| next_line(&mut input).expect("memory can be read")).collect()
    }

    #[test]
    fn a_line_that_is_too_long_is_passed_over_and_the_next_one_is_whole() {
        let longest = usize::try_from(LONGEST).expect("a size");
        let input = [&vec![b' '; longest][..], b"\n", &vec![b' '; longest + 1], b"\n[]\nend"].concat();
        let lines = read(&input);
        assert_eq!(lines[0].as_ref().map(Vec::len).ok(), Some(longest + 1));
        assert!(matches!(lines[1], Err(LineError::TooLong)));
        assert_eq!(lines[2].as_deref().ok(), Some(&b"[]\n"[..]));
        assert_eq!(lines[3].as_deref().ok(), Some(&b"end"[..]));
        assert_eq!(lines.len(), 4);
    }

    #[test]
    fn words_are_those_of_the_verb() {
        let id = "6fa459ea-ee8a-3ca4-894e-db77e160355e";
        let line = |words: &str| command(words.replace("ID", id).as_bytes());
        for words in [
            r#"["start-workflow","ID"]"#,
            r#"["--command-id","ID","fail-workflow","--","ID","--why\nnot"]"#,
            r#"["add-result","--command-id","ID","--stdout","ä","--env","A=b","--","ID","ls -l"]"#,
            r#"  ["add-job-id", "ID", "-1"]  "#,
        ] {
            assert!(line(words).is_ok(), "{words}: {:?}", line(words).err());
        }
        for (words, message) in [
            ("", "no JSON array of words: EOF"),
            ("start-workflow ID", "no JSON array of words"),
            (r#"["add-job-id","ID",42]"#, "no JSON array of words: invalid type: integer `42`"),
            (r#"["start-workflow","ID"] x"#, "no JSON array of words: trailing characters"),
            (r#"["fail-workflow","ID","\ud800"]"#, "no JSON array of words"),
            (r#"["fail-workflow","ID","\u0000"]"#, "U+0000"),
            ("[]", "requires a subcommand"),
            (r#"["start-workflw","ID"]"#, "start-workflow"),
            (r#"["start-workflow","42"]"#, "invalid value '42' for '<WORKFLOW>'"),
            (r#"["lines"]"#, "unrecognized subcommand 'lines'"),
            (r#"["--help"]"#, "unexpected argument '--help'"),
            (r#"["start-workflow","--json","ID"]"#, "unexpected argument '--json'"),
        ] {
            let told = line(words).expect_err(words).to_string();
            assert!(told.contains(message) && !told.contains('\n'), "{message}\nis not in\n{told}");
        }
    }

    proptest! {
        #[test]
        fn no_line_is_lost_and_none_ends_it(lines in prop::collection::vec("[^\n]{0,40}", 0..20)) {
            let input: String = lines.iter().map(|line| format!("{line}\n")).collect();
            let read = read(input.as_bytes());
            prop_assert_eq!(read.len(), lines.len());
            for (read, line) in read.into_iter().zip(&lines) {
                let read = read.expect("short");
                prop_assert_eq!(&read, format!("{line}\n").as_bytes());
                let _ = command(&read);
            }
        }
    }
}
