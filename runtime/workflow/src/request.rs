//! What is asked for, and whether it makes sense. Nothing is kept of a request that does not.

use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::input::Input;

/// How many inputs a workflow takes; more are a batch.
pub const INPUTS: usize = 10_000;
/// How many parameters.
const PARAMETERS: usize = 1_000;
/// How long a name may be, in bytes.
const NAME: usize = 200;
/// How long a value may be, in bytes.
const VALUE: usize = 64 << 10;
/// How long all of a request may be, in bytes of JSON.
const ALL: usize = 1 << 20;

/// What is asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// The workflow, as `slurm-config.ini` names it.
    pub workflow: String,
    /// Its version; the one that its descriptor names where none is given.
    #[serde(default)]
    pub version: Option<String>,
    /// What it works on, one or more.
    pub inputs: Vec<Input>,
    /// Its parameters, as the descriptor names them.
    #[serde(default)]
    pub parameters: Vec<(String, String)>,
    /// OMERO's id of the user, -1 where there is none.
    pub user: i64,
    /// OMERO's id of the group, -1 where there is none.
    pub group: i64,
    /// Where results go.
    pub results: Results,
    /// How it is done.
    #[serde(default)]
    pub policy: Policy,
}

/// Where results go.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Results {
    /// Into a new folder of this machine; absolute. It has its name once it is whole.
    Directory(PathBuf),
    /// To the images in OMERO that it worked on.
    Omero(OmeroResults),
}

/// What becomes of results in OMERO.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OmeroResults {
    /// Files are attached.
    #[serde(default = "yes")]
    pub attachments: bool,
    /// CSV files become tables.
    #[serde(default = "yes")]
    pub tables: bool,
    /// Label images become regions of interest.
    #[serde(default)]
    pub regions: bool,
    /// Images are imported into this dataset: its name, or `Dataset:ID`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub import: Option<String>,
}

const fn yes() -> bool {
    true
}

/// How it is done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Policy {
    /// Whether `.zarr` folders are converted for a workflow that does not read them.
    pub convert: bool,
    /// When what lies on the cluster goes.
    pub clean_up: CleanUp,
    /// The time limit of its job, as `sbatch` takes it.
    pub time: Option<String>,
    /// Who is told by mail.
    pub email: Option<String>,
    /// More options of `sbatch`.
    pub options: Vec<(String, Option<String>)>,
    /// What is tried again, and how often.
    pub retries: Retries,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            convert: true,
            clean_up: CleanUp::Always,
            time: None,
            email: None,
            options: Vec::new(),
            retries: Retries::default(),
        }
    }
}

/// When what a workflow has on its way goes: on the cluster, and on the worker's own disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CleanUp {
    /// However it ends; but results that could not be brought home stay.
    #[default]
    Always,
    /// Only when results are home; else it stays to be looked at, and a retry goes on from where it failed.
    OnSuccess,
    /// Never from the cluster; from the worker's own disk once results are home.
    Never,
}

/// What is tried again, and how often.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Retries {
    /// How often a step is tried that fails for what may pass: a cluster that cannot be reached, a server that restarts.
    pub tries: u32,
    /// How many jobs are submitted for a step, where a node was to blame.
    pub jobs: u32,
    /// The pause before the second try, in seconds; each further one is twice as long.
    pub first_seconds: u32,
    /// The longest pause, in seconds.
    pub longest_seconds: u32,
}

impl Default for Retries {
    fn default() -> Self {
        // With these an outage of an hour and a half is survived.
        Self { tries: 12, jobs: 4, first_seconds: 5, longest_seconds: 900 }
    }
}

impl Retries {
    /// The pause before a try, counted from 1 for the one behind the first.
    #[must_use]
    pub fn pause(&self, tried: u32) -> Duration {
        let doubled = u64::from(self.first_seconds).saturating_mul(1 << tried.saturating_sub(1).min(30));
        Duration::from_secs(doubled.min(u64::from(self.longest_seconds)))
    }
}

/// Why a request makes no sense.
#[derive(Debug, Clone, PartialEq, Eq, Error, Serialize)]
#[error("{field}: {problem}")]
pub struct Problem {
    /// Which part of it, as the JSON of a request names it.
    pub field: String,
    /// What is wrong, and what to do.
    pub problem: String,
}

impl Problem {
    /// Of a part.
    #[must_use]
    pub fn new(field: &str, problem: impl Into<String>) -> Self {
        Self { field: field.to_owned(), problem: problem.into() }
    }
}

impl Request {
    /// Whether something of it is in OMERO.
    #[must_use]
    pub fn is_of_omero(&self) -> bool {
        let is_there = |input: &Input| matches!(input, Input::Omero(_));
        matches!(self.results, Results::Omero(_)) || self.inputs.iter().any(is_there)
    }

