//! The sending side of a stream: writes to a reference, as many at once as the window allows.

use std::collections::VecDeque;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use super::chunk::{Acknowledge, Item, error_args, no_args, unread};
use super::ends::WriteEnd;
use super::window::{Sent, Window};
use crate::bounds;
use crate::cap::Cap;
use crate::cap::request::{Args, CallOptions, Member, Request};
use crate::cap::response::Response;
use crate::dialect::capnweb;
use crate::error::Error;
use crate::message::{Key, Path, Payload, Text};

/// Bytes that a write counts as beside its text.
const ENVELOPE: usize = 64;

/// Bytes of chunks, with [`ENVELOPE`] for each, that are enough for one write: so little that several writes are on their
/// way in the smallest window. A larger chunk goes alone.
const JOINED: usize = 4 << 10;

/// A write of several chunks has at most this part of a frame.
const PART_OF_FRAME: usize = 4;

/// The most chunks that are joined.
pub(crate) const JOINED_CHUNKS: usize = JOINED / ENVELOPE;

/// Bytes after which a stream lets others go on.
const TURN: usize = 8 << 10;

/// The most writes that wait in an object of this program, which has no bytes to count: in a stream of its own those that
/// nobody has read, in another object those on their way.
const LOCAL: usize = 16;

/// The sending side of a stream. Dropping it without an end aborts the stream.
pub(crate) struct Outflow {
    target: Cap,
    window: Window,
    /// Writes that are not acknowledged yet, in their order.
    sent: VecDeque<Write>,
    /// The bytes of chunks that are enough for one write; 0 unless the target is a pipe of a peer that takes several.
    joins: usize,
    joined: Joined,
    /// Bytes that were sent since others went on.
    turn: usize,
    failed: Option<Error>,
}

/// Chunks that go into one write.
#[derive(Default)]
struct Joined {
    /// The arguments of the write without the bracket at the end.
    text: String,
    chunks: usize,
    size: usize,
    acknowledges: Vec<Acknowledge>,
}

/// A write on its way.
struct Write {
    response: Response,
    sent: Sent,
    acknowledge: Option<Acknowledge>,
}

impl Outflow {
    pub(crate) fn new(target: Cap) -> Self {
        let (sent, joined) = (VecDeque::new(), Joined::default());
        Self { target, window: Window::new(), sent, joins: 0, joined, turn: 0, failed: None }
    }

    /// Returns the reference that is written to.
    pub(crate) fn target(&self) -> &Cap {
        &self.target
    }

    fn now(&self) -> Duration {
        self.target.import().map_or(Duration::ZERO, |import| import.connection().now())
    }

    /// Takes the answers that have come. Ready when a write has failed, or none is on its way.
    pub(crate) fn poll_answers(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        while self.failed.is_none() {
            let Some(Write { response, .. }) = self.sent.front_mut() else { return Poll::Ready(Ok(())) };
            let outcome = ready!(response.poll(cx, None));
            let now = self.now();
            let Some(Write { sent, acknowledge, .. }) = self.sent.pop_front() else { continue };
            let fate = match outcome {
                Ok(_) => {
                    self.window.acknowledged(sent, now);
                    Ok(())
                }
                Err(error) => {
                    self.window.failed(sent);
                    self.failed = Some(error.clone());
                    Err(error)
                }
            };
            if let Some(acknowledge) = acknowledge {
                acknowledge(fate);
            }
        }
        Poll::Ready(self.failed.clone().map_or(Ok(()), Err))
    }

