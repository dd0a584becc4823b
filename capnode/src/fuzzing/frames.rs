//! Frames of all languages, and their readers.

use std::str::FromStr;

use super::values::read_as_anything;
use super::{Anything, assert_json, body, is_json, lent, text, value_of};
use crate::cap::payload::unfold;
use crate::dialect::json::Json;
use crate::dialect::{Dialect, capnode, capnweb, q};
use crate::limits::{LimitKind, Limits};
use crate::message::{Key, Message, Path, Payload, ReturnMode, Text, Verb};
use crate::thin_vec::ThinVec;
use crate::value::Value;

/// A frame of Cap'n Web, with bytes beside its text behind a zero. What passes is JSON, and is the same when it is written
/// and read again.
pub fn capnweb_frame(data: &[u8]) {
    if let Some(end) = data.iter().position(|byte| *byte == 0) {
        return mixed(&data[..end], &data[end + 1..]);
    }
    let Some(frame) = text(data) else { return };
    let Ok(message) = capnweb::parse(frame, &Limits::default()) else { return };
    assert_json(frame);
    let written = written(&message);
    let again = capnweb::parse(&written, &Limits::default());
    let again = again.unwrap_or_else(|error| panic!("{written}: {error}"));
    assert_eq!(self::written(&again), written);
}

/// All bytes beside the text are those of values, in their order.
fn mixed(frame: &[u8], beside: &[u8]) {
    let Some(frame) = text(frame) else { return };
    let Ok(message) = capnweb::read_mixed(frame, beside.to_vec().into(), &Limits::default()) else { return };
    assert_json(frame);
    let _written = written(&message);
    let mut rest = beside;
    for bytes in message.beside() {
        rest = rest.strip_prefix(&bytes[..]).expect("the bytes of values stand in their order");
    }
}

fn written(message: &Message) -> String {
    let mut out = String::new();
    capnweb::write(message, &mut out);
    out
}
macro_rules! frames {
    ($language:ident, $data:expr, $ask:expr, $to:expr) => {{
        let Some(data) = text($data) else { return };
        let (mut codec, mut names) = ($language::Codec::new(1), Anything::default());
        let (mut asked, mut calls, mut lent_ids) = (String::new(), 0, Vec::new());
        let ask = Message::Call {
            id: 1,
            target: 0,
            path: Path::Empty,
            args: $ask,
            return_mode: ReturnMode::Streamed,
        };
        codec.write(&ask, &mut names, &mut asked).ok();
        let id = asked.split('"').find(|part| part.len() > 19).unwrap_or_default();
        for (number, line) in data.lines().take(64).enumerate() {
            // The answers among the recorded frames are meant for others.
            let to = Json::parse(line, 64, usize::MAX).ok().and_then(|tree| match tree.get($to) {
                Some(Json::String(raw)) if !raw.is_empty() => Some((*raw).to_owned()),
                _ => None,
            });
            let answer = ["return", "error", "resolve", "notify"].iter().any(|kind| line.contains(kind));
            let meant = to.filter(|_| answer).map(|to| line.replacen(&to, id, 1));
            let Ok(message) = codec.parse(meant.as_deref().unwrap_or(line), &Limits::default(), &mut names)
            else {
                return;
            };
            while let Some(reply) = codec.exchange.take_reply() {
                assert_json(&reply);
            }
            while codec.exchange.take_unknown_target().is_some() {}
            if let Some(Message::Answer { outcome: Err(thrown), .. }) = &message {
                capnweb::read_error(thrown).0.property::<Value>("data");
            }
            let value = match message {
                Some(Message::Call { args, .. }) => {
                    calls += 1;
                    args
                }
                Some(
                    Message::Answer { outcome: Ok(value) | Err(value), .. } | Message::Progress { value, .. },
                ) => Some(value),
                _ => None,
            };
            let Some(value) = value else { continue };
            lent_ids.extend(value.refs.iter().filter_map(|slot| slot.to.sender_id()));
            let value = body(value);
            read_as_anything(&value);
            drop(unfold(value.clone(), 1 << 16));
            let Some(value) = lent(value) else { continue };
            let outcome = if number % 2 == 0 { Ok(value) } else { Err(value) };
            for message in [
                Message::Progress { id: calls, value: Payload::plain("1".to_owned()) },
                Message::Answer { id: calls, outcome },
            ] {
                let mut frame = String::new();
                codec.write(&message, &mut names, &mut frame).ok();
                if !frame.is_empty() {
                    assert_json(&frame);
                }
            }
            if number % 3 == 2 {
                for id in lent_ids.drain(..) {
                    let mut frame = String::new();
                    codec.write(&Message::Release { id, count: 1 }, &mut names, &mut frame).ok();
                }
            }
        }
    }};
}

/// Frames of Capnode, a line a frame. What comes of them is read, and answered with itself.
pub fn capnode_frame(data: &[u8]) {
    frames!(capnode, data, None, "methodId");
    let codec = capnode::Codec::new(1);
    text(data).map(|frame| codec.asked_in(frame));
}

