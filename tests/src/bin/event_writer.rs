//! Writes events until it is killed or done: `event_writer ACKNOWLEDGED NUMBER COUNT OWN-TASK SHARED-TASK`, the database's
//! URL in `EVENTS_URL`. Each of COUNT updates sets the status of its own task to `NUMBER.n`, and each fifth that of the
//! shared task too, in the same transaction. After the log has said that an update is recorded, and not before, a line
//! goes to ACKNOWLEDGED. Started again, it goes on with the first update that has no line, under the same command ids.

use std::fs::File;
use std::io::Write as _;
use std::process::ExitCode;

use biomero_events::command::Command;
use biomero_events::url::DatabaseUrl;
use biomero_events::{EventLog, Limits};
use uuid::Uuid;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match write(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(reason) => {
            #[allow(clippy::print_stderr, reason = "why it ended early")]
            {
                eprintln!("event_writer: {reason}");
            }
            ExitCode::FAILURE
        }
    }
}

fn write(arguments: &[String]) -> Result<(), Box<dyn std::error::Error>> {
    let [acknowledged, number, count, own, shared] = arguments else {
        return Err("ACKNOWLEDGED NUMBER COUNT OWN-TASK SHARED-TASK".into());
    };
    let (number, count): (u64, usize) = (number.parse()?, count.parse()?);
    let (own, shared): (Uuid, Uuid) = (own.parse()?, shared.parse()?);
    let url = DatabaseUrl::parse(&std::env::var("EVENTS_URL")?)?;
    let mut lines = File::options().create(true).read(true).append(true).open(acknowledged)?;
    let done = std::io::read_to_string(&lines)?.lines().count();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let log = runtime.block_on(EventLog::open(&url, Limits::default()))?;
    for update in done..count {
        let status = format!("{number}.{update}");
        let id = |task: u64| Uuid::from_u64_pair(number << 1 | task, update as u64);
        let mut commands = vec![Command::update_task_status(own, &status).with_id(id(0))];
        if update % 5 == 0 {
            commands.push(Command::update_task_status(shared, &status).with_id(id(1)));
        }
        let appended = runtime.block_on(log.append_all(&commands))?;
        let events = appended.iter().flat_map(|command| &command.events);
        let events: Vec<String> =
            events.map(|event| format!("{} {}", event.id, event.originator_version)).collect();
        // One line in one write, so that a kill leaves all of it or nothing.
        lines.write_all(format!("{}\n", events.join(" ")).as_bytes())?;
    }
    Ok(())
}
