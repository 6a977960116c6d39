//! This machine as the cluster: the same commands, by a process of our own instead of a session.

use std::process::Stdio;

use tokio::io::AsyncReadExt as _;
use tokio::process::Command as Process;

use super::ssh::after_the_mark;
use super::{Error, Running};
use crate::command::{BOOTSTRAP, Command, Status};

#[derive(Debug)]
pub(super) struct Local;

impl Local {
    pub(super) const fn new() -> Self {
        Self
    }

    pub(super) async fn spawn(&self, command: &Command) -> Result<Running, Error> {
        let mark = uuid::Uuid::new_v4().simple().to_string();
        let line = command.line(&mark)?;
        let here = |source| Error::Here { action: format!("run `{}`", command.name()), source };
        let mut process = Process::new("/bin/sh");
        if let Some(home) = std::env::home_dir() {
            process.current_dir(home);
        }
        let mut child = process
            .args(["-c", BOOTSTRAP])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .map_err(here)?;
        let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let (Some(mut stdin), Some(stdout), Some(mut stderr)) = (stdin, stdout, stderr) else {
            return Err(here(std::io::Error::other("no pipes")));
        };
        tokio::io::AsyncWriteExt::write_all(&mut stdin, &line).await.map_err(here)?;
        let (stdout, _) = after_the_mark(stdout, &mark).await.map_err(here)?;
        let name = command.name();
        Ok(Running {
            stdin: Some(Box::pin(stdin)),
            stdout: Box::pin(stdout),
            ending: Box::pin(async move {
                let mut said = Vec::new();
                let _ = stderr.read_to_end(&mut said).await;
                let status = child
                    .wait()
                    .await
                    .map_err(|source| Error::Here { action: format!("wait for `{name}`"), source })?;
                let status = match status.code().and_then(|code| u8::try_from(code).ok()) {
                    Some(code) => Status::Exited(code),
                    None => Status::Killed,
                };
                Ok((status, super::ssh::without_noise(said, &mark)))
            }),
        })
    }
}
