//! Sessions: how they begin, what keeps them alive, how they end, and the services that are reached in them.

mod begin;
mod callback;
mod keep_alive;
mod stateful;

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use biomero_config::Secret;
use biomero_ice::{Adapter, Communicator, Identity, Limits, Reference, Tls};
use tokio::sync::{Notify, watch};
use uuid::Uuid;

pub use keep_alive::Lost;
pub use stateful::Stateful;

use crate::error::Error;
use crate::service::{Remote, Service, Way};
use crate::types::api::{
    IAdmin, IConfig, IQuery, IScript, ISession, IUpdate, JobHandle, RawFileStore, RawPixelsStore,
    ServiceFactory,
};
use crate::types::grid::SharedResources;
use keep_alive::KeptAlive;
use stateful::Closer;

/// How long ending a session may take.
const END: Duration = Duration::from_secs(10);

/// Where OMERO's router is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    /// A name or address.
    pub host: String,
    /// 4063, or 4064 for TLS, unless somebody has chosen others.
    pub port: u16,
    /// Whether with TLS, which [`Options::tls`] is for.
    pub secure: bool,
}

impl Address {
    /// The usual port, without TLS.
    #[must_use]
    pub fn plain(host: &str) -> Self {
        Self { host: host.to_owned(), port: 4063, secure: false }
    }
}

/// What lets somebody in.
#[derive(Debug, Clone)]
pub enum Credentials {
    /// A user and a password.
    Password {
        /// Who.
        user: String,
        /// The password.
        password: Secret<String>,
    },
    /// The id of a session that there is already.
    Session(Secret<String>),
}

/// How a session is held.
#[derive(Debug, Clone)]
pub struct Options {
    /// Who asks, for the server's list of sessions (`omero.agent`).
    pub agent: String,
    /// The group that is asked for, where a call says nothing else (`omero.group`).
    pub group: Option<i64>,
    /// How long a call may take.
    pub timeout: Duration,
    /// How often OMERO is told that the session is still wanted.
    pub keep_alive: Duration,
    /// How often the internal session is tried to be had, and how long is waited in between: the server may start later.
    pub attempts: u32,
    /// The pause between them.
    pub pause: Duration,
    /// What the peer may cost.
    pub limits: Limits,
    /// Trust, for TLS.
    pub tls: Option<Tls>,
}

impl Default for Options {
    /// A minute between signs of life, of the ten after which OMERO forgets a session. Six times ten seconds for the internal
    /// session, as long as OMERO's own processor waits.
    fn default() -> Self {
        Self {
            agent: "BIOMERO".to_owned(),
            group: None,
            timeout: Duration::from_secs(60),
            keep_alive: Duration::from_secs(60),
            attempts: 6,
            pause: Duration::from_secs(10),
            limits: Limits::default(),
            tls: None,
        }
    }
}

/// A session with OMERO. When it is dropped, the connection closes and OMERO ends it; [`Session::close`] says so in good order.
pub struct Session {
    way: Arc<Way>,
    factory: ServiceFactory,
    id: Secret<String>,
    adapter: Option<Adapter>,
    /// The objects of this end that can be called over its connection.
    served: Mutex<Vec<Identity>>,
    closer: Closer,
    kept: KeptAlive,
}

impl Session {
    fn held(way: Way, factory: Service, id: Secret<String>, held: Held) -> Self {
        let way = Arc::new(way);
        let factory = ServiceFactory::of(factory);
        let connection = way.router.as_ref().map(|router| router.connection().clone());
        let kept = KeptAlive::start(factory.clone(), connection, held.interval, held.wanted, held.lost);
        Self {
            way,
            factory,
            id,
            adapter: held.adapter,
            served: Mutex::default(),
            closer: Closer::start(),
            kept,
        }
    }

    /// Its id: whoever has it is let in.
    #[must_use]
    pub const fn id(&self) -> &Secret<String> {
        &self.id
    }

    /// What gives services: also those that have no method here.
    #[must_use]
    pub const fn factory(&self) -> &ServiceFactory {
        &self.factory
    }

    /// Who makes its proxies.
    #[must_use]
    pub fn communicator(&self) -> &Communicator {
        &self.way.communicator
    }

    /// An object that was passed to this end.
    ///
    /// # Errors
    /// The router cannot be told of it.
    pub async fn remote<R: Remote>(&self, reference: Reference) -> Result<R, Error> {
        Ok(R::of(self.factory.service().other(reference).await?))
    }

    /// Lets OMERO call an object of this end, over the connection of this session; what it is known by there. It goes with the
    /// session, which a servant therefore holds by a [`Weak`](std::sync::Weak) only.
    ///
    /// # Errors
    /// The session has no router: give an adapter of your own that listens.
    pub async fn serve(&self, servant: Arc<dyn biomero_ice::Servant>) -> Result<Reference, Error> {
        let (Some(router), Some(adapter)) = (&self.way.router, &self.adapter) else {
            return Err(Error::Missing { what: "way back: an internal session has no router".to_owned() });
        };
        let name = Uuid::new_v4().to_string();
        let reference = router.callback(&name).await.map_err(|error| self.factory.service().failed(error))?;
        adapter.add(reference.identity.clone(), servant);
        self.served.lock().unwrap_or_else(PoisonError::into_inner).push(reference.identity.clone());
        Ok(reference)
    }

    /// Takes such an object out again.
    pub fn forget(&self, identity: &Identity) -> bool {
        self.served.lock().unwrap_or_else(PoisonError::into_inner).retain(|served| served != identity);
        self.adapter.as_ref().is_some_and(|adapter| adapter.remove(identity))
    }

