//! A cluster over SSH: one master connection of OpenSSH's own `ssh`, and a session of it for each command.
//!
//! Invariants: no more sessions at a time than the server allows, which is learnt; one connecting for all who wait; before a
//! command's line has been sent, losing the connection is no trouble but for time; afterwards it is [`Error::Lost`].

mod configuration;
mod connection;
mod diagnosis;
mod master;
mod places;
mod sftp;

use std::sync::Arc;
use std::time::Duration;

use openssh::{Child, Stdio};
use tokio::io::AsyncWriteExt as _;
use tokio::time::Instant;

pub use configuration::Configuration;
pub(super) use sftp::FileSession;

use self::connection::Connection;
use self::diagnosis::Evidence;
use self::master::{Link, Master};
use self::places::{Place, Places};
use super::error::Refusal;
use super::running::{Ends, Hold, Limit};
use super::stream::{Said, Silence, after_the_mark, said};
use super::{ConnectKind, Error, Running, SshOptions};
use crate::command::{BOOTSTRAP, Command, Status};

/// Ends a process group: TERM, and KILL where it is still there two seconds later. `kill -TERM -- -1` is none to dash, and not
/// every `sleep` knows fractions.
const END: &str = r#"for signal in TERM KILL; do
  kill -s $signal -- "-$1" 2>/dev/null || kill -s $signal -- "$1" 2>/dev/null || exit 0
  for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
    kill -s 0 -- "-$1" 2>/dev/null || kill -s 0 -- "$1" 2>/dev/null || exit 0
    sleep 0.1 2>/dev/null || { sleep 2; break; }
  done
done"#;

/// The pauses between attempts at a session that the server does not allow yet.
const PAUSES: [u64; 6] = [10, 20, 50, 100, 200, 500];

/// A cluster over SSH; clones are the same.
#[derive(Debug, Clone)]
pub(super) struct Ssh {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    options: SshOptions,
    connection: Connection,
    places: Places,
    ends: Ends,
    files: sftp::Files,
}

/// A session, before anybody knows what it is for.
struct Session {
    child: Child<Link>,
    place: Option<Place>,
}

/// Why there is no session.
enum NoSession {
    /// Nobody was asked for anything: there is no connection (any more).
    Gone,
    /// The server has as many as it allows.
    Full,
}

impl Ssh {
    pub(super) fn new(options: SshOptions) -> Self {
        let places = Places::new(options.sessions);
        let connection = Connection::new(options.clone());
        Self {
            shared: Arc::new(Shared {
                options,
                connection,
                places,
                ends: Ends::new(),
                files: sftp::Files::default(),
            }),
        }
    }

    pub(super) fn name(&self) -> &str {
        &self.shared.options.host
    }

    /// How many connections were made, and how many of them were lost.
    pub(super) fn connections(&self) -> (u64, u64) {
        self.shared.connection.counts()
    }

    pub(super) async fn configuration(&self) -> Result<Configuration, Error> {
        Ok(master::resolve(&self.shared.options).await?)
    }

    pub(super) async fn spawn(&self, command: &Command, limit: Limit) -> Result<Running, Error> {
        let mark = uuid::Uuid::new_v4().simple().to_string();
        let line = command.line(&mark)?;
        let (master, session) = self.session(&limit, |master| begin(master, Kind::Shell)).await?;
        let Session { mut child, place } = session;
        let pipes = (child.stdin().take(), child.stdout().take(), child.stderr().take());
        let (Some(mut stdin), Some(stdout), Some(stderr)) = pipes else { return Err(limit.lost()) };
        let stderr = tokio::spawn(said(stderr, mark.clone()));
        let opening = async {
            // A login shell that ends at once reads nothing.
            let _ = stdin.write_all(&line).await;
            after_the_mark(stdout, &mark).await
        };
        let (process, stdout) = match tokio::time::timeout_at(limit.deadline, opening).await {
            Ok(Ok(behind)) => behind,
            Ok(Err(silence)) => {
                drop(stdin);
                // What it ended with is told by then, or never.
                let patience = Duration::from_secs(2);
                let said = tokio::time::timeout(patience, stderr).await.ok().and_then(Result::ok);
                return Err(self.no_mark(&master, silence, said.unwrap_or_default(), &limit).await);
            }
            Err(_) => return Err(limit.passed()),
        };
        let ssh = self.clone();
        let on = Arc::clone(&master);
        let hold = Hold::new(&self.shared.ends, async move { ssh.end_on(&on, process).await });
        let lost = limit.clone();
        let ending = Box::pin(async move {
            // In this order: the code comes before the last of the output, and once it is told, the client's session is
            // dropped, with which `ssh` throws away what of the output is still on its way.
            let said = stderr.await.unwrap_or_default();
            let status = child.wait().await;
            drop(place);
            let status = match status {
                Ok(status) => status.code().and_then(|code| u8::try_from(code).ok()).map(Status::Exited),
                // The crate makes an error of this code.
                Err(openssh::Error::Remote(_)) => Some(Status::Exited(127)),
                Err(_) => None,
            };
            match status {
                Some(status) => Ok((status, said.tail.into_bytes())),
                // Without a code it was killed, or there is nobody left to tell.
                None if master.answers().await => Ok((Status::Killed, said.tail.into_bytes())),
                None => Err(lost.lost()),
            }
        });
        Ok(Running::new(stdin, stdout, ending, hold, limit))
    }

