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
    let waits = call(0, references([home(1), home(1)]), ReturnMode::Streamed);
    say(&mut session, [push(0), waits, Message::Pull(1), release(1, 1)]);
    assert_eq!(events(&mut session), []);
    assert_eq!(cancelled(&say(&mut session, [release(2, 1)])), [2, 1]);
}

#[test]
fn a_value_that_waits_for_a_result_keeps_it_wanted() {
    let mut session = accepting();
    let read = ReceiverRef { id: 1, path: Path::name("a"), args: None, awaited: true };
    let value = evaluate(references([CapDescriptor::ReceiverHosted(read)]));
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
    refuses(&mut accepting(), call(0, references([home(1)]), ReturnMode::Retained));
    refuses(&mut accepting(), evaluate(references([home(1)])));
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
    session.handle(call(0, args, ReturnMode::Retained)).unwrap();
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
fn a_pipe_takes_a_number_and_holds_an_export_and_is_no_running_call() {
    let mut session = accepting();
    let opened = say(&mut session, [Message::Pipe { id: UNNUMBERED }]);
    assert!(matches!(opened[..], [Event::Pipe { answer: 1 }]), "{opened:?}");
    assert_eq!((session.tables().exports, session.tables().running), (1, 0));
    assert!(session.is_kept(1));
    assert!(matches!(
        say(&mut session, [stream(1)])[..],
        [Event::Call { answer: 2, expression: Expression::Call { target: 1, .. }, refusal: None, .. }]
    ));
}
