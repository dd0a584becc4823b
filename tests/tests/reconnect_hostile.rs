//! Durable references to servers that are of no use, and in programs that give them up: each call ends, nothing is tried in a
//! loop, and nothing is left.

use std::future::{Future, IntoFuture, pending};
use std::pin::pin;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use capnode::testing::{Cutter, Line};
use capnode::{
    Cap, Connection, Error, ErrorKind, Fate, Func, Incoming, LineState, Node, Object, Reconnecting,
    Reconnection, Value,
};
use capnode_tests::soon;
use futures_util::future::join_all;
use tokio::runtime::Handle;
use tokio::time::{sleep, timeout};

#[capnode::interface]
trait Door {
    async fn count(&self) -> u32;
    #[capnode(idempotent)]
    async fn count_again(&self) -> u32;
    #[capnode(rederive)]
    async fn open(&self, number: u32) -> DoorClient;
}

/// Counts calls. Its way to open a door is that of a test.
#[derive(Clone)]
struct Counted {
    calls: Arc<AtomicU32>,
    opens: bool,
}

impl Door for Counted {
    async fn count(&self) -> u32 {
        self.calls.fetch_add(1, Ordering::SeqCst) + 1
    }

    async fn count_again(&self) -> u32 {
        self.count().await
    }

    async fn open(&self, _: u32) -> DoorClient {
        if !self.opens {
            pending::<()>().await;
        }
        DoorClient::new(self.clone())
    }
}

fn door() -> DoorClient {
    DoorClient::new(Counted { calls: Arc::default(), opens: true })
}

/// A door that nobody ever opens.
fn stuck_door() -> DoorClient {
    DoorClient::new(Counted { calls: Arc::default(), opens: false })
}

/// The lines to a server.
#[derive(Clone, Default)]
struct Lines {
    dialed: Arc<AtomicU32>,
    cutters: Arc<Mutex<Vec<Cutter>>>,
    /// `true` if the server does nothing for a peer but to say that it is shutting down.
    drained: bool,
}

impl Lines {
    /// Connects for the n-th time to the node that `serve` returns for n.
    fn to(&self, serve: impl Fn(u32) -> Option<Node> + Send + Sync + 'static) -> Reconnecting<DoorClient> {
        let lines = self.clone();
        capnode::reconnecting(move || {
            let node = serve(lines.dialed.fetch_add(1, Ordering::SeqCst) + 1);
            let lines = lines.clone();
            async move {
                let node = node.ok_or_else(|| Error::rejected("nobody is there"))?;
                let (here, there) = Line::new().ends();
                lines.cutters.lock().unwrap().push(here.cutter());
                node.serve(there).await?;
                let connection: Connection = capnode::connect_over(here).await?;
                if lines.drained {
                    tokio::spawn(async move { node.drain(Duration::from_secs(1)).await });
                    connection.peer_draining().await;
                }
                Ok(connection)
            }
        })
    }

    fn draining() -> Self {
        Self { drained: true, ..Self::default() }
    }

    fn dialed(&self) -> u32 {
        self.dialed.load(Ordering::SeqCst)
    }

    fn cut(&self) {
        for cutter in self.cutters.lock().unwrap().drain(..) {
            cutter.cut();
        }
    }
}

/// A node that ends each connection at once.
fn closing() -> Node {
    Node::builder()
        .authorize(|incoming: Incoming| {
            incoming.connection().close();
            async { Ok::<_, Error>(door()) }
        })
        .build()
}

/// The outcome of a call, which has to have one.
async fn ended<T>(call: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    timeout(Duration::from_secs(100), call).await.expect("it ends")
}

#[tokio::test(start_paused = true)]
async fn a_server_that_is_of_no_use_is_not_dialed_in_a_loop_and_its_calls_end() {
    let door = || Node::new(door());
    for (what, lines, node) in
        [("closing", Lines::default(), closing as fn() -> Node), ("draining", Lines::draining(), door)]
    {
        let client = lines.to(move |_| Some(node())).start().unwrap();
        let again = tokio::spawn(ended(client.count_again()));
        let error = ended(client.count()).await.expect_err(what);
        assert_ne!(error.fate(), Fate::Answered, "{what}: {error}");
        again.await.unwrap().expect_err(what);
        sleep(Duration::from_secs(60)).await;
        // The pauses are doubled from 100 milliseconds to 30 seconds.
        assert!((5..25).contains(&lines.dialed()), "{what}: {}", lines.dialed());
    }
}

