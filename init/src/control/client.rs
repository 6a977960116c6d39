//! The asking side: what `init status`, `restart`, `stop` and `start` do.

use std::io::{self, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::protocol::MOST_ANSWER;
use super::{Answer, Request, Status, Verb};

/// For each step of the conversation.
const PATIENCE: Duration = Duration::from_secs(5);

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ClientError {
    /// Nobody listens.
    #[error("no init supervises services here: nothing answers on {}; start `init` without a command, or name the \
        socket of a running one with `--set state.socket=PATH`", path.display())]
    NoInit {
        /// The socket.
        path: PathBuf,
    },
    /// The socket is not ours to use.
    #[error("not allowed to use {}: ask as root or as the user that init runs as (`docker exec --user`)", path.display())]
    Forbidden {
        /// The socket.
        path: PathBuf,
    },
    /// The conversation broke off.
    #[error("init did not answer on {}: {error}", path.display())]
    Conversation {
        /// The socket.
        path: PathBuf,
        /// The system's reason.
        error: io::Error,
    },
    /// `init` says no, and why.
    #[error("{0}")]
    Refused(String),
}

/// How everything is.
///
/// # Errors
/// [`ClientError`].
pub(crate) fn status(socket: &Path) -> Result<Status, ClientError> {
    match ask(socket, &Request { verb: Verb::Status, service: None })? {
        Answer::Status(status) => Ok(*status),
        Answer::Done(text) | Answer::Refused(text) => Err(ClientError::Refused(text)),
    }
}

/// Asks for `restart`, `stop` or `start` of one service; returns what `init` says it does.
///
/// # Errors
/// [`ClientError`].
pub(crate) fn command(socket: &Path, verb: &str, service: &str) -> Result<String, ClientError> {
    let verb = match verb {
        "restart" => Verb::Restart,
        "stop" => Verb::Stop,
        "start" => Verb::Start,
        other => {
            return Err(ClientError::Refused(format!("there is no command {other}: restart, stop or start")));
        }
    };
    match ask(socket, &Request { verb, service: Some(service.to_owned()) })? {
        Answer::Done(text) => Ok(text),
        Answer::Refused(text) => Err(ClientError::Refused(text)),
        Answer::Status(_) => Err(ClientError::Refused("init answered another question".to_owned())),
    }
}

fn ask(socket: &Path, request: &Request) -> Result<Answer, ClientError> {
    let path = || socket.to_owned();
    let broken = |error: io::Error| ClientError::Conversation { path: path(), error };
    let mut stream = UnixStream::connect(socket).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => ClientError::NoInit { path: path() },
        io::ErrorKind::PermissionDenied => ClientError::Forbidden { path: path() },
        _ => broken(error),
    })?;
    stream.set_read_timeout(Some(PATIENCE)).map_err(broken)?;
    stream.set_write_timeout(Some(PATIENCE)).map_err(broken)?;
    let mut line = serde_json::to_vec(request).map_err(|error| broken(error.into()))?;
    line.push(b'\n');
    stream.write_all(&line).map_err(broken)?;
    let mut answer = Vec::new();
    stream.take(MOST_ANSWER).read_to_end(&mut answer).map_err(broken)?;
    serde_json::from_slice(&answer).map_err(|error| broken(error.into()))
}

impl Status {
    /// Whether every service is up or has done its work.
    pub(crate) fn all_ready(&self) -> bool {
        self.services.iter().all(|service| service.ready)
    }

    /// Whether the main service is; without one, every service.
    pub(crate) fn main_ready(&self) -> bool {
        let mut main = self.services.iter().filter(|service| service.main).peekable();
        if main.peek().is_none() { self.all_ready() } else { main.all(|service| service.ready) }
    }

    /// For machines.
    pub(crate) fn json(&self) -> serde_json::Value {
        // Numbers, strings and lists only: this cannot fail.
        serde_json::to_value(self).unwrap_or_default()
    }

