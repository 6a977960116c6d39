//! Sessions: begun, joined, lost and ended.

use std::time::{Duration, Instant};

use biomero_config::Secret;
use biomero_ice::{Identity, NetworkEndpoint, Reference};
use biomero_omero::{Credentials, Error, Lost, Options, QueryParameters, Remote as _, Session};
use biomero_tests::blitz::Omero;
use biomero_tests::icegrid::free_port;
use biomero_tests::{Result, Trouble};
use nix::sys::signal::Signal;

use super::{address, password, root, root_with, run, seen, sees, trouble};

fn locator(port: u16) -> Reference {
    Reference::direct(Identity::new("IceGrid", "Locator"), NetworkEndpoint::tcp("127.0.0.1", port))
}

/// Why a session that was closed is not joined: Glacier2 answers before OMERO has heard of its end.
async fn refused_at_last(omero: &Omero, id: &Credentials) -> Result<Error> {
    for _ in 0..600 {
        match Session::begin(&address(omero), id, &Options::default()).await {
            Ok(joined) => joined.close().await.map_err(trouble)?,
            Err(error) => return Ok(error),
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    Err(Trouble::new("a session that was closed is joined"))
}

#[test]
fn a_session_is_joined_by_its_id_and_outlives_who_began_it_when_detached() -> Result<()> {
    let omero = Omero::start()?;
    run(async {
        let first = root(&omero).await?;
        let id = Credentials::Session(Secret::new(first.id().reveal().clone()));
        let joined = Session::begin(&address(&omero), &id, &Options::default()).await.map_err(trouble)?;
        assert_eq!(joined.id().reveal(), first.id().reveal());
        first.detach().await.map_err(trouble)?;
        first.close().await.map_err(trouble)?;
        joined.close().await.map_err(trouble)?;

        let again = Session::begin(&address(&omero), &id, &Options::default()).await.map_err(trouble)?;
        again.factory().close_on_destroy().await.map_err(trouble)?;
        again.close().await.map_err(trouble)?;
        let error = refused_at_last(&omero, &id).await?;
        assert!(matches!(error, Error::Denied { .. }), "{error}");
        let Credentials::Session(secret) = &id else { return Err(Trouble::new("no id")) };
        assert!(!format!("{error} {error:?} {id:?}").contains(secret.reveal()), "{error}");
        Ok(())
    })
}

#[test]
fn who_is_not_let_in_is_told_why_in_one_line_and_without_the_password() -> Result<()> {
    let omero = Omero::start()?;
    run(async {
        let wrong = Session::begin(&address(&omero), &password("root", "OMERO"), &Options::default()).await;
        let error = wrong.err().ok_or_else(|| Trouble::new("a wrong password lets in"))?;
        assert!(matches!(&error, Error::Denied { reason } if reason == "bad credentials"), "{error}");
        assert!(!format!("{error} {error:?}").contains("OMERO\""), "{error:?}");

        let refused =
            Session::begin(&address(&omero), &password("reader", "ein Paßwort"), &Options::default()).await;
        let error =
            refused.err().ok_or_else(|| Trouble::new("an exception of OMERO's own gives a session"))?;
        assert!(
            matches!(&error, Error::NoSession { reason } if reason == "reader has to change the password"),
            "{error}"
        );

        let mut nobody = address(&omero);
        nobody.port = free_port()?;
        let error = Session::begin(&nobody, &password("root", "omero"), &Options::default()).await.err();
        let error = error.ok_or_else(|| Trouble::new("nobody gives a session"))?;
        assert!(matches!(error, Error::Unavailable { .. }), "{error}");
        assert!(error.to_string().contains(&nobody.port.to_string()), "{error}");
        Ok(())
    })
}

#[test]
fn inside_the_grid_root_is_asked_for_no_password() -> Result<()> {
    let omero = Omero::start()?;
    run(async {
        let options = Options { agent: "BIOMERO processor".to_owned(), ..Options::default() };
        let session =
            Session::internal(&locator(omero.registry().port()), &options).await.map_err(trouble)?;
        assert_eq!(seen(&session, "agent").await?, "BIOMERO processor");
        assert_eq!(seen(&session, "control").await?, "False");
        let query = session.query().await.map_err(trouble)?;
        let rows = query.rows("select i.id from Image i", &QueryParameters::new()).await.map_err(trouble)?;
        assert_eq!(rows.len(), 1);
        let id = session.id().reveal().clone();
        session.close().await.map_err(trouble)?;
        let other = root(&omero).await?;
        assert_eq!(seen(&other, "destroyed").await?, id);
        Ok(())
    })
}

#[test]
fn a_registry_that_is_not_there_is_asked_as_often_as_was_said() -> Result<()> {
    let port = free_port()?;
    run(async {
        let options = Options { attempts: 3, pause: Duration::from_millis(300), ..Options::default() };
        let begun = Instant::now();
        let error = Session::internal(&locator(port), &options).await.err();
        assert!(matches!(error, Some(Error::Unavailable { .. })), "{error:?}");
        let took = begun.elapsed();
        assert!(took >= Duration::from_millis(600), "{took:?}");
        Ok(())
    })
}

#[test]
fn signs_of_life_are_given_until_omero_knows_the_session_no_more() -> Result<()> {
    let omero = Omero::start()?;
    run(async {
        let watching = root(&omero).await?;
        let options = Options { keep_alive: Duration::from_millis(200), ..Options::default() };
        let session = root_with(&omero, &options).await?;
        sees(&watching, "keepAlive", |count| count.parse().is_ok_and(|count: u32| count >= 3)).await?;
        assert_eq!(session.is_lost(), None);

        let query = session.query().await.map_err(trouble)?;
        let config = session.config().await.map_err(trouble)?;
        config.set_config_value("expire", session.id().reveal()).await.map_err(trouble)?;
        let lost = session.lost().await;
        assert!(matches!(lost, Lost::Expired { .. }), "{lost}");
        let error = query.rows("select i.id from Image i", &QueryParameters::new()).await.err();
        let error = error.ok_or_else(|| Trouble::new("a service of an expired session answers"))?;
        assert!(matches!(error, Error::Gone { .. }), "{error}");
        // What a service is known by begins with the session's id.
        let shown = format!("{error} {error:?} {lost} {lost:?} {session:?} {query:?}");
        assert!(!shown.contains(session.id().reveal()), "{shown}");
        assert_eq!(watching.is_lost(), None);
        Ok(())
    })
}

#[test]
fn omero_calls_back_over_the_connection_of_the_session() -> Result<()> {
    let omero = Omero::start()?;
    run(async {
        let session = root(&omero).await?;
        let config = session.config().await.map_err(trouble)?;
        config.set_config_value("heartbeat", "").await.map_err(trouble)?;
        sees(&session, "heartbeat", |answer| answer == "answered").await?;
        // A sign of life is what it was asked for; the next that is due by itself comes in a minute.
        assert_eq!(seen(&session, "keepAlive").await?, "1");

        config.set_config_value("closed", "").await.map_err(trouble)?;
        assert_eq!(session.lost().await, Lost::Closed);
        Ok(())
    })
}

#[test]
fn a_router_that_dies_within_a_call_ends_the_call_and_the_session() -> Result<()> {
    let mut omero = Omero::start()?;
    run(async {
        let watching = Session::internal(&locator(omero.registry().port()), &Options::default())
            .await
            .map_err(trouble)?;
        let session = root(&omero).await?;
        let pixels = session.raw_pixels().await.map_err(trouble)?;
        pixels.set_pixels_id(42, false).await.map_err(trouble)?;
        let call = tokio::spawn(async move {
            let began = Instant::now();
            (pixels.get_tile(99, 0, 0, 0, 0, 16, 16).await, began.elapsed())
        });
        sees(&watching, "slow", |slow| slow == "True").await?;
        omero.router().signal(Signal::SIGKILL)?;
        let (result, took) = call.await.map_err(trouble)?;
        let error = result.err().ok_or_else(|| Trouble::new("a tile comes from a router that is dead"))?;
        assert!(matches!(error, Error::Unavailable { .. }), "{error}");
        assert!(took < Duration::from_secs(15), "{took:?}");
        let lost = session.lost().await;
        assert!(matches!(lost, Lost::Connection { .. }), "{lost}");
        assert!(!format!("{error} {lost}").contains(session.id().reveal()), "{error} {lost}");
        Ok(())
    })
}

#[test]
fn what_omero_holds_for_a_service_is_given_back_when_it_is_dropped_or_closed() -> Result<()> {
    let omero = Omero::start()?;
    run(async {
        let session = root(&omero).await?;
        let mut held = Vec::new();
        for _ in 0..5 {
            held.push(session.raw_pixels().await.map_err(trouble)?);
        }
        assert_eq!(seen(&session, "open").await?, "5");
        held.remove(0).close().await.map_err(trouble)?;
        assert_eq!(seen(&session, "open").await?, "4");
        // As a thread that knows nothing of tokio does.
        std::thread::spawn(move || drop(held)).join().map_err(|_| Trouble::new("the thread has panicked"))?;
        sees(&session, "open", |open| open == "0").await?;

        let none = session.scripts().await.err();
        assert!(matches!(&none, Some(Error::Missing { what }) if what == "script service"), "{none:?}");
        assert_eq!(session.query().await.map_err(trouble)?.service().reference().identity.category.len(), 36);
        Ok(())
    })
}
