//! Errors as expressions.

use std::ops::Range;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::de::Reader;
use super::lexer::excerpt;
use super::no_reference::NoReference;
use super::ser::Writer;
use super::text::write_string;
use super::{from_payload, to_payload};
use crate::bounds;
use crate::dialect::ExtractRef;
use crate::error::{Error, ErrorData, ErrorKind};
use crate::kinds::{Url, marker};
use crate::message::{Payload, Slot, Text};
use crate::panics::catch_panic;
use crate::thin_vec::ThinVec;

impl Error {
    /// Writes the data of the failure at once. This runs user code.
    pub(crate) fn written(self) -> Self {
        let ErrorData::Local(data) = self.data() else { return self };
        let written = match catch_panic("the data of an error", || data.encode()) {
            Ok(Ok(properties)) => ErrorData::Wire(properties.into()),
            // The message is left.
            Ok(Err(_)) | Err(_) => ErrorData::None,
        };
        self.with_data(written)
    }
}

/// Serializes an error as its class and message.
impl Serialize for Error {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_newtype_struct(marker::ERROR, &(self.name(), self.public_message()))
    }
}

impl<'de> Deserialize<'de> for Error {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        struct Parts {
            // Languages without a word for errors leave out the class that most have.
            #[serde(default = "class_of_most")]
            name: String,
            message: String,
        }

        fn class_of_most() -> String {
            "Error".to_owned()
        }

        let Parts { name, message } = Parts::deserialize(deserializer)?;
        Ok(Error::rejected(message).with_name(name))
    }
}

/// The expression of an error without the references in it. Neither its causes nor a stack leave this program.
pub(crate) fn error_text(error: &Error) -> Result<String, Error> {
    error_expression(error, ThinVec::<Slot<NoReference>>::NONE).map(|error| error.text.as_str().to_owned())
}

/// The expression of an error. `refs` are those in its data.
pub(crate) fn error_expression<R>(error: &Error, refs: ThinVec<Slot<R>>) -> Result<Payload<R>, Error> {
    let properties = match error.data() {
        ErrorData::None => None,
        ErrorData::Thrown(text) => {
            return Ok(Payload { text: text.clone(), refs, nodes: ThinVec::NONE });
        }
        ErrorData::Wire(properties) => Some(properties.clone()),
        ErrorData::Local(data) => Some(data.encode()?.into()),
    };
    let mut head = String::from("[\"error\",");
    write_string(&mut head, error.name());
    head.push(',');
    write_string(&mut head, error.public_message());
    Ok(match properties {
        Some(text) => Payload { text, refs, nodes: ThinVec::NONE }.inside(&(head + ",null,"), "]"),
        None => Payload::plain(head + "]"),
    })
}

/// Writes the outcome of a call: a value, or the content of a `Result`. An `Err` becomes an error with the value as its
/// property `data`, and with its text as message if it is a string or a bare variant.
pub(crate) fn to_outcome<R: ExtractRef, T: Serialize + ?Sized>(value: &T) -> Result<Payload<R>, Error> {
    to_outcome_within(value, bounds::writable())
}

fn to_outcome_within<R: ExtractRef, T: Serialize + ?Sized>(
    value: &T,
    bound: usize,
) -> Result<Payload<R>, Error> {
    let mut writer = Writer::of_outcome(bound);
    let written = value.serialize(&mut writer);
    writer.check(written)?;
    let written = Payload { text: Text::Own(writer.out), refs: writer.refs, nodes: ThinVec::NONE };
    if !writer.is_err {
        return Ok(written);
    }
    if !written.refs.is_empty() {
        // The text of an error has nothing beside it.
        if let (text, true) = bounds::parts(bound) {
            return to_outcome_within(value, text);
        }
        return Err(Error::new(ErrorKind::Encode, "an error cannot carry references"));
    }
    let properties = format!(r#"{{"data":{}}}"#, written.text.as_str());
    let data: Payload<NoReference> = Payload::plain(written.text);
    let message = from_payload(&data).unwrap_or_else(|_| excerpt(data.text.as_str()).to_owned());
    Err(Error::rejected(message).with_data(ErrorData::Wire(properties.into())))
}

/// The properties of an error that carries `data`.
pub(crate) fn error_data<T: Serialize + ?Sized>(data: &T) -> Result<String, Error> {
    #[derive(Serialize)]
    struct Properties<'a, T: ?Sized> {
        data: &'a T,
    }

    let payload: Payload<NoReference> = to_payload(&Properties { data }, bounds::writable())?;
    Ok(payload.text.as_str().to_owned())
}

/// Reads the reason with which a peer rejected a call or ended the session: any value at all. A reason that is no error
/// is kept, and its text is the message. Returns the references in the data of the error beside it.
pub(crate) fn read_error<R: Clone>(thrown: &Payload<R>) -> (Error, ThinVec<Slot<R>>) {
    // The raw text of an unsupported error says more than nothing.
    if thrown.root().is_some() && thrown.text.as_str().starts_with("[\"error\"") {
        return (Error::new(ErrorKind::Rejected, excerpt(thrown.text.as_str())), ThinVec::NONE);
    }
    let thrown = blank_references(thrown);
    let text: Payload<NoReference> = Payload::plain(thrown.text.clone());
    if let Ok((name, message, properties)) = Reader::new(&text).error_parts() {
        let error = Error::new(ErrorKind::Rejected, message).with_name(name);
        let Some(at) = properties else { return (error, ThinVec::NONE) };
        // An error may outlive its frame by far.
        let Payload { text, refs, .. } = thrown.slice(at).inside("", "");
        return (error.with_data(ErrorData::Wire(text)), refs);
    }
    let url = || from_payload(&text).map(|url: Url| url.as_str().to_owned());
    let message = from_payload(&text)
        .or_else(|_| url())
        .unwrap_or_else(|_: Error| excerpt(text.text.as_str()).to_owned());
    let Payload { text, refs, .. } = thrown.inside("", "");
    (Error::new(ErrorKind::Rejected, message).with_data(ErrorData::Thrown(text)), refs)
}

/// Reads the first of a list of arguments as [`read_error`] does; `None` if there is none.
pub(crate) fn first_as_error<R: Clone>(args: &Payload<R>) -> Option<(Error, ThinVec<Slot<R>>)> {
    let Range { start, end } = args.text.range();
    let inside = start + 1..end.saturating_sub(1).max(start + 1);
    let is_empty = args.text.buffer().get(inside.clone()).is_none_or(|text| text.trim().is_empty());
    (!is_empty).then(|| read_error(&args.slice(inside)))
}

/// Copies a value with undefined in the places of its references, for readers of its text alone: an error outlives its
/// connection and may be passed on to another, where an id in it would stand for something else.
pub(crate) fn blank_references<R: Clone>(value: &Payload<R>) -> Payload<R> {
    if value.refs.is_empty() {
        return Payload::plain(value.text.clone());
    }
    let (buffer, range) = value.text.parts();
    let (mut out, mut refs) = (String::with_capacity(range.len()), Vec::with_capacity(value.refs.len()));
    let mut written = range.start;
    // References inside a shared value are left out together with that value.
    for slot in value.refs.iter().filter(|slot| range.start <= slot.start && slot.end <= range.end) {
        out.push_str(&buffer[written..slot.start]);
        let start = out.len();
        out.push_str("[\"undefined\"]");
        refs.push(Slot { start, end: out.len(), to: slot.to.clone() });
        written = slot.end;
    }
    out.push_str(&buffer[written..range.end]);
    Payload { text: out.into(), refs: refs.into(), nodes: ThinVec::NONE }
}
