//! The owner of objects, who makes their texts and takes them.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Weak};
use std::time::{Duration, SystemTime};

use super::caveat::Caveat;
use super::counters::{self, Counter};
use super::mac::{Secret, Tag, hex, unhex};
use super::refusal::{Refusal, Rule};
use super::store::Store;
use super::text::{Sturdy, is_address};
use crate::cap::Cap;
use crate::cap::membrane::{Border, Membrane};
use crate::cap::policy::{Operation, refusal};
use crate::error::{CallError, Error, ErrorKind};
use crate::interface::call::Call;
use crate::policy::{self, Guard};
use crate::runtime::{AbortHandle, random, start, wait};
use crate::sync::{Mutex, OnDrop, lock};

/// Gives references for texts.
#[crate::interface(crate = crate)]
pub trait Gatekeeper {
    /// Returns the reference that `text` stands for: a sturdy reference, or another credential that the owner
    /// [takes](OwnerBuilder::authenticator).
    ///
    /// Of a gatekeeper that is a [durable reference](crate::guide::reconnecting) the result is one as well: the text is
    /// redeemed again on each new connection.
    #[capnode(rederive)]
    async fn redeem(&self, text: &str) -> Result<Cap, Error>;
}

impl Sturdy {
    /// Hands the text to the owner's gatekeeper for a reference, on which calls can be made at once:
    /// [`Call::pipeline_cap`].
    pub fn redeem(&self, gatekeeper: &GatekeeperClient) -> Call<Cap, CallError<Error>> {
        gatekeeper.redeem(&self.reveal())
    }
}

/// What is kept of an object, from which it is made again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    /// The id of the object, which is worth nothing to others.
    pub id: String,
    /// What the program calls this kind of object.
    pub kind: String,
    /// What the program keeps of it.
    pub data: Vec<u8>,
}

/// A reference that is held by a text now.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Live {
    /// Names the reference for [`Owner::end`].
    pub id: u64,
    /// The id of the object.
    pub object: String,
    /// The caveats of the text.
    pub caveats: Vec<String>,
    /// When the text was redeemed.
    pub since: SystemTime,
}

struct Held {
    live: Live,
    key: String,
    tags: Vec<Tag>,
    border: Weak<Border>,
}

/// The owner of objects for which there are texts: it makes these, takes them, and can take them back.
///
/// It is an implementation of [`Gatekeeper`], to be offered to peers. Its objects have a namespace of their own: no other
/// kind of id reaches them, and an id without its secret is worth nothing. Cheap to clone; a clone is the same owner.
#[derive(Clone)]
pub struct Owner(Arc<Shared>);

struct Shared {
    options: OwnerBuilder,
    state: Mutex<State>,
    /// Is held while a counter is changed.
    counting: Mutex<()>,
}

#[derive(Default)]
struct State {
    current: String,
    keys: HashMap<String, Secret>,
    held: HashMap<u64, Held>,
    last: u64,
}

type RestoreFn = Box<dyn Fn(&Kept) -> Result<Cap, Error> + Send + Sync>;
type AuthenticateFn = Box<dyn Fn(&str) -> Option<Cap> + Send + Sync>;
type ClockFn = Box<dyn Fn() -> SystemTime + Send + Sync>;
type RefusedFn = Box<dyn Fn(&Refusal) + Send + Sync>;

/// The options of an [`Owner`].
#[must_use = "`open` makes the owner"]
pub struct OwnerBuilder {
    store: Box<dyn Store>,
    restore: RestoreFn,
    authenticate: AuthenticateFn,
    clock: ClockFn,
    refused: RefusedFn,
    addresses: Vec<String>,
}

impl OwnerBuilder {
    /// Adds an address at which the owner's gatekeeper can be found, which the texts then name.
    pub fn address(mut self, address: impl Into<String>) -> Self {
        self.addresses.push(address.into());
        self
    }

    /// Has credentials of other kinds taken, such as a bearer token: `authenticate` is called with each text that does not
    /// begin with `capnode:`, and returns the reference that it stands for. That is neither listed nor limited here.
    pub fn authenticator(
        mut self,
        authenticate: impl Fn(&str) -> Option<Cap> + Send + Sync + 'static,
    ) -> Self {
        self.authenticate = Box::new(authenticate);
        self
    }

    /// Takes the time from `clock`.
    pub fn clock(mut self, clock: impl Fn() -> SystemTime + Send + Sync + 'static) -> Self {
        self.clock = Box::new(clock);
        self
    }

