//! Has a peer make a session hold `SIZE` of something, and then send as many messages, so that callgrind can count what it
//! costs: `CASE SIZE`, or `--list`. The work of each message must not depend on how much is held, so four times the size
//! may cost about four times as much. `.ci/work` looks whether it does.
//!
//! The bytes that the session received are written to standard output.

use std::future::Future;
use std::hint::black_box;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use capnode::sans_io::{Core, Handler};
use capnode::{Cap, Dialect, Func, Limits, Object, OnBroken, Value};

fn poll<F: Future + Unpin>(future: &mut F) -> Poll<F::Output> {
    Pin::new(future).poll(&mut Context::from_waker(Waker::noop()))
}

/// A session whose peer says what the case tells it to.
struct Session {
    core: Core,
    handlers: Vec<Handler>,
    bytes: usize,
}

fn limits() -> Limits {
    let mut limits = Limits::default();
    limits.cancels_per_second = u32::MAX;
    limits.stray_ids_per_second = u32::MAX;
    limits
}

/// The functions that the peer may call.
fn offered() -> Object {
    Object::new()
        .with("echo", Func::<fn(Value) -> Value>::new(|value: Value| async move { value }))
        .with("ignore", Func::<fn()>::new(|| async {}))
        .with(
            "never",
            Func::<fn(Value)>::new(|value: Value| async move {
                std::future::pending::<()>().await;
                drop(value);
            }),
        )
        .with(
            "make",
            Func::<fn() -> Cap>::new(|| async {
                Object::new().with("ignore", Func::<fn()>::new(|| async {})).cap()
            }),
        )
}

impl Session {
    fn of(core: Core) -> Self {
        Self { core, handlers: Vec::new(), bytes: 0 }
    }

    fn accepting() -> Self {
        Self::within(limits())
    }

    fn within(limits: Limits) -> Self {
        Self::of(Core::builder().limits(limits).accepting(offered()))
    }

    fn connecting(dialect: Dialect) -> Self {
        let session = Self::of(Core::builder().limits(limits()).dialect(dialect).connecting(()));
        while session.core.next_frame().is_some() {}
        session
    }

    /// The peer says something, and what comes of it is written.
    fn say(&mut self, frame: &str) {
        self.bytes += frame.len();
        self.core.receive(black_box(frame));
        if let Some(error) = self.core.closed() {
            panic!("the session has ended: {error}");
        }
        self.handlers.extend(self.core.handlers());
        while let Some(frame) = self.core.next_frame() {
            black_box(frame);
        }
    }

    /// Lets what runs go on, as a runtime would that is told by nobody.
    fn run(&mut self) {
        self.handlers.extend(self.core.handlers());
        self.handlers.retain_mut(|handler| poll(handler).is_pending());
        while let Some(frame) = self.core.next_frame() {
            black_box(frame);
        }
    }

