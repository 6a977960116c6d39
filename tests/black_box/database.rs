//! Connections to a real PostgreSQL: what a session begins with, how one ends and is replaced, what is heard outside of
//! the pool, and that no password is shown.

use std::future::Future;
use std::time::{Duration, Instant};

use biomero_config::Environment;
use biomero_events::Limits;
use biomero_events::postgres::ConnectError;
use biomero_events::postgres::connect::{self, Object, Pool, PoolError};
use biomero_events::url::{DatabaseUrl, PostgresUrl};
use biomero_tests::postgres::{PASSWORD, Postgres, Stop, USER, shared};
use biomero_tests::scratch::Scratch;
use biomero_tests::wait::PATIENCE;
use biomero_tests::{Result, Trouble};

mod causes;
mod encryption;

/// Generous, since several servers share two cores.
const LIMITS: Limits = Limits {
    connect: PATIENCE,
    statement: PATIENCE,
    lock: Duration::from_secs(59),
    command: PATIENCE,
    connections: 2,
};

fn run<T>(work: impl Future<Output = Result<T>>) -> Result<T> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .map_err(Trouble::doing("start a runtime"))?;
    let done = runtime.block_on(work);
    runtime.shutdown_background();
    done
}

fn url(text: &str, variables: &[(&str, &str)]) -> Result<PostgresUrl> {
    // Nobody's home, so that no file of this machine's users takes part.
    let environment: Environment = [("HOME", "/nowhere")].iter().chain(variables).copied().collect();
    match DatabaseUrl::parse(text).and_then(|url| url.with_environment(&environment)) {
        Ok(DatabaseUrl::Postgres(url)) => Ok(*url),
        other => Err(Trouble::new(format!("{other:?} is no URL of a server"))),
    }
}

fn pool(text: &str, limits: Limits) -> Result<Pool> {
    connect::pool(&url(text, &[])?, &limits).map_err(trouble)
}

fn trouble(error: impl std::fmt::Display) -> Trouble {
    Trouble::new(error.to_string())
}

async fn try_connect(url: &PostgresUrl, limits: Limits) -> Result<Object, ConnectError> {
    let pool = connect::pool(url, &limits)?;
    pool.get().await.map_err(|error| match error {
        PoolError::Backend(error) => error,
        other => panic!("{other:?}"),
    })
}

/// The one value that `sql` asks for, as text.
async fn ask(connection: &Object, sql: &str) -> Result<String> {
    let row = connection.query_one(sql, &[]).await.map_err(trouble)?;
    row.try_get(0).map_err(trouble)
}

#[test]
fn a_session_begins_with_its_limits_and_its_name() -> Result<()> {
    let server = shared()?;
    let text = server.create_database("session_begins")?;
    run(async {
        let limits = Limits { statement: Duration::from_millis(70_500), ..LIMITS };
        let connection =
            try_connect(&url(&text, &[("PGTZ", "Europe/Amsterdam")])?, limits).await.map_err(trouble)?;
        for (name, value) in [
            ("statement_timeout", "70500ms"),
            ("lock_timeout", "59s"),
            ("idle_in_transaction_session_timeout", "70500ms"),
            ("application_name", "biomero-processor"),
            ("TimeZone", "Europe/Amsterdam"),
            ("client_encoding", "UTF8"),
        ] {
            assert_eq!(
                ask(&connection, &format!("SELECT current_setting('{name}')")).await?,
                value,
                "{name}"
            );
        }
        assert_eq!(ask(&connection, "SELECT current_user::text").await?, USER);
        Ok(())
    })
}

#[test]
fn what_the_url_says_of_the_session_comes_last() -> Result<()> {
    let server = shared()?;
    let text = server.create_database("session_options")?;
    run(async {
        let text = format!(
            "{text}?application_name=mine&options=-c%20lock_timeout%3D7s%20-c%20DateStyle%3DISO,%5C%20YMD"
        );
        let url = url(&text, &[("PGTZ", "<+03 X>-3")])?;
        let connection = try_connect(&url, LIMITS).await.map_err(trouble)?;
        for (name, value) in [
            ("lock_timeout", "7s"),
            ("application_name", "mine"),
            ("DateStyle", "ISO, YMD"),
            ("TimeZone", "<+03 X>-3"),
            ("statement_timeout", "1min"),
        ] {
            assert_eq!(
                ask(&connection, &format!("SELECT current_setting('{name}')")).await?,
                value,
                "{name}"
            );
        }
        Ok(())
    })
}

