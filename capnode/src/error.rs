//! Errors: the failure itself, the side at fault, and if the call may have run.

use std::any::{Any, TypeId};
use std::borrow::Cow;
use std::error::Error as StdError;
use std::fmt;
use std::io;
use std::sync::Arc;

use serde::de::DeserializeOwned;

use crate::escape::EscapeControl;
use crate::limits::LimitKind;
use crate::message::Text;
use crate::reserved::is_reserved;

/// The reason why a call, a connection or a conversion failed.
///
/// Cheap to clone: when a connection ends, every call pending on it gets the one cause.
#[derive(Clone)]
pub struct Error(Arc<Inner>);

#[derive(Clone)]
struct Inner {
    kind: ErrorKind,
    fate: Fate,
    fault: Fault,
    /// The class a JavaScript peer sees or sent: `Error`, `TypeError`, ….
    name: Cow<'static, str>,
    message: String,
    /// The message for others, if `message` has details that are not for them.
    public_message: Option<String>,
    data: ErrorData,
    references: Option<References>,
    source: Option<Arc<dyn StdError + Send + Sync>>,
    /// The limit that was reached.
    limit: Option<LimitKind>,
}

/// Data that goes with a rejection, beside its message.
#[derive(Clone)]
pub(crate) enum ErrorData {
    None,
    /// The properties object as it came, in Cap'n Web's writing.
    Wire(Text),
    /// A thrown value that is no error, in Cap'n Web's writing. It is passed on as it is.
    Thrown(Text),
    /// A typed error that has not left this program.
    Local(Arc<dyn LocalData>),
}

/// References in the data of an error. Its text has `undefined` in their places.
#[derive(Clone)]
pub(crate) struct References {
    /// Bytes that they keep from being freed.
    pub(crate) held: usize,
    /// The references themselves, which only those who look into values know.
    pub(crate) refs: Arc<dyn Any + Send + Sync>,
}

/// A typed error on its way to a caller, which may be in this very program.
pub(crate) trait LocalData: Send + Sync {
    /// Takes the error itself, if it is of that type. Works only once.
    fn take(&self, wanted: TypeId) -> Option<Box<dyn Any>>;
    /// Returns the properties object that carries the error, in Cap'n Web's writing.
    fn encode(&self) -> Result<String, Error>;
}

/// The kind of an [`Error`], which tells what failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The callee answered with an error: its own, or that there is no such method, or that the
    /// arguments do not fit.
    Rejected,
    /// The connection has ended.
    Disconnected,
    /// The peer broke the protocol, or says that this side did.
    Protocol,
    /// A limit was reached.
    Limit,
    /// A value of this program could not be written.
    Encode,
    /// A value of the peer does not fit the type it was to be read as.
    Decode,
    /// The time limit of the call is over.
    Timeout,
    /// The resolver of a promise was dropped, or the promise was resolved to itself.
    Unresolved,
    /// Nothing listens at the address, or it is no address.
    Connect,
    /// A [policy](crate::Policy) of this program refused the call; or a connection was refused, by this program's
    /// `NodeBuilder::authorize`, by a node that has drained, or by a server that answers by an HTTP status and not by a
    /// WebSocket or a batch. A refusal by the peer's `NodeBuilder::authorize` ends the session, which is
    /// [`Protocol`](Self::Protocol) with the reason. Of the methods of `sturdy::Signed` also a
    /// refusal by the owner.
    Refused,
    /// The operation is not available here, for example outside a tokio runtime.
    Unsupported,
}

/// The fate of a failed call, as far as is known: if it ran or not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Fate {
    /// The call never left, or its callee said that nothing of it ran, since it is shutting down: it is safe to try
    /// again. Peers of this library say so.
    NotSent,
    /// The call was sent and no answer came: it may have run, in part or whole.
    MayHaveRun,
    /// The callee got the call and answered it.
    Answered,
}

