//! Dropping the last clone gives the reference back, exactly.

use crate::harness::*;

#[test]
fn dropping_the_last_clone_drops_the_object() {
    let (log, mut pair, probe) = linked_probe();
    let made = pair.wait(probe.make()).unwrap();
    let clone = made.clone();
    drop(made);
    pair.settle();
    assert_eq!(log.probes(), 2);
    drop(clone);
    pair.settle();
    assert_eq!(log.probes(), 1, "only the index is left");
    assert_eq!(pair.tables(), [Tables::default(); 2]);
}

#[test]
fn an_unsent_call_keeps_its_target() {
    let log = Log::default();
    let mut pair = connected(log.probe());
    let made = pair.wait(pair.index::<ProbeClient>().make()).unwrap();
    let unsent = made.note(4);
    drop(made);
    pair.settle();
    assert_eq!(pair.wait(unsent).unwrap(), 4);
    pair.assert_empty();
}

#[test]
fn a_function_is_given_back_when_the_call_it_was_passed_to_ends() {
    let (_log, mut pair, probe) = linked_probe();
    let alive = Arc::new(());
    let held = alive.clone();
    let doubled = move |number| {
        let _held = held.clone();
        async move { number * 2 }
    };
    assert_eq!(pair.wait(probe.call(doubled, 21)).unwrap(), 42);
    pair.settle();
    assert_eq!(Arc::strong_count(&alive), 1);
    assert_eq!(pair.tables(), [Tables::default(); 2]);
}

#[test]
fn a_function_that_is_kept_lives_until_it_is_dropped() {
    let (_log, mut pair, probe) = linked_probe();
    let alive = Arc::new(());
    let held = alive.clone();
    pair.wait(probe.keep(move |number| {
        let _held = held.clone();
        async move { number }
    }))
    .unwrap();
    pair.settle();
    assert_eq!(Arc::strong_count(&alive), 2);
    pair.wait(probe.drop_kept()).unwrap();
    pair.settle();
    assert_eq!(Arc::strong_count(&alive), 1);
}

#[test]
fn a_release_that_crosses_a_second_lending_loses_nothing() {
    let log = Log::default();
    let shared = log.probe();
    let mut pair = connected(log.probe());
    let probe: ProbeClient = pair.index();
    // `b` lends the same object twice: `back` returns its argument, here by way of a promise that lives in `b`.
    let keeper = Keeper(shared);
    let index = KeeperClient::new(keeper);
    let mut lender = connected(index);
    let keeper: KeeperClient = lender.index();
    let first = lender.wait(keeper.get()).unwrap();
    let again = started(keeper.get());
    // The answer that lends it again is on its way when the first handle is dropped.
    while lender.deliver(Side::Accepting) {}
    drop(first);
    let second = lender.wait(again).unwrap();
    lender.settle();
    assert_eq!(lender.wait(second.note(1)).unwrap(), 1);
    drop((second, keeper, probe));
    lender.settle();
    pair.settle();
    assert_eq!(lender.tables(), [Tables::default(); 2]);
}

/// Lends the same object each time.
#[capnode::interface]
trait Keeping {
    async fn get(&self) -> ProbeClient;
}

struct Keeper(ProbeClient);

type KeeperClient = KeepingClient;

impl Keeping for Keeper {
    async fn get(&self) -> ProbeClient {
        self.0.clone()
    }
}

#[test]
fn references_that_nobody_takes_are_given_back() {
    let (_log, mut peer) = offered_probe();
    // An additional argument, an argument of the wrong type, and one to a method that is not there.
    peer.receive(r#"["push",["pipeline",0,["note"],[1,["export",-1]]]]"#);
    assert_eq!(peer.frames(), [r#"["release",-1,1]"#]);
    peer.receive(r#"["push",["pipeline",0,["note"],[["export",-2]]]]"#);
    assert_eq!(peer.frames(), [r#"["release",-2,1]"#]);
    peer.receive(r#"["push",["pipeline",0,["missing"],[{"f":["export",-3]},["export",-3]]]]"#);
    assert_eq!(peer.frames(), [r#"["release",-3,2]"#]);
    // An answer without a waiting caller.
    peer.receive(r#"["resolve",77,["export",-4]]"#);
    assert_eq!(peer.frames(), [r#"["release",-4,1]"#]);
}

#[test]
fn an_ignored_field_gives_its_reference_back() {
    #[derive(serde::Serialize, serde::Deserialize)]
    struct Small {
        number: u32,
    }

    #[capnode::interface]
    trait Takes {
        async fn take(&self, small: Small) -> u32;
    }

    struct Taker;

    impl Takes for Taker {
        async fn take(&self, small: Small) -> u32 {
            small.number
        }
    }

    let mut peer = accepting(TakesClient::new(Taker));
    peer.receive(r#"["stream",["pipeline",0,["take"],[{"other":["export",-1],"number":5}]]]"#);
    assert_eq!(peer.frames(), [r#"["release",-1,1]"#, r#"["resolve",1,5]"#]);
}

#[test]
fn a_value_that_cannot_be_written_lends_nothing() {
    use std::collections::HashMap;

    let (log, mut pair, probe) = linked_probe();
    pair.clear();
    // A map whose keys are no strings, after a reference.
    let unwritable = (log.probe(), HashMap::from([((1, 2), 3)]));
    let error = pair.wait(probe.cap().invoke::<Value>("echo", unwritable)).unwrap_err();
    assert_eq!((error.kind(), error.fate()), (ErrorKind::Encode, Fate::NotSent));
    assert!(error.message().contains("argument 2"), "{error}");
    pair.settle();
    assert_eq!(pair.recorded(Side::Connecting), [""; 0]);
    assert_eq!(pair.connecting().tables(), Tables::default());
    assert_eq!(log.probes(), 1);
}
