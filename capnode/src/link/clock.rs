//! When something was heard of the peer, and when to look at the time again.

use std::time::Duration;

use crate::error::{Error, ErrorKind};
use crate::limits::LimitKind;
use crate::op::{Answering, Id, Key, Op, Path};

/// A property that nothing has. A peer of Q-Connection is asked for it to see whether it is there.
pub(super) const PROBE: &str = "capnode:probe";

/// When what has happened. All times are counted from the beginning of the link.
#[derive(Debug, Default)]
pub(super) struct Clock {
    /// The last frame or other sign of life.
    heard: Duration,
    /// When there was no way to ask for one.
    unaskable: Duration,
    /// When anything was going on last.
    used: Duration,
    /// When the peer was asked for a sign of life, if it has given none since.
    asked: Option<Duration>,
    /// The message by which it was asked, if it was one.
    probe: Option<Id>,
    /// When the unanswered calls are to be looked at again.
    calls_due: Option<Duration>,
}

impl Clock {
    /// Takes note of a message that has come at `now`.
    pub(super) fn heard(&mut self, op: &Op, now: Duration) {
        self.sign_of_life(now);
        let of_life = match op {
            Op::Evaluate { value, answering: Answering::Sent } => value.text.as_str() == "null",
            Op::Call { target: 0, path: Path::One(Key::Name(name)), args: None, .. } => {
                name.as_str() == PROBE
            }
            Op::Answer { id, .. } => self.probe == Some(*id),
            _ => false,
        };
        if !of_life {
            self.used = now;
        }
    }

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

    /// Something is going on.
    pub(super) fn use_now(&mut self, now: Duration) {
        self.used = now;
    }

    /// Returns when the peer was asked for a sign of life, if it has given none since.
    #[cfg(feature = "tokio")]
    pub(super) fn asked(&self) -> Option<Duration> {
        self.asked
    }

    /// Looks whether the peer is there, who is asked when nothing has come for `first` and has `probe` to answer.
    /// Returns `true` if it is to be asked now, and when to look again.
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

    /// The peer was asked by the message `probe`.
    pub(super) fn set_probe(&mut self, probe: Id) {
        self.probe = Some(probe);
    }

    /// The peer cannot be asked, so nothing can be concluded.
    pub(super) fn set_unaskable(&mut self, now: Duration) {
        (self.asked, self.unaskable) = (None, now);
    }

    /// Returns when the unanswered calls are to be looked at again.
    pub(super) fn calls_due(&self) -> Option<Duration> {
        self.calls_due
    }

    pub(super) fn set_calls_due(&mut self, due: Duration) {
        self.calls_due = Some(due);
    }
}
