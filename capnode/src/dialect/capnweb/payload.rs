//! Whole values to expressions and back.

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::de::Reader;
use super::de::places::{Places, range_at};
use super::failure::decode_error;
use super::ser::Writer;
use crate::dialect::{ExtractRef, ResolveRef};
use crate::error::Error;
use crate::message::{Key, Payload, Text};
use crate::thin_vec::ThinVec;

/// Writes a value as an expression of at most `limit` bytes.
pub(crate) fn to_payload<R: ExtractRef, T: Serialize + ?Sized>(
    value: &T,
    limit: usize,
) -> Result<Payload<R>, Error> {
    let mut writer = Writer::new(0, limit);
    let written = value.serialize(&mut writer);
    writer.check(written)?;
    Ok(Payload { text: Text::Own(writer.out), refs: writer.refs, nodes: ThinVec::NONE })
}

/// Reads an expression.
pub(crate) fn from_payload<R: ResolveRef, T: DeserializeOwned>(payload: &Payload<R>) -> Result<T, Error> {
    T::deserialize(&mut Reader::new(payload)).map_err(decode_error)
}

/// Returns the `key` of a value, if the value is an object or array that has it.
pub(crate) fn member<R: ResolveRef + Clone>(value: &Payload<R>, key: &Key) -> Option<Payload<R>> {
    let at = Places::default().find(value, value.text.range().start, key)?;
    Some(value.slice(range_at(value, at)?))
}

/// Returns the names of the parts of a value: the members of an object, the indexes of an array.
pub(crate) fn keys<R: ResolveRef>(value: &Payload<R>) -> Result<Vec<String>, Error> {
    Reader::new(value).keys().map_err(decode_error)
}
