//! What can happen to a workflow run and to its tasks, and the bytes it is kept as.
//!
//! The topics, keys and their order are those of the Python `biomero` 2.8 (`biomero.eventsourcing`) and of its library
//! `eventsourcing` 9.5. Python does not enforce the types it declares: a description can be a number, a workflow's id a plain
//! string. So fields hold JSON values, and whoever needs a type asks for it.

use thiserror::Error;
use uuid::Uuid;

use crate::json::{self, Object, Value};
use crate::timestamp::{InvalidTimestamp, Timestamp};

/// An event: when, what, and whatever else its writer added.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// When it was recorded.
    pub timestamp: Timestamp,
    /// What happened.
    pub fact: Fact,
    /// Keys that Python does not know. It reads over them.
    pub extra: Object,
}

/// An aggregate: what events belong to, by their `originator_id`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Aggregate {
    /// One run of a workflow.
    WorkflowRun,
    /// One task of a workflow run.
    Task,
}

impl Aggregate {
    /// The topic by which Python finds the class.
    pub const fn topic(self) -> &'static str {
        match self {
            Self::WorkflowRun => "biomero.eventsourcing:WorkflowRun",
            Self::Task => "biomero.eventsourcing:Task",
        }
    }
}

/// Declares [`Fact`] and what is known of each kind of event, once.
macro_rules! facts {
    ($( $(#[$doc:meta])* $aggregate:ident . $name:ident { $( $(#[$field_doc:meta])* $field:ident ),* } $(creates $created:literal)? ; )+) => {
        /// What happened, with the fields that Python writes, in its order.
        #[derive(Debug, Clone, PartialEq, Eq)]
        pub enum Fact {
            $( $(#[$doc])* $name { $( $(#[$field_doc])* $field: Value ),* }, )+
        }

        impl Fact {
            /// Every topic there is.
            pub const TOPICS: &[&str] =
                &[$( concat!("biomero.eventsourcing:", stringify!($aggregate), ".", stringify!($name)) ),+];

            /// The topic that it is stored under.
            pub const fn topic(&self) -> &'static str {
                match self {
                    $( Self::$name { .. } => concat!("biomero.eventsourcing:", stringify!($aggregate), ".", stringify!($name)), )+
                }
            }

            /// What it happened to.
            pub const fn aggregate(&self) -> Aggregate {
                match self {
                    $( Self::$name { .. } => Aggregate::$aggregate, )+
                }
            }

            /// Whether it is the first event of its aggregate.
            pub const fn creates(&self) -> bool {
                match self {
                    $( Self::$name { .. } => false $(|| $created)?, )+
                }
            }

            /// The fields' names and values, in their order.
            pub fn fields(&self) -> Vec<(&'static str, &Value)> {
                match self {
                    $( Self::$name { $($field),* } => vec![$( (stringify!($field), $field) ),*], )+
                }
            }

            /// Takes the fields of `topic` out of `state`.
            fn take(topic: &str, state: &mut Object) -> Result<Self, Undecodable> {
                $(
                    if topic == concat!("biomero.eventsourcing:", stringify!($aggregate), ".", stringify!($name)) {
                        return Ok(Self::$name { $( $field: take(state, stringify!($field))? ),* });
                    }
                )+
                Err(Undecodable::Topic { topic: topic.chars().take(200).collect() })
            }
        }
    };
}

facts! {
    /// A workflow run begins to be: `INITIALIZING`.
    WorkflowRun.WorkflowInitiated {
        /// The workflow's name.
        name,
        /// For people; `-1` where Python's `run_workflow` made the run up.
        description,
        /// OMERO's id of the user.
        user,
        /// OMERO's id of the group.
        group
    } creates true;
    /// A task belongs to this workflow run.
    WorkflowRun.TaskAdded {
        /// The task's id.
        task_id
    };
    /// A workflow run has started.
    WorkflowRun.WorkflowStarted {};
    /// A workflow run has ended well.
    WorkflowRun.WorkflowCompleted {};
    /// A workflow run has failed.
    WorkflowRun.WorkflowFailed {
        /// Why.
        error_message
    };
    /// A task begins to be: `CREATED`.
    Task.TaskCreated {
        /// The workflow run's id.
        workflow_id,
        /// The name of the script or workflow that it runs.
        task_name,
        /// Its version.
        task_version,
        /// What it works on.
        input_data,
        /// Its parameters.
        params
    } creates true;
    /// A task has started.
    Task.TaskStarted {};
    /// A task was submitted to Slurm.
    Task.JobIdAdded {
        /// Slurm's id of the job; -1 when the submission failed.
        job_id
    };
    /// A task's state has changed, most often a Slurm job's state.
    Task.StatusUpdated {
        /// The state.
        status
    };
    /// A task's progress has changed.
    Task.ProgressUpdated {
        /// As a percentage, `43%`, or null.
        progress
    };
    /// A command that a task ran has answered.
    Task.ResultAdded {
        /// `command`, `env`, `stdout`, `stderr`.
        result
    };
    /// A task has ended well.
    Task.TaskCompleted {
        /// Its message.
        result
    };
    /// A task has failed.
    Task.TaskFailed {
        /// Why.
        error_message
    };
}

/// Why stored bytes are no event. The row they are in is named by whoever read it.
#[derive(Debug, Error, Clone, PartialEq, Eq)]
pub enum Undecodable {
    /// A topic that neither we nor Python know.
    #[error("the topic `{topic}` is none of biomero's; its events cannot be read by Python either")]
    Topic {
        /// The topic, shortened.
        topic: String,
    },
    /// The state is not UTF-8.
    #[error("the state is not UTF-8")]
    Encoding,
    /// The state is no JSON.
    #[error("the state is no JSON: {0}")]
    Json(#[from] json::Invalid),
    /// The state is JSON, but no object.
    #[error("the state is {kind} instead of an object")]
    NoObject {
        /// What it is.
        kind: &'static str,
    },
    /// A key is missing.
    #[error("the state has no `{key}`")]
    Missing {
        /// The key.
        key: &'static str,
    },
    /// `timestamp` is not `{"_type_":"datetime_iso","_data_":…}`.
    #[error("`timestamp` is {value}, not a `datetime_iso`")]
    NoTimestamp {
        /// What it is, shortened.
        value: String,
    },
    /// `timestamp` cannot be read.
    #[error("`timestamp`: {0}")]
    Timestamp(#[from] InvalidTimestamp),
    /// `originator_topic` names another class than the topic does.
    #[error("`originator_topic` is {value} instead of \"{expected}\"")]
    OriginatorTopic {
        /// What it is, shortened.
        value: String,
        /// What it has to be.
        expected: &'static str,
    },
}

impl Event {
    /// Something that happens now.
    pub fn now(fact: Fact) -> Self {
        Self { timestamp: Timestamp::now(), fact, extra: Object::new() }
    }

    /// The state as Python writes it: `timestamp`, `originator_topic` for the first event of an aggregate, the fields, then
    /// what is extra.
    pub fn encode(&self) -> Vec<u8> {
        let moment =
            [("_type_", "datetime_iso".into()), ("_data_", self.timestamp.to_string().into())].into();
        let mut state: Object = vec![("timestamp".to_owned(), moment)];
        if self.fact.creates() {
            state.push(("originator_topic".to_owned(), self.fact.aggregate().topic().into()));
        }
        state.extend(self.fact.fields().into_iter().map(|(name, value)| (name.to_owned(), value.clone())));
        state.extend(self.extra.iter().cloned());
        Value::Object(state).to_string().into_bytes()
    }

    /// Reads what was stored under `topic`. As lenient as Python: any order of keys, any spaces, other keys too.
    ///
    /// # Errors
    /// It is no event that Python could read.
    pub fn decode(topic: &str, state: &[u8]) -> Result<Self, Undecodable> {
        let text = str::from_utf8(state).map_err(|_| Undecodable::Encoding)?;
        let mut state = match Value::read(text)? {
            Value::Object(members) => members,
            other => return Err(Undecodable::NoObject { kind: other.kind() }),
        };
        let timestamp = take(&mut state, "timestamp")?;
        let moment = wrapped(&timestamp, "datetime_iso")
            .ok_or_else(|| Undecodable::NoTimestamp { value: shortened(&timestamp) })?;
        let timestamp = moment.parse()?;
        let fact = Fact::take(topic, &mut state)?;
        if fact.creates() {
            let expected = fact.aggregate().topic();
            let found = take(&mut state, "originator_topic")?;
            if found.as_str() != Some(expected) {
                return Err(Undecodable::OriginatorTopic { value: shortened(&found), expected });
            }
        }
        Ok(Self { timestamp, fact, extra: state })
    }
}

/// Removes all members of a key; the last one counts.
fn take(state: &mut Object, key: &'static str) -> Result<Value, Undecodable> {
    let mut found = None;
    state.retain_mut(|(name, value)| {
        let is_it = name == key;
        if is_it {
            found = Some(std::mem::take(value));
        }
        !is_it
    });
    found.ok_or(Undecodable::Missing { key })
}

/// The text of `{"_type_": kind, "_data_": text}`, which is how `eventsourcing.persistence.JSONTranscoder` keeps what JSON has
/// no type for.
fn wrapped<'a>(value: &'a Value, kind: &str) -> Option<&'a str> {
    let Value::Object(members) = value else { return None };
    (members.len() == 2 && value.get("_type_")?.as_str()? == kind).then_some(())?;
    value.get("_data_")?.as_str()
}

fn shortened(value: &Value) -> String {
    value.to_string().chars().take(80).collect()
}

/// An id as Python writes a `UUID`: 32 hexadecimal digits, marked as `uuid_hex`.
pub fn uuid(id: Uuid) -> Value {
    [("_type_", "uuid_hex".into()), ("_data_", id.simple().to_string().into())].into()
}

/// An id that Python wrote as a `UUID`, or as a plain string.
pub fn uuid_of(value: &Value) -> Option<Uuid> {
    let text = wrapped(value, "uuid_hex").or_else(|| value.as_str())?;
    Uuid::try_parse(text).ok()
}

#[cfg(test)]
mod tests;
