//! Both ends over loopback, and ends that do not keep to the rules.

use std::io::Write as _;
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::*;
use crate::protocol::{Fault, HEADER, Header};
use crate::testing::{Echo, echo, options, soon};
use crate::{CallError, Communicator, Identity, Mode, NetworkEndpoint, Options, Proxy, Reference};

async fn told(proxy: &Proxy, bytes: Bytes) -> Result<Bytes, CallError> {
    proxy.call("echo", Mode::Normal, |encoder| encoder.blob(&bytes)).await?.value()
}

#[tokio::test]
async fn a_call_is_answered() {
    let (adapter, proxy) = echo(options()).await;
    assert_eq!(told(&proxy, "text".into()).await.unwrap(), "text");
    proxy.ice_ping().await.unwrap();
    assert!(proxy.ice_is_a("::Test::Base").await.unwrap());
    assert!(proxy.ice_is_a("::Ice::Object").await.unwrap());
    assert!(!proxy.ice_is_a("::Test::Other").await.unwrap());
    assert_eq!(proxy.ice_id().await.unwrap(), "::Test::Echo");
    assert_eq!(proxy.ice_ids().await.unwrap(), ["::Ice::Object", "::Test::Base", "::Test::Echo"]);
    assert_eq!(adapter.connections(), 1);
}

