use super::*;
use crate::scratch::Scratch;

#[test]
fn the_server_is_durable_and_asks_over_tcp_for_the_password() -> Result<()> {
    let server = shared()?;
    let url = server.create_database("durable")?;
    assert_eq!(server.psql("durable", "SHOW fsync; SHOW synchronous_commit")?, "on\non");
    let mut psql = Command::new(server.programs.join("psql"));
    // libpq does not know a driver's name.
    psql.arg("-XAtq").arg(url.replace("+psycopg2", "")).args(["-c", "SELECT current_user"]);
    assert_eq!(process::succeed(&mut psql, wait::PATIENCE)?.trim(), USER);
    let mut wrong = Command::new(server.programs.join("psql"));
    wrong.args(["-XAtqw", "-h", "127.0.0.1", "-U", USER, "-p", &server.port().to_string(), "-d", "durable"]);
    wrong.args(["-c", "SELECT 1"]).env("PGPASSWORD", "wrong");
    let refused = process::output(&mut wrong, wait::PATIENCE)?;
    assert!(process::both(&refused).contains("password authentication failed"), "{refused:?}");
    Ok(())
}

#[test]
fn what_was_committed_survives_a_restart_that_is_like_a_crash() -> Result<()> {
    let scratch = Scratch::new()?;
    let mut server = Postgres::start(scratch.path())?;
    server.psql("postgres", "CREATE TABLE kept (number int)")?;
    for (way, number) in [(Stop::Immediate, 1), (Stop::Fast, 2)] {
        server.psql("postgres", &format!("INSERT INTO kept VALUES ({number})"))?;
        server.restart(way)?;
    }
    assert_eq!(server.psql("postgres", "SELECT * FROM kept ORDER BY 1")?, "1\n2");
    Ok(())
}

#[test]
fn a_small_file_system_fills_up_and_the_server_says_so() -> Result<()> {
    if !nix::unistd::geteuid().is_root() {
        return Ok(());
    }
    let scratch = Scratch::new()?;
    let options =
        Options { small: vec![Small { folder: "small", megabytes: 8, ballast: 4 }], ..Options::default() };
    let mut server = Postgres::start_with(scratch.path(), &options)?;
    let small = server.folder.join("small");
    server.psql("postgres", &format!("CREATE TABLESPACE small LOCATION '{}'", small.display()))?;
    server.psql("postgres", "CREATE TABLE grows (text text) TABLESPACE small")?;
    let insert = "INSERT INTO grows SELECT repeat('x', 1000) FROM generate_series(1, 10000)";
    let said = server.psql("postgres", insert).map_or_else(|trouble| trouble.to_string(), |_| String::new());
    assert!(said.contains("No space left on device"), "{said}");
    server.restart(Stop::Fast)?;
    assert_eq!(server.psql("postgres", "SELECT count(*) FROM grows")?, "0");
    server.psql("postgres", &insert.replace("10000", "1000"))?;
    Ok(())
}

#[test]
fn a_certificate_is_verified_against_the_authority_and_the_name() -> Result<()> {
    let scratch = Scratch::new()?;
    let options = Options { tls: true, ..Options::default() };
    let server = Postgres::start_with(scratch.path(), &options)?;
    let mut psql = Command::new(server.programs.join("psql"));
    let url = server.url("postgres").replace("+psycopg2", "");
    psql.arg("-XAtq").arg(format!("{url}?sslmode=verify-full&sslrootcert={}", server.ca().display()));
    psql.args(["-c", "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()"]);
    assert_eq!(process::succeed(&mut psql, wait::PATIENCE)?.trim(), "t");
    Ok(())
}
