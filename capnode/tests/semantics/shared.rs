//! Values with identity, to a peer whose language has no words for it.

use crate::harness::*;
use crate::names::failed;
use capnode::value::GraphBuilder;

/// A list that contains itself, or one element twice.
fn list(of_itself: bool) -> Value {
    let mut graph = GraphBuilder::new();
    let (list, element) = (graph.node(), graph.node());
    graph.set(&list, &[if of_itself { &list } else { &element }, &element]).unwrap();
    graph.set(&element, &[1]).unwrap();
    graph.finish(list).unwrap()
}

fn echo() -> Func<fn(bool) -> Value> {
    capnode::IntoFunc::into_func(|of_itself: bool| async move { list(of_itself) })
}

#[test]
fn a_result_is_written_out_and_one_that_contains_itself_is_an_error() {
    let mut pair = connected(echo());
    let function: Cap = pair.connecting().index();
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
    let mut pair = connected(echo());
    let function: Cap = pair.connecting().index();
    pair.clear();
    let result: Result<Value, Error> = pair.wait(function.apply((list(true),)));
    let error = result.unwrap_err();
    assert_eq!((error.kind(), error.fate()), (ErrorKind::Encode, Fate::NotSent));
    assert!(pair.recorded(Side::Connecting).is_empty());
}

#[test]
fn what_is_shared_inside_an_error_is_left_out_of_it() {
    for (reason, left) in [
        (r#"{"message":"no","data":{"own":1},"more":{"$":"/!/data"},"own":2}"#, Some(2)),
        (r#"{"message":"no","data":[{"$":""}],"more":{"data":{"$":"/!"}},"own":3}"#, Some(3)),
        (r#"{"message":"no","own":4,"data":{"list":[1,2,3]},"more":{"$":"/!/data/list"}}"#, Some(4)),
        (r#"{"own":5,"itself":{"$":""}}"#, None),
        (r#"[[],{"$":"/!/0"}]"#, None),
        (r#"{"$":""}"#, None),
    ] {
        let error =
            failed(Dialect::Q, &format!(r#"{{"type":"resolve","to":@,"resolution":{{"!":{reason}}}}}"#));
        assert_eq!(error.kind(), ErrorKind::Rejected, "{reason}");
        assert_eq!(error.property::<u32>("own"), left, "{reason}");
        assert_eq!(error.property::<Vec<u32>>("data"), None, "{reason}");
    }
}
