//! Connections: a pool for statements, and one alone for notifications.
//!
//! Invariants: no attempt to connect outlasts its deadline, whatever the server does, from the name to the last message
//! of authentication; what a session needs is said when it begins, so that it costs no round trip; a connection that
//! has ended is replaced. What is tried in which order, encrypted or not, is what libpq would.

use std::future::Future;
use std::net::IpAddr;
use std::time::Duration;

use deadpool::Runtime;
use deadpool::managed::{self, Metrics, RecycleError, RecycleResult};
use deadpool_postgres::ClientWrapper;
use futures_util::StreamExt as _;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout_at};
use tokio_postgres::tls::MakeTlsConnect;
use tokio_postgres::{AsyncMessage, Client, Config, SimpleQueryMessage, Socket};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::tls;
use crate::log::Limits;
use crate::url::{ChannelBinding, Place, PostgresUrl, Server, SessionAttributes, SslMode};

mod error;

pub use error::{ConnectError, Endpoint};

/// Connections to one database.
pub type Pool = managed::Pool<Connector>;

/// A connection of a [`Pool`].
pub type Object = managed::Object<Connector>;

/// What a [`Pool`] says when it gives no connection.
pub type PoolError = managed::PoolError<ConnectError>;

type Connection = tokio_postgres::Connection<Socket, <MakeRustlsConnect as MakeTlsConnect<Socket>>::Stream>;

/// Our name in `pg_stat_activity`.
const APPLICATION_NAME: &str = "biomero-processor";

/// The kernel's own two hours would keep a session alive whose server is gone.
const KEEPALIVE_IDLE: Duration = Duration::from_secs(30);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(10);
const KEEPALIVE_COUNT: u32 = 3;

/// A pool of connections to the database of a URL; none is made yet.
///
/// # Errors
/// What the URL says cannot be done: a certificate cannot be read, or nobody knows which user to be.
pub fn pool(url: &PostgresUrl, limits: &Limits) -> Result<Pool, ConnectError> {
    Pool::builder(Connector::new(url, *limits)?)
        .max_size(limits.connections.max(1))
        .wait_timeout(Some(limits.command))
        .runtime(Runtime::Tokio1)
        .build()
        .map_err(|error| ConnectError::Pool { reason: error.to_string() })
}

/// A connection of its own, outside of the pool, and what it hears. It is closed when the client is dropped.
///
/// # Errors
/// As for every connection.
pub async fn listener(pool: &Pool) -> Result<(Client, Notifications), ConnectError> {
    let (client, mut connection) = pool.manager().open().await?;
    let (wake, woken) = mpsc::channel(1);
    let task = tokio::spawn(async move {
        let mut messages = futures_util::stream::poll_fn(move |context| connection.poll_message(context));
        while let Some(message) = messages.next().await {
            match message {
                // A full channel is a wake-up that has not been seen yet, which stands for this one as well.
                Ok(AsyncMessage::Notification(_)) => drop(wake.try_send(())),
                Ok(_) => {}
                Err(error) => return Some(error),
            }
        }
        None
    });
    Ok((client, Notifications { woken, task: Some(task) }))
}

/// That there were notifications; how many and with which payload is not told: whoever is woken looks at the log.
#[derive(Debug)]
pub struct Notifications {
    woken: mpsc::Receiver<()>,
    task: Option<JoinHandle<Option<tokio_postgres::Error>>>,
}

impl Notifications {
    /// Waits for the next one, or takes the one that has come since the last. Dropped while it waits, it loses none.
    ///
    /// # Errors
    /// The connection has ended; none if that was by its own client.
    pub async fn next(&mut self) -> Result<(), Option<tokio_postgres::Error>> {
        if self.woken.recv().await.is_some() {
            return Ok(());
        }
        match self.task.take() {
            Some(task) => Err(task.await.ok().flatten()),
            None => Err(None),
        }
    }
}

/// Makes the connections of a pool.
#[derive(Debug)]
pub struct Connector {
    url: PostgresUrl,
    user: String,
    database: String,
    limits: Limits,
    tls: Tls,
}

/// How it encrypts; it has nothing to show.
struct Tls(MakeRustlsConnect);

impl std::fmt::Debug for Tls {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Tls")
    }
}

/// Whether one attempt is encrypted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Encryption {
    Never,
    IfOffered,
    Always,
}

impl Connector {
    fn new(url: &PostgresUrl, limits: Limits) -> Result<Self, ConnectError> {
        let user = url.user().ok_or(ConnectError::NoUser)?.to_owned();
        let database = url.database().unwrap_or(&user).to_owned();
        Ok(Self { tls: Tls(tls::connector(url)?), url: url.clone(), user, database, limits })
    }

    fn endpoint(&self, server: &Server) -> Box<Endpoint> {
        Box::new(Endpoint {
            server: server.to_string(),
            database: self.database.clone(),
            user: self.user.clone(),
        })
    }

