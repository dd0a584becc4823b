//! The owner of objects, who makes their texts and takes them.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

use super::admit::{Admission, Admissions, ClockFn, Live};
use super::caveat::Caveat;
use super::documents::Documents;
use super::limit::Limit;
use super::mac::{Secret, Tag, hex, unhex};
use super::refusal::{Refusal, Rule};
use super::results::Results;
use super::revoked::Revocation;
use super::rows;
use super::store::Store;
use super::text::{Sturdy, is_address};
use crate::cap::Cap;
use crate::error::{Error, ErrorKind};
use crate::panics::{PanicId, catch_panic};
use crate::runtime::random;
use crate::signed::{Signer, Verifier};
use crate::sync::{Mutex, lock};
use crate::value::Value;

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

/// The owner of objects for which there are texts: it makes these, takes them, and can take them back.
///
/// It is an implementation of [`Gatekeeper`](super::Gatekeeper), to be offered to peers. Its objects have a namespace of their own: no other
/// kind of id reaches them, and an id without its secret is worth nothing. Cheap to clone; a clone is the same owner.
#[derive(Clone)]
pub struct Owner(Arc<Shared>);

struct Shared {
    options: Options,
    keys: Mutex<Keys>,
    admissions: Arc<Admissions>,
    results: Results,
}

#[derive(Default)]
struct Keys {
    current: String,
    all: HashMap<String, Secret>,
}

type RestoreFn = Box<dyn Fn(&Kept) -> Result<Cap, Error> + Send + Sync>;
type AuthenticateFn = Box<dyn Fn(&str) -> Option<Cap> + Send + Sync>;
type RefusedFn = Box<dyn Fn(&Refusal) + Send + Sync>;

struct Options {
    restore: RestoreFn,
    authenticate: AuthenticateFn,
    refused: RefusedFn,
    addresses: Vec<String>,
    documents: Option<Documents>,
}

/// The options of an [`Owner`].
#[must_use = "`open` makes the owner"]
pub struct OwnerBuilder {
    store: Arc<dyn Store>,
    clock: ClockFn,
    options: Options,
}

impl OwnerBuilder {
    /// Adds an address at which the owner's gatekeeper can be found, which the texts then name.
    pub fn address(mut self, address: impl Into<String>) -> Self {
        self.options.addresses.push(address.into());
        self
    }

    /// Has credentials of other kinds taken, such as a bearer token: `authenticate` is called with each text that does not
    /// begin with `capnode:`, and returns the reference that it stands for. That is neither listed nor limited here.
    pub fn authenticator(
        mut self,
        authenticate: impl Fn(&str) -> Option<Cap> + Send + Sync + 'static,
    ) -> Self {
        self.options.authenticate = Box::new(authenticate);
        self
    }

    /// Has signed documents taken as well. `signer` signs for the key of the verifier's owner, which is the one that issues
    /// links to the [URLs](Owner::url) of objects.
    pub fn documents(mut self, verifier: Verifier, signer: impl Signer + Send + 'static) -> Self {
        self.options.documents = Some(Documents::new(verifier, signer));
        self
    }

    /// Takes the time from `clock`, which is to be right to a minute or so: what is signed is compared with the clocks of others.
    ///
    /// What has expired by it has expired for good: what was kept of it may be forgotten then, so it is refused also when a clock
    /// that was ahead has been set back. Signed documents are refused after that until the time has come to five minutes before
    /// the one to which the clock had jumped, since those that were taken may have been forgotten. When the program was
    /// restarted, those that carry the nonce of a [challenge](super::Gatekeeper::challenge) are taken at once.
    pub fn clock(mut self, clock: impl Fn() -> SystemTime + Send + Sync + 'static) -> Self {
        self.clock = Box::new(clock);
        self
    }

    /// Calls `refused` with the reason of each refusal, for a log. The peer is told one word.
    pub fn on_refusal(mut self, refused: impl Fn(&Refusal) + Send + Sync + 'static) -> Self {
        self.options.refused = Box::new(refused);
        self
    }

    /// Returns the owner of what is in the store.
    ///
    /// # Errors
    ///
    /// If the store fails, or has no keys but those of somebody else, or an address cannot be written.
    pub fn open(self) -> Result<Owner, Error> {
        let addresses = &self.options.addresses;
        if addresses.len() > 8 || !addresses.iter().all(|address| is_address(address)) {
            return Err(Error::new(ErrorKind::Unsupported, "a text cannot have these addresses"));
        }
        let mut keys = Keys::default();
        for name in self.store.names("key/")? {
            let value = self.store.get(&name)?.and_then(|value| unhex(std::str::from_utf8(&value).ok()?));
            let (Some(id), Some(key)) = (name.strip_prefix("key/"), value) else {
                return Err(Error::new(ErrorKind::Unsupported, "the store has a key that is none"));
            };
            keys.all.insert(id.to_owned(), key);
        }
        let current = self.store.get("current")?.and_then(|id| String::from_utf8(id).ok());
        keys.current = current.filter(|id| keys.all.contains_key(id)).unwrap_or_default();
        let is_new = keys.current.is_empty();
        self.options.documents.iter().try_for_each(|documents| documents.go_on(&*self.store))?;
        let admissions = Admissions::new(self.store, self.clock)?;
        let (results, keys) = (Results::new(admissions.clone()), Mutex::new(keys));
        let owner = Owner(Arc::new(Shared { options: self.options, keys, admissions, results }));
        if is_new {
            owner.rotate()?;
        }
        Ok(owner)
    }
}

