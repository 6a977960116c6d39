//! Stands between a program and a server, and does to their connection what networks do.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::{Result, Trouble};

/// A port of 127.0.0.1 that leads to another one. Its connections are closed when it is dropped.
#[derive(Debug)]
pub struct Relay {
    port: u16,
    state: Arc<Mutex<State>>,
}

/// What is done to a connection when its client has sent a certain text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The text never arrives: the connection is closed instead.
    LosesTheRequest,
    /// The server does what it was asked and answers, and the connection is closed instead.
    LosesTheAnswer,
    /// The text arrives, but nothing comes back any more, and the connection stays open.
    FallsSilent,
}

#[derive(Debug, Default)]
struct State {
    plan: Option<Plan>,
    ended: bool,
    connections: Vec<TcpStream>,
}

#[derive(Debug)]
struct Plan {
    text: &'static [u8],
    fault: Fault,
    times: usize,
}

impl Relay {
    /// Leads to `port`, changing nothing until it is told to.
    ///
    /// # Errors
    /// No port is free.
    pub fn to(port: u16) -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
            .map_err(Trouble::doing("take a port of 127.0.0.1"))?;
        let own = listener.local_addr().map_err(Trouble::doing("ask for a port's number"))?.port();
        let state = Arc::<Mutex<State>>::default();
        let shared = Arc::clone(&state);
        std::thread::spawn(move || {
            for client in listener.incoming().map_while(std::io::Result::ok) {
                if locked(&shared).ended {
                    return;
                }
                if let Ok(server) = TcpStream::connect((Ipv4Addr::LOCALHOST, port)) {
                    let _ = join(&client, &server, &shared);
                }
            }
        });
        Ok(Self { port: own, state })
    }

    /// The port to connect to instead of the server's.
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// From now on, the next so many connections on which `text` is sent are treated so.
    pub fn on(&self, text: &'static [u8], fault: Fault, times: usize) {
        locked(&self.state).plan = Some(Plan { text, fault, times });
    }

    /// How often that is still to happen.
    pub fn left(&self) -> usize {
        locked(&self.state).plan.as_ref().map_or(0, |plan| plan.times)
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        let mut state = locked(&self.state);
        state.ended = true;
        for connection in &state.connections {
            let _ = connection.shutdown(Shutdown::Both);
        }
        drop(state);
        // The thread that accepts sees the end at the next connection.
        let _ = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port));
    }
}

fn locked(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Copies in both directions, each in a thread of its own.
fn join(client: &TcpStream, server: &TcpStream, state: &Arc<Mutex<State>>) -> std::io::Result<()> {
    let fault = Arc::<Mutex<Option<Fault>>>::default();
    let (mut from, mut to) = (client.try_clone()?, server.try_clone()?);
    let (mut back_from, mut back_to) = (server.try_clone()?, client.try_clone()?);
    locked(state).connections.extend([client.try_clone()?, server.try_clone()?]);
    let (state, seen) = (Arc::clone(state), Arc::clone(&fault));
    std::thread::spawn(move || {
        let mut tail = Vec::new();
        copy(&mut from, &mut to, |bytes| {
            let mut state = locked(&state);
            let Some(plan) = state.plan.as_mut().filter(|plan| plan.times > 0) else { return Way::On };
            tail.extend_from_slice(bytes);
            if !tail.windows(plan.text.len()).any(|window| window == plan.text) {
                tail.drain(..tail.len().saturating_sub(plan.text.len()));
                return Way::On;
            }
            tail.clear();
            plan.times -= 1;
            *seen.lock().unwrap_or_else(PoisonError::into_inner) = Some(plan.fault);
            if plan.fault == Fault::LosesTheRequest { Way::Close } else { Way::On }
        });
    });
    std::thread::spawn(move || {
        copy(&mut back_from, &mut back_to, |bytes| {
            match *fault.lock().unwrap_or_else(PoisonError::into_inner) {
                None => Way::On,
                Some(Fault::FallsSilent) => Way::Swallow,
                // `ReadyForQuery` after the answer: whatever was asked has been done.
                Some(_) if bytes.ends_with(b"Z\0\0\0\x05I") => Way::Close,
                Some(_) => Way::Swallow,
            }
        });
    });
    Ok(())
}

enum Way {
    On,
    Swallow,
    Close,
}

fn copy(from: &mut TcpStream, to: &mut TcpStream, mut decide: impl FnMut(&[u8]) -> Way) {
    let mut buffer = [0; 16_384];
    while let Ok(length @ 1..) = from.read(&mut buffer) {
        match decide(&buffer[..length]) {
            Way::On if to.write_all(&buffer[..length]).is_ok() => {}
            Way::Swallow => {}
            Way::On | Way::Close => break,
        }
    }
    for side in [from, to] {
        let _ = side.shutdown(Shutdown::Both);
    }
}
