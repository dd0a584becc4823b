//! The arguments of a call: a list of expressions, not wrapped as an array is.

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::de::Reader;
use super::failure::decode_error;
use super::ser::Writer;
use crate::dialect::{Extract, Failure, Lookup};
use crate::error::Error;
use crate::few::Few;
use crate::op::{Payload, Text};

/// Writes the arguments of a call, one after the other.
pub(crate) struct ArgsWriter<R> {
    writer: Writer<R>,
    count: usize,
}

impl<R: Extract> ArgsWriter<R> {
    pub(crate) fn new() -> Self {
        let mut writer = Writer::at_depth(1);
        writer.bound();
        writer.raw("[");
        Self { writer, count: 0 }
    }

    pub(crate) fn push<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Error> {
        if self.count > 0 {
            self.writer.raw(",");
        }
        self.count += 1;
        let written = value.serialize(&mut self.writer);
        let written = if self.writer.is_full() { Err(Failure(String::new())) } else { written };
        written.map_err(|failure| self.writer.error(failure).about(format_args!("argument {}", self.count)))
    }

    pub(crate) fn finish(mut self) -> Payload<R> {
        self.writer.raw("]");
        self.writer.finish()
    }
}

/// Reads the arguments of a call, one after the other.
pub(crate) struct ArgsReader<'a, R: Lookup> {
    reader: Reader<'a, R>,
    started: bool,
}

impl<'a, R: Lookup> ArgsReader<'a, R> {
    pub(crate) fn new(args: &'a Payload<R>) -> Self {
        Self { reader: Reader::new(args), started: false }
    }

    /// The next argument; an argument that is not there is undefined.
    pub(crate) fn next<T: DeserializeOwned>(&mut self) -> Result<T, Error> {
        let more = match std::mem::replace(&mut self.started, true) {
            false => self.reader.take(b'[') && !self.reader.at_end_of_list(),
            true => self.reader.take(b','),
        };
        if more {
            self.reader.begin();
            return T::deserialize(&mut self.reader).map_err(decode_error);
        }
        let undefined: Payload<R> =
            Payload { text: Text::Static("[\"undefined\"]"), refs: Few::NONE, nodes: Few::NONE };
        let missing = |failure: Failure| {
            decode_error(Failure(failure.0.replace("invalid type: unit value", "it is missing")))
        };
        T::deserialize(&mut Reader::new(&undefined)).map_err(missing)
    }
}