    /// Calls `refused` with the reason of each refusal, for a log. The peer is told one word.
    pub fn on_refusal(mut self, refused: impl Fn(&Refusal) + Send + Sync + 'static) -> Self {
        self.refused = Box::new(refused);
        self
    }

    /// Returns the owner of what is in the store.
    ///
    /// # Errors
    ///
    /// If the store fails, or has no keys but those of somebody else, or an address cannot be written.
    pub fn open(self) -> Result<Owner, Error> {
        if self.addresses.len() > 8 || !self.addresses.iter().all(|address| is_address(address)) {
            return Err(Error::new(ErrorKind::Unsupported, "a text cannot have these addresses"));
        }
        let mut state = State::default();
        for name in self.store.names("key/")? {
            let value = self.store.get(&name)?.and_then(|value| unhex(std::str::from_utf8(&value).ok()?));
            let (Some(id), Some(key)) = (name.strip_prefix("key/"), value) else {
                return Err(Error::new(ErrorKind::Unsupported, "the store has a key that is none"));
            };
            state.keys.insert(id.to_owned(), key);
        }
        let current = self.store.get("current")?.and_then(|id| String::from_utf8(id).ok());
        state.current = current.filter(|id| state.keys.contains_key(id)).unwrap_or_default();
        let is_new = state.current.is_empty();
        let owner =
            Owner(Arc::new(Shared { options: self, state: Mutex::new(state), counting: Mutex::default() }));
        if is_new {
            owner.rotate()?;
        }
        Ok(owner)
    }
}

impl fmt::Debug for OwnerBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OwnerBuilder").field("addresses", &self.addresses).finish_non_exhaustive()
    }
}

impl Owner {
    /// Begins an owner with a store. `restore` makes an object again from what is kept of it, each time that a text for it
    /// is redeemed; what takes longer can return a [promise](crate::promise()).
    pub fn builder(
        store: impl Store,
        restore: impl Fn(&Kept) -> Result<Cap, Error> + Send + Sync + 'static,
    ) -> OwnerBuilder {
        OwnerBuilder {
            store: Box::new(store),
            restore: Box::new(restore),
            authenticate: Box::new(|_| None),
            clock: Box::new(SystemTime::now),
            refused: Box::new(|_| {}),
            addresses: Vec::new(),
        }
    }

    /// Keeps an object, and returns the text for it.
    ///
    /// # Errors
    ///
    /// If the store fails, or the kind has a line break.
    pub fn keep(&self, kind: &str, data: &[u8]) -> Result<Sturdy, Error> {
        if kind.contains('\n') {
            return Err(Error::new(ErrorKind::Unsupported, "the kind of an object has no line breaks"));
        }
        let id = hex(&random::bytes::<16>());
        self.0.options.store.put(&record(&id), &[kind.as_bytes(), b"\n", data].concat())?;
        self.text(&id)
    }

    /// Returns the text without caveats for an object that is kept, with the present key.
    ///
    /// # Errors
    ///
    /// If there is no such object, or the store fails.
    pub fn text(&self, id: &str) -> Result<Sturdy, Error> {
        self.kept(id)?;
        let state = lock(&self.0.state);
        let key = state.keys.get(&state.current).ok_or_else(|| Rule::Key.broken())?;
        Ok(Sturdy::new(&state.current, key, id, &self.0.options.addresses))
    }

    /// Forgets an object: all texts for it are worth nothing, and what was redeemed by them ends.
    ///
    /// # Errors
    ///
    /// If the store fails.
    pub fn forget(&self, id: &str) -> Result<(), Error> {
        let store = &self.0.options.store;
        store.remove(&record(id))?;
        self.end_where(|held| held.live.object == id);
        let _counting = lock(&self.0.counting);
        store.names(&counters::start(id))?.iter().try_for_each(|name| store.remove(name))
    }

    /// Revokes a text, with all that were made from it. What was redeemed by them ends.
    ///
    /// # Errors
    ///
    /// If the text is none of this owner's, or the store fails.
    pub fn revoke(&self, text: &Sturdy) -> Result<(), Error> {
        let tags = self.verify(text)?;
        let Some(tag) = tags.last() else { return Ok(()) };
        self.0.options.store.put(&revoked(tag), &[])?;
        self.end_where(|held| held.tags.contains(tag));
        Ok(())
    }

