//! Workflow histories that are made up from a seed: as the tracker's commands, and as rows of the log.
//!
//! Commands make what biomero's scripts can make, in any order. Rows hold more: what a crash between two commands leaves,
//! what several clients write at once, and what somebody wrote by hand that Python still reads.

use serde_json::{Value, json};
use uuid::Uuid;

/// A command of Python's `WorkflowTracker`: `initiate_workflow` and so on.
#[derive(Debug, Clone, PartialEq)]
pub struct Call {
    /// The method.
    pub method: &'static str,
    /// The name of the workflow run or task that it is called for, before the arguments.
    pub of: Option<String>,
    /// The name of what it makes.
    pub makes: Option<String>,
    /// The arguments.
    pub arguments: Vec<Value>,
}

impl Call {
    /// For `play` of the Python driver.
    pub fn to_json(&self) -> Value {
        let mut call = json!({ "do": self.method, "arguments": self.arguments });
        for (key, name) in [("of", &self.of), ("as", &self.makes)] {
            if let Some(name) = name {
                call[key] = name.clone().into();
            }
        }
        call
    }
}

/// A row of the log, without its id.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// What it happened to.
    pub originator_id: Uuid,
    /// Its place among that aggregate's events.
    pub originator_version: i64,
    /// What kind of event it is.
    pub topic: String,
    /// The event, as JSON.
    pub state: String,
}

/// Numbers from a seed, the same on every machine.
#[derive(Debug)]
pub struct Seeded(u64);

impl Seeded {
    /// The numbers of a seed.
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next one (SplitMix64).
    pub const fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// Below `end`.
    pub const fn below(&mut self, end: usize) -> usize {
        (self.number() % end as u64) as usize
    }

    /// One of them.
    pub fn one<T: Clone>(&mut self, of: &[T]) -> T {
        of[self.below(of.len())].clone()
    }

    /// True once in so many times.
    pub const fn once_in(&mut self, times: usize) -> bool {
        self.below(times) == 0
    }

    fn uuid(&mut self) -> Uuid {
        uuid::Builder::from_random_bytes(
            ((u128::from(self.number()) << 64) | u128::from(self.number())).to_ne_bytes(),
        )
        .into_uuid()
    }
}

/// The scripts that have a stage of their own, as biomero and as others spell them, and workflows.
const TASK_NAMES: &[&str] = &[
    "_SLURM_Image_Transfer.py",
    "_slurm_image_transfer.py",
    "_SLURM_File_Transfer.py",
    "convert_zarr_to_tiff",
    "CONVERT_tiff_to_zarr",
    "SLURM_Remote_Conversion.py",
    "SLURM_Get_Results.py",
    "slurm_get_results.PY",
    "SLURM_Import_Results.py",
    "SLURM_Run_Workflow.py",
    "SLURM_Run_Workflow_Batched.py",
    "Labels2Rois.py",
    "cellpose",
    "Cellpose",
    "cell expansion",
    "stardist_ÄÖÜ 細胞 🔬",
    "convert",
    "slurm",
    "",
];

/// Of Slurm jobs and of biomero's scripts.
const STATUSES: &[&str] = &[
    "PENDING",
    "RUNNING",
    "COMPLETED",
    "COMPLETED",
    "FAILED",
    "TIMEOUT",
    "CANCELLED by 1000",
    "CANCELLED+",
    "NODE_FAIL",
    "OUT_OF_MEMORY",
    "POSTPROCESSING",
    "IMPORTING",
    "IMPORTED",
    "RETRIEVING",
    "DONE",
    "JOB_STATUS",
    "läuft",
    "",
];

const MESSAGES: &[&str] =
    &["", "Job 42 failed", "Fehler: größer als 100 %", "two\nlines\tand 'quotes' \"too\" \\", "🔬"];

const VERSIONS: &[&str] = &["v1.2.0", "latest", "1", ""];

const JOBS: &[i64] = &[1, 2, 3, 40, 41, 42, -1, 2_147_483_647];

fn progress(seeded: &mut Seeded) -> Value {
    match seeded.below(8) {
        0 => Value::Null,
        1 => "".into(),
        2 => "100%".into(),
        3 => "43".into(),
        _ => format!("{}%", seeded.below(101)).into(),
    }
}

/// Python does not insist on the type that it declares.
fn version(seeded: &mut Seeded) -> Value {
    match seeded.below(6) {
        0 => (-1).into(),
        1 => Value::Null,
        _ => seeded.one(VERSIONS).into(),
    }
}

fn result(seeded: &mut Seeded) -> Value {
    json!({
        "command": seeded.one(&["ls -l", "sbatch --parsable \"job.sh\"", "echo 'Ä'"]),
        "env": { "MODEL": "nuclei", "ÜBER": "1" },
        "stdout": seeded.one(MESSAGES),
        "stderr": seeded.one(MESSAGES),
    })
}

