//! Byte streams, a line a frame.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::{Outgoing, Transport};

/// Frames over a byte stream, each a line: see [`lines`].
#[derive(Debug)]
pub struct Lines<S> {
    stream: S,
    /// What has been read and not been taken.
    buffer: Vec<u8>,
    /// Where the next line begins.
    start: usize,
    /// Up to where there is no line feed.
    searched: usize,
    limit: usize,
}

/// Carries frames over any byte stream, such as a TCP connection: a line a frame.
///
/// A line may be as long as [`Limits::frame_bytes`](crate::Limits::frame_bytes) says by default;
/// see [`Lines::limit`].
pub fn lines<S: AsyncRead + AsyncWrite + Send + Unpin + 'static>(stream: S) -> Lines<S> {
    let limit = crate::Limits::default().frame_bytes;
    Lines { stream, buffer: Vec::new(), start: 0, searched: 0, limit }
}

/// The standard input and output of this process, for a program that another one started.
///
/// Nothing else may be printed to the standard output then.
pub fn stdio() -> Lines<tokio::io::Join<tokio::io::Stdin, tokio::io::Stdout>> {
    lines(tokio::io::join(tokio::io::stdin(), tokio::io::stdout()))
}

/// The standard input and output of a child process, which was started with both piped.
///
/// # Errors
///
/// If one of them was not piped, or was taken before.
pub fn child(
    child: &mut tokio::process::Child,
) -> io::Result<Lines<tokio::io::Join<tokio::process::ChildStdout, tokio::process::ChildStdin>>> {
    let missing = || io::Error::other("start the child with `stdin` and `stdout` set to `Stdio::piped()`");
    let stdout = child.stdout.take().ok_or_else(missing)?;
    let stdin = child.stdin.take().ok_or_else(missing)?;
    Ok(lines(tokio::io::join(stdout, stdin)))
}

impl<S> Lines<S> {
    /// Refuses lines longer than `bytes`, before they are read to their end.
    pub fn limit(mut self, bytes: usize) -> Self {
        self.limit = bytes;
        self
    }

    /// The end of the line that begins at `start`, if all of it is there.
    fn find_line(&mut self) -> Option<usize> {
        let from = self.start.max(self.searched);
        let found = self.buffer.get(from..)?.iter().position(|byte| *byte == b'\n');
        self.searched = found.map_or(self.buffer.len(), |at| from + at + 1);
        found.map(|at| from + at)
    }

    /// Makes room for the next read.
    fn make_room(&mut self) {
        if self.start == self.buffer.len() {
            self.buffer.clear();
            if self.buffer.capacity() > 1 << 20 {
                self.buffer = Vec::new();
            }
        } else if self.start > 0 {
            self.buffer.drain(..self.start);
        } else {
            return;
        }
        self.searched = self.searched.saturating_sub(self.start);
        self.start = 0;
    }
}

impl<S: AsyncRead + AsyncWrite + Send + Unpin + 'static> Transport for Lines<S> {
    fn poll_receive(&mut self, cx: &mut Context<'_>) -> Poll<Option<io::Result<&str>>> {
        let end = loop {
            if let Some(end) = self.find_line() {
                break end;
            }
            if self.buffer.len() - self.start > self.limit {
                let message = format!("a message is longer than {} bytes", self.limit);
                return Poll::Ready(Some(Err(io::Error::new(io::ErrorKind::InvalidData, message))));
            }
            self.make_room();
            match ready!(self.poll_read(cx)) {
                Ok(0) if self.start == self.buffer.len() => return Poll::Ready(None),
                Ok(0) => {
                    self.start = self.buffer.len();
                    let message = "the connection ended in the middle of a message";
                    return Poll::Ready(Some(Err(io::Error::new(io::ErrorKind::UnexpectedEof, message))));
                }
                Ok(_) => {}
                Err(error) => return Poll::Ready(Some(Err(error))),
            }
        };
        let line = &self.buffer[self.start..end];
        self.start = end + 1;
        let invalid = |error| io::Error::new(io::ErrorKind::InvalidData, error);
        Poll::Ready(Some(std::str::from_utf8(line).map_err(invalid)))
    }

    fn poll_send(&mut self, cx: &mut Context<'_>, frames: &mut Outgoing) -> Poll<io::Result<()>> {
        while !frames.is_empty() {
            match ready!(Pin::new(&mut self.stream).poll_write(cx, frames.lines()))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                written => frames.advance(written),
            }
        }
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_close(&mut self, cx: &mut Context<'_>, _: Option<&str>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

impl<S: AsyncRead + Unpin> Lines<S> {
    /// Reads what there is. The number of bytes.
    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        const CHUNK: usize = 64 << 10;
        let filled = self.buffer.len();
        self.buffer.resize(filled + CHUNK, 0);
        let mut space = ReadBuf::new(&mut self.buffer[filled..]);
        let polled = Pin::new(&mut self.stream).poll_read(cx, &mut space);
        let read = space.filled().len();
        self.buffer.truncate(filled + read);
        polled.map_ok(|()| read)
    }
}
