//! Measures the event log from within one process, so that neither starting it nor talking to it counts.
//!
//! Each line on standard input asks for one thing, and each line on standard output answers it, by numbers with spaces in
//! between: nanoseconds, but where it is said otherwise. A log is opened once and then kept.
//!
//! - `initialise URL`: creates the tables; answers nothing.
//! - `task URL LENGTH`: answers the id of a new task that so many events have happened to.
//! - `grow URL TASK COUNT`: lets so many more happen to it, in batches; answers nothing.
//! - `append URL COUNT TASK…`: so many updates of each task, in turns, each in a transaction of its own.
//! - `batch URL COMMANDS FLOOR-URL COUNT`: in turns, so many batches, each of so many commands, and the rows of as many
//!   inserted in the other database by the least that keeps the log in order. `none` stands for no such database.
//! - `record URL COUNT`: whole workflows in batches, until there are so many events.
//! - `rebuild URL`: then the number of events, and the most memory that this process ever had, in KiB.
//!
//! As arguments, `first URL TASK`: opens the log, appends one event, says so, and ends.

use std::collections::HashMap;
use std::io::{BufRead as _, Write as _};
use std::process::ExitCode;
use std::time::Instant;

use biomero_events::command::{Command, Draft};
use biomero_events::json::Value;
use biomero_events::postgres::connect;
use biomero_events::schema::LOG;
use biomero_events::url::DatabaseUrl;
use biomero_events::{EventLog, Limits};
use uuid::Uuid;

/// Of a batch.
const EVENTS: usize = 1_000;
const AGGREGATES: usize = 100;

/// Of a workflow that is recorded whole: what a day of a microscope comes to.
const TASKS: usize = 5;
const UPDATES: usize = 34;

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(reason) => {
            #[allow(clippy::print_stderr, reason = "why it ended")]
            {
                eprintln!("event_stopwatch: {reason}");
            }
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &[String]) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mut output = std::io::stdout();
    if let [verb, url, task] = arguments
        && verb == "first"
    {
        let task = task.parse()?;
        let log = runtime.block_on(EventLog::open(&DatabaseUrl::parse(url)?, Limits::default()))?;
        runtime.block_on(log.append(&Command::update_task_status(task, "RUNNING")))?;
        return Ok(output.write_all(b"appended\n")?);
    }
    let mut stopwatch = Stopwatch::default();
    for line in std::io::stdin().lock().lines() {
        let line = line?;
        let words: Vec<&str> = line.split(' ').collect();
        let answer = runtime.block_on(stopwatch.obey(&words))?;
        output.write_all(format!("{}\n", answer.join(" ")).as_bytes())?;
        output.flush()?;
    }
    Ok(())
}

#[derive(Default)]
struct Stopwatch {
    logs: HashMap<String, EventLog>,
}

impl Stopwatch {
    async fn obey(&mut self, words: &[&str]) -> Result<Vec<String>> {
        let [verb, url, rest @ ..] = words else { return Err("VERB URL …".into()) };
        if !self.logs.contains_key(*url) {
            let log = EventLog::open(&DatabaseUrl::parse(url)?, Limits::default()).await?;
            self.logs.insert((*url).to_owned(), log);
        }
        let log = self.logs.get(*url).ok_or("it was just opened")?;
        match (*verb, rest) {
            ("initialise", []) => {
                log.initialise().await?;
                Ok(Vec::new())
            }
            ("task", [length]) => {
                let workflow = Uuid::new_v4();
                log.append(&Command::initiate_workflow(workflow, "benchmark", "", 2, 3)).await?;
                let task = task(log, workflow).await?;
                // Its creation and the id of its job have happened to it.
                grow(log, task, length.parse::<usize>()?.saturating_sub(2)).await?;
                Ok(vec![task.to_string()])
            }
            ("grow", [task, count]) => {
                grow(log, task.parse()?, count.parse()?).await?;
                Ok(Vec::new())
            }
            ("append", [count, tasks @ ..]) => append(log, count.parse()?, tasks).await,
            ("batch", [commands, floor, count]) => batch(log, commands.parse()?, floor, count.parse()?).await,
            ("record", [count]) => record(log, count.parse()?).await,
            ("rebuild", []) => {
                let began = Instant::now();
                let rebuilt = log.rebuild(None, &|_| {}).await?;
                Ok(vec![nanoseconds(began), rebuilt.events.to_string(), peak_memory()?])
            }
            _ => Err(format!("`{}` is nothing to measure", words.join(" ")).into()),
        }
    }
}

fn nanoseconds(began: Instant) -> String {
    began.elapsed().as_nanos().to_string()
}

/// A task with a job.
async fn task(log: &EventLog, workflow: Uuid) -> Result<Uuid> {
    let task = Uuid::new_v4();
    let added = Command::add_task(workflow, task, "cellpose", "v1.4.0", Value::Null, Value::Null);
    log.append_all(&[added, Command::add_job_id(task, job())]).await?;
    Ok(task)
}

/// An id that no other job is likely to have.
fn job() -> i64 {
    (Uuid::new_v4().as_u128() % 2_000_000_000) as i64
}

async fn grow(log: &EventLog, task: Uuid, count: usize) -> Result<()> {
    let updates: Vec<Command> = (0..count).map(|number| update(task, number)).collect();
    for batch in updates.chunks(EVENTS) {
        log.append_all(batch).await?;
    }
    Ok(())
}

