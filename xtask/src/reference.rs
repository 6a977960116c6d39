//! `cargo xtask reference`: the reference pages that are generated, so that they cannot disagree with the code.

use crate::command::workspace;
use crate::failure::Failure;

/// Writes `docs/settings.md`.
pub(crate) fn run() -> Result<(), Failure> {
    let path = workspace().join("docs/settings.md");
    let failed = |action| {
        let path = path.clone();
        move |source| Failure::File { action, path, source }
    };
    std::fs::create_dir_all(workspace().join("docs")).map_err(failed("make the folder of"))?;
    std::fs::write(&path, biomero_config::reference_markdown()).map_err(failed("write"))?;
    println!("wrote {}", path.display());
    Ok(())
}
