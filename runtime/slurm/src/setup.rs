//! Making a cluster ready for BIOMERO: is everything there that a workflow needs ([`validate`]), and putting there what is
//! missing: folders, job scripts, container images.
//!
//! Invariants: setting up twice changes nothing; an image that has its name is whole; what somebody edited by hand is told and
//! kept. What is found is a value ([`finding::Finding`]) that a pure function makes from facts.

pub mod facts;
pub mod finding;
pub mod folders;
pub mod images;
pub mod init;
pub mod installed;
pub mod item;
pub mod login;
pub mod probe;
pub mod program;
pub mod pull;
pub mod repository;
pub mod scripts;
pub mod validate;
mod version;

use biomero_config::ContainerRuntime;

pub use version::newest_first;

/// How containers are run on a cluster. Only plain names: they reach a shell as words.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Containers {
    only: Option<ContainerRuntime>,
    modules: Vec<String>,
}

impl Containers {
    /// As the settings say (`slurm.container`, `slurm.modules`). What is no name of a module is left out, and returned.
    #[must_use]
    pub fn configured(runtime: ContainerRuntime, modules: &[String]) -> (Self, Vec<String>) {
        let is_plain = |name: &String| {
            !name.is_empty()
                && !name.starts_with('-')
                && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._+-/".contains(&byte))
        };
        let (modules, odd) = modules.iter().cloned().partition(is_plain);
        (Self { only: Some(runtime), modules }, odd)
    }

    fn runtimes(&self) -> &'static str {
        match self.only {
            Some(ContainerRuntime::Apptainer) => "apptainer",
            Some(ContainerRuntime::Singularity) => "singularity",
            Some(ContainerRuntime::Auto) | None => "apptainer singularity",
        }
    }

    fn modules(&self) -> String {
        self.modules.join(" ")
    }
}

/// Where Python's BIOMERO has its shell look for 7-Zip: what `slurm_zip_cmd` is where nobody set it.
const DEFAULT_ZIP: [&str; 2] = ["7z", "7za"];

/// What is told of a text from a cluster where only a part is of interest: its last `most` characters.
fn end_of(text: &str, most: usize) -> &str {
    let start = text.char_indices().rev().nth(most.saturating_sub(1)).map_or(0, |(at, _)| at);
    text.get(start..).unwrap_or_default()
}
