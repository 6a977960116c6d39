//! `sslmode` means here what it means to libpq: what is encrypted, what is verified, and what is tried again without.

use std::path::{Path, PathBuf};
use std::process::Command;

use biomero_tests::postgres::Options;
use biomero_tests::process;

use super::*;

/// Whether the session of `connection` is encrypted.
async fn is_encrypted(connection: &Object) -> Result<bool> {
    let sql = "SELECT ssl::text FROM pg_stat_ssl WHERE pid = pg_backend_pid()";
    Ok(ask(connection, sql).await? == "true")
}

/// `encrypted`, `plain`, or what is said instead.
async fn outcome(text: &str, variables: &[(&str, &str)]) -> Result<String> {
    match try_connect(&url(text, variables)?, LIMITS).await {
        Ok(connection) if is_encrypted(&connection).await? => Ok("encrypted".to_owned()),
        Ok(_) => Ok("plain".to_owned()),
        Err(error) => Ok(error.to_string()),
    }
}

async fn expect(text: &str, expected: &str) -> Result<()> {
    let outcome = outcome(text, &[]).await?;
    assert!(outcome.contains(expected), "{}: {outcome:?} instead of {expected:?}", url(text, &[])?);
    Ok(())
}

fn openssl(folder: &Path, words: &str) -> Result<()> {
    let mut openssl = Command::new("openssl");
    openssl.args(words.split(' ')).current_dir(folder);
    process::succeed(&mut openssl, PATIENCE).map(drop)
}

/// Makes a self-signed certificate, `NAME.crt` with its key `NAME.key`, as PostgreSQL's manual does.
fn self_signed(folder: &Path, name: &str, common_name: &str) -> Result<PathBuf> {
    let new = "-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes";
    openssl(
        folder,
        &format!("req -x509 -days 2 {new} -subj /CN={common_name} -keyout {name}.key -out {name}.crt"),
    )?;
    Ok(folder.join(format!("{name}.crt")))
}

/// A certificate signed by another that [`self_signed`] has made; of X.509 version 1, as without extensions.
fn signed(folder: &Path, name: &str, common_name: &str, by: &str) -> Result<PathBuf> {
    let new = "-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes";
    openssl(folder, &format!("req {new} -subj /CN={common_name} -keyout {name}.key -out {name}.csr"))?;
    let authority = format!("-CA {by}.crt -CAkey {by}.key -CAcreateserial");
    openssl(folder, &format!("x509 -req -days 2 {authority} -in {name}.csr -out {name}.crt"))?;
    Ok(folder.join(format!("{name}.crt")))
}

/// `pg_hba.conf`, whose lines say by the database who comes in how.
const LINES: &str = "\
local all all trust
hostssl encrypted all 127.0.0.1/32 scram-sha-256
hostnossl plain all 127.0.0.1/32 scram-sha-256
hostssl certified all 127.0.0.1/32 cert
host either all 127.0.0.1/32 scram-sha-256
";

/// A server that encrypts with the certificate at `certificate`, or with the one for `127.0.0.1` and `localhost`.
fn server(folder: &Path, certificate: Option<&Path>) -> Result<Postgres> {
    let lines = folder.join("hba.conf");
    std::fs::write(&lines, LINES).map_err(Trouble::doing("write hba.conf"))?;
    let mut settings = vec![("hba_file".to_owned(), lines.display().to_string())];
    let clients = folder.join("clients.crt");
    if clients.exists() {
        settings.push(("ssl_ca_file".to_owned(), clients.display().to_string()));
    }
    if let Some(certificate) = certificate {
        // Readable by the server's user, who is another one.
        let key = certificate.with_extension("key");
        let mut chown = Command::new("chmod");
        process::succeed(chown.arg("0600").arg(&key), PATIENCE)?;
        if let Ok(Some(owner)) = nix::unistd::User::from_name("postgres")
            && nix::unistd::geteuid().is_root()
        {
            nix::unistd::chown(&key, Some(owner.uid), Some(owner.gid)).map_err(trouble)?;
        }
        settings.push(("ssl".to_owned(), "on".to_owned()));
        settings.push(("ssl_cert_file".to_owned(), certificate.display().to_string()));
        settings.push(("ssl_key_file".to_owned(), key.display().to_string()));
    }
    Postgres::start_with(folder, &Options { tls: certificate.is_none(), settings, ..Options::default() })
}

