//! Layers: a policy at the edge of a connection is asked about all that crosses, and wraps nothing.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use capnode::{
    CallInfo, Cap, Client, Decision, Direction, Error, ErrorKind, Fate, Func, LimitKind, Node, Policy,
    Reader, membrane, policy,
};
use tokio::sync::Notify;

#[capnode::interface]
trait Leaf {
    async fn ping(&self) -> usize;
    async fn secret(&self) -> usize;
}

#[derive(Default)]
struct Counted(AtomicUsize);

impl Leaf for Counted {
    async fn ping(&self) -> usize {
        self.0.fetch_add(1, Ordering::SeqCst) + 1
    }

    async fn secret(&self) -> usize {
        self.0.fetch_add(100, Ordering::SeqCst) + 100
    }
}

#[capnode::interface]
trait Tree {
    async fn leaf(&self) -> LeafClient;
    async fn other(&self) -> LeafClient;
    async fn grown(&self) -> LeafClient;
    async fn leaves(&self) -> Vec<LeafClient>;
    async fn is_own(&self, leaf: LeafClient) -> bool;
    async fn call(&self, callback: Func<fn(u32) -> u32>) -> Result<u32, Error>;
    async fn hang(&self);
    async fn count(&self) -> Reader<u32>;
}

#[derive(Default)]
struct Oak {
    leaf: Arc<Counted>,
    other: Arc<Counted>,
    grows: Arc<Notify>,
    hung: Arc<Notify>,
}

/// Tells that a handler was dropped.
struct Dropped(Arc<Notify>);

impl Drop for Dropped {
    fn drop(&mut self) {
        self.0.notify_one();
    }
}

impl Tree for Oak {
    async fn leaf(&self) -> LeafClient {
        LeafClient::from_arc(self.leaf.clone())
    }

    async fn other(&self) -> LeafClient {
        LeafClient::from_arc(self.other.clone())
    }

    async fn grown(&self) -> LeafClient {
        self.grows.notified().await;
        self.leaf().await
    }

    async fn leaves(&self) -> Vec<LeafClient> {
        vec![self.leaf().await, self.other().await]
    }

    async fn is_own(&self, leaf: LeafClient) -> bool {
        leaf.cap().local::<Counted>().is_some()
    }

    async fn call(&self, callback: Func<fn(u32) -> u32>) -> Result<u32, Error> {
        callback.call(20).await
    }

    async fn hang(&self) {
        let _dropped = Dropped(self.hung.clone());
        std::future::pending::<()>().await;
    }

    async fn count(&self) -> Reader<u32> {
        Reader::from_iter(0..3)
    }
}

/// Connects a client without layers to a node that offers `tree` behind `layer`.
async fn behind(tree: Arc<Oak>, layer: impl Policy) -> TreeClient {
    let (here, there) = capnode::transport::pair();
    Node::builder().index(TreeClient::from_arc(tree)).layer(layer).build().serve(there).await.unwrap();
    capnode::connect_over(here).await.unwrap()
}

/// Connects a client with a layer to a node without.
async fn before(tree: Arc<Oak>, layer: impl Policy) -> TreeClient {
    let (here, there) = capnode::transport::pair();
    Node::new(TreeClient::from_arc(tree)).serve(there).await.unwrap();
    Node::builder().layer(layer).build().connect_over(here).await.unwrap()
}

/// Notes what it is asked and told.
#[derive(Clone, Default)]
struct Notes(Arc<Mutex<Vec<String>>>);

impl Notes {
    fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().unwrap())
    }

    fn note(&self, what: String) {
        self.0.lock().unwrap().push(what);
    }
}

impl Policy for Notes {
    fn before(&self, call: &CallInfo) -> Decision {
        let way = if call.direction() == Direction::Inward { "in" } else { "out" };
        let (interface, path) = (call.interface().unwrap_or("?"), call.path());
        self.note(format!("{way} {interface}.{path}({})", call.arguments().unwrap().len()));
        Decision::Pass
    }

    fn after(&self, call: &CallInfo, outcome: Result<(), &Error>, _: Duration) {
        let outcome = outcome.map_or_else(|error| format!("{:?}", error.kind()), |()| "ok".to_owned());
        self.note(format!("{} {outcome}", call.path()));
    }
}

