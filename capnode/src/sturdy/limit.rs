//! The limits of what is redeemed, by caveats of a text or of links.

use std::time::{Duration, SystemTime};

use sha2::{Digest as _, Sha256};

use super::caveat::Caveat;
use super::mac::Tag;
use crate::signed::{self, LinkName, Step};

/// A limit of what is redeemed.
pub(super) enum Limit {
    /// These methods alone.
    Methods(Names),
    /// What only reads.
    ReadOnly,
    /// Nothing from this time on.
    Until(SystemTime),
    /// So many calls, in each period if there is one.
    Calls {
        most: u64,
        period: Option<Duration>,
        /// The tag that the counter is kept by.
        tag: Tag,
    },
}

impl Limit {
    /// Returns that of the caveat of a text.
    pub(super) fn of_text(caveat: Caveat, tag: Tag) -> Self {
        match caveat {
            Caveat::Methods(names) => Self::Methods(Names::Written(names.join(","))),
            Caveat::ReadOnly => Self::ReadOnly,
            Caveat::Until(end) => Self::Until(end),
            Caveat::Rate { calls, period } => Self::Calls { most: calls, period: Some(period), tag },
            Caveat::Count(calls) => Self::Calls { most: calls, period: None, tag },
        }
    }

    /// Returns that of the caveat at a place of the link at another.
    pub(super) fn of_link(links: &[Step], link: usize, at: usize) -> Option<Self> {
        let step = links.get(link)?;
        let tag = || tag(&step.name, Some(at));
        Some(match step.caveats.get(at)? {
            signed::Caveat::Methods(_) => Self::Methods(Names::OfLink(link, at)),
            signed::Caveat::ReadOnly => Self::ReadOnly,
            signed::Caveat::Rate { calls, period } => {
                Self::Calls { most: (*calls).into(), period: Some(*period), tag: tag() }
            }
            signed::Caveat::Count(calls) => Self::Calls { most: (*calls).into(), period: None, tag: tag() },
        })
    }

    /// Returns the time of one that is about it.
    pub(super) fn until(&self) -> Option<SystemTime> {
        if let Self::Until(time) = self { Some(*time) } else { None }
    }

    /// Returns the caveat as it is shown.
    pub(super) fn written(&self, links: &[Step]) -> String {
        match self {
            Self::Methods(Names::Written(names)) => format!("methods={names}"),
            Self::Methods(names) => Caveat::Methods(names.list(links).to_vec()).to_string(),
            Self::ReadOnly => Caveat::ReadOnly.to_string(),
            Self::Until(end) => Caveat::Until(*end).to_string(),
            Self::Calls { most, period: Some(period), .. } => {
                Caveat::Rate { calls: *most, period: *period }.to_string()
            }
            Self::Calls { most, period: None, .. } => Caveat::Count(*most).to_string(),
        }
    }
}

/// Where the names of methods are. Holders choose them, so they are not copied.
pub(super) enum Names {
    /// In the caveat of a text, whose names have no commas.
    Written(String),
    /// Among a document's actions.
    Listed(Vec<String>),
    /// In the caveat at a place of the link at another.
    OfLink(usize, usize),
}

impl Names {
    /// `true` if a name is among them.
    pub(super) fn has(&self, links: &[Step], name: &str) -> bool {
        match self {
            Self::Written(names) => names.split(',').any(|listed| listed == name),
            names => names.list(links).iter().any(|listed| listed == name),
        }
    }

    fn list<'a>(&'a self, links: &'a [Step]) -> &'a [String] {
        match self {
            Self::Written(_) => &[],
            Self::Listed(names) => names,
            Self::OfLink(link, at) => {
                let caveat = links.get(*link).and_then(|link| link.caveats.get(*at));
                caveat.and_then(signed::Caveat::names).unwrap_or_default()
            }
        }
    }
}

/// Names a link, or a caveat of it, in the store.
pub(super) fn tag(link: &LinkName, caveat: Option<usize>) -> Tag {
    let caveat = caveat.map_or(String::new(), |at| at.to_string());
    let mut hash = Sha256::new();
    for part in ["capnode link 1", &link.delegator, &link.id, &caveat] {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    hash.finalize().into()
}
