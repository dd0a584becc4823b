//! Tests of calls: pulls, answers, releases and cancels.

use super::*;

fn cancelled(events: &[Event]) -> Vec<Id> {
    let cancelled = |event: &Event| match event {
        Event::Cancel { answers } => answers.clone(),
        _ => Vec::new(),
    };
    events.iter().flat_map(cancelled).collect()
}

#[test]
fn a_dropped_call_to_a_marked_peer_is_released_and_cancelled() {
    let mut pair = Pair::extended();
    let call = pair.near.call(0, Path::Empty, None, ReturnMode::Streamed);
    pair.settle();
    events(&mut pair.far);
    pair.near.drop_call(call);
    assert_eq!(messages(&mut pair.near), [release(1, 1)]);
    assert_eq!(say(&mut pair.far, [release(1, 1)]), [Event::Cancel { answers: vec![1] }]);
    assert_eq!(pair.far.finish(1), ReturnDisposition::Discard);
    assert!(pair.all_is_given_back());
}

#[test]
fn a_call_dropped_before_the_peer_is_known_to_be_marked_is_cancelled() {
    let mut pair = Pair::new();
    let dropped = pair.near.call(0, Path::Empty, None, ReturnMode::Streamed);
    pair.near.call(0, Path::Empty, None, ReturnMode::Streamed);
    pair.near.drop_call(dropped);
    pair.settle();
    assert_eq!(cancelled(&events(&mut pair.far)), [dropped]);
    assert_eq!(pair.near.tables().calls, 1);
}

#[test]
fn both_sides_give_a_call_the_same_number() {
    let mut pair = Pair::unmarked();
    let ids = [
        pair.near.call(0, Path::Empty, None, ReturnMode::Retained),
        pair.near.call(0, Path::Empty, None, ReturnMode::Streamed),
        pair.near.probe(None),
        pair.near.call(0, Path::Empty, None, ReturnMode::Retained),
    ];
    assert_eq!(ids, [1, 2, 3, 4]);
    pair.send();
    for message in &mut pair.to_far {
        // No frame says it.
        if let Message::Call { id, .. } | Message::Evaluate { id, .. } = message {
            *id = UNNUMBERED;
        }
    }
    pair.deliver(Way::ToFar);
    let answers = events(&mut pair.far).into_iter().filter_map(|event| match event {
        Event::Call { answer, .. } => Some(answer),
        _ => None,
    });
    assert_eq!(answers.collect::<Vec<_>>(), ids);
}

#[test]
fn a_call_of_an_unmarked_peer_is_pushed_pulled_and_released() {
    let mut session = accepting();
    let call = session.call(0, Path::Empty, None, ReturnMode::Streamed);
    let push = Message::Call {
        id: call,
        target: 0,
        path: Path::Empty,
        args: None,
        return_mode: ReturnMode::Retained,
    };
    assert_eq!(messages(&mut session), [push, Message::Pull(call)]);
    let events = say(&mut session, [resolve(call, text("1"))]);
    assert!(matches!(events[..], [Event::Answered { import: 1, .. }]));
    assert_eq!(messages(&mut session), [release(call, 1)]);
    assert_eq!((session.tables(), session.unanswered()), (Default::default(), 0));
}

#[test]
fn a_dropped_call_to_an_unmarked_peer_is_released_and_its_late_answer_is_taken_in() {
    let mut session = accepting();
    let call = session.call(0, Path::Empty, None, ReturnMode::Streamed);
    messages(&mut session);
    session.drop_call(call);
    assert_eq!(messages(&mut session), [release(call, 1)]);
    assert_eq!((session.tables(), session.unanswered()), (Default::default(), 0), "nothing is kept of it");
    let events = say(&mut session, [resolve(call, references([CapDescriptor::SenderHosted(-1)]))]);
    assert!(matches!(events[..], [Event::Answered { import: 1, .. }]));
    // The receiver of an unwanted answer releases its references.
    session.hold(-1);
    session.drop_import(-1);
    assert_eq!(messages(&mut session), [release(-1, 1)]);
    assert_eq!(session.tables(), Default::default());
    assert_eq!(session.counts().unknown_ids, 0);
}

