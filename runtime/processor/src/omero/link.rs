//! The session that images are read over, and the stores that are open in it.
//!
//! A `RawPixelsStore` answers one call after the other, so that each thread that reads has one of its own, and several tiles are
//! on their way at a time over the one connection. A store stays open for the next tile of the same image. How many do is bounded:
//! the server keeps a file open for each, and a plate has thousands of images.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use biomero_omero::api::RawPixelsStore;
use biomero_omero::{Error, Session, Stateful};
use tokio::runtime::Runtime;

use super::Unread;

/// How many stores wait for the next tile of their image: more than threads, as a rule.
const IDLE: usize = 16;
/// How long giving the server back what it holds may take.
const END: Duration = Duration::from_secs(15);

/// A store, and the pixels that it is set to.
pub(super) struct Store {
    pixels: i64,
    service: Stateful<RawPixelsStore>,
}

impl std::ops::Deref for Store {
    type Target = RawPixelsStore;

    fn deref(&self) -> &RawPixelsStore {
        &self.service
    }
}

/// A session, and what speaks with OMERO. It is shared by all images that are read over it, and ends with the last of them.
pub(super) struct Link {
    /// None once it is closed.
    open: Option<(Runtime, Session)>,
    /// The one that has waited longest is the first.
    idle: Mutex<Vec<Store>>,
}

impl Link {
    /// Begins one.
    pub(super) fn begin(session: impl Future<Output = Result<Session, Unread>>) -> Result<Self, Unread> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .map_err(Unread::System)?;
        let session = runtime.block_on(session)?;
        Ok(Self { open: Some((runtime, session)), idle: Mutex::default() })
    }

    /// Does something over it, and waits.
    pub(super) fn with<T, E: From<Error>>(
        &self,
        work: impl AsyncFnOnce(&Session) -> Result<T, E>,
    ) -> Result<T, E> {
        match &self.open {
            Some((runtime, session)) => runtime.block_on(work(session)),
            None => Err(E::from(Error::Gone { problem: "the session of an export".to_owned() })),
        }
    }

    /// A store for these pixels, which are of this group.
    pub(super) async fn store(
        &self,
        session: &Session,
        pixels: i64,
        group: Option<i64>,
    ) -> Result<Store, Error> {
        let waiting = {
            let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
            idle.iter().rposition(|store| store.pixels == pixels).map(|place| idle.remove(place))
        };
        if let Some(store) = waiting {
            return Ok(store);
        }
        let service = match group {
            Some(group) => session.raw_pixels_in(group).await?,
            None => session.raw_pixels().await?,
        };
        service.set_pixels_id(pixels, false).await?;
        Ok(Store { pixels, service })
    }

    /// Keeps a store for the next tile. One that has failed is not kept, but dropped, and so closed.
    pub(super) async fn keep(&self, store: Store) {
        let oldest = {
            let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
            idle.push(store);
            (idle.len() > IDLE).then(|| idle.remove(0))
        };
        if let Some(store) = oldest
            && let Err(error) = store.service.close().await
        {
            tracing::debug!(error = %error, "a store of pixels could not be closed");
        }
    }
}

/// The session may go on, and so would what is held in it.
impl Drop for Link {
    fn drop(&mut self) {
        let Some((runtime, session)) = self.open.take() else { return };
        let stores = std::mem::take(&mut *self.idle.lock().unwrap_or_else(PoisonError::into_inner));
        let closing = async {
            for store in stores {
                store.service.close().await?;
            }
            session.close().await
        };
        let closed = runtime.block_on(async { tokio::time::timeout(END, closing).await });
        if !matches!(closed, Ok(Ok(()))) {
            tracing::debug!("what OMERO holds for the export is left to the end of its session");
        }
        runtime.shutdown_background();
    }
}
