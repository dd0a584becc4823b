//! What we lend a peer whose language has names for it instead of numbers, and never or seldom gives it back.

use std::collections::{BTreeMap, HashSet};
use std::hash::RandomState;
use std::sync::Arc;

use crate::cap::Cap;
use crate::dialect::Names;
use crate::few::Few;
use crate::op::{Id, IdMap};
use crate::registry::{Registry, random_name};
use crate::session::Session;
use crate::table::Table;

/// The names of our exports on one connection, and which of them was used last.
#[derive(Default)]
pub(super) struct Named {
    ids: Table<Arc<str>, Id, RandomState>,
    exports: IdMap<Export>,
    /// Those that may be forgotten, by when they were last used: no call on them is running, and they are not in `kept`.
    order: BTreeMap<u64, Id>,
    clock: u64,
    /// Which export each running call of the peer's is made on.
    calls: IdMap<Id>,
    /// Which calls ask for the index, in a language where it has no name of its own.
    indexes: HashSet<Id>,
    /// What is in the index, which is not forgotten.
    kept: HashSet<Id>,
    /// Where names are known to all connections of the node.
    registry: Option<Registry>,
    forgotten: u64,
}

struct Export {
    name: Arc<str>,
    /// Further names of the same object, by which the peer has used it.
    others: Few<Arc<str>>,
    used: u64,
    /// How many calls on it are running.
    calls: usize,
}

impl Export {
    fn names(&self) -> impl Iterator<Item = &Arc<str>> {
        std::iter::once(&self.name).chain(&self.others)
    }
}

impl Named {
    pub(super) fn new(registry: Option<Registry>) -> Self {
        Self { registry, ..Self::default() }
    }

    /// Notes that an export goes by a name, perhaps beside others.
    fn insert(&mut self, id: Id, name: Arc<str>) {
        self.ids.insert(name.clone(), id);
        match self.exports.get_mut(&id) {
            Some(export) => export.others.push(name),
            None => {
                self.exports.insert(id, Export { name, others: Few::NONE, used: 0, calls: 0 });
            }
        }
        self.touch(id);
    }

    fn touch(&mut self, id: Id) {
        if let Some(export) = self.exports.get_mut(&id) {
            self.clock += 1;
            self.order.remove(&export.used);
            export.used = self.clock;
        }
        self.list(id);
    }

    /// Enters an export among those that may be forgotten, if it is one of them.
    fn list(&mut self, id: Id) {
        if let Some(export) = self.exports.get(&id) {
            if export.calls == 0 && !self.kept.contains(&id) {
                self.order.insert(export.used, id);
            }
        }
    }

    /// A call of the peer's on an export begins.
    pub(super) fn begin(&mut self, answer: Id, target: Id) {
        if let Some(export) = self.exports.get_mut(&target) {
            export.calls += 1;
            self.order.remove(&export.used);
            self.calls.insert(answer, target);
        }
    }

    /// A call asks for the index.
    pub(super) fn asks_index(&mut self, answer: Id) {
        self.indexes.insert(answer);
    }

    /// A call is answered, with these exports in the answer: if it is the index, they are not forgotten.
    pub(super) fn answers(&mut self, answer: Id, exports: impl Iterator<Item = Id>) {
        if !self.indexes.is_empty() && self.indexes.remove(&answer) {
            // What an earlier answer had in it and this one has not is not in the index any more.
            let before = std::mem::replace(&mut self.kept, exports.collect());
            for id in &self.kept {
                if let Some(export) = self.exports.get(id) {
                    self.order.remove(&export.used);
                }
            }
            for id in before {
                self.list(id);
            }
        }
    }

    /// A call of the peer's has ended.
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

    /// Which export was not used for the longest time, if there are more than `limit`. None with a call running.
    pub(super) fn oldest_beyond(&mut self, limit: usize) -> Option<Id> {
        if self.exports.len() - self.kept.len().min(self.exports.len()) <= limit {
            return None;
        }
        let oldest = self.order.first_key_value().map(|(_, id)| *id);
        self.forgotten += u64::from(oldest.is_some());
        oldest
    }

    /// How many exports were forgotten because there were too many.
    pub(super) fn forgotten(&self) -> u64 {
        self.forgotten
    }

    /// An export is one no longer. What the registry held for it, to be dropped where no lock is held.
    pub(super) fn remove(&mut self, id: Id) -> Vec<Cap> {
        self.kept.remove(&id);
        let Some(export) = self.exports.remove(&id) else { return Vec::new() };
        self.order.remove(&export.used);
        let Self { ids, registry, .. } = self;
        let names = export.names().inspect(|name| {
            ids.remove(*name);
        });
        names.filter_map(|name| registry.as_ref()?.let_go(name)).collect()
    }

    /// All at once.
    pub(super) fn clear(&mut self) -> Vec<Cap> {
        let exports = std::mem::take(&mut self.exports);
        self.ids.clear();
        self.order.clear();
        self.calls.clear();
        self.indexes.clear();
        self.kept.clear();
        let registry = self.registry.as_ref();
        exports.values().flat_map(Export::names).filter_map(|name| registry?.let_go(name)).collect()
    }
}

/// The names of a connection with what is needed to lend something under one.
pub(super) struct Naming<'a> {
    pub(super) named: &'a mut Named,
    pub(super) session: &'a mut Session,
    pub(super) objects: &'a mut IdMap<Cap>,
}

impl Names for Naming<'_> {
    fn find(&mut self, name: &str) -> Option<Id> {
        if let Some(id) = self.named.ids.get(name).copied() {
            self.named.touch(id);
            return Some(id);
        }
        // Another connection of the node may have been told of it; from now on this one holds it too.
        let (name, cap) = self.named.registry.as_ref()?.hold(name)?;
        let id = self.session.export(cap.object_id());
        self.objects.insert(id, cap);
        self.named.insert(id, name);
        Some(id)
    }

    fn name(&mut self, export: Id) -> Arc<str> {
        if let Some(Export { name, .. }) = self.named.exports.get(&export) {
            let name = name.clone();
            self.named.touch(export);
            return name;
        }
        let cap = self.objects.get(&export);
        let name = match (&self.named.registry, cap) {
            (Some(registry), Some(cap)) => registry.name(cap),
            _ => random_name(),
        };
        self.named.insert(export, name.clone());
        name
    }
}
