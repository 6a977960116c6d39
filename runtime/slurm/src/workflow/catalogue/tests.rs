//! The catalogue, against a real server on this machine that answers as it is told.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};

use tempfile::TempDir;

use super::*;

const DESCRIPTOR: &str = r#"{"schema-version": "cytomine-0.1", "name": "served", "description": "", "command-line": "",
    "container-image": {"image": "org/served"}, "inputs": [{"id": "a", "type": "Number", "default-value": 1}]}"#;

/// What a server does when it is asked for a path.
type Doer = Box<dyn Fn(&str) -> Does + Send>;
type Shared = Arc<Mutex<Doer>>;
type Simple = fn(&str) -> Does;

/// What the server does with a request.
#[derive(Clone)]
enum Does {
    /// A status, headers, a body.
    Answer(u16, String, Vec<u8>),
    /// Nothing, until the client goes.
    Silence,
    /// Headers that promise more than comes.
    Broken,
    /// A body without an end.
    Endless,
    /// Descriptor with this tag; 304 to who has it already.
    Tagged(&'static str),
}

fn answer(status: u16, body: &str) -> Does {
    Does::Answer(status, String::new(), body.as_bytes().to_vec())
}

/// A server whose answer to each path is a function; it tells what it was asked.
struct Server {
    base: String,
    asked: Receiver<String>,
    does: Shared,
}

impl Server {
    fn start(does: impl Fn(&str) -> Does + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let base = format!("http://{}", listener.local_addr().expect("an address"));
        let does: Shared = Arc::new(Mutex::new(Box::new(does)));
        let (tell, asked) = channel();
        let shared = Arc::clone(&does);
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let (shared, tell) = (Arc::clone(&shared), tell.clone());
                std::thread::spawn(move || {
                    let _ = serve(&stream, &shared, &tell);
                });
            }
        });
        Self { base, asked, does }
    }

    fn now(&self, does: impl Fn(&str) -> Does + Send + 'static) {
        *self.does.lock().expect("unharmed") = Box::new(does);
    }

    fn asked(&self) -> Vec<String> {
        self.asked.try_iter().collect()
    }

    fn catalogue(&self, cache: Option<&TempDir>) -> Catalogue {
        catalogue(&self.base, cache)
    }
}

fn catalogue(base: &str, cache: Option<&TempDir>) -> Catalogue {
    let fetch = FetchOptions {
        base: base.to_owned(),
        timeout: Duration::from_secs(2),
        deadline: Duration::from_secs(20),
        attempts: 2,
        pause: Duration::from_millis(10),
        ..FetchOptions::default()
    };
    let cache = cache.map(|folder| folder.path().join("kept"));
    Catalogue::new(CatalogueOptions { local: None, cache, fetch }).expect("a catalogue")
}

fn serve(
    stream: &TcpStream,
    does: &Mutex<Doer>,
    tell: &std::sync::mpsc::Sender<String>,
) -> std::io::Result<()> {
    let mut lines = BufReader::new(stream.try_clone()?).lines();
    while let Some(first) = lines.next().transpose()? {
        let mut has = None;
        for line in lines.by_ref() {
            let line = line?;
            if let Some((_, tag)) =
                line.split_once(": ").filter(|(name, _)| name.eq_ignore_ascii_case("if-none-match"))
            {
                has = Some(tag.to_owned());
            }
            if line.is_empty() {
                break;
            }
        }
        let path = first.split(' ').nth(1).unwrap_or_default().to_owned();
        let what = does.lock().expect("unharmed")(&path);
        let _ = tell.send(if has.is_some() { format!("{path} conditionally") } else { path });
        let mut stream = stream;
        match what {
            Does::Answer(status, headers, body) => {
                let length = body.len();
                write!(stream, "HTTP/1.1 {status} x\r\nContent-Length: {length}\r\n{headers}\r\n")?;
                stream.write_all(&body)?;
            }
            Does::Tagged(tag) if has.as_deref() == Some(tag) => {
                write!(stream, "HTTP/1.1 304 x\r\nETag: {tag}\r\n\r\n")?;
            }
            Does::Tagged(tag) => {
                let length = DESCRIPTOR.len();
                write!(
                    stream,
                    "HTTP/1.1 200 x\r\nContent-Length: {length}\r\nETag: {tag}\r\n\r\n{DESCRIPTOR}"
                )?;
            }
            Does::Silence => std::thread::sleep(Duration::from_secs(30)),
            Does::Broken => {
                write!(stream, "HTTP/1.1 200 x\r\nContent-Length: 1000\r\n\r\n{{\"name\"")?;
                return Ok(());
            }
            Does::Endless => {
                write!(stream, "HTTP/1.1 200 x\r\nTransfer-Encoding: chunked\r\n\r\n")?;
                loop {
                    write!(stream, "10000\r\n{}\r\n", " ".repeat(0x10000))?;
                }
            }
        }
    }
    Ok(())
}