/// The side that can do something about a failure.
///
/// The failure itself is the [kind](ErrorKind) of an [`Error`], which is independent of the fault: either side may have
/// broken a [limit](ErrorKind::Limit), and a connection ends because one side wants it to, or because a cable is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Fault {
    /// This program: its request or value was impossible, or it ended the connection itself.
    Here,
    /// The other side of a call or connection: it answered with an error, did not answer, broke the protocol or a
    /// limit, or ended the connection. For a call within one program it is the called object.
    Peer,
    /// The network between the two sides: the peer could not be reached, or the connection was lost.
    Network,
}

impl fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Rejected => "rejected",
            Self::Disconnected => "disconnected",
            Self::Protocol => "protocol",
            Self::Limit => "limit",
            Self::Encode => "encode",
            Self::Decode => "decode",
            Self::Timeout => "timeout",
            Self::Unresolved => "unresolved",
            Self::Connect => "connect",
            Self::Refused => "refused",
            Self::Unsupported => "unsupported",
        })
    }
}

impl fmt::Display for Fate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::NotSent => "not sent",
            Self::MayHaveRun => "may have run",
            Self::Answered => "answered",
        })
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Here => "here",
            Self::Peer => "peer",
            Self::Network => "network",
        })
    }
}

impl Error {
    pub(crate) fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        let (fate, fault) = match kind {
            ErrorKind::Rejected | ErrorKind::Decode => (Fate::Answered, Fault::Peer),
            ErrorKind::Protocol | ErrorKind::Timeout => (Fate::MayHaveRun, Fault::Peer),
            ErrorKind::Disconnected => (Fate::MayHaveRun, Fault::Network),
            ErrorKind::Connect => (Fate::NotSent, Fault::Network),
            ErrorKind::Refused => (Fate::NotSent, Fault::Peer),
            ErrorKind::Encode | ErrorKind::Limit | ErrorKind::Unresolved | ErrorKind::Unsupported => {
                (Fate::NotSent, Fault::Here)
            }
        };
        Self(Arc::new(Inner {
            kind,
            fate,
            fault,
            name: Cow::Borrowed("Error"),
            message: message.into(),
            public_message: None,
            data: ErrorData::None,
            references: None,
            source: None,
            limit: None,
        }))
    }

    /// Returns the error for a reached limit: the field `limit` of [`Limits`](crate::Limits).
    pub(crate) fn over(limit: LimitKind, message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Limit, message).of_limit(limit)
    }

    /// Names the limit that was the reason, in the message as well.
    pub(crate) fn of_limit(self, limit: LimitKind) -> Self {
        self.change(|inner| {
            inner.limit = Some(limit);
            inner.message = format!("{}; see `Limits::{limit}`", inner.message);
        })
    }

    /// Returns an error for a method that returns `Result<T, capnode::Error>` because it has no error type of its own.
    /// The caller gets it as [`CallError::Returned`], a JavaScript peer as an `Error`.
    pub fn rejected(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Rejected, message)
    }

    /// Returns the error that JavaScript throws for a member that is missing or does not fit.
    pub(crate) fn type_error(message: impl Into<String>) -> Self {
        Self::rejected(message).with_name("TypeError")
    }

    fn change(mut self, change: impl FnOnce(&mut Inner)) -> Self {
        change(Arc::make_mut(&mut self.0));
        self
    }

    /// Sets the JavaScript class of the error: `TypeError`, `RangeError`, …. A name that every JavaScript object has,
    /// such as `constructor`, is no class, and is ignored.
    pub fn with_name(self, name: impl Into<Cow<'static, str>>) -> Self {
        let name = name.into();
        if is_reserved(&name) { self } else { self.without_thrown().change(|inner| inner.name = name) }
    }

    pub(crate) fn with_fate(self, fate: Fate) -> Self {
        if self.0.fate == fate { self } else { self.change(|inner| inner.fate = fate) }
    }

    pub(crate) fn with_fault(self, fault: Fault) -> Self {
        if self.0.fault == fault { self } else { self.change(|inner| inner.fault = fault) }
    }

    /// Drops a thrown value, so that the failure is passed on as an error.
    fn without_thrown(self) -> Self {
        if matches!(self.0.data, ErrorData::Thrown(_)) { self.with_data(ErrorData::None) } else { self }
    }

    /// Sets the message that others get instead of the full one.
    pub(crate) fn with_public_message(self, public_message: impl Into<String>) -> Self {
        self.change(|inner| inner.public_message = Some(public_message.into()))
    }

    /// Returns the bytes that the error keeps.
    pub(crate) fn held_len(&self) -> usize {
        let data = match &self.0.data {
            ErrorData::Wire(text) | ErrorData::Thrown(text) => text.buffer().len(),
            ErrorData::None | ErrorData::Local(_) => 0,
        };
        let references = self.0.references.as_ref().map_or(0, |references| references.held);
        self.0.message.len() + self.0.name.len() + data + references
    }

    pub(crate) fn with_data(self, data: ErrorData) -> Self {
        self.change(|inner| (inner.data, inner.references) = (data, None))
    }

    /// Sets the references in the data.
    pub(crate) fn with_references(self, references: References) -> Self {
        self.change(|inner| inner.references = Some(references))
    }

    /// Drops the data if there are references in it.
    pub(crate) fn without_references(self) -> Self {
        if self.0.references.is_some() { self.with_data(ErrorData::None) } else { self }
    }

    /// Sets the cause of the error. The cause stays in this program.
    pub fn with_source(self, source: impl StdError + Send + Sync + 'static) -> Self {
        self.change(|inner| inner.source = Some(Arc::new(source)))
    }

    /// Drops the cause, which is a value of this program.
    pub(crate) fn without_source(self) -> Self {
        if self.0.source.is_some() { self.change(|inner| inner.source = None) } else { self }
    }

    /// Puts a subject before the message: `context: message`.
    pub(crate) fn with_context(self, context: impl fmt::Display) -> Self {
        self.without_thrown().change(|inner| {
            let said = |message: &str| format!("{context}: {message}");
            inner.public_message = inner.public_message.as_deref().map(said);
            inner.message = said(&inner.message);
        })
    }

    /// Puts a subject before the message in this program only. Others get the message without it.
    pub(crate) fn with_local_context(self, context: impl fmt::Display) -> Self {
        let public_message = self.public_message().to_owned();
        self.with_context(context).with_public_message(public_message)
    }

    /// Returns the kind of the failure.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// Returns whether the call that failed was never sent, may have run, or was answered.
    pub fn fate(&self) -> Fate {
        self.0.fate
    }

    /// Returns the side that can do something about the failure.
    pub fn fault(&self) -> Fault {
        self.0.fault
    }

    /// Returns the limit of this side that was the reason, if one was. A limit of the peer's is only in the message.
    pub fn limit(&self) -> Option<LimitKind> {
        self.0.limit
    }

    /// Returns the message, without the causes. It may come from the peer, and is not escaped. The `Display` of an
    /// error escapes characters that move a terminal's cursor or begin a new line in a log.
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// Returns the message for others.
    pub(crate) fn public_message(&self) -> &str {
        self.0.public_message.as_deref().unwrap_or(&self.0.message)
    }

    /// Returns the class of the error as a JavaScript peer knows it: `Error`, `TypeError`, ….
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// Returns an address that is equal for clones of one error.
    pub(crate) fn addr(&self) -> usize {
        Arc::as_ptr(&self.0).addr()
    }

    pub(crate) fn data(&self) -> &ErrorData {
        &self.0.data
    }

    pub(crate) fn references(&self) -> Option<&References> {
        self.0.references.as_ref()
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        EscapeControl(&self.0.message).fmt(f)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = f.debug_struct("Error");
        out.field("kind", &self.0.kind).field("fate", &self.0.fate).field("fault", &self.0.fault);
        if self.0.name != "Error" {
            out.field("name", &self.0.name);
        }
        out.field("message", &self.0.message);
        match &self.0.data {
            ErrorData::Wire(properties) => drop(out.field("properties", properties)),
            ErrorData::Thrown(thrown) => drop(out.field("thrown", thrown)),
            ErrorData::None | ErrorData::Local(_) => {}
        }
        if let Some(limit) = self.0.limit {
            out.field("limit", &limit);
        }
        if let Some(source) = &self.0.source {
            out.field("source", source);
        }
        out.finish()
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.source.as_deref().map(|source| source as _)
    }
}