    /// The ids of what is in the index of Capnode, by name.
    fn capnode_method(&mut self, name: &str) -> String {
        self.bytes = 0;
        self.core.receive(r#"{"type":"index","methodId":"i"}"#);
        let index = std::iter::from_fn(|| self.core.next_frame()).last().expect("an index");
        let place = format!("\"{name}\":{{\"type\":1,\"id\":");
        let after = index.split(place.as_str()).nth(1).expect("the method");
        let number: usize = after.split('}').next().and_then(|number| number.parse().ok()).expect("a number");
        let ids: Vec<_> = index.split('"').filter(|part| part.len() == 32).collect();
        ids[number - 1].to_owned()
    }
}

/// From the middle outwards, so that it is neither the first nor the last of what is left.
fn inside_out(count: usize) -> impl Iterator<Item = usize> {
    let middle = count / 2;
    (0..count).map(move |at| if at % 2 == 0 { middle + at / 2 } else { middle - 1 - at / 2 })
}

fn list(count: usize, part: impl Fn(usize) -> String) -> String {
    (0..count).map(part).collect::<Vec<_>>().join(",")
}

const STREAM_IGNORE: &str = r#"["stream",["pipeline",0,["ignore"],[]]]"#;

/// A name, and what is done with so much.
type Case = (&'static str, fn(usize) -> Session);

const CASES: &[Case] = &[
    ("calls", |size| {
        let mut session = Session::accepting();
        (0..size).for_each(|_| session.say(STREAM_IGNORE));
        session
    }),
    ("calls whose results are given back", |size| {
        let mut session = Session::accepting();
        (0..size).for_each(|_| session.say(r#"["push",["pipeline",0,["ignore"],[]]]"#));
        for at in inside_out(size) {
            session.say(&format!(r#"["pull",{}]"#, at + 1));
        }
        for at in 0..size {
            session.say(&format!(r#"["release",{},1]"#, at + 1));
        }
        session
    }),
    ("calls that are given up", |size| {
        let mut limits = limits();
        limits.running_calls = usize::MAX >> 8;
        let mut session = Session::within(limits);
        (0..size).for_each(|_| session.say(r#"["push",["pipeline",0,["never"],[1]]]"#));
        for at in inside_out(size) {
            session.say(&format!(r#"["pull",{}]"#, at + 1));
            session.core.receive(&format!(r#"["release",{},1]"#, at + 1));
        }
        session
    }),
    ("parked calls that are given up", |size| {
        let mut limits = limits();
        limits.running_calls = 1;
        let mut session = Session::within(limits);
        (0..size).for_each(|_| session.say(r#"["push",["pipeline",0,["never"],[1]]]"#));
        for at in inside_out(size) {
            if at > 0 {
                session.say(&format!(r#"["pull",{}]"#, at + 1));
                session.core.receive(&format!(r#"["release",{},1]"#, at + 1));
            }
        }
        session
    }),
    ("parked calls that run in their turn", |size| {
        let mut limits = limits();
        limits.running_calls = 1;
        let mut session = Session::within(limits);
        session.say(r#"["push",["pipeline",0,["never"],[1]]]"#);
        (0..size).for_each(|_| session.say(STREAM_IGNORE));
        session.say(r#"["pull",1]"#);
        session.core.receive(r#"["release",1,1]"#);
        session.run();
        session
    }),
    ("promises in one call", |size| {
        let mut session = Session::accepting();
        let promises = list(size, |at| format!(r#"["promise",-{}]"#, at + 1));
        session.say(&format!(r#"["push",["pipeline",0,["echo"],[[[{promises}]]]]]"#));
        let waker = Waker::noop();
        // A task is polled when it is woken, which each of the outcomes does.
        for at in inside_out(size) {
            session.say(&format!(r#"["resolve",-{},1]"#, at + 1));
            for handler in &mut session.handlers {
                let _pending = Pin::new(handler).poll(&mut Context::from_waker(waker));
            }
        }
        session
    }),
    ("promises in calls of their own", |size| {
        let mut limits = limits();
        limits.running_calls = usize::MAX >> 8;
        let mut session = Session::within(limits);
        for at in 0..size {
            session.say(&format!(r#"["stream",["pipeline",0,["echo"],[["promise",-{}]]]]"#, at + 1));
        }
        for at in inside_out(size) {
            session.say(&format!(r#"["resolve",-{},1]"#, at + 1));
        }
        session.run();
        session
    }),
    ("references that are lent and kept", |size| {
        let mut limits = limits();
        limits.running_calls = usize::MAX >> 8;
        let mut session = Session::within(limits);
        for at in 0..size {
            session.say(&format!(r#"["push",["pipeline",0,["never"],[["export",-{}]]]]"#, at + 1));
        }
        for at in inside_out(size) {
            session.say(&format!(r#"["pull",{}]"#, at + 1));
            session.core.receive(&format!(r#"["release",{},1]"#, at + 1));
        }
        session
    }),
    ("marks, with much lent", |size| {
        let mut session = Session::accepting();
        let lent = list(size, |at| format!(r#"["export",-{}]"#, at + 1));
        session.say(&format!(r#"["push",["pipeline",0,["never"],[[[{lent}]]]]]"#));
        (0..size).for_each(|_| session.say(r#"["release",0,0]"#));
        (0..size).for_each(|_| session.core.receive(r#"["release",0,0,"capnode"]"#));
        session
    }),
    ("calls, with much lent", |size| {
        let mut session = Session::accepting();
        let lent = list(size, |at| format!(r#"["export",-{}]"#, at + 1));
        session.say(&format!(r#"["push",["pipeline",0,["never"],[[[{lent}]]]]]"#));
        (0..size).for_each(|_| session.say(STREAM_IGNORE));
        session
    }),
    ("objects that are made and given back", |size| {
        let mut session = Session::accepting();
        (0..size).for_each(|_| session.say(r#"["stream",["pipeline",0,["make"],[]]]"#));
        for at in inside_out(size) {
            session.say(&format!(r#"["release",-{},1]"#, at + 1));
        }
        session
    }),
    ("a chain of calls on results", |size| {
        let mut session = Session::accepting();
        session.say(r#"["push",["pipeline",0,["make"],[]]]"#);
        for at in 1..size {
            session.say(&format!(r#"["push",["pipeline",{at},["ignore"],[]]]"#));
        }
        session
    }),
    ("calls on a result that is not there", |size| {
        let mut limits = limits();
        limits.running_calls = usize::MAX >> 8;
        let mut session = Session::within(limits);
        session.say(r#"["push",["pipeline",0,["never"],[1]]]"#);
        (0..size).for_each(|_| session.say(r#"["push",["pipeline",1,["x"],[]]]"#));
        for at in inside_out(size) {
            session.say(&format!(r#"["pull",{}]"#, at + 2));
            session.core.receive(&format!(r#"["release",{},1]"#, at + 2));
        }
        session
    }),
    ("one result used many times", |size| {
        let mut limits = limits();
        limits.running_calls = usize::MAX >> 8;
        let mut session = Session::within(limits);
        session.say(r#"["push",["pipeline",0,["never"],[1]]]"#);
        let uses = list(size, |_| r#"["import",1]"#.to_owned());
        session.say(&format!(r#"["push",["pipeline",0,["never"],[[[{uses}]]]]]"#));
        (0..size).for_each(|_| session.say(r#"["stream",["pipeline",0,["ignore"],[["import",1]]]]"#));
        session
    }),
    ("members of a large result", |size| {
        let mut session = Session::accepting();
        let members = list(size, |at| format!(r#""member{at}":{at}"#));
        session.say(&format!(r#"["push",["pipeline",0,["echo"],[{{{members}}}]]]"#));
        for at in inside_out(size) {
            session.say(&format!(r#"["stream",["pipeline",1,["member{at}"]]]"#));
        }
        (0..size).for_each(|_| session.say(r#"["stream",["pipeline",1,["missing"]]]"#));
        session
    }),
    ("elements of a large result", |size| {
        let mut session = Session::accepting();
        let elements = list(size, |at| format!(r#"{{"a":[[{at}]]}}"#));
        session.say(&format!(r#"["push",["pipeline",0,["echo"],[[[{elements}]]]]]"#));
        for at in inside_out(size) {
            session.say(&format!(r#"["stream",["pipeline",1,[{at},"a",0]]]"#));
        }
        session
    }),
    ("references in a large result", |size| {
        let mut session = Session::accepting();
        let elements = list(size, |at| format!(r#"["export",-{}]"#, at + 1));
        session.say(&format!(r#"["push",["pipeline",0,["echo"],[[[{elements}]]]]]"#));
        (0..size).for_each(|_| session.say(r#"["push",["pipeline",1,["x"],[]]]"#));
        for at in inside_out(size) {
            session.say(&format!(r#"["push",["pipeline",1,[{at}],[]]]"#));
        }
        session
    }),
    ("a large result as an argument that nobody reads", |size| {
        let mut session = Session::accepting();
        let elements = list(size, |at| format!(r#"["export",-{}]"#, at + 1));
        session.say(&format!(r#"["push",["pipeline",0,["echo"],[[[{elements}]]]]]"#));
        (0..size).for_each(|_| session.say(r#"["stream",["pipeline",0,["ignore"],[["pipeline",1]]]]"#));
        session
    }),
    ("answers that nobody asked for", |size| {
        let mut session = Session::accepting();
        (0..size).for_each(|at| session.say(&format!(r#"["resolve",{},[["export",-{}]]]"#, at + 1, at + 1)));
        session
    }),
    ("calls of ours", |size| {
        let mut session = Session::connecting(Dialect::CapnWeb);
        let peer = session.core.index::<Cap>();
        let mut calls: Vec<_> = (0..size).map(|at| peer.invoke::<u32>("x", (at as u32,))).collect();
        for call in &mut calls {
            assert!(poll(call).is_pending());
        }
        session.run();
        for at in inside_out(size) {
            session.say(&format!(r#"["resolve",{},7]"#, at + 1));
        }
        for call in &mut calls {
            assert!(poll(call).is_ready());
        }
        session
    }),
    ("calls of ours that wait for room", |size| {
        let mut limits = limits();
        limits.unwritten_bytes_soft = 1;
        let mut session =
            Session::of(Core::builder().limits(limits).dialect(Dialect::CapnWeb).connecting(()));
        let peer = session.core.index::<Cap>();
        let mut calls: Vec<_> = (0..size).map(|at| Some(peer.invoke::<u32>("x", (at as u32,)))).collect();
        for call in calls.iter_mut().flatten() {
            assert!(poll(call).is_pending());
        }
        // Half of them are given up, and wait no longer.
        for at in inside_out(size).step_by(2) {
            calls[at] = None;
        }
        session.run();
        session
    }),
    ("calls of ours that are dropped", |size| {
        let mut session = Session::connecting(Dialect::CapnWeb);
        session.core.receive(r#"["release",0,0]"#);
        session.core.receive(r#"["release",0,0,"capnode"]"#);
        let peer = session.core.index::<Cap>();
        let mut calls: Vec<_> = (0..size).map(|at| Some(peer.invoke::<u32>("x", (at as u32,)))).collect();
        for call in calls.iter_mut().flatten() {
            assert!(poll(call).is_pending());
        }
        for at in inside_out(size) {
            calls[at] = None;
            session.run();
        }
        session
    }),
    ("references of the peer's that are dropped", |size| {
        let mut session = Session::connecting(Dialect::CapnWeb);
        let peer = session.core.index::<Cap>();
        let mut held = Vec::new();
        for at in 0..size {
            let mut call = peer.invoke::<Cap>("x", ());
            assert!(poll(&mut call).is_pending());
            session.run();
            session.say(&format!(r#"["resolve",{},["export",-{}]]"#, at + 1, at + 1));
            let Poll::Ready(Ok(cap)) = poll(&mut call) else { panic!("there is no answer") };
            held.push(Some(cap));
        }
        for at in inside_out(size) {
            held[at] = None;
            session.run();
            black_box(session.core.is_idle());
        }
        session
    }),
    ("callbacks of broken references", |size| {
        let mut session = Session::connecting(Dialect::CapnWeb);
        let peer = session.core.index::<Cap>();
        let mut guards: Vec<OnBroken> = (0..size).map(|_| peer.on_broken(drop)).collect();
        for at in 0..size {
            guards[at] = peer.on_broken(drop);
            session.say(STREAM_IGNORE);
        }
        session.core.close("the end");
        drop(guards);
        session
    }),
    ("the end", |size| {
        let mut limits = limits();
        limits.running_calls = size / 2 + 1;
        let mut session = Session::within(limits);
        for at in 0..size {
            session.say(&format!(r#"["push",["pipeline",0,["never"],[["export",-{}]]]]"#, at + 1));
            session.say(&format!(r#"["push",["pipeline",{},["x"],[]]]"#, 2 * at + 1));
        }
        session.core.close("the end");
        session
    }),
    ("looks at the time, with many calls of ours", |size| {
        let mut session = Session::connecting(Dialect::Q);
        let peer = session.core.index::<Cap>();
        let mut calls: Vec<_> = (0..size).map(|at| peer.invoke::<u32>("x", (at as u32,))).collect();
        for call in &mut calls {
            assert!(poll(call).is_pending());
        }
        session.run();
        for at in 0..size {
            black_box(session.core.tick(Duration::from_millis(at as u64)));
        }
        session
    }),
    ("q: calls", |size| {
        let mut session = Session::accepting();
        for at in 0..size {
            session.say(&format!(
                r#"{{"type":"send","to":"","from":"c{at}","op":"post","args":["ignore",[]]}}"#
            ));
        }
        session
    }),
    ("q: objects that are forgotten", |size| {
        let mut limits = limits();
        limits.exports = size / 2 + 1;
        let mut session = Session::within(limits);
        for at in 0..2 * size {
            session
                .say(&format!(r#"{{"type":"send","to":"","from":"c{at}","op":"post","args":["make",[]]}}"#));
        }
        session
    }),
    ("q: steps of a path", |size| {
        let mut session = Session::connecting(Dialect::Q);
        let peer = session.core.index::<Cap>();
        let mut calls: Vec<_> =
            (0..size).map(|at| Box::pin(peer.at(&format!("a{at}")).get::<u32>("b").into_future())).collect();
        let mut cx = Context::from_waker(Waker::noop());
        for call in &mut calls {
            let _pending = call.as_mut().poll(&mut cx);
            session.run();
        }
        session
    }),
    ("q: progress", |size| {
        let mut session = Session::connecting(Dialect::Q);
        let peer = session.core.index::<Cap>();
        let mut calls: Vec<_> = (0..size).map(|at| peer.invoke::<u32>("x", (at as u32,))).collect();
        for call in &mut calls {
            assert!(poll(call).is_pending());
        }
        let frame = std::iter::from_fn(|| session.core.next_frame()).last().expect("a call");
        let id = frame.split("\"from\":\"").nth(1).and_then(|rest| rest.split('"').next()).expect("an id");
        let notify = format!(r#"{{"type":"notify","to":"{id}","resolution":1}}"#);
        (0..size).for_each(|_| session.say(&notify));
        session
    }),
    ("capnode: calls", |size| {
        let mut session = Session::accepting();
        let ignore = session.capnode_method("ignore");
        for at in 0..size {
            session.say(&format!(
                r#"{{"type":"invocation","methodId":"{ignore}","replyId":"r{at}","arguments":{{"links":[[]],"value":{{"type":2,"id":0}}}}}}"#
            ));
        }
        session
    }),
    ("capnode: indexes", |size| {
        let mut session = Session::accepting();
        (0..size).for_each(|at| session.say(&format!(r#"{{"type":"index","methodId":"i{at}"}}"#)));
        session
    }),
    ("capnode: functions that are forgotten, with calls running on some", |size| {
        let mut limits = limits();
        limits.exports = size / 2 + 1;
        limits.running_calls = usize::MAX >> 8;
        let maker = Func::<fn() -> Func<fn()>>::new(|| async { Func::<fn()>::new(std::future::pending) });
        let mut session =
            Session::of(Core::builder().limits(limits).accepting(Object::new().with("make", maker)));
        let make = session.capnode_method("make");
        for at in 0..size {
            session.bytes += 200;
            session.core.receive(&format!(
                r#"{{"type":"invocation","methodId":"{make}","replyId":"r{at}","arguments":{{"links":[[]],"value":{{"type":2,"id":0}}}}}}"#
            ));
            let made = std::iter::from_fn(|| session.core.next_frame()).last().expect("a function");
            // A call on each of the first half runs from now on.
            if at < size / 2 {
                let id = made.split('"').find(|part| part.len() == 32).expect("its id");
                session.say(&format!(
                    r#"{{"type":"invocation","methodId":"{id}","replyId":"w{at}","arguments":{{"links":[[]],"value":{{"type":2,"id":0}}}}}}"#
                ));
            }
        }
        session
    }),
    ("capnode: functions that are lent again and again", |size| {
        let mut session = Session::accepting();
        let ignore = session.capnode_method("ignore");
        for at in 0..2 * size {
            session.say(&format!(
                r#"{{"type":"invocation","methodId":"{ignore}","replyId":"r{at}","arguments":{{"links":[[{{"type":1,"id":1}}],"f{}"],"value":{{"type":2,"id":0}}}}}}"#,
                at % size
            ));
        }
        session
    }),
];

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.as_slice() {
        [list] if list == "--list" => CASES.iter().for_each(|(name, _)| println!("{name}")),
        [name, size] => {
            let size = size.parse().expect("a size");
            let case = CASES.iter().find(|(known, _)| known == name).expect("one of --list");
            let session = (case.1)(size);
            println!("{}", session.bytes);
        }
        _ => panic!("usage: CASE SIZE, or --list"),
    }
}
