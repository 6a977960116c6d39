//! How a connection begins: a name, an address, TLS, the server's greeting ("Connection Establishment").

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use tokio::net::TcpStream;
use tokio::sync::{Notify, Semaphore};

use super::outgoing::Outgoing;
use super::reader::Incoming;
use super::state::State;
use super::stream::Stream;
use super::{Connection, ConnectionError, Inner, KeepAlive, Shared, Tls};
use crate::adapter::Serving;
use crate::endpoint::NetworkEndpoint;
use crate::limits::Limits;
use crate::protocol::{Framer, MessageType, OutgoingMessage};

/// Who answers a peer's requests.
pub(crate) type Dispatch = Arc<Serving>;

/// What a new connection gets to know.
#[derive(Clone, Default)]
pub(crate) struct Setup {
    pub(crate) limits: Limits,
    pub(crate) keep_alive: KeepAlive,
    pub(crate) dispatch: Option<Dispatch>,
    pub(crate) tls: Option<Tls>,
}

/// Connects to an endpoint, at each of its addresses until one answers, all within [`Limits::connect`].
pub(crate) async fn connect(endpoint: &NetworkEndpoint, setup: Setup) -> Result<Connection, ConnectionError> {
    let patience = setup.limits.connect;
    match tokio::time::timeout(patience, connect_at_leisure(endpoint, setup)).await {
        Ok(connected) => connected,
        Err(_) => Err(ConnectionError::NoGreeting { endpoint: endpoint.to_string(), after: patience }),
    }
}

async fn connect_at_leisure(endpoint: &NetworkEndpoint, setup: Setup) -> Result<Connection, ConnectionError> {
    let unreachable = |error: std::io::Error| ConnectionError::Unreachable {
        endpoint: endpoint.to_string(),
        problem: error.to_string(),
    };
    let host = if endpoint.host.is_empty() { "127.0.0.1" } else { &endpoint.host };
    let socket = TcpStream::connect((host, endpoint.port)).await.map_err(unreachable)?;
    let _ = socket.set_nodelay(true);
    let stream = match (&setup.tls, endpoint.transport.is_secure()) {
        (_, false) => Stream::Tcp(Arc::new(socket)),
        (Some(tls), true) => Stream::Tls(tls.connect(endpoint, socket).await?),
        (None, true) => {
            return Err(ConnectionError::NoEndpoint {
                endpoints: endpoint.to_string(),
                remedy: "it needs TLS, and none was set up here",
            });
        }
    };
    let peer = format!("{host}:{}", endpoint.port);
    let (mut reader, writer, socket) = stream.halves();
    let mut framer = Framer::new(setup.limits.message);
    let wrong = |source| ConnectionError::Protocol { peer: peer.clone(), source };
    let state = loop {
        if let Some(message) = framer.next_message().map_err(wrong)? {
            // A server that is going away closes at once.
            if message.message == MessageType::Close {
                return Err(ConnectionError::Closed { peer });
            }
            break State::greeted(message.message).map_err(wrong)?;
        }
        match reader.read(framer.space()).await {
            Ok(0) => {
                return Err(ConnectionError::Lost {
                    peer,
                    problem: "it was closed before the greeting".to_owned(),
                });
            }
            Ok(_) => {}
            Err(error) => return Err(ConnectionError::Lost { peer, problem: error.to_string() }),
        }
    };
    Ok(begin(peer, Parts { reader, writer, socket, framer, state }, &setup))
}

/// Greets a client that has connected. `tls`: whether it has to.
pub(crate) async fn accept(
    socket: TcpStream,
    peer: String,
    encrypted: bool,
    setup: &Setup,
) -> Result<Connection, ConnectionError> {
    let _ = socket.set_nodelay(true);
    let stream = match &setup.tls {
        Some(tls) if encrypted => {
            let late =
                |_| ConnectionError::NoGreeting { endpoint: peer.clone(), after: setup.limits.connect };
            Stream::Tls(
                tokio::time::timeout(setup.limits.connect, tls.accept(&peer, socket))
                    .await
                    .map_err(late)??,
            )
        }
        _ => Stream::Tcp(Arc::new(socket)),
    };
    let (reader, writer, socket) = stream.halves();
    let framer = Framer::new(setup.limits.message);
    let connection = begin(peer, Parts { reader, writer, socket, framer, state: State::greeting() }, setup);
    let greeting = OutgoingMessage::bare(MessageType::Validate);
    let lost = |_| connection.shared.why();
    connection.shared.outgoing.send(greeting).await.map_err(lost)?;
    Ok(connection)
}

struct Parts {
    reader: super::stream::Reader,
    writer: super::stream::Writer,
    socket: Option<Arc<TcpStream>>,
    framer: Framer,
    state: State,
}

fn begin(peer: String, parts: Parts, setup: &Setup) -> Connection {
    let Parts { reader, writer, socket, framer, state } = parts;
    let limits = setup.limits;
    let shared = Arc::new(Shared {
        peer,
        inner: Mutex::new(Inner {
            state,
            waiting: HashMap::new(),
            next: 1,
            ended: None,
            dispatch: setup.dispatch.clone(),
            tasks: Vec::new(),
        }),
        outgoing: Outgoing::new(socket, limits.queue),
        room: Arc::new(Semaphore::new(limits.dispatches.max(1))),
        dispatches: u32::try_from(limits.dispatches.max(1)).unwrap_or(u32::MAX),
        ended: Notify::new(),
        idle: Notify::new(),
    });
    let connection = Connection::new(Arc::clone(&shared));
    let incoming = Incoming {
        connection: connection.downgrade(),
        reader,
        framer,
        limits: setup.limits,
        keep_alive: setup.keep_alive,
        received: Instant::now(),
    };
    // Held until both are known: neither can end before it could be stopped.
    let mut inner = shared.lock();
    let reading = tokio::spawn(async move {
        let shared = Arc::clone(&incoming.connection.shared);
        let ends = EndsWith(Arc::clone(&shared));
        let why = incoming.read().await;
        shared.end(why);
        drop(ends);
    });
    let writing = tokio::spawn({
        let shared = Arc::clone(&shared);
        async move {
            let error = shared.outgoing.write(writer).await;
            shared.end(ConnectionError::Lost { peer: shared.peer.clone(), problem: error.to_string() });
        }
    });
    inner.tasks = vec![reading.abort_handle(), writing.abort_handle()];
    drop(inner);
    connection
}

/// Nobody waits for a connection whose task has gone, in whatever way.
struct EndsWith(Arc<Shared>);

impl Drop for EndsWith {
    fn drop(&mut self) {
        self.0.end(ConnectionError::Lost {
            peer: self.0.peer.clone(),
            problem: "its task has gone".to_owned(),
        });
    }
}
