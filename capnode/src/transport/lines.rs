//! Byte streams, a line a frame; some peers put nothing between the frames.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::process::{ChildStdin, ChildStdout};

use super::input::{CHUNK, Input, ended};
use super::mixed::{Arriving, MixedMessage};
use super::texts::{Byte, Text};
use super::{Closing, Frame, LIFE, Leftover, Outgoing, Properties, ReceiveError, Transport};
use crate::outgoing::LINE_HEAD;
use crate::retention::{self, SMALL};

/// The most pieces of one write.
const SLICES: usize = 32;

/// Frames over a byte stream, each a line: see [`lines`].
#[derive(Debug)]
pub struct Lines<S> {
    stream: S,
    /// The next line starts where it does.
    input: Input,
    /// The end of the part that is known to have no line feed.
    searched: usize,
    limit: usize,
    framing: Framing,
    /// A frame with bytes beside its text that has not arrived whole.
    arriving: Option<Arriving>,
    /// The last such frame.
    mixed: MixedMessage,
}

/// The separator of the frames that arrive.
#[derive(Debug)]
enum Framing {
    /// The first byte tells.
    Unknown,
    /// A line feed: every frame of Cap'n Web begins with a bracket.
    Lines,
    /// Nothing, or white space: every frame of the other languages begins with a brace, and programs that speak
    /// Capnode put nothing between them.
    Texts(Text),
}

/// Carries frames over any byte stream, such as a TCP connection: a line a frame.
///
/// From a peer that does not speak Cap'n Web, frames with nothing between them are taken, too.
///
/// The limit on a line is by default that of [`Limits::frame_bytes`](crate::Limits::frame_bytes); see [`Lines::limit`].
pub fn lines<S: AsyncRead + AsyncWrite + Send + Unpin + 'static>(stream: S) -> Lines<S> {
    let limit = crate::Limits::default().frame_bytes;
    Lines {
        stream,
        input: Input::default(),
        searched: 0,
        limit,
        framing: Framing::Unknown,
        arriving: None,
        mixed: MixedMessage::default(),
    }
}

/// Carries frames over the standard input and output of this process, for a program that another one started.
///
/// The program may print nothing else to the standard output.
pub fn stdio() -> Lines<tokio::io::Join<tokio::io::Stdin, tokio::io::Stdout>> {
    lines(tokio::io::join(tokio::io::stdin(), tokio::io::stdout()))
}

/// Carries frames over the standard input and output of a child process, which was started with both piped.
///
/// # Errors
///
/// If one of them was not piped, or was taken before.
pub fn child(child: &mut tokio::process::Child) -> io::Result<Lines<ChildPipes>> {
    let missing = || {
        io::Error::other(
            "the child has no pipes: set `stdin` and `stdout` to `Stdio::piped()` before it is spawned",
        )
    };
    let stdout = child.stdout.take().ok_or_else(missing)?;
    let stdin = child.stdin.take().ok_or_else(missing)?;
    Ok(lines(ChildPipes { stdout, stdin: Some(stdin) }))
}

/// The pipes to a child process: see [`child`].
#[derive(Debug)]
pub struct ChildPipes {
    stdout: ChildStdout,
    /// The input of the child until it is closed. Only dropping it closes it.
    stdin: Option<ChildStdin>,
}

impl ChildPipes {
    fn stdin(&mut self) -> io::Result<Pin<&mut ChildStdin>> {
        self.stdin.as_mut().map(Pin::new).ok_or_else(|| io::ErrorKind::BrokenPipe.into())
    }
}

impl AsyncRead for ChildPipes {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        to: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stdout).poll_read(cx, to)
    }
}

impl AsyncWrite for ChildPipes {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.stdin()?.poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stdin()?.poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if let Some(stdin) = &mut self.stdin {
            ready!(Pin::new(stdin).poll_flush(cx))?;
        }
        self.stdin = None;
        Poll::Ready(Ok(()))
    }
}

