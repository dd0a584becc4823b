//! A store in a file.

#![expect(clippy::result_large_err, reason = "an error of redb goes no further than to where it is named")]

use std::fmt;
use std::fs::OpenOptions;
use std::path::{Path, PathBuf};

use redb::{Builder, Database, TableDefinition};

use super::store::{Change, Store};
use crate::error::Error;

const VALUES: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("capnode sturdy 1");

/// A store in a file, by the embedded database redb.
///
/// A change is on the disk when `write` returns, or none of it if the program was ended before. So each call that a
/// counter counts, and each invocation, waits for the disk, on the thread that it runs on: for a few milliseconds, one after the
/// other. A server that has others to serve meanwhile runs on a runtime with several threads. Reading does not wait.
///
/// The file has the keys. On Unix it is made for its user alone. Errors name it, but not to peers.
pub struct FileStore {
    path: PathBuf,
    database: Database,
}

impl FileStore {
    /// Opens a file, or makes it. One program has it open at a time.
    ///
    /// # Errors
    ///
    /// If it is open elsewhere, or is no such file, or cannot be written.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, Error> {
        let path = path.as_ref().to_owned();
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let file = options.open(&path).map_err(redb::Error::from);
        let database = file.and_then(|file| Ok(Builder::new().create_file(file)?));
        let database = database.map_err(|error| failed(&path, error))?;
        let store = Self { path, database };
        // Those who read find the table.
        store.write(&[])?;
        Ok(store)
    }

    fn run<T>(&self, run: impl FnOnce(&Database) -> Result<T, redb::Error>) -> Result<T, Error> {
        run(&self.database).map_err(|error| failed(&self.path, error))
    }
}

fn failed(path: &Path, error: redb::Error) -> Error {
    let failed = "the store of an owner failed";
    Error::rejected(format!("{failed}: {}", path.display())).with_public_message(failed).with_source(error)
}

impl Store for FileStore {
    fn get(&self, name: &str) -> Result<Option<Vec<u8>>, Error> {
        self.run(|database| {
            let value = database.begin_read()?.open_table(VALUES)?.get(name)?;
            Ok(value.map(|value| value.value().to_owned()))
        })
    }

    fn write(&self, changes: &[Change<'_>]) -> Result<(), Error> {
        self.run(|database| {
            let write = database.begin_write()?;
            let mut table = write.open_table(VALUES)?;
            for (name, value) in changes {
                match value {
                    Some(value) => drop(table.insert(name, value)?),
                    None => drop(table.remove(name)?),
                }
            }
            drop(table);
            Ok(write.commit()?)
        })
    }

    fn names(&self, start: &str) -> Result<Vec<String>, Error> {
        self.run(|database| {
            let table = database.begin_read()?.open_table(VALUES)?;
            let mut names = Vec::new();
            for entry in table.range(start..)? {
                let name = entry?.0.value().to_owned();
                if !name.starts_with(start) {
                    break;
                }
                names.push(name);
            }
            Ok(names)
        })
    }
}

impl fmt::Debug for FileStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FileStore").field("path", &self.path).finish_non_exhaustive()
    }
}
