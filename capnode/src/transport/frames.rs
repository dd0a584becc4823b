//! WebSocket frames (RFC 6455) over a byte stream whose handshake is done.
//!
//! This module reads frames without a library, for three reasons. Memory is taken for received bytes and never for a
//! length that a peer announces. The received part of a message is known. A message that is too long can be refused
//! with a reason.

use std::io;
use std::ops::Range;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite};

use super::input::{CHUNK, Input, ended};
use super::messages::close_reason;
use super::mixed::MixedMessage;
use super::{Closing, FAILED, Frame, LIFE, Leftover, NORMAL, Outgoing, Properties, ReceiveError, Transport};
use crate::retention::{self, SMALL};

/// The most bytes of a frame before its payload.
const HEADER: usize = 14;

/// The most bytes of the payload of a control frame.
const CONTROL: usize = 125;

const CONTINUATION: u8 = 0;
const TEXT: u8 = 1;
const BINARY: u8 = 2;
const CLOSE: u8 = 8;
const PING: u8 = 9;
const PONG: u8 = 10;

pub(super) const PROTOCOL: u16 = 1002;
pub(super) const INVALID: u16 = 1007;
pub(super) const TOO_LONG: u16 = 1009;

/// The side of a WebSocket. The client masks its frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    #[cfg_attr(not(any(feature = "ws", test)), allow(dead_code))]
    Client,
    Server,
}

/// A WebSocket: a text message for each frame of the session.
#[derive(Debug)]
pub(crate) struct Frames<S> {
    stream: S,
    role: Role,
    reader: Reader,
    writer: Writer,
    /// Signs of life that came in control frames.
    controls: u64,
    /// The close code for the peer's fault.
    fault: Option<u16>,
    /// The last message with bytes beside its text.
    mixed: MixedMessage,
}

#[derive(Debug)]
struct Reader {
    role: Role,
    /// The most bytes of a message.
    limit: usize,
    input: Input,
    /// The payload of a message that is not whole yet, or that spanned several reads.
    message: Vec<u8>,
    /// `true` if a message has begun whose last frame has not.
    begun: bool,
    /// `true` if the message has bytes beside its text.
    mixed: bool,
    /// `true` if `message` has been given out.
    taken: bool,
    frame: Option<Header>,
}

/// The header of a frame, and how much of the frame is left.
#[derive(Clone, Copy, Debug)]
struct Header {
    opcode: u8,
    last: bool,
    /// Bytes of the payload that have not been taken.
    left: usize,
    mask: Option<[u8; 4]>,
}

/// The next item in the buffer.
enum Step {
    /// More has to be read.
    Read,
    /// A text message within the buffer.
    InPlace(Range<usize>),
    /// A text message in `message`.
    Joined,
    Ping(Vec<u8>),
    Pong,
    Close(Option<(u16, String)>),
}

/// The reason for closing a connection, with the close code.
struct Fault(u16, ReceiveError);

#[derive(Debug, Default)]
struct Writer {
    /// Bytes for the stream, of which `written` have been written.
    out: Vec<u8>,
    written: usize,
    /// The frame that is being written: bytes of its payload that have not been taken, and its mask.
    left: usize,
    mask: Option<[u8; 4]>,
    pong: Option<Vec<u8>>,
    ping: bool,
    /// `true` once the close frame is in `out`, or cannot be written.
    closing: bool,
    keys: Keys,
}

/// Random masks, taken from the system many at a time.
#[derive(Debug)]
struct Keys {
    bytes: [u8; 256],
    at: usize,
}

impl Default for Keys {
    fn default() -> Self {
        Self { bytes: [0; 256], at: 256 }
    }
}

impl Keys {
    fn next(&mut self) -> io::Result<[u8; 4]> {
        if self.at >= self.bytes.len() {
            crate::runtime::random::fill(&mut self.bytes).map_err(io::Error::other)?;
            self.at = 0;
        }
        let mut key = [0; 4];
        key.copy_from_slice(&self.bytes[self.at..self.at + 4]);
        self.at += 4;
        Ok(key)
    }
}

