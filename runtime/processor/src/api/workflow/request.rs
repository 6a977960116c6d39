//! What is asked for, as JSON says it. These are types of their own, so that what is kept may change and what is sent need not.

use std::collections::BTreeMap;
use std::path::PathBuf;

use biomero_workflow::request::{INPUTS, OmeroResults};
use biomero_workflow::{CleanUp, Input, Policy, Request, Results, Retries};
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::{ArrayBuilder, ObjectBuilder, Schema, Type};
use utoipa::{PartialSchema, ToSchema};

use crate::api::problem::Problem;

/// A request for a workflow.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Submission {
    /// The workflow, as `slurm-config.ini` names it.
    #[schema(min_length = 1, max_length = 200, examples("cellpose"))]
    pub(crate) workflow: String,
    /// Its version; the one that its descriptor names where none is given.
    #[serde(default)]
    #[schema(min_length = 1, max_length = 200)]
    pub(crate) version: Option<String>,
    /// What it works on: absolute paths of the worker's machine, `omero:Image:ID`, `omero:Dataset:ID`, `omero:Plate:ID`.
    pub(crate) inputs: Inputs,
    /// Its parameters, as the descriptor names them.
    #[serde(default)]
    pub(crate) parameters: BTreeMap<String, Scalar>,
    /// OMERO's id of the user, -1 where there is none.
    #[serde(default = "nobody")]
    #[schema(minimum = -1, maximum = 2_147_483_647)]
    pub(crate) user: i64,
    /// OMERO's id of the group, -1 where there is none.
    #[serde(default = "nobody")]
    #[schema(minimum = -1, maximum = 2_147_483_647)]
    pub(crate) group: i64,
    /// Where results go.
    pub(crate) results: ResultsTo,
    /// How it is done.
    #[serde(default)]
    pub(crate) policy: PolicyOf,
}

/// What a workflow works on: absolute paths of the worker's machine, `omero:Image:ID`, `omero:Dataset:ID`, `omero:Plate:ID`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Inputs(Vec<String>);

/// What an input looks like; whether it is there is for the worker to say.
const INPUT: &str = "^(/.*|omero:(Image|Dataset|Plate):[1-9][0-9]{0,17})$";

impl PartialSchema for Inputs {
    fn schema() -> RefOr<Schema> {
        let input = ObjectBuilder::new().schema_type(Type::String).pattern(Some(INPUT));
        let inputs = ArrayBuilder::new().items(input).min_items(Some(1)).max_items(Some(INPUTS));
        inputs.examples([json!(["/data/cells.ome.tiff", "omero:Image:7"])]).into()
    }
}

impl ToSchema for Inputs {}

/// A request for a batch.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Batch {
    /// A workflow for each of these, with these inputs.
    #[schema(min_items = 1, max_items = 1_000)]
    groups: Vec<Inputs>,
    /// What they have in common.
    request: Common,
}

/// What the workflows of a batch have in common.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Common {
    /// The workflow, as `slurm-config.ini` names it.
    #[schema(min_length = 1, max_length = 200)]
    workflow: String,
    /// Its version.
    #[serde(default)]
    #[schema(min_length = 1, max_length = 200)]
    version: Option<String>,
    /// Their parameters.
    #[serde(default)]
    parameters: BTreeMap<String, Scalar>,
    /// OMERO's id of the user, -1 where there is none.
    #[serde(default = "nobody")]
    #[schema(minimum = -1, maximum = 2_147_483_647)]
    user: i64,
    /// OMERO's id of the group, -1 where there is none.
    #[serde(default = "nobody")]
    #[schema(minimum = -1, maximum = 2_147_483_647)]
    group: i64,
    /// Where results go; each of them into a folder of its own there.
    results: ResultsTo,
    /// How they are done.
    #[serde(default)]
    policy: PolicyOf,
}

/// OMERO has no such id.
const fn nobody() -> i64 {
    -1
}

/// A value of a parameter: a text, or a number or truth value that stands for its text.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(untagged)]
pub(crate) enum Scalar {
    /// `true` or `false`.
    Truth(bool),
    /// A number.
    #[schema(value_type = f64)]
    Number(serde_json::Number),
    /// A text.
    Text(String),
}

