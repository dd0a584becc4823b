//! Too much at once: what waits, what fails, and what must go on.

use super::*;
use crate::{ErrorKind, Fate};

fn limits(change: impl FnOnce(&mut Limits)) -> Limits {
    let mut limits = Limits::default();
    change(&mut limits);
    limits
}

#[test]
fn calls_past_the_limit_are_parked_and_started_in_order() {
    let log = Log::default();
    let mut pair = Pair::with_limits(log.probe(), limits(|limits| limits.running_calls = 2));
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
    let mut pair = Pair::with_limits(log.probe(), limits(|limits| limits.running_calls = 1));
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
    let mut pair = Pair::with_limits(log.probe(), limits(|limits| limits.running_calls = 1));
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
    pair.settle();
    assert_eq!(pair.tables(), [Tables::default(); 2]);
}

#[test]
fn too_many_bytes_parked_end_the_session_of_the_peer_that_sent_them() {
    let log = Log::default();
    let small = limits(|limits| (limits.running_calls, limits.parked_bytes) = (1, 1_000));
    let mut pair = Pair::with_limits(log.probe(), small);
    let probe: ProbeClient = pair.index();
    probe.wait(0).send().unwrap();
    let mut parked = probe.echo(Value::from("x".repeat(2_000)));
    assert!(poll(&mut parked).is_pending());
    pair.settle();
    let Poll::Ready(Err(error)) = poll(&mut parked) else { panic!("the session should have ended") };
    assert!(error.message().contains("more than 1000 bytes of calls are waiting"), "{error}");
    assert_eq!(pair.b.link.closed_error().kind(), ErrorKind::Limit);
}

#[test]
fn two_sides_at_their_limit_whose_handlers_call_back_go_on() {
    let log = Log::default();
    let mut pair = Pair::with_limits(log.probe(), limits(|limits| limits.running_calls = 1));
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
    let mut pair = Pair::with_limits(log.probe(), small);
    let probe: ProbeClient = pair.index();
    pair.clear_sent();
    let text = Value::from("x".repeat(900));
    probe.echo(text.clone()).send().unwrap();
    probe.echo(text.clone()).send().unwrap();
    let mut awaited = probe.note(1);
    assert!(poll(&mut awaited).is_pending());
    probe.echo(text.clone()).send().unwrap();
    let error = probe.echo(text.clone()).send().unwrap_err();
    assert_eq!((error.kind(), error.fate()), (ErrorKind::Limit, Fate::NotSent));
    let broken = probe.echo(text).pipeline_cap();
    let Poll::Ready(Err(error)) = poll(&mut broken.read::<Value>()) else { panic!("it was not sent") };
    assert_eq!(error.fate(), Fate::NotSent);
    pair.a.flush();
    assert_eq!(pair.a.sent.len(), 3, "the awaited call was not sent yet: {:?}", pair.a.sent);
    assert_eq!(pair.wait(awaited).unwrap(), 1);
}

#[test]
fn arguments_longer_than_a_frame_are_not_sent() {
    let log = Log::default();
    let mut pair = Pair::with_limits(log.probe(), limits(|limits| limits.frame_bytes = 1_000));
    let probe: ProbeClient = pair.index();
    let error = pair.wait(probe.echo(Value::from("x".repeat(1_000)))).unwrap_err();
    assert_eq!((error.kind(), error.fate()), (ErrorKind::Limit, Fate::NotSent));
    assert_eq!(pair.wait(probe.note(1)).unwrap(), 1);
}
