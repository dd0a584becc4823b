//! Results that are kept for those to whom the maker of a call has delegated `await` on them.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::sync::Notify;

use super::admit::Admissions;
use super::counters::{ending, seconds};
use super::documents::{branch, tag};
use super::mac::{Tag, hex};
use super::refusal::{Refusal, Rule};
use crate::cap::payload::encode;
use crate::cap::slot::decode;
use crate::error::{Error, ErrorKind};
use crate::message::Payload;
use crate::runtime::timeout;
use crate::signed::Step;
use crate::sync::atomic::{AtomicU64, Ordering};
use crate::sync::{Mutex, lock};
use crate::value::Value;

/// The most results of the holder of one link, of calls that run or have ended.
const OF_HOLDER: usize = 64;
/// The most of all holders of one branch with as many links above them. Those further down have room of their own, so they
/// cannot fill it.
const OF_DEPTH: usize = 256;
/// The most bytes of a result.
const BYTES: usize = 65_536;
/// The most characters that are kept of an error.
const ERROR: usize = 4096;
/// The most who wait at a time by one link.
const WAITING_BY_LINK: usize = 16;
/// The most who wait at a time, of those of one branch with as many links above them.
const WAITING: usize = 64;
/// After so many calls, results of the object that have expired go, whoever has made them.
const SWEEP: u64 = 256;
/// The time for which a call is waited for that has not come yet.
const WAIT: Duration = Duration::from_secs(30);

/// The place of a result in the store.
pub(super) struct Place {
    of_object: String,
    of_depth: String,
    of_holder: String,
    name: String,
}

impl Place {
    /// Returns the place of the result that `tag` names, of a call by the holder of the last of these links.
    pub(super) fn new(object: &str, links: &[Step], named: &Tag) -> Self {
        let of_object = start(object);
        let of_depth = format!("{of_object}{}/", depth(links));
        let of_holder = format!("{of_depth}{}/", holder(links));
        Self { name: format!("{of_holder}{}", hex(named)), of_object, of_depth, of_holder }
    }
}

/// Names the holders of one branch with as many links above them.
fn depth(links: &[Step]) -> String {
    format!("{}/{}", branch(links), links.len())
}

/// Names the holder of the last of these links.
fn holder(links: &[Step]) -> String {
    links.last().map(|link| hex(&tag(&link.name, None))).unwrap_or_default()
}

/// Returns how the names of the results of an object's calls begin.
pub(super) fn start(object: &str) -> String {
    format!("result/{object}/")
}

/// The state of a call whose result is kept.
enum Outcome {
    Running,
    Ended(Result<Value, Error>),
}

type Waiting = Arc<Mutex<HashMap<String, usize>>>;

/// One who waits.
pub(super) struct Waits {
    counted: [String; 2],
    all: Waiting,
}

impl Drop for Waits {
    fn drop(&mut self) {
        let mut waiting = lock(&self.all);
        for counted in &mut self.counted {
            let left = waiting.remove(counted).unwrap_or_default().saturating_sub(1);
            if left > 0 {
                waiting.insert(std::mem::take(counted), left);
            }
        }
    }
}

/// The ways to wake those who watch a result, by its name.
type Watched = Arc<Mutex<HashMap<String, Arc<Notify>>>>;

/// One who watches a result.
struct Watch {
    name: String,
    changed: Arc<Notify>,
    all: Watched,
}

impl Drop for Watch {
    fn drop(&mut self) {
        let mut all = lock(&self.all);
        // The table's and this one: nobody else watches it.
        if Arc::strong_count(&self.changed) == 2 {
            all.remove(&self.name);
        }
    }
}

/// What this program knows of a call, beside what is in the store.
enum Known {
    Running,
    /// The outcome could not be kept.
    Lost(Error),
}

type Calls = HashMap<String, Known>;

/// The calls whose results are kept, and whoever waits for them. What is kept of a call is in the store from its begin on: the
/// seconds until which it is kept, and then its outcome.
pub(super) struct Results {
    admissions: Arc<Admissions>,
    /// The calls that run, and those whose outcome could not be kept, by their places. Is held while a result is changed.
    calls: Mutex<Calls>,
    /// The numbers of those who wait, by branches and depths, and by links.
    waiting: Waiting,
    watched: Watched,
    begun: AtomicU64,
}

