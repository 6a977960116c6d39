//! What proxies share: connections, defaults, the locator ("Communicator").

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::adapter::Adapter;
use crate::connection::{self, Connection, ConnectionError, KeepAlive, Setup, Tls};
use crate::encoding::{Format, Registry};
use crate::endpoint::{Endpoint, NetworkEndpoint, Transport};
use crate::limits::Limits;
use crate::locate::Cache;
use crate::protocol::message::Context;
use crate::proxy::{Proxy, Route};
use crate::reference::Reference;
use crate::{ReferenceError, clients};

/// How many endpoints are remembered before those without a connection are forgotten.
const REMEMBERED: usize = 64;

/// What proxies begin with.
#[derive(Debug, Clone)]
pub struct Options {
    /// What peers may cost.
    pub limits: Limits,
    /// How long a call may take, from the first name that is looked up to the last byte of its reply.
    pub timeout: Duration,
    /// How connections are looked after.
    pub keep_alive: KeepAlive,
    /// The classes and exceptions that are known.
    pub registry: Arc<Registry>,
    /// How instances and exceptions are sent, unless a call says otherwise.
    pub format: Format,
    /// TLS, for `ssl` endpoints.
    pub tls: Option<Tls>,
    /// Who knows where indirect references lead (`Ice.Default.Locator`).
    pub locator: Option<Reference>,
    /// How long what it said is believed without a failure; none: until there is one (`Ice.Default.LocatorCacheTimeout`).
    pub locator_cache: Option<Duration>,
    /// What goes with every call.
    pub context: Context,
    /// Whether peers may compress replies. Requests are never compressed.
    pub compressed_replies: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            limits: Limits::default(),
            timeout: Duration::from_secs(60),
            keep_alive: KeepAlive::default(),
            registry: Arc::new(clients::registry()),
            format: Format::Compact,
            tls: None,
            locator: None,
            locator_cache: None,
            context: Context::new(),
            compressed_replies: false,
        }
    }
}

/// Makes proxies and adapters, and holds the connections that proxies share. When the last copy and the last proxy go, the
/// connections are closed.
#[derive(Clone)]
pub struct Communicator {
    inner: Arc<Inner>,
}

struct Inner {
    options: Options,
    connections: Mutex<HashMap<Key, Arc<Slot>>>,
    located: Cache,
}

/// Proxies to the same place share a connection.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Key {
    transport: Transport,
    host: String,
    port: u16,
}

/// One at a time connects; the others wait for what comes of it.
type Slot = tokio::sync::Mutex<Option<Connection>>;

impl Communicator {
    /// With these options.
    #[must_use]
    pub fn new(options: Options) -> Self {
        let located = Cache::new(options.locator_cache);
        Self { inner: Arc::new(Inner { options, connections: Mutex::default(), located }) }
    }

    /// Its options.
    #[must_use]
    pub fn options(&self) -> &Options {
        &self.inner.options
    }

    pub(crate) fn located(&self) -> &Cache {
        &self.inner.located
    }

    /// A proxy: nothing is connected until it is called.
    #[must_use]
    pub fn proxy(&self, reference: Reference) -> Proxy {
        Proxy::new(self.clone(), reference, Route::Pooled)
    }

    /// A proxy from its text.
    ///
    /// # Errors
    /// It is none.
    pub fn parse(&self, text: &str) -> Result<Proxy, ReferenceError> {
        Ok(self.proxy(text.parse()?))
    }

    /// A proxy whose calls go over this connection, wherever its reference leads: to an object at the other end ("Fixed
    /// Proxies").
    #[must_use]
    pub fn fixed(&self, reference: Reference, connection: &Connection) -> Proxy {
        Proxy::new(self.clone(), reference, Route::Fixed(connection.clone()))
    }

