//! The command-line reference, from what the binaries themselves say.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::{Result, binary, process, wait};

/// Where the page is kept.
pub fn path() -> PathBuf {
    binary::workspace().join("docs/command-line.md")
}

/// The page: the help of `init` and of `processor`, and of each of their commands.
///
/// # Errors
/// A binary does not answer.
pub fn reference() -> Result<String> {
    let mut page = "# The command line\n\nWritten by `cargo xtask reference` from what the binaries say of themselves; a test keeps it in step.\n".to_owned();
    for (name, program) in [("init", binary::init()?), ("processor", binary::processor()?)] {
        section(&Program { name, path: &program }, &mut page, &[])?;
    }
    Ok(page)
}

/// A binary and what it is called.
struct Program<'a> {
    name: &'a str,
    path: &'a Path,
}

/// A command's help, and then that of each command below it.
fn section(program: &Program<'_>, page: &mut String, command: &[&str]) -> Result<()> {
    let text = help(program.path, command)?;
    let title = [&[program.name], command].concat().join(" ");
    let _ = write!(page, "\n## {title}\n\n```text\n{text}\n```\n");
    for below in commands(&text) {
        section(program, page, &[command, &[below]].concat())?;
    }
    Ok(())
}

/// What a command says of itself.
///
/// # Errors
/// There is no such command, or it does not answer.
pub fn help(program: &Path, command: &[&str]) -> Result<String> {
    let text = process::succeed(Command::new(program).args(command).arg("--help"), wait::PATIENCE)?;
    let lines: Vec<&str> = text.lines().map(str::trim_end).collect();
    Ok(lines.join("\n").trim_end().to_owned())
}

/// The names in the list of commands, which is the one that ends in `help`; it has a heading of its own.
pub fn commands(overview: &str) -> Vec<&str> {
    let name =
        |line: &'_ str| line.strip_prefix("  ").and_then(|line| line.split_whitespace().next().map(str::len));
    let list = overview.split("\n\n").find(|block| block.lines().any(|line| line.starts_with("  help ")));
    list.unwrap_or_default()
        .lines()
        .filter_map(|line| name(line).map(|length| &line[2..2 + length]))
        .filter(|name| *name != "help")
        .collect()
}

#[cfg(test)]
mod tests {
    use super::commands;

    #[test]
    fn commands_are_read_from_the_overview() {
        let overview = "Usage: init\n\nRequests:\n  apply   Run\n  status  Show\n  help    Print\n\nOptions:\n  -h  Help";
        assert_eq!(commands(overview), ["apply", "status"]);
    }
}
