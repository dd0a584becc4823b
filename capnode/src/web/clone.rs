//! Messages as values of JavaScript, which ports clone, and the text that stands for them.
//!
//! So does npm's `capnweb` on a port, since 0.9: the message is a value instead of its JSON, in which dates, large integers,
//! `undefined` and numbers that are not finite stand for themselves, and bytes are an `Uint8Array`.

use base64_simd::STANDARD_NO_PAD;
use js_sys::{Array, BigInt, Date, JSON, JsString, Object, Uint8Array};
use wasm_bindgen::{JsCast, JsValue};

use crate::limits::Limits;
use crate::transport::ReceiveError;

/// The most levels of a message. The peer counts its values' to 256, and an array of a value is two arrays here.
const LEVELS: usize = 600;

/// Returns the value that a message's text says. Bytes stay text in it, which every version of `capnweb` takes: which
/// `["bytes", ".."]` is bytes, and which two strings of a path or of a list, is known only to what reads the whole grammar.
pub(super) fn to_value(text: &str) -> Result<JsValue, JsValue> {
    JSON::parse(text)
}

/// Something whose parts are being written.
enum Level {
    Array { items: Array, next: u32 },
    Object { object: Object, keys: Array, next: u32 },
}

/// Returns the text of a message of at most `limit` bytes.
pub(super) fn to_text(value: &JsValue, limit: usize) -> Result<String, ReceiveError> {
    let (mut text, mut levels) = (String::new(), Vec::new());
    write(value, &mut text, &mut levels, limit)?;
    while let Some(level) = levels.last_mut() {
        let part = match level {
            Level::Array { items, next } if *next < items.length() => {
                if *next > 0 {
                    text.push(',');
                }
                *next += 1;
                items.get(*next - 1)
            }
            Level::Object { object, keys, next } if *next < keys.length() => {
                text.push_str(if *next > 0 { "," } else { "" });
                *next += 1;
                let key = keys.get(*next - 1);
                let part = js_sys::Reflect::get(object, &key)
                    .map_err(|_| invalid("a property that cannot be read"))?;
                write_string(&key, &mut text, limit)?;
                text.push(':');
                part
            }
            Level::Array { .. } | Level::Object { .. } => {
                text.push(if matches!(level, Level::Array { .. }) { ']' } else { '}' });
                levels.pop();
                continue;
            }
        };
        write(&part, &mut text, &mut levels, limit)?;
        if levels.len() > LEVELS {
            return Err(invalid("more levels than a message has, or a value that contains itself"));
        }
        check(text.len(), limit)?;
    }
    Ok(text)
}

/// Writes a value, or its beginning if it has parts.
fn write(
    value: &JsValue,
    text: &mut String,
    levels: &mut Vec<Level>,
    limit: usize,
) -> Result<(), ReceiveError> {
    if value.is_string() {
        write_string(value, text, limit)?;
    } else if let Some(number) = value.as_f64() {
        match number {
            f64::INFINITY => text.push_str(r#"["inf"]"#),
            f64::NEG_INFINITY => text.push_str(r#"["-inf"]"#),
            _ if number.is_nan() => text.push_str(r#"["nan"]"#),
            _ => push_json(value, text)?,
        }
    } else if value.is_null() || value.as_bool().is_some() {
        push_json(value, text)?;
    } else if value.is_undefined() {
        text.push_str(r#"["undefined"]"#);
    } else if let Some(items) = value.dyn_ref::<Array>() {
        text.push('[');
        levels.push(Level::Array { items: items.clone(), next: 0 });
    } else if let Some(bytes) = value.dyn_ref::<Uint8Array>() {
        check(text.len().saturating_add(bytes.length() as usize / 3 * 4), limit)?;
        text.push('"');
        STANDARD_NO_PAD.encode_append(bytes.to_vec(), text);
        text.push('"');
    } else if let Some(date) = value.dyn_ref::<Date>() {
        let time = date.get_time();
        text.push_str(r#"["date","#);
        push_json(&if time.is_nan() { JsValue::NULL } else { time.into() }, text)?;
        text.push(']');
    } else if let Some(integer) = value.dyn_ref::<BigInt>() {
        let digits = digits(integer)?;
        check(text.len().saturating_add(digits.len()), limit)?;
        text.push_str(r#"["bigint",""#);
        text.push_str(&digits);
        text.push_str(r#""]"#);
    } else if let Some(object) = value.dyn_ref::<Object>().filter(|object| is_plain(object)) {
        text.push('{');
        levels.push(Level::Object { keys: Object::keys(object), object: object.clone(), next: 0 });
    } else {
        return Err(invalid("an object of a class that no message has"));
    }
    Ok(())
}

/// Returns the decimal digits of an integer. Those of a large one would take minutes, and its hexadecimal ones, which are fewer,
/// no time.
fn digits(integer: &BigInt) -> Result<String, ReceiveError> {
    let limit = Limits::default().bigint_chars;
    let to_text = |radix| integer.to_string(radix).map_err(|_| invalid("an integer without digits"));
    if to_text(16)?.length() as usize > limit {
        return Err(ReceiveError::TooLong(format!("a big integer is longer than {limit} characters")));
    }
    Ok(String::from(to_text(10)?))
}

/// Returns `true` for an object of no class.
fn is_plain(object: &Object) -> bool {
    let class = Object::get_prototype_of(object);
    class.is_null() || class == Object::get_prototype_of(&Object::new())
}

fn write_string(string: &JsValue, text: &mut String, limit: usize) -> Result<(), ReceiveError> {
    let units = string.unchecked_ref::<JsString>().length() as usize;
    check(text.len().saturating_add(units), limit)?;
    push_json(string, text)
}

/// Writes what JSON has a form for.
fn push_json(value: &JsValue, text: &mut String) -> Result<(), ReceiveError> {
    let json = JSON::stringify(value).map_err(|_| invalid("a value that has no JSON"))?;
    text.push_str(&String::from(json));
    Ok(())
}

fn check(bytes: usize, limit: usize) -> Result<(), ReceiveError> {
    let too_long = || ReceiveError::TooLong(format!("a message is longer than {limit} bytes"));
    if bytes > limit { Err(too_long()) } else { Ok(()) }
}

fn invalid(what: &str) -> ReceiveError {
    ReceiveError::Invalid(format!("the message holds {what}"))
}