/// Frames of Q-Connection, a line a frame. What comes of them is read, and answered with itself.
pub fn q_frame(data: &[u8]) {
    frames!(q, data, Some(Payload::plain(Text::Static("[]"))), "to");
}
/// A JSON text as a tree. It is one exactly if another reader thinks so.
pub fn json_tree(data: &[u8]) {
    const DEPTH: usize = 100;
    let Some(text) = text(data) else { return };
    let read = Json::parse(text, DEPTH, usize::MAX);
    let is_deep = read.as_ref().is_err_and(|error| error.limit() == Some(LimitKind::Depth));
    if let Some(is_json) = is_json(text).filter(|_| !is_deep) {
        assert_eq!(read.is_ok(), is_json, "{read:?}");
    }
    let Ok(tree) = read else { return };
    assert_eq!(Json::parse(text, DEPTH + 1, usize::MAX).ok().as_ref(), Some(&tree));
    for key in ["type", "a", ""] {
        tree.get(key).map(|member| (member.is_truthy(), member.text()));
    }
    // A part of a longer text is read as if it stood alone.
    let longer = format!("[{text} ]");
    let part = Json::parse_part::<()>(&longer, 1..longer.len() - 1, &[], 0, DEPTH);
    assert_eq!(part.ok(), Some((tree, 0)));
}
macro_rules! through {
    ($language:ident, $payload:expr, $asked:literal) => {{
        let mut names = Anything::default();
        let (mut sender, mut receiver) = ($language::Codec::new(1), $language::Codec::new(2));
        let ask = Message::Call {
            id: 1,
            target: 0,
            path: Path::Empty,
            args: None,
            return_mode: ReturnMode::Streamed,
        };
        let mut frame = String::new();
        receiver.write(&ask, &mut names, &mut frame).ok();
        let id = frame.split('"').find(|part| part.len() > 19).unwrap_or_default().to_owned();
        sender.parse($asked, &Limits::default(), &mut names).ok();
        let mut answer = String::new();
        sender.write(&Message::Answer { id: 1, outcome: Ok($payload) }, &mut names, &mut answer).ok();
        assert_json(&answer);
        let delivered = answer.replacen("\"r\"", &format!("\"{id}\""), 1);
        match receiver.parse(&delivered, &Limits::default(), &mut names) {
            Ok(Some(Message::Answer { id: 1, outcome: Ok(value) })) => Some((answer, value)),
            // It could not be said, or nests as deep as the language bears and then some.
            Ok(Some(Message::Answer { id: 1, outcome: Err(_) })) | Err(_) => None,
            other => panic!("{answer}: {other:?}"),
        }
    }};
}

macro_rules! is_its_own {
    ($language:ident, $value:expr, $asked:literal) => {{
        if let Some((_, read)) = through!($language, $value, $asked) {
            // Now it is as the language can say it, and stays that.
            let once = lent(body(read)).and_then(|value| through!($language, value, $asked));
            if let Some((once, read)) = once {
                let twice = lent(body(read)).and_then(|value| through!($language, value, $asked));
                assert_eq!(twice.map(|(twice, _)| twice), Some(once));
            }
        }
    }};
}

/// An expression, said in the other two languages. What was read of one of them is written as it came.
pub fn canonical(data: &[u8]) {
    let Some(payload) = text(data).and_then(value_of) else { return };
    let Some(value) = lent(body(payload)) else { return };
    is_its_own!(capnode, value.clone(), r#"{"type":"index","methodId":"r"}"#);
    is_its_own!(q, value.clone(), r#"{"type":"send","to":"","from":"r","op":"when","args":[]}"#);
    // As arguments and as reasons.
    let mut names = Anything::default();
    let args = Payload {
        text: format!("[{}]", value.text.as_str()).into(),
        refs: ThinVec::NONE,
        nodes: ThinVec::NONE,
    };
    let (mut capnode, mut q) = (capnode::Codec::new(1), q::Codec::new(1));
    let function = capnode.reconstruct("f");
    let paths = [
        Path::Empty,
        Path::One(Key::Name(Text::Own("m".to_owned()))),
        [Key::Verb(Verb::Set)].into_iter().collect(),
    ];
    for (target, path) in [function, 0, 0].into_iter().zip(paths) {
        let args = value.refs.is_empty().then(|| args.clone());
        let call = Message::Call { id: 1, target, path, args, return_mode: ReturnMode::Streamed };
        let (mut one, mut other) = (String::new(), String::new());
        capnode.write(&call, &mut names, &mut one).ok();
        q.write(&call, &mut names, &mut other).ok();
        [one, other].iter().filter(|frame| !frame.is_empty()).for_each(|frame| assert_json(frame));
    }
}
/// The first frame of a peer whose language is not known, and a language's name from user code.
pub fn detect(data: &[u8]) {
    let Some(text) = text(data) else { return };
    Dialect::from_str(text).ok();
    match Dialect::detect(text, &Limits::default()) {
        Ok(Some(Dialect::Capnode | Dialect::Q)) => assert_json(text),
        Ok(Some(Dialect::CapnWeb)) => assert!(!text.trim_start().starts_with('{')),
        Ok(None) | Err(_) => {}
    }
}
/// An id of a Capnode function that came by another way. It goes out as it came.
pub fn ids(data: &[u8]) {
    let Some(name) = text(data) else { return };
    let mut codec = capnode::Codec::new(1);
    let id = codec.reconstruct(name);
    assert_eq!(codec.reconstruct(name), id);
    if let Some(known) = codec.name_of(id) {
        assert_eq!(known, name);
    }
    let (mut frame, mut names) = (String::new(), Anything::default());
    let args = Some(Payload::plain(Text::Static("[]")));
    let call =
        Message::Call { id: 1, target: id, path: Path::Empty, args, return_mode: ReturnMode::Streamed };
    if codec.write(&call, &mut names, &mut frame).is_ok() {
        assert_json(&frame);
        let tree = Json::parse(&frame, 16, usize::MAX).unwrap_or(Json::Null);
        assert_eq!(tree.get("methodId").and_then(Json::text).as_deref(), Some(name));
    }
}
