//! Exports to a peer whose language has names for them instead of numbers, and never or seldom releases them.

use std::collections::{BTreeMap, HashSet};
use std::hash::RandomState;
use std::sync::Arc;

use super::effects::Effects;
use super::entries::Entries;
use crate::dialect::ExportNames;
use crate::message::{Id, IdMap};
use crate::registry::{Registry, random_name};
use crate::session::Session;
use crate::table::Table;
use crate::thin_vec::ThinVec;

/// The names of this side's exports on one connection, and their order of last use.
#[derive(Default)]
pub(super) struct NamedExports {
    ids: Table<Arc<str>, Id, RandomState>,
    exports: IdMap<NamedExport>,
    /// Exports that may be evicted, by their last use: no call on them is running, and they are not in `pinned`.
    lru: BTreeMap<u64, Id>,
    clock: u64,
    /// The export that each running call of the peer is made on.
    calls: IdMap<Id>,
    /// Calls that ask for the index, in a language where it has no name of its own.
    indexes: HashSet<Id>,
    /// Exports in the index, which are not evicted.
    pinned: HashSet<Id>,
    /// The registry of a node, in a language whose names are valid on all its connections.
    registry: Option<Registry>,
    evicted: u64,
}

struct NamedExport {
    name: Arc<str>,
    /// Further names of the object that the peer has used.
    others: ThinVec<Arc<str>>,
    used: u64,
    /// The number of running calls on it.
    calls: usize,
}

impl NamedExport {
    fn names(&self) -> impl Iterator<Item = &Arc<str>> {
        std::iter::once(&self.name).chain(&self.others)
    }
}

impl NamedExports {
    pub(super) fn new(registry: Option<Registry>) -> Self {
        Self { registry, ..Self::default() }
    }

    /// Adds a name to an export, perhaps beside others.
    fn insert(&mut self, id: Id, name: Arc<str>) {
        self.ids.insert(name.clone(), id);
        match self.exports.get_mut(&id) {
            Some(export) => export.others.push(name),
            None => {
                self.exports.insert(id, NamedExport { name, others: ThinVec::NONE, used: 0, calls: 0 });
            }
        }
        self.touch(id);
    }

    fn touch(&mut self, id: Id) {
        if let Some(export) = self.exports.get_mut(&id) {
            self.clock += 1;
            self.lru.remove(&export.used);
            export.used = self.clock;
        }
        self.list(id);
    }

    /// Enters an export in the order of last use, if it may be evicted.
    fn list(&mut self, id: Id) {
        if let Some(export) = self.exports.get(&id) {
            if export.calls == 0 && !self.pinned.contains(&id) {
                self.lru.insert(export.used, id);
            }
        }
    }

    /// Notes that a call of the peer on an export begins.
    pub(super) fn begin(&mut self, answer: Id, target: Id, asks_index: bool) {
        if let Some(export) = self.exports.get_mut(&target) {
            export.calls += 1;
            self.lru.remove(&export.used);
            self.calls.insert(answer, target);
        }
        if asks_index {
            self.indexes.insert(answer);
        }
    }

    /// Notes that a call is answered with these exports in the answer. If the answer is the index, they are not
    /// forgotten.
    pub(super) fn answers(&mut self, answer: Id, exports: impl Iterator<Item = Id>) {
        if !self.indexes.is_empty() && self.indexes.remove(&answer) {
            // Exports of an earlier answer that are not in this one are no longer in the index.
            let before = std::mem::replace(&mut self.pinned, exports.collect());
            for id in &self.pinned {
                if let Some(export) = self.exports.get(id) {
                    self.lru.remove(&export.used);
                }
            }
            for id in before {
                self.list(id);
            }
        }
    }

    /// Notes that a call of the peer has ended.
    pub(super) fn end(&mut self, answer: Id) {
        if self.calls.is_empty() && self.indexes.is_empty() {
            return;
        }
        self.indexes.remove(&answer);
        let target = self.calls.remove(&answer);
        if let Some(target) = target {
            if let Some(export) = self.exports.get_mut(&target) {
                export.calls -= 1;
            }
            self.list(target);
        }
    }

    /// Returns the least recently used export without running calls, if there are more than `limit` exports outside the
    /// index.
    pub(super) fn oldest_beyond(&mut self, limit: usize) -> Option<Id> {
        if self.exports.len() - self.pinned.len().min(self.exports.len()) <= limit {
            return None;
        }
        let oldest = self.lru.first_key_value().map(|(_, id)| *id);
        self.evicted += u64::from(oldest.is_some());
        oldest
    }

    /// Returns the number of exports that were evicted because there were too many.
    pub(super) fn evicted(&self) -> u64 {
        self.evicted
    }

    /// Removes an export, and drops the objects that the registry held for it.
    pub(super) fn remove(&mut self, id: Id, effects: &mut Effects) {
        self.pinned.remove(&id);
        let Some(export) = self.exports.remove(&id) else { return };
        self.lru.remove(&export.used);
        for name in export.names() {
            self.ids.remove(name);
            effects.discard_all(self.registry.as_ref().and_then(|registry| registry.release(name)));
        }
    }

    /// Removes all exports, and drops the objects that the registry held for them.
    pub(super) fn clear(&mut self, effects: &mut Effects) {
        let Self { exports, registry, evicted, .. } = std::mem::take(self);
        let names = exports.values().flat_map(NamedExport::names);
        effects.discard_all(names.filter_map(|name| registry.as_ref()?.release(name)));
        *self = Self { registry, evicted, ..Self::default() };
    }
}

/// The names of a connection, with the tables needed to export an object under one.
pub(super) struct ExportNamer<'a> {
    pub(super) export_names: &'a mut NamedExports,
    pub(super) session: &'a mut Session,
    pub(super) entries: &'a mut Entries,
}

impl ExportNames for ExportNamer<'_> {
    fn find(&mut self, name: &str) -> Option<Id> {
        if let Some(id) = self.export_names.ids.get(name).copied() {
            self.export_names.touch(id);
            return Some(id);
        }
        // Another connection of the node may have lent it. From now on this connection holds it as well.
        let (name, cap) = self.export_names.registry.as_ref()?.hold(name)?;
        let id = self.session.export(cap.object_id());
        self.entries.insert_object(id, cap);
        self.export_names.insert(id, name);
        Some(id)
    }

    fn name(&mut self, export: Id) -> Arc<str> {
        if let Some(NamedExport { name, .. }) = self.export_names.exports.get(&export) {
            let name = name.clone();
            self.export_names.touch(export);
            return name;
        }
        let cap = self.entries.object(export);
        let name = match (&self.export_names.registry, cap) {
            (Some(registry), Some(cap)) => registry.name(cap),
            _ => random_name(),
        };
        self.export_names.insert(export, name.clone());
        name
    }

    fn number(&mut self) -> Id {
        self.session.next_answer()
    }
}
