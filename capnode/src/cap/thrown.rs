//! Properties of errors, and the references in them.

use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::depth::drop_iteratively;
use super::payload::{LivePayload, PayloadRef, held_len};
use super::slot::decode;
use crate::bounds;
use crate::dialect::capnweb::{
    blank_references, error_expression, first_as_error, member, read_error, to_payload, write_string,
};
use crate::error::{Error, ErrorData, ErrorKind, References};
use crate::message::{Key, Payload, Slot, Text};
use crate::reserved::is_reserved;
use crate::thin_vec::ThinVec;

/// The references in the data of an error. An error can hold a reference that has failed by another one, and so on.
struct DataRefs(ThinVec<Slot<PayloadRef>>);

impl Drop for DataRefs {
    fn drop(&mut self) {
        drop_iteratively(std::mem::take(&mut self.0));
    }
}

/// Names in an error that are no properties: its class, its message, and its stack.
const NO_PROPERTIES: [&str; 3] = ["name", "message", "stack"];

impl Error {
    /// Returns a property that the error carries beside its message, such as `code` or `cause`; `None` if there is
    /// none, or it does not fit `T`.
    ///
    /// If there is a stream in it, the last one who asks for it reads it.
    pub fn property<T: DeserializeOwned>(&self, name: &str) -> Option<T> {
        let properties = match self.data() {
            ErrorData::None => return None,
            ErrorData::Wire(text) | ErrorData::Thrown(text) => self.live(text.clone()),
            ErrorData::Local(data) => Payload::plain(data.encode().ok()?),
        };
        decode(&member(&properties, &Key::Name(Text::Own(name.to_owned())))?).ok()
    }

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
    /// The value may hold references, streams and blobs. They live as long as the error and its copies, and travel to
    /// peers of Cap'n Web. In the reason by which a session ends there are none.
    ///
    /// A type of your own, with `#[derive(thiserror::Error)]` and serde's, travels as a whole as the property `data`.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Encode`] if the value cannot be written, or if JavaScript gives the name a meaning of its own: `name`,
    /// `message`, `stack`, `constructor`, `then`, ….
    pub fn with_property(self, name: &str, value: impl Serialize) -> Result<Self, Self> {
        if NO_PROPERTIES.contains(&name) || is_reserved(name) {
            let message = format!("`{name}` can't be a property of an error: it has a meaning of its own");
            return Err(Error::new(ErrorKind::Encode, message));
        }
        let context = |error: Error| error.with_context(format_args!("the property `{name}` of an error"));
        let (bound, _) = bounds::parts(bounds::writable());
        let value = blank_references(&to_payload(&value, bound).map_err(context)?);
        let error = self.written();
        let properties = match error.data() {
            ErrorData::Wire(properties) => error.live(properties.clone()),
            ErrorData::None | ErrorData::Thrown(_) | ErrorData::Local(_) => {
                Payload::plain(Text::Static("{}"))
            }
        };
        let data = with_member(&properties, name, value);
        Ok(error.with_data(ErrorData::None).with_live(data))
    }

    /// Returns the data, which has this text, with the references in it.
    fn live(&self, text: Text) -> LivePayload {
        let refs = self.references().and_then(|references| references.refs.downcast_ref::<DataRefs>());
        Payload { text, refs: refs.map_or(ThinVec::NONE, |refs| refs.0.clone()), nodes: ThinVec::NONE }
    }

    /// Sets the data: a thrown value if it was one before, else properties.
    fn with_live(self, data: LivePayload) -> Self {
        let Payload { text, refs, .. } = blank_references(&data);
        let error = match self.data() {
            ErrorData::Thrown(_) => self.with_data(ErrorData::Thrown(text)),
            _ => self.with_data(ErrorData::Wire(text)),
        };
        error.referring(refs)
    }

    /// Sets the references in the data, if there are any.
    fn referring(self, refs: ThinVec<Slot<PayloadRef>>) -> Self {
        if refs.is_empty() {
            return self;
        }
        let refs = Payload { text: Text::Static(""), refs, nodes: ThinVec::NONE };
        let held = held_len(&refs);
        self.with_references(References { held, refs: Arc::new(DataRefs(refs.refs)) })
    }

    /// Changes the data if there are references in it. Without a new one it is dropped.
    pub(super) fn map_references(
        self,
        change: impl FnOnce(LivePayload) -> Result<LivePayload, Error>,
    ) -> Self {
        match self.data() {
            ErrorData::Wire(text) | ErrorData::Thrown(text) if self.references().is_some() => {
                match change(self.live(text.clone())) {
                    Ok(data) => self.with_live(data),
                    Err(_) => self.without_references(),
                }
            }
            _ => self,
        }
    }

    /// Returns the error as an expression, with the references in it.
    pub(crate) fn expression(&self) -> Result<LivePayload, Error> {
        error_expression(self, self.live(Text::Static("")).refs)
    }

    /// Reads the reason for which a peer rejected a call. The error has clones of the references in it.
    pub(crate) fn thrown(reason: &LivePayload) -> Self {
        let (error, refs) = read_error(reason);
        error.referring(refs)
    }

    /// Reads the first of a list of arguments as a reason; `None` if there is none.
    pub(super) fn first_thrown(args: &LivePayload) -> Option<Self> {
        first_as_error(args).map(|(error, refs)| error.referring(refs))
    }
}

/// Returns an object with one member set.
fn with_member(object: &LivePayload, name: &str, value: LivePayload) -> LivePayload {
    let text = object.text.as_str();
    let mut lead = String::new();
    let old = member(object, &Key::Name(Text::Own(name.to_owned())));
    let at = old.map_or_else(
        || {
            let end = object.text.range().start + text.rfind('}').unwrap_or(text.len());
            if text.trim_end_matches([' ', '}']).trim() != "{" {
                lead.push(',');
            }
            write_string(&mut lead, name);
            lead.push(':');
            end..end
        },
        |old| old.text.range(),
    );
    let start = object.text.range().start;
    let before = object.slice(start..at.start).inside("", &lead);
    let after = object.slice(at.end..object.text.range().end);
    before.followed_by(value).followed_by(after)
}
