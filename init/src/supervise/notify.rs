//! `sd_notify`: the socket on which a service says that it is ready, and what its datagrams mean.
//!
//! The socket is an abstract one, so that it works with a read-only root and for any user. Anyone in the network
//! namespace could write to it: a message counts only when the kernel says that its sender is root or the service's own
//! user, who could do anything to the service anyway. The sender's process id is no better a witness: who sends and ends
//! at once, as `systemd-notify` does in a script, is gone when we would look at its process group.

use std::io::{self, IoSliceMut};
use std::os::fd::{AsRawFd as _, OwnedFd};

use nix::sys::socket::{
    self, AddressFamily, ControlMessageOwned, MsgFlags, SockFlag, SockType, UnixAddr, sockopt,
};
use tokio::io::unix::AsyncFd;

use crate::spawn::system;

/// Longer messages are cut: systemd's own limit.
const MOST_BYTES: usize = 4096;

/// Longer status texts are cut.
const MOST_STATUS: usize = 256;

/// What a service said.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Message {
    pub(super) ready: bool,
    pub(super) stopping: bool,
    pub(super) status: Option<String>,
}

/// A message and who sent it, by the kernel's word.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Said {
    pub(super) message: Message,
    pub(super) pid: i32,
    pub(super) uid: u32,
}

/// The receiving end, and the name to hand to the service.
#[derive(Debug)]
pub(super) struct NotifySocket {
    socket: AsyncFd<OwnedFd>,
    name: String,
}

impl NotifySocket {
    /// Opens the socket of one service.
    pub(super) fn open(service: &str) -> io::Result<Self> {
        let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
        let socket = socket::socket(AddressFamily::Unix, SockType::Datagram, flags, None)?;
        // Abstract names end with the network namespace, not with us: our process id alone could be taken.
        let salt = std::hash::BuildHasher::hash_one(&std::hash::RandomState::new(), service) & 0xffff_ffff;
        let name = format!("biomero-init/{}/{salt:08x}/{service}", std::process::id());
        socket::bind(socket.as_raw_fd(), &UnixAddr::new_abstract(name.as_bytes())?)?;
        socket::setsockopt(&socket, sockopt::PassCred, &true)?;
        Ok(Self { socket: system::watch(socket)?, name })
    }

    /// For `NOTIFY_SOCKET`.
    pub(super) fn address(&self) -> String {
        format!("@{}", self.name)
    }

    /// The next message.
    pub(super) async fn receive(&self) -> io::Result<Said> {
        loop {
            let mut ready = self.socket.readable().await?;
            match ready.try_io(|socket| receive_now(socket.get_ref())) {
                Ok(Ok(Some(said))) => return Ok(said),
                Ok(Ok(None)) | Err(_) => {}
                Ok(Err(error)) => return Err(error),
            }
        }
    }
}

/// `None`: a message without credentials, which does not count.
fn receive_now(socket: &OwnedFd) -> io::Result<Option<Said>> {
    let mut bytes = [0; MOST_BYTES];
    let mut space = nix::cmsg_space!(nix::sys::socket::UnixCredentials, [i32; 16]);
    let mut slices = [IoSliceMut::new(&mut bytes)];
    let received = socket::recvmsg::<UnixAddr>(
        socket.as_raw_fd(),
        &mut slices,
        Some(&mut space),
        MsgFlags::MSG_CMSG_CLOEXEC | MsgFlags::MSG_DONTWAIT,
    )?;
    let mut sender = None;
    for control in received.cmsgs()? {
        match control {
            ControlMessageOwned::ScmCredentials(credentials) => sender = Some(credentials),
            // Descriptors are not asked for; what is not closed stays open for ever.
            ControlMessageOwned::ScmRights(descriptors) => {
                for descriptor in descriptors {
                    let _ = nix::unistd::close(descriptor);
                }
            }
            _ => {}
        }
    }
    let length = received.bytes;
    Ok(sender.map(|sender| Said { message: parse(&bytes[..length]), pid: sender.pid(), uid: sender.uid() }))
}

/// Reads `KEY=VALUE` lines; what is not known is left alone, as the protocol asks.
fn parse(bytes: &[u8]) -> Message {
    let mut message = Message::default();
    for line in bytes.split(|&byte| byte == b'\n') {
        let line = String::from_utf8_lossy(line);
        match line.split_once('=') {
            Some(("READY", "1")) => message.ready = true,
            Some(("STOPPING", "1")) => message.stopping = true,
            Some(("STATUS", text)) => {
                let clean =
                    text.chars().map(|character| if character.is_control() { ' ' } else { character });
                message.status = Some(clean.take(MOST_STATUS).collect());
            }
            _ => {}
        }
    }
    message
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_s_known_lines_count_and_the_rest_is_left_alone() {
        let message = |ready, stopping, status: Option<&str>| Message {
            ready,
            stopping,
            status: status.map(Into::into),
        };
        for (text, expected) in [
            (&b"READY=1"[..], message(true, false, None)),
            (b"READY=1\nSTATUS=up\x1b[31m\nMAINPID=4\n", message(true, false, Some("up [31m"))),
            (b"STOPPING=1\n", message(false, true, None)),
            (b"READY=0\nready=1\n=\n\xff\xfe", message(false, false, None)),
            (b"", message(false, false, None)),
        ] {
            assert_eq!(parse(text), expected, "{:?}", String::from_utf8_lossy(text));
        }
        let long = format!("STATUS={}", "x".repeat(4000));
        assert_eq!(parse(long.as_bytes()).status.map(|status| status.len()), Some(MOST_STATUS));
    }
}
