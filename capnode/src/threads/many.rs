//! Where there are threads: the bounds are core's, and values are held as they are.

use std::any::Any;
use std::future::Future;
use std::sync::{Arc, Weak};

pub use core::marker::{Send, Sync};

/// An object, as the library holds it.
pub(crate) type Object = Arc<dyn Any + Send + Sync>;

/// A value of the program's.
pub(crate) struct Staying<T>(T);

impl<T> Staying<T> {
    #[inline]
    pub(crate) fn new(value: T) -> Self {
        Self(value)
    }

    #[inline]
    pub(crate) fn with<R>(&self, run: impl FnOnce(&T) -> R) -> R {
        run(&self.0)
    }

    /// Returns the value itself, where it is held as it is.
    #[inline]
    pub(crate) fn as_is(&self) -> Option<&T> {
        Some(&self.0)
    }

    #[inline]
    pub(crate) fn with_mut<R>(&mut self, run: impl FnOnce(&mut T) -> R) -> R {
        run(&mut self.0)
    }
}

/// Returns a future of the program's as one that can be sent.
#[inline]
pub(crate) fn future<F: Future + Send + 'static>(future: F) -> F {
    future
}

/// Returns an object of the program's as one that can be sent.
#[inline]
pub(crate) fn share<T: Send + Sync + 'static>(object: Arc<T>) -> Object {
    object
}

/// Returns the object that was [shared](share), if it is a `T`.
#[inline]
pub(crate) fn object_of<T: Any + Send + Sync>(object: Object) -> Option<Arc<T>> {
    object.downcast().ok()
}

/// An [`Object`] that is not kept.
#[derive(Clone)]
pub(crate) struct WeakObject(Weak<dyn Any + Send + Sync>);

pub(crate) fn downgrade(object: &Object) -> WeakObject {
    WeakObject(Arc::downgrade(object))
}

impl WeakObject {
    pub(crate) fn upgrade(&self) -> Option<Object> {
        self.0.upgrade()
    }
}