#[test]
fn each_mode_encrypts_and_verifies_as_much_as_libpqs() -> Result<()> {
    let scratch = Scratch::new()?;
    self_signed(scratch.path(), "clients", "clients")?;
    let stranger = self_signed(scratch.path(), "stranger", "stranger")?.display().to_string();
    let server = server(scratch.path(), None)?;
    let either = server.create_database("either")?;
    let [encrypted, plain] = ["encrypted", "plain"].map(|name| server.create_database(name));
    let (encrypted, plain) = (encrypted?, plain?);
    let ca = server.ca().display().to_string();
    let at = |text: &str, options: &str| format!("{text}?{options}");
    run(async {
        for (options, outcome) in [
            ("sslmode=disable".to_owned(), "plain"),
            ("sslmode=allow".to_owned(), "plain"),
            ("sslmode=prefer".to_owned(), "encrypted"),
            ("application_name=default".to_owned(), "encrypted"),
            ("sslmode=require".to_owned(), "encrypted"),
            ("sslmode=require&channel_binding=require".to_owned(), "encrypted"),
            (format!("sslmode=require&sslrootcert={ca}"), "encrypted"),
            (format!("sslmode=require&sslrootcert={stranger}"), "none of the authorities has signed it"),
            (format!("sslmode=prefer&sslrootcert={stranger}"), "plain"),
            (format!("sslmode=verify-ca&sslrootcert={ca}"), "encrypted"),
            (format!("sslmode=verify-ca&sslrootcert={stranger}"), "is not trusted"),
            ("sslmode=verify-ca".to_owned(), "no authority's certificate is there"),
            (format!("sslmode=verify-full&sslrootcert={ca}"), "encrypted"),
            ("sslrootcert=system".to_owned(), "is not trusted"),
            ("sslmode=verify-full&sslrootcert=/nowhere/ca.pem".to_owned(), "/nowhere/ca.pem"),
            ("sslmode=require&sslrootcert=/nowhere/ca.pem".to_owned(), "/nowhere/ca.pem"),
            (
                format!("sslmode=verify-ca&sslrootcert={}", server.log().display()),
                "no -----BEGIN CERTIFICATE-----",
            ),
        ] {
            expect(&at(&either, &options), outcome).await?;
        }
        // Where pg_hba.conf insists on one of them, `allow` and `prefer` come to it.
        for (mode, when_encrypted, when_plain) in [
            ("disable", "does not let the user in", "plain"),
            ("allow", "encrypted", "plain"),
            ("prefer", "encrypted", "plain"),
            ("require", "encrypted", "does not let the user in"),
        ] {
            expect(&at(&encrypted, &format!("sslmode={mode}")), when_encrypted).await?;
            expect(&at(&plain, &format!("sslmode={mode}")), when_plain).await?;
        }
        // A socket of this machine is never encrypted, whatever the mode.
        expect(&format!("{}&sslmode=require", server.socket_url("either")), "plain").await
    })
}

/// `encrypted`, `plain` or `refused`, as libpq has it.
fn outcome_with_libpq(text: &str) -> Result<&'static str> {
    let mut psql = Command::new("psql");
    psql.arg("-XAtqw").arg(text.replace("+psycopg2", ""));
    psql.args(["-c", "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()"]);
    psql.env_clear().envs(std::env::vars_os().filter(|(name, _)| name == "PATH")).env("HOME", "/nowhere");
    let output = process::output(&mut psql, PATIENCE)?;
    Ok(match String::from_utf8_lossy(&output.stdout).trim() {
        "t" => "encrypted",
        "f" => "plain",
        _ => "refused",
    })
}

#[test]
fn every_mode_with_every_authority_ends_as_with_libpq() -> Result<()> {
    let scratch = Scratch::new()?;
    let stranger = self_signed(scratch.path(), "stranger", "stranger")?.display().to_string();
    let server = server(scratch.path(), None)?;
    let authorities = [
        String::new(),
        format!("&sslrootcert={}", server.ca().display()),
        format!("&sslrootcert={stranger}"),
    ];
    run(async {
        for database in ["encrypted", "plain", "either"] {
            let text = server.create_database(database)?;
            for mode in ["disable", "allow", "prefer", "require", "verify-ca", "verify-full"] {
                for authority in &authorities {
                    let text = format!("{text}?sslmode={mode}{authority}");
                    let outcome = outcome(&text, &[]).await?;
                    let ours =
                        if ["encrypted", "plain"].contains(&&*outcome) { &*outcome } else { "refused" };
                    assert_eq!(ours, outcome_with_libpq(&text)?, "{}: {outcome}", url(&text, &[])?);
                }
            }
        }
        Ok(())
    })
}

