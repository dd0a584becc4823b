//! The language, as text. The output of npm's package is in `recordings`.

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{Reader, error_data, error_text, member, parse, read_error, write, write_args};
use crate::cap::Cap;
use crate::cap::payload::{LivePayload, PayloadRef, encode};
use crate::cap::slot::{decode, decode_args};
use crate::error::{Error, ErrorKind};
use crate::kinds::{BigInt, ByteKind, Bytes, Date, Headers, Url};
use crate::limits::Limits;
use crate::message::{
    CapDescriptor, Key, Message, Path, Payload, ReceiverRef, ReturnMode, Slot, Text, UNNUMBERED,
};
use crate::{ErrorValue, Value};

mod arguments;
mod depth;
mod enums;
mod errors;
mod kinds;
mod later;
mod malformed;
mod messages;
mod recordings;
mod references;
mod values;

/// A value as text, references as exports -1, -2, ….
fn written<T: Serialize + ?Sized>(value: &T) -> String {
    let mut id = 0;
    let value = encode(value).unwrap().map(|_| {
        id -= 1;
        CapDescriptor::SenderHosted(id)
    });
    let mut out = String::new();
    write(&Message::Evaluate { id: UNNUMBERED, value, return_mode: ReturnMode::Retained }, &mut out);
    out.strip_prefix("[\"push\",").unwrap().strip_suffix(']').unwrap().to_owned()
}

/// Returns the value of a peer's text, with `caps` for its exports -1, -2, ….
fn body(text: &str, caps: &[Cap]) -> LivePayload {
    let op = message(&format!("[\"resolve\",1,{text}]")).unwrap_or_else(|error| panic!("{text}: {error}"));
    let Message::Answer { outcome: Ok(value), .. } = op else { panic!("{op:?}") };
    value.map(|word| match word {
        CapDescriptor::SenderHosted(id) => PayloadRef::Cap(caps[usize::try_from(-id - 1).unwrap()].clone()),
        other => panic!("{other:?}"),
    })
}

fn read<T: DeserializeOwned>(text: &str) -> Result<T, Error> {
    decode(&body(text, &[]))
}

/// Returns the message of the error of a text that does not fit a type.
fn misfit<T: DeserializeOwned + std::fmt::Debug>(text: &str) -> String {
    let error = read::<T>(text).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Decode);
    error.to_string()
}

fn message(frame: &str) -> Result<Message, Error> {
    parse(frame, &Limits::default())
}

/// A value is written as `text` and is itself again, also after a way over the wire.
#[track_caller]
fn round<T>(value: T, text: &str)
where
    T: Serialize + DeserializeOwned + PartialEq + std::fmt::Debug,
{
    assert_eq!(written(&value), text);
    assert_eq!(decode::<T>(&encode(&value).unwrap()).unwrap(), value, "{text}");
    assert_eq!(read::<T>(text).unwrap(), value, "{text}");
}

/// Some reference.
fn cap() -> Cap {
    Cap::broken(Error::rejected("nobody"))
}
