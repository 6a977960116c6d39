//! A real IceGrid registry: what it is asked, what it is told, and that it may go and come back.

use std::path::Path;
use std::sync::Arc;

use biomero_ice::clients::{GridRegistry, Locator, ObjectExists, ObjectNotRegistered, Query};
use biomero_ice::{Adapter, CallError, Communicator, Identity, NetworkEndpoint, Options, Reference};
use biomero_tests::icegrid::Registry;
use biomero_tests::scratch::Scratch;
use biomero_tests::{Result, Trouble};

use super::peer::Peer;
use super::trouble;

fn communicator(registry: &Registry) -> Result<Communicator> {
    let locator = format!("IceGrid/Locator:tcp -h 127.0.0.1 -p {}", registry.port());
    let locator: Reference = locator.parse().map_err(|error| Trouble::new(format!("{error}")))?;
    Ok(Communicator::new(Options { locator: Some(locator), ..super::options() }))
}

/// A peer that listens, as `test/peer`.
async fn listening(communicator: &Communicator) -> Result<Adapter> {
    let adapter = communicator.adapter("");
    adapter.add(Identity::new("test", "peer"), Peer::new(communicator.clone()) as Arc<_>);
    let listening = adapter.listen(&NetworkEndpoint::tcp("127.0.0.1", 0), None).await;
    listening.map_err(|error| Trouble::new(error.to_string()))?;
    Ok(adapter)
}

fn proxy(communicator: &Communicator, text: &str) -> Result<biomero_ice::Proxy> {
    communicator.parse(text).map_err(|error| Trouble::new(error.to_string()))
}

fn start(folder: &Path) -> Result<Registry> {
    Registry::start(folder)
}

#[test]
fn an_object_is_registered_found_by_identity_and_type_called_and_removed() -> Result<()> {
    let scratch = Scratch::new()?;
    let registry = start(scratch.path())?;
    super::run(async {
        let what = trouble("the registry");
        let communicator = communicator(&registry)?;
        let adapter = listening(&communicator).await?;
        let identity = Identity::new("test", "peer");
        // All of them are well-known objects: each way there goes through the locator.
        let session = GridRegistry::new(proxy(&communicator, "IceGrid/Registry")?);
        assert!(session.session_timeout().await.map_err(&what)? >= 0);
        let session = session.admin_session("root", "ome").await.map_err(&what)?;
        let admin = session.admin().await.map_err(&what)?;
        session.keep_alive().await.map_err(&what)?;
        // The registry asks the object for its type.
        let object = adapter.direct(identity.clone());
        admin.add_object(&object).await.map_err(&what)?;
        let exists = admin.add_object(&object).await.err();
        let exists = exists.as_ref().and_then(CallError::raised::<ObjectExists>);
        assert_eq!(exists.map(|exists| &exists.id), Some(&identity));
        admin.update_object(&object).await.map_err(&what)?;
        let info = admin.object_info(&identity).await.map_err(&what)?;
        assert_eq!((info.type_id.as_str(), info.reference.as_ref()), ("::Test::Peer", Some(&object)));

        let query = Query::new(proxy(&communicator, "IceGrid/Query")?);
        assert_eq!(query.object(&identity).await.map_err(&what)?.as_ref(), Some(&object));
        assert_eq!(query.object_of_type("::Test::Peer").await.map_err(&what)?.as_ref(), Some(&object));
        assert_eq!(
            query.objects_of_type("::Test::Peer").await.map_err(&what)?,
            std::slice::from_ref(&object)
        );
        assert_eq!(query.objects_of_type("::Test::Nobody").await.map_err(&what)?, []);
        assert_eq!(query.replicas(&object).await.map_err(&what)?, []);

        let well_known = proxy(&communicator, "test/peer")?;
        assert_eq!(well_known.ice_id().await.map_err(&what)?, "::Test::Peer");
        admin.remove_object(&identity).await.map_err(&what)?;
        let error = admin.object_info(&identity).await.err();
        assert!(error.as_ref().and_then(CallError::raised::<ObjectNotRegistered>).is_some(), "{error:?}");
        session.destroy().await.map_err(&what)
    })
}

#[test]
fn an_adapter_says_where_it_is_and_where_it_has_moved() -> Result<()> {
    let scratch = Scratch::new()?;
    let log = scratch.path().join("registry.log");
    let registry = Registry::start_with(scratch.path(), &["--IceGrid.Registry.DynamicRegistration=1"])?;
    let done = super::run(async {
        let what = trouble("the locator");
        let communicator = communicator(&registry)?;
        let adapter = listening(&communicator).await?;
        let text = format!("IceGrid/Locator:tcp -h 127.0.0.1 -p {}", registry.port());
        let locator = Locator::new(proxy(&communicator, &text)?);
        let said = locator.registry().await.map_err(&what)?;
        let said = said.ok_or_else(|| Trouble::new("there is no locator registry"))?;
        let peer = proxy(&communicator, "test/peer @ Moving")?;
        let error = peer.ice_ping().await.err();
        assert!(matches!(error, Some(CallError::Unlocated { .. })), "{error:?}");
        let anything = |adapter: &Adapter| adapter.direct(Identity::named("dummy"));
        said.set_adapter("Moving", Some(&anything(&adapter))).await.map_err(&what)?;
        peer.ice_ping().await.map_err(&what)?;
        // What is remembered of it leads nowhere now.
        let moved = listening(&communicator).await?;
        adapter.close(std::time::Duration::from_secs(5)).await;
        said.set_adapter("Moving", None).await.map_err(&what)?;
        said.set_adapter("Moving", Some(&anything(&moved))).await.map_err(&what)?;
        peer.ice_ping().await.map_err(&what)?;
        // It may answer a moment before it is counted.
        let counted = async {
            while moved.connections() != 1 {
                tokio::time::sleep(std::time::Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(biomero_tests::wait::PATIENCE, counted).await.map_err(|_| {
            Trouble::new(format!("{} connections to where it has moved", moved.connections()))
        })?;
        Ok(())
    });
    done.map_err(|error: Trouble| Trouble::new(format!("{error}{}", biomero_tests::wait::ends_of(&[&log]))))
}

#[test]
fn a_registry_that_was_restarted_is_found_again() -> Result<()> {
    let scratch = Scratch::new()?;
    let registry = start(scratch.path())?;
    let communicator = communicator(&registry)?;
    let port = registry.port();
    super::run(async {
        let what = trouble("the query");
        let query = Query::new(proxy(&communicator, "IceGrid/Query")?);
        assert_eq!(query.objects_of_type("::Test::Nobody").await.map_err(&what)?, []);
        registry.stop()?;
        let error = query.objects_of_type("::Test::Nobody").await.err();
        assert!(error.as_ref().is_some_and(CallError::is_connection), "{error:?}");
        let again = Registry::start_at(scratch.path(), port, &[])?;
        assert_eq!(query.objects_of_type("::Test::Nobody").await.map_err(&what)?, []);
        again.stop()
    })
}