    /// A session of the connection, connecting where there is none and waiting where there are too many.
    async fn session<F, T>(&self, limit: &Limit, begin: F) -> Result<(Arc<Master>, Session), Error>
    where
        F: Fn(Arc<Master>) -> T,
        T: Future<Output = Result<Child<Link>, NoSession>>,
    {
        let places = &self.shared.places;
        let mut refused = 0_usize;
        let mut place: Option<Place> = None;
        loop {
            let master = self.shared.connection.master(limit.deadline).await?;
            let taken = match place.take() {
                Some(place) => place,
                None => tokio::time::timeout_at(limit.deadline, places.take())
                    .await
                    .map_err(|_| limit.passed())?,
            };
            match tokio::time::timeout_at(limit.deadline, begin(Arc::clone(&master))).await {
                Ok(Ok(child)) => {
                    let place = Some(taken.open());
                    return Ok((master, Session { child, place }));
                }
                Ok(Err(NoSession::Gone)) => {
                    place = Some(taken);
                    self.shared.connection.wait_for_end(&master).await;
                }
                Ok(Err(NoSession::Full)) => {
                    place = taken.refused();
                    if places.all() < sftp::PLACES {
                        self.shared.files.yield_place();
                    }
                    if place.is_some() {
                        // As many were open before: the server has not noticed yet that one has ended.
                        let pause = PAUSES.get(refused).or(PAUSES.last()).copied().unwrap_or(500);
                        refused += 1;
                        let pause = Duration::from_millis(pause);
                        if Instant::now() + pause >= limit.deadline {
                            return Err(self.refusal(ConnectKind::Sessions, "no session is allowed").into());
                        }
                        tokio::time::sleep(pause).await;
                    }
                }
                Err(_) => return Err(limit.passed()),
            }
        }
    }

    async fn no_mark(&self, master: &Master, silence: Silence, said: Said, limit: &Limit) -> Error {
        let (what, noise) = match silence {
            Silence::Ended(noise) if !master.answers().await => {
                drop(noise);
                return limit.lost();
            }
            Silence::Ended(noise) => ("ends without running a command", noise),
            Silence::Endless(noise) => ("says more than 1 MiB and runs no command", noise),
            Silence::Unreadable(_) => return limit.lost(),
        };
        let words = [noise.last_words(), said.tail.last_words()];
        let words: Vec<String> = words.into_iter().filter(|words| !words.is_empty()).collect();
        let words = words.join("; ");
        let words: String = words.chars().take(300).flat_map(char::escape_debug).collect();
        let end =
            if words.is_empty() { "without a word".to_owned() } else { format!("and says last: {words}") };
        self.refusal(ConnectKind::LoginShell, &format!("the login shell there {what}, {end}")).into()
    }

    fn refusal(&self, kind: ConnectKind, reason: &str) -> Refusal {
        let options = &self.shared.options;
        let evidence =
            Evidence { host: &options.host, config: options.config.as_deref(), ..Evidence::default() };
        diagnosis::refusal(kind, reason, &evidence)
    }

    /// Ends a process there by another session of the same connection. Without that connection nothing can be done.
    async fn end_on(&self, master: &Arc<Master>, process: u32) {
        let Ok(line) = Command::shell(END).arg(process.to_string()).line("end") else { return };
        for pause in PAUSES {
            match begin(Arc::clone(master), Kind::Shell).await {
                Ok(mut child) => {
                    if let Some(mut stdin) = child.stdin().take() {
                        let _ = stdin.write_all(&line).await;
                    }
                    // Whatever it says: an answer that nobody reads would hold it up.
                    let pipes = (child.stdout().take(), child.stderr().take());
                    if let (Some(mut stdout), Some(mut stderr)) = pipes {
                        let (mut one, mut other) = (tokio::io::sink(), tokio::io::sink());
                        let _ = tokio::join!(
                            tokio::io::copy(&mut stdout, &mut one),
                            tokio::io::copy(&mut stderr, &mut other)
                        );
                    }
                    let _ = child.wait().await;
                    return;
                }
                Err(NoSession::Gone) => return,
                Err(NoSession::Full) => tokio::time::sleep(Duration::from_millis(pause)).await,
            }
        }
        tracing::warn!(host = %self.name(), process, "no session is left to end a command by: it may still run");
    }

    pub(super) async fn close(&self) {
        self.shared.ends.done().await;
        self.shared.files.close().await;
        self.shared.connection.close().await;
    }
}

/// What a session is for.
#[derive(Debug, Clone, Copy)]
enum Kind {
    /// A command.
    Shell,
    /// Files.
    Sftp,
}

async fn begin(master: Arc<Master>, kind: Kind) -> Result<Child<Link>, NoSession> {
    let mut command = match kind {
        Kind::Shell => openssh::Session::to_raw_command(Link(master), BOOTSTRAP),
        Kind::Sftp => openssh::Session::to_subsystem(Link(master), "sftp"),
    };
    let child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().await;
    child.map_err(|error| match error {
        openssh::Error::SshMux(error) if error.to_string().contains("refused") => NoSession::Full,
        _ => NoSession::Gone,
    })
}
