//! Each limit: a use exactly at it passes, and one past it is reported by the name of the limit, in each language that
//! it applies to.

use std::pin::pin;
use std::task::Waker;
use std::time::Duration;

use crate::harness::*;
use capnode::sans_io::Handler;
use capnode::value::GraphBuilder;
use capnode::{BigInt, Call, Dialect, Error, ErrorKind, Fate, LimitKind, Object, Wire};

const ALL: [Dialect; 3] = [Dialect::CapnWeb, Dialect::Capnode, Dialect::Q];
const CAPN_WEB: [Dialect; 1] = [Dialect::CapnWeb];

/// The limits that have a test here, of the name that they have in `Limits`; those of whole nodes are tested where nodes
/// are.
const COVERED: &[&str] = &[
    "frame_bytes",
    "depth",
    "string_bytes",
    "bigint_chars",
    "exports",
    "imports",
    "calls",
    "running_calls",
    "parked_bytes",
    "call_bytes",
    "kept_bytes",
    "unwritten_bytes_soft",
    "unwritten_bytes_hard",
    "promise_depth",
    "unfolded_bytes",
    // In `streams.rs`.
    "stream_bytes",
    "stream_window",
    // In `maps.rs`.
    "map_steps",
    "metadata_bytes",
    "cancels_per_second",
    "stray_ids_per_second",
    "frames_per_second",
    "idle",
    "probe",
    "call_timeout",
];

const OF_NODES: &[&str] = &["connections", "node_bytes", "silence", "batch_bytes", "batch_time"];

#[test]
fn every_limit_has_a_test() {
    let shown = format!("{:#?}", Limits::default());
    let fields = shown.lines().filter(|line| line.starts_with("    ") && !line.starts_with("     "));
    let names: Vec<_> = fields.filter_map(|line| line.trim().split_once(':')).map(|(name, _)| name).collect();
    assert!(names.len() > 20, "{names:?}");
    for name in &names {
        assert!(COVERED.contains(name) || OF_NODES.contains(name), "`{name}` has no test");
    }
    assert_eq!(names.len(), COVERED.len() + OF_NODES.len());
}

/// A client and the side under test, which offers functions, moved by hand.
struct Two {
    pair: Pair,
    /// The unanswered calls of the client.
    calls: Vec<Call<Value>>,
    /// The references that the client holds.
    held: Vec<Cap>,
    index: Cap,
}

type Sink = Arc<Mutex<Vec<Cap>>>;

/// `echo(value)`, `rows(lists)` which reads its value, `wait()` without end, `make()` a function,
/// `many(count)` of them, `keep(function)`.
fn offered() -> Object {
    let kept = Sink::default();
    Object::new()
        .with("echo", Func::<fn(Value) -> Value>::new(|value: Value| async move { value }))
        .with(
            "rows",
            Func::<fn(Vec<Vec<u32>>) -> usize>::new(|rows: Vec<Vec<u32>>| async move { rows.len() }),
        )
        .with("wait", Func::<fn(Value) -> Value>::new(|_: Value| std::future::pending()))
        .with("make", Func::<fn() -> Func<fn() -> u8>>::new(|| async { Func::new(|| async { 1 }) }))
        .with(
            "many",
            Func::<fn(usize) -> Vec<Func<fn()>>>::new(|count: usize| async move {
                (0..count).map(|_| Func::new(|| async {})).collect::<Vec<_>>()
            }),
        )
        .with(
            "keep",
            Func::<fn(Cap)>::new(move |function: Cap| {
                lock(&kept).push(function);
                async {}
            }),
        )
}

/// A core with some of its limits changed, for frames of a foreign peer.
fn limited(change: impl FnOnce(&mut Limits)) -> Core {
    Core::builder().limits(limits(change)).accepting(offered())
}

impl Two {
    fn new(dialect: Dialect, change: impl FnOnce(&mut Limits)) -> Self {
        Self::of(Core::builder().dialect(dialect).connecting(()), limited(change))
    }

    /// The side under test is the one that calls.
    fn calling(dialect: Dialect, change: impl FnOnce(&mut Limits)) -> Self {
        let here = Core::builder().limits(limits(change)).dialect(dialect).connecting(());
        Self::of(here, Core::accepting(offered()))
    }

    fn of(here: Core, there: Core) -> Self {
        let index = here.index::<Cap>();
        let mut two = Self { pair: Pair::new(here, there), calls: Vec::new(), held: Vec::new(), index };
        two.settle();
        two
    }

    fn here(&self) -> &Core {
        self.pair.connecting()
    }

    fn there(&self) -> &Core {
        self.pair.accepting()
    }

    fn settle(&mut self) {
        self.pair.settle();
    }

