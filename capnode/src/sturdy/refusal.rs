//! Why a text is not taken.

use std::error::Error as _;
use std::fmt;

use crate::error::{Error, ErrorKind};
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
    /// Only so many counters are kept for what was made from one text or link of the owner's.
    Quota,
    /// A signed document is taken by the owner's verifier: [`Refusal::document`].
    Document,
    /// A link that is to be revoked is that of the invoker, or one below.
    Link,
    /// The owner runs until a call whose result is kept has ended. Whether it was made is not known.
    Interrupted,
    /// The owner's store and restorer work. A result that could not be kept is refused by it to those who ask.
    Owner,
}

/// The reason why a text is not taken, for the log of its owner. It holds nothing of the text.
///
/// As an [`Error`] it is the source, and says one word to a peer: `refused`. To who awaits a result it may say `interrupted`.
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
        // Who awaits a result may be told that none will come. Nothing else is told to whom something is refused.
        let word = if refusal.rule == Rule::Interrupted { "interrupted" } else { "refused" };
        Self::new(ErrorKind::Refused, format!("a reference was refused: {refusal}"))
            .with_public_message(word)
            .with_source(refusal)
    }
}
