//! Capnode, as danfinlay's `capnode` 4.0.2 speaks it.
//!
//! A frame is a JSON object: `index` asks for the other side's main value, `invocation` calls a function by its
//! id, `return` and `error` answer, `dealloc` gives a function back. There are no references but to functions, and
//! no properties: an object is a record of functions. A value is a table of objects, lists and function ids with
//! one of them as root.

use super::canonical::{Builder, Unrepresentable, check_error, error_members, unrepresentable, write_reason};
use super::flat::Flat;
use super::ids::{Exchange, is_id, member, open, own_name, peer_id, quoted, quoted_id};
use super::json::{Json, tree};
use super::{ENVELOPE, ExportNames};
use crate::error::Error;
use crate::limits::Limits;
use crate::message::{CapDescriptor, Id, Message, Path, Payload, ReturnMode, Text, UNNUMBERED};
use crate::text_pool;

mod decode;
mod encode;
mod functions;
mod replies;
#[cfg(test)]
mod tests;

use self::decode::Table;
use self::encode::Encoder;
use self::functions::{DropTime, Functions};
use self::replies::{RequestId, RequestIds};

/// The member of a `dealloc` whose sender has waited in case the function would be used again. Programs of the package
/// do not read it.
const LATE: &str = "capnode:late";

/// The ids of one connection: those that it knows of its peer, and those that the peer knows of ours.
pub(crate) struct Codec {
    functions: Functions,
    pub(crate) exchange: Exchange,
    own: RequestIds,
    /// `true` if the last message gave something back late.
    late: bool,
}