#[tokio::test]
async fn what_is_not_there_is_named() {
    let (adapter, proxy) = echo(options()).await;
    let fault = |error| match error {
        CallError::Fault { fault, .. } => *fault,
        other => panic!("{other}"),
    };
    let missing = proxy.of(adapter.direct(Identity::new("c", "nobody")));
    let error = fault(missing.ice_ping().await.unwrap_err());
    assert!(matches!(error, Fault::ObjectNotExist { identity, .. } if identity.to_string() == "c/nobody"));
    let facet = proxy.of(Reference { facet: "f".to_owned(), ..proxy.reference().clone() });
    assert!(
        matches!(fault(facet.ice_ping().await.unwrap_err()), Fault::FacetNotExist { facet, .. } if facet == "f")
    );
    let error = fault(proxy.call("nope", Mode::Normal, |_| {}).await.unwrap_err());
    assert!(matches!(error, Fault::OperationNotExist { operation, .. } if operation == "nope"));
    let error = fault(proxy.call("later", Mode::Normal, |_| {}).await.unwrap_err());
    assert!(matches!(error, Fault::UnknownLocal(text) if text.contains("int")));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_calls_share_a_connection() {
    let (adapter, proxy) = echo(options()).await;
    let mut calls = tokio::task::JoinSet::new();
    for number in 0..300usize {
        let proxy = proxy.clone();
        calls.spawn(async move {
            if number % 10 == 0 {
                let later = proxy.call("later", Mode::Normal, |encoder| encoder.int(20)).await.unwrap();
                assert_eq!(later.value::<i32>().unwrap(), 20);
            }
            let bytes = Bytes::from(vec![number as u8; number * 331]);
            assert_eq!(told(&proxy, bytes.clone()).await.unwrap(), bytes);
        });
    }
    while let Some(done) = calls.join_next().await {
        done.unwrap();
    }
    assert_eq!(adapter.connections(), 1);
}

#[tokio::test]
async fn messages_up_to_the_limit_pass_and_no_larger_ones() {
    let (_adapter, proxy) = echo(options()).await;
    let bytes = Bytes::from(vec![5; (8 << 20) - 100]);
    assert_eq!(told(&proxy, bytes.clone()).await.unwrap(), bytes);
    let error = told(&proxy, Bytes::from(vec![5; 8 << 20])).await.unwrap_err();
    assert!(matches!(error, CallError::Encode { .. }), "{error}");
    proxy.ice_ping().await.unwrap();
}

#[tokio::test]
async fn a_call_has_a_deadline_and_the_connection_outlives_it() {
    let (adapter, proxy) = echo(options()).await;
    let hasty = proxy.with_timeout(Duration::from_millis(50));
    let started = Instant::now();
    let error = hasty.call("later", Mode::Normal, |encoder| encoder.int(5000)).await.unwrap_err();
    assert!(matches!(error, CallError::Deadline { .. }), "{error}");
    assert!(started.elapsed() < Duration::from_secs(2));
    proxy.ice_ping().await.unwrap();
    assert_eq!(adapter.connections(), 1);
    assert!(proxy.connection().await.unwrap().shared.lock().waiting.is_empty());
}

#[tokio::test]
async fn a_client_is_called_back_over_its_own_connection() {
    let (adapter, proxy) = echo(options()).await;
    let callbacks = proxy.communicator().adapter("");
    callbacks.add(Identity::named("back"), Arc::new(Echo::default()));
    let connection = proxy.connection().await.unwrap();
    let nobody = proxy.call("ask_back", Mode::Normal, |_| {}).await.unwrap().value::<Bytes>().unwrap();
    assert!(nobody.starts_with(b"echo: there is no object back"), "{nobody:?}");
    connection.serve(&callbacks);
    let back = proxy.call("ask_back", Mode::Normal, |_| {}).await.unwrap();
    assert_eq!(back.value::<Bytes>().unwrap(), "back");
    assert_eq!(adapter.connections(), 1);
}

#[tokio::test]
async fn oneway_calls_and_batches_arrive() {
    let options = options();
    let adapter = Communicator::new(options.clone()).adapter("");
    let servant = Arc::new(Echo::default());
    adapter.add(Identity::named("echo"), servant.clone());
    adapter.listen(&NetworkEndpoint::tcp("127.0.0.1", 0), None).await.unwrap();
    let proxy = Communicator::new(options).proxy(adapter.direct(Identity::named("echo")));
    for _ in 0..10 {
        proxy.operation("count", Mode::Normal).oneway(|_| {}).await.unwrap();
    }
    let mut batch = proxy.batch();
    for _ in 0..100 {
        batch.add("count", Mode::Normal, |_| {}).unwrap();
    }
    batch.send().await.unwrap();
    proxy.ice_ping().await.unwrap();
    assert_eq!(servant.counted.load(std::sync::atomic::Ordering::Relaxed), 110);
}

#[tokio::test]
async fn closing_waits_for_what_is_being_answered() {
    let (adapter, proxy) = echo(options()).await;
    let slow = proxy.clone();
    let call =
        tokio::spawn(async move { slow.call("later", Mode::Normal, |encoder| encoder.int(200)).await });
    let busy = proxy.connection().await.unwrap();
    soon("a call", || !busy.shared.lock().waiting.is_empty()).await;
    tokio::time::sleep(Duration::from_millis(50)).await;
    adapter.close(Duration::from_secs(10)).await;
    assert_eq!(call.await.unwrap().unwrap().value::<i32>().unwrap(), 200);
    assert!(matches!(busy.ended().await, ConnectionError::Closed { .. }));
    assert_eq!(adapter.connections(), 0);
}

#[tokio::test]
async fn closing_ends_although_requests_wait_for_their_turn() {
    let (adapter, proxy) = echo(options()).await;
    let mut calls = tokio::task::JoinSet::new();
    for _ in 0..20 {
        let proxy = proxy.clone();
        calls.spawn(async move { proxy.call("later", Mode::Normal, |encoder| encoder.int(100)).await });
    }
    tokio::time::sleep(Duration::from_millis(50)).await;
    let started = Instant::now();
    adapter.close(Duration::from_secs(20)).await;
    assert!(started.elapsed() < Duration::from_secs(10), "{:?}", started.elapsed());
    // Each was answered, or certainly not carried out and found nobody when it was sent again.
    while let Some(call) = calls.join_next().await {
        match call.unwrap() {
            Ok(results) => assert_eq!(results.value::<i32>().unwrap(), 100),
            Err(error) => assert!(
                matches!(
                    error,
                    CallError::Connection {
                        source: ConnectionError::Unreachable { .. } | ConnectionError::Closed { .. },
                        ..
                    }
                ),
                "{error}"
            ),
        }
    }
}

#[tokio::test]
async fn a_connection_that_its_server_has_closed_is_opened_again() {
    let (adapter, proxy) = echo(options()).await;
    let first = proxy.connection().await.unwrap();
    // Nobody knows whether this one was carried out: it is not repeated.
    let error = proxy.call("hang_up", Mode::Normal, |_| {}).await.unwrap_err();
    assert!(error.is_connection(), "{error}");
    first.ended().await;
    proxy.ice_ping().await.unwrap();
    assert!(!proxy.connection().await.unwrap().is(&first));
    soon("the first is gone", || adapter.connections() == 1).await;
}

#[tokio::test]
async fn what_nobody_holds_is_closed() {
    let (adapter, proxy) = echo(options()).await;
    proxy.ice_ping().await.unwrap();
    let watched = proxy.connection().await.unwrap().watch();
    assert_eq!(adapter.connections(), 1);
    drop(proxy);
    watched.await;
    soon("the server sees it", || adapter.connections() == 0).await;
    let serving = Arc::downgrade(&adapter.dispatch());
    drop(adapter);
    soon("the servants are gone", || serving.upgrade().is_none()).await;
}

/// A peer that greets, reads what comes and answers with these bytes.
fn rude(answer: Vec<u8>, then_wait: bool) -> Proxy {
    rude_with(answer, then_wait, options())
}

fn rude_with(answer: Vec<u8>, then_wait: bool, options: Options) -> Proxy {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = NetworkEndpoint::tcp("127.0.0.1", listener.local_addr().unwrap().port());
    std::thread::spawn(move || {
        while let Ok((mut socket, _)) = listener.accept() {
            let mut request = [0; 64];
            let greeting = OutgoingMessage::bare(MessageType::Validate);
            let _ = greeting.pieces_from(0).try_for_each(|piece| socket.write_all(piece));
            let _ = std::io::Read::read(&mut socket, &mut request);
            let _ = socket.write_all(&answer);
            if then_wait {
                std::thread::sleep(Duration::from_secs(30));
            }
        }
    });
    Communicator::new(options).proxy(Reference::direct(Identity::named("rude"), endpoint))
}

fn header(size: usize) -> Vec<u8> {
    Header { message: MessageType::Reply, compression: Compression::Unsupported, size }.to_bytes().to_vec()
}

#[tokio::test]
async fn a_peer_that_makes_no_sense_is_left_with_a_reason() {
    for (answer, reason) in [
        (b"HTTP/1.1 400 Bad Request\r\n".to_vec(), "does not speak Ice"),
        (header(i32::MAX as usize), "more than the 8388608 that are allowed"),
        (header(100)[..9].to_vec(), "broke off in a message"),
        ([header(1000), vec![0; 500]].concat(), "broke off in a message"),
        ([header(HEADER + 5), vec![1, 0, 0, 0, 9]].concat(), "a reply status has no value 9"),
        (Vec::new(), "closed without a word"),
    ] {
        let error = rude(answer, false).call("echo", Mode::Normal, |_| {}).await.unwrap_err().to_string();
        assert!(error.contains(reason), "{reason}: {error}");
    }
}

#[tokio::test]
async fn replies_that_nobody_waits_for_are_dropped() {
    let reply = [header(HEADER + 5 + 6), vec![77, 0, 0, 0, 0], vec![6, 0, 0, 0, 1, 1]].concat();
    let error = rude(reply.repeat(1000), false).call("echo", Mode::Normal, |_| {}).await.unwrap_err();
    assert!(error.to_string().contains("closed without a word"), "{error}");
}

#[tokio::test]
async fn silence_is_noticed() {
    let keep_alive = KeepAlive { silence: Some(Duration::from_millis(200)), ..options().keep_alive };
    for (answer, during) in [(Vec::new(), "a call waits"), (header(100), "in the middle of a message")] {
        let proxy = rude_with(answer, true, Options { keep_alive, ..options() });
        let error = proxy.call("echo", Mode::Normal, |_| {}).await.unwrap_err().to_string();
        assert!(error.contains(during), "{error}");
    }
}

#[tokio::test]
async fn nobody_there_and_nobody_who_greets_are_told_apart() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let mut options = options();
    options.limits.connect = Duration::from_millis(200);
    let proxy = Communicator::new(options)
        .proxy(Reference::direct(Identity::named("a"), NetworkEndpoint::tcp("127.0.0.1", port)));
    let error = proxy.ice_ping().await.unwrap_err().to_string();
    assert!(error.contains("has not greeted us within"), "{error}");
    drop(listener);
    let error = proxy.ice_ping().await.unwrap_err().to_string();
    assert!(error.contains("cannot connect to tcp -h 127.0.0.1"), "{error}");
}

