//! TCP: tokens, TLS, and what is refused at the start.

use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use biomero_tests::postgres::certificate;
use biomero_tests::{Result, http, process, wait};

use super::{Asked, Desk, is_problem};

/// An address at which nobody listens.
pub(super) fn free() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("its address").to_string()
}

/// A token in a new file of tokens.
pub(super) fn token(desk: &Desk) -> Result<(String, PathBuf)> {
    let file = desk.worker.folder().join("tokens");
    let path = file.display().to_string();
    let mut make = desk.worker.processor(&["api", "token", "dashboard", "--add", &path])?;
    let token = process::succeed(&mut make, wait::PATIENCE)?.trim().to_owned();
    assert_eq!(file.metadata().expect("a file").permissions().mode() & 0o777, 0o600);
    Ok((token, file))
}

pub(super) fn set(desk: &mut Desk, name: &str, value: impl AsRef<Path>) {
    desk.worker.variable(&format!("BIOMERO_INIT_API__{name}"), &value.as_ref().display().to_string());
}

#[test]
fn without_a_token_nothing_is_told_and_with_it_the_same_as_over_the_socket() -> Result<()> {
    let mut desk = Desk::embedded()?;
    let (token, file) = token(&desk)?;
    let address = free();
    set(&mut desk, "LISTEN", &address);
    set(&mut desk, "TOKENS", &file);
    let asked = Asked::over(desk)?;
    let answer = http::to(&address)?.ask("GET", "/v1/workflows", "", "")?;
    is_problem(&answer, 401);
    assert!(answer.header("www-authenticate").starts_with("Bearer"));
    let hash = std::fs::read_to_string(&file).expect("a file");
    let hash = hash.trim().rsplit(' ').next().unwrap_or_default().to_owned();
    for wrong in [
        format!("Bearer {token}0"),
        format!("Bearer {}", &token[..token.len() - 1]),
        format!("Bearer {hash}"),
        format!("Basic {token}"),
        "Bearer".to_owned(),
    ] {
        for path in ["/v1/workflows", "/ready", "/openapi.json", "/v1/configuration", "/nothing"] {
            let headers = format!("Authorization: {wrong}\r\n");
            is_problem(&http::to(&address)?.ask("GET", path, &headers, "")?, 401);
        }
    }
    let right = format!("Authorization: Bearer {token}\r\n");
    let mut connection = http::to(&address)?;
    for path in ["/v1/workflows", "/v1/configuration", "/openapi.json"] {
        let answer = connection.ask("GET", path, &right, "")?;
        assert_eq!(answer.status, 200, "{path}: {}", answer.text());
        assert_eq!(answer.body, http::get(&asked.socket, path)?.body, "{path}");
    }
    assert_eq!(http::to(&address)?.ask("GET", "/health", "", "")?.status, 200);
    // Who it was is told, and what they have shown is not.
    let log = asked.serve.output();
    assert!(log.contains("token dashboard: GET /v1/workflows: 200"), "{log}");
    assert!(!log.contains(&token) && !log.contains(&hash), "a token is in the log");
    let configuration = http::get(&asked.socket, "/v1/configuration")?.text();
    assert!(configuration.contains("api.tokens") && !configuration.contains(&hash));
    let mut found = Command::new("grep");
    found.args(["-rlF", &token]).arg(asked.desk.worker.folder());
    let found = process::output(&mut found, wait::PATIENCE)?;
    assert_eq!(String::from_utf8_lossy(&found.stdout), "", "a token is kept");
    Ok(())
}

#[test]
fn over_tls_it_is_asked_by_who_trusts_its_certificate() -> Result<()> {
    let mut desk = Desk::embedded()?;
    let (token, file) = token(&desk)?;
    let folder = desk.worker.folder().join("tls");
    std::fs::create_dir_all(&folder).expect("a folder");
    let authority = folder.join("ca.pem");
    let pair = certificate::make(&folder, &authority)?;
    let address = free();
    set(&mut desk, "LISTEN", &address);
    set(&mut desk, "TOKENS", &file);
    set(&mut desk, "CERTIFICATE", &pair.certificate);
    set(&mut desk, "KEY", &pair.key);
    let _asked = Asked::over(desk)?;
    let curl = |trust: Option<&Path>, more: &[&str]| {
        let mut curl = Command::new("curl");
        curl.args(["-sS", "--noproxy", "*", "-w", "\n%{http_code} %{http_version}"]).args(more);
        if let Some(trust) = trust {
            curl.arg("--cacert").arg(trust);
        }
        curl.arg("-H").arg(format!("Authorization: Bearer {token}"));
        curl.arg(format!("https://{address}/v1/workflows"));
        process::output(&mut curl, wait::PATIENCE)
    };
    let answer = curl(Some(&authority), &[])?;
    let said = process::both(&answer);
    assert!(answer.status.success() && said.contains("200 1.1"), "{said}");
    assert!(!curl(None, &[])?.status.success(), "a certificate that nobody trusts was taken");
    let old = curl(Some(&authority), &["--tls-max", "1.1"])?;
    assert!(!old.status.success(), "{}", process::both(&old));
    // Without TLS there is no answer.
    let plain = http::to(&address)?.ask("GET", "/health", "", "");
    assert!(plain.is_err(), "{plain:?}");
    Ok(())
}

#[test]
fn what_would_be_unsafe_is_refused_at_the_start() -> Result<()> {
    let fresh = Desk::embedded()?;
    let (_, file) = token(&fresh)?;
    let open = fresh.worker.write("open", &std::fs::read_to_string(&file).expect("a file"))?;
    std::fs::set_permissions(&open, std::fs::Permissions::from_mode(0o644)).expect("its mode");
    let nonsense = fresh.worker.write("nonsense", "dashboard secret\n")?;
    std::fs::set_permissions(&nonsense, std::fs::Permissions::from_mode(0o600)).expect("its mode");
    let path = |path: &Path| path.display().to_string();
    for (settings, told) in [
        (vec![("LISTEN", free())], "api.tokens"),
        (vec![("LISTEN", "0.0.0.0:1".to_owned()), ("TOKENS", path(&file))], "api.certificate"),
        (vec![("LISTEN", free()), ("TOKENS", path(&open))], "chmod 600"),
        (vec![("LISTEN", free()), ("TOKENS", path(&nonsense))], "nonsense:1"),
        (vec![("LISTEN", free()), ("TOKENS", path(&file)), ("KEY", path(&file))], "belong together"),
        (
            vec![
                ("LISTEN", free()),
                ("TOKENS", path(&file)),
                ("KEY", path(&file)),
                ("CERTIFICATE", path(&file)),
            ],
            "api.certificate",
        ),
    ] {
        let mut desk = Desk::embedded()?;
        for (name, value) in settings {
            set(&mut desk, name, value);
        }
        let mut serve = desk.serve()?;
        let code = serve.ended_within(wait::PATIENCE)?.code();
        assert_eq!(code, Some(78), "{told}: {}", serve.output());
        assert!(serve.output().contains(told), "{told}: {}", serve.output());
        assert!(!serve.output().contains("dashboard secret"), "{}", serve.output());
    }
    Ok(())
}
