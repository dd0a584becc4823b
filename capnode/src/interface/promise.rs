//! Promises made in this program, and their resolvers.

use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

use super::client::Client;
use crate::cap::Cap;
use crate::cap::queue::Queue;
use crate::error::{Error, ErrorKind};

/// Returns a promise and its resolver. The promise can be used, passed on and pipelined on before it is resolved.
pub fn promise<C: Client>() -> (C, Resolver<C>) {
    let queue = Queue::new();
    (C::from_cap(Cap::from_promise(queue.clone())), Resolver { queue: Some(queue), client: PhantomData })
}

/// Resolves a promise. Dropping it unused breaks the promise.
#[must_use = "dropping the resolver breaks its promise"]
pub struct Resolver<C> {
    queue: Option<Arc<Queue>>,
    client: PhantomData<fn(C)>,
}

impl<C: Into<Cap>> Resolver<C> {
    /// Resolves the promise to `client`. Calls made on it before are delivered now, in their order.
    pub fn resolve(mut self, client: C) {
        if let Some(queue) = self.queue.take() {
            queue.resolve(client.into());
        }
    }
}

impl<C> Resolver<C> {
    /// Rejects the promise: every call on it fails with `error`.
    pub fn reject(mut self, error: Error) {
        if let Some(queue) = self.queue.take() {
            queue.resolve(Cap::broken(error));
        }
    }

    /// `true` once the last reference to the promise is dropped, so that it need not be resolved.
    pub fn is_unused(&self) -> bool {
        self.queue.as_ref().is_none_or(|queue| Arc::strong_count(queue) == 1)
    }
}

impl<C> Drop for Resolver<C> {
    fn drop(&mut self) {
        if let Some(queue) = self.queue.take() {
            let message = "the resolver of the promise was dropped";
            queue.resolve(Cap::broken(Error::new(ErrorKind::Unresolved, message)));
        }
    }
}

impl<C> fmt::Debug for Resolver<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Resolver")
    }
}
