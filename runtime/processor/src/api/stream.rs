//! Bodies that come piece by piece: whoever makes them waits until the last piece was taken.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use axum::body::{Body, HttpBody};
use bytes::Bytes;
use hyper::body::Frame;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

/// How many pieces wait for a peer that is slow.
const WAITING: usize = 2;

/// Where pieces go.
#[derive(Debug)]
pub(crate) struct Pieces(mpsc::Sender<Result<Bytes, Broken>>);

/// The peer has gone: nothing more is to be made.
#[derive(Debug)]
pub(crate) struct Gone;

/// The rest cannot be had: the connection is cut, so that nobody takes what there is for all.
#[derive(Debug, thiserror::Error)]
#[error("the rest of the answer cannot be had")]
pub(crate) struct Broken;

impl Pieces {
    /// Hands over a piece, once there is room.
    pub(crate) async fn push(&self, piece: impl Into<Bytes>) -> Result<(), Gone> {
        self.0.send(Ok(piece.into())).await.map_err(|_| Gone)
    }

    /// Ends the body before its time.
    pub(crate) async fn broken(&self) {
        let _ = self.0.send(Err(Broken)).await;
    }

    /// Returns once the peer has gone.
    pub(crate) async fn gone(&self) {
        self.0.closed().await;
    }
}

/// A body that `make` makes, in a task that ends with it.
pub(crate) fn body<F>(make: impl FnOnce(Pieces) -> F) -> Body
where
    F: Future<Output = ()> + Send + 'static,
{
    let (pieces, taken) = mpsc::channel(WAITING);
    let task = tokio::spawn(make(Pieces(pieces)));
    Body::new(Made { taken, task })
}

struct Made {
    taken: mpsc::Receiver<Result<Bytes, Broken>>,
    task: JoinHandle<()>,
}

impl HttpBody for Made {
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        self.taken.poll_recv(context).map(|piece| piece.map(|piece| piece.map(Frame::data)))
    }
}

impl Drop for Made {
    fn drop(&mut self) {
        self.task.abort();
    }
}
