//! Targets of the paths in a message.

use std::borrow::Cow;
use std::collections::HashMap;

use super::super::form::{Form, JsonAddress, form};
use crate::dialect::capnweb::text::unescape;
use crate::dialect::json::Json;

/// Something that a path can lead to, and the last step of that path.
struct Entry<'t, 'a> {
    parent: Option<usize>,
    step: Cow<'a, str>,
    json: &'t Json<'a>,
}

/// All objects, lists and references of a message, found by hashes of their paths. Keys may hold slashes, so a path
/// does not tell its steps by itself, and to keep every path as text could cost far more than the message has.
pub(super) struct Paths<'t, 'a> {
    entries: Vec<Entry<'t, 'a>>,
    by_hash: HashMap<u64, usize>,
    asked: Vec<(JsonAddress<'a>, Cow<'a, str>)>,
}

/// FNV-1a, which goes on where it has stopped.
fn hash(so_far: u64, text: &str) -> u64 {
    text.bytes().fold(so_far, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01B3))
}

const EMPTY: u64 = 0xCBF2_9CE4_8422_2325;

impl<'t, 'a> Paths<'t, 'a> {
    /// Finds the target of each `$` in the message. A path may lead forward, which the package does not know.
    pub(super) fn of(whole: &'t Json<'a>) -> HashMap<JsonAddress<'a>, &'t Json<'a>> {
        let mut paths = Paths { entries: Vec::new(), by_hash: HashMap::new(), asked: Vec::new() };
        paths.walk(whole, None, Cow::Borrowed(""), EMPTY);
        let asked = std::mem::take(&mut paths.asked);
        // A path inside a reason may be counted from the reason or from the resolution around it.
        let reason = whole.get("!").is_some();
        let found = asked.into_iter().filter_map(|(place, path)| {
            let inside = || reason.then(|| paths.find(&format!("/!{path}"))).flatten();
            Some((place, paths.find(&path).or_else(inside)?))
        });
        found.collect()
    }

    /// Passes over a tree, whose depth was bounded when it was read.
    fn walk(&mut self, json: &'t Json<'a>, parent: Option<usize>, step: Cow<'a, str>, at: u64) {
        match (json, form(json)) {
            (Json::Array(elements), _) => {
                let entry = self.add(json, parent, step, at);
                for (index, element) in elements.iter().enumerate() {
                    if !matches!(element, Json::Array(_) | Json::Object(_)) {
                        continue;
                    }
                    let step = index.to_string();
                    let at = hash(hash(at, "/"), &step);
                    self.walk(element, Some(entry), Cow::Owned(step), at);
                }
            }
            (_, Some(Form::Path(path))) => {
                self.asked.extend(path.map(|path| (std::ptr::from_ref(json), path)))
            }
            (Json::Object(members), Some(Form::Plain(_) | Form::Rejected(_))) => {
                let entry = self.add(json, parent, step, at);
                for (key, value) in members {
                    if !matches!(value, Json::Array(_) | Json::Object(_)) {
                        continue;
                    }
                    let step = unescape(key);
                    let at = hash(hash(at, "/"), &step);
                    self.walk(value, Some(entry), step, at);
                }
            }
            (_, Some(Form::Reference { .. } | Form::Own(_))) => {
                self.add(json, parent, step, at);
            }
            _ => {}
        }
    }

    fn add(&mut self, json: &'t Json<'a>, parent: Option<usize>, step: Cow<'a, str>, at: u64) -> usize {
        self.entries.push(Entry { parent, step, json });
        let entry = self.entries.len() - 1;
        self.by_hash.entry(at).or_insert(entry);
        entry
    }

    fn find(&self, path: &str) -> Option<&'t Json<'a>> {
        let entry = *self.by_hash.get(&hash(EMPTY, path))?;
        // Hashes can be made to collide.
        let (mut at, mut rest) = (&self.entries[entry], path);
        while let Some(parent) = at.parent {
            rest = rest.strip_suffix(&*at.step)?.strip_suffix('/')?;
            at = &self.entries[parent];
        }
        let found = self.entries[entry].json;
        // A rejected promise cannot be found, only its content.
        let rejected = matches!(form(found), Some(Form::Rejected(_)));
        (rest.is_empty() && !rejected).then_some(found)
    }
}
