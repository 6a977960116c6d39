//! Each cause for which there is no connection, or no success, has one message of its own: it names the server, the
//! database and the user, says what to do, and comes within the deadline.

use std::net::{Ipv4Addr, TcpListener};

use biomero_events::EventLog;
use biomero_tests::icegrid::free_port;
use biomero_tests::postgres::Options;
use biomero_tests::relay::{Fault, Relay};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::*;

/// What is said when a connection to `text` is asked for.
async fn refusal(text: &str, limits: Limits) -> Result<String> {
    let error = match try_connect(&url(text, &[])?, limits).await {
        Ok(_) => return Err(Trouble::new(format!("{:?} was let in", url(text, &[])?))),
        Err(error) => error,
    };
    let shown = format!("{error} {error:?} {error:#?}");
    for piece in ["s3cr3t", "p@ss", "w:rd"] {
        assert!(!shown.contains(piece), "a password's piece in {shown}");
    }
    Ok(error.to_string())
}

#[test]
fn each_refusal_says_what_is_wrong_where_and_what_to_do() -> Result<()> {
    let server = shared()?;
    let good = server.create_database("causes")?;
    server.psql("postgres", "CREATE DATABASE causes_closed")?;
    server.psql("postgres", "REVOKE CONNECT ON DATABASE causes_closed FROM PUBLIC")?;
    let (port, socket) = (server.port(), server.socket_folder().display().to_string());
    let nobody = free_port()?;
    run(async {
        for (text, place, words) in [
            (
                format!("postgresql://{USER}:s3cr3t@127.0.0.1:{port}/causes"),
                format!("127.0.0.1:{port} (database \"causes\", user \"{USER}\")"),
                "does not accept the password: it is wrong",
            ),
            (
                format!("postgresql://stranger:s3cr3t@127.0.0.1:{port}/causes"),
                format!("127.0.0.1:{port} (database \"causes\", user \"stranger\")"),
                "or the user does not exist there",
            ),
            (
                format!("postgresql://{USER}@127.0.0.1:{port}/causes"),
                format!("127.0.0.1:{port}"),
                "asks for a password and none was given: write it in the URL (%-encoded), in PGPASSWORD",
            ),
            (
                format!("postgresql://stranger@/causes?host={socket}&port={port}"),
                format!("{socket}/.s.PGSQL.{port}"),
                "does not know the user: role \"stranger\" does not exist; create it",
            ),
            (
                good.replace("/causes", "/elsewhere"),
                "database \"elsewhere\"".to_owned(),
                "has no such database: database \"elsewhere\" does not exist; create it",
            ),
            (
                good.replace("/causes", "/causes_closed"),
                "database \"causes_closed\"".to_owned(),
                "GRANT CONNECT ON DATABASE",
            ),
            (
                format!("postgresql://{USER}:s3cr3t@127.0.0.1:{nobody}/causes"),
                format!("127.0.0.1:{nobody}"),
                "refuses connections: is PostgreSQL running there",
            ),
            (
                format!("postgresql://{USER}:s3cr3t@nowhere.invalid/causes"),
                "nowhere.invalid:5432".to_owned(),
                "cannot resolve the host of",
            ),
            (
                format!("postgresql://{USER}@/causes?host=/nowhere"),
                "/nowhere/.s.PGSQL.5432".to_owned(),
                "there is no socket",
            ),
            (
                format!("{good}?sslmode=require"),
                format!("127.0.0.1:{port}"),
                "does not encrypt, which sslmode demands: switch on ssl in postgresql.conf",
            ),
            (
                format!("{good}?channel_binding=require"),
                format!("127.0.0.1:{port}"),
                "asks for authentication in a way that is not spoken here (server did not use channel binding)",
            ),
            (
                format!("{good}?options=-c%20nonsense%3D1"),
                format!("127.0.0.1:{port}"),
                "unrecognized configuration parameter \"nonsense\" (SQLSTATE 42704)",
            ),
        ] {
            let said = refusal(&text, LIMITS).await?;
            assert!(said.contains(words) && said.contains(&place), "{said:?} lacks {words:?} or {place:?}");
        }
        Ok(())
    })
}

