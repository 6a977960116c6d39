//! The interface of site hooks, as this program knows it, and what a component makes of it.

use std::fmt;
use std::path::Path;

use wit_component::DecodedWasm;
use wit_parser::{IndexMap, Resolve, World, WorldId, WorldItem, WorldKey};

use crate::command_line::Interfaces;

/// The interface in the words of WIT.
const BUILT_IN: &str = include_str!("../../wit/site-hook.wit");
/// The world that a hook is built for.
const WORLD: &str = "site-hook";

/// An interface that is not to be had.
#[derive(Debug, thiserror::Error)]
pub(crate) enum InterfaceError {
    /// WIT that does not parse.
    #[error("{place}: {problem}; correct the WIT, or leave --wit out for the interface that init brings")]
    Wit {
        /// Where it was read.
        place: String,
        /// What the parser says.
        problem: String,
    },
    /// A file that cannot be read.
    #[error("cannot read {path}: {source}")]
    Read {
        /// The file.
        path: String,
        /// The system's reason.
        source: std::io::Error,
    },
    /// Bytes that are no component.
    #[error(
        "{path}: not a component: {problem}; make one with `init-hooks componentize MODULE.wasm -o HOOK.wasm`"
    )]
    NotAComponent {
        /// The file.
        path: String,
        /// What the parser says.
        problem: String,
    },
}

/// The world of site hooks: of the folder, or that which `init` brings.
pub(crate) fn world(folder: Option<&Path>) -> Result<(Resolve, WorldId), InterfaceError> {
    let place = folder.map_or_else(|| "site-hook.wit".to_owned(), |folder| folder.display().to_string());
    let mut resolve = Resolve::default();
    let package = match folder {
        Some(folder) => resolve.push_path(folder).map(|(package, _)| package),
        None => resolve.push_str("site-hook.wit", BUILT_IN),
    };
    package
        .and_then(|package| resolve.select_world(&[package], Some(WORLD)))
        .map_err(|error| InterfaceError::Wit { place, problem: format!("{error:#}") })
        .map(|world| (resolve, world))
}

/// Says what a component imports and exports, one a line.
pub(crate) fn run(options: &Interfaces) -> Result<(), InterfaceError> {
    let path = &options.component;
    let component = std::fs::read(path)
        .map_err(|source| InterfaceError::Read { path: path.display().to_string(), source })?;
    let shape = Shape::of(&component, path)?;
    #[allow(clippy::print_stdout, reason = "the answer")]
    {
        print!("{shape}");
    }
    Ok(())
}

/// What a component imports and exports, by name. Interfaces of types alone are left out: there is nothing to call.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Shape {
    /// What it must be given.
    pub(crate) imports: Vec<String>,
    /// What it gives.
    pub(crate) exports: Vec<String>,
}

impl Shape {
    /// Reads it off a component.
    pub(crate) fn of(component: &[u8], path: &Path) -> Result<Self, InterfaceError> {
        let refused =
            |problem: String| InterfaceError::NotAComponent { path: path.display().to_string(), problem };
        let decoded = wit_component::decode(component).map_err(|error| refused(format!("{error:#}")))?;
        let DecodedWasm::Component(resolve, world) = decoded else {
            return Err(refused("it is a WIT package in binary form".to_owned()));
        };
        let World { imports, exports, .. } = &resolve.worlds[world];
        let names = |items: &IndexMap<WorldKey, WorldItem>| {
            items
                .iter()
                .filter(|(_, item)| can_be_called(&resolve, item))
                .map(|(key, _)| resolve.name_world_key(key))
                .collect()
        };
        Ok(Self { imports: names(imports), exports: names(exports) })
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for name in &self.imports {
            writeln!(formatter, "import {name}")?;
        }
        for name in &self.exports {
            writeln!(formatter, "export {name}")?;
        }
        Ok(())
    }
}

fn can_be_called(resolve: &Resolve, item: &WorldItem) -> bool {
    match item {
        WorldItem::Interface { id, .. } => !resolve.interfaces[*id].functions.is_empty(),
        WorldItem::Function(_) => true,
        WorldItem::Type { .. } => false,
    }
}
