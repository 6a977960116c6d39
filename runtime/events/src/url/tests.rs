use std::os::unix::fs::PermissionsExt as _;

use biomero_config::Environment;
use proptest::prelude::*;

use super::*;

fn postgres(text: &str) -> PostgresUrl {
    match DatabaseUrl::parse(text) {
        Ok(DatabaseUrl::Postgres(url)) => *url,
        other => panic!("{text}: {other:?}"),
    }
}

fn refusal(text: &str) -> String {
    match DatabaseUrl::parse(text) {
        Err(error) => error.to_string(),
        Ok(url) => panic!("{text} was taken as {url}"),
    }
}

fn with(text: &str, variables: &[(&str, &str)]) -> Result<PostgresUrl, UrlError> {
    let environment: Environment = variables.iter().copied().collect();
    match DatabaseUrl::parse(text)?.with_environment(&environment)? {
        DatabaseUrl::Postgres(url) => Ok(*url),
        DatabaseUrl::Sqlite(path) => panic!("{}", path.display()),
    }
}

fn servers(url: &PostgresUrl) -> String {
    url.servers().iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
}

fn password(url: &PostgresUrl) -> Option<&str> {
    url.password(url.servers().first()?).map(|password| password.reveal().as_str())
}

/// What `make_url(text).get_dialect()().create_connect_args(…)` of SQLAlchemy 2.0.50 gives psycopg2, or libpq's defaults.
#[test]
fn a_url_means_what_it_means_to_sqlalchemy() {
    type Row = (&'static str, Option<&'static str>, Option<&'static str>, &'static str, Option<&'static str>);
    let table: [Row; 27] = [
        (
            "postgresql+psycopg2://user:p%40ss@host:5432/db?sslmode=require",
            Some("user"),
            Some("p@ss"),
            "host:5432",
            Some("db"),
        ),
        ("postgresql+asyncpg://host/db", None, None, "host:5432", Some("db")),
        ("postgres://host:1/db", None, None, "host:1", Some("db")),
        ("postgresql://u:p+a ss@host/db", Some("u"), Some("p+a ss"), "host:5432", Some("db")),
        ("postgresql://u:p/w@host/db", Some("u"), Some("p/w"), "host:5432", Some("db")),
        ("postgresql://u:p:w@host/db", Some("u"), Some("p:w"), "host:5432", Some("db")),
        ("postgresql://u:p#w?@host/db", Some("u"), Some("p#w?"), "host:5432", Some("db")),
        ("postgresql://u:%zz%C3%A9@h/db", Some("u"), Some("%zzé"), "h:5432", Some("db")),
        ("postgresql://user%40corp:x@h/db", Some("user@corp"), Some("x"), "h:5432", Some("db")),
        ("postgresql://user@corp:x@h/db", Some("user@corp"), Some("x"), "h:5432", Some("db")),
        (
            "postgresql://u@:5433/db",
            Some("u"),
            None,
            "/var/run/postgresql/.s.PGSQL.5433 /tmp/.s.PGSQL.5433",
            Some("db"),
        ),
        ("postgresql://u:@h/db", Some("u"), None, "h:5432", Some("db")),
        ("postgresql://:pw@h/db", None, Some("pw"), "h:5432", Some("db")),
        ("postgresql://@h/db", None, None, "h:5432", Some("db")),
        ("postgresql://u@h", Some("u"), None, "h:5432", Some("u")),
        ("postgresql://", None, None, "/var/run/postgresql/.s.PGSQL.5432 /tmp/.s.PGSQL.5432", None),
        ("postgresql://[::1]:5433/db", None, None, "[::1]:5433", Some("db")),
        ("postgresql://[fe80::1]/db", None, None, "[fe80::1]:5432", Some("db")),
        (
            "postgresql:///db?host=/run/postgresql&port=5433",
            None,
            None,
            "/run/postgresql/.s.PGSQL.5433",
            Some("db"),
        ),
        ("postgresql:///db?host=a,b&port=1,2", None, None, "a:1 b:2", Some("db")),
        ("postgresql:///db?port=1,2&host=a,b", None, None, "a:1 b:2", Some("db")),
        ("postgresql:///db?host=a:1&host=b:2", None, None, "a:1 b:2", Some("db")),
        ("postgresql://a,b:7/db", None, None, "a:7 b:7", Some("db")),
        ("postgresql://h:1/db?host=a", None, None, "a:1", Some("db")),
        ("postgresql://h/db?user=x&password=y&dbname=z", Some("x"), Some("y"), "h:5432", Some("z")),
        ("postgresql://h/d%20b", None, None, "h:5432", Some("d%20b")),
        ("postgresql://h/db/x#y", None, None, "h:5432", Some("db/x#y")),
    ];
    for (text, user, secret, hosts, database) in table {
        let url = postgres(text);
        assert_eq!((url.user(), password(&url)), (user, secret), "{text}");
        assert_eq!((servers(&url).as_str(), url.database()), (hosts, database), "{text}");
    }
}

#[test]
fn options_are_decoded_as_of_a_form() {
    let url = postgres("postgresql://h/db?application_name=a+b%20c&options=-c%20x%3D1&sslmode=");
    assert_eq!(url.application_name.as_deref(), Some("a b c"));
    assert_eq!(url.options.as_deref(), Some("-c x=1"));
    assert_eq!(url.ssl_mode, None, "an empty value is none");
}

#[test]
fn every_option_that_is_told_of_is_taken() {
    for (name, _) in options::OPTIONS {
        let value = match name {
            "sslmode" => "verify-full",
            "gssencmode" | "channel_binding" => "prefer",
            "client_encoding" => "UTF8",
            "target_session_attrs" => "read-write",
            _ => "1",
        };
        let mut url = PostgresUrl::default();
        assert_eq!(url.set(name, value, name), Ok(()), "{name}");
        assert!(url.has(name), "{name}");
    }
}

#[test]
fn waits_have_the_unit_and_the_zero_of_libpq() {
    let url = postgres(
        "postgresql://h/d?connect_timeout=1&keepalives=0&keepalives_idle=5&keepalives_interval=0&keepalives_count=3&tcp_user_timeout=1500",
    );
    assert_eq!(url.connect_timeout, Some(Duration::from_secs(2)));
    assert_eq!((url.keepalives, url.keepalives_count), (Some(false), Some(3)));
    assert_eq!((url.keepalives_idle, url.keepalives_interval), (Some(Duration::from_secs(5)), None));
    assert_eq!(url.tcp_user_timeout, Some(Duration::from_millis(1500)));
    assert_eq!(postgres("postgresql://h/d?connect_timeout=0").connect_timeout, None);
}

#[test]
fn the_encryption_of_a_url_is_libpqs() {
    for (text, mode) in [
        ("postgresql://h/d", SslMode::Prefer),
        ("postgresql://h/d?sslmode=verify-ca", SslMode::VerifyCa),
        ("postgresql://h/d?sslrootcert=/ca.pem", SslMode::Prefer),
        ("postgresql://h/d?sslrootcert=system", SslMode::VerifyFull),
    ] {
        assert_eq!(postgres(text).ssl_mode(), mode, "{text}");
    }
    assert_eq!(
        refusal("postgresql://h/d?sslrootcert=system&sslmode=require"),
        "sslrootcert=system needs sslmode=verify-full: write it so, or name a file of your own authority"
    );
}

#[test]
fn what_cannot_be_meant_is_refused_with_what_to_write() {
    for (text, words) in [
        ("", "does not begin with a scheme"),
        ("/var/lib/history.db", "sqlite:////absolute/path"),
        ("postgresql:/h/db", "does not begin with a scheme"),
        ("://h/db", "does not begin with a scheme"),
        ("mysql+pymysql://h/db", "is for \"mysql\""),
        ("POSTGRESQL://h/db", "is for \"POSTGRESQL\""),
        (" postgresql://h/db", "(byte 0)"),
        ("postgresql://h/db\n", "(byte 17)"),
        ("postgresql://h/db ", "(byte 17)"),
        ("postgresql://h:abc/db", "is not a number from 1 to 65535"),
        ("postgresql://h:0/db", "is not a number"),
        ("postgresql://h:-5/db", "is not a number"),
        ("postgresql://h:+5/db", "is not a number"),
        ("postgresql://h:65536/db", "is not a number"),
        ("postgresql://a:1,b:2/db", "?host=ONE:5432&host=OTHER:5432"),
        ("postgresql://[::1/db", "unmatched bracket"),
        ("postgresql://[::1]x/db", "unmatched bracket"),
        ("postgresql://[]/db", "unmatched bracket"),
        ("postgresql://a,,b/db", "is empty"),
        ("postgresql://h/d?host=a,b&port=1,2,3", "names 2 hosts and 3 ports"),
        ("postgresql://h/d?port=1,2", "names 1 hosts and 2 ports"),
        ("postgresql://h/d?host=a:1&port=2", "option port twice"),
        ("postgresql://h/d?sslmode=require&sslmode=disable", "option sslmode twice"),
        (
            "postgresql://h/d?sslmod=require",
            "unknown option \"sslmod\"; did you mean sslmode?; known are host,",
        ),
        ("postgresql://h/d?ssl=true", "did you mean sslmode?"),
        ("postgresql://h/d?colour=red", "unknown option \"colour\"; known are"),
        (
            "postgresql://h/d?sslmode=requird",
            "is \"requird\": expected one of disable, allow, prefer, require, verify-ca, verify-full; did you mean require?",
        ),
        ("postgresql://h/d?connect_timeout=soon", "expected a number of seconds"),
        ("postgresql://h/d?connect_timeout=-1", "expected a number of seconds"),
        ("postgresql://h/d?client_encoding=latin1", "expected one of utf8"),
        ("postgresql://h/d?gssencmode=require", "expected one of disable, prefer"),
        ("postgresql://u:%ff@h/d", "the password in the database URL is not UTF-8"),
        ("postgresql://u%00:p@h/d", "the user in the database URL holds a NUL"),
        ("sqlite://", "in memory"),
        ("sqlite:///", "in memory"),
        ("sqlite:///:memory:", "in memory"),
        ("sqlite://host/path", "has no host"),
        ("sqlite:///file.db?mode=ro", "no options"),
    ] {
        let refusal = refusal(text);
        assert!(refusal.contains(words), "{text:?}: {refusal}");
    }
}

#[test]
fn a_file_is_relative_with_three_slashes_and_absolute_with_four() {
    for (text, path) in [
        ("sqlite:///history.db", "history.db"),
        ("sqlite:////var/lib/history.db", "/var/lib/history.db"),
        ("sqlite+pysqlite:///a%20b.db", "a%20b.db"),
    ] {
        assert_eq!(DatabaseUrl::parse(text), Ok(DatabaseUrl::Sqlite(path.into())), "{text}");
    }
}

#[test]
fn a_url_is_shown_without_its_password() {
    for (text, shown) in [
        ("postgresql+psycopg2://biomero:s3cr3t@db/biomero", "postgresql://biomero:********@db:5432/biomero"),
        ("postgresql://biomero@db:1/b?password=s3cr3t", "postgresql://biomero:********@db:1/b"),
        ("postgresql://a%40b@[::1]/d?sslmode=require", "postgresql://a%40b@[::1]:5432/d?sslmode=require"),
        ("postgresql://u@/d?host=/run/postgresql", "postgresql://u@/d?host=/run/postgresql&port=5432"),
        ("postgresql://", "postgresql://"),
        ("sqlite:////var/history.db", "sqlite:////var/history.db"),
    ] {
        let url = DatabaseUrl::parse(text).expect(text);
        assert_eq!((url.to_string(), format!("{url:?}")), (shown.to_owned(), shown.to_owned()));
        assert!(DatabaseUrl::parse(shown).is_ok(), "what is shown can be read: {shown}");
    }
}

#[test]
fn the_environment_fills_in_what_the_url_leaves_out() {
    let variables = [
        ("PGHOST", "elsewhere"),
        ("PGPORT", "7"),
        ("PGUSER", "other"),
        ("PGPASSWORD", "from the environment"),
        ("PGDATABASE", "another"),
        ("PGSSLMODE", "verify-full"),
        ("PGSSLROOTCERT", "/ca.pem"),
        ("PGAPPNAME", "mine"),
        ("PGTZ", "Europe/Amsterdam"),
        ("PGCONNECT_TIMEOUT", "9"),
        ("PGOPTIONS", ""),
    ];
    let url = with("postgresql://", &variables).expect("a URL");
    assert_eq!(url.to_string(), "postgresql://other:********@elsewhere:7/another?sslmode=verify-full");
    assert_eq!(password(&url), Some("from the environment"));
    assert_eq!(
        (url.application_name.as_deref(), url.time_zone.as_deref()),
        (Some("mine"), Some("Europe/Amsterdam"))
    );
    assert_eq!(url.connect_timeout, Some(Duration::from_secs(9)));
    assert_eq!(url.options, None);

    let url = with("postgresql://u:p@h:1/d?sslmode=disable", &variables).expect("a URL");
    assert_eq!(url.to_string(), "postgresql://u:********@h:1/d?sslmode=disable");
    assert_eq!(password(&url), Some("p"));
}

#[test]
fn a_variable_with_an_impossible_value_is_named() {
    let error = with("postgresql://h/d", &[("PGSSLMODE", "on")]).expect_err("no mode");
    assert!(
        error.to_string().starts_with("the variable PGSSLMODE is \"on\": expected one of disable,"),
        "{error}"
    );
}

#[test]
fn without_a_user_it_is_the_one_of_the_process() {
    let own =
        nix::unistd::User::from_uid(nix::unistd::geteuid()).expect("a name service").map(|user| user.name);
    assert_eq!(with("postgresql://h", &[]).expect("a URL").user, own);
}

const LINES: &str = "# a comment\nshort:line\n\
    db:5432:biomero:biomero:first\n\
    db:*:*:biomero:an\\:escaped\\\\one:ignored\r\n\
    localhost:*:*:*:local\n\
    ::1:5432:d:u:never\n\
    \\:\\:1:5432:d:u:six\n\
    *:*:\\*:*:star\n";

fn from_lines(host: &str, database: &str, user: &str) -> Option<String> {
    let entries = password_file::parse(LINES);
    let place = if host.starts_with('/') { Place::Unix(host.into()) } else { Place::Tcp(host.to_owned()) };
    let port = if database == "other" { 1 } else { 5432 };
    password_file::find(&entries, &Server { place, port }, database, user).map(|found| found.reveal().clone())
}

#[test]
fn the_first_line_of_the_password_file_that_fits_counts() {
    for (host, database, user, found) in [
        ("db", "biomero", "biomero", Some("first")),
        ("db", "other", "biomero", Some("an:escaped\\one")),
        ("db", "biomero", "stranger", None),
        ("/var/run/postgresql", "x", "y", Some("local")),
        ("/elsewhere", "x", "y", None),
        ("::1", "d", "u", Some("six")),
        ("h", "*", "u", Some("star")),
        ("h", "**", "u", None),
    ] {
        assert_eq!(from_lines(host, database, user).as_deref(), found, "{host} {database} {user}");
    }
}

#[test]
fn a_password_file_that_others_may_read_is_not_used() {
    let home = tempfile::tempdir().expect("a folder");
    let path = home.path().join(".pgpass");
    std::fs::write(&path, "*:*:*:*:from the file\n").expect("a file");
    let home = home.path().display().to_string();
    let named = path.display().to_string();
    for (mode, found) in
        [(0o600, Some("from the file")), (0o400, Some("from the file")), (0o640, None), (0o604, None)]
    {
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).expect("its mode");
        for variables in [[("HOME", home.as_str())], [("PGPASSFILE", named.as_str())]] {
            let url = with("postgresql://u@h/d", &variables).expect("a URL");
            assert_eq!(password(&url), found, "{mode:o} {variables:?}");
        }
        assert_eq!(
            password(&with("postgresql://u:own@h/d", &[("HOME", &home)]).expect("a URL")),
            Some("own")
        );
    }
}

