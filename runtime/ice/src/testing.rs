//! A servant and its proxy, for the tests of connections.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;

use crate::adapter::{Answering, Call, Servant};
use crate::connection::Connection;
use crate::encoding::DecodeLimits;
use crate::{Adapter, Communicator, Identity, KeepAlive, Limits, Mode, NetworkEndpoint, Options, Proxy};

/// Answers with what it was told, at once or later, or asks back.
#[derive(Default)]
pub(crate) struct Echo {
    /// Calls of `count`.
    pub(crate) counted: AtomicUsize,
    /// For calls back.
    pub(crate) communicator: Option<Communicator>,
}

impl Servant for Echo {
    fn type_ids(&self) -> &[&'static str] {
        &["::Test::Echo", "::Test::Base"]
    }

    fn answer(self: Arc<Self>, call: Call) -> Answering {
        Box::pin(async move {
            match call.operation() {
                "echo" => call.answer(&call.parameters::<Bytes>()?),
                "later" => {
                    let milliseconds: i32 = call.parameters()?;
                    tokio::time::sleep(Duration::from_millis(milliseconds.unsigned_abs().into())).await;
                    call.answer(&milliseconds)
                }
                "count" => {
                    self.counted.fetch_add(1, Ordering::Relaxed);
                    call.answer(&())
                }
                "hang_up" => {
                    call.connection().close(Duration::ZERO).await;
                    call.answer(&())
                }
                "ask_back" => {
                    let back = self.communicator.as_ref().ok_or_else(|| call.unknown_operation())?;
                    let back = back.fixed(Connection::callback(Identity::named("back")), call.connection());
                    let answer = back.call("echo", Mode::Normal, |encoder| encoder.bytes(b"back")).await;
                    let answer: Result<Bytes, _> = answer.and_then(|results| results.value());
                    call.answer(&answer.unwrap_or_else(|error| error.to_string().into()))
                }
                _ => Err(call.unknown_operation()),
            }
        })
    }
}

/// Small limits.
pub(crate) fn options() -> Options {
    Options {
        limits: Limits {
            message: 8 << 20,
            decode: DecodeLimits { memory: 64 << 20, depth: 100 },
            queue: 1 << 20,
            dispatches: 4,
            connections: 100,
            connect: Duration::from_secs(5),
        },
        timeout: Duration::from_secs(20),
        keep_alive: KeepAlive { heartbeat: None, silence: None, idle: None },
        ..Options::default()
    }
}

/// An adapter with an `echo`, and a proxy to it of another communicator.
pub(crate) async fn echo(options: Options) -> (Adapter, Proxy) {
    let server = Communicator::new(options.clone());
    let adapter = server.adapter("");
    let servant = Echo { communicator: Some(server), ..Echo::default() };
    adapter.add(Identity::named("echo"), Arc::new(servant));
    adapter.listen(&NetworkEndpoint::tcp("127.0.0.1", 0), None).await.unwrap();
    let proxy = Communicator::new(options).proxy(adapter.direct(Identity::named("echo")));
    (adapter, proxy)
}

/// What is expected comes about soon.
pub(crate) async fn soon(what: &str, mut holds: impl FnMut() -> bool) {
    for _ in 0..500 {
        if holds() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("{what}: not within five seconds");
}
