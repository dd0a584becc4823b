//! The driver of a connection: it reads frames, starts handlers and writes the output.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use crate::error::{Error, ErrorKind, Fate, Fault};
use crate::limits::LimitKind;
use crate::link::drive::Parked;
use crate::link::task::LastTurn;
use crate::link::{Link, SHUTTING_DOWN};
use crate::message::Id;
use crate::outgoing::{Frame, Outgoing};
use crate::runtime::{Instant, Sleep, in_current, sleep_until, start, wait};
use crate::transport::{Closing, LEFTOVER, Properties, ReceiveError, Transport};

/// Frames that are taken in before other tasks get their turn, and parked calls that are started.
const BUDGET: usize = 128;

/// Time that a turn takes. The frame or call under way at its end may take longer: a short one can ask for much, such
/// as a call on a large result.
const TURN: Duration = Duration::from_millis(5);

/// Usual frames that are taken in between two looks at the time, each of which takes a tenth of the time of a frame.
const UNWATCHED: usize = 8;

/// Bytes of frames that are taken in during a turn. The last frame may exceed them.
const BUDGET_BYTES: usize = 256 << 10;

/// Time that a peer has to read the last output.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);

/// Time that a peer has for its first message, once there is something to send and its language has to be known.
const DIALECT_TIMEOUT: Duration = Duration::from_secs(30);

/// Pause after each frame to a Capnode peer on a byte stream, which takes the bytes of one read for exactly one frame.
const FRAME_GAP: Duration = Duration::from_millis(20);

/// Time that a function without handles is kept, in a language where the peer may be about to send it again.
const DEALLOC_DELAY: Duration = Duration::from_millis(200);

pub(crate) struct Driver<T> {
    link: Arc<Link>,
    transport: T,
    out: Outgoing,
    /// The frame that is being sent to a peer that takes one at a time.
    single_frame: Outgoing,
    /// The end of the pause before the next frame, and the call in the last one, whose answer shows that it was read.
    frame_gap: Option<(Sleep, Option<Id>)>,
    /// The deadline for the peer's first message.
    silence: Option<Sleep>,
    /// The time to release functions without handles.
    pending_deallocs: Option<Sleep>,
    /// Upgradable while user code holds the connection itself. A connecting side ends the connection when it is no
    /// longer needed.
    holders: Option<Weak<()>>,
    writable: bool,
    /// The error of a failed write. Frames that the peer has sent are still taken in.
    broken: Option<io::Error>,
    /// `true` if the last turn was left to other tasks before output is written.
    yielded: bool,
    /// `true` if the transport has not sent all it was given.
    flushing: bool,
    /// `true` if the last write to the transport was pending.
    blocked: bool,
    /// `true` if a blocked transport has taken bytes again.
    made_progress: bool,
    /// `true` if a caller waits until all is written.
    flush: bool,
    /// `true` if the peer has closed, or the transport has failed.
    ended: bool,
    /// The time limit for the calls of a peer that has closed.
    last_turn: Option<Sleep>,
    /// `true` if this side of the transport is closed. In a batch, the session may go on.
    closed: bool,
    /// Bytes of frames that came after this side closed.
    discarded: usize,
    /// The time limit for the end of the connection.
    grace: Option<Sleep>,
    /// The origin of all times.
    started: Instant,
    alarm: Alarm,
    /// `true` if the transport is a byte stream.
    byte_stream: bool,
    /// Signs of life that the transport had counted at the last look.
    signs_of_life: u64,
}

/// The timer for time limits.
enum Alarm {
    Unset,
    Set {
        timer: Sleep,
        at: Duration,
        waker: Waker,
    },
    /// There is no time limit.
    Never,
}

fn ended(fault: Fault, why: impl Into<String>) -> Error {
    Error::new(ErrorKind::Disconnected, why).with_fault(fault)
}

