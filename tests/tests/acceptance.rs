//! The promises of the library, counted.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use capnode::testing::Line;
use capnode::{Connection, Dialect, Func, Node, Tables};
use capnode_examples::frames::Frames;
use capnode_examples::tour::{self, TourClient};
use capnode_tests::{in_memory, soon, until};
use tokio::time::Instant;

const DELAY: Duration = Duration::from_millis(50);

/// A little more than the time of a round trip to the peer: the clock only moves when all wait, and then in steps of a
/// millisecond.
const ROUND_TRIP: Duration = Duration::from_millis(105);

/// The tour at the other end of a line that takes 50 ms each way.
async fn far_away() -> (TourClient, Frames) {
    let frames = Frames::default();
    let (client, server) = frames.on(Line::new().delay(DELAY)).ends();
    Node::new(tour::index()).serve(server).await.unwrap();
    let tour: TourClient = capnode::connect_over(client).await.unwrap();
    // The two ends greet each other with the first call. The last frame of that precedes the second.
    for _ in 0..2 {
        tour.transform("").await.unwrap();
    }
    frames.clear();
    (tour, frames)
}

fn texts(frames: &Frames, out: bool) -> Vec<String> {
    frames.all().into_iter().filter(|(of_client, _)| *of_client == out).map(|(_, text)| text).collect()
}

