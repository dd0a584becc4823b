//! Tests of limits, of ends and of leaks.

use super::*;

fn limited(exports: usize, imports: usize) -> Session {
    let limits = Limits { exports, imports, ..Limits::default() };
    Session::new(Side::Accepting, limits)
}

fn trips(session: &mut Session, message: Message) {
    assert_eq!(session.handle(message).unwrap_err().kind(), ErrorKind::Limit);
}

#[test]
fn as_many_references_may_be_lent_to_us_as_the_limit_says() {
    for last in [CapDescriptor::SenderHosted(-4), CapDescriptor::SenderPromise(-4)] {
        let mut session = limited(9, 3);
        // Calls of this side do not count.
        session.call(0, Path::Empty, None, ReturnMode::Retained);
        session.call(0, Path::Empty, None, ReturnMode::Streamed);
        let three = references([
            CapDescriptor::SenderHosted(-1),
            CapDescriptor::SenderPromise(-2),
            CapDescriptor::SenderHosted(-3),
            CapDescriptor::SenderHosted(-3),
        ]);
        say(&mut session, [resolve(7, three)]);
        trips(&mut session, resolve(7, references([last])));
    }
}

#[test]
fn what_was_given_back_makes_room_for_other_imports() {
    let mut session = limited(9, 2);
    say(
        &mut session,
        [resolve(7, references([CapDescriptor::SenderHosted(-1), CapDescriptor::SenderPromise(-2)]))],
    );
    session.hold(-1);
    session.drop_import(-1);
    say(
        &mut session,
        [
            resolve(-2, text("1")),
            resolve(7, references([CapDescriptor::SenderHosted(-3), CapDescriptor::SenderHosted(-4)])),
        ],
    );
    trips(&mut session, resolve(7, references([CapDescriptor::SenderHosted(-5)])));
}

#[test]
fn as_many_calls_and_references_may_be_held_of_us_as_the_limit_says() {
    for last in [push(0), stream(0)] {
        let mut session = limited(4, 9);
        session.export(OBJECT);
        say(&mut session, [push(0), stream(0), push(0)]);
        trips(&mut session, last);
    }
}

#[test]
fn a_call_counts_once_whether_it_runs_or_is_kept_or_both() {
    let mut session = limited(2, 9);
    say(&mut session, [push(0), stream(0)]);
    // The first runs on and is released, and the second ends, which makes room for one.
    say(&mut session, [release(1, 1)]);
    session.finish(2);
    say(&mut session, [push(0)]);
    session.finish(3);
    // The first ends as well, which makes room for one more.
    session.finish(1);
    say(&mut session, [stream(0)]);
    trips(&mut session, stream(0));
}

#[test]
fn a_cancelled_call_makes_room() {
    let mut session = limited(1, 9);
    session.handle(Message::Hello).unwrap();
    for round in 0..5 {
        let id = 2 * round + 1;
        say(&mut session, [stream(0), release(id, 1)]);
        say(&mut session, [push(0), Message::Pull(id + 1), release(id + 1, 1)]);
    }
    assert_eq!(session.tables(), Default::default());
    say(&mut session, [push(0)]);
    trips(&mut session, push(0));
}

#[test]
fn more_than_the_peer_may_hold_is_noticed_with_its_next_message() {
    let mut session = limited(2, 9);
    for number in 0..3 {
        session.export(ObjectId(number, 0));
    }
    trips(&mut session, resolve(1, text("1")));
}

#[test]
fn after_its_end_a_session_has_forgotten_everything() {
    let mut session = extended();
    session.export(OBJECT);
    session.call(0, Path::Empty, None, ReturnMode::Retained);
    session.call(0, Path::Empty, None, ReturnMode::Streamed);
    session.handle(push(0)).unwrap();
    session
        .handle(resolve(7, references([CapDescriptor::SenderHosted(-1), CapDescriptor::SenderPromise(-2)])))
        .unwrap();
    session.handle(stream(0)).unwrap();
    session.end();
    assert!(is_empty(&session));
    assert!(session.is_idle());
}

#[test]
fn a_session_is_idle_when_nobody_holds_or_awaits_anything() {
    let mut pair = Pair::extended();
    assert!(pair.near.is_idle() && pair.far.is_idle());

    pair.near.hold(0);
    assert!(!pair.near.is_idle(), "the peer's index is held");
    pair.near.drop_import(0);

    let call = pair.near.call(0, Path::Empty, None, ReturnMode::Streamed);
    pair.settle();
    assert!(!pair.near.is_idle() && !pair.far.is_idle(), "a call is under way");
    pair.near.drop_call(call);
    assert!(pair.near.is_idle());
    pair.settle();
    assert!(pair.far.is_idle());

    pair.lend(OBJECT);
    assert!(!pair.near.is_idle() && !pair.far.is_idle(), "an object is lent");
    pair.near.drop_import(-1);
    pair.settle();
    assert!(pair.near.is_idle() && pair.far.is_idle());
}

#[test]
fn a_session_is_not_idle_while_a_promise_stands_in_a_value_that_came() {
    let mut session = accepting();
    let call = session.call(0, Path::Empty, None, ReturnMode::Streamed);
    say(&mut session, [resolve(call, references([CapDescriptor::SenderPromise(-1)]))]);
    assert!(!session.is_idle());
    say(&mut session, [resolve(-1, text("1"))]);
    assert!(session.is_idle());
}
