//! The context of a call: caller, deadline and metadata, in this program and over connections.

use std::future::pending;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use capnode::transport::{Channels, channels};
use capnode::{
    Bytes, CallInfo, Cap, Client as _, Decision, Dialect, Error, ErrorKind, Fate, LimitKind, Limits, Node,
    NodeBuilder, Policy, connect, connect_over, context, membrane, policy,
};
use capnode_tests::soon;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::time::Instant;

/// The context as a handler has seen it.
#[derive(Debug, PartialEq, serde::Serialize, serde::Deserialize)]
struct Seen {
    remote: bool,
    attached: Option<String>,
    left: Option<Duration>,
    trace: Option<String>,
    token: Option<String>,
}

impl Seen {
    const NOTHING: Self = Self { remote: false, attached: None, left: None, trace: None, token: None };

    fn here() -> Self {
        let Some(context) = context() else { return Self::NOTHING };
        let attached = context.caller().and_then(|caller| caller.attached::<String>());
        Self {
            remote: context.caller().is_some(),
            attached: attached.map(|name| (*name).clone()),
            left: context.time_left(),
            trace: context.metadata("traceparent").map(str::to_owned),
            token: context.metadata("token").map(str::to_owned),
        }
    }
}

#[capnode::interface]
trait Station {
    async fn look(&self) -> Seen;
    /// Looks after others have been polled on the thread.
    async fn look_later(&self) -> Seen;
    /// Looks in a task of its own, in its scope or in none.
    async fn look_apart(&self, scoped: bool) -> Seen;
    #[capnode(blocking)]
    async fn look_blocking(&self) -> Seen;
    async fn pass_on(&self) -> Seen;
    /// Passes on to each of a list, by a map.
    async fn pass_on_to_each(&self) -> Result<Vec<Seen>, Error>;
    async fn all(&self) -> Vec<StationClient>;
    /// Hangs, here and at the next one.
    async fn hang(&self);
    async fn weigh(&self, bytes: Bytes) -> (usize, Option<String>);
    #[capnode(no_cancel)]
    async fn run_on(&self, millis: u64);
}

