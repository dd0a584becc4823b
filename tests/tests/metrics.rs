//! Calls as metrics: what is counted, and that no peer makes new series.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use capnode::{Client, Error, Func, Limits, Node, Policy, policy};
use capnode_tests::until;
use metrics::{
    Counter, CounterFn, Gauge, Histogram, HistogramFn, Key, KeyName, Metadata, SharedString, Unit,
};

/// A recorder that remembers all series.
#[derive(Clone, Default)]
struct Recorder(Arc<Mutex<BTreeMap<String, Arc<Value>>>>);

#[derive(Default)]
struct Value(AtomicU64);

impl CounterFn for Value {
    fn increment(&self, value: u64) {
        self.0.fetch_add(value, Ordering::SeqCst);
    }

    fn absolute(&self, value: u64) {
        self.0.store(value, Ordering::SeqCst);
    }
}

impl metrics::GaugeFn for Value {
    fn increment(&self, value: f64) {
        self.0.fetch_add(value as u64, Ordering::SeqCst);
    }

    fn decrement(&self, value: f64) {
        self.0.fetch_sub(value as u64, Ordering::SeqCst);
    }

    fn set(&self, value: f64) {
        self.0.store(value as u64, Ordering::SeqCst);
    }
}

impl HistogramFn for Value {
    fn record(&self, _: f64) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

impl Recorder {
    fn series(&self, key: &Key) -> Arc<Value> {
        let labels: Vec<_> = key.labels().map(|label| format!("{}={}", label.key(), label.value())).collect();
        let name = format!("{} {}", key.name(), labels.join(","));
        self.0.lock().unwrap().entry(name).or_default().clone()
    }

    fn names(&self) -> Vec<String> {
        self.0.lock().unwrap().keys().cloned().collect()
    }

    /// Waits until a series has a value, which it has then.
    async fn reaches(&self, name: &str, value: u64) {
        let found = || self.0.lock().unwrap().get(name).map_or(0, |series| series.0.load(Ordering::SeqCst));
        until(name, || found() >= value).await;
        assert_eq!(found(), value, "{name}");
    }

    /// Waits until as many references are lent in both directions: each has two ends in this program.
    async fn has_references(&self, lent: u64) {
        let of = |direction| {
            let series = self.0.lock().unwrap();
            let gauge = series.get(&format!("capnode_references direction={direction}"));
            gauge.map_or(0, |gauge| gauge.0.load(Ordering::SeqCst))
        };
        until("references are counted", || [of("inward"), of("outward")] == [lent; 2]).await;
    }

    fn value(&self, name: &str) -> u64 {
        let series = self.0.lock().unwrap();
        let found = series.get(name).unwrap_or_else(|| panic!("no {name} in {:#?}", series.keys()));
        found.0.load(Ordering::SeqCst)
    }
}

impl metrics::Recorder for Recorder {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        Counter::from_arc(self.series(key))
    }

    fn register_gauge(&self, key: &Key, _: &Metadata<'_>) -> Gauge {
        Gauge::from_arc(self.series(key))
    }

    fn register_histogram(&self, key: &Key, _: &Metadata<'_>) -> Histogram {
        Histogram::from_arc(self.series(key))
    }
}

#[capnode::interface]
trait Shop {
    async fn price(&self, of: u32) -> u32;
    async fn buy(&self, pay: Func<fn(u32) -> ()>) -> Result<(), Error>;
    async fn wait(&self);
    async fn branch(&self) -> ShopClient;
}

struct Stall;

impl Shop for Stall {
    async fn price(&self, of: u32) -> u32 {
        of * 2
    }

    async fn buy(&self, pay: Func<fn(u32) -> ()>) -> Result<(), Error> {
        pay.call(3).await?;
        Err(Error::rejected("sold out"))
    }

    async fn wait(&self) {
        std::future::pending::<()>().await;
    }

    async fn branch(&self) -> ShopClient {
        ShopClient::new(Stall)
    }
}

async fn shop() -> ShopClient {
    shop_with(policy::metrics()).await
}

async fn shop_with(layer: impl Policy) -> ShopClient {
    let (here, there) = capnode::transport::pair();
    let node = Node::builder().index(ShopClient::new(Stall)).layer(layer).build();
    node.serve(there).await.unwrap();
    capnode::connect_over(here).await.unwrap()
}