impl<T: Transport> Driver<T> {
    pub(crate) fn new(link: Arc<Link>, transport: T, holders: Option<Weak<()>>) -> Self {
        let out = Outgoing::default();
        let Properties { byte_stream, bytes, signs_of_life, .. } = transport.properties();
        link.set_carries_bytes(bytes);
        if byte_stream {
            link.check_first();
        }
        Self {
            link,
            transport,
            out,
            single_frame: Outgoing::default(),
            frame_gap: None,
            silence: None,
            pending_deallocs: None,
            holders,
            writable: true,
            broken: None,
            yielded: false,
            flushing: false,
            blocked: false,
            made_progress: false,
            flush: false,
            ended: false,
            last_turn: None,
            closed: false,
            discarded: 0,
            grace: None,
            started: Instant::now(),
            alarm: Alarm::Unset,
            byte_stream,
            signs_of_life,
        }
    }

    /// Returns `true` if the turn that began at `now` is over.
    fn is_late(&self, now: Duration) -> bool {
        self.started.elapsed() > now + TURN
    }

    /// Takes in the frames that have arrived, up to the budget. Returns `true` if there may be more.
    fn receive(&mut self, now: Duration, cx: &mut Context<'_>) -> bool {
        let (mut bytes, mut looks) = (0, false);
        for taken in 0..BUDGET {
            if self.link.is_closed() || self.ended {
                return false;
            }
            // There are nearly always one or two frames, which need no look at the time.
            if bytes > BUDGET_BYTES || (taken > 1 && looks && self.is_late(now)) {
                break;
            }
            match self.transport.poll_receive(cx) {
                Poll::Pending => return false,
                Poll::Ready(Some(Ok(frame))) => {
                    bytes += frame.len();
                    let is_usual = match frame {
                        Frame::Text(frame) => self.link.receive(frame),
                        Frame::Mixed(text, beside) => {
                            self.link.receive_mixed(text, beside.clone());
                            false
                        }
                    };
                    looks = !is_usual || taken % UNWATCHED == 0;
                }
                // Earlier calls of the peer are still answered, as far as their handlers need not wait.
                Poll::Ready(None) => self.ended = true,
                Poll::Ready(Some(Err(error))) => self.fail(error),
            }
        }
        true
    }

    /// Ends the session after a failure to receive.
    fn fail(&mut self, error: ReceiveError) {
        let cause = match error {
            ReceiveError::Invalid(reason) => return self.link.abort(Error::new(ErrorKind::Protocol, reason)),
            ReceiveError::TooLong(reason) => {
                let kind = if self.link.is_batch() { LimitKind::BatchBytes } else { LimitKind::FrameBytes };
                return self.link.break_off(Error::over(kind, reason));
            }
            ReceiveError::Closed(_) => ended(Fault::Peer, error.to_string()),
            ReceiveError::Io(error) => ended(Fault::Network, "the connection was lost").with_source(error),
        };
        self.ended = true;
        self.link.close(cause);
    }

    /// Starts handlers that did not complete at once, and parked calls, up to the budget. Returns `true` if there is room
    /// for more of them.
    fn start_waiting(&self, now: Duration) -> bool {
        if !self.link.has_waiting() {
            return false;
        }
        let mut started = 0;
        let more = self.link.unpark(|| {
            started += 1;
            started < BUDGET && !self.is_late(now)
        });
        for task in self.link.take_tasks() {
            // The driver is polled by a runtime, so there is one.
            start(in_current(task));
        }
        more
    }

    /// Takes in the frames that have arrived, and notes arriving bytes and signs of life. Returns `true` if there may
    /// be more frames.
    fn take_in(&mut self, now: Duration, cx: &mut Context<'_>) -> bool {
        let more = self.receive(now, cx);
        let Properties { arriving, signs_of_life, .. } = self.transport.properties();
        self.link.set_arriving(arriving);
        if std::mem::replace(&mut self.signs_of_life, signs_of_life) != signs_of_life {
            self.link.sign_of_life();
        }
        more
    }

    /// Closes the session once the peer has closed and the answers that need no waiting are given.
    fn follow_peer(&mut self, cx: &mut Context<'_>) {
        if !self.ended || self.link.is_closed() || self.link.is_batch() {
            return;
        }
        let turn = self.link.last_turn(cx);
        if !matches!(turn, LastTurn::Over) {
            let limit = self.last_turn.get_or_insert_with(|| wait(CLOSE_TIMEOUT));
            if limit.as_mut().poll(cx).is_pending() {
                if matches!(turn, LastTurn::Again) {
                    cx.waker().wake_by_ref();
                }
                return;
            }
        }
        self.link.close(ended(Fault::Peer, "the peer closed the connection"));
    }

