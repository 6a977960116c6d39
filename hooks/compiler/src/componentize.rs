//! `init-hooks componentize`: makes a component of what `rustc` or `clang` link, so that a site's engineer needs no
//! further tool.

use std::path::{Path, PathBuf};

use wit_component::{ComponentEncoder, StringEncoding};

use crate::command_line::Componentize;
use crate::interface::{self, InterfaceError, Shape};

/// A custom section with this prefix says for which world a module was built.
const METADATA: &str = "component-type";
/// The first bytes of a component, up to where those of a module differ.
const COMPONENT: &[u8] = b"\0asm\x0d\0\x01\0";

/// Why there is no component.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ComponentizeError {
    /// A file that cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// A file that cannot be written.
    #[error("cannot write {}: {source}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// Nothing is left to do.
    #[error("{} is a component already: use it as it is", path.display())]
    Already {
        /// The file.
        path: PathBuf,
    },
    /// The interface.
    #[error(transparent)]
    Interface(#[from] InterfaceError),
    /// A module that is none, or that was not made for the interface.
    #[error("{}: {problem}{remedy}", path.display())]
    Encode {
        /// The module.
        path: PathBuf,
        /// What the encoder says.
        problem: String,
        /// What to do, as far as it is known.
        remedy: &'static str,
    },
}

/// Makes the component and tells what it imports and exports.
pub(crate) fn run(options: &Componentize) -> Result<(), ComponentizeError> {
    let Componentize { module, output, wit } = options;
    let bytes = std::fs::read(module)
        .map_err(|source| ComponentizeError::Read { path: module.to_owned(), source })?;
    let component = encode(bytes, module, wit.as_deref())?;
    let shape = Shape::of(&component, output)?;
    std::fs::write(output, &component)
        .map_err(|source| ComponentizeError::Write { path: output.to_owned(), source })?;
    #[allow(clippy::print_stdout, reason = "tells the engineer what was made")]
    {
        println!("{}: {} bytes", output.display(), component.len());
        print!("{shape}");
    }
    Ok(())
}

fn encode(mut module: Vec<u8>, path: &Path, wit: Option<&Path>) -> Result<Vec<u8>, ComponentizeError> {
    if module.starts_with(COMPONENT) {
        return Err(ComponentizeError::Already { path: path.to_owned() });
    }
    let refused = |error: anyhow::Error| {
        let problem = format!("{error:#}");
        ComponentizeError::Encode { path: path.to_owned(), remedy: remedy(&problem), problem }
    };
    if wit.is_some() || !has_metadata(&module, path)? {
        let (resolve, world) = interface::world(wit)?;
        wit_component::embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8)
            .map_err(refused)?;
    }
    ComponentEncoder::default()
        .module(&module)
        .and_then(|encoder| encoder.validate(true).encode())
        .map_err(refused)
}

/// Whether the module says for which world it was built, as those that `wit-bindgen` has a hand in do.
fn has_metadata(module: &[u8], path: &Path) -> Result<bool, ComponentizeError> {
    let refused = |problem: String| ComponentizeError::Encode {
        path: path.to_owned(),
        problem: format!("not WebAssembly: {problem}"),
        remedy: "; give the .wasm file that the linker wrote",
    };
    if !module.starts_with(b"\0asm") {
        return Err(refused("it does not begin with the bytes 00 61 73 6d".to_owned()));
    }
    for payload in wasmparser::Parser::new(0).parse_all(module) {
        match payload {
            Ok(wasmparser::Payload::CustomSection(section)) if section.name().starts_with(METADATA) => {
                return Ok(true);
            }
            Ok(_) => {}
            Err(error) => return Err(refused(error.to_string())),
        }
    }
    Ok(false)
}

fn remedy(problem: &str) -> &'static str {
    if problem.contains("wasi_snapshot_preview1") {
        "; the module calls WASI, of which a hook has nothing: build for wasm32-unknown-unknown, and in C call no \
         function that opens, prints or asks for the time"
    } else if problem.contains("biomero:hooks/hook") {
        "; the module does not hold the functions of a hook: in Rust call export!, in C link site_hook.c and define \
         what site_hook.h declares"
    } else {
        ""
    }
}

#[cfg(test)]
mod tests;