    /// Makes a call, sends it and leaves it without an answer, if there is none.
    fn begin(&mut self, method: &str, value: impl Into<Value>) {
        let call = started(self.index.invoke::<Value>(method, (value.into(),)));
        self.calls.push(call);
    }

    fn wait<T: Wire>(&mut self, call: Call<T>) -> Result<T, Error> {
        let mut call = pin!(call);
        for _ in 0..4 {
            if let Poll::Ready(outcome) = call.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
                return outcome;
            }
            self.settle();
        }
        panic!("there is no answer");
    }

    fn echo(&mut self, value: impl Into<Value>) -> Result<Value, Error> {
        self.wait(self.index.invoke("echo", (value.into(),)))
    }

    /// The side under test goes on.
    fn goes_on(&mut self) {
        assert!(self.there().closed().is_none(), "{:?}", self.there().closed());
        assert_eq!(self.echo(7).unwrap(), Value::from(7));
    }
}

/// Polls the handlers of a core, and returns the last frame that it says.
fn answer(core: &Core, mut handlers: Vec<Handler>) -> String {
    handlers.retain_mut(|handler| poll(handler).is_pending());
    std::iter::from_fn(|| core.next_frame()).last().expect("an answer")
}

/// Ended by the limit of that name.
#[track_caller]
fn ended_by(core: &Core, limit: &str) {
    let closed = core.closed().expect("it has ended");
    assert_eq!(closed.limit().map(LimitKind::as_str), Some(limit), "{closed:?}");
}

/// Limits, one of which is told by its name.
fn named(name: &str, limit: usize) -> Limits {
    serde_json::from_value(serde_json::json!({ name: limit })).expect("a limit of that name")
}

/// Does something `limit` times and once more; `limit` is the one called `name`.
fn counted(name: &str, dialects: &[Dialect], limit: usize, act: impl Fn(&mut Two, usize)) {
    for &dialect in dialects {
        let mut two = Two::new(dialect, |limits| *limits = named(name, limit));
        act(&mut two, limit);
        two.settle();
        assert!(two.there().closed().is_none(), "{dialect:?}, at the limit: {:?}", two.there().closed());
        let mut two = Two::new(dialect, |limits| *limits = named(name, limit));
        act(&mut two, limit + 1);
        two.settle();
        ended_by(two.there(), name);
        let told = two.here().closed();
        let speaks_of_ends = dialect == Dialect::CapnWeb;
        assert_eq!(told.is_some(), speaks_of_ends, "{dialect:?}: the peer is told, if it can be: {told:?}");
    }
}

/// Runs a test of a limit in bytes. It first measures the size of one thing.
fn measured(name: &str, rest: impl Fn(&mut Limits), act: impl Fn(&mut Two), bytes: impl Fn(&Core) -> usize) {
    let set = |limits: &mut Limits, bytes: usize| {
        *limits = named(name, bytes);
        rest(limits);
    };
    for dialect in ALL {
        let mut two = Two::new(dialect, |limits| set(limits, usize::MAX >> 1));
        act(&mut two);
        let all = bytes(two.there());
        assert!(all > 0);
        let mut two = Two::new(dialect, |limits| set(limits, all));
        act(&mut two);
        assert!(two.there().closed().is_none(), "{dialect:?}, at the limit: {:?}", two.there().closed());
        let mut two = Two::new(dialect, |limits| set(limits, all - 1));
        act(&mut two);
        ended_by(two.there(), name);
    }
}

#[test]
fn the_limit_frame_bytes_is_enforced() {
    for dialect in ALL {
        for past in [0, 1] {
            let mut two = Two::new(dialect, |limits| limits.frame_bytes = 1_000);
            let call = started(two.index.invoke::<Value>("echo", (7,)));
            let frame = two.here().next_frame().expect("the call");
            let padded = format!("{frame}{}", " ".repeat(1_000 + past - frame.len()));
            two.there().receive(&padded);
            if past == 0 {
                assert_eq!(two.wait(call).unwrap(), Value::from(7));
                two.goes_on();
            } else {
                ended_by(two.there(), "frame_bytes");
            }
        }
    }
}

#[test]
fn the_limit_depth_is_enforced() {
    let nested = |levels| (0..levels).fold(Value::from(7), |value, _| Value::Array(vec![value]));
    // The deepest value that arrives, within the list of arguments that it stands in.
    for (dialect, deepest) in [(Dialect::CapnWeb, 18), (Dialect::Capnode, 18), (Dialect::Q, 18)] {
        let mut two = Two::new(dialect, |limits| limits.depth = 20);
        assert_eq!(two.echo(nested(deepest)).unwrap(), nested(deepest), "{dialect:?}");
        two.goes_on();
        two.begin("echo", nested(deepest + 1));
        two.settle();
        assert!(two.there().closed().is_some(), "{dialect:?}");
        ended_by(two.there(), "depth");
    }
}