fn workflow(name: &str, repository: &str) -> Workflow {
    Workflow {
        name: name.to_owned(),
        path: None,
        repository: Some(repository.to_owned()),
        job: None,
        job_options: Vec::new(),
        use_gpu: false,
    }
}

const VERSION: &str = "https://github.com/o/r/tree/v1";
const BRANCH: &str = "https://github.com/o/r";

/// Sets back when the one descriptor in a cache was asked for.
fn age(cache: &TempDir, seconds: u64) {
    let entry = std::fs::read_dir(cache.path().join("kept")).expect("a folder").next().expect("a file");
    let path = entry.expect("a file").path();
    let text = std::fs::read_to_string(&path).expect("text");
    let mut kept: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    let fetched = kept["fetched"].as_u64().expect("a number");
    kept["fetched"] = (fetched - seconds).into();
    std::fs::write(path, kept.to_string()).expect("a file");
}

async fn one(catalogue: &Catalogue, repository: &str, refresh: bool) -> Result<Found, EntryError> {
    catalogue.one(&workflow("wf", repository), refresh).await
}

#[tokio::test]
async fn files_are_looked_for_in_pythons_order_and_kept() {
    let cache = TempDir::new().expect("a folder");
    let server = Server::start(|path| {
        if path == "/o/r/raw/main/config.yaml" { Does::Tagged("\"1\"") } else { answer(404, "") }
    });
    let found = one(&server.catalogue(Some(&cache)), BRANCH, false).await.expect("found");
    assert_eq!(
        (found.descriptor.name.as_str(), &found.origin, found.warning),
        ("served", &Origin::Fetched, None)
    );
    assert_eq!(found.place, format!("{}/o/r/raw/main/config.yaml", server.base));
    let asked: Vec<String> = ["master", "main"]
        .iter()
        .flat_map(|branch| NAMES.iter().map(move |name| format!("/o/r/raw/{branch}/{name}")))
        .collect();
    assert_eq!(server.asked(), asked);

    // Another catalogue, as another process: nothing is asked while it is new.
    let again = server.catalogue(Some(&cache));
    assert!(matches!(one(&again, BRANCH, false).await.expect("kept").origin, Origin::Kept { .. }));
    assert!(server.asked().is_empty());
    // Asked for, or grown old: what has not changed is not sent again.
    for refresh in [true, false] {
        age(&cache, 3_601);
        let found = one(&again, BRANCH, refresh).await.expect("kept");
        assert_eq!(found.origin, Origin::Kept { age: Duration::ZERO });
        assert_eq!(server.asked(), ["/o/r/raw/main/config.yaml conditionally"]);
    }
    // It was asked just now, so that it is new again.
    assert!(matches!(one(&again, BRANCH, false).await.expect("kept").origin, Origin::Kept { .. }));
    assert!(server.asked().is_empty());
    // Changed, it is taken; gone from there, it is looked for again.
    server.now(|_| Does::Tagged("\"2\""));
    assert_eq!(one(&again, BRANCH, true).await.expect("changed").origin, Origin::Fetched);
    server.now(|path| {
        if path.ends_with("master/descriptor.json") { Does::Tagged("\"3\"") } else { answer(404, "") }
    });
    let found = one(&again, BRANCH, true).await.expect("moved");
    assert!(found.place.ends_with("/o/r/raw/master/descriptor.json"), "{}", found.place);
}

