//! Memory of the invocations that were taken.

use std::collections::{BTreeSet, HashMap};

use super::refusal::{Refusal, Rule};
use super::rules::SKEW;
use super::time::Millis;

/// The most invocations of one key that are remembered at a time.
const OF_KEY: usize = 1024;

/// The most invocations that are remembered at a time.
const OF_ALL: usize = 65_536;

/// How far an invocation may be ahead of its owner's clock.
const AHEAD: Millis = 10_000;

/// An invocation, as far as it is remembered.
pub(super) struct Made<'t> {
    pub(super) key: &'t str,
    pub(super) id: &'t str,
    pub(super) created: Millis,
    pub(super) fresh: bool,
}

/// The invocations that were taken lately, each by the key that made it and its id.
#[derive(Debug)]
pub(super) struct Replays {
    /// Since when no other process has taken any.
    since: Millis,
    known: HashMap<String, BTreeSet<String>>,
    /// When each may be forgotten, in order.
    ends: BTreeSet<(Millis, String, String)>,
}

impl Replays {
    pub(super) fn new(since: Millis) -> Self {
        Self { since, known: HashMap::new(), ends: BTreeSet::new() }
    }

    /// Checks that an invocation of this age may be taken, and was not. One with a nonce that the owner gave just now is
    /// `fresh`, whatever the clock of its maker says.
    pub(super) fn check(&mut self, of: &Made<'_>, now: Millis) -> Result<(), Refusal> {
        self.forget(now);
        let ahead = if of.fresh { SKEW } else { AHEAD };
        if of.created > now.saturating_add(ahead) || of.created < now.saturating_sub(SKEW) {
            return Err(Rule::Time.broken("the invocation was not made just now"));
        }
        // Until then another process may have taken one that is ahead of the clock.
        if !of.fresh && of.created < self.since.saturating_add(AHEAD) {
            return Err(Rule::Replay.broken("it was made before this memory began"));
        }
        let of_key = self.known.get(of.key);
        if of_key.is_some_and(|ids| ids.contains(of.id)) {
            return Err(Rule::Replay.broken(format!("`{}` was used before", of.id)));
        }
        if of_key.is_some_and(|ids| ids.len() >= OF_KEY) || self.ends.len() >= OF_ALL {
            return Err(Rule::Quota.broken(format!("`{}`, or all keys, have made too many", of.key)));
        }
        Ok(())
    }

    /// Takes an invocation, unless it was taken meanwhile.
    pub(super) fn insert(&mut self, of: &Made<'_>, now: Millis) -> Result<(), Refusal> {
        self.check(of, now)?;
        self.known.entry(of.key.to_owned()).or_default().insert(of.id.to_owned());
        self.ends.insert((of.created.saturating_add(SKEW), of.key.to_owned(), of.id.to_owned()));
        Ok(())
    }

    fn forget(&mut self, now: Millis) {
        while self.ends.first().is_some_and(|(end, ..)| *end < now) {
            let Some((_, key, id)) = self.ends.pop_first() else { break };
            let ids = self.known.get_mut(&key);
            if ids.is_some_and(|ids| ids.remove(&id) && ids.is_empty()) {
                self.known.remove(&key);
            }
        }
    }
}
