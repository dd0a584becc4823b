//! Frames waiting to be written.

#![cfg_attr(
    not(feature = "tokio"),
    allow(dead_code, reason = "without a transport nothing goes beside the text")
)]

use std::collections::VecDeque;
#[cfg(feature = "host")]
use std::io::IoSlice;

use bytes::{BufMut, BytesMut};

use crate::kinds::Bytes;
use crate::retention::{LEAST, SMALL, give};

/// A frame, which a transport carries as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Frame<'a> {
    /// A message as text.
    Text(&'a str),
    /// A message as text, and the bytes that values in it take, one after the other. Only for a transport that
    /// [carries bytes](crate::transport::Properties::bytes).
    Mixed(&'a str, &'a bytes::Bytes),
}

impl<'a> Frame<'a> {
    /// Returns the text.
    pub fn text(&self) -> &'a str {
        match self {
            Self::Text(text) | Self::Mixed(text, _) => text,
        }
    }

    /// Returns the number of bytes, with those beside the text.
    pub fn len(&self) -> usize {
        match self {
            Self::Text(text) => text.len(),
            Self::Mixed(text, beside) => text.len() + beside.len(),
        }
    }

    /// Returns `true` for a frame without any bytes.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// The bytes before the text of a mixed frame in a stream of lines: a zero, the number of bytes behind this number, and
/// the number of bytes of the text. Both numbers are big-endian.
pub(crate) const MIXED_HEAD: usize = 9;

/// The bytes of that before the length of the text, with which a mixed frame begins in a stream of messages.
#[cfg(feature = "host")]
pub(crate) const LINE_HEAD: usize = 5;

/// A frame with bytes beside its text, which stands in the buffer.
#[derive(Debug)]
struct Mixed {
    head: [u8; MIXED_HEAD],
    start: usize,
    end: usize,
    /// Those that are not written.
    beside: VecDeque<Bytes>,
    beside_bytes: usize,
    /// Bytes of all this that have been written.
    written: usize,
    /// Bytes beside the text that have been written and dropped.
    dropped: usize,
}

impl Mixed {
    fn len(&self) -> usize {
        MIXED_HEAD + self.end - self.start + self.beside_bytes
    }

    /// Takes note that `bytes` more bytes have been written. Each part that has been is dropped, and not met again.
    #[cfg(feature = "host")]
    fn advance(&mut self, bytes: usize) {
        self.written += bytes;
        let before = MIXED_HEAD + self.end - self.start;
        while let Some(first) = self.beside.front().map(|first| first.len()) {
            if before + self.dropped + first > self.written {
                break;
            }
            self.beside.pop_front();
            self.dropped += first;
        }
    }

    /// Calls `each` with the parts that are not written, in their order, as long as it returns `true`.
    fn unwritten<'a>(&'a self, text: &'a [u8], mut each: impl FnMut(&'a [u8]) -> bool) {
        let mut skip = self.written - self.dropped;
        let parts = [&self.head[..], text].into_iter().chain(self.beside.iter().map(|bytes| &bytes[..]));
        for part in parts {
            let rest = part.get(skip..).unwrap_or_default();
            skip = skip.saturating_sub(part.len());
            if !rest.is_empty() && !each(rest) {
                return;
            }
        }
    }
}

/// Frames waiting to be written: one after the other in one buffer, each with a line feed behind it, so that a transport
/// of lines writes them all at once and one of messages can tell them apart.
#[derive(Debug, Default)]
pub struct Outgoing {
    buffer: String,
    /// The ends of the frames, before the line feed.
    ends: VecDeque<usize>,
    /// The frames with bytes beside their text, if there are any.
    mixed: Option<Box<MixedFrames>>,
    /// The bytes beside the texts, with the heads.
    beside: usize,
    written: usize,
}

/// Frames with bytes beside their text, which have no line feed behind them on their way.
#[derive(Debug, Default)]
struct MixedFrames {
    frames: VecDeque<Mixed>,
    /// The bytes of the frame that was taken last.
    taken: bytes::Bytes,
}

/// The outcome of [`Outgoing::refill`].
pub(crate) struct Refilled {
    /// `true` if frames were taken over.
    pub(crate) refilled: bool,
    /// Bytes of unwritten frames.
    pub(crate) unwritten: usize,
    /// Bytes of frames that were not taken over.
    pub(crate) left: usize,
    /// Bytes of large buffers that are kept for later frames.
    pub(crate) retained: usize,
}

impl Outgoing {
    /// Adds a frame that `write` writes. Adds none if it writes nothing. Returns the number of unwritten bytes.
    pub(crate) fn push(&mut self, write: impl FnOnce(&mut String)) -> usize {
        let before = self.buffer.len();
        write(&mut self.buffer);
        if self.buffer.len() > before {
            self.ends.push_back(self.buffer.len());
            self.buffer.push('\n');
        }
        self.buffer.len() - self.written + self.beside
    }