#[test]
fn the_limit_string_bytes_is_enforced() {
    counted("string_bytes", &ALL, 100, |two, bytes| two.begin("echo", "x".repeat(bytes)));
    // The name of a property is one as well.
    counted("string_bytes", &ALL, 100, |two, bytes| {
        two.begin("echo", Value::from([("x".repeat(bytes).as_str(), 1.into())]))
    });
}

#[test]
fn the_limit_metadata_bytes_is_enforced() {
    type Make = fn(Dialect, fn(&mut Limits)) -> Two;
    // Of the side that calls, and of the one that is called. The language of the others has no metadata.
    for make in [|dialect, change| Two::calling(dialect, change), |dialect, change| Two::new(dialect, change)]
        as [Make; 2]
    {
        for past in [0, 1] {
            let mut two = make(Dialect::CapnWeb, |limits| limits.metadata_bytes = 100);
            two.goes_on();
            let call = two.index.invoke::<Value>("echo", (7,)).metadata("name", &"x".repeat(96 + past));
            let outcome = two.wait(call);
            match past {
                0 => assert_eq!(outcome.unwrap(), Value::from(7)),
                _ => assert!(outcome.unwrap_err().message().contains("`Limits::metadata_bytes`")),
            }
            two.goes_on();
        }
    }
}

#[test]
fn the_limit_bigint_chars_is_enforced() {
    counted("bigint_chars", &CAPN_WEB, 50, |two, chars| {
        two.begin("echo", Value::BigInt("9".repeat(chars).parse::<BigInt>().unwrap()))
    });
}

