//! A Glacier2 router ("Glacier2"): `::Glacier2::Router`.
//!
//! A session is bound to the connection that it was made over: all calls go over it, and callbacks come by it.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::adapter::Adapter;
use crate::communicator::Communicator;
use crate::connection::{Connection, ConnectionError};
use crate::endpoint::Endpoint;
use crate::error::CallError;
use crate::identity::Identity;
use crate::protocol::Mode;
use crate::protocol::message::Context;
use crate::proxy::{Proxy, Route};
use crate::reference::{Address, Reference};

/// How many objects are remembered as told to the router before all are forgotten; telling it again does no harm.
const REMEMBERED: usize = 4096;

/// A router, over a connection of its own.
#[derive(Clone)]
pub struct Router {
    inner: Arc<Inner>,
}

struct Inner {
    communicator: Communicator,
    connection: Connection,
    proxy: Proxy,
    /// The objects that the router was told of.
    told: Mutex<HashSet<Identity>>,
}

impl Router {
    /// Connects to a router, at the first of its endpoints that answers. `callbacks`: who answers what comes back.
    ///
    /// # Errors
    /// No endpoint answers.
    pub async fn connect(
        communicator: &Communicator,
        reference: &Reference,
        callbacks: Option<&Adapter>,
    ) -> Result<Self, CallError> {
        let failed = |source| CallError::Connection { operation: "connecting".to_owned(), source };
        let mut last = ConnectionError::NoEndpoint {
            endpoints: reference.to_string(),
            remedy: "give the router's tcp endpoint, or set up TLS for its ssl endpoint",
        };
        for endpoint in reference.endpoints() {
            let Endpoint::Network(endpoint) = endpoint else { continue };
            if endpoint.transport.is_secure() && communicator.options().tls.is_none() {
                continue;
            }
            match communicator.connect(endpoint, callbacks).await {
                Ok(connection) => {
                    let proxy = communicator.fixed(reference.clone(), &connection);
                    let communicator = communicator.clone();
                    let told = Mutex::default();
                    return Ok(Self { inner: Arc::new(Inner { communicator, connection, proxy, told }) });
                }
                Err(error) => last = error,
            }
        }
        Err(failed(last))
    }

    /// Its connection: when it ends, the session is gone.
    #[must_use]
    pub fn connection(&self) -> &Connection {
        &self.inner.connection
    }

    /// The router as an object.
    #[must_use]
    pub fn proxy(&self) -> &Proxy {
        &self.inner.proxy
    }

    /// Begins a session. What it is depends on the server behind the router.
    ///
    /// # Errors
    /// [`super::PermissionDenied`] or [`super::CannotCreateSession`] is raised, or as for every call.
    pub async fn create_session(
        &self,
        user: &str,
        password: &str,
        context: &Context,
    ) -> Result<Option<Proxy>, CallError> {
        let operation = self.inner.proxy.operation("createSession", Mode::Normal).context(context);
        let results = operation.call(|encoder| encoder.value(&(user, password))).await?;
        let session: Option<Reference> = results.value()?;
        match session {
            Some(session) => Ok(Some(self.route(session).await?)),
            None => Ok(None),
        }
    }

    /// Says that the session is still wanted.
    ///
    /// # Errors
    /// [`super::SessionNotExist`] is raised, or as for every call.
    pub async fn refresh_session(&self) -> Result<(), CallError> {
        self.inner.proxy.call("refreshSession", Mode::Normal, |_| {}).await?.value()
    }

    /// Ends the session.
    ///
    /// # Errors
    /// [`super::SessionNotExist`] is raised, or as for every call.
    pub async fn destroy_session(&self) -> Result<(), CallError> {
        self.inner.proxy.call("destroySession", Mode::Normal, |_| {}).await?.value()
    }

    /// After how many seconds without a call, a heartbeat or [`Self::refresh_session`] a session ends; 0: never.
    ///
    /// # Errors
    /// As for every call.
    pub async fn session_timeout(&self) -> Result<i64, CallError> {
        self.inner.proxy.call("getSessionTimeout", Mode::Nonmutating, |_| {}).await?.value()
    }

    /// The category that callback objects of this client have.
    ///
    /// # Errors
    /// As for every call.
    pub async fn category_for_client(&self) -> Result<String, CallError> {
        self.inner.proxy.call("getCategoryForClient", Mode::Nonmutating, |_| {}).await?.value()
    }

    /// Where servers behind the router call back.
    ///
    /// # Errors
    /// As for every call.
    pub async fn server_endpoints(&self) -> Result<Vec<Endpoint>, CallError> {
        let proxy: Option<Reference> =
            self.inner.proxy.call("getServerProxy", Mode::Nonmutating, |_| {}).await?.value()?;
        Ok(proxy.map(|proxy| proxy.endpoints().to_vec()).unwrap_or_default())
    }

    /// What servers behind the router are told to call back: an object of the adapter that the router was connected with,
    /// under this name and the category of this client.
    ///
    /// # Errors
    /// As for every call.
    pub async fn callback(&self, name: &str) -> Result<Reference, CallError> {
        let identity = Identity::new(self.category_for_client().await?, name);
        Ok(Reference::new(identity, Address::Direct(self.server_endpoints().await?)))
    }

    /// A proxy to an object behind the router, which is told of it.
    ///
    /// # Errors
    /// As for every call.
    pub async fn route(&self, reference: Reference) -> Result<Proxy, CallError> {
        if !self.told().contains(&reference.identity) {
            self.add_again(&reference).await?;
        }
        Ok(Proxy::new(self.inner.communicator.clone(), reference, Route::Routed(self.clone())))
    }

    fn told(&self) -> MutexGuard<'_, HashSet<Identity>> {
        self.inner.told.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells the router of an object. What it forgets for it is told again when it is needed.
    pub(crate) async fn add_again(&self, reference: &Reference) -> Result<(), CallError> {
        let added = self.inner.proxy.call("addProxies", Mode::Idempotent, |encoder| {
            encoder.size("proxies", 1);
            encoder.value(reference);
        });
        let evicted: Vec<Option<Reference>> = added.await?.value()?;
        let mut told = self.told();
        if told.len() >= REMEMBERED {
            told.clear();
        }
        told.insert(reference.identity.clone());
        for evicted in evicted.into_iter().flatten() {
            told.remove(&evicted.identity);
        }
        Ok(())
    }
}

impl std::fmt::Debug for Router {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Router").field("connection", &self.inner.connection).finish_non_exhaustive()
    }
}