#[test]
fn an_answer_that_crosses_the_release_of_its_call_is_taken_in() {
    let mut pair = Pair::extended();
    let call = pair.near.call(0, Path::Empty, None, ReturnMode::Streamed);
    pair.settle();
    pair.near.drop_call(call);
    assert_eq!(pair.far.finish(call), ReturnDisposition::Send);
    let id = pair.far.export(OBJECT);
    pair.far.answer(call, Ok(references([CapDescriptor::SenderHosted(id)])));
    pair.settle();
    assert_eq!(taken(&events(&mut pair.near)), [id]);
    pair.near.hold(id);
    pair.near.drop_import(id);
    pair.settle();
    assert!(pair.all_is_given_back());
}

#[test]
fn a_release_of_an_answered_stream_is_ignored_between_marked_peers() {
    let mut session = extended();
    say(&mut session, [stream(0)]);
    session.finish(1);
    session.answer(1, Ok(text("1")));
    assert_eq!(say(&mut session, [release(1, 1)]), []);
}

#[test]
fn a_release_of_a_stream_is_fatal_from_an_unmarked_peer() {
    let mut session = accepting();
    say(&mut session, [stream(0)]);
    assert_eq!(fails(&mut session, release(1, 1)), "no such export ID: 1");
    let mut session = accepting();
    say(&mut session, [stream(0)]);
    session.finish(1);
    session.answer(1, Ok(text("1")));
    assert_eq!(fails(&mut session, release(1, 1)), "no such export ID: 1");
}

#[test]
fn a_stream_is_released_once_and_as_one() {
    let mut session = extended();
    say(&mut session, [stream(0)]);
    assert_eq!(fails(&mut session, release(1, 2)), "refcount would go negative: 1 < 2");
    // A future id cannot be released either.
    assert_eq!(fails(&mut session, release(2, 1)), "no such export ID: 2");
}

#[test]
fn a_push_that_is_not_pulled_is_never_cancelled() {
    let mut session = accepting();
    assert_eq!(cancelled(&say(&mut session, [push(0), release(1, 1)])), NONE);
    assert_eq!(session.finish(1), ReturnDisposition::Discard);
}

#[test]
fn a_push_pulled_and_released_unanswered_is_cancelled() {
    let mut session = accepting();
    let events = say(&mut session, [push(0), Message::Pull(1), release(1, 1)]);
    assert_eq!(cancelled(&events), [1]);
    assert_eq!(session.finish(1), ReturnDisposition::Discard);
    assert_eq!(session.tables(), Default::default());
}

#[test]
fn an_answered_push_is_forgotten_when_released() {
    let mut session = accepting();
    say(&mut session, [push(0), Message::Pull(1)]);
    assert_eq!(session.finish(1), ReturnDisposition::Send);
    session.answer(1, Ok(text("1")));
    assert!(session.is_kept(1));
    assert_eq!(say(&mut session, [release(1, 1)]), [Event::AnswerReleased { answer: 1 }]);
    assert!(!session.is_kept(1));
}

#[test]
fn a_call_is_not_cancelled_while_calls_made_on_its_result_are_wanted() {
    let mut session = accepting();
    say(&mut session, [push(0), push(1), push(2), Message::Pull(1), Message::Pull(2), Message::Pull(3)]);
    assert_eq!(say(&mut session, [release(1, 1), release(2, 1)]), []);
    assert_eq!(cancelled(&say(&mut session, [release(3, 1)])), [3, 2, 1]);
}

#[test]
fn a_call_made_on_a_result_and_not_pulled_keeps_it_wanted_until_it_ends() {
    let mut session = accepting();
    say(&mut session, [push(0), push(1), Message::Pull(1), release(1, 1), release(2, 1)]);
    assert_eq!(events(&mut session), []);
    assert_eq!(session.finish(2), ReturnDisposition::Discard);
    assert_eq!(events(&mut session), [Event::Cancel { answers: vec![1] }]);
}

