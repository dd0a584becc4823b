//! Tests of references: lending, reference counts and releases.

use super::*;

#[test]
fn each_side_counts_its_calls_from_one_and_its_exports_from_minus_one() {
    let mut pair = Pair::unmarked();
    assert_eq!(pair.near.call(0, Path::Empty, None, ReturnMode::Retained), 1);
    assert_eq!(pair.near.call(0, Path::Empty, None, ReturnMode::Streamed), 2);
    assert_eq!(pair.far.call(0, Path::Empty, None, ReturnMode::Streamed), 1);
    assert_eq!((pair.near.export(OBJECT), pair.near.export(OTHER)), (-1, -2));
    assert_eq!(pair.far.export(OBJECT), -1);
    pair.settle();
    let numbers: Vec<_> = events(&mut pair.far)
        .iter()
        .map(|event| match event {
            Event::Call { answer, .. } => *answer,
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(numbers, [1, 2]);
}

#[test]
fn an_unmarked_peer_gets_a_new_id_each_time() {
    let mut session = accepting();
    assert_eq!((session.export(OBJECT), session.export(OBJECT)), (-1, -2));
    assert_eq!(say(&mut session, [release(-1, 1)]), [Event::ExportReleased { export: -1 }]);
    assert_eq!(session.export(OBJECT), -3);
    assert_eq!(session.tables().exports, 2);
}

#[test]
fn a_marked_peer_gets_the_id_it_has_and_that_is_counted() {
    let mut session = extended();
    assert_eq!((session.export(OBJECT), session.export(OBJECT), session.export(OTHER)), (-1, -1, -2));
    assert_eq!(say(&mut session, [release(-1, 1)]), []);
    assert_eq!(session.export(OBJECT), -1);
    assert_eq!(say(&mut session, [release(-1, 2)]), [Event::ExportReleased { export: -1 }]);
    assert_eq!(session.export(OBJECT), -3, "an id is never used again");
}

#[test]
fn an_export_from_before_the_mark_keeps_its_id() {
    let mut session = accepting();
    assert_eq!(session.export(OBJECT), -1);
    session.handle(Message::Hello).unwrap();
    assert_eq!((session.export(OBJECT), session.export(OBJECT)), (-2, -2));
    assert_eq!(say(&mut session, [release(-1, 1)]), [Event::ExportReleased { export: -1 }]);
    assert_eq!(session.export(OBJECT), -2, "the newer id lives on");
}

#[test]
fn the_last_handle_gives_back_all_that_was_lent() {
    let mut pair = Pair::extended();
    pair.lend(OBJECT);
    pair.lend(OBJECT);
    pair.near.drop_import(-1);
    assert_eq!(messages(&mut pair.near), []);
    pair.near.drop_import(-1);
    assert_eq!(messages(&mut pair.near), [release(-1, 2)]);
    assert_eq!(say(&mut pair.far, [release(-1, 2)]), [Event::ExportReleased { export: -1 }]);
    assert!(pair.all_is_given_back());
}

#[test]
fn the_index_is_never_given_back() {
    let mut pair = Pair::extended();
    pair.near.hold(0);
    pair.near.drop_import(0);
    assert_eq!(messages(&mut pair.near), []);
    pair.near.call(0, Path::Empty, None, ReturnMode::Streamed);
    pair.settle();
    assert!(matches!(pair.far_event(), Event::Call { expression: Expression::Call { target: 0, .. }, .. }));
}

#[test]
fn references_in_arguments_are_counted_also_inside_a_call_in_them() {
    let mut session = accepting();
    let inner = ReceiverRef {
        id: 0,
        path: Path::name("f"),
        args: Some(Box::new(references([CapDescriptor::SenderHosted(-2), CapDescriptor::SenderPromise(-3)]))),
        awaited: true,
    };
    let args = references([CapDescriptor::SenderHosted(-1), CapDescriptor::ReceiverHosted(inner)]);
    let events = say(&mut session, [call(0, args, ReturnMode::Streamed)]);
    let Some(Event::Call { expression: Expression::Call { args: Some(args), .. }, .. }) = events.first()
    else {
        panic!("{events:?}")
    };
    let CapDescriptor::ReceiverHosted(ReceiverRef { args: Some(inner), .. }) = &args.refs[1].to else {
        panic!("{args:?}")
    };
    assert_eq!(args.refs[0].to, CapDescriptor::SenderHosted(-1));
    assert_eq!(
        (&inner.refs[0].to, &inner.refs[1].to),
        (&CapDescriptor::SenderHosted(-2), &CapDescriptor::SenderPromise(-3))
    );
    assert_eq!(session.tables().imports, 3);
}

#[test]
fn a_promise_is_answered_without_being_asked_for_and_then_given_back_once() {
    let mut session = accepting();
    assert_eq!(taken(&say(&mut session, [resolve(7, references([CapDescriptor::SenderPromise(-1)]))])), NONE);
    assert_eq!(messages(&mut session), []);
    let events = say(&mut session, [resolve(-1, text("5"))]);
    assert_eq!(events, [Event::Answered { import: -1, outcome: Ok(text("5")) }]);
    assert_eq!(messages(&mut session), [release(-1, 1)]);
    say(&mut session, [resolve(-1, text("6"))]);
    assert_eq!(messages(&mut session), []);
    assert_eq!(session.tables(), Default::default());
}

#[test]
fn a_promise_may_turn_out_to_hold_another() {
    let mut session = accepting();
    say(&mut session, [resolve(7, references([CapDescriptor::SenderPromise(-1)]))]);
    say(&mut session, [resolve(-1, references([CapDescriptor::SenderPromise(-2)]))]);
    let events = say(&mut session, [Message::Answer { id: -2, outcome: Err(text("no")) }]);
    assert_eq!(events, [Event::Answered { import: -2, outcome: Err(text("no")) }]);
    assert_eq!(messages(&mut session), [release(-1, 1), release(-2, 1)]);
}
