//! `init-hooks bindings c`: the interface as a C header and the code that passes values through.

use std::path::{Path, PathBuf};

use wit_bindgen_core::Files;

use crate::command_line::{Bindings, Language};
use crate::interface::{self, InterfaceError};

/// Why there are no bindings.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BindingsError {
    /// The interface.
    #[error(transparent)]
    Interface(#[from] InterfaceError),
    /// The generator gave up.
    #[error("cannot make bindings of the interface: {0}")]
    Generate(String),
    /// A file that cannot be written.
    #[error("cannot write {}: {source}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
}

/// Writes the files and tells their paths.
pub(crate) fn run(options: &Bindings) -> Result<(), BindingsError> {
    let files = match options.language {
        Language::C => c(options.wit.as_deref())?,
    };
    std::fs::create_dir_all(&options.folder)
        .map_err(|source| BindingsError::Write { path: options.folder.clone(), source })?;
    for (name, content) in files.iter() {
        let path = options.folder.join(name);
        std::fs::write(&path, content)
            .map_err(|source| BindingsError::Write { path: path.clone(), source })?;
        #[allow(clippy::print_stdout, reason = "tells the engineer what was written")]
        {
            println!("{}", path.display());
        }
    }
    Ok(())
}

/// The header, the code, and an object file by which a module says what it was built for.
fn c(wit: Option<&Path>) -> Result<Files, BindingsError> {
    let (mut resolve, world) = interface::world(wit)?;
    let mut files = Files::default();
    wit_bindgen_c::Opts::default()
        .build()
        .generate(&mut resolve, world, &mut files)
        .map_err(|error| BindingsError::Generate(format!("{error:#}")))?;
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_header_declares_what_a_hook_defines() {
        let files = c(None).unwrap();
        let names: Vec<&str> = files.iter().map(|(name, _)| name).collect();
        assert_eq!(names, ["site_hook.c", "site_hook.h", "site_hook_component_type.o"]);
        let (_, header) = files.iter().find(|(name, _)| *name == "site_hook.h").unwrap();
        let header = String::from_utf8_lossy(header);
        for declared in ["exports_biomero_hooks_hook_describe", "exports_biomero_hooks_hook_plan"] {
            assert!(header.contains(declared), "{declared}");
        }
    }
}