#[test]
fn a_server_that_never_answers_is_given_up_at_the_deadline() -> Result<()> {
    let mute = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).map_err(Trouble::doing("listen"))?;
    let port = mute.local_addr().map_err(Trouble::doing("ask for a port"))?.port();
    let limit = Duration::from_millis(700);
    run(async {
        for mode in ["disable", "prefer", "require"] {
            let start = Instant::now();
            let text = format!("postgresql://u:s3cr3t@127.0.0.1:{port}/d?sslmode={mode}");
            let said = refusal(&text, Limits { connect: limit, ..LIMITS }).await?;
            assert!(said.contains("has not answered within 0.7 s"), "{said}");
            assert!(start.elapsed() >= limit && start.elapsed() < PATIENCE, "{:?}", start.elapsed());
        }
        let text = format!("postgresql://u:s3cr3t@127.0.0.1:{port}/d?connect_timeout=2&sslmode=disable");
        assert!(refusal(&text, LIMITS).await?.contains("has not answered within 2 s"));
        Ok(())
    })
}

/// Plays the server's first words and then says nothing more.
fn falls_silent_after(words: &'static [u8], hangs_up: bool) -> Result<u16> {
    use std::io::{Read as _, Write as _};
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).map_err(Trouble::doing("listen"))?;
    let port = listener.local_addr().map_err(Trouble::doing("ask for a port"))?.port();
    std::thread::spawn(move || {
        let mut open = Vec::new();
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            let _ = stream.read(&mut [0; 512]).and_then(|_| stream.write_all(words));
            if !hangs_up {
                open.push(stream);
            }
        }
    });
    Ok(port)
}

#[test]
fn a_server_that_falls_silent_half_way_is_given_up_at_the_deadline() -> Result<()> {
    // Agrees to encrypt; asks for a password in clear text; lets in, and says no more.
    for (words, mode) in
        [(&b"S"[..], "require"), (b"R\0\0\0\x08\0\0\0\x03", "disable"), (b"R\0\0\0\x08\0\0\0\0", "disable")]
    {
        let port = falls_silent_after(words, false)?;
        run(async {
            let text = format!("postgresql://u:s3cr3t@127.0.0.1:{port}/d?sslmode={mode}");
            let limits = Limits { connect: Duration::from_millis(500), ..LIMITS };
            let said = refusal(&text, limits).await?;
            assert!(said.contains("has not answered within 0.5 s"), "{words:?}: {said}");
            Ok(())
        })?;
    }
    Ok(())
}

#[test]
fn a_server_that_hangs_up_is_told_from_one_that_says_no() -> Result<()> {
    for (words, mode) in [(&b""[..], "disable"), (b"", "require"), (b"S", "require")] {
        let port = falls_silent_after(words, true)?;
        run(async {
            let text = format!("postgresql://u:s3cr3t@127.0.0.1:{port}/d?sslmode={mode}");
            let said = refusal(&text, LIMITS).await?;
            assert!(said.contains("has closed the connection while it was made"), "{words:?}: {said}");
            Ok(())
        })?;
    }
    Ok(())
}

#[test]
fn what_is_no_postgresql_is_no_hang_and_no_panic() -> Result<()> {
    for words in
        [&b"HTTP/1.1 400 Bad Request\r\n\r\n"[..], b"\0\0\0\0\0\0\0\0", b"R\xff\xff\xff\xff", b"N\0\0"]
    {
        let port = falls_silent_after(words, true)?;
        run(async {
            let text = format!("postgresql://u:s3cr3t@127.0.0.1:{port}/d");
            let said = refusal(&text, LIMITS).await?;
            assert!(said.contains(&format!("127.0.0.1:{port}")), "{words:?}: {said}");
            Ok(())
        })?;
    }
    Ok(())
}

#[test]
fn a_server_without_a_connection_left_says_so() -> Result<()> {
    let scratch = Scratch::new()?;
    let settings =
        [("max_connections", "3"), ("superuser_reserved_connections", "1"), ("max_wal_senders", "0")];
    let settings = settings.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
    let server = Postgres::start_with(scratch.path(), &Options { settings, ..Options::default() })?;
    let text = server.create_database("crowded")?;
    run(async {
        let pool = pool(&text, LIMITS)?;
        let _both = (pool.get().await.map_err(trouble)?, pool.get().await.map_err(trouble)?);
        let said = refusal(&text, LIMITS).await?;
        assert!(said.contains("has no connection left") && said.contains("max_connections"), "{said}");
        Ok(())
    })
}

