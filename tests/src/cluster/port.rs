//! Ports for servers that are stopped and started again: outside of the range that the kernel takes for outgoing
//! connections, so that nobody sits on one meanwhile.

use std::net::{Ipv4Addr, TcpListener};
use std::sync::atomic::{AtomicU16, Ordering};

use crate::{Result, Trouble};

/// Linux takes 32768 and above (`net.ipv4.ip_local_port_range`).
const FIRST: u16 = 11_000;
const COUNT: u16 = 21_000;

/// A port of the loopback address that nothing listens on, and that this process has not been given before.
pub(super) fn free() -> Result<u16> {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    // Two processes begin far from each other, whatever their ids are.
    let begin = (std::process::id().wrapping_mul(7919) % u32::from(COUNT)) as u16;
    for _ in 0..COUNT {
        let next = NEXT.fetch_add(1, Ordering::Relaxed);
        let port = FIRST + ((u32::from(begin) + u32::from(next)) % u32::from(COUNT)) as u16;
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return Ok(port);
        }
    }
    Err(Trouble::new(format!("no port of 127.0.0.1 from {FIRST} on is free")))
}
