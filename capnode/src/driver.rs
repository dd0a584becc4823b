//! What moves a connection: reads frames, starts handlers, writes what there is to write.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use crate::dialect::Dialect;
use crate::error::{Error, ErrorKind, Fate, Fault};
use crate::limits::LimitKind;
use crate::link::Link;
use crate::link::task::LastTurn;
use crate::op::Id;
use crate::outgoing::Outgoing;
use crate::runtime::{Instant, Sleep, in_current, sleep_until, start, wait};
use crate::transport::{LEFTOVER, Transport};

/// How many frames are taken in before others get their turn, and how many calls that have waited are started.
const BUDGET: usize = 128;

/// How long a turn takes. The frame or call that is under way when it is over may take longer: a short one can ask for
/// much, such as a call on a large result.
const TURN: Duration = Duration::from_millis(5);

/// How many bytes of frames. The last one may be longer.
const BUDGET_BYTES: usize = 256 << 10;

/// How long a peer may take to read the last of what there is to say.
const GRACE: Duration = Duration::from_secs(5);

/// How long a peer may take to say something, once we have something to say and have to know its language.
const SILENCE: Duration = Duration::from_secs(30);

/// How long a Capnode peer on a byte stream is left alone with a frame: it takes whatever it reads at once for
/// exactly one.
const PAUSE: Duration = Duration::from_millis(20);

/// How long a function that nobody holds any more is kept, in a language where the peer may be about to send it again.
const LEAVING: Duration = Duration::from_millis(200);

pub(crate) struct Driver<T> {
    link: Arc<Link>,
    transport: T,
    out: Outgoing,
    /// The one frame that is being sent to a peer that takes one at a time.
    single: Outgoing,
    /// Until when no other follows it; and the call that it makes, whose answer tells that it was read.
    pause: Option<(Sleep, Option<Id>)>,
    /// Until when the peer has to say something.
    silence: Option<Sleep>,
    /// When to give back what nobody holds any more.
    leaving: Option<Sleep>,
    /// On the connecting side, the connection ends when nobody needs it any more: this is upgradable
    /// while somebody holds the connection itself.
    holders: Option<Weak<()>>,
    writable: bool,
    /// Why nothing can be written any more, while what the peer has sent is still taken in.
    broken: Option<io::Error>,
    /// Whether it was woken to write, and has let the others go first.
    let_others: bool,
    /// Whether the transport has not sent all it was given.
    flushing: bool,
    /// Whether the transport took no more the last time, and whether it has since.
    blocked: bool,
    moved: bool,
    /// Whether somebody waits until all is written.
    flush: bool,
    /// Whether the peer has closed, or the transport failed.
    ended: bool,
    /// How long what a peer has asked that has closed may take to be answered.
    last_turn: Option<Sleep>,
    /// Whether our side of the transport is closed.
    closed: bool,
    /// Bytes of frames that came after that.
    discarded: usize,
    /// How long the end may still take.
    grace: Option<Sleep>,
    /// What all times are counted from.
    started: Instant,
    alarm: Alarm,
    /// How many signs of life the transport had counted.
    signs_of_life: u64,
}

/// When to look at the time.
enum Alarm {
    Unset,
    Set {
        timer: Sleep,
        at: Duration,
        waker: Waker,
    },
    /// No limit is about time.
    Never,
}

fn ended(fault: Fault, why: impl Into<String>) -> Error {
    Error::new(ErrorKind::Disconnected, why).with_fault(fault)
}

impl<T: Transport> Driver<T> {
    pub(crate) fn new(link: Arc<Link>, transport: T, holders: Option<Weak<()>>) -> Self {
        let out = Outgoing::default();
        if transport.is_byte_stream() {
            link.check_first();
        }
        Self {
            link,
            transport,
            out,
            single: Outgoing::default(),
            pause: None,
            silence: None,
            leaving: None,
            holders,
            writable: true,
            broken: None,
            let_others: false,
            flushing: false,
            blocked: false,
            moved: false,
            flush: false,
            ended: false,
            last_turn: None,
            closed: false,
            discarded: 0,
            grace: None,
            started: Instant::now(),
            alarm: Alarm::Unset,
            signs_of_life: 0,
        }
    }

