//! Places of the parts of a long value, so that looking one up does not pass over all of them each time.

use std::collections::HashMap;
use std::ops::Range;

use super::access::{Elements, Members};
use super::{Next, Reader};
use crate::dialect::ResolveRef;
use crate::message::{Key, Payload, Slot};

/// A value of fewer bytes is looked through each time. Also how far apart the marks in an array are.
const SHORT: usize = 256;

/// The places of the parts that have been looked up in one value.
#[derive(Debug, Default)]
pub(crate) struct Places(HashMap<usize, Container>);

/// A long array or object. It takes less than the text.
#[derive(Debug)]
enum Container {
    /// The places of the keys, sorted by their text; equal ones as they come.
    Object(Vec<u32>),
    /// Elements some way apart, each with its number, and how many there are.
    Array(Vec<(u64, usize)>, u64),
    /// Anything else has no parts.
    Other,
}

impl Places {
    /// Returns the start of the part `key` of the value at `at`.
    pub(crate) fn find<R: ResolveRef>(&mut self, value: &Payload<R>, at: usize, key: &Key) -> Option<usize> {
        if let Some(known) = self.0.get(&at) {
            return known.find(value, key);
        }
        if let Key::Name(name) = key {
            if let Some(found) = member_of_short(value, at, name.as_str()) {
                return found;
            }
        }
        let (container, bytes) = Container::read(value, at)?;
        let found = container.find(value, key);
        if bytes >= SHORT {
            self.0.insert(at, container);
        }
        found
    }
}

/// Finds a member of the short object at a place. Returns `None` if there is none such. The last member of a name counts,
/// as in JavaScript.
fn member_of_short<R: ResolveRef>(value: &Payload<R>, at: usize, name: &str) -> Option<Option<usize>> {
    let mut reader = Reader::at(value, at);
    let Ok(Next::Object) = reader.next() else { return None };
    let (mut members, mut found) = (Members::new(&mut reader), None);
    while let Some(key) = members.advance().ok()? {
        if key == name {
            found = Some(members.reader.pos);
        }
        members.reader.skip().ok()?;
        if members.reader.pos - at >= SHORT {
            return None;
        }
    }
    Some(found)
}

impl Container {
    /// Reads the container at a place, and how many bytes it takes.
    fn read<R: ResolveRef>(value: &Payload<R>, at: usize) -> Option<(Self, usize)> {
        let mut reader = Reader::at(value, at);
        let container = match reader.next().ok()? {
            Next::Object => {
                let mut keys = Vec::new();
                let mut members = Members::new(&mut reader);
                loop {
                    let before = members.reader.pos;
                    let Some(key) = members.advance().ok()? else { break };
                    keys.push((key, u32::try_from(before).ok()?));
                    members.reader.skip().ok()?;
                }
                keys.sort_by(|(one, _), (other, _)| one.cmp(other));
                Container::Object(keys.into_iter().map(|(_, at)| at).collect())
            }
            Next::Array => {
                let (mut marks, mut count): (Vec<(u64, usize)>, u64) = (Vec::new(), 0);
                let mut elements = Elements::new(&mut reader);
                while elements.advance().ok()? {
                    let place = elements.reader.pos;
                    if marks.last().is_none_or(|(_, last)| place - last >= SHORT) {
                        marks.push((count, place));
                    }
                    elements.reader.skip().ok()?;
                    count += 1;
                }
                Container::Array(marks, count)
            }
            _ => Container::Other,
        };
        Some((container, reader.pos - at))
    }

    fn find<R: ResolveRef>(&self, value: &Payload<R>, key: &Key) -> Option<usize> {
        match (self, key) {
            (Container::Object(keys), Key::Name(name)) => {
                let member = |at: u32| {
                    // The comma before it has been passed, if there is one.
                    let mut reader = Reader::at(value, at as usize);
                    reader.take(b',');
                    let key = reader.string().ok()?;
                    reader.expect(b':').ok()?;
                    Some((key, reader.pos))
                };
                let name = name.as_str();
                let end = keys.partition_point(|at| member(*at).is_some_and(|(key, _)| &*key <= name));
                // The last one of a name counts, as in JavaScript.
                let (key, place) = member(*keys.get(end.checked_sub(1)?)?)?;
                (key == name).then_some(place)
            }
            (Container::Array(marks, count), _) => {
                let index = match key {
                    Key::Index(index) => *index,
                    // JavaScript's indexes are names; a list takes either.
                    Key::Name(name) => {
                        let index: u64 = name.as_str().parse().ok()?;
                        (index.to_string() == name.as_str()).then_some(index)?
                    }
                    Key::Verb(_) => return None,
                };
                if index >= *count {
                    return None;
                }
                let mark = marks.partition_point(|(number, _)| *number <= index).checked_sub(1)?;
                let (number, place) = *marks.get(mark)?;
                let mut reader = Reader::at(value, place);
                for _ in number..index {
                    reader.skip().ok()?;
                    reader.comma().ok()?;
                }
                Some(reader.pos)
            }
            _ => None,
        }
    }
}

/// The reference that stands at a place of a value, if one does.
pub(crate) fn reference_at<R: ResolveRef>(value: &Payload<R>, at: usize) -> Option<&Slot<R>> {
    Reader::at(value, at).slot()
}

/// Returns the range of the value that begins at a place.
pub(crate) fn range_at<R: ResolveRef>(value: &Payload<R>, at: usize) -> Option<Range<usize>> {
    Reader::at(value, at).place().ok()
}

/// The kind of a value that is to be mapped.
#[derive(Debug, PartialEq)]
pub(crate) enum Mappable {
    /// Null or undefined.
    Nothing,
    /// An array, with the starts of its elements.
    List(Vec<usize>),
    /// Any other value.
    One,
    /// An array of too many elements.
    TooLong,
}

/// Returns the kind of a value which is no reference, with at most so many elements.
pub(crate) fn parts_to_map<R: ResolveRef>(value: &Payload<R>, at_most: usize) -> Mappable {
    let mut reader = Reader::new(value);
    match reader.next() {
        Ok(Next::Null | Next::Form("undefined")) => return Mappable::Nothing,
        Ok(Next::Array) => {}
        _ => return Mappable::One,
    }
    let mut starts = Vec::new();
    let mut elements = Elements::new(&mut reader);
    // The text has been checked.
    while elements.advance().unwrap_or_default() {
        if starts.len() == at_most {
            return Mappable::TooLong;
        }
        starts.push(elements.reader.pos);
        if elements.reader.skip().is_err() {
            break;
        }
    }
    Mappable::List(starts)
}
