//! What OMERO tells the holder of a session (`ClientCallback`).

use std::sync::Arc;

use biomero_ice::Call;
use tokio::sync::{Notify, watch};

use super::keep_alive::Lost;
use crate::servant::Refused;
use crate::types::api::ClientCallbackServant;

/// Answers it. It holds nothing of the session, whose connection holds it.
pub(super) struct Callback {
    wanted: Arc<Notify>,
    lost: watch::Sender<Option<Lost>>,
}

impl Callback {
    pub(super) const fn new(wanted: Arc<Notify>, lost: watch::Sender<Option<Lost>>) -> Self {
        Self { wanted, lost }
    }
}

impl ClientCallbackServant for Callback {
    /// OMERO is about to forget the session: a call is the sign of life that it waits for.
    async fn request_heartbeat(&self, _: &Call) -> Result<(), Refused> {
        self.wanted.notify_one();
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
