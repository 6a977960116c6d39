//! When to say that this end lives, and when to believe that the other does not ("Active Connection Management").

use std::time::Duration;

/// When a connection is looked after. Each can be switched off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeepAlive {
    /// A heartbeat is sent when nothing was for so long.
    pub heartbeat: Option<Duration>,
    /// A peer of which nothing comes for so long, while a call waits or a message has begun, is given up. Peers of Ice 3.6
    /// and later send heartbeats while they carry out a call.
    pub silence: Option<Duration>,
    /// A connection on which nothing was for so long is closed in good order.
    pub idle: Option<Duration>,
}

impl Default for KeepAlive {
    /// Heartbeats every 20 s, a minute of silence, as Ice's own timeout (`Ice.ACM.Timeout`); idle connections stay.
    fn default() -> Self {
        Self { heartbeat: Some(Duration::from_secs(20)), silence: Some(Duration::from_secs(60)), idle: None }
    }
}

/// What is known of a connection at one time.
#[derive(Debug, Clone, Copy)]
pub(super) struct Facts {
    /// Since something was received.
    pub(super) received: Duration,
    /// Since something was sent.
    pub(super) sent: Duration,
    /// Calls that wait.
    pub(super) waiting: bool,
    /// Requests that are being answered.
    pub(super) answering: bool,
    /// A message has begun and not ended.
    pub(super) within: bool,
}

/// What is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Due {
    Nothing,
    Heartbeat,
    Close,
    GiveUp(&'static str),
}

impl KeepAlive {
    /// How often to look: often enough that each time is kept to a quarter.
    pub(super) fn interval(&self) -> Option<Duration> {
        [self.heartbeat, self.silence, self.idle].into_iter().flatten().min().map(|least| least / 4)
    }

    pub(super) fn due(&self, facts: Facts) -> Due {
        let past = |since: Duration, limit: Option<Duration>| limit.is_some_and(|limit| since >= limit);
        if past(facts.received, self.silence) && facts.within {
            return Due::GiveUp("in the middle of a message");
        }
        if past(facts.received, self.silence) && facts.waiting {
            return Due::GiveUp("a call waits");
        }
        let idle = !facts.waiting && !facts.answering && !facts.within;
        if idle && past(facts.received.min(facts.sent), self.idle) {
            return Due::Close;
        }
        if past(facts.sent, self.heartbeat) { Due::Heartbeat } else { Due::Nothing }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    const QUIET: Facts =
        Facts { received: seconds(0), sent: seconds(0), waiting: false, answering: false, within: false };

    #[test]
    fn a_peer_is_given_up_only_while_something_is_expected_of_it() {
        let keep_alive = KeepAlive { heartbeat: None, ..KeepAlive::default() };
        let silent = Facts { received: seconds(61), ..QUIET };
        assert_eq!(keep_alive.due(silent), Due::Nothing);
        assert_eq!(keep_alive.due(Facts { waiting: true, ..silent }), Due::GiveUp("a call waits"));
        assert_eq!(
            keep_alive.due(Facts { within: true, ..silent }),
            Due::GiveUp("in the middle of a message")
        );
        assert_eq!(keep_alive.due(Facts { waiting: true, received: seconds(59), ..silent }), Due::Nothing);
    }

    #[test]
    fn a_heartbeat_is_due_when_nothing_was_sent() {
        let keep_alive = KeepAlive::default();
        assert_eq!(keep_alive.due(Facts { sent: seconds(20), ..QUIET }), Due::Heartbeat);
        assert_eq!(keep_alive.due(Facts { sent: seconds(19), ..QUIET }), Due::Nothing);
    }

    #[test]
    fn only_an_idle_connection_is_closed() {
        let keep_alive = KeepAlive { heartbeat: None, silence: None, idle: Some(seconds(60)) };
        let idle = Facts { received: seconds(60), sent: seconds(70), ..QUIET };
        assert_eq!(keep_alive.due(idle), Due::Close);
        for busy in [
            Facts { waiting: true, ..idle },
            Facts { answering: true, ..idle },
            Facts { within: true, ..idle },
            Facts { sent: seconds(1), ..idle },
        ] {
            assert_eq!(keep_alive.due(busy), Due::Nothing, "{busy:?}");
        }
    }
}
