//! What the OpenAPI document promises, tried by schemathesis.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use biomero_tests::cluster::worker::slurm_config;
use biomero_tests::{Result, http, process, python, wait};

use super::{Asked, Desk};

/// How long it may take.
const LONGEST: Duration = Duration::from_secs(300);

/// Whether a name is that of a workflow is not for a schema to say, and what makes no sense is refused with 422. Streams end
/// where they are asked to.
const CONFIGURATION: &str = r#"
[checks.positive_data_acceptance]
expected-statuses = ["2xx", "401", "403", "404", "409", "422", "429"]

[checks.negative_data_rejection]
expected-statuses = ["400", "401", "403", "404", "405", "409", "413", "415", "422", "429"]

[[operations]]
include-path = "/v1/events"
parameters = { "query.follow" = "false" }
"#;

fn is_kept(mut desk: Desk, seed: &str) -> Result<()> {
    let fixtures = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("fixtures/api");
    let interpreter = python::environment("schemathesis-4.32.5", &fixtures.join("requirements.txt"))?;
    let folder = desk.worker.folder().to_path_buf();
    let tokens = folder.join("tokens").display().to_string();
    let mut make = desk.worker.processor(&["api", "token", "schemathesis", "--add", &tokens])?;
    let token = process::succeed(&mut make, wait::PATIENCE)?.trim().to_owned();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("its address").to_string();
    drop(listener);
    for (name, value) in [("LISTEN", address.as_str()), ("TOKENS", &tokens), ("RATE", "100000")] {
        desk.worker.variable(&format!("BIOMERO_INIT_API__{name}"), value);
    }
    desk.worker.write("schemathesis/schemathesis.toml", CONFIGURATION)?;
    let mut asked = Asked::over(desk)?;
    // There is something to be found.
    let id = asked.submit("one", &[])?;
    asked.ended(&id)?;
    // From here on no workflow is known: whatever is asked for, nothing is read or written outside.
    assert!(asked.serve.stop(wait::PATIENCE)?.success());
    let configured = slurm_config("slurm", asked.desk.worker.remote(), "", "");
    let (without, _) = configured.split_once("[MODELS]").expect("workflows");
    asked.desk.worker.write("slurm-config.ini", without)?;
    asked.serve = asked.desk.serve()?;
    asked.is_ready()?;
    let request = asked.request("two", &[])?;
    assert_eq!(http::post(&asked.socket, "/v1/workflows", &request)?.status, 422);
    let mut schemathesis = Command::new(interpreter);
    schemathesis.args(["-m", "schemathesis.cli", "run"]).current_dir(folder.join("schemathesis"));
    schemathesis.arg(format!("http://{address}/openapi.json"));
    schemathesis.args(["--checks", "all", "--continue-on-failure", "--request-timeout", "30"]);
    schemathesis.args(["--seed", seed, "--max-examples", "25", "--header"]);
    schemathesis.arg(format!("Authorization: Bearer {token}"));
    let output = process::output(&mut schemathesis, LONGEST)?;
    let told = process::both(&output);
    assert!(output.status.success(), "{told}\n{}", wait::ends_of(&[asked.serve.log()]));
    assert!(told.contains("Tested: 15"), "not every operation was tried: {told}");
    assert!(!asked.serve.output().contains("panicked"), "{}", asked.serve.output());
    assert_eq!(asked.get("/ready")?["ready"], true);
    Ok(())
}

#[test]
fn schemathesis_finds_nothing_that_is_not_as_the_document_says() -> Result<()> {
    is_kept(Desk::embedded()?, "1")
}
