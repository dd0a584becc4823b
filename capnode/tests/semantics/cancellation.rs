//! Cancellation by the caller, and its effect on the handler.

use crate::harness::*;

#[test]
fn dropping_an_awaited_call_cancels_the_handler() {
    let (log, mut pair, probe) = linked_probe();
    let call = started(probe.wait(1));
    pair.settle();
    assert_eq!(pair.handlers(), 1);
    drop(call);
    pair.settle();
    assert_eq!(log.take(), ["started 1", "cancelled 1"]);
    assert_eq!(pair.handlers(), 0);
    drop(probe);
    pair.assert_empty();
}

#[test]
fn an_answer_that_crosses_the_giving_up_is_taken_and_given_back() {
    let (log, mut pair, probe) = linked_probe();
    let call = started(probe.make_late());
    pair.settle();
    log.open();
    pair.poll_handlers(Side::Accepting);
    drop(call);
    drop(probe);
    pair.settle();
    assert!(pair.connecting().closed().is_none() && pair.accepting().closed().is_none());
    assert_eq!(pair.tables(), [Tables::default(); 2]);
    assert_eq!(log.probes(), 1);
}

// The method goes on in a runtime only.
#[cfg(feature = "tokio")]
#[test]
fn a_method_may_insist_on_its_end() {
    let (log, mut pair, probe) = linked_probe();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        let call = started(probe.insist(1));
        pair.settle();
        drop(call);
        pair.settle();
        log.open();
        tokio::task::yield_now().await;
    });
    assert_eq!(log.take(), ["started 1", "ended 1"]);
}

#[test]
fn a_pipelined_call_is_not_cancelled_by_dropping_its_client() {
    let (log, mut pair, probe) = linked_probe();
    drop(probe.make_late().pipeline());
    pair.settle();
    assert_eq!(pair.handlers(), 1);
    log.open();
    pair.settle();
    assert_eq!(log.take(), ["made"]);
    assert_eq!((log.probes(), pair.tables()[1]), (1, Tables::default()));
}

#[test]
fn a_sent_call_is_never_cancelled() {
    let (log, mut pair, probe) = linked_probe();
    probe.wait(1).send().unwrap();
    pair.settle();
    drop(probe);
    pair.settle();
    assert!(!pair.connecting().is_idle(), "it keeps its connection until it is answered");
    log.open();
    pair.settle();
    assert_eq!(log.take(), ["started 1", "ended 1"]);
    assert!(pair.connecting().is_idle());
}