    /// Connects to the first server that will have us. As with libpq, one that answers and says no is the last asked.
    async fn open(&self) -> Result<(Client, Connection), ConnectError> {
        let limit = self.url.connect_timeout.unwrap_or(self.limits.connect);
        let mut failures = Vec::new();
        for server in self.url.servers() {
            match self.server(&server, limit).await {
                Ok(opened) => return Ok(opened),
                Err(error) if error.another_server_may_do() => failures.push(error),
                Err(error) => return Err(error),
            }
        }
        match failures.pop() {
            Some(only) if failures.is_empty() => Err(only),
            last => {
                failures.extend(last);
                Err(ConnectError::Several(failures))
            }
        }
    }

    async fn server(&self, server: &Server, limit: Duration) -> Result<(Client, Connection), ConnectError> {
        let deadline = Instant::now() + limit;
        let late = || ConnectError::Deadline { at: self.endpoint(server), limit };
        let Place::Tcp(host) = &server.place else {
            return within(deadline, late, self.attempt(server, None, Encryption::Never)).await;
        };
        let unresolvable = |reason: String| ConnectError::Unresolvable { at: self.endpoint(server), reason };
        let addresses: Vec<IpAddr> =
            match timeout_at(deadline, tokio::net::lookup_host((host.as_str(), server.port))).await {
                Ok(found) => found
                    .map_err(|error| unresolvable(error.to_string()))?
                    .map(|address| address.ip())
                    .collect(),
                Err(_) => return Err(unresolvable(format!("no answer within {} s", limit.as_secs_f32()))),
            };
        let mut last = unresolvable("it has no address".to_owned());
        let mut left = u32::try_from(addresses.len()).unwrap_or(u32::MAX);
        for address in addresses {
            // An address that never answers leaves the others their share.
            let share = Instant::now() + deadline.saturating_duration_since(Instant::now()) / left.max(1);
            left = left.saturating_sub(1);
            match within(share, late, self.encrypted(server, address)).await {
                Err(error) if error.another_server_may_do() => last = error,
                answered => return answered,
            }
        }
        Err(last)
    }

    /// The attempts that libpq's `sslmode` stands for. A second one is made where the first failed by encryption, or
    /// where `pg_hba.conf` may have another line for it. Other than with libpq, a wrong password is not tried twice: no
    /// line of that file would make it right.
    async fn encrypted(
        &self,
        server: &Server,
        address: IpAddr,
    ) -> Result<(Client, Connection), ConnectError> {
        let (first, second) = match self.url.ssl_mode() {
            SslMode::Disable => (Encryption::Never, None),
            SslMode::Allow => (Encryption::Never, Some(Encryption::Always)),
            SslMode::Prefer => (Encryption::IfOffered, Some(Encryption::Never)),
            SslMode::Require | SslMode::VerifyCa | SslMode::VerifyFull => (Encryption::Always, None),
        };
        let error = match self.attempt(server, Some(address), first).await {
            Err(error) => error,
            opened => return opened,
        };
        let Some(second) = second.filter(|_| error.depends_on_encryption()) else {
            return Err(error);
        };
        match self.attempt(server, Some(address), second).await {
            Err(again) if again.depends_on_encryption() => Err(error),
            answered => answered,
        }
    }

    async fn attempt(
        &self,
        server: &Server,
        address: Option<IpAddr>,
        encryption: Encryption,
    ) -> Result<(Client, Connection), ConnectError> {
        let config = self.config(server, address, encryption);
        let failed = |error| ConnectError::new(self.endpoint(server), error);
        let (client, mut connection) = config.connect(self.tls.0.clone()).await.map_err(failed)?;
        if let Some(wanted) = self.url.session.filter(|wanted| *wanted != SessionAttributes::Any) {
            let question = client.simple_query(SESSION);
            let mut question = std::pin::pin!(question);
            // The connection is not anybody's task yet: it works only while it is polled here.
            let answer = std::future::poll_fn(|context| {
                if let std::task::Poll::Ready(ended) = std::pin::Pin::new(&mut connection).poll(context) {
                    return std::task::Poll::Ready(ended.map(|()| Vec::new()));
                }
                question.as_mut().poll(context)
            });
            let answer = answer.await.map_err(failed)?;
            if !suits(wanted, &answer) {
                return Err(ConnectError::Session { at: self.endpoint(server), wanted });
            }
        }
        Ok((client, connection))
    }

