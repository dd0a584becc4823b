//! Q-Connection, as npm's `q-connection` 0.6.1 speaks it.
//!
//! A frame is a JSON object: `send` performs an operation on one of the receiver's objects, `resolve` answers it
//! and `notify` tells how far it has come. Values are JSON with a few forms; ids are strings, and nothing is ever
//! given back. Messages that make no sense are ignored, as the package does.

use super::canonical::{Unrepresentable, unrepresentable};
use super::capnweb::write_string;
use super::flat::Flat;
use super::ids::{
    Exchange, ImportNames, OwnIds, member, open, own_name, peer_id, quoted, quoted_id, split_mix64,
};
use super::json::{Json, quote, tree};
use super::{ENVELOPE, ExportNames};
use crate::error::Error;
use crate::limits::Limits;
use crate::message::{CapDescriptor, Id, Key, Message, Path, Payload, ReturnMode, Text, UNNUMBERED, Verb};
use crate::text_pool;

mod decode;
mod encode;
mod form;
mod key;
#[cfg(test)]
mod tests;

use self::decode::Decoder;
use self::encode::Encoder;

/// The ids of one connection: those that it knows of its peer, and those that the peer knows of ours.
pub(crate) struct Codec {
    lent: ImportNames,
    pub(crate) exchange: Exchange,
    own: OwnIds,
    /// The last call of ours.
    last_call: Id,
}

impl Codec {
    /// A new connection's. The seed makes the ids of its calls unlike those of others.
    pub(crate) fn new(mut seed: u64) -> Self {
        let bits = split_mix64(&mut seed);
        let prefix = format!("{:08X}-{:04X}-4{:03X}-", bits >> 32, (bits >> 16) & 0xFFFF, bits & 0xFFF);
        let own = OwnIds::new(prefix, 12, b'A');
        Self { lent: ImportNames::default(), exchange: Exchange::default(), own, last_call: 0 }
    }

    /// Reads one message; a message that makes no sense has no effect. An error means that a limit was broken. Answers
    /// that are due at once are then among the [replies](Exchange::take_reply).
    pub(crate) fn parse(
        &mut self,
        frame: &str,
        limits: &Limits,
        names: &mut dyn ExportNames,
    ) -> Result<Option<Message>, Error> {
        if let Some(message) = self.parse_usual(frame, limits, names) {
            return Ok(Some(message));
        }
        self.parse_any(frame, limits, names)
    }

    /// Reads a call by name whose arguments are scalars, or an answer that is one, as peers write them. Returns `None`,
    /// without effect, for any other frame.
    fn parse_usual(&mut self, frame: &str, limits: &Limits, names: &mut dyn ExportNames) -> Option<Message> {
        let mut text = Flat::of_frame(frame, limits)?;
        if text.pass("{\"type\":\"resolve\",\"to\":").is_some() {
            let to = text.string()?;
            text.pass(",\"resolution\":")?;
            let value = text.scalar()?;
            text.end("}")?;
            let id = self.own.find(to, self.last_call)?;
            return Some(Message::Answer { id, outcome: Ok(Payload::plain(text_pool::copy(value))) });
        }
        text.pass("{\"type\":\"send\",\"to\":")?;
        let to = text.string()?;
        text.pass(",\"from\":")?;
        let from = text.string().filter(|from| !from.is_empty())?;
        text.pass(",\"op\":\"post\",\"args\":[")?;
        let name = text.string()?;
        text.pass(",")?;
        let args = text.list()?;
        text.end("]}")?;
        let target = own_export(to, names)?;
        let path = Path::One(Key::Name(text_pool::copy(name)));
        let args = Payload::plain(text_pool::copy(args));
        Some(self.call(target, path, Some(args), Some(quoted_id(from)), names))
    }

    fn parse_any(
        &mut self,
        frame: &str,
        limits: &Limits,
        names: &mut dyn ExportNames,
    ) -> Result<Option<Message>, Error> {
        let depth = limits.depth;
        let Some(message) = tree(frame, depth + ENVELOPE, limits)? else { return Ok(None) };
        let Some(kind) = message.get("type").and_then(Json::text) else { return Ok(None) };
        match &*kind {
            "send" => self.parse_send(&message, frame, depth, names),
            "resolve" | "notify" => self.parse_answer(&kind, &message, frame, depth, names),
            _ => Ok(None),
        }
    }