#[test]
fn a_url_without_a_password_finds_it_in_the_environment_and_in_the_password_file() -> Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    let server = shared()?;
    server.create_database("password_elsewhere")?;
    let scratch = Scratch::new()?;
    let file = scratch.path().join("pgpass");
    let escaped = PASSWORD.replace('\\', "\\\\").replace(':', "\\:");
    let line = format!("127.0.0.1:{}:password_elsewhere:{USER}:{escaped}\n", server.port());
    std::fs::write(&file, line)
        .and_then(|()| std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)))
        .map_err(Trouble::doing("write a password file"))?;
    let file = file.display().to_string();
    let text = format!("postgresql://{USER}@127.0.0.1:{}/password_elsewhere", server.port());
    run(async {
        for variable in [("PGPASSWORD", PASSWORD), ("PGPASSFILE", file.as_str())] {
            let connection = try_connect(&url(&text, &[variable])?, LIMITS).await.map_err(trouble)?;
            assert_eq!(ask(&connection, "SELECT current_user::text").await?, USER);
        }
        Ok(())
    })
}

#[test]
fn a_dead_connection_is_replaced_when_the_server_is_there_again() -> Result<()> {
    let scratch = Scratch::new()?;
    let mut server = Postgres::start(scratch.path())?;
    let text = server.create_database("restarts")?;
    run(async {
        let pool = pool(&text, LIMITS)?;
        let before = ask(&pool.get().await.map_err(trouble)?, "SELECT pg_backend_pid()::text").await?;
        let same = ask(&pool.get().await.map_err(trouble)?, "SELECT pg_backend_pid()::text").await?;
        assert_eq!(before, same, "a connection that lives is used again");
        for way in [Stop::Fast, Stop::Immediate] {
            let held = pool.get().await.map_err(trouble)?;
            server.restart(way)?;
            let lost = held.query("SELECT 1", &[]).await.expect_err("its server has gone");
            assert!(lost.is_closed() || lost.code().is_some(), "{lost:?}");
            drop(held);
            let connection = pool.get().await.map_err(trouble)?;
            assert_eq!(ask(&connection, "SELECT 'again'").await?, "again");
        }
        Ok(())
    })
}

#[test]
fn whoever_waits_for_a_connection_that_does_not_become_free_is_told_so() -> Result<()> {
    let server = shared()?;
    let text = server.create_database("pool_busy")?;
    run(async {
        let limits = Limits { connections: 1, command: Duration::from_millis(200), ..LIMITS };
        let log = biomero_events::EventLog::open(&DatabaseUrl::parse(&text).map_err(trouble)?, limits)
            .await
            .map_err(trouble)?;
        log.initialise().await.map_err(trouble)?;
        let pool = pool(&text, LIMITS)?;
        let mut holder = pool.get().await.map_err(trouble)?;
        let lock = holder.transaction().await.map_err(trouble)?;
        lock.batch_execute("LOCK TABLE workflowtracker_events IN ACCESS EXCLUSIVE MODE")
            .await
            .map_err(trouble)?;
        let (first, second) = tokio::join!(log.select(1, 1), async {
            // Not before the first holds the one connection.
            tokio::task::yield_now().await;
            let answer = log.select(1, 1).await;
            lock.rollback().await.map_err(trouble)?;
            Ok::<_, Trouble>(answer)
        });
        first.map_err(trouble)?;
        let busy = second?.expect_err("the one connection is taken").to_string();
        assert!(busy.contains("no connection to the database became free within 0.2 s"), "{busy}");
        Ok(())
    })
}

#[test]
fn a_listener_hears_what_is_committed_and_that_its_server_has_gone() -> Result<()> {
    let scratch = Scratch::new()?;
    let mut server = Postgres::start(scratch.path())?;
    let text = server.create_database("listens")?;
    run(async {
        let pool = pool(&text, LIMITS)?;
        let (client, mut notifications) = connect::listener(&pool).await.map_err(trouble)?;
        client.batch_execute("LISTEN workflowtracker_events").await.map_err(trouble)?;
        let writer = pool.get().await.map_err(trouble)?;
        for _ in 0..3 {
            let many = "NOTIFY workflowtracker_events;".repeat(100);
            writer.batch_execute(&many).await.map_err(trouble)?;
            let heard = tokio::time::timeout(PATIENCE, notifications.next()).await.map_err(trouble)?;
            assert!(heard.is_ok(), "{heard:?}");
            // However many there were, they hold up no answer.
            client.batch_execute("SELECT 1").await.map_err(trouble)?;
            while tokio::time::timeout(Duration::from_millis(200), notifications.next()).await.is_ok() {}
        }
        server.stop(Stop::Fast)?;
        let ended = tokio::time::timeout(PATIENCE, notifications.next()).await.map_err(trouble)?;
        let said = ended.expect_err("the server has gone").expect("it said why");
        assert_eq!(said.code().map(|code| code.code()), Some("57P01"));
        assert!(notifications.next().await.is_err(), "it stays ended");
        Ok(())
    })
}