#[tokio::test]
async fn heartbeats_keep_a_quiet_call_alive_and_an_idle_connection_is_closed() {
    let beats = KeepAlive {
        heartbeat: Some(Duration::from_millis(50)),
        silence: Some(Duration::from_millis(400)),
        idle: Some(Duration::from_millis(800)),
    };
    let (adapter, proxy) = echo(Options { keep_alive: beats, ..options() }).await;
    let results = proxy.call("later", Mode::Normal, |encoder| encoder.int(1000)).await.unwrap();
    assert_eq!(results.value::<i32>().unwrap(), 1000);

    let idle = KeepAlive { heartbeat: None, silence: None, idle: Some(Duration::from_millis(200)) };
    let (other, proxy) = echo(Options { keep_alive: idle, ..options() }).await;
    proxy.ice_ping().await.unwrap();
    soon("the idle one is closed", || other.connections() == 0).await;
    proxy.ice_ping().await.unwrap();
    drop(adapter);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rude_clients_are_forgotten_and_others_are_served() {
    let (adapter, proxy) = echo(options()).await;
    let Some(crate::Endpoint::Network(endpoint)) = adapter.endpoints().pop() else { panic!("no endpoint") };
    for answer in [
        b"GET / HTTP/1.1\r\n\r\n".to_vec(),
        header(i32::MAX as usize),
        header(100),
        [header(HEADER + 5), vec![1, 0, 0, 0, 9]].concat(),
        Vec::new(),
    ] {
        let mut socket = TcpStream::connect(("127.0.0.1", endpoint.port)).unwrap();
        socket.write_all(&answer).unwrap();
        drop(socket);
        proxy.ice_ping().await.unwrap();
    }
    soon("only the polite one is left", || adapter.connections() == 1).await;
    proxy.ice_ping().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn more_clients_than_there_are_places_wait() {
    let (adapter, proxy) = echo(options()).await;
    let Some(crate::Endpoint::Network(endpoint)) = adapter.endpoints().pop() else { panic!("no endpoint") };
    let sockets: Vec<_> =
        (0..150).map(|_| TcpStream::connect(("127.0.0.1", endpoint.port)).unwrap()).collect();
    soon("all places are taken", || adapter.connections() == 100).await;
    drop(sockets);
    proxy.ice_ping().await.unwrap();
    soon("they are gone", || adapter.connections() == 1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_reads_nothing_makes_nobody_remember_its_answers() {
    let (adapter, proxy) = echo(options()).await;
    let Some(crate::Endpoint::Network(endpoint)) = adapter.endpoints().pop() else { panic!("no endpoint") };
    let mut socket = TcpStream::connect(("127.0.0.1", endpoint.port)).unwrap();
    socket.set_write_timeout(Some(Duration::from_millis(500))).unwrap();
    let request = crate::protocol::OutgoingRequest {
        identity: &Identity::named("echo"),
        facet: "",
        operation: "echo",
        mode: Mode::Normal,
        context: &crate::Context::new(),
        encoding: crate::encoding::Encoding::V1_1,
        format: crate::encoding::Format::Compact,
    };
    let body = request.body(None, |encoder| encoder.bytes(&vec![1; 1 << 20])).unwrap();
    let request = OutgoingMessage::numbered(MessageType::Request, Compression::Unsupported, 1, body);
    let bytes: Vec<u8> = request.pieces_from(0).flatten().copied().collect();
    // Its queue, its dispatches and the system's buffers are full long before that.
    let refused = (0..100).find_map(|_| socket.write_all(&bytes).err());
    assert!(refused.is_some(), "the server has taken 100 MB of requests and sent no answer");
    proxy.ice_ping().await.unwrap();
}
