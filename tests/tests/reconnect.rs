//! Durable references: what they keep when their connection is lost, and what they do not.

// The hash of a client is that of its slot, which does not change.
#![allow(clippy::mutable_key_type)]

use std::collections::HashMap;
use std::future::IntoFuture as _;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use capnode::testing::{Crossing, Cutter, Line};
use capnode::{
    Cap, Client, Connection, Error, ErrorKind, Fate, Func, LineState, Node, Reconnecting, Reconnection,
    Update,
};
use capnode_tests::{soon, until};
use tokio::sync::Notify;

#[capnode::interface]
trait House {
    /// Counts the call, and returns the count.
    async fn count(&self, by: u32) -> u32;
    /// The same, if need be more than once.
    #[capnode(idempotent)]
    async fn count_again(&self, by: u32) -> u32;
    /// Counts the call, and never returns.
    async fn stay(&self);
    /// Counts the call, and returns only if it is the first or second.
    #[capnode(idempotent)]
    async fn stay_once(&self) -> u32;
    /// Counts the call like `stay`, if need be more than once.
    #[capnode(idempotent)]
    async fn stay_in(&self) -> RoomClient;
    #[capnode(rederive)]
    async fn enter(&self, name: &str, greet: Func<fn(String)>) -> RoomClient;
    /// Fails while the house is locked.
    #[capnode(rederive)]
    async fn unlock(&self) -> Result<RoomClient, String>;
    #[capnode(property)]
    async fn numbers(&self) -> Vec<u32>;
    /// `true` if the reference is that to the house itself.
    async fn is_mine(&self, house: HouseClient) -> bool;
    async fn keep(&self, house: HouseClient);
}

#[capnode::interface]
trait Room {
    #[capnode(property)]
    async fn name(&self) -> String;
    async fn say(&self, line: &str) -> String;
    #[capnode(rederive)]
    async fn corner(&self, number: u32) -> RoomClient;
    #[capnode(rederive)]
    async fn beside(&self, other: RoomClient) -> RoomClient;
}

#[derive(Default)]
struct Counts {
    calls: AtomicU32,
    stays: AtomicU32,
    entered: AtomicU32,
    locked: AtomicBool,
    kept: Mutex<Vec<HouseClient>>,
    forget: Notify,
}

#[derive(Clone)]
struct Home {
    counts: Arc<Counts>,
    this: Weak<Home>,
}

impl Home {
    fn client(counts: &Arc<Counts>) -> HouseClient {
        let counts = counts.clone();
        HouseClient::from_arc(Arc::new_cyclic(|this| Home { counts, this: this.clone() }))
    }
}

impl House for Home {
    async fn count(&self, by: u32) -> u32 {
        self.counts.calls.fetch_add(by, Ordering::SeqCst) + by
    }

    async fn count_again(&self, by: u32) -> u32 {
        self.count(by).await
    }

    async fn numbers(&self) -> Vec<u32> {
        vec![1, 2, 3]
    }

    async fn stay(&self) {
        self.counts.stays.fetch_add(1, Ordering::SeqCst);
        std::future::pending().await
    }

    async fn stay_once(&self) -> u32 {
        let stays = self.counts.stays.fetch_add(1, Ordering::SeqCst) + 1;
        if stays == 1 {
            std::future::pending().await
        }
        stays
    }

    async fn stay_in(&self) -> RoomClient {
        self.stay().await;
        RoomClient::new(Chamber { name: "never".to_owned() })
    }

    async fn unlock(&self) -> Result<RoomClient, String> {
        self.counts.entered.fetch_add(1, Ordering::SeqCst);
        if self.counts.locked.load(Ordering::SeqCst) {
            return Err("the house is locked".to_owned());
        }
        Ok(RoomClient::new(Chamber { name: "hall".to_owned() }))
    }

    async fn enter(&self, name: &str, greet: Func<fn(String)>) -> RoomClient {
        let entered = self.counts.entered.fetch_add(1, Ordering::SeqCst) + 1;
        greet.call(format!("{name} {entered}")).send().unwrap();
        RoomClient::new(Chamber { name: name.to_owned() })
    }

    async fn is_mine(&self, house: HouseClient) -> bool {
        self.this.upgrade().is_some_and(|this| HouseClient::from_arc(this) == house)
    }