#[tokio::test]
async fn calls_are_seen_in_both_directions() {
    let notes = Notes::default();
    let tree = behind(Arc::default(), notes.clone()).await;
    assert_eq!(tree.call(|number: u32| async move { number + 1 }).await.unwrap(), 21);
    assert_eq!(notes.take(), ["in Tree.call(1)", "out ?.(1)", " ok", "call ok"]);
    tree.cap().invoke::<()>("nothing", ()).await.unwrap_err();
    assert_eq!(notes.take(), ["in Tree.nothing(0)", "nothing Rejected"]);
}

#[tokio::test]
async fn a_connecting_side_sees_its_own_calls_as_outward() {
    let notes = Notes::default();
    let tree = before(Arc::default(), notes.clone()).await;
    assert_eq!(tree.call(|number: u32| async move { number + 1 }).await.unwrap(), 21);
    assert_eq!(notes.take(), ["out Tree.call(1)", "in ?.(1)", " ok", "call ok"]);
}

#[tokio::test]
async fn nothing_is_wrapped() {
    let tree = behind(Arc::default(), policy::log(|_, _, _| ())).await;
    let leaf = tree.leaf().await.unwrap();
    assert!(tree.is_own(leaf.clone()).await.unwrap());
    assert_eq!(leaf, tree.leaf().await.unwrap());
}

