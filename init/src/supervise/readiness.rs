//! Probing whether a service is ready, for the ways that need no process: a TCP address, a path.

use std::path::Path;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

/// How long one attempt to connect may take.
const CONNECT_ATTEMPT: Duration = Duration::from_secs(2);

/// Probes closer together than this would only burn processor time.
pub(super) const SHORTEST_INTERVAL: Duration = Duration::from_millis(10);

/// Returns when the address accepts a connection.
pub(super) async fn accepts(address: &str, interval: Duration) {
    while !matches!(timeout(CONNECT_ATTEMPT, TcpStream::connect(address)).await, Ok(Ok(_))) {
        sleep(interval.max(SHORTEST_INTERVAL)).await;
    }
}

/// Returns when the path exists.
pub(super) async fn exists(path: &Path, interval: Duration) {
    while !path.exists() {
        sleep(interval.max(SHORTEST_INTERVAL)).await;
    }
}
