//! Who knows where adapters and objects are ("Locators"): `::Ice::Locator` and `::Ice::LocatorRegistry`.

use crate::encoding::Decode as _;
use crate::error::CallError;
use crate::identity::Identity;
use crate::protocol::Mode;
use crate::proxy::Proxy;
use crate::reference::Reference;

/// `::Ice::Locator`.
#[derive(Debug, Clone)]
pub struct Locator {
    proxy: Proxy,
}

impl Locator {
    /// Of a proxy to one.
    #[must_use]
    pub const fn new(proxy: Proxy) -> Self {
        Self { proxy }
    }

    /// Where a well-known object is: often with an adapter, which is to be found in turn.
    ///
    /// # Errors
    /// [`super::ObjectNotFound`] is raised, or as for every call.
    pub async fn find_object(&self, identity: &Identity) -> Result<Option<Reference>, CallError> {
        self.proxy.call("findObjectById", Mode::Nonmutating, |encoder| encoder.value(identity)).await?.value()
    }

    /// Where an adapter is; none: it is known and not active.
    ///
    /// # Errors
    /// [`super::AdapterNotFound`] is raised, or as for every call.
    pub async fn find_adapter(&self, id: &str) -> Result<Option<Reference>, CallError> {
        self.proxy.call("findAdapterById", Mode::Nonmutating, |encoder| encoder.string(id)).await?.value()
    }

    /// Where servers say where they are.
    ///
    /// # Errors
    /// As for every call.
    pub async fn registry(&self) -> Result<Option<LocatorRegistry>, CallError> {
        let results = self.proxy.call("getRegistry", Mode::Nonmutating, |_| {}).await?;
        let (reference, _) = results.read(false, Option::<Reference>::decode)?;
        Ok(reference.map(|reference| LocatorRegistry::new(self.proxy.communicator().proxy(reference))))
    }
}

/// `::Ice::LocatorRegistry`.
#[derive(Debug, Clone)]
pub struct LocatorRegistry {
    proxy: Proxy,
}

impl LocatorRegistry {
    /// Of a proxy to one.
    #[must_use]
    pub const fn new(proxy: Proxy) -> Self {
        Self { proxy }
    }

    /// Says where an adapter is: the endpoints of any reference count. None: it is no longer active.
    ///
    /// # Errors
    /// [`super::AdapterNotFound`] or [`super::AdapterAlreadyActive`] is raised, or as for every call.
    pub async fn set_adapter(&self, id: &str, reference: Option<&Reference>) -> Result<(), CallError> {
        let set = self.proxy.call("setAdapterDirectProxy", Mode::Idempotent, |encoder| {
            encoder.string(id);
            encoder.value(&reference.cloned());
        });
        set.await?.value()
    }

    /// The same for an adapter of a replica group.
    ///
    /// # Errors
    /// As for [`Self::set_adapter`], or [`super::InvalidReplicaGroup`] is raised.
    pub async fn set_replicated_adapter(
        &self,
        id: &str,
        group: &str,
        reference: Option<&Reference>,
    ) -> Result<(), CallError> {
        let set = self.proxy.call("setReplicatedAdapterDirectProxy", Mode::Idempotent, |encoder| {
            encoder.string(id);
            encoder.string(group);
            encoder.value(&reference.cloned());
        });
        set.await?.value()
    }

    /// Says by which object (`::Ice::Process`) a server is told to stop.
    ///
    /// # Errors
    /// [`super::ServerNotFound`] is raised, or as for every call.
    pub async fn set_server_process(&self, server: &str, process: &Reference) -> Result<(), CallError> {
        let set = self.proxy.call("setServerProcessProxy", Mode::Idempotent, |encoder| {
            encoder.string(server);
            encoder.value(process);
        });
        set.await?.value()
    }
}
