//! Values of ordinary serde types.

use std::collections::{BTreeMap, HashMap};

use proptest::prelude::*;
use serde::Deserialize;

use super::*;

#[test]
fn integers_are_numbers_as_long_as_javascript_counts_them_exactly() {
    round(0u8, "0");
    round(i8::MIN, "-128");
    round(u16::MAX, "65535");
    round(i32::MIN, "-2147483648");
    round((1i64 << 53) - 1, "9007199254740991");
    round(1i64 - (1 << 53), "-9007199254740991");
    round((1u128 << 53) - 1, "9007199254740991");
}

#[test]
fn integers_beyond_that_are_big_integers() {
    round(1i64 << 53, r#"["bigint","9007199254740992"]"#);
    round(-(1i64 << 53), r#"["bigint","-9007199254740992"]"#);
    round(1u64 << 53, r#"["bigint","9007199254740992"]"#);
    round(i64::MIN, r#"["bigint","-9223372036854775808"]"#);
    round(u64::MAX, r#"["bigint","18446744073709551615"]"#);
    round(i128::MIN, r#"["bigint","-170141183460469231731687303715884105728"]"#);
    round(u128::MAX, r#"["bigint","340282366920938463463374607431768211455"]"#);
}

#[test]
fn an_integer_is_read_from_number_and_big_integer_alike_if_it_fits() {
    assert_eq!(read::<u64>("18446744073709551615").unwrap(), u64::MAX);
    assert_eq!(read::<u8>(r#"["bigint","255"]"#).unwrap(), 255);
    assert_eq!(read::<i128>(r#"["bigint","0x10"]"#).unwrap(), 16);
    assert!(misfit::<u8>("256").contains("u8"));
    assert!(misfit::<u8>("-1").contains("u8"));
    assert!(misfit::<u8>("1.5").contains("u8"));
    assert!(misfit::<u64>(r#"["bigint","18446744073709551616"]"#).contains("u64"));
    assert!(misfit::<u128>(&format!(r#"["bigint","{}0"]"#, u128::MAX)).contains("big integer"));
    assert!(misfit::<u8>(r#""1""#).contains("u8"));
}

#[test]
fn floats_keep_every_bit_but_are_written_short() {
    round(0.0, "0");
    round(1.0, "1");
    round(-7.0, "-7");
    round(0.1, "0.1");
    round(0.1f32, "0.1");
    round(5e-324, "5e-324");
    round(1e-7, "1e-7");
    round(f32::MIN_POSITIVE, "1.1754944e-38");
    round(9007199254740992.0, "9007199254740992");
    round(1e20, "100000000000000000000");
    round(-1e20f32, "-100000000000000000000");
    round((1u64 << 60) as f64, "1152921504606847000");
    for large in [1e21, f64::MAX, -1e300] {
        // How exactly is up to serde_json.
        let text = written(&large);
        assert_eq!(read::<f64>(&text).unwrap(), large, "{text}");
        assert_eq!(read::<Value>(&text).unwrap(), Value::Number(large), "{text}");
    }
    round(f64::INFINITY, r#"["inf"]"#);
    round(f32::NEG_INFINITY, r#"["-inf"]"#);
    assert_eq!(written(&f64::NAN), r#"["nan"]"#);
    assert!(read::<f64>(r#"["nan"]"#).unwrap().is_nan());
}

#[test]
fn minus_zero_is_not_zero() {
    assert_eq!(written(&-0.0), "-0.0");
    for text in ["-0.0", "-0", "-0e5"] {
        assert!(read::<f64>(text).unwrap().is_sign_negative(), "{text}");
        assert!(read::<f32>(text).unwrap().is_sign_negative(), "{text}");
        assert!(
            matches!(read::<Value>(text).unwrap(), Value::Number(zero) if zero.is_sign_negative()),
            "{text}"
        );
    }
    assert_eq!(read::<i32>("-0").unwrap(), 0);
}

#[test]
fn a_float_takes_a_big_integer_only_if_it_loses_nothing() {
    assert_eq!(read::<f64>(r#"["bigint","9007199254740992"]"#).unwrap(), 9007199254740992.0);
    assert!(misfit::<f64>(r#"["bigint","9007199254740993"]"#).contains("big integer"));
    assert!(misfit::<f32>(r#"["bigint","1180591620717411303425"]"#).contains("big integer"));
}

#[test]
fn numbers_may_be_written_in_any_way_that_json_knows() {
    assert_eq!(read::<f64>("1e+21").unwrap(), 1e21);
    assert_eq!(read::<f64>("1E2").unwrap(), 100.0);
    assert_eq!(read::<f64>("1e400").unwrap(), f64::INFINITY);
    assert_eq!(read::<f64>("18446744073709551616").unwrap(), 18446744073709551616.0);
    // Read as the larger type first it would be rounded twice.
    assert_eq!(read::<f32>("1.0000000596046447753906251").unwrap(), 1.0000001);
}

#[test]
fn strings_and_chars_are_read_and_written() {
    round(String::new(), r#""""#);
    let odd = "a \"b\" \\ / \n\r\t\u{8}\u{c}\u{0}\u{1f}\u{7f}é\u{2028}😀";
    round(odd.to_owned(), "\"a \\\"b\\\" \\\\ / \\n\\r\\t\\b\\f\\u0000\\u001f\u{7f}é\u{2028}😀\"");
    round('é', "\"é\"");
    round('"', r#""\"""#);
    assert_eq!(read::<String>(r#""\u0041\/\ud83d\ude00""#).unwrap(), "A/😀");
    assert!(misfit::<char>(r#""ab""#).contains("character"));
}

#[test]
fn half_a_surrogate_pair_costs_one_character_and_not_the_connection() {
    assert_eq!(read::<String>(r#""a\ud800b\udc00""#).unwrap(), "a\u{fffd}b\u{fffd}");
    assert_eq!(read::<HashMap<String, u8>>(r#"{"\udfff":1}"#).unwrap()["\u{fffd}"], 1);
}

#[test]
fn none_is_null_and_null_and_undefined_are_none() {
    round(None::<u8>, "null");
    round(Some(5), "5");
    round((), r#"["undefined"]"#);
    round(vec![None, Some(true)], "[[null,true]]");
    assert_eq!(read::<Option<u8>>(r#"["undefined"]"#).unwrap(), None);
    assert_eq!(read::<Option<Option<u8>>>("null").unwrap(), None);
    assert!(misfit::<u8>("null").contains("u8"));
}

#[test]
fn a_unit_is_read_from_any_value() {
    for text in ["5", "null", r#"{"a":[[1]]}"#, r#"["error","E","m"]"#, "\"x\""] {
        read::<()>(text).unwrap();
    }
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Unit;

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Newtype(u8);

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Pair(u8, String);

#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
struct Record {
    a: u8,
    b: Option<String>,
    list: Vec<Vec<u8>>,
}

#[test]
fn structs_are_read_and_written() {
    round(Unit, r#"["undefined"]"#);
    round(Newtype(5), "5");
    round(Pair(1, "x".into()), r#"[[1,"x"]]"#);
    round((1u8, "x".to_owned(), [true, false]), r#"[[1,"x",[[true,false]]]]"#);
    round(
        Record { a: 1, b: None, list: vec![vec![], vec![1, 2]] },
        r#"{"a":1,"b":null,"list":[[[[]],[[1,2]]]]}"#,
    );
}

#[test]
fn fields_that_nobody_knows_are_passed_over() {
    let text =
        r#"{"x":{"y":["bytes","AQID"],"z":[[1,["date",5]]]},"a":7,"w":["error","E","m",null,{"p":1}]}"#;
    assert_eq!(read::<Record>(text).unwrap(), Record { a: 7, ..Record::default() });
    assert_eq!(read::<(u8, u8)>("[[1,2,3]]").unwrap(), (1, 2), "and so are elements");
}

#[test]
fn members_that_a_type_does_not_ask_for_are_passed_over() {
    /// The last of the first `N` keys of anything that has as many.
    #[derive(Debug, PartialEq)]
    struct First<const N: usize>(String);

    impl<'de, const N: usize> Deserialize<'de> for First<N> {
        fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            struct Visitor<const N: usize>;

            impl<'de, const N: usize> serde::de::Visitor<'de> for Visitor<N> {
                type Value = First<N>;

                fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                    f.write_str("members")
                }

                fn visit_map<A: serde::de::MapAccess<'de>>(
                    self,
                    mut members: A,
                ) -> Result<First<N>, A::Error> {
                    let mut last = String::new();
                    for _ in 0..N {
                        (last, _) = members.next_entry::<_, serde::de::IgnoredAny>()?.unwrap();
                    }
                    Ok(First(last))
                }
            }

            deserializer.deserialize_map(Visitor::<N>)
        }
    }

    fn first<const N: usize>(text: &str) -> String {
        let (First(key), five): (First<N>, u8) = read(&format!("[[{text},5]]")).unwrap();
        assert_eq!(five, 5);
        key
    }

    assert_eq!(first::<1>(r#"{"a":1,"b":[[2]]}"#), "a");
    let error = r#"["error","E","m","s",{"p":1,"q":{"r":2}}]"#;
    assert_eq!([first::<1>(error), first::<2>(error), first::<3>(error)], ["name", "message", "p"]);
    assert_eq!(first::<1>(r#"["error","E","m"]"#), "name");
}

#[test]
fn a_key_twice_is_an_error_for_a_struct_and_the_last_one_counts_in_a_map() {
    assert!(misfit::<Record>(r#"{"a":1,"a":2}"#).contains("duplicate field"));
    assert_eq!(read::<HashMap<String, u8>>(r#"{"a":1,"a":2}"#).unwrap()["a"], 2);
    let both = Value::from([("a", Value::from(1)), ("a", Value::from(2))]);
    assert_eq!(read::<Value>(r#"{"a":1,"a":2}"#).unwrap(), both);
}

#[test]
fn keys_of_maps_are_read_and_written() {
    round(
        BTreeMap::from([(i64::MIN, "a".to_owned()), (5, "b".to_owned())]),
        r#"{"-9223372036854775808":"a","5":"b"}"#,
    );
    round(BTreeMap::from([(u128::MAX, 1u8)]), r#"{"340282366920938463463374607431768211455":1}"#);
    round(BTreeMap::from([(false, 1u8), (true, 2)]), r#"{"false":1,"true":2}"#);
    round(BTreeMap::from([('"', ())]), r#"{"\"":["undefined"]}"#);
    round(BTreeMap::from([(Some("x".to_owned()), 1u8)]), r#"{"x":1}"#);
    round(
        BTreeMap::from([("__proto__".to_owned(), 1u8), ("toJSON".to_owned(), 2)]),
        r#"{"__proto__":1,"toJSON":2}"#,
    );
    assert_eq!(read::<HashMap<i32, u8>>(r#"{"\u0035":1}"#).unwrap()[&5], 1);
    assert!(misfit::<HashMap<i32, u8>>(r#"{"x":1}"#).contains("i32"));
    for key in [
        encode(&BTreeMap::from([((1, 2), 3)])),
        encode(&BTreeMap::from([(None::<u8>, 3)])),
        encode(&BTreeMap::from([((), 3)])),
    ] {
        let error = key.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Encode);
        assert_eq!(error.to_string(), "the key of a map has to be a string, a number or a bool");
    }
}

#[test]
fn keys_that_are_floats() {
    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Float(f64);

    impl Eq for Float {}

    impl PartialOrd for Float {
        fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
            Some(self.cmp(other))
        }
    }

    impl Ord for Float {
        fn cmp(&self, other: &Self) -> std::cmp::Ordering {
            self.0.total_cmp(&other.0)
        }
    }

    round(BTreeMap::from([(Float(-0.5), 1u8), (Float(1e300), 2)]), &format!(r#"{{"-0.5":1,"{}":2}}"#, 1e300));
    for odd in [f64::NAN, f64::INFINITY] {
        assert!(encode(&BTreeMap::from([(Float(odd), 1)])).is_err());
    }
}

#[test]
fn keys_that_are_variants() {
    #[derive(Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
    #[serde(rename_all = "lowercase")]
    enum Colour {
        Red,
        Blue,
    }

    round(BTreeMap::from([(Colour::Red, 1u8), (Colour::Blue, 2)]), r#"{"red":1,"blue":2}"#);
}

#[test]
fn json_values_are_read_and_written() {
    let value = serde_json::json!({"a": [1, -2, 1.5, true, "x", [], {}], "b": {"c": u64::MAX}});
    round(value, r#"{"a":[[1,-2,1.5,true,"x",[[]],{}]],"b":{"c":["bigint","18446744073709551615"]}}"#);
    // Its null is a unit to serde.
    round(serde_json::json!([null]), r#"[[["undefined"]]]"#);
    // A value for which JSON has no word becomes the nearest one.
    let odd = read::<serde_json::Value>(
        r#"[[["undefined"],["nan"],["date",5],["url","x:"],["error","E","m",null,{"p":1}]]]"#,
    );
    let near = serde_json::json!([null, null, 5.0, "x:", {"name": "E", "message": "m", "p": 1}]);
    assert_eq!(odd.unwrap(), near);
}

#[test]
fn a_value_inside_something_that_fails_to_be_written_fails() {
    struct Fails;

    impl Serialize for Fails {
        fn serialize<S: serde::Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
            Err(serde::ser::Error::custom("I will not"))
        }
    }

    let error = encode(&vec![Fails]).unwrap_err();
    assert_eq!((error.kind(), error.to_string().as_str()), (ErrorKind::Encode, "I will not"));
}

proptest! {
    #[test]
    fn any_number_is_itself_again(float: f64, single: f32, signed: i128, unsigned: u128, long: i64) {
        prop_assert_eq!(read::<f64>(&written(&float)).unwrap().to_bits(), float.to_bits());
        prop_assert_eq!(read::<f32>(&written(&single)).unwrap().to_bits(), single.to_bits());
        prop_assert_eq!(read::<i128>(&written(&signed)).unwrap(), signed);
        prop_assert_eq!(read::<u128>(&written(&unsigned)).unwrap(), unsigned);
        prop_assert_eq!(read::<i64>(&written(&long)).unwrap(), long);
    }

    #[test]
    fn any_text_is_itself_again(text: String, letter: char) {
        prop_assert_eq!(&written(&text), &serde_json::to_string(&text).unwrap());
        prop_assert_eq!(&read::<String>(&written(&text)).unwrap(), &text);
        prop_assert_eq!(read::<char>(&written(&letter)).unwrap(), letter);
        let map = HashMap::from([(text, 1u8)]);
        prop_assert_eq!(read::<HashMap<String, u8>>(&written(&map)).unwrap(), map);
    }
}