#[test]
fn a_listener_whose_client_is_dropped_ends_without_an_error() -> Result<()> {
    let server = shared()?;
    let text = server.create_database("listener_dropped")?;
    run(async {
        let (client, mut notifications) = connect::listener(&pool(&text, LIMITS)?).await.map_err(trouble)?;
        drop(client);
        let ended = tokio::time::timeout(PATIENCE, notifications.next()).await.map_err(trouble)?;
        assert!(matches!(ended, Err(None)), "{ended:?}");
        Ok(())
    })
}

#[test]
fn the_first_server_of_several_that_answers_is_taken() -> Result<()> {
    let server = shared()?;
    let text = server.create_database("several_servers")?;
    let (front, database) = text.rsplit_once("127.0.0.1").ok_or_else(|| Trouble::new("no host"))?;
    let database = database.rsplit_once('/').map_or("", |(_, database)| database);
    let nobody = biomero_tests::icegrid::free_port()?;
    run(async {
        for hosts in [
            format!("host=127.0.0.1:{nobody}&host=127.0.0.1:{}", server.port()),
            format!("host=nowhere.invalid,127.0.0.1&port={}", server.port()),
            format!(
                "host={},127.0.0.1&port={}",
                server.socket_folder().join("none").display(),
                server.port()
            ),
        ] {
            let url = url(&format!("{front}/{database}?{hosts}"), &[])?;
            let connection = try_connect(&url, LIMITS).await.map_err(trouble)?;
            assert_eq!(ask(&connection, "SELECT 'here'").await?, "here", "{hosts}");
        }
        let url = url(&format!("{front}/{database}?host=127.0.0.1:{nobody}&host=nowhere.invalid"), &[])?;
        let error = try_connect(&url, LIMITS).await.expect_err("nobody is there").to_string();
        assert!(error.contains("refuses connections") && error.contains("cannot resolve"), "{error}");
        Ok(())
    })
}

#[test]
fn a_session_is_what_the_url_wants_it_to_be() -> Result<()> {
    let server = shared()?;
    let text = server.create_database("session_wanted")?;
    let reads = "options=-c%20default_transaction_read_only%3Don";
    run(async {
        for (query, suits) in [
            ("target_session_attrs=any".to_owned(), true),
            ("target_session_attrs=read-write".to_owned(), true),
            ("target_session_attrs=primary".to_owned(), true),
            ("target_session_attrs=standby".to_owned(), false),
            ("target_session_attrs=read-only".to_owned(), false),
            (format!("target_session_attrs=read-only&{reads}"), true),
            (format!("target_session_attrs=read-write&{reads}"), false),
        ] {
            match try_connect(&url(&format!("{text}?{query}"), &[])?, LIMITS).await {
                Ok(connection) => {
                    assert!(suits, "{query}");
                    assert_eq!(ask(&connection, "SELECT 'here'").await?, "here", "{query}");
                }
                Err(error) => {
                    assert!(!suits, "{query}: {error}");
                    assert!(error.to_string().contains("is not what target_session_attrs="), "{error}");
                }
            }
        }
        Ok(())
    })
}

#[test]
fn no_debugging_output_shows_the_password() -> Result<()> {
    let server = shared()?;
    let text = server.create_database("planted_password")?;
    run(async {
        let pool = pool(&text, LIMITS)?;
        let connection = pool.get().await.map_err(trouble)?;
        let log = biomero_events::EventLog::open(&DatabaseUrl::parse(&text).map_err(trouble)?, LIMITS)
            .await
            .map_err(trouble)?;
        let (client, notifications) = connect::listener(&pool).await.map_err(trouble)?;
        let shown = format!("{pool:?} {pool:#?} {connection:?} {log:?} {client:?} {notifications:?}");
        for piece in ["p@ss", "w:rd", "p%40ss"] {
            assert!(!shown.contains(piece), "{piece} in {shown}");
        }
        Ok(())
    })
}
