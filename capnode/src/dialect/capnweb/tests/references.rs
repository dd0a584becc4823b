//! References among values: on the way through serde, which knows none.

use std::collections::{BTreeMap, HashMap};

use serde::{Deserialize, Serializer};

use super::*;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Holder {
    name: String,
    cap: Cap,
    maybe: Option<Cap>,
    list: Vec<Cap>,
    map: BTreeMap<String, Cap>,
    pair: (u8, Cap),
    newtype: Newtype,
    boxed: Box<Option<Cap>>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Newtype(Cap);

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
enum Plain {
    None,
    Newtype(Cap),
    Tuple(u8, Cap),
    Struct { cap: Cap },
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
enum Untagged {
    Number(u64),
    Cap(Cap),
    Record { inner: Option<Cap>, list: Vec<Untagged> },
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type")]
enum Internal {
    Struct { cap: Cap, maybe: Option<Cap> },
    Record(Record),
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Record {
    cap: Cap,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "t", content = "c")]
enum Adjacent {
    Newtype(Cap),
    Tuple(Cap, u8),
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Flat {
    x: u8,
    #[serde(flatten)]
    record: Record,
    #[serde(flatten)]
    rest: HashMap<String, Untagged>,
}

/// A value is itself again with all its references: as it was written, and as a peer's text.
#[track_caller]
fn round<T>(value: T, text: &str, caps: &[&Cap])
where
    T: Serialize + DeserializeOwned + PartialEq + std::fmt::Debug,
{
    assert_eq!(written(&value), text);
    assert_eq!(decode::<T>(&encode(&value).unwrap()).unwrap(), value);
    let caps: Vec<Cap> = caps.iter().copied().cloned().collect();
    assert_eq!(decode::<T>(&body(text, &caps)).unwrap(), value);
}

#[test]
fn references_stand_anywhere_in_a_value() {
    let [a, b, c] = [cap(), cap(), cap()];
    assert_ne!(a, b);
    round(a.clone(), r#"["export",-1]"#, &[&a]);
    let holder = Holder {
        name: "x".into(),
        cap: a.clone(),
        maybe: Some(b.clone()),
        list: vec![b.clone(), a.clone()],
        map: BTreeMap::from([("m".into(), c.clone())]),
        pair: (5, c.clone()),
        newtype: Newtype(a.clone()),
        boxed: Box::new(None),
    };
    let text = r#"{"name":"x","cap":["export",-1],"maybe":["export",-2],"list":[[["export",-3],["export",-4]]],"map":{"m":["export",-5]},"pair":[[5,["export",-6]]],"newtype":["export",-7],"boxed":null}"#;
    round(holder, text, &[&a, &b, &b, &a, &c, &c, &a]);
    round((a.clone(), b.clone()), r#"[[["export",-1],["export",-2]]]"#, &[&a, &b]);
}

#[test]
fn references_stand_in_variants() {
    let a = &cap();
    round(Plain::None, r#""None""#, &[]);
    round(Plain::Newtype(a.clone()), r#"{"Newtype":["export",-1]}"#, &[a]);
    round(Plain::Tuple(1, a.clone()), r#"{"Tuple":[[1,["export",-1]]]}"#, &[a]);
    round(Plain::Struct { cap: a.clone() }, r#"{"Struct":{"cap":["export",-1]}}"#, &[a]);
}

#[test]
fn references_survive_enums_without_a_tag() {
    let [a, b] = &[cap(), cap()];
    round(Untagged::Cap(a.clone()), r#"["export",-1]"#, &[a]);
    round(Untagged::Number(0), "0", &[]);
    let list = vec![Untagged::Cap(b.clone()), Untagged::Number(1), Untagged::Cap(a.clone())];
    let text = r#"{"inner":["export",-1],"list":[[["export",-2],1,["export",-3]]]}"#;
    round(Untagged::Record { inner: Some(a.clone()), list }, text, &[a, b, a]);
}

#[test]
fn references_survive_enums_with_a_tag() {
    let [a, b] = &[cap(), cap()];
    let both = Internal::Struct { cap: a.clone(), maybe: Some(b.clone()) };
    round(both.clone(), r#"{"type":"Struct","cap":["export",-1],"maybe":["export",-2]}"#, &[a, b]);
    let caps = [a.clone(), b.clone()];
    let late = r#"{"maybe":["export",-2],"cap":["export",-1],"type":"Struct"}"#;
    assert_eq!(decode::<Internal>(&body(late, &caps)).unwrap(), both);
    round(Internal::Record(Record { cap: a.clone() }), r#"{"type":"Record","cap":["export",-1]}"#, &[a]);
    round(Adjacent::Newtype(a.clone()), r#"{"t":"Newtype","c":["export",-1]}"#, &[a]);
    let late = r#"{"c":[[["export",-1],5]],"t":"Tuple"}"#;
    assert_eq!(decode::<Adjacent>(&body(late, &caps)).unwrap(), Adjacent::Tuple(a.clone(), 5));
}

#[test]
fn references_in_newtypes_survive_enums_without_a_tag() {
    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    #[serde(untagged)]
    enum Loose {
        Newtype(Newtype),
    }

    let a = &cap();
    round(Loose::Newtype(Newtype(a.clone())), r#"["export",-1]"#, &[a]);
    assert!(decode::<Loose>(&body("0", &[cap()])).is_err(), "a number is no reference");
}

#[test]
fn references_survive_flattening() {
    let [a, b] = &[cap(), cap()];
    let rest = HashMap::from([("more".to_owned(), Untagged::Cap(b.clone()))]);
    let flat = Flat { x: 1, record: Record { cap: a.clone() }, rest };
    round(flat, r#"{"x":1,"cap":["export",-1],"more":["export",-2]}"#, &[a, b]);
}

#[test]
fn references_are_values() {
    let [a, b] = &[cap(), cap()];
    round(Value::from(a.clone()), r#"["export",-1]"#, &[a]);
    let value = Value::from([("a", Value::Array(vec![a.clone().into(), 5.into()])), ("b", b.clone().into())]);
    round(value, r#"{"a":[[["export",-1],5]],"b":["export",-2]}"#, &[a, b]);
    let error = ErrorValue::new("E", "m").with_property("p", a.clone());
    round(Value::from(error), r#"["error","E","m",null,{"p":["export",-1]}]"#, &[a]);
    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    #[serde(untagged)]
    enum Loose {
        Record { value: Value },
        Value(Value),
    }
    round(Loose::Value(a.clone().into()), r#"["export",-1]"#, &[a]);
    round(Loose::Record { value: a.clone().into() }, r#"{"value":["export",-1]}"#, &[a]);
}

#[test]
fn references_that_nobody_takes_are_passed_over() {
    let caps = [cap(), cap(), cap()];
    let text = r#"{"x":[["export",-1]],"a":["export",-2],"b":5,"c":{"d":["export",-3]}}"#
        .replace("[[\"export\",-1]]", "[[[\"export\",-1]]]");
    #[derive(Debug, PartialEq, Deserialize)]
    struct Some {
        b: u8,
    }
    assert_eq!(decode::<Some>(&body(&text, &caps)).unwrap(), Some { b: 5 });
    let short = body(r#"[[["export",-1],["export",-2],["export",-3]]]"#, &caps);
    assert_eq!(decode::<(Cap,)>(&short).unwrap(), (caps[0].clone(),));
    decode::<()>(&body(r#"["export",-1]"#, &caps)).unwrap();
}

#[test]
fn references_in_places_of_no_text_are_found_by_name_and_number() {
    let [a, b] = [cap(), cap()];
    let value = encode(&(5, a.clone(), b.clone(), Record { cap: b.clone() })).unwrap();
    for (index, cap) in [(1, &a), (2, &b)] {
        let found = member(&value, &Key::Index(index)).unwrap();
        assert_eq!(decode::<Cap>(&found).unwrap(), *cap);
    }
    let record = member(&value, &Key::Name("3".to_owned().into())).unwrap();
    let found = member(&record, &Key::Name("cap".to_owned().into())).unwrap();
    assert_eq!(decode::<Cap>(&found).unwrap(), b);
    for missing in ["4", "+3", "03", "length", "-1"] {
        assert!(member(&value, &Key::Name(missing.to_owned().into())).is_none(), "{missing}");
    }
    assert!(member(&found, &Key::Index(0)).is_none());
}

#[test]
fn of_two_members_of_a_name_the_last_is_found() {
    let value = body(r#"{"a":1,"\u0061":2}"#, &[]);
    let found = member(&value, &Key::Name("a".to_owned().into())).unwrap();
    assert_eq!(decode::<u8>(&found).unwrap(), 2);
}

/// Types to which a peer might try to give a number for a reference.
fn is_no_reference<T: DeserializeOwned + std::fmt::Debug>(text: &str) {
    let real = [cap(), cap()];
    // Real ones are beside it, so that there are tokens to hit.
    let whole = body(&format!(r#"[[["export",-1],["export",-2],{text}]]"#), &real);
    assert!(decode::<(Cap, Cap, T)>(&whole).is_err(), "{text}");
    assert!(decode::<(Value, Untagged, T)>(&whole).is_err(), "{text}");
}

#[test]
fn nothing_a_peer_writes_is_taken_for_a_reference() {
    for text in [
        "0",
        "1",
        "[[0]]",
        "[[[[0]]]]",
        "{}",
        r#"{"$capnode::reference":0}"#,
        r#"{"$capnode::reference":{"$capnode::reference":0}}"#,
        "\"0\"",
        "null",
        r#"["undefined"]"#,
        r#"["bigint","0"]"#,
        r#"["date",0]"#,
        r#"["bytes","AA"]"#,
        "true",
    ] {
        is_no_reference::<Cap>(text);
        is_no_reference::<Newtype>(text);
        is_no_reference::<Record>(&format!(r#"{{"cap":{text}}}"#));
        is_no_reference::<Internal>(&format!(r#"{{"cap":{text},"maybe":null,"type":"Struct"}}"#));
        is_no_reference::<Adjacent>(&format!(r#"{{"c":{text},"t":"Newtype"}}"#));
        is_no_reference::<Flat>(&format!(r#"{{"x":1,"cap":{text}}}"#));
        if text != "null" && text != r#"["undefined"]"# {
            is_no_reference::<Option<Cap>>(text);
        }
    }
    #[derive(Debug, Deserialize)]
    #[serde(untagged)]
    enum OnlyCap {
        #[expect(dead_code)]
        Cap(Cap),
    }
    is_no_reference::<OnlyCap>("0");
    is_no_reference::<OnlyCap>("[[0]]");
    let real = cap();
    let whole = body(r#"[[["export",-1],0,[[0]],{"a":0}]]"#, &[real]);
    let Value::Array(values) = decode(&whole).unwrap() else { panic!() };
    assert!(values[1..].iter().all(|value| value.as_cap().is_none()));
}

#[test]
fn a_reference_is_nothing_else() {
    fn misfit<T: DeserializeOwned>() -> String {
        decode::<T>(&body(r#"["export",-1]"#, &[cap()])).map(drop).unwrap_err().to_string()
    }

    for message in [
        misfit::<u64>(),
        misfit::<String>(),
        misfit::<Vec<u8>>(),
        misfit::<Record>(),
        misfit::<Date>(),
        misfit::<Bytes>(),
        misfit::<ErrorValue>(),
    ] {
        assert!(message.contains("invalid type"), "{message}");
    }
    assert!(misfit::<Plain>().contains("expected one of the variants"));
    assert!(misfit::<serde_json::Value>().contains("invalid type"));
}

#[test]
fn a_reference_is_written_nowhere_but_in_a_session() {
    let message = "a reference can only be sent over a capnode connection, not written elsewhere";
    let errors = [
        serde_json::to_string(&cap()).unwrap_err().to_string(),
        serde_json::to_string(&Value::from(cap())).unwrap_err().to_string(),
        serde_json::to_value(Plain::Newtype(cap())).unwrap_err().to_string(),
        encode(&HashMap::from([(cap(), 1)])).unwrap_err().to_string(),
        error_data(&cap()).unwrap_err().to_string().replace("no reference can be sent here", message),
    ];
    for error in errors {
        assert_eq!(error, message);
    }
    assert!(serde_json::from_str::<Cap>("0").is_err());
}

#[test]
fn a_reference_is_not_written_elsewhere_during_an_encoding_either() {
    fn as_json<S: Serializer>(cap: &Cap, serializer: S) -> Result<S::Ok, S::Error> {
        let json = serde_json::to_string(&(1, cap)).map_err(serde::ser::Error::custom)?;
        serializer.serialize_str(&json)
    }

    fn as_json_or_none<S: Serializer>(cap: &Cap, serializer: S) -> Result<S::Ok, S::Error> {
        serde_json::to_value(cap).ok().serialize(serializer)
    }

    #[derive(Serialize)]
    struct Leaks {
        before: Cap,
        #[serde(serialize_with = "as_json")]
        leak: Cap,
    }

    #[derive(Serialize)]
    struct Copes {
        before: Cap,
        #[serde(serialize_with = "as_json_or_none")]
        no_leak: Cap,
        after: Cap,
    }

    let error = encode(&Leaks { before: cap(), leak: cap() }).unwrap_err();
    assert!(error.to_string().starts_with("a reference can only be sent"), "{error}");
    let [a, b] = [cap(), cap()];
    let copes = encode(&Copes { before: a.clone(), no_leak: cap(), after: b.clone() }).unwrap();
    let caps = copes.refs.iter().map(|slot| match &slot.to {
        PayloadRef::Cap(cap) => cap.clone(),
        _ => panic!(),
    });
    assert_eq!(caps.collect::<Vec<_>>(), [a, b]);
}

#[test]
fn a_decoding_inside_a_decoding_has_references_of_its_own() {
    #[derive(Debug)]
    struct Nests(Cap);

    impl<'de> Deserialize<'de> for Nests {
        fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            let other = cap();
            let inner: Vec<Cap> = decode(&encode(&vec![other.clone(), other.clone()]).unwrap()).unwrap();
            assert_eq!(inner, [other.clone(), other]);
            Cap::deserialize(deserializer).map(Self)
        }
    }

    let [a, b] = [cap(), cap()];
    let (first, Nests(second), third): (Cap, Nests, Cap) = decode(&encode(&(&a, &b, &a)).unwrap()).unwrap();
    assert_eq!((first, second, third), (a.clone(), b, a));
}
