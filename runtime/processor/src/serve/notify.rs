//! sd_notify(3): one datagram a message, to whoever supervises us and has said where.

use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};

use biomero_config::Environment;

/// Where messages go; nowhere where nobody asked for them.
#[derive(Debug)]
pub(super) struct Notify(Option<(UnixDatagram, SocketAddr)>);

impl Notify {
    /// As `NOTIFY_SOCKET` says: a path, or a name behind an `@`.
    pub(super) fn new(environment: &Environment) -> Self {
        let address = environment.get("NOTIFY_SOCKET").filter(|address| !address.is_empty());
        let reached = address.and_then(|address| {
            let reach = || {
                let address = match address.strip_prefix('@') {
                    Some(name) => SocketAddr::from_abstract_name(name)?,
                    None => SocketAddr::from_pathname(address)?,
                };
                let socket = UnixDatagram::unbound()?;
                // Nobody waits for whoever does not listen.
                socket.set_nonblocking(true)?;
                Ok::<_, std::io::Error>((socket, address))
            };
            reach().inspect_err(|error| tracing::warn!("NOTIFY_SOCKET {address}: {error}")).ok()
        });
        Self(reached)
    }

    /// Nobody asked.
    pub(super) const fn nobody() -> Self {
        Self(None)
    }

    /// Says how we are, in one line.
    pub(super) fn status(&self, status: &impl std::fmt::Display) {
        let lines = status.to_string();
        let line = lines.lines().map(str::trim).collect::<Vec<_>>().join("; ");
        self.say(&format!("STATUS={line}"));
    }

    /// Says it.
    pub(super) fn say(&self, message: &str) {
        if let Some((socket, address)) = &self.0
            && let Err(error) = socket.send_to_addr(message.as_bytes(), address)
        {
            tracing::debug!("nobody hears {message}: {error}");
        }
    }
}
