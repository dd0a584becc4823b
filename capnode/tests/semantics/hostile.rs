//! Messages by which a hostile peer tries to exhaust or crash this side.

use crate::harness::*;

/// Runs where the stack is as small as a worker's.
pub(crate) fn on_a_small_stack(test: impl FnOnce() + Send + 'static) {
    // In WebAssembly there is one thread, with less.
    if cfg!(target_family = "wasm") {
        return test();
    }
    std::thread::Builder::new().stack_size(2 << 20).spawn(test).unwrap().join().unwrap();
}

#[test]
fn a_long_chain_of_results_is_dropped() {
    on_a_small_stack(|| {
        let (_log, mut peer) = offered_probe();
        peer.receive(r#"["push",[[["import",0]]]]"#);
        for id in 1..20_000 {
            peer.receive(&format!(r#"["push",[[["import",{id}]]]]"#));
            peer.receive(&format!(r#"["release",{id},1]"#));
        }
        peer.receive(r#"["release",20000,1]"#);
        assert!(peer.core().closed().is_none());
        assert_eq!(peer.core().tables(), Tables::default());
    });
}

#[test]
fn a_long_chain_of_references_is_not_followed() {
    on_a_small_stack(|| {
        let (_log, mut peer) = offered_probe();
        peer.receive(r#"["push",[[1]]]"#);
        for id in 1..5_000 {
            peer.receive(&format!(r#"["push",[[["import",{id},[0]]]]]"#));
        }
        peer.receive(r#"["stream",["pipeline",5000,[0]]]"#);
        let heard = peer.frames();
        assert!(heard[0].contains("passes through too many references"), "{heard:?}");
        peer.receive(r#"["stream",["pipeline",3,[0]]]"#);
        assert_eq!(peer.frames(), [r#"["resolve",5002,1]"#], "a short one is");
    });
}

#[test]
fn a_promise_of_something_inside_itself_is_broken() {
    let (promised, resolver) = ProbeClient::promise();
    resolver.resolve(ProbeClient::from_cap(promised.cap().at("inside")));
    let Poll::Ready(Err(error)) = poll(&mut promised.note(1)) else { panic!("it should fail at once") };
    assert_eq!(error.kind(), ErrorKind::Unresolved);
}

/// An object with a property that is itself, after so many reads nothing.
#[capnode::interface]
trait Round {
    #[capnode(property)]
    async fn round(&self) -> Cap;
}

#[derive(Default)]
struct Turning {
    itself: Mutex<Option<Cap>>,
    reads: AtomicUsize,
}

impl Round for Arc<Turning> {
    async fn round(&self) -> Cap {
        if self.reads.fetch_add(1, Ordering::SeqCst) > 2_000 {
            std::future::pending::<()>().await;
        }
        let itself = lock(&self.itself).clone().expect("it was set");
        itself.at("round")
    }
}

#[test]
fn a_property_that_gives_a_reference_to_itself_is_not_followed_for_ever() {
    let turning = Arc::<Turning>::default();
    let round = RoundClient::new(turning.clone());
    *lock(&turning.itself) = Some(round.cap().clone());
    let told = |error: &capnode::Error| {
        assert!(error.message().contains("passes through too many references"), "{error:?}");
        assert!(turning.reads.swap(0, Ordering::SeqCst) < 100);
    };
    // Here only a runtime can run handlers that are inside too many others.
    #[cfg(feature = "tokio")]
    {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let error = runtime.block_on(round.cap().invoke::<Value>("round", (1,)).into_future()).unwrap_err();
        told(&error);
        assert_eq!((error.kind(), error.fate()), (ErrorKind::Limit, Fate::NotSent));
    }
    let mut pair = connected(round.clone());
    let theirs: RoundClient = pair.index();
    for mut call in [theirs.cap().invoke::<Value>("round", (1,)), theirs.cap().at("round").get("name")] {
        // Handlers that are inside too many others are tasks of the connection, one begun by the other.
        let turns = std::iter::from_fn(|| {
            pair.settle();
            Some(poll(&mut call))
        });
        let ended = turns.take(1_000).find(Poll::is_ready);
        let Some(Poll::Ready(Err(error))) = ended else { panic!("it should have failed") };
        told(&error);
    }
    lock(&turning.itself).take();
}

#[test]
fn calls_inside_values_end_with_their_message() {
    let (log, mut peer) = offered_probe();
    peer.receive(r#"["push",[[["pipeline",0,["wait"],[1]],["pipeline",0,["wait"],[2]]]]]"#);
    peer.receive(r#"["pull",1]"#);
    assert_eq!(log.take(), ["started 1", "started 2"]);
    peer.receive(r#"["release",1,1]"#);
    let mut events = log.take();
    events.sort();
    assert_eq!(events, ["cancelled 1", "cancelled 2"]);
    // A call without a waiting caller could not be ended.
    peer.receive(r#"["push",[[["import",0,["wait"],[3]]]]]"#);
    peer.receive(r#"["stream",["pipeline",2,[0,"note"],[4]]]"#);
    assert!(peer.frames()[0].contains("a call inside a value is made by `pipeline`"));
    assert_eq!(log.take(), [""; 0]);
}

#[test]
fn all_the_calls_of_a_message_go_on_together() {
    let (log, mut peer) = offered_probe();
    peer.receive(r#"["stream",[[["pipeline",0,["wait"],[1]],["pipeline",0,["wait"],[2]]]]]"#);
    log.open();
    assert_eq!(peer.frames(), [r#"["resolve",1,[[1,2]]]"#]);
    assert_eq!(log.take(), ["started 1", "started 2", "ended 1", "ended 2"]);
}

#[test]
fn too_many_calls_in_one_message_end_the_session() {
    let limits = limits(|limits| limits.running_calls = 10);
    for (count, stands) in [(10, true), (11, false)] {
        let log = Log::default();
        let mut peer = accepting_within(log.probe(), limits.clone());
        let call = r#"["pipeline",0,["note"],[1]]"#;
        peer.receive(&format!(r#"["push",[[{}]]]"#, vec![call; count].join(",")));
        assert_eq!(peer.core().closed().is_none(), stands, "{count} calls");
        assert_eq!(log.take().len(), if stands { count } else { 0 });
    }
}

#[test]
fn promises_of_the_peer_make_no_room_for_its_calls() {
    let limits = limits(|limits| limits.running_calls = 2);
    let log = Log::default();
    let mut peer = accepting_within(log.probe(), limits);
    for id in 1..=5 {
        peer.receive(&format!(r#"["push",["pipeline",0,["note"],[["promise",-{id}]]]]"#));
    }
    for _ in 0..5 {
        peer.receive(r#"["push",["pipeline",0,["wait"],[1]]]"#);
    }
    assert_eq!(log.take(), [""; 0], "two calls that wait for their arguments are the limit");
}

#[test]
fn a_call_that_ends_gives_up_what_only_it_wanted() {
    let (log, mut peer) = offered_probe();
    peer.receive(r#"["push",["pipeline",0,["wait"],[1]]]"#);
    peer.receive(r#"["pull",1]"#);
    // Fails as soon as its first argument does, while the second is still being waited for.
    peer.receive(r#"["push",["pipeline",0,["echo"],[["promise",-1],["pipeline",1]]]]"#);
    peer.receive(r#"["release",1,1]"#);
    assert_eq!(log.take(), ["started 1"]);
    peer.receive(r#"["reject",-1,["error","Error","no"]]"#);
    assert_eq!(log.take(), ["cancelled 1"]);
}

/// Returns whether the peer was told of nothing but a panic, by its id.
fn is_panic(heard: &[String]) -> bool {
    let told =
        |frame: &String| frame.starts_with(r#"["reject",1,["error","Error","the handler panicked (id "#);
    heard.len() == 1 && heard.iter().all(told)
}

#[test]
#[cfg_attr(target_family = "wasm", ignore = "in WebAssembly a panic ends the program")]
fn a_panic_while_arguments_are_read_is_an_error_to_the_caller_alone() {
    struct Fragile;

    impl serde::Serialize for Fragile {
        fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            serializer.serialize_unit()
        }
    }

    impl<'de> serde::Deserialize<'de> for Fragile {
        fn deserialize<D: serde::Deserializer<'de>>(_: D) -> Result<Self, D::Error> {
            panic!("on purpose")
        }
    }

    let mut peer = accepting(Func::<fn(Fragile)>::new(|_: Fragile| async {}).cap().clone());
    peer.receive(r#"["stream",["pipeline",0,[],[1]]]"#);
    assert!(is_panic(&peer.frames()));
    // And where a closure panics before it has made its future.
    let early = Func::<fn()>::new(|| {
        assert!(std::hint::black_box(false), "on purpose");
        async {}
    });
    let mut peer = accepting(early.cap().clone());
    peer.receive(r#"["stream",["pipeline",0,[],[]]]"#);
    assert!(is_panic(&peer.frames()));
}

#[test]
fn a_small_value_in_a_large_frame_keeps_only_itself() {
    let limits = limits(|limits| limits.kept_bytes = 10_000);
    let log = Log::default();
    let mut peer = accepting_within(log.probe(), limits);
    let blanks = " ".repeat(100_000);
    for _ in 0..10 {
        peer.receive(&format!(r#"["push",{{"f":["import",0],"a":5}}{blanks}]"#));
    }
    peer.receive(r#"["stream",["pipeline",10,["a"]]]"#);
    peer.receive(r#"["stream",["pipeline",10,["f","note"],[6]]]"#);
    assert_eq!(peer.frames(), [r#"["resolve",11,5]"#, r#"["resolve",12,6]"#]);
}

#[test]
fn a_peer_that_asks_and_does_not_read_is_cut_off() {
    let limits = limits(|limits| limits.unwritten_bytes_hard = 10_000);
    let log = Log::default();
    let mut peer = accepting_within(log.probe(), limits);
    let text = "x".repeat(1_000);
    for id in 1..=20 {
        peer.receive(&format!(r#"["push","{text}"]"#));
        peer.receive(&format!(r#"["pull",{id}]"#));
        peer.receive(&format!(r#"["release",{id},1]"#));
    }
    assert_eq!(peer.core().closed().unwrap().kind(), ErrorKind::Limit);
}

#[test]
fn a_long_name_is_not_repeated_in_full() {
    let (_log, mut peer) = offered_probe();
    let name = "n".repeat(100_000);
    peer.receive(&format!(r#"["stream",["pipeline",0,["{name}"],[]]]"#));
    peer.receive(&format!(r#"["stream",["pipeline",0,["note"],["{name}"]]]"#));
    for frame in peer.frames() {
        assert!(frame.len() < 1_000, "{} bytes", frame.len());
    }
}

/// Returns how many functions call one another, each before it returns its future, until it is refused.
fn calls_before_futures(made: &Arc<AtomicUsize>) -> usize {
    let itself = Arc::new(std::sync::OnceLock::<Func<fn()>>::new());
    let (next, count) = (itself.clone(), made.clone());
    let function = Func::<fn()>::new(move || {
        count.fetch_add(1, Ordering::SeqCst);
        let _refused = poll(&mut next.get().expect("it was set").call());
        async {}
    });
    assert!(itself.set(function.clone()).is_ok());
    made.store(0, Ordering::SeqCst);
    let _refused = poll(&mut function.call());
    made.load(Ordering::SeqCst)
}

#[test]
fn functions_that_wait_for_others_leave_them_all_references_to_pass_through() {
    let made = Arc::<AtomicUsize>::default();
    let alone = calls_before_futures(&made);
    let mut function = Func::<fn() -> usize>::new({
        let made = made.clone();
        move || {
            let made = made.clone();
            async move { calls_before_futures(&made) }
        }
    });
    for _ in 0..10 {
        let inner = function;
        function = Func::new(move || {
            let inner = inner.clone();
            async move { inner.call().await.expect("it answers") }
        });
    }
    let Poll::Ready(Ok(inside)) = poll(&mut function.call()) else { panic!("it should answer at once") };
    assert_eq!(inside, alone);
    assert!(alone > 10);
}
