//! The calls of recorded programs, made again.

use std::pin::Pin;

use capnode::{Call, Cap, Dialect, Error, Value};
use serde_json::Value as Json;

use super::json::{form, value};

/// A call that runs.
pub type Attempt = Pin<Box<dyn Future<Output = Result<Value, Error>> + Send>>;

/// Returns an id, which may be any JSON, as a key.
pub fn text(json: &Json) -> String {
    json.as_str().map_or_else(|| json.to_string(), str::to_owned)
}

/// The id by which a request is answered.
pub fn reply_id(dialect: Dialect, message: &Json) -> Option<&Json> {
    match (dialect, message["type"].as_str()?) {
        (Dialect::Capnode, "index") => message.get("methodId"),
        (Dialect::Capnode, "invocation" | "dealloc") => message.get("replyId"),
        (Dialect::Q, "send") => message.get("from"),
        _ => None,
    }
}

/// The id of the request that a message answers.
pub fn answers(dialect: Dialect, message: &Json) -> Option<&Json> {
    match (dialect, message["type"].as_str()?) {
        (Dialect::Capnode, "return" | "error") => message.get("methodId"),
        (Dialect::Q, "resolve") => message.get("to"),
        _ => None,
    }
}

/// The call that a Cap'n Web expression makes. References are looked up by their form; the target is a `pipeline`.
pub fn of_expression(
    expression: &Json,
    reference: &mut dyn FnMut(&str, i64) -> Option<Cap>,
) -> Option<Call<Value>> {
    let (_, parts) = form(expression).filter(|(form, _)| *form == "pipeline")?;
    let target = reference("pipeline", parts.first()?.as_i64()?)?;
    let args = match parts.get(2).and_then(Json::as_array) {
        Some(args) => Some(args.iter().map(|arg| value(arg, reference)).collect::<Option<Vec<_>>>()?),
        None => None,
    };
    let path = parts.get(1)?.as_array()?;
    let (last, before) = match path.split_last() {
        Some((last, before)) => (last.as_str(), before),
        None => (None, path.as_slice()),
    };
    let target = before.iter().filter_map(Json::as_str).fold(target, |cap, name| cap.at(name));
    Some(match (args, last) {
        (Some(args), last) => with(&target, last, args),
        (None, Some(last)) => target.get(last),
        (None, None) => target.read(),
    })
}

/// Carries out an operation of Q-Connection, or a call of Capnode, which names none. `start` begins what is an ordinary
/// call.
pub fn operate(
    target: &Cap,
    op: &str,
    name: Option<&str>,
    args: Vec<Value>,
    start: impl Fn(Call<Value>) -> Attempt,
) -> Option<Attempt> {
    let nothing = |()| Value::Undefined;
    Some(match (op, name) {
        ("get", Some(name)) => start(target.get(name)),
        ("set", Some(name)) => {
            let call = target.put(name, args.first()?);
            Box::pin(async move { call.await.map(nothing) })
        }
        ("delete", Some(name)) => {
            let call = target.delete(name);
            Box::pin(async move { call.await.map(nothing) })
        }
        ("keys", _) => {
            let call = target.keys();
            let list = |names: Vec<String>| Value::Array(names.into_iter().map(Value::from).collect());
            Box::pin(async move { call.await.map(list) })
        }
        ("post", name) => start(with(target, name, args)),
        ("" | "apply", _) => start(with(target, None, args)),
        _ => return None,
    })
}

/// Makes a call with as many arguments as there are.
fn with(cap: &Cap, name: Option<&str>, args: Vec<Value>) -> Call<Value> {
    let count = args.len();
    let mut args = args.into_iter();
    let mut next = || args.next().unwrap_or_default();
    macro_rules! call {
        ($($next:expr),*) => {
            match name {
                Some(name) => cap.invoke(name, ($($next,)*)),
                None => cap.apply(($($next,)*)),
            }
        };
    }
    match count {
        0 => call!(),
        1 => call!(next()),
        2 => call!(next(), next()),
        3 => call!(next(), next(), next()),
        4 => call!(next(), next(), next(), next()),
        5 => call!(next(), next(), next(), next(), next()),
        6 => call!(next(), next(), next(), next(), next(), next()),
        _ => call!(next(), next(), next(), next(), next(), next(), next()),
    }
}

/// Finds the peer's references in the value of a Cap'n Web expression: the form and the id of each.
pub fn lent(expression: &Json, value: &Value, note: &mut dyn FnMut(&str, i64, &Cap)) {
    match (expression, value) {
        (_, Value::Cap(cap)) => {
            if let Some((form, [id, ..])) = form(expression) {
                note(form, id.as_i64().unwrap_or_default(), cap);
            }
        }
        (Json::Array(elements), Value::Array(values)) => {
            let elements = elements.first().and_then(Json::as_array).into_iter().flatten();
            elements.zip(values).for_each(|(element, value)| lent(element, value, note));
        }
        (Json::Object(members), Value::Object(values)) => {
            for (key, value) in values {
                if let Some(member) = members.get(key) {
                    lent(member, value, note);
                }
            }
        }
        _ => {}
    }
}
