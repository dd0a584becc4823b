//! The end of a session: everything ends with the one cause, and nothing is left.

use crate::harness::*;
use capnode::Call;

#[test]
fn everything_ends_with_the_one_cause() {
    let (log, mut pair, probe) = linked_probe();
    let made = pair.wait(probe.make()).unwrap();
    let mut waiting = started(made.wait(1));
    let mut on_promise = probe.make_late().pipeline().note(2);
    assert!(poll(&mut on_promise).is_pending());
    let heard = Arc::new(Mutex::new(Vec::new()));
    let hear = heard.clone();
    let _guard = made.cap().on_broken(move |error| lock(&hear).push(error));
    pair.settle();

    pair.connecting().close("cable cut");
    for call in [&mut waiting, &mut on_promise] {
        let Poll::Ready(Err(error)) = poll(call) else { panic!("it should have ended") };
        assert_eq!((error.message(), error.fate()), ("cable cut", Fate::MayHaveRun));
    }
    assert_eq!(lock(&heard)[0].message(), "cable cut");
    let Poll::Ready(Err(late)) = poll(&mut made.note(3)) else { panic!("it should fail at once") };
    assert_eq!((late.message(), late.fate()), ("cable cut", Fate::NotSent));
    assert_eq!(pair.connecting().tables(), Tables::default());

    pair.accepting().close("cable cut");
    pair.poll_handlers(Side::Accepting);
    let mut events = log.take();
    // Handlers are cancelled in no particular order.
    events.sort();
    assert_eq!(events, ["cancelled 0", "cancelled 1", "started 1"]);
    assert_eq!((pair.accepting().tables(), pair.handlers()), (Tables::default(), 0));
    assert_eq!(log.probes(), 0, "the index is not held any more either");
}

/// A call that a core has made in that language, without an answer; `never` is a method of the caller's without an end.
fn called(dialect: Dialect, log: &Log) -> (Core, Call<Value>) {
    let probe = log.probe();
    let never = Func::<fn() -> u32>::new(move || {
        let probe = probe.clone();
        async move { probe.wait(7).await.unwrap_or_default() }
    });
    let core = Core::builder().dialect(dialect).connecting(Object::new().with("never", never));
    let theirs = core.index::<Cap>();
    let call = started(theirs.invoke::<Value>("ask", ()));
    while core.next_frame().is_some() {}
    (core, call)
}

/// Counts wake-ups.
#[derive(Default)]
struct Woken(AtomicUsize);

impl std::task::Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

/// Checks that a call with an unresolved answer waits until the session ends.
#[track_caller]
fn ends_with_the_session(log: &Log, core: &Core, mut call: Call<Value>) {
    let woken = Arc::<Woken>::default();
    let waker = Waker::from(woken.clone());
    let mut cx = Context::from_waker(&waker);
    assert!(Pin::new(&mut call).poll(&mut cx).is_pending());
    let before = woken.0.load(Ordering::SeqCst);
    core.close("cable cut");
    assert!(woken.0.load(Ordering::SeqCst) > before, "the caller is told");
    let Poll::Ready(Err(error)) = Pin::new(&mut call).poll(&mut cx) else { panic!("it should have ended") };
    let seen = (error.kind(), error.message(), error.fate());
    assert_eq!(seen, (ErrorKind::Disconnected, "cable cut", Fate::MayHaveRun));
    drop((call, log.take()));
    assert_eq!(core.tables(), Tables::default());
}

