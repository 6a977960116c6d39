//! Asking GitHub for a file.
//!
//! Invariants: one question takes no longer than its time-out, all of one workflow no longer than the deadline; an answer
//! beyond the limit is not read further; certificates are checked against the machine's own authorities.

use std::sync::Arc;
use std::time::{Duration, Instant};

use thiserror::Error;
use ureq::http::StatusCode;
use ureq::tls::{Certificate, RootCerts, TlsConfig};
use ureq::{Agent, Proxy};

use crate::descriptor;

/// How files are fetched.
#[derive(Clone)]
pub struct FetchOptions {
    /// What stands for `https://github.com`.
    pub base: String,
    /// How long one question may take.
    pub timeout: Duration,
    /// How long all questions of one workflow may take.
    pub deadline: Duration,
    /// How often a question is asked that had no answer, or a server's error.
    pub attempts: u32,
    /// How long to wait before the second attempt; twice as long before each further one.
    pub pause: Duration,
    /// The proxy, as `HTTPS_PROXY` has it. It may hold a password.
    pub proxy: Option<String>,
    /// Hosts that are asked without it, as `NO_PROXY` has them.
    pub no_proxy: Option<String>,
}

impl std::fmt::Debug for FetchOptions {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("FetchOptions")
            .field("base", &self.base)
            .field("proxied", &self.proxy.is_some())
            .finish_non_exhaustive()
    }
}

impl Default for FetchOptions {
    fn default() -> Self {
        Self {
            base: "https://github.com".to_owned(),
            timeout: Duration::from_secs(15),
            deadline: Duration::from_secs(60),
            attempts: 3,
            pause: Duration::from_millis(500),
            proxy: None,
            no_proxy: None,
        }
    }
}

impl FetchOptions {
    /// With the proxies that the environment names, in small or capital letters.
    #[must_use]
    pub fn of(environment: &biomero_config::Environment) -> Self {
        let variable = |names: &[&str]| {
            let value =
                |name: &&str| environment.get(name).filter(|value| !value.is_empty()).map(str::to_owned);
            names.iter().find_map(value)
        };
        Self {
            proxy: variable(&["https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"]),
            no_proxy: variable(&["no_proxy", "NO_PROXY"]),
            ..Self::default()
        }
    }
}

/// Why a file could not be fetched.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum FetchError {
    /// GitHub has had enough questions from here.
    #[error(
        "GitHub does not answer any more questions from here for now (HTTP {status} for {link}); wait a few minutes"
    )]
    RateLimited {
        /// The link.
        link: String,
        /// 403 or 429.
        status: u16,
    },
    /// The server said something else.
    #[error("{link} answers HTTP {status}; check the link")]
    Status {
        /// The link.
        link: String,
        /// What it said.
        status: u16,
    },
    /// There was no answer.
    #[error("{link} cannot be fetched: {reason}; check the network, and HTTPS_PROXY if there is a proxy")]
    NoAnswer {
        /// The link.
        link: String,
        /// Why.
        reason: String,
    },
    /// The certificate is not good.
    #[error(
        "{link} cannot be fetched: {reason}; check the machine's certificates (ca-certificates, SSL_CERT_FILE)"
    )]
    Certificate {
        /// The link.
        link: String,
        /// Why.
        reason: String,
    },
    /// It is no descriptor.
    #[error("{link} is larger than 1 MiB, so it is no descriptor; check the link")]
    TooLarge {
        /// The link.
        link: String,
    },
    /// The proxy makes no sense.
    #[error("HTTPS_PROXY is no proxy; write http://HOST:PORT")]
    Proxy,
}

impl FetchError {
    /// Whether it may be otherwise later.
    pub(super) const fn is_passing(&self) -> bool {
        match self {
            Self::RateLimited { .. } | Self::NoAnswer { .. } | Self::Certificate { .. } => true,
            Self::Status { status, .. } => *status >= 500,
            Self::TooLarge { .. } | Self::Proxy => false,
        }
    }
}

/// What a server answered.
#[derive(Debug)]
pub(super) enum Answer {
    /// The file.
    Body { body: Vec<u8>, etag: Option<String> },
    /// It is what it was.
    Unchanged,
    /// There is no such file.
    Absent,
}

/// What asks.
#[derive(Debug)]
pub(super) struct Fetcher {
    agent: Agent,
    options: FetchOptions,
}

