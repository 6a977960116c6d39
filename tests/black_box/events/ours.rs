//! Our side of the log, asked step by step, and what it says in the form that Python says it in.

use std::collections::HashMap;
use std::future::Future;

use biomero_events::aggregate::{Header, Replayed};
use biomero_events::command::Command;
use biomero_events::url::DatabaseUrl;
use biomero_events::{Appended, Error, EventLog, Limits, json};
use biomero_tests::scenario::Call;
use biomero_tests::{Result, Trouble};
use serde_json::{Value, json};
use uuid::Uuid;

/// A log of ours and what runs it.
pub(super) struct Ours {
    runtime: tokio::runtime::Runtime,
    log: EventLog,
}

impl Ours {
    /// Opens the log of a database; nothing is set up.
    pub(super) fn open(url: &str) -> Result<Self> {
        Self::open_with(url, Limits::default())
    }

    /// With limits of its own.
    pub(super) fn open_with(url: &str, limits: Limits) -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(Trouble::doing("start a runtime"))?;
        let url = DatabaseUrl::parse(url).map_err(|error| Trouble::new(error.to_string()))?;
        let log =
            runtime.block_on(EventLog::open(&url, limits)).map_err(|error| Trouble::new(chain(&error)))?;
        Ok(Self { runtime, log })
    }

    /// Opens it and creates the tables that are missing.
    pub(super) fn initialised(url: &str) -> Result<Self> {
        let ours = Self::open(url)?;
        ours.block(ours.log.initialise())?;
        Ok(ours)
    }

    /// The log itself.
    pub(super) const fn log(&self) -> &EventLog {
        &self.log
    }

    /// Waits for anything.
    pub(super) fn wait<T>(&self, asked: impl Future<Output = T>) -> T {
        self.runtime.block_on(asked)
    }

    /// Waits for something asked of the log.
    pub(super) fn block<T>(&self, asked: impl Future<Output = Result<T, Error>>) -> Result<T> {
        self.runtime.block_on(asked).map_err(|error| Trouble::new(chain(&error)))
    }

    /// Waits for something that may fail.
    pub(super) fn tried<T>(&self, asked: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
        self.runtime.block_on(asked)
    }

    /// Waits for something that has to fail, and returns how.
    pub(super) fn refused<T: std::fmt::Debug>(
        &self,
        asked: impl Future<Output = Result<T, Error>>,
    ) -> Result<Error> {
        match self.runtime.block_on(asked) {
            Err(error) => Ok(error),
            Ok(done) => Err(Trouble::new(format!("it was done: {done:?}"))),
        }
    }

    /// Records a command.
    pub(super) fn append(&self, command: &Command) -> Result<Appended> {
        self.block(self.log.append(command))
    }

    /// Records the tracker's commands in turn; the ids of what they have made, by name.
    pub(super) fn play(&self, calls: &[Call]) -> Result<HashMap<String, Uuid>> {
        let mut ids = HashMap::new();
        for call in calls {
            self.append(&command(call, &mut ids))?;
        }
        Ok(ids)
    }

    /// `repository.get`, as [`biomero_tests::biomero::Biomero::get`] has it.
    pub(super) fn get(&self, id: Uuid) -> Result<Value> {
        Ok(as_python(&self.block(self.log.get(id))?))
    }
}

/// Writes the views anew.
pub(super) fn rebuilt(ours: &Ours) -> Result<()> {
    ours.block(ours.log().rebuild(None, &|_| {})).map(drop)
}

/// An error with all its causes.
pub(super) fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    causes.fold(error.to_string(), |said, cause| format!("{said}: {cause}"))
}

/// A call of the tracker as one of our commands.
pub(super) fn command(call: &Call, ids: &mut HashMap<String, Uuid>) -> Command {
    let of = call.of.as_ref().map_or_else(Uuid::nil, |name| ids[name]);
    let made = Uuid::new_v4();
    if let Some(name) = &call.makes {
        ids.insert(name.clone(), made);
    }
    let value = |index: usize| read(&call.arguments[index]);
    let text = |index: usize| call.arguments[index].as_str().unwrap_or_default();
    let number = |index: usize| call.arguments[index].as_i64().unwrap_or_default();
    match call.method {
        "initiate_workflow" => Command::initiate_workflow(made, text(0), text(1), number(2), number(3)),
        "add_task_to_workflow" => Command::add_task(of, made, text(0), text(1), value(2), value(3)),
        "start_workflow" => Command::start_workflow(of),
        "complete_workflow" => Command::complete_workflow(of),
        "fail_workflow" => Command::fail_workflow(of, text(0)),
        "start_task" => Command::start_task(of),
        "complete_task" => Command::complete_task(of, text(0)),
        "fail_task" => Command::fail_task(of, text(0)),
        "add_job_id" => Command::add_job_id(of, number(0)),
        "update_task_status" => Command::update_task_status(of, text(0)),
        "update_task_progress" => Command::update_task_progress(of, call.arguments[0].as_str()),
        "add_result" => {
            let result = &call.arguments[0];
            let said = |key: &str| result[key].as_str().unwrap_or_default();
            let env: Vec<(String, String)> = result["env"]
                .as_object()
                .into_iter()
                .flatten()
                .map(|(name, value)| (name.clone(), value.as_str().unwrap_or_default().to_owned()))
                .collect();
            Command::add_result(of, said("command"), &env, said("stdout"), said("stderr"))
        }
        other => unreachable!("the tracker has no `{other}`"),
    }
}

fn read(value: &Value) -> json::Value {
    json::Value::read(&value.to_string()).unwrap_or_default()
}

fn said(value: &json::Value) -> Value {
    serde_json::from_str(&value.to_string()).unwrap_or_default()
}

fn as_python(replayed: &Replayed) -> Value {
    let Header { id, version, created_on, modified_on } = replayed.header();
    let mut fields = json!({
        "id": id, "version": version, "created_on": created_on.to_string(), "modified_on": modified_on.to_string(),
    });
    let list = |values: &[json::Value]| Value::Array(values.iter().map(said).collect());
    let optional = |value: &Option<json::Value>| value.as_ref().map_or(Value::Null, said);
    match replayed {
        Replayed::WorkflowRun(run) => {
            fields["kind"] = "WorkflowRun".into();
            for (key, value) in [
                ("name", &run.name),
                ("description", &run.description),
                ("user", &run.user),
                ("group", &run.group),
            ] {
                fields[key] = said(value);
            }
            fields["tasks"] = json!(run.tasks);
        }
        Replayed::Task(task) => {
            fields["kind"] = "Task".into();
            for (key, value) in [
                ("task_name", &task.task_name),
                ("task_version", &task.task_version),
                ("input_data", &task.input_data),
                ("params", &task.params),
            ] {
                fields[key] = said(value);
            }
            fields["workflow_id"] = json!(biomero_events::event::uuid_of(&task.workflow_id));
            fields["job_ids"] = list(&task.job_ids);
            fields["results"] = list(&task.results);
            fields["result_message"] = optional(&task.result_message);
            fields["status"] = optional(&task.status);
            // Python's class has no default for it.
            if let Some(progress) = &task.progress {
                fields["progress"] = said(progress);
            }
        }
    }
    fields
}