    /// Ends this side of a batch once all that belongs into its body is written, and the batch once its other side has
    /// ended too and no call is running.
    fn follow_batch(&mut self, cx: &mut Context<'_>) {
        if !self.link.is_batch() || self.link.is_closed() {
            return;
        }
        if self.ended {
            self.link.end_input();
        }
        if !self.closed && self.out.is_empty() && self.link.end_output() {
            self.closed = self.transport.poll_close(cx, Closing::Ordinary).is_ready();
        }
        if self.closed && self.ended && self.link.is_at_rest() {
            self.link.close(ended(Fault::Peer, "the HTTP batch is over, and its references end with it"));
        }
    }

    /// Does the work that is due, and sets the timer for the next.
    fn keep_time(&mut self, now: Duration, cx: &mut Context<'_>) {
        loop {
            match &mut self.alarm {
                Alarm::Never if !self.link.has_sooner() => return,
                Alarm::Unset | Alarm::Never => {}
                // This is the usual case, and needs no look at the timer.
                Alarm::Set { at, waker, .. }
                    if now < *at && waker.will_wake(cx.waker()) && !self.link.has_sooner() =>
                {
                    return;
                }
                Alarm::Set { .. } if self.link.has_sooner() => {}
                Alarm::Set { timer, waker, .. } => {
                    waker.clone_from(cx.waker());
                    if timer.as_mut().poll(cx).is_pending() {
                        return;
                    }
                    self.link.set_now(self.started.elapsed());
                }
            }
            if std::mem::take(&mut self.made_progress) {
                self.link.sign_of_life();
            }
            let tick = self.link.tick();
            if tick.ask {
                if self.transport.ping() {
                    self.flushing = true;
                } else {
                    self.link.probe();
                }
            }
            let Some(at) = tick.next else {
                self.alarm = Alarm::Never;
                return;
            };
            // A time that cannot be represented is never reached.
            let Some(end) = self.started.checked_add(at) else {
                self.alarm = Alarm::Never;
                return;
            };
            let timer = match sleep_until(end) {
                Ok(timer) => timer,
                Err(error) => return self.link.close(error),
            };
            self.alarm = Alarm::Set { timer, at, waker: cx.waker().clone() };
            // A timer wakes the task only after it has been polled.
            if let Alarm::Set { timer, .. } = &mut self.alarm {
                if timer.as_mut().poll(cx).is_pending() {
                    return;
                }
            }
        }
    }

    /// Writes the output, as far as the transport takes it.
    fn send(&mut self, cx: &mut Context<'_>) {
        while self.writable {
            // This is done even while the transport is busy: it settles dropped handles and counts unwritten bytes.
            self.flush |= self.link.take_output(&mut self.out);
            if self.is_in_frame_gap(cx) {
                return;
            }
            let one_at_a_time = self.takes_one_at_a_time();
            if one_at_a_time && self.single_frame.is_empty() {
                self.single_frame.clear();
                self.out.move_frame(&mut self.single_frame);
            }
            let asked = if one_at_a_time {
                std::str::from_utf8(self.single_frame.lines())
                    .ok()
                    .and_then(|frame| self.link.asked_in(frame))
            } else {
                None
            };
            let out = if one_at_a_time { &mut self.single_frame } else { &mut self.out };
            let before = out.len();
            // The transport may still buffer bytes it has taken.
            if out.is_empty() && !self.flushing {
                if std::mem::take(&mut self.flush) {
                    self.link.set_flushed();
                }
                return;
            }
            let sent = self.transport.poll_send(cx, out);
            // A blocked transport takes bytes again, so the peer reads.
            self.made_progress |= self.blocked && (sent.is_ready() || out.len() < before);
            self.blocked = sent.is_pending();
            match sent {
                Poll::Pending => {
                    self.flushing = true;
                    return;
                }
                Poll::Ready(Ok(())) => {
                    self.flushing = false;
                    let all = self.out.is_empty() && self.single_frame.is_empty();
                    if all && std::mem::take(&mut self.flush) {
                        self.link.set_flushed();
                    }
                    if one_at_a_time {
                        self.frame_gap = Some((wait(FRAME_GAP), asked));
                    }
                    // The link learns that all is written when the driver parks, which it does until the end.
                    if all && !self.link.is_closed() {
                        return;
                    }
                }
                Poll::Ready(Err(error)) => {
                    self.writable = false;
                    (self.out, self.single_frame) = (Outgoing::default(), Outgoing::default());
                    // Frames that the peer sent before the failure are still to be read.
                    self.broken = Some(error);
                }
            }
        }
    }

