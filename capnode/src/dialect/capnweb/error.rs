//! Errors as expressions.

use std::ops::Range;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::de::Reader;
use super::lexer::excerpt;
use super::no_reference::NoReference;
use super::ser::Writer;
use super::text::write_string;
use super::{from_payload, member, to_payload};
use crate::bounds;
use crate::dialect::ExtractRef;
use crate::error::{Error, ErrorData, ErrorKind};
use crate::kinds::{Url, marker};
use crate::message::{Key, Payload, Text};
use crate::panics::catch_panic;
use crate::reserved::is_reserved;
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

    /// Returns a property that the error carries beside its message, such as `code` or `cause`; `None` if there is
    /// none, or it does not fit `T`.
    pub fn property<T: DeserializeOwned>(&self, name: &str) -> Option<T> {
        match self.data() {
            ErrorData::None => None,
            ErrorData::Wire(properties) | ErrorData::Thrown(properties) => error_property(properties, name),
            ErrorData::Local(data) => error_property(&data.encode().ok()?.into(), name),
        }
    }
}

/// Names in an error that are no properties: its class, its message, and its stack.
const NO_PROPERTIES: [&str; 3] = ["name", "message", "stack"];

impl Error {
    /// Adds a property that the error carries beside its message, such as `code`, or replaces it. A JavaScript peer finds
    /// it on the error that it catches, a Rust peer by [`property`](Self::property).
    ///
    /// ```
    /// use capnode::Error;
    ///
    /// fn find(name: &str) -> Result<u32, Error> {
    ///     Err(Error::rejected(format!("there is no {name}")).with_property("code", "ENOENT")?)
    /// }
    ///
    /// let error = find("door").unwrap_err();
    /// assert_eq!(error.property::<String>("code").as_deref(), Some("ENOENT"));
    /// ```
    ///
    /// A type of your own, with `#[derive(thiserror::Error)]` and serde's, travels as a whole as the property `data`.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Encode`] if the value cannot be written or holds a reference, or if JavaScript gives the name a
    /// meaning of its own: `name`, `message`, `stack`, `constructor`, `then`, ….
    pub fn with_property(self, name: &str, value: impl Serialize) -> Result<Self, Self> {
        if NO_PROPERTIES.contains(&name) || is_reserved(name) {
            let message = format!("`{name}` can't be a property of an error: it has a meaning of its own");
            return Err(Error::new(ErrorKind::Encode, message));
        }
        let context = |error: Error| error.with_context(format_args!("the property `{name}` of an error"));
        let value: Payload<NoReference> = to_payload(&value, bounds::writable()).map_err(context)?;
        let error = self.written();
        let properties = match error.data() {
            ErrorData::Wire(properties) => set_property(properties, name, value.text.as_str()),
            ErrorData::None | ErrorData::Thrown(_) | ErrorData::Local(_) => {
                set_property(&Text::Static("{}"), name, value.text.as_str())
            }
        };
        Ok(error.with_data(ErrorData::Wire(properties.into())))
    }
}

/// Returns properties with one set.
fn set_property(properties: &Text, name: &str, value: &str) -> String {
    let whole: Payload<NoReference> = Payload::plain(properties.clone());
    let (buffer, range) = (properties.buffer(), properties.range());
    if let Some(old) = member(&whole, &Key::Name(Text::Own(name.to_owned()))) {
        let old = old.text.range();
        return format!("{}{value}{}", &buffer[range.start..old.start], &buffer[old.end..range.end]);
    }
    let text = properties.as_str().trim_end();
    let mut out = text.strip_suffix('}').unwrap_or(text).trim_end().to_owned();
    if !out.ends_with('{') {
        out.push(',');
    }
    write_string(&mut out, name);
    out.push(':');
    out.push_str(value);
    out.push('}');
    out
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

/// The expression of an error. Neither its causes nor a stack leave this program.
pub(crate) fn error_text(error: &Error) -> Result<String, Error> {
    if let ErrorData::Thrown(thrown) = error.data() {
        return Ok(thrown.as_str().to_owned());
    }
    let mut out = String::from("[\"error\",");
    write_string(&mut out, error.name());
    out.push(',');
    write_string(&mut out, error.public_message());
    match error.data() {
        ErrorData::None | ErrorData::Thrown(_) => {}
        ErrorData::Wire(properties) => {
            out.push_str(",null,");
            out.push_str(properties.as_str());
        }
        ErrorData::Local(data) => {
            out.push_str(",null,");
            out.push_str(&data.encode()?);
        }
    }
    out.push(']');
    Ok(out)
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

/// Reads the property `name` of an error's properties.
pub(super) fn error_property<T: DeserializeOwned>(properties: &Text, name: &str) -> Option<T> {
    let properties: Payload<NoReference> = Payload::plain(properties.clone());
    let property = member(&properties, &Key::Name(Text::Own(name.to_owned())))?;
    from_payload(&property).ok()
}

/// Reads the reason with which a peer rejected a call or ended the session: any value at all. A reason that is no error
/// is kept, and its text is the message.
pub(crate) fn read_error<R>(thrown: &Payload<R>) -> Error {
    // The raw text of an unsupported error says more than nothing.
    if thrown.root().is_some() && thrown.text.as_str().starts_with("[\"error\"") {
        return Error::new(ErrorKind::Rejected, excerpt(thrown.text.as_str()));
    }
    let thrown = without_references(thrown);
    if let Ok((name, message, properties)) = Reader::new(&thrown).error_parts() {
        let error = Error::new(ErrorKind::Rejected, message).with_name(name);
        return match properties {
            // An error may outlive its frame by far.
            Some(at) => error.with_data(ErrorData::Wire(thrown.text.slice(at).as_str().to_owned().into())),
            None => error,
        };
    }
    let url = || from_payload(&thrown).map(|url: Url| url.as_str().to_owned());
    let message = from_payload(&thrown)
        .or_else(|_| url())
        .unwrap_or_else(|_: Error| excerpt(thrown.text.as_str()).to_owned());
    let thrown = Text::Own(thrown.text.as_str().to_owned());
    Error::new(ErrorKind::Rejected, message).with_data(ErrorData::Thrown(thrown))
}

/// Reads the first of a list of arguments as [`read_error`] does; `None` if there is none.
pub(crate) fn first_as_error<R: Clone>(args: &Payload<R>) -> Option<Error> {
    let Range { start, end } = args.text.range();
    let inside = start + 1..end.saturating_sub(1).max(start + 1);
    let is_empty = args.text.buffer().get(inside.clone()).is_none_or(|text| text.trim().is_empty());
    (!is_empty).then(|| read_error(&args.slice(inside)))
}

/// Copies a value with undefined in the places of its references. An error outlives its connection and may be passed on
/// to another, where an id in it would stand for something else.
fn without_references<R>(value: &Payload<R>) -> Payload<NoReference> {
    if value.refs.is_empty() {
        return Payload::plain(value.text.clone());
    }
    let (buffer, range) = (value.text.buffer(), value.text.range());
    let mut out = String::with_capacity(range.len());
    let mut written = range.start;
    // References inside a shared value are left out together with that value.
    for slot in value.refs.iter().filter(|slot| range.start <= slot.start && slot.end <= range.end) {
        out.push_str(&buffer[written..slot.start]);
        out.push_str("[\"undefined\"]");
        written = slot.end;
    }
    out.push_str(&buffer[written..range.end]);
    Payload::plain(out)
}
