//! Frames waiting to be written.

use std::collections::VecDeque;

use crate::spare::{SMALL, Spare};

/// Frames waiting to be written: one after the other in one buffer, each with a line feed behind it, so that a transport
/// of lines writes them all at once and one of messages can tell them apart.
#[derive(Debug, Default)]
pub struct Outgoing {
    buffer: String,
    /// The ends of the frames, before the line feed.
    ends: VecDeque<usize>,
    written: usize,
    spare: Spare,
}

impl Outgoing {
    /// Adds a frame that `write` writes. Adds none if it writes nothing.
    pub(crate) fn push(&mut self, write: impl FnOnce(&mut String)) {
        let before = self.buffer.len();
        write(&mut self.buffer);
        if self.buffer.len() == before {
            return;
        }
        self.ends.push_back(self.buffer.len());
        self.buffer.push('\n');
    }

    /// `true` if all frames have been written.
    pub fn is_empty(&self) -> bool {
        self.written == self.buffer.len()
    }

    /// Returns the number of unwritten bytes.
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
    pub fn pop_frame(&mut self) -> Option<&str> {
        let end = self.ends.pop_front()?;
        let start = std::mem::replace(&mut self.written, end + 1);
        self.buffer.get(start..end)
    }

    /// Returns the rest of the next frame, without its line feed.
    #[cfg(any(feature = "axum", feature = "ws"))]
    pub(crate) fn first(&self) -> Option<&[u8]> {
        self.buffer.as_bytes().get(self.written..*self.ends.front()?)
    }

    /// Gives a large buffer back, if it is empty.
    pub(crate) fn shrink(&mut self) {
        if self.is_empty() && self.buffer.capacity() > SMALL {
            *self = Self::default();
        }
    }

    /// Moves the next frame to the end of another's.
    #[cfg(feature = "tokio")]
    pub(crate) fn move_frame(&mut self, to: &mut Outgoing) {
        if let Some(frame) = self.pop_frame() {
            to.push(|out| out.push_str(frame));
        }
        if self.is_empty() {
            self.clear();
        }
    }

    /// Returns the bytes of a large buffer that is kept for later frames.
    pub(crate) fn spare(&self) -> usize {
        if self.is_empty() && self.buffer.capacity() > SMALL { self.buffer.capacity() } else { 0 }
    }

    /// Empties the buffer. On a connection that is silent for long, call this from time to time all the same, to free a
    /// large buffer.
    pub(crate) fn clear(&mut self) {
        if self.spare.is_over(self.buffer.capacity(), self.buffer.len()) {
            self.buffer = String::new();
        }
        self.buffer.clear();
        self.ends.clear();
        self.written = 0;
    }
}