/// What is polled: the status of the job, and how far it is.
fn update(task: Uuid, number: usize) -> Command {
    match number % 2 {
        0 => Command::update_task_status(task, "RUNNING"),
        _ => Command::update_task_progress(task, Some(&format!("{}%", number % 100))),
    }
}

async fn append(log: &EventLog, count: usize, tasks: &[&str]) -> Result<Vec<String>> {
    let tasks: Vec<Uuid> = tasks.iter().map(|task| task.parse()).collect::<std::result::Result<_, _>>()?;
    let mut taken = Vec::new();
    for _ in 0..count {
        for task in &tasks {
            let command = Command::update_task_status(*task, "RUNNING");
            let began = Instant::now();
            log.append(&command).await?;
            taken.push(nanoseconds(began));
        }
    }
    Ok(taken)
}

async fn batch(log: &EventLog, commands: usize, floor: &str, count: usize) -> Result<Vec<String>> {
    let together = EVENTS.checked_div(commands).ok_or("no commands")?;
    let floor = match floor {
        "none" => None,
        url => Some(Floor::open(url).await?),
    };
    let workflow = Uuid::new_v4();
    log.append(&Command::initiate_workflow(workflow, "benchmark", "", 2, 3)).await?;
    let mut tasks = Vec::new();
    for _ in 0..AGGREGATES {
        tasks.push(task(log, workflow).await?);
    }
    let mut taken = Vec::new();
    for _ in 0..count {
        let drafts: Vec<Draft> = tasks
            .iter()
            .flat_map(|task| (0..EVENTS / AGGREGATES).flat_map(|number| update(*task, number).events))
            .collect();
        let commands: Vec<Command> =
            drafts.chunks(together).map(|drafts| Command::new(drafts.to_vec())).collect();
        let began = Instant::now();
        log.append_all(&commands).await?;
        taken.push(nanoseconds(began));
        if let Some(floor) = &floor {
            taken.push(floor.insert(&commands).await?);
        }
    }
    Ok(taken)
}

/// The least that puts rows into the log in an order that its readers can rely on: nothing is asked and nothing is
/// projected.
struct Floor {
    client: connect::Object,
}

impl Floor {
    async fn open(url: &str) -> Result<Self> {
        let DatabaseUrl::Postgres(url) = DatabaseUrl::parse(url)? else {
            return Err("the floor is PostgreSQL's".into());
        };
        Ok(Self { client: connect::pool(&url, &Limits::default())?.get().await? })
    }

    /// The rows are made before the time begins.
    async fn insert(&self, commands: &[Command]) -> Result<String> {
        let drafts: Vec<&Draft> = commands.iter().flat_map(|command| &command.events).collect();
        let (mut aliases, mut versions) = (HashMap::new(), HashMap::new());
        let originators: Vec<Uuid> = drafts
            .iter()
            .map(|draft| *aliases.entry(draft.originator_id).or_insert_with(Uuid::new_v4))
            .collect();
        let versions: Vec<i64> = originators
            .iter()
            .map(|id| {
                let version = versions.entry(*id).or_insert(0_i64);
                *version += 1;
                *version
            })
            .collect();
        let topics: Vec<&str> = drafts.iter().map(|draft| draft.event.fact.topic()).collect();
        let states: Vec<Vec<u8>> = drafts.iter().map(|draft| draft.event.encode()).collect();
        let insert = format!(
            "INSERT INTO {LOG} (originator_id, originator_version, topic, state)
             SELECT * FROM unnest($1::uuid[], $2::bigint[], $3::text[], $4::bytea[])"
        );
        let insert = self.client.prepare_cached(&insert).await?;
        let began = Instant::now();
        self.client.batch_execute(&format!("BEGIN; LOCK TABLE {LOG} IN EXCLUSIVE MODE")).await?;
        self.client.execute(&insert, &[&originators, &versions, &topics, &states]).await?;
        self.client.batch_execute(&format!("NOTIFY {LOG}; COMMIT")).await?;
        Ok(nanoseconds(began))
    }
}

async fn record(log: &EventLog, count: usize) -> Result<Vec<String>> {
    let began = Instant::now();
    let mut recorded = 0;
    let mut commands = Vec::new();
    while recorded < count {
        while commands.len() < EVENTS {
            commands.extend(whole_workflow());
        }
        let appended = log.append_all(&commands).await?;
        recorded += appended.iter().map(|command| command.events.len()).sum::<usize>();
        commands.clear();
    }
    Ok(vec![nanoseconds(began), recorded.to_string()])
}

/// From its beginning to its end, each of its tasks with the updates of its job.
fn whole_workflow() -> Vec<Command> {
    let workflow = Uuid::new_v4();
    let mut commands = vec![
        Command::initiate_workflow(workflow, "SLURM_Run_Workflow.py", "segments nuclei", 2, 3),
        Command::start_workflow(workflow),
    ];
    for _ in 0..TASKS {
        let task = Uuid::new_v4();
        commands.extend([
            Command::add_task(workflow, task, "cellpose", "v1.4.0", Value::Null, Value::Null),
            Command::start_task(task),
            Command::add_job_id(task, job()),
        ]);
        commands.extend((0..UPDATES).map(|number| update(task, number)));
        commands.push(Command::complete_task(task, "finished"));
    }
    commands.push(Command::complete_workflow(workflow));
    commands
}

/// In KiB, as the kernel counts it.
fn peak_memory() -> Result<String> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB"));
    Ok(peak.ok_or("the kernel tells no VmHWM")?.to_owned())
}
