//! Values in their three forms: as an expression of the wire, as a Rust program has them, and as
//! the recordings say that a JavaScript program saw them.

use capnode::{ByteKind, Bytes, Cap, Date, ErrorValue, Headers, Value};
use serde_json::{Map, Value as Json, json};

/// Returns whether two texts mean the same to JavaScript, which has one kind of number and gives the order of members
/// no meaning.
pub fn same(one: &Json, other: &Json) -> bool {
    match (one, other) {
        (Json::Number(one), Json::Number(other)) => one.as_f64() == other.as_f64(),
        (Json::Array(one), Json::Array(other)) => {
            one.len() == other.len() && one.iter().zip(other).all(|(one, other)| same(one, other))
        }
        (Json::Object(one), Json::Object(other)) => {
            let has = |(key, value): (&String, &Json)| other.get(key).is_some_and(|other| same(value, other));
            one.len() == other.len() && one.iter().all(has)
        }
        _ => one == other,
    }
}

/// The name of a special form, and what follows it.
pub fn form(expression: &Json) -> Option<(&str, &[Json])> {
    let (name, rest) = expression.as_array()?.split_first()?;
    Some((name.as_str()?, rest))
}

/// The value of an expression. References are looked up by their form.
pub fn value(expression: &Json, reference: &mut dyn FnMut(&str, i64) -> Option<Cap>) -> Option<Value> {
    let text = |json: Option<&Json>| json?.as_str().map(str::to_owned);
    Some(match expression {
        Json::Null => Value::Null,
        Json::Bool(value) => Value::Bool(*value),
        Json::Number(number) => Value::Number(number.as_f64()?),
        Json::String(text) => Value::String(text.clone()),
        Json::Object(members) => Value::Object(properties(members, reference)?),
        Json::Array(elements) => match form(expression) {
            None => {
                let elements = elements.first()?.as_array()?;
                Value::Array(elements.iter().map(|element| value(element, reference)).collect::<Option<_>>()?)
            }
            Some(("undefined", _)) => Value::Undefined,
            Some(("inf", _)) => Value::Number(f64::INFINITY),
            Some(("-inf", _)) => Value::Number(f64::NEG_INFINITY),
            Some(("nan", _)) => Value::Number(f64::NAN),
            Some(("bigint", rest)) => Value::BigInt(text(rest.first())?.parse().ok()?),
            Some(("date", rest)) => {
                Value::Date(rest.first()?.as_f64().map_or(Date::INVALID, Date::from_millis))
            }
            Some(("url", rest)) => Value::Url(text(rest.first())?.parse().ok()?),
            Some(("bytes", rest)) => {
                let kind = text(rest.get(1)).map_or(Some(ByteKind::Uint8Array), |name| name.parse().ok())?;
                Value::Bytes(Bytes::from(base64(&text(rest.first())?)?).with_kind(kind))
            }
            Some(("headers", rest)) => {
                let pair = |pair: &Json| Some((text(pair.get(0))?, text(pair.get(1))?));
                Value::Headers(rest.first()?.as_array()?.iter().map(pair).collect::<Option<Headers>>()?)
            }
            Some(("error", rest)) => {
                let mut error = ErrorValue::new(text(rest.first())?, text(rest.get(1))?);
                if let Some(members) = rest.get(3) {
                    error.properties = properties(members.as_object()?, reference)?;
                }
                error.into()
            }
            Some((form, rest)) => Value::Cap(reference(form, rest.first()?.as_i64()?)?),
        },
    })
}

fn properties(
    members: &Map<String, Json>,
    reference: &mut dyn FnMut(&str, i64) -> Option<Cap>,
) -> Option<Vec<(String, Value)>> {
    members.iter().map(|(key, member)| Some((key.clone(), value(member, reference)?))).collect()
}

fn base64(text: &str) -> Option<Vec<u8>> {
    const DIGITS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut bytes = Vec::new();
    let (mut bits, mut count) = (0u32, 0);
    for digit in text.bytes() {
        bits = bits << 6 | u32::try_from(DIGITS.iter().position(|other| *other == digit)?).ok()?;
        count += 6;
        if count >= 8 {
            count -= 8;
            bytes.push(u8::try_from(bits >> count & 0xff).ok()?);
        }
    }
    Some(bytes)
}

/// A value as the recordings write down what a program saw.
pub fn seen(value: &Value) -> Json {
    match value {
        Value::Undefined => json!({"js": "undefined"}),
        Value::Null => Json::Null,
        Value::Bool(value) => json!(value),
        Value::Number(number) if number.is_nan() => json!({"js": "NaN"}),
        Value::Number(number) if number.is_infinite() => {
            json!({"js": if *number > 0.0 { "Infinity" } else { "-Infinity" }})
        }
        Value::Number(number) => json!(number),
        Value::BigInt(bigint) => json!({"js": "bigint", "value": bigint.as_str()}),
        Value::String(text) => json!(text),
        Value::Bytes(bytes) => {
            let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
            // The recorded program ran on Node, which hands out its own kind of `Uint8Array`.
            let kind = if bytes.kind() == ByteKind::Uint8Array { "Buffer" } else { bytes.kind().name() };
            json!({"js": kind, "hex": hex})
        }
        Value::Date(date) => json!({"js": "Date", "ms": date.millis()}),
        Value::Url(url) => json!({"js": "URL", "href": url.as_str()}),
        Value::Headers(headers) => json!({"js": "Headers", "pairs": headers.iter().collect::<Vec<_>>()}),
        Value::Error(error) => seen_error(&error.name, &error.message, &error.properties),
        Value::Array(elements) => elements.iter().map(seen).collect(),
        Value::Object(members) => members.iter().map(|(key, value)| (key.clone(), seen(value))).collect(),
        Value::Cap(_) => json!({"js": "stub"}),
        _ => json!({"js": "something new"}),
    }
}

pub fn seen_error(name: &str, message: &str, properties: &[(String, Value)]) -> Json {
    let mut seen_error = json!({"js": "Error", "name": name, "message": message});
    if !properties.is_empty() {
        seen_error["props"] = properties.iter().map(|(key, value)| (key.clone(), seen(value))).collect();
    }
    seen_error
}