    fn parse_send(
        &mut self,
        message: &Json<'_>,
        frame: &str,
        depth: usize,
        names: &mut dyn ExportNames,
    ) -> Result<Option<Message>, Error> {
        let from = peer_id(message.get("from"));
        let to = message.get("to").and_then(own_name);
        let Some(target) = to.as_deref().and_then(|name| own_export(name, names)) else {
            self.exchange.lose(&to.unwrap_or_default());
            self.exchange.fail(from, "there is no such object here, or it has been forgotten", rejection);
            return Ok(None);
        };
        let op = message.get("op").and_then(Json::text).unwrap_or_default();
        let whole = message.get("args");
        let args = match whole {
            Some(Json::Array(args)) => args.as_slice(),
            _ => &[],
        };
        let property = || property(args.first());
        let verb = |verb| [property(), Key::Verb(verb)].into_iter().collect();
        let nothing = || Some(Payload::plain(Text::Static("[]")));
        let (path, args) = match &*op {
            "get" => (Path::One(property()), None),
            "when" => (Path::Empty, None),
            "post" | "apply" => {
                let named = op == "post" && args.first().is_some_and(|name| !is_nothing(name));
                let list = match args.get(1) {
                    Some(list @ Json::Array(_)) => {
                        Some(Decoder::new(frame, whole, depth, &mut self.lent, names).list(list)?)
                    }
                    list if list.is_none_or(is_nothing) => nothing(),
                    _ => {
                        self.exchange.fail(from, "the arguments of a call have to be a list", rejection);
                        return Ok(None);
                    }
                };
                (if named { Path::One(property()) } else { Path::Empty }, list)
            }
            "set" | "put" => {
                let decoder = Decoder::new(frame, whole, depth, &mut self.lent, names);
                (verb(Verb::Set), Some(decoder.only(args.get(1))?))
            }
            "delete" | "del" => (verb(Verb::Delete), nothing()),
            "keys" => (Path::One(Key::Verb(Verb::Keys)), nothing()),
            _ => {
                let op: String = op.chars().take(60).collect();
                self.exchange.fail(from, &format!("Promise does not support operation: {op}"), rejection);
                return Ok(None);
            }
        };
        Ok(Some(self.call(target, path, args, from, names)))
    }

    /// Returns a call of the peer, which is answered to `from`.
    fn call(
        &mut self,
        target: Id,
        path: Path,
        args: Option<Payload<CapDescriptor>>,
        from: Option<String>,
        names: &mut dyn ExportNames,
    ) -> Message {
        self.exchange.add(names.number(), from);
        Message::Call { id: UNNUMBERED, target, path, args, return_mode: ReturnMode::Streamed }
    }

    fn parse_answer(
        &mut self,
        kind: &str,
        message: &Json<'_>,
        frame: &str,
        depth: usize,
        names: &mut dyn ExportNames,
    ) -> Result<Option<Message>, Error> {
        let to = message.get("to").and_then(own_name).unwrap_or_default();
        let Some(id) = self.own.find(&to, self.last_call) else {
            self.exchange.lose(&to);
            return Ok(None);
        };
        let resolution = message.get("resolution");
        let decoder = Decoder::new(frame, resolution, depth, &mut self.lent, names);
        let reason = resolution.and_then(|resolution| resolution.get("!"));
        Ok(Some(match (kind, reason) {
            ("notify", _) => Message::Progress { id, value: decoder.value(resolution)? },
            (_, Some(reason)) => Message::Answer { id, outcome: Err(decoder.reason(reason)?) },
            (_, None) => Message::Answer { id, outcome: Ok(decoder.value(resolution)?) },
        }))
    }

    #[cfg(test)]
    pub(super) fn lent_name(&self, id: Id) -> Option<&str> {
        self.lent.name(id)
    }

    /// Writes one message at the end of `out`, or nothing if the language has none for it. A call that cannot be
    /// said is refused; an answer that cannot be said becomes a rejection that says why.
    pub(crate) fn write(
        &mut self,
        message: &Message,
        names: &mut dyn ExportNames,
        out: &mut String,
    ) -> Result<(), Error> {
        let start = out.len();
        match message {
            Message::Call { id, target, path, args, .. } => {
                self.last_call = *id;
                self.write_call(*id, *target, path, args.as_ref(), names, out).map_err(|why| {
                    out.truncate(start);
                    why.into_error()
                })?;
            }
            // The language has no word for a context.
            Message::InContext { call, .. } => self.write(call, names, out)?,
            Message::Evaluate { .. } => {
                let refused = unrepresentable("a call inside a value cannot be said in Q-Connection");
                return refused.map_err(Unrepresentable::into_error);
            }
            Message::Answer { id, outcome } => {
                let Some(place) = self.exchange.done(*id) else { return Ok(()) };
                out.push_str("{\"type\":\"resolve\",\"to\":");
                out.push_str(&place);
                out.push_str(",\"resolution\":");
                let written = match outcome {
                    Ok(value) => Encoder::write(value, names, out),
                    Err(reason) => encode::reason(reason, start, out),
                };
                match written {
                    Ok(()) => out.push('}'),
                    Err(Unrepresentable(why)) => {
                        out.truncate(start);
                        rejection(&place, &why, out);
                    }
                }
            }
            Message::Progress { id, value } => {
                let Some(place) = self.exchange.place(*id) else { return Ok(()) };
                out.push_str("{\"type\":\"notify\",\"to\":");
                out.push_str(place);
                out.push_str(",\"resolution\":");
                match Encoder::write(value, names, out) {
                    Ok(()) => out.push('}'),
                    // No peer waits for a notification.
                    Err(_) => out.truncate(start),
                }
            }
            Message::Release { id, .. } => {
                self.lent.forget(*id);
            }
            // Answers are not asked for, and a connection ends with its transport.
            Message::Pipe { .. }
            | Message::Pull(_)
            | Message::Hello
            | Message::Extensions(_)
            | Message::Draining { .. }
            | Message::Abort(_) => {}
        }
        Ok(())
    }

