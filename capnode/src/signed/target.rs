//! Targets: URLs that are compared as text, and have one way to be written.

use crate::reserved::is_reserved;

use super::refusal::{Refusal, Rule};

/// The most bytes of a target.
const MAX_BYTES: usize = 1024;

/// The most segments of a target.
const MAX_SEGMENTS: usize = 32;

/// The begin of the id of a root.
const ROOT: &str = "urn:zcap:root:";

/// Checks an origin: scheme, host and port, in small letters and with nothing else.
pub(crate) fn check_origin(origin: &str) -> Result<(), Refusal> {
    let valid = |byte: u8| {
        byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'.' | b'-' | b':' | b'[' | b']')
    };
    let host = origin.split_once("://").filter(|(scheme, _)| scheme.bytes().all(valid) && !scheme.is_empty());
    match host {
        Some((_, host)) if !host.is_empty() && host.bytes().all(valid) => Ok(()),
        _ => Err(Rule::Target.broken(format!("`{origin}` is no origin, such as https://node.example"))),
    }
}

/// Checks a target, and returns its segments, decoded.
pub(crate) fn segments(target: &str) -> Result<Vec<String>, Refusal> {
    let broken = |what: &str| Rule::Target.broken(format!("`{target}` {what}"));
    if target.len() > MAX_BYTES {
        return Err(Rule::Target.broken(format!("more than {MAX_BYTES} bytes")));
    }
    let host = target.find("://").map_or(0, |at| at + 3);
    let path = target[host..].find('/').map(|at| host + at).ok_or_else(|| broken("has no path"))?;
    check_origin(&target[..path])?;
    let segment = |raw: &str| {
        let name = unescape(raw).filter(|name| escape(name) == raw);
        name.filter(|name| is_name(name)).ok_or_else(|| broken("has a segment that names nothing"))
    };
    let path = &target[path + 1..];
    if path.split('/').nth(MAX_SEGMENTS).is_some() {
        return Err(broken(&format!("has more than {MAX_SEGMENTS} segments")));
    }
    path.split('/').map(segment).collect()
}

/// `true` if a segment may stand for the name, so that no reader of URLs makes something else of it.
fn is_name(name: &str) -> bool {
    let means = |c: char| c.is_control() || matches!(c, '/' | '\\' | '%');
    !name.is_empty() && name != "." && name != ".." && !name.contains(means) && !is_reserved(name)
}

/// Returns what stands behind `parent` in a narrower target: nothing, or `/` and more segments.
pub(crate) fn below<'a>(target: &'a str, parent: &str) -> Option<&'a str> {
    target.strip_prefix(parent).filter(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// Returns the target one segment below another.
pub(crate) fn child(target: &str, name: &str) -> Result<String, Refusal> {
    let child = format!("{target}/{}", escape(name));
    segments(&child).map(|_| child)
}

/// Returns the id of the root of a target.
pub(crate) fn root_id(target: &str) -> String {
    format!("{ROOT}{}", escape(target))
}

/// Returns the target whose root has the id.
pub(crate) fn target_of_root(id: &str) -> Option<String> {
    let target = unescape(id.strip_prefix(ROOT)?)?;
    (root_id(&target) == id).then_some(target)
}

/// Escapes a part of a URL as JavaScript's `encodeURIComponent` does.
pub(crate) fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.!~*'()".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

fn unescape(text: &str) -> Option<String> {
    let (mut out, mut bytes) = (Vec::with_capacity(text.len()), text.bytes());
    while let Some(byte) = bytes.next() {
        if byte == b'%' {
            let mut digit = || char::from(bytes.next()?).to_digit(16);
            out.push(u8::try_from(digit()? * 16 + digit()?).ok()?);
        } else {
            out.push(byte);
        }
    }
    String::from_utf8(out).ok()
}
