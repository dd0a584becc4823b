//! Names that stand for references outside of any connection.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use crate::cap::Cap;
use crate::error::{Error, ErrorKind};
use crate::runtime::random;
use crate::session::ObjectId;
use crate::sync::{Mutex, lock};

/// The ids of a program's objects and functions. Knowing an id is enough to get the object.
///
/// An id is 128 bits from the system's generator, in hexadecimal digits. It cannot be guessed. A peer that knows it may
/// use the object for as long as it is registered.
///
/// * Peers that speak **Capnode** know every function by such an id, on all connections of a node: those are kept here
///   for as long as a connection holds them.
/// * What is [registered](Registry::register) by this program stays until the [`Registered`] is dropped. Peers of
///   the other languages get at it through a [`Restorer`], if the program offers one.
///
/// Cheap to clone; a clone is the same registry. One registry can serve several nodes, one after the other too: see
/// [`NodeBuilder::registry`](crate::NodeBuilder::registry).
///
/// ```
/// use capnode::{Func, Registry, RestorerClient};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), capnode::Error> {
/// let registry = Registry::default();
/// let double: Func<fn(u32) -> u32> = Func::new(|x: u32| async move { 2 * x });
/// let registered = registry.register(double);
///
/// // Whoever is given a restorer, and told the id, has the function.
/// let restorer = RestorerClient::new(registry);
/// let restored = Func::<fn(u32) -> u32>::from_cap(restorer.restore(registered.id()).await.unwrap());
/// assert_eq!(restored.call(4).await?, 8);
/// drop(registered);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Default)]
pub struct Registry(Arc<Mutex<Entries>>);

#[derive(Default)]
struct Entries {
    entries: HashMap<Arc<str>, Entry>,
    names: HashMap<ObjectId, Arc<str>>,
}

struct Entry {
    cap: Cap,
    /// The object's id at the entry. That of a promise's member changes when the promise is resolved.
    object: ObjectId,
    /// The number of connections that were told of it, or that have used it.
    connections: usize,
    /// The number of registrations.
    registered: usize,
}

/// Hands out registered objects to callers that know the id.
#[crate::interface(crate = crate)]
pub trait Restorer {
    /// Returns the object that is registered under `id`.
    async fn restore(&self, id: &str) -> Result<Cap, Error>;
}

impl Restorer for Registry {
    async fn restore(&self, id: &str) -> Result<Cap, Error> {
        let entries = lock(&self.0);
        let found = entries.entries.get(id).filter(|entry| entry.registered > 0);
        // The id is a secret, and is not repeated to where it may be logged.
        let unknown = || Error::rejected("nothing is registered under this id");
        found.map(|entry| entry.cap.clone()).ok_or_else(unknown)
    }
}

impl Registry {
    /// Makes `cap` available under a new id, until the result is dropped.
    pub fn register(&self, cap: impl Into<Cap>) -> Registered {
        let cap = cap.into().nearest();
        let name = lock(&self.0).enter(&cap, |entry| entry.registered += 1);
        Registered { registry: self.clone(), id: name }
    }

    /// Makes `cap` available under an id that was used before, perhaps by an earlier run of the program. The id has to
    /// be one that cannot be guessed.
    ///
    /// # Errors
    ///
    /// If the id stands for something else already, or is empty.
    pub fn register_as(&self, id: &str, cap: impl Into<Cap>) -> Result<Registered, Error> {
        let cap = cap.into().nearest();
        let mut entries = lock(&self.0);
        let taken = || Error::new(ErrorKind::Unsupported, "the id is empty, or stands for something else");
        if id.is_empty() || entries.entries.get(id).is_some_and(|entry| entry.cap != cap) {
            return Err(taken());
        }
        let name: Arc<str> = id.into();
        let object = cap.object_id();
        let entry = entries.entries.entry(name.clone());
        let new = || Entry { cap: cap.clone(), object, connections: 0, registered: 0 };
        entry.or_insert_with(new).registered += 1;
        entries.names.insert(object, name.clone());
        drop(entries);
        Ok(Registered { registry: self.clone(), id: name })
    }

    /// Returns the number of ids in use, those included that only a connection holds.
    pub fn len(&self) -> usize {
        lock(&self.0).entries.len()
    }

    /// `true` if no id is in use.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns the id of `cap` for a connection, which holds it from now on.
    pub(crate) fn name(&self, cap: &Cap) -> Arc<str> {
        lock(&self.0).enter(cap, |entry| entry.connections += 1)
    }

    /// Looks up a name that a connection was not told. The connection holds it from now on.
    pub(crate) fn hold(&self, name: &str) -> Option<(Arc<str>, Cap)> {
        let mut entries = lock(&self.0);
        let (name, _) = entries.entries.get_key_value(name)?;
        let name = name.clone();
        let entry = entries.entries.get_mut(&name)?;
        entry.connections += 1;
        Some((name, entry.cap.clone()))
    }

    /// Releases a connection's hold on the name. Returns the capability to be dropped where no lock is held.
    pub(crate) fn release(&self, name: &str) -> Option<Cap> {
        lock(&self.0).leave(name, |entry| entry.connections -= 1)
    }
}

impl Entries {
    fn enter(&mut self, cap: &Cap, change: impl FnOnce(&mut Entry)) -> Arc<str> {
        let object = cap.object_id();
        let name = self.names.entry(object).or_insert_with(random_name).clone();
        let entry = self.entries.entry(name.clone());
        change(entry.or_insert_with(|| Entry { cap: cap.clone(), object, connections: 0, registered: 0 }));
        name
    }

    fn leave(&mut self, name: &str, change: impl FnOnce(&mut Entry)) -> Option<Cap> {
        let entry = self.entries.get_mut(name)?;
        change(entry);
        if entry.connections + entry.registered > 0 {
            return None;
        }
        let left = self.entries.remove(name)?;
        if self.names.get(&left.object).is_some_and(|known| **known == *name) {
            self.names.remove(&left.object);
        }
        Some(left.cap)
    }
}

crate::opaque::opaque!(Registry as registry { entries: lock(&registry.0).entries.len() });

/// An object that is available under an id: see [`Registry::register`]. Dropping it ends that, except for the
/// connections that hold the object already.
#[must_use = "dropping it makes the id unknown"]
pub struct Registered {
    registry: Registry,
    id: Arc<str>,
}

impl Registered {
    /// Returns the id.
    pub fn id(&self) -> &str {
        &self.id
    }
}

impl Drop for Registered {
    fn drop(&mut self) {
        let left = lock(&self.registry.0).leave(&self.id, |entry| entry.registered -= 1);
        drop(left);
    }
}

impl fmt::Debug for Registered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The id is a secret.
        f.write_str("Registered")
    }
}

/// Returns a name that cannot be guessed.
///
/// # Panics
///
/// If the system gives no random numbers.
pub(crate) fn random_name() -> Arc<str> {
    use std::fmt::Write as _;

    let bytes = random::bytes::<16>();
    let mut name = String::with_capacity(32);
    for byte in bytes {
        // Writing to a string does not fail.
        let _infallible = write!(name, "{byte:02x}");
    }
    name.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Client as _;

    #[test]
    fn a_member_of_a_promise_that_is_kept_leaves_no_name_behind() {
        let registry = Registry::default();
        let (promised, resolver) = crate::promise::<RestorerClient>();
        let member = promised.cap().at("restore");
        let name = registry.name(&member);
        resolver.resolve(RestorerClient::new(Registry::default()));
        drop(registry.release(&name));
        let entries = lock(&registry.0);
        assert_eq!((entries.entries.len(), entries.names.len()), (0, 0));
    }
}