impl<S> Lines<S> {
    /// Refuses lines longer than `bytes`, before they are read to their end.
    pub fn limit(mut self, bytes: usize) -> Self {
        self.limit = bytes;
        self
    }

    /// Returns the end of the frame that begins at `start`, and the start of the next, if all of it is there.
    fn find_frame(&mut self) -> Option<(usize, usize)> {
        if let Framing::Unknown = self.framing {
            let white = |byte: &&u8| byte.is_ascii_whitespace();
            self.input.start += self.input.bytes().iter().take_while(white).count();
            self.framing = match self.input.bytes().first()? {
                b'{' => Framing::Texts(Text::default()),
                _ => Framing::Lines,
            };
        }
        match self.framing {
            Framing::Texts(_) => self.find_text(),
            _ => self.find_line().map(|end| (end, end + 1)),
        }
    }

    fn find_text(&mut self) -> Option<(usize, usize)> {
        let Framing::Texts(text) = &mut self.framing else { return None };
        let from = self.input.start.max(self.searched);
        for (at, byte) in self.input.buffer.get(from..)?.iter().enumerate() {
            let at = from + at;
            let next = match text.look(*byte) {
                Byte::Before => {
                    self.input.start = at + 1;
                    continue;
                }
                Byte::Inside => continue,
                Byte::Last => at + 1,
                Byte::Behind => at,
            };
            *text = Text::default();
            self.searched = next;
            return Some((next, next));
        }
        self.searched = self.input.buffer.len();
        None
    }

    fn find_line(&mut self) -> Option<usize> {
        let from = self.input.start.max(self.searched);
        let found = memchr::memchr(b'\n', self.input.buffer.get(from..)?);
        self.searched = found.map_or(self.input.buffer.len(), |at| from + at + 1);
        found.map(|at| from + at)
    }

    /// Returns `true` if a frame with bytes beside its text begins here. The first frame is none.
    fn is_at_mixed(&self) -> bool {
        matches!(self.framing, Framing::Lines) && self.input.bytes().first() == Some(&0)
    }