/// What the commands of a few interleaved workflow runs could be.
pub fn calls(seed: u64, length: usize) -> Vec<Call> {
    let mut seeded = Seeded::new(seed);
    let (mut workflows, mut tasks): (Vec<String>, Vec<String>) = (Vec::new(), Vec::new());
    let mut calls = Vec::with_capacity(length);
    while calls.len() < length {
        let seeded = &mut seeded;
        let choice = seeded.below(20);
        let call = if workflows.is_empty() || (choice == 0 && workflows.len() < 6) {
            workflows.push(format!("workflow {}", workflows.len()));
            let (name, description) = (seeded.one(TASK_NAMES), seeded.one(MESSAGES));
            let (user, group) = (seeded.below(3), seeded.below(3));
            let arguments = vec![name.into(), description.into(), user.into(), group.into()];
            Call { method: "initiate_workflow", of: None, makes: workflows.last().cloned(), arguments }
        } else if tasks.is_empty() || choice < 4 {
            tasks.push(format!("task {}", tasks.len()));
            let input = seeded.one(&[json!({ "Image": [1, 2] }), json!([5]), json!("a text"), Value::Null]);
            let parameters = json!({ "diameter": 30, "flow": 0.4, "name": "ä" });
            let (name, version) = (seeded.one(TASK_NAMES), seeded.one(VERSIONS));
            let arguments = vec![name.into(), version.into(), input, parameters];
            let of = Some(seeded.one(&workflows));
            Call { method: "add_task_to_workflow", of, makes: tasks.last().cloned(), arguments }
        } else if choice < 7 {
            let method = seeded.one(&["start_workflow", "complete_workflow", "fail_workflow"]);
            let message = seeded.one(MESSAGES).into();
            let arguments = if method == "fail_workflow" { vec![message] } else { Vec::new() };
            Call { method, of: Some(seeded.one(&workflows)), makes: None, arguments }
        } else {
            let (method, arguments) = match choice {
                7 => ("start_task", Vec::new()),
                8 => ("complete_task", vec![seeded.one(MESSAGES).into()]),
                9 => ("fail_task", vec![seeded.one(MESSAGES).into()]),
                10 => ("add_result", vec![result(seeded)]),
                11 | 12 => ("add_job_id", vec![seeded.one(JOBS).into()]),
                13 | 14 => ("update_task_progress", vec![progress(seeded)]),
                _ => ("update_task_status", vec![seeded.one(STATUSES).into()]),
            };
            Call { method, of: Some(seeded.one(&tasks)), makes: None, arguments }
        };
        calls.push(call);
    }
    calls
}

/// What a log could hold: its events in any order that their versions allow.
///
/// The first row is of a workflow run with no tasks: a rebuild by Python loses it.
pub fn rows(seed: u64, length: usize) -> Vec<Row> {
    let mut seeded = Seeded::new(seed);
    let ids: Vec<Uuid> = (0..10).map(|_| seeded.uuid()).collect();
    let (runs, tasks) = ids.split_at(4);
    let mut log = Log {
        moment: 1_774_745_000,
        versions: Vec::new(),
        added: Vec::new(),
        rows: Vec::with_capacity(length),
    };
    let lost = seeded.uuid();
    log.add(&mut seeded, lost, "WorkflowRun.WorkflowInitiated", initiated("lost", 0, 0));
    while log.rows.len() < length {
        let seeded = &mut seeded;
        // What nobody has created is heard of as well: in the middle of the seeds' histories, not in most of them.
        let (run, task) = (seeded.one(runs), seeded.one(tasks));
        let choice = seeded.below(24);
        let (of, topic, fields) = if choice == 0 || !log.knows(run) && seeded.once_in(2) {
            if log.knows(run) {
                continue;
            }
            let (user, group) = (seeded.below(3), seeded.below(3));
            (run, "WorkflowRun.WorkflowInitiated", initiated(seeded.one(TASK_NAMES), user, group))
        } else if choice < 3 || !log.knows(task) && seeded.once_in(2) {
            if log.knows(task) {
                continue;
            }
            let fields = json!({
                "originator_topic": "biomero.eventsourcing:Task", "workflow_id": hex(run), "task_name": seeded.one(TASK_NAMES),
                "task_version": version(seeded), "input_data": {}, "params": {},
            });
            (task, "Task.TaskCreated", fields)
        } else if choice < 7 {
            if !log.knows(run) {
                continue;
            }
            let task = if seeded.once_in(10) { seeded.uuid() } else { task };
            // Added again perhaps, but never to another run.
            if log.run_of(task, run) != run {
                continue;
            }
            (run, "WorkflowRun.TaskAdded", json!({ "task_id": hex(task) }))
        } else if choice < 9 {
            if !log.knows(run) {
                continue;
            }
            match seeded.below(3) {
                0 => (run, "WorkflowRun.WorkflowStarted", json!({})),
                1 => (run, "WorkflowRun.WorkflowCompleted", json!({})),
                _ => (run, "WorkflowRun.WorkflowFailed", json!({ "error_message": seeded.one(MESSAGES) })),
            }
        } else if !log.knows(task) {
            continue;
        } else {
            match choice {
                9 => (task, "Task.TaskStarted", json!({})),
                10 => (task, "Task.TaskCompleted", json!({ "result": seeded.one(MESSAGES) })),
                11 => (task, "Task.TaskFailed", json!({ "error_message": seeded.one(MESSAGES) })),
                12 => (task, "Task.ResultAdded", json!({ "result": result(seeded) })),
                13..=15 => (task, "Task.JobIdAdded", json!({ "job_id": seeded.one(JOBS) })),
                16..=18 => (task, "Task.ProgressUpdated", json!({ "progress": progress(seeded) })),
                _ => (task, "Task.StatusUpdated", json!({ "status": seeded.one(STATUSES) })),
            }
        };
        log.add(seeded, of, topic, fields);
    }
    log.rows
}