/// References are counted from when they are lent until they are released, which is no call, or their connection ends.
async fn references_are_counted(recorder: &Recorder) {
    let (here, there) = capnode::transport::pair();
    let served = Node::new(ShopClient::new(Stall)).serve(there).await.unwrap();
    let shop: ShopClient = capnode::connect_over(here).await.unwrap();
    let branches = [shop.branch().await.unwrap(), shop.branch().await.unwrap()];
    recorder.has_references(2).await;
    let [first, _second] = branches;
    drop(first);
    recorder.has_references(1).await;
    served.close();
    recorder.has_references(0).await;
}

/// A limit that stops a call is counted, and one that ends a connection.
async fn limits_are_counted(recorder: &Recorder) {
    let (here, there) = capnode::transport::pair();
    let limits = Limits::default().frame_bytes(1_000);
    Node::builder().index(ShopClient::new(Stall)).limits(limits).build().serve(there).await.unwrap();
    let node = Node::builder().layer(policy::metrics()).build();
    let shop: ShopClient = node.connect_over(here).await.unwrap();
    shop.price(1).metadata("name", &"x".repeat(5_000)).await.unwrap_err();
    let price = "interface=Shop,method=price,direction=outward";
    assert_eq!(recorder.value(&format!("capnode_call_errors_total {price},kind=Limit,fate=NotSent")), 1);
    recorder.reaches("capnode_limits_total limit=metadata_bytes", 1).await;
    shop.cap().invoke::<()>(&"x".repeat(2_000), ()).await.unwrap_err();
    recorder.reaches("capnode_limits_total limit=frame_bytes", 1).await;
    recorder.reaches("capnode_connections_ended_total kind=Limit", 1).await;
}

/// Of a call of this program the outcome is counted when it arrives, whether its caller waits or not.
async fn outcomes_are_counted_for_every_caller(recorder: &Recorder) {
    let (here, there) = capnode::transport::pair();
    let served = Node::new(ShopClient::new(Stall)).serve(there).await.unwrap();
    let node = Node::builder().layer(policy::metrics()).build();
    let shop: ShopClient = node.connect_over(here).await.unwrap();
    shop.buy(|_: u32| async {}).send().unwrap();
    let buy = "interface=Shop,method=buy,direction=outward";
    recorder.reaches(&format!("capnode_call_errors_total {buy},kind=Rejected,fate=Answered"), 1).await;
    until("it is over", || recorder.value(&format!("capnode_calls_in_flight {buy}")) == 0).await;

    let waiting = tokio::spawn(shop.wait().into_future());
    let wait = "interface=Shop,method=wait,direction=outward";
    recorder.reaches(&format!("capnode_calls_in_flight {wait}"), 1).await;
    served.close();
    waiting.await.unwrap().unwrap_err();
    let errors = format!("capnode_call_errors_total {wait},kind=Disconnected,fate=MayHaveRun");
    assert_eq!(recorder.value(&errors), 1);
    assert_eq!(recorder.value(&format!("capnode_calls_in_flight {wait}")), 0);
}