impl From<Scalar> for String {
    fn from(value: Scalar) -> Self {
        match value {
            Scalar::Truth(value) => value.to_string(),
            Scalar::Number(value) => value.to_string(),
            Scalar::Text(value) => value,
        }
    }
}

/// Where results go.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
#[schema(as = Results)]
pub(crate) enum ResultsTo {
    /// Into a new folder of the worker's machine, by its absolute path. It has its name once it is whole.
    #[schema(value_type = String)]
    Directory(PathBuf),
    /// To the images in OMERO that it worked on.
    Omero(ToOmero),
}

/// What becomes of results in OMERO.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ToOmero {
    /// Files are attached.
    #[serde(default = "yes")]
    attachments: bool,
    /// CSV files become tables.
    #[serde(default = "yes")]
    tables: bool,
    /// Label images become regions of interest.
    #[serde(default)]
    regions: bool,
    /// Images are imported into this dataset, which is made where there is none of this name; `Dataset:ID` names one by its
    /// number. They are not attached then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(min_length = 1, max_length = 200, examples("masks"))]
    import: Option<String>,
}

const fn yes() -> bool {
    true
}

/// How it is done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
#[schema(as = Policy)]
pub(crate) struct PolicyOf {
    /// Whether `.zarr` folders are converted for a workflow that does not read them.
    convert: bool,
    /// When what lies on the cluster goes.
    clean_up: When,
    /// The time limit of its job, as `sbatch` takes it.
    time: Option<String>,
    /// Who is told by mail.
    email: Option<String>,
    /// More options of `sbatch`, without the dashes; `null` for those that take no value.
    options: BTreeMap<String, Option<String>>,
    /// What is tried again, and how often.
    retries: RetriesOf,
}

/// When what lies on the cluster goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
#[schema(as = CleanUp)]
pub(crate) enum When {
    /// However it ends.
    Always,
    /// Only when results are home.
    OnSuccess,
    /// Never.
    Never,
}

/// What is tried again, and how often.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
#[schema(as = Retries)]
pub(crate) struct RetriesOf {
    /// How often a step is tried that fails for what may pass.
    #[schema(minimum = 1)]
    tries: u32,
    /// How many jobs are submitted for a step, where a node was to blame.
    #[schema(minimum = 1)]
    jobs: u32,
    /// The pause before the second try, in seconds; each further one is twice as long.
    first_seconds: u32,
    /// The longest pause, in seconds.
    longest_seconds: u32,
}

impl Default for RetriesOf {
    fn default() -> Self {
        Retries::default().into()
    }
}

impl Default for PolicyOf {
    fn default() -> Self {
        Policy::default().into()
    }
}

impl From<Retries> for RetriesOf {
    fn from(retries: Retries) -> Self {
        let Retries { tries, jobs, first_seconds, longest_seconds } = retries;
        Self { tries, jobs, first_seconds, longest_seconds }
    }
}

impl From<Policy> for PolicyOf {
    fn from(policy: Policy) -> Self {
        let Policy { convert, clean_up, time, email, options, retries } = policy;
        let clean_up = match clean_up {
            CleanUp::Always => When::Always,
            CleanUp::OnSuccess => When::OnSuccess,
            CleanUp::Never => When::Never,
        };
        let options = options.into_iter().collect();
        Self { convert, clean_up, time, email, options, retries: retries.into() }
    }
}

impl From<PolicyOf> for Policy {
    fn from(policy: PolicyOf) -> Self {
        let PolicyOf { convert, clean_up, time, email, options, retries } = policy;
        let clean_up = match clean_up {
            When::Always => CleanUp::Always,
            When::OnSuccess => CleanUp::OnSuccess,
            When::Never => CleanUp::Never,
        };
        let RetriesOf { tries, jobs, first_seconds, longest_seconds } = retries;
        let retries = Retries { tries, jobs, first_seconds, longest_seconds };
        Self { convert, clean_up, time, email, options: options.into_iter().collect(), retries }
    }
}

impl From<Results> for ResultsTo {
    fn from(results: Results) -> Self {
        match results {
            Results::Directory(path) => Self::Directory(path),
            Results::Omero(OmeroResults { attachments, tables, regions, import }) => {
                Self::Omero(ToOmero { attachments, tables, regions, import })
            }
        }
    }
}

