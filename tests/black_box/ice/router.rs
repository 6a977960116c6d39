//! A real Glacier2 router: sessions, objects behind it, callbacks through it, TLS that it has no certificate for.

use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use biomero_ice::clients::{CannotCreateSession, PermissionDenied, Router};
use biomero_ice::{
    CallError, Communicator, Context, Identity, Mode, NetworkEndpoint, Options, Proxy, Reference, Tls,
    Transport,
};
use biomero_tests::scratch::Scratch;
use biomero_tests::{Result, Trouble, ice, process};
use bytes::Bytes;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore, ServerConfig};

use super::asked::Callback;
use super::peer::Peer;
use super::trouble;

/// Sessions, and a router before them.
fn grid(scratch: &Scratch, options: &[&str]) -> Result<(ice::Server, ice::Glacier2)> {
    let mut sessions = ice::script("sessions.py");
    sessions.arg("--Ice.ThreadPool.Server.Size=4");
    let sessions = ice::Server::run("sessions", sessions, scratch.path())?;
    let router = ice::Glacier2::start(scratch.path(), sessions.proxy(), options)?;
    Ok((sessions, router))
}

fn reference(text: &str) -> Result<Reference> {
    text.parse().map_err(|error| Trouble::new(format!("{error}")))
}

fn context() -> Context {
    Context::from([("test.client".to_owned(), "rust".to_owned())])
}

async fn session(router: &Router) -> Result<Proxy> {
    let session = router.create_session("somebody", "secret", &context()).await;
    session.map_err(trouble("createSession"))?.ok_or_else(|| Trouble::new("no session"))
}

#[test]
fn a_session_its_objects_and_a_callback_through_the_router() -> Result<()> {
    let scratch = Scratch::new()?;
    // It remembers two objects: what it forgets it is told again.
    let (_sessions, glacier2) = grid(&scratch, &["--Glacier2.RoutingTable.MaxSize=2"])?;
    super::run(async {
        let what = trouble("through the router");
        let communicator = super::communicator();
        let callbacks = communicator.adapter("");
        let router = Router::connect(&communicator, &reference(&glacier2.proxy())?, Some(&callbacks))
            .await
            .map_err(&what)?;
        assert_eq!(router.proxy().ice_id().await.map_err(&what)?, "::Glacier2::Router");
        let denied = router.create_session("somebody", "wrong", &context()).await.err();
        let denied = denied.as_ref().and_then(CallError::raised::<PermissionDenied>);
        assert_eq!(denied.map(|denied| denied.reason.as_str()), Some("another password"));
        let refused = router.create_session("nobody", "secret", &context()).await.err();
        let refused = refused.as_ref().and_then(CallError::raised::<CannotCreateSession>);
        assert_eq!(refused.map(|refused| refused.reason.as_str()), Some("there is no session for nobody"));

        let session = session(&router).await?;
        assert_eq!(session.ice_id().await.map_err(&what)?, "::Test::Session");
        let mut peers = Vec::new();
        for _ in 0..4 {
            let peer = session
                .call("open", Mode::Normal, |_| {})
                .await
                .and_then(|results| results.value::<Option<Reference>>());
            let peer = peer.map_err(&what)?.ok_or_else(|| Trouble::new("no peer"))?;
            peers.push(router.route(peer).await.map_err(&what)?);
        }
        for peer in peers.iter().chain(&peers) {
            let sent = Bytes::from(vec![9; 100_000]);
            let back = peer.call("echo", Mode::Idempotent, |encoder| encoder.blob(&sent)).await;
            assert_eq!(back.and_then(|results| results.value::<Bytes>()).map_err(&what)?, sent);
        }

        let servant = Arc::new(Callback::default());
        let callback = router.callback("callback").await.map_err(&what)?;
        callbacks.add(callback.identity.clone(), servant.clone());
        let called = session.call("callBack", Mode::Normal, |encoder| {
            encoder.value(&callback);
            encoder.int(5);
        });
        assert_eq!(called.await.and_then(|results| results.value::<i32>()).map_err(&what)?, 100);
        router.refresh_session().await.map_err(&what)?;
        assert!(router.session_timeout().await.map_err(&what)? >= 0);
        router.destroy_session().await.map_err(&what)?;
        tokio::time::timeout(Duration::from_secs(10), router.connection().ended()).await.ok();
        let gone = session.ice_ping().await.err();
        assert!(gone.is_some(), "a session that was destroyed answers");
        Ok(())
    })
}

