//! What IceGrid and Glacier2 are asked: one type for each of their interfaces.

mod exceptions;
mod grid;
mod locator;
mod router;

pub use exceptions::{
    AdapterAlreadyActive, AdapterNotFound, CannotCreateSession, DeploymentProblem, GridPermissionDenied,
    InvalidReplicaGroup, ObjectExists, ObjectNotFound, ObjectNotRegistered, PermissionDenied, ServerNotFound,
    SessionNotExist, registry,
};
pub use grid::{Admin, AdminSession, GridRegistry, ObjectInfo, Query};
pub use locator::{Locator, LocatorRegistry};
pub use router::Router;
