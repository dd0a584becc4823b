//! Where an owner keeps what outlives it.

use std::collections::BTreeMap;
use std::fmt;

use crate::error::Error;
use crate::sync::{Mutex, lock};

/// A name with the value that it is to have in a [`Store`], or none if it is to be removed.
pub type Change<'a> = (&'a str, Option<&'a [u8]>);

/// What an owner keeps: values by names, such as the tables of an embedded database. With the feature `redb` there is one in a
/// file, `FileStore`. It has the keys, so whoever reads it can
/// make texts for every object.
///
/// What a method has done is there after the program was restarted. One program uses a store at a time.
pub trait Store: Send + Sync + 'static {
    /// Returns the value of a name.
    ///
    /// # Errors
    ///
    /// If the store fails, as for the other methods.
    fn get(&self, name: &str) -> Result<Option<Vec<u8>>, Error>;

    /// Makes all of the changes, or none. A name that is to be removed and is not there is no error.
    ///
    /// # Errors
    ///
    /// If the store fails.
    fn write(&self, changes: &[Change<'_>]) -> Result<(), Error>;

    /// Sets the value of a name.
    ///
    /// # Errors
    ///
    /// If the store fails.
    fn put(&self, name: &str, value: &[u8]) -> Result<(), Error> {
        self.write(&[(name, Some(value))])
    }

    /// Removes a name. One that is not there is no error.
    ///
    /// # Errors
    ///
    /// If the store fails.
    fn remove(&self, name: &str) -> Result<(), Error> {
        self.write(&[(name, None)])
    }

    /// Returns the names that begin with `start`.
    ///
    /// # Errors
    ///
    /// If the store fails.
    fn names(&self, start: &str) -> Result<Vec<String>, Error>;
}

impl<S: Store + ?Sized> Store for std::sync::Arc<S> {
    fn get(&self, name: &str) -> Result<Option<Vec<u8>>, Error> {
        (**self).get(name)
    }

    fn write(&self, changes: &[Change<'_>]) -> Result<(), Error> {
        (**self).write(changes)
    }

    fn names(&self, start: &str) -> Result<Vec<String>, Error> {
        (**self).names(start)
    }
}

/// A store that is gone with the program.
#[derive(Default)]
pub struct MemoryStore(Mutex<BTreeMap<String, Vec<u8>>>);

impl Store for MemoryStore {
    fn get(&self, name: &str) -> Result<Option<Vec<u8>>, Error> {
        Ok(lock(&self.0).get(name).cloned())
    }

    fn write(&self, changes: &[Change<'_>]) -> Result<(), Error> {
        let mut values = lock(&self.0);
        for (name, value) in changes {
            match value {
                Some(value) => values.insert((*name).to_owned(), (*value).to_owned()),
                None => values.remove(*name),
            };
        }
        Ok(())
    }

    fn names(&self, start: &str) -> Result<Vec<String>, Error> {
        let values = lock(&self.0);
        let names = values.range(start.to_owned()..).map(|(name, _)| name.clone());
        Ok(names.take_while(|name| name.starts_with(start)).collect())
    }
}

impl fmt::Debug for MemoryStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // It has the keys.
        f.debug_struct("MemoryStore").finish_non_exhaustive()
    }
}
