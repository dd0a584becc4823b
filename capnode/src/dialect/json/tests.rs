use super::*;
use crate::dialect::testing::NO_JSON;

/// Returns the tree, or the kind of the error and the limit that was broken.
fn parse(text: &str) -> std::result::Result<Json<'_>, (ErrorKind, Option<LimitKind>)> {
    Json::parse(text, 8, 64).map_err(|error| (error.kind(), error.limit()))
}

#[test]
fn what_is_json_is_read_and_nothing_else() {
    for text in [
        "null",
        " true ",
        "-0.5e+7",
        "0",
        "[]",
        "[1,[2]]",
        "{}",
        r#"{"a":{"b":[]}}"#,
        r#""\u00e9\"\\\/""#,
        r#""\ud800""#,
        "\"\u{7f}é\"",
        "\t[ 1 , 2 ]\r\n",
    ] {
        let ours = parse(text);
        assert!(ours.is_ok(), "{text}");
        assert!(text.contains("\\ud") || serde_json::from_str::<serde_json::Value>(text).is_ok(), "{text}");
    }
    for text in NO_JSON.concat() {
        assert_eq!(parse(text), Err((ErrorKind::Protocol, None)), "{text}");
    }
}

#[test]
fn what_nests_too_deep_is_told_apart() {
    assert!(parse(&format!("{}{}", "[".repeat(8), "]".repeat(8))).is_ok());
    let too_deep = Err((ErrorKind::Limit, Some(LimitKind::Depth)));
    assert_eq!(parse(&"[".repeat(9)), too_deep);
    assert_eq!(parse(&"{\"a\":".repeat(1_000_000)), too_deep);
    let list = |length: usize| format!("[{}1]", "1,".repeat(length - 1));
    assert!(parse(&list(MAX_VALUES - 1)).is_ok());
    assert_eq!(parse(&list(MAX_VALUES)), Err((ErrorKind::Limit, None)));
    // Beside each other is not inside each other.
    assert!(parse(&format!("[{}0]", "[],{},".repeat(100))).is_ok());
}

#[test]
fn of_equal_keys_the_last_counts() {
    let json = parse(r#"{"a":1,"b":2,"a":3,"\u0062":4}"#).unwrap();
    assert_eq!(json, Json::Object(vec![("a", Json::Number("3")), ("b", Json::Number("4"))]));
    let many: Vec<String> = (0..1000).map(|at| format!("\"{}\":{at}", at % 100)).collect();
    let many = format!("{{{}}}", many.join(","));
    let Ok(Json::Object(members)) = parse(&many) else { panic!() };
    assert_eq!(members.len(), 100);
    assert_eq!(members[7], ("7", Json::Number("907")));
}

#[test]
fn references_stand_where_values_would() {
    let slot = |start: usize, end: usize| Slot { start, end, to: () };
    let part =
        |buffer: &'static str, range, slots: &[Slot<()>]| Json::parse_part(buffer, range, slots, 0, 8).ok();
    let list = |slots: &[usize]| Json::Array(slots.iter().map(|slot| Json::Slot(*slot)).collect());
    assert_eq!(part("", 0..0, &[slot(0, 0)]), Some((Json::Slot(0), 1)));
    assert_eq!(part("[]", 0..2, &[slot(1, 1)]), Some((list(&[0]), 1)));
    assert_eq!(part("[,]", 0..3, &[slot(1, 1), slot(2, 2)]), Some((list(&[0, 1]), 2)));
    assert_eq!(part("[ , ]x", 0..5, &[slot(1, 1), slot(4, 4)]), Some((list(&[0, 1]), 2)));
    assert_eq!(part(r#"[["export",-1]]"#, 0..15, &[slot(1, 14)]), Some((list(&[0]), 1)));
    let object = Json::Object(vec![("a", Json::Slot(0)), ("b", Json::Number("1"))]);
    assert_eq!(part(r#"{"a":,"b":1}"#, 0..12, &[slot(5, 5)]), Some((object, 1)));
    // The text outside the part is not looked at.
    assert_eq!(part("[1]", 1..2, &[slot(2, 2)]), Some((Json::Number("1"), 0)));
    assert_eq!(part("[1", 0..9, &[]), None);
}
