//! Memory of the invocations that were taken.

use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::str::FromStr;

use super::refusal::{Refusal, Rule};
use super::rules::SKEW;
use super::time::Millis;

/// The most invocations of one key that are remembered at a time.
const OF_KEY: usize = 1024;

/// The most invocations that are remembered at a time of all whose links come from one that the owner gave to the same key. So
/// who delegates to many keys of its own can keep out those below it, and no others.
const OF_BRANCH: usize = 8192;

/// How far an invocation may be ahead of its owner's clock.
const AHEAD: Millis = 10_000;

/// An invocation, as far as it is remembered.
pub(super) struct Made<'t> {
    /// The key to which the owner itself has given the first link.
    pub(super) branch: &'t str,
    pub(super) key: &'t str,
    pub(super) id: &'t str,
    pub(super) created: Millis,
    pub(super) fresh: bool,
}

/// The invocations that were taken lately, each by the key that made it and its id.
#[derive(Debug)]
pub(super) struct Replays {
    /// Since when all that were taken are known here, but for those that can be taken no more.
    pub(super) since: Millis,
    /// The greatest time that there was. The clock may be set back, but what was forgotten is not known again.
    latest: Millis,
    known: HashMap<String, BTreeSet<String>>,
    of_branches: HashMap<String, usize>,
    /// Each with the time until which it is remembered, in order.
    ends: BTreeSet<Entry>,
    /// Those that were forgotten since the last one was taken.
    forgotten: Vec<Entry>,
}

/// An invocation that is remembered.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Entry {
    end: Millis,
    branch: String,
    key: String,
    id: String,
}

impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}/{}", self.end, self.branch, self.key, self.id)
    }
}

impl FromStr for Entry {
    type Err = Refusal;

    fn from_str(text: &str) -> Result<Self, Refusal> {
        let parts: Vec<&str> = text.splitn(4, '/').collect();
        let [end, branch, key, id] = parts[..] else { return Err(Rule::Replay.broken("no such entry")) };
        let end = end.parse().map_err(|_| Rule::Replay.broken("an entry without its time"))?;
        Ok(Self { end, branch: branch.to_owned(), key: key.to_owned(), id: id.to_owned() })
    }
}

/// A change of the memory, for one that outlives the process.
#[cfg_attr(not(feature = "sturdy"), expect(dead_code, reason = "owners alone have a store"))]
pub(crate) struct Taken {
    pub(crate) entry: Entry,
    pub(crate) forgotten: Vec<Entry>,
    /// Since when all are known but those that can be taken no more.
    pub(crate) since: Millis,
}

impl Replays {
    pub(super) fn new(since: Millis) -> Self {
        Self {
            since,
            latest: Millis::MIN,
            known: HashMap::new(),
            of_branches: HashMap::new(),
            ends: BTreeSet::new(),
            forgotten: Vec::new(),
        }
    }

    /// Checks that an invocation of this age may be taken, and was not. One with a nonce that the owner gave just now is
    /// `fresh`, whatever the clock of its maker says.
    pub(super) fn check(&mut self, of: &Made<'_>, now: Millis) -> Result<(), Refusal> {
        self.latest = self.latest.max(now);
        self.forget();
        let ahead = if of.fresh { SKEW } else { AHEAD };
        if of.created > now.saturating_add(ahead) || of.created < self.latest.saturating_sub(SKEW) {
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
        let of_branch = self.of_branches.get(of.branch);
        if of_key.is_some_and(|ids| ids.len() >= OF_KEY) || of_branch.is_some_and(|made| *made >= OF_BRANCH) {
            return Err(
                Rule::Quota.broken(format!("`{}`, or all below `{}`, made too many", of.key, of.branch))
            );
        }
        Ok(())
    }

    /// Takes an invocation, unless it was taken meanwhile.
    pub(super) fn insert(&mut self, of: &Made<'_>, now: Millis) -> Result<Taken, Refusal> {
        self.check(of, now)?;
        let (branch, key, id) = (of.branch.to_owned(), of.key.to_owned(), of.id.to_owned());
        let entry = Entry { end: of.created.saturating_add(SKEW), branch, key, id };
        self.remember(entry.clone());
        Ok(Taken { entry, forgotten: std::mem::take(&mut self.forgotten), since: self.since })
    }

    /// Says of what was forgotten once more that it was, since nobody has kept it. What was taken stays so.
    pub(super) fn give_back(&mut self, taken: Taken) {
        self.forgotten.extend(taken.forgotten);
    }

    pub(super) fn remember(&mut self, entry: Entry) {
        self.known.entry(entry.key.clone()).or_default().insert(entry.id.clone());
        *self.of_branches.entry(entry.branch.clone()).or_default() += 1;
        self.ends.insert(entry);
    }

    fn forget(&mut self) {
        while self.ends.first().is_some_and(|entry| entry.end < self.latest) {
            let Some(entry) = self.ends.pop_first() else { break };
            let ids = self.known.get_mut(&entry.key);
            if ids.is_some_and(|ids| ids.remove(&entry.id) && ids.is_empty()) {
                self.known.remove(&entry.key);
            }
            let made = self.of_branches.get_mut(&entry.branch);
            if made.is_some_and(|made| {
                *made -= 1;
                *made == 0
            }) {
                self.of_branches.remove(&entry.branch);
            }
            self.forgotten.push(entry);
            self.since = self.since.max(self.latest.saturating_sub(SKEW + AHEAD));
        }
    }
}
