//! `cargo xtask reference`: the pages that are generated, so that they cannot disagree with the code.

use std::path::PathBuf;

use biomero_tests::command_line;

use crate::command::workspace;
use crate::failure::Failure;

/// Writes `docs/settings.md` and `docs/command-line.md`.
pub(crate) fn run() -> Result<(), Failure> {
    write(workspace().join("docs/settings.md"), &biomero_config::reference_markdown())?;
    write(command_line::path(), &command_line::reference()?)
}

fn write(path: PathBuf, page: &str) -> Result<(), Failure> {
    let folder = path.parent().map_or_else(workspace, PathBuf::from);
    let written = std::fs::create_dir_all(folder).and_then(|()| std::fs::write(&path, page));
    written.map_err(|source| Failure::File { action: "write", path: path.clone(), source })?;
    println!("wrote {}", path.display());
    Ok(())
}
