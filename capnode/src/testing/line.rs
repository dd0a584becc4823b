//! A line in memory, and what can be wrong with it.

use std::collections::VecDeque;
use std::fmt;
use std::future::Future;
use std::io;
use std::sync::{Arc, Mutex, Weak};
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use crate::runtime::{Instant, Sleep, wait};
use crate::seeded::Draw;
use crate::sync::lock;
use crate::transport::{Closing, Frame, Outgoing, ReceiveError, Transport};

/// A line between two programs of a test. Without settings it is fast and whole.
///
/// Times are those of tokio's clock, so a test with a paused clock waits for nothing. Bytes go as text. A frame counts
/// with its bytes and one more.
///
/// ```
/// use std::time::Duration;
///
/// use capnode::testing::Line;
/// use capnode::{Cap, Fate, Node};
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() -> Result<(), capnode::Error> {
/// let (client, server) = Line::new().delay(Duration::from_millis(20)).cut_after(1_000).ends();
/// let _served = Node::new("x".repeat(100)).serve(server).await?;
/// let peer: Cap = capnode::connect_over(client).await?;
/// let begin = tokio::time::Instant::now();
/// let error = loop {
///     match peer.read::<String>().await {
///         Ok(text) => assert_eq!(text.len(), 100),
///         Err(error) => break error,
///     }
/// };
/// // The line was cut in the middle of a call.
/// assert_eq!(error.fate(), Fate::MayHaveRun);
/// assert!(begin.elapsed() >= Duration::from_millis(100));
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Line(Settings);

/// A frame that arrives at an end of a line.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Crossing {
    /// The time since the line was made, or since the simulation began.
    pub at: Duration,
    /// The end that sent the frame: `client` at the first end of a [`Line`], `server` at the second.
    pub from: Arc<str>,
    /// The end that gets it.
    pub to: Arc<str>,
    /// The text of the frame.
    pub frame: String,
}

impl fmt::Display for Crossing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} {} → {} {}", self.at, self.from, self.to, self.frame)
    }
}

type Witness = Arc<dyn Fn(Crossing) + Send + Sync>;

/// The behaviour of a line.
pub(super) struct Settings {
    pub(super) delay: Delay,
    pub(super) throttle: Option<u64>,
    pub(super) cut_after: u64,
    /// One frame in so many is the last; never if it is 0.
    pub(super) cut_one_in: u64,
    pub(super) witness: Option<Witness>,
    pub(super) begin: Instant,
    pub(super) names: [Arc<str>; 2],
}

/// The time that a frame is on its way.
pub(super) enum Delay {
    Fixed(Duration),
    Drawn(Duration, Duration, Arc<Draw>),
}

crate::opaque::opaque!(Settings);

impl Settings {
    pub(super) fn new(names: [Arc<str>; 2]) -> Self {
        Self {
            delay: Delay::Fixed(Duration::ZERO),
            throttle: None,
            cut_after: u64::MAX,
            cut_one_in: 0,
            witness: None,
            begin: Instant::now(),
            names,
        }
    }

    fn delay(&self) -> Duration {
        match &self.delay {
            Delay::Fixed(delay) => *delay,
            Delay::Drawn(least, most, draw) => {
                let range = u64::try_from((*most - *least).as_micros()).unwrap_or(u64::MAX);
                *least + Duration::from_micros(draw.below(range.saturating_add(1)))
            }
        }
    }

    /// Returns `true` if this frame is the last one.
    fn is_last(&self) -> bool {
        match &self.delay {
            Delay::Drawn(_, _, draw) if self.cut_one_in > 0 => draw.below(self.cut_one_in) == 0,
            _ => false,
        }
    }
}

impl Line {
    /// Returns a line.
    pub fn new() -> Self {
        Self(Settings::new(["client".into(), "server".into()]))
    }

    /// Sets how long each frame is on its way.
    #[must_use]
    pub fn delay(mut self, delay: Duration) -> Self {
        self.0.delay = Delay::Fixed(delay);
        self
    }

    /// Sets how many bytes a second go each way. Whoever writes more has to wait; 0 counts as 1.
    #[must_use]
    pub fn throttle(mut self, bytes: u64) -> Self {
        self.0.throttle = Some(bytes.max(1));
        self
    }

    /// Cuts the line when so many bytes have gone over it, both ways together. The frame in which that happens does not
    /// arrive. Both ends are told that the connection was lost, and those frames that are on their way arrive before.
    #[must_use]
    pub fn cut_after(mut self, bytes: u64) -> Self {
        self.0.cut_after = bytes;
        self
    }

    /// Has `witness` called with each frame as it arrives.
    #[must_use]
    pub fn witness(mut self, witness: impl Fn(Crossing) + Send + Sync + 'static) -> Self {
        self.0.witness = Some(Arc::new(witness));
        self
    }

    /// Returns the two ends, the client's first.
    pub fn ends(self) -> (LineEnd, LineEnd) {
        let [one, other] = self.0.ends();
        (one, other)
    }
}

impl Default for Line {
    fn default() -> Self {
        Self::new()
    }
}

impl Settings {
    pub(super) fn ends(self) -> [LineEnd; 2] {
        let shared = Arc::new(Shared { settings: self, state: Mutex::default() });
        [0, 1].map(|side| LineEnd { shared: shared.clone(), side, timer: None, current: String::new() })
    }
}

