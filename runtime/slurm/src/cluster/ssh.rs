//! A cluster over SSH: one master connection of OpenSSH's own `ssh`, and a session of it for each command.

use std::io;

use openssh::{KnownHosts, Session, SessionBuilder, Stdio};
use tokio::io::{AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::sync::Mutex;

use super::{ConnectKind, Error, HostKeys, Running, SshOptions};
use crate::command::{BOOTSTRAP, Command, Status};
use std::sync::Arc;

#[derive(Debug)]
pub(super) struct Ssh {
    options: SshOptions,
    session: Mutex<Option<Arc<Session>>>,
}

impl Ssh {
    pub(super) const fn new(options: SshOptions) -> Self {
        Self { options, session: Mutex::const_new(None) }
    }

    pub(super) fn name(&self) -> &str {
        &self.options.host
    }

    async fn session(&self) -> Result<Arc<Session>, Error> {
        let mut session = self.session.lock().await;
        if let Some(session) = &*session {
            return Ok(Arc::clone(session));
        }
        let mut builder = SessionBuilder::default();
        builder
            .known_hosts_check(match self.options.host_keys {
                HostKeys::Strict => KnownHosts::Strict,
                HostKeys::AcceptNew => KnownHosts::Add,
            })
            .connect_timeout(self.options.connect)
            .server_alive_interval(self.options.keep_alive)
            .control_directory(&self.options.control);
        if let Some(config) = &self.options.config {
            builder.config_file(config);
        }
        let connected = builder.connect_mux(&self.options.host).await.map_err(|error| Error::Connect {
            host: self.options.host.clone(),
            kind: ConnectKind::Other,
            reason: error.to_string(),
            remedy: String::from("try `ssh` by hand"),
        })?;
        Ok(Arc::clone(session.insert(Arc::new(connected))))
    }

    pub(super) async fn spawn(&self, command: &Command) -> Result<Running, Error> {
        let session = self.session().await?;
        let mark = uuid::Uuid::new_v4().simple().to_string();
        let line = command.line(&mark)?;
        let lost = {
            let (host, what) = (self.options.host.clone(), command.name());
            move || Error::Lost { host: host.clone(), what: what.clone() }
        };
        let mut child = session
            .arc_raw_command(BOOTSTRAP)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .await
            .map_err(|_| lost())?;
        let (stdin, stdout, stderr) = (child.stdin().take(), child.stdout().take(), child.stderr().take());
        let (Some(mut stdin), Some(stdout), Some(mut stderr)) = (stdin, stdout, stderr) else {
            return Err(lost());
        };
        stdin.write_all(&line).await.map_err(|_| lost())?;
        let (stdout, _) = after_the_mark(stdout, &mark).await.map_err(|_| lost())?;
        Ok(Running {
            stdin: Some(Box::pin(stdin)),
            stdout: Box::pin(stdout),
            ending: Box::pin(async move {
                let mut said = Vec::new();
                let _ = stderr.read_to_end(&mut said).await;
                let status = match child.wait().await {
                    Ok(status) => match status.code().and_then(|code| u8::try_from(code).ok()) {
                        Some(code) => Status::Exited(code),
                        None => Status::Killed,
                    },
                    Err(openssh::Error::Remote(_)) => Status::Exited(127),
                    Err(openssh::Error::RemoteProcessTerminated) => Status::Killed,
                    Err(_) => return Err(lost()),
                };
                Ok((status, without_noise(said, &mark)))
            }),
        })
    }

    pub(super) async fn close(&self) {
        drop(self.session.lock().await.take());
    }
}

/// Reads on until behind the mark; returns the rest, and the id of the process that the mark tells.
pub(super) async fn after_the_mark<R: AsyncRead + Unpin>(
    stream: R,
    mark: &str,
) -> io::Result<(BufReader<R>, u32)> {
    let mut stream = BufReader::new(stream);
    let mut line = Vec::new();
    loop {
        line.clear();
        if (&mut stream).take(1 << 20).read_until(b'\n', &mut line).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let text = String::from_utf8_lossy(&line);
        // What a login shell writes may lack the end of its last line.
        if let Some((_, id)) = text.trim_end().rsplit_once(mark)
            && let Ok(id) = id.trim().parse()
        {
            return Ok((stream, id));
        }
    }
}

/// What was said after the mark.
pub(super) fn without_noise(said: Vec<u8>, mark: &str) -> Vec<u8> {
    let at = said.windows(mark.len()).position(|window| window == mark.as_bytes());
    match at {
        Some(at) => said.get(at + mark.len() + 1..).unwrap_or_default().to_vec(),
        None => said,
    }
}
