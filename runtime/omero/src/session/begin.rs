//! How sessions begin: through the router, or inside the grid, where nobody is asked for a password.

use std::sync::Arc;

use biomero_config::Secret;
use biomero_ice::clients::{Query, Router};
use biomero_ice::{Communicator, Context, Identity, NetworkEndpoint, Proxy, Reference, Transport};
use tokio::sync::{Notify, watch};
use uuid::Uuid;

use super::callback::Callback;
use super::{Address, Credentials, Held, Options, Session};
use crate::error::Error;
use crate::service::{Remote as _, Service, Way};
use crate::types::api::ClientCallbackDispatch;
use crate::types::glacier2::SessionManager;

/// How OMERO calls its router.
const ROUTER: (&str, &str) = ("OMERO.Glacier2", "router");
/// Who is who inside the grid.
const INTERNAL_USER: &str = "root";

impl Session {
    /// Begins a session, or joins one.
    ///
    /// # Errors
    /// OMERO is not reached, lets nobody in, or gives no session.
    pub async fn begin(
        address: &Address,
        credentials: &Credentials,
        options: &Options,
    ) -> Result<Self, Error> {
        let (user, password) = match credentials {
            Credentials::Password { user, password } => (user, password),
            Credentials::Session(id) => (id.reveal(), id),
        };
        let failed = |error| Error::of(error, Some(password));
        let communicator = communicator(options, None);
        let adapter = communicator.adapter("");
        let transport = if address.secure { Transport::Ssl } else { Transport::Tcp };
        let endpoint = NetworkEndpoint::new(transport, address.host.as_str(), address.port);
        let router = Reference::direct(Identity::new(ROUTER.0, ROUTER.1), endpoint);
        let router = Router::connect(&communicator, &router, Some(&adapter)).await.map_err(failed)?;
        let (client, mut context) = introduced(options);
        let session = router.create_session(user, password.reveal(), &context).await.map_err(failed)?;
        let session = session.ok_or_else(|| Error::Missing { what: "session".to_owned() })?;
        let id = entered(&session, &mut context, options);
        let way = Way { communicator, router: Some(router), hidden: Some(id.clone()) };
        let factory = Service::new(session, Arc::new(way.clone()), context);
        let (lost, _) = watch::channel(None);
        let wanted = Arc::new(Notify::new());
        let callback = Callback::new(Arc::clone(&wanted), lost.clone());
        let held = Held { adapter: Some(adapter), interval: options.keep_alive, wanted, lost };
        let session = Self::held(way, factory, id, held);
        session.listen(callback).await?;
        tracing::debug!(client, "a session has begun");
        Ok(session)
    }

    /// Lets OMERO say that it shuts down or has closed the session.
    async fn listen(&self, callback: Callback) -> Result<(), Error> {
        let callback = self.serve(Arc::new(ClientCallbackDispatch(callback))).await?;
        self.factory().set_callback(Some(&callback)).await
    }

    /// Begins a session inside the grid, as OMERO's own parts do: as root, without a password. `locator`: the grid's registry.
    ///
    /// # Errors
    /// The registry is not reached, knows of no OMERO, or OMERO gives no session, so often as the options say.
    pub async fn internal(locator: &Reference, options: &Options) -> Result<Self, Error> {
        let communicator = communicator(options, Some(locator));
        let mut attempts = options.attempts.max(1);
        loop {
            attempts -= 1;
            match internal(&communicator, options).await {
                Err(error @ (Error::Unavailable { .. } | Error::Missing { .. } | Error::Gone { .. }))
                    if attempts > 0 =>
                {
                    tracing::info!(error = %error, attempts, "no session inside the grid yet");
                    tokio::time::sleep(options.pause).await;
                }
                other => return other,
            }
        }
    }
}

/// Asks every OMERO that the registry knows, until one gives a session.
async fn internal(communicator: &Communicator, options: &Options) -> Result<Session, Error> {
    let failed = |error| Error::of(error, None);
    let query = Query::new(
        communicator
            .proxy(Reference::new(Identity::new("IceGrid", "Query"), biomero_ice::Address::WellKnown)),
    );
    let managers = query.objects_of_type(SessionManager::TYPE_ID).await.map_err(failed)?;
    let mut last = Error::Missing { what: format!("{} that the registry knows", SessionManager::TYPE_ID) };
    for manager in managers {
        let (client, mut context) = introduced(options);
        let way = Way { communicator: communicator.clone(), router: None, hidden: None };
        let manager = Service::new(communicator.proxy(manager), Arc::new(way.clone()), context.clone());
        match SessionManager::of(manager).create(INTERNAL_USER, None).await {
            Ok(Some(session)) => {
                let session = communicator.proxy(session.service().reference().clone());
                let id = entered(&session, &mut context, options);
                let way = Way { hidden: Some(id.clone()), ..way };
                let factory = Service::new(session, Arc::new(way.clone()), context);
                let (lost, _) = watch::channel(None);
                let held = Held { adapter: None, interval: options.keep_alive, wanted: Arc::default(), lost };
                tracing::debug!(client, "a session inside the grid has begun");
                return Ok(Session::held(way, factory, id, held));
            }
            Ok(None) => {}
            Err(error) => last = error,
        }
    }
    Err(last)
}

fn communicator(options: &Options, locator: Option<&Reference>) -> Communicator {
    Communicator::new(biomero_ice::Options {
        limits: options.limits,
        timeout: options.timeout,
        registry: crate::registry(),
        tls: options.tls.clone(),
        locator: locator.cloned(),
        ..biomero_ice::Options::default()
    })
}

/// Who asks: OMERO wants each client to have an id.
fn introduced(options: &Options) -> (String, Context) {
    let client = Uuid::new_v4().to_string();
    let context = Context::from([
        ("omero.client.uuid".to_owned(), client.clone()),
        ("omero.agent".to_owned(), options.agent.clone()),
    ]);
    (client, context)
}

/// The id of a session, which is said in every call from here on.
fn entered(session: &Proxy, context: &mut Context, options: &Options) -> Secret<String> {
    let id = session.reference().identity.name.clone();
    context.insert("omero.session.uuid".to_owned(), id.clone());
    if let Some(group) = options.group {
        context.insert("omero.group".to_owned(), group.to_string());
    }
    Secret::new(id)
}
