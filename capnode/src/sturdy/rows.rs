//! How that which an owner keeps of holders is laid out in its store, with the time when it has ended.

use std::time::{SystemTime, UNIX_EPOCH};

use super::mac::{Tag, hex};
use super::store::{Change, Store};
use crate::error::Error;

/// The beginning of the names of counters.
const COUNTER: &str = "count/";
/// The beginning of the names of results.
const RESULT: &str = "result/";
/// The beginning of the names under which the store has when a revocation ends.
const REVOCATION: &str = "ending/";
/// The beginning of the names by which those ask who have a tag.
const REVOKED: &str = "revoked/";
/// The name of the greatest time at which something was forgotten, in seconds.
pub(super) const FORGOTTEN: &str = "forgotten";

/// The beginning of the names of all that ends. The value of each begins with its [end].
pub(super) const ENDING: [&str; 3] = [COUNTER, REVOCATION, RESULT];

/// Returns how the names of an object's counters begin.
pub(super) fn counters(object: &str) -> String {
    format!("{COUNTER}{object}/")
}

/// Returns how the names of the results of an object's calls begin.
pub(super) fn results(object: &str) -> String {
    format!("{RESULT}{object}/")
}

/// Returns how the names of a tag's revocations begin. That of a revocation for good is no longer than this.
pub(super) fn revoked(tag: &Tag) -> String {
    format!("{REVOKED}{}", hex(tag))
}

/// Returns the name under which the store has when the revocation at a place ends.
pub(super) fn revocation(place: &str) -> String {
    format!("{REVOCATION}{place}")
}

/// Returns the place of a revocation, of the name under which the store has when it ends.
pub(super) fn place(name: &str) -> Option<&str> {
    name.strip_prefix(REVOCATION)
}

/// Returns both names under which the revocation at a place is kept.
pub(super) fn of_revocation(place: &str) -> [String; 2] {
    let tag = place.rsplit('/').next().unwrap_or_default();
    [revocation(place), format!("{REVOKED}{tag}/{place}")]
}

/// Returns all names under which that is kept of which one has the end.
pub(super) fn all_of(name: &str) -> Vec<String> {
    place(name).map_or_else(|| vec![name.to_owned()], |place| of_revocation(place).to_vec())
}

/// Returns the first second at which what has this value has ended.
pub(super) fn end(value: &[u8]) -> Option<u64> {
    value.first_chunk().map(|end| u64::from_be_bytes(*end))
}

/// Returns the first second at which all has ended that ends at this time.
pub(super) fn end_by(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    since.as_secs() + u64::from(since.subsec_nanos() > 0)
}

/// Returns the seconds that are over at this time.
pub(super) fn seconds(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

/// Removes all names that begin with `start`, or none.
pub(super) fn remove_all(store: &dyn Store, start: &str) -> Result<(), Error> {
    let names = store.names(start)?;
    if names.is_empty() {
        return Ok(());
    }
    let changes: Vec<Change<'_>> = names.iter().map(|name| (name.as_str(), None)).collect();
    store.write(&changes)
}