struct Shared {
    settings: Settings,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// The frames on their way, to each end.
    ways: [Way; 2],
    bytes: u64,
    is_cut: bool,
}

#[derive(Default)]
struct Way {
    /// Frames, with the times when they arrive.
    frames: VecDeque<(Instant, String)>,
    /// When the line takes the next frame.
    free_at: Option<Instant>,
    /// `true` once the sender has closed.
    is_closed: bool,
    reader: Option<Waker>,
}

impl State {
    /// Cuts the line. Returns the wakers of both ends, which are woken when the lock is free.
    fn cut(&mut self) -> [Option<Waker>; 2] {
        self.is_cut = true;
        self.ways.each_mut().map(|way| way.reader.take())
    }
}

fn wake_all(wakers: [Option<Waker>; 2]) {
    wakers.into_iter().flatten().for_each(Waker::wake);
}

/// Cuts a line: see [`LineEnd::cutter`].
#[derive(Clone)]
pub struct Cutter(Weak<Shared>);

impl Cutter {
    /// Cuts the line. Both ends are told that the connection was lost. Has no effect on one that has ended.
    pub fn cut(&self) {
        if let Some(shared) = self.0.upgrade() {
            let wakers = lock(&shared.state).cut();
            wake_all(wakers);
        }
    }
}

impl fmt::Debug for Cutter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Cutter")
    }
}

/// An end of a [`Line`]: a transport.
pub struct LineEnd {
    shared: Arc<Shared>,
    side: usize,
    timer: Option<(Instant, Sleep)>,
    current: String,
}

impl LineEnd {
    /// Returns the means to cut the line at any time.
    pub fn cutter(&self) -> Cutter {
        Cutter(Arc::downgrade(&self.shared))
    }

    /// Waits until `due`.
    fn poll_until(&mut self, due: Instant, cx: &mut Context<'_>) -> Poll<()> {
        let left = due.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Poll::Ready(());
        }
        let (at, timer) = self.timer.get_or_insert_with(|| (due, wait(left)));
        if *at != due {
            (*at, *timer) = (due, wait(left));
        }
        timer.as_mut().poll(cx)
    }
}

fn lost() -> io::Error {
    io::Error::new(io::ErrorKind::ConnectionReset, "the line was cut")
}

impl Transport for LineEnd {
    fn poll_receive(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<'_>, ReceiveError>>> {
        let due = {
            let state = &mut *lock(&self.shared.state);
            let way = &mut state.ways[self.side];
            match way.frames.front() {
                Some((due, _)) => *due,
                None if state.is_cut => return Poll::Ready(Some(Err(lost().into()))),
                None if way.is_closed => return Poll::Ready(None),
                None => {
                    way.reader = Some(cx.waker().clone());
                    return Poll::Pending;
                }
            }
        };
        ready!(self.poll_until(due, cx));
        let arrived = lock(&self.shared.state).ways[self.side].frames.pop_front();
        let Some((_, frame)) = arrived else { return Poll::Pending };
        let Settings { witness, begin, names, .. } = &self.shared.settings;
        if let Some(witness) = witness {
            let [from, to] = [1 - self.side, self.side].map(|side| names[side].clone());
            let at = Instant::now().saturating_duration_since(*begin);
            witness(Crossing { at, from, to, frame: frame.clone() });
        }
        self.current = frame;
        Poll::Ready(Some(Ok(Frame::Text(&self.current))))
    }

    fn poll_send(&mut self, cx: &mut Context<'_>, frames: &mut Outgoing) -> Poll<io::Result<()>> {
        loop {
            let free_at = lock(&self.shared.state).ways[1 - self.side].free_at;
            if let Some(free_at) = free_at {
                ready!(self.poll_until(free_at, cx));
            }
            let wakers = {
                let Settings { throttle, cut_after, .. } = self.shared.settings;
                let state = &mut *lock(&self.shared.state);
                if state.is_cut {
                    return Poll::Ready(Err(lost()));
                }
                let Some(frame) = frames.pop_frame() else { break };
                let frame = frame.text().to_owned();
                let bytes = frame.len() as u64 + 1;
                state.bytes = state.bytes.saturating_add(bytes);
                if state.bytes > cut_after || self.shared.settings.is_last() {
                    state.cut()
                } else {
                    let way = &mut state.ways[1 - self.side];
                    let mut leaves = Instant::now();
                    if let Some(throttle) = throttle {
                        leaves += Duration::from_micros(bytes.saturating_mul(1_000_000) / throttle);
                        way.free_at = Some(leaves);
                    }
                    // One frame does not overtake another.
                    let last = way.frames.back().map_or(leaves, |(due, _)| *due);
                    way.frames.push_back((last.max(leaves + self.shared.settings.delay()), frame));
                    [way.reader.take(), None]
                }
            };
            wake_all(wakers);
        }
        frames.clear();
        Poll::Ready(Ok(()))
    }

    fn poll_close(&mut self, _: &mut Context<'_>, _: Closing<'_>) -> Poll<io::Result<()>> {
        self.close();
        Poll::Ready(Ok(()))
    }
}

impl LineEnd {
    fn close(&self) {
        let reader = {
            let way = &mut lock(&self.shared.state).ways[1 - self.side];
            way.is_closed = true;
            way.reader.take()
        };
        wake_all([reader, None]);
    }
}

impl Drop for LineEnd {
    fn drop(&mut self) {
        self.close();
    }
}

crate::opaque::opaque!(LineEnd);
