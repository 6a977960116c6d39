//! The versions of the interface that this `init` speaks, one module each. A component tells its version in the
//! names of what it exports; each module turns its own version's records into the one form of [`super::guest`].
//!
//! A new version adds a module beside the old one, which stays: a component built for 1.0.0 runs for ever.

mod v1_0_0;

use wasmtime::component::{Component, Linker};
use wasmtime::{Engine, Store};

use super::guest::{Description, GuestContext, Planned};
use super::state::State;

/// A version of the interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Interface {
    /// `biomero:hooks@1.0.0`.
    V1_0_0,
}

/// What is wrong with a component's exports.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum InterfaceError {
    #[error(
        "it is written for biomero:hooks@{found}, and this init speaks {}; build it for one of these, or use the init that came with it",
        Interface::LISTED
    )]
    Version { found: String },
    #[error(
        "it exports no biomero:hooks/hook, only {found}; build it for the world site-hook of biomero:hooks@{} (`init hooks new` writes a project)",
        Interface::LISTED
    )]
    NoHook { found: String },
}

impl Interface {
    /// Every version, for messages.
    pub(super) const LISTED: &'static str = "1.0.0";

    /// The version that a component is written for.
    pub(super) fn of(component: &Component, engine: &Engine) -> Result<Self, InterfaceError> {
        let exports: Vec<String> =
            component.component_type().exports(engine).map(|(name, _)| name.to_owned()).collect();
        let version = exports.iter().find_map(|name| {
            let rest = name.strip_prefix("biomero:hooks/hook")?;
            Some(rest.strip_prefix('@').unwrap_or("(no version)"))
        });
        match version {
            Some("1.0.0") => Ok(Self::V1_0_0),
            Some(other) => Err(InterfaceError::Version { found: shortened(other) }),
            None => {
                let found = if exports.is_empty() {
                    "nothing".to_owned()
                } else {
                    shortened(&exports.iter().take(5).cloned().collect::<Vec<_>>().join(", "))
                };
                Err(InterfaceError::NoHook { found })
            }
        }
    }

    /// Lets a component of this version call what it may.
    pub(super) fn link(self, linker: &mut Linker<State>) -> wasmtime::Result<()> {
        match self {
            Self::V1_0_0 => v1_0_0::link(linker),
        }
    }

    /// Asks a fresh instance what it is.
    pub(super) fn describe(
        self,
        store: &mut Store<State>,
        component: &Component,
        linker: &Linker<State>,
    ) -> wasmtime::Result<Description> {
        match self {
            Self::V1_0_0 => v1_0_0::describe(store, component, linker),
        }
    }

    /// Asks a fresh instance for its effects.
    pub(super) fn plan(
        self,
        store: &mut Store<State>,
        component: &Component,
        linker: &Linker<State>,
        context: &GuestContext,
    ) -> wasmtime::Result<Planned> {
        match self {
            Self::V1_0_0 => v1_0_0::plan(store, component, linker, context),
        }
    }
}

/// Names come from a file that is not trusted: they end up in a message of reasonable length.
fn shortened(name: &str) -> String {
    name.chars().filter(|c| !c.is_control()).take(200).collect()
}
