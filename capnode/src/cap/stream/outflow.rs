//! The sending side of a stream: writes to a reference, as many at once as the window allows.

use std::collections::VecDeque;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use super::chunk::{Acknowledge, unread};
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

/// The most writes on their way to an object of this program, which has no bytes to count.
const LOCAL: usize = 16;

/// The sending side of a stream. Dropping it without an end aborts the stream.
pub(crate) struct Outflow {
    target: Cap,
    window: Window,
    /// Writes that are not acknowledged yet, in their order.
    sent: VecDeque<Write>,
    failed: Option<Error>,
}

/// A write on its way.
struct Write {
    response: Response,
    sent: Sent,
    acknowledge: Option<Acknowledge>,
}

impl Outflow {
    pub(crate) fn new(target: Cap) -> Self {
        Self { target, window: Window::new(), sent: VecDeque::new(), failed: None }
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
        if let Poll::Ready(Err(error)) = self.poll_answers(cx) {
            return Poll::Ready(Err(error));
        }
        let Some(import) = self.target.import() else {
            return if self.sent.len() < LOCAL { Poll::Ready(Ok(())) } else { Poll::Pending };
        };
        let connection = import.connection();
        let charged = self.window.in_flight() as usize + self.sent.len() * ENVELOPE;
        if self.window.is_full() || charged >= connection.stream_window() {
            return Poll::Pending;
        }
        connection.poll_room(cx).map(Ok)
    }

    /// Writes a chunk: a list of one argument. `acknowledge` learns its fate.
    pub(crate) fn write(&mut self, mut args: Args, acknowledge: Option<Acknowledge>) -> Result<(), Error> {
        let mut size = ENVELOPE;
        if let Some(bytes) = self.target.writes_within() {
            bounds::writing(bytes, || args.write(bytes))?;
            size += args.len();
        }
        self.send("write", args, size, acknowledge)
    }

    /// Says that nothing follows. [`poll_answers`](Self::poll_answers) is ready when that has arrived.
    pub(crate) fn close(&mut self, acknowledge: Option<Acknowledge>) {
        if let Err(error) = self.send("close", no_args(), ENVELOPE, acknowledge) {
            self.failed.get_or_insert(error);
        }
    }

    fn send(
        &mut self,
        name: &'static str,
        args: Args,
        size: usize,
        acknowledge: Option<Acknowledge>,
    ) -> Result<(), Error> {
        let import = self.target.import();
        let Some(counted) = import.and_then(|import| import.connection().count_unacknowledged(size)) else {
            let response = self.call(name, args);
            let sent = self.window.sent(size, self.now());
            self.sent.push_back(Write { response, sent, acknowledge });
            return Ok(());
        };
        let sent = counted.and_then(|()| self.call(name, args).detach());
        if let Some(acknowledge) = acknowledge {
            acknowledge(sent.clone());
        }
        sent
    }

    /// Ends the stream by an error, which the reader gets.
    pub(crate) fn abort(&mut self, reason: &Error) {
        let response = self.call("abort", error_args(reason));
        // Nothing is to be done if it fails: the reader has gone.
        let _gone = response.detach();
        self.failed.get_or_insert_with(|| reason.clone());
    }

    fn call(&self, name: &'static str, args: Args) -> Response {
        let options = CallOptions { chunk: true, at_once: true, ..CallOptions::NONE };
        let member = Member::Path(Path::One(Key::Name(Text::Static(name))));
        self.target.clone().request(Request { member, args, typed: false, options })
    }
}

pub(super) fn no_args() -> Args {
    Args::Wire(Payload::plain("[]".to_owned()))
}

/// Returns an error as the only argument.
pub(super) fn error_args(reason: &Error) -> Args {
    let text = capnweb::error_text(reason).unwrap_or_default();
    Args::Wire(Payload::plain(format!("[{text}]")))
}

impl Outflow {
    /// Waits for no more answers. All writes without one have failed by `reason`.
    pub(crate) fn fail(&mut self, reason: &Error) {
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
