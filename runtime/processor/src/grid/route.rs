//! By which address of this machine the master is reached: the one by which it reaches us.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use thiserror::Error;
use tokio::net::{UdpSocket, lookup_host};
use tokio::time::Instant;

/// Between two tries: a master's name may come with the master.
const AGAIN: Duration = Duration::from_secs(1);

/// Why it is not known.
#[derive(Debug, Error)]
#[error(
    "nobody knows by which address {host} reaches this machine: {problem}; check that name and the network, or set processor.address"
)]
pub(crate) struct RouteError {
    host: String,
    problem: String,
}

/// The address, tried again until the deadline.
pub(super) async fn towards(host: &str, port: u16, deadline: Duration) -> Result<String, RouteError> {
    let end = Instant::now() + deadline;
    let wrong = |problem: String| RouteError { host: host.to_owned(), problem };
    loop {
        let problem = match tokio::time::timeout_at(end, of(host, port)).await {
            Ok(Ok(address)) => return Ok(address),
            Ok(Err(error)) => error.to_string(),
            Err(_) => return Err(wrong(format!("its name does not resolve in {} s", deadline.as_secs()))),
        };
        if Instant::now() + AGAIN >= end {
            return Err(wrong(problem));
        }
        tracing::debug!("{}", wrong(problem));
        tokio::time::sleep(AGAIN).await;
    }
}

/// A datagram's socket is told where it would send to, and the system chooses the address. Nothing is sent.
async fn of(host: &str, port: u16) -> std::io::Result<String> {
    let mut problem = std::io::Error::other("it has no address");
    for address in lookup_host((host, port)).await? {
        let ours: SocketAddr = match address {
            SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
            SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
        };
        let asked = async {
            let socket = UdpSocket::bind(ours).await?;
            socket.connect(address).await?;
            socket.local_addr()
        };
        match asked.await {
            Ok(ours) => return Ok(ours.ip().to_string()),
            Err(error) => problem = error,
        }
    }
    Err(problem)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_master_on_this_machine_reaches_us_by_loopback() {
        assert_eq!(
            towards("127.0.0.1", 4061, Duration::from_secs(5)).await.ok().as_deref(),
            Some("127.0.0.1")
        );
    }

    #[tokio::test]
    async fn a_name_that_there_is_not_is_told_with_the_remedy() {
        let error = towards("nowhere.invalid", 4061, Duration::from_millis(10))
            .await
            .map_err(|error| error.to_string());
        assert!(
            error
                .as_ref()
                .is_err_and(|text| text.contains("nowhere.invalid") && text.contains("processor.address")),
            "{error:?}"
        );
    }
}
