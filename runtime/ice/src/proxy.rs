//! Calling objects ("Proxies", "Invocation Timeouts", "Automatic Retries").

mod operation;
mod results;

use std::borrow::Cow;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

pub use operation::{BatchCalls, Operation};
pub use results::Results;

use crate::clients::Router;
use crate::communicator::Communicator;
use crate::connection::{CallFailure, Connection, ConnectionError};
use crate::encoding::{Encoder, Encoding, Payload};
use crate::error::CallError;
use crate::locate::locate;
use crate::protocol::message::Context;
use crate::protocol::{Compression, Fault, MessageType, Mode, Outcome};
use crate::reference::Reference;

/// An object that can be called.
#[derive(Clone)]
pub struct Proxy {
    communicator: Communicator,
    reference: Arc<Reference>,
    route: Route,
    context: Option<Arc<Context>>,
    timeout: Duration,
    /// The shared connection that it used last.
    last: Arc<Mutex<Option<Connection>>>,
}

/// The way that calls go.
#[derive(Clone)]
pub(crate) enum Route {
    /// Over the connection that all proxies to that endpoint share.
    Pooled,
    /// Over this one.
    Fixed(Connection),
    /// Over a router's, which is told of the object first.
    Routed(Router),
}

impl Proxy {
    pub(crate) fn new(communicator: Communicator, reference: Reference, route: Route) -> Self {
        let timeout = communicator.options().timeout;
        Self {
            communicator,
            reference: Arc::new(reference),
            route,
            context: None,
            timeout,
            last: Arc::default(),
        }
    }

    /// What it says: which object, where.
    #[must_use]
    pub fn reference(&self) -> &Reference {
        &self.reference
    }

    /// Who made it.
    #[must_use]
    pub const fn communicator(&self) -> &Communicator {
        &self.communicator
    }

    /// The same object, with this said in every call, beside what the communicator says.
    #[must_use]
    pub fn with_context(&self, context: Context) -> Self {
        Self { context: Some(Arc::new(context)), ..self.clone() }
    }

    /// The same object, whose calls may take so long.
    #[must_use]
    pub fn with_timeout(&self, timeout: Duration) -> Self {
        Self { timeout, ..self.clone() }
    }

    /// The same object, with parameters sent in this version.
    #[must_use]
    pub fn with_encoding(&self, encoding: Encoding) -> Self {
        let reference = Reference { encoding, ..(*self.reference).clone() };
        Self { reference: Arc::new(reference), ..self.clone() }
    }

    /// Another object, reached in the same way: at the same endpoints or over the same connection.
    #[must_use]
    pub fn of(&self, reference: Reference) -> Self {
        Self { reference: Arc::new(reference), last: Arc::default(), ..self.clone() }
    }

    /// An operation, to be called with more than its parameters.
    #[must_use]
    pub fn operation<'a>(&'a self, name: &'a str, mode: Mode) -> Operation<'a> {
        Operation::new(self, name, mode)
    }

    /// Calls an operation whose parameters `encode` writes, and waits for its results.
    ///
    /// # Errors
    /// It raised an exception, or did not come to its end.
    pub async fn call(
        &self,
        name: &str,
        mode: Mode,
        encode: impl FnOnce(&mut Encoder<'_>),
    ) -> Result<Results, CallError> {
        self.operation(name, mode).call(encode).await
    }

    /// Whether the object is there.
    ///
    /// # Errors
    /// It is not.
    pub async fn ice_ping(&self) -> Result<(), CallError> {
        self.call("ice_ping", Mode::Nonmutating, |_| {}).await?.value()
    }

    /// Whether it has this interface.
    ///
    /// # Errors
    /// As for [`Proxy::call`].
    pub async fn ice_is_a(&self, type_id: &str) -> Result<bool, CallError> {
        self.call("ice_isA", Mode::Nonmutating, |encoder| encoder.string(type_id)).await?.value()
    }

    /// Its most derived interface.
    ///
    /// # Errors
    /// As for [`Proxy::call`].
    pub async fn ice_id(&self) -> Result<String, CallError> {
        self.call("ice_id", Mode::Nonmutating, |_| {}).await?.value()
    }

    /// All its interfaces, in alphabetical order.
    ///
    /// # Errors
    /// As for [`Proxy::call`].
    pub async fn ice_ids(&self) -> Result<Vec<String>, CallError> {
        self.call("ice_ids", Mode::Nonmutating, |_| {}).await?.value()
    }

    /// Calls that are collected and sent together.
    #[must_use]
    pub fn batch(&self) -> BatchCalls<'_> {
        BatchCalls::new(self)
    }

    /// The connection that its calls take: opened, if there is none.
    ///
    /// # Errors
    /// There is none to be had.
    pub async fn connection(&self) -> Result<Connection, CallError> {
        let operation = "connecting";
        let connected = async { self.connected(operation).await.map(|(connection, _)| connection) };
        tokio::time::timeout(self.timeout, connected)
            .await
            .unwrap_or_else(|_| Err(self.late(operation, self.timeout)))
    }

