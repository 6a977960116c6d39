//! What an IceGrid registry is asked ("Well-Known Registry Objects"): `::IceGrid::Query`, `Registry`, `AdminSession`, `Admin`.

use crate::error::CallError;
use crate::identity::Identity;
use crate::protocol::Mode;
use crate::proxy::Proxy;
use crate::reference::Reference;

/// `::IceGrid::Query`: which objects there are.
#[derive(Debug, Clone)]
pub struct Query {
    proxy: Proxy,
}

impl Query {
    /// Of a proxy to one: `IceGrid/Query`.
    #[must_use]
    pub const fn new(proxy: Proxy) -> Self {
        Self { proxy }
    }

    /// The object of this identity.
    ///
    /// # Errors
    /// As for every call.
    pub async fn object(&self, identity: &Identity) -> Result<Option<Reference>, CallError> {
        self.proxy.call("findObjectById", Mode::Nonmutating, |encoder| encoder.value(identity)).await?.value()
    }

    /// An object of this type.
    ///
    /// # Errors
    /// As for every call.
    pub async fn object_of_type(&self, type_id: &str) -> Result<Option<Reference>, CallError> {
        self.proxy
            .call("findObjectByType", Mode::Nonmutating, |encoder| encoder.string(type_id))
            .await?
            .value()
    }

    /// All objects of this type.
    ///
    /// # Errors
    /// As for every call.
    pub async fn objects_of_type(&self, type_id: &str) -> Result<Vec<Reference>, CallError> {
        let found =
            self.proxy.call("findAllObjectsByType", Mode::Nonmutating, |encoder| encoder.string(type_id));
        let found: Vec<Option<Reference>> = found.await?.value()?;
        Ok(found.into_iter().flatten().collect())
    }

    /// The replicas of an object, if it is in a replica group.
    ///
    /// # Errors
    /// As for every call.
    pub async fn replicas(&self, object: &Reference) -> Result<Vec<Reference>, CallError> {
        let found = self.proxy.call("findAllReplicas", Mode::Idempotent, |encoder| encoder.value(object));
        let found: Vec<Option<Reference>> = found.await?.value()?;
        Ok(found.into_iter().flatten().collect())
    }
}

/// `::IceGrid::Registry`: where sessions begin.
#[derive(Debug, Clone)]
pub struct GridRegistry {
    proxy: Proxy,
}

impl GridRegistry {
    /// Of a proxy to one: `IceGrid/Registry`.
    #[must_use]
    pub const fn new(proxy: Proxy) -> Self {
        Self { proxy }
    }

    /// A session of an administrator's. It is bound to the connection that it was made over, and goes with it.
    ///
    /// # Errors
    /// [`super::GridPermissionDenied`] is raised, or as for every call.
    pub async fn admin_session(&self, user: &str, password: &str) -> Result<AdminSession, CallError> {
        let operation = "createAdminSession";
        let connection = self.proxy.connection().await?;
        let registry = self.proxy.communicator().fixed(self.proxy.reference().clone(), &connection);
        let results =
            registry.call(operation, Mode::Normal, |encoder| encoder.value(&(user, password))).await?;
        let session: Option<Reference> = results.value()?;
        let session = session.ok_or_else(|| {
            CallError::unlocated(
                operation,
                &registry.reference().identity,
                "it gave no session; it may be a slave",
            )
        })?;
        Ok(AdminSession { proxy: registry.of(session) })
    }

    /// After how many seconds without [`AdminSession::keep_alive`] a session ends.
    ///
    /// # Errors
    /// As for every call.
    pub async fn session_timeout(&self) -> Result<i32, CallError> {
        self.proxy.call("getSessionTimeout", Mode::Nonmutating, |_| {}).await?.value()
    }
}

/// `::IceGrid::AdminSession`.
#[derive(Debug, Clone)]
pub struct AdminSession {
    proxy: Proxy,
}

impl AdminSession {
    /// What the administrator can do.
    ///
    /// # Errors
    /// As for every call.
    pub async fn admin(&self) -> Result<Admin, CallError> {
        let operation = "getAdmin";
        let admin: Option<Reference> =
            self.proxy.call(operation, Mode::Nonmutating, |_| {}).await?.value()?;
        let admin = admin.ok_or_else(|| {
            CallError::unlocated(operation, &self.proxy.reference().identity, "it has no Admin")
        })?;
        Ok(Admin { proxy: self.proxy.of(admin) })
    }

    /// Says that it is still wanted.
    ///
    /// # Errors
    /// As for every call.
    pub async fn keep_alive(&self) -> Result<(), CallError> {
        self.proxy.call("keepAlive", Mode::Idempotent, |_| {}).await?.value()
    }

    /// Ends it.
    ///
    /// # Errors
    /// As for every call.
    pub async fn destroy(self) -> Result<(), CallError> {
        self.proxy.call("destroy", Mode::Normal, |_| {}).await?.value()
    }
}

/// `::IceGrid::Admin`, as far as well-known objects go.
#[derive(Debug, Clone)]
pub struct Admin {
    proxy: Proxy,
}

crate::structures! {
    /// An object that the registry knows.
    pub struct ObjectInfo {
        /// The object.
        pub reference: Option<Reference>,
        /// Its type.
        pub type_id: String,
    }
}

impl Admin {
    /// Registers an object, which the registry asks for its type: it has to be there and to answer.
    ///
    /// # Errors
    /// [`super::ObjectExists`] or [`super::DeploymentProblem`] is raised, or as for every call.
    pub async fn add_object(&self, object: &Reference) -> Result<(), CallError> {
        self.proxy.call("addObject", Mode::Normal, |encoder| encoder.value(object)).await?.value()
    }

    /// Registers an object of this type.
    ///
    /// # Errors
    /// [`super::ObjectExists`] or [`super::DeploymentProblem`] is raised, or as for every call.
    pub async fn add_object_with_type(&self, object: &Reference, type_id: &str) -> Result<(), CallError> {
        let added = self.proxy.call("addObjectWithType", Mode::Normal, |encoder| {
            encoder.value(object);
            encoder.string(type_id);
        });
        added.await?.value()
    }

    /// Registers an object that is registered already somewhere else.
    ///
    /// # Errors
    /// [`super::ObjectNotRegistered`] or [`super::DeploymentProblem`] is raised, or as for every call.
    pub async fn update_object(&self, object: &Reference) -> Result<(), CallError> {
        self.proxy.call("updateObject", Mode::Normal, |encoder| encoder.value(object)).await?.value()
    }

    /// Registers an object no more.
    ///
    /// # Errors
    /// [`super::ObjectNotRegistered`] or [`super::DeploymentProblem`] is raised, or as for every call.
    pub async fn remove_object(&self, identity: &Identity) -> Result<(), CallError> {
        self.proxy.call("removeObject", Mode::Normal, |encoder| encoder.value(identity)).await?.value()
    }

    /// What is registered of an object.
    ///
    /// # Errors
    /// [`super::ObjectNotRegistered`] is raised, or as for every call.
    pub async fn object_info(&self, identity: &Identity) -> Result<ObjectInfo, CallError> {
        self.proxy.call("getObjectInfo", Mode::Nonmutating, |encoder| encoder.value(identity)).await?.value()
    }
}
