//! Streams, and calls beside them.

use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::throughput::warm_up;
use crate::measure::{Beside, Measurement, Meter};
use crate::peer::{Arrived, CHUNK, Client};
use crate::runtime;

/// The connections of the callers in [`super::Scenario::Fairness`].
pub const CONNECTIONS: u32 = 100;

/// The time between two calls of all of them, each of which makes 20 calls a second.
pub const MANY: Duration = Duration::from_micros(1_000_000 / 20 / CONNECTIONS as u64);

/// The time between two calls of one connection.
pub const ONE: Duration = Duration::from_millis(1);

/// A stream that is read until this is dropped.
struct Stream {
    arrived: Arc<Arrived>,
    reading: JoinHandle<()>,
}

impl Stream {
    fn of<C: Client, F: Future<Output = ()> + Send + 'static>(
        client: &C,
        read: impl FnOnce(C, Arc<Arrived>) -> F,
    ) -> Self {
        let arrived = Arc::default();
        let reading = tokio::spawn(read(client.clone(), Arc::clone(&arrived)));
        Self { arrived, reading }
    }

    fn of_bytes<C: Client>(client: &C) -> Self {
        Self::of(client, |client, arrived| async move { client.read_bytes(arrived).await })
    }

    fn of_numbers<C: Client>(client: &C) -> Self {
        Self::of(client, |client, arrived| async move { client.read_numbers(arrived).await })
    }

    /// Chunks a second, while something else takes its time.
    async fn during<T>(&self, something: impl Future<Output = T>) -> (Measurement, T) {
        let before = self.arrived.count();
        let meter = Meter::start();
        let result = something.await;
        let measured = meter.rate((self.arrived.count() - before).into());
        assert!(!self.reading.is_finished(), "the stream has ended");
        (measured, result)
    }

    async fn alone(&self, time: Duration) -> Measurement {
        tokio::time::sleep(warm_up(time)).await;
        self.during(tokio::time::sleep(time)).await.0
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.reading.abort();
    }
}

/// MiB a second.
pub async fn bytes<C: Client>(client: &C, time: Duration) -> Measurement {
    let measured = Stream::of_bytes(client).alone(time).await;
    Measurement { value: measured.value * CHUNK as f64 / f64::from(1 << 20), ..measured }
}

/// Numbers a second.
pub async fn numbers<C: Client>(client: &C, time: Duration) -> Measurement {
    Stream::of_numbers(client).alone(time).await
}

/// The median in µs of calls that are made at fixed times, in turn by `callers`, while `reader` reads a stream.
pub async fn beside<C: Client>(callers: &[C], reader: &C, every: Duration, time: Duration) -> Measurement {
    // One call in a hundred has to be some calls.
    let calls = (4 * time).div_duration_f64(every) as u32;
    latencies(callers, every, calls / 5).await;
    let lone = latencies(callers, every, calls).await;
    let stream = Stream::of_bytes(reader);
    let alone = stream.alone(time).await;
    let (meanwhile, beside) = stream.during(latencies(callers, every, calls)).await;
    let (median, p99) = (quantile(&beside, 0.5), quantile(&beside, 0.99));
    let effect = Beside {
        p99,
        ratio: median / quantile(&lone, 0.5),
        p99_ratio: p99 / quantile(&lone, 0.99),
        stream: meanwhile.value / alone.value,
    };
    Measurement { value: median, beside: Some(effect), ..Measurement::default() }
}

/// The times that calls take, sorted: each from when it was to be made, whatever keeps it from that.
async fn latencies<C: Client>(callers: &[C], every: Duration, count: u32) -> Vec<Duration> {
    let (sender, mut due) = mpsc::unbounded_channel();
    // A clock of its own: that of the runtime has whole milliseconds, and is late when there is much to do.
    std::thread::spawn(move || {
        runtime::pin(1);
        let start = Instant::now();
        for number in 0..count {
            let at = start + every * number;
            std::thread::sleep(at.saturating_duration_since(Instant::now()));
            if sender.send(at).is_err() {
                break;
            }
        }
    });
    let mut calls = Vec::new();
    while let Some(at) = due.recv().await {
        let number = calls.len() as u32;
        let caller = callers[number as usize % callers.len()].clone();
        calls.push(tokio::spawn(async move {
            assert_eq!(caller.add(number, 1).await, number + 1, "a wrong answer");
            at.elapsed()
        }));
    }
    let mut times = Vec::new();
    for call in calls {
        times.push(call.await.expect("all answers are right"));
    }
    times.sort();
    times
}

/// Microseconds.
fn quantile(sorted: &[Duration], part: f64) -> f64 {
    sorted[(sorted.len() as f64 * part) as usize].as_secs_f64() * 1e6
}
