//! `cargo xtask guests`: the example site hooks, as components in `target/guests`.
//!
//! Each language brings its own toolchain, which is found or installed: below `~/.cache/biomero-worker` what no
//! package manager puts in its place. What was built from the same files is not built again.

mod c;
mod python;
mod rust;
mod stamp;

use std::path::{Path, PathBuf};
use std::time::Instant;

use biomero_tests::binary::{self, cache, target};

use crate::command::{output, workspace};
use crate::failure::Failure;

/// All that a component may import. The host gives nothing else.
const IMPORTS: &[&str] = &["biomero:hooks/log@1.0.0"];
/// What makes a component a hook.
const EXPORT: &str = "biomero:hooks/hook@1.0.0";

/// One example.
struct Guest {
    /// Of the component, without `.wasm`.
    name: &'static str,
    /// Below `hooks/guests`.
    folder: &'static str,
    language: Language,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Language {
    Rust,
    C,
    Python,
}

impl Language {
    const fn name(self) -> &'static str {
        match self {
            Self::Rust => "Rust",
            Self::C => "C",
            Self::Python => "Python",
        }
    }
}

const GUESTS: &[Guest] = &[
    Guest { name: "site-proxy", folder: "site-proxy", language: Language::Rust },
    Guest { name: "slurm-cluster", folder: "slurm-cluster", language: Language::Rust },
    Guest { name: "nat-worker", folder: "nat-worker", language: Language::Rust },
    Guest { name: "worker-banner", folder: "c-banner", language: Language::C },
    Guest { name: "pip-conf", folder: "python-pip-conf", language: Language::Python },
];

impl Guest {
    fn source(&self) -> PathBuf {
        sources().join(self.folder)
    }

    fn component(&self) -> PathBuf {
        target().join("guests").join(format!("{}.wasm", self.name))
    }

    /// What it is built from, the steps of building included.
    fn inputs(&self) -> Vec<PathBuf> {
        let mut inputs = vec![self.source(), wit(), workspace().join("hooks/compiler/src")];
        let steps = workspace().join("xtask/src/guests");
        match self.language {
            Language::Rust => {
                inputs.push(steps.join("rust.rs"));
                inputs.extend(["sdk", "Cargo.toml", "Cargo.lock"].map(|name| sources().join(name)));
            }
            Language::C => inputs.push(steps.join("c.rs")),
            Language::Python => inputs.push(steps.join("python.rs")),
        }
        inputs
    }
}

/// Builds what changed, checks it, and says where it is.
pub(crate) fn run(options: &[&str]) -> Result<(), Failure> {
    let with_tests = match options {
        [] => false,
        ["--test"] => true,
        _ => return Err(Failure::Usage("`guests` knows one option, --test".to_owned())),
    };
    let start = Instant::now();
    let folder = target().join("guests");
    std::fs::create_dir_all(&folder).map_err(|source| Failure::File {
        action: "make",
        path: folder.clone(),
        source,
    })?;
    let mut stale: Vec<(&Guest, String)> = vec![];
    for guest in GUESTS {
        let digest = stamp::digest(&guest.inputs())?;
        if !stamp::is_current(&guest.component(), &digest) {
            stale.push((guest, digest));
        }
    }
    if !stale.is_empty() {
        let compiler = binary::compiler()?;
        for (language, build) in [
            (Language::Rust, rust::build as fn(&[&Guest], &Path) -> Result<(), Failure>),
            (Language::C, c::build),
            (Language::Python, python::build),
        ] {
            let guests: Vec<&Guest> =
                stale.iter().map(|(guest, _)| *guest).filter(|guest| guest.language == language).collect();
            if !guests.is_empty() {
                println!("\n==> {}", language.name());
                build(&guests, &compiler)?;
            }
        }
        for (guest, digest) in &stale {
            check_interfaces(guest, &compiler)?;
            stamp::write(&guest.component(), digest)?;
        }
    }
    if with_tests {
        rust::test()?;
        python::test()?;
    }
    println!();
    for guest in GUESTS {
        let path = guest.component();
        let bytes = path
            .metadata()
            .map_err(|source| Failure::File { action: "look at", path: path.clone(), source })?
            .len();
        let state =
            if stale.iter().any(|(other, _)| other.name == guest.name) { "built" } else { "up to date" };
        println!("{:<7} {:>9} bytes  {state:<10}  {}", guest.language.name(), bytes, path.display());
    }
    println!("in {:.1} s", start.elapsed().as_secs_f64());
    Ok(())
}

fn check_interfaces(guest: &Guest, compiler: &Path) -> Result<(), Failure> {
    let component = guest.component();
    let said = output(std::process::Command::new(compiler).arg("interfaces").arg(&component))?;
    let refused = |problem: String| Err(Failure::Unexpected(format!("{}: {problem}", component.display())));
    for import in said.lines().filter_map(|line| line.strip_prefix("import ")) {
        if !IMPORTS.contains(&import) {
            return refused(format!("imports {import}, which no site hook gets; it may import {IMPORTS:?}"));
        }
    }
    if !said.lines().any(|line| line.strip_prefix("export ") == Some(EXPORT)) {
        return refused(format!("does not export {EXPORT}, so it is no hook"));
    }
    Ok(())
}

fn sources() -> PathBuf {
    workspace().join("hooks/guests")
}

fn wit() -> PathBuf {
    workspace().join("hooks/wit")
}

/// For `map_err` of what is done with a file.
fn failed<'a>(action: &'static str, path: &'a Path) -> impl Fn(std::io::Error) -> Failure + 'a {
    move |source| Failure::File { action, path: path.to_owned(), source }
}
