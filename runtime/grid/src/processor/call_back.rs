//! Calling back whoever asked for it.
//!
//! The references come from outside and may lead anywhere: nothing goes with these calls, the id of our session least of all, and
//! nobody waits for them.

use std::time::Duration;

use biomero_ice::encoding::{Encode, Encoder};
use biomero_ice::{Mode, Proxy, Reference};

use super::Shared;

/// Whoever is there is reached in this time.
const REACH: Duration = Duration::from_secs(10);

/// Somebody to be called.
#[derive(Debug, Clone)]
pub(super) struct Callback(Proxy);

impl Callback {
    pub(super) fn new(shared: &Shared, reference: Reference) -> Self {
        Self(shared.communicator.proxy(reference).with_timeout(REACH))
    }

    pub(super) fn is(&self, reference: &Reference) -> bool {
        self.0.reference().identity == reference.identity
    }

    /// Tells it, behind the caller.
    pub(super) fn tell<T: Encode + Send + Sync + 'static>(
        &self,
        operation: &'static str,
        mode: Mode,
        arguments: T,
    ) {
        let proxy = self.0.clone();
        tokio::spawn(async move {
            let called = proxy
                .operation(operation, mode)
                .oneway(|encoder: &mut Encoder<'_>| encoder.value(&arguments));
            if let Err(error) = called.await {
                tracing::debug!("who is to be called back is not reached: {error}");
            }
        });
    }
}
