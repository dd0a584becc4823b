//! The times of the last signs of life, and of the next look at the time limits.

use std::time::Duration;

use crate::dialect::PROBE;
use crate::error::{Error, ErrorKind};
use crate::limits::LimitKind;
use crate::message::{Id, Key, Message, Path, ReturnMode};

/// The times of events, counted from the beginning of the link.
#[derive(Debug, Default)]
pub(super) struct Clock {
    /// The time of the last frame or other sign of life.
    heard: Duration,
    /// The last time at which there was no way to ask for a sign of life.
    unaskable: Duration,
    /// The time of the last activity.
    used: Duration,
    /// The time at which the peer was asked for a sign of life, if it has given none since.
    asked: Option<Duration>,
    /// The id of the message that asked, if it was a message.
    probe: Option<Id>,
    /// The time at which the unanswered calls are to be checked again.
    calls_due: Option<Duration>,
}

impl Clock {
    /// Notes a message that has come at `now`.
    pub(super) fn heard(&mut self, message: &Message, now: Duration) {
        (self.heard, self.asked) = (now, None);
        let of_life = match message {
            Message::Evaluate { value, return_mode: ReturnMode::Streamed, .. } => {
                value.text.as_str() == "null"
            }
            Message::Call { target: 0, path: Path::One(Key::Name(name)), args: None, .. } => {
                name.as_str() == PROBE
            }
            Message::Answer { id, .. } => self.probe == Some(*id),
            _ => false,
        };
        if !of_life {
            self.used = now;
        }
    }

    #[cfg(feature = "tokio")]
    pub(super) fn sign_of_life(&mut self, now: Duration) {
        self.heard = now;
        self.asked = None;
    }

    pub(super) fn quiet_since(&self) -> Duration {
        self.heard
    }

    pub(super) fn unused_since(&self) -> Duration {
        self.used
    }

    /// Notes activity at `now`.
    pub(super) fn use_now(&mut self, now: Duration) {
        self.used = now;
    }

    /// Returns the time at which the peer was asked for a sign of life, if it has given none since.
    #[cfg(feature = "tokio")]
    pub(super) fn asked(&self) -> Option<Duration> {
        self.asked
    }

    /// Checks that the peer is there. It is asked when nothing has come for `first`, and has `probe` to answer. Returns
    /// `true` if it is to be asked now, and the time of the next check.
    pub(super) fn look(
        &mut self,
        now: Duration,
        first: Duration,
        probe: Duration,
    ) -> Result<(bool, Duration), Error> {
        let due = self.heard.max(self.unaskable).saturating_add(first);
        let end = self.asked.map(|asked| asked.saturating_add(probe));
        if end.is_some_and(|end| end <= now) {
            let message = format!("the peer has given no sign of life for {:?}", now - self.heard);
            return Err(Error::new(ErrorKind::Disconnected, message).of_limit(LimitKind::Probe));
        }
        let ask = self.asked.is_none() && due <= now;
        if ask {
            self.asked = Some(now);
        }
        Ok((ask, self.asked.map_or(due, |asked| asked.saturating_add(probe))))
    }

    /// Notes that the message `probe` asked the peer for a sign of life.
    pub(super) fn set_probe(&mut self, probe: Id) {
        self.probe = Some(probe);
    }

    /// Notes that the peer cannot be asked at `now`, so its silence means nothing.
    pub(super) fn set_unaskable(&mut self, now: Duration) {
        (self.asked, self.unaskable) = (None, now);
    }

    /// Returns the time at which the unanswered calls are to be checked again.
    pub(super) fn calls_due(&self) -> Option<Duration> {
        self.calls_due
    }

    pub(super) fn set_calls_due(&mut self, due: Duration) {
        self.calls_due = Some(due);
    }
}