#[tokio::test]
async fn what_a_layer_refuses_does_not_run() {
    let oak = Arc::new(Oak::default());
    let tree = behind(oak.clone(), policy::only(["Tree.leaf", "Tree.leaves", "Leaf.ping"])).await;
    let leaf = tree.leaf().await.unwrap();
    assert_eq!(leaf.ping().await.unwrap(), 1);
    assert!(leaf.secret().await.is_err());
    // By a call on a result that is not there yet.
    assert!(tree.leaf().pipeline().secret().await.is_err());
    // In the middle of a map.
    let mapped = tree.leaves().map(|leaf| leaf.secret()).await;
    assert!(mapped.is_err());
    let mapped = tree.leaves().map(|leaf| leaf.ping()).await;
    assert_eq!(mapped.unwrap(), [2, 1]);
    assert_eq!(oak.leaf.0.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn a_refused_call_is_not_sent() {
    let oak = Arc::new(Oak::default());
    struct NoPing;
    impl Policy for NoPing {
        fn before(&self, call: &CallInfo) -> Decision {
            match call.method() {
                Some("ping" | "other") => Decision::Refuse(Error::rejected("no")),
                _ => Decision::Pass,
            }
        }
    }
    let tree = before(oak.clone(), NoPing).await;
    let leaf = tree.leaf().await.unwrap();
    let error = leaf.ping().await.unwrap_err();
    assert_eq!((error.kind(), error.fate()), (ErrorKind::Rejected, Fate::NotSent));
    assert!(Cap::from(tree.leaf().pipeline()).invoke::<usize>("ping", ()).await.is_err());
    assert!(tree.other().pipeline().secret().await.is_err());
    assert_eq!((oak.leaf.0.load(Ordering::SeqCst), oak.other.0.load(Ordering::SeqCst)), (0, 0));
}

#[tokio::test]
async fn a_call_that_waits_holds_back_later_ones_on_the_same_reference_only() {
    let (oak, open) = (Arc::new(Oak::default()), Arc::new(Notify::new()));
    let notes = Notes::default();
    let opens = open.clone();
    let ask = policy::ask(move |call| {
        let waits = call.method() == Some("ping");
        let opens = opens.clone();
        async move {
            if waits {
                opens.notified().await;
            }
            Ok(())
        }
    });
    let tree = behind(oak.clone(), ask.and(notes.clone())).await;
    let (leaf, other) = (tree.leaf().await.unwrap(), tree.other().await.unwrap());
    notes.take();
    let (first, second) = (tokio::spawn(leaf.ping()), tokio::spawn(leaf.secret()));
    // Another reference is not held back.
    assert_eq!(other.secret().await.unwrap(), 100);
    assert_eq!(notes.take(), ["in Leaf.secret(0)", "secret ok"]);
    open.notify_one();
    assert_eq!((first.await.unwrap().unwrap(), second.await.unwrap().unwrap()), (1, 101));
    assert_eq!(notes.take(), ["in Leaf.ping(0)", "ping ok", "in Leaf.secret(0)", "secret ok"]);
}

#[tokio::test]
async fn what_was_asked_of_a_result_goes_before_what_is_asked_of_it_when_it_is_there() {
    let oak = Arc::new(Oak::default());
    let (asked, decide) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (asks, decides) = (asked.clone(), decide.clone());
    let ask = policy::ask(move |call| {
        let decided = (call.method() == Some("ping")).then(|| decides.clone());
        if decided.is_some() {
            asks.notify_one();
        }
        async move {
            if let Some(decided) = decided {
                decided.notified().await;
            }
            Ok(())
        }
    });
    let tree = behind(oak.clone(), ask).await;
    let result = tree.grown().pipeline();
    let first = tokio::spawn(result.ping());
    let leaf = tree.leaf().await.unwrap();
    oak.grows.notify_one();
    asked.notified().await;
    let (second, third) = (tokio::spawn(leaf.secret()), tokio::spawn(result.secret()));
    // They have arrived when what follows them is answered.
    tree.leaf().await.unwrap();
    assert!(!second.is_finished() && !third.is_finished());
    decide.notify_one();
    let all = (first.await.unwrap(), second.await.unwrap(), third.await.unwrap());
    assert_eq!((all.0.unwrap(), all.1.unwrap(), all.2.unwrap()), (1, 101, 201));
}

#[tokio::test(start_paused = true)]
async fn an_unordered_call_that_waits_holds_back_none() {
    let open = Arc::new(Notify::new());
    let opens = open.clone();
    let ask = policy::ask(move |call| {
        let waits = call.method() == Some("ping");
        let opens = opens.clone();
        async move {
            if waits {
                opens.notified().await;
            }
            Ok(())
        }
    });
    let tree = behind(Arc::default(), ask.unordered()).await;
    let leaf = tree.leaf().await.unwrap();
    let first = tokio::spawn(leaf.ping());
    tokio::task::yield_now().await;
    let second = leaf.secret().timeout(Duration::from_secs(1)).await.unwrap();
    assert!(!first.is_finished());
    open.notify_one();
    assert_eq!((first.await.unwrap().unwrap(), second), (101, 100));
}

#[tokio::test(start_paused = true)]
async fn a_call_that_is_not_decided_about_until_its_deadline_has_not_been_sent() {
    struct Never;
    impl Policy for Never {
        fn before(&self, _: &CallInfo) -> Decision {
            Decision::wait(std::future::pending())
        }
    }
    let tree = before(Arc::default(), Never).await;
    let late = tree.leaf().timeout(Duration::from_secs(1)).await.unwrap_err();
    assert_eq!((late.kind(), late.fate()), (ErrorKind::Timeout, Fate::NotSent));
}

/// Decides nothing, and counts how often it is asked.
#[derive(Clone)]
struct Undecided {
    asked: Arc<AtomicUsize>,
    is_ordered: bool,
}

impl Policy for Undecided {
    fn before(&self, _: &CallInfo) -> Decision {
        self.asked.fetch_add(1, Ordering::SeqCst);
        let decision = Decision::wait(std::future::pending());
        if self.is_ordered { decision } else { decision.unordered() }
    }
}

#[tokio::test]
async fn a_peer_cannot_pile_up_calls_that_wait_for_a_decision() {
    const CALL: usize = 1 << 20;
    let text = "x".repeat(CALL);
    for (is_layer, is_ordered) in [(true, true), (true, false), (false, true), (false, false)] {
        let policy = Undecided { asked: Arc::default(), is_ordered };
        let (tree, asked) = (TreeClient::new(Oak::default()), policy.asked.clone());
        let node = if is_layer {
            Node::builder().index(tree).layer(policy).build()
        } else {
            Node::new(membrane(tree, policy))
        };
        let (here, there) = capnode::transport::pair();
        let connection = node.serve(there).await.unwrap();
        let peer: Cap = capnode::connect_over(here).await.unwrap();
        // The peer would send 1 GiB.
        let (mut calls, mut most) = (Vec::new(), 0);
        while calls.len() < 1_024 && !connection.is_closed() {
            calls.push(tokio::spawn(peer.invoke::<()>("leaf", (text.clone(),))));
            tokio::task::yield_now().await;
            if !connection.is_closed() {
                most = most.max(connection.report().parked_bytes);
                assert!(asked.load(Ordering::SeqCst) <= 1 || !is_ordered);
            }
        }
        let error = connection.closed().await;
        assert_eq!((error.limit(), calls.len() < 64), (Some(LimitKind::ParkedBytes), true), "{error}");
        let limit = connection.report().limits.parked_bytes;
        assert!(limit / 2 < most && most <= limit + 2 * CALL, "{most}");
        // Nothing is held when all have failed.
        for call in calls {
            call.await.unwrap().unwrap_err();
        }
        assert_eq!(connection.report().parked_bytes, 0);
    }
}

#[tokio::test]
async fn what_is_decided_about_is_no_longer_counted_as_waiting() {
    let decide = Arc::new(Notify::new());
    let decides = decide.clone();
    let ask = policy::ask(move |_| {
        let decides = decides.clone();
        async move {
            decides.notified().await;
            Ok(())
        }
    });
    let (here, there) = capnode::transport::pair();
    let node = Node::builder().index(TreeClient::new(Oak::default())).layer(ask).build();
    let connection = node.serve(there).await.unwrap();
    let tree: TreeClient = capnode::connect_over(here).await.unwrap();
    let hanging = tree.cap().invoke::<()>("hang", ("x".repeat(5_000),));
    let (first, second) = (tokio::spawn(hanging), tokio::spawn(tree.leaf()));
    while connection.report().parked_bytes <= 5_000 {
        tokio::task::yield_now().await;
    }
    decide.notify_one();
    while connection.report().parked_bytes > 5_000 {
        tokio::task::yield_now().await;
    }
    // It runs on, and the second one waits.
    assert!(connection.report().call_bytes > 5_000 && connection.report().parked_bytes > 0);
    decide.notify_one();
    second.await.unwrap().unwrap();
    assert_eq!(connection.report().parked_bytes, 0);
    first.abort();
}

#[tokio::test]
async fn a_call_that_is_given_up_while_it_waits_lets_the_next_one_go() {
    let oak = Arc::new(Oak::default());
    let ask = policy::ask(|call| {
        let waits = call.method() == Some("ping");
        async move { if waits { std::future::pending().await } else { Ok(()) } }
    });
    let tree = behind(oak.clone(), ask).await;
    let leaf = tree.leaf().await.unwrap();
    let (first, second) = (tokio::spawn(leaf.ping()), tokio::spawn(leaf.secret()));
    tree.leaf().await.unwrap();
    first.abort();
    assert_eq!(second.await.unwrap().unwrap(), 100);
}

#[tokio::test]
async fn layers_compose_and_the_first_learns_of_a_refusal_by_the_second() {
    let (first, last) = (Notes::default(), Notes::default());
    let (here, there) = capnode::transport::pair();
    let node = Node::builder()
        .index(TreeClient::new(Oak::default()))
        .layer(first.clone())
        .layer(policy::only(["Tree.leaf"]))
        .layer(last.clone());
    node.build().serve(there).await.unwrap();
    let tree: TreeClient = capnode::connect_over(here).await.unwrap();
    tree.other().await.unwrap_err();
    assert_eq!(first.take(), ["in Tree.other(0)", "other Refused"]);
    assert!(last.take().is_empty());
    tree.leaf().await.unwrap();
    assert_eq!(first.take(), ["in Tree.leaf(0)", "leaf ok"]);
    assert_eq!(last.take(), ["in Tree.leaf(0)", "leaf ok"]);
}

/// Refuses one method, in both directions.
struct Without(&'static str);

impl Policy for Without {
    fn before(&self, call: &CallInfo) -> Decision {
        match call.method() {
            Some(name) if name == self.0 => Decision::Refuse(Error::rejected("not this one")),
            _ => Decision::Pass,
        }
    }
}

#[tokio::test]
async fn layers_of_one_connection_are_asked_after_those_of_its_node_in_their_order() {
    let node = Node::new(TreeClient::new(Oak::default()));
    let listener = node.listen("tcp://127.0.0.1:0").await.unwrap();
    let (of_node, first, last) = (Notes::default(), Notes::default(), Notes::default());
    let calling = Node::builder().layer(of_node.clone()).build();
    let tree: TreeClient = calling
        .connect(&listener.url())
        .layer(first.clone())
        .layer(Without("other"))
        .layer(last.clone())
        .await
        .unwrap();
    tree.other().await.unwrap_err();
    tree.leaf().await.unwrap();
    let asked = ["out Tree.other(0)", "other Rejected", "out Tree.leaf(0)", "leaf ok"];
    assert_eq!(
        (of_node.take(), first.take()),
        (asked.map(str::to_owned).to_vec(), asked.map(str::to_owned).to_vec())
    );
    assert_eq!(last.take(), asked[2..]);

    // Other connections of the node have its own layers alone.
    let tree: TreeClient = calling.connect(&listener.url()).await.unwrap();
    tree.other().await.unwrap();
    assert_eq!((of_node.take().len(), first.take().len()), (2, 0));
}

/// Keeps something with each call, and counts it.
#[derive(Clone, Default)]
struct InFlight(Arc<()>, Arc<Mutex<Vec<usize>>>);

struct Kept(#[allow(dead_code, reason = "counted by its share")] Arc<()>);

impl Policy for InFlight {
    fn before(&self, call: &CallInfo) -> Decision {
        call.hold(Arc::new(Kept(self.0.clone())));
        Decision::Pass
    }

    fn around(&self, call: &CallInfo, step: &mut dyn FnMut()) {
        assert!(call.held::<Arc<Kept>>().is_some());
        self.1.lock().unwrap().push(Arc::strong_count(&self.0));
        step();
    }
}

#[tokio::test]
async fn what_is_kept_with_a_call_goes_with_it() {
    for way in [Direction::Inward, Direction::Outward] {
        let (layer, oak) = (InFlight::default(), Arc::new(Oak::default()));
        let tree = match way {
            Direction::Inward => behind(oak.clone(), layer.clone()).await,
            Direction::Outward => before(oak.clone(), layer.clone()).await,
        };
        // One is held by the layer, and one here.
        let idle = Arc::strong_count(&layer.0);
        let hanging = tokio::spawn(tree.hang());
        tree.leaf().await.unwrap();
        tree.leaf().await.unwrap();
        assert_eq!(Arc::strong_count(&layer.0), idle + 1);
        hanging.abort();
        oak.hung.notified().await;
        assert_eq!(Arc::strong_count(&layer.0), idle);
        // Every step of a call is run by the layer.
        assert!(layer.1.lock().unwrap().len() >= 2);
    }
}

#[tokio::test]
async fn an_idle_layer_is_not_asked() {
    struct Idle;
    impl Policy for Idle {
        fn before(&self, _: &CallInfo) -> Decision {
            panic!("it is idle");
        }
        fn is_idle(&self) -> bool {
            true
        }
    }
    let tree = behind(Arc::default(), Idle).await;
    tree.leaf().await.unwrap();
}

#[tokio::test]
async fn a_layer_that_panics_refuses() {
    struct Panics;
    impl Policy for Panics {
        fn before(&self, call: &CallInfo) -> Decision {
            match call.method() {
                Some("other") => panic!("no others"),
                Some("leaves") => Decision::wait(async { panic!("a faulty decision") }),
                _ => Decision::Pass,
            }
        }
        fn after(&self, _: &CallInfo, _: Result<(), &Error>, _: Duration) {
            panic!("a faulty listener");
        }
        fn around(&self, _: &CallInfo, _: &mut dyn FnMut()) {
            panic!("before the step");
        }
        fn is_idle(&self) -> bool {
            panic!("before it is asked");
        }
    }
    let tree = behind(Arc::default(), Panics).await;
    for error in [tree.other().await.err(), tree.leaves().await.err()] {
        assert!(error.unwrap().message().starts_with("the policy panicked"));
    }
    // What it was to set up is missing, and the call runs.
    tree.leaf().await.unwrap();
}

#[tokio::test]
async fn chunks_are_no_calls() {
    let notes = Notes::default();
    let tree = behind(Arc::default(), notes.clone()).await;
    let mut reader = tree.count().await.unwrap();
    let mut sum = 0;
    while let Some(number) = reader.next().await {
        sum += number.unwrap();
    }
    assert_eq!(sum, 3);
    assert_eq!(notes.take(), ["in Tree.count(0)", "count ok"]);
}
