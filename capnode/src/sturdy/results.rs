//! Results that are kept for those to whom the maker of a call has delegated `await` on them.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::sync::Notify;

use super::admit::Admissions;
use super::documents::branch;
use super::limit::tag;
use super::mac::{Tag, hex};
use super::present::{Entered, Present};
use super::refusal::{Refusal, Rule, no_result};
use super::rows::{self, end_by, seconds};
use super::sweep::Sweep;
use crate::cap::payload::encode;
use crate::cap::slot::decode;
use crate::error::Error;
use crate::message::Payload;
use crate::runtime::timeout;
use crate::signed::Step;
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
/// The time for which a call is waited for that has not come yet.
const WAIT: Duration = Duration::from_secs(30);

/// The place of a result in the store.
pub(super) struct Place {
    of_depth: String,
    of_holder: String,
    name: String,
}

impl Place {
    /// Returns the place of the result that `tag` names, of a call by the holder of the last of these links.
    pub(super) fn new(object: &str, links: &[Step], named: &Tag) -> Self {
        let of_depth = format!("{}{}/", rows::results(object), depth(links));
        let of_holder = format!("{of_depth}{}/", holder(links));
        Self { name: format!("{of_holder}{}", hex(named)), of_depth, of_holder }
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

/// The state of a call whose result is kept.
enum Outcome {
    Running,
    Ended(Result<Value, Error>),
}

/// One who waits, counted with those of its branch and depth, and with those of its link.
pub(super) struct Waits {
    _counted: [Entered<()>; 2],
}

/// What this program knows of a call, beside what is in the store.
struct Known {
    /// Why the outcome could not be kept. There is none while the call runs.
    lost: Option<Error>,
    /// The seconds when its result expires.
    end: u64,
}

/// What is known of calls, by their places.
#[derive(Default)]
struct Calls {
    known: HashMap<String, Known>,
    sweep: crate::sweep::Sweep,
}

impl Calls {
    /// Enters a call that runs. Those that were lost go when their results would have expired.
    fn enter(&mut self, name: &str, end: u64, now: u64) {
        if self.sweep.is_due(self.known.len()) {
            self.known.retain(|_, known| known.lost.is_none() || now < known.end);
            self.sweep.done(self.known.len());
        }
        self.known.insert(name.to_owned(), Known { lost: None, end });
    }
}

/// The calls whose results are kept, and whoever waits for them. What is kept of a call is in the store from its begin on: the
/// seconds until which it is kept, and then its outcome.
pub(super) struct Results {
    admissions: Arc<Admissions>,
    /// The calls that run, and those whose outcome could not be kept. It is held while a result is changed, and taken after
    /// `Admissions::changing`.
    calls: Mutex<Calls>,
    /// Those who wait, by branches and depths, and by links.
    waiting: Present<()>,
    /// The ways to wake those who watch a result, by its name.
    watched: Present<Arc<Notify>>,
    /// Wakes those who wait until no call runs, when one has ended.
    ended: Notify,
}

impl Results {
    pub(super) fn new(admissions: Arc<Admissions>) -> Self {
        let (calls, waiting, watched) = (Mutex::default(), Present::default(), Present::default());
        Self { admissions, calls, waiting, watched, ended: Notify::new() }
    }

    /// Enters a call that is to be made, if there is room for its result, which is kept until `until`. `check` says whether
    /// its object is kept still.
    pub(super) fn begin(
        &self,
        place: &Place,
        until: SystemTime,
        check: impl FnOnce() -> Result<(), Refusal>,
    ) -> Result<(), Refusal> {
        let now = seconds((self.admissions.clock)());
        let sweep = &mut lock(&self.admissions.changing);
        // Whoever forgets the object from now on waits, and finds the result; who has done so is found here.
        check()?;
        sweep.add(now)?;
        make_room(place, sweep, now)?;
        let calls = &mut lock(&self.calls);
        let end = end_by(until);
        sweep.store().put(&place.name, &end.to_be_bytes()).map_err(Refusal::owner)?;
        calls.enter(&place.name, end, now);
        self.wake(&place.name);
        Ok(())
    }

    /// Keeps the outcome of a call.
    pub(super) fn end(&self, place: &Place, outcome: Result<Value, Error>) -> Result<(), Error> {
        let _changing = lock(&self.admissions.changing);
        let known = &mut lock(&self.calls).known;
        let kept = self.keep(place, outcome);
        match (&kept, known.get_mut(&place.name)) {
            (Err(why), Some(call)) => call.lost = Some(why.clone()),
            _ => drop(known.remove(&place.name)),
        }
        self.wake(&place.name);
        self.ended.notify_waiters();
        kept
    }

    fn keep(&self, place: &Place, outcome: Result<Value, Error>) -> Result<(), Error> {
        let store = &self.admissions.store;
        // There is none if the object was forgotten meanwhile, or the result has expired.
        let Some(until) = store.get(&place.name)? else { return Ok(()) };
        store.put(&place.name, &[until, written(outcome)].concat())
    }

    /// Waits until no call runs.
    pub(super) async fn settled(&self) {
        loop {
            let ended = self.ended.notified();
            if !lock(&self.calls).known.values().any(|call| call.lost.is_none()) {
                return;
            }
            ended.await;
        }
    }

    /// Wakes those who wait for one result, and nobody else.
    fn wake(&self, name: &str) {
        if let Some(changed) = self.watched.shared(name) {
            changed.notify_waiters();
        }
    }

    /// Forgets the results of an object's calls. Nobody else changes what is kept meanwhile.
    pub(super) fn forget(&self, object: &str) -> Result<(), Error> {
        let (known, start) = (&mut lock(&self.calls).known, rows::results(object));
        known.retain(|name, known| known.lost.is_none() || !name.starts_with(&start));
        rows::remove_all(&*self.admissions.store, &start)
    }

    fn is_kept(&self, kept: &[u8]) -> bool {
        rows::end(kept).is_some_and(|end| seconds((self.admissions.clock)()) < end)
    }

    /// Waits for a result. A call that has not come is waited for as long as one that may come soon.
    pub(super) async fn get(&self, place: &Place) -> Result<Result<Value, Error>, Refusal> {
        let begun = self.find(place, || self.outcome(place));
        let Ok(begun) = timeout(WAIT, begun).await else {
            return Ok(Err(no_result()));
        };
        let _known = begun?;
        let ended = self.find(place, || match self.outcome(place)? {
            Some(Outcome::Running) => Ok(None),
            Some(Outcome::Ended(outcome)) => Ok(Some(outcome)),
            None => Ok(Some(Err(no_result()))),
        });
        ended.await
    }

    /// Counts one who waits by the last of these links, until it is dropped.
    pub(super) fn enter(&self, links: &[Step]) -> Result<Waits, Refusal> {
        let depth = depth(links);
        let by_link = format!("{depth}/{}", holder(links));
        let enter = |name: &str, most| self.waiting.enter(name, most).ok_or_else(|| Rule::Quota.broken());
        Ok(Waits { _counted: [enter(&depth, WAITING)?, enter(&by_link, WAITING_BY_LINK)?] })
    }

    /// Calls `look` after each change of a result, until it has found something.
    async fn find<T>(
        &self,
        place: &Place,
        look: impl Fn() -> Result<Option<T>, Refusal>,
    ) -> Result<T, Refusal> {
        let watch = self.watched.enter(&place.name, usize::MAX).ok_or_else(|| Rule::Quota.broken())?;
        loop {
            let changed = watch.shared.notified();
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
        match (read(&kept[8..]).map_err(Refusal::owner)?, calls.known.get(&place.name)) {
            (Some(outcome), _) => Ok(Some(Outcome::Ended(outcome))),
            (None, Some(Known { lost: None, .. })) => Ok(Some(Outcome::Running)),
            (None, Some(Known { lost: Some(why), .. })) => Err(Refusal::owner(why.clone())),
            (None, None) => Err(Rule::Interrupted.broken()),
        }
    }
}

/// Checks that there is room for one more. If there is none, results that have expired go: calls of these have ended with their links.
fn make_room(place: &Place, sweep: &Sweep, now: u64) -> Result<(), Refusal> {
    let is_full = |names: &[String]| {
        let of_holder = names.iter().filter(|name| name.starts_with(&place.of_holder));
        names.len() >= OF_DEPTH || of_holder.count() >= OF_HOLDER
    };
    let mut names = sweep.store().names(&place.of_depth).map_err(Refusal::owner)?;
    if is_full(&names) {
        sweep.forget(&mut names, now)?;
    }
    if is_full(&names) { Err(Rule::Quota.broken()) } else { Ok(()) }
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
