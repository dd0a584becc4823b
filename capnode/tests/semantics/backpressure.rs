//! Backpressure: calls that wait, calls that fail, and calls that must go on.

use crate::harness::*;
use capnode::value::{Blob, Body};
use capnode::{Bytes, LimitKind};

#[test]
fn one_call_runs_even_if_none_is_allowed() {
    let log = Log::default();
    let mut pair = connected_within(log.probe(), limits(|limits| limits.running_calls = 0));
    let peer = pair.connecting().index::<Cap>();
    let missing = pair.run(peer.invoke::<Value>("no such method", ())).expect("it is answered");
    assert!(missing.is_err());
}

#[test]
fn calls_past_the_limit_are_parked_and_started_in_order() {
    let log = Log::default();
    let mut pair = connected_within(log.probe(), limits(|limits| limits.running_calls = 2));
    let probe: ProbeClient = pair.index();
    for number in 0..4 {
        probe.wait(number).send().unwrap();
    }
    pair.settle();
    assert_eq!(log.take(), ["started 0", "started 1"]);
    // One that would end at once has to wait its turn too.
    probe.note(9).send().unwrap();
    pair.settle();
    assert_eq!(log.take(), [""; 0]);
    log.open();
    pair.settle();
    assert_eq!(log.take(), ["ended 0", "ended 1", "started 2", "started 3"]);
    log.open();
    pair.settle();
    assert_eq!(log.take(), ["ended 2", "ended 3", "9"]);
}

#[test]
fn a_parked_call_that_is_given_up_never_starts() {
    let log = Log::default();
    let mut pair = connected_within(log.probe(), limits(|limits| limits.running_calls = 1));
    let probe: ProbeClient = pair.index();
    probe.wait(0).send().unwrap();
    let mut parked = probe.call(|number| async move { number }, 1);
    assert!(poll(&mut parked).is_pending());
    pair.settle();
    drop(parked);
    pair.settle();
    log.open();
    pair.settle();
    assert_eq!(log.take(), ["started 0", "ended 0"]);
    drop(probe);
    pair.settle();
    assert_eq!(pair.tables(), [Tables::default(); 2], "its function was given back");
}

#[test]
fn a_parked_call_keeps_what_the_peer_releases_right_behind_it() {
    let log = Log::default();
    let mut pair = connected_within(log.probe(), limits(|limits| limits.running_calls = 1));
    let probe: ProbeClient = pair.index();
    let made = pair.wait(probe.make()).unwrap();
    let other = pair.wait(probe.make()).unwrap();
    probe.wait(0).send().unwrap();
    made.note(1).send().unwrap();
    probe.note_on(other, 2).send().unwrap();
    probe.make().pipeline().note(3).send().unwrap();
    drop(made);
    pair.settle();
    assert_eq!(log.take(), ["started 0"]);
    log.open();
    pair.settle();
    assert_eq!(log.take(), ["ended 0", "1", "2", "3"]);
    drop(probe);
    pair.assert_empty();
}

#[test]
fn too_many_bytes_parked_end_the_session_of_the_peer_that_sent_them() {
    let log = Log::default();
    let small = limits(|limits| (limits.running_calls, limits.parked_bytes) = (1, 1_000));
    let mut pair = connected_within(log.probe(), small);
    let probe: ProbeClient = pair.index();
    probe.wait(0).send().unwrap();
    let mut parked = started(probe.echo(Value::from("x".repeat(2_000))));
    pair.settle();
    let Poll::Ready(Err(error)) = poll(&mut parked) else { panic!("the session should have ended") };
    assert!(error.message().contains("more than 1000 bytes of calls are waiting"), "{error}");
    assert_eq!(pair.accepting().closed().unwrap().kind(), ErrorKind::Limit);
}

#[test]
fn two_sides_at_their_limit_whose_handlers_call_back_go_on() {
    let log = Log::default();
    let mut pair = connected_within(log.probe(), limits(|limits| limits.running_calls = 1));
    let probe: ProbeClient = pair.index();
    // Each call makes the other side call back, which calls here again.
    let there = probe.clone();
    let calls: Vec<_> = (0..3)
        .map(|_| {
            let there = there.clone();
            probe.call(
                move |number| {
                    let there = there.clone();
                    async move { there.call(|number| async move { number + 1 }, number).await.unwrap_or(0) }
                },
                10,
            )
        })
        .collect();
    drop(there);
    let mut calls: Vec<_> = calls
        .into_iter()
        .map(|mut call| {
            assert!(poll(&mut call).is_pending());
            call
        })
        .collect();
    for call in calls.drain(..) {
        assert_eq!(pair.wait(call).unwrap(), 11);
    }
}