    /// Returns `true` if output should wait a turn, because it has just begun. A runtime may keep a woken task in its
    /// LIFO slot and run it next; so each of many ready calls would cause a write of its own. All other ready tasks run
    /// before a task that waits a turn.
    fn should_yield(&mut self) -> bool {
        let writes_at_once = self.writable && self.out.is_empty() && self.frame_gap.is_none();
        self.yielded = !self.yielded && writes_at_once && self.link.has_output();
        self.yielded
    }

    /// Returns `true` if the peer takes the bytes of one read for one frame, as some do on a byte stream.
    fn takes_one_at_a_time(&self) -> bool {
        self.byte_stream && self.link.capabilities().is_some_and(|peer| peer.frame_gap)
    }

    /// Returns `true` if the peer may not have read the last frame yet. The answer of a call in that frame shows that
    /// it has.
    fn is_in_frame_gap(&mut self, cx: &mut Context<'_>) -> bool {
        let Some((frame_gap, asked)) = &mut self.frame_gap else { return false };
        let answered = asked.is_some_and(|call| self.link.is_answered(call));
        if frame_gap.as_mut().poll(cx).is_pending() && !answered {
            return true;
        }
        self.frame_gap = None;
        false
    }

    /// Ends the connection if the peer's language stays unknown for too long while there is something to send.
    fn check_silence(&mut self, cx: &mut Context<'_>) {
        // The language is nearly always known, which takes no lock to see.
        if self.link.dialect().is_some() || !self.link.awaits_dialect() {
            self.silence = None;
            return;
        }
        let silence = self.silence.get_or_insert_with(|| wait(DIALECT_TIMEOUT));
        if silence.as_mut().poll(cx).is_ready() {
            let message =
                "the peer has said nothing, so its language is not known: set it with `NodeBuilder::dialect`";
            self.link.close(Error::new(ErrorKind::Timeout, message).with_fate(Fate::NotSent));
        }
    }

    /// Releases functions without handles that the peer has not sent again for a while.
    fn release(&mut self, more: bool, cx: &mut Context<'_>) {
        if !self.link.capabilities().is_some_and(|peer| peer.delays_releases) {
            return;
        }
        // A frame that has already arrived may hold the function again.
        if !more && self.link.flush_late() {
            cx.waker().wake_by_ref();
        }
        if !self.link.is_leaving() {
            self.pending_deallocs = None;
            return;
        }
        let pending_deallocs = self.pending_deallocs.get_or_insert_with(|| wait(DEALLOC_DELAY));
        if pending_deallocs.as_mut().poll(cx).is_ready() {
            self.pending_deallocs = None;
            self.link.flush(false);
            // Functions that are still leaving were dropped since.
            cx.waker().wake_by_ref();
        }
    }