#[test]
fn a_call_whose_argument_waits_for_a_result_keeps_it_wanted() {
    let mut session = extended();
    let waits = Message::Call {
        id: UNNUMBERED,
        target: 0,
        path: Path::Empty,
        args: Some(references([home(1), home(1)])),
        return_mode: ReturnMode::Streamed,
    };
    say(&mut session, [push(0), waits, Message::Pull(1), release(1, 1)]);
    assert_eq!(events(&mut session), []);
    assert_eq!(cancelled(&say(&mut session, [release(2, 1)])), [2, 1]);
}

#[test]
fn a_value_that_waits_for_a_result_keeps_it_wanted() {
    let mut session = accepting();
    let read = ReceiverRef { id: 1, path: Path::name("a"), args: None, awaited: true };
    let value = Message::Evaluate {
        id: UNNUMBERED,
        value: references([CapDescriptor::ReceiverHosted(read)]),
        return_mode: ReturnMode::Retained,
    };
    let events = say(&mut session, [push(0), Message::Pull(1), value, release(1, 1)]);
    assert_eq!(cancelled(&events), NONE);
    assert_eq!(cancelled(&say(&mut session, [Message::Pull(2), release(2, 1)])), [2, 1]);
}

#[test]
fn a_chain_as_long_as_the_limit_is_cancelled_in_no_time() {
    let limits = Limits { cancels_per_second: u32::MAX, ..Limits::default() };
    let mut session = Session::new(Side::Accepting, limits);
    let length = 200_000;
    for id in 0..length {
        session.handle(push(id)).unwrap();
        session.handle(Message::Pull(id + 1)).unwrap();
    }
    events(&mut session);
    for id in 1..=length {
        session.handle(release(id, 1)).unwrap();
    }
    assert_eq!(cancelled(&events(&mut session)).len(), 200_000);
    assert_eq!(session.tables(), Default::default());
}

#[test]
fn a_call_cannot_use_its_own_result() {
    refuses(&mut accepting(), push(1));
    let args = Some(references([home(1)]));
    refuses(
        &mut accepting(),
        Message::Call {
            id: UNNUMBERED,
            target: 0,
            path: Path::Empty,
            args,
            return_mode: ReturnMode::Retained,
        },
    );
    refuses(
        &mut accepting(),
        Message::Evaluate { id: UNNUMBERED, value: references([home(1)]), return_mode: ReturnMode::Retained },
    );
}

#[test]
fn a_call_cannot_use_the_result_of_a_stream() {
    let mut session = extended();
    say(&mut session, [stream(0)]);
    refuses(&mut session, push(1));
}

#[test]
fn a_call_of_something_unknown_takes_its_number_and_is_refused() {
    for call in [push, stream] {
        let mut session = accepting();
        assert_eq!(refuses(&mut session, call(42)), (1, "no such entry on exports table: 42".to_owned()));
        assert_eq!(refuses(&mut session, call(-42)), (2, "no such entry on exports table: -42".to_owned()));
        assert!(matches!(say(&mut session, [call(0)])[..], [Event::Call { answer: 3, refusal: None, .. }]));
    }
}

#[test]
fn what_comes_with_something_that_is_not_there_is_counted_and_can_be_given_back() {
    let missing = |id| {
        let args =
            Some(Box::new(references([CapDescriptor::SenderHosted(-2), CapDescriptor::SenderPromise(-3)])));
        CapDescriptor::ReceiverHosted(ReceiverRef { id, path: Path::Empty, args, awaited: true })
    };
    let streams =
        CapDescriptor::Unsupported { form: "writable", with: vec![CapDescriptor::SenderHosted(-4)] };
    let args = references([CapDescriptor::SenderHosted(-1), missing(42), streams]);
    let mut session = accepting();
    let call = Message::Call {
        id: UNNUMBERED,
        target: 0,
        path: Path::Empty,
        args: Some(args.clone()),
        return_mode: ReturnMode::Retained,
    };
    session.handle(call).unwrap();
    let event = only(events(&mut session));
    let Event::Call { answer: 1, expression: Expression::Value(value), refusal: Some(_), .. } = event else {
        panic!("{event:?}")
    };
    let absent = |form, with| CapDescriptor::Unsupported { form, with };
    let missing = absent("missing", vec![CapDescriptor::SenderHosted(-2), CapDescriptor::SenderPromise(-3)]);
    let with: Vec<_> = value.refs.into_iter().map(|slot| slot.to).collect();
    assert_eq!(
        with,
        [CapDescriptor::SenderHosted(-1), missing, absent("writable", vec![CapDescriptor::SenderHosted(-4)])]
    );
    assert_eq!(session.tables().imports, 4);
    for id in [-1, -2, -3, -4] {
        session.hold(id);
        session.drop_import(id);
    }
    assert_eq!(session.finish(1), ReturnDisposition::Retain);
    assert_eq!(session.tables().imports, 0);
    assert!(session.is_kept(1), "it can be pulled");
}