    /// Puts bytes beside the text of the last frame. Returns the number of unwritten bytes.
    pub(crate) fn put_beside(&mut self, beside: Vec<Bytes>) -> usize {
        let end = self.ends.back().copied().unwrap_or_default();
        let start = self.ends.iter().rev().nth(1).map_or(self.written, |before| before + 1).max(self.written);
        let beside_bytes = beside.iter().map(|bytes| bytes.len()).sum();
        let (mut head, text) = ([0; MIXED_HEAD], end - start);
        // A frame is no longer than its limit, which is below that of these numbers.
        let number = |number: usize| u32::try_from(number).unwrap_or(u32::MAX).to_be_bytes();
        head[1..5].copy_from_slice(&number(4 + text + beside_bytes));
        head[5..].copy_from_slice(&number(text));
        let mixed = self.mixed.get_or_insert_default();
        let beside = beside.into();
        mixed.frames.push_back(Mixed { head, start, end, beside, beside_bytes, written: 0, dropped: 0 });
        self.beside += MIXED_HEAD + beside_bytes;
        self.buffer.len() - self.written + self.beside
    }

    /// Returns the first frame with bytes beside its text.
    #[inline]
    fn first_mixed(&self) -> Option<&Mixed> {
        self.mixed.as_ref()?.frames.front()
    }

    /// `true` if all frames have been written.
    pub fn is_empty(&self) -> bool {
        self.written == self.buffer.len()
    }

    /// Returns the number of unwritten bytes.
    pub fn len(&self) -> usize {
        self.buffer.len() - self.written + self.beside
    }

    /// Returns all unwritten frames, as lines: up to the first one with bytes beside its text.
    #[cfg(feature = "host")]
    pub fn lines(&self) -> &[u8] {
        let end = self.first_mixed().map_or(self.buffer.len(), |mixed| mixed.start);
        self.buffer.as_bytes().get(self.written..end).unwrap_or_default()
    }

    /// Returns `true` if a frame has bytes beside its text.
    #[cfg(feature = "host")]
    pub(crate) fn is_mixed(&self) -> bool {
        self.mixed.is_some()
    }