/// Tells the time at which a handler was dropped.
struct Dropped(UnboundedSender<(&'static str, Instant)>, &'static str);

impl Drop for Dropped {
    fn drop(&mut self) {
        let _gone = self.0.send((self.1, Instant::now()));
    }
}

struct Stop {
    name: &'static str,
    next: Option<StationClient>,
    dropped: UnboundedSender<(&'static str, Instant)>,
}

impl Stop {
    fn last() -> (StationClient, UnboundedReceiver<(&'static str, Instant)>) {
        let (dropped, drops) = unbounded_channel();
        (StationClient::new(Self { name: "last", next: None, dropped }), drops)
    }
}

impl Station for Stop {
    async fn look(&self) -> Seen {
        Seen::here()
    }

    async fn look_later(&self) -> Seen {
        tokio::task::yield_now().await;
        Seen::here()
    }

    async fn look_apart(&self, scoped: bool) -> Seen {
        let look = async { Seen::here() };
        let task = match context() {
            Some(context) if scoped => tokio::spawn(context.scope(look)),
            _ => tokio::spawn(look),
        };
        task.await.unwrap()
    }

    async fn look_blocking(&self) -> Seen {
        Seen::here()
    }

    async fn pass_on(&self) -> Seen {
        let next = self.next.clone().expect("there is a next one");
        let seen = next.look().await.unwrap();
        assert_ne!(Seen::here(), Seen::NOTHING, "it is its own again");
        seen
    }

    async fn pass_on_to_each(&self) -> Result<Vec<Seen>, Error> {
        let next = self.next.clone().expect("there is a next one");
        let list = Cap::holding(&vec![next.clone()])?;
        let here = list.read::<Vec<StationClient>>().map(|next| next.look()).await?;
        let there = next.all().map(|next| next.look()).await?;
        Ok(here.into_iter().chain(there).collect())
    }

    async fn all(&self) -> Vec<StationClient> {
        vec![Self::last().0]
    }

    async fn hang(&self) {
        let _dropped = Dropped(self.dropped.clone(), self.name);
        if let Some(next) = &self.next {
            let _late = next.hang().await;
        }
        pending().await
    }

    async fn weigh(&self, bytes: Bytes) -> (usize, Option<String>) {
        (bytes.len(), Seen::here().trace)
    }

    async fn run_on(&self, millis: u64) {
        tokio::time::sleep(Duration::from_millis(millis)).await;
        drop(Dropped(self.dropped.clone(), "ran on"));
    }
}

/// Moves frames from one side to the other, as far as `lets` says, and keeps a copy.
fn relay(
    mut from: UnboundedReceiver<String>,
    to: UnboundedSender<String>,
    lets: fn(&str) -> bool,
) -> Arc<Mutex<Vec<String>>> {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let sees = seen.clone();
    tokio::spawn(async move {
        while let Some(frame) = from.recv().await {
            sees.lock().unwrap().push(frame.clone());
            if lets(&frame) && to.send(frame).is_err() {
                return;
            }
        }
    });
    seen
}

/// Returns two ends of a wire, with the frames that the first one has sent. Of those, `lets` lets through.
fn wire(lets: fn(&str) -> bool) -> (Channels, Channels, Arc<Mutex<Vec<String>>>) {
    let (near_out, near_sent) = unbounded_channel();
    let (far_in, far_arrives) = unbounded_channel();
    let (far_out, near_arrives) = unbounded_channel();
    let seen = relay(near_sent, far_in, lets);
    (channels(near_out, near_arrives), channels(far_out, far_arrives), seen)
}

fn all(_: &str) -> bool {
    true
}

/// Lets all through but what gives up a call.
fn all_but_cancels(frame: &str) -> bool {
    frame.starts_with(r#"["release",0"#) || !frame.starts_with(r#"["release""#)
}

#[tokio::test]
async fn a_handler_sees_the_deadline_and_the_metadata_of_its_call_over_tcp() {
    let (last, _drops) = Stop::last();
    let listener = Node::new(last).listen("tcp://127.0.0.1:0").await.unwrap();
    let station: StationClient = connect(&listener.url()).peer_is_capnode().await.unwrap();
    // The first call carries it already, since this side says that it knows its peer.
    for _ in 0..2 {
        let seen =
            station.look().metadata("traceparent", "00-1").timeout(Duration::from_secs(60)).await.unwrap();
        assert!(seen.remote && seen.attached.is_none(), "{seen:?}");
        assert_eq!(seen.trace.as_deref(), Some("00-1"));
        let left = seen.left.unwrap();
        assert!(left > Duration::from_secs(30) && left <= Duration::from_secs(60), "{left:?}");
    }
    assert_eq!(station.look().await.unwrap(), Seen { remote: true, ..Seen::NOTHING });
}

#[tokio::test(start_paused = true)]
async fn the_callee_keeps_the_time_of_a_call_that_nobody_awaits() {
    let (station, mut drops) = Stop::last();
    let (near, far) = capnode::transport::pair();
    Node::new(station).serve(far).await.unwrap();
    let station: StationClient = connect_over(near).await.unwrap();
    // By its answer the peer has told that it understands a context.
    station.look().await.unwrap();
    let minute = Duration::from_secs(60);
    let seen: Seen = station.look().timeout(minute).pipeline_cap().read().await.unwrap();
    assert!(seen.left.is_some_and(|left| left > minute / 2 && left <= minute), "{seen:?}");
    for pipelined in [false, true] {
        let began = Instant::now();
        let hanging = station.hang().timeout(minute);
        let held =
            if pipelined { Some(hanging.pipeline_cap()) } else { hanging.send().map(|()| None).unwrap() };
        let (_, at) = drops.recv().await.unwrap();
        assert!(at - began >= minute && at - began < minute + Duration::from_millis(5), "{:?}", at - began);
        drop(held);
    }
}

/// Lets all through but the mark by which peers of this library know each other.
fn all_but_hellos(frame: &str) -> bool {
    !frame.starts_with(r#"["release",0"#)
}

/// Returns a station at a peer that knows no contexts.
async fn without_contexts(dialect: Dialect) -> (StationClient, UnboundedReceiver<(&'static str, Instant)>) {
    let (station, drops) = Stop::last();
    let (near, far, _) = wire(all_but_hellos);
    Node::new(station).serve(far).await.unwrap();
    let station: StationClient = Node::builder().dialect(dialect).build().connect_over(near).await.unwrap();
    assert_eq!(station.look().metadata("traceparent", "1").await.unwrap().trace, None);
    (station, drops)
}

const LANGUAGES: [Dialect; 3] = [Dialect::CapnWeb, Dialect::Capnode, Dialect::Q];

#[tokio::test(start_paused = true)]
async fn a_pipelined_call_at_a_peer_that_knows_no_contexts_fails_here_at_its_deadline() {
    let limit = Duration::from_millis(200);
    for dialect in LANGUAGES {
        let (station, _drops) = without_contexts(dialect).await;
        let began = Instant::now();
        let hanging = station.hang().timeout(limit).pipeline_cap();
        let below = hanging.invoke::<()>("below", ()).pipeline_cap();
        let calls = [
            hanging.read::<()>(),
            hanging.at("field").read(),
            hanging.invoke("below", ()),
            below.read(),
            below.invoke("further", ()).timeout(2 * limit),
        ];
        let calls = calls.map(|call| tokio::spawn(call.into_future()));
        for (at, call) in calls.into_iter().enumerate() {
            let call = tokio::time::timeout(10 * limit, call).await.expect("it ends");
            let error = call.unwrap().unwrap_err();
            let said = (error.kind(), error.fate() != Fate::Answered);
            assert_eq!(said, (ErrorKind::Timeout, true), "{dialect:?} {at} {error}");
            let took = Instant::now() - began;
            assert!(took >= limit && took <= limit + Duration::from_millis(2), "{dialect:?} {at} {took:?}");
        }
        for made in [hanging.invoke::<()>("below", ()), below.read()] {
            assert_eq!(made.await.unwrap_err().kind(), ErrorKind::Timeout, "{dialect:?}");
        }
        // It is the call's alone.
        assert_eq!(station.look().await.unwrap(), Seen { remote: true, ..Seen::NOTHING });
    }
}

#[tokio::test(start_paused = true)]
async fn a_pipelined_result_that_is_there_by_the_deadline_stays() {
    let limit = Duration::from_millis(200);
    for dialect in LANGUAGES {
        let (station, _drops) = without_contexts(dialect).await;
        let all = station.all().timeout(limit).pipeline_cap();
        let first = StationClient::from_cap(all.at("0"));
        let began = Instant::now();
        first.run_on(500).await.unwrap();
        assert!(Instant::now() - began >= Duration::from_millis(500), "{dialect:?}");
        first.look().await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn calls_on_a_pipelined_result_end_by_its_deadline_although_nobody_holds_it() {
    let limit = Duration::from_millis(200);
    for dialect in LANGUAGES {
        let (station, _drops) = without_contexts(dialect).await;
        let began = Instant::now();
        let hanging = station.hang().timeout(limit).pipeline_cap();
        let below = hanging.invoke::<()>("below", ()).pipeline_cap();
        let calls = [hanging.invoke("below", ()), hanging.read::<()>(), below.read()];
        let calls = calls.map(|call| tokio::spawn(call.into_future()));
        // They are sent.
        tokio::time::sleep(Duration::from_millis(1)).await;
        drop((hanging, below));
        for (at, call) in calls.into_iter().enumerate() {
            let call = tokio::time::timeout(10 * limit, call).await.expect("it ends");
            assert_eq!(call.unwrap().unwrap_err().kind(), ErrorKind::Timeout, "{dialect:?} {at}");
            let took = Instant::now() - began;
            assert!(took >= limit && took <= limit + Duration::from_millis(2), "{dialect:?} {at} {took:?}");
        }
        station.look().await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_with_a_pipelined_result_as_an_argument_is_made_whether_that_is_there_or_late() {
    let limit = Duration::from_millis(200);
    let (station, _drops) = without_contexts(Dialect::CapnWeb).await;
    let hanging = station.hang().timeout(limit).pipeline_cap();
    for late in [false, true] {
        let began = Instant::now();
        for arg in [hanging.clone(), hanging.at("field")] {
            let call = station.cap().invoke::<()>("missing", (arg,));
            let error = tokio::time::timeout(10 * limit, call).await.expect("it ends").unwrap_err();
            assert_eq!((error.kind(), error.fate()), (ErrorKind::Rejected, Fate::Answered), "{late} {error}");
        }
        assert_eq!(Instant::now(), began, "nobody waits for it");
        assert_eq!(hanging.read::<()>().await.unwrap_err().kind(), ErrorKind::Timeout);
    }
}

#[tokio::test(start_paused = true)]
async fn a_pipelined_call_that_waits_for_room_fails_at_its_deadline_and_is_not_made() {
    let (station, mut drops) = Stop::last();
    let (near, far) = tokio::io::duplex(1);
    let node = Node::builder().limits(Limits::default().unwritten_bytes_soft(1)).build();
    let other: StationClient = node.connect_over(capnode::transport::lines(near)).await.unwrap();
    // Nobody reads on the other side.
    let limit = Duration::from_millis(100);
    let first = [0, 1].map(|_| tokio::spawn(other.look().into_future()));
    tokio::task::yield_now().await;
    let hanging = other.run_on(0).timeout(limit).pipeline_cap();
    let below = hanging.invoke::<()>("below", ()).pipeline_cap();
    let calls = [hanging.read::<()>(), below.read()].map(|call| tokio::spawn(call.into_future()));
    for call in calls {
        let error = call.await.unwrap().unwrap_err();
        assert_eq!((error.kind(), error.fate()), (ErrorKind::Timeout, Fate::NotSent));
    }
    Node::new(station).serve(capnode::transport::lines(far)).await.unwrap();
    for call in first {
        call.await.unwrap().unwrap();
    }
    for late in [&hanging, &below] {
        assert_eq!(late.read::<()>().await.unwrap_err().kind(), ErrorKind::Timeout);
    }
    other.look().await.unwrap();
    assert!(drops.try_recv().is_err(), "it has not run");
}

#[tokio::test]
async fn the_time_for_the_calls_of_a_connection_takes_the_place_of_that_of_the_node() {
    let (last, _drops) = Stop::last();
    let listener = Node::new(last).listen("tcp://127.0.0.1:0").await.unwrap();
    let [minute, hour] = [60, 3_600].map(Duration::from_secs);
    for (of_node, own) in [(minute, hour), (hour, minute)] {
        let node = Node::builder().call_time(of_node).build();
        let connect = node.connect(&listener.url()).peer_is_capnode().call_time(own);
        let station: StationClient = connect.await.unwrap();
        let left = station.look().await.unwrap().left.unwrap();
        assert!(left > own / 2 && left <= own, "{left:?} of {own:?}");
    }
}

#[tokio::test]
async fn a_callee_in_this_program_inherits_deadline_and_trace_and_has_no_caller() {
    let (last, _drops) = Stop::last();
    let middle =
        StationClient::new(Stop { name: "middle", next: Some(last), dropped: unbounded_channel().0 });
    let listener = Node::new(middle).listen("tcp://127.0.0.1:0").await.unwrap();
    let station: StationClient = connect(&listener.url()).peer_is_capnode().await.unwrap();
    let call = station.pass_on().metadata("traceparent", "00-1").metadata("token", "secret");
    let seen = call.timeout(Duration::from_secs(60)).await.unwrap();
    assert!(!seen.remote && seen.left.is_some(), "{seen:?}");
    assert_eq!((seen.trace.as_deref(), seen.token), (Some("00-1"), None));
    assert_eq!(station.pass_on().await.unwrap(), Seen::NOTHING);
}

#[tokio::test]
async fn a_map_inherits_deadline_and_trace_alone_wherever_it_is_run() {
    let (here, _drops) = Stop::last();
    let (last, _drops) = Stop::last();
    let listener = Node::new(last).listen("tcp://127.0.0.1:0").await.unwrap();
    let there: StationClient = connect(&listener.url()).peer_is_capnode().await.unwrap();
    for (next, remote) in [(here, false), (there, true)] {
        let middle = Stop { name: "middle", next: Some(next), dropped: unbounded_channel().0 };
        let listener = Node::new(StationClient::new(middle)).listen("tcp://127.0.0.1:0").await.unwrap();
        let station: StationClient = connect(&listener.url()).peer_is_capnode().await.unwrap();
        let call = station.pass_on_to_each().metadata("traceparent", "00-1").metadata("token", "secret");
        for seen in call.timeout(Duration::from_secs(60)).await.unwrap() {
            assert!(seen.remote == remote && seen.left.is_some(), "{seen:?}");
            assert_eq!((seen.trace.as_deref(), seen.token), (Some("00-1"), None));
        }
    }
}

#[tokio::test]
async fn a_map_has_the_context_of_its_list_and_what_is_set_on_it() {
    let (last, _drops) = Stop::last();
    let listener = Node::new(last.clone()).listen("tcp://127.0.0.1:0").await.unwrap();
    let there: StationClient = connect(&listener.url()).peer_is_capnode().await.unwrap();
    for station in [last, there] {
        let list = station.all().metadata("token", "of the list");
        let map = list.map(|station| station.look()).metadata("traceparent", "of the map");
        let [seen] = &map.timeout(Duration::from_secs(60)).await.unwrap()[..] else {
            panic!("one has looked")
        };
        assert!(seen.left.is_some(), "{seen:?}");
        let (trace, token) = (seen.trace.as_deref(), seen.token.as_deref());
        assert_eq!((trace, token), (Some("of the map"), Some("of the list")));
    }
}

#[tokio::test]
async fn a_context_is_that_of_the_handler_wherever_it_runs_and_of_no_other() {
    let (last, _drops) = Stop::last();
    let node = Node::builder()
        .authorize(move |incoming| {
            incoming.caller().attach("ann".to_owned());
            std::future::ready(Ok::<_, Error>(last.clone()))
        })
        .build();
    let (near, far) = capnode::transport::pair();
    node.serve(far).await.unwrap();
    let station: StationClient = connect_over(near).await.unwrap();
    let ann = Seen { remote: true, attached: Some("ann".to_owned()), ..Seen::NOTHING };
    assert_eq!(station.look().await.unwrap(), ann);
    let traced = |trace: &str| Seen {
        remote: true,
        attached: Some("ann".to_owned()),
        trace: Some(trace.to_owned()),
        ..Seen::NOTHING
    };
    // All are polled in turns on one thread.
    let (one, two, three) = tokio::join!(
        async { station.look_later().metadata("traceparent", "1").await.unwrap() },
        async { station.look_later().await.unwrap() },
        async { station.look_blocking().metadata("traceparent", "3").await.unwrap() },
    );
    assert_eq!((one, three), (traced("1"), traced("3")));
    assert_eq!(two, Seen { trace: None, ..traced("") });
    let apart = station.look_apart(true).metadata("traceparent", "4");
    assert_eq!(apart.await.unwrap(), traced("4"));
    assert_eq!(station.look_apart(false).metadata("traceparent", "4").await.unwrap(), Seen::NOTHING);
    assert!(context().is_none(), "this is no handler");
}

/// Returns the first of three programs, each of which calls the next one. No cancel gets through.
async fn chain(knows: bool) -> (StationClient, UnboundedReceiver<(&'static str, Instant)>) {
    let (dropped, drops) = unbounded_channel();
    let last = StationClient::new(Stop { name: "last", next: None, dropped: dropped.clone() });
    let (near, far, _) = wire(all_but_cancels);
    Node::new(last).serve(far).await.unwrap();
    let next: StationClient = connect_over(near).await.unwrap();
    if knows {
        // By its answer the peer has told that it understands a context.
        next.look().await.unwrap();
    }
    let middle = StationClient::new(Stop { name: "middle", next: Some(next), dropped: dropped.clone() });
    let (near, far, _) = wire(all_but_cancels);
    Node::new(middle).serve(far).await.unwrap();
    let next: StationClient = connect_over(near).await.unwrap();
    if knows {
        next.look().await.unwrap();
    }
    (StationClient::new(Stop { name: "first", next: Some(next), dropped }), drops)
}

#[tokio::test(start_paused = true)]
async fn a_deadline_ends_the_handlers_of_a_chain_although_no_cancel_gets_through() {
    let (first, mut drops) = chain(true).await;
    let began = Instant::now();
    let error = first.hang().timeout(Duration::from_millis(200)).await.unwrap_err();
    assert_eq!((error.kind(), error.fate()), (ErrorKind::Timeout, Fate::MayHaveRun));
    let mut names = Vec::new();
    for _ in 0..3 {
        let dropped = tokio::time::timeout(Duration::from_secs(10), drops.recv()).await;
        let (name, at) = dropped.expect("it is dropped").unwrap();
        // The timers of tokio are of whole milliseconds.
        let took = at - began;
        assert!(took >= Duration::from_millis(200) && took <= Duration::from_millis(202), "{name}: {took:?}");
        names.push(name);
    }
    names.sort_unstable();
    assert_eq!(names, ["first", "last", "middle"]);
}

#[tokio::test(start_paused = true)]
async fn without_the_peers_word_a_deadline_ends_its_call_here_alone() {
    let (first, mut drops) = chain(false).await;
    let error = first.hang().timeout(Duration::from_millis(200)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout);
    assert_eq!(drops.recv().await.unwrap().0, "first");
    // Its clock is paused: all that could happen in that time has.
    tokio::time::sleep(Duration::from_secs(20)).await;
    assert!(drops.try_recv().is_err(), "the other handlers run on");
}

#[tokio::test]
async fn a_token_does_not_travel_on_unless_the_program_lists_it() {
    let (dropped, _drops) = unbounded_channel();
    let last = StationClient::new(Stop { name: "last", next: None, dropped: dropped.clone() });
    let listener = Node::new(last).listen("tcp://127.0.0.1:0").await.unwrap();
    for (inherits, token) in [(&["session"][..], None), (&["session", "token"], Some("secret"))] {
        let next = connect(&listener.url()).peer_is_capnode().await.unwrap();
        let middle = Stop { name: "middle", next: Some(next), dropped: dropped.clone() };
        let node =
            Node::builder().index(StationClient::new(middle)).inherit(inherits.iter().copied()).build();
        let middle = node.listen("tcp://127.0.0.1:0").await.unwrap();
        let first: StationClient = connect(&middle.url()).peer_is_capnode().await.unwrap();
        let seen = first.pass_on().metadata("traceparent", "1").metadata("token", "secret").await.unwrap();
        assert_eq!((seen.trace.as_deref(), seen.token.as_deref()), (Some("1"), token));
    }
}

#[tokio::test]
async fn a_peer_that_has_not_told_gets_no_context() {
    // Nobody answers on the other side.
    let (near, _far, frames) = wire(all);
    let station: StationClient = connect_over(near).await.unwrap();
    let call = station.look().metadata("traceparent", "1").timeout(Duration::from_millis(20));
    let error = call.await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout);
    let sent = frames.lock().unwrap().join("\n");
    assert!(sent.contains("look") && !sent.contains('{'), "{sent}");
}

#[tokio::test]
async fn what_is_known_of_a_connection_does_not_keep_it_open() {
    // Each side keeps the context of a call of the other.
    type Visitor = capnode::Func<fn() -> ()>;
    let (sender, mut kept) = unbounded_channel();
    let keeps = sender.clone();
    let visit = capnode::Func::<fn(Visitor) -> ()>::new(move |visitor: Visitor| {
        keeps.send(context().unwrap()).unwrap();
        async move { visitor.call().await.unwrap() }
    });
    let (near, far) = capnode::transport::pair();
    let served = Node::new(visit).serve(far).await.unwrap();
    let visit: capnode::Func<fn(Visitor) -> ()> = connect_over(near).await.unwrap();
    let visitor = Visitor::new(move || {
        sender.send(context().unwrap()).unwrap();
        std::future::ready(())
    });
    visit.call(visitor).await.unwrap();
    let contexts = [kept.recv().await.unwrap(), kept.recv().await.unwrap()];
    assert!(contexts.iter().all(|context| context.caller().is_some()));
    drop(visit);
    assert_eq!(soon(served.closed()).await.kind(), ErrorKind::Disconnected);
    drop(contexts);
}

#[tokio::test]
async fn too_much_metadata_fails_its_call_alone() {
    let (last, _drops) = Stop::last();
    let listener = Node::new(last).listen("tcp://127.0.0.1:0").await.unwrap();
    let node = Node::builder().limits(Limits::default().metadata_bytes(8 << 10)).build();
    let station: StationClient = node.connect(&listener.url()).peer_is_capnode().await.unwrap();
    let many = (0..17).fold(station.look(), |call, name| call.metadata(&name.to_string(), ""));
    let error = many.await.unwrap_err();
    assert_eq!((error.limit(), error.fate()), (Some(LimitKind::MetadataBytes), Fate::NotSent));
    let error = station.look().metadata("long", &"x".repeat(8 << 10)).await.unwrap_err();
    assert_eq!(error.limit(), Some(LimitKind::MetadataBytes));
    // The peer takes less than this side sends.
    let error = station.look().metadata("long", &"x".repeat(5 << 10)).await.unwrap_err();
    assert!(error.message().contains("metadata"), "{error}");
    let fits = (0..16).fold(station.look(), |call, name| call.metadata(&name.to_string(), "x"));
    assert!(fits.await.unwrap().remote);
}

#[tokio::test]
async fn the_form_is_a_third_element_of_the_message() {
    let (last, _drops) = Stop::last();
    let listener = Node::new(last).listen("tcp://127.0.0.1:0").await.unwrap();
    let call = r#"["stream",["pipeline",0,["look"],[]],{"left":60000000,"metadata":{"traceparent":"1","token":"2"}}]"#;
    // Without the hello it means nothing.
    for (hello, seen) in
        [("", Seen::NOTHING), ("[\"release\",0,0]\n", Seen { trace: Some("1".to_owned()), ..Seen::NOTHING })]
    {
        let mut stream = BufReader::new(TcpStream::connect(listener.local_addr().unwrap()).await.unwrap());
        stream.write_all(format!("{hello}{call}\n").as_bytes()).await.unwrap();
        let mut answer = String::new();
        while !answer.starts_with(r#"["resolve""#) {
            answer.clear();
            stream.read_line(&mut answer).await.unwrap();
        }
        let expected =
            seen.trace.map_or_else(|| "\"trace\":null".to_owned(), |trace| format!("\"trace\":\"{trace}\""));
        assert!(answer.contains(&expected), "{answer}");
    }
}

#[tokio::test]
async fn bytes_go_beside_the_text_of_a_call_in_a_context() {
    let (last, _drops) = Stop::last();
    let listener = Node::new(last).listen("tcp://127.0.0.1:0").await.unwrap();
    let station: StationClient = connect(&listener.url()).await.unwrap();
    station.look().await.unwrap();
    let weighed = station.weigh(Bytes::from(vec![7; 4_000])).metadata("traceparent", "1");
    assert_eq!(weighed.await.unwrap(), (4_000, Some("1".to_owned())));
}

#[tokio::test(start_paused = true)]
async fn a_handler_that_is_not_cancelled_runs_on_beyond_its_deadline() {
    let (last, mut drops) = Stop::last();
    let (near, far, _) = wire(all);
    Node::new(last).serve(far).await.unwrap();
    let station: StationClient = connect_over(near).await.unwrap();
    station.look().await.unwrap();
    let began = Instant::now();
    let error = station.run_on(500).timeout(Duration::from_millis(200)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout);
    let (name, at) = drops.recv().await.unwrap();
    assert_eq!((name, at - began >= Duration::from_millis(500)), ("ran on", true));
}

#[tokio::test(start_paused = true)]
async fn a_deadline_is_that_of_the_connection_or_the_call_whichever_is_earlier() {
    let (last, _drops) = Stop::last();
    let (near, far, _) = wire(all);
    Node::new(last).serve(far).await.unwrap();
    let node = Node::builder().call_time(Duration::from_millis(300)).build();
    let station: StationClient = node.connect_over(near).await.unwrap();
    station.look().await.unwrap();
    for (own, millis) in [(None, 300), (Some(100), 100), (Some(900), 300)] {
        let began = Instant::now();
        let mut call = station.hang();
        if let Some(own) = own {
            call = call.deadline((began + Duration::from_millis(own)).into_std());
        }
        let error = call.await.unwrap_err();
        assert_eq!((error.kind(), error.fate()), (ErrorKind::Timeout, Fate::MayHaveRun));
        let took = (Instant::now() - began).as_millis();
        assert!(took >= millis && took <= millis + 2, "{took} ms for {millis}");
    }
    let passed = station.look().deadline(Instant::now().into_std()).await.unwrap_err();
    assert_eq!((passed.kind(), passed.fate()), (ErrorKind::Timeout, Fate::NotSent));
    // Nothing of them is left.
    assert_eq!(station.look().await.unwrap().left, Some(Duration::from_millis(300)));
}

#[tokio::test(start_paused = true)]
async fn a_call_that_waits_for_room_until_its_deadline_has_not_been_sent() {
    waits_for_room(Node::builder()).await;
    waits_for_room(Node::builder().layer(policy::log(|_, _, _| {}))).await;
}

async fn waits_for_room(node: NodeBuilder) {
    // Nobody reads on the other side: the first is being written, and the second fills the room at the latest.
    let (near, _far) = tokio::io::duplex(1);
    let node = node.limits(Limits::default().unwritten_bytes_soft(1)).build();
    let near = capnode::transport::lines(near);
    let station: StationClient = node.connect_over(near).await.unwrap();
    let limit = Duration::from_millis(100);
    let at = (Instant::now() + limit).into_std();
    let mut calls = [0, 1, 2].map(|_| station.hang().deadline(at)).into_iter().collect::<Vec<_>>();
    calls.push(station.hang().timeout(limit));
    let calls = calls.into_iter().map(|call| tokio::spawn(call.into_future())).collect::<Vec<_>>();
    let mut fates = Vec::new();
    for call in calls {
        let error = call.await.unwrap().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Timeout);
        fates.push(error.fate());
    }
    assert_eq!((fates[0], &fates[2..]), (Fate::MayHaveRun, &[Fate::NotSent; 2][..]));
}

/// Lets a call through that a named user has made, and notes what it was told.
struct ByUser(Mutex<Vec<(Option<String>, bool)>>);

impl Policy for ByUser {
    fn before(&self, call: &CallInfo) -> Decision {
        let user = call.caller().and_then(|caller| caller.attached::<String>());
        let trace = call.metadata("traceparent").map(str::to_owned);
        self.0.lock().unwrap().push((trace, call.deadline().is_some()));
        match user {
            Some(user) if *user == "ann" => Decision::Pass,
            _ => Decision::Refuse(Error::rejected("ann alone may")),
        }
    }
}

#[tokio::test]
async fn a_policy_knows_the_context_of_a_call() {
    let (last, _drops) = Stop::last();
    let policy = Arc::new(ByUser(Mutex::default()));
    let lent = membrane(last, policy.clone());
    assert_eq!(lent.look().await.unwrap_err().message(), "ann alone may");
    for (name, passes) in [("ann", true), ("bob", false)] {
        let lent = lent.clone();
        let node = Node::builder().authorize(move |incoming| {
            incoming.caller().attach(name.to_owned());
            std::future::ready(Ok::<_, Error>(lent.clone()))
        });
        let (near, far) = capnode::transport::pair();
        node.build().serve(far).await.unwrap();
        let station: StationClient = connect_over(near).await.unwrap();
        assert_eq!(station.look().await.is_ok(), passes);
        let call = station.look().metadata("traceparent", name).timeout(Duration::from_secs(60));
        assert_eq!(call.await.is_ok(), passes);
    }
    let told = [
        (None, false),
        (None, false),
        (Some("ann".to_owned()), true),
        (None, false),
        (Some("bob".to_owned()), true),
    ];
    assert_eq!(*policy.0.lock().unwrap(), told);
}

#[capnode::interface]
trait Punctual {
    /// Fails as a call does whose deadline has passed at the peer, or with its message alone.
    async fn work(&self, is_late: bool) -> Result<(), Error>;
}

struct Early;

impl Punctual for Early {
    async fn work(&self, is_late: bool) -> Result<(), Error> {
        let error = Error::rejected("the deadline of the call has passed");
        Err(if is_late { error.with_property("capnode:late", true)? } else { error })
    }
}

#[tokio::test]
async fn the_error_of_a_time_limit_is_the_same_whoever_sees_it_first() {
    let listener = Node::new(PunctualClient::new(Early)).listen("tcp://127.0.0.1:0").await.unwrap();
    let peer: PunctualClient = connect(&listener.url()).await.unwrap();
    let limit = Duration::from_secs(60);
    let error = peer.cap().invoke::<()>("work", (true,)).timeout(limit).await.unwrap_err();
    assert_eq!((error.kind(), error.fate()), (ErrorKind::Timeout, Fate::MayHaveRun), "{error}");
    assert_eq!(error.message(), "no answer within 60s");
    for call in [
        peer.cap().invoke::<()>("work", (true,)),
        // An error of the method's own, whatever it says.
        peer.cap().invoke::<()>("work", (false,)).timeout(limit),
    ] {
        let error = call.await.unwrap_err();
        assert_eq!((error.kind(), error.fate()), (ErrorKind::Rejected, Fate::Answered), "{error}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_calls_of_a_client_with_a_call_time_have_it_and_the_shortest_limit_holds() {
    let (here, _drops) = Stop::last();
    let (last, _drops) = Stop::last();
    let (near, far) = capnode::transport::pair();
    Node::new(last).serve(far).await.unwrap();
    let there: StationClient = connect_over(near).await.unwrap();
    there.look().await.unwrap();
    let [short, long] = [100, 900].map(Duration::from_millis);
    for station in [here, there] {
        let timed = station.with_call_time(short);
        assert_eq!((timed.clone(), timed.look().await.unwrap().left), (station.clone(), Some(short)));
        assert_eq!(station.look().await.unwrap().left, None, "others have none");
        let at = |limit: Duration| (Instant::now() + limit).into_std();
        for call in [
            timed.hang(),
            timed.hang().timeout(long),
            timed.hang().deadline(at(long)),
            timed.with_call_time(long).hang(),
            station.with_call_time(long).with_call_time(short).hang(),
            station.with_call_time(long).hang().timeout(short),
            station.with_call_time(long).hang().deadline(at(short)),
            station.hang().deadline(at(short)).timeout(long),
            timed.cap().invoke("hang", ()),
            timed.cap().at("hang").apply(()),
        ] {
            let began = Instant::now();
            assert_eq!(call.await.unwrap_err().kind(), ErrorKind::Timeout);
            let took = began.elapsed();
            // They were made at once, and the timers of tokio are of whole milliseconds.
            assert!(took <= short + Duration::from_millis(2), "{took:?}");
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
}

#[tokio::test]
async fn the_time_of_a_client_stays_where_it_was_set() {
    let (last, _drops) = Stop::last();
    let listener =
        Node::new(capnode::Func::new(
            |station: StationClient| async move { station.look().await.unwrap().left },
        ));
    let listener = listener.listen("tcp://127.0.0.1:0").await.unwrap();
    let left: capnode::Func<fn(StationClient) -> Option<Duration>> =
        connect(&listener.url()).peer_is_capnode().await.unwrap();
    let timed = last.with_call_time(Duration::from_secs(60));
    assert_eq!(left.call(timed.clone()).await.unwrap(), None);
    // It is no other reference: it goes home as itself.
    let held: StationClient = capnode::value::from_value(capnode::value::to_value(&timed).unwrap()).unwrap();
    assert_eq!((held.look().await.unwrap().left, held), (None, last));
}

#[tokio::test(start_paused = true)]
async fn what_nobody_awaits_is_dropped_at_its_deadline_in_this_program_too() {
    let (station, mut drops) = Stop::last();
    let minute = Duration::from_secs(60);
    for pipelined in [false, true] {
        let began = Instant::now();
        let hanging = station.hang().timeout(minute);
        let held =
            if pipelined { Some(hanging.pipeline_cap()) } else { hanging.send().map(|()| None).unwrap() };
        let dropped = tokio::time::timeout(2 * minute, drops.recv()).await;
        let (_, at) = dropped.expect("it is dropped").unwrap();
        assert!(at - began >= minute && at - began < minute + Duration::from_millis(5), "{:?}", at - began);
        if let Some(held) = held {
            assert_eq!(held.read::<()>().await.unwrap_err().kind(), ErrorKind::Timeout);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_in_a_scope_ends_at_the_deadline_that_it_inherits() {
    let (station, mut drops) = Stop::last();
    let (ended, mut ends) = unbounded_channel();
    // What the handler leaves behind: a call with no limit of its own, one with a later one, and one with an earlier one.
    let leaves = capnode::Func::<fn() -> ()>::new(move || {
        let (station, ended) = (station.clone(), ended.clone());
        async move {
            let (began, context) = (Instant::now(), context().unwrap());
            let at = |seconds| (began + Duration::from_secs(seconds)).into_std();
            let calls = [
                station.hang(),
                station.hang().deadline(at(90)),
                station.hang().deadline(at(90)).deadline(at(30)),
            ];
            for call in calls {
                let (scope, ended) = (context.clone(), ended.clone());
                tokio::spawn(scope.scope(async move {
                    let error = call.await.unwrap_err();
                    ended.send((error.kind(), error.fate(), began.elapsed().as_secs())).unwrap();
                }));
            }
        }
    });
    leaves.call().timeout(Duration::from_secs(60)).await.unwrap();
    for seconds in [30, 60, 60] {
        let end = tokio::time::timeout(Duration::from_secs(200), ends.recv()).await;
        let end = end.expect("a call goes on beyond its deadline").unwrap();
        assert_eq!(end, (ErrorKind::Timeout, Fate::MayHaveRun, seconds));
        drops.recv().await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_that_was_sent_is_given_up_at_its_deadline_whatever_the_peer_knows() {
    // Nobody answers on the other side.
    let (near, _far, frames) = wire(all);
    let station: StationClient = connect_over(near).await.unwrap();
    station.hang().timeout(Duration::from_secs(60)).send().unwrap();
    tokio::time::sleep(Duration::from_secs(59)).await;
    let released = || frames.lock().unwrap().iter().any(|frame| frame.starts_with(r#"["release",1"#));
    assert!(!released());
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert!(released(), "{:?}", frames.lock().unwrap());
}