    /// All that is wrong with it, as far as it can be told without asking anybody.
    ///
    /// # Errors
    /// At least one problem.
    pub fn check(&self) -> Result<(), Vec<Problem>> {
        let mut problems = Vec::new();
        let mut wrong = |field: &str, problem: &str| problems.push(Problem::new(field, problem));
        if !is_name(&self.workflow) {
            wrong("workflow", "write the name of a workflow of slurm-config.ini");
        }
        if self.version.as_ref().is_some_and(|version| !is_name(version)) {
            wrong("version", "write the version of the workflow's image, or leave it out");
        }
        match self.inputs.len() {
            0 => wrong("inputs", "name at least one"),
            1..=INPUTS => {}
            _ => wrong("inputs", "these are too many for one workflow: make it a batch"),
        }
        if self.parameters.len() > PARAMETERS {
            wrong("parameters", "these are too many");
        }
        if self.parameters.iter().any(|(name, value)| !is_name(name) || !is_value(value)) {
            wrong("parameters", "one has no proper name, or a value that is too long or holds a null byte");
        }
        let mut names: Vec<&str> = self.parameters.iter().map(|(name, _)| name.as_str()).collect();
        names.sort_unstable();
        if names.windows(2).any(|pair| pair.first() == pair.last()) {
            wrong("parameters", "one is given twice");
        }
        if let Results::Directory(path) = &self.results {
            let is_clean = path.components().all(|part| part != std::path::Component::ParentDir);
            if !path.is_absolute() || !is_clean || path.file_name().is_none() {
                wrong("results", "write an absolute path of a folder that does not exist yet, without `..`");
            }
        }
        if let Results::Omero(OmeroResults { import: Some(dataset), .. }) = &self.results
            && !is_name(dataset)
        {
            wrong("results", "write the name of the dataset that images are imported into, or Dataset:ID");
        }
        let has_omero = self.inputs.iter().any(|input| matches!(input, Input::Omero(_)));
        if matches!(self.results, Results::Omero(_)) && !has_omero {
            wrong("results", "results go to OMERO only where an input comes from there: name a directory");
        }
        if self
            .policy
            .options
            .iter()
            .any(|(name, value)| !is_name(name) || value.as_ref().is_some_and(|value| !is_value(value)))
        {
            wrong("policy.options", "one has no proper name, or a value that is too long");
        }
        if self.policy.retries.tries == 0 || self.policy.retries.jobs == 0 {
            wrong("policy.retries", "at least one try and one job are needed");
        }
        if problems.is_empty() && serde_json::to_string(self).map_or(true, |text| text.len() > ALL) {
            problems.push(Problem::new("", "it is larger than 1 MiB"));
        }
        if problems.is_empty() { Ok(()) } else { Err(problems) }
    }
}

fn is_name(text: &str) -> bool {
    !text.trim().is_empty() && text.len() <= NAME && !text.chars().any(char::is_control)
}

fn is_value(text: &str) -> bool {
    text.len() <= VALUE && !text.contains('\0')
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn request() -> Request {
        Request {
            workflow: "cellpose".to_owned(),
            version: None,
            inputs: vec![Input::Path("/data/cells".into())],
            parameters: vec![("diameter".to_owned(), "30".to_owned())],
            user: 2,
            group: 3,
            results: Results::Directory("/data/results".into()),
            policy: Policy::default(),
        }
    }

    #[test]
    fn each_thing_that_makes_no_sense_is_told_by_its_field() {
        let many = vec![("a".to_owned(), "1".to_owned()), ("a".to_owned(), "2".to_owned())];
        let omero =
            Results::Omero(OmeroResults { attachments: true, tables: true, regions: false, import: None });
        for (wrong, field) in [
            (Request { workflow: " ".to_owned(), ..request() }, "workflow"),
            (Request { version: Some("v1\n".to_owned()), ..request() }, "version"),
            (Request { inputs: Vec::new(), ..request() }, "inputs"),
            (Request { parameters: many, ..request() }, "parameters"),
            (Request { results: Results::Directory("results".into()), ..request() }, "results"),
            (Request { results: Results::Directory("/a/../b".into()), ..request() }, "results"),
            (Request { results: Results::Directory("/".into()), ..request() }, "results"),
            (Request { results: omero, ..request() }, "results"),
        ] {
            let problems = wrong.check().expect_err("a problem");
            assert_eq!(problems.iter().map(|problem| problem.field.as_str()).collect::<Vec<_>>(), [field]);
        }
        assert_eq!(request().check(), Ok(()));
    }

    #[test]
    fn pauses_double_until_the_longest() {
        let retries = Retries { first_seconds: 5, longest_seconds: 60, ..Retries::default() };
        let pauses: Vec<u64> = (1..=6).map(|tried| retries.pause(tried).as_secs()).collect();
        assert_eq!(pauses, [5, 10, 20, 40, 60, 60]);
        assert_eq!(retries.pause(u32::MAX).as_secs(), 60);
    }
}