impl Fetcher {
    pub(super) fn new(options: FetchOptions) -> Result<Self, FetchError> {
        let is_encrypted = options.base.starts_with("https:");
        // What cannot be read is passed over: a machine's store may hold relics.
        let roots: Vec<Certificate<'static>> = if is_encrypted {
            let found = rustls_native_certs::load_native_certs();
            found.certs.iter().map(|certificate| Certificate::from_der(certificate).to_owned()).collect()
        } else {
            Vec::new()
        };
        let tls = TlsConfig::builder()
            .root_certs(RootCerts::Specific(Arc::new(roots)))
            .unversioned_rustls_crypto_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .build();
        let agent = Agent::config_builder()
            .tls_config(tls)
            .proxy(proxy(&options)?)
            .https_only(is_encrypted)
            .http_status_as_error(false)
            .max_redirects(5)
            .timeout_global(Some(options.timeout))
            .user_agent(concat!("biomero/", env!("CARGO_PKG_VERSION")))
            .build()
            .new_agent();
        Ok(Self { agent, options })
    }

    /// The link of a path.
    pub(super) fn link(&self, path: &str) -> String {
        format!("{}{path}", self.options.base)
    }

    /// Begins to ask for one workflow: the deadline counts from here.
    pub(super) fn question(&self) -> Question<'_> {
        Question { fetcher: self, until: Instant::now() + self.options.deadline }
    }
}

fn proxy(options: &FetchOptions) -> Result<Option<Proxy>, FetchError> {
    let Some(text) = &options.proxy else { return Ok(None) };
    let named = Proxy::new(text).map_err(|_| FetchError::Proxy)?;
    let mut builder = Proxy::builder(named.protocol()).host(named.host()).port(named.port());
    if let Some(user) = named.username() {
        builder = builder.username(user);
    }
    if let Some(password) = named.password() {
        builder = builder.password(password);
    }
    for host in options.no_proxy.iter().flat_map(|hosts| hosts.split(',')).map(str::trim) {
        if !host.is_empty() {
            builder = builder.no_proxy(host);
        }
    }
    builder.build().map(Some).map_err(|_| FetchError::Proxy)
}

/// The questions of one workflow.
pub(super) struct Question<'a> {
    fetcher: &'a Fetcher,
    until: Instant,
}

impl Question<'_> {
    /// Asks for a file, again where there was no answer.
    pub(super) fn get(&mut self, path: &str, etag: Option<&str>) -> Result<Answer, FetchError> {
        let options = &self.fetcher.options;
        let link = self.fetcher.link(path);
        let mut pause = options.pause;
        let mut attempt = 1;
        loop {
            let left = self.until.saturating_duration_since(Instant::now());
            let outcome = if left.is_zero() {
                Err(FetchError::NoAnswer {
                    link: link.clone(),
                    reason: "there was no answer in time".to_owned(),
                })
            } else {
                self.fetcher.once(&link, etag, left.min(options.timeout))
            };
            let error = match outcome {
                Ok(answer) => return Ok(answer),
                Err(error) => error,
            };
            let is_again = match &error {
                FetchError::NoAnswer { .. } => true,
                FetchError::Status { status, .. } => *status >= 500,
                _ => false,
            };
            let left = self.until.saturating_duration_since(Instant::now());
            if !is_again || attempt >= options.attempts || left <= pause {
                return Err(error);
            }
            tracing::debug!(%link, %error, "asking again");
            std::thread::sleep(pause);
            pause = pause.saturating_mul(2);
            attempt += 1;
        }
    }
}

impl Fetcher {
    fn once(&self, link: &str, etag: Option<&str>, timeout: Duration) -> Result<Answer, FetchError> {
        let wrong = |error: ureq::Error| of(link, &error);
        let mut request = self.agent.get(link).config().timeout_global(Some(timeout)).build();
        if let Some(etag) = etag {
            request = request.header("If-None-Match", etag);
        }
        let mut response = request.call().map_err(wrong)?;
        let status = response.status();
        match status {
            StatusCode::OK => {
                let etag =
                    response.headers().get("etag").and_then(|etag| etag.to_str().ok()).map(str::to_owned);
                let limit = descriptor::LARGEST as u64;
                let body = response.body_mut().with_config().limit(limit).read_to_vec().map_err(wrong)?;
                Ok(Answer::Body { body, etag })
            }
            StatusCode::NOT_MODIFIED if etag.is_some() => Ok(Answer::Unchanged),
            StatusCode::NOT_FOUND | StatusCode::GONE => Ok(Answer::Absent),
            StatusCode::FORBIDDEN | StatusCode::TOO_MANY_REQUESTS => {
                Err(FetchError::RateLimited { link: link.to_owned(), status: status.as_u16() })
            }
            _ => Err(FetchError::Status { link: link.to_owned(), status: status.as_u16() }),
        }
    }
}

fn of(link: &str, error: &ureq::Error) -> FetchError {
    let link = link.to_owned();
    match error {
        ureq::Error::BodyExceedsLimit(_) => FetchError::TooLarge { link },
        ureq::Error::Rustls(_) | ureq::Error::Tls(_) | ureq::Error::Pem(_) => {
            FetchError::Certificate { link, reason: error.to_string() }
        }
        // Both are hidden in an error of the stream, depending on where they happen.
        ureq::Error::Io(io) if io.to_string().contains("certificate") => {
            FetchError::Certificate { link, reason: io.to_string() }
        }
        ureq::Error::Timeout(_) => {
            FetchError::NoAnswer { link, reason: "there was no answer in time".to_owned() }
        }
        _ => FetchError::NoAnswer { link, reason: error.to_string() },
    }
}
