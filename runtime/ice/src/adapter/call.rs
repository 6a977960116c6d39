//! A call that is to be answered.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use super::Serving;
use crate::connection::Connection;
use crate::encoding::{
    Decode, DecodeError, Decoder, Encode, EncodeError, Encoder, Encoding, Format, Objects, Payload, Sliced,
};
use crate::identity::Identity;
use crate::protocol::message::reply_body;
use crate::protocol::{Fault, Request};
use crate::{Context, Mode};

/// An answer on its way.
pub type Answering = Pin<Box<dyn Future<Output = Result<Answer, Refusal>> + Send>>;

/// Results, ready to be sent.
#[derive(Debug)]
pub struct Answer(Payload);

impl Answer {
    pub(super) fn into_body(self) -> Payload {
        self.0
    }
}

/// Why a call has no results.
#[derive(Debug)]
pub enum Refusal {
    /// One of the operation's exceptions.
    Raised(Answer),
    /// Anything else.
    Fault(Fault),
}

impl From<Fault> for Refusal {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

/// Parameters that make no sense.
impl From<DecodeError> for Refusal {
    fn from(error: DecodeError) -> Self {
        Self::Fault(Fault::UnknownLocal(format!("the parameters make no sense: {error}")))
    }
}

/// Results that cannot be sent.
impl From<EncodeError> for Refusal {
    fn from(error: EncodeError) -> Self {
        Self::Fault(Fault::UnknownLocal(format!("the results cannot be sent: {error}")))
    }
}

/// A call ("The Current Object").
pub struct Call {
    request: Request,
    connection: Connection,
    serving: Arc<Serving>,
}

impl Call {
    pub(super) const fn new(request: Request, connection: Connection, serving: Arc<Serving>) -> Self {
        Self { request, connection, serving }
    }

    /// Which operation.
    #[must_use]
    pub fn operation(&self) -> &str {
        &self.request.operation
    }

    /// Which object: a servant may stand for many.
    #[must_use]
    pub const fn identity(&self) -> &Identity {
        &self.request.identity
    }

    /// Which facet.
    #[must_use]
    pub fn facet(&self) -> &str {
        &self.request.facet
    }

    /// What the caller said with it.
    #[must_use]
    pub const fn context(&self) -> &Context {
        &self.request.context
    }

    /// What the caller knows of repeating it.
    #[must_use]
    pub const fn mode(&self) -> Mode {
        self.request.mode
    }

    /// The version of the parameters, in which the results go back.
    #[must_use]
    pub const fn encoding(&self) -> Encoding {
        self.request.encoding
    }

    /// Whether somebody waits for the results.
    #[must_use]
    pub const fn is_twoway(&self) -> bool {
        self.request.id != 0
    }

    /// The connection that it came by: the caller can be called back over it.
    #[must_use]
    pub const fn connection(&self) -> &Connection {
        &self.connection
    }

    /// The parameters, one or a tuple of them, none of which can hold an instance.
    ///
    /// # Errors
    /// They are others.
    pub fn parameters<T: Decode>(&self) -> Result<T, Refusal> {
        self.parameters_with_objects().map(|(parameters, _)| parameters)
    }

    /// The parameters, and the instances that they hold.
    ///
    /// # Errors
    /// They are others.
    pub fn parameters_with_objects<T: Decode>(&self) -> Result<(T, Objects), Refusal> {
        self.read(T::CLASSES, |decoder| decoder.value())
    }

    /// The parameters, read one by one: optional ones. `classes`: whether one of them can hold an instance.
    ///
    /// # Errors
    /// They are others.
    pub fn read<T>(
        &self,
        classes: bool,
        read: impl FnOnce(&mut Decoder<'_>) -> Result<T, DecodeError>,
    ) -> Result<(T, Objects), Refusal> {
        let bytes = self.request.parameters.clone();
        let mut decoder = Decoder::new(bytes, self.encoding(), &self.serving.registry, self.serving.limits);
        let parameters = read(&mut decoder)?;
        Ok((parameters, decoder.finish(classes)?))
    }

    /// Results, one or a tuple of them: parameters that go out first, then what is returned.
    ///
    /// # Errors
    /// They cannot be sent.
    pub fn answer<T: Encode + ?Sized>(&self, results: &T) -> Result<Answer, Refusal> {
        self.write(Format::Compact, None, |encoder| encoder.value(results))
    }

    /// Results, written one by one: optional ones, or with instances.
    ///
    /// # Errors
    /// They cannot be sent.
    pub fn write<'o>(
        &self,
        format: Format,
        objects: Option<&'o Objects>,
        write: impl FnOnce(&mut Encoder<'o>),
    ) -> Result<Answer, Refusal> {
        Ok(Answer(reply_body(false, self.encoding(), format, objects, write)?))
    }

    /// An exception that holds no instances.
    pub fn raise(&self, exception: &dyn Sliced) -> Refusal {
        self.raise_with(exception, Format::Compact, None)
    }

    /// An exception, in this format, with the instances that it holds.
    pub fn raise_with(&self, exception: &dyn Sliced, format: Format, objects: Option<&Objects>) -> Refusal {
        let body = reply_body(true, self.encoding(), format, objects, |encoder| {
            encoder.exception(exception, objects.is_some());
        });
        match body {
            Ok(body) => Refusal::Raised(Answer(body)),
            Err(error) => error.into(),
        }
    }

    /// That there is no such operation.
    #[must_use]
    pub fn unknown_operation(&self) -> Refusal {
        Refusal::Fault(Fault::OperationNotExist {
            identity: self.request.identity.clone(),
            facet: self.request.facet.clone(),
            operation: self.request.operation.clone(),
        })
    }

    /// That there is no such object: of servants that stand for many.
    #[must_use]
    pub fn unknown_object(&self) -> Refusal {
        Refusal::Fault(Fault::ObjectNotExist {
            identity: self.request.identity.clone(),
            facet: self.request.facet.clone(),
            operation: self.request.operation.clone(),
        })
    }
}

impl std::fmt::Debug for Call {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Call").field("request", &self.request).finish_non_exhaustive()
    }
}