    /// Fills `slices` with unwritten bytes, those of mixed frames as well, and returns how many are filled.
    #[cfg(feature = "host")]
    pub(crate) fn fill<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        let (buffer, mut at, mut filled) = (self.buffer.as_bytes(), self.written, 0);
        let mut put = |part: &'a [u8]| {
            if let Some(slice) = slices.get_mut(filled).filter(|_| !part.is_empty()) {
                *slice = IoSlice::new(part);
                filled += 1;
            }
            filled < slices.len()
        };
        for mixed in self.mixed.iter().flat_map(|mixed| &mixed.frames) {
            put(buffer.get(at..mixed.start).unwrap_or_default());
            let mut more = true;
            mixed.unwritten(buffer.get(mixed.start..mixed.end).unwrap_or_default(), |part| {
                more = put(part);
                more
            });
            if !more {
                return filled;
            }
            at = mixed.end + 1;
        }
        put(buffer.get(at..).unwrap_or_default());
        filled
    }

    /// Takes note that `bytes` more bytes have been written.
    #[cfg(feature = "host")]
    pub fn advance(&mut self, mut bytes: usize) {
        while let Some(mixed) = self.mixed.as_mut().and_then(|mixed| mixed.frames.front_mut()) {
            let before = mixed.start.saturating_sub(self.written);
            if bytes < before {
                break;
            }
            (self.written, bytes) = (mixed.start, bytes - before);
            let taken = bytes.min(mixed.len() - mixed.written);
            mixed.advance(taken);
            bytes -= taken;
            if mixed.written < mixed.len() {
                return;
            }
            self.written = mixed.end + 1;
            self.drop_mixed();
        }
        self.written = (self.written + bytes).min(self.buffer.len());
        if self.is_empty() {
            self.clear();
        }
    }

    /// Drops the first mixed frame, which is written.
    fn drop_mixed(&mut self) {
        let Some(mixed) = &mut self.mixed else { return };
        if let Some(first) = mixed.frames.pop_front() {
            self.beside -= MIXED_HEAD + first.beside_bytes;
        }
        if mixed.frames.is_empty() {
            self.mixed = None;
        }
    }

    /// Takes the text of the next frame. No frame here has bytes beside it.
    pub(crate) fn pop_text(&mut self) -> Option<String> {
        let end = self.ends.pop_front()?;
        let start = std::mem::replace(&mut self.written, end + 1);
        let text = self.buffer.get(start..end)?.to_owned();
        if self.is_empty() {
            self.give_large();
            self.clear();
        } else if self.written > SMALL.max(self.buffer.len() / 2) {
            // Others may come before these are taken.
            self.buffer.drain(..self.written);
            self.ends.iter_mut().for_each(|end| *end -= self.written);
            self.written = 0;
        }
        Some(text)
    }

    /// Takes the next frame, without its line feed.
    pub fn pop_frame(&mut self) -> Option<Frame<'_>> {
        let end = self.ends.pop_front()?;
        let start = std::mem::replace(&mut self.written, end + 1);
        if self.first_mixed().is_none_or(|mixed| mixed.end != end) {
            return Some(Frame::Text(self.buffer.get(start..end)?));
        }
        let mixed = self.mixed.as_mut()?;
        let first = mixed.frames.pop_front()?;
        self.beside -= MIXED_HEAD + first.beside_bytes;
        let mut beside = BytesMut::with_capacity(first.beside_bytes);
        first.beside.iter().for_each(|bytes| beside.put_slice(bytes));
        mixed.taken = beside.freeze();
        Some(Frame::Mixed(self.buffer.get(start..end)?, &mixed.taken))
    }

    /// Returns the rest of the next frame as a message: a part that is in one piece, the number of all bytes that are
    /// left, and `true` for a frame with bytes beside its text.
    #[cfg(feature = "ws")]
    pub(crate) fn first(&mut self) -> Option<(&[u8], usize, bool)> {
        let end = *self.ends.front()?;
        let mixed = self.mixed.as_mut().and_then(|mixed| mixed.frames.front_mut());
        let Some(mixed) = mixed.filter(|mixed| mixed.end == end) else {
            let rest = self.buffer.as_bytes().get(self.written..end)?;
            return Some((rest, rest.len(), false));
        };
        mixed.written = mixed.written.max(LINE_HEAD);
        let (mut first, left) = (None, mixed.len() - mixed.written);
        mixed.unwritten(self.buffer.as_bytes().get(mixed.start..end)?, |part| {
            first = Some(part);
            false
        });
        Some((first.unwrap_or_default(), left, true))
    }

    /// Removes the next frame, all of which has been taken.
    #[cfg(feature = "ws")]
    pub(crate) fn drop_first(&mut self) {
        let Some(end) = self.ends.pop_front() else { return };
        self.written = end + 1;
        if self.first_mixed().is_some_and(|mixed| mixed.end == end) {
            self.drop_mixed();
        }
    }

    /// Returns the bytes of a large buffer that has nothing in it.
    fn retained(&self) -> usize {
        let capacity = self.buffer.capacity();
        if self.is_empty() && capacity > SMALL { capacity } else { 0 }
    }

    /// Gives a large buffer back that has nothing in it: there may be no frames for long.
    fn give_large(&mut self) {
        if self.retained() > 0 {
            give(std::mem::take(self).buffer.into_bytes());
        }
    }

    /// Takes over the frames of `from`, if all frames here have been written.
    pub(crate) fn refill(&mut self, from: &mut Self) -> Refilled {
        let (unwritten, left) = (self.len(), from.len());
        if unwritten > 0 {
            return Refilled { refilled: false, unwritten, left, retained: from.retained() };
        }
        if left == 0 {
            self.give_large();
            from.give_large();
            return Refilled { refilled: false, unwritten, left, retained: 0 };
        }
        self.clear();
        std::mem::swap(self, from);
        Refilled { refilled: true, unwritten: left, left: 0, retained: from.retained() }
    }

    /// Moves the next frame to the end of another's.
    #[cfg(feature = "host")]
    pub(crate) fn move_frame(&mut self, to: &mut Outgoing) {
        // A peer that takes one frame at a time takes no bytes beside the text.
        if let Some(frame) = self.pop_frame() {
            let _bytes = to.push(|out| out.push_str(frame.text()));
        }
        if self.is_empty() {
            self.clear();
        }
    }

    /// Empties the buffer, and gives it back if it is very large.
    pub(crate) fn clear(&mut self) {
        if self.buffer.capacity() >= LEAST {
            give(std::mem::take(self).buffer.into_bytes());
        }
        self.buffer.clear();
        self.ends.clear();
        self.mixed = None;
        (self.beside, self.written) = (0, 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_that_come_before_earlier_ones_are_taken_use_their_room_again() {
        let mut out = Outgoing::default();
        let frame = |number: usize| format!("{number:8192}");
        for number in 0..1_000 {
            let unwritten = out.push(|out| out.push_str(&frame(number)));
            assert_eq!(unwritten, out.len());
            if number >= 4 {
                assert_eq!(out.pop_text(), Some(frame(number - 4)));
            }
        }
        assert!(out.buffer.capacity() <= 4 * SMALL, "{}", out.buffer.capacity());
        assert_eq!(std::iter::from_fn(|| out.pop_text()).last(), Some(frame(999)));
        assert_eq!((out.len(), out.retained()), (0, 0));
    }
}
