//! Opening connections, having many, and having a slow one.

use std::time::Duration;

use rustix::process::{Resource, getrlimit};

use super::{DELAY, STEPS, connect as connect_to, listen, throughput};
use crate::measure::{Measurement, Meter};
use crate::peer::{Client, Peer};
use crate::socket;

/// More would use up the ports.
const MOST: u64 = 5_000;

/// Milliseconds.
pub async fn chain<P: Peer>() -> Measurement {
    let client = connect_to::<P>(socket::delayed(listen::<P>().await, DELAY).await).await;
    assert_eq!(client.add(1, 2).await, 3);
    let meter = Meter::start();
    assert_eq!(client.chain(STEPS).await, STEPS, "a wrong answer");
    Measurement { value: meter.elapsed().as_secs_f64() * 1e3, ..Measurement::default() }
}

/// Microseconds.
pub async fn connect<P: Peer>(time: Duration) -> Measurement {
    let address = listen::<P>().await;
    let one = |number| async move {
        let client = connect_to::<P>(address).await;
        assert_eq!(client.add(number, 1).await, number + 1, "a wrong answer");
    };
    one(0).await;
    let meter = Meter::start();
    let mut count = 0;
    while meter.elapsed() < time && count < MOST {
        one(count as u32).await;
        count += 1;
    }
    let measured = meter.rate(count);
    Measurement { value: 1e6 / measured.value, ..measured }
}

/// Microseconds a call.
pub async fn many<P: Peer>(count: u32, time: Duration) -> Measurement {
    let files = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    assert!(
        files >= u64::from(count) * 2 + 100,
        "{count} connections need more open files: see `ulimit -Hn`"
    );
    let address = listen::<P>().await;
    let mut clients = Vec::new();
    for number in 0..count {
        let client = connect_to::<P>(address).await;
        assert_eq!(client.add(number, 1).await, number + 1, "a wrong answer");
        clients.push(client);
    }
    let clients = &clients;
    let measured = throughput::one_after_another(time, move |number| async move {
        let client = &clients[number as usize % clients.len()];
        assert_eq!(client.add(number, 1).await, number + 1, "a wrong answer");
    });
    let measured = measured.await;
    Measurement { value: 1e6 / measured.value, ..measured }
}