#[test]
fn a_router_that_is_killed_in_a_call_is_noticed_at_once() -> Result<()> {
    let scratch = Scratch::new()?;
    let (_sessions, mut glacier2) = grid(&scratch, &[])?;
    super::run(async {
        let what = trouble("through the router");
        let communicator = super::communicator();
        let router =
            Router::connect(&communicator, &reference(&glacier2.proxy())?, None).await.map_err(&what)?;
        let session = session(&router).await?;
        let peer = session
            .call("open", Mode::Normal, |_| {})
            .await
            .and_then(|results| results.value::<Option<Reference>>());
        let peer = router
            .route(peer.map_err(&what)?.ok_or_else(|| Trouble::new("no peer"))?)
            .await
            .map_err(&what)?;
        let call = tokio::spawn(async move {
            peer.call("slow", Mode::Idempotent, |encoder| encoder.int(30_000)).await.map(drop)
        });
        tokio::time::sleep(Duration::from_millis(300)).await;
        glacier2.process().signal(nix::sys::signal::Signal::SIGKILL)?;
        let ended = tokio::time::timeout(Duration::from_secs(10), call).await;
        let error = ended.ok().and_then(std::result::Result::ok).and_then(std::result::Result::err);
        assert!(error.as_ref().is_some_and(CallError::is_connection), "{error:?}");
        Ok(())
    })
}

#[test]
fn a_router_without_a_certificate_is_said_to_have_none() -> Result<()> {
    let scratch = Scratch::new()?;
    let (_sessions, glacier2) = grid(&scratch, &[])?;
    super::run(async {
        let tls = Tls { client: Some(trusting(RootCertStore::empty())?), server: None };
        let communicator = Communicator::new(Options { tls: Some(tls), ..super::options() });
        let error = Router::connect(&communicator, &reference(&glacier2.ssl_proxy())?, None).await.err();
        let error = error.map(|error| error.to_string()).unwrap_or_default();
        assert!(error.contains("anonymous") && error.contains("omero certificates"), "{error}");
        Ok(())
    })
}

fn broken(error: impl std::fmt::Display) -> Trouble {
    Trouble::new(error.to_string())
}

/// A client that trusts these.
fn trusting(roots: RootCertStore) -> Result<Arc<ClientConfig>> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let client = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(broken)?;
    Ok(Arc::new(client.with_root_certificates(roots).with_no_client_auth()))
}

/// A certificate of this machine's loopback address, and its key.
fn certificate(scratch: &Scratch) -> Result<(PathBuf, PathBuf)> {
    let (certificate, key) = (scratch.path().join("certificate.pem"), scratch.path().join("key.pem"));
    let mut make = Command::new("openssl");
    make.args(["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=ice"]);
    make.args(["-addext", "subjectAltName=IP:127.0.0.1", "-addext", "basicConstraints=critical,CA:FALSE"]);
    make.arg("-keyout").arg(&key).arg("-out").arg(&certificate);
    process::succeed(&mut make, Duration::from_secs(60))?;
    Ok((certificate, key))
}

#[test]
fn a_router_with_a_certificate_and_a_server_of_ours_are_reached_over_tls() -> Result<()> {
    let scratch = Scratch::new()?;
    let (certificate, key) = certificate(&scratch)?;
    let (shown, secret) = (
        format!("--IceSSL.CertFile={}", certificate.display()),
        format!("--IceSSL.KeyFile={}", key.display()),
    );
    let (_sessions, glacier2) = grid(&scratch, &[&shown, &secret, "--IceSSL.Ciphers=HIGH"])?;
    let certificate = CertificateDer::from_pem_file(certificate).map_err(broken)?;
    let key = PrivateKeyDer::from_pem_file(key).map_err(broken)?;
    let mut roots = RootCertStore::empty();
    roots.add(certificate.clone()).map_err(broken)?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let server = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(broken)?;
    let server = server.with_no_client_auth().with_single_cert(vec![certificate], key).map_err(broken)?;
    let tls = Tls { client: Some(trusting(roots)?), server: Some(Arc::new(server)) };
    super::run(async {
        let what = trouble("over TLS");
        let communicator = Communicator::new(Options { tls: Some(tls), ..super::options() });
        let router =
            Router::connect(&communicator, &reference(&glacier2.ssl_proxy())?, None).await.map_err(&what)?;
        let session = session(&router).await?;
        assert_eq!(session.ice_id().await.map_err(&what)?, "::Test::Session");

        let adapter = communicator.adapter("");
        adapter.add(Identity::named("peer"), Peer::new(communicator.clone()) as Arc<_>);
        let endpoint = NetworkEndpoint::new(Transport::Ssl, "127.0.0.1", 0);
        adapter.listen(&endpoint, None).await.map_err(broken)?;
        let peer = communicator.proxy(adapter.direct(Identity::named("peer")));
        let sent = Bytes::from(vec![3; 5_000_000]);
        let back = peer.call("echo", Mode::Idempotent, |encoder| encoder.blob(&sent)).await;
        assert_eq!(back.and_then(|results| results.value::<Bytes>()).map_err(&what)?, sent);
        Ok(())
    })
}
