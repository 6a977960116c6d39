//! What OMERO tells the holder of a session (`ClientCallback`).

use biomero_ice::Call;
use tokio::sync::watch;

use super::keep_alive::Lost;
use crate::servant::Refused;
use crate::types::api::{ClientCallbackServant, ServiceFactory};

/// Answers it.
pub(super) struct Callback {
    factory: ServiceFactory,
    lost: watch::Sender<Option<Lost>>,
}

impl Callback {
    pub(super) const fn new(factory: ServiceFactory, lost: watch::Sender<Option<Lost>>) -> Self {
        Self { factory, lost }
    }
}

impl ClientCallbackServant for Callback {
    /// OMERO is about to forget the session: a call is the sign of life that it waits for.
    async fn request_heartbeat(&self, _: &Call) -> Result<(), Refused> {
        let alive = self.factory.keep_alive(None).await;
        if let Err(error) = alive {
            tracing::warn!(error = %error, "OMERO has asked for a sign of life and does not take it");
        }
        Ok(())
    }

    async fn session_closed(&self, _: &Call) -> Result<(), Refused> {
        Lost::Closed.tell(&self.lost);
        Ok(())
    }

    async fn shutdown_in(&self, _: &Call, milliseconds: i64) -> Result<(), Refused> {
        tracing::warn!(milliseconds, "OMERO is about to shut down");
        Ok(())
    }
}
