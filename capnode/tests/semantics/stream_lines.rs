//! Streams over a line with a bandwidth and a delay, in simulated time.

use std::collections::VecDeque;
use std::time::Duration;

use crate::harness::*;
use capnode::sans_io::Endpoint;
use capnode::{Limits, Object, Reader};

/// Bytes that the line takes in a second.
const BANDWIDTH: u64 = 10 << 20;

/// The time from one end to the other.
const DELAY: Duration = Duration::from_millis(20);

const CHUNK: usize = 16 << 10;

/// One direction of a line. It takes all that is written, and carries it one byte after the other.
#[derive(Default)]
struct Line {
    free: Duration,
    frames: VecDeque<(Duration, String)>,
}

impl Line {
    fn write(&mut self, frames: Vec<String>, now: Duration) {
        for frame in frames {
            let nanos = frame.len() as u64 * 1_000_000_000 / BANDWIDTH;
            self.free = self.free.max(now) + Duration::from_nanos(nanos);
            self.frames.push_back((self.free + DELAY, frame));
        }
    }

    fn arrives(&self) -> Option<Duration> {
        self.frames.front().map(|(at, _)| *at)
    }
}

/// Two ends, and a line between them.
struct Simulation {
    now: Duration,
    ends: [Endpoint; 2],
    /// What each end has written.
    lines: [Line; 2],
}

impl Simulation {
    fn new(limits: &Limits, index: Object) -> Self {
        let connecting = Core::builder().limits(limits.clone()).connecting(());
        let accepting = Core::builder().limits(limits.clone()).accepting(index);
        let ends = [Endpoint::new(connecting), Endpoint::new(accepting)];
        Self { now: Duration::ZERO, ends, lines: Default::default() }
    }

    /// Goes on to the next frame that arrives.
    fn step(&mut self) {
        for (end, line) in self.ends.iter_mut().zip(&mut self.lines) {
            line.write(end.frames(), self.now);
        }
        let arrivals = self.lines.iter().map(Line::arrives);
        let (from, at) = arrivals
            .enumerate()
            .filter_map(|(from, at)| Some((from, at?)))
            .min_by_key(|(_, at)| *at)
            .expect("something is on its way");
        self.now = at;
        for end in &self.ends {
            end.core().tick(at);
        }
        let (_, frame) = self.lines[from].frames.pop_front().unwrap();
        self.ends[1 - from].receive(&frame);
    }

    /// Returns the time that a future takes.
    fn time_of<F: IntoFuture>(&mut self, future: F) -> Duration {
        let (began, mut future) = (self.now, Box::pin(future.into_future()));
        while future.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending() {
            self.step();
        }
        self.now - began
    }
}

/// `drain(reader)`, `flood()`, and `none()`, which does nothing. Chunks that are read are counted.
fn offered(read: &Arc<AtomicUsize>) -> Object {
    let read = read.clone();
    let drain = move |reader: Reader<String>| {
        let read = read.clone();
        async move { count(reader, &read).await }
    };
    Object::new()
        .with("drain", Func::<fn(Reader<String>)>::new(drain))
        .with("flood", Func::<fn() -> Reader<String>>::new(|| async { flood() }))
        .with("none", Func::<fn()>::new(|| async {}))
}

async fn count(mut reader: Reader<String>, read: &AtomicUsize) {
    while let Some(Ok(chunk)) = reader.next().await {
        read.fetch_add(chunk.len(), Ordering::SeqCst);
    }
}

/// Chunks for several seconds of the line.
fn flood() -> Reader<String> {
    Reader::from_iter(std::iter::repeat_n("x".repeat(CHUNK), (8 * BANDWIDTH) as usize / CHUNK))
}

/// Makes small calls beside a stream of either direction.
fn calls_beside_a_stream(window: usize, up: bool) {
    let read = Arc::<AtomicUsize>::default();
    let limits = limits(|limits| limits.stream_window = window);
    let mut line = Simulation::new(&limits, offered(&read));
    let index: Cap = line.ends[0].core().index();
    let round_trip = line.time_of(index.invoke::<()>("none", ()));
    let mut call = Box::pin(index.invoke::<()>("drain", (flood(),)).into_future());
    let mut stream = Box::pin(async {
        if up {
            call.as_mut().await.unwrap();
        } else {
            let flood = index.invoke::<Reader<String>>("flood", ()).await.unwrap();
            count(flood, &read).await;
        }
    });
    let most = round_trip + Duration::from_nanos(1_500_000_000 * window as u64 / BANDWIDTH);
    let mut slowest = Duration::ZERO;
    for _ in 0..15 {
        let mut none = Box::pin(index.invoke::<()>("none", ()).into_future());
        let took = line.time_of(std::future::poll_fn(|cx| {
            assert!(stream.as_mut().poll(cx).is_pending(), "there is a stream beside each call");
            none.as_mut().poll(cx).map(Result::unwrap)
        }));
        slowest = slowest.max(took);
    }
    let speed = read.load(Ordering::SeqCst) as f64 / line.now.as_secs_f64();
    println!("window {window}, up {up}: {slowest:?} of {most:?}, {speed} bytes in a second");
    assert!(slowest <= most, "window {window}, up {up}: {slowest:?}");
    // It is full: the call had something to wait for.
    let full = (BANDWIDTH as f64).min(window as f64 / round_trip.as_secs_f64());
    assert!(speed >= full / 2.0, "window {window}, up {up}: {speed} bytes in a second");
}

#[test]
fn a_small_call_waits_for_little_more_than_a_window_of_a_stream() {
    for window in [128 << 10, 1 << 20, Limits::default().stream_window] {
        calls_beside_a_stream(window, true);
        calls_beside_a_stream(window, false);
    }
}