#[test]
fn a_wrong_password_is_told_as_such_whatever_is_tried_next() -> Result<()> {
    let scratch = Scratch::new()?;
    let server = server(scratch.path(), None)?;
    for database in ["encrypted", "plain", "either"] {
        server.create_database(database)?;
    }
    run(async {
        for (database, mode) in
            [("encrypted", "prefer"), ("encrypted", "allow"), ("plain", "prefer"), ("either", "allow")]
        {
            let text =
                format!("postgresql://{USER}:wrong@127.0.0.1:{}/{database}?sslmode={mode}", server.port());
            expect(&text, "does not accept the password").await?;
        }
        Ok(())
    })
}

#[test]
fn the_authorities_in_the_home_folder_count_in_every_mode() -> Result<()> {
    let scratch = Scratch::new()?;
    let server = server(scratch.path(), None)?;
    let text = server.create_database("either")?;
    let folder = scratch.folder(".postgresql")?;
    let home = scratch.path().display().to_string();
    let home = [("HOME", home.as_str())];
    run(async {
        std::fs::copy(server.ca(), folder.join("root.crt")).map_err(Trouble::doing("copy"))?;
        assert_eq!(outcome(&format!("{text}?sslmode=verify-full"), &home).await?, "encrypted");
        let stranger = self_signed(scratch.path(), "stranger", "stranger")?;
        std::fs::copy(stranger, folder.join("root.crt")).map_err(Trouble::doing("copy"))?;
        let said = outcome(&format!("{text}?sslmode=require"), &home).await?;
        assert!(said.contains("is not trusted"), "{said}");
        Ok(())
    })
}

#[test]
fn a_self_signed_certificate_is_its_own_authority_and_its_common_name_a_name() -> Result<()> {
    let scratch = Scratch::new()?;
    let certificate = self_signed(scratch.path(), "own", "localhost")?;
    let server = server(scratch.path(), Some(&certificate))?;
    let text = server.create_database("either")?;
    let file = certificate.display();
    run(async {
        for (mode, host, outcome) in [
            ("verify-ca", "127.0.0.1", "encrypted"),
            ("verify-full", "localhost", "encrypted"),
            ("verify-full", "127.0.0.1", "is for localhost: write that name as the host"),
        ] {
            let text = text.replace("127.0.0.1", host);
            expect(&format!("{text}?sslmode={mode}&sslrootcert={file}"), outcome).await?;
        }
        Ok(())
    })
}

#[test]
fn a_certificate_of_version_1_encrypts_but_is_not_verified() -> Result<()> {
    let scratch = Scratch::new()?;
    let authority = self_signed(scratch.path(), "authority", "authority")?;
    let certificate = signed(scratch.path(), "old", "localhost", "authority")?;
    let server = server(scratch.path(), Some(&certificate))?;
    let text = server.create_database("either")?;
    run(async {
        expect(&format!("{text}?sslmode=require"), "encrypted").await?;
        let verified = format!("{text}?sslmode=verify-ca&sslrootcert={}", authority.display());
        expect(&verified, "it is of X.509 version 1, which cannot be verified: issue it again").await
    })
}

#[test]
fn a_client_is_known_by_its_certificate() -> Result<()> {
    let scratch = Scratch::new()?;
    self_signed(scratch.path(), "clients", "clients")?;
    let certificate = signed(scratch.path(), "client", USER, "clients")?;
    let key = certificate.with_extension("key");
    let server = server(scratch.path(), None)?;
    server.create_database("certified")?;
    let text = format!("postgresql://{USER}@127.0.0.1:{}/certified?sslmode=require", server.port());
    let named = format!("{text}&sslcert={}&sslkey={}", certificate.display(), key.display());
    let mode = |mode| {
        use std::os::unix::fs::PermissionsExt as _;
        std::fs::set_permissions(&key, std::fs::Permissions::from_mode(mode))
            .map_err(Trouble::doing("set a mode"))
    };
    run(async {
        mode(0o600)?;
        expect(&named, "encrypted").await?;
        expect(&text, "does not let the user in: connection requires a valid client certificate").await?;
        mode(0o644)?;
        expect(&named, "others may read it (mode 0644); chmod 0600 it").await?;
        mode(0o600)?;
        let swapped = format!(
            "{text}&sslcert={}&sslkey={}",
            certificate.display(),
            scratch.path().join("clients.key").display()
        );
        expect(&swapped, "it does not go with its key").await?;
        let no_key = format!("{text}&sslcert={}&sslkey={}", certificate.display(), certificate.display());
        expect(&no_key, "others may read it").await
    })
}
