//! Limits of the nesting of values.

use serde::Deserialize;

use super::*;

/// Runs on a stack no larger than that of a tokio worker.
fn on_small_stack(test: impl FnOnce() + Send + 'static) {
    // In WebAssembly there is one thread, with less.
    if cfg!(target_family = "wasm") {
        return test();
    }
    let thread = std::thread::Builder::new().stack_size(2 << 20).spawn(test).unwrap();
    if let Err(panic) = thread.join() {
        std::panic::resume_unwind(panic);
    }
}

fn objects(depth: usize, inner: &str) -> String {
    format!("{}{inner}{}", "{\"k\":".repeat(depth), "}".repeat(depth))
}

fn arrays(depth: usize, inner: &str) -> String {
    format!("{}{inner}{}", "[[".repeat(depth), "]]".repeat(depth))
}

fn argument(text: &str) -> Result<Message, Error> {
    message(&format!(r#"["push",["pipeline",0,["kind"],[{text}]]]"#))
}

fn answer(text: &str) -> Result<Message, Error> {
    message(&format!(r#"["resolve",1,{text}]"#))
}

#[test]
fn an_expression_at_the_limit_is_refused() {
    on_small_stack(|| {
        for nest in [objects, arrays] {
            // Arguments are at depth 1, an answer is at 0.
            assert!(argument(&nest(254, "0")).is_ok());
            assert_eq!(argument(&nest(255, "0")).unwrap_err().kind(), ErrorKind::Limit);
            assert!(answer(&nest(255, "0")).is_ok());
            assert_eq!(answer(&nest(256, "0")).unwrap_err().kind(), ErrorKind::Limit);
        }
        for leaf in [
            "{}",
            "[[]]",
            r#"["bigint","1"]"#,
            r#"["error","E","m",null,{}]"#,
            r#"["export",-1]"#,
            r#"["import",0]"#,
        ] {
            assert!(answer(&objects(255, leaf)).is_ok(), "{leaf}");
            assert!(answer(&objects(256, leaf)).is_err(), "{leaf}");
        }
        let error = r#"["error","E","m",null,{"a":1}]"#;
        assert!(answer(&objects(254, error)).is_ok());
        assert!(answer(&objects(255, error)).is_err());
        // A call inside of something counts as four levels.
        let call = r#"["import",0,[],[1]]"#;
        assert!(answer(&objects(251, call)).is_ok());
        assert!(answer(&objects(252, call)).is_err());
    });
}

#[test]
fn the_limit_may_be_lower_but_not_higher() {
    let parse = |depth, text: &str| parse(text, &Limits { depth, ..Limits::default() });
    let kind = |depth| format!(r#"["push",["pipeline",0,["kind"],[{}]]]"#, objects(depth, "0"));
    assert!(parse(10, &kind(8)).is_ok());
    assert!(parse(10, &kind(9)).is_err());
    on_small_stack(move || assert!(parse(1_000_000, &kind(100_000)).is_err()));
}

#[test]
fn whatever_passes_fits_the_stack() {
    on_small_stack(|| {
        let calls =
            |depth: usize| format!("{}1{}", r#"["pipeline",0,[],["#.repeat(depth), "]]".repeat(depth));
        assert!(answer(&calls(63)).is_ok());
        assert!(answer(&calls(64)).is_err());
        let errors = |depth: usize| {
            format!("{}1{}", r#"["error","E","m",null,{"p":"#.repeat(depth), "}]".repeat(depth))
        };
        // Errors take more stack than other values, so that fewer levels of them fit into the stack of a value.
        for text in [objects(255, "{}"), arrays(255, "[[]]"), errors(100)] {
            let value = body(&text, &[]);
            let read: Value = decode(&value).unwrap();
            assert_eq!(written(&read), text);
            assert_eq!(read, read.clone());
            decode::<()>(&value).unwrap();
            decode::<serde_json::Value>(&value).unwrap();
            read_error(&value);
        }
        let ignored = format!(r#"["pull",1,{}]"#, "[".repeat(255) + &"]".repeat(255));
        assert!(message(&ignored).is_ok());
        assert!(message(&format!(r#"["pull",1,{}]"#, "[".repeat(100_000))).is_err());
    });
}

#[test]
fn whatever_nests_deeper_is_an_error() {
    on_small_stack(|| {
        for open in [
            "[",
            "[[",
            "{\"k\":",
            r#"["error","E","m",null,{"p":"#,
            r#"["error","E","m",["#,
            r#"["import",0,[],["#,
            r#"["inf","#,
        ] {
            for message in ["[\"push\",", "[\"abort\",", "[\"pull\",1,", "[\"resolve\",1,", ""] {
                super::message(&format!("{message}{}", open.repeat(100_000))).unwrap_err();
            }
        }
    });
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
enum Tree {
    Leaf(u8),
    Branch(Vec<Tree>),
}

#[test]
fn enums_without_a_tag_fit_the_stack_too() {
    on_small_stack(|| {
        // Each of its levels is another pass over all that is inside.
        let text = arrays(64, "[[1,2]]");
        let tree: Tree = read(&text).unwrap();
        assert_eq!(written(&tree), text);
    });
}

#[test]
fn what_a_peer_would_refuse_is_not_written() {
    on_small_stack(|| {
        let record: fn(Value) -> Value = |inner| Value::from([("k", inner)]);
        let list = |inner| Value::Array(vec![inner]);
        for outer in [record, list] {
            let nest = |depth| (0..depth).fold(Value::from(0), |inner, _| outer(inner));
            assert!(answer(&written(&nest(255))).is_ok());
            let error = encode(&nest(256)).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Encode);
            let args = write_args::<PayloadRef>(usize::MAX, |args| args.push(&nest(254))).unwrap();
            argument(args.text.as_str().strip_prefix('[').unwrap().strip_suffix(']').unwrap()).unwrap();
            assert!(write_args::<PayloadRef>(usize::MAX, |args| args.push(&nest(255))).is_err());
        }
        for leaf in [
            Value::from([] as [(&str, Value); 0]),
            Value::Array(vec![]),
            BigInt::from(1).into(),
            Bytes::default().into(),
        ] {
            let deep = |depth| (0..depth).fold(leaf.clone(), |inner, _| Value::Array(vec![inner]));
            assert!(answer(&written(&deep(255))).is_ok());
            assert!(encode(&deep(256)).is_err());
        }
        let error = ErrorValue::new("E", "m").with_property("p", 1);
        let deep = |depth| (0..depth).fold(error.clone().into(), |inner, _| Value::Array(vec![inner]));
        assert!(answer(&written(&deep(254))).is_ok());
        assert!(encode(&deep(255)).is_err());
    });
}

#[test]
fn each_kind_of_variant_is_one_level_or_two() {
    #[derive(Serialize)]
    enum Deep<'a> {
        Newtype(&'a Value),
        Tuple(&'a Value, u8),
        Struct { k: &'a Value },
    }

    on_small_stack(|| {
        let value = |depth| (0..depth).fold(Value::from(0), |inner, _| Value::Array(vec![inner]));
        let (fits, deep) = (value(254), value(255));
        assert!(answer(&written(&Deep::Newtype(&fits))).is_ok());
        assert!(encode(&Deep::Newtype(&deep)).is_err());
        let (fits, deep) = (value(253), value(254));
        assert!(answer(&written(&Deep::Tuple(&fits, 1))).is_ok());
        assert!(encode(&Deep::Tuple(&deep, 1)).is_err());
        assert!(answer(&written(&Deep::Struct { k: &fits })).is_ok());
        assert!(encode(&Deep::Struct { k: &deep }).is_err());
        // The content of a variant counts even if it is empty.
        #[derive(Serialize)]
        enum Empty {
            Struct {},
        }
        let nested = |depth| {
            (0..depth).fold(Nested::Leaf(Empty::Struct {}), |inner, _| Nested::List([Box::new(inner)]))
        };
        assert!(answer(&written(&nested(254))).is_ok());
        assert!(encode(&nested(255)).is_err());
    });

    #[derive(Serialize)]
    #[serde(untagged)]
    enum Nested<T> {
        Leaf(T),
        List([Box<Nested<T>>; 1]),
    }
}

#[test]
fn nothing_is_left_over_from_a_level_that_was_closed() {
    for one in ["[[[[1]]]]", r#"{"k":{"k":1}}"#, r#"["error","E","m",null,{"p":1}]"#, r#"["error","E","m"]"#]
    {
        let many = format!("[[{}]]", vec![one; 1000].join(","));
        let read: Vec<Value> = read(&many).unwrap();
        assert_eq!(written(&read), many);
    }
    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    enum Variant {
        Newtype(u8),
    }
    let variants: Vec<_> = (0..1000).map(|_| Variant::Newtype(1)).collect();
    assert_eq!(read::<Vec<Variant>>(&written(&variants)).unwrap(), variants);
}
