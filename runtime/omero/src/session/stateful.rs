//! Services that the server holds something for, until they are closed.

use std::ops::Deref;
use std::time::Duration;

use tokio::sync::mpsc;

use crate::error::Error;
use crate::service::{Operation, Remote, Service};

/// How many services may wait to be closed. One more is left to the end of the session, with which OMERO closes it.
const WAITING: usize = 64;
/// How long closing one may take.
const CLOSE: Duration = Duration::from_secs(5);

const OPERATION: Operation = Operation { name: "close", idempotent: false };

/// A service of one's own. Dropped, it is closed behind the caller; [`Stateful::close`] tells what comes of it, which for what
/// was written is worth knowing.
#[derive(Debug)]
pub struct Stateful<R: Remote> {
    service: R,
    /// None once it is closed.
    closer: Option<Closer>,
}

impl<R: Remote> Stateful<R> {
    pub(super) const fn new(service: R, closer: Closer) -> Self {
        Self { service, closer: Some(closer) }
    }

    /// Closes it.
    ///
    /// # Errors
    /// As for every call.
    pub async fn close(mut self) -> Result<(), Error> {
        self.closer = None;
        close(self.service.service()).await
    }
}

impl<R: Remote> Deref for Stateful<R> {
    type Target = R;

    fn deref(&self) -> &R {
        &self.service
    }
}

impl<R: Remote> Drop for Stateful<R> {
    fn drop(&mut self) {
        if let Some(closer) = self.closer.take() {
            closer.leave(self.service.service().clone());
        }
    }
}

async fn close(service: &Service) -> Result<(), Error> {
    service.tell(OPERATION, None, &()).await
}

/// Closes what is left to it, one after the other. It ends when nobody can leave anything any more.
#[derive(Debug, Clone)]
pub(super) struct Closer(mpsc::Sender<Service>);

impl Closer {
    pub(super) fn start() -> Self {
        let (sender, mut receiver) = mpsc::channel::<Service>(WAITING);
        tokio::spawn(async move {
            while let Some(service) = receiver.recv().await {
                match tokio::time::timeout(CLOSE, close(&service)).await {
                    // A session that has ended has closed it.
                    Ok(Ok(()) | Err(Error::Gone { .. })) => {}
                    Ok(Err(error)) => tracing::debug!(error = %error, "a service could not be closed"),
                    Err(_) => tracing::debug!("a service was not closed in time"),
                }
            }
        });
        Self(sender)
    }

    fn leave(&self, service: Service) {
        if self.0.try_send(service).is_err() {
            tracing::debug!("a service is left to the end of its session");
        }
    }
}