impl Results {
    pub(super) fn new(admissions: Arc<Admissions>) -> Self {
        let (calls, waiting, watched) = (Mutex::default(), Waiting::default(), Watched::default());
        Self { admissions, calls, waiting, watched, begun: AtomicU64::new(1) }
    }

    /// Enters a call that is to be made, if there is room for its result, which is kept until `until`. `check` says whether
    /// its object is kept still.
    pub(super) fn begin(
        &self,
        place: &Place,
        until: SystemTime,
        check: impl FnOnce() -> Result<(), Refusal>,
    ) -> Result<(), Refusal> {
        let calls = &mut lock(&self.calls);
        // Whoever forgets the object from now on waits, and finds the result; who has done so is found here.
        check()?;
        if self.begun.fetch_add(1, Ordering::Relaxed) % SWEEP == 0 {
            let names = self.admissions.store.names(&place.of_object).map_err(Refusal::owner)?;
            self.sweep(names, calls).map_err(Refusal::owner)?;
        }
        if !self.has_room(place, calls).map_err(Refusal::owner)? {
            return Err(Rule::Quota.broken());
        }
        let kept = self.admissions.store.put(&place.name, &ending(until).to_be_bytes());
        kept.map_err(Refusal::owner)?;
        calls.insert(place.name.clone(), Known::Running);
        self.wake(&place.name);
        Ok(())
    }

    /// Keeps the outcome of a call.
    pub(super) fn end(&self, place: &Place, outcome: Result<Value, Error>) -> Result<(), Error> {
        let calls = &mut lock(&self.calls);
        calls.remove(&place.name);
        let kept = self.keep(place, outcome);
        if let Err(error) = &kept {
            calls.insert(place.name.clone(), Known::Lost(error.clone()));
        }
        self.wake(&place.name);
        kept
    }

    fn keep(&self, place: &Place, outcome: Result<Value, Error>) -> Result<(), Error> {
        let store = &self.admissions.store;
        // There is none if the object was forgotten meanwhile.
        let Some(until) = store.get(&place.name)? else { return Ok(()) };
        store.put(&place.name, &[until, written(outcome)].concat())
    }

    /// Wakes those who wait for one result, and nobody else.
    fn wake(&self, name: &str) {
        if let Some(changed) = lock(&self.watched).get(name) {
            changed.notify_waiters();
        }
    }

    fn watch(&self, name: &str) -> Watch {
        let changed = lock(&self.watched).entry(name.to_owned()).or_default().clone();
        Watch { name: name.to_owned(), changed, all: self.watched.clone() }
    }

    /// Forgets the results of an object's calls.
    pub(super) fn forget(&self, object: &str) -> Result<(), Error> {
        let (calls, store, start) = (&mut lock(&self.calls), &self.admissions.store, start(object));
        calls.retain(|name, known| matches!(known, Known::Running) || !name.starts_with(&start));
        store.names(&start)?.iter().try_for_each(|name| store.remove(name))
    }

    /// Checks that there is room for one more. If there is none, results that have expired go.
    fn has_room(&self, place: &Place, calls: &mut Calls) -> Result<bool, Error> {
        let is_full = |names: &[String]| {
            let of_holder = names.iter().filter(|name| name.starts_with(&place.of_holder));
            names.len() >= OF_DEPTH || of_holder.count() >= OF_HOLDER
        };
        let names = self.admissions.store.names(&place.of_depth)?;
        Ok(!is_full(&names) || !is_full(&self.sweep(names, calls)?))
    }

    /// Forgets those of some results that have expired. Returns the names of the others.
    fn sweep(&self, names: Vec<String>, calls: &mut Calls) -> Result<Vec<String>, Error> {
        let (store, mut left) = (&self.admissions.store, Vec::new());
        for name in names {
            let runs = matches!(calls.get(&name), Some(Known::Running));
            if runs || store.get(&name)?.is_some_and(|kept| self.is_kept(&kept)) {
                left.push(name);
            } else {
                store.remove(&name)?;
                calls.remove(&name);
            }
        }
        Ok(left)
    }

    fn is_kept(&self, kept: &[u8]) -> bool {
        let until = kept.first_chunk().map(|until| u64::from_be_bytes(*until));
        until.is_some_and(|until| seconds((self.admissions.clock)()) < until)
    }