    /// Makes a new key, for texts from now on. Those of former keys are still taken: see [`retire`](Self::retire).
    ///
    /// # Errors
    ///
    /// If the store fails.
    pub fn rotate(&self) -> Result<(), Error> {
        let (id, key) = (hex(&random::bytes::<8>()), Secret::new(random::bytes()));
        let store = &self.0.options.store;
        store.put(&format!("key/{id}"), zeroize::Zeroizing::new(hex(&*key)).as_bytes())?;
        store.put("current", id.as_bytes())?;
        let mut state = lock(&self.0.state);
        state.current.clone_from(&id);
        state.keys.insert(id, key);
        Ok(())
    }

    /// Forgets all keys but the present one: texts of those are worth nothing, and what was redeemed by them ends.
    ///
    /// # Errors
    ///
    /// If the store fails.
    pub fn retire(&self) -> Result<(), Error> {
        let current = lock(&self.0.state).current.clone();
        for name in self.0.options.store.names("key/")? {
            if name != format!("key/{current}") {
                self.0.options.store.remove(&name)?;
            }
        }
        lock(&self.0.state).keys.retain(|id, _| *id == current);
        self.end_where(|held| held.key != current);
        Ok(())
    }

    /// Returns what is held by texts now.
    pub fn live(&self) -> Vec<Live> {
        lock(&self.0.state).held.values().map(|held| held.live.clone()).collect()
    }

    /// Ends a reference that is held by a text. The text can be redeemed again.
    pub fn end(&self, id: u64) {
        self.end_where(|held| held.live.id == id);
    }

    fn end_where(&self, ends: impl Fn(&Held) -> bool) {
        let ended: Vec<Held> = {
            let held = &mut lock(&self.0.state).held;
            let ids: Vec<u64> = held.values().filter(|held| ends(held)).map(|held| held.live.id).collect();
            ids.iter().filter_map(|id| held.remove(id)).collect()
        };
        for border in ended.iter().filter_map(|held| held.border.upgrade()) {
            border.revoke(refusal("the owner has ended it"));
        }
    }

    fn kept(&self, id: &str) -> Result<Kept, Refusal> {
        let kept = self.0.options.store.get(&record(id)).map_err(Refusal::owner)?;
        let kept = kept.ok_or_else(|| Rule::Object.broken())?;
        let end = kept.iter().position(|byte| *byte == b'\n').ok_or_else(|| Rule::Owner.broken())?;
        let kind = String::from_utf8_lossy(&kept[..end]).into_owned();
        Ok(Kept { id: id.to_owned(), kind, data: kept[end + 1..].to_vec() })
    }

    fn verify(&self, text: &Sturdy) -> Result<Vec<Tag>, Refusal> {
        let key = lock(&self.0.state).keys.get(text.key()).cloned().ok_or_else(|| Rule::Key.broken())?;
        text.verify(&key)
    }

    /// Takes a text: nothing is looked up before its secret was found to belong to it.
    fn take(&self, text: &str) -> Result<Cap, Refusal> {
        let text: Sturdy = text.parse()?;
        let tags = self.verify(&text)?;
        let caveats = text.caveats().iter().map(|text| text.parse()).collect::<Result<Vec<Caveat>, _>>()?;
        let now = (self.0.options.clock)();
        let until = caveats.iter().filter_map(Caveat::until).min();
        if until.is_some_and(|until| until <= now) {
            return Err(Rule::Expiry.broken());
        }
        let kept = self.kept(text.object())?;
        let cap = (self.0.options.restore)(&kept).map_err(Refusal::owner)?;

        let id = {
            let state = &mut lock(&self.0.state);
            state.last += 1;
            state.last
        };
        let alarm: Arc<Mutex<Option<AbortHandle>>> = Arc::default();
        let membrane = Membrane::new(self.guard(id, &caveats, &tags, text.object(), alarm.clone()));
        let border = membrane.downgrade();
        let live = Live { id, object: kept.id, caveats: text.caveats().to_vec(), since: now };
        let held = Held { live, key: text.key().to_owned(), tags: tags.clone(), border };
        lock(&self.0.state).held.insert(id, held);
        // What is revoked from now on finds it; what was until now is found here.
        if let Err(refusal) = self.check_revoked(&text, &tags) {
            self.end(id);
            return Err(refusal);
        }
        if let Some(until) = until {
            let (owner, left) = (Arc::downgrade(&self.0), until.duration_since(now).unwrap_or_default());
            let expire = async move {
                wait(left).await;
                if let Some(owner) = owner.upgrade() {
                    Self(owner).end(id);
                }
            };
            *lock(&alarm) = Some(start(expire).abort_handle());
        }
        Ok(membrane.wrap_cap(&cap))
    }

