//! Why a text is not taken.

use std::error::Error as _;
use std::fmt;

use crate::error::{Error, ErrorData, ErrorKind, Fate};
use crate::message::Text;
use crate::signed;

/// The rule that a text breaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Rule {
    /// A text has at most 4,096 bytes, 16 caveats and 8 addresses.
    Size,
    /// A text is written in the one way in which it can be.
    Shape,
    /// The owner has the key.
    Key,
    /// The secret part belongs to the rest.
    Mac,
    /// The owner keeps the object.
    Object,
    /// A caveat is known to the owner.
    Caveat,
    /// Its time is not over.
    Expiry,
    /// It is not revoked.
    Revoked,
    /// Only so many references are held at a time, and so many counters kept, by what was made from one text or link of the owner's.
    Quota,
    /// A signed document is taken by the owner's verifier: [`Refusal::document`].
    Document,
    /// A link that is to be revoked is that of the invoker, or one below.
    Link,
    /// The owner runs until a call whose result is kept has ended. Whether it was made is not known.
    Interrupted,
    /// The owner's store and restorer work: neither fails nor panics, and no promise of the restorer's is broken. A result that could
    /// not be kept is refused by it to those who ask.
    Owner,
}

/// The reason why a text is not taken, for the log of its owner. It holds nothing of the text.
///
/// As an [`Error`] it is the source, and says one word to a peer, with a property `code`: `refused` and `EREFUSED`. If the owner
/// itself has failed, `unavailable` and `EUNAVAILABLE`, and to who awaits a result that will not come `interrupted` and `EINTERRUPTED`.
#[derive(Clone, Debug)]
pub struct Refusal {
    rule: Rule,
    cause: Option<Error>,
}

impl Rule {
    pub(super) fn broken(self) -> Refusal {
        Refusal { rule: self, cause: None }
    }
}

impl Refusal {
    /// Returns the rule.
    pub fn rule(&self) -> Rule {
        self.rule
    }

    /// Returns the reason why a signed document is not taken.
    pub fn document(&self) -> Option<&signed::Refusal> {
        self.cause.as_ref()?.source()?.downcast_ref()
    }

    pub(super) fn of_document(refusal: signed::Refusal) -> Self {
        Self { rule: Rule::Document, cause: Some(refusal.into()) }
    }

    /// Returns that of a store or a restorer that has failed.
    pub(super) fn owner(cause: Error) -> Self {
        Self { rule: Rule::Owner, cause: Some(cause) }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.rule)?;
        self.cause.iter().try_for_each(|cause| write!(f, ": {cause}"))
    }
}

impl std::error::Error for Refusal {}

impl From<Refusal> for Error {
    fn from(refusal: Refusal) -> Self {
        // Who awaits a result may be told that none will come, and who did nothing wrong that another time may be better.
        // Nothing else is told to whom something is refused.
        let (word, code) = match refusal.rule {
            Rule::Interrupted => ("interrupted", r#"{"code":"EINTERRUPTED"}"#),
            Rule::Owner => ("unavailable", r#"{"code":"EUNAVAILABLE"}"#),
            _ => ("refused", r#"{"code":"EREFUSED"}"#),
        };
        Self::new(ErrorKind::Refused, format!("a reference was refused: {refusal}"))
            .with_public_message(word)
            .with_data(ErrorData::Wire(Text::Static(code)))
            .with_source(refusal)
    }
}

/// Returns the error for who awaits a result that is not there.
pub(super) fn no_result() -> Error {
    Error::new(ErrorKind::Timeout, "no call has come whose result this is, or the result has expired")
        .with_data(ErrorData::Wire(Text::Static(r#"{"code":"ENORESULT"}"#)))
}

/// Returns an error by which a gatekeeper has answered as it is in the gatekeeper's program, where it is told from that of a method
/// by its kind.
pub(super) fn answered(error: Error) -> Error {
    let kind = match error.property::<String>("code").as_deref() {
        _ if error.kind() != ErrorKind::Rejected => return error,
        Some("EREFUSED" | "EUNAVAILABLE" | "EINTERRUPTED") => ErrorKind::Refused,
        Some("ENORESULT") => ErrorKind::Timeout,
        _ => return error,
    };
    Error::new(kind, error.message()).with_data(error.data().clone()).with_fate(Fate::Answered)
}
