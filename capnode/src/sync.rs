//! What blocks, is atomic or belongs to a thread. It is the standard library's; under `cfg(capnode_shuttle)` it is that
//! of shuttle, which tries many orders in which threads can come: see the repository's `tests/threads`.

#[cfg(not(capnode_shuttle))]
pub(crate) use std::sync::{Mutex, MutexGuard, atomic};
#[cfg(not(capnode_shuttle))]
pub(crate) use std::thread_local;

#[cfg(capnode_shuttle)]
pub(crate) use self::tried::{LocalKey, local_keys as thread_local};
#[cfg(capnode_shuttle)]
pub(crate) use shuttle::sync::{Mutex, MutexGuard, atomic};

/// A lock of all of the program.
#[cfg(not(capnode_shuttle))]
macro_rules! static_mutex {
    ($name:ident) => {
        static $name: $crate::sync::Mutex<()> = $crate::sync::Mutex::new(());
    };
}

/// The same, for each order that is tried.
#[cfg(capnode_shuttle)]
macro_rules! static_mutex {
    ($name:ident) => {
        shuttle::lazy_static! { static ref $name: $crate::sync::Mutex<()> = $crate::sync::Mutex::new(()); }
    };
}

pub(crate) use static_mutex;

#[cfg(capnode_shuttle)]
mod tried {
    use std::cell::{Cell, RefCell};
    use std::marker::PhantomData;

    /// Shuttle's, with the functions that it does not have.
    pub(crate) struct LocalKey<T: 'static>(shuttle::thread::LocalKey<T>);

    impl<T> LocalKey<T> {
        pub(crate) const fn new(first: fn() -> T) -> Self {
            Self(shuttle::thread::LocalKey { init: first, _p: PhantomData })
        }
    }

    impl<T> LocalKey<Cell<T>> {
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
}
