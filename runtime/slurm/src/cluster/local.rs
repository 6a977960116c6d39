//! This machine as the cluster: the same commands, by a process of our own instead of a session.

use std::io;
use std::process::Stdio;
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command as Process;

use super::running::{Ends, Hold, Limit};
use super::stream::{Silence, after_the_mark, said};
use super::{Error, Running};
use crate::command::{BOOTSTRAP, Command, Status};

/// How long a command may take to end by TERM; then it is killed.
const ENDING: Duration = Duration::from_secs(2);

/// How often it is looked whether a process group has gone, which nothing tells.
const LOOK: Duration = Duration::from_millis(20);

#[derive(Debug)]
pub(super) struct Local {
    ends: Ends,
}

impl Local {
    pub(super) fn new() -> Self {
        Self { ends: Ends::new() }
    }

    pub(super) async fn spawn(&self, command: &Command, limit: Limit) -> Result<Running, Error> {
        let mark = uuid::Uuid::new_v4().simple().to_string();
        let line = command.line(&mark)?;
        let what = command.name();
        let here = |source| Error::Here { action: format!("run `{what}`"), source };
        let mut process = Process::new("/bin/sh");
        if let Some(home) = std::env::home_dir() {
            process.current_dir(home);
        }
        process.args(["-c", BOOTSTRAP]).process_group(0);
        process.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = process.spawn().map_err(here)?;
        let pipes = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let (Some(mut stdin), Some(stdout), Some(stderr)) = pipes else {
            return Err(here(io::Error::other("no pipes")));
        };
        let group = child.id().and_then(|id| i32::try_from(id).ok()).map(Pid::from_raw);
        let stderr = tokio::spawn(said(stderr, mark.clone()));
        let opening = async {
            stdin.write_all(&line).await?;
            after_the_mark(stdout, &mark).await.map_err(|silence| match silence {
                Silence::Ended(_) | Silence::Endless(_) => io::Error::other("/bin/sh does not run it"),
                Silence::Unreadable(error) => error,
            })
        };
        // Before it is waited for: it is ended whatever comes.
        let hold = Hold::new(&self.ends, async move {
            if let Some(group) = group {
                end(group).await;
            }
        });
        let opened = tokio::time::timeout_at(limit.deadline, opening).await;
        let (_, stdout) = opened.map_err(|_| limit.passed())?.map_err(here)?;
        let ending = Box::pin(async move {
            let status = child.wait().await;
            let status =
                status.map_err(|source| Error::Here { action: format!("wait for `{what}`"), source })?;
            let said = stderr.await.unwrap_or_default();
            let code = status.code().and_then(|code| u8::try_from(code).ok());
            Ok((code.map_or(Status::Killed, Status::Exited), said.tail.into_bytes()))
        });
        Ok(Running::new(stdin, stdout, ending, hold, limit))
    }

    pub(super) async fn close(&self) {
        self.ends.done().await;
    }
}

/// Ends a process group.
async fn end(group: Pid) {
    if killpg(group, Signal::SIGTERM) == Err(Errno::ESRCH) {
        return;
    }
    let gone = async {
        while killpg(group, None) != Err(Errno::ESRCH) {
            tokio::time::sleep(LOOK).await;
        }
    };
    if tokio::time::timeout(ENDING, gone).await.is_err() {
        let _ = killpg(group, Signal::SIGKILL);
    }
}
