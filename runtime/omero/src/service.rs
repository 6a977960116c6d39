//! Calling services: what the types of all of them share.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use biomero_config::Secret;
use biomero_ice::clients::Router;
use biomero_ice::encoding::{Decode, Encode, Encoder, Handle, Objects, Ref};
use biomero_ice::{CallError, Communicator, Context, Mode, Proxy, Reference, Results};

use crate::error::Error;
use crate::types::Exception;

/// How often an operation that may be repeated is, while OMERO says that it is only busy.
const REPEATS: u32 = 3;
/// The shortest and longest time that is waited before.
const BACK_OFF: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(10));

/// A class that has another as a base. The tables say which.
pub trait Extends<Base> {}

/// A reference to an instance as one to its base.
pub trait Upcast<T> {
    /// The same instance, as one of a base.
    fn up<Base>(self) -> Ref<Base>
    where
        T: Extends<Base>;
}

impl<T> Upcast<T> for Ref<T> {
    fn up<Base>(self) -> Ref<Base>
    where
        T: Extends<Base>,
    {
        Handle::from(self).into()
    }
}

/// What a call gave back, and the instances that it refers to.
#[derive(Debug, Default)]
pub struct Graph<T> {
    /// What it gave back.
    pub value: T,
    /// The instances.
    pub objects: Objects,
}

impl<T: 'static> Graph<Option<Ref<T>>> {
    /// The instance that was given back, if one was.
    #[must_use]
    pub fn root(&self) -> Option<&T> {
        self.objects.get(self.value?)
    }
}

/// Something that can be called. The types of services are made of one.
pub trait Remote: Sized {
    /// Its type, as it stands on the wire.
    const TYPE_ID: &'static str;

    /// Calls this object as one of this type. Whether it is one shows when it is called.
    fn of(service: Service) -> Self;

    /// The object.
    fn service(&self) -> &Service;

    /// The same object, called without waiting where nothing is given back: whether it arrives is not known.
    #[must_use]
    fn oneway(&self) -> Self {
        Self::of(self.service().oneway())
    }

    /// The same object, asked on behalf of a group (`omero.group`); -1 is all of them.
    #[must_use]
    fn in_group(&self, group: i64) -> Self {
        Self::of(self.service().with("omero.group", &group.to_string()))
    }

    /// The same object, whose calls may take so long.
    #[must_use]
    fn with_timeout(&self, timeout: Duration) -> Self {
        Self::of(self.service().with_timeout(timeout))
    }
}

/// An operation, as the tables say it.
#[derive(Debug, Clone, Copy)]
pub struct Operation {
    /// What it is called.
    pub name: &'static str,
    /// Whether it may be repeated.
    pub idempotent: bool,
}

/// What goes with a call: any value or tuple of them.
pub(crate) trait Arguments: Sync {
    fn write(&self, encoder: &mut Encoder<'_>);
}

impl<T: Encode + Sync> Arguments for T {
    fn write(&self, encoder: &mut Encoder<'_>) {
        self.encode(encoder);
    }
}

/// How the objects of a session are reached.
#[derive(Debug, Clone)]
pub(crate) struct Way {
    pub(crate) communicator: Communicator,
    /// Behind a router, it is told of each object first.
    pub(crate) router: Option<Router>,
    /// The session's id.
    pub(crate) hidden: Option<Secret<String>>,
}

/// An object of OMERO.
#[derive(Clone)]
pub struct Service {
    proxy: Proxy,
    way: Arc<Way>,
    context: Arc<Context>,
    oneway: bool,
}

impl Service {
    pub(crate) fn new(proxy: Proxy, way: Arc<Way>, context: Context) -> Self {
        Self { proxy: proxy.with_context(context.clone()), way, context: Arc::new(context), oneway: false }
    }

    /// What it is known by, to be passed on.
    #[must_use]
    pub fn reference(&self) -> &Reference {
        self.proxy.reference()
    }

    /// Another object of the same session.
    ///
    /// # Errors
    /// The router cannot be told of it.
    pub async fn other(&self, reference: Reference) -> Result<Self, Error> {
        let proxy = match &self.way.router {
            Some(router) => router.route(reference).await.map_err(|error| self.failed(error))?,
            None => self.way.communicator.proxy(reference),
        };
        Ok(Self { proxy: proxy.with_context((*self.context).clone()), oneway: false, ..self.clone() })
    }