    /// Makes room for the next read.
    fn make_room(&mut self) {
        if self.input.start > 0 {
            self.searched = self.searched.saturating_sub(self.input.start);
            self.input.compact();
        }
        if self.input.room() < CHUNK / 4 {
            // As much again, but no more than the longest line needs.
            let held = self.input.buffer.len();
            retention::reserve(&mut self.input.buffer, held.min(self.limit.saturating_sub(held)) + CHUNK);
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Send + Unpin + 'static> Lines<S> {
    /// Receives a frame with bytes beside its text.
    fn poll_mixed(&mut self, cx: &mut Context<'_>) -> Poll<Result<::bytes::Bytes, ReceiveError>> {
        loop {
            if let Some(arriving) = &mut self.arriving {
                self.input.start += arriving.take(self.input.bytes());
                self.searched = self.input.start;
                if let Some(message) = arriving.finish() {
                    self.arriving = None;
                    return Poll::Ready(Ok(message));
                }
                let read = ready!(arriving.poll_read(&mut self.stream, cx))?;
                self.input.read += read as u64;
                if read == 0 {
                    return Poll::Ready(Err(ended("the connection ended in the middle of a message").into()));
                }
                continue;
            }
            match Arriving::begin(self.input.bytes(), self.limit) {
                Some(Ok(arriving)) => {
                    self.input.start += LINE_HEAD;
                    self.arriving = Some(arriving);
                }
                Some(Err(error)) => {
                    self.input.discard(Leftover::of_too_long());
                    return Poll::Ready(Err(error));
                }
                None => {
                    self.make_room();
                    if ready!(self.input.poll_read(&mut self.stream, cx))? == 0 {
                        self.input.start = self.input.buffer.len();
                        return Poll::Ready(Err(
                            ended("the connection ended in the middle of a message").into()
                        ));
                    }
                }
            }
        }
    }

    /// Writes frames of which some have bytes beside their text.
    fn poll_send_mixed(&mut self, cx: &mut Context<'_>, frames: &mut Outgoing) -> Poll<io::Result<usize>> {
        let mut slices = [IoSlice::new(&[]); SLICES];
        let filled = frames.fill(&mut slices);
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, &slices[..filled]);
        if let Poll::Ready(Ok(written)) = written {
            frames.advance(written);
        }
        written
    }
}

impl<S: AsyncRead + AsyncWrite + Send + Unpin + 'static> Transport for Lines<S> {
    fn poll_receive(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<'_>, ReceiveError>>> {
        self.mixed.clear();
        if self.input.leftover.is_some() {
            let discarded = self.input.poll_discard(&mut self.stream, cx);
            return discarded.map(|outcome| outcome.err().map(|error| Err(error.into())));
        }
        let (end, next) = loop {
            if self.arriving.is_some() || self.is_at_mixed() {
                let message = ready!(self.poll_mixed(cx));
                return Poll::Ready(Some(message.and_then(|message| {
                    self.mixed.set(message, "a message that is shorter than its text")
                })));
            }
            let found = self.find_frame();
            // A line that has come as a whole is refused as well.
            let length = found.map_or(self.input.buffer.len(), |(end, _)| end) - self.input.start;
            if length > self.limit {
                // The rest of the line follows.
                self.input.discard(Leftover::of_too_long());
                let message = format!("a message is longer than {} bytes", self.limit);
                return Poll::Ready(Some(Err(ReceiveError::TooLong(message))));
            }
            if let Some(found) = found {
                break found;
            }
            self.make_room();
            let read = self.input.poll_read(&mut self.stream, cx);
            if read.is_pending() && self.input.bytes().is_empty() && self.input.buffer.capacity() > SMALL {
                // Nothing may come for long.
                self.input.clear();
                self.searched = 0;
            }
            match ready!(read) {
                Ok(0) if self.input.bytes().is_empty() => return Poll::Ready(None),
                Ok(0) => {
                    self.input.start = self.input.buffer.len();
                    let error = ended("the connection ended in the middle of a message");
                    return Poll::Ready(Some(Err(error.into())));
                }
                Ok(_) => {}
                Err(error) => return Poll::Ready(Some(Err(error.into()))),
            }
        };
        let line = &self.input.buffer[self.input.start..end];
        self.input.start = next;
        let invalid = |error: std::str::Utf8Error| ReceiveError::Invalid(error.to_string());
        Poll::Ready(Some(std::str::from_utf8(line).map(Frame::Text).map_err(invalid)))
    }

    fn poll_send(&mut self, cx: &mut Context<'_>, frames: &mut Outgoing) -> Poll<io::Result<()>> {
        while !frames.is_empty() {
            if frames.is_mixed() {
                if ready!(self.poll_send_mixed(cx, frames))? == 0 {
                    return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
                }
                continue;
            }
            match ready!(Pin::new(&mut self.stream).poll_write(cx, frames.lines()))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                written => frames.advance(written),
            }
        }
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn properties(&self) -> Properties {
        // A large buffer may be larger than its content.
        let arriving = if self.input.buffer.capacity() > SMALL {
            self.input.buffer.capacity()
        } else {
            self.input.bytes().len()
        };
        Properties {
            byte_stream: true,
            bytes: true,
            signs_of_life: self.input.read / LIFE,
            arriving: arriving + self.arriving.as_ref().map_or(0, Arriving::held),
            ..Properties::default()
        }
    }

    fn poll_close(&mut self, cx: &mut Context<'_>, _: Closing<'_>) -> Poll<io::Result<()>> {
        self.input.discard(Leftover::small());
        // Not every stream does that when it is shut down.
        ready!(Pin::new(&mut self.stream).poll_flush(cx))?;
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
