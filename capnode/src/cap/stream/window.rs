//! The flow control of a stream: an estimate of how much of it can be on its way at once.
//!
//! The algorithm is that of npm's `capnweb` 0.12, so that streams from here share a line fairly with streams from there.
//! It estimates the product of bandwidth and delay from the acknowledgements, and lets the window grow a little beyond it.
//! At first the window may double in each round trip. Here times are whole microseconds; an interval or a round trip
//! is at least one.

use std::time::Duration;

#[cfg(test)]
mod tests;

/// Bytes that may be on their way before anything is known.
const FIRST: u64 = 256 << 10;

/// The smallest window.
const LEAST: u64 = 64 << 10;

/// The largest window.
const MOST: u64 = 1 << 30;

/// A factor as a fraction.
#[derive(Clone, Copy)]
struct Factor(u64, u64);

impl Factor {
    fn times(self, value: u64) -> u64 {
        scale(value, self.0, self.1)
    }
}

/// The growth in a round trip while the bandwidth is being found.
const STARTUP: Factor = Factor(2, 1);

/// The growth in a round trip later.
const STEADY: Factor = Factor(5, 4);

/// The part of the window that is left at least after a round trip.
const DECAY: Factor = Factor(9, 10);

/// Rounds without growth after which the startup is over.
const ROUNDS: u32 = 3;

/// Returns `value * by / over` without overflow.
fn scale(value: u64, by: u64, over: u64) -> u64 {
    u64::try_from(u128::from(value) * u128::from(by) / u128::from(over.max(1))).unwrap_or(u64::MAX)
}

/// An acknowledgement: its time, and all bytes acknowledged by then.
#[derive(Clone, Copy)]
struct Acknowledged {
    at: u64,
    bytes: u64,
}

/// The state of a stream at the time of a write, for its acknowledgement.
#[derive(Clone, Copy)]
pub(super) struct Sent {
    at: u64,
    size: u64,
    last: Option<Acknowledged>,
    window: u64,
    full: bool,
}

/// The window of a stream.
pub(super) struct Window {
    size: u64,
    in_flight: u64,
    startup: bool,
    first: Option<Acknowledged>,
    last: Option<Acknowledged>,
    round_trip: u64,
    rounds_without_growth: u32,
    round_began: u64,
    round_window: u64,
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

impl Window {
    pub(super) fn new() -> Self {
        Self {
            size: FIRST,
            in_flight: 0,
            startup: true,
            first: None,
            last: None,
            round_trip: u64::MAX,
            rounds_without_growth: 0,
            round_began: 0,
            round_window: 0,
        }
    }

    /// Returns the bytes on their way.
    pub(super) fn in_flight(&self) -> u64 {
        self.in_flight
    }

    /// Returns `true` if a further write has to wait.
    pub(super) fn is_full(&self) -> bool {
        self.in_flight >= self.size
    }

    /// Notes a write of `size` bytes.
    pub(super) fn sent(&mut self, size: usize, now: Duration) -> Sent {
        let size = size as u64;
        self.in_flight += size;
        Sent { at: micros(now), size, last: self.last, window: self.size, full: self.is_full() }
    }

    /// Notes that a write has failed.
    pub(super) fn failed(&mut self, sent: Sent) {
        self.in_flight -= sent.size;
    }

    /// Notes that a write was acknowledged.
    pub(super) fn acknowledged(&mut self, sent: Sent, now: Duration) {
        let at = micros(now);
        self.in_flight -= sent.size;
        let bytes = self.last.map_or(0, |last| last.bytes) + sent.size;
        self.last = Some(Acknowledged { at, bytes });
        self.round_trip = self.round_trip.min(at.saturating_sub(sent.at).max(1));
        // There is an interval from the second acknowledgement on. A write before the first counts from that.
        let Some(first) = self.first else {
            self.first = self.last;
            return;
        };
        let since = sent.last.unwrap_or(first);
        let interval = at.saturating_sub(since.at).max(1);
        let growth = if self.startup { STARTUP } else { STEADY };
        let delay_product = scale(bytes - since.bytes, self.round_trip, interval);
        let target = growth.times(delay_product).min(growth.times(sent.window));
        // A sender that does not fill the window does not show that it is too large.
        let least = if sent.full { DECAY.times(sent.window) } else { self.size };
        self.size = target.max(least).clamp(LEAST, MOST);
        if self.startup && sent.at >= self.round_began {
            self.end_round(at);
        }
    }

    fn end_round(&mut self, at: u64) {
        if self.size > STEADY.times(self.round_window) {
            self.rounds_without_growth = 0;
        } else {
            self.rounds_without_growth += 1;
            self.startup = self.rounds_without_growth < ROUNDS;
        }
        self.round_began = at;
        self.round_window = self.size;
    }
}