/// The error of a call whose method has a typed error: the error that the method itself returned as `Err`, or the
/// reason why the call has no result.
///
/// Only a type of its own tells the two apart. Of a method that returns `Result<T, Error>`, with [`Error`] as `E`, each
/// error whose fate is [`Fate::Answered`] is [`Returned`](Self::Returned), also that of a panic, of a missing method or
/// of a result that does not fit: an answer has one form for all of them. [`Failed`](Self::Failed) has the other fates.
#[derive(Clone, Debug)]
pub enum CallError<E> {
    /// The method's own error.
    Returned(E),
    /// Any other failure: the connection, the arguments, a panic of the handler, ….
    Failed(Error),
}

impl<E> CallError<E> {
    /// Returns the method's own error, if this is one.
    pub fn returned(self) -> Option<E> {
        match self {
            CallError::Returned(error) => Some(error),
            CallError::Failed(_) => None,
        }
    }
}

impl<E: 'static> CallError<E> {
    /// Returns the library's error: the one of a failed call, or the method's own if its type is [`Error`].
    pub fn as_error(&self) -> Option<&Error> {
        match self {
            CallError::Returned(error) => (error as &dyn Any).downcast_ref(),
            CallError::Failed(error) => Some(error),
        }
    }

    /// Returns the kind of the failure: [`ErrorKind::Rejected`] for an error of the method's own type.
    pub fn kind(&self) -> ErrorKind {
        self.as_error().map_or(ErrorKind::Rejected, Error::kind)
    }

    /// Returns the fate of the call: [`Fate::Answered`] for an error of the method's own type.
    pub fn fate(&self) -> Fate {
        self.as_error().map_or(Fate::Answered, Error::fate)
    }

    /// Returns a [property](Error::property) of the error; `None` for an error of the method's own type, which has its
    /// data itself.
    pub fn property<T: DeserializeOwned>(&self, name: &str) -> Option<T> {
        self.as_error()?.property(name)
    }
}

