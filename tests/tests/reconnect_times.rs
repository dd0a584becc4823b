//! Durable references and time: the pauses between attempts, and lines on which nothing moves.

use std::future::IntoFuture as _;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use capnode::testing::{Cutter, Line, simulate};
use capnode::{Cap, Connection, Error, Func, LineState, Node, Reconnection};
use capnode_tests::soon;
use futures_util::FutureExt as _;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::Instant;

const LEAST: Duration = Duration::from_millis(100);
const MOST: Duration = Duration::from_secs(5);

/// The grain of tokio's clock.
const GRAIN: Duration = Duration::from_millis(2);

/// Attempts to connect, with the times when they were made.
type Attempts = Arc<Mutex<Vec<Instant>>>;

/// Returns the pauses between the attempts.
fn pauses(attempts: &Attempts) -> Vec<Duration> {
    attempts.lock().unwrap().windows(2).map(|two| two[1] - two[0]).collect()
}

/// Returns the pauses between the attempts to reach nobody.
fn pauses_of(seed: u64) -> Vec<Duration> {
    simulate(seed, |_| async {
        let attempts = Attempts::default();
        let made = attempts.clone();
        let dial = move || {
            made.lock().unwrap().push(Instant::now());
            async { Err::<Connection, _>(Error::rejected("nobody is there")) }
        };
        let _peer: Cap = capnode::reconnecting(dial).backoff(LEAST, MOST).start().unwrap();
        tokio::time::sleep(Duration::from_secs(60)).await;
        pauses(&attempts)
    })
}

/// Checks that each pause is between a half and all of what the one before it was at the most, doubled.
fn check_growth(pauses: &[Duration]) {
    let mut longest = LEAST;
    for pause in pauses {
        assert!(longest / 2 <= *pause && *pause <= longest + GRAIN, "{pause:?} of at most {longest:?}");
        longest = (2 * longest).min(MOST);
    }
}