#[tokio::test]
async fn a_version_is_new_for_longer() {
    let cache = TempDir::new().expect("a folder");
    let server = Server::start(|_| Does::Tagged("\"1\""));
    let catalogue = server.catalogue(Some(&cache));
    one(&catalogue, VERSION, false).await.expect("found");
    assert_eq!(server.asked(), ["/o/r/raw/v1/descriptor.json"]);
    age(&cache, 3_601);
    one(&catalogue, VERSION, false).await.expect("kept");
    assert!(server.asked().is_empty());
    age(&cache, 24 * 3_600);
    one(&catalogue, VERSION, false).await.expect("asked");
    assert_eq!(server.asked().len(), 1);
}

#[tokio::test]
async fn what_was_kept_is_used_when_the_server_cannot_be_asked_and_it_is_said_so() {
    let cache = TempDir::new().expect("a folder");
    let server = Server::start(|_| Does::Tagged("\"1\""));
    let kept = server.catalogue(Some(&cache));
    one(&kept, VERSION, false).await.expect("found");
    let cases: [(Simple, &str); 6] = [
        (|_| answer(403, "rate limit"), "HTTP 403"),
        (|_| answer(429, ""), "HTTP 429"),
        (|_| answer(503, ""), "HTTP 503"),
        (|_| Does::Silence, "in time"),
        (|_| Does::Broken, "cannot be fetched"),
        (
            |_| Does::Answer(302, "Location: http://127.0.0.1:1/x\r\n".to_owned(), Vec::new()),
            "cannot be fetched",
        ),
    ];
    for (does, said) in cases {
        server.now(does);
        let found = one(&kept, VERSION, true).await.expect("kept");
        assert!(matches!(found.origin, Origin::Stale { .. }), "{said}: {:?}", found.origin);
        let warning = found.warning.expect("a warning");
        assert!(warning.contains(said), "{said}: {warning}");
        let without = server.catalogue(None);
        let error = one(&without, VERSION, false).await.expect_err("nothing is kept").to_string();
        assert!(error.contains(said), "{said}: {error}");
    }
    let nobody = catalogue("http://127.0.0.1:1", Some(&cache));
    assert!(matches!(one(&nobody, VERSION, true).await.expect("kept").origin, Origin::Stale { .. }));
}

#[tokio::test]
async fn a_servers_error_is_asked_again_and_a_limit_is_not() {
    for (status, times) in [(500, 2), (502, 2), (403, 1), (429, 1), (401, 1)] {
        let server = Server::start(move |_| answer(status, ""));
        one(&server.catalogue(None), VERSION, false).await.expect_err("refused");
        assert_eq!(server.asked().len(), times, "{status}");
    }
}

#[tokio::test]
async fn what_is_huge_or_no_descriptor_is_told() {
    let large = " ".repeat(descriptor::LARGEST + 1);
    let cases: [(Doer, &str); 4] = [
        (Box::new(|_| Does::Endless), "larger than 1 MiB"),
        (Box::new(move |_| answer(200, &large)), "larger than 1 MiB"),
        (Box::new(|_| answer(200, "<html>")), "line 1, column 1"),
        (Box::new(|_| answer(404, "")), "there is no descriptor in https://github.com/o/r/tree/v1"),
    ];
    for (does, said) in cases {
        let server = Server::start(does);
        let error = one(&server.catalogue(None), VERSION, false).await.expect_err(said).to_string();
        assert!(error.contains(said), "{said}: {error}");
    }
}

