//! Values that keep identity, read as types that do not.

use std::sync::atomic::{AtomicUsize, Ordering};

use serde::Deserialize;
use serde::de::{DeserializeOwned, IgnoredAny};

use super::*;

#[derive(Debug, Deserialize)]
struct Tree {
    #[allow(dead_code)]
    name: String,
    #[serde(default)]
    next: Vec<Tree>,
}

fn misfit<T: DeserializeOwned + std::fmt::Debug>(body: &LivePayload) -> String {
    let error = decode::<T>(body).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Decode);
    error.to_string()
}

#[test]
fn a_shared_value_is_read_wherever_it_occurs() {
    let tree: Tree =
        decode(&body(r#"{"name":"root","next":[[<0>,<0>]]}"#, &[r#"{"name":"leaf","next":<1>}"#, "[[]]"]))
            .unwrap();
    assert_eq!((tree.next.len(), tree.next[1].name.as_str()), (2, "leaf"));
    let pair = body("[[<0>,<0>]]", &[" 5 "]);
    assert_eq!(decode::<(u8, f64)>(&pair).unwrap(), (5, 5.0));
    assert_eq!(decode::<(Option<u8>, i128)>(&pair).unwrap(), (Some(5), 5));
    assert_eq!(decode::<[Option<u8>; 2]>(&body("[[<0>,<0>]]", &["null"])).unwrap(), [None, None]);
    assert_eq!(decode::<[crate::Date; 2]>(&pair).unwrap()[1], crate::Date::from_millis(5.0));
    assert_eq!(decode::<[Vec<u8>; 2]>(&body("[[<0>,<0>]]", &[r#"["bytes","AQ"]"#])).unwrap(), [[1], [1]]);
    assert_eq!(
        decode::<Vec<Vec<Vec<u8>>>>(&body("[[<0>,<0>]]", &["[[<1>]]", "[[1]]"])).unwrap(),
        [[[1]], [[1]]]
    );
    assert_eq!(decode::<u8>(&body("<0>", &["<1>", "<2>", "5"])).unwrap(), 5);
    assert_eq!(decode::<Option<Option<u8>>>(&body("<0>", &["<1>", "null"])).unwrap(), None);
    let json: serde_json::Value = decode(&body(r#"{"a":<0>,"b":<0>}"#, &[r#"{"c":[[1]]}"#])).unwrap();
    assert_eq!(json, serde_json::json!({"a":{"c":[1]},"b":{"c":[1]}}));

    #[derive(Debug, PartialEq, Deserialize)]
    enum RefKind {
        Circle(f64),
        None,
    }
    let shapes: Vec<RefKind> = decode(&body("[[<0>,<1>]]", &[r#"{"Circle":2}"#, r#""None""#])).unwrap();
    assert_eq!(shapes, [RefKind::Circle(2.0), RefKind::None]);
    assert_eq!(shared(&decode(&pair_of("[[1,2]]")).unwrap()).read::<Vec<u8>>().unwrap(), [1, 2]);
}

fn pair_of(node: &str) -> LivePayload {
    body("<0>", &[node])
}

#[test]
fn a_value_inside_itself_is_an_error_that_says_where() {
    let inside = |root: &str, nodes: &[&str]| misfit::<Tree>(&body(root, nodes));
    let message = inside("<0>", &[r#"{"name":"a","next":[[<0>]]}"#]);
    assert_eq!(message, "the value contains itself at `next[0]`");
    let message = inside(
        r#"{"name":"r","next":[[{"name":"[,:"},<1>]]}"#,
        &[
            r#"{"name":"a","next":[[{"name":"]","next":<2>}]]}"#,
            r#"{"name":"b","next":[[{"next":[[]],"name":"c"},<0>]]}"#,
            "[[<1>]]",
        ],
    );
    assert_eq!(message, "the value contains itself at `next[1].next[1].next[0].next[0]`");
    assert_eq!(misfit::<Option<u8>>(&body("<0>", &["<1>", "<0>"])), "the value contains itself");
    assert_eq!(
        misfit::<serde_json::Value>(&body(r#"{"e":["error","Error","m",null,{"x y":<0>}]}"#, &["[[<0>]]"])),
        "the value contains itself at `e.x y[0]`"
    );
    let long = format!(r#"{{"{}":<0>}}"#, "k".repeat(1000));
    assert!(misfit::<serde_json::Value>(&body("<0>", &[&long])).len() < 120);
}

#[test]
fn an_argument_inside_itself_says_where_in_that_argument() {
    let args = body("[[[1]],[[[[<0>]]]]]", &[r#"{"a":<0>}"#]);
    let failed = super::super::slot::decode_args(&args, |args| {
        args.argument::<Vec<u8>>()?;
        args.argument::<serde_json::Value>()
    });
    assert_eq!(failed.unwrap_err().to_string(), "the value contains itself at `[0][0].a`");
}

#[test]
fn what_a_type_leaves_out_may_contain_itself() {
    #[derive(Deserialize)]
    struct Name {
        name: String,
        #[serde(default)]
        rest: IgnoredAny,
    }

    let cyclic = body("<0>", &[r#"{"parent":<0>,"name":"n","rest":<0>}"#]);
    let Name { name, rest: IgnoredAny } = decode(&cyclic).unwrap();
    assert_eq!(name, "n");
    decode::<()>(&cyclic).unwrap();
    let value: Value = decode(&cyclic).unwrap();
    assert_eq!(shared(&value).read::<Name>().unwrap().name, "n");
}

#[test]
fn a_small_message_does_not_become_a_huge_value() {
    // Each holds the next many times.
    let nodes: Vec<_> = (1..=20)
        .map(|next| format!("[[{}]]", vec![format!("<{next}>"); 20].join(",")))
        .chain(["[[]]".to_owned()])
        .collect();
    let laughs = body("<0>", &nodes.iter().map(String::as_str).collect::<Vec<_>>());
    assert_eq!(misfit::<serde_json::Value>(&laughs), "the value unfolds into more than 33554432 bytes");
    #[derive(Debug, Deserialize)]
    struct Lists(#[allow(dead_code)] Vec<Lists>);
    assert!(misfit::<Lists>(&laughs).contains("unfolds into more than"));
    let error = cannot_unfold(laughs.clone(), 32 << 20);
    assert_eq!(error.kind(), ErrorKind::Limit);
    // As itself it costs nothing.
    let value: Value = decode(&laughs).unwrap();
    assert_eq!(sent(&value).len(), 22);
}

#[test]
fn a_small_message_does_not_become_many_large_structures() {
    static MADE: AtomicUsize = AtomicUsize::new(0);

    #[derive(Debug)]
    struct Room(#[allow(dead_code)] [u64; 128]);

    impl Default for Room {
        fn default() -> Self {
            MADE.fetch_add(1, Ordering::Relaxed);
            Self([0; 128])
        }
    }

    #[derive(Debug, Default, Deserialize)]
    #[serde(default)]
    #[allow(dead_code)]
    struct Large {
        next: Vec<Large>,
        #[serde(skip)]
        room: Room,
    }

    let nodes: Vec<_> = (1..=24).map(|next| format!(r#"{{"next":[[<{next}>,<{next}>]]}}"#)).collect();
    let nodes: Vec<_> = nodes.iter().map(String::as_str).chain(["{}"]).collect();
    // One that is short is read many times, and stands beside itself in the one text.
    let wide = format!(r#"{{"next":[[{}]]}}"#, vec!["{}"; 1_000].join(","));
    let many = format!(r#"{{"next":[[{}]]}}"#, vec!["<1>"; 1_000].join(","));
    for laughs in [body("<0>", &nodes), body("<0>", &[&many, &wide])] {
        MADE.store(0, Ordering::Relaxed);
        assert!(misfit::<Large>(&laughs).contains("unfolds into more than"));
        let made = MADE.load(Ordering::Relaxed);
        assert!(made <= (32 << 20) / 1_000, "{made}");
    }
    // A value in one place takes its own size.
    decode::<Large>(&Payload::plain(many.replace("<1>", "{}"))).unwrap();
}

#[test]
fn values_that_came_later_count_inside_a_shared_one() {
    let later = PayloadRef::value(Payload::plain(format!("\"{}\"", "x".repeat(1 << 20))));
    let mut many = payload(&format!("[[{}]]", vec!["<0>"; 100].join(",")), &["[[<9>]]"], &[]);
    for slot in &mut many.refs {
        if matches!(slot.to, PayloadRef::Inner(9)) {
            slot.to = later.clone();
        }
    }
    let many = tie(many);
    assert!(misfit::<Vec<Vec<String>>>(&many).contains("unfolds into more than"));
    assert_eq!(flatten(many, 2 << 20).unwrap().nodes.len(), 1);
}

#[test]
fn long_chains_are_read_without_stack_for_their_length() {
    let chain = |open: &str, close: &str| {
        let nodes: Vec<_> =
            (1..=100_000).map(|next| format!("{open}<{next}>{close}")).chain(["1".to_owned()]).collect();
        body("<0>", &nodes.iter().map(String::as_str).collect::<Vec<_>>())
    };
    assert_eq!(misfit::<u8>(&chain("", "")), "the value nests too deep");
    assert_eq!(misfit::<Option<u8>>(&chain("", "")), "the value nests too deep");
    assert!(misfit::<serde_json::Value>(&chain("[[", "]]")).contains("nests too deep"));
    assert_eq!(misfit::<Cap>(&chain("", "")), "the value nests too deep");
}