#[test]
fn an_answer_with_something_that_is_not_there_is_unfit_and_an_error_with_it_is_an_error() {
    for word in [home(42), CapDescriptor::Unsupported { form: "readable", with: Vec::new() }] {
        let mut session = extended();
        let call = session.call(0, Path::Empty, None, ReturnMode::Streamed);
        let unfit = say(&mut session, [resolve(call, references([word.clone()]))]);
        assert!(matches!(unfit[..], [Event::Undecodable { import: 1, .. }]), "{unfit:?}");
        let call = session.call(0, Path::Empty, None, ReturnMode::Streamed);
        let failed =
            say(&mut session, [Message::Answer { id: call, outcome: Err(references([word.clone()])) }]);
        assert!(matches!(failed[..], [Event::Answered { import: 2, outcome: Err(_) }]));
        assert_eq!(session.tables(), Default::default());
        let abort = say(&mut session, [Message::Abort(references([word]))]);
        assert!(matches!(abort[..], [Event::Aborted { .. }]));
    }
}

#[test]
fn a_pipe_takes_a_number_and_holds_a_failed_export() {
    let mut session = accepting();
    assert_eq!(refuses(&mut session, Message::Pipe { id: UNNUMBERED }).0, 1);
    assert_eq!(session.finish(1), ReturnDisposition::Retain);
    assert!(session.is_kept(1));
    assert!(matches!(
        say(&mut session, [stream(1)])[..],
        [Event::Call { answer: 2, expression: Expression::Call { target: 1, .. }, refusal: None, .. }]
    ));
}

#[test]
fn a_pull_before_the_end_is_answered_at_the_end() {
    let mut session = accepting();
    assert!(matches!(
        say(&mut session, [push(0), Message::Pull(1)])[..],
        [Event::Call { answer: 1, refusal: None, .. }]
    ));
    assert_eq!(session.finish(1), ReturnDisposition::Send);
}

#[test]
fn a_pull_after_the_end_asks_for_the_answer() {
    let mut session = accepting();
    say(&mut session, [push(0)]);
    assert_eq!(session.finish(1), ReturnDisposition::Retain);
    assert_eq!(say(&mut session, [Message::Pull(1)]), [Event::Pull { answer: 1 }]);
}

#[test]
fn a_second_pull_gives_no_second_answer() {
    let mut session = accepting();
    say(&mut session, [push(0), push(0), Message::Pull(1), Message::Pull(1)]);
    assert_eq!(session.finish(1), ReturnDisposition::Send);
    assert_eq!(say(&mut session, [Message::Pull(1)]), [], "not even before the answer has been sent");
    session.answer(1, Ok(text("1")));
    assert_eq!(say(&mut session, [Message::Pull(1)]), []);
    session.finish(2);
    assert_eq!(say(&mut session, [Message::Pull(2), Message::Pull(2)]), [Event::Pull { answer: 2 }]);
}

#[test]
fn a_result_is_pulled_once() {
    let mut session = accepting();
    let call = session.call(0, Path::Empty, None, ReturnMode::Retained);
    session.pull(call);
    session.pull(call);
    assert_eq!(messages(&mut session)[1..], [Message::Pull(1)]);
}

#[test]
fn a_pull_of_no_call_is_refused_by_whoever_keeps_the_objects() {
    let mut session = accepting();
    session.export(OBJECT);
    let events = say(&mut session, [Message::Pull(0), Message::Pull(-1), Message::Pull(-1)]);
    assert_eq!(events, [0, -1, -1].map(|export| Event::PullObject { export }));
}

