//! OMERO's types and services, and sessions with it, over Ice.
//!
//! [`types`] is made of the tables in `schema/` when this is built: a structure for each class of OMERO, a type to call each
//! service with, a trait for each interface that this end answers. [`Session`] is where they are reached.
//!
//! Invariants:
//! - Who knows a session's id is its user. It is a [`Secret`](biomero_config::Secret) here, and masked in every error.
//! - A call is repeated only where the table says that this does no harm, and only so often.
//! - A query is a constant of our sources; what varies in it are named parameters.
//! - What keeps a session alive ends with it; what was left open in it is closed behind the caller, within a time.

mod error;
mod exceptions;
mod query;
mod servant;
mod service;
mod session;
#[cfg(test)]
mod tests;
mod values;

/// What the tables say. Everything is named as in OMERO, spelt as in Rust; `base` is what a class has of its base.
#[allow(missing_docs, clippy::too_many_arguments, reason = "they are OMERO's own, and so is what they mean")]
pub mod types {
    include!(concat!(env!("OUT_DIR"), "/types.rs"));
}

use std::sync::{Arc, LazyLock};

pub use biomero_ice::Tls;
use biomero_ice::encoding::Registry;

pub use biomero_ice::encoding::Ref;
pub use error::{Error, ServerError, StackTrace};
pub use query::{QueryParameters, Row};
pub use servant::Refused;
pub use service::{Extends, Graph, Operation, Remote, Service, Upcast};
pub use session::{Address, Credentials, Lost, Options, Session, Stateful};
pub use types::{Exception, api, cmd, grid, model, sys};
pub use values::{Objects, Value, Values};

/// Every class and exception of the tables, and those that `biomero-ice` has.
#[must_use]
pub fn registry() -> Arc<Registry> {
    static ALL: LazyLock<Arc<Registry>> = LazyLock::new(|| {
        let mut registry = biomero_ice::clients::registry();
        types::register(&mut registry);
        Arc::new(registry)
    });
    Arc::clone(&ALL)
}
