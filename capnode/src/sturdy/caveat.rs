//! Caveats: what a holder takes away before it passes a text on.

use std::fmt;
use std::str::FromStr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::refusal::{Refusal, Rule};

/// A limit on all that is done by a text. Those of a text hold together, and nobody can take one out.
///
/// `Display` writes one as a text has it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Caveat {
    /// These methods alone may be called, by their names on the wire, of the object and of all that is reached through it. A
    /// name has no `,`, `/`, `?`, `#`, `%` or `\`, and is in printable ASCII.
    Methods(Vec<String>),
    /// Nothing may be called but what only reads: see [`policy::read_only`](crate::policy::read_only).
    ReadOnly,
    /// Nothing works from this time on, in whole seconds.
    Until(SystemTime),
    /// At most so many calls in each period, of all who hold the text or one that was made from it.
    Rate {
        /// The calls.
        calls: u64,
        /// The period, in whole seconds.
        period: Duration,
    },
    /// At most so many calls in all, of all who hold the text or one that was made from it.
    Count(u64),
}

impl Caveat {
    /// Returns the time of a caveat that is one.
    pub(super) fn until(&self) -> Option<SystemTime> {
        if let Self::Until(time) = self { Some(*time) } else { None }
    }
}

impl fmt::Display for Caveat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Methods(names) => write!(f, "methods={}", names.join(",")),
            Self::ReadOnly => f.write_str("read-only"),
            Self::Until(time) => {
                let time = time.duration_since(UNIX_EPOCH).unwrap_or_default();
                write!(f, "until={}", time.as_secs())
            }
            Self::Rate { calls, period } => write!(f, "rate={calls},{}", period.as_secs()),
            Self::Count(calls) => write!(f, "count={calls}"),
        }
    }
}

impl FromStr for Caveat {
    type Err = Refusal;

    fn from_str(text: &str) -> Result<Self, Refusal> {
        let (name, value) = text.split_once('=').unwrap_or((text, ""));
        let caveat = match name {
            "methods" => Some(Self::Methods(value.split(',').map(str::to_owned).collect())),
            "read-only" => Some(Self::ReadOnly),
            "until" => number(value)
                .and_then(|secs| UNIX_EPOCH.checked_add(Duration::from_secs(secs)))
                .map(Self::Until),
            "rate" => value.split_once(',').and_then(|(calls, period)| {
                let period = Duration::from_secs(number(period).filter(|secs| *secs > 0)?);
                Some(Self::Rate { calls: number(calls)?, period })
            }),
            "count" => number(value).map(Self::Count),
            _ => None,
        };
        // There is one way to write each.
        caveat.filter(|caveat| caveat.to_string() == text).ok_or_else(|| Rule::Caveat.broken())
    }
}

fn number(text: &str) -> Option<u64> {
    text.parse().ok()
}
