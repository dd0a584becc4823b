//! The bytes that have come over a stream and have not been taken.

use std::future::Future;
use std::io;
use std::pin::pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncReadExt};

use super::Leftover;
use crate::retention;

/// The room for a read.
pub(super) const CHUNK: usize = 16 << 10;

/// Bytes that have been read, of which those from `start` on have not been taken. Spare capacity is the room for more.
#[derive(Debug, Default)]
pub(super) struct Input {
    pub(super) buffer: Vec<u8>,
    pub(super) start: usize,
    /// Bytes read.
    pub(super) read: u64,
    /// Set once input is discarded.
    pub(super) leftover: Option<Leftover>,
}

impl Input {
    /// Returns the bytes that have not been taken.
    #[inline]
    pub(super) fn bytes(&self) -> &[u8] {
        &self.buffer[self.start..]
    }

    /// Moves the bytes to the start of the buffer.
    pub(super) fn compact(&mut self) {
        self.buffer.drain(..self.start);
        self.start = 0;
    }

    /// Returns the number of bytes that there is room for.
    pub(super) fn room(&self) -> usize {
        self.buffer.capacity() - self.buffer.len()
    }

    /// Gives back the buffer, and drops what is in it.
    pub(super) fn clear(&mut self) {
        retention::give(std::mem::take(&mut self.buffer));
        self.start = 0;
    }

    /// Reads what has come. Returns the number of bytes.
    pub(super) fn poll_read(
        &mut self,
        stream: &mut (impl AsyncRead + Unpin),
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        // It keeps no state between its polls, and does not fill the room with zeros first.
        let read = ready!(pin!(stream.read_buf(&mut self.buffer)).poll(cx))?;
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
        self.clear();
        self.buffer.reserve_exact(CHUNK);
        for _ in 0..Leftover::TURNS {
            self.buffer.clear();
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