    /// Ready when there is room for one more write, or one has failed.
    pub(crate) fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        if self.joined.chunks > 0 {
            return Poll::Ready(Ok(()));
        }
        if let Poll::Ready(Err(error)) = self.poll_answers(cx) {
            return Poll::Ready(Err(error));
        }
        let Some(import) = self.target.import() else {
            let has_room = self.sent.len() < LOCAL
                || WriteEnd::of(&self.target).is_some_and(|end| end.0.poll_room(cx, LOCAL).is_ready());
            return if has_room { Poll::Ready(Ok(())) } else { Poll::Pending };
        };
        let connection = import.connection();
        let charged = self.window.in_flight() as usize + self.sent.len() * ENVELOPE;
        if self.window.is_full() || charged >= connection.stream_window() {
            return Poll::Pending;
        }
        let enough = JOINED.min(connection.frame_bytes() / PART_OF_FRAME);
        connection.poll_room(cx).map(|joins| {
            self.joins = if joins { enough } else { 0 };
            Ok(())
        })
    }

    /// Writes a chunk to a pipe: a list of one argument, perhaps together with others that follow before
    /// [`flush`](Self::flush). The item learns its fate, but for an error that is returned.
    pub(crate) fn write_item(&mut self, mut args: Args, item: &mut Item) -> Result<(), Error> {
        let size = ENVELOPE + self.encode(&mut args)?;
        let small = size <= self.joins;
        let Some(chunk) = args.as_plain().filter(|_| small).and_then(capnweb::only_argument) else {
            self.flush()?;
            return self.send("write", args, size, item.take_acknowledge());
        };
        let joined = &mut self.joined;
        joined.text.push(if joined.chunks == 0 { '[' } else { ',' });
        joined.text.push_str(chunk);
        joined.chunks += 1;
        joined.size += size;
        joined.acknowledges.extend(item.take_acknowledge());
        if joined.size >= self.joins {
            self.flush()?;
        }
        Ok(())
    }

    /// Sends the chunks that are joined. Returns `false` if there are none.
    pub(crate) fn flush(&mut self) -> Result<bool, Error> {
        let Joined { mut text, chunks, size, acknowledges } = std::mem::take(&mut self.joined);
        if chunks == 0 {
            return Ok(false);
        }
        text.push(']');
        let acknowledge = (!acknowledges.is_empty()).then(|| -> Acknowledge {
            Box::new(move |fate| acknowledges.into_iter().for_each(|acknowledge| acknowledge(fate.clone())))
        });
        let name = if chunks == 1 { "write" } else { "writes" };
        self.send(name, Args::Wire(Payload::plain(text)), size, acknowledge).map(|()| true)
    }

    /// Writes a chunk: a list of one argument. If that fails, nothing follows: a stream without one of its chunks is not
    /// passed off as all of it.
    pub(crate) fn write(&mut self, mut args: Args) -> Result<(), Error> {
        let written = self.encode(&mut args);
        let sent = written.and_then(|size| self.send("write", args, ENVELOPE + size, None));
        if let Err(error) = &sent {
            self.failed.get_or_insert_with(|| error.clone());
        }
        sent
    }

    /// Returns `true` once for so much that other streams should go on before this one does.
    pub(crate) fn ends_turn(&mut self) -> bool {
        let ends = self.turn >= TURN;
        if ends {
            self.turn = 0;
        }
        ends
    }

    /// Writes arguments as text, if the target is reached by that. Returns their bytes.
    fn encode(&self, args: &mut Args) -> Result<usize, Error> {
        let Some(bytes) = self.target.writes_within() else { return Ok(0) };
        bounds::writing(bytes, || args.write(bytes))?;
        Ok(args.len())
    }

    /// Sends a message of the stream. One that cannot be sent fails at once, before anything follows it.
    fn send(
        &mut self,
        name: &'static str,
        args: Args,
        size: usize,
        acknowledge: Option<Acknowledge>,
    ) -> Result<(), Error> {
        self.turn += size;
        let import = self.target.import();
        let sent = match import.and_then(|import| import.connection().count_unacknowledged(size)) {
            Some(counted) => counted.and_then(|()| self.call(name, args).detach()),
            None => {
                let response = self.call(name, args);
                let Some(error) = response.failed().cloned() else {
                    let sent = self.window.sent(size, self.now());
                    self.sent.push_back(Write { response, sent, acknowledge });
                    return Ok(());
                };
                Err(error)
            }
        };
        if let Some(acknowledge) = acknowledge {
            acknowledge(sent.clone());
        }
        sent
    }

    /// Says that nothing follows. [`poll_answers`](Self::poll_answers) is ready when that has arrived. A stream that has
    /// failed is aborted instead.
    pub(crate) fn close(&mut self, acknowledge: Option<Acknowledge>) -> Result<(), Error> {
        let ended = match self.failed.clone() {
            Some(error) => {
                self.abort(&error);
                Err(error)
            }
            None => self.flush().map(drop),
        };
        match (ended, acknowledge) {
            (Ok(()), acknowledge) => self.send("close", no_args(), ENVELOPE, acknowledge),
            (Err(error), acknowledge) => {
                if let Some(acknowledge) = acknowledge {
                    acknowledge(Err(error.clone()));
                }
                Err(error)
            }
        }
    }

    /// Ends the stream by an error, which the reader gets.
    pub(crate) fn abort(&mut self, reason: &Error) {
        let response = self.call("abort", error_args(reason));
        // Nothing is to be done if it fails: the reader has gone.
        let _gone = response.detach();
        self.failed.get_or_insert_with(|| reason.clone());
    }

    fn call(&self, name: &'static str, args: Args) -> Response {
        // A reader may take longer than a call may.
        let options = CallOptions { chunk: true, at_once: true, timed: true, ..CallOptions::NONE };
        let member = Member::Path(Path::One(Key::Name(Text::Static(name))));
        self.target.clone().request(Request { member, args, typed: false, options })
    }
}

impl Outflow {
    /// Waits for no more answers. All writes without one have failed by `reason`.
    pub(crate) fn fail(&mut self, reason: &Error) {
        let joined = std::mem::take(&mut self.joined).acknowledges;
        joined.into_iter().for_each(|acknowledge| acknowledge(Err(reason.clone())));
        for Write { response, acknowledge, .. } in self.sent.drain(..) {
            // It has been sent, and is not taken back: npm's `capnweb` knows no release of a write.
            let _sent = response.detach();
            if let Some(acknowledge) = acknowledge {
                acknowledge(Err(reason.clone()));
            }
        }
    }
}

impl Drop for Outflow {
    fn drop(&mut self) {
        self.fail(&unread());
    }
}
