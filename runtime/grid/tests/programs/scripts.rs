//! What the tests start: `keep FOLDER` is a keeper, `run ROOT LAUNCHER SCRIPT` somebody who has a script kept until he is killed,
//! `processor ROOT ROUTER LAUNCHER PYTHON` a processor that a node starts, and with a registry behind it one that none does.

use std::ffi::OsStr;
use std::io::Write as _;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use biomero_config::Secret;
use biomero_grid::environment::{Place, Policy};
use biomero_grid::processor::{self, Activation, Run, Witness};
use biomero_grid::script::{Keeper, Limits, Options, Script, Scripts};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let outcome: Result<(), Box<dyn std::error::Error>> = match arguments.as_slice() {
        [_, "keep", folder] => biomero_grid::keeper::main(Path::new(folder)).map_err(Into::into),
        [program, "processor", root, router, launcher, python, last] => {
            processor(program, root, router, launcher, python, last)
        }
        [program, "run", root, launcher, text] => run(program, root, launcher, text),
        _ => Err("unknown arguments".into()),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "{error}");
            ExitCode::FAILURE
        }
    }
}

#[tokio::main(flavor = "current_thread")]
async fn run(
    program: &str,
    root: &str,
    launcher: &str,
    text: &str,
) -> Result<(), Box<dyn std::error::Error>> {
    let (scripts, _) = Scripts::open(options(program, root, 2, Limits::default())).await?;
    let process = scripts.run(Script {
        job: 77,
        text: text.to_owned(),
        config: Secret::new(String::new()),
        launcher: launcher.into(),
        note: serde_json::json!({ "noted": true }),
    })?;
    process.wait().await;
    Ok(())
}

fn options(program: &str, root: &str, at_once: usize, limits: Limits) -> Options {
    // The node calls us by our name without a folder.
    let program = std::env::current_exe().unwrap_or_else(|_| program.into());
    Options {
        root: root.into(),
        at_once,
        waiting: 100,
        keeper: Keeper { program, arguments: vec!["keep".into()] },
        limits,
        policy: Policy::default(),
        variables: std::env::vars_os().collect(),
        place: Place { home: "/opt/omero".into(), archives: Vec::new(), shim: None },
    }
}

/// Writes what it is told.
struct Told;

impl Witness for Told {
    fn ran(&self, run: &Run) {
        let _ = writeln!(std::io::stderr(), "{run:?}");
    }
}

/// Writes what is logged: it ends up in the messages of tests that fail.
struct Log;

impl tracing::Subscriber for Log {
    fn enabled(&self, metadata: &tracing::Metadata<'_>) -> bool {
        *metadata.level() <= tracing::Level::INFO
    }

    fn new_span(&self, _: &tracing::span::Attributes<'_>) -> tracing::span::Id {
        tracing::span::Id::from_u64(1)
    }

    fn record(&self, _: &tracing::span::Id, _: &tracing::span::Record<'_>) {}

    fn record_follows_from(&self, _: &tracing::span::Id, _: &tracing::span::Id) {}

    fn event(&self, event: &tracing::Event<'_>) {
        event.record(&mut |field: &tracing::field::Field, value: &dyn std::fmt::Debug| {
            if field.name() == "message" {
                let _ = writeln!(std::io::stderr(), "{value:?}");
            }
        });
    }

    fn enter(&self, _: &tracing::span::Id) {}

    fn exit(&self, _: &tracing::span::Id) {}
}

#[tokio::main]
async fn processor(
    program: &str,
    root: &str,
    router: &str,
    launcher: &str,
    python: &str,
    last: &str,
) -> Result<(), Box<dyn std::error::Error>> {
    let _ = tracing::subscriber::set_global_default(Log);
    let activation = Activation::of([OsStr::new(last)])?;
    let locator = match &activation {
        Some(activation) => activation.locator.clone(),
        None => last.parse()?,
    };
    let at_once = std::env::var("AT_ONCE").map_or(Ok(60), |text| text.parse())?;
    let limits = Limits { grace: Duration::from_millis(300), output: 20 << 20, ..Limits::default() };
    let (scripts, found) = Scripts::open(options(program, root, at_once, limits)).await?;
    let options = processor::Options {
        locator,
        activation,
        endpoint: biomero_ice::NetworkEndpoint::tcp("127.0.0.1", 0),
        published: None,
        router: biomero_omero::Address { host: "127.0.0.1".to_owned(), port: router.parse()?, secure: false },
        launcher: launcher.into(),
        launchers: [("python".to_owned(), python.into())].into_iter().collect(),
        linger: Duration::from_secs(3),
        look: Duration::from_millis(500),
        end_scripts: std::env::var_os("END_SCRIPTS").map(|_| Duration::from_secs(20)),
        session: biomero_omero::Options {
            keep_alive: Duration::from_secs(1),
            attempts: 1,
            timeout: Duration::from_secs(20),
            ..biomero_omero::Options::default()
        },
    };
    let mut told = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
    let stop = async move { told.recv().await.unwrap_or_default() };
    processor::run(options, scripts, found, Arc::new(Told), stop).await?;
    Ok(())
}
