//! Caveats: what a link takes away beside targets, actions and time.

use std::time::Duration;

use super::refusal::{Refusal, Rule};
use super::tree::Tree;

/// The most caveats of a link.
const MOST: usize = 16;

/// The most names of methods in the caveats of a link, of all together. Each is compared with each property that a target below
/// names, and kept for each reference.
const NAMES: usize = 256;

/// A limit that a link puts on all that is done by it. Those of all links of a chain hold together.
///
/// Only owners that use this library enforce caveats: verifiers of other makers pass over them.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Caveat {
    /// These methods and properties alone may be called and read, by their names on the wire: also by a narrower target, whose
    /// segments name properties. All such caveats of a link have at most 256 names together.
    Methods(Vec<String>),
    /// Nothing may be called but what only reads. Properties may be read, so a target may be narrower.
    ReadOnly,
    /// At most so many calls in each period.
    Rate {
        /// The calls.
        calls: u32,
        /// The period, in whole seconds.
        period: Duration,
    },
    /// At most so many calls in all.
    Count(u32),
}

impl Caveat {
    /// Reads the caveats of a link; one that is unknown refuses the link.
    pub(super) fn read_all(tree: Option<&Tree>) -> Result<Vec<Self>, Refusal> {
        let Some(tree) = tree else { return Ok(Vec::new()) };
        let list = tree.as_list().filter(|list| list.len() <= MOST);
        let list = list.ok_or_else(|| Rule::Caveat.broken(format!("this is no list of at most {MOST}")))?;
        let unknown = |tree: &Tree| Rule::Caveat.broken(format!("unknown: {}", tree.canonical()));
        let caveats = list.iter().map(|tree| Self::read(tree).ok_or_else(|| unknown(tree)));
        let caveats = caveats.collect::<Result<Vec<_>, _>>()?;
        let names: usize = caveats.iter().filter_map(Self::names).map(<[String]>::len).sum();
        if names > NAMES {
            return Err(Rule::Caveat.broken(format!("there are more than {NAMES} names of methods")));
        }
        Ok(caveats)
    }

    /// `true` if calls are counted for it.
    pub(super) fn is_counted(&self) -> bool {
        matches!(self, Self::Rate { .. } | Self::Count(_))
    }

    /// Returns the names of methods, if it is about these.
    pub(crate) fn names(&self) -> Option<&[String]> {
        if let Self::Methods(names) = self { Some(names) } else { None }
    }

    fn read(tree: &Tree) -> Option<Self> {
        let Tree::Object(members) = tree else { return None };
        let [(name, value)] = members.as_slice() else { return None };
        Some(match (name.as_str(), value) {
            ("methods", Tree::List(list)) => Self::Methods(
                list.iter().map(|name| name.as_text().map(str::to_owned)).collect::<Option<_>>()?,
            ),
            ("readOnly", Tree::Bool(true)) => Self::ReadOnly,
            ("rate", Tree::Object(parts)) if parts.len() == 2 => Self::Rate {
                calls: number(value.get("calls")?)?,
                period: Duration::from_secs(number(value.get("seconds")?).filter(|time| *time > 0)?.into()),
            },
            ("count", value) => Self::Count(number(value)?),
            _ => return None,
        })
    }

    /// Returns the caveat as documents write it.
    pub(super) fn tree(&self) -> Result<Tree, Refusal> {
        let (name, value) = match self {
            Self::Methods(names) => ("methods", Tree::texts(names)),
            Self::ReadOnly => ("readOnly", Tree::Bool(true)),
            Self::Rate { calls, period } => {
                let seconds = ("seconds".to_owned(), Tree::Number(period.as_secs() as f64));
                let calls = ("calls".to_owned(), Tree::Number((*calls).into()));
                ("rate", Tree::object(vec![calls, seconds])?)
            }
            Self::Count(calls) => ("count", Tree::Number((*calls).into())),
        };
        Tree::object(vec![(name.to_owned(), value)])
    }
}

/// Returns a whole number.
fn number(tree: &Tree) -> Option<u32> {
    let Tree::Number(number) = tree else { return None };
    let whole = *number as u32;
    (f64::from(whole) == *number).then_some(whole)
}
