//! `biomero-omero` against real software: Debian's `icegridregistry` and `glacier2router`, and behind them the Ice for Python with
//! the few services of OMERO that are called.

mod data;
mod export;
mod faults;
mod import;
mod secure;
mod served;
mod sessions;
mod zarr_line;

use std::time::Duration;

use biomero_config::Secret;
use biomero_omero::{Address, Credentials, Options, Session};
use biomero_tests::blitz::Omero;
use biomero_tests::{Result, Trouble};

/// Runs a test to its end: no call in it may hang.
pub(crate) fn run<T>(test: impl Future<Output = Result<T>>) -> Result<T> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(Trouble::doing("start a runtime"))?;
    let ended = runtime.block_on(async { tokio::time::timeout(Duration::from_secs(100), test).await });
    ended.unwrap_or_else(|_| Err(Trouble::new("the test was not done within 100 s")))
}

pub(crate) fn trouble(error: impl std::fmt::Display) -> Trouble {
    Trouble::new(error.to_string())
}

fn address(omero: &Omero) -> Address {
    Address { host: "127.0.0.1".to_owned(), port: omero.port(), secure: false }
}

fn password(user: &str, password: &str) -> Credentials {
    Credentials::Password { user: user.to_owned(), password: Secret::new(password.to_owned()) }
}

pub(crate) async fn root(omero: &Omero) -> Result<Session> {
    root_with(omero, &Options::default()).await
}

async fn root_with(omero: &Omero, options: &Options) -> Result<Session> {
    let begun = Session::begin(&address(omero), &password("root", "omero"), options).await;
    begun.map_err(|error| Trouble::new(format!("{error}{}", omero.logs())))
}

/// What Blitz has seen.
pub(crate) async fn seen(session: &Session, key: &str) -> Result<String> {
    session.config().await.map_err(trouble)?.get_config_value(key).await.map_err(trouble)
}

/// Waits until Blitz has seen something of this kind.
pub(crate) async fn sees(session: &Session, key: &str, what: impl Fn(&str) -> bool) -> Result<String> {
    let mut last = String::new();
    for _ in 0..600 {
        last = seen(session, key).await?;
        if what(&last) {
            return Ok(last);
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    Err(Trouble::new(format!("Blitz has seen `{last}` of {key}, and nothing else for 30 s")))
}