#[test]
fn the_limit_exports_is_enforced() {
    // Unfinished calls count.
    counted("exports", &CAPN_WEB, 5, |two, count| (0..count).for_each(|_| two.begin("wait", 1)));
    // So does what an answer lends, at once.
    for (made, passes) in [(4, true), (5, false)] {
        let mut two = Two::new(Dialect::CapnWeb, |limits| limits.exports = 4);
        let _call = started(two.index.invoke::<Vec<Cap>>("many", (made,)));
        two.settle();
        if passes { assert!(two.there().closed().is_none()) } else { ended_by(two.there(), "exports") }
    }
    // Also an answer that is pulled.
    let mut peer = accepting_within(offered(), limits(|limits| limits.exports = 4));
    (0..4).for_each(|_| peer.receive(r#"["pull",0]"#));
    assert!(peer.core().closed().is_none());
    peer.receive(r#"["pull",0]"#);
    ended_by(peer.core(), "exports");
    for dialect in [Dialect::Capnode, Dialect::Q] {
        let mut two = Two::new(dialect, |limits| limits.exports = 20);
        for _ in 0..50 {
            let made = two.wait(two.index.invoke::<Cap>("make", ())).unwrap();
            two.held.push(made);
        }
        let tables = two.there().report().tables;
        assert!(tables.evicted >= 29 && tables.exports <= 26, "{dialect:?}: {tables:?}");
        let (first, last) = (two.held[0].clone(), two.held[49].clone());
        assert!(two.wait(first.apply::<u8>(())).is_err(), "the oldest was forgotten");
        assert_eq!(two.wait(last.apply::<u8>(())).unwrap(), 1);
        two.goes_on();
    }
}

#[test]
fn the_limit_imports_is_enforced() {
    counted("imports", &ALL, 5, |two, count| {
        for _ in 0..count {
            let function = Func::<fn() -> u8>::new(|| async { 1 });
            let _call = started(two.index.invoke::<()>("keep", (function.cap().clone(),)));
            two.settle();
        }
    });
}

#[test]
fn calls() {
    for dialect in ALL {
        let mut two = Two::calling(dialect, |limits| limits.calls = 5);
        // In one of the languages the index is asked for by a call.
        assert_eq!(two.here().report().tables.calls, 0);
        (0..5).for_each(|_| two.begin("wait", 1));
        let mut call = two.index.invoke::<Value>("wait", (1,));
        let Poll::Ready(Err(error)) = poll(&mut call) else { panic!("there is no room for it") };
        assert_eq!((error.limit(), error.fate()), (Some(LimitKind::Calls), Fate::NotSent));
        two.settle();
        assert_eq!(two.there().report().tables.running, 5);
        assert!(two.here().closed().is_none());
    }
}

#[test]
fn running_calls() {
    for dialect in ALL {
        let mut two = Two::new(dialect, |limits| limits.running_calls = 5);
        (0..5).for_each(|_| two.begin("wait", 1));
        two.settle();
        assert_eq!((two.there().report().tables.running, two.there().report().parked_calls), (5, 0));
        two.begin("echo", 1);
        two.settle();
        assert_eq!(two.there().report().parked_calls, 1);
        assert!(two.there().closed().is_none());
    }
    for (calls, passes) in [(5, true), (6, false)] {
        let there = limited(|limits| limits.running_calls = 5);
        let all = vec![r#"["pipeline",0,["wait"],[1]]"#; calls].join(",");
        there.receive(&format!(r#"["push",[[{all}]]]"#));
        if passes {
            assert!(there.closed().is_none())
        } else {
            ended_by(&there, "running_calls")
        }

        let here = Core::builder().limits(limits(|limits| limits.running_calls = 5)).connecting(offered());
        let mut call = started(here.index::<Cap>().invoke::<Value>("ask", ()));
        here.receive(&format!(r#"["resolve",1,[[{all}]]]"#));
        match poll(&mut call) {
            Poll::Pending => assert!(passes),
            Poll::Ready(outcome) => {
                let error = outcome.unwrap_err();
                let seen = (error.limit(), error.fate(), error.fault());
                assert_eq!(seen, (Some(LimitKind::RunningCalls), Fate::Answered, capnode::Fault::Peer));
                assert!(!passes && here.closed().is_none());
            }
        }
    }
}

#[test]
fn the_limit_parked_bytes_is_enforced() {
    measured(
        "parked_bytes",
        |limits| limits.running_calls = 1,
        |two| {
            (0..4).for_each(|_| two.begin("wait", "x".repeat(100)));
            two.settle();
        },
        |core| core.report().parked_bytes,
    );
}

#[test]
fn call_bytes() {
    measured(
        "call_bytes",
        |_| {},
        |two| {
            (0..4).for_each(|_| two.begin("wait", "x".repeat(300)));
            two.settle();
        },
        |core| core.report().call_bytes,
    );
}

/// Frames that make a running call of `wait` unfold some 8,000 bytes, and one that echoes.
fn unfolding(core: &Core, dialect: Dialect) -> Vec<String> {
    if dialect == Dialect::CapnWeb {
        let ones = vec!["1"; 500].join(",");
        let results = [r#"["pipeline",1]"#; 8].join(",");
        return vec![
            format!(r#"["push",["pipeline",0,["echo"],[[[{ones}]]]]]"#),
            format!(r#"["stream",["pipeline",0,["wait"],[[[{results}]]]]]"#),
        ];
    }
    let ones = vec!["1"; 500].join(",");
    match dialect {
        Dialect::Q => {
            let again = [r#"{"$":"/1/0/0"}"#; 7].join(",");
            vec![format!(
                r#"{{"type":"send","to":"","from":"w","op":"post","args":["wait",[[[{ones}],{again}]]]}}"#
            )]
        }
        _ => {
            core.receive(r#"{"type":"index","methodId":"i"}"#);
            let index = std::iter::from_fn(|| core.next_frame()).last().expect("the index");
            let wait = index.split("\"wait\":{\"type\":1,\"id\":").nth(1).expect("it has `wait`");
            let number: usize = wait.split('}').next().unwrap().parse().unwrap();
            let links: Vec<_> = index.split('"').filter(|part| part.len() == 32).collect();
            // The first link is the record of the index.
            let method = links[number - 1];
            let list = [r#"{"type":2,"id":2}"#; 8].join(",");
            let links = format!(r#"[{{"type":2,"id":1}}],[{list}],[{ones}]"#);
            vec![format!(
                r#"{{"type":"invocation","methodId":"{method}","replyId":"w","arguments":{{"links":[{links}],"value":{{"type":2,"id":0}}}}}}"#
            )]
        }
    }
}

#[test]
fn what_is_unfolded_for_a_running_call_counts_while_it_runs() {
    /// Lists in lists, with nothing shared.
    #[derive(Debug, serde::Deserialize, serde::Serialize)]
    #[serde(untagged)]
    enum Tree {
        One(u32),
        Many(Vec<Tree>),
    }

    for dialect in ALL {
        let gate = Log::default();
        let waits = gate.clone();
        let wait = Func::<fn(Tree)>::new(move |tree: Tree| {
            let waits = waits.clone();
            async move {
                waits.gate().await;
                drop(tree);
            }
        });
        let echo = Func::<fn(Value) -> Value>::new(|value: Value| async move { value });
        let offered = capnode::Object::new().with("wait", wait).with("echo", echo);
        let core = Core::builder().limits(Limits::default()).accepting(offered.clone());
        for frame in unfolding(&core, dialect) {
            core.receive(&frame);
        }
        let mut handlers = core.handlers();
        handlers.retain_mut(|handler| poll(handler).is_pending());
        let bytes = core.report().call_bytes;
        // Of calls in the arguments it counts when they return, and again as it is read.
        let (most, limit) = if dialect == Dialect::CapnWeb { (26_000, 18_000) } else { (14_000, 8_000) };
        assert!((8_000..most).contains(&bytes), "{dialect:?}: {bytes}");
        gate.open();
        handlers.retain_mut(|handler| poll(handler).is_pending());
        assert_eq!((handlers.len(), core.report().call_bytes), (0, 0), "{dialect:?}");

        let core = Core::builder().limits(limits(|limits| limits.call_bytes = limit)).accepting(offered);
        for frame in unfolding(&core, dialect) {
            core.receive(&frame);
        }
        let mut handlers = core.handlers();
        handlers.retain_mut(|handler| poll(handler).is_pending());
        ended_by(&core, "call_bytes");
    }
}

#[test]
fn kept_bytes() {
    let act = |two: &mut Two| {
        let echo = |text: &str| two.index.invoke::<Value>("echo", (text,)).pipeline_cap();
        let kept = [echo("first"), echo("second")];
        two.settle();
        let last = kept[1].read::<Value>();
        let outcome = two.wait(last);
        two.held.extend(kept);
        outcome
    };
    let mut two = Two::new(Dialect::CapnWeb, |_| {});
    assert_eq!(act(&mut two).unwrap(), Value::from("second"));
    let all = two.there().report().kept_bytes;
    let mut two = Two::new(Dialect::CapnWeb, |limits| limits.kept_bytes = all);
    assert_eq!(act(&mut two).unwrap(), Value::from("second"));
    let mut two = Two::new(Dialect::CapnWeb, |limits| limits.kept_bytes = all - 1);
    let error = act(&mut two).unwrap_err();
    assert!(error.message().contains("bytes of results are not released"), "{error}");
    two.goes_on();
}

#[test]
fn the_limit_unwritten_bytes_soft_is_enforced() {
    for dialect in ALL {
        let mut two = Two::calling(dialect, |_| {});
        two.begin("wait", 1);
        let one = two.here().report().unwritten_bytes;
        let (mut sent, mut waited) = (false, false);
        // Names are not always of the same length.
        for soft in one - 5..one + 5 {
            let mut two = Two::calling(dialect, |limits| limits.unwritten_bytes_soft = soft);
            two.begin("wait", 1);
            let room = two.here().report().unwritten_bytes < soft;
            two.begin("wait", 1);
            assert_eq!(two.here().tables().calls, if room { 2 } else { 1 }, "{dialect:?}");
            assert_eq!(std::iter::from_fn(|| two.here().next_frame()).count(), 2, "{dialect:?}");
            sent |= room;
            waited |= !room;
        }
        assert!(sent && waited);
    }
}

#[test]
fn the_limit_unwritten_bytes_hard_is_enforced() {
    measured(
        "unwritten_bytes_hard",
        |_| {},
        |two| {
            // No answer is read.
            (0..4).for_each(|_| two.begin("echo", "x".repeat(100)));
            while let Some(frame) = two.here().next_frame() {
                two.there().receive(&frame);
            }
        },
        |core| core.report().unwritten_bytes,
    );
}

#[test]
fn the_limit_promise_depth_is_enforced() {
    for (promises, passes) in [(3, true), (4, false)] {
        let there = limited(|limits| limits.promise_depth = 3);
        there.receive(r#"["stream",["pipeline",0,["echo"],[["promise",-1]]]]"#);
        let handlers = there.handlers();
        for id in 1..promises {
            there.receive(&format!(r#"["resolve",-{id},[[["promise",-{}]]]]"#, id + 1));
        }
        there.receive(&format!(r#"["resolve",-{promises},7]"#));
        let answer = answer(&there, handlers);
        assert_eq!(answer.starts_with(r#"["resolve",1"#), passes, "{answer}");
        assert!(passes || answer.contains("a promise in a promise, more than 3 times"), "{answer}");
        assert!(there.closed().is_none());
    }
}

#[test]
fn the_limit_unfolded_bytes_is_enforced() {
    // Resolutions of promises.
    let result = r#"[[["pipeline",1],["pipeline",1],["pipeline",1]]]"#;
    let value = format!(r#""{}""#, "x".repeat(100));
    let outer = result.len() + 3 * 32;
    for (limit, passes) in [(outer + 3 * value.len(), true), (outer + 3 * value.len() - 1, false)] {
        let there = limited(|limits| limits.unfolded_bytes = limit);
        there.receive(&format!(r#"["push",{value}]"#));
        there.receive(&format!(r#"["stream",{result}]"#));
        let handlers = there.handlers();
        let answer = answer(&there, handlers);
        assert_eq!(answer.starts_with(r#"["resolve",2"#), passes, "{answer}");
        assert!(there.closed().is_none());
    }
    // Shared values, read as if they stood in each place.
    for dialect in [Dialect::Capnode, Dialect::Q] {
        let shared = || {
            let mut graph = GraphBuilder::new();
            let (all, row) = (graph.node(), graph.node());
            graph.set(&row, &[1, 2, 3]).unwrap();
            graph.set(&all, &vec![row.clone(); 4]).unwrap();
            graph.finish(all).unwrap()
        };
        let fails = |limit: usize| {
            let mut two = Two::new(dialect, |limits| limits.unfolded_bytes = limit);
            let outcome = two.wait(two.index.invoke::<usize>("rows", (shared(),)));
            assert!(two.there().closed().is_none());
            if let Ok(rows) = &outcome {
                assert_eq!(*rows, 4);
            }
            outcome.is_err()
        };
        // Each of the four counts, its text and what a node costs.
        let rows = 4 * ("[[1,2,3]]".len() + 32);
        let smallest = (0..2_000).find(|limit| !fails(*limit)).expect("enough");
        assert!((rows..rows + 100).contains(&smallest), "{dialect:?}: {smallest}, of {rows}");
    }
}

#[test]
fn cancels_per_second() {
    let storm = |two: &mut Two, count: usize| {
        (0..count).for_each(|_| two.begin("wait", 1));
        two.settle();
        two.calls.clear();
        two.settle();
    };
    counted("cancels_per_second", &CAPN_WEB, 5, storm);
    let mut two = Two::new(Dialect::CapnWeb, |limits| limits.cancels_per_second = 5);
    storm(&mut two, 5);
    two.there().tick(Duration::from_secs(1));
    storm(&mut two, 5);
    assert_eq!(two.there().report().cancels, 10);
    two.goes_on();
}

#[test]
fn an_honest_burst_passes() {
    let mut two = Two::new(Dialect::CapnWeb, |_| {});
    (0..500).for_each(|_| two.begin("wait", 1));
    two.settle();
    two.calls.clear();
    two.settle();
    assert_eq!(two.there().report().cancels, 500);
    for dialect in ALL {
        let mut two = Two::new(dialect, |_| {});
        (0..1_000).for_each(|number| two.begin("echo", number));
        two.settle();
        assert!(two.calls.iter_mut().all(|call| matches!(poll(call), Poll::Ready(Ok(_)))), "{dialect:?}");
        two.goes_on();
    }
}

#[test]
fn the_limit_stray_ids_per_second_is_enforced() {
    let strays = |two: &mut Two, count: usize| {
        (0..count).for_each(|number| two.there().receive(&format!(r#"["resolve",{},1]"#, 90 + number)));
    };
    counted("stray_ids_per_second", &CAPN_WEB, 5, strays);
    // References lent under ids with gaps.
    let there = limited(|limits| limits.stray_ids_per_second = 5);
    for number in 1..=6 {
        assert!(there.closed().is_none());
        there.receive(&format!(r#"["stream",["pipeline",0,["keep"],[["export",-{}]]]]"#, number * 10));
    }
    ended_by(&there, "stray_ids_per_second");
}

#[test]
fn the_limit_frames_per_second_is_enforced() {
    for dialect in ALL {
        for past in [0, 1] {
            let mut two = Two::new(dialect, |limits| limits.frames_per_second = Some(20));
            assert_eq!(two.echo(7).unwrap(), Value::from(7));
            let before = two.there().report().frames;
            // As many as it can be, however many there were.
            two.there().tick(Duration::from_secs(1));
            (0..20 + past).for_each(|_| two.begin("wait", 1));
            two.settle();
            if past == 0 {
                assert!(two.there().closed().is_none(), "{dialect:?}: {:?}", two.there().closed());
                assert_eq!(two.there().report().frames, before + 20);
            } else {
                ended_by(two.there(), "frames_per_second");
            }
        }
    }
}

const IDLE: Duration = Duration::from_secs(100);
const MOMENT: Duration = Duration::from_millis(1);

#[test]
fn the_limit_idle_is_enforced() {
    for dialect in ALL {
        let mut two = Two::new(dialect, |limits| {
            limits.idle = Some(IDLE);
            limits.probe = None;
        });
        let start = Duration::from_secs(7);
        two.there().tick(start);
        two.goes_on();
        two.there().tick(start + IDLE - MOMENT);
        assert!(two.there().closed().is_none());
        // A call that runs is something that goes on.
        two.begin("wait", 1);
        two.settle();
        two.there().tick(start + 5 * IDLE);
        assert!(two.there().closed().is_none(), "{dialect:?}: {:?}", two.there().closed());
        if dialect == Dialect::CapnWeb {
            two.calls.clear();
            two.settle();
            two.there().tick(start + 6 * IDLE - MOMENT);
            assert!(two.there().closed().is_none());
            two.there().tick(start + 6 * IDLE);
            ended_by(two.there(), "idle");
        }
        let mut two = Two::new(dialect, |limits| {
            limits.idle = Some(IDLE);
            limits.probe = None;
        });
        two.settle();
        two.there().tick(IDLE - MOMENT);
        assert!(two.there().closed().is_none());
        two.there().tick(IDLE);
        // Also of those who have been lent something and never say whether they need it still.
        ended_by(two.there(), "idle");
    }
}

#[test]
fn signs_of_life_are_not_something_going_on() {
    for dialect in [Dialect::CapnWeb, Dialect::Q] {
        let mut two = Two::new(dialect, |limits| {
            limits.idle = Some(IDLE);
            limits.probe = Some(IDLE / 4);
        });
        two.goes_on();
        for quarter in 1..4 {
            two.there().tick(IDLE / 4 * quarter);
            two.here().tick(IDLE / 4 * quarter);
            two.settle();
            assert!(two.there().closed().is_none());
            assert_eq!(two.there().report().quiet, Duration::ZERO);
        }
        two.there().tick(IDLE);
        ended_by(two.there(), "idle");
    }
}

#[test]
fn the_limit_probe_is_enforced() {
    let probe = Duration::from_secs(10);
    for dialect in [Dialect::CapnWeb, Dialect::Q] {
        let mut two = Two::new(dialect, |limits| limits.probe = Some(probe));
        two.goes_on();
        assert_eq!(two.there().tick(probe - MOMENT), Some(probe));
        assert_eq!(two.there().next_frame(), None);
        // A peer that answers lives on.
        two.there().tick(probe);
        two.settle();
        two.there().tick(2 * probe);
        assert!(two.there().closed().is_none());
        two.goes_on();
        assert_eq!(two.there().report().tables.calls, 0);
        // A peer that does not has as long again.
        two.there().tick(3 * probe);
        assert!(two.there().next_frame().is_some(), "it was asked");
        two.there().tick(4 * probe - MOMENT);
        assert!(two.there().closed().is_none());
        two.there().tick(4 * probe);
        ended_by(two.there(), "probe");
        assert_eq!(two.there().closed().unwrap().kind(), ErrorKind::Disconnected);
    }
    let mut two = Two::new(Dialect::Capnode, |limits| limits.probe = Some(probe));
    two.goes_on();
    for round in 1..10 {
        two.there().tick(probe * round);
        assert_eq!(two.there().next_frame(), None, "there is nothing to ask with");
    }
    two.goes_on();
}

#[test]
fn call_timeout() {
    let limit = Duration::from_secs(10);
    for dialect in ALL {
        let mut two = Two::calling(dialect, |limits| {
            limits.call_timeout = Some(limit);
            limits.probe = None;
        });
        two.goes_on();
        let mut call = started(two.index.invoke::<Value>("wait", (1,)));
        two.settle();
        two.here().tick(limit - MOMENT);
        assert!(poll(&mut call).is_pending());
        two.here().tick(limit);
        match (dialect, poll(&mut call)) {
            (Dialect::CapnWeb, Poll::Pending) => {}
            (Dialect::Capnode | Dialect::Q, Poll::Ready(Err(error))) => {
                assert_eq!(error.kind(), ErrorKind::Timeout);
                assert_eq!((error.limit(), error.fate()), (Some(LimitKind::CallTimeout), Fate::MayHaveRun));
            }
            (_, other) => panic!("{dialect:?}: {other:?}"),
        }
        two.goes_on();
    }
}

#[test]
fn a_long_name_counts_as_long_as_it_is() {
    let name = "x".repeat(1_000);
    // Of calls that wait.
    let there = limited(|limits| limits.call_bytes = 10_000);
    there.receive(r#"["push",["pipeline",0,["wait"],[1]]]"#);
    let _handlers = there.handlers();
    for _ in 0..20 {
        there.receive(&format!(r#"["push",["pipeline",1,["{name}"]]]"#));
    }
    ended_by(&there, "call_bytes");
    // Of what a result refers to.
    let there = Core::accepting(offered());
    there.receive(&format!(r#"["push",[[["import",0,["{name}"]]]]]"#));
    assert!(there.report().kept_bytes >= 1_000, "{:?}", there.report());
}

#[test]
fn what_comes_with_an_error_counts_as_a_result() {
    let fails = Func::<fn(Func<fn() -> u8>) -> Result<u8, Error>>::fallible(
        |callback: Func<fn() -> u8>| async move { callback.call().await },
    );
    let there = Core::accepting(Object::new().with("pass", fails));
    there.receive(r#"["push",["pipeline",0,["pass"],[["export",-1]]]]"#);
    let mut handlers = there.handlers();
    while there.next_frame().is_some() {}
    let rest = "x".repeat(1_000);
    there.receive(&format!(r#"["reject",1,["error","Error","no",null,{{"rest":"{rest}"}}]]"#));
    handlers.retain_mut(|handler| poll(handler).is_pending());
    assert!(handlers.is_empty() && there.closed().is_none(), "{:?}", there.closed());
    assert!(there.report().kept_bytes >= 1_000, "{:?}", there.report());
}

#[test]
fn a_frame_of_no_known_dialect_counts_as_a_frame() {
    let there = limited(|limits| limits.frames_per_second = Some(5));
    (0..5).for_each(|_| there.receive(r#"{"type":"nothing"}"#));
    assert!(there.closed().is_none());
    there.receive(r#"{"type":"nothing"}"#);
    ended_by(&there, "frames_per_second");
}

#[test]
fn the_longest_timeout_never_ends_and_none_is_checked_all_the_time() {
    for dialect in ALL {
        let never = |limits: &mut Limits| {
            let all = Some(Duration::MAX);
            (limits.idle, limits.probe, limits.call_timeout) = (all, all, all);
        };
        let mut two = Two::calling(dialect, never);
        two.begin("wait", 1);
        assert_eq!(two.here().tick(Duration::from_secs(1 << 40)), Some(Duration::MAX));
        // And the shortest is not all the time.
        let mut two = Two::calling(dialect, |limits| limits.call_timeout = Some(Duration::ZERO));
        two.begin("wait", 1);
        let now = Duration::from_secs(5);
        assert!(two.here().tick(now).is_some_and(|next| next > now));
    }
}

/// A core with one running call, which is the limit, and one parked that waits for `promises` of the peer.
fn parked(promises: usize, change: impl FnOnce(&mut Limits)) -> Core {
    let core = limited(|limits| {
        limits.running_calls = 1;
        change(limits);
    });
    core.receive(r#"["push",["pipeline",0,["wait"],[1]]]"#);
    let list: Vec<_> = (1..=promises).map(|id| format!(r#"["promise",-{id}]"#)).collect();
    core.receive(&format!(r#"["push",["pipeline",0,["echo"],[[[{}]]]]]"#, list.join(",")));
    assert_eq!(core.tables().running, 2);
    core
}

#[test]
fn what_promises_turn_out_to_be_counts_while_the_call_is_parked() {
    let text = "x".repeat(6_000);
    let core = parked(2, |limits| limits.call_bytes = 10_000);
    core.receive(&format!(r#"["resolve",-1,"{text}"]"#));
    assert!(core.closed().is_none());
    core.receive(&format!(r#"["resolve",-2,"{text}"]"#));
    ended_by(&core, "call_bytes");
    // Calls that were given up count no longer.
    let core = parked(1, |limits| limits.call_bytes = 10_000);
    core.receive(&format!(r#"["resolve",-1,"{text}"]"#));
    core.receive(r#"["pull",2]"#);
    core.receive(r#"["release",2,1]"#);
    core.receive(r#"["push",["pipeline",0,["echo"],[[[["promise",-2]]]]]]"#);
    core.receive(&format!(r#"["resolve",-2,"{text}"]"#));
    assert!(core.closed().is_none(), "{:?}", core.closed());
    // The rest of the frame is not kept.
    let core = parked(2, |limits| limits.call_bytes = 10_000);
    core.receive(&format!(r#"["resolve",-1,7{}]"#, " ".repeat(20_000)));
    assert!(core.closed().is_none(), "{:?}", core.closed());
}

#[test]
fn requests_in_the_arguments_of_a_call_count_for_what_they_take() {
    let waits = |count: usize| vec![r#"["pipeline",0,["wait"],[1]]"#; count].join(",");
    for (count, stands) in [(6, true), (20, false)] {
        let core = limited(|limits| limits.call_bytes = 10_000);
        let call = format!(r#"["push",["pipeline",0,["echo"],[[[{}]]]]]"#, waits(count));
        assert!(call.len() < 2_000);
        core.receive(&call);
        assert_eq!(core.closed().is_none(), stands, "{count} calls");
        if !stands {
            ended_by(&core, "call_bytes");
        }
    }
}

/// A configuration may say 0, and mean no limit.
#[test]
fn a_limit_out_of_its_range_counts_as_the_nearest_in_it() {
    let zero = r#"{"node_bytes":0,"frame_bytes":0,"depth":0,"string_bytes":0,"exports":0,"running_calls":0,
        "call_bytes":0,"unwritten_bytes_hard":0,"silence":0,"idle":0,"probe":0}"#;
    // In Capnode an index of six functions takes more.
    for dialect in [Dialect::CapnWeb, Dialect::Q] {
        let mut two = Two::new(dialect, |limits| *limits = serde_json::from_str(zero).unwrap());
        two.goes_on();
        two.there().tick(MOMENT);
        two.goes_on();
        assert_eq!(two.there().report().limits.frame_bytes, 256);
        let deep = Limits::default().depth(usize::MAX).promise_depth(usize::MAX);
        let two = Two::new(dialect, |limits| *limits = deep);
        assert_eq!(two.there().report().limits, Limits::default());
    }
}