impl Codec {
    /// A new connection's. The seed makes the ids of its calls unlike those of others.
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            functions: Functions::default(),
            exchange: Exchange::default(),
            own: RequestIds::new(seed),
            late: false,
        }
    }

    /// Returns the peer's name for one of its functions.
    #[cfg(feature = "host")]
    pub(crate) fn name_of(&self, id: Id) -> Option<String> {
        let name = Json::parse(self.functions.lent.name(id)?, 1, usize::MAX).ok()?;
        own_name(&name).map(Into::into)
    }

    /// Returns the id of a function of the peer whose name came by another way. It is not given back: others have it
    /// too.
    pub(crate) fn reconstruct(&mut self, name: &str) -> Id {
        self.functions.mention(&quoted(name), true)
    }

    /// Reads one message; a message that makes no sense has no effect. An error means that a limit was broken. Answers
    /// that are due at once are then among the [replies](Exchange::take_reply).
    pub(crate) fn parse(
        &mut self,
        frame: &str,
        limits: &Limits,
        names: &mut dyn ExportNames,
    ) -> Result<Option<Message>, Error> {
        self.late = false;
        if let Some(message) = self.parse_usual(frame, limits, names) {
            return Ok(Some(message));
        }
        self.parse_any(frame, limits, names)
    }

    /// Reads a call whose arguments are scalars, or an answer that is one, as peers write them. Returns `None`, without
    /// effect, for any other frame.
    fn parse_usual(&mut self, frame: &str, limits: &Limits, names: &mut dyn ExportNames) -> Option<Message> {
        let mut text = Flat::of_frame(frame, limits)?;
        if text.pass("{\"type\":\"return\",\"methodId\":").is_some() {
            let to = text.string()?;
            text.pass(",\"value\":")?;
            text.pass(encode::SCALAR)?;
            let value = text.scalar()?;
            text.end("}}")?;
            let Some(RequestId::Call(id)) = self.own.find(to) else { return None };
            self.own.answered(id);
            return Some(Message::Answer { id, outcome: Ok(Payload::plain(text_pool::copy(value))) });
        }
        text.pass("{\"type\":\"invocation\",\"methodId\":")?;
        let method = text.string().filter(|method| !method.is_empty())?;
        text.pass(",\"replyId\":")?;
        let reply = text.string().filter(|reply| !reply.is_empty())?;
        text.pass(",\"arguments\":")?;
        text.pass(encode::LIST.0)?;
        let args = text.list()?;
        text.pass(encode::LIST.1)?;
        text.end("}")?;
        let target = names.find(method)?;
        self.exchange.add(names.number(), Some(quoted_id(reply)));
        Some(call(target, Some(Payload::plain(text_pool::copy(args)))))
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
        let method = message.get("methodId");
        if !is_id(method) {
            return Ok(None);
        }
        match &*kind {
            "index" => {
                self.exchange.add(names.number(), peer_id(method));
                Ok(Some(call(0, None)))
            }
            "invocation" => self.parse_invocation(&message, depth, names),
            "return" | "error" => self.parse_answer(&kind, &message, depth),
            "dealloc" => {
                // It is answered whether it was known or not, and however often it is said.
                if let Some(reply) = peer_id(message.get("replyId")) {
                    let mut frame = String::new();
                    open(&mut frame, "return");
                    member(&mut frame, "methodId", &reply);
                    frame.push('}');
                    self.exchange.reply(frame);
                }
                self.late = matches!(message.get(LATE), Some(Json::Bool(true)));
                let id = method.and_then(own_name).and_then(|name| names.find(&name));
                Ok(id.map(|id| Message::Release { id, count: u64::MAX }))
            }
            _ => Ok(None),
        }
    }

    fn parse_invocation(
        &mut self,
        message: &Json<'_>,
        depth: usize,
        names: &mut dyn ExportNames,
    ) -> Result<Option<Message>, Error> {
        let reply = peer_id(message.get("replyId"));
        let name = message.get("methodId").and_then(own_name).unwrap_or_default();
        let Some(target) = names.find(&name) else {
            self.exchange.lose(&name);
            self.exchange.fail(reply, "there is no such function here, or it was released", failure);
            return Ok(None);
        };
        let args = match message.get("arguments") {
            None => Payload::plain(Text::Static("[]")),
            Some(arguments) => match Table::new(arguments).arguments(&mut self.functions, depth)? {
                Some(args) => args,
                None => {
                    self.exchange.fail(reply, "the arguments of a call have to be a list", failure);
                    return Ok(None);
                }
            },
        };
        self.exchange.add(names.number(), reply);
        Ok(Some(call(target, Some(args))))
    }

    fn parse_answer(
        &mut self,
        kind: &str,
        message: &Json<'_>,
        depth: usize,
    ) -> Result<Option<Message>, Error> {
        let to = message.get("methodId").and_then(own_name).unwrap_or_default();
        let (id, in_index) = match self.own.find(&to) {
            // A second answer to the same question must not add to the functions that are known for good.
            Some(RequestId::Index(id)) if !self.own.is_open(id) => return Ok(None),
            Some(RequestId::Index(id)) => (id, true),
            Some(RequestId::Call(id)) => (id, false),
            Some(RequestId::Dealloc(number)) => {
                self.functions.given_back(number);
                return Ok(None);
            }
            None => {
                self.exchange.lose(&to);
                return Ok(None);
            }
        };
        self.own.answered(id);
        let value = message.get("value");
        let outcome = if kind == "error" {
            Err(reason(value, depth))
        } else {
            Ok(match value {
                Some(value) => Table::new(value).value(&mut self.functions, in_index, depth)?,
                None => Payload::plain(Text::Static("[\"undefined\"]")),
            })
        };
        Ok(Some(Message::Answer { id, outcome }))
    }

    #[cfg(test)]
    pub(super) fn lent_name(&self, id: Id) -> Option<&str> {
        self.functions.lent.name(id)
    }

    /// Writes one message at the end of `out`, or nothing if the language has none for it. A call that cannot be
    /// said is refused; an answer that cannot be said becomes an error that says why.
    pub(crate) fn write(
        &mut self,
        message: &Message,
        names: &mut dyn ExportNames,
        out: &mut String,
    ) -> Result<(), Error> {
        let start = out.len();
        match message {
            Message::Call { id, target, path, args, .. } => {
                self.own.ask(*id);
                self.write_call(*id, *target, path, args.as_ref(), names, out).map_err(|why| {
                    out.truncate(start);
                    self.own.answered(*id);
                    why.into_error()
                })?;
            }
            // The language has no word for a context.
            Message::InContext { call, .. } => self.write(call, names, out)?,
            Message::Evaluate { .. } => {
                let refused = unrepresentable("a call inside a value cannot be said in Capnode");
                return refused.map_err(Unrepresentable::into_error);
            }
            Message::Answer { id, outcome } => {
                let Some(place) = self.exchange.done(*id) else { return Ok(()) };
                out.push_str(match outcome {
                    Ok(_) => "{\"type\":\"return\",\"methodId\":",
                    Err(_) => "{\"type\":\"error\",\"methodId\":",
                });
                out.push_str(&place);
                out.push_str(",\"value\":");
                let written = match outcome {
                    Ok(value) => Encoder::value(value, names, out),
                    Err(error) => {
                        write_reason(error, |_| false, false, out);
                        check_error(out.len() - start)
                    }
                };
                match written {
                    Ok(()) => out.push('}'),
                    Err(Unrepresentable(why)) => {
                        out.truncate(start);
                        failure(&place, &why, out);
                    }
                }
            }
            Message::Release { id, .. } => self.leave(*id),
            // Answers are not asked for, nothing tells how far they have come, and a connection ends with its
            // transport.
            Message::Pipe { .. }
            | Message::Pull(_)
            | Message::Progress { .. }
            | Message::Hello
            | Message::Extensions(_)
            | Message::Draining { .. }
            | Message::Abort(_) => {}
        }
        Ok(())
    }

    /// Notes that a function of the peer is no longer held here. It is given back only when [`flush`](Self::flush) says
    /// so. A program that hands out the same function again, which has one id for good, would otherwise often find that
    /// it has been given back meanwhile: nothing in the language tells a reference that crossed its `dealloc` on the way.
    fn leave(&mut self, id: Id) {
        let expired = self.functions.expired.remove(&id);
        let Some(name) = self.functions.lent.forget(id) else { return };
        let released = self.functions.released.remove(&id);
        if released || self.functions.listed.contains(&name) {
            return;
        }
        self.functions.leave(name, expired);
    }

    /// `true` if the last message gave something back late: the peer has kept it for a while, and its frames that were
    /// to send it again have come before.
    pub(crate) fn is_late(&self) -> bool {
        self.late
    }

    /// Notes that a share in a function of the peer is dropped. If it is the last, and `late`, the function need not be
    /// kept because of it.
    pub(crate) fn expire(&mut self, id: Id, late: bool) {
        if late {
            self.functions.expired.insert(id);
        } else if !self.functions.expired.is_empty() {
            self.functions.expired.remove(&id);
        }
    }

    /// `true` if there are functions to give back.
    pub(crate) fn is_leaving(&self) -> bool {
        !self.functions.pending_order.is_empty()
    }

    /// Gives back the functions that have not come again since the turn before; or all of them. The frames are among
    /// the [replies](Exchange::take_reply).
    pub(crate) fn flush(&mut self, all: bool) {
        let now = self.functions.turn;
        self.functions.turn += 1;
        self.release(!all, |dropped| all || dropped != DropTime::In(now));
    }

    /// Gives back the functions that need not be kept. Returns `true` if there were any.
    #[cfg(feature = "host")]
    pub(crate) fn flush_late(&mut self) -> bool {
        self.release(true, |dropped| dropped == DropTime::Late)
    }

    /// Gives back functions, up to the first for which `is_over` returns `false`. Returns `true` if there were any.
    fn release(&mut self, waited: bool, is_over: impl Fn(DropTime) -> bool) -> bool {
        let mut any = false;
        while let Some((name, dropped)) = self.functions.take_left(&is_over) {
            any = true;
            let number = self.own.next_dealloc();
            let mut frame = String::new();
            open(&mut frame, "dealloc");
            member(&mut frame, "methodId", &name);
            frame.push_str(",\"replyId\":");
            self.own.dealloc.write(number, &mut frame);
            if waited || dropped == DropTime::Late {
                member(&mut frame, LATE, "true");
            }
            frame.push('}');
            self.functions.release(number, name);
            self.exchange.reply(frame);
        }
        any
    }

    /// Returns the call of ours whose answer a frame asks for.
    #[cfg(feature = "host")]
    pub(crate) fn asked_in(&self, frame: &str) -> Option<Id> {
        let message = Json::parse(frame, super::canonical::MAX_DEPTH + ENVELOPE, usize::MAX).ok()?;
        let id = message.get("replyId").or_else(|| message.get("methodId")).and_then(own_name)?;
        match self.own.find(&id)? {
            RequestId::Index(call) | RequestId::Call(call) => Some(call),
            RequestId::Dealloc(_) => None,
        }
    }

    /// `true` if a call of ours has its answer.
    #[cfg(feature = "host")]
    pub(crate) fn is_answered(&self, call: Id) -> bool {
        !self.own.is_open(call)
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
        match (target, path.is_empty(), args) {
            (0, true, None) => {
                out.push_str("{\"type\":\"index\",\"methodId\":");
                self.own.index.write(call, out);
            }
            (0, _, _) => return unrepresentable("an index in Capnode can only be read as a whole"),
            (1.., _, _) => return unrepresentable("Capnode has no calls on a result that is not there yet"),
            (_, false, _) => return unrepresentable("functions in Capnode have no properties"),
            (_, true, None) => return unrepresentable("a function in Capnode can only be called"),
            (_, true, Some(args)) => {
                let Some(name) =
                    self.functions.lent.name(target).filter(|_| !self.functions.released.contains(&target))
                else {
                    return unrepresentable("the function was released");
                };
                out.push_str("{\"type\":\"invocation\",\"methodId\":");
                out.push_str(name);
                out.push_str(",\"replyId\":");
                self.own.call.write(call, out);
                out.push_str(",\"arguments\":");
                Encoder::arguments(args, names, out)?;
            }
        }
        out.push('}');
        Ok(())
    }
}