    /// Whether the turn that began at `now` is over.
    fn is_late(&self, now: Duration) -> bool {
        self.started.elapsed() > now + TURN
    }

    /// Takes in what has arrived, up to the budget. Whether there may be more.
    fn receive(&mut self, now: Duration, cx: &mut Context<'_>) -> bool {
        let mut bytes = 0;
        for taken in 0..BUDGET {
            if self.link.is_closed() || self.ended {
                return false;
            }
            // Nearly always it is one frame or two, which takes no looking at the time.
            if bytes > BUDGET_BYTES || (taken > 1 && self.is_late(now)) {
                break;
            }
            match self.transport.poll_receive(cx) {
                Poll::Pending => return false,
                Poll::Ready(Some(Ok(frame))) => {
                    bytes += frame.len();
                    self.link.receive(frame);
                }
                // What it has asked before is still answered, as far as that takes no waiting.
                Poll::Ready(None) => self.ended = true,
                Poll::Ready(Some(Err(error))) if error.kind() == io::ErrorKind::InvalidData => {
                    let message = error.to_string();
                    self.link.abort(Error::new(ErrorKind::Protocol, message).with_source(error));
                }
                Poll::Ready(Some(Err(error))) if error.kind() == io::ErrorKind::FileTooLarge => {
                    let broken = Error::over(LimitKind::FrameBytes, error.to_string()).with_source(error);
                    self.link.break_off(broken);
                }
                Poll::Ready(Some(Err(error))) => {
                    self.ended = true;
                    let cause = match error.kind() {
                        io::ErrorKind::ConnectionAborted => {
                            ended(Fault::Peer, format!("the peer closed the connection: {error}"))
                        }
                        _ => ended(Fault::Network, "the connection was lost"),
                    };
                    self.link.close(cause.with_source(error));
                }
            }
        }
        true
    }

    /// Starts calls that have waited for room, up to the budget. Whether there is room for more of them.
    fn unpark(&self, now: Duration) -> bool {
        let mut started = 0;
        self.link.unpark(|| {
            started += 1;
            started < BUDGET && !self.is_late(now)
        })
    }

    /// Takes in what has arrived, and notes what else the transport tells of the peer.
    fn take_in(&mut self, now: Duration, cx: &mut Context<'_>) -> bool {
        let more = self.receive(now, cx);
        self.link.set_arriving(self.transport.arriving());
        let signs_of_life = self.transport.signs_of_life();
        if std::mem::replace(&mut self.signs_of_life, signs_of_life) != signs_of_life {
            self.link.sign_of_life();
        }
        more
    }

    /// Closes once the peer has, and all that it has asked is answered that can be without waiting.
    fn follow_peer(&mut self, cx: &mut Context<'_>) {
        if !self.ended || self.link.is_closed() {
            return;
        }
        let turn = self.link.last_turn(cx);
        if !matches!(turn, LastTurn::Over) {
            let limit = self.last_turn.get_or_insert_with(|| wait(GRACE));
            if limit.as_mut().poll(cx).is_pending() {
                if matches!(turn, LastTurn::Again) {
                    cx.waker().wake_by_ref();
                }
                return;
            }
        }
        self.link.close(ended(Fault::Peer, "the peer closed the connection"));
    }

