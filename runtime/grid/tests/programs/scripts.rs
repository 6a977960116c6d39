//! What the tests start: `keep FOLDER` is a keeper, `run ROOT LAUNCHER SCRIPT` somebody who has a script kept until he is killed.

use std::io::Write as _;
use std::path::Path;
use std::process::ExitCode;

use biomero_config::Secret;
use biomero_grid::environment::{Place, Policy, Variables};
use biomero_grid::script::{Keeper, Limits, Options, Script, Scripts};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let outcome: Result<(), Box<dyn std::error::Error>> = match arguments.as_slice() {
        [_, "keep", folder] => biomero_grid::keeper::main(Path::new(folder)).map_err(Into::into),
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
    let (scripts, _) = Scripts::open(Options {
        root: root.into(),
        at_once: 2,
        keeper: Keeper { program: program.into(), arguments: vec!["keep".into()] },
        limits: Limits::default(),
        policy: Policy::default(),
        variables: Variables::default(),
        place: Place { home: "/opt/omero".into(), archives: Vec::new(), shim: None },
    })?;
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
