//! The functions that a peer lends, by their names, and how they are given back.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};

use crate::dialect::ids::ImportNames;
use crate::message::Id;

/// Functions given back that the peer may be silent about.
const MAX_DYING: usize = 8_192;

/// The peer's functions, and those of them that can be given back.
#[derive(Default)]
pub(super) struct Functions {
    pub(super) lent: ImportNames,
    /// Functions that an index listed. A peer computes its index once: a function of it that is given back is gone for
    /// good.
    pub(super) listed: HashSet<Box<str>>,
    /// Functions given back, as long as the peer has not said that it knows, by the number of the message.
    pub(super) releasing: BTreeMap<Id, Box<str>>,
    pub(super) releasing_names: HashSet<Box<str>>,
    /// Functions that came again after they were given back, and before the peer knew.
    pub(super) released: HashSet<Id>,
    /// Functions that are no longer held here, and that may still be kept if they come again, each with the turn in
    /// which it was dropped.
    pub(super) pending_release: HashMap<Box<str>, DropTime>,
    /// The names in `pending_release` in the order in which they were dropped, and some that have come again.
    pub(super) pending_order: VecDeque<(Box<str>, DropTime)>,
    pub(super) turn: u64,
    /// Functions that need not be kept once they are dropped.
    pub(super) expired: HashSet<Id>,
}

/// The time at which a function was dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum DropTime {
    /// Together with an export of ours that the peer has given back late: the peer has waited in our place.
    Late,
    /// In this turn.
    In(u64),
}

impl Functions {
    /// The id of a function that is mentioned in a message, which may be the answer to an `index`.
    pub(super) fn mention(&mut self, name: &str, in_index: bool) -> Id {
        let id = self.lent.intern(name);
        self.pending_release.remove(name);
        if in_index && !self.listed.contains(name) {
            self.listed.insert(name.into());
        }
        if self.releasing_names.contains(name) {
            self.released.insert(id);
        } else {
            // The peer lends it anew.
            self.released.remove(&id);
        }
        id
    }

    /// Notes that a function is no longer held here. It may come again, unless it is `expired`.
    pub(super) fn leave(&mut self, name: Box<str>, expired: bool) {
        let dropped = if expired { DropTime::Late } else { DropTime::In(self.turn) };
        self.pending_release.insert(name.clone(), dropped);
        if expired {
            self.pending_order.push_front((name, dropped));
        } else {
            self.pending_order.push_back((name, dropped));
        }
    }

    /// Takes the next function that is to be given back now, if `is_over` returns `true` for the time of its drop.
    pub(super) fn take_left(&mut self, is_over: impl Fn(DropTime) -> bool) -> Option<(Box<str>, DropTime)> {
        while let Some((_, dropped)) = self.pending_order.front() {
            if !is_over(*dropped) {
                return None;
            }
            let (name, dropped) = self.pending_order.pop_front()?;
            // It may have come again, and have been dropped again later.
            if self.pending_release.get(&name) == Some(&dropped) {
                self.pending_release.remove(&name);
                return Some((name, dropped));
            }
        }
        None
    }

    /// Notes that a function is being given back. A peer that never says that it knows must not make us remember for
    /// ever.
    pub(super) fn release(&mut self, number: Id, name: Box<str>) {
        self.releasing_names.insert(name.clone());
        self.releasing.insert(number, name);
        if self.releasing.len() > MAX_DYING {
            if let Some((_, oldest)) = self.releasing.pop_first() {
                self.releasing_names.remove(&oldest);
            }
        }
    }

    /// Notes that the peer knows that a function was given back.
    pub(super) fn given_back(&mut self, number: Id) {
        if let Some(name) = self.releasing.remove(&number) {
            self.releasing_names.remove(&name);
        }
    }
}
