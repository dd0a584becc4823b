//! Frames waiting to be written.

use std::collections::VecDeque;

use crate::retention::{LEAST, SMALL, give};

/// A frame, which a transport carries as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Frame<'a> {
    /// A message as text.
    Text(&'a str),
}

/// Frames waiting to be written: one after the other in one buffer, each with a line feed behind it, so that a transport
/// of lines writes them all at once and one of messages can tell them apart.
#[derive(Debug, Default)]
pub struct Outgoing {
    buffer: String,
    /// The ends of the frames, before the line feed.
    ends: VecDeque<usize>,
    written: usize,
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
        self.buffer.len() - self.written
    }

    /// `true` if all frames have been written.
    pub fn is_empty(&self) -> bool {
        self.written == self.buffer.len()
    }

    /// Returns the number of unwritten bytes.
    #[cfg(feature = "tokio")]
    pub fn len(&self) -> usize {
        self.buffer.len() - self.written
    }

    /// Returns all unwritten frames, as lines.
    #[cfg(feature = "tokio")]
    pub fn lines(&self) -> &[u8] {
        self.buffer.as_bytes().get(self.written..).unwrap_or_default()
    }

    /// Takes note that `bytes` more bytes have been written.
    #[cfg(feature = "tokio")]
    pub fn advance(&mut self, bytes: usize) {
        self.written = (self.written + bytes).min(self.buffer.len());
        if self.is_empty() {
            self.clear();
        }
    }

    /// Takes the next frame, without its line feed.
    pub fn pop_frame(&mut self) -> Option<Frame<'_>> {
        let end = self.ends.pop_front()?;
        let start = std::mem::replace(&mut self.written, end + 1);
        Some(Frame::Text(self.buffer.get(start..end)?))
    }

    /// Returns the rest of the next frame, without its line feed.
    #[cfg(feature = "ws")]
    pub(crate) fn first(&self) -> Option<&[u8]> {
        self.buffer.as_bytes().get(self.written..*self.ends.front()?)
    }

    /// Takes over the frames of `from`, if all frames here have been written.
    pub(crate) fn refill(&mut self, from: &mut Self) -> Refilled {
        let large = |out: &Self| match out.buffer.capacity() {
            capacity if out.written == out.buffer.len() && capacity > SMALL => capacity,
            _ => 0,
        };
        let unwritten = self.buffer.len() - self.written;
        let left = from.buffer.len() - from.written;
        if unwritten > 0 {
            return Refilled { refilled: false, unwritten, left, retained: large(from) };
        }
        if left == 0 {
            // There may be no frames for long, so large buffers are given back.
            for out in [self, from] {
                if large(out) > 0 {
                    give(std::mem::take(out).buffer.into_bytes());
                }
            }
            return Refilled { refilled: false, unwritten, left, retained: 0 };
        }
        self.clear();
        std::mem::swap(self, from);
        Refilled { refilled: true, unwritten: left, left: 0, retained: large(from) }
    }

    /// Moves the next frame to the end of another's.
    #[cfg(feature = "tokio")]
    pub(crate) fn move_frame(&mut self, to: &mut Outgoing) {
        if let Some(Frame::Text(frame)) = self.pop_frame() {
            let _bytes = to.push(|out| out.push_str(frame));
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
        self.written = 0;
    }
}
