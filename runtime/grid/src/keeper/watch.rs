//! Watching a script until nothing of it is left.

use std::time::Duration;

use nix::errno::Errno;
use nix::sys::signal::Signal;
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;
use tokio::io::AsyncReadExt as _;
use tokio::net::unix::pipe::Receiver;
use tokio::time::{Instant, MissedTickBehavior};

use crate::processes;
use crate::script::{Ended, Limits, Order, Why};

/// How often memory is looked at.
const LOOK: Duration = Duration::from_millis(500);
/// Between two tries to end what keeps starting processes.
const AGAIN: Duration = Duration::from_millis(100);
/// What cannot be ended for so long, not even by KILL, waits for a disk or a network that is gone.
const GIVE_UP: Duration = Duration::from_secs(120);
/// Longer than anything runs.
const FAR: Duration = Duration::from_secs(100 * 366 * 86_400);

/// What is watched, and who may say that it is enough.
pub(super) struct Watch<'a> {
    pub(super) script: Pid,
    pub(super) limits: &'a Limits,
    pub(super) children: tokio::signal::unix::Signal,
    pub(super) told: tokio::signal::unix::Signal,
    pub(super) orders: Receiver,
}

/// How it ended.
pub(super) struct Ending {
    pub(super) ended: Ended,
    pub(super) why: Why,
    pub(super) peak_memory: u64,
    pub(super) problem: Option<String>,
}

/// When what happens next to what is being ended.
struct Deadlines {
    kill: Instant,
    give_up: Instant,
}

impl Watch<'_> {
    /// Until no process of the script is left.
    pub(super) async fn follow(mut self) -> Ending {
        let us = nix::unistd::getpid();
        let began = Instant::now();
        let limit = began + self.limits.time.unwrap_or(FAR).min(FAR);
        let mut look = tokio::time::interval(LOOK);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut deadlines = Deadlines { kill: began + FAR, give_up: began + FAR };
        let mut ended = None;
        let mut peak_memory = 0;
        let mut why: Option<Why> = None;
        let done = |ended: Option<Ended>, why: Option<Why>, peak_memory, problem| Ending {
            ended: ended.unwrap_or(Ended::Unknown),
            why: why.unwrap_or(Why::Over),
            peak_memory,
            problem,
        };
        loop {
            if reap(self.script, &mut ended) {
                return done(ended, why, peak_memory, None);
            }
            let mut order = [0];
            let asked = if ended.is_some() && why.is_none() {
                // What it left in the background ends with it.
                Some(Why::Over)
            } else {
                tokio::select! {
                    _ = self.children.recv() => None,
                    _ = self.told.recv() => Some(Why::Told),
                    read = self.orders.read(&mut order) => match (read, Order::of(order[0])) {
                        (Ok(1), Some(Order::Cancel)) => Some(Why::Cancelled),
                        (Ok(1), Some(Order::Kill)) => Some(Why::Killed),
                        _ => None,
                    },
                    () = tokio::time::sleep_until(limit), if why.is_none() => Some(Why::Time),
                    _ = look.tick(), if why.is_none() => {
                        let has = processes::memory(&processes::below(us), self.limits.memory);
                        peak_memory = peak_memory.max(has);
                        self.limits.memory.is_some_and(|most| has > most).then_some(Why::Memory)
                    }
                    () = tokio::time::sleep_until(deadlines.kill) => {
                        processes::send(us, Signal::SIGKILL);
                        deadlines.kill = Instant::now() + AGAIN;
                        None
                    }
                    () = tokio::time::sleep_until(deadlines.give_up) => {
                        let problem = "processes of it cannot be ended, not even by KILL".to_owned();
                        return done(ended, why, peak_memory, Some(problem));
                    }
                }
            };
            match asked {
                Some(asked) if why.is_none() => {
                    why = Some(asked);
                    self.end(us, asked, &mut deadlines);
                }
                // Who is being ended can still be ended at once.
                Some(Why::Killed) => {
                    if ended.is_none() {
                        why = Some(Why::Killed);
                    }
                    deadlines.kill = Instant::now();
                }
                _ => {}
            }
        }
    }

    fn end(&self, us: Pid, why: Why, deadlines: &mut Deadlines) {
        deadlines.kill = Instant::now();
        deadlines.give_up = deadlines.kill + self.limits.grace.min(FAR) + GIVE_UP;
        // Who takes all of the memory gets no time to take more.
        if !matches!(why, Why::Memory | Why::Killed) {
            processes::send(us, Signal::SIGTERM);
            processes::send(us, Signal::SIGCONT);
            deadlines.kill += self.limits.grace.min(FAR);
        }
    }
}

/// Takes in what has ended; whether nothing is left.
fn reap(script: Pid, ended: &mut Option<Ended>) -> bool {
    loop {
        match waitpid(Pid::from_raw(-1), Some(WaitPidFlag::WNOHANG)) {
            Ok(WaitStatus::Exited(pid, code)) if pid == script => {
                *ended = Some(Ended::Code(u8::try_from(code & 0xff).unwrap_or(u8::MAX)));
            }
            Ok(WaitStatus::Signaled(pid, signal, _)) if pid == script => {
                *ended = Some(Ended::Signal(u8::try_from(signal as i32).unwrap_or(u8::MAX)));
            }
            Ok(WaitStatus::StillAlive) => return false,
            Ok(_) | Err(Errno::EINTR) => {}
            Err(_) => return true,
        }
    }
}
