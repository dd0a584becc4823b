//! Values out of the language's writing.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet, VecDeque};

use super::form::{Form, JsonAddress, form};
use super::key;
use crate::dialect::ExportNames;
use crate::dialect::canonical::{Builder, error_members};
use crate::dialect::capnweb::text::{unescape, write_string};
use crate::dialect::ids::{ImportNames, own_name, peer_id};
use crate::dialect::json::{Json, separate};
use crate::dialect::too_deep;
use crate::error::Error;
use crate::message::{CapDescriptor, Path, Payload, ReceiverRef};

mod paths;

use self::paths::Paths;

type Result<T> = std::result::Result<T, Error>;

pub(super) struct Decoder<'t, 'a, 'n> {
    /// The target of each path in the message.
    found: HashMap<JsonAddress<'a>, &'t Json<'a>>,
    /// The arrays and plain objects that occur more than once.
    shared: HashSet<JsonAddress<'a>>,
    numbers: HashMap<JsonAddress<'a>, usize>,
    waiting: VecDeque<&'t Json<'a>>,
    whole: Option<&'t Json<'a>>,
    max_depth: usize,
    lent: &'n mut ImportNames,
    names: &'n mut dyn ExportNames,
    builder: Builder,
}

impl<'t, 'a, 'n> Decoder<'t, 'a, 'n> {
    /// A decoder of a part of `whole`, from which the paths in it are counted.
    pub(super) fn new(
        frame: &str,
        whole: Option<&'t Json<'a>>,
        max_depth: usize,
        lent: &'n mut ImportNames,
        names: &'n mut dyn ExportNames,
    ) -> Self {
        let mut decoder = Self {
            found: HashMap::new(),
            shared: HashSet::new(),
            numbers: HashMap::new(),
            waiting: VecDeque::new(),
            whole,
            max_depth,
            lent,
            names,
            builder: Builder::default(),
        };
        let may_be = memchr::memchr2(b'$', b'\\', frame.as_bytes()).is_some();
        if may_be && (frame.contains("\"$\"") || frame.contains("\\u0024")) {
            if let Some(whole) = whole {
                decoder.found = Paths::of(whole);
            }
            let containers = decoder.found.values().filter(|json| is_container(json));
            decoder.shared = containers.map(|json| std::ptr::from_ref(*json)).collect();
        }
        decoder
    }

    /// Shares the containers in a shared `json`: they are read as parts of the message too, so they occur once more if
    /// `json` is a value.
    fn share_inside(&mut self, json: &'t Json<'a>) {
        if !self.shared.contains(&std::ptr::from_ref(json)) {
            return;
        }
        let containers = json.children().filter(|inside| is_container(inside));
        self.shared.extend(containers.map(std::ptr::from_ref));
    }

    /// A value that is all of the message's, or nothing.
    pub(super) fn value(mut self, json: Option<&'t Json<'a>>) -> Result<Payload<CapDescriptor>> {
        match json {
            Some(json) => self.write(json, 0)?,
            None => self.builder.undefined(),
        }
        self.finish()
    }

    /// A list of arguments.
    pub(super) fn list(mut self, list: &'t Json<'a>) -> Result<Payload<CapDescriptor>> {
        self.share_whole();
        self.share_inside(list);
        match list {
            Json::Array(elements) => self.elements(elements, 1)?,
            _ => self.builder.out.push_str("[]"),
        }
        self.finish()
    }

    /// A list of one argument.
    pub(super) fn only(mut self, argument: Option<&'t Json<'a>>) -> Result<Payload<CapDescriptor>> {
        self.share_whole();
        self.builder.out.push('[');
        match argument {
            Some(argument) => self.write(argument, 1)?,
            None => self.builder.undefined(),
        }
        self.builder.out.push(']');
        self.finish()
    }

    fn share_whole(&mut self) {
        if let Some(whole) = self.whole {
            self.share_inside(whole);
        }
    }

    /// Returns the reason for which a call was rejected.
    pub(super) fn reason(mut self, reason: &'t Json<'a>) -> Result<Payload<CapDescriptor>> {
        self.share_whole();
        match reason.get("message") {
            Some(Json::String(message)) if is_container(reason) => {
                self.share_inside(reason);
                self.error(message, reason, 0)?;
            }
            _ => self.write(reason, 0)?,
        }
        self.finish()
    }

    fn finish(mut self) -> Result<Payload<CapDescriptor>> {
        self.builder.next();
        while let Some(json) = self.waiting.pop_front() {
            self.content(json, 0)?;
            self.builder.next();
        }
        Ok(self.builder.finish())
    }

    /// Writes the value at a place, as a reference if it occurs elsewhere too.
    fn write(&mut self, json: &'t Json<'a>, depth: usize) -> Result<()> {
        if !self.shared.contains(&std::ptr::from_ref(json)) {
            return self.content(json, depth);
        }
        let next = self.numbers.len();
        let number = *self.numbers.entry(json).or_insert(next);
        if number == next {
            self.waiting.push_back(json);
        }
        self.builder.reference(CapDescriptor::Node(number));
        Ok(())
    }

    fn content(&mut self, json: &'t Json<'a>, depth: usize) -> Result<()> {
        if depth >= self.max_depth {
            return Err(too_deep(self.max_depth));
        }
        match json {
            Json::Array(elements) => {
                self.builder.out.push('[');
                self.elements(elements, depth + 1)?;
                self.builder.out.push(']');
            }
            Json::Object(_) => return self.object(json, depth),
            other => self.builder.json(other),
        }
        Ok(())
    }

