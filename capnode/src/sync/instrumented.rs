//! Shuttle's primitives, with those that it lacks.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::marker::PhantomData;
use std::ops::{Deref, DerefMut};
use std::sync::{LockResult, PoisonError, TryLockError, TryLockResult};

use shuttle::sync::atomic::{AtomicBool, Ordering};

/// A lock that lets another thread run after its release. Shuttle itself changes threads before the release only, and
/// so never between a release and later steps that shuttle does not see: reference counts, channels.
#[derive(Default)]
pub(crate) struct Mutex<T: ?Sized>(shuttle::sync::Mutex<T>);

pub(crate) struct MutexGuard<'a, T: ?Sized>(Option<shuttle::sync::MutexGuard<'a, T>>);

impl<T> Mutex<T> {
    pub(crate) const fn new(value: T) -> Self {
        Self(shuttle::sync::Mutex::new(value))
    }
}

impl<T: ?Sized> Mutex<T> {
    pub(crate) fn lock(&self) -> LockResult<MutexGuard<'_, T>> {
        let guarded = |guard| MutexGuard(Some(guard));
        self.0.lock().map(guarded).map_err(|poisoned| PoisonError::new(guarded(poisoned.into_inner())))
    }

    pub(crate) fn try_lock(&self) -> TryLockResult<MutexGuard<'_, T>> {
        let guarded = |guard| MutexGuard(Some(guard));
        self.0.try_lock().map(guarded).map_err(|error| match error {
            TryLockError::Poisoned(poisoned) => PoisonError::new(guarded(poisoned.into_inner())).into(),
            TryLockError::WouldBlock => TryLockError::WouldBlock,
        })
    }

    pub(crate) fn get_mut(&mut self) -> LockResult<&mut T> {
        self.0.get_mut()
    }
}

impl<T: ?Sized> fmt::Debug for Mutex<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Mutex")
    }
}

impl<T: ?Sized> Deref for MutexGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        let Some(guard) = &self.0 else { unreachable!("it is there until it is dropped") };
        guard
    }
}

impl<T: ?Sized> DerefMut for MutexGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        let Some(guard) = &mut self.0 else { unreachable!("it is there until it is dropped") };
        guard
    }
}

impl<T: ?Sized> Drop for MutexGuard<'_, T> {
    fn drop(&mut self) {
        drop(self.0.take());
        if !std::thread::panicking() {
            // Threads change at any atomic operation.
            AtomicBool::new(false).load(Ordering::SeqCst);
        }
    }
}

pub(crate) struct LocalKey<T: 'static>(shuttle::thread::LocalKey<T>);

impl<T> LocalKey<T> {
    pub(crate) const fn new(first: fn() -> T) -> Self {
        Self(shuttle::thread::LocalKey { init: first, _p: PhantomData })
    }
}

impl<T> LocalKey<Cell<T>> {
    pub(crate) fn replace(&'static self, value: T) -> T {
        self.0.with(|cell| cell.replace(value))
    }

    pub(crate) fn take(&'static self) -> T
    where
        T: Default,
    {
        self.0.with(Cell::take)
    }

    pub(crate) fn set(&'static self, value: T) {
        self.0.with(|cell| cell.set(value));
    }

    pub(crate) fn get(&'static self) -> T
    where
        T: Copy,
    {
        self.0.with(Cell::get)
    }
}

impl<T> LocalKey<RefCell<T>> {
    pub(crate) fn try_with<R>(
        &'static self,
        change: impl FnOnce(&RefCell<T>) -> R,
    ) -> Result<R, impl fmt::Debug> {
        self.0.try_with(change)
    }

    pub(crate) fn with_borrow<R>(&'static self, read: impl FnOnce(&T) -> R) -> R {
        self.0.with(|cell| read(&cell.borrow()))
    }

    pub(crate) fn with_borrow_mut<R>(&'static self, change: impl FnOnce(&mut T) -> R) -> R {
        self.0.with(|cell| change(&mut cell.borrow_mut()))
    }

    pub(crate) fn set(&'static self, value: T) {
        self.replace(value);
    }

    pub(crate) fn replace(&'static self, value: T) -> T {
        self.0.with(|cell| cell.replace(value))
    }

    pub(crate) fn take(&'static self) -> T
    where
        T: Default,
    {
        self.0.with(RefCell::take)
    }
}

macro_rules! local_keys {
    ($($(#[$attribute:meta])* static $name:ident: $type:ty = const { $first:expr };)*) => {
        $($(#[$attribute])* static $name: $crate::sync::LocalKey<$type> =
            $crate::sync::LocalKey::new(|| $first);)*
    };
}

pub(crate) use local_keys;