impl From<ResultsTo> for Results {
    fn from(results: ResultsTo) -> Self {
        match results {
            ResultsTo::Directory(path) => Self::Directory(path),
            ResultsTo::Omero(ToOmero { attachments, tables, regions, import }) => {
                Self::Omero(OmeroResults { attachments, tables, regions, import })
            }
        }
    }
}

impl Common {
    fn request(self, inputs: Vec<Input>) -> Result<Request, Problem> {
        let Self { workflow, version, parameters, user, group, results, policy } = self;
        // The views of the history have room for no others.
        for (field, id) in [("user", user), ("group", group)] {
            if id < nobody() || id > i64::from(i32::MAX) {
                return Err(Problem::part(field, "write an id of OMERO, or -1 for nobody"));
            }
        }
        Ok(Request {
            workflow,
            version,
            inputs,
            parameters: parameters.into_iter().map(|(name, value)| (name, value.into())).collect(),
            user,
            group,
            results: results.into(),
            policy: policy.into(),
        })
    }
}

impl TryFrom<Submission> for Request {
    type Error = Problem;

    fn try_from(submission: Submission) -> Result<Self, Problem> {
        let Submission { workflow, version, inputs, parameters, user, group, results, policy } = submission;
        let inputs = parsed("inputs", inputs)?;
        Common { workflow, version, parameters, user, group, results, policy }.request(inputs)
    }
}

impl Batch {
    /// What they have in common, and the inputs of each.
    pub(super) fn parts(self) -> Result<(Request, Vec<Vec<Input>>), Problem> {
        let groups: Result<Vec<_>, _> =
            self.groups.into_iter().map(|inputs| parsed("groups", inputs)).collect();
        Ok((self.request.request(Vec::new())?, groups?))
    }
}

fn parsed(field: &str, Inputs(inputs): Inputs) -> Result<Vec<Input>, Problem> {
    let parsed = inputs.into_iter().map(Input::try_from).collect::<Result<_, _>>();
    parsed.map_err(|error| Problem::part(field, error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const WHOLE: &str = r#"{"workflow": "cellpose", "inputs": ["/data/a", "omero:Image:7"],
        "parameters": {"diameter": 30, "flow": 0.4, "gpu": true, "model": "cyto"}, "user": 2, "group": 3,
        "results": {"directory": "/data/out"},
        "policy": {"clean_up": "on-success", "options": {"exclusive": null, "mem": "4G"}, "retries": {"tries": 3}}}"#;

    #[test]
    fn a_request_becomes_what_is_kept() {
        let submission: Submission = serde_json::from_str(WHOLE).expect("a request");
        let request = Request::try_from(submission).expect("inputs");
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let parameters =
            vec![pair("diameter", "30"), pair("flow", "0.4"), pair("gpu", "true"), pair("model", "cyto")];
        assert_eq!(request.parameters, parameters);
        assert_eq!(request.inputs.len(), 2);
        assert_eq!(request.results, Results::Directory("/data/out".into()));
        assert_eq!(request.policy.clean_up, CleanUp::OnSuccess);
        let options = vec![("exclusive".to_owned(), None), ("mem".to_owned(), Some("4G".to_owned()))];
        assert_eq!(request.policy.options, options);
        let retries = Retries { tries: 3, ..Retries::default() };
        assert_eq!(request.policy.retries, retries);
    }

    #[test]
    fn what_is_left_out_is_as_usual() {
        let least = r#"{"workflow": "a", "inputs": ["/b"], "results": {"omero": {}}}"#;
        let request = Request::try_from(serde_json::from_str::<Submission>(least).expect("a request"));
        let request = request.expect("inputs");
        assert_eq!(request.policy, Policy::default());
        assert_eq!((request.user, request.group), (-1, -1));
        let omero = OmeroResults { attachments: true, tables: true, regions: false, import: None };
        assert_eq!(request.results, Results::Omero(omero));
    }

    #[test]
    fn what_nobody_knows_is_refused() {
        for (wrong, right) in [("\"workflow\"", "\"workflows\""), ("\"tries\"", "\"trys\""), ("30", "[30]")] {
            let text = WHOLE.replace(wrong, right);
            assert!(serde_json::from_str::<Submission>(&text).is_err(), "{text}");
        }
        let relative: Submission = serde_json::from_str(&WHOLE.replace("/data/a", "data/a")).expect("a text");
        assert_eq!(Request::try_from(relative).expect_err("no path").status(), 422);
    }
}