    fn write_call(
        &self,
        call: Id,
        target: Id,
        path: &Path,
        args: Option<&Payload<CapDescriptor>>,
        names: &mut dyn ExportNames,
        out: &mut String,
    ) -> Result<(), Unrepresentable> {
        let to = match (target, self.lent.name(target)) {
            (0, _) => "\"\"",
            (_, Some(name)) => name,
            (1.., None) => {
                return unrepresentable("Q-Connection has no calls on a result that is not there yet");
            }
            (_, None) => return unrepresentable("the called object was released"),
        };
        out.push_str("{\"type\":\"send\",\"to\":");
        out.push_str(to);
        out.push_str(",\"from\":");
        self.own.write(call, out);
        let op = |name: &str, out: &mut String| {
            out.push_str(",\"op\":\"");
            out.push_str(name);
            out.push_str("\",\"args\":[");
        };
        match (path.as_slice(), args) {
            ([], None) => op("when", out),
            ([], Some(args)) => {
                op("apply", out);
                out.push_str("{\"%\":\"undefined\"},");
                Encoder::list(args, names, out)?;
            }
            ([step @ (Key::Name(_) | Key::Index(_))], None) => {
                op("get", out);
                write_name(step, out);
            }
            ([step @ (Key::Name(_) | Key::Index(_))], Some(args)) => {
                op("post", out);
                write_name(step, out);
                out.push(',');
                Encoder::list(args, names, out)?;
            }
            ([step, Key::Verb(Verb::Set)], Some(args)) => {
                op("set", out);
                write_name(step, out);
                out.push(',');
                Encoder::only(args, names, out)?;
            }
            ([step, Key::Verb(Verb::Delete)], _) => {
                op("delete", out);
                write_name(step, out);
            }
            ([Key::Verb(Verb::Keys)], _) => op("keys", out),
            _ => return unrepresentable("a message of Q-Connection takes one step of a property path"),
        }
        out.push_str("]}");
        Ok(())
    }
}

/// Finds the export that the peer calls `name`. The index has no name.
fn own_export(name: &str, names: &mut dyn ExportNames) -> Option<Id> {
    if name.is_empty() { Some(0) } else { names.find(name) }
}

/// Writes a property's name as JSON.
fn write_name(step: &Key, out: &mut String) {
    match step {
        Key::Name(name) => write_string(out, name.as_str()),
        Key::Index(index) => quote(itoa::Buffer::new().format(*index), out),
        // Never alone before another verb.
        Key::Verb(verb) => write_string(out, verb.name()),
    }
}

/// The property that an operation names, as JavaScript makes a name of it.
fn property(name: Option<&Json<'_>>) -> Key {
    let text = match name {
        Some(Json::Number(number)) => match number.parse() {
            Ok(index) => return Key::Index(index),
            Err(_) => (*number).to_owned(),
        },
        Some(Json::Bool(value)) => value.to_string(),
        Some(Json::Null) => "null".to_owned(),
        Some(string @ Json::String(_)) => string.text().unwrap_or_default().into_owned(),
        Some(object) if !is_nothing(object) => "[object Object]".to_owned(),
        _ => "undefined".to_owned(),
    };
    Key::Name(text.into())
}

/// `true` for null and undefined.
fn is_nothing(json: &Json<'_>) -> bool {
    match json {
        Json::Null => true,
        object => object.get("%").and_then(Json::text).is_some_and(|name| name == "undefined"),
    }
}

/// Rejects a call with a message.
fn rejection(to: &str, why: &str, out: &mut String) {
    open(out, "resolve");
    member(out, "to", to);
    member(out, "resolution", &format!("{{\"!\":{{\"message\":{}}}}}", quoted(why)));
    out.push('}');
}