    /// Does what is due because time has passed.
    fn keep_time(&mut self, now: Duration, cx: &mut Context<'_>) {
        loop {
            match &mut self.alarm {
                Alarm::Never => return,
                Alarm::Unset => {}
                // Nearly always, and it takes no looking at the timer to see.
                Alarm::Set { at, waker, .. } if now < *at && waker.will_wake(cx.waker()) => return,
                Alarm::Set { timer, waker, .. } => {
                    waker.clone_from(cx.waker());
                    if timer.as_mut().poll(cx).is_pending() {
                        return;
                    }
                    self.link.set_now(self.started.elapsed());
                }
            }
            if std::mem::take(&mut self.moved) {
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
            // Never is as good as so late.
            let Some(end) = self.started.checked_add(at) else {
                self.alarm = Alarm::Never;
                return;
            };
            let timer = match sleep_until(end) {
                Ok(timer) => timer,
                Err(error) => return self.link.close(error),
            };
            self.alarm = Alarm::Set { timer, at, waker: cx.waker().clone() };
            // It has to be looked at once to wake anybody.
            if let Alarm::Set { timer, .. } = &mut self.alarm {
                if timer.as_mut().poll(cx).is_pending() {
                    return;
                }
            }
        }
    }

    /// Writes what there is to write, as far as it goes.
    fn send(&mut self, cx: &mut Context<'_>) {
        while self.writable {
            // Also while the transport is busy: this settles what was dropped, and counts what waits.
            self.flush |= self.link.take_output(&mut self.out);
            if self.is_pausing(cx) {
                return;
            }
            let one_at_a_time = self.takes_one_at_a_time();
            if one_at_a_time && self.single.is_empty() {
                self.single.clear();
                self.out.move_frame(&mut self.single);
            }
            let asked = match one_at_a_time {
                true => {
                    std::str::from_utf8(self.single.lines()).ok().and_then(|frame| self.link.asked_in(frame))
                }
                false => None,
            };
            let out = if one_at_a_time { &mut self.single } else { &mut self.out };
            let before = out.len();
            // What the transport has taken may still wait in it.
            if out.is_empty() && !self.flushing {
                if std::mem::take(&mut self.flush) {
                    self.link.set_flushed();
                }
                return;
            }
            let sent = self.transport.poll_send(cx, out);
            // What did not move moves: somebody reads.
            self.moved |= self.blocked && (sent.is_ready() || out.len() < before);
            self.blocked = sent.is_pending();
            match sent {
                Poll::Pending => {
                    self.flushing = true;
                    return;
                }
                Poll::Ready(Ok(())) => {
                    self.flushing = false;
                    let all = self.out.is_empty() && self.single.is_empty();
                    if all && std::mem::take(&mut self.flush) {
                        self.link.set_flushed();
                    }
                    if one_at_a_time {
                        self.pause = Some((wait(PAUSE), asked));
                    }
                }
                Poll::Ready(Err(error)) => {
                    self.writable = false;
                    (self.out, self.single) = (Outgoing::default(), Outgoing::default());
                    // What the peer has sent before it went is still to be read.
                    self.broken = Some(error);
                }
            }
        }
    }

    /// Whether to wait a turn, because somebody has just begun to say something. A runtime may run next whom a task has
    /// woken, and so one write would be made for each of many calls that are ready to be made; the others are all
    /// before whoever waits a turn.
    fn lets_others(&mut self) -> bool {
        let writes_at_once = self.writable && self.out.is_empty() && self.pause.is_none();
        self.let_others = !self.let_others && writes_at_once && self.link.has_output();
        self.let_others
    }

    /// Whether the peer takes whatever it reads at once for one frame: so do Capnode's programs on a byte stream.
    fn takes_one_at_a_time(&self) -> bool {
        self.transport.is_byte_stream() && self.link.dialect() == Some(Dialect::Capnode)
    }

    /// Whether the peer may not have read the last frame yet. If it was a call, the answer tells.
    fn is_pausing(&mut self, cx: &mut Context<'_>) -> bool {
        let Some((pause, asked)) = &mut self.pause else { return false };
        let answered = asked.is_some_and(|call| self.link.is_answered(call));
        if pause.as_mut().poll(cx).is_pending() && !answered {
            return true;
        }
        self.pause = None;
        false
    }

    /// Ends the connection if nothing can be said for too long.
    fn check_silence(&mut self, cx: &mut Context<'_>) {
        // Nearly always it is known, which takes no lock to see.
        if self.link.dialect().is_some() || !self.link.is_speechless() {
            self.silence = None;
            return;
        }
        let silence = self.silence.get_or_insert_with(|| wait(SILENCE));
        if silence.as_mut().poll(cx).is_ready() {
            let message = "the peer has said nothing, so that its language is not known";
            self.link.close(Error::new(ErrorKind::Timeout, message).with_fate(Fate::NotSent));
        }
    }

    /// Gives back what has not come again for a while.
    fn give_back(&mut self, more: bool, cx: &mut Context<'_>) {
        if self.link.dialect() != Some(Dialect::Capnode) {
            return;
        }
        // What has arrived already may have it again.
        if !more && self.link.flush_late() {
            cx.waker().wake_by_ref();
        }
        if !self.link.is_leaving() {
            self.leaving = None;
            return;
        }
        let leaving = self.leaving.get_or_insert_with(|| wait(LEAVING));
        if leaving.as_mut().poll(cx).is_ready() {
            self.leaving = None;
            self.link.flush(false);
            // What is left was dropped since.
            cx.waker().wake_by_ref();
        }
    }

    /// Writes what is left and closes, as far as the peer lets us within [`GRACE`].
    fn poll_end(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.link.is_cut_off() {
            return Poll::Ready(());
        }
        if self.grace.is_none() {
            // It does not read, and there is no room for what it leaves unread.
            let overfull = self.link.is_overfull(self.out.len() + self.single.len());
            if overfull || self.link.closed_error().limit() == Some(LimitKind::Probe) {
                self.writable = false;
                (self.out, self.single) = (Outgoing::default(), Outgoing::default());
                self.link.set_written(false);
                self.link.set_safe();
            }
        }
        let grace = self.grace.get_or_insert_with(|| wait(GRACE));
        if grace.as_mut().poll(cx).is_ready() {
            return Poll::Ready(());
        }
        if self.writable && (self.flushing || !self.out.is_empty() || !self.single.is_empty()) {
            return Poll::Pending;
        }
        if !self.closed {
            match self.transport.poll_close(cx, self.link.close_reason().as_deref()) {
                Poll::Pending => return Poll::Pending,
                // However the transport ends, this is over.
                Poll::Ready(Err(_)) => return Poll::Ready(()),
                Poll::Ready(Ok(())) => self.closed = true,
            }
            self.link.set_written(self.writable);
            // If this program wanted the end, it may end as well, and with it the socket.
            if self.link.closed_error().fault() != Fault::Here {
                self.link.set_safe();
            }
        }
        self.poll_peer_end(cx)
    }

    /// Waits until the peer has closed as well, and drops what it still says: a socket that is closed
    /// with something unread takes back what was written last.
    fn poll_peer_end(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.ended {
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

    fn is_unneeded(&self) -> bool {
        let unheld = self.holders.as_ref().is_some_and(|holders| holders.strong_count() == 0);
        unheld && !self.link.is_closed() && self.link.is_idle()
    }
}

impl<T: Transport + Unpin> Future for Driver<T> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = self.get_mut();
        // What is done here needs no waking: it is looked for before going to sleep.
        this.link.set_driver(None, false);
        if this.lets_others() {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let now = this.started.elapsed();
        this.link.set_now(now);
        loop {
            let more = this.take_in(now, cx);
            if let Some(error) = this.broken.take_if(|_| !more) {
                this.link.close(ended(Fault::Network, "the connection was lost").with_source(error));
            }
            this.keep_time(now, cx);
            let parked = this.unpark(now);
            if this.broken.is_some() {
                this.link.give_up_running();
            }
            for task in this.link.take_tasks() {
                // This runs in a runtime, or it would not run at all.
                start(in_current(task));
            }
            if !parked {
                this.follow_peer(cx);
            }
            if this.is_unneeded() {
                this.link.close(ended(Fault::Here, "nobody holds the connection any more"));
            }
            // What was said before the end is taken after it is seen.
            let closed = this.link.is_closed();
            this.send(cx);
            // What was dropped has been taken note of now.
            this.give_back(more, cx);
            this.check_silence(cx);
            if !closed && this.link.is_closed() {
                continue;
            }
            if closed {
                // Whoever cuts it off from now on wakes this.
                let _ended = this.link.set_driver(Some(cx.waker()), false);
                return this.poll_end(cx);
            }
            if more || parked || this.broken.is_some() {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            // What is left of the output here waits for the transport, and so does all behind it.
            let can_write = this.out.is_empty() && this.pause.is_none();
            // Whoever gave up the connection since it was looked at has found nobody to wake.
            if !this.link.set_driver(Some(cx.waker()), can_write) && !this.is_unneeded() {
                // That, too, takes note of what was dropped.
                this.give_back(false, cx);
                this.check_silence(cx);
                return Poll::Pending;
            }
            this.link.set_driver(None, false);
        }
    }
}

impl<T> Drop for Driver<T> {
    fn drop(&mut self) {
        self.link.close(ended(Fault::Here, "the runtime of the connection was shut down"));
        self.link.set_gone();
    }
}