// One test, since there is one recorder in a program.
#[tokio::test]
async fn calls_are_counted_and_peers_make_no_series() {
    let recorder = Recorder::default();
    metrics::set_global_recorder(recorder.clone()).unwrap();
    references_are_counted(&recorder).await;
    let shop = shop().await;
    assert_eq!(recorder.value("capnode_connections_opened_total "), 4);
    recorder.reaches("capnode_connections_ended_total kind=Disconnected", 2).await;

    // The end of a connection is counted at both of its ends.
    drop(shop_with(policy::metrics()).await);
    assert_eq!(recorder.value("capnode_connections_opened_total "), 6);
    recorder.reaches("capnode_connections_ended_total kind=Disconnected", 4).await;

    let price = "interface=Shop,method=price,direction=inward";
    for _ in 0..3 {
        shop.price(20).await.unwrap();
    }
    assert_eq!(recorder.value(&format!("capnode_calls_total {price}")), 3);
    assert_eq!(recorder.value(&format!("capnode_call_seconds {price}")), 3);
    assert_eq!(recorder.value(&format!("capnode_calls_in_flight {price}")), 0);
    assert_eq!(recorder.value(&format!("capnode_call_argument_bytes_total {price}")), 12);
    assert_eq!(recorder.value(&format!("capnode_call_result_bytes_total {price}")), 6);

    shop.buy(|_: u32| async {}).await.unwrap_err();
    let buy = "interface=Shop,method=buy,direction=inward";
    assert_eq!(recorder.value(&format!("capnode_call_errors_total {buy},kind=Rejected,fate=Answered")), 1);
    let other = "interface=other,method=other,direction=outward";
    assert_eq!(recorder.value(&format!("capnode_calls_total {other}")), 1);

    // A policy that has to be asked is asked, and all is counted as before.
    let asks = |refuses: bool| {
        policy::authorize(move |_| if refuses { Err(Error::rejected("not today")) } else { Ok(()) })
    };
    for (layer, made, failed) in [
        (policy::metrics().and(asks(false)), 4, 1),
        (policy::metrics().and(asks(true)), 5, 2),
        (asks(true).and(policy::metrics()), 5, 2),
    ] {
        let shop = shop_with(layer).await;
        let outcome = shop.price(20).await;
        assert_eq!(recorder.value(&format!("capnode_calls_total {price}")), made);
        assert_eq!(recorder.value(&format!("capnode_call_seconds {price}")), made);
        assert_eq!(recorder.value(&format!("capnode_calls_in_flight {price}")), 0);
        assert_eq!(outcome.is_err(), failed == 2);
    }

    // Calls of its own are counted alike.
    let price = "interface=Shop,method=price,direction=outward";
    let branch = "interface=Shop,method=branch,direction=outward";
    let wait = "capnode_calls_in_flight interface=Shop,method=wait,direction=outward";
    for (layer, made) in [(policy::metrics().and(asks(false)), 1), (policy::metrics(), 2)] {
        let (here, there) = capnode::transport::pair();
        Node::new(ShopClient::new(Stall)).serve(there).await.unwrap();
        let shop: ShopClient = Node::builder().layer(layer).build().connect_over(here).await.unwrap();
        shop.price(20).await.unwrap();
        assert_eq!(recorder.value(&format!("capnode_calls_total {price}")), 2 * made - 1);
        assert_eq!(recorder.value(&format!("capnode_call_seconds {price}")), 2 * made - 1);
        shop.branch().pipeline().price(7).await.unwrap();
        assert_eq!(recorder.value(&format!("capnode_calls_total {branch}")), made);
        assert_eq!(recorder.value(&format!("capnode_call_seconds {branch}")), made);
        assert_eq!(recorder.value(&format!("capnode_calls_in_flight {branch}")), 0);
        assert_eq!(recorder.value(&format!("capnode_calls_total {price}")), 2 * made);
        assert_eq!(recorder.value(&format!("capnode_call_argument_bytes_total {price}")), 7 * made);
        assert_eq!(recorder.value(&format!("capnode_call_result_bytes_total {price}")), 4 * made);
        let mut waiting = shop.wait();
        assert!(futures_util::poll!(&mut waiting).is_pending());
        assert_eq!(recorder.value(wait), 1);
        drop(waiting);
        assert_eq!(recorder.value(wait), 0);
    }

    limits_are_counted(&recorder).await;
    outcomes_are_counted_for_every_caller(&recorder).await;

    let waiting = tokio::spawn(shop.wait());
    shop.price(1).await.unwrap();
    let wait = "capnode_calls_in_flight interface=Shop,method=wait,direction=inward";
    assert_eq!(recorder.value(wait), 1);
    waiting.abort();
    waiting.await.unwrap_err();
    shop.price(1).await.unwrap();
    shop.price(1).await.unwrap();
    assert_eq!(recorder.value(wait), 0);

    shop.cap().invoke::<()>("first invented", ()).await.unwrap_err();
    let before = recorder.names();
    for number in 0..10_000 {
        shop.cap().invoke::<()>(&format!("invented{number}"), ()).await.unwrap_err();
        if number % 1_000 == 0 {
            shop.cap().at(&format!("invented{number}")).invoke::<()>("price", ()).await.unwrap_err();
        }
    }
    assert_eq!(recorder.names(), before);
    assert!(recorder.names().iter().all(|name| !name.contains("invented")));
}