impl<E: From<Error>> CallError<E> {
    /// Returns the one error that a call failed with, of a type that either becomes: for a method that passes the
    /// errors of a call on as its own.
    ///
    /// ```
    /// use capnode::CallError;
    ///
    /// # #[derive(Debug)]
    /// enum PayError {
    ///     Declined,
    ///     Unavailable(capnode::Error),
    /// }
    ///
    /// impl From<capnode::Error> for PayError {
    ///     fn from(error: capnode::Error) -> Self {
    ///         PayError::Unavailable(error)
    ///     }
    /// }
    ///
    /// fn pass_on(result: Result<u32, CallError<PayError>>) -> Result<u32, PayError> {
    ///     Ok(result.map_err(CallError::into_inner)?)
    /// }
    /// # assert!(matches!(pass_on(Err(CallError::Returned(PayError::Declined))), Err(PayError::Declined)));
    /// # let failed = CallError::Failed(capnode::Error::rejected("no"));
    /// # assert!(matches!(pass_on(Err(failed)), Err(PayError::Unavailable(_))));
    /// ```
    pub fn into_inner(self) -> E {
        match self {
            CallError::Returned(error) => error,
            CallError::Failed(error) => error.into(),
        }
    }
}

impl<E> From<Error> for CallError<E> {
    fn from(error: Error) -> Self {
        CallError::Failed(error)
    }
}

impl<E: fmt::Display> fmt::Display for CallError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CallError::Returned(error) => error.fmt(f),
            CallError::Failed(error) => error.fmt(f),
        }
    }
}

/// The causes of a method's own error stay where it was made, so that only [`Failed`](CallError::Failed) has one.
impl<E: fmt::Debug + fmt::Display> StdError for CallError<E> {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        match self {
            CallError::Returned(_) => None,
            CallError::Failed(error) => error.source(),
        }
    }
}