/// Returns a call of the peer as read from its message.
fn call(target: Id, args: Option<Payload<CapDescriptor>>) -> Message {
    Message::Call { id: UNNUMBERED, target, path: Path::Empty, args, return_mode: ReturnMode::Streamed }
}

/// Answers a call with an error.
fn failure(reply: &str, why: &str, out: &mut String) {
    open(out, "error");
    member(out, "methodId", reply);
    member(out, "value", &format!("{{\"message\":{}}}", quoted(why)));
    out.push('}');
}

/// Reads the peer's reason for an error. It is no table but bare JSON, of any form.
fn reason(value: Option<&Json<'_>>, max_depth: usize) -> Payload<CapDescriptor> {
    let mut builder = Builder::default();
    match value {
        None | Some(Json::Null | Json::Object(_)) => {
            let (name, message) = (value.and_then(|v| v.get("name")), value.and_then(|v| v.get("message")));
            builder.open_error(
                name,
                match message {
                    Some(Json::String(message)) => message,
                    _ => "the peer gave no message",
                },
            );
            let (members, exact) = value.map_or_else(Default::default, |v| error_members(v, max_depth));
            let mut between = ",null,{";
            for (key, value) in members {
                builder.out.push_str(between);
                between = ",";
                builder.raw_string(key);
                builder.out.push(':');
                builder.json(value);
            }
            if let Some(data) = exact {
                builder.out.push_str(between);
                between = ",";
                builder.out.push_str("\"data\":");
                builder.out.push_str(data.as_str());
            }
            if between == "," {
                builder.out.push('}');
            }
            builder.out.push(']');
        }
        Some(other) => builder.json(other),
    }
    builder.finish()
}