    fn config(&self, server: &Server, address: Option<IpAddr>, encryption: Encryption) -> Config {
        let url = &self.url;
        let mut config = Config::new();
        match &server.place {
            Place::Tcp(host) => config.host(host),
            Place::Unix(folder) => config.host_path(folder),
        };
        if let Some(address) = address {
            config.hostaddr(address);
        }
        config
            .port(server.port)
            .user(&self.user)
            .dbname(&self.database)
            .application_name(url.application_name.as_deref().unwrap_or(APPLICATION_NAME))
            .options(self.session())
            .ssl_mode(match encryption {
                Encryption::Never => tokio_postgres::config::SslMode::Disable,
                Encryption::IfOffered => tokio_postgres::config::SslMode::Prefer,
                Encryption::Always => tokio_postgres::config::SslMode::Require,
            })
            .channel_binding(match url.channel_binding.unwrap_or(ChannelBinding::Prefer) {
                ChannelBinding::Disable => tokio_postgres::config::ChannelBinding::Disable,
                ChannelBinding::Prefer => tokio_postgres::config::ChannelBinding::Prefer,
                ChannelBinding::Require => tokio_postgres::config::ChannelBinding::Require,
            })
            .keepalives(url.keepalives.unwrap_or(true))
            .keepalives_idle(url.keepalives_idle.unwrap_or(KEEPALIVE_IDLE))
            .keepalives_interval(url.keepalives_interval.unwrap_or(KEEPALIVE_INTERVAL))
            .keepalives_retries(url.keepalives_count.unwrap_or(KEEPALIVE_COUNT))
            .tcp_user_timeout(url.tcp_user_timeout.unwrap_or(self.limits.statement));
        if let Some(password) = url.password(server) {
            config.password(password.reveal());
        }
        config
    }

    /// What the session begins with. The URL's own options come last: of two settings the last one counts.
    fn session(&self) -> String {
        let milliseconds =
            |limit: Duration| limit.as_millis().min(i32::MAX.unsigned_abs().into()).to_string();
        let mut options = String::new();
        for (name, value) in [
            ("statement_timeout", Some(milliseconds(self.limits.statement))),
            ("lock_timeout", Some(milliseconds(self.limits.lock))),
            ("idle_in_transaction_session_timeout", Some(milliseconds(self.limits.statement))),
            // What is asked is asked often and of few rows: one plan each, made once a connection.
            ("plan_cache_mode", Some("force_generic_plan".to_owned())),
            ("TimeZone", self.url.time_zone.clone()),
        ] {
            if let Some(value) = value {
                options.push_str(&format!("-c {name}={} ", escaped(&value)));
            }
        }
        options.push_str(self.url.options.as_deref().unwrap_or_default());
        options
    }
}

impl managed::Manager for Connector {
    type Type = ClientWrapper;
    type Error = ConnectError;

    async fn create(&self) -> Result<ClientWrapper, ConnectError> {
        let (client, connection) = self.open().await?;
        let task = tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::warn!("a connection to PostgreSQL has ended: {}", super::error::reason(&error));
            }
        });
        Ok(ClientWrapper::new(client, task))
    }

    /// Looks whether it is known to have ended. To ask it would cost each command a round trip (40 µs on one machine,
    /// against 4 µs for this), and could not tell of a server that goes away right after it. A command that meets a dead
    /// connection is repeated on a new one; who does not repeat asks first.
    async fn recycle(&self, client: &mut ClientWrapper, _: &Metrics) -> RecycleResult<ConnectError> {
        if client.is_closed() {
            return Err(RecycleError::message("it has ended"));
        }
        Ok(())
    }
}

async fn within<T>(
    deadline: Instant,
    late: impl FnOnce() -> ConnectError,
    attempt: impl Future<Output = Result<T, ConnectError>>,
) -> Result<T, ConnectError> {
    timeout_at(deadline, attempt).await.unwrap_or_else(|_| Err(late()))
}

const SESSION: &str =
    "SELECT pg_catalog.pg_is_in_recovery(), pg_catalog.current_setting('default_transaction_read_only')";

/// Whether a session is what `target_session_attrs` wants: a standby reads only, whatever its transactions say.
fn suits(wanted: SessionAttributes, answer: &[SimpleQueryMessage]) -> bool {
    let row = answer.iter().find_map(|message| match message {
        SimpleQueryMessage::Row(row) => Some((row.get(0) == Some("t"), row.get(1) == Some("on"))),
        _ => None,
    });
    let Some((standby, reads_only)) = row else { return false };
    match wanted {
        SessionAttributes::Any => true,
        SessionAttributes::ReadWrite => !standby && !reads_only,
        SessionAttributes::ReadOnly => standby || reads_only,
        SessionAttributes::Primary => !standby,
        SessionAttributes::Standby => standby,
    }
}

/// The value of a start-up option, whose words end at a space that no backslash precedes.
fn escaped(value: &str) -> String {
    let mut text = String::new();
    for letter in value.chars() {
        if letter == '\\' || letter.is_whitespace() {
            text.push('\\');
        }
        text.push(letter);
    }
    text
}
