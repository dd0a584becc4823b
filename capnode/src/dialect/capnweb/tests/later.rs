//! Values that came for promises, which stand inside others.

use std::collections::HashMap;

use serde::Deserialize;

use super::*;

#[derive(Debug, PartialEq, Deserialize)]
enum Plain {
    None,
}

#[derive(Debug, PartialEq, Deserialize)]
#[serde(untagged)]
enum Untagged {
    Number(u64),
    Cap(Cap),
}

#[derive(Debug, PartialEq, Deserialize)]
struct Record {
    cap: Cap,
}

/// The value that came for a promise, in the place of the promise.
fn settled(text: &str, inner: LivePayload) -> LivePayload {
    let placeholder = r#"["export",-1]"#;
    let mut value = body(text, &[cap()]);
    assert!(text.contains(placeholder));
    value.refs[0].to = PayloadRef::value(inner);
    value
}

#[test]
fn a_value_that_came_later_reads_as_if_it_stood_there() {
    let at = r#"["export",-1]"#;
    let list = |inner| settled(&format!("[[{at},1]]"), inner);
    assert_eq!(decode::<(u8, u8)>(&list(body("5", &[]))).unwrap(), (5, 1));
    assert_eq!(decode::<(Option<u8>, u8)>(&list(body("null", &[]))).unwrap(), (None, 1));
    assert_eq!(decode::<(Option<u8>, u8)>(&list(body("5", &[]))).unwrap(), (Some(5), 1));
    assert_eq!(decode::<(f64, u8)>(&list(body("5", &[]))).unwrap(), (5.0, 1));
    assert_eq!(decode::<(f32, u8)>(&list(body("5", &[]))).unwrap(), (5.0, 1));
    assert_eq!(decode::<(i128, u8)>(&list(body(r#"["bigint","5"]"#, &[]))).unwrap(), (5, 1));
    assert_eq!(decode::<(Vec<u8>, u8)>(&list(body(r#"["bytes","AQ"]"#, &[]))).unwrap(), (vec![1], 1));
    assert_eq!(decode::<(Vec<u8>, u8)>(&list(body("[[1,2]]", &[]))).unwrap(), (vec![1, 2], 1));
    assert_eq!(decode::<(Date, u8)>(&list(body(r#"["date",5]"#, &[]))).unwrap(), (Date::from_millis(5.0), 1));
    assert_eq!(decode::<(Plain, u8)>(&list(body(r#""None""#, &[]))).unwrap(), (Plain::None, 1));
    assert_eq!(
        decode::<(Value, u8)>(&list(body(r#"["url","x:"]"#, &[]))).unwrap().0,
        "x:".parse::<Url>().unwrap().into()
    );
    assert_eq!(decode::<((), u8)>(&list(body("{}", &[]))).unwrap(), ((), 1));
    let real = cap();
    let untagged: (Untagged, u8) = decode(&list(body(at, std::slice::from_ref(&real)))).unwrap();
    assert_eq!(untagged.0, Untagged::Cap(real.clone()));
    let record: Record =
        decode(&settled(&format!(r#"{{"cap":{at}}}"#), body(at, std::slice::from_ref(&real)))).unwrap();
    assert_eq!(record.cap, real);
    let spaced = settled(&format!(" {{ \"a\" : [ [ {at} , 5 ] ] }} "), body(" 6 ", &[]));
    assert_eq!(decode::<HashMap<String, Vec<u8>>>(&spaced).unwrap()["a"], [6, 5]);
}

#[test]
fn values_that_came_later_may_nest_as_deep_as_others_and_no_deeper() {
    let at = r#"["export",-1]"#;
    let chain = |text: &str, length| (0..length).fold(body("5", &[]), |inner, _| settled(text, inner));
    let fits = chain(at, 256);
    assert_eq!(decode::<u8>(&fits).unwrap(), 5);
    let deep = chain(at, 20_000);
    let failures = [
        decode::<Value>(&deep).map(drop),
        decode::<Option<u8>>(&deep).map(drop),
        decode::<Vec<u8>>(&deep).map(drop),
        decode::<u8>(&deep).map(drop),
        decode::<f64>(&deep).map(drop),
        decode::<f32>(&deep).map(drop),
        decode::<Plain>(&deep).map(drop),
        decode::<Date>(&deep).map(drop),
        decode::<Untagged>(&deep).map(drop),
        decode::<Cap>(&deep).map(drop),
        decode::<serde_json::Value>(&chain(&format!("[[{at}]]"), 200)).map(drop),
    ];
    for failure in failures {
        let error = failure.unwrap_err();
        assert!(
            error.to_string().contains("nests too deep") || error.to_string().contains("did not match"),
            "{error}"
        );
    }
    decode::<()>(&deep).unwrap();
    // A value so deep must not be dropped as it is: the code that puts it together has to prevent that.
    std::mem::forget(deep);
}
