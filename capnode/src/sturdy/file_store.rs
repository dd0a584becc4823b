//! A store in a file.

use std::fmt;
use std::fs::OpenOptions;
use std::path::Path;

use redb::{Builder, Database, TableDefinition};

use super::store::{Change, Store};
use crate::error::Error;

const VALUES: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("capnode sturdy 1");

/// A store in a file, by the embedded database redb. What was written is on the disk when `write` returns, so each call that a
/// counter counts waits for the disk.
///
/// The file has the keys. On Unix it is made for its user alone.
pub struct FileStore(Database);

impl FileStore {
    /// Opens a file, or makes it. One program has it open at a time.
    ///
    /// # Errors
    ///
    /// If it is open elsewhere, or is no such file, or cannot be written.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, Error> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let file = options.open(path).map_err(redb::Error::from).map_err(failed)?;
        let store = Self(Builder::new().create_file(file).map_err(failed)?);
        // Those who read find the table.
        store.write(&[])?;
        Ok(store)
    }
}

fn failed(error: impl Into<redb::Error>) -> Error {
    Error::rejected("the store of an owner failed").with_source(error.into())
}

impl Store for FileStore {
    fn get(&self, name: &str) -> Result<Option<Vec<u8>>, Error> {
        let table = self.0.begin_read().map_err(failed)?.open_table(VALUES).map_err(failed)?;
        let value = table.get(name).map_err(failed)?;
        Ok(value.map(|value| value.value().to_owned()))
    }

    fn write(&self, changes: &[Change<'_>]) -> Result<(), Error> {
        let write = self.0.begin_write().map_err(failed)?;
        let mut table = write.open_table(VALUES).map_err(failed)?;
        for (name, value) in changes {
            let changed = match value {
                Some(value) => table.insert(name, value).map(drop),
                None => table.remove(name).map(drop),
            };
            changed.map_err(failed)?;
        }
        drop(table);
        write.commit().map_err(failed)
    }

    fn names(&self, start: &str) -> Result<Vec<String>, Error> {
        let table = self.0.begin_read().map_err(failed)?.open_table(VALUES).map_err(failed)?;
        let mut names = Vec::new();
        for entry in table.range(start..).map_err(failed)? {
            let name = entry.map_err(failed)?.0.value().to_owned();
            if !name.starts_with(start) {
                break;
            }
            names.push(name);
        }
        Ok(names)
    }
}

impl fmt::Debug for FileStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FileStore").finish_non_exhaustive()
    }
}
