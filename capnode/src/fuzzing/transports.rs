//! Entries for the input of transports.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::text;
use crate::origin::Origins;
use crate::transport::frames::{Frames, Role};
use crate::transport::{Address, Frame, ReceiveError, Transport, lines, ws};
use crate::upgrade::Door;

/// Reads a byte stream that comes in pieces: the first byte sets their size. The frames are the same for any size.
pub fn byte_stream(data: &[u8]) {
    let Some((size, stream)) = data.split_first() else { return };
    let size = usize::from(size % 32) + 1;
    let whole = received(stream, stream.len().max(1), usize::MAX);
    assert_eq!(received(stream, size, usize::MAX), whole);
    // All of it was said, in this order.
    let mut rest = stream;
    for frame in whole.iter().filter_map(|frame| frame.as_ref().ok()) {
        let at = rest.windows(frame.len().max(1)).position(|part| part.starts_with(frame.as_bytes()));
        rest = &rest[at.unwrap_or(0) + frame.len()..];
    }
    let limit = 16;
    for frame in received(stream, size, limit).iter().filter_map(|frame| frame.as_ref().ok()) {
        assert!(frame.len() <= limit + size, "{frame}");
    }
}

/// A stream that is read in pieces of a size.
struct Pieces {
    stream: Vec<u8>,
    at: usize,
    size: usize,
}

impl AsyncRead for Pieces {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        to: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let end = self.stream.len().min(self.at + self.size.min(to.remaining()));
        to.put_slice(&self.stream[self.at..end]);
        self.at = end;
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Pieces {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

fn owned(frame: Frame<'_>) -> String {
    frame.text().to_owned()
}

fn kind(error: ReceiveError) -> io::ErrorKind {
    match error {
        ReceiveError::Invalid(_) => io::ErrorKind::InvalidData,
        ReceiveError::TooLong(_) => io::ErrorKind::FileTooLarge,
        ReceiveError::Closed(_) => io::ErrorKind::ConnectionAborted,
        ReceiveError::Io(error) => error.kind(),
    }
}

/// Returns the frames of a stream, and the kinds of errors between them or at the end.
fn received(stream: &[u8], size: usize, limit: usize) -> Vec<Result<String, io::ErrorKind>> {
    let mut lines = lines(Pieces { stream: stream.to_vec(), at: 0, size }).limit(limit);
    let mut frames = Vec::new();
    let mut cx = Context::from_waker(Waker::noop());
    loop {
        match lines.poll_receive(&mut cx) {
            Poll::Ready(Some(frame)) => frames.push(frame.map(owned).map_err(kind)),
            // Only in between is there a pause, when much is thrown away.
            Poll::Pending => {}
            Poll::Ready(None) => return frames,
        }
    }
}

/// Reads the bytes that a WebSocket's peer sends after the handshake. The first byte sets the size of the pieces, and
/// the side that reads. The messages are the same for any size, and no more is held than has arrived.
pub fn web_socket(data: &[u8]) {
    let Some((first, stream)) = data.split_first() else { return };
    let role = if first & 0x80 == 0 { Role::Server } else { Role::Client };
    let size = usize::from(first % 32) + 1;
    let whole = messages(stream, stream.len().max(1), role, usize::MAX);
    assert_eq!(messages(stream, size, role, usize::MAX), whole);
    let limit = 16;
    for message in messages(stream, size, role, limit).iter().filter_map(|message| message.as_ref().ok()) {
        assert!(message.len() <= limit, "{message}");
    }
}

/// Returns the messages of a WebSocket, and the kind of the error at the end.
fn messages(stream: &[u8], size: usize, role: Role, limit: usize) -> Vec<Result<String, io::ErrorKind>> {
    let pieces = Pieces { stream: stream.to_vec(), at: 0, size };
    let mut frames = Frames::new(pieces, role, limit, Vec::new());
    let mut found = Vec::new();
    let mut cx = Context::from_waker(Waker::noop());
    loop {
        let next = frames.poll_receive(&mut cx).map(|next| next.map(|text| text.map(owned)));
        assert!(frames.properties().arriving <= 2 * stream.len() + (16 << 10));
        match next {
            Poll::Ready(Some(text)) => found.push(text.map_err(kind)),
            // Only in between is there a pause, when much is thrown away.
            Poll::Pending => {}
            Poll::Ready(None) => return found,
        }
        // It says so again and again.
        if found.last().is_some_and(|last| matches!(last, Err(io::ErrorKind::UnexpectedEof))) {
            return found;
        }
    }
}

/// An address. Written, it is read as the same.
pub fn address(data: &[u8]) {
    let Some(Ok(address)) = text(data).map(str::parse::<Address>) else { return };
    assert_eq!(address.to_string().parse::<Address>().ok(), Some(address));
}
/// An origin that is let in, the one that a request has, and the host that it is to, with spaces between.
pub fn origin(data: &[u8]) {
    let Some(text) = text(data) else { return };
    let mut words = text.split(' ');
    let mut origins = Origins::default();
    let (allowed, asking, host) = (words.next().unwrap_or_default(), words.next(), words.next());
    let before = origins.allow(asking, host, None);
    origins.add(allowed);
    assert!(asking.is_some() || before);
    assert!(!before || origins.allow(asking, host, None));
    let trimmed = allowed.trim_end_matches('/');
    assert!(origins.allow(Some(trimmed), None, None), "what was let in is not");
    assert!(origins.lists(trimmed), "what was let in is not listed");
    assert!(host.is_none_or(|host| !Origins::default().knows_host(host) || origins.knows_host(host)));
}

/// The head of a request. One that opens a WebSocket has asked for it.
pub fn upgrade(data: &[u8]) {
    let door = Door { origins: &Origins::default(), subprotocols: &[], tls: None, peer: None };
    let Ok((request, response)) = ws::answer(data, &door, "/") else { return };
    assert_eq!(response.status(), 101);
    assert!(request.headers().contains_key("sec-websocket-key"));
    assert!(data.starts_with(b"GET "));
}