#[test]
fn what_an_answer_asks_of_the_caller_ends_with_the_session() {
    let never = r#"["pipeline",0,["never"],[]]"#;
    for answer in [
        never.to_owned(),
        format!("[[1,{never}]]"),
        format!(r#"{{"inside":{never}}}"#),
        // In the arguments of another.
        format!(r#"["pipeline",0,["never"],[{never}]]"#),
    ] {
        let log = Log::default();
        let (core, call) = called(Dialect::CapnWeb, &log);
        core.receive(&format!(r#"["resolve",1,{answer}]"#));
        assert_eq!(log.take()[0], "started 7", "{answer}");
        ends_with_the_session(&log, &core, call);
    }
    // In what a promise in the answer turns out to be.
    let log = Log::default();
    let (core, call) = called(Dialect::CapnWeb, &log);
    core.receive(r#"["resolve",1,[[["promise",-1]]]]"#);
    core.receive(&format!(r#"["resolve",-1,{never}]"#));
    assert_eq!(log.take(), ["started 7"]);
    ends_with_the_session(&log, &core, call);
}

#[test]
fn a_call_whose_answer_is_taken_after_the_end_does_not_wait_for_what_is_in_it() {
    let log = Log::default();
    let (core, mut call) = called(Dialect::CapnWeb, &log);
    core.receive(r#"["resolve",1,["pipeline",0,["never"],[]]]"#);
    core.close("cable cut");
    let Poll::Ready(Err(error)) = poll(&mut call) else { panic!("it should have ended") };
    assert_eq!((error.message(), error.fate()), ("cable cut", Fate::MayHaveRun));
    assert_eq!(log.take(), ["started 7", "cancelled 7"]);
}

/// Ends the session when it is dropped.
struct Last(Arc<Core>);

impl Drop for Last {
    fn drop(&mut self) {
        self.0.close("cable cut");
    }
}

#[test]
fn an_answer_that_has_come_is_delivered_though_the_session_ends_before() {
    let limits = limits(|limits| limits.exports = 1);
    let core = Arc::new(Core::builder().limits(limits).dialect(Dialect::Q).connecting(()));
    let last = Last(core.clone());
    let index = core.index::<Cap>();
    let ends = Func::<fn()>::new(move || {
        let _last = &last;
        async {}
    });
    let mut calls = [ends, Func::new(|| async {})].map(|given| started(index.invoke::<u32>("ask", (given,))));
    let frames: Vec<_> = std::iter::from_fn(|| core.next_frame()).collect();
    let asked: serde_json::Value = serde_json::from_str(&frames[1]).unwrap();
    // It evicts the first function, and with that the session ends.
    core.receive(&format!(r#"{{"type":"resolve","to":{},"resolution":7}}"#, asked["from"]));
    assert!(core.closed().is_some());
    let [first, second] = calls.each_mut().map(poll);
    assert!(matches!((&first, &second), (Poll::Ready(Err(_)), Poll::Ready(Ok(7)))), "{first:?} {second:?}");
}

#[test]
fn what_is_not_answered_or_promised_ends_with_the_session() {
    // Only Cap'n Web has requests and promises in values. In Capnode nothing is sent before the index is there.
    for dialect in [Dialect::CapnWeb, Dialect::Q] {
        let log = Log::default();
        let (core, call) = called(dialect, &log);
        ends_with_the_session(&log, &core, call);
    }
    let log = Log::default();
    let (core, call) = called(Dialect::CapnWeb, &log);
    core.receive(r#"["resolve",1,[[["promise",-1]]]]"#);
    ends_with_the_session(&log, &core, call);
}

#[test]
fn a_guard_that_was_dropped_hears_nothing() {
    let (log, pair, probe) = linked_probe();
    let heard = log.clone();
    drop(probe.cap().on_broken(move |error| heard.push(error)));
    pair.connecting().close("cable cut");
    assert_eq!(log.take(), [""; 0]);
    let heard = log.clone();
    let _late = probe.cap().on_broken(move |error| heard.push(error));
    assert_eq!(log.take(), ["cable cut"], "what is broken already says so at once");
}

#[test]
fn a_promise_breaks_with_what_it_was_resolved_to() {
    let log = Log::default();
    let pair = connected(log.probe());
    let (promised, resolver) = ProbeClient::promise();
    let heard = log.clone();
    let _guard = promised.cap().on_broken(move |error| heard.push(error));
    resolver.resolve(pair.index());
    assert_eq!(log.take(), [""; 0]);
    pair.connecting().close("cable cut");
    assert_eq!(log.take(), ["cable cut"]);
}

#[test]
fn a_promise_without_a_resolver_is_broken() {
    let (promised, resolver) = ProbeClient::promise();
    let early = started(promised.note(1));
    drop(resolver);
    for mut call in [early, promised.note(2)] {
        let Poll::Ready(Err(error)) = poll(&mut call) else { panic!("it should fail") };
        assert_eq!((error.kind(), error.fate()), (ErrorKind::Unresolved, Fate::NotSent));
    }
}

#[test]
fn the_peer_is_told_why_we_end_the_session_and_nothing_after() {
    let (log, mut peer) = offered_probe();
    peer.receive(r#"["push",["pipeline",0,["wait"],[1]]]"#);
    peer.receive(r#"["release",99,1]"#);
    assert_eq!(peer.frames(), [r#"["abort",["error","Error","no such export ID: 99"]]"#]);
    peer.receive(r#"["push",["pipeline",0,["note"],[1]]]"#);
    assert_eq!(peer.frames(), [""; 0]);
    assert_eq!(log.take(), ["started 1", "cancelled 1"]);
}

#[test]
fn an_abort_of_the_peers_ends_the_session_with_its_reason() {
    let (log, mut peer) = offered_probe();
    peer.receive(r#"["abort",["error","Error","I give up"]]"#);
    assert_eq!(peer.frames(), [""; 0], "an abort is not answered");
    assert_eq!(peer.core().closed().unwrap().message(), "the peer ended the session: I give up");
    let mut peer = accepting(log.probe());
    peer.receive(r#"["abort","plain"]"#);
    assert_eq!(peer.core().closed().unwrap().message(), "the peer ended the session: plain");
    let mut peer = accepting(log.probe());
    peer.receive(&format!(r#"["abort","{}"]"#, "é".repeat(2_000)));
    assert_eq!(peer.core().closed().unwrap().message().matches('é').count(), 1_000, "the rest is left out");
}

#[test]
#[cfg_attr(target_family = "wasm", ignore = "in WebAssembly a panic ends the program")]
fn a_panic_of_a_handler_is_an_error_to_its_caller_and_to_nobody_else() {
    let (_log, mut pair, probe) = linked_probe();
    let error = pair.wait(probe.panic()).unwrap_err();
    assert_eq!((error.kind(), error.fate()), (ErrorKind::Rejected, Fate::Answered));
    assert!(error.message().starts_with("the handler panicked (id "), "{error}");
    assert_eq!(pair.wait(probe.note(1)).unwrap(), 1);
}

#[test]
fn a_function_may_fail_with_an_error_of_a_type() {
    #[derive(Debug, PartialEq, serde::Serialize, serde::Deserialize)]
    enum Refusal {
        Full,
        Banned { days: u32 },
    }

    impl std::fmt::Display for Refusal {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            write!(f, "refused: {self:?}")
        }
    }

    type Asked = Func<fn(u32) -> Result<u32, Refusal>>;

    async fn answer(days: u32) -> Result<u32, Refusal> {
        match days {
            0 => Ok(7),
            1 => Err(Refusal::Full),
            days => Err(Refusal::Banned { days }),
        }
    }

    // With either constructor, in this program and over the wire.
    for function in [Asked::new(answer), Asked::fallible(answer)] {
        let (_log, mut pair, probe) = linked_probe();
        let sent = Value::Cap(function.cap().clone());
        let there = pair.wait(probe.echo(Value::Array(vec![sent]))).unwrap();
        let Value::Array(back) = there else { panic!("an array") };
        assert_eq!(back[0].as_cap(), Some(function.cap()));
        let mut remote = connected(function.cap().clone());
        let over_the_wire = Asked::from_cap(remote.connecting().index::<Cap>());
        for function in [function, over_the_wire] {
            assert_eq!(remote.wait(function.call(0)).unwrap(), 7);
            assert_eq!(remote.wait(function.call(1)).unwrap_err().returned(), Some(Refusal::Full));
            let banned = remote.wait(function.call(2)).unwrap_err();
            assert_eq!(banned.returned(), Some(Refusal::Banned { days: 2 }));
        }
    }
    let mut peer = accepting(Asked::fallible(answer).cap().clone());
    peer.receive(r#"["stream",["pipeline",0,[],[1]]]"#);
    let mut plain = accepting(Asked::new(answer).cap().clone());
    plain.receive(r#"["stream",["pipeline",0,[],[1]]]"#);
    let rejected = |message| format!(r#"["reject",1,["error","Error","{message}",null,{{"data":"Full"}}]]"#);
    assert_eq!(peer.frames(), [rejected("refused: Full")]);
    assert_eq!(plain.frames(), [rejected("Full")]);
}

#[capnode::interface]
trait Relay {
    async fn relay(&self, function: Func<fn(u32) -> u32>) -> Result<u32, Error>;
}

struct Relaying;

impl Relay for Relaying {
    async fn relay(&self, function: Func<fn(u32) -> u32>) -> Result<u32, Error> {
        function.call(1).await.map_err(|error| error.with_name("RangeError"))
    }
}

#[test]
fn a_method_may_answer_with_the_librarys_own_error() {
    let mut peer = accepting(RelayClient::new(Relaying));
    peer.receive(r#"["stream",["pipeline",0,["relay"],[["export",-1]]]]"#);
    peer.receive(r#"["reject",1,["error","Error","too far",null,{"code":7}]]"#);
    let heard = peer.frames();
    assert_eq!(heard[4], r#"["reject",1,["error","RangeError","too far",null,{"code":7}]]"#, "{heard:?}");

    let mut pair = connected(RelayClient::new(Relaying));
    let relay: RelayClient = pair.index();
    for relay in [relay, RelayClient::new(Relaying)] {
        let function = Func::from_cap(Cap::broken(Error::rejected("too far").with_name("TypeError")));
        let error = pair.wait(relay.relay(function)).unwrap_err().returned().expect("the method returned it");
        assert_eq!((error.message(), error.name()), ("too far", "RangeError"));
    }
}

#[test]
fn results_that_are_not_given_back_have_a_limit() {
    let limits = limits(|limits| limits.kept_bytes = 1_000);
    let log = Log::default();
    let mut peer = accepting_within(log.probe(), limits);
    let text = "x".repeat(400);
    for _ in 0..3 {
        peer.receive(&format!(r#"["push",["pipeline",0,["echo"],["{text}"]]]"#));
    }
    peer.receive(r#"["pull",3]"#);
    let refusal = r#"["reject",3,["error","Error","more than 1000 bytes of results are not released; see `Limits::kept_bytes`"]]"#;
    assert_eq!(peer.frames(), [refusal]);
    for id in 1..=3 {
        peer.receive(&format!(r#"["release",{id},1]"#));
    }
    peer.receive(&format!(r#"["push",["pipeline",0,["echo"],["{text}"]]]"#));
    peer.receive(r#"["pull",4]"#);
    assert_eq!(peer.frames(), [format!(r#"["resolve",4,"{text}"]"#)]);
}

#[test]
fn values_in_values_are_refused_before_they_are_unfolded() {
    let log = Log::default();
    // Each is two of the one before.
    let mut peer = accepting(log.probe());
    peer.receive(r#"["push",1]"#);
    for id in 1..40 {
        peer.receive(&format!(r#"["push",[[["pipeline",{id}],["pipeline",{id}]]]]"#));
    }
    peer.receive(r#"["pull",40]"#);
    assert!(peer.frames()[0].contains("with the outcomes of its promises"), "it unfolds to 2^39 numbers");
    // Each is inside the next.
    let mut peer = accepting(log.probe());
    peer.receive(r#"["push",1]"#);
    for id in 1..50_000 {
        peer.receive(&format!(r#"["push",{{"in":["pipeline",{id}]}}]"#));
    }
    peer.receive(r#"["pull",50000]"#);
    assert!(peer.frames()[0].contains("a promise in a promise, more than 64 times"));
}

#[test]
fn an_answer_that_nobody_writes_is_dropped_at_the_end() {
    for dialect in [Dialect::CapnWeb, Dialect::Capnode, Dialect::Q] {
        let ours = Arc::new(());
        let held = Arc::downgrade(&ours);
        let function = Func::<fn() -> u32>::new(move || {
            let _ours = &ours;
            async { 1 }
        });
        let both = Func::<fn(Cap) -> Vec<Cap>>::new(move |theirs: Cap| {
            let function = Cap::from(function.clone());
            async move { vec![theirs, function] }
        });
        let core = Core::accepting(Object::new().with("both", both));
        match dialect {
            Dialect::CapnWeb => {
                core.receive(r#"["push",["pipeline",0,["both"],[["export",-1]]]]"#);
                core.receive(r#"["pull",1]"#);
            }
            Dialect::Capnode => {
                core.receive(r#"{"type":"index","methodId":"i"}"#);
                let index = core.next_frame().expect("the index is said");
                let links = serde_json::from_str::<serde_json::Value>(&index).unwrap();
                let id = links["value"]["links"][1].as_str().unwrap().to_owned();
                core.receive(&format!(
                    r#"{{"type":"invocation","methodId":"{id}","replyId":"r","arguments":{{"links":["m",[{{"type":1,"id":0}}]],"value":{{"type":2,"id":1}}}}}}"#
                ));
            }
            _ => {
                core.receive(
                    r#"{"type":"send","to":"","from":"r","op":"post","args":["both",[{"@":"m","type":"function"}]]}"#,
                );
            }
        }
        assert_eq!(core.tables().running, 0, "{dialect:?}: the answer waits to be written");
        core.close("enough");
        drop(core);
        assert!(held.upgrade().is_none(), "{dialect:?}: the answer is still held");
    }
}

#[test]
fn nothing_is_asked_of_a_peer_whose_first_frame_breaks_the_protocol() {
    for frame in [r#"["unknown",1]"#, r#"["release",1,1]"#, r#"["resolve",1"#] {
        let core = Core::accepting(());
        let mut call = core.index::<Cap>().invoke::<()>("x", ()).into_future();
        let mut cx = Context::from_waker(Waker::noop());
        assert!(Pin::new(&mut call).poll(&mut cx).is_pending());
        core.receive(frame);
        let frames: Vec<_> = std::iter::from_fn(|| core.next_frame()).collect();
        assert!(matches!(&frames[..], [abort] if abort.starts_with(r#"["abort""#)), "{frame}: {frames:?}");
        let Poll::Ready(Err(error)) = Pin::new(&mut call).poll(&mut cx) else { panic!("{frame}: no answer") };
        assert_eq!(error.fate(), Fate::NotSent, "{frame}: {error}");
    }
}

#[test]
fn a_failure_is_of_the_method_if_it_was_answered_and_its_error_is_the_librarys() {
    let function = || Func::<fn(u32) -> u32>::new(|_: u32| async { 1 });
    let mut pair = connected(Object::new());
    let missing: RelayClient = pair.index();
    for relay in [missing, RelayClient::from_cap(Object::new().cap().clone())] {
        let error = pair.wait(relay.relay(function())).unwrap_err();
        assert_eq!((error.kind(), error.fate()), (ErrorKind::Rejected, Fate::Answered));
        assert_eq!(error.returned().unwrap().message(), "'relay' is not a function.");
    }
    let (unresolved, resolver) = RelayClient::promise();
    drop(resolver);
    let error = pair.wait(unresolved.relay(function())).unwrap_err();
    assert_eq!((error.kind(), error.fate()), (ErrorKind::Unresolved, Fate::NotSent));
    assert!(error.returned().is_none());
}

#[test]
fn a_call_that_its_callee_refused_unrun_was_not_sent() {
    let refused = |id: u32, ran: bool| {
        format!(r#"["reject",{id},["error","Error","no",null,{{"code":"ESHUTDOWN","capnode:ran":{ran}}}]]"#)
    };
    for (ran, fate) in [(false, Fate::NotSent), (true, Fate::Answered)] {
        let mut peer = connecting();
        let mut call = started(peer.core().index::<Cap>().invoke::<u32>("x", ()));
        peer.receive(&refused(1, ran));
        let Poll::Ready(Err(error)) = poll(&mut call) else { panic!("it was refused") };
        assert_eq!((error.fate(), error.property::<String>("code").as_deref()), (fate, Some("ESHUTDOWN")));
    }
    // A method that passes the error on has run itself.
    let mut peer = accepting(RelayClient::new(Relaying));
    peer.receive(r#"["stream",["pipeline",0,["relay"],[["export",-1]]]]"#);
    peer.receive(&refused(1, false));
    let passed_on = r#"["reject",1,["error","RangeError","no",null,{"code":"ESHUTDOWN"}]]"#;
    assert!(peer.frames().iter().any(|frame| frame == passed_on), "{:?}", peer.frames());
}