/// For `?` in a method that returns [`Error`]. The caller gets the message; the cause stays in this program.
impl From<io::Error> for Error {
    fn from(error: io::Error) -> Self {
        Self::rejected(error.to_string()).with_source(error)
    }
}

/// For `?` in a method that returns [`Error`]. The caller gets the message; the causes stay in this program.
impl From<Box<dyn StdError + Send + Sync>> for Error {
    fn from(error: Box<dyn StdError + Send + Sync>) -> Self {
        match error.downcast() {
            Ok(error) => *error,
            Err(error) => {
                let message = error.to_string();
                Self::rejected(message).change(|inner| inner.source = Some(error.into()))
            }
        }
    }
}

/// For `?` in a function that returns [`Error`]. The method's own error becomes a rejection with its message.
impl<E: fmt::Display + 'static> From<CallError<E>> for Error {
    fn from(error: CallError<E>) -> Self {
        error.as_error().cloned().unwrap_or_else(|| Self::rejected(error.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_error_of_a_call_becomes_the_error_of_the_one_that_made_it() {
        fn own(error: CallError<Error>) -> Result<(), Error> {
            Err(error)?
        }
        fn typed(error: CallError<String>) -> Result<(), Error> {
            Err(error)?
        }
        fn any(error: CallError<String>) -> Result<(), Box<dyn StdError + Send + Sync>> {
            Err(error)?
        }
        let limit = Error::over(LimitKind::Calls, "too many");
        assert_eq!(CallError::Failed::<String>(limit.clone()).fate(), Fate::NotSent);
        assert_eq!(CallError::Returned(limit.clone()).kind(), ErrorKind::Limit);
        let refused = limit.clone().with_property("code", 7).unwrap();
        assert_eq!(CallError::Failed::<String>(refused).property("code"), Some(7));
        let typed_error = CallError::Returned("no".to_owned());
        assert_eq!((typed_error.kind(), typed_error.fate()), (ErrorKind::Rejected, Fate::Answered));
        assert_eq!(typed_error.property::<u32>("code"), None);
        assert_eq!(own(CallError::Returned(limit.clone())).unwrap_err().limit(), Some(LimitKind::Calls));
        assert_eq!(typed(CallError::Failed(limit)).unwrap_err().limit(), Some(LimitKind::Calls));
        let error = typed(CallError::Returned("no".to_owned())).unwrap_err();
        assert_eq!((error.kind(), error.message()), (ErrorKind::Rejected, "no"));
        assert_eq!(any(CallError::Returned("no".to_owned())).unwrap_err().to_string(), "no");
    }

    #[test]
    fn an_error_of_io_and_a_boxed_one_become_a_rejection_with_their_message() {
        fn io() -> Result<(), Error> {
            Err(io::Error::from(io::ErrorKind::NotFound))?
        }
        fn boxed(error: impl Into<Box<dyn StdError + Send + Sync>>) -> Result<(), Error> {
            Err(error.into())?
        }
        let error = io().unwrap_err();
        assert_eq!((error.kind(), error.message()), (ErrorKind::Rejected, "entity not found"));
        assert!(error.source().unwrap().is::<io::Error>());
        let error = boxed("no").unwrap_err();
        assert_eq!((error.kind(), error.message()), (ErrorKind::Rejected, "no"));
        // An error that was only boxed stays as it is.
        let error = boxed(Error::over(LimitKind::Calls, "too many")).unwrap_err();
        assert_eq!(error.limit(), Some(LimitKind::Calls));
    }

    #[test]
    fn the_cause_is_kept_and_printed_once() {
        let io = std::io::Error::other("cable cut");
        let error = Error::new(ErrorKind::Disconnected, "the connection ended").with_source(io);
        assert_eq!(error.to_string(), "the connection ended");
        assert_eq!(error.source().unwrap().to_string(), "cable cut");
        assert_eq!(error.fate(), Fate::MayHaveRun);
    }

    #[test]
    fn an_error_said_about_something_keeps_its_kind() {
        let error = Error::new(ErrorKind::Limit, "too long").with_context("echo");
        assert_eq!((error.kind(), error.to_string().as_str()), (ErrorKind::Limit, "echo: too long"));
    }
}
