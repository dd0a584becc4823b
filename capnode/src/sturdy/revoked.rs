//! Revocations of links, which are kept until the links have ended, and of texts that end.

use std::collections::BTreeSet;

use super::mac::{Tag, hex};
use super::refusal::{Refusal, Rule};
use super::rows;
use super::store::{Change, Store};
use super::sweep::Sweep;
use crate::error::Error;

/// The most links that the holder of one link can have revoked at a time.
const OF_HOLDER: usize = 512;

/// The most that all holders of one branch with as many links above them can have revoked at a time. Those further down have
/// room of their own, so they cannot fill it.
const OF_DEPTH: usize = 1024;

/// The most links of a chain.
const LINKS: usize = 10;

/// A link that is to be revoked.
///
/// The store has it twice: by the tag, for those who ask, and by the place, which says who has revoked it and what is above.
pub(super) struct Revocation<'a> {
    /// The tags of all links of its chain, its own as the last.
    pub(super) tags: &'a [Tag],
    /// The number of them that are above the one who revokes it, with the link that it holds: none for the owner.
    pub(super) by: usize,
    /// The seconds when it has ended.
    pub(super) end: u64,
}

impl Revocation<'_> {
    /// Keeps it, and forgets those by holders of links below, which are as good as revoked. Nobody else does so meanwhile.
    pub(super) fn keep(&self, sweep: &mut Sweep, now: u64) -> Result<(), Refusal> {
        sweep.add(now)?;
        let store = sweep.store();
        let path = path(self.tags);
        let mut gone = BTreeSet::new();
        // The owner's own stay: another link by the same name may be below one that is not revoked.
        for by in 1..LINKS {
            gone.extend(places(store, &format!("{by}/{path}/"))?);
        }
        if self.by > 0 {
            self.make_room(sweep, now, &gone)?;
        }
        let place = format!("{}/{path}", self.by);
        let end = end(store, &place)?.unwrap_or_default().max(self.end).to_be_bytes();
        let gone: Vec<_> = gone.iter().flat_map(|place| rows::of_revocation(place)).collect();
        let [ending, revoked] = rows::of_revocation(&place);
        let mut changes: Vec<Change<'_>> = gone.iter().map(|name| (name.as_str(), None)).collect();
        changes.extend([(ending.as_str(), Some(&end[..])), (revoked.as_str(), Some(&[]))]);
        store.write(&changes).map_err(Refusal::owner)
    }

    /// Checks that its holder may have another one revoked. If there are too many, those of links that have ended go.
    fn make_room(&self, sweep: &Sweep, now: u64, gone: &BTreeSet<String>) -> Result<(), Refusal> {
        let [branch, own] =
            [1, self.by].map(|links| rows::revocation(&format!("{}/{}", self.by, path(&self.tags[..links]))));
        let mut kept = sweep.store().names(&branch).map_err(Refusal::owner)?;
        kept.retain(|name| rows::place(name).is_none_or(|place| !gone.contains(place)));
        let is_full = |kept: &[String]| {
            kept.len() >= OF_DEPTH || kept.iter().filter(|name| name.starts_with(&own)).count() >= OF_HOLDER
        };
        if is_full(&kept) {
            sweep.forget(&mut kept, now)?;
        }
        if is_full(&kept) { Err(Rule::Quota.broken()) } else { Ok(()) }
    }
}

fn path(tags: &[Tag]) -> String {
    tags.iter().map(|tag| hex(tag)).collect::<Vec<_>>().join("/")
}

/// Returns the places that begin with `start`.
fn places(store: &dyn Store, start: &str) -> Result<Vec<String>, Refusal> {
    let names = store.names(&rows::revocation(start)).map_err(Refusal::owner)?;
    Ok(names.into_iter().filter_map(|name| Some(rows::place(&name)?.to_owned())).collect())
}

fn end(store: &dyn Store, place: &str) -> Result<Option<u64>, Refusal> {
    let end: Result<_, Error> = store.get(&rows::revocation(place));
    Ok(end.map_err(Refusal::owner)?.and_then(|end| rows::end(&end)))
}