struct Log {
    /// Seconds since 1970, from a little before a change to summer time.
    moment: i64,
    versions: Vec<(Uuid, i64)>,
    /// The run that a task was added to first.
    added: Vec<(Uuid, Uuid)>,
    rows: Vec<Row>,
}

impl Log {
    fn knows(&self, id: Uuid) -> bool {
        self.versions.iter().any(|(known, _)| *known == id)
    }

    fn run_of(&mut self, task: Uuid, run: Uuid) -> Uuid {
        if let Some((_, first)) = self.added.iter().find(|(added, _)| *added == task) {
            return *first;
        }
        self.added.push((task, run));
        run
    }

    fn add(&mut self, seeded: &mut Seeded, of: Uuid, topic: &str, mut fields: Value) {
        if !self.knows(of) {
            self.versions.push((of, -1));
        }
        let version = self.versions.iter_mut().find(|(known, _)| *known == of).map_or(0, |(_, version)| {
            *version += 1;
            *version
        });
        self.moment += seeded.one(&[0, 1, 59, 3600, 86_400]);
        let fraction = seeded.one(&["", ".000001", ".5", ".120000"]);
        let zone = seeded.one(&["+00:00", "+00:00", "Z", "+02:00", "-05:30"]);
        let moment = format!("{}{fraction}{zone}", wall_time(self.moment));
        fields["timestamp"] = json!({ "_type_": "datetime_iso", "_data_": moment });
        if seeded.once_in(8) {
            fields["written_by"] = "somebody else".into();
        }
        let topic = format!("biomero.eventsourcing:{topic}");
        self.rows.push(Row {
            originator_id: of,
            originator_version: version,
            topic,
            state: fields.to_string(),
        });
    }
}

fn initiated(name: &str, user: usize, group: usize) -> Value {
    json!({
        "originator_topic": "biomero.eventsourcing:WorkflowRun", "name": name, "description": -1, "user": user, "group": group,
    })
}

fn hex(id: Uuid) -> Value {
    json!({ "_type_": "uuid_hex", "_data_": id.simple().to_string() })
}

/// `YYYY-MM-DDTHH:MM:SS` of 2026, which is all that is needed here.
fn wall_time(seconds: i64) -> String {
    const FIRST_OF_JANUARY: i64 = 1_767_225_600;
    const MONTHS: [i64; 12] = [31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let (mut day, second) = ((seconds - FIRST_OF_JANUARY) / 86_400, (seconds - FIRST_OF_JANUARY) % 86_400);
    let mut month = 0;
    while day >= MONTHS[month % 12] {
        day -= MONTHS[month % 12];
        month += 1;
    }
    let (year, month) = (2026 + month / 12, month % 12 + 1);
    format!(
        "{year}-{month:02}-{:02}T{:02}:{:02}:{:02}",
        day + 1,
        second / 3600,
        second / 60 % 60,
        second % 60
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_makes_the_same_history_again_and_another_seed_another() {
        assert_eq!(rows(7, 200), rows(7, 200));
        assert_ne!(rows(7, 200), rows(8, 200));
        assert_eq!(calls(7, 200), calls(7, 200));
        assert_ne!(calls(7, 200), calls(8, 200));
    }

    #[test]
    fn the_versions_of_an_aggregate_are_contiguous() {
        let rows = rows(1, 500);
        for row in &rows {
            let earlier = rows.iter().take_while(|other| *other != row);
            let expected = earlier.filter(|other| other.originator_id == row.originator_id).count();
            assert_eq!(usize::try_from(row.originator_version), Ok(expected), "{row:?}");
        }
    }

    #[test]
    fn a_wall_time_is_of_its_day() {
        assert_eq!(wall_time(1_774_745_000), "2026-03-29T00:43:20");
        assert_eq!(wall_time(1_798_761_600), "2027-01-01T00:00:00");
    }
}