    fn late(&self, operation: &str, after: Duration) -> CallError {
        CallError::Deadline { operation: operation.to_owned(), target: self.to_string(), after }
    }

    /// A connection, and whether the way to it is remembered from before.
    async fn connected(&self, operation: &str) -> Result<(Connection, bool), CallError> {
        match &self.route {
            Route::Fixed(connection) => return Ok((connection.clone(), false)),
            Route::Routed(router) => return Ok((router.connection().clone(), false)),
            Route::Pooled => {}
        }
        let last = self.last.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(connection) = last.filter(Connection::is_open) {
            return Ok((connection, true));
        }
        let located = Box::pin(locate(&self.communicator, operation, &self.reference)).await?;
        let connection = self.communicator.shared(&located.endpoints, self.reference.secure).await;
        match connection {
            Ok(connection) => {
                *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Some(connection.clone());
                Ok((connection, located.remembered))
            }
            Err(_) if located.remembered => {
                // Where it was. It may be elsewhere by now.
                self.communicator.located().forget(&self.reference);
                let located = Box::pin(locate(&self.communicator, operation, &self.reference)).await?;
                let connection = self.communicator.shared(&located.endpoints, self.reference.secure).await;
                connection
                    .map(|connection| (connection, false))
                    .map_err(|source| self.failed(operation, source))
            }
            Err(source) => Err(self.failed(operation, source)),
        }
    }

    fn failed(&self, operation: &str, source: ConnectionError) -> CallError {
        CallError::Connection { operation: operation.to_owned(), source }
    }

    fn forget(&self) {
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = None;
        self.communicator.located().forget(&self.reference);
    }

    fn compression(&self) -> Compression {
        if self.communicator.options().compressed_replies {
            Compression::Accepted
        } else {
            Compression::Unsupported
        }
    }

    /// Sends a request and waits, again where that does no harm: the call was certainly not carried out, or may be repeated.
    async fn invoke(&self, operation: &str, mode: Mode, body: Payload) -> Result<Outcome, CallError> {
        let mut again = true;
        loop {
            let (connection, remembered) = self.connected(operation).await?;
            let outcome = connection.call(self.compression(), body.clone()).await;
            match outcome {
                Err(CallFailure { error, sent }) => {
                    let repeatable = !sent || mode != Mode::Normal;
                    if !std::mem::take(&mut again) || !repeatable || !matches!(self.route, Route::Pooled) {
                        return Err(self.failed(operation, error));
                    }
                    self.forget();
                }
                Ok(Outcome::Fault(Fault::ObjectNotExist { operation: said, .. }))
                    if again && said == "ice_add_proxy" =>
                {
                    // The router has forgotten the object: it remembers only so many.
                    again = false;
                    let Route::Routed(router) = &self.route else { continue };
                    Box::pin(router.add_again(&self.reference)).await?;
                }
                Ok(Outcome::Fault(Fault::ObjectNotExist { .. }))
                    if again && remembered && self.reference.endpoints().is_empty() =>
                {
                    // What is there now is another server.
                    again = false;
                    self.forget();
                }
                Ok(outcome) => return Ok(outcome),
            }
        }
    }

    async fn send(
        &self,
        operation: &str,
        message: MessageType,
        number: i32,
        body: Payload,
    ) -> Result<(), CallError> {
        let mut again = matches!(self.route, Route::Pooled);
        loop {
            let (connection, _) = self.connected(operation).await?;
            match connection.send(message, self.compression(), number, body.clone()).await {
                Ok(()) => return Ok(()),
                Err(_) if std::mem::take(&mut again) => self.forget(),
                Err(CallFailure { error, .. }) => return Err(self.failed(operation, error)),
            }
        }
    }

    fn merged<'a>(&'a self, own: Option<&'a Context>) -> Cow<'a, Context> {
        let default = &self.communicator.options().context;
        let mut parts = [Some(default), self.context.as_deref(), own]
            .into_iter()
            .flatten()
            .filter(|part| !part.is_empty());
        let Some(first) = parts.next() else { return Cow::Borrowed(default) };
        let mut merged = Cow::Borrowed(first);
        for part in parts {
            let pairs = part.iter().map(|(key, value)| (key.clone(), value.clone()));
            merged.to_mut().extend(pairs);
        }
        merged
    }
}

impl fmt::Display for Proxy {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.route {
            Route::Pooled => write!(formatter, "{}", self.reference),
            Route::Fixed(connection) => {
                write!(formatter, "{} at {}", self.reference.identity, connection.peer())
            }
            Route::Routed(router) => {
                write!(formatter, "{} through {}", self.reference.identity, router.connection().peer())
            }
        }
    }
}

impl fmt::Debug for Proxy {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Proxy({self})")
    }
}
