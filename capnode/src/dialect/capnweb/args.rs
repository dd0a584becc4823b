//! The arguments of a call: a list of expressions, not wrapped as an array is.

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::de::Reader;
use super::failure::decode_error;
use super::ser::Writer;
use crate::dialect::{ExtractRef, Failure, ResolveRef};
use crate::error::Error;
use crate::message::{Payload, Text};
use crate::thin_vec::ThinVec;

/// Arguments of a call being written.
pub(crate) struct ArgsWriter<R> {
    writer: Writer<R>,
    count: usize,
}

/// Writes the arguments that `each` pushes, one after the other, in text that may have `limit` bytes.
pub(crate) fn write_args<R: ExtractRef>(
    limit: usize,
    each: impl FnOnce(&mut ArgsWriter<R>) -> Result<(), Error>,
) -> Result<Payload<R>, Error> {
    let mut args = ArgsWriter { writer: Writer::new(1, limit), count: 0 };
    args.writer.out.push('[');
    each(&mut args)?;
    args.writer.out.push(']');
    Ok(Payload { text: Text::Own(args.writer.out), refs: args.writer.refs, nodes: ThinVec::NONE })
}

/// Returns the texts of arguments, of which the text has been checked: a single empty one if there are none.
pub(crate) fn each_argument(text: &str) -> impl Iterator<Item = &str> {
    let (mut depth, mut string, mut escape) = (0_usize, false, false);
    let inner = text.trim().strip_prefix('[').and_then(|text| text.strip_suffix(']'));
    inner.unwrap_or_default().split(move |c: char| {
        match c {
            _ if escape => escape = false,
            '\\' => escape = true,
            '"' => string = !string,
            _ if string => {}
            '[' | '{' => depth += 1,
            ']' | '}' => depth = depth.saturating_sub(1),
            ',' => return depth == 0,
            _ => {}
        }
        false
    })
}

/// Returns the text of the argument, if it is the only one.
pub(crate) fn only_argument(text: &str) -> Option<&str> {
    let mut each = each_argument(text);
    each.next().filter(|first| !first.trim().is_empty() && each.next().is_none())
}

impl<R: ExtractRef> ArgsWriter<R> {
    /// Writes the next argument.
    pub(crate) fn push<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Error> {
        if self.count > 0 {
            self.writer.out.push(',');
        }
        self.count += 1;
        let written = value.serialize(&mut self.writer);
        self.writer
            .check(written)
            .map_err(|error| error.with_context(format_args!("argument {}", self.count)))
    }
}

impl<R: ResolveRef> Reader<'_, R> {
    /// Reads the next argument. One that is not there is undefined.
    pub(crate) fn argument<T: DeserializeOwned>(&mut self) -> Result<T, Error> {
        let before = if std::mem::replace(&mut self.opened, true) { b',' } else { b'[' };
        let mut more = self.peek() == before;
        if more {
            self.pos += 1;
            // A reference that is not written yet takes no text.
            let is_reference = !self.refs.is_empty() && self.slot().is_some();
            more = before == b',' || is_reference || self.peek() != b']';
        }
        if more {
            // A message names places in the argument.
            self.start = self.pos;
            return T::deserialize(self).map_err(decode_error);
        }
        let undefined: Payload<R> = Payload::plain(Text::Static("[\"undefined\"]"));
        let missing = |failure: Failure| {
            decode_error(Failure(failure.0.replace("invalid type: unit value", "it is missing")))
        };
        T::deserialize(&mut Reader::new(&undefined)).map_err(missing)
    }
}