#[tokio::test(start_paused = true)]
async fn a_chain_of_three_calls_takes_one_round_trip() {
    let (tour, frames) = far_away().await;
    let start = Instant::now();
    let name = tour.authenticate("ann").pipeline().profile().pipeline().name().await.unwrap();
    let elapsed = start.elapsed();
    assert_eq!(name, "user of ann");
    assert!((2 * DELAY..ROUND_TRIP).contains(&elapsed), "{elapsed:?}");

    // The three calls go out at once, and one answer comes back.
    assert_eq!(frames.out_before_first_in(), 3);
    let out = texts(&frames, true);
    assert_eq!(out[0], r#"["push",["pipeline",0,["authenticate"],["ann"]]]"#);
    let id = |frame: &str| frame.split(',').nth(2).unwrap().to_owned();
    let (second, third) = (id(&out[1]), id(&out[2]));
    assert_eq!(out[1], format!(r#"["push",["pipeline",{second},["profile"],[]]]"#));
    assert_eq!(out[2], format!(r#"["stream",["pipeline",{third},["name"],[]]]"#));
    assert_eq!(third.parse::<u32>().unwrap(), second.parse::<u32>().unwrap() + 1);
    let back = texts(&frames, false);
    assert_eq!(back.len(), 1, "{back:?}");
    assert!(back[0].ends_with(r#","user of ann"]"#));

    // References in flight are given back at once, without waiting for anything.
    until("it is given back", || frames.count().0 == 5).await;
    let mut released = texts(&frames, true).split_off(3);
    released.sort();
    assert_eq!(released, [format!(r#"["release",{second},1]"#), format!(r#"["release",{third},1]"#)]);
}

#[tokio::test(start_paused = true)]
async fn one_call_after_the_other_takes_a_round_trip_each() {
    let (tour, frames) = far_away().await;
    let start = Instant::now();
    let user = tour.authenticate("ann").await.unwrap();
    let profile = user.profile().await.unwrap();
    assert_eq!(profile.name().await.unwrap(), "user of ann");
    let elapsed = start.elapsed();
    assert!((6 * DELAY..3 * ROUND_TRIP).contains(&elapsed), "{elapsed:?}");
    // One frame each way for a call.
    assert_eq!(frames.count(), (3, 3));
    assert_eq!(frames.out_before_first_in(), 1);
}

#[tokio::test(start_paused = true)]
async fn many_chains_at_once_take_one_round_trip() {
    let (tour, frames) = far_away().await;
    let start = Instant::now();
    let chains: Vec<_> = (0..100)
        .map(|at| {
            let tour = tour.clone();
            tokio::spawn(async move {
                let counter = tour.counter().pipeline();
                let (first, second) = tokio::join!(counter.next(), counter.next());
                assert_eq!((first.unwrap(), second.unwrap()), (1, 2), "chain {at}");
            })
        })
        .collect();
    for chain in chains {
        chain.await.unwrap();
    }
    let elapsed = start.elapsed();
    assert!((2 * DELAY..ROUND_TRIP).contains(&elapsed), "{elapsed:?}");
    assert_eq!(frames.out_before_first_in(), 300);
}

#[tokio::test(start_paused = true)]
async fn a_callback_takes_a_round_trip_within_the_call() {
    let (tour, frames) = far_away().await;
    let calls = Arc::<AtomicUsize>::default();
    let counted = calls.clone();
    let start = Instant::now();
    let callback = move |_: String, _: String| {
        counted.fetch_add(1, Ordering::SeqCst);
        async {}
    };
    tour.on("tick", callback).await.unwrap();
    let elapsed = start.elapsed();
    assert_eq!(calls.load(Ordering::SeqCst), 3);
    // There, three times back and there, and back; and the callback is given back before the answer.
    assert!((8 * DELAY..4 * ROUND_TRIP).contains(&elapsed), "{elapsed:?}");
    let back = texts(&frames, false);
    assert_eq!(back.len(), 5, "{back:?}");
    assert_eq!(back[3], r#"["release",-1,1]"#);
    assert!(back[4].starts_with(r#"["resolve","#), "{back:?}");
}

// --------------------------------------------------------------------------------------- leaks

/// Keeps its argument.
#[capnode::interface]
trait Collector {
    async fn keep(&self, callbacks: Vec<Callback>);

    async fn give_back(&self) -> u32;

    async fn call(&self, callback: Func<fn(u32) -> u32>) -> u32;
}

type Callback = Func<fn(u32) -> u32>;

#[derive(Default)]
struct Collection(std::sync::Mutex<Vec<Callback>>);

impl Collector for Collection {
    async fn keep(&self, callbacks: Vec<Callback>) {
        self.0.lock().unwrap().extend(callbacks);
    }

    async fn give_back(&self) -> u32 {
        let kept = std::mem::take(&mut *self.0.lock().unwrap());
        u32::try_from(kept.len()).unwrap()
    }

    async fn call(&self, callback: Callback) -> u32 {
        callback.call(20).await.unwrap()
    }
}

/// A count of the live closures.
#[derive(Clone, Default)]
struct Alive(Arc<()>);

impl Alive {
    fn count(&self) -> usize {
        Arc::strong_count(&self.0) - 1
    }

    fn function(&self) -> Callback {
        let alive = self.0.clone();
        Func::new(move |x: u32| {
            let _alive = &alive;
            async move { x + 1 }
        })
    }
}

/// Both ends of a connection, and the index of the other end.
async fn collecting() -> (CollectorClient, Connection, Connection) {
    let (server, client): (_, Connection) =
        in_memory(&Node::new(CollectorClient::new(Collection::default())), Dialect::CapnWeb).await;
    (client.index(), client, server)
}

const MANY: usize = 100_000;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_thousand_callbacks_called_and_dropped_leave_nothing() {
    let (collector, client, server) = collecting().await;
    let alive = Alive::default();
    for _ in 0..MANY / 500 {
        let calls: Vec<_> = (0..500).map(|_| tokio::spawn(collector.call(alive.function()))).collect();
        for call in calls {
            assert_eq!(soon(call).await.unwrap().unwrap(), 21);
        }
    }
    until("all is given back", || client.tables() == Tables::default()).await;
    assert_eq!(server.tables(), Tables::default());
    assert_eq!(alive.count(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_thousand_callbacks_held_and_dropped_leave_nothing() {
    let (collector, client, server) = collecting().await;
    let alive = Alive::default();
    for _ in 0..MANY / 1_000 {
        let callbacks = (0..1_000).map(|_| alive.function()).collect();
        collector.keep(callbacks).await.unwrap();
    }
    assert_eq!((client.tables().exports, server.tables().imports), (MANY, MANY));
    assert_eq!(alive.count(), MANY);
    assert_eq!(collector.give_back().await.unwrap() as usize, MANY);
    until("all is given back", || client.tables() == Tables::default()).await;
    assert_eq!(server.tables(), Tables::default());
    assert_eq!(alive.count(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_thousand_objects_held_and_dropped_leave_nothing() {
    let (server, client): (_, Connection) = in_memory(&Node::new(tour::index()), Dialect::CapnWeb).await;
    let tour: TourClient = client.index();
    let counters: Vec<_> = (0..MANY).map(|_| tour.counter().pipeline()).collect();
    let last = counters.last().unwrap();
    assert_eq!(soon(last.next()).await.unwrap(), 1);
    assert_eq!((client.tables().imports, server.tables().exports), (MANY, MANY));
    drop(counters);
    until("all is given back", || server.tables() == Tables::default()).await;
    assert_eq!(client.tables(), Tables::default());
    assert_eq!(tour.transform("beep").await.unwrap(), "BOOP");
}
