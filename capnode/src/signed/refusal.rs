//! Why a document is not taken.

use std::fmt;

use crate::error::{Error, ErrorKind};
use crate::escape::EscapeControl;

/// The rule that a document breaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Rule {
    /// A document has at most 64 KiB.
    Size,
    /// It is JSON, with one reading: no key twice, no surrogate alone, at most 32 lists and objects inside one another.
    Json,
    /// It has the members of its kind, each of its type, and no others.
    Shape,
    /// Its `@context` is exactly that of a zcap with a Data Integrity proof.
    Context,
    /// An id is an absolute URI of at most 256 bytes.
    Id,
    /// A key is a `did:key`, written in the one way that it can be.
    Key,
    /// The type of its proofs is known here.
    Proof,
    /// A target is below this owner's origin, in the one way in which it can be written, with at most 32 segments, and never
    /// wider than its parent's. It names no property of that which the caveats of the links above do not let be read.
    Target,
    /// There are actions, and none that the parent has not.
    Action,
    /// A caveat is known here. A link has at most 16, with at most 256 names of methods in all, and at most 32 of a chain count
    /// calls.
    Caveat,
    /// A time is in RFC 3339, in UTC, and they follow one another.
    Time,
    /// It has not expired, and expires no later than its parent, and than the owner allows.
    Expiry,
    /// A chain has at most 10 links with its root, each once, the same in every link.
    Chain,
    /// The key that signed is the one that the parent was given to.
    Controller,
    /// It is for this owner's origin.
    Domain,
    /// It carries the nonce that the owner gave.
    Challenge,
    /// It is used once.
    Replay,
    /// One key invokes only so often at a time, and all whose links come from one key of the owner's choice together.
    Quota,
    /// No link of it is revoked.
    Revoked,
    /// Every signature holds.
    Signature,
}

impl Rule {
    /// Returns the refusal of a document that breaks the rule.
    pub(crate) fn broken(self, detail: impl Into<String>) -> Refusal {
        Refusal { rule: self, detail: detail.into() }
    }
}

/// The reason why a document is not taken: the rule that it breaks, and how, for the log of its owner.
///
/// As an [`Error`] it is the source, and says one word to a peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    rule: Rule,
    detail: String,
}

impl Refusal {
    /// Returns the rule.
    pub fn rule(&self) -> Rule {
        self.rule
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.rule, EscapeControl(&self.detail))
    }
}

impl std::error::Error for Refusal {}

impl From<Refusal> for Error {
    fn from(refusal: Refusal) -> Self {
        Self::new(ErrorKind::Refused, format!("a signed document was refused: {refusal}"))
            .with_public_message("refused")
            .with_source(refusal)
    }
}
