//! A connection: HTTP/1.1, with an end to everything that a peer could draw out.
//!
//! Invariants: who sends no request within [`HEAD`], or takes nothing of an answer for [`SILENT`], is cut off; how many are
//! connected is bounded for each way in, so that those who come over the network leave the socket free.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpListener;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::{Sleep, sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tower::ServiceExt as _;

use super::address::Tcp;
use super::guard::Way;
use super::socket::Socket;

/// How many are connected at a time, each way.
const CONNECTED: usize = 2_048;
/// How long the head of a request may take, also the first byte of it.
const HEAD: Duration = Duration::from_secs(20);
/// How long TLS may take to begin.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// How long a peer may take nothing of an answer.
const SILENT: Duration = Duration::from_secs(60);
/// The largest head of a request, in bytes; of which hyper keeps one for each connection.
const LARGEST_HEAD: usize = 16 << 10;
/// How many headers a request may have.
const HEADERS: usize = 64;
/// After an accept that failed, as where no descriptors are left.
const BREATH: Duration = Duration::from_millis(100);

/// Serves who connects to the socket, until `stop`.
pub(crate) async fn over_socket(socket: &Socket, router: Router, stop: watch::Receiver<bool>) {
    let places = Arc::new(Semaphore::new(CONNECTED));
    let mut served = JoinSet::new();
    while let Some(place) = place(&places, &mut served, stop.clone()).await {
        let accepted = tokio::select! {
            accepted = socket.listener.accept() => accepted,
            () = told(stop.clone()) => break,
        };
        match accepted {
            Ok((stream, _)) => {
                let user = stream.peer_cred().map(|peer| peer.uid()).ok();
                let (router, stop) = (router.clone(), stop.clone());
                served.spawn(one(stream, Way::Socket { user }, router, stop, place));
            }
            Err(error) => refused(&error).await,
        }
    }
    ended(served).await;
}

/// Serves who connects over TCP, until `stop`.
pub(crate) async fn over_tcp(listener: TcpListener, tcp: Tcp, router: Router, stop: watch::Receiver<bool>) {
    let places = Arc::new(Semaphore::new(CONNECTED));
    let acceptor = tcp.tls.map(TlsAcceptor::from);
    let mut served = JoinSet::new();
    while let Some(place) = place(&places, &mut served, stop.clone()).await {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = told(stop.clone()) => break,
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                refused(&error).await;
                continue;
            }
        };
        // Answers are whole when they are written: nothing is gained by waiting for more.
        let _ = stream.set_nodelay(true);
        let is_encrypted = acceptor.is_some();
        let way = Way::Tcp { peer: peer.ip(), tokens: Arc::clone(&tcp.tokens), is_encrypted };
        let (router, stop, acceptor) = (router.clone(), stop.clone(), acceptor.clone());
        served.spawn(async move {
            match acceptor {
                None => one(stream, way, router, stop, place).await,
                Some(acceptor) => match timeout(HANDSHAKE, acceptor.accept(stream)).await {
                    Ok(Ok(stream)) => one(stream, way, router, stop, place).await,
                    Ok(Err(error)) => tracing::debug!("{peer}: no TLS: {error}"),
                    Err(_) => tracing::debug!("{peer}: TLS took too long"),
                },
            }
        });
    }
    ended(served).await;
}

/// A place for one more; none once it is to end.
async fn place(
    places: &Arc<Semaphore>,
    served: &mut JoinSet<()>,
    stop: watch::Receiver<bool>,
) -> Option<OwnedSemaphorePermit> {
    while served.try_join_next().is_some() {}
    tokio::select! {
        place = Arc::clone(places).acquire_owned() => place.ok(),
        () = told(stop) => None,
    }
}

async fn refused(error: &io::Error) {
    tracing::warn!("a connection was not accepted: {error}");
    sleep(BREATH).await;
}

/// Requests under way are answered; streams end by themselves, as they are told to.
async fn ended(mut served: JoinSet<()>) {
    while served.join_next().await.is_some() {}
}

/// Returns once it is true.
pub(crate) async fn told(mut stop: watch::Receiver<bool>) {
    // Whoever could tell is gone: it is over too.
    let _ = stop.wait_for(|told| *told).await;
}

async fn one<S>(
    stream: S,
    way: Way,
    router: Router,
    stop: watch::Receiver<bool>,
    _place: OwnedSemaphorePermit,
) where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let service = router.map_request(move |mut request: Request<hyper::body::Incoming>| {
        request.extensions_mut().insert(way.clone());
        request.map(axum::body::Body::new)
    });
    let mut connection = std::pin::pin!(
        http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD)
            .max_headers(HEADERS)
            .max_buf_size(LARGEST_HEAD)
            .half_close(false)
            .serve_connection(TokioIo::new(Patient::new(stream)), TowerToHyperService::new(service))
    );
    let outcome = tokio::select! {
        outcome = connection.as_mut() => outcome,
        () = told(stop) => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = outcome {
        tracing::debug!("a connection broke off: {error}");
    }
}

/// A stream whose writes fail when the peer takes nothing for [`SILENT`].
struct Patient<S> {
    stream: S,
    waiting: Option<Pin<Box<Sleep>>>,
}

impl<S> Patient<S> {
    const fn new(stream: S) -> Self {
        Self { stream, waiting: None }
    }

    fn patience<T>(&mut self, polled: Poll<io::Result<T>>, context: &mut Context<'_>) -> Poll<io::Result<T>> {
        if polled.is_ready() {
            self.waiting = None;
            return polled;
        }
        let waiting = self.waiting.get_or_insert_with(|| Box::pin(sleep(SILENT)));
        match waiting.as_mut().poll(context) {
            Poll::Ready(()) => Poll::Ready(Err(io::ErrorKind::TimedOut.into())),
            Poll::Pending => Poll::Pending,
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Patient<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Patient<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.patience(polled, context)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut self.stream).poll_flush(context);
        self.patience(polled, context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut self.stream).poll_shutdown(context);
        self.patience(polled, context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write_vectored(context, slices);
        self.patience(polled, context)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}