#[test]
fn an_awaited_call_waits_for_room_and_one_that_does_not_fails_as_not_sent() {
    let log = Log::default();
    let small = limits(|limits| {
        limits.unwritten_bytes_soft = 1_000;
        limits.unwritten_bytes_hard = 3_000;
    });
    let mut pair = connected_within(log.probe(), small);
    let probe: ProbeClient = pair.index();
    pair.clear();
    let text = Value::from("x".repeat(900));
    probe.echo(text.clone()).send().unwrap();
    probe.echo(text.clone()).send().unwrap();
    let awaited = started(probe.note(1));
    probe.echo(text.clone()).send().unwrap();
    let error = probe.echo(text.clone()).send().unwrap_err();
    assert_eq!((error.kind(), error.fate()), (ErrorKind::Limit, Fate::NotSent));
    let broken = probe.echo(text).pipeline_cap();
    let Poll::Ready(Err(error)) = poll(&mut broken.read::<Value>()) else { panic!("it was not sent") };
    assert_eq!(error.fate(), Fate::NotSent);
    assert_eq!(
        pair.connecting().tables().calls,
        2,
        "neither the awaited call was sent yet, nor the one behind it"
    );
    let sent: Vec<_> = pair.recorded(Side::Connecting).iter().map(|frame| frame.contains("note")).collect();
    assert_eq!(sent, [false, false, true, false]);
    assert_eq!(pair.wait(awaited).unwrap(), 1);
}

#[test]
fn arguments_longer_than_a_frame_are_not_sent() {
    let log = Log::default();
    let mut pair = connected_within(log.probe(), limits(|limits| limits.frame_bytes = 1_000));
    let probe: ProbeClient = pair.index();
    let error = pair.wait(probe.echo(Value::from("x".repeat(1_000)))).unwrap_err();
    assert_eq!((error.kind(), error.fate()), (ErrorKind::Limit, Fate::NotSent));
    assert_eq!(pair.wait(probe.note(1)).unwrap(), 1);
}

/// A pair in which a single call leaves no room for awaited ones, and the log of the object.
fn backpressured() -> (Log, Pair, ProbeClient) {
    let log = Log::default();
    let mut pair = connected_within(log.probe(), limits(|limits| limits.unwritten_bytes_soft = 1));
    let probe: ProbeClient = pair.index();
    pair.clear();
    probe.note(0).send().unwrap();
    (log, pair, probe)
}