/// Masks or unmasks bytes, and returns the mask for what follows them.
fn mask(bytes: &mut [u8], key: [u8; 4]) -> [u8; 4] {
    let [a, b, c, d] = key;
    let wide = u64::from_ne_bytes([a, b, c, d, a, b, c, d]);
    let mut eights = bytes.chunks_exact_mut(8);
    for eight in &mut eights {
        let mut word = [0; 8];
        word.copy_from_slice(eight);
        eight.copy_from_slice(&(u64::from_ne_bytes(word) ^ wide).to_ne_bytes());
    }
    for (byte, key) in eights.into_remainder().iter_mut().zip(key.into_iter().cycle()) {
        *byte ^= key;
    }
    let mut next = key;
    next.rotate_left(bytes.len() % 4);
    next
}

fn protocol(message: &str) -> Fault {
    Fault(PROTOCOL, ReceiveError::Invalid(message.to_owned()))
}

impl Reader {
    /// Reads the header of the next frame, if all of it is there.
    fn header(&mut self) -> Result<Option<Header>, Fault> {
        let bytes = self.input.bytes();
        let [first, second, rest @ ..] = bytes else { return Ok(None) };
        let short = usize::from(second & 0x7f);
        let extended = match short {
            126 => 2,
            127 => 8,
            _ => 0,
        };
        let masked = second & 0x80 != 0;
        let size = extended + if masked { 4 } else { 0 };
        let Some(fields) = rest.get(..size) else { return Ok(None) };
        let (length, key) = fields.split_at(extended);
        let length = match extended {
            0 => short as u64,
            _ => length.iter().fold(0, |length, byte| (length << 8) | u64::from(*byte)),
        };
        let mask = <[u8; 4]>::try_from(key).ok();
        let (opcode, last) = (first & 0x0f, first & 0x80 != 0);
        if first & 0x70 != 0 {
            return Err(protocol("a WebSocket frame with a reserved bit set"));
        }
        match (self.role, masked) {
            (Role::Server, false) => return Err(protocol("an unmasked WebSocket frame from a client")),
            (Role::Client, true) => return Err(protocol("a masked WebSocket frame from a server")),
            _ => {}
        }
        match opcode {
            CONTINUATION if !self.begun => {
                return Err(protocol("a WebSocket continuation frame without a message to continue"));
            }
            TEXT | BINARY if self.begun => {
                return Err(protocol("a WebSocket message inside another one"));
            }
            CONTINUATION | TEXT | BINARY => {
                if opcode != CONTINUATION {
                    self.mixed = opcode == BINARY;
                }
                let whole = length.saturating_add(self.message.len() as u64);
                if whole > self.limit as u64 {
                    let message = format!("a message is longer than {} bytes", self.limit);
                    return Err(Fault(TOO_LONG, ReceiveError::TooLong(message)));
                }
            }
            CLOSE | PING | PONG if !last || length > CONTROL as u64 => {
                return Err(protocol(
                    "a WebSocket control frame that is fragmented or longer than 125 bytes",
                ));
            }
            CLOSE | PING | PONG => {}
            _ => return Err(protocol("a WebSocket frame with an unknown opcode")),
        }
        self.input.start += 2 + size;
        Ok(Some(Header { opcode, last, left: usize::try_from(length).unwrap_or(usize::MAX), mask }))
    }

    /// Takes `range` of the buffer, unmasked.
    fn unmask(&mut self, range: Range<usize>, frame: &mut Header) -> Range<usize> {
        if let Some(key) = &mut frame.mask {
            *key = mask(&mut self.input.buffer[range.clone()], *key);
        }
        frame.left -= range.len();
        self.input.start = range.end;
        range
    }

