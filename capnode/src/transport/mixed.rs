//! Frames with bytes beside their text.

use ::bytes::{BufMut, Bytes};
use std::future::Future;
use std::io;
use std::pin::pin;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncReadExt};

use super::{Frame, ReceiveError};
use crate::outgoing::{LINE_HEAD, MIXED_HEAD};

/// Bytes that are reserved for a frame before any have come.
const FIRST: usize = 256 << 10;

/// Bytes of the length of the text.
const LENGTH: usize = MIXED_HEAD - LINE_HEAD;

/// The last message with bytes beside its text.
#[derive(Debug, Default)]
pub(super) struct MixedMessage {
    message: Bytes,
    beside: Bytes,
}

impl MixedMessage {
    /// Returns the frame that a message is: the length of its text, the text, and the bytes beside it. One that is not
    /// so long fails as `too_short`.
    pub(super) fn set(&mut self, message: Bytes, too_short: &'static str) -> Result<Frame<'_>, ReceiveError> {
        let invalid = |reason: &str| ReceiveError::Invalid(reason.to_owned());
        let length =
            message.first_chunk::<LENGTH>().map_or(usize::MAX, |length| u32::from_be_bytes(*length) as usize);
        let end = LENGTH.saturating_add(length);
        if end > message.len() {
            return Err(invalid(too_short));
        }
        self.beside = message.slice(end..);
        self.message = message;
        let text = self.message.get(LENGTH..end).unwrap_or_default();
        let text = std::str::from_utf8(text).map_err(|error| invalid(&error.to_string()))?;
        Ok(Frame::Mixed(text, &self.beside))
    }

    /// Forgets the message, which has been taken in. It may be long until the next one.
    #[inline]
    pub(super) fn clear(&mut self) {
        if !self.message.is_empty() {
            *self = Self::default();
        }
    }
}

/// A frame with bytes beside its text that arrives on a byte stream. Memory is taken for bytes that have come.
#[derive(Debug)]
pub(super) struct Arriving {
    data: Vec<u8>,
    total: usize,
}

impl Arriving {
    /// Begins a frame whose head stands at the beginning of `bytes`, if all of the head is there. Fails if the frame is
    /// longer than `limit`.
    pub(super) fn begin(bytes: &[u8], limit: usize) -> Option<Result<Self, ReceiveError>> {
        let total = bytes.get(1..LINE_HEAD)?.first_chunk::<4>()?;
        let total = u32::from_be_bytes(*total) as usize;
        if total > limit.saturating_add(LENGTH) {
            let message = format!("a message is longer than {limit} bytes");
            return Some(Err(ReceiveError::TooLong(message)));
        }
        Some(Ok(Self { data: Vec::with_capacity(total.min(FIRST)), total }))
    }

    /// Takes what has come. Returns how many bytes.
    pub(super) fn take(&mut self, bytes: &[u8]) -> usize {
        let taken = bytes.len().min(self.left());
        self.make_room(taken);
        self.data.extend_from_slice(&bytes[..taken]);
        taken
    }

    fn left(&self) -> usize {
        self.total - self.data.len()
    }

    /// Makes room for at least so many bytes, but not for many more than have come.
    fn make_room(&mut self, bytes: usize) {
        if self.data.capacity() - self.data.len() < bytes {
            let more = bytes.max(self.data.len()).min(self.left());
            self.data.reserve_exact(more);
        }
    }

    /// Returns the bytes that are held.
    pub(super) fn held(&self) -> usize {
        self.data.capacity()
    }

    /// Returns the whole message, once it is there.
    pub(super) fn finish(&mut self) -> Option<Bytes> {
        (self.left() == 0).then(|| std::mem::take(&mut self.data).into())
    }

    /// Reads more of it. Returns how many bytes.
    pub(super) fn poll_read(
        &mut self,
        stream: &mut (impl AsyncRead + Unpin),
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        self.make_room(1);
        let left = self.left();
        let mut to = (&mut self.data).limit(left);
        let read = ready!(pin!(stream.read_buf(&mut to)).poll(cx))?;
        Poll::Ready(Ok(read))
    }
}