#[test]
fn a_pull_of_something_unknown_is_refused_by_whoever_keeps_the_objects() {
    let mut session = accepting();
    assert_eq!(say(&mut session, [Message::Pull(99)]), [Event::PullObject { export: 99 }]);
    say(&mut session, [stream(0), push(0), release(2, 1)]);
    assert_eq!(say(&mut session, [Message::Pull(2)]), [Event::PullObject { export: 2 }]);
    assert_eq!(say(&mut session, [Message::Pull(1)]), [], "its answer comes by itself, once");
}

#[test]
fn answers_to_unknown_calls_are_ignored_but_what_they_lend_is_counted() {
    let mut session = accepting();
    say(&mut session, [resolve(77, references([CapDescriptor::SenderHosted(-1)]))]);
    say(
        &mut session,
        [Message::Answer { id: -77, outcome: Err(references([CapDescriptor::SenderHosted(-2)])) }],
    );
    assert_eq!(session.tables().imports, 2);
    session.hold(-1);
    session.drop_import(-1);
    assert_eq!(messages(&mut session), [release(-1, 1)]);
}

#[test]
fn an_answer_that_was_not_asked_for_is_no_answer() {
    let mut session = accepting();
    let call = session.call(0, Path::Empty, None, ReturnMode::Retained);
    say(&mut session, [resolve(call, text("1"))]);
    session.pull(call);
    assert_eq!(session.tables().calls, 1);
    assert_eq!(messages(&mut session)[1..], [Message::Pull(call)]);
}

#[test]
fn a_result_is_used_before_and_after_its_answer_and_given_back_once() {
    let mut pair = Pair::unmarked();
    let call = pair.near.call(0, Path::Empty, None, ReturnMode::Retained);
    let next = pair.near.call(call, Path::name("next"), None, ReturnMode::Streamed);
    pair.near.pull(call);
    pair.settle();
    let arrived = events(&mut pair.far);
    assert!(matches!(
        arrived[..],
        [
            Event::Call { expression: Expression::Call { target: 0, .. }, .. },
            Event::Call { expression: Expression::Call { target: 1, .. }, .. }
        ]
    ));
    for answer in [call, next] {
        assert_eq!(pair.far.finish(answer), ReturnDisposition::Send);
        pair.far.answer(answer, Ok(text("1")));
    }
    pair.settle();
    assert_eq!(pair.near.tables().calls, 0);
    pair.near.call(call, Path::name("again"), None, ReturnMode::Streamed);
    pair.settle();
    let arrived = events(&mut pair.far);
    assert!(matches!(
        arrived[..],
        [
            Event::AnswerReleased { answer: 2 },
            Event::Call { answer: 3, expression: Expression::Call { target: 1, .. }, .. }
        ]
    ));
    pair.far.finish(3);
    pair.far.answer(3, Ok(text("1")));
    pair.settle();
    assert_eq!(pair.far_event(), Event::AnswerReleased { answer: 3 });
    pair.near.drop_import(call);
    pair.settle();
    assert_eq!(pair.far_event(), Event::AnswerReleased { answer: 1 });
    assert!(pair.all_is_given_back());
}

#[test]
fn calls_arrive_in_the_order_sent_whatever_their_answers_do() {
    let mut pair = Pair::extended();
    let ids: Vec<_> = (0..5).map(|_| pair.near.call(0, Path::Empty, None, ReturnMode::Streamed)).collect();
    pair.settle();
    let arrived = events(&mut pair.far);
    let numbers = arrived.iter().map(|event| match event {
        Event::Call { answer, .. } => *answer,
        other => panic!("{other:?}"),
    });
    assert_eq!(numbers.collect::<Vec<_>>(), ids);
    for id in ids.iter().rev() {
        pair.far.finish(*id);
        pair.far.answer(*id, Ok(text("1")));
    }
    pair.settle();
    assert_eq!(events(&mut pair.near).len(), 5);
    assert!(pair.all_is_given_back());
}