    fn next(&mut self) -> Result<Step, Fault> {
        if std::mem::take(&mut self.taken) {
            self.message.clear();
        }
        loop {
            let mut frame = match self.frame.take() {
                Some(frame) => frame,
                None => match self.header()? {
                    Some(frame) => frame,
                    None => return Ok(Step::Read),
                },
            };
            let here = frame.left.min(self.input.bytes().len());
            let whole = here == frame.left;
            let range = self.input.start..self.input.start + here;
            if frame.opcode >= CLOSE {
                if !whole {
                    self.frame = Some(frame);
                    return Ok(Step::Read);
                }
                let range = self.unmask(range, &mut frame);
                return control(frame.opcode, &self.input.buffer[range]);
            }
            let alone = !self.begun && self.message.is_empty();
            if whole && frame.last && alone {
                return Ok(Step::InPlace(self.unmask(range, &mut frame)));
            }
            let range = self.unmask(range, &mut frame);
            self.append(range);
            if !whole {
                self.frame = Some(frame);
                return Ok(Step::Read);
            }
            self.begun = !frame.last;
            if frame.last {
                self.taken = true;
                return Ok(Step::Joined);
            }
        }
    }

    /// Adds a part of the buffer to the message. Takes at most twice the received bytes, and no more than the limit of
    /// a message.
    fn append(&mut self, range: Range<usize>) {
        let needed = self.message.len() + range.len();
        if needed > self.message.capacity() {
            let room = (needed * 2).max(CHUNK).min(self.limit.max(needed));
            let more = room - self.message.len();
            retention::reserve(&mut self.message, more);
        }
        self.message.extend_from_slice(&self.input.buffer[range]);
    }

    /// Makes room for the next read.
    fn make_room(&mut self) {
        if self.input.buffer.capacity() == 0 {
            self.input.buffer.reserve_exact(CHUNK);
        }
        if self.input.bytes().is_empty() {
            self.input.buffer.clear();
            self.input.start = 0;
        } else if self.input.room() < HEADER + CONTROL {
            self.input.compact();
        }
    }

    /// Gives back buffers for large messages, when nothing waits to be taken.
    fn shrink(&mut self) {
        if self.message.is_empty() && self.message.capacity() > SMALL {
            retention::give(std::mem::take(&mut self.message));
        }
    }
}

fn control(opcode: u8, payload: &[u8]) -> Result<Step, Fault> {
    Ok(match (opcode, payload) {
        (PING, payload) => Step::Ping(payload.to_vec()),
        (PONG, _) => Step::Pong,
        (_, []) => Step::Close(None),
        (_, [_]) => return Err(protocol("a WebSocket close frame with an incomplete status code")),
        (_, [high, low, reason @ ..]) => {
            let code = u16::from_be_bytes([*high, *low]);
            let reason = std::str::from_utf8(reason).map_err(|_| {
                Fault(INVALID, ReceiveError::Invalid("a close reason that is not UTF-8".to_owned()))
            })?;
            Step::Close(Some((code, reason.to_owned())))
        }
    })
}

impl Writer {
    /// Adds a header.
    fn header(&mut self, role: Role, opcode: u8, length: usize) -> io::Result<Option<[u8; 4]>> {
        let masked = if role == Role::Client { 0x80 } else { 0 };
        self.out.push(0x80 | opcode);
        if length < 126 {
            self.out.push(masked | length as u8);
        } else if let Ok(length) = u16::try_from(length) {
            self.out.push(masked | 126);
            self.out.extend_from_slice(&length.to_be_bytes());
        } else {
            self.out.push(masked | 127);
            self.out.extend_from_slice(&(length as u64).to_be_bytes());
        }
        if role == Role::Server {
            return Ok(None);
        }
        let key = self.keys.next()?;
        self.out.extend_from_slice(&key);
        Ok(Some(key))
    }

    fn payload(&mut self, bytes: &[u8], key: Option<[u8; 4]>) -> Option<[u8; 4]> {
        let from = self.out.len();
        self.out.extend_from_slice(bytes);
        key.map(|key| mask(&mut self.out[from..], key))
    }

    fn whole(&mut self, role: Role, opcode: u8, payload: &[u8]) -> io::Result<()> {
        let key = self.header(role, opcode, payload.len())?;
        self.payload(payload, key);
        Ok(())
    }

