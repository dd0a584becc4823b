//! Callbacks for a reference that stops working.

use std::fmt;
use std::sync::Arc;

use crate::error::Error;
use crate::panics::catch_and_log;
use crate::sweep::Sweep;
use crate::sync::{Mutex, lock};

pub(crate) type BrokenCallback = Box<dyn FnOnce(Error) + Send>;
pub(crate) type BrokenSlot = Arc<Mutex<Option<BrokenCallback>>>;

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

    pub(crate) fn all(self) -> Vec<BrokenSlot> {
        self.slots
    }
}

/// Calls the registered callback, unless its guard was dropped.
pub(crate) fn fire(slot: &BrokenSlot, error: &Error) {
    let callback = lock(slot).take();
    if let Some(callback) = callback {
        catch_and_log("on_broken", || callback(error.clone()));
    }
}

/// Keeps the callback of [`Cap::on_broken`](super::Cap::on_broken) registered.
#[must_use = "dropping the guard unregisters the callback"]
pub struct OnBroken(BrokenSlot);

impl OnBroken {
    /// Makes a guard for `callback`. Its slot has to be registered with whatever can break.
    pub(crate) fn watching(callback: impl FnOnce(Error) + Send + 'static) -> Self {
        Self(Arc::new(Mutex::new(Some(Box::new(callback)))))
    }

    pub(crate) fn slot(&self) -> &BrokenSlot {
        &self.0
    }
}

impl Drop for OnBroken {
    fn drop(&mut self) {
        let callback = lock(&self.0).take();
        drop(callback);
    }
}

impl fmt::Debug for OnBroken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OnBroken")
    }
}