#[test]
fn a_foreign_peer_is_asked_by_a_push_and_a_pull_and_a_dropped_call_is_released() {
    let mut peer = connecting();
    let probe = peer.core().index::<ProbeClient>();
    let call = started(probe.make());
    let asked = [r#"["release",0,0]"#, r#"["push",["pipeline",0,["make"],[]]]"#, r#"["pull",1]"#];
    assert_eq!(peer.frames(), asked);
    drop(call);
    assert_eq!(peer.frames(), [r#"["release",1,1]"#]);
    assert_eq!(peer.core().tables(), Tables::default());
    // Its late answer is received, and the references in it are given back: also a promise that is not resolved yet.
    peer.receive(r#"["resolve",1,[[["export",-1],["promise",-2]]]]"#);
    assert_eq!(peer.frames(), [r#"["release",-1,1]"#, r#"["release",-2,1]"#]);
    peer.receive(r#"["resolve",-2,["export",-3]]"#);
    assert_eq!(peer.frames(), [r#"["release",-3,1]"#]);
    assert_eq!(peer.core().report().stray_ids, 0);
    drop(probe);
    assert!(peer.core().is_idle());
}

#[test]
fn an_answered_call_to_a_foreign_peer_is_released() {
    let mut peer = connecting();
    let probe = peer.core().index::<ProbeClient>();
    let mut call = started(probe.note(7));
    drop(peer.frames());
    peer.receive(r#"["resolve",1,7]"#);
    assert_eq!(peer.frames(), [r#"["release",1,1]"#]);
    assert!(matches!(poll(&mut call), Poll::Ready(Ok(7))));
    assert_eq!(peer.core().tables(), Tables::default());
}

#[test]
fn a_foreign_peer_that_disposes_of_a_pulled_call_cancels_it() {
    let (log, mut peer) = offered_probe();
    peer.receive(r#"["push",["pipeline",0,["wait"],[1]]]"#);
    peer.receive(r#"["pull",1]"#);
    assert_eq!(log.take(), ["started 1"]);
    peer.receive(r#"["release",1,1]"#);
    assert_eq!(log.take(), ["cancelled 1"]);
    assert_eq!(peer.core().tables(), Tables::default());
}

#[test]
fn a_call_that_is_given_up_while_it_starts_is_cancelled() {
    let log = Log::default();
    let core = Arc::new_cyclic(|own: &std::sync::Weak<Core>| {
        let (own, probe) = (own.clone(), log.probe());
        Core::accepting(Func::<fn() -> u32>::new(move || {
            let core = own.upgrade().expect("it runs this");
            core.receive(r#"["pull",1]"#);
            core.receive(r#"["release",1,1]"#);
            let probe = probe.clone();
            async move { probe.wait(1).await.unwrap_or_default() }
        }))
    });
    core.receive(r#"["push",["pipeline",0,[],[]]]"#);
    assert_eq!(log.take(), ["started 1", "cancelled 1"]);
    assert!(core.handlers().is_empty());
    assert_eq!(core.tables(), Tables::default());
}

#[test]
fn a_call_whose_answer_was_never_asked_for_is_not_cancelled() {
    let (log, mut peer) = offered_probe();
    peer.receive(r#"["push",["pipeline",0,["wait"],[1]]]"#);
    peer.receive(r#"["release",1,1]"#);
    log.open();
    assert_eq!(peer.frames(), [""; 0]);
    assert_eq!(log.take(), ["started 1", "ended 1"]);
    assert_eq!(peer.core().tables(), Tables::default());
}

/// A peer that has pulled the result of a call that waits, and of a call on that.
fn pulled_chain() -> (Log, Endpoint) {
    let (log, mut peer) = offered_probe();
    peer.receive(r#"["push",["pipeline",0,["makeLate"],[]]]"#);
    peer.receive(r#"["pull",1]"#);
    peer.receive(r#"["push",["pipeline",1,["note"],[5]]]"#);
    peer.receive(r#"["pull",2]"#);
    (log, peer)
}

#[test]
fn a_call_is_not_cancelled_while_its_result_is_used() {
    let (log, mut peer) = pulled_chain();
    peer.receive(r#"["release",1,1]"#);
    assert_eq!(log.take(), [""; 0]);
    log.open();
    assert_eq!(peer.frames(), [r#"["resolve",2,5]"#]);
    assert_eq!(log.take(), ["made", "5"]);
}

#[test]
fn a_call_is_not_cancelled_with_the_last_use_of_its_result_while_its_answer_is_wanted() {
    let (log, mut peer) = pulled_chain();
    peer.receive(r#"["release",2,1]"#);
    assert_eq!(log.take(), [""; 0]);
    log.open();
    assert_eq!(peer.frames(), [r#"["resolve",1,["export",-1]]"#]);
}

#[test]
fn when_the_last_use_is_given_up_the_whole_chain_is_cancelled() {
    let (log, mut peer) = pulled_chain();
    peer.receive(r#"["release",1,1]"#);
    peer.receive(r#"["release",2,1]"#);
    assert_eq!(log.take(), ["cancelled 0"]);
    assert_eq!(peer.core().tables(), Tables::default());
}

#[test]
fn dropping_a_call_of_an_object_in_this_program_cancels_it_too() {
    let log = Log::default();
    let call = started(log.probe().wait(1));
    drop(call);
    assert_eq!(log.take(), ["started 1", "cancelled 1"]);
}

#[test]
fn a_call_that_was_never_polled_was_never_made() {
    let (_log, mut pair, probe) = linked_probe();
    pair.clear();
    drop(probe.note(1));
    pair.settle();
    assert_eq!(pair.recorded(Side::Connecting), [""; 0]);
}

#[test]
fn a_reference_to_the_result_of_a_cancelled_call_is_broken() {
    let log = Log::default();
    let kept = Arc::new(Mutex::new(None));
    let keep = kept.clone();
    let keeper = Func::<fn(ProbeClient)>::new(move |probe: ProbeClient| {
        *lock(&keep) = Some(probe);
        async {}
    });
    let index = Value::from([("probe", Value::Cap(log.probe().into())), ("keep", Value::Cap(keeper.into()))]);
    let mut peer = accepting(index);
    peer.receive(r#"["push",["pipeline",0,["probe","makeLate"],[]]]"#);
    peer.receive(r#"["pull",1]"#);
    // The function keeps it beyond its call, so nothing that is wanted uses the result any more.
    peer.receive(r#"["stream",["pipeline",0,["keep"],[["import",1]]]]"#);
    peer.receive(r#"["release",1,1]"#);
    assert_eq!(log.take(), ["cancelled 0"]);
    let probe = lock(&kept).take().expect("it was kept");
    let Poll::Ready(Err(error)) = poll(&mut probe.note(1)) else { panic!("it should fail at once") };
    assert_eq!(error.message(), "the call was cancelled");
}

#[test]
fn a_call_that_is_given_up_takes_its_arguments_out_of_the_queue_of_a_promise() {
    let (log, mut peer) = offered_probe();
    peer.receive(r#"["push",["pipeline",0,["makeLate"],[]]]"#);
    for (id, number) in (2..40).zip(1..) {
        peer.receive(&format!(r#"["push",["pipeline",1,["keep"],[["export",-{number}]]]]"#));
        peer.receive(&format!(r#"["pull",{id}]"#));
    }
    assert_eq!(peer.frames(), [""; 0]);
    // From the front, the back and the middle; all but two.
    for id in (2..10).chain((30..40).rev()).chain((10..30).filter(|id| !matches!(id, 14 | 22))) {
        peer.receive(&format!(r#"["release",{id},1]"#));
        assert_eq!(peer.frames(), [format!(r#"["release",-{},1]"#, id - 1)]);
    }
    log.open();
    let heard: Vec<_> = peer.frames().into_iter().filter(|frame| frame.contains("resolve")).collect();
    assert_eq!(heard, [r#"["resolve",14,["undefined"]]"#, r#"["resolve",22,["undefined"]]"#]);
}

#[test]
fn nor_does_a_promise_of_this_program_keep_them() {
    let held = Arc::new(());
    let (probe, resolver) = capnode::promise::<ProbeClient>();
    let function = {
        let held = held.clone();
        Func::<fn(u32) -> u32>::new(move |number: u32| {
            let _held = &held;
            async move { number }
        })
    };
    let mut calls: Vec<_> = (0..3).map(|number| probe.call(function.clone(), number)).collect();
    drop(function);
    for call in &mut calls {
        assert!(poll(call).is_pending());
    }
    drop(calls.remove(1));
    drop(calls);
    assert_eq!(Arc::strong_count(&held), 1);
    drop(resolver);
}