    /// Returns when the session is lost, with the reason.
    pub async fn lost(&self) -> Lost {
        self.kept.lost().await
    }

    /// Whether it is lost.
    #[must_use]
    pub fn is_lost(&self) -> Option<Lost> {
        self.kept.is_lost()
    }

    /// Leaves the session to the server when this end goes: somebody else has a use for its id.
    ///
    /// # Errors
    /// As for every call.
    pub async fn detach(&self) -> Result<(), Error> {
        self.factory.detach_on_destroy().await
    }

    /// Ends it. What was not closed in it, OMERO closes.
    ///
    /// # Errors
    /// OMERO does not answer; the connection is closed all the same.
    pub async fn close(self) -> Result<(), Error> {
        let service = self.factory.service();
        self.kept.stop();
        let ended = match &self.way.router {
            Some(router) => {
                let ended = tokio::time::timeout(END, router.destroy_session()).await;
                router.connection().close(END).await;
                ended.map(|ended| ended.map_err(|error| service.failed(error)))
            }
            None => tokio::time::timeout(END, self.factory.destroy()).await,
        };
        ended.unwrap_or_else(|_| {
            Err(Error::Unavailable { problem: "OMERO does not end the session".to_owned() })
        })
    }

    /// `IQuery`.
    ///
    /// # Errors
    /// As for every call.
    pub async fn query(&self) -> Result<IQuery, Error> {
        there(self.factory.get_query_service().await?, "query service")
    }

    /// `IUpdate`.
    ///
    /// # Errors
    /// As for every call.
    pub async fn update(&self) -> Result<IUpdate, Error> {
        there(self.factory.get_update_service().await?, "update service")
    }

    /// `IAdmin`.
    ///
    /// # Errors
    /// As for every call.
    pub async fn admin(&self) -> Result<IAdmin, Error> {
        there(self.factory.get_admin_service().await?, "admin service")
    }

    /// `IConfig`.
    ///
    /// # Errors
    /// As for every call.
    pub async fn config(&self) -> Result<IConfig, Error> {
        there(self.factory.get_config_service().await?, "config service")
    }

    /// `IScript`.
    ///
    /// # Errors
    /// As for every call.
    pub async fn scripts(&self) -> Result<IScript, Error> {
        there(self.factory.get_script_service().await?, "script service")
    }

    /// `ISession`.
    ///
    /// # Errors
    /// As for every call.
    pub async fn sessions(&self) -> Result<ISession, Error> {
        there(self.factory.get_session_service().await?, "session service")
    }

    /// `SharedResources`.
    ///
    /// # Errors
    /// As for every call.
    pub async fn shared_resources(&self) -> Result<SharedResources, Error> {
        there(self.factory.shared_resources().await?, "shared resources")
    }

    /// A `JobHandle` of one's own.
    ///
    /// # Errors
    /// As for every call.
    pub async fn job_handle(&self) -> Result<Stateful<JobHandle>, Error> {
        self.stateful(self.factory.create_job_handle().await?, "job handle")
    }

    /// The same, asked on behalf of a group: jobs are read there.
    ///
    /// # Errors
    /// As for every call.
    pub async fn job_handle_in(&self, group: i64) -> Result<Stateful<JobHandle>, Error> {
        self.stateful(self.factory.in_group(group).create_job_handle().await?, "job handle")
    }

    /// A `RawPixelsStore` of one's own: it reads the pixels that it is told, one call after the other.
    ///
    /// # Errors
    /// As for every call.
    pub async fn raw_pixels(&self) -> Result<Stateful<RawPixelsStore>, Error> {
        self.stateful(self.factory.create_raw_pixels_store().await?, "raw pixels store")
    }

    /// The same, on behalf of the group that the image is in.
    ///
    /// # Errors
    /// As for every call.
    pub async fn raw_pixels_in(&self, group: i64) -> Result<Stateful<RawPixelsStore>, Error> {
        self.stateful(self.factory.in_group(group).create_raw_pixels_store().await?, "raw pixels store")
    }

    /// A `RawFileStore` of one's own.
    ///
    /// # Errors
    /// As for every call.
    pub async fn raw_file(&self) -> Result<Stateful<RawFileStore>, Error> {
        self.stateful(self.factory.create_raw_file_store().await?, "raw file store")
    }

    /// The same, on behalf of the group that the file is in.
    ///
    /// # Errors
    /// As for every call.
    pub async fn raw_file_in(&self, group: i64) -> Result<Stateful<RawFileStore>, Error> {
        self.stateful(self.factory.in_group(group).create_raw_file_store().await?, "raw file store")
    }

    fn stateful<R: Remote>(&self, service: Option<R>, what: &str) -> Result<Stateful<R>, Error> {
        Ok(Stateful::new(there(service, what)?, self.closer.clone()))
    }
}

/// What was served goes first: it may be what keeps the connection open.
impl Drop for Session {
    fn drop(&mut self) {
        let served = std::mem::take(&mut *self.served.lock().unwrap_or_else(PoisonError::into_inner));
        if let Some(adapter) = &self.adapter {
            for identity in &served {
                adapter.remove(identity);
            }
        }
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Session").field("lost", &self.is_lost()).finish_non_exhaustive()
    }
}

/// What a session has from how it began.
struct Held {
    adapter: Option<Adapter>,
    interval: Duration,
    wanted: Arc<Notify>,
    lost: watch::Sender<Option<Lost>>,
}

fn there<R>(service: Option<R>, what: &str) -> Result<R, Error> {
    service.ok_or_else(|| Error::Missing { what: what.to_owned() })
}