    async fn keep(&self, house: HouseClient) {
        self.counts.kept.lock().unwrap().push(house);
        self.counts.forget.notify_one();
    }
}

struct Chamber {
    name: String,
}

impl Room for Chamber {
    async fn name(&self) -> String {
        self.name.clone()
    }

    async fn say(&self, line: &str) -> String {
        format!("{}: {line}", self.name)
    }

    async fn corner(&self, number: u32) -> RoomClient {
        RoomClient::new(Chamber { name: format!("{} {number}", self.name) })
    }

    async fn beside(&self, _: RoomClient) -> RoomClient {
        RoomClient::new(Chamber { name: self.name.clone() })
    }
}

/// A service in memory whose lines can be cut, and that can be away.
#[derive(Clone)]
struct Service {
    counts: Arc<Counts>,
    node: Arc<Mutex<Option<Node>>>,
    cutter: Arc<Mutex<Option<Cutter>>>,
    dialed: Arc<AtomicU32>,
    /// The requests that have crossed the lines.
    requests: Arc<Mutex<Vec<String>>>,
}

impl Service {
    fn new() -> Self {
        let counts = Arc::<Counts>::default();
        let node = Node::new(Home::client(&counts));
        Self {
            counts,
            node: Arc::new(Mutex::new(Some(node))),
            cutter: Arc::default(),
            dialed: Arc::default(),
            requests: Arc::default(),
        }
    }

    fn reconnecting(&self) -> Reconnecting<HouseClient> {
        let service = self.clone();
        capnode::reconnecting(move || {
            let service = service.clone();
            async move {
                service.dialed.fetch_add(1, Ordering::SeqCst);
                let node = service.node.lock().unwrap().clone();
                let node = node.ok_or_else(|| Error::rejected("nobody is at home"))?;
                let witness = move |crossing: Crossing| {
                    if ["[\"push\"", "[\"stream\""].iter().any(|begin| crossing.frame.starts_with(begin)) {
                        service.requests.lock().unwrap().push(crossing.frame);
                    }
                };
                let (here, there) = Line::new().witness(witness).ends();
                *service.cutter.lock().unwrap() = Some(here.cutter());
                node.serve(there).await?;
                capnode::connect_over::<Connection>(here).await
            }
        })
    }

    fn cut(&self) {
        self.cutter.lock().unwrap().take().expect("a line").cut();
    }

    /// Cuts the line, and waits until that is known. A call that is made before may have run.
    async fn lose(&self, client: &impl Client) {
        let mut line = Reconnection::of(client).expect("a durable client");
        self.cut();
        line.changed().await;
    }

    fn leave(&self) {
        *self.node.lock().unwrap() = None;
    }

    fn come_back(&self) {
        *self.node.lock().unwrap() = Some(Node::new(Home::client(&self.counts)));
    }
}

