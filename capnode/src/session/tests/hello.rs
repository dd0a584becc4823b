//! Tests of the hellos of peers of this library.

use super::*;

#[test]
fn the_connecting_side_sends_a_mark_first() {
    let mut session = Session::new(Side::Connecting, Limits::default());
    session.call(0, Path::Empty, None, ReturnMode::Streamed);
    assert_eq!(session.poll_message(), Some(Message::Hello));
    assert!(!session.is_extended());
}

#[test]
fn an_accepting_side_answers_a_mark_and_then_both_are_marked() {
    let mut pair = Pair::new();
    assert!(pair.step(Way::ToFar));
    assert!(pair.far.is_extended() && !pair.near.is_extended());
    assert!(pair.step(Way::ToNear));
    assert!(pair.near.is_extended());
    assert!(!pair.step(Way::ToFar) && !pair.step(Way::ToNear));
}

#[test]
fn an_accepting_side_sends_no_mark_that_was_not_offered() {
    let mut session = accepting();
    say(&mut session, [stream(0)]);
    session.call(0, Path::Empty, None, ReturnMode::Streamed);
    session.finish(1);
    session.answer(1, Ok(text("1")));
    assert!(!messages(&mut session).contains(&Message::Hello));
    assert!(!session.is_extended());
}

#[test]
fn a_mark_is_answered_once() {
    let mut session = accepting();
    say(&mut session, [Message::Hello, Message::Hello]);
    assert_eq!(messages(&mut session), [OFFER]);
}

#[test]
fn an_accepting_side_may_answer_with_a_mark_of_its_own() {
    let mut session = Session::new(Side::Connecting, Limits::default());
    say(&mut session, [Message::Hello, OFFER]);
    assert!(session.is_extended());
}

#[test]
fn a_connecting_side_tells_its_abilities_before_its_next_message() {
    let mut session = Session::new(Side::Connecting, Limits::default());
    assert_eq!(messages(&mut session), [Message::Hello]);
    say(&mut session, [OFFER]);
    assert_eq!((messages(&mut session), session.has_offer()), (vec![], true));
    assert_eq!(session.take_held(), [OFFER]);
    assert_eq!(session.held, []);
}

#[test]
fn only_the_first_release_of_a_result_waits_and_only_for_a_marked_peer() {
    for (extended, probes) in [(true, true), (true, false), (false, true)] {
        let probe = probes.then_some(Duration::from_secs(60));
        let mut session = Session::new(Side::Connecting, Limits { probe, ..Limits::default() });
        let calls = [(); 3].map(|()| session.call(0, Path::Empty, None, ReturnMode::Streamed));
        messages(&mut session);
        if extended {
            say(&mut session, [OFFER]);
            session.take_held();
        }
        let [first, second, third] = calls.map(|call| {
            say(&mut session, [resolve(call, text("1"))]);
            messages(&mut session)
        });
        let held = session.take_held();
        // Without probes, there may be no next message.
        if extended && probes {
            assert_eq!((first, held), (vec![], vec![release(calls[0], 1)]));
        } else {
            assert_eq!((first, held), (vec![release(calls[0], 1)], vec![]));
        }
        assert_eq!((second, third), (vec![release(calls[1], 1)], vec![release(calls[2], 1)]));
    }
}

#[test]
fn the_release_of_a_result_with_references_does_not_wait() {
    let mut session = Session::new(Side::Connecting, Limits::default());
    let call = session.call(0, Path::Empty, None, ReturnMode::Streamed);
    messages(&mut session);
    say(&mut session, [OFFER, resolve(call, references([CapDescriptor::SenderHosted(-1)]))]);
    assert_eq!(messages(&mut session), [release(call, 1)]);
}

#[test]
fn abilities_without_a_mark_are_no_message() {
    let mut session = accepting();
    assert!(session.handle(OFFER).is_err());
    let mut session = Session::new(Side::Connecting, Limits::default());
    let call = session.call(0, Path::Empty, None, ReturnMode::Streamed);
    say(&mut session, [resolve(call, text("1"))]);
    assert!(session.handle(OFFER).is_err(), "it comes before any answer");
}

#[test]
fn a_release_of_nothing_after_another_message_is_no_mark() {
    let mut session = accepting();
    say(&mut session, [stream(0), Message::Hello]);
    assert!(!session.is_extended());
    assert_eq!(messages(&mut session), []);
}

#[test]
fn a_peer_that_ignores_the_mark_never_sees_a_second_one() {
    let mut pair = Pair::new();
    pair.send();
    assert_eq!(pair.to_far.pop_front(), Some(Message::Hello));
    pair.near.call(0, Path::Empty, None, ReturnMode::Streamed);
    pair.settle();
    assert_eq!(pair.far.finish(1), ReturnDisposition::Send);
    pair.far.answer(1, Ok(text("1")));
    pair.settle();
    assert!(!pair.near.is_extended() && !pair.far.is_extended());
    assert_eq!(messages(&mut pair.near), []);
}

#[test]
fn an_accepting_side_may_use_the_marks_as_soon_as_it_has_got_one() {
    let mut pair = Pair::new();
    pair.step(Way::ToFar);
    // The hello in reply has not arrived yet. Messages after it may rely on it.
    let call = pair.far.call(0, Path::Empty, None, ReturnMode::Streamed);
    pair.far.drop_call(call);
    pair.deliver(Way::ToNear);
    let cancel = events(&mut pair.near).pop();
    assert_eq!(cancel, Some(Event::Cancel { answers: vec![1] }));
}