    /// For a reader.
    pub(crate) fn table(&self) -> String {
        let mut rows =
            vec![["SERVICE", "STATE", "PID", "RUNNING", "RESTARTS", "LAST EXIT"].map(String::from)];
        rows.extend(self.services.iter().map(|service| {
            let dash = || "-".to_owned();
            [
                if service.main { format!("{} (main)", service.name) } else { service.name.clone() },
                service.state.clone(),
                service.pid.map_or_else(dash, |pid| pid.to_string()),
                service.running_s.map_or_else(dash, seconds),
                service.restarts.to_string(),
                service.last_exit.clone().unwrap_or_else(dash),
            ]
        }));
        let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
        let widths: Vec<usize> = (0..6).map(width).collect();
        let mut table = String::new();
        for row in &rows {
            let cells: Vec<String> =
                row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
            table.push_str(cells.join("  ").trim_end());
            table.push('\n');
        }
        for service in &self.services {
            if let Some(says) = &service.says {
                table.push_str(&format!("{} says: {says}\n", service.name));
            }
        }
        table.push_str(&format!(
            "init {} (process {}), up {}, started in {:.1} ms",
            self.version,
            self.pid,
            seconds(self.uptime_s),
            self.start_up_ms
        ));
        table.push_str(match self.phase {
            super::Phase::Running => "\n",
            super::Phase::Stopping => ", stopping\n",
        });
        for warning in &self.hook_warnings {
            table.push_str(&format!("warning: {warning}\n"));
        }
        table
    }
}

/// `4s`, `3m 2s`, `2h 5m`, `3d 1h`.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a float cast saturates")]
fn seconds(seconds: f64) -> String {
    let seconds = seconds as u64;
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3600 => format!("{}m {}s", seconds / 60, seconds % 60),
        3600..86_400 => format!("{}h {}m", seconds / 3600, seconds % 3600 / 60),
        _ => format!("{}d {}h", seconds / 86_400, seconds % 86_400 / 3600),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::{Phase, ServiceStatus};

    fn sample() -> Status {
        let service = |name: &str, state: &str, ready| ServiceStatus {
            name: name.into(),
            state: state.into(),
            ready,
            main: name == "node",
            pid: ready.then_some(7),
            running_s: ready.then_some(3723.9),
            restarts: u64::from(!ready),
            last_exit: (!ready).then(|| "killed by SIGKILL".into()),
            says: ready.then(|| "serving".into()),
        };
        Status {
            version: "0.1.0".into(),
            pid: 1,
            phase: Phase::Stopping,
            start_up_ms: 12.34,
            uptime_s: 90061.0,
            hook_warnings: vec!["hook wait: gave up".into()],
            services: vec![service("node", "ready", true), service("helper", "backing-off", false)],
        }
    }

    #[test]
    fn the_table_is_read_at_a_glance() {
        insta::assert_snapshot!(sample().table(), @r#"
        SERVICE      STATE        PID  RUNNING  RESTARTS  LAST EXIT
        node (main)  ready        7    1h 2m    0         -
        helper       backing-off  -    -        1         killed by SIGKILL
        node says: serving
        init 0.1.0 (process 1), up 1d 1h, started in 12.3 ms, stopping
        warning: hook wait: gave up
        "#);
    }

    #[test]
    fn one_service_that_is_not_ready_makes_the_whole_not_ready() {
        let mut status = sample();
        assert!(!status.all_ready());
        assert!(status.main_ready(), "the one that is not ready is not the main one");
        status.services.pop();
        assert!(status.all_ready());
    }

    #[test]
    fn without_a_main_service_every_one_counts_as_it() {
        let mut status = sample();
        status.services.remove(0);
        assert!(!status.main_ready());
        status.services[0].ready = true;
        assert!(status.main_ready());
    }

    #[test]
    fn where_nobody_listens_it_says_what_to_do() {
        let error = status(Path::new("/nowhere/init.sock")).unwrap_err();
        insta::assert_snapshot!(error, @"no init supervises services here: nothing answers on /nowhere/init.sock; start `init` without a command, or name the socket of a running one with `--set state.socket=PATH`");
    }
}
