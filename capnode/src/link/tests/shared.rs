//! Values with identity, to a peer whose language has no words for it.

use super::*;
use crate::value::GraphBuilder;
use crate::{Error, ErrorKind, Fate};

/// A list of itself, or of what is twice the same.
fn list(of_itself: bool) -> Value {
    let mut graph = GraphBuilder::new();
    let (list, element) = (graph.node(), graph.node());
    graph.set(&list, &[if of_itself { &list } else { &element }, &element]).unwrap();
    graph.set(&element, &[1]).unwrap();
    graph.finish(list).unwrap()
}

fn echo() -> Func<fn(bool) -> Value> {
    crate::IntoFunc::into_func(|of_itself: bool| async move { list(of_itself) })
}

#[test]
fn a_result_is_written_out_and_one_that_contains_itself_is_an_error() {
    let mut pair = Pair::new(echo());
    let function: Cap = pair.a.link.peer_index();
    let one = Value::Array(vec![1.into()]);
    let result: Result<Value, Error> = pair.wait(function.apply((false,)));
    assert_eq!(result.unwrap(), Value::Array(vec![one.clone(), one]));
    let result: Result<Value, Error> = pair.wait(function.apply((true,)));
    let error = result.unwrap_err();
    assert_eq!(error.to_string(), "the value contains itself, which Cap'n Web cannot say");
    assert_eq!(error.fate(), Fate::Answered);
    drop(function);
    pair.settle();
    assert_eq!(pair.tables()[0], Tables::default());
}

#[test]
fn an_argument_that_contains_itself_is_not_sent() {
    let mut pair = Pair::new(echo());
    let function: Cap = pair.a.link.peer_index();
    pair.clear_sent();
    let result: Result<Value, Error> = pair.wait(function.apply((list(true),)));
    let error = result.unwrap_err();
    assert_eq!((error.kind(), error.fate()), (ErrorKind::Encode, Fate::NotSent));
    assert!(pair.a.sent.is_empty());
}
