//! Promises made in this program, and their resolvers.

use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

use super::client::Client;
use crate::cap::Cap;
use crate::cap::promise::Promise;
use crate::error::{Error, ErrorKind};

/// Returns a promise and its resolver. The promise can be used, passed on and pipelined on before it is resolved.
pub fn promise<C: Client>() -> (C, Resolver<C>) {
    let promise = Promise::new();
    (
        C::from_cap(Cap::from_promise(promise.clone())),
        Resolver { promise: Some(promise), client: PhantomData },
    )
}

/// Resolves a promise. Dropping it unused breaks the promise.
#[must_use = "dropping the resolver breaks its promise"]
pub struct Resolver<C> {
    promise: Option<Arc<Promise>>,
    client: PhantomData<fn(C)>,
}

impl<C: Into<Cap>> Resolver<C> {
    /// Resolves the promise to `client`. Calls made on it before are delivered now, in their order.
    pub fn resolve(mut self, client: C) {
        self.settle(|| client.into());
    }
}

impl<C> Resolver<C> {
    /// Rejects the promise: every call on it fails with `error`.
    pub fn reject(mut self, error: Error) {
        self.settle(|| Cap::broken(error));
    }

    fn settle(&mut self, cap: impl FnOnce() -> Cap) {
        if let Some(promise) = self.promise.take() {
            promise.resolve(cap());
        }
    }

    /// `true` once the last reference to the promise is dropped, so that it need not be resolved.
    pub fn is_unused(&self) -> bool {
        self.promise.as_ref().is_none_or(|promise| Arc::strong_count(promise) == 1)
    }
}

impl<C> Drop for Resolver<C> {
    fn drop(&mut self) {
        let message = "the resolver of the promise was dropped";
        self.settle(|| Cap::broken(Error::new(ErrorKind::Unresolved, message)));
    }
}

impl<C> fmt::Debug for Resolver<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Resolver")
    }
}
