//! How a reference gets through serde, which knows no references.
//!
//! Out: a reference serializes as a newtype of a name that only this library's serializers know.
//! Such a serializer opens a slot for just as long as it takes the newtype to put the reference
//! into it; any other serializer finds the slot closed, and gets an error.
//!
//! In: a deserializer puts each reference it meets into the table of the decoding under way, and
//! hands its number through serde in a form that no data can take (newtypes in newtypes).

use std::cell::RefCell;
use std::fmt;

use serde::de::{self, Deserializer, Visitor};
use serde::ser::{self, Serialize, Serializer};

use super::Cap;
use super::payload::Part;
use crate::dialect::{Extract, Found, Lookup};
use crate::value::marker::REFERENCE;

thread_local! {
    /// Whether a reference may be put down, and the one that was.
    static OUT: RefCell<Option<Option<Cap>>> = const { RefCell::new(None) };
    /// The references met in the decoding under way.
    static IN: RefCell<Vec<Cap>> = const { RefCell::new(Vec::new()) };
}

/// What is inside the newtype.
struct Slot<'a>(&'a Cap);

impl Serialize for Slot<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let taken = OUT.with_borrow_mut(|slot| match slot {
            Some(place) => {
                *place = Some(self.0.clone());
                true
            }
            None => false,
        });
        if taken {
            serializer.serialize_unit()
        } else {
            Err(ser::Error::custom(
                "a reference can only be sent over a capnode connection, not written elsewhere",
            ))
        }
    }
}

pub(super) fn serialize<S: Serializer>(cap: &Cap, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_newtype_struct(REFERENCE, &Slot(cap))
}

impl Extract for Part {
    fn extract<T: Serialize + ?Sized>(newtype: &T) -> Option<Self> {
        OUT.set(Some(None));
        let written = newtype.serialize(serde_json::value::Serializer);
        let cap = OUT.take().flatten();
        written.ok().and(cap).map(Part::Cap)
    }
}

impl Lookup for Part {
    fn look_up(&self) -> Found<'_, Self> {
        match self {
            Part::Value(nested) => Found::Value(&nested.body),
            Part::Inner(_) => Found::Reference(u64::MAX),
            Part::Cap(cap) => IN.with_borrow_mut(|table| {
                table.push(cap.clone());
                Found::Reference(table.len() as u64 - 1)
            }),
        }
    }
}

/// Runs a decoding with a table of its own.
pub(super) fn decoding<T>(decode: impl FnOnce() -> T) -> T {
    /// Puts the outer table back, also when a `Deserialize` of the user's panics.
    struct Restore(Vec<Cap>);

    impl Drop for Restore {
        fn drop(&mut self) {
            let ended = IN.replace(std::mem::take(&mut self.0));
            drop(ended);
        }
    }

    let _restore = Restore(IN.take());
    decode()
}

pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Cap, D::Error> {
    deserializer.deserialize_newtype_struct(REFERENCE, Reference { inside: 0 })
}

/// Accepts a number only inside two newtypes or more.
pub(super) struct Reference {
    pub(super) inside: u8,
}

impl<'de> Visitor<'de> for Reference {
    type Value = Cap;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object or function")
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(self, inner: D) -> Result<Cap, D::Error> {
        if self.inside < u8::MAX {
            inner.deserialize_any(Reference { inside: self.inside + 1 })
        } else {
            Err(de::Error::invalid_type(de::Unexpected::NewtypeStruct, &self))
        }
    }

    fn visit_u64<E: de::Error>(self, token: u64) -> Result<Cap, E> {
        let found = || {
            let token = usize::try_from(token).ok()?;
            IN.with_borrow(|table| table.get(token).cloned())
        };
        match (self.inside >= 2).then(found).flatten() {
            Some(cap) => Ok(cap),
            None => Err(de::Error::invalid_type(de::Unexpected::Unsigned(token), &self)),
        }
    }
}