    /// Waits for a result. A call that has not come is waited for as long as one that may come soon.
    pub(super) async fn get(&self, place: &Place) -> Result<Result<Value, Error>, Refusal> {
        let begun = self.find(place, || self.outcome(place));
        let Ok(begun) = timeout(WAIT, begun).await else {
            let late = "no call has come whose result this is, or the result has expired";
            return Ok(Err(Error::new(ErrorKind::Timeout, late)));
        };
        let _known = begun?;
        let ended = self.find(place, || match self.outcome(place)? {
            Some(Outcome::Running) => Ok(None),
            Some(Outcome::Ended(outcome)) => Ok(Some(outcome)),
            None => Ok(Some(Err(Error::rejected("the result has expired")))),
        });
        ended.await
    }

    /// Counts one who waits by the last of these links, until it is dropped.
    pub(super) fn enter(&self, links: &[Step]) -> Result<Waits, Refusal> {
        let depth = depth(links);
        let by_link = format!("{depth}/{}", holder(links));
        let mut waiting = lock(&self.waiting);
        let count = |counted: &str| waiting.get(counted).copied().unwrap_or_default();
        if count(&depth) >= WAITING || count(&by_link) >= WAITING_BY_LINK {
            return Err(Rule::Quota.broken());
        }
        for counted in [&depth, &by_link] {
            *waiting.entry(counted.clone()).or_default() += 1;
        }
        Ok(Waits { counted: [depth, by_link], all: self.waiting.clone() })
    }

    /// Calls `look` after each change of a result, until it has found something.
    async fn find<T>(
        &self,
        place: &Place,
        look: impl Fn() -> Result<Option<T>, Refusal>,
    ) -> Result<T, Refusal> {
        let watch = self.watch(&place.name);
        loop {
            let changed = watch.changed.notified();
            if let Some(found) = look()? {
                return Ok(found);
            }
            changed.await;
        }
    }

    fn outcome(&self, place: &Place) -> Result<Option<Outcome>, Refusal> {
        let calls = lock(&self.calls);
        let kept = self.admissions.store.get(&place.name).map_err(Refusal::owner)?;
        let Some(kept) = kept.filter(|kept| self.is_kept(kept)) else { return Ok(None) };
        match (read(&kept[8..]).map_err(Refusal::owner)?, calls.get(&place.name)) {
            (Some(outcome), _) => Ok(Some(Outcome::Ended(outcome))),
            (None, Some(Known::Running)) => Ok(Some(Outcome::Running)),
            (None, Some(Known::Lost(why))) => Err(Refusal::owner(why.clone())),
            (None, None) => Err(Rule::Interrupted.broken()),
        }
    }
}

/// Writes an outcome. Of an error there remain its class and the begin of what others are told.
fn written(outcome: Result<Value, Error>) -> Vec<u8> {
    match outcome.and_then(|value| plain(&value)) {
        Ok(text) => format!("+{text}").into_bytes(),
        Err(error) => {
            let name = error.name().lines().next().unwrap_or_default();
            format!("-{name}\n{}", error.public_message())
                .chars()
                .take(ERROR)
                .collect::<String>()
                .into_bytes()
        }
    }
}

fn plain(value: &Value) -> Result<String, Error> {
    let kept = encode(value)?;
    if !kept.refs.is_empty() {
        return Err(Error::rejected("a result with references, streams or shared values is not kept"));
    }
    let text = kept.text.as_str();
    if text.len() > BYTES {
        return Err(Error::rejected(format!("a result of more than {BYTES} bytes is not kept")));
    }
    Ok(text.to_owned())
}

/// Reads what [`written`] has written, if there is something.
fn read(outcome: &[u8]) -> Result<Option<Result<Value, Error>>, Error> {
    let outcome = String::from_utf8_lossy(outcome).into_owned();
    if let Some(text) = outcome.strip_prefix('+') {
        return decode(&Payload::plain(text.to_owned())).map(Ok).map(Some);
    }
    let error = outcome.strip_prefix('-').and_then(|error| error.split_once('\n'));
    Ok(error.map(|(name, message)| Err(Error::rejected(message).with_name(name.to_owned()))))
}