    fn oneway(&self) -> Self {
        Self { oneway: true, ..self.clone() }
    }

    /// The same object, with this said in every call.
    #[must_use]
    pub fn with(&self, key: &str, value: &str) -> Self {
        let mut context = (*self.context).clone();
        context.insert(key.to_owned(), value.to_owned());
        Self { proxy: self.proxy.with_context(context.clone()), context: Arc::new(context), ..self.clone() }
    }

    fn with_timeout(&self, timeout: Duration) -> Self {
        Self { proxy: self.proxy.with_timeout(timeout), ..self.clone() }
    }

    pub(crate) fn failed(&self, error: CallError) -> Error {
        Error::of(error, self.way.hidden.as_ref())
    }

    /// Calls an operation and waits for what it gives back.
    pub(crate) async fn ask(
        &self,
        operation: Operation,
        objects: Option<&Objects>,
        arguments: &dyn Arguments,
    ) -> Result<Reply<'_>, Error> {
        let mut repeats = 0;
        loop {
            match self.once(operation, objects, arguments).await {
                Ok(results) => return Ok(Reply { service: self, results }),
                Err(error) => {
                    let Some(pause) = pause(operation, &error, repeats) else { return Err(error) };
                    tracing::debug!(operation = operation.name, ?pause, error = %error, "OMERO is busy");
                    tokio::time::sleep(pause).await;
                    repeats += 1;
                }
            }
        }
    }

    async fn once(
        &self,
        operation: Operation,
        objects: Option<&Objects>,
        arguments: &dyn Arguments,
    ) -> Result<Results, Error> {
        let call = self.operation(operation, objects);
        call.call(|encoder| arguments.write(encoder)).await.map_err(|error| self.failed(error))
    }

    fn operation<'a>(
        &'a self,
        operation: Operation,
        objects: Option<&'a Objects>,
    ) -> biomero_ice::Operation<'a> {
        let mode = if operation.idempotent { Mode::Idempotent } else { Mode::Normal };
        let call = self.proxy.operation(operation.name, mode);
        match objects {
            Some(objects) => call.objects(objects),
            None => call,
        }
    }

    /// Calls an operation that gives nothing back.
    pub(crate) async fn tell(
        &self,
        operation: Operation,
        objects: Option<&Objects>,
        arguments: &dyn Arguments,
    ) -> Result<(), Error> {
        if self.oneway {
            let call = self.operation(operation, objects);
            return call.oneway(|encoder| arguments.write(encoder)).await.map_err(|error| self.failed(error));
        }
        self.ask(operation, objects, arguments).await?.value()
    }
}

/// How long to wait before a call is repeated, if it may be.
fn pause(operation: Operation, error: &Error, repeats: u32) -> Option<Duration> {
    let raised = error.raised().filter(|raised| raised.exception().is(Exception::ConcurrencyException))?;
    let pause = raised.back_off().unwrap_or_default().max(BACK_OFF.0);
    (operation.idempotent && repeats < REPEATS && pause <= BACK_OFF.1).then_some(pause)
}

impl fmt::Debug for Service {
    /// Without its identity: the session's id is part of it.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Service").finish_non_exhaustive()
    }
}

/// What a call gave back, not read yet.
pub(crate) struct Reply<'s> {
    service: &'s Service,
    results: Results,
}

impl Reply<'_> {
    /// What holds no instances.
    pub(crate) fn value<T: Decode>(&self) -> Result<T, Error> {
        self.results.value().map_err(|error| self.service.failed(error))
    }

    /// What holds some.
    pub(crate) fn graph<T: Decode>(&self) -> Result<Graph<T>, Error> {
        let read = self.results.value_with_objects().map_err(|error| self.service.failed(error));
        read.map(|(value, objects)| Graph { value, objects })
    }

    /// Another object, if there is one.
    pub(crate) async fn proxy<R: Remote>(&self) -> Result<Option<R>, Error> {
        match self.value::<Option<Reference>>()? {
            Some(reference) => Ok(Some(R::of(self.service.other(reference).await?))),
            None => Ok(None),
        }
    }
}

/// An object of which no more is known.
impl Remote for Service {
    const TYPE_ID: &'static str = "::Ice::Object";

    fn of(service: Self) -> Self {
        service
    }

    fn service(&self) -> &Self {
        self
    }
}
