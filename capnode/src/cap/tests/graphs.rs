//! Identity of values, as values of any shape.

use super::*;
use crate::cap::data::part_to_cap;

#[test]
fn what_came_as_one_value_is_one_and_is_sent_on_as_one() {
    let value: Value =
        decode(&body(r#"{"a":<1>,"b":<1>,"c":[[<0>]]}"#, &["[[1]]", r#"{"x":<0>,"y":2}"#])).unwrap();
    let (a, b) = (value.get("a").unwrap(), value.get("b").unwrap());
    assert_eq!(a, b);
    assert_ne!(value.member("c").unwrap().element(0).unwrap(), *a);
    assert_eq!(a.member("x"), value.member("c").unwrap().element(0));
    assert_eq!(a.member("y"), Some(2.into()));
    assert_eq!(a.get("y"), None);
    assert_eq!(sent(&value), [r#"{"a":<0>,"b":<0>,"c":[[<1>]]}"#, r#"{"x":<1>,"y":2}"#, "[[1]]"]);
}

#[test]
fn a_value_inside_itself_is_read_one_level_at_a_time() {
    let value: Value = decode(&body("<0>", &[r#"{"me":<0>,"n":1}"#])).unwrap();
    assert_eq!(value.member("me").unwrap().member("me").as_ref(), Some(&value));
    assert_eq!(shared(&value).get().unwrap().get("n"), Some(&1.into()));
    assert_eq!(format!("{value:?}"), "Shared(Shared(#0))");
    assert!(!format!("{:?}", shared(&value).get().unwrap()).is_empty());
    assert_eq!(sent(&value), ["<0>", r#"{"me":<0>,"n":1}"#]);
    assert_eq!(sent(&shared(&value).get().unwrap()), [r#"{"me":<0>,"n":1}"#, r#"{"me":<0>,"n":1}"#]);
}

#[test]
fn a_shared_value_stays_one_in_an_option_and_a_struct() {
    #[derive(serde::Deserialize, serde::Serialize)]
    struct Record {
        a: Option<Value>,
        b: Vec<Value>,
    }

    let record: Record = decode(&body(r#"{"a":<0>,"b":[[<0>,5]]}"#, &["{}"])).unwrap();
    assert_eq!(record.a.as_ref(), Some(&record.b[0]));
    let payload = flatten(encode(&record).unwrap(), BYTES).unwrap();
    assert_eq!(shown(&payload).0, [r#"{"a":<0>,"b":[[<0>,5]]}"#, "{}"]);
}

#[test]
fn values_of_two_messages_can_be_sent_in_one() {
    let one: Value = decode(&body("[[<0>,<0>]]", &["[[1]]"])).unwrap();
    let two: Value = decode(&body("<0>", &["[[<0>,2]]"])).unwrap();
    let both = Value::Array(vec![one.clone(), two, one]);
    assert_eq!(sent(&both), ["[[[[<0>,<0>]],<1>,[[<0>,<0>]]]]", "[[1]]", "[[<1>,2]]"]);
}

#[test]
fn references_in_shared_values_are_kept() {
    let caps = [cap(), cap()];
    let body = tie(payload("[[@0,<0>,<0>]]", &["[[@1]]"], &caps));
    let value: Value = decode(&body).unwrap();
    assert_eq!(value.element(1).unwrap().element(0), Some(caps[1].clone().into()));
    let (texts, again) = shown(&flatten(encode(&value).unwrap(), BYTES).unwrap());
    assert_eq!((texts, again), (vec!["[[@0,<0>,<0>]]".to_owned(), "[[@1]]".to_owned()], caps.to_vec()));
    // The text of a reference that is not written yet is empty.
    let unfolded = unfold(encode(&value).unwrap(), BYTES).0.unwrap();
    assert_eq!(unfolded.text.as_str(), "[[,[[]],[[]]]]");
    let unfolded: Vec<_> = unfolded.refs.into_iter().map(|slot| part_to_cap(&slot.to)).collect();
    assert_eq!(unfolded, [caps[0].clone(), caps[1].clone(), caps[1].clone()]);
}

#[test]
fn values_without_any_are_sent_as_they_are() {
    let value = encode(&vec![cap()]).unwrap();
    let text = value.text.as_str().as_ptr();
    let flat = flatten(value, BYTES).unwrap();
    assert_eq!((flat.text.as_str().as_ptr(), flat.nodes.len()), (text, 0));
}

#[test]
fn in_cap_n_web_each_occurrence_is_written_and_a_cycle_is_an_error() {
    let unfolded = |body| unfold(body, BYTES).0.unwrap().text.as_str().to_owned();
    assert_eq!(unfolded(body("[[<0>,<0>]]", &[r#"{"a":<1>}"#, "[[1]]"])), r#"[[{"a":[[1]]},{"a":[[1]]}]]"#);
    let error = cannot_unfold(body("[[<0>]]", &["[[<1>]]", "[[<0>]]"]), BYTES);
    assert_eq!(error.kind(), ErrorKind::Encode);
    assert_eq!(error.to_string(), "the value contains itself, which Cap'n Web cannot say");
    let error = cannot_unfold(body("[[<0>,<0>]]", &[r#""0123456789""#]), 60);
    assert_eq!(error.kind(), ErrorKind::Limit);
}

#[test]
fn a_value_that_would_be_too_deep_for_cap_n_web_is_an_error() {
    let chain = |length: usize, open: &str, close: &str| {
        let nodes: Vec<_> =
            (1..=length).map(|next| format!("{open}<{next}>{close}")).chain(["1".to_owned()]).collect();
        body("<0>", &nodes.iter().map(String::as_str).collect::<Vec<_>>())
    };
    for (open, close) in [("[[", "]]"), (r#"{"]\"":"#, "}")] {
        let fits = unfold(chain(255, open, close), BYTES).0.unwrap();
        assert!(crate::dialect::capnweb::from_payload::<_, Value>(&fits).is_ok());
        assert_eq!(cannot_unfold(chain(256, open, close), BYTES).kind(), ErrorKind::Limit);
    }
    assert_eq!(cannot_unfold(chain(100_000, "", ""), 1 << 30).kind(), ErrorKind::Limit);
}

#[test]
fn graphs_are_built() {
    let mut graph = GraphBuilder::new();
    let (ann, bob) = (graph.node(), graph.node());
    assert!(ann.get().unwrap_err().to_string().contains("not finished"));
    graph
        .set(&ann, &Value::from([("friends", Value::Array(vec![bob.clone().into(), ann.clone().into()]))]))
        .unwrap();
    graph.set(&bob, &HashMap::from([("friend", ann.clone())])).unwrap();
    let value = graph.finish(ann).unwrap();
    assert_eq!(sent(&value), ["<0>", r#"{"friends":[[<1>,<0>]]}"#, r#"{"friend":<0>}"#]);
    assert_eq!(value.member("friends").unwrap().element(0), Some(bob.into()));
}

#[test]
fn a_graph_that_is_wrong_is_not_built() {
    let (mut one, mut two) = (GraphBuilder::new(), GraphBuilder::new());
    let (a, b) = (one.node(), two.node());
    let fails = |result: Result<(), Error>, why: &str| {
        let error = result.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Encode);
        assert!(error.to_string().contains(why), "{error}");
    };
    fails(one.set(&b, &Value::Array(Vec::new())), "another graph");
    fails(one.set(&a, &[&b]), "not finished");
    fails(one.set(&a, &5), "a record or a list");
    fails(one.set(&a, &a), "a record or a list");
    fails(one.set(&a, &cap()), "a record or a list");
    fails(one.finish(a.clone()).map(drop), "never set");
    two.set(&b, &[1]).unwrap();
    fails(two.finish(a.clone()).map(drop), "another graph");
    fails(a.get().map(drop), "not finished");
    let never = encode(&a).unwrap();
    fails(flatten(never.clone(), BYTES).map(drop), "not there");
    fails(unfold(never.clone(), BYTES).0.map(drop), "not there");
    assert!(decode::<Vec<u8>>(&never).is_err());
}

#[test]
fn a_shared_value_is_not_written_elsewhere() {
    let value: Value = decode(&body("<0>", &["[[1]]"])).unwrap();
    let error = serde_json::to_string(&value).unwrap_err();
    assert!(error.to_string().starts_with("a shared value can only be sent"), "{error}");
}

#[test]
#[cfg_attr(target_family = "wasm", ignore = "WebAssembly has no threads")]
fn long_chains_are_dropped_without_stack_for_their_length() {
    let chain = || {
        let mut last = Value::Null;
        for _ in 0..100_000 {
            let mut graph = GraphBuilder::new();
            let node = graph.node();
            graph.set(&node, &[&last]).unwrap();
            last = graph.finish(node).unwrap();
        }
        let again: Value = decode(&encode(&last).unwrap()).unwrap();
        assert_eq!(again, last);
        assert_eq!(flatten(encode(&last).unwrap(), 1 << 30).unwrap().nodes.len(), 100_000);
        assert_eq!(cannot_unfold(encode(&last).unwrap(), 1 << 30).kind(), ErrorKind::Limit);
        drop(again);
        drop(last);

        let nodes: Vec<_> = (1..=100_000).map(|next| format!("[[<{}>]]", next % 100_000)).collect();
        let long = body("<0>", &nodes.iter().map(String::as_str).collect::<Vec<_>>());
        assert_eq!(flatten(long, 1 << 30).unwrap().nodes.len(), 100_000);
    };
    std::thread::Builder::new().stack_size(256 << 10).spawn(chain).unwrap().join().unwrap();
}

#[test]
fn what_was_shared_is_dropped_with_its_last_holder() {
    let object = std::sync::Arc::new(());
    let kept = object.clone();
    let function: crate::Func<fn()> = crate::IntoFunc::into_func(move || {
        let _kept = &kept;
        async {}
    });
    let value: Value =
        decode(&tie(payload("<0>", &["[[<0>,<1>]]", "[[<0>,@0]]"], &[Cap::from(function.clone())]))).unwrap();
    drop(function);
    let inner = value.element(1).unwrap();
    drop(value);
    assert_eq!(std::sync::Arc::strong_count(&object), 2);
    drop(inner);
    assert_eq!(std::sync::Arc::strong_count(&object), 1);
}

#[test]
fn nodes_that_are_not_there_are_an_error() {
    for broken in [body("<7>", &["1"]), payload("<0>", &[], &[])] {
        assert!(decode::<Vec<u8>>(&broken).is_err());
        assert!(flatten(broken.clone(), BYTES).is_err());
        assert!(unfold(broken, BYTES).0.is_err());
    }
    let mut outside = payload("<0>", &["1"], &[]);
    outside.nodes[0] = 50..90;
    assert!(decode::<u8>(&tie(outside)).is_err());
}
