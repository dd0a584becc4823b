//! Calls in a second.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::Relaxed};
use std::time::Duration;

use futures::future::join_all;

use crate::measure::{Measurement, Meter};
use crate::peer::Client;
use crate::record::Record;

const MIB: usize = 1 << 20;

/// The most callbacks of one measurement.
const MOST: u32 = 100_000;

/// Calls of one batch.
pub const CALLS: u32 = 10;

/// The number of calls between two looks at the clock.
const BATCH: u32 = 16;

/// Returns the time that goes by before the measurement.
pub fn warm_up(time: Duration) -> Duration {
    time / 5
}

pub async fn calls<C: Client>(client: &C, in_flight: u32, time: Duration) -> Measurement {
    if in_flight == 1 {
        one_after_another(time, |number| add(client, number)).await
    } else {
        let one = |client: C, number| async move { add(&client, number).await };
        many_at_a_time(client, in_flight, time, one).await
    }
}

async fn add<C: Client>(client: &C, number: u32) {
    assert_eq!(client.add(number, 1).await, number + 1, "a wrong answer");
}

/// Calls a second, of which ten are made at once.
pub async fn batches<C: Client>(client: &C, time: Duration) -> Measurement {
    let measured = one_after_another(time, |number| async move {
        join_all((0..CALLS).map(|call| add(client, number.wrapping_add(call)))).await;
    });
    let measured = measured.await;
    let a_call = |value: Option<f64>| value.map(|value| value / f64::from(CALLS));
    Measurement {
        value: measured.value * f64::from(CALLS),
        cpu_us: a_call(measured.cpu_us),
        writes: a_call(measured.writes),
        ..measured
    }
}

pub async fn records<C: Client>(client: &C, time: Duration) -> Measurement {
    let sample = Arc::new(Record::sample(7));
    many_at_a_time(client, 64, time, move |client: C, _| {
        let sample = sample.clone();
        async move {
            let record = client.echo(Record::clone(&sample)).await;
            assert!(record == *sample, "a wrong answer");
        }
    })
    .await
}

/// MiB a second, counted one way.
pub async fn bytes<C: Client>(client: &C, time: Duration) -> Measurement {
    let sample: Vec<u8> = (0..MIB).map(|n| (n * 7 + n / 251) as u8).collect();
    let echo = async |_| assert!(client.echo_bytes(sample.clone()).await == sample, "wrong bytes");
    echo(0).await;
    let meter = Meter::start();
    let mut count = 0;
    while meter.elapsed() < time {
        echo(0).await;
        count += 1;
    }
    meter.rate(count)
}

pub async fn callbacks<C: Client>(client: &C, in_flight: u32, time: Duration) -> Measurement {
    // First it is found out how many take the time.
    let mut count = 500;
    loop {
        let meter = Meter::start();
        let sum = client.call_back(count, in_flight).await;
        assert_eq!(sum, (1..=u64::from(count)).sum::<u64>(), "a wrong sum of answers");
        let elapsed = meter.elapsed();
        if elapsed >= time / 2 || count >= MOST {
            return meter.rate(count.into());
        }
        let wanted = f64::from(count) * time.as_secs_f64() / elapsed.as_secs_f64();
        count = (wanted as u32).max(count * 2).min(MOST);
    }
}

/// Nanoseconds a call.
pub async fn local<C: Client>(client: &C, time: Duration) -> Measurement {
    let measured = one_after_another(time, |number| add(client, number)).await;
    Measurement { value: 1e9 / measured.value, ..measured }
}

pub async fn one_after_another<F: Future<Output = ()> + Send>(
    time: Duration,
    one: impl Fn(u32) -> F + Send + Sync,
) -> Measurement {
    repeat(warm_up(time), &one).await;
    repeat(time, &one).await
}

async fn repeat<F: Future<Output = ()> + Send>(
    time: Duration,
    one: &(impl Fn(u32) -> F + Sync),
) -> Measurement {
    let meter = Meter::start();
    let mut count = 0;
    while meter.elapsed() < time {
        for _ in 0..BATCH {
            one(count).await;
            count += 1;
        }
    }
    meter.rate(count.into())
}

async fn many_at_a_time<C: Client, F: Future<Output = ()> + Send + 'static>(
    client: &C,
    in_flight: u32,
    time: Duration,
    one: impl Fn(C, u32) -> F + Clone + Send + 'static,
) -> Measurement {
    let counter = Arc::new(AtomicU32::new(0));
    let stop = Arc::new(AtomicBool::new(false));
    let mut workers = Vec::new();
    for _ in 0..in_flight {
        let (client, counter, stop, one) = (client.clone(), counter.clone(), stop.clone(), one.clone());
        workers.push(tokio::spawn(async move {
            while !stop.load(Relaxed) {
                one(client.clone(), counter.fetch_add(1, Relaxed)).await;
            }
        }));
    }
    tokio::time::sleep(warm_up(time)).await;
    // The same number is in flight at the end as at the beginning, so as many calls were started as were answered.
    let before = counter.load(Relaxed);
    let meter = Meter::start();
    tokio::time::sleep(time).await;
    let measured = meter.rate((counter.load(Relaxed) - before).into());
    stop.store(true, Relaxed);
    for worker in workers {
        worker.await.expect("all answers were right");
    }
    measured
}