async fn down(reconnection: &mut Reconnection) -> Error {
    loop {
        if let LineState::Down { why, .. } = reconnection.changed().await {
            return why;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_reference_outlives_its_connection() {
    let service = Service::new();
    let house: HouseClient = service.reconnecting().await.unwrap();
    let mut seen = HashMap::new();
    seen.insert(house.clone(), "the house");
    for count in 1..=5 {
        assert_eq!(house.count(1).await.unwrap(), count);
        service.lose(&house).await;
        assert_eq!(seen.get(&house), Some(&"the house"), "it is the same reference");
    }
    assert_eq!(house.count(1).await.unwrap(), 6);
    assert_eq!(service.dialed.load(Ordering::SeqCst), 6);
}

#[tokio::test(start_paused = true)]
async fn what_was_kept_for_a_call_goes_with_its_answer() {
    let service = Service::new();
    let house: HouseClient = service.reconnecting().await.unwrap();
    let lent = Arc::<Counts>::default();
    assert!(!house.is_mine(Home::client(&lent)).await.unwrap());
    until("the object is dropped", || Arc::strong_count(&lent) == 1).await;
}

#[tokio::test(start_paused = true)]
async fn a_first_connection_that_is_lost_at_once_was_one() {
    let service = Service::new();
    let dialed = service.dialed.clone();
    let connecting = service.reconnecting().on_connect({
        let service = service.clone();
        move |_| {
            let (is_first, service) = (dialed.load(Ordering::SeqCst) == 1, service.clone());
            async move {
                if is_first {
                    service.cut();
                }
                Ok(())
            }
        }
    });
    let house: HouseClient = soon(connecting.into_future()).await.unwrap();
    assert_eq!(house.count(1).await.unwrap(), 1);
    assert_eq!(service.dialed.load(Ordering::SeqCst), 2);
}

#[tokio::test(start_paused = true)]
async fn calls_wait_in_their_order_while_there_is_no_connection() {
    let service = Service::new();
    let house: HouseClient = service.reconnecting().await.unwrap();
    let mut line = Reconnection::of(&house).unwrap();
    assert!(matches!(line.state(), LineState::Up));
    service.leave();
    service.cut();
    down(&mut line).await;
    let sent = tokio::spawn({
        let house = house.clone();
        async move {
            house.count(10).send().unwrap();
            let second = house.count(100);
            let entered = house.enter("hall", |_: String| async {}).pipeline();
            (second.await, entered.say("hello").await)
        }
    });
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_eq!(service.counts.calls.load(Ordering::SeqCst), 0);
    service.come_back();
    let (second, said) = sent.await.unwrap();
    assert_eq!(second.unwrap(), 110, "the call before it has come first");
    assert_eq!(said.unwrap(), "hall: hello");
}

#[tokio::test(start_paused = true)]
async fn a_call_whose_time_passes_while_it_waits_says_that_it_was_not_sent() {
    let service = Service::new();
    let house: HouseClient = service.reconnecting().await.unwrap();
    let mut line = Reconnection::of(&house).unwrap();
    service.leave();
    service.cut();
    down(&mut line).await;
    let error = house.count(1).timeout(Duration::from_secs(5)).await.unwrap_err();
    assert_eq!((error.kind(), error.fate()), (ErrorKind::Timeout, Fate::NotSent));
    assert_eq!(error.message(), "it could not be sent within 5s");
}

#[tokio::test(start_paused = true)]
async fn calls_wait_within_bounds_of_time_and_bytes() {
    let service = Service::new();
    let waits = Duration::from_secs(10);
    let house: HouseClient = service.reconnecting().wait(waits, 2_000).await.unwrap();
    let mut line = Reconnection::of(&house).unwrap();
    service.leave();
    service.cut();
    down(&mut line).await;
    // Each counts 512 bytes beside its arguments. One that is given up leaves its place.
    let mut calls: Vec<_> = (0..3).map(|_| tokio::spawn(house.count(1))).collect();
    tokio::task::yield_now().await;
    let refused = house.count(1).await.unwrap_err();
    assert_eq!((refused.kind(), refused.fate()), (ErrorKind::Limit, Fate::NotSent), "{refused}");
    calls.pop().unwrap().abort();
    tokio::task::yield_now().await;
    calls.push(tokio::spawn(house.count(1)));
    let began = tokio::time::Instant::now();
    for call in calls {
        let error = call.await.unwrap().unwrap_err();
        assert_eq!((error.kind(), error.fate()), (ErrorKind::Disconnected, Fate::NotSent), "{error}");
    }
    let waited = began.elapsed();
    assert!(waits - Duration::from_secs(1) < waited && waited <= waits, "{waited:?}");
    let late = house.count(1).await.unwrap_err();
    assert_eq!((late.fate(), began.elapsed()), (Fate::NotSent, waited), "the time has passed for it too");
    service.come_back();
    while !matches!(line.changed().await, LineState::Up) {}
    assert_eq!(house.count(1).await.unwrap(), 1);
}

#[tokio::test(start_paused = true)]
async fn calls_fail_at_once_if_they_shall() {
    let service = Service::new();
    let house: HouseClient = service.reconnecting().fail_while_down().await.unwrap();
    let mut line = Reconnection::of(&house).unwrap();
    service.leave();
    service.cut();
    down(&mut line).await;
    let began = tokio::time::Instant::now();
    let error = house.count(1).await.unwrap_err();
    assert_eq!((error.fate(), began.elapsed()), (Fate::NotSent, Duration::ZERO));
    assert_eq!(house.count(1).send().unwrap_err().fate(), Fate::NotSent);
    service.come_back();
    while !matches!(line.changed().await, LineState::Up) {}
    assert_eq!(house.count(1).await.unwrap(), 1);
}

/// Only a call that would wait for a connection fails: not one of a result that is had again over the next one.
#[tokio::test(start_paused = true)]
async fn a_result_is_had_again_where_calls_fail_at_once() {
    let service = Service::new();
    let house: HouseClient = service.reconnecting().fail_while_down().await.unwrap();
    let mut line = Reconnection::of(&house).unwrap();
    let hall = house.enter("hall", |_: String| async {}).await.unwrap();
    for _ in 0..2 {
        service.leave();
        service.cut();
        down(&mut line).await;
        assert_eq!(hall.name().await.unwrap_err().fate(), Fate::NotSent);
        service.come_back();
        while !matches!(line.changed().await, LineState::Up) {}
        assert_eq!(hall.name().await.unwrap(), "hall");
    }
}

#[tokio::test(start_paused = true)]
async fn what_may_have_run_fails_unless_it_is_idempotent() {
    let service = Service::new();
    let house: HouseClient = service.reconnecting().await.unwrap();
    let stays = tokio::spawn(house.stay());
    until("it stays", || service.counts.stays.load(Ordering::SeqCst) == 1).await;
    service.cut();
    let error = stays.await.unwrap().unwrap_err();
    assert_eq!((error.kind(), error.fate()), (ErrorKind::Disconnected, Fate::MayHaveRun), "{error}");

    service.counts.stays.store(0, Ordering::SeqCst);
    let again = tokio::spawn(house.stay_once());
    until("it stays", || service.counts.stays.load(Ordering::SeqCst) == 1).await;
    service.cut();
    assert_eq!(again.await.unwrap().unwrap(), 2, "it has run again");
}

#[tokio::test(start_paused = true)]
async fn what_is_sent_or_pipelined_is_not_sent_again_even_if_it_is_idempotent() {
    let service = Service::new();
    let house: HouseClient = service.reconnecting().await.unwrap();
    house.stay_once().send().unwrap();
    let room = house.stay_in().pipeline();
    let said = tokio::spawn(room.say("hello"));
    until("both stay", || service.counts.stays.load(Ordering::SeqCst) == 2).await;
    service.lose(&house).await;
    let error = soon(said).await.unwrap().unwrap_err();
    assert_eq!((error.kind(), error.fate()), (ErrorKind::Disconnected, Fate::MayHaveRun), "{error}");
    assert_eq!(house.count(1).await.unwrap(), 1, "there is another connection");
    let error = soon(room.name().into_future()).await.unwrap_err();
    assert_eq!((error.kind(), error.fate()), (ErrorKind::Disconnected, Fate::NotSent), "{error}");
    tokio::time::sleep(Duration::from_secs(60)).await;
    let requests = service.requests.lock().unwrap().clone();
    assert_eq!(requests.len(), 4, "{requests:?}");
    assert_eq!(service.counts.stays.load(Ordering::SeqCst), 2);
}

/// A call that is pipelined while there is no connection is one on the next connection, and no more than that.
#[tokio::test(start_paused = true)]
async fn a_pipelined_call_that_waited_and_is_never_answered_keeps_no_connection() {
    let service = Service::new();
    let house: HouseClient = service.reconnecting().await.unwrap();
    let mut line = Reconnection::of(&house).unwrap();
    service.leave();
    service.cut();
    down(&mut line).await;
    let room = house.stay_in().pipeline();
    service.come_back();
    until("it stays", || service.counts.stays.load(Ordering::SeqCst) == 1).await;
    let node = service.node.lock().unwrap().clone().unwrap();
    drop((house, room));
    let drained = soon(node.drain(Duration::from_secs(60))).await;
    assert_eq!(drained.cut, 0, "the call ended with its connection, which the client has closed");
}

#[tokio::test(start_paused = true)]
async fn a_result_that_is_refused_when_it_is_made_again_breaks_with_that_error() {
    let service = Service::new();
    let house: HouseClient = service.reconnecting().await.unwrap();
    let hall = house.unlock().await.unwrap();
    let corner = hall.corner(3).await.unwrap();
    let broken = Arc::<Mutex<Vec<String>>>::default();
    let told = broken.clone();
    let _guard = hall.cap().on_broken(move |error| told.lock().unwrap().push(error.to_string()));
    service.counts.locked.store(true, Ordering::SeqCst);
    for _ in 0..2 {
        service.lose(&house).await;
        assert_eq!(house.count(0).await.unwrap(), 0, "there is another connection");
        assert_eq!(
            service.counts.entered.load(Ordering::SeqCst),
            1,
            "it is not made again before it is used"
        );
    }
    for round in 0..3 {
        for error in [corner.say("hello").await.unwrap_err(), hall.say("hello").await.unwrap_err()] {
            assert_eq!(error.message(), "the house is locked", "round {round}");
            assert_ne!(error.fate(), Fate::MayHaveRun, "round {round}: what was said has not been sent");
        }
        // It is not tried again, neither here nor on the next connection.
        service.counts.locked.store(false, Ordering::SeqCst);
        if round == 1 {
            service.lose(&house).await;
        }
    }
    assert_eq!(service.counts.entered.load(Ordering::SeqCst), 2);
    assert_eq!(broken.lock().unwrap().len(), 1, "{broken:?}");
    assert_eq!(house.count(1).await.unwrap(), 1, "the parent lives");
}

#[tokio::test(start_paused = true)]
async fn a_call_past_its_deadline_is_not_sent_again() {
    let service = Service::new();
    let house: HouseClient = service.reconnecting().await.unwrap();
    let limited = tokio::spawn(house.stay_once().timeout(Duration::from_secs(1)));
    until("it stays", || service.counts.stays.load(Ordering::SeqCst) == 1).await;
    service.leave();
    service.cut();
    let error = limited.await.unwrap().unwrap_err();
    assert_eq!((error.kind(), error.fate()), (ErrorKind::Timeout, Fate::MayHaveRun), "{error}");
    service.come_back();
    house.count(1).await.unwrap();
    assert_eq!(service.counts.stays.load(Ordering::SeqCst), 1);
}

#[tokio::test(start_paused = true)]
async fn a_result_is_had_again_with_its_parents() {
    let service = Service::new();
    let house: HouseClient = service.reconnecting().await.unwrap();
    let greeted = Arc::<Mutex<Vec<String>>>::default();
    let greet = {
        let greeted = greeted.clone();
        move |name: String| {
            greeted.lock().unwrap().push(name);
            async {}
        }
    };
    let hall = house.enter("hall", greet).await.unwrap();
    let corner = hall.corner(3).await.unwrap();
    let before = HashMap::from([(hall.clone(), 1), (corner.clone(), 2)]);
    for _ in 0..3 {
        service.lose(&corner).await;
        assert_eq!(corner.say("hello").await.unwrap(), "hall 3: hello");
        assert_eq!(hall.name().await.unwrap(), "hall");
        assert_eq!((before.get(&hall), before.get(&corner)), (Some(&1), Some(&2)));
    }
    // Made again once on each connection, at its first use; the callback is lent anew.
    assert_eq!(service.counts.entered.load(Ordering::SeqCst), 4);
    until("all greetings have come", || greeted.lock().unwrap().len() == 4).await;
    assert_eq!(*greeted.lock().unwrap(), ["hall 1", "hall 2", "hall 3", "hall 4"]);
    assert!(Reconnection::of(&corner).is_some());
}

/// A relay that offers a durable reference passes a peer's map on to what that stands for at present.
#[tokio::test(start_paused = true)]
async fn a_map_through_a_relay_is_one_message_also_on_the_next_connection() {
    let service = Service::new();
    let house: HouseClient = service.reconnecting().await.unwrap();
    let (near, relay) = Line::new().ends();
    let _served = Node::new(house.cap().clone()).serve(relay).await.unwrap();
    let relayed: HouseClient = capnode::connect_over(near).await.unwrap();
    let mut line = Reconnection::of(&house).unwrap();
    for round in 0..2 {
        while !matches!(line.state(), LineState::Up) {
            line.changed().await;
        }
        service.requests.lock().unwrap().clear();
        let counted = relayed.numbers().map(|number| relayed.cap().invoke::<u32>("count", (number,)));
        assert_eq!(counted.await.unwrap(), [1, 3, 6].map(|count| 6 * round + count));
        let requests = std::mem::take(&mut *service.requests.lock().unwrap());
        assert_eq!(requests.len(), 1, "{requests:?}");
        service.lose(&house).await;
    }
    // There is no connection now: each request waits for one.
    service.leave();
    let counted = relayed.numbers().map(|number| relayed.cap().invoke::<u32>("count", (number,)));
    let counted = tokio::spawn(counted.into_future());
    service.come_back();
    assert_eq!(counted.await.unwrap().unwrap(), [13, 15, 18]);
}

#[tokio::test(start_paused = true)]
async fn arguments_that_cannot_be_kept_are_refused() {
    let service = Service::new();
    let house: HouseClient = service.reconnecting().await.unwrap();
    let long = "x".repeat(100_000);
    let error = house.enter(&long, |_: String| async {}).await.unwrap_err();
    assert_eq!((error.kind(), error.fate()), (ErrorKind::Unsupported, Fate::NotSent), "{error}");
    let other: HouseClient = {
        let (here, there) = Line::new().ends();
        Node::new(Home::client(&service.counts)).serve(there).await.unwrap();
        capnode::connect_over(here).await.unwrap()
    };
    let lent = Func::<fn(String)>::from_cap(other.cap().at("count"));
    let error = house.enter("hall", lent).await.unwrap_err();
    assert_eq!((error.kind(), error.fate()), (ErrorKind::Unsupported, Fate::NotSent), "{error}");
    assert_eq!(service.counts.entered.load(Ordering::SeqCst), 0);
}

/// The arguments that are kept for a reference may hold another, which has such arguments, and so on.
#[tokio::test(start_paused = true)]
async fn dropping_a_long_chain_of_references_takes_no_stack_for_its_length() {
    let service = Service::new();
    let house: HouseClient = service.reconnecting().await.unwrap();
    let hall = house.enter("hall", |_: String| async {}).await.unwrap();
    let mut last = hall.clone();
    for _ in 0..1_000 {
        last = hall.beside(last).await.unwrap();
    }
    assert_eq!(last.name().await.unwrap(), "hall");
    let small = std::thread::Builder::new().stack_size(128 << 10);
    small.spawn(move || drop(last)).unwrap().join().unwrap();
    assert_eq!(hall.name().await.unwrap(), "hall");
}

#[tokio::test(start_paused = true)]
async fn sent_home_it_is_the_object_and_sent_elsewhere_it_lasts() {
    let (one, two) = (Service::new(), Service::new());
    let house: HouseClient = one.reconnecting().await.unwrap();
    let other: HouseClient = two.reconnecting().await.unwrap();
    assert!(house.is_mine(house.clone()).await.unwrap());
    assert!(!other.is_mine(house.clone()).await.unwrap());
    other.keep(house.clone()).await.unwrap();
    let lent = two.counts.kept.lock().unwrap()[0].clone();
    assert_eq!(lent.count(1).await.unwrap(), 1);
    one.lose(&house).await;
    assert_eq!(lent.count(1).await.unwrap(), 2, "it outlives the connection of its source");
    assert!(house.is_mine(house.clone()).await.unwrap());
}

#[tokio::test(start_paused = true)]
async fn a_break_is_told_when_it_is_given_up_and_not_before() {
    let service = Service::new();
    let gives_up = |_: &Error, since: Duration| since > Duration::from_secs(60);
    let house: HouseClient = service.reconnecting().give_up_when(gives_up).await.unwrap();
    let hall = house.enter("hall", |_: String| async {}).await.unwrap();
    let broken = Arc::<Mutex<Vec<String>>>::default();
    let told = |name: &'static str| {
        let broken = broken.clone();
        move |error: Error| broken.lock().unwrap().push(format!("{name}: {error}"))
    };
    let _guards = [house.cap().on_broken(told("house")), hall.cap().on_broken(told("hall"))];
    service.lose(&house).await;
    assert_eq!(house.count(1).await.unwrap(), 1);
    assert!(broken.lock().unwrap().is_empty(), "a loss is a state");
    service.leave();
    service.cut();
    let mut line = Reconnection::of(&hall).unwrap();
    let why = loop {
        if let LineState::Ended(why) = line.changed().await {
            break why;
        }
    };
    assert_eq!(why.message(), "nobody is at home");
    let told = broken.lock().unwrap().clone();
    assert_eq!(told, ["house: nobody is at home", "hall: nobody is at home"]);
    for error in [house.count(1).await.unwrap_err(), hall.say("hello").await.unwrap_err()] {
        assert_eq!((error.message(), error.fate()), ("nobody is at home", Fate::NotSent));
    }
}

#[tokio::test(start_paused = true)]
async fn a_hook_runs_on_each_connection_before_the_calls() {
    let service = Service::new();
    let ran = Arc::<AtomicU32>::default();
    let house: HouseClient = service
        .reconnecting()
        .on_connect({
            let ran = ran.clone();
            move |house: HouseClient| {
                let ran = ran.clone();
                async move {
                    house.count(1_000).await?;
                    match ran.fetch_add(1, Ordering::SeqCst) {
                        1 => Err(Error::rejected("not now")),
                        2 => panic!("a hook"),
                        _ => Ok(()),
                    }
                }
            }
        })
        .await
        .unwrap();
    assert_eq!(house.count(1).await.unwrap(), 1_001);
    service.lose(&house).await;
    // The second hook fails, the third panics, and the fourth has run before the call.
    assert_eq!(house.count(0).await.unwrap(), 4_001);
    assert_eq!(ran.load(Ordering::SeqCst), 4);
}

#[tokio::test(start_paused = true)]
async fn the_connection_goes_with_the_last_reference() {
    let service = Service::new();
    let house: HouseClient = service.reconnecting().await.unwrap();
    let mut line = Reconnection::of(&house).unwrap();
    assert_eq!(house.count(1).await.unwrap(), 1);
    let node = service.node.lock().unwrap().clone().unwrap();
    drop(house);
    let drained = soon(node.drain(Duration::from_secs(60))).await;
    assert_eq!(drained.cut, 0);
    tokio::time::sleep(Duration::from_secs(120)).await;
    assert_eq!(service.dialed.load(Ordering::SeqCst), 1, "nothing connects any more");
    assert!(matches!(line.changed().await, LineState::Ended(_)), "and whoever watches is told");
}

#[tokio::test]
async fn over_batches_it_says_why_not() {
    let error = capnode::connect::<Cap>("http://127.0.0.1:1").reconnecting().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    assert!(error.message().contains("an HTTP batch has no connection that could be lost"), "{error}");
}

#[tokio::test]
async fn urls_are_tried_in_turn() {
    let counts = Arc::<Counts>::default();
    for protocol in ["tcp", "ws"] {
        let nodes = [(); 2].map(|()| Node::new(Home::client(&counts)));
        let at = format!("{protocol}://127.0.0.1:0");
        let one = nodes[0].listen(&at).await.unwrap();
        let two = nodes[1].listen(&at).await.unwrap();
        let urls = [one.url(), two.url()];
        let house: HouseClient = capnode::connect(&urls[0]).reconnecting().or(&urls[1]).await.unwrap();
        let count = soon(house.count(1)).await.unwrap();
        assert_eq!(soon(nodes[0].drain(Duration::from_secs(60))).await.cut, 0);
        assert_eq!(soon(house.count(1)).await.unwrap(), count + 1);
    }
    let error = capnode::connect::<Cap>("tcp://127.0.0.1:1").reconnecting().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Connect, "without any server the first attempt fails");
}

/// Keeps its items, and tells those behind a cursor.
#[capnode::interface]
trait Paper {
    async fn read(&self, after: u64, tell: Func<fn(u64, String)>) -> Result<(), String>;
}

type Reading = Func<fn(u64, String)>;

#[derive(Clone, Default)]
struct Archive {
    items: Arc<Mutex<Vec<String>>>,
    readers: Arc<Mutex<Vec<Reading>>>,
    closed: Arc<AtomicU32>,
}

impl Archive {
    fn add(&self, item: &str) {
        let mut items = self.items.lock().unwrap();
        items.push(item.to_owned());
        for reader in &*self.readers.lock().unwrap() {
            let _gone = reader.call(items.len() as u64, item.to_owned()).send();
        }
    }
}

impl Paper for Archive {
    async fn read(&self, after: u64, tell: Func<fn(u64, String)>) -> Result<(), String> {
        if self.closed.load(Ordering::SeqCst) > 0 {
            return Err("no more papers".to_owned());
        }
        let items = self.items.lock().unwrap();
        for (number, item) in (after + 1..).zip(&items[after as usize..]) {
            let _gone = tell.call(number, item.clone()).send();
        }
        self.readers.lock().unwrap().push(tell);
        Ok(())
    }
}

#[tokio::test(start_paused = true)]
async fn a_subscription_goes_on_behind_its_cursor() {
    let archive = Archive::default();
    archive.add("one");
    let node = Node::new(PaperClient::new(archive.clone()));
    let cutters = Arc::<Mutex<Vec<Cutter>>>::default();
    let lines = cutters.clone();
    let paper: PaperClient = capnode::reconnecting(move || {
        let (node, lines) = (node.clone(), lines.clone());
        async move {
            let (here, there) = Line::new().ends();
            lines.lock().unwrap().push(here.cutter());
            node.serve(there).await?;
            capnode::connect_over::<Connection>(here).await
        }
    })
    .await
    .unwrap();
    let read = |paper: PaperClient, after, tell| async move {
        paper.read(after, tell).await.map_err(|error| Error::rejected(error.to_string()))
    };
    let mut items = capnode::subscribe(&paper, 0, read).unwrap();
    let mut next = async || items.next().await.map(Result::unwrap);
    assert_eq!(next().await, Some(Update::Value("one".to_owned())));
    archive.add("two");
    assert_eq!(next().await, Some(Update::Value("two".to_owned())));
    cutters.lock().unwrap().last().unwrap().cut();
    archive.add("three");
    assert_eq!(next().await, Some(Update::Gap));
    assert_eq!(next().await, Some(Update::Value("three".to_owned())));
    // What a former connection brings late is dropped.
    let late = archive.readers.lock().unwrap()[0].clone();
    assert!(late.call(1, "late".to_owned()).await.is_err());
    archive.add("four");
    assert_eq!(next().await, Some(Update::Value("four".to_owned())));
    archive.closed.store(1, Ordering::SeqCst);
    cutters.lock().unwrap().last().unwrap().cut();
    assert_eq!(next().await, Some(Update::Gap));
    let ended = items.next().await.unwrap().unwrap_err();
    assert!(ended.message().contains("no more papers"), "{ended}");
    assert!(items.next().await.is_none());
    let plain = PaperClient::new(archive);
    let error = capnode::subscribe(&plain, 0, read).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
}

/// Panics when it is dropped.
struct Fragile;

impl Drop for Fragile {
    fn drop(&mut self) {
        panic!("on purpose");
    }
}

#[test]
fn a_durable_reference_breaks_with_the_runtime_that_kept_its_connection() {
    let runtime =
        || tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    for connects in [false, true] {
        let first = runtime();
        let node = Node::new("at home");
        let dial = move || {
            let node = node.clone();
            async move {
                if !connects {
                    return Err(Error::rejected("nobody is there"));
                }
                let (here, there) = capnode::transport::pair();
                node.serve(there).await?;
                capnode::connect_over::<Connection>(here).await
            }
        };
        let (peer, mut line) = first.block_on(async {
            let peer: Cap = capnode::reconnecting(dial).start().unwrap();
            let line = Reconnection::of_cap(&peer).unwrap();
            if connects {
                assert_eq!(peer.read::<String>().await.unwrap(), "at home");
            }
            (peer, line)
        });
        drop(first);
        runtime().block_on(async {
            let error = soon(peer.read::<String>()).await.unwrap_err();
            assert!(error.message().contains("runtime"), "{error}");
            let state = soon(async {
                loop {
                    if let LineState::Ended(why) = line.changed().await {
                        return why;
                    }
                }
            });
            assert_eq!(state.await.message(), error.message());
        });
    }
}

#[tokio::test]
async fn a_pause_that_no_clock_measures_is_one_without_end() {
    let dial = || async { Err::<Connection, _>(Error::rejected("nobody is there")) };
    let reconnecting = capnode::reconnecting(dial).backoff(Duration::MAX, Duration::MAX);
    let peer: Cap = reconnecting.wait(Duration::from_millis(50), 1024).start().unwrap();
    let error = soon(peer.read::<String>()).await.unwrap_err();
    assert_eq!(error.fate(), Fate::NotSent);
    assert!(error.message().contains("no connection for 50ms"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_panic_while_an_attempt_is_dropped_keeps_no_other_from_being_made() {
    let attempts = Arc::new(AtomicU32::new(0));
    let made = attempts.clone();
    let dial = move || {
        made.fetch_add(1, Ordering::SeqCst);
        async {
            let _held = Fragile;
            std::future::pending().await
        }
    };
    let _peer: Cap = capnode::reconnecting(dial).start().unwrap();
    tokio::time::sleep(Duration::from_secs(40)).await;
    assert_eq!(attempts.load(Ordering::SeqCst), 2, "the first took 30 seconds");
}
