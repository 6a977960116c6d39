//! What may come when ("Connection Establishment", "Connection Closure").

use crate::protocol::{MessageType, ProtocolError};

/// Where a connection that was greeted is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// Everything goes both ways.
    Active,
    /// This end has said that it will send nothing more.
    Closing,
}

/// What a message means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Event {
    /// To be carried out.
    Request,
    /// To be carried out, one after the other.
    Batch,
    /// For whoever waits.
    Reply,
    /// The peer lives.
    Heartbeat,
    /// Nothing more will come.
    End,
    /// The peer sent it before it knew that this end closes; it will send it again elsewhere.
    Dropped,
}

#[derive(Debug)]
pub(super) struct State {
    phase: Phase,
}

impl State {
    /// The client waits for a greeting; until then nothing else may come.
    pub(super) const fn greeted(message: MessageType) -> Result<Self, ProtocolError> {
        match message {
            MessageType::Validate => Ok(Self { phase: Phase::Active }),
            MessageType::Close => {
                Err(ProtocolError::Unexpected { what: "a close", when: "instead of a greeting" })
            }
            _ => Err(ProtocolError::Unexpected { what: "a message", when: "before the greeting" }),
        }
    }

    /// The server greets, and is ready.
    pub(super) const fn greeting() -> Self {
        Self { phase: Phase::Active }
    }

    pub(super) const fn phase(&self) -> Phase {
        self.phase
    }

    /// This end closes.
    pub(super) const fn close(&mut self) {
        self.phase = Phase::Closing;
    }

    pub(super) const fn receive(&self, message: MessageType) -> Event {
        match (message, self.phase) {
            (MessageType::Validate, _) => Event::Heartbeat,
            (MessageType::Close, _) => Event::End,
            (MessageType::Reply, _) => Event::Reply,
            (MessageType::Request | MessageType::Batch, Phase::Closing) => Event::Dropped,
            (MessageType::Request, Phase::Active) => Event::Request,
            (MessageType::Batch, Phase::Active) => Event::Batch,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_comes_before_the_greeting() {
        assert!(State::greeted(MessageType::Validate).is_ok());
        for message in [MessageType::Request, MessageType::Batch, MessageType::Reply, MessageType::Close] {
            assert!(State::greeted(message).is_err(), "{message:?}");
        }
    }

    #[test]
    fn who_closes_carries_out_nothing_more_and_still_hears_the_end() {
        let mut state = State::greeting();
        assert_eq!(state.receive(MessageType::Request), Event::Request);
        state.close();
        assert_eq!(state.receive(MessageType::Request), Event::Dropped);
        assert_eq!(state.receive(MessageType::Batch), Event::Dropped);
        assert_eq!(state.receive(MessageType::Reply), Event::Reply);
        assert_eq!(state.receive(MessageType::Close), Event::End);
    }
}
