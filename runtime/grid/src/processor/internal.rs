//! The session that the processor itself has with OMERO: by it, OMERO knows that there is one.

use std::sync::Arc;
use std::time::Duration;

use biomero_ice::Identity;
use biomero_omero::{Error, Session};
use tokio::sync::watch;

use super::{NAME, Shared};

/// How long somebody waits for a session who needs one: OMERO is just being started.
const PATIENCE: Duration = Duration::from_secs(30);
/// Between two tries to have one.
const AGAIN: Duration = Duration::from_secs(2);

/// The session that there is, if there is one.
#[derive(Debug, Default)]
pub(super) struct Internal(watch::Sender<Option<Arc<Session>>>);

impl Internal {
    /// It, as soon as there is one.
    pub(super) async fn session(&self) -> Result<Arc<Session>, Error> {
        let mut sessions = self.0.subscribe();
        let there = sessions.wait_for(Option::is_some);
        let there = tokio::time::timeout(PATIENCE, there).await;
        let there = there.ok().and_then(Result::ok).and_then(|session| session.clone());
        there.ok_or_else(|| Error::Unavailable {
            problem: "the processor has no session with OMERO yet".to_owned(),
        })
    }

    /// A call in this one may say that it is gone.
    pub(super) fn failed(&self, session: &Arc<Session>, error: &Error) {
        if is_lost(error) {
            self.0.send_if_modified(|current| {
                let believed = current.as_ref().is_some_and(|current| Arc::ptr_eq(current, session));
                if believed {
                    *current = None;
                }
                believed
            });
        }
    }

    /// The master was away: whether the session is still there is asked now, not at its next sign of life.
    pub(super) async fn doubt(&self) {
        let Some(session) = self.0.borrow().clone() else { return };
        match session.factory().keep_alive(None).await {
            Ok(_) => {}
            Err(error) => self.failed(&session, &error),
        }
    }

    /// When the one that was there is believed no more.
    async fn is_gone(&self) {
        // The sender is ours.
        if self.0.subscribe().wait_for(Option::is_none).await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

/// Whether what was called went with the session, or with OMERO.
pub(super) fn is_lost(error: &Error) -> bool {
    matches!(error, Error::Gone { .. } | Error::Unavailable { .. })
        || error.is(biomero_omero::Exception::SessionException)
}

/// Has a session, tells OMERO in it that we are here, and has another when it is lost.
pub(super) async fn for_ever(shared: &Arc<Shared>) {
    let options =
        biomero_omero::Options { agent: "Python service".to_owned(), ..shared.options.session.clone() };
    let processor = shared.reference(Identity::named(NAME));
    loop {
        let begun = async {
            let session = Session::internal(&shared.options.locator, &options).await?;
            session.shared_resources().await?.add_processor(Some(&processor)).await?;
            Ok::<_, Error>(session)
        };
        match begun.await {
            Ok(session) => {
                let session = Arc::new(session);
                shared.internal.0.send_replace(Some(Arc::clone(&session)));
                tracing::info!("OMERO knows the processor");
                tokio::select! {
                    why = session.lost() => tracing::warn!("the processor's session is lost: {why}"),
                    () = shared.internal.is_gone() => tracing::warn!("OMERO does not know the processor's session any more"),
                }
                shared.internal.0.send_replace(None);
            }
            Err(error) => tracing::warn!("OMERO does not take the processor, which is tried again: {error}"),
        }
        tokio::time::sleep(AGAIN).await;
    }
}

/// Says that we are gone.
pub(super) async fn leave(shared: &Shared) {
    let Some(session) = shared.internal.0.send_replace(None) else { return };
    let processor = shared.reference(Identity::named(NAME));
    if let Ok(resources) = session.shared_resources().await
        && let Err(error) = resources.remove_processor(Some(&processor)).await
    {
        tracing::debug!("OMERO does not take that the processor ends: {error}");
    }
    if let Some(session) = Arc::into_inner(session) {
        let _ = session.close().await;
    }
}
