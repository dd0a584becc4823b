//! The short way of usual frames against the general one: the same frames give the same tables, output and outcomes.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::{Arc, Mutex, OnceLock, Weak};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use proptest::prelude::*;

use super::write;
use crate::cap::counted::Metered;
use crate::cap::meter::{Counter, Direction, Meter, SharedCounter, TableEntry};
use crate::dialect::capnweb;
use crate::link::task::Task;
use crate::link::{Link, LinkConfig};
use crate::session::Side;
use crate::sync::atomic::Ordering;
use crate::sync::lock;
use crate::{Call, Error, Func, Limits, Object, Value};

/// A frame of the peer, an act of this side, or a frame that comes while a handler runs in place.
#[derive(Clone, Copy, Debug)]
enum Step {
    Frame(&'static str),
    Nested(&'static str),
    Call,
    Drop,
    Open,
    Drain,
}

const FRAMES: &[&str] = &[
    r#"["stream",["pipeline",0,["run"],[1]]]"#,
    r#"["stream",["pipeline",0,["run"],[1]]]"#,
    r#"["stream",["pipeline",0,["wait"],[1]]]"#,
    r#"["stream",["pipeline",0,["none"],[1]]]"#,
    r#"["stream",["pipeline",0,["give"],[]]]"#,
    r#"["stream",["pipeline",0,["ask"],[["export",-1]]]]"#,
    r#"["stream",["pipeline",0,["run","more"],[1]]]"#,
    r#"["stream",["pipeline",0,[],[1]]]"#,
    r#"["stream",["pipeline",0,["run"]]]"#,
    r#"["stream",["pipeline",-1,[],[2]]]"#,
    r#"["stream",["pipeline",1,[],[2]]]"#,
    r#"["stream",["pipeline",2,["run"],[["import",0]]]]"#,
    r#"["push",["pipeline",0,["run"],[3]]]"#,
    r#"["push",["pipeline",0,["wait"],[3]]]"#,
    r#"["push",["pipeline",0,["ask"],[["promise",-2]]]]"#,
    r#"["push",null]"#,
    r#"["pull",1]"#,
    r#"["pull",2]"#,
    r#"["release",1,1]"#,
    r#"["release",2,1]"#,
    r#"["release",3,1]"#,
    r#"["release",-1,1]"#,
    r#"["release",0,0]"#,
    r#"["release",0,1]"#,
    r#"["resolve",1,1]"#,
    r#"["resolve",1,["export",-3]]"#,
    r#"["resolve",2,2]"#,
    r#"["resolve",9,2]"#,
    r#"["resolve",-2,2]"#,
    r#"["reject",1,["error","Error","no"]]"#,
    r#"["abort",["error","Error","no"]]"#,
    r#"["none"]"#,
];

fn step() -> impl Strategy<Value = Step> {
    let frame = || prop::sample::select(FRAMES);
    prop_oneof![
        12 => frame().prop_map(Step::Frame),
        2 => frame().prop_map(Step::Nested),
        3 => Just(Step::Call),
        1 => Just(Step::Drop),
        1 => Just(Step::Open),
        1 => Just(Step::Drain),
    ]
}

/// Receives a frame by the general way.
fn receive_any(link: &Arc<Link>, frame: &str) {
    // The first frame tells the language.
    match link.peer.get().map(|_| capnweb::parse(frame, &link.limits)).transpose() {
        Ok(message) => link.receive_any(message, frame, frame.len(), Duration::ZERO),
        Err(error) => link.break_off(error),
    }
}

/// State that the handlers of a side share.
#[derive(Default)]
struct Shared {
    link: OnceLock<Weak<Link>>,
    nested: Mutex<Option<&'static str>>,
    is_open: Mutex<bool>,
    seen: Mutex<Vec<String>>,
}

/// Notes what is to be counted of calls.
#[derive(Clone)]
struct Notes(Arc<Shared>);

impl Meter for Notes {
    fn counter(&self, method: TableEntry, direction: Direction) -> SharedCounter {
        let method = method.map(|(interface, method)| (interface.name, method.name));
        lock(&self.0.seen).push(format!("{method:?} {direction:?}"));
        Arc::new(Box::new(self.clone()))
    }
}

impl Counter for Notes {
    fn begun(&self, bytes: usize) {
        lock(&self.0.seen).push(format!("begun {bytes}"));
    }

    fn outcome(&self, outcome: Result<usize, &Error>, _: Duration) {
        lock(&self.0.seen).push(format!("outcome {outcome:?}"));
    }

    fn over(&self) {
        lock(&self.0.seen).push("over".to_owned());
    }
}

/// One of two sides that get the same steps.
struct Twin {
    link: Arc<Link>,
    receive: fn(&Arc<Link>, &str),
    shared: Arc<Shared>,
    tasks: Vec<Task>,
    calls: Vec<Pin<Box<Call<Value>>>>,
}

impl Twin {
    fn new(receive: fn(&Arc<Link>, &str), side: Side, extended: bool, counts: bool) -> Self {
        let shared = Arc::new(Shared::default());
        let run = {
            let shared = shared.clone();
            Func::<fn(Value) -> Value>::new(move |value: Value| {
                lock(&shared.seen).push(format!("run {value:?}"));
                let nested = lock(&shared.nested).take();
                if let (Some(frame), Some(link)) = (nested, shared.link.get().and_then(Weak::upgrade)) {
                    receive(&link, frame);
                    lock(&shared.seen).push(format!("nested {:?}", link.report()));
                }
                async move { value }
            })
        };
        let wait = {
            let shared = shared.clone();
            Func::<fn(Value) -> Value>::new(move |value: Value| {
                let shared = shared.clone();
                poll_fn(
                    move |_| if *lock(&shared.is_open) { Poll::Ready(value.clone()) } else { Poll::Pending },
                )
            })
        };
        let ask =
            Func::<fn(Func<fn(u8) -> Value>) -> Value>::new(|asked: Func<fn(u8) -> Value>| async move {
                asked.call(1).await.unwrap_or_default()
            });
        let given = run.clone();
        let give = Func::<fn() -> Func<fn(Value) -> Value>>::new(move || std::future::ready(given.clone()));
        let index = Object::new().with("run", run).with("wait", wait).with("ask", ask).with("give", give);
        let limits = Limits { running_calls: 3, exports: 6, parked_bytes: 4_000, ..Limits::default() };
        let mut config = LinkConfig { limits, ..LinkConfig::default() };
        if counts {
            config.add_layer(Metered(Notes(shared.clone())));
        }
        let link = Link::new(side, Some(index.cap()), config);
        shared.link.get_or_init(|| Arc::downgrade(&link));
        if extended {
            link.receive(r#"["release",0,0]"#);
        }
        Self { link, receive, shared, tasks: Vec::new(), calls: Vec::new() }
    }

    /// Takes a step. Returns all that can be seen after it.
    fn take(&mut self, step: Step) -> String {
        let mut cx = Context::from_waker(Waker::noop());
        match step {
            Step::Frame(frame) => (self.receive)(&self.link, frame),
            Step::Nested(frame) => {
                *lock(&self.shared.nested) = Some(frame);
                (self.receive)(&self.link, FRAMES[0]);
            }
            Step::Call => {
                let peer = Func::<fn(u8) -> Value>::from_cap(self.link.peer_index());
                self.calls.push(Box::pin(peer.call(1)));
            }
            Step::Drop => drop(self.calls.pop()),
            Step::Open => *lock(&self.shared.is_open) = true,
            Step::Drain => self.link.draining.store(true, Ordering::SeqCst),
        }
        self.tasks.extend(self.link.take_tasks());
        self.tasks.retain_mut(|task| Pin::new(task).poll(&mut cx).is_pending());
        self.link.unpark(|| true);
        let mut outcomes = Vec::new();
        self.calls.retain_mut(|call| match call.as_mut().poll(&mut cx) {
            Poll::Ready(outcome) => {
                outcomes.push(format!("{outcome:?}"));
                false
            }
            Poll::Pending => true,
        });
        let seen = std::mem::take(&mut *lock(&self.shared.seen));
        let (report, closed) = (self.link.report(), self.link.closed());
        format!("{seen:?} {outcomes:?} {:?} {report:?} {closed:?} {}", write(&self.link), self.link.is_idle())
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn a_usual_frame_does_the_same_by_the_short_way_and_the_general_one(
        side in prop::sample::select(&[Side::Accepting, Side::Connecting]),
        extended in any::<bool>(),
        counts in any::<bool>(),
        steps in prop::collection::vec(step(), 1..24),
    ) {
        let short = |link: &Arc<Link>, frame: &str| {
            link.receive(frame);
        };
        let mut short = Twin::new(short, side, extended, counts);
        let mut general = Twin::new(receive_any, side, extended, counts);
        for step in steps {
            prop_assert_eq!(short.take(step), general.take(step), "after {:?}", step);
        }
    }
}
