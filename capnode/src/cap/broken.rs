//! Callbacks for a reference that stops working.

use std::fmt;
use std::marker;
use std::sync::Arc;

use crate::error::Error;
use crate::panics::catch_and_log;
use crate::sweep::Sweep;
use crate::sync::{Mutex, lock};
use crate::threads::{Send, Staying};

type BrokenCallback = Box<dyn FnOnce(Error) + marker::Send>;
pub(crate) type BrokenSlot = Arc<Mutex<Option<Registered>>>;

/// A registered callback.
pub(crate) struct Registered {
    callback: BrokenCallback,
    /// Guards of those that call this one.
    relays: Vec<OnBroken>,
}

/// Has `slot` called, while it is registered, by what `watch` registers a callback with. It gets the error as `change`
/// makes it.
pub(super) fn relay(
    slot: &BrokenSlot,
    change: impl FnOnce(Error) -> Error + marker::Send + 'static,
    watch: impl FnOnce(&BrokenSlot),
) {
    let to = Arc::downgrade(slot);
    let relay = OnBroken::watching(move |error| {
        if let Some(slot) = to.upgrade() {
            fire(&slot, &change(error));
        }
    });
    watch(relay.slot());
    if let Some(registered) = &mut *lock(slot) {
        registered.relays.push(relay);
    }
}

/// The callbacks that are registered with something that can break.
#[derive(Default)]
pub(crate) struct Watchers {
    slots: Vec<BrokenSlot>,
    sweep: Sweep,
}

impl Watchers {
    /// Adds a callback. Callbacks whose guards were dropped are taken out from time to time.
    pub(crate) fn add(&mut self, slot: &BrokenSlot) {
        if self.sweep.is_due(self.slots.len()) {
            self.slots.retain(|slot| Arc::strong_count(slot) > 1);
            self.sweep.done(self.slots.len());
        }
        self.slots.push(slot.clone());
    }

    /// Adds the callbacks of another.
    pub(crate) fn append(&mut self, others: Self) {
        self.slots.extend(others.slots);
    }

    pub(crate) fn all(self) -> Vec<BrokenSlot> {
        self.slots
    }
}

/// Calls the registered callback, unless its guard was dropped.
pub(crate) fn fire(slot: &BrokenSlot, error: &Error) {
    let registered = lock(slot).take();
    if let Some(Registered { callback, .. }) = registered {
        catch_and_log("on_broken", || callback(error.clone()));
    }
}

/// Keeps the callback of [`Cap::on_broken`](super::Cap::on_broken) registered.
#[must_use = "dropping the guard unregisters the callback"]
pub struct OnBroken(BrokenSlot);

impl OnBroken {
    /// Makes a guard for `callback`. Its slot has to be registered with whatever can break.
    pub(crate) fn watching(callback: impl FnOnce(Error) + Send + 'static) -> Self {
        let mut once = Staying::new(Some(callback));
        let callback = move |error| {
            if let Some(callback) = once.with_mut(Option::take) {
                callback(error);
            }
        };
        Self(Arc::new(Mutex::new(Some(Registered { callback: Box::new(callback), relays: Vec::new() }))))
    }

    pub(crate) fn slot(&self) -> &BrokenSlot {
        &self.0
    }
}

impl Drop for OnBroken {
    fn drop(&mut self) {
        let registered = lock(&self.0).take();
        drop(registered);
    }
}

impl fmt::Debug for OnBroken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OnBroken")
    }
}