#[test]
fn nothing_overtakes_a_call_that_waits_for_room() {
    let (log, mut pair, probe) = backpressured();
    let first = started(probe.note(1));
    probe.note(2).send().unwrap();
    let pipelined = probe.note(3).pipeline_cap();
    let awaited = started(probe.note(4));
    let at = probe.cap().at("note");
    at.apply::<u32>((5,)).send().unwrap();
    let read = started(probe.cap().get::<String>("name"));
    let (promised, resolver) = ProbeClient::promise();
    let promised_first = started(promised.note(6));
    resolver.resolve(probe.clone());
    promised.note(7).send().unwrap();
    let made = probe.make().pipeline();
    made.note(8).send().unwrap();
    probe.note(9).send().unwrap();
    drop(made);
    assert_eq!(pair.wait(first).unwrap(), 1);
    assert_eq!(pair.wait(read).unwrap(), "probe");
    assert_eq!(pair.wait(awaited).unwrap(), 4);
    assert_eq!(pair.wait(promised_first).unwrap(), 6);
    pair.settle();
    assert_eq!(log.take(), ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"]);
    drop((probe, promised, at, pipelined));
    pair.assert_empty();
}

#[test]
fn a_local_object_that_passes_calls_on_keeps_their_order() {
    let (log, mut pair, probe) = backpressured();
    let there = probe.clone();
    let forward = Func::<fn(u32) -> u32>::new(move |number: u32| {
        let there = there.clone();
        async move { there.note(number).await.unwrap_or(0) }
    });
    let object = capnode::Object::new().with("forward", forward.clone()).cap();
    let first = started(object.invoke::<u32>("forward", (1,)));
    let second = started(forward.call(2));
    probe.note(3).send().unwrap();
    let held = Cap::holding(&Value::from([("probe", Value::Cap(probe.clone().into()))])).unwrap();
    held.at("probe").invoke::<u32>("note", (4,)).send().unwrap();
    assert_eq!((pair.wait(second).unwrap(), pair.wait(first).unwrap()), (2, 1));
    pair.settle();
    assert_eq!(log.take(), ["0", "1", "2", "3", "4"]);
}

#[test]
fn a_waiting_call_that_is_not_polled_again_holds_up_nobody() {
    let (log, mut pair, probe) = backpressured();
    let mut forgotten = started(probe.note(1));
    let later = started(probe.note(2));
    assert_eq!(pair.wait(later).unwrap(), 2);
    assert_eq!(log.take(), ["0", "1", "2"]);
    assert!(matches!(poll(&mut forgotten), Poll::Ready(Ok(1))));
}

#[test]
fn a_waiting_call_that_is_dropped_is_not_sent() {
    let (log, mut pair, probe) = backpressured();
    let mut dropped = probe.call(|number| async move { number }, 1);
    assert!(poll(&mut dropped).is_pending());
    let later = started(probe.note(2));
    drop(dropped);
    assert_eq!(pair.wait(later).unwrap(), 2);
    assert_eq!(log.take(), ["0", "2"]);
    assert_eq!(pair.recorded(Side::Connecting).iter().filter(|frame| frame.contains("call")).count(), 0);
    drop(probe);
    pair.assert_empty();
    assert_eq!(pair.connecting().report().unwritten_bytes, 0);
}

#[test]
fn of_two_waiting_calls_with_one_stream_the_second_fails_here() {
    let (_log, mut pair, probe) = backpressured();
    let body = Body::from(Bytes::from(b"once"));
    let blob = Value::Blob(Box::new(Blob { content_type: String::new(), body }));
    let first = started(probe.echo(blob.clone()));
    let second = started(probe.echo(blob));
    let error = pair.wait(second).unwrap_err();
    assert_eq!((error.kind(), error.fate()), (ErrorKind::Encode, Fate::NotSent));
    assert!(error.message().contains("passed on"), "{error}");
    assert!(pair.wait(first).is_ok());
}

#[test]
fn of_two_waiting_calls_with_one_stream_a_pipelined_second_is_refused_there() {
    let (_log, mut pair, probe) = backpressured();
    let body = Body::from(Bytes::from(b"once"));
    let blob = Value::Blob(Box::new(Blob { content_type: String::new(), body }));
    let first = started(probe.echo(blob.clone()));
    let echoed = probe.cap().invoke::<ProbeClient>("echo", (blob,)).pipeline();
    // It has been sent: the peer knows that there is no stream.
    let error = pair.wait(echoed.cap().read::<Value>()).unwrap_err();
    assert_eq!((error.kind(), error.fate()), (ErrorKind::Rejected, Fate::Answered));
    assert!(error.message().contains("passed on"), "{error}");
    assert!(pair.wait(first).is_ok());
}

#[test]
fn a_waiting_call_fails_as_not_sent_when_the_session_ends() {
    let (_log, pair, probe) = backpressured();
    let mut waiting = started(probe.note(1));
    let pipelined = probe.make().pipeline();
    pair.connecting().close("cut");
    let Poll::Ready(Err(error)) = poll(&mut waiting) else { panic!("nothing hangs") };
    assert_eq!((error.kind(), error.fate()), (ErrorKind::Disconnected, Fate::NotSent));
    let Poll::Ready(Err(error)) = poll(&mut pipelined.note(2)) else { panic!("nothing hangs") };
    assert_eq!(error.fate(), Fate::NotSent);
}

#[test]
fn a_result_that_was_not_asked_for_yet_can_be_handed_out_meanwhile() {
    // The peer is answered with the result of a call that waits for room.
    let (log, mut pair, probe) = backpressured();
    let waiting = started(probe.note(1));
    let there = probe.clone();
    let hands_out = Func::<fn() -> ProbeClient>::new(move || {
        let made = there.make().pipeline();
        async move { made }
    });
    let mut peer = accepting(hands_out);
    peer.receive(r#"["stream",["pipeline",0,[],[]]]"#);
    assert_eq!(peer.frames(), [r#"["resolve",1,["export",-1]]"#]);
    peer.receive(r#"["stream",["pipeline",-1,["note"],[2]]]"#);
    assert_eq!(pair.wait(waiting).unwrap(), 1);
    pair.settle();
    assert_eq!(log.take(), ["0", "1", "2"]);
}

#[test]
fn callers_that_wait_are_counted_among_the_calls_without_an_answer() {
    let log = Log::default();
    let few = limits(|limits| (limits.unwritten_bytes_soft, limits.calls) = (1, 2));
    let mut pair = connected_within(log.probe(), few);
    let probe: ProbeClient = pair.index();
    pair.clear();
    let (mut sent, mut waiting) = (probe.note(1), probe.note(2));
    assert!(poll(&mut sent).is_pending() && poll(&mut waiting).is_pending());
    let Poll::Ready(Err(error)) = poll(&mut probe.note(3)) else { panic!("there is no room for a third") };
    assert_eq!((error.limit(), error.fate()), (Some(LimitKind::Calls), Fate::NotSent));
    assert_eq!(pair.wait(waiting).unwrap(), 2);
    assert_eq!(pair.wait(sent).unwrap(), 1);
}
