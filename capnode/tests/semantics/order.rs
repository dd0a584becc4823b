//! Calls on one reference are delivered in the order sent.

use crate::harness::*;
use capnode::promise;

#[test]
fn calls_on_one_reference_are_delivered_in_the_order_sent() {
    let (log, mut pair, probe) = linked_probe();
    for number in 0..5 {
        probe.note(number).send().unwrap();
    }
    pair.settle();
    assert_eq!(log.take(), ["0", "1", "2", "3", "4"]);
}

#[test]
fn replies_come_in_any_order() {
    let (log, mut pair, probe) = linked_probe();
    let slow = started(probe.wait(1));
    assert_eq!(pair.wait(probe.note(2)).unwrap(), 2);
    log.open();
    assert_eq!(pair.wait(slow).unwrap(), 1);
}

#[test]
fn a_chain_is_sent_whole_before_any_answer() {
    let (_log, mut pair, probe) = linked_probe();
    pair.clear();
    let mut call = probe.make().pipeline().make().pipeline().note(7);
    assert!(poll(&mut call).is_pending());
    assert_eq!(
        pair.recorded(Side::Connecting),
        [
            r#"["push",["pipeline",0,["make"],[]]]"#,
            r#"["push",["pipeline",1,["make"],[]]]"#,
            // The clients on the way are dropped as soon as they have been used.
            r#"["release",1,1]"#,
            r#"["stream",["pipeline",2,["note"],[7]]]"#,
            r#"["release",2,1]"#,
        ]
    );
    assert_eq!(pair.wait(call).unwrap(), 7);
    drop(probe);
    pair.assert_empty();
}

#[test]
fn calls_on_a_result_that_is_not_there_yet_wait_in_order() {
    let (log, mut pair, probe) = linked_probe();
    let late = probe.make_late().pipeline();
    for number in 0..3 {
        late.note(number).send().unwrap();
    }
    pair.settle();
    assert_eq!(log.take(), [""; 0]);
    log.open();
    pair.settle();
    late.note(3).send().unwrap();
    pair.settle();
    assert_eq!(log.take(), ["made", "0", "1", "2", "3"]);
}

#[test]
fn a_failed_call_fails_all_that_was_made_on_its_result() {
    let (_log, mut pair, probe) = linked_probe();
    let nothing = ProbeClient::from_cap(probe.cap().invoke::<Value>("missing", ()).pipeline_cap());
    let error = pair.wait(nothing.make().pipeline().note(1)).unwrap_err();
    assert_eq!(error.message(), "'missing' is not a function.");
}

#[test]
fn calls_on_a_promise_of_ours_are_delivered_before_those_made_after_its_resolution() {
    let (log, mut pair, remote) = linked_probe();
    for target in [remote, log.probe()] {
        let (promised, resolver) = ProbeClient::promise();
        let mut first = promised.note(1);
        let mut second = promised.note(2);
        assert!(poll(&mut first).is_pending());
        assert!(poll(&mut second).is_pending());
        resolver.resolve(target.clone());
        let third = target.note(3);
        assert_eq!(pair.wait(third).unwrap(), 3);
        assert_eq!((pair.wait(first).unwrap(), pair.wait(second).unwrap()), (1, 2));
        assert_eq!(log.take(), ["1", "2", "3"]);
        assert_eq!(promised, target, "a promise is what it was resolved to");
    }
}

#[test]
fn order_is_kept_where_a_result_turns_out_to_be_nearer() {
    // The result of `back` is this side's own object: calls on the promise travel there and back, while the settled
    // reference goes the short way.
    let (log, mut pair, probe) = linked_probe();
    let ours = log.probe();
    let promised = probe.back(ours).pipeline();
    promised.note(1).send().unwrap();
    promised.note(2).send().unwrap();
    let settled: ProbeClient = pair.wait(promised.cap().read()).unwrap();
    assert!(settled.cap().local::<Noting>().is_some(), "the settled reference is the object itself");
    assert_eq!(pair.wait(settled.note(3)).unwrap(), 3);
    assert_eq!(log.take(), ["1", "2", "3"]);
}

#[test]
fn an_unresolved_client_as_an_argument_does_not_delay_the_call() {
    let (log, mut pair, probe) = linked_probe();
    let (promised, resolver) = promise::<ProbeClient>();
    let on_promised = started(probe.note_on(promised, 2));
    probe.note(1).send().unwrap();
    pair.settle();
    assert_eq!(log.take(), ["1"]);
    resolver.resolve(log.probe());
    assert_eq!(pair.wait(on_promised).unwrap(), 2);
    assert_eq!(log.take(), ["2"]);
}

#[test]
fn an_unresolved_result_as_an_argument_is_usable_at_once() {
    let (log, mut pair, probe) = linked_probe();
    let late = probe.make_late().pipeline();
    let noted = started(probe.note_on(late, 5));
    pair.settle();
    log.open();
    assert_eq!(pair.wait(noted).unwrap(), 5);
    assert_eq!(log.take(), ["made", "5"]);
}

#[test]
fn a_call_with_a_promise_argument_waits_for_it_and_may_be_overtaken() {
    let (log, mut peer) = offered_probe();
    peer.receive(r#"["push",["pipeline",0,["note"],[["promise",-1]]]]"#);
    peer.receive(r#"["push",["pipeline",0,["note"],[2]]]"#);
    assert_eq!(log.take(), ["2"]);
    peer.receive(r#"["resolve",-1,1]"#);
    assert_eq!(log.take(), ["1"]);
    peer.receive(r#"["pull",1]"#);
    assert_eq!(peer.frames(), [r#"["release",-1,1]"#, r#"["resolve",1,1]"#]);
}

#[test]
fn a_rejected_promise_argument_rejects_the_call() {
    let (log, mut peer) = offered_probe();
    peer.receive(r#"["push",["pipeline",0,["note"],[["promise",-1]]]]"#);
    peer.receive(r#"["pull",1]"#);
    peer.receive(r#"["reject",-1,["error","RangeError","no number"]]"#);
    assert_eq!(peer.frames(), [r#"["release",-1,1]"#, r#"["reject",1,["error","RangeError","no number"]]"#]);
    assert_eq!(log.take(), [""; 0]);
}

#[test]
fn a_result_of_another_call_as_an_argument_is_awaited() {
    let (log, mut peer) = offered_probe();
    peer.receive(r#"["push",["pipeline",0,["wait"],[40]]]"#);
    peer.receive(r#"["push",["pipeline",0,["echo"],[{"a":["pipeline",1],"b":[["x",["pipeline",1]]]}]]]"#);
    peer.receive(r#"["pull",2]"#);
    assert_eq!(peer.frames(), [""; 0]);
    log.open();
    assert_eq!(peer.frames(), [r#"["resolve",2,{"a":40,"b":[["x",40]]}]"#]);
}

#[test]
fn a_promise_resolved_to_itself_is_broken() {
    let (first, first_resolver) = ProbeClient::promise();
    let (second, second_resolver) = ProbeClient::promise();
    first_resolver.resolve(second.clone());
    second_resolver.resolve(first.clone());
    let mut call = first.note(1);
    let Poll::Ready(Err(error)) = poll(&mut call) else { panic!("it should fail at once") };
    assert_eq!(error.kind(), ErrorKind::Unresolved);
}
