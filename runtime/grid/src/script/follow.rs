//! Following a script from the queue to its end, whoever started its keeper.

use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::process::{ScriptProcess, State};
use super::scripts::Keeper;
use super::{Begun, Ended, Error, Order, Outcome, Request, Why};
use crate::processes;

/// A keeper has started its script long before.
const START: Duration = Duration::from_secs(60);

/// Its place in the queue, or at the front of it.
pub(super) struct Turn {
    pub(super) place: OwnedSemaphorePermit,
    pub(super) permit: Option<OwnedSemaphorePermit>,
    pub(super) queue: Arc<Semaphore>,
}

impl Turn {
    /// Waits for it. None: somebody does not want it any more.
    async fn comes(&mut self, process: &ScriptProcess) -> Option<OwnedSemaphorePermit> {
        if self.permit.is_some() {
            return self.permit.take();
        }
        let mut asked = process.asked();
        tokio::select! {
            biased;
            _ = asked.wait_for(Option::is_some) => None,
            permit = Arc::clone(&self.queue).acquire_owned() => permit.ok(),
        }
    }
}

/// Runs it when it is its turn.
pub(super) async fn from_the_queue(process: ScriptProcess, mut turn: Turn, keeper: Keeper, request: Request) {
    let permit = turn.comes(&process).await;
    // Somebody else's when this one is over.
    let _place = turn.place;
    let Some(permit) = permit else {
        let why = if *process.asked().borrow() == Some(Order::Kill) { Why::Killed } else { Why::Cancelled };
        return over(
            &process,
            Outcome::without_end(Ended::NotStarted, why, Some("it had waited".to_owned())),
        );
    };
    process.is_now(State::Running);
    match start(&process, &keeper, &request).await {
        Ok(child) => to_the_end(process, Some(child), Some(permit)).await,
        Err(error) => {
            over(&process, Outcome::without_end(Ended::NotStarted, Why::NotStarted, Some(error.to_string())))
        }
    }
}

/// Starts its keeper, and waits until this one has started the script.
async fn start(process: &ScriptProcess, keeper: &Keeper, request: &Request) -> Result<Child, Error> {
    let failed =
        |problem: String| Error::Keeper { program: keeper.program.clone(), job: process.job(), problem };
    let folder = process.folder();
    let mut child = Command::new(&keeper.program)
        .args(&keeper.arguments)
        .arg(folder.path())
        .env_clear()
        .env(processes::TOKEN, folder.token())
        .current_dir(folder.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|error| failed(format!("cannot be started: {error}")))?;
    let (Some(mut stdin), Some(stdout)) = (child.stdin.take(), child.stdout.take()) else {
        return Err(failed("has no pipes".to_owned()));
    };
    let request = serde_json::to_vec(request).map_err(Error::content("request", folder.path()))?;
    let talk = async {
        stdin.write_all(&request).await?;
        drop(stdin);
        let mut line = String::new();
        BufReader::new(stdout).take(64 << 10).read_line(&mut line).await?;
        Ok::<_, std::io::Error>(line)
    };
    let answer = match tokio::time::timeout(START, talk).await {
        Ok(answer) => answer.map_err(|error| failed(format!("cannot be spoken to: {error}"))),
        Err(_) => Err(failed(format!("has not started it after {} s", START.as_secs()))),
    };
    match answer.map(|line| serde_json::from_str(&line)) {
        Ok(Ok(Begun::Started)) => Ok(child),
        Ok(Ok(Begun::Failed(reason))) => Err(failed(format!("says: {reason}"))),
        Ok(Err(_)) => {
            // It has said why on standard error.
            let status = end(&mut child).await;
            Err(failed(format!("ended before it had started the script ({status})")))
        }
        Err(error) => {
            end(&mut child).await;
            Err(error)
        }
    }
}

async fn end(child: &mut Child) -> String {
    let _ = child.start_kill();
    child.wait().await.map_or_else(|error| error.to_string(), |status| status.to_string())
}

/// Until nothing of it is left. `child` is its keeper, if we started it.
pub(super) async fn to_the_end(
    process: ScriptProcess,
    child: Option<Child>,
    permit: Option<OwnedSemaphorePermit>,
) {
    if let Err(error) = keeper_to_the_end(&process).await {
        tracing::warn!(job = process.job(), "job {}: its keeper cannot be followed: {error}", process.job());
    }
    if let Some(mut child) = child {
        let _ = child.wait().await;
    }
    let outcome = match process.folder().outcome() {
        Ok(Some(outcome)) => outcome,
        found => lost(&process, found.err()).await,
    };
    over(&process, outcome);
    drop(permit);
}

async fn keeper_to_the_end(process: &ScriptProcess) -> Result<(), Error> {
    let folder = process.folder();
    let Some(mut life) = folder.life()? else { return Ok(()) };
    let mut asked = process.asked();
    asked.mark_changed();
    let mut nothing = [0];
    loop {
        tokio::select! {
            read = life.read(&mut nothing) => match read {
                Ok(0) | Err(_) => return Ok(()),
                Ok(_) => {}
            },
            // The sender is the process's, which we have.
            Ok(()) = asked.changed() => {
                let order = *asked.borrow_and_update();
                if let Some(order) = order {
                    folder.tell(order)?;
                }
            }
        }
    }
}

/// Its keeper is gone and has not said what became of it: what is left of it is ended.
async fn lost(process: &ScriptProcess, problem: Option<Error>) -> Outcome {
    let folder = process.folder().clone();
    let keeper = folder.mark().ok().flatten().map(|mark| mark.keeper);
    let waited = keeper.is_none() && problem.is_none();
    let end = move || processes::end_left_behind(keeper, &folder.token(), folder.path());
    let ended = tokio::task::spawn_blocking(end).await;
    let mut reason = problem.map(|error| error.to_string());
    if !matches!(ended, Ok(true)) {
        reason = Some("processes of it do not end".to_owned());
    }
    if waited {
        reason.get_or_insert_with(|| "it had waited when the processor ended".to_owned());
        return Outcome::without_end(Ended::NotStarted, Why::Lost, reason);
    }
    Outcome::without_end(Ended::Unknown, Why::Lost, reason)
}

fn over(process: &ScriptProcess, outcome: Outcome) {
    tracing::info!(target: "script", "job {}: the script {}", process.job(), outcome.told());
    process.is_now(State::Over(Arc::new(outcome)));
}