#[test]
fn pauses_between_attempts_double_up_to_the_longest_and_are_chosen_at_random() {
    let all: Vec<_> = (0..20).map(pauses_of).collect();
    for pauses in &all {
        assert!(pauses.len() >= 12, "{pauses:?}");
        check_growth(pauses);
    }
    assert_eq!(all[0], pauses_of(0), "a seed reproduces them");
    // Clients that have lost one server do not come back in step: their pauses fill the range.
    for place in [0, 3, 10] {
        let (least, most) = all
            .iter()
            .map(|pauses| pauses[place])
            .fold((Duration::MAX, Duration::ZERO), |(least, most), pause| {
                (least.min(pause), most.max(pause))
            });
        assert!(most - least >= most / 4, "the pauses at place {place} are from {least:?} to {most:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_lasted_begins_the_pauses_anew_and_one_that_did_not_makes_them_longer() {
    // After four failures the pause is 800 ms at the most.
    for (lasts, begins_anew) in [(1_700, true), (1_500, false)] {
        let lasts = Duration::from_millis(lasts);
        let (attempts, node) = (Attempts::default(), Node::new("at home"));
        let lines = Arc::<Mutex<Vec<Cutter>>>::default();
        let (made, cutters) = (attempts.clone(), lines.clone());
        let dial = move || {
            let number = {
                let mut made = made.lock().unwrap();
                made.push(Instant::now());
                made.len()
            };
            let (node, cutters) = (node.clone(), cutters.clone());
            async move {
                // The fifth attempt is the first that leads anywhere.
                if number != 5 {
                    return Err(Error::rejected("nobody is there"));
                }
                let (here, there) = Line::new().ends();
                cutters.lock().unwrap().push(here.cutter());
                node.serve(there).await?;
                capnode::connect_over::<Connection>(here).await
            }
        };
        let peer: Cap = capnode::reconnecting(dial).backoff(LEAST, MOST).start().unwrap();
        assert_eq!(peer.read::<String>().await.unwrap(), "at home");
        tokio::time::sleep(lasts).await;
        let cut_at = Instant::now();
        lines.lock().unwrap()[0].cut();
        tokio::time::sleep(Duration::from_secs(60)).await;
        let pause = attempts.lock().unwrap()[5] - cut_at;
        if begins_anew {
            assert!(pause <= GRAIN, "the next attempt is made at once: {pause:?}");
            check_growth(&pauses(&attempts)[5..]);
        } else {
            assert!(8 * LEAST <= pause && pause <= 16 * LEAST + GRAIN, "it counts as a failure: {pause:?}");
        }
    }
}

/// A line on which nothing moves any more, while neither end is told: a laptop was carried away, a router has forgotten.
#[tokio::test]
async fn a_line_on_which_nothing_moves_is_found_to_be_lost_within_30_seconds() {
    let node = Node::new("at home");
    let server = node.listen("tcp://127.0.0.1:0").await.unwrap();
    let server = server.url().trim_start_matches("tcp://").to_owned();
    let proxy = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("tcp://{}", proxy.local_addr().unwrap());
    let (stop, mut stopped) = tokio::sync::oneshot::channel::<()>();
    let (held, is_held) = tokio::sync::oneshot::channel();
    tokio::spawn(async move {
        let (mut client, _) = proxy.accept().await.unwrap();
        let mut server = TcpStream::connect(server).await.unwrap();
        tokio::select! {
            _ = copy_bidirectional(&mut client, &mut server) => {}
            _ = &mut stopped => {}
        }
        // Both streams stay open, and nothing is read.
        held.send((client, server, proxy)).unwrap();
    });
    let peer: Cap = soon(async { capnode::connect(&url).reconnecting().await }).await.unwrap();
    assert_eq!(soon(peer.read::<String>()).await.unwrap(), "at home");
    let mut line = Reconnection::of_cap(&peer).unwrap();
    stop.send(()).unwrap();
    let _streams = soon(is_held).await.unwrap();
    tokio::time::pause();
    let began = Instant::now();
    let LineState::Down { .. } = line.changed().await else { panic!("{:?}", line.state()) };
    let found = began.elapsed();
    assert!(found <= Duration::from_secs(30) + GRAIN, "it was found after {found:?}");
}

#[capnode::interface]
trait Watch {
    /// Never returns, once it has said that it runs.
    async fn stay(&self, begun: Func<fn()>);
    /// Returns the milliseconds that are left for the call.
    async fn left(&self) -> Option<u128>;
}

struct Guard;

impl Watch for Guard {
    async fn stay(&self, begun: Func<fn()>) {
        begun.call().send().unwrap();
        std::future::pending().await
    }

    async fn left(&self) -> Option<u128> {
        capnode::context()?.time_left().map(|left| left.as_millis())
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_that_a_draining_peer_turns_away_is_sent_again_with_what_is_left_of_its_time() {
    let pause = Duration::from_secs(4);
    let nodes = [(); 2].map(|()| Node::new(WatchClient::new(Guard)));
    let (draining, dialed) = (nodes[0].clone(), Arc::new(AtomicUsize::new(0)));
    let dial = move || {
        let number = dialed.fetch_add(1, Ordering::SeqCst);
        let node = nodes[number].clone();
        async move {
            // The next connection takes its time.
            tokio::time::sleep(pause * u32::try_from(number).unwrap()).await;
            let (here, there) = Line::new().ends();
            node.serve(there).await?;
            capnode::connect_over::<Connection>(here).await
        }
    };
    // A peer says in its first answer that it takes deadlines.
    let connecting = capnode::reconnecting(dial)
        .on_connect(|watch: WatchClient| async move { watch.left().await.map(drop) });
    let watch = connecting.await.unwrap();
    let (begun, mut has_begun) = tokio::sync::mpsc::unbounded_channel();
    let _stays = tokio::spawn(watch.stay(move || {
        let told = begun.send(());
        async move { told.unwrap() }
    }));
    soon(has_begun.recv()).await.expect("it has begun");
    let mut drained = std::pin::pin!(draining.drain(Duration::from_secs(60)));
    assert!(drained.as_mut().now_or_never().is_none(), "a call is running");
    // The call crosses the notice.
    let left = soon(watch.left().timeout(Duration::from_secs(9)).into_future()).await.unwrap();
    assert!(left.is_some_and(|left| (4_000..=5_000).contains(&left)), "{left:?} ms are left");
}
