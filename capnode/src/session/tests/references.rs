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
fn a_release_that_crosses_another_lending_is_exact() {
    let mut pair = Pair::extended();
    pair.lend(OBJECT);
    // Both at once: the near side drops its only handle, the far side lends the object again.
    pair.near.drop_import(-1);
    assert_eq!(pair.far.export(OBJECT), -1);
    pair.far.answer(999, Ok(references([CapDescriptor::SenderHosted(-1)])));
    pair.send();
    pair.deliver(Way::ToFar);
    assert_eq!(events(&mut pair.far), [], "the near side holds it still, or rather again");
    pair.deliver(Way::ToNear);
    assert_eq!(taken(&events(&mut pair.near)), [-1]);
    pair.near.hold(-1);
    assert_eq!((pair.near.tables().imports, pair.far.tables().exports), (1, 1));
    pair.near.drop_import(-1);
    pair.settle();
    assert_eq!(pair.far_event(), Event::ExportReleased { export: -1 });
    assert!(pair.all_is_given_back());
}

#[test]
fn a_lending_that_crosses_a_release_in_the_other_order_is_exact_too() {
    let mut pair = Pair::extended();
    pair.lend(OBJECT);
    pair.near.drop_import(-1);
    pair.far.export(OBJECT);
    pair.far.answer(999, Ok(references([CapDescriptor::SenderHosted(-1)])));
    pair.send();
    pair.deliver(Way::ToNear);
    pair.near.hold(-1);
    pair.near.drop_import(-1);
    pair.settle();
    assert_eq!(events(&mut pair.far), [Event::ExportReleased { export: -1 }]);
    assert!(pair.all_is_given_back());
}

#[test]
fn a_handle_dropped_while_the_id_is_introduced_again_gives_back_nothing_yet() {
    let mut pair = Pair::extended();
    pair.lend(OBJECT);
    // The old handle is on its way out when the second introduction gets a handle of its own.
    pair.lend(OBJECT);
    pair.near.drop_import(-1);
    assert_eq!(messages(&mut pair.near), []);
    assert_eq!(pair.near.tables().imports, 1);
    pair.near.drop_import(-1);
    assert_eq!(messages(&mut pair.near), [release(-1, 2)]);
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
fn a_peer_may_give_back_the_index_and_cannot_use_it_then() {
    let mut session = accepting();
    assert_eq!(say(&mut session, [release(0, 1)]), []);
    assert_eq!(refuses(&mut session, push(0)).1, "no such entry on exports table: 0");
}

#[test]
fn a_release_of_more_than_is_held_is_an_error() {
    for mut session in [accepting(), extended()] {
        session.export(OBJECT);
        assert_eq!(fails(&mut session, release(-1, 2)), "refcount would go negative: 1 < 2");
    }
}

#[test]
fn a_release_of_something_unknown_is_an_error() {
    for mut session in [accepting(), extended()] {
        assert_eq!(fails(&mut session, release(99, 1)), "no such export ID: 99");
        assert_eq!(fails(&mut session, release(-1, 1)), "no such export ID: -1");
    }
}

#[test]
fn a_second_release_is_an_error() {
    for mut session in [accepting(), extended()] {
        session.export(OBJECT);
        say(&mut session, [release(-1, 1)]);
        assert_eq!(fails(&mut session, release(-1, 1)), "no such export ID: -1");
    }
}

#[test]
fn a_release_of_no_references_is_harmless() {
    for mut session in [accepting(), extended()] {
        session.export(OBJECT);
        say(&mut session, [push(0), stream(0)]);
        let nothing = [0, -1, 1, 2, -99, 99].map(|id| release(id, 0));
        assert_eq!(say(&mut session, nothing), []);
        assert_eq!((session.tables().exports, session.tables().running), (2, 2));
    }
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
    let events = say(
        &mut session,
        [Message::Call {
            id: UNNUMBERED,
            target: 0,
            path: Path::Empty,
            args: Some(args),
            return_mode: ReturnMode::Streamed,
        }],
    );
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
fn a_reference_sent_home_arrives_as_the_export_it_was() {
    let mut pair = Pair::extended();
    let id = pair.lend(OBJECT);
    pair.near.call(0, Path::Empty, Some(references([home(id)])), ReturnMode::Streamed);
    pair.settle();
    let Event::Call { expression: Expression::Call { args: Some(args), .. }, .. } = pair.far_event() else {
        panic!()
    };
    assert_eq!(args.refs[0].to, home(-1));
    assert_eq!(pair.far.tables().exports, 1, "that lends nothing");
}

#[test]
fn an_export_under_an_id_that_is_not_the_senders_is_an_error() {
    for id in [0, 1] {
        let mut session = accepting();
        session.call(0, Path::Empty, None, ReturnMode::Retained);
        fails(&mut session, resolve(7, references([CapDescriptor::SenderHosted(id)])));
    }
}

#[test]
fn a_promise_under_a_used_id_is_an_error() {
    for id in [0, 1, -1] {
        let mut session = accepting();
        say(&mut session, [resolve(7, references([CapDescriptor::SenderHosted(-1)]))]);
        fails(&mut session, resolve(7, references([CapDescriptor::SenderPromise(id)])));
    }
    let mut session = accepting();
    fails(
        &mut session,
        resolve(7, references([CapDescriptor::SenderPromise(-1), CapDescriptor::SenderHosted(-1)])),
    );
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