#[test]
fn a_password_file_that_is_not_there_is_none() {
    let url = with("postgresql://u@h/d?passfile=/nowhere/pgpass", &[("HOME", "/nowhere")]).expect("a URL");
    assert_eq!(password(&url), None);
}

#[test]
fn a_text_beyond_the_limit_is_refused() {
    let longest = format!("postgresql://h/{}", "d".repeat(MAX_LENGTH - 15));
    assert!(DatabaseUrl::parse(&longest).is_ok());
    assert_eq!(DatabaseUrl::parse(&format!("{longest}d")), Err(UrlError::TooLong { length: MAX_LENGTH + 1 }));
}

/// As SQLAlchemy's `URL.render_as_string` encodes user and password.
fn encoded(text: &str) -> String {
    utf8_percent_encode(text, NON_ALPHANUMERIC).to_string()
}

proptest! {
    #[test]
    fn what_is_encoded_comes_back(
        user in "\\PC{1,12}",
        secret in "\\PC{1,12}",
        host in "[a-z][a-z0-9.-]{0,12}",
        port in 1..=u16::MAX,
        database in "[^?@\\pC\\s]{1,12}",
        application in "\\PC{1,12}",
        driver in "(\\+[a-z0-9]{1,8})?",
    ) {
        let text = format!(
            "postgresql{driver}://{}:{}@{host}:{port}/{database}?application_name={}",
            encoded(&user), encoded(&secret), encoded(&application),
        );
        let url = postgres(&text);
        prop_assert_eq!(url.user(), Some(user.as_str()));
        prop_assert_eq!(password(&url), Some(secret.as_str()));
        prop_assert_eq!(servers(&url), format!("{host}:{port}"));
        prop_assert_eq!(url.database(), Some(database.as_str()));
        prop_assert_eq!(url.application_name.as_deref(), Some(application.as_str()));
    }

    #[test]
    fn any_text_is_answered(text in "(postgresql|sqlite)?(:|/|//|\\?|@|&|=|,|\\[|\\]|%|[a-z0-9]|host=|port=|\\PC|[\\x00-\\x1f]){0,40}") {
        if let Ok(url) = DatabaseUrl::parse(&text) {
            let _ = (url.to_string(), url.with_environment(&Environment::default()));
        }
    }

    /// Planted between the letters that end a part, written as people write passwords: not encoded.
    #[test]
    fn no_piece_of_a_password_is_shown_whatever_stands_in_it(
        before in "(@|:|/|\\?|#|&|=|,|%|\\[|\\]|host=|sslmode=|[a-z ]){0,6}",
        after in "(@|:|/|\\?|#|&|=|,|%|\\[|\\]|host=|sslmode=|[a-z ]){0,6}",
        variable in any::<bool>(),
    ) {
        let secret = format!("{before}s3cr3tplant{after}");
        for text in [
            format!("postgresql://biomero:{secret}@db:5432/biomero?sslmode=prefer"),
            format!("postgresql://:{secret}@db"),
            format!("postgresql://biomero@db/d?password={}", encoded(&secret)),
            "postgresql://biomero@db/d".to_owned(),
        ] {
            let environment: Environment = variable.then(|| ("PGPASSWORD", secret.clone())).into_iter().collect();
            let shown = match DatabaseUrl::parse(&text).and_then(|url| url.with_environment(&environment)) {
                Ok(url) => format!("{url} {url:?} {url:#?}"),
                Err(error) => format!("{error} {error:?} {error:#?}"),
            };
            prop_assert!(!shown.contains("s3cr3tplant"), "{}: {}", text, shown);
        }
    }
}