    /// Adds the waiting control frames, unless a frame is half written or there is no room.
    fn controls(&mut self, role: Role) -> io::Result<()> {
        if self.left > 0 || self.closing || self.out.len() >= CHUNK {
            return Ok(());
        }
        if let Some(payload) = self.pong.take() {
            self.whole(role, PONG, &payload)?;
        }
        if std::mem::take(&mut self.ping) {
            self.whole(role, PING, &[])?;
        }
        Ok(())
    }

    /// Takes as many of `frames` as there is room for.
    fn fill(&mut self, role: Role, frames: &mut Outgoing) -> io::Result<()> {
        self.controls(role)?;
        while self.out.len() < CHUNK && !self.closing {
            let Some((piece, left, mixed)) = frames.first() else { break };
            if self.left == 0 {
                self.left = left;
                self.mask = self.header(role, if mixed { BINARY } else { TEXT }, left)?;
            }
            let part = piece.len().min(CHUNK);
            self.mask = self.payload(&piece[..part], self.mask);
            self.left -= part;
            if self.left > 0 {
                frames.advance(part);
            } else {
                frames.drop_first();
                self.controls(role)?;
            }
        }
        if frames.is_empty() {
            frames.clear();
        }
        Ok(())
    }

    /// Writes the taken frames.
    fn poll_write<S: AsyncWrite + Unpin>(
        &mut self,
        stream: &mut S,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        while self.written < self.out.len() {
            match ready!(Pin::new(&mut *stream).poll_write(cx, &self.out[self.written..]))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                written => self.written += written,
            }
        }
        self.written = 0;
        self.out.clear();
        if self.out.capacity() > CHUNK / 8 {
            self.out = Vec::new();
        }
        Poll::Ready(Ok(()))
    }
}

impl<S> Frames<S> {
    /// Returns a WebSocket over a stream of which `read` has come behind the handshake.
    pub(crate) fn new(stream: S, role: Role, limit: usize, mut read: Vec<u8>) -> Self {
        if !read.is_empty() {
            read.reserve_exact(CHUNK);
        }
        let input = Input { buffer: read, ..Input::default() };
        let reader = Reader {
            role,
            limit,
            input,
            message: Vec::new(),
            begun: false,
            mixed: false,
            taken: false,
            frame: None,
        };
        let writer = Writer::default();
        Self { stream, role, reader, writer, controls: 0, fault: None, mixed: MixedMessage::default() }
    }

