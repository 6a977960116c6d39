//! Running other programs in the open: each is shown before it starts, its output is left alone.

use std::path::{Path, PathBuf};
use std::process::Command;

use biomero_tests::binary;

use crate::failure::Failure;

/// The workspace's folder.
pub(crate) fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(Path::new(".")).to_path_buf()
}

/// The cargo that runs us, in the workspace's folder.
pub(crate) fn cargo(arguments: &[&str]) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(arguments).current_dir(workspace());
    binary::forget_package(&mut command);
    command
}

/// Shows a command, runs it, and asks for success.
pub(crate) fn run(command: &mut Command) -> Result<(), Failure> {
    println!("\n$ {}", shown(command));
    let status = command.status().map_err(|source| Failure::Start { program: program(command), source })?;
    if status.success() { Ok(()) } else { Err(Failure::Ended { command: shown(command), status }) }
}

/// As [`run`], for one of several at a time: all that it says is shown once it has ended.
pub(crate) fn run_apart(command: &mut Command) -> Result<(), Failure> {
    let output = command.output().map_err(|source| Failure::Start { program: program(command), source })?;
    let said =
        [output.stdout, output.stderr].map(|said| String::from_utf8_lossy(&said).into_owned()).concat();
    println!("\n$ {}\n{said}", shown(command));
    if output.status.success() {
        Ok(())
    } else {
        Err(Failure::Ended { command: shown(command), status: output.status })
    }
}

/// Whether a command starts and succeeds, its output thrown away.
pub(crate) fn succeeds(command: &mut Command) -> bool {
    command.output().is_ok_and(|output| output.status.success())
}

/// What a command says on standard output.
pub(crate) fn output(command: &mut Command) -> Result<String, Failure> {
    let output = command.output().map_err(|source| Failure::Start { program: program(command), source })?;
    if !output.status.success() {
        eprint!("{}", String::from_utf8_lossy(&output.stderr));
        return Err(Failure::Ended { command: shown(command), status: output.status });
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

fn program(command: &Command) -> String {
    command.get_program().to_string_lossy().into_owned()
}

fn shown(command: &Command) -> String {
    let program = Path::new(command.get_program()).file_name().unwrap_or(command.get_program());
    std::iter::once(program)
        .chain(command.get_args())
        .map(|word| {
            let word = word.to_string_lossy();
            if word.contains(' ') { format!("'{word}'") } else { word.into_owned() }
        })
        .collect::<Vec<_>>()
        .join(" ")
}
