//! What a workflow was: the keys and values that are written beside its results, as BIOMERO writes them.

use std::fmt::Write as _;

use sha2::{Digest as _, Sha256};
use uuid::Uuid;

/// The namespace of keys and values of a workflow; those of its task and its job are below.
pub(crate) const NAMESPACE: &str = "biomero/workflow";

/// The key whose value tells whose results these are. It is in each of them.
pub(crate) const KEY: &str = "Workflow_ID";

/// Bytes of a key and its value: PostgreSQL's index over both has no room for more than some 2,700.
const LONGEST: usize = 1024;

/// The workflow that results are of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Workflow {
    /// Its id. What is in OMERO already is known by it.
    pub id: Uuid,
    /// What it is called.
    pub name: Option<String>,
    /// Its version.
    pub version: Option<String>,
    /// The job of the cluster that did it.
    pub job: Option<String>,
    /// Its parameters, in their order.
    pub parameters: Vec<(String, String)>,
}

/// Keys and values in a namespace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyValues {
    /// The namespace.
    pub namespace: String,
    /// Keys and values, in their order.
    pub pairs: Vec<(String, String)>,
}

impl Workflow {
    /// One of which no more is known.
    #[must_use]
    pub const fn of(id: Uuid) -> Self {
        Self { id, name: None, version: None, job: None, parameters: Vec::new() }
    }

    /// What is written beside its results: what it is, what it was told, and which job it was.
    #[must_use]
    pub fn key_values(&self) -> Vec<KeyValues> {
        let id = || (KEY.to_owned(), self.id.to_string());
        let mut workflow = vec![id()];
        let mut task = vec![id()];
        if let Some(name) = &self.name {
            workflow.push(("Name".to_owned(), name.clone()));
            task.push(("Workflow_Name".to_owned(), name.clone()));
            task.push(("Name".to_owned(), name.clone()));
        }
        if let Some(version) = &self.version {
            workflow.push(("Version".to_owned(), version.clone()));
            task.push(("Version".to_owned(), version.clone()));
        }
        task.extend(self.parameters.iter().map(|(name, value)| (format!("Param_{name}"), value.clone())));
        let task_space = format!("{NAMESPACE}/task/{}", self.name.as_deref().unwrap_or("workflow"));
        let job_space = format!("{task_space}/job");
        let mut told = vec![KeyValues { namespace: NAMESPACE.to_owned(), pairs: workflow }];
        if task.len() > 1 {
            told.push(KeyValues { namespace: task_space, pairs: task });
        }
        if let Some(job) = &self.job {
            let pairs = vec![("Job_ID".to_owned(), job.clone()), id()];
            told.push(KeyValues { namespace: job_space, pairs });
        }
        for each in &mut told {
            each.pairs = std::mem::take(&mut each.pairs).into_iter().map(short).collect();
        }
        told
    }

    /// What stands beside each thing that it made.
    #[must_use]
    pub fn description(&self) -> String {
        match &self.job {
            Some(job) => format!("Result from job {job} (Workflow {})", self.id),
            None => format!("Result of workflow {}", self.id),
        }
    }
}

/// A pair that the index has room for: what is longer is told by its length and digest.
fn short((key, value): (String, String)) -> (String, String) {
    let shortened = |text: String, room: usize| {
        if text.len() <= room {
            return text;
        }
        let mut digest = String::new();
        for byte in Sha256::digest(text.as_bytes()) {
            let _ = write!(digest, "{byte:02x}");
        }
        let kept: String = text.chars().take(room / 8).collect();
        format!("{kept}… ({} bytes, SHA-256 {digest})", text.len())
    };
    let key = shortened(key, LONGEST / 2);
    let room = LONGEST - key.len();
    (key, shortened(value, room))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn workflow() -> Workflow {
        Workflow {
            name: Some("cellpose".to_owned()),
            version: Some("v1.4.0".to_owned()),
            job: Some("4711".to_owned()),
            parameters: vec![("diameter".to_owned(), "0".to_owned())],
            ..Workflow::of(Uuid::nil())
        }
    }

    #[test]
    fn a_workflow_is_told_in_the_namespaces_of_biomero() {
        let told = workflow().key_values();
        let spaces: Vec<&str> = told.iter().map(|each| each.namespace.as_str()).collect();
        let task = "biomero/workflow/task/cellpose";
        assert_eq!(spaces, ["biomero/workflow", task, "biomero/workflow/task/cellpose/job"]);
        assert!(told.iter().all(|each| {
            each.pairs.iter().any(|(key, value)| key == KEY && *value == Uuid::nil().to_string())
        }));
        assert!(told[1].pairs.contains(&("Param_diameter".to_owned(), "0".to_owned())));
        assert_eq!(Workflow::of(Uuid::nil()).key_values().len(), 1);
    }

    #[test]
    fn what_is_too_long_for_the_index_is_told_by_its_digest() {
        let parameters =
            vec![("ü".repeat(2000), "x".repeat(100_000)), ("command".to_owned(), "y".repeat(1000))];
        let told = Workflow { parameters, ..workflow() }.key_values();
        for (key, value) in told.iter().flat_map(|each| &each.pairs) {
            assert!(key.len() + value.len() <= LONGEST, "{} {}", key.len(), value.len());
        }
        assert!(told[1].pairs.iter().any(|(_, value)| value.contains("100000 bytes, SHA-256 ")));
        assert!(told[1].pairs.contains(&("Param_command".to_owned(), "y".repeat(1000))));
    }
}