    fn elements(&mut self, elements: &'t [Json<'a>], depth: usize) -> Result<()> {
        self.builder.out.push('[');
        for (at, element) in elements.iter().enumerate() {
            separate(at, &mut self.builder.out);
            self.write(element, depth)?;
        }
        self.builder.out.push(']');
        Ok(())
    }

    fn object(&mut self, json: &'t Json<'a>, depth: usize) -> Result<()> {
        match form(json) {
            Some(Form::Path(_)) => {
                let Some(found) = self.found.get(&std::ptr::from_ref(json)).copied() else {
                    self.builder.undefined();
                    return Ok(());
                };
                return self.write(found, depth);
            }
            Some(Form::Special(name)) => match &*name {
                "undefined" => self.builder.undefined(),
                "NaN" => self.builder.out.push_str("[\"nan\"]"),
                "+Infinity" => self.builder.out.push_str("[\"inf\"]"),
                "-Infinity" => self.builder.out.push_str("[\"-inf\"]"),
                name => {
                    let name: String = name.chars().take(60).collect();
                    self.failed(&format!("there is no special value called {name}"));
                }
            },
            Some(Form::Rejected(reason)) => return self.rejected(reason, depth),
            Some(Form::Reference { id, function }) => match peer_id(Some(id)) {
                Some(name) => {
                    let id = self.lent.intern(&name);
                    self.builder.reference(if function {
                        CapDescriptor::SenderFunction(id)
                    } else {
                        CapDescriptor::SenderHosted(id)
                    });
                }
                None => self.failed("this reference has no id"),
            },
            Some(Form::Own(id)) => {
                let own = match own_name(id) {
                    Some(name) if name.is_empty() => Some(0),
                    Some(name) => self.names.find(&name),
                    None => None,
                };
                match own {
                    Some(id) => self.builder.reference(CapDescriptor::ReceiverHosted(ReceiverRef {
                        id,
                        path: Path::Empty,
                        args: None,
                        awaited: false,
                    })),
                    None => self.failed("there is no such object here, or it has been forgotten"),
                }
            }
            Some(Form::Plain(members)) => {
                self.builder.out.push('{');
                let members = members.iter().map(|(key, value)| (*key, value));
                self.members(members, depth + 1)?;
                self.builder.out.push('}');
            }
            None => {}
        }
        Ok(())
    }

    /// An error in the place of a value that is not there.
    fn failed(&mut self, why: &str) {
        self.builder.out.push_str("[\"error\",\"Error\",");
        write_string(&mut self.builder.out, why);
        self.builder.out.push(']');
    }

    /// A rejected promise in a value.
    fn rejected(&mut self, reason: &'t Json<'a>, depth: usize) -> Result<()> {
        match reason.get("message") {
            Some(Json::String(message)) if is_container(reason) => {
                self.share_inside(reason);
                self.error(message, reason, depth)?;
            }
            _ => match reason {
                Json::String(raw) => {
                    self.builder.open_error(None, raw);
                    self.builder.out.push(']');
                }
                _ => {
                    self.builder.open_error(None, "the promise was rejected");
                    self.builder.out.push_str(",null,{\"data\":");
                    self.write(reason, depth + 1)?;
                    self.builder.out.push_str("}]");
                }
            },
        }
        Ok(())
    }

    /// Writes a reason that has a message, as an error.
    fn error(&mut self, message: &str, reason: &'t Json<'a>, depth: usize) -> Result<()> {
        if depth >= self.max_depth {
            return Err(too_deep(self.max_depth));
        }
        self.builder.open_error(reason.get("name"), message);
        let (members, exact) = error_members(reason, self.max_depth);
        if !members.is_empty() || exact.is_some() {
            self.builder.out.push_str(",null,{");
            let between = if members.is_empty() { "" } else { "," };
            self.members(members.into_iter(), depth + 1)?;
            if let Some(data) = exact {
                self.builder.out.push_str(between);
                self.builder.out.push_str("\"data\":");
                self.builder.out.push_str(data.as_str());
            }
            self.builder.out.push('}');
        }
        self.builder.out.push(']');
        Ok(())
    }

    fn members(
        &mut self,
        members: impl Iterator<Item = (&'a str, &'t Json<'a>)>,
        depth: usize,
    ) -> Result<()> {
        let mut plain: Vec<(Cow<'a, str>, &'t Json<'a>)> =
            members.map(|(raw, value)| (key::unescape(raw), value)).collect();
        if plain.iter().any(|(key, _)| matches!(key, Cow::Owned(_))) {
            // Two keys may have become one: of these the last counts.
            let last: HashMap<_, _> =
                plain.iter().enumerate().map(|(at, (key, _))| (unescape(key).into_owned(), at)).collect();
            let mut at = 0..;
            plain.retain(|(key, _)| last.get(&*unescape(key)).copied() == at.next());
        }
        for (at, (key, value)) in plain.into_iter().enumerate() {
            separate(at, &mut self.builder.out);
            self.builder.raw_string(&key);
            self.builder.out.push(':');
            self.write(value, depth)?;
        }
        Ok(())
    }
}

fn is_container(json: &Json<'_>) -> bool {
    matches!(json, Json::Array(_)) || matches!(form(json), Some(Form::Plain(_)))
}