#[test]
fn a_server_that_is_shutting_down_says_so() -> Result<()> {
    let scratch = Scratch::new()?;
    let server = Postgres::start(scratch.path())?;
    let text = server.create_database("closes")?;
    let id = std::fs::read_to_string(server.data().join("postmaster.pid"))
        .map_err(Trouble::doing("read postmaster.pid"))?
        .lines()
        .next()
        .and_then(|id| id.parse().ok())
        .ok_or_else(|| Trouble::new("no process id"))?;
    run(async {
        let last = try_connect(&url(&text, &[])?, LIMITS).await.map_err(trouble)?;
        // It stops when its last session ends, and until then lets nobody in.
        kill(Pid::from_raw(id), Signal::SIGTERM).map_err(trouble)?;
        let start = Instant::now();
        let said = loop {
            match try_connect(&url(&text, &[])?, LIMITS).await {
                Err(error) => break error.to_string(),
                Ok(_) if start.elapsed() > PATIENCE => return Err(Trouble::new("it still lets us in")),
                Ok(_) => {}
            }
        };
        assert!(said.contains("takes no connections now: the database system is shutting down"), "{said}");
        assert_eq!(ask(&last, "SELECT 'last'").await?, "last");
        Ok(())
    })
}

async fn history(text: &str, limits: Limits) -> Result<EventLog> {
    EventLog::open(&DatabaseUrl::parse(text).map_err(trouble)?, limits).await.map_err(trouble)
}

#[test]
fn a_statement_that_fails_says_what_to_do_about_it() -> Result<()> {
    let server = shared()?;
    let text = server.create_database("statements_fail")?;
    server.psql("postgres", "CREATE DATABASE anothers")?;
    run(async {
        let said = history(&text.replace("/statements_fail", "/anothers"), LIMITS)
            .await?
            .initialise()
            .await
            .expect_err("the schema is the superuser's")
            .to_string();
        assert!(said.contains("SQLSTATE 42501") && said.contains("GRANT the right"), "{said}");

        let reads = format!("{text}?options=-c%20default_transaction_read_only%3Don");
        let said = history(&reads, LIMITS).await?.initialise().await.expect_err("it only reads").to_string();
        assert!(said.contains("SQLSTATE 25006") && said.contains("the server only reads"), "{said}");

        history(&text, LIMITS).await?.initialise().await.map_err(trouble)?;
        let pool = pool(&text, LIMITS)?;
        let mut holder = pool.get().await.map_err(trouble)?;
        let lock = holder.transaction().await.map_err(trouble)?;
        lock.batch_execute("LOCK TABLE workflowtracker_events IN ACCESS EXCLUSIVE MODE")
            .await
            .map_err(trouble)?;
        for (limits, code) in [
            (Limits { lock: Duration::from_millis(300), ..LIMITS }, "55P03"),
            (Limits { statement: Duration::from_millis(300), ..LIMITS }, "57014"),
        ] {
            let said =
                history(&text, limits).await?.select(1, 1).await.expect_err("it is locked").to_string();
            assert!(said.contains(code) && said.contains("holds a lock"), "{said}");
        }
        Ok(())
    })
}

#[test]
fn a_server_that_falls_silent_on_an_open_connection_is_given_up() -> Result<()> {
    let server = shared()?;
    let text = server.create_database("falls_silent")?;
    let relay = Relay::to(server.port())?;
    let through = text.replace(&format!(":{}/", server.port()), &format!(":{}/", relay.port()));
    let limits = Limits { lock: Duration::ZERO, statement: Duration::from_millis(500), ..LIMITS };
    run(async {
        history(&text, LIMITS).await?.initialise().await.map_err(trouble)?;
        let log = history(&through, limits).await?;
        log.select(1, 1).await.map_err(trouble)?;
        // `Sync`, with which each statement ends.
        relay.on(b"S\0\0\0\x04", Fault::FallsSilent, 1);
        let said = log.select(1, 1).await.expect_err("nothing comes back").to_string();
        assert!(said.contains("the server has not answered within 0.5 s"), "{said}");
        log.select(1, 1).await.map_err(trouble)?;
        Ok(())
    })
}
