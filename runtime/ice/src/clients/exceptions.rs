//! The exceptions of those interfaces.

use crate::encoding::Registry;
use crate::identity::Identity;

crate::sliced! {
    /// No such adapter.
    pub struct AdapterNotFound = "::Ice::AdapterNotFoundException" {}
    /// An adapter of that id is active already.
    pub struct AdapterAlreadyActive = "::Ice::AdapterAlreadyActiveException" {}
    /// No such replica group, or the adapter is not in it.
    pub struct InvalidReplicaGroup = "::Ice::InvalidReplicaGroupIdException" {}
    /// No such object.
    pub struct ObjectNotFound = "::Ice::ObjectNotFoundException" {}
    /// No such server.
    pub struct ServerNotFound = "::Ice::ServerNotFoundException" {}
    /// An object of that identity is registered already.
    pub struct ObjectExists = "::IceGrid::ObjectExistsException" {
        /// Its identity.
        pub id: Identity
    }
    /// No object of that identity is registered.
    pub struct ObjectNotRegistered = "::IceGrid::ObjectNotRegisteredException" {
        /// The identity.
        pub id: Identity
    }
    /// The registry could not do it.
    pub struct DeploymentProblem = "::IceGrid::DeploymentException" {
        /// Why.
        pub reason: String
    }
    /// The registry knows no such user, or another password.
    pub struct GridPermissionDenied = "::IceGrid::PermissionDeniedException" {
        /// Why.
        pub reason: String
    }
    /// The router knows no such user, or another password.
    pub struct PermissionDenied = "::Glacier2::PermissionDeniedException" {
        /// Why.
        pub reason: String
    }
    /// There can be no session.
    pub struct CannotCreateSession = "::Glacier2::CannotCreateSessionException" {
        /// Why.
        pub reason: String
    }
    /// There is no session (any more).
    pub struct SessionNotExist = "::Glacier2::SessionNotExistException" {}
}

/// A registry that knows these exceptions: what generated code adds its own classes to.
#[must_use]
pub fn registry() -> Registry {
    let mut registry = Registry::default();
    registry
        .exception::<AdapterNotFound>()
        .exception::<AdapterAlreadyActive>()
        .exception::<InvalidReplicaGroup>()
        .exception::<ObjectNotFound>()
        .exception::<ServerNotFound>()
        .exception::<ObjectExists>()
        .exception::<ObjectNotRegistered>()
        .exception::<DeploymentProblem>()
        .exception::<GridPermissionDenied>()
        .exception::<PermissionDenied>()
        .exception::<CannotCreateSession>()
        .exception::<SessionNotExist>();
    registry
}
