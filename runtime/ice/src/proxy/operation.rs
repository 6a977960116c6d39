//! Calling an operation: alone, or with others that nobody waits for.

use std::sync::Arc;
use std::time::Duration;

use super::{Proxy, Results};
use crate::encoding::{EncodeError, Encoder, Format, Objects, Payload, Raised};
use crate::error::CallError;
use crate::protocol::message::Context;
use crate::protocol::{HEADER, MessageType, Mode, Outcome, OutgoingRequest};

/// An operation about to be called.
#[derive(Debug, Clone, Copy)]
pub struct Operation<'a> {
    proxy: &'a Proxy,
    name: &'a str,
    mode: Mode,
    context: Option<&'a Context>,
    timeout: Duration,
    format: Format,
    objects: Option<&'a Objects>,
}

impl<'a> Operation<'a> {
    pub(super) fn new(proxy: &'a Proxy, name: &'a str, mode: Mode) -> Self {
        let (timeout, format) = (proxy.timeout, proxy.communicator.options().format);
        Self { proxy, name, mode, context: None, timeout, format, objects: None }
    }

    /// What is said beside its parameters, beside what the proxy says.
    #[must_use]
    pub const fn context(self, context: &'a Context) -> Self {
        Self { context: Some(context), ..self }
    }

    /// How long it may take.
    #[must_use]
    pub const fn timeout(self, timeout: Duration) -> Self {
        Self { timeout, ..self }
    }

    /// How instances among its parameters are sent.
    #[must_use]
    pub const fn format(self, format: Format) -> Self {
        Self { format, ..self }
    }

    /// The instances that its parameters mean.
    #[must_use]
    pub const fn objects(self, objects: &'a Objects) -> Self {
        Self { objects: Some(objects), ..self }
    }

    fn body(&self, encode: impl FnOnce(&mut Encoder<'a>)) -> Result<Payload, CallError> {
        let reference = &self.proxy.reference;
        let context = self.proxy.merged(self.context);
        // What is borrowed of the context ends before the parameters' instances do.
        let request = OutgoingRequest {
            identity: &reference.identity,
            facet: &reference.facet,
            operation: self.name,
            mode: self.mode,
            context: &context,
            encoding: reference.encoding,
            format: self.format,
        };
        let body = request.body(self.objects, encode);
        let body = body.and_then(|body| {
            let limit = self.proxy.communicator.options().limits.message;
            if body.len() + HEADER + 4 > limit {
                return Err(EncodeError::TooLong { what: "request", length: body.len() });
            }
            Ok(body)
        });
        body.map_err(|source| CallError::Encode { operation: self.name.to_owned(), source })
    }

    /// Calls it and waits for its results.
    ///
    /// # Errors
    /// It raised an exception, or did not come to its end.
    pub async fn call(self, encode: impl FnOnce(&mut Encoder<'a>)) -> Result<Results, CallError> {
        let body = self.body(encode)?;
        let Self { proxy, name, mode, timeout, .. } = self;
        let outcome = tokio::time::timeout(timeout, proxy.invoke(name, mode, body)).await;
        let outcome = outcome.unwrap_or_else(|_| Err(proxy.late(name, timeout)))?;
        let options = proxy.communicator.options();
        let (registry, limits) = (&options.registry, options.limits.decode);
        let operation = name.to_owned();
        match outcome {
            Outcome::Results(encoding, body) => {
                Ok(Results::new(operation, encoding, body, Arc::clone(registry), limits))
            }
            Outcome::Raised(encoding, body) => match Raised::decode(body, encoding, registry, limits) {
                Ok(raised) => Err(CallError::Raised { operation, raised: Box::new(raised) }),
                Err(source) => Err(CallError::Decode { operation, source }),
            },
            Outcome::Fault(fault) => Err(CallError::Fault { operation, fault: Box::new(fault) }),
        }
    }

    /// Sends it and waits for nothing ("Oneway Invocations"). It is not known whether it is carried out.
    ///
    /// # Errors
    /// It could not be sent.
    pub async fn oneway(self, encode: impl FnOnce(&mut Encoder<'a>)) -> Result<(), CallError> {
        let body = self.body(encode)?;
        let Self { proxy, name, timeout, .. } = self;
        let sent = proxy.send(name, MessageType::Request, 0, body);
        tokio::time::timeout(timeout, sent).await.unwrap_or_else(|_| Err(proxy.late(name, timeout)))
    }
}

/// Calls that are sent together; nobody waits for them ("Batched Invocations").
#[derive(Debug)]
pub struct BatchCalls<'a> {
    proxy: &'a Proxy,
    calls: Vec<Payload>,
    length: usize,
}

impl<'a> BatchCalls<'a> {
    pub(super) const fn new(proxy: &'a Proxy) -> Self {
        Self { proxy, calls: Vec::new(), length: 0 }
    }

    /// Adds a call.
    ///
    /// # Errors
    /// Its parameters cannot be sent, or all are more than a message may hold: send them first.
    pub fn add(
        &mut self,
        name: &str,
        mode: Mode,
        encode: impl FnOnce(&mut Encoder<'_>),
    ) -> Result<(), CallError> {
        let body = self.proxy.operation(name, mode).body(encode)?;
        let length = self.length + body.len();
        if length + HEADER + 4 > self.proxy.communicator.options().limits.message {
            let source = EncodeError::TooLong { what: "batch", length };
            return Err(CallError::Encode { operation: name.to_owned(), source });
        }
        self.length = length;
        self.calls.push(body);
        Ok(())
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.calls.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.calls.is_empty()
    }

    /// Sends them.
    ///
    /// # Errors
    /// They could not be sent.
    pub async fn send(self) -> Result<(), CallError> {
        if self.calls.is_empty() {
            return Ok(());
        }
        let count = i32::try_from(self.calls.len()).unwrap_or(i32::MAX);
        let body: Payload = self.calls.into_iter().collect();
        let (proxy, operation) = (self.proxy, "a batch");
        let sent = proxy.send(operation, MessageType::Batch, count, body);
        tokio::time::timeout(proxy.timeout, sent)
            .await
            .unwrap_or_else(|_| Err(proxy.late(operation, proxy.timeout)))
    }
}