#[tokio::test]
async fn one_broken_repository_stops_no_other() {
    let server = Server::start(|path| match path.split('/').nth(2) {
        Some("silent") => Does::Silence,
        Some("limited") => answer(429, ""),
        Some("good") => Does::Tagged("\"1\""),
        _ => answer(404, ""),
    });
    let link = |name: &str| format!("https://github.com/o/{name}/tree/v1");
    let mut workflows: Vec<Workflow> =
        ["silent", "limited", "good", "absent"].iter().map(|name| workflow(name, &link(name))).collect();
    workflows.push(workflow("elsewhere", "https://gitlab.com/o/r"));
    workflows.push(workflow("unnamed", ""));
    let entries = server.catalogue(None).all(&workflows, false).await;
    let said: Vec<(&str, bool)> =
        entries.iter().map(|entry| (entry.name.as_str(), entry.found.is_ok())).collect();
    let good = |name| name == "good";
    let names = ["silent", "limited", "good", "absent", "elsewhere", "unnamed"];
    assert_eq!(said, names.map(|name| (name, good(name))));
}

#[tokio::test]
async fn a_file_of_the_site_comes_first_and_a_path_is_no_link() {
    let server = Server::start(|_| Does::Tagged("\"1\""));
    let folder = TempDir::new().expect("a folder");
    let local = DESCRIPTOR.replace("served", "local");
    std::fs::write(folder.path().join("wf.json"), &local).expect("a file");
    std::fs::create_dir(folder.path().join("other")).expect("a folder");
    std::fs::write(folder.path().join("other/config.yaml"), &local).expect("a file");
    let fetch = FetchOptions { base: server.base.clone(), ..FetchOptions::default() };
    let options = CatalogueOptions { local: Some(folder.path().to_owned()), cache: None, fetch };
    let site = Catalogue::new(options).expect("a catalogue");
    for name in ["wf", "other"] {
        let found = site.one(&workflow(name, VERSION), false).await.expect("found");
        assert_eq!((found.descriptor.name.as_str(), found.origin), ("local", Origin::Local), "{name}");
    }
    assert!(server.asked().is_empty());
    let path = folder.path().join("other").display().to_string();
    let found = server.catalogue(None).one(&workflow("x", &path), false).await.expect("found");
    assert_eq!(found.origin, Origin::Local);
    for name in ["../wf", "missing", ".."] {
        let found = site.one(&workflow(name, VERSION), false).await.expect("found");
        assert_eq!(found.origin, Origin::Fetched, "{name}");
    }
    let error = server.catalogue(None).one(&workflow("x", "/dev/zero"), false).await.expect_err("a device");
    assert!(error.to_string().contains("no regular file"), "{error}");
}

#[tokio::test]
async fn a_cache_that_is_damaged_or_cannot_be_written_is_no_obstacle() {
    let cache = TempDir::new().expect("a folder");
    let server = Server::start(|_| Does::Tagged("\"1\""));
    let catalogue = server.catalogue(Some(&cache));
    one(&catalogue, VERSION, false).await.expect("found");
    let entry = std::fs::read_dir(cache.path().join("kept")).expect("a folder").next().expect("a file");
    let path = entry.expect("a file").path();
    for damage in ["", "{", "null", r#"{"key":"other"}"#] {
        std::fs::write(&path, damage).expect("a file");
        assert_eq!(
            one(&catalogue, VERSION, false).await.expect("fetched").origin,
            Origin::Fetched,
            "{damage}"
        );
    }
    let taken = TempDir::new().expect("a folder");
    std::fs::write(taken.path().join("kept"), "a file where the folder should be").expect("a file");
    let found = one(&server.catalogue(Some(&taken)), VERSION, false).await.expect("fetched");
    assert!(found.warning.expect("a warning").contains("cannot be kept"));
}

