//! Answering calls ("Object Adapters", "Servants").

mod call;
mod listen;
mod serving;

use std::sync::Arc;
use std::time::Duration;

pub use call::{Answer, Answering, Call, Refusal};
pub use listen::ListenError;
pub(crate) use serving::Serving;

use crate::encoding::Registry;
use crate::endpoint::{Endpoint, NetworkEndpoint};
use crate::identity::Identity;
use crate::limits::Limits;
use crate::reference::{Address, Reference};
use crate::{KeepAlive, Tls};
use listen::Listening;

/// What answers the calls of one object, or of many.
///
/// Generated code implements it. `ice_ping`, `ice_isA`, `ice_id` and `ice_ids` are answered from [`Servant::type_ids`].
pub trait Servant: Send + Sync + 'static {
    /// Its interfaces, the most derived first; `::Ice::Object` goes without saying.
    fn type_ids(&self) -> &[&'static str];

    /// Answers a call. What is answered without waiting costs no task; a call whose caller has gone is carried out to its end.
    fn answer(self: Arc<Self>, call: Call) -> Answering;
}

/// Servants under their identities, and the endpoints they can be called at; without endpoints, over connections that this end
/// has opened.
#[derive(Clone)]
pub struct Adapter {
    id: String,
    serving: Arc<Serving>,
    listening: Arc<Listening>,
}

impl Adapter {
    /// With nothing in it. `id`: what a locator knows it by; empty where none does.
    #[must_use]
    pub fn new(
        id: impl Into<String>,
        registry: Arc<Registry>,
        limits: Limits,
        keep_alive: KeepAlive,
        tls: Option<Tls>,
    ) -> Self {
        let serving = Arc::new(Serving::new(registry, limits.decode));
        let listening = Arc::new(Listening::new(limits, keep_alive, tls));
        Self { id: id.into(), serving, listening }
    }

    /// What a locator knows it by.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Puts a servant in; who was there before under that identity is given back.
    pub fn add(&self, identity: Identity, servant: Arc<dyn Servant>) -> Option<Arc<dyn Servant>> {
        self.serving.add(identity, String::new(), servant)
    }

    /// Puts a servant in as a facet of an object ("Versioning": facets).
    pub fn add_facet(
        &self,
        identity: Identity,
        facet: &str,
        servant: Arc<dyn Servant>,
    ) -> Option<Arc<dyn Servant>> {
        self.serving.add(identity, facet.to_owned(), servant)
    }

    /// Whoever is asked for in this category and was not put in ("Default Servants"). The empty category: all others.
    pub fn add_default(&self, category: &str, servant: Arc<dyn Servant>) {
        self.serving.add_default(category.to_owned(), servant);
    }

    /// Takes a servant out, with its facets. Calls that it answers come to their end.
    pub fn remove(&self, identity: &Identity) -> bool {
        self.serving.remove(identity)
    }

    /// Listens. `published`: the host that is written into references, where it is not the endpoint's.
    ///
    /// # Errors
    /// The address is taken, or there is no TLS for an `ssl` endpoint, or nothing to publish.
    pub async fn listen(
        &self,
        endpoint: &NetworkEndpoint,
        published: Option<&str>,
    ) -> Result<NetworkEndpoint, ListenError> {
        self.listening.listen(endpoint, published, &self.serving).await
    }

    /// Where it listens, as written into references.
    #[must_use]
    pub fn endpoints(&self) -> Vec<Endpoint> {
        self.listening.published()
    }

    /// A reference to an object of it, by its endpoints.
    #[must_use]
    pub fn direct(&self, identity: Identity) -> Reference {
        Reference::new(identity, Address::Direct(self.endpoints()))
    }

    /// A reference to an object of it, by its id.
    #[must_use]
    pub fn indirect(&self, identity: Identity) -> Reference {
        Reference::new(identity, Address::Adapter(self.id.clone()))
    }

    /// How many connections it has accepted and not seen end.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.listening.connections()
    }

    /// Listens no more and closes its connections in good order, for at most so long.
    pub async fn close(&self, patience: Duration) {
        self.listening.close(patience).await;
    }

    pub(crate) fn dispatch(&self) -> Arc<Serving> {
        Arc::clone(&self.serving)
    }
}

impl std::fmt::Debug for Adapter {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Adapter").field("id", &self.id).field("endpoints", &self.endpoints()).finish()
    }
}