    /// Takes a message with bytes beside its text: the length of the text, the text, and the bytes.
    fn mixed(&mut self, message: ::bytes::Bytes) -> Result<Frame<'_>, ReceiveError> {
        let frame = self.mixed.set(message, "a binary message: send text instead");
        frame.inspect_err(|_| self.fault = Some(FAILED))
    }

    /// Discards all buffered and later input.
    fn discard(&mut self, leftover: Leftover) {
        self.reader.input.discard(leftover);
        (self.reader.message, self.reader.frame) = (Vec::new(), None);
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Frames<S> {
    /// Writes the waiting control frames, as far as possible.
    fn answer(&mut self, cx: &mut Context<'_>) {
        if self.writer.pong.is_none() && self.writer.out.is_empty() {
            return;
        }
        // The next read or write reports a failure. As long as the peer reads nothing, a later ping takes the place of
        // one that waits.
        if matches!(self.writer.poll_write(&mut self.stream, cx), Poll::Ready(Ok(())))
            && self.writer.controls(self.role).is_ok()
            && self.writer.poll_write(&mut self.stream, cx).is_ready()
        {
            let _flushed = Pin::new(&mut self.stream).poll_flush(cx);
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Send + Unpin + 'static> Transport for Frames<S> {
    fn poll_receive(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<'_>, ReceiveError>>> {
        self.mixed.clear();
        if self.reader.input.leftover.is_some() {
            let discarded = self.reader.input.poll_discard(&mut self.stream, cx);
            return discarded.map(|outcome| outcome.err().map(|error| Err(error.into())));
        }
        self.answer(cx);
        let text = loop {
            match self.reader.next() {
                Ok(Step::Read) => {}
                Ok(Step::InPlace(range)) if self.reader.mixed => {
                    let message = ::bytes::Bytes::copy_from_slice(&self.reader.input.buffer[range]);
                    return Poll::Ready(Some(self.mixed(message)));
                }
                Ok(Step::Joined) if self.reader.mixed => {
                    let message = std::mem::take(&mut self.reader.message).into();
                    return Poll::Ready(Some(self.mixed(message)));
                }
                Ok(Step::InPlace(range)) => break &self.reader.input.buffer[range],
                Ok(Step::Joined) => break &self.reader.message,
                Ok(Step::Ping(payload)) => {
                    self.controls += 1;
                    // Of several, the last one is answered.
                    self.writer.pong = Some(payload);
                    self.answer(cx);
                    continue;
                }
                Ok(Step::Pong) => {
                    self.controls += 1;
                    continue;
                }
                Ok(Step::Close(reason)) => {
                    let code = reason.as_ref().map(|(code, _)| *code);
                    self.fault = Some(code.unwrap_or(NORMAL));
                    self.discard(Leftover::small());
                    let ordinary = matches!(code, None | Some(NORMAL));
                    let reason = reason.filter(|_| !ordinary);
                    return Poll::Ready(
                        reason.map(|(code, reason)| Err(ReceiveError::Closed(format!("{code} {reason}")))),
                    );
                }
                Err(Fault(code, error)) => {
                    self.fault = Some(code);
                    let long = matches!(error, ReceiveError::TooLong(_));
                    self.discard(if long { Leftover::of_too_long() } else { Leftover::small() });
                    return Poll::Ready(Some(Err(error)));
                }
            }
            self.reader.make_room();
            let read = self.reader.input.poll_read(&mut self.stream, cx);
            if read.is_pending() {
                self.reader.shrink();
            }
            match ready!(read) {
                Ok(0) => {
                    let error = ended("the stream ended without a WebSocket close frame");
                    return Poll::Ready(Some(Err(error.into())));
                }
                Ok(_) => {}
                Err(error) => return Poll::Ready(Some(Err(error.into()))),
            }
        };
        let text = std::str::from_utf8(text).map(Frame::Text).map_err(|error| {
            self.fault = Some(INVALID);
            ReceiveError::Invalid(error.to_string())
        });
        Poll::Ready(Some(text))
    }

    fn poll_send(&mut self, cx: &mut Context<'_>, frames: &mut Outgoing) -> Poll<io::Result<()>> {
        // No frame follows a close, and a kept one would be offered again at once, for ever.
        if self.writer.closing && !frames.is_empty() {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        loop {
            self.writer.fill(self.role, frames)?;
            if self.writer.out.is_empty() {
                return Pin::new(&mut self.stream).poll_flush(cx);
            }
            ready!(self.writer.poll_write(&mut self.stream, cx))?;
        }
    }

    fn ping(&mut self) -> bool {
        self.writer.ping = true;
        true
    }

    fn properties(&self) -> Properties {
        let signs_of_life = self.controls + self.reader.input.read / LIFE;
        let arriving = self.reader.message.capacity();
        Properties { bytes: true, signs_of_life, arriving, ..Properties::default() }
    }

    fn poll_close(&mut self, cx: &mut Context<'_>, closing: Closing<'_>) -> Poll<io::Result<()>> {
        self.discard(Leftover::small());
        if !self.writer.closing {
            // Behind half a frame, it would be taken for the rest of it.
            if self.writer.left == 0 {
                let code = self.fault.unwrap_or_else(|| closing.code());
                let mut payload = code.to_be_bytes().to_vec();
                payload.extend_from_slice(close_reason(closing.reason().unwrap_or_default()).as_bytes());
                self.writer.whole(self.role, CLOSE, &payload)?;
            }
            self.writer.closing = true;
        }
        ready!(self.writer.poll_write(&mut self.stream, cx))?;
        ready!(Pin::new(&mut self.stream).poll_flush(cx))?;
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
