//! The bytes that have come over a stream and have not been taken.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, ReadBuf};

use super::Leftover;

/// The room for a read.
pub(super) const CHUNK: usize = 16 << 10;

/// Bytes that have been read and not been taken are from `start` to `filled`; the rest is room.
#[derive(Debug, Default)]
pub(super) struct Input {
    pub(super) buffer: Vec<u8>,
    pub(super) start: usize,
    pub(super) filled: usize,
    /// Bytes read.
    pub(super) read: u64,
    /// Set once input is discarded.
    pub(super) leftover: Option<Leftover>,
}

impl Input {
    /// Returns the bytes that have not been taken.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.buffer[self.start..self.filled]
    }

    /// Moves the bytes to the start of the buffer.
    pub(super) fn compact(&mut self) {
        self.buffer.copy_within(self.start..self.filled, 0);
        (self.start, self.filled) = (0, self.filled - self.start);
    }

    /// Gives back the buffer, with what is in it.
    pub(super) fn clear(&mut self) {
        self.buffer = Vec::new();
        (self.start, self.filled) = (0, 0);
    }

    /// Reads what has come. Returns the number of bytes.
    pub(super) fn poll_read(
        &mut self,
        stream: &mut (impl AsyncRead + Unpin),
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        let mut room = ReadBuf::new(&mut self.buffer[self.filled..]);
        ready!(Pin::new(stream).poll_read(cx, &mut room))?;
        let read = room.filled().len();
        self.filled += read;
        self.read += read as u64;
        Poll::Ready(Ok(read))
    }

    /// Discards all buffered and later input.
    pub(super) fn discard(&mut self, leftover: Leftover) {
        if self.leftover.is_none() {
            self.leftover = Some(leftover);
            self.clear();
        }
    }

    /// Reads to the end of the stream, or up to the budget for leftovers, and keeps nothing.
    pub(super) fn poll_discard(
        &mut self,
        stream: &mut (impl AsyncRead + Unpin),
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        self.buffer.resize(CHUNK, 0);
        for _ in 0..Leftover::TURNS {
            self.filled = 0;
            let read = ready!(self.poll_read(stream, cx))?;
            if read == 0 || self.leftover.as_mut().is_none_or(|leftover| leftover.is_over(read)) {
                return Poll::Ready(Ok(()));
            }
        }
        // Other tasks get their turn, even if there is more.
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

/// Returns the error of a stream that ends where it must not.
pub(super) fn ended(message: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::UnexpectedEof, message)
}
