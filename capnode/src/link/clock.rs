//! The times of the last signs of life, and of the next look at the time limits.

use std::time::Duration;

use crate::dialect::PROBE;
use crate::error::{Error, ErrorKind};
use crate::limits::LimitKind;
use crate::message::{Id, Key, Message, Path, ReturnMode};

/// The times of events, counted from the beginning of the link.
#[derive(Debug, Default)]
pub(super) struct LivenessClock {
    /// The time of the last frame or other sign of life.
    received: Duration,
    /// The last time at which there was no way to ask for a sign of life.
    unprobeable_since: Duration,
    /// The time of the last activity.
    used: Duration,
    /// The time at which the peer was asked for a sign of life, if it has given none since.
    probed: Option<Duration>,
    /// The id of the message that asked, if it was a message.
    probe: Option<Id>,
    /// The time at which the unanswered calls are to be checked again.
    calls_due: Option<Duration>,
}

/// The meaning of a message of the peer for its liveness.
pub(super) enum Sign {
    /// A use of the connection.
    Use,
    /// Life, and nothing more.
    Life,
    /// One of both: it answers that call.
    Answer(Id),
}

impl Sign {
    fn of_life(only: bool) -> Self {
        if only { Sign::Life } else { Sign::Use }
    }
}

impl LivenessClock {
    /// Notes a message that has come at `now`.
    pub(super) fn received(&mut self, message: &Message, now: Duration) {
        let sign = match message {
            Message::Evaluate { value, return_mode: ReturnMode::Streamed, .. } => {
                Sign::of_life(value.text.as_str() == "null")
            }
            Message::Call { target: 0, path: Path::One(Key::Name(name)), args: None, .. } => {
                Sign::of_life(name.as_str() == PROBE)
            }
            Message::Answer { id, .. } => Sign::Answer(*id),
            _ => Sign::Use,
        };
        self.note_received(sign, now);
    }

    /// Notes a message that has come at `now`.
    pub(super) fn note_received(&mut self, sign: Sign, now: Duration) {
        (self.received, self.probed) = (now, None);
        let of_life = match sign {
            Sign::Use => false,
            Sign::Life => true,
            // It answers the message that asked for a sign of life.
            Sign::Answer(id) => self.probe == Some(id),
        };
        if !of_life {
            self.used = now;
        }
    }

    #[cfg(feature = "host")]
    pub(super) fn sign_of_life(&mut self, now: Duration) {
        self.received = now;
        self.probed = None;
    }

    pub(super) fn quiet_since(&self) -> Duration {
        self.received
    }

    pub(super) fn unused_since(&self) -> Duration {
        self.used
    }

    /// Notes activity at `now`.
    pub(super) fn touch(&mut self, now: Duration) {
        self.used = now;
    }

    /// Returns the time at which the peer was asked for a sign of life, if it has given none since.
    #[cfg(feature = "host")]
    pub(super) fn probed(&self) -> Option<Duration> {
        self.probed
    }

    /// Checks that the peer is there. It is asked when nothing has come for `first`, and has `probe` to answer. Returns
    /// `true` if it is to be asked now, and the time of the next check.
    pub(super) fn check(
        &mut self,
        now: Duration,
        first: Duration,
        probe: Duration,
    ) -> Result<(bool, Duration), Error> {
        let due = self.received.max(self.unprobeable_since).saturating_add(first);
        let end = self.probed.map(|probed| probed.saturating_add(probe));
        if end.is_some_and(|end| end <= now) {
            let message = format!("the peer has given no sign of life for {:?}", now - self.received);
            return Err(Error::new(ErrorKind::Disconnected, message).of_limit(LimitKind::Probe));
        }
        let ask = self.probed.is_none() && due <= now;
        if ask {
            self.probed = Some(now);
        }
        Ok((ask, self.probed.map_or(due, |probed| probed.saturating_add(probe))))
    }

    /// Notes that the message `probe` asked the peer for a sign of life.
    pub(super) fn set_probe(&mut self, probe: Id) {
        self.probe = Some(probe);
    }

    /// Notes that the peer cannot be asked at `now`, so its silence means nothing.
    pub(super) fn set_unprobeable(&mut self, now: Duration) {
        (self.probed, self.unprobeable_since) = (None, now);
    }

    /// Returns the time at which the unanswered calls are to be checked again.
    pub(super) fn calls_due(&self) -> Option<Duration> {
        self.calls_due
    }

    pub(super) fn set_calls_due(&mut self, due: Duration) {
        self.calls_due = Some(due);
    }
}
