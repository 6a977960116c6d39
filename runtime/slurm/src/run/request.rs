//! What a run was asked to do: all that is needed to take it up again.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::Step;

/// What was asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// The run. Jobs, folders and events are found by it.
    pub id: Uuid,
    /// The workflow, as `slurm-config.ini` names it.
    pub workflow: String,
    /// The version of its image.
    pub version: String,
    /// Its parameters, as they were given.
    pub parameters: Vec<(String, String)>,
    /// The folder of images; absolute.
    pub input: PathBuf,
    /// Where results go; absolute. They stay on the cluster without.
    pub output: Option<PathBuf>,
    /// Whether `.zarr` folders are converted first.
    pub convert: bool,
    /// Whether nothing stays on the cluster once the results are here.
    pub clean: bool,
    /// The time limit, as `sbatch` takes it.
    pub time: Option<String>,
    /// Who is told by mail.
    pub email: Option<String>,
    /// More options of `sbatch`.
    pub options: Vec<(String, Option<String>)>,
    /// The user, by the id in OMERO.
    pub user: i64,
    /// The group.
    pub group: i64,
    /// How often a step was begun anew, with a job of its own each time; 0 where nothing is said.
    #[serde(default)]
    pub attempts: BTreeMap<Step, u32>,
}

impl Request {
    /// The folder of its data below the data path of the cluster.
    #[must_use]
    pub fn data_name(&self) -> String {
        super::data_name(self.id, &self.input)
    }

    /// How often a step was begun anew.
    #[must_use]
    pub fn attempt(&self, step: Step) -> u32 {
        self.attempts.get(&step).copied().unwrap_or(0)
    }
}
