//! Numbers for the ids of wires whose ids are strings.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::hash::RandomState;

use super::capnweb::text::write_string;
use super::json::Json;
use crate::message::{Id, IdMap};
use crate::table::Table;

/// Imports by the strings that name them. A string is kept as it stands in JSON, quotes included: some peers use
/// numbers, which have to go back as numbers.
#[derive(Default)]
pub(super) struct ImportNames {
    ids: Table<Box<str>, Id, RandomState>,
    names: IdMap<Box<str>>,
    last: Id,
}

impl ImportNames {
    /// Returns the id of the import that the peer calls `name`, which stays the same while we hold it.
    pub(super) fn intern(&mut self, name: &str) -> Id {
        if let Some(id) = self.ids.get(name) {
            return *id;
        }
        self.last -= 1;
        self.ids.insert(name.into(), self.last);
        self.names.insert(self.last, name.into());
        self.last
    }

    pub(super) fn name(&self, id: Id) -> Option<&str> {
        self.names.get(&id).map(|name| &**name)
    }

    pub(super) fn forget(&mut self, id: Id) -> Option<Box<str>> {
        let name = self.names.remove(&id)?;
        self.ids.remove(&name);
        Some(name)
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.ids.len()
    }
}

/// The open ends of the messages that a codec has read.
#[derive(Default)]
pub(crate) struct Exchange {
    /// The places of the answers of the peer's unanswered calls, by the calls' numbers.
    places: IdMap<Box<str>>,
    replies: VecDeque<String>,
    lost: VecDeque<String>,
}

/// Writes the answer to a call, given its place and the reason of its failure.
pub(super) type WriteFailure = fn(&str, &str, &mut String);

impl Exchange {
    /// Adds a call. One that says no place for its answer gets none.
    pub(super) fn add(&mut self, call: Id, place: Option<String>) {
        if let Some(place) = place {
            self.places.insert(call, place.into());
        }
    }

    pub(super) fn place(&self, call: Id) -> Option<&str> {
        self.places.get(&call).map(|place| &**place)
    }

    pub(super) fn done(&mut self, call: Id) -> Option<Box<str>> {
        self.places.remove(&call)
    }

    /// Adds a frame that has to be sent without a message.
    pub(super) fn reply(&mut self, frame: String) {
        self.replies.push_back(frame);
    }

    /// Answers a call at once with an error, if it says a place for its answer.
    pub(super) fn fail(&mut self, place: Option<String>, why: &str, write: WriteFailure) {
        if let Some(place) = place {
            let mut frame = String::new();
            write(&place, why, &mut frame);
            self.reply(frame);
        }
    }

    /// Notes the addressee of a message that is not, or no longer, known.
    pub(super) fn lose(&mut self, addressee: &str) {
        self.lost.push_back(addressee.chars().take(100).collect());
    }

    /// Takes a frame that has to be sent because of the messages read. Ask after each message, until there is none.
    pub(crate) fn take_reply(&mut self) -> Option<String> {
        self.replies.pop_front()
    }

    /// Takes the start of the addressee of a message whose addressee is not known. Ask after each message.
    pub(crate) fn take_unknown_target(&mut self) -> Option<String> {
        self.lost.pop_front()
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.places.len()
    }
}

/// Bytes that an id may have. Those of the packages have some thirty; each mention of one is looked up.
pub(super) const MAX_ID: usize = 1_024;

/// Returns `true` for an id of the peer.
pub(super) fn is_id(json: Option<&Json<'_>>) -> bool {
    matches!(json, Some(Json::String(raw) | Json::Number(raw)) if !raw.is_empty() && raw.len() <= MAX_ID)
}

/// Returns an id of the peer as it stands in JSON. A missing id, the empty string and a string that is too long count
/// as none.
pub(super) fn peer_id(json: Option<&Json<'_>>) -> Option<String> {
    match json? {
        _ if !is_id(json) => None,
        Json::String(raw) => Some(quoted_id(raw)),
        Json::Number(number) => Some((*number).to_owned()),
        _ => None,
    }
}

/// Returns an id that is a string as it stands in JSON.
pub(super) fn quoted_id(raw: &str) -> String {
    ["\"", raw, "\""].concat()
}

/// Returns an id of the peer as our tables name it, which know only strings.
pub(super) fn own_name<'a>(json: &Json<'a>) -> Option<Cow<'a, str>> {
    match json {
        Json::String(raw) | Json::Number(raw) if raw.len() > MAX_ID => None,
        Json::String(_) => json.text(),
        Json::Number(number) => Some(Cow::Borrowed(number)),
        _ => None,
    }
}

/// Ids of our requests: the connection's prefix, and the number in hexadecimal digits, with zeros before it up to a width.
pub(super) struct OwnIds {
    prefix: String,
    width: usize,
    /// The first of the six letters among the digits.
    letter: u8,
}

impl OwnIds {
    pub(super) fn new(prefix: String, width: usize, letter: u8) -> Self {
        Self { prefix, width, letter }
    }

    /// Writes the id of a request between quotes.
    pub(super) fn write(&self, number: Id, out: &mut String) {
        out.push('"');
        out.push_str(&self.prefix);
        let digits = 16 - number.leading_zeros() as usize / 4;
        for place in (0..digits.max(self.width)).rev() {
            let digit = if place < 16 { (number >> (4 * place)) as u8 & 15 } else { 0 };
            out.push(char::from(if digit < 10 { b'0' + digit } else { self.letter + digit - 10 }));
        }
        out.push('"');
    }

    /// Finds the request with this id, the last of which is `last`. An id in the other case is not ours.
    pub(super) fn find(&self, id: &str, last: Id) -> Option<Id> {
        let digits = id.strip_prefix(&*self.prefix)?;
        let is_long = digits.len() > self.width && !digits.starts_with('0');
        if digits.len() != self.width && !is_long {
            return None;
        }
        let number = digits.bytes().try_fold(0, |number: Id, byte| {
            let digit = match byte.wrapping_sub(self.letter) {
                letter @ 0..6 => letter + 10,
                _ if byte.is_ascii_digit() => byte - b'0',
                _ => return None,
            };
            Some(number.checked_mul(16)? | Id::from(digit))
        })?;
        (1..=last).contains(&number).then_some(number)
    }

    #[cfg(test)]
    pub(super) fn id(&self, number: Id) -> String {
        let mut quoted = String::new();
        self.write(number, &mut quoted);
        quoted.trim_matches('"').to_owned()
    }
}

/// Turns a seed into the next of a row of numbers that have nothing visible in common.
pub(super) fn split_mix64(seed: &mut u64) -> u64 {
    *seed = seed.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let mut mixed = *seed;
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    mixed ^ (mixed >> 31)
}

/// Opens an object with the member `type`.
pub(super) fn open(out: &mut String, kind: &str) {
    out.push_str("{\"type\":\"");
    out.push_str(kind);
    out.push('"');
}

/// Writes a member of which `json` is the value.
pub(super) fn member(out: &mut String, name: &str, json: &str) {
    out.push_str(",\"");
    out.push_str(name);
    out.push_str("\":");
    out.push_str(json);
}

/// `text` as a JSON string.
pub(super) fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    write_string(&mut out, text);
    out
}