    fn check_revoked(&self, text: &Sturdy, tags: &[Tag]) -> Result<(), Refusal> {
        self.kept(text.object())?;
        self.verify(text)?;
        for tag in tags {
            if self.0.options.store.get(&revoked(tag)).map_err(Refusal::owner)?.is_some() {
                return Err(Rule::Revoked.broken());
            }
        }
        Ok(())
    }

    /// Returns the policy of all caveats. Counters count what the others pass.
    fn guard(
        &self,
        id: u64,
        caveats: &[Caveat],
        tags: &[Tag],
        object: &str,
        alarm: Arc<Mutex<Option<AbortHandle>>>,
    ) -> Guard {
        let shared = Arc::downgrade(&self.0);
        let gone = OnDrop(move || {
            if let Some(alarm) = lock(&alarm).take() {
                alarm.abort();
            }
            if let Some(shared) = shared.upgrade() {
                lock(&shared.state).held.remove(&id);
            }
        });
        let mut guard = policy::authorize(move |_| {
            let _lives_as_long = &gone;
            Ok(())
        });
        let mut until = None;
        let mut counters = Vec::new();
        for (caveat, tag) in caveats.iter().zip(&tags[1..]) {
            guard = match caveat {
                Caveat::Methods(names) => guard.and(only(names.clone())),
                Caveat::ReadOnly => guard.and(policy::read_only()),
                Caveat::Until(end) => {
                    until = Some(until.map_or(*end, |until: SystemTime| until.min(*end)));
                    guard.and(self.expires(*end))
                }
                Caveat::Rate { calls, period } => {
                    counters.push((Counter::new(object, tag, until), *calls, Some(*period)));
                    guard
                }
                Caveat::Count(calls) => {
                    counters.push((Counter::new(object, tag, until), *calls, None));
                    guard
                }
            };
        }
        if counters.is_empty() { guard } else { guard.and(self.counts(counters)) }
    }

    fn expires(&self, end: SystemTime) -> Guard {
        let shared = Arc::downgrade(&self.0);
        policy::authorize(move |_| match shared.upgrade() {
            Some(shared) if (shared.options.clock)() < end => Ok(()),
            _ => Err(refusal("the time in which it could be called is over")),
        })
    }

    fn counts(&self, counters: Vec<(Counter, u64, Option<Duration>)>) -> Guard {
        let shared = Arc::downgrade(&self.0);
        policy::authorize(move |_| {
            let shared = shared.upgrade().ok_or_else(|| refusal("the owner is gone"))?;
            let now = (shared.options.clock)();
            let _counting = lock(&shared.counting);
            for (counter, most, period) in &counters {
                if !counter.count(&*shared.options.store, *most, *period, now)? {
                    return Err(refusal(format!("all of the {most} calls have been made")));
                }
            }
            Ok(())
        })
    }
}

/// Passes methods with these names on the wire.
fn only(names: Vec<String>) -> Guard {
    policy::authorize(move |call| {
        let is_listed = match (call.operation(), call.method()) {
            (Operation::Call | Operation::Read, Some(method)) => names.iter().any(|name| name == method),
            // The reference itself, which can be compared and passed on.
            (Operation::Read, None) => call.path().is_empty(),
            _ => false,
        };
        if is_listed { Ok(()) } else { Err(refusal("this method is not among what may be called")) }
    })
}

fn record(id: &str) -> String {
    format!("object/{id}")
}

fn revoked(tag: &Tag) -> String {
    format!("revoked/{}", hex(tag))
}

impl Gatekeeper for Owner {
    async fn redeem(&self, text: &str) -> Result<Cap, Error> {
        let taken = if text.starts_with("capnode:") {
            self.take(text)
        } else {
            (self.0.options.authenticate)(text).ok_or_else(|| Rule::Shape.broken())
        };
        taken.map_err(|refusal| {
            (self.0.options.refused)(&refusal);
            refusal.into()
        })
    }
}

impl fmt::Debug for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Owner").field("live", &lock(&self.0.state).held.len()).finish_non_exhaustive()
    }
}