#[tokio::test(start_paused = true)]
async fn a_reference_is_made_again_after_it_could_not_be_for_a_while() {
    let lines = Lines::default();
    let server = Arc::new(Mutex::new(Some(Node::new(door()))));
    let serving = server.clone();
    let connecting = lines.to(move |_| serving.lock().unwrap().clone());
    let client = connecting.wait(Duration::from_secs(10), 1 << 20).await.unwrap();
    let opened = client.open(1).await.unwrap();
    // The next server loses its connection while it opens the door, and is gone then.
    *server.lock().unwrap() = Some(Node::new(stuck_door()));
    lines.cut();
    let waiting = tokio::spawn(opened.count());
    sleep(Duration::from_secs(1)).await;
    *server.lock().unwrap() = None;
    lines.cut();
    let error = waiting.await.unwrap().unwrap_err();
    assert_eq!((error.kind(), error.fate()), (ErrorKind::Timeout, Fate::NotSent), "{error}");
    let pipelined = client.open(2).pipeline();
    assert_eq!(pipelined.count().await.unwrap_err().fate(), Fate::NotSent);
    *server.lock().unwrap() = Some(Node::new(door()));
    sleep(Duration::from_secs(60)).await;
    assert_eq!(client.count().await.unwrap(), 1);
    assert_eq!(opened.count().await.unwrap(), 2);
    assert_eq!(pipelined.count().await.unwrap(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_connection_ends_with_its_last_reference_also_while_one_is_made_again() {
    let lines = Lines::default();
    let serve = |time| Some(Node::new(if time == 1 { door() } else { stuck_door() }));
    let client = lines.to(serve).await.unwrap();
    let mut line = Reconnection::of(&client).unwrap();
    let opened = client.open(1).await.unwrap();
    lines.cut();
    line.changed().await;
    let error = opened.count().timeout(Duration::from_secs(1)).await.unwrap_err();
    assert_eq!((error.kind(), error.fate()), (ErrorKind::Timeout, Fate::NotSent), "{error}");
    drop((client, opened));
    while !matches!(soon(line.changed()).await, LineState::Ended(_)) {}
}

#[tokio::test(start_paused = true)]
async fn a_subscription_on_a_reference_that_was_given_up_ends() {
    let lines = Lines::default();
    let client = lines.to(|time| (time == 1).then(|| Node::new(door()))).await.unwrap();
    let mut line = Reconnection::of(&client).unwrap();
    line.end(Error::rejected("enough"));
    while !matches!(soon(line.changed()).await, LineState::Ended(_)) {}
    let listen = |door: DoorClient, _: u32, _: Func<fn(u32, u32)>| async move { door.count().await };
    let mut counts = capnode::subscribe(&client, 0, listen).unwrap();
    let error = soon(counts.next()).await.unwrap().unwrap_err();
    assert!(error.message().contains("enough"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_server_that_opens_something_else_the_second_time_is_answered_with_an_error() {
    let strange: [fn() -> Value; 5] = [
        || Value::Null,
        || Value::from(7.0),
        || Value::from("a door"),
        || Value::Array(vec![Value::from(1.0)]),
        || Value::from(Cap::broken(Error::rejected("behind the door"))),
    ];
    for (at, value) in strange.into_iter().enumerate() {
        let lines = Lines::default();
        let serve = move |time| {
            let open = Func::<fn(u32) -> Value>::new(move |_| async move { value() });
            let strange = Object::new().with("open", open);
            Some(if time == 1 { Node::new(door()) } else { Node::new(strange) })
        };
        let client = lines.to(serve).await.unwrap();
        let opened = client.open(1).await.unwrap();
        lines.cut();
        Reconnection::of(&client).unwrap().changed().await;
        for _ in 0..3 {
            ended(opened.count()).await.expect_err(&format!("{at}"));
        }
        if at < 4 {
            ended(client.open(2)).await.expect_err(&format!("{at}"));
        }
        assert_eq!(lines.dialed(), 2, "{at}");
    }
}

#[tokio::test(start_paused = true)]
async fn ten_thousand_calls_wait_within_the_bound_and_go_when_they_are_given_up() {
    let lines = Lines::default();
    let server = Arc::new(Mutex::new(None));
    let serving = server.clone();
    let connecting = lines.to(move |_| serving.lock().unwrap().clone());
    // A call counts 512 bytes, and "[]".
    let client = connecting.wait(Duration::from_secs(600), 5_000 * 514).start().unwrap();
    for _ in 0..3 {
        let mut calls: Vec<_> = (0..10_000).map(|_| tokio::spawn(client.count())).collect();
        tokio::task::yield_now().await;
        for refused in join_all(calls.drain(5_000..)).await {
            let error = refused.unwrap().unwrap_err();
            assert_eq!((error.kind(), error.fate()), (ErrorKind::Limit, Fate::NotSent), "{error}");
        }
        for call in calls {
            assert!(!call.is_finished());
            call.abort();
            assert!(call.await.unwrap_err().is_cancelled());
        }
    }
    let calls: Vec<_> = (0..5_000).map(|_| tokio::spawn(client.count())).collect();
    tokio::task::yield_now().await;
    *server.lock().unwrap() = Some(Node::new(door()));
    for (number, call) in (1..).zip(calls) {
        assert_eq!(call.await.unwrap().unwrap(), number, "none of the others has run");
    }
}

#[tokio::test(start_paused = true)]
async fn nothing_is_left_of_a_thousand_connections() {
    let lines = Lines::default();
    let calls = Arc::<AtomicU32>::default();
    let node = Node::new(DoorClient::new(Counted { calls: calls.clone(), opens: true }));
    let connecting = lines.to(move |_| Some(node.clone()));
    let client = connecting.backoff(Duration::ZERO, Duration::from_millis(1)).await.unwrap();
    let opened = client.open(1).await.unwrap().open(2).await.unwrap();
    let mut line = Reconnection::of(&client).unwrap();
    let mut before = None;
    for time in 1..=1_000 {
        let waiting = tokio::spawn(opened.count_again());
        if time % 2 == 0 {
            lines.cut();
            line.changed().await;
        }
        ended(opened.count()).await.unwrap();
        ended(client.open(time)).await.unwrap();
        waiting.await.unwrap().unwrap();
        lines.cut();
        while !matches!(line.changed().await, LineState::Up) {}
        sleep(Duration::from_secs(1)).await;
        let left = (Handle::current().metrics().num_alive_tasks(), Arc::strong_count(&calls));
        if time == 10 {
            before = Some(left);
        }
        assert!(before.is_none_or(|before| left <= before), "{time}: {left:?}, and not {before:?}");
    }
    assert!(lines.dialed() > 1_000);
}

#[tokio::test(start_paused = true)]
async fn a_reference_can_be_dropped_in_each_state() {
    let tasks = || Handle::current().metrics().num_alive_tasks();
    let hangs = || capnode::reconnecting::<DoorClient, _>(pending);
    let served = |lines: &Lines| lines.to(|_| Some(Node::new(stuck_door())));
    for after in
        [Duration::ZERO, Duration::from_millis(50), Duration::from_secs(20), Duration::from_secs(200)]
    {
        let connecting = [
            hangs(),
            Lines::default().to(|_| None),
            served(&Lines::default()),
            served(&Lines::default()).on_connect(|_| pending()),
            Lines::default().to(|_| Some(closing())),
            Lines::draining().to(|_| Some(Node::new(door()))),
        ];
        for (at, connecting) in connecting.into_iter().enumerate() {
            let client = connecting.start().unwrap();
            let mut calls = vec![client.count(), client.count_again()];
            // A call whose result is used before it is there runs to its end, which does not come there.
            if at != 2 {
                calls.push(client.open(1).pipeline().count());
            }
            let calls = tokio::spawn(join_all(calls));
            client.count().send().unwrap();
            let opening = tokio::spawn(client.open(1).into_future());
            sleep(after).await;
            calls.abort();
            opening.abort();
            drop(client);
            // What has been sent goes with its connection.
            sleep(Duration::from_secs(60)).await;
            assert_eq!(tasks(), 0, "way {at}, dropped after {after:?}");
        }
    }
}

#[test]
fn outside_of_a_runtime_it_fails_and_does_not_panic() {
    let error = capnode::connect::<Cap>("tcp://127.0.0.1:1").reconnecting().start().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    let mut connecting = capnode::connect::<Cap>("tcp://127.0.0.1:1").reconnecting().into_future();
    let polled = connecting.as_mut().poll(&mut Context::from_waker(Waker::noop()));
    assert!(matches!(polled, Poll::Ready(Err(error)) if error.kind() == ErrorKind::Unsupported));

    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let lines = Lines::default();
    let (client, opened) = runtime.block_on(async {
        let client = lines.to(|_| Some(Node::new(door()))).await.unwrap();
        let opened = client.open(1).await.unwrap();
        let mut line = Reconnection::of(&client).unwrap();
        lines.cut();
        line.changed().await;
        while !matches!(line.changed().await, LineState::Up) {}
        (client, opened)
    });
    // Here nobody can make it again.
    let mut call = pin!(opened.count().into_future());
    let polled = call.as_mut().poll(&mut Context::from_waker(Waker::noop()));
    assert!(matches!(polled, Poll::Ready(Err(error)) if error.fate() == Fate::NotSent));
    assert_eq!(runtime.block_on(async { opened.count().await }).unwrap(), 1);
    drop(runtime);
    drop((client, opened));
}