    /// An adapter with these limits, TLS and classes. `id`: what a locator knows it by, or nothing.
    #[must_use]
    pub fn adapter(&self, id: impl Into<String>) -> Adapter {
        let options = self.options();
        Adapter::new(
            id,
            Arc::clone(&options.registry),
            options.limits,
            options.keep_alive,
            options.tls.clone(),
        )
    }

    /// A connection of one's own, which no proxy but [`Communicator::fixed`] ones use. `adapter`: who answers what comes by it.
    ///
    /// # Errors
    /// Nobody is there, or nobody who speaks Ice.
    pub async fn connect(
        &self,
        endpoint: &NetworkEndpoint,
        adapter: Option<&Adapter>,
    ) -> Result<Connection, ConnectionError> {
        let options = self.options();
        let setup = Setup {
            limits: options.limits,
            keep_alive: options.keep_alive,
            dispatch: adapter.map(Adapter::dispatch),
            tls: options.tls.clone(),
        };
        connection::connect(endpoint, setup).await
    }

    fn connections(&self) -> MutexGuard<'_, HashMap<Key, Arc<Slot>>> {
        self.inner.connections.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The shared connection to the first of these endpoints that answers, TLS last unless it is asked for.
    pub(crate) async fn shared(
        &self,
        endpoints: &[Endpoint],
        secure: bool,
    ) -> Result<Connection, ConnectionError> {
        let has_tls = self.options().tls.is_some();
        let mut usable: Vec<&NetworkEndpoint> = endpoints
            .iter()
            .filter_map(|endpoint| match endpoint {
                Endpoint::Network(endpoint) => Some(endpoint),
                Endpoint::Opaque(_) => None,
            })
            .filter(|endpoint| match endpoint.transport {
                Transport::Tcp => !secure,
                Transport::Ssl => has_tls,
                Transport::Udp | Transport::Ws | Transport::Wss => false,
            })
            .collect();
        usable.sort_by_key(|endpoint| endpoint.transport.is_secure());
        let mut last = None;
        for endpoint in usable {
            match self.shared_at(endpoint).await {
                Ok(connection) => return Ok(connection),
                Err(error) => last = Some(error),
            }
        }
        Err(last.unwrap_or_else(|| {
            let endpoints = endpoints.iter().map(ToString::to_string).collect::<Vec<_>>().join(":");
            let remedy = if has_tls {
                "use a tcp or ssl endpoint"
            } else {
                "use a tcp endpoint, or set up TLS for ssl"
            };
            ConnectionError::NoEndpoint { endpoints, remedy }
        }))
    }

    async fn shared_at(&self, endpoint: &NetworkEndpoint) -> Result<Connection, ConnectionError> {
        let key = Key { transport: endpoint.transport, host: endpoint.host.clone(), port: endpoint.port };
        let slot = {
            let mut slots = self.connections();
            if slots.len() >= REMEMBERED && !slots.contains_key(&key) {
                // One that is locked is in use.
                slots.retain(|_, slot| {
                    slot.try_lock().map_or(true, |slot| slot.as_ref().is_some_and(Connection::is_open))
                });
            }
            Arc::clone(slots.entry(key).or_default())
        };
        let mut slot = slot.lock().await;
        if let Some(connection) = slot.as_ref().filter(|connection| connection.is_open()) {
            return Ok(connection.clone());
        }
        let connection = self.connect(endpoint, None).await?;
        *slot = Some(connection.clone());
        Ok(connection)
    }

    /// Closes all shared connections in good order, each for at most so long. What is called later connects again.
    pub async fn close(&self, patience: Duration) {
        let slots: Vec<_> = self.connections().drain().map(|(_, slot)| slot).collect();
        let mut closing = tokio::task::JoinSet::new();
        for slot in slots {
            closing.spawn(async move {
                let connection = slot.lock().await.take();
                if let Some(connection) = connection {
                    connection.close(patience).await;
                }
            });
        }
        while closing.join_next().await.is_some() {}
    }
}

impl std::fmt::Debug for Communicator {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Communicator").field("options", &self.inner.options).finish_non_exhaustive()
    }
}