#[tokio::test]
async fn a_proxy_is_asked_unless_the_host_is_excepted() {
    let proxy = Server::start(|_| answer(404, ""));
    let server = Server::start(|_| Does::Tagged("\"1\""));
    let with = |no_proxy: Option<&str>| {
        let fetch = FetchOptions {
            base: server.base.clone(),
            proxy: Some(proxy.base.clone()),
            no_proxy: no_proxy.map(str::to_owned),
            attempts: 1,
            timeout: Duration::from_secs(5),
            ..FetchOptions::default()
        };
        Catalogue::new(CatalogueOptions { local: None, cache: None, fetch }).expect("a catalogue")
    };
    one(&with(None), VERSION, false).await.expect_err("the proxy knows nothing");
    assert!(server.asked().is_empty() && !proxy.asked().is_empty());
    one(&with(Some("example.org, 127.0.0.1")), VERSION, false).await.expect("asked directly");
    assert!(proxy.asked().is_empty());
    let fetch = FetchOptions { proxy: Some("no proxy at all".to_owned()), ..FetchOptions::default() };
    assert!(Catalogue::new(CatalogueOptions { local: None, cache: None, fetch }).is_err());
}

/// Where the test below finds its server.
const TLS_SERVER: &str = "BIOMERO_TEST_TLS_SERVER";

/// Run by the next test, with the authorities that its environment names.
#[tokio::test]
#[ignore = "it is run by certificates_are_checked_against_the_machines_authorities"]
async fn fetches_by_tls() {
    let base = std::env::var(TLS_SERVER).expect("the server's address");
    match one(&catalogue(&base, None), VERSION, false).await {
        Ok(found) => assert_eq!((found.descriptor.name.as_str(), found.origin), ("served", Origin::Fetched)),
        Err(error) => panic!("{error}"),
    }
}

#[test]
fn certificates_are_checked_against_the_machines_authorities() {
    let folder = TempDir::new().expect("a folder");
    let path = |name: &str| folder.path().join(name);
    std::fs::create_dir_all(path("o/r/raw/v1")).expect("a folder");
    std::fs::write(path("o/r/raw/v1/descriptor.json"), DESCRIPTOR).expect("a file");
    let made = std::process::Command::new("openssl")
        .args(["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"])
        .args(["-addext", "subjectAltName=DNS:localhost", "-addext", "basicConstraints=critical,CA:FALSE"])
        .args(["-keyout", "key.pem", "-out", "certificate.pem"])
        .current_dir(folder.path())
        .output()
        .expect("openssl is there");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let mut server = std::process::Command::new("openssl")
        .args(["s_server", "-accept", "127.0.0.1:0", "-key", "key.pem", "-cert", "certificate.pem", "-WWW"])
        .current_dir(folder.path())
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::null())
        .spawn()
        .expect("openssl is there");
    let lines = BufReader::new(server.stdout.take().expect("a pipe")).lines().map_while(Result::ok);
    let mut ports =
        lines.filter_map(|line| line.strip_prefix("ACCEPT ")?.rsplit_once(':')?.1.parse::<u16>().ok());
    let port = ports.next().expect("it listens");
    let fetch = |host: &str, authorities: &str| {
        let output = std::process::Command::new(std::env::current_exe().expect("this program"))
            .args(["--exact", "workflow::catalogue::tests::fetches_by_tls", "--ignored", "--nocapture"])
            .env(TLS_SERVER, format!("https://{host}:{port}"))
            .env("SSL_CERT_FILE", authorities)
            .env_remove("SSL_CERT_DIR")
            .output()
            .expect("it runs");
        let said =
            String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        (output.status.success(), said)
    };
    let own = path("certificate.pem").display().to_string();
    let (trusted, said) = fetch("localhost", &own);
    let other = fetch("localhost", "/etc/ssl/certs/ca-certificates.crt");
    let name = fetch("127.0.0.1", &own);
    let _ = server.kill();
    let _ = server.wait();
    assert!(trusted, "{said}");
    for (is_fetched, said) in [other, name] {
        assert!(!is_fetched && said.contains("check the machine's certificates"), "{said}");
    }
}