impl fmt::Debug for OwnerBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OwnerBuilder").field("addresses", &self.options.addresses).finish_non_exhaustive()
    }
}

impl Owner {
    /// Begins an owner with a store. `restore` makes an object again from what is kept of it, each time that a text for it
    /// is redeemed; what takes longer can return a [promise](crate::promise()). If it fails, panics or breaks its promise, the peer
    /// learns `unavailable`, and a durable reference asks again.
    pub fn builder(
        store: impl Store,
        restore: impl Fn(&Kept) -> Result<Cap, Error> + Send + Sync + 'static,
    ) -> OwnerBuilder {
        OwnerBuilder {
            store: Arc::new(store),
            clock: Box::new(SystemTime::now),
            options: Options {
                restore: Box::new(restore),
                authenticate: Box::new(|_| None),
                refused: Box::new(|_| {}),
                addresses: Vec::new(),
                documents: None,
            },
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
        self.store().put(&record(&id), &[kind.as_bytes(), b"\n", data].concat())?;
        self.text(&id)
    }

    /// Returns the text without caveats for an object that is kept, with the present key.
    ///
    /// # Errors
    ///
    /// If there is no such object, or the store fails.
    pub fn text(&self, id: &str) -> Result<Sturdy, Error> {
        self.kept(id)?;
        let keys = lock(&self.0.keys);
        let key = keys.all.get(&keys.current).ok_or_else(|| Rule::Key.broken())?;
        Ok(Sturdy::new(&keys.current, key, id, &self.0.options.addresses))
    }

    /// Returns all objects that are kept, in no order. So a program can find again what it has kept before it was ended, if it has not noted
    /// the id: `kind` and `data` tell which object it is.
    ///
    /// # Errors
    ///
    /// If the store fails.
    pub fn objects(&self) -> Result<Vec<Kept>, Error> {
        let names = self.store().names(OBJECT)?;
        let mut objects = Vec::with_capacity(names.len());
        for id in names.iter().filter_map(|name| name.strip_prefix(OBJECT)) {
            match self.kept(id) {
                Ok(kept) => objects.push(kept),
                // It was forgotten meanwhile.
                Err(refusal) if refusal.rule() == Rule::Object => {}
                Err(refusal) => return Err(refusal.into()),
            }
        }
        Ok(objects)
    }

    /// Waits until no call runs whose result is [kept](super::Gatekeeper::keep). Such calls need no connection, so
    /// [`Node::drain`](crate::Node::drain) does not wait for them. Before the program ends, drain its node first, so that no further
    /// one comes, and then wait here: a call that is cut off has no result. A method that does not end keeps this
    /// waiting, so give it a time.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future has no effect.
    pub async fn settled(&self) {
        self.0.results.settled().await;
    }

    /// Forgets an object: all texts for it are worth nothing, and what was redeemed by them ends.
    ///
    /// # Errors
    ///
    /// If the store fails.
    pub fn forget(&self, id: &str) -> Result<(), Error> {
        let (store, admissions) = (self.store(), &self.0.admissions);
        store.remove(&record(id))?;
        admissions.end_where(|by| by.object == id);
        let _changing = lock(&admissions.changing);
        self.0.results.forget(id)?;
        rows::remove_all(store, &rows::counters(id))
    }

    /// Revokes a text, with all that were made from it. What was redeemed by them ends.
    ///
    /// That is kept until a [`Caveat::Until`] of the text is over, and for good if it has none: about 220 bytes in the store,
    /// and 70 for good.
    ///
    /// # Errors
    ///
    /// If the text is none of this owner's, or the store fails.
    pub fn revoke(&self, text: &Sturdy) -> Result<(), Error> {
        let tags = self.verify(text)?;
        let Some(last) = tags.last() else { return Ok(()) };
        // One that is unknown says nothing of the time.
        let caveats = text.caveats().iter().filter_map(|text| text.parse::<Caveat>().ok());
        match caveats.filter_map(|caveat| caveat.until()).min() {
            Some(until) => {
                let revocation =
                    Revocation { tags: std::slice::from_ref(last), by: 0, end: rows::end_by(until) };
                Ok(self.0.admissions.revoke_link(&revocation)?)
            }
            None => self.0.admissions.revoke(last),
        }
    }

    /// Makes a new key, for texts from now on. Those of former keys are still taken: see [`retire`](Self::retire).
    ///
    /// # Errors
    ///
    /// If the store fails.
    pub fn rotate(&self) -> Result<(), Error> {
        let (id, key) = (hex(&random::bytes::<8>()), Secret::new(random::bytes()));
        let store = self.store();
        store.put(&format!("key/{id}"), zeroize::Zeroizing::new(hex(&*key)).as_bytes())?;
        store.put("current", id.as_bytes())?;
        let mut keys = lock(&self.0.keys);
        keys.current.clone_from(&id);
        keys.all.insert(id, key);
        Ok(())
    }

    /// Forgets all keys but the present one: texts of those are worth nothing, and what was redeemed by them ends.
    ///
    /// # Errors
    ///
    /// If the store fails.
    pub fn retire(&self) -> Result<(), Error> {
        let current = lock(&self.0.keys).current.clone();
        for name in self.store().names("key/")? {
            if name != format!("key/{current}") {
                self.store().remove(&name)?;
            }
        }
        lock(&self.0.keys).all.retain(|id, _| *id == current);
        self.0.admissions.end_where(|by| by.key.as_ref().is_some_and(|key| *key != current));
        Ok(())
    }

    /// Returns what is held by texts now.
    pub fn live(&self) -> Vec<Live> {
        self.0.admissions.live()
    }

    /// Ends a reference that is held by a text. The text can be redeemed again.
    pub fn end(&self, id: u64) {
        self.0.admissions.end(id);
    }

    fn store(&self) -> &dyn Store {
        &*self.0.admissions.store
    }

    pub(super) fn admissions(&self) -> &Arc<Admissions> {
        &self.0.admissions
    }

    pub(super) fn results(&self) -> &Results {
        &self.0.results
    }

    pub(super) fn documents(&self) -> Result<&Documents, Refusal> {
        self.0.options.documents.as_ref().ok_or_else(|| Rule::Shape.broken())
    }

    pub(super) fn now(&self) -> SystemTime {
        (self.0.admissions.clock)()
    }

    /// Makes an object again. Whatever fails in that is for the owner's log alone.
    pub(super) async fn restore(&self, kept: &Kept) -> Result<Cap, Refusal> {
        let restored = catch_panic("restore", || (self.0.options.restore)(kept));
        let cap = restored.map_err(PanicId::into_error).and_then(|cap| cap).map_err(Refusal::owner)?;
        if cap.nearest().promise().is_some() {
            // Whatever it reads: the promise is resolved then.
            let _read = cap.read::<Value>().await;
        }
        match cap.nearest().broken_by() {
            Some(error) => Err(Refusal::owner(error.clone())),
            None => Ok(cap),
        }
    }

    /// Asks about a credential of another kind.
    pub(super) fn authenticate(&self, text: &str) -> Result<Cap, Refusal> {
        (self.0.options.authenticate)(text).ok_or_else(|| Rule::Shape.broken())
    }

    pub(super) fn refused(&self, refusal: Refusal) -> Error {
        (self.0.options.refused)(&refusal);
        refusal.into()
    }

    pub(super) fn kept(&self, id: &str) -> Result<Kept, Refusal> {
        let kept = self.store().get(&record(id)).map_err(Refusal::owner)?;
        let kept = kept.ok_or_else(|| Rule::Object.broken())?;
        let end = kept.iter().position(|byte| *byte == b'\n').ok_or_else(|| Rule::Owner.broken())?;
        let kind = String::from_utf8_lossy(&kept[..end]).into_owned();
        Ok(Kept { id: id.to_owned(), kind, data: kept[end + 1..].to_vec() })
    }

    fn verify(&self, text: &Sturdy) -> Result<Vec<Tag>, Refusal> {
        text.verify(&self.key(text)?)
    }

    fn key(&self, text: &Sturdy) -> Result<Secret, Refusal> {
        lock(&self.0.keys).all.get(text.key()).cloned().ok_or_else(|| Rule::Key.broken())
    }

    /// Takes a text: nothing is looked up before its secret was found to belong to it.
    pub(super) async fn take(&self, text: &str) -> Result<Cap, Refusal> {
        let text: Sturdy = text.parse()?;
        let tags = self.verify(&text)?;
        let caveats = text.caveats().iter().map(|text| text.parse()).collect::<Result<Vec<Caveat>, _>>()?;
        let kept = self.kept(text.object())?;
        let by = Admission {
            object: kept.id.clone(),
            branch: text.issue().to_owned(),
            key: Some(text.key().to_owned()),
            limits: caveats
                .into_iter()
                .zip(&tags[1..])
                .map(|(caveat, tag)| Limit::of_text(caveat, *tag))
                .collect(),
            tags,
            links: Vec::new(),
        };
        self.0.admissions.check_revoked(&by)?;
        let room = self.0.admissions.enter(&by)?;
        let cap = self.restore(&kept).await?;
        self.0.admissions.admit(&cap, (by, room), || {
            self.kept(text.object())?;
            self.key(&text).map(drop)
        })
    }
}

/// The beginning of the names of objects.
const OBJECT: &str = "object/";

fn record(id: &str) -> String {
    format!("{OBJECT}{id}")
}

impl fmt::Debug for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Owner").field("live", &self.0.admissions.held()).finish_non_exhaustive()
    }
}