    /// Writes the remaining output and closes the transport, as far as the peer lets it within [`CLOSE_TIMEOUT`].
    fn poll_end(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.link.is_cut_off() {
            return Poll::Ready(());
        }
        if self.grace.is_none() {
            // The peer does not read, and there is no room for its unread output.
            let overfull = self.link.is_overfull(self.out.len() + self.single_frame.len());
            if overfull || self.link.closed_error().limit() == Some(LimitKind::Probe) {
                self.writable = false;
                (self.out, self.single_frame) = (Outgoing::default(), Outgoing::default());
                self.link.set_written(false);
                self.link.set_safe();
            }
        }
        let grace = self.grace.get_or_insert_with(|| wait(CLOSE_TIMEOUT));
        if grace.as_mut().poll(cx).is_ready() {
            return Poll::Ready(());
        }
        if self.writable && (self.flushing || !self.out.is_empty() || !self.single_frame.is_empty()) {
            return Poll::Pending;
        }
        if !self.closed {
            let failure = self.link.close_reason();
            let closing = match &failure {
                Some(reason) => Closing::Failed(reason),
                None if self.link.is_draining() => Closing::Leaving(SHUTTING_DOWN),
                None => Closing::Ordinary,
            };
            match self.transport.poll_close(cx, closing) {
                Poll::Pending => return Poll::Pending,
                // An error of the transport ends the connection as well.
                Poll::Ready(Err(_)) => return Poll::Ready(()),
                Poll::Ready(Ok(())) => self.closed = true,
            }
            self.link.set_written(self.writable);
            // A program that wanted the end may itself end, and with it the socket.
            if self.link.closed_error().fault() != Fault::Here {
                self.link.set_safe();
            }
        }
        self.poll_peer_end(cx)
    }

    /// Waits until the peer has closed as well, and drops its further frames: a socket closed with unread data discards
    /// the bytes written last.
    fn poll_peer_end(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        // A batch has no socket.
        if self.ended || self.link.is_batch() {
            return Poll::Ready(());
        }
        for _ in 0..BUDGET {
            match self.transport.poll_receive(cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Some(Ok(frame))) => {
                    self.discarded += frame.len() + 1;
                    if self.discarded > LEFTOVER {
                        return Poll::Ready(());
                    }
                }
                Poll::Ready(Some(Err(_)) | None) => return Poll::Ready(()),
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Sets the waker of the link, and closes a session that is not needed. Returns `true` if there is something to do
    /// already.
    fn park(&mut self, cx: &mut Context<'_>) -> bool {
        let (out, holders) = (&mut self.out, &self.holders);
        // A holder that has gone before the waker was set has not woken the driver.
        let unheld = || holders.as_ref().is_some_and(|holders| holders.strong_count() == 0);
        let Parked { is_busy, is_idle, flush } = self.link.park(cx.waker(), out, unheld);
        self.flush |= flush;
        if is_idle {
            self.link.close(ended(Fault::Here, "nobody holds the connection any more"));
        }
        // Output left here waits for the transport, and so does all behind it.
        let can_write = self.out.is_empty() && !self.flushing && self.frame_gap.is_none();
        is_busy || (self.flush && can_write) || self.link.is_closed()
    }
}

impl<T: Transport + Unpin> Future for Driver<T> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = self.get_mut();
        // Work that is added during this turn needs no waking: it is looked for before the driver sleeps.
        this.link.set_waker(None);
        if this.should_yield() {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let now = this.started.elapsed();
        this.link.set_now(now);
        let more = this.take_in(now, cx);
        if let Some(error) = this.broken.take_if(|_| !more) {
            this.link.close(ended(Fault::Network, "the connection was lost").with_source(error));
        }
        this.keep_time(now, cx);
        let waiting = this.start_waiting(now);
        if this.broken.is_some() {
            this.link.give_up_running();
        }
        if !waiting {
            this.follow_peer(cx);
        }
        // Output from before the end is taken after the end is seen.
        let closed = this.link.is_closed();
        this.send(cx);
        this.follow_batch(cx);
        if closed {
            // A later cut-off wakes the driver.
            this.link.set_waker(Some(cx.waker()));
            return this.poll_end(cx);
        }
        if this.park(cx) || more || waiting || this.broken.is_some() {
            cx.waker().wake_by_ref();
        }
        // Dropped handles have been settled by now.
        this.release(more, cx);
        this.check_silence(cx);
        Poll::Pending
    }
}

impl<T> Drop for Driver<T> {
    fn drop(&mut self) {
        self.link.close(ended(Fault::Here, "the runtime of the connection was shut down"));
        self.link.set_gone();
    }
}
