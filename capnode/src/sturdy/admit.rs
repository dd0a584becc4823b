//! What an owner has given: live references, each behind all the limits of what it was redeemed by.

use std::collections::HashMap;
use std::sync::{Arc, Weak};
use std::time::SystemTime;

use super::counters::{self, Counter};
use super::limit::Limit;
use super::mac::Tag;
use super::present::{Entered, Present};
use super::refusal::{Refusal, Rule};
use super::revoked::Revocation;
use super::rows;
use super::store::Store;
use super::sweep::{self, Sweep};
use crate::cap::Cap;
use crate::cap::membrane::{Border, Membrane};
use crate::cap::policy::{Operation, refusal};
use crate::error::Error;
use crate::policy::{self, Guard};
use crate::runtime::{AbortHandle, start, wait};
use crate::signed::Step;
use crate::sync::{Mutex, OnDrop, lock};

pub(super) type ClockFn = Box<dyn Fn() -> SystemTime + Send + Sync>;

/// A reference that is held by a text now.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Live {
    /// Names the reference for [`Owner::end`](super::Owner::end).
    pub id: u64,
    /// The id of the object.
    pub object: String,
    /// The caveats that hold for it.
    pub caveats: Vec<String>,
    /// The links of a signed document, from the owner's own.
    pub links: Vec<Step>,
    /// When it was redeemed.
    pub since: SystemTime,
}

/// The text or document that a reference is given by. It is kept once, for all that is done for the reference.
pub(super) struct Admission {
    /// The id of the object.
    pub(super) object: String,
    /// Names what the owner itself has issued, from which holders have made the rest.
    pub(super) branch: String,
    /// The key of a text that is no document.
    pub(super) key: Option<String>,
    /// The limits in their order.
    pub(super) limits: Vec<Limit>,
    /// The tags by which it is revoked.
    pub(super) tags: Vec<Tag>,
    /// The links of a document.
    pub(super) links: Vec<Step>,
}

impl Admission {
    fn until(&self) -> Option<SystemTime> {
        self.limits.iter().filter_map(Limit::until).min()
    }

    fn live(&self, id: u64, since: SystemTime) -> Live {
        let caveats = self.limits.iter().map(|limit| limit.written(&self.links)).collect();
        Live { id, object: self.object.clone(), caveats, links: self.links.clone(), since }
    }

    /// Names those that share room: what was made from one that the owner has issued, with as many caveats or links. Those with
    /// more have room of their own, so they cannot fill it.
    fn room(&self) -> String {
        format!("{}/{}", self.branch, self.tags.len())
    }
}

/// A place in the room of those with as many caveats or links, made from one that the owner has issued.
pub(super) type Room = Entered<()>;

/// A reference that is held now.
struct Held {
    by: Arc<Admission>,
    since: SystemTime,
    border: Weak<Border>,
    _room: Room,
}

/// The references that are held now, and the store by which their limits outlive the program.
pub(super) struct Admissions {
    pub(super) store: Arc<dyn Store>,
    pub(super) clock: ClockFn,
    held: Mutex<Table>,
    rooms: Present<()>,
    /// What is to be forgotten. It is held while something is changed that depends on what is kept: counters, revocations,
    /// results, and the memory of invocations.
    pub(super) changing: Mutex<Sweep>,
}

/// The most references that are held at a time in one room.
const OF_ROOM: usize = 1024;

#[derive(Default)]
struct Table {
    held: HashMap<u64, Held>,
    last: u64,
}

/// Ends a reference when its time is over.
type Alarm = Arc<Mutex<Option<AbortHandle>>>;

impl Admissions {
    pub(super) fn new(store: Arc<dyn Store>, clock: ClockFn) -> Result<Arc<Self>, Error> {
        let changing = Mutex::new(Sweep::new(store.clone())?);
        Ok(Arc::new(Self { store, clock, held: Mutex::default(), rooms: Present::default(), changing }))
    }

    pub(super) fn live(&self) -> Vec<Live> {
        let table = lock(&self.held);
        let held: Vec<_> = table.held.iter().map(|(id, held)| (*id, held.by.clone(), held.since)).collect();
        drop(table);
        held.into_iter().map(|(id, by, since)| by.live(id, since)).collect()
    }

    /// Returns how many references are held.
    pub(super) fn held(&self) -> usize {
        lock(&self.held).held.len()
    }

    /// Ends one reference.
    pub(super) fn end(&self, id: u64) {
        let ended = lock(&self.held).held.remove(&id);
        end(ended);
    }

    pub(super) fn end_where(&self, ends: impl Fn(&Admission) -> bool) {
        let ended: Vec<Held> = {
            let table = &mut lock(&self.held);
            let ending = table.held.iter().filter(|(_, held)| ends(&held.by));
            let ids: Vec<u64> = ending.map(|(id, _)| *id).collect();
            ids.iter().filter_map(|id| table.held.remove(id)).collect()
        };
        end(ended);
    }

    /// Revokes what is named by a tag for good, and ends all that was given by it.
    pub(super) fn revoke(&self, tag: &Tag) -> Result<(), Error> {
        self.store.put(&rows::revoked(tag), &[])?;
        self.end_where(|by| by.tags.contains(tag));
        Ok(())
    }

    /// Revokes a link, with all that are below it, until it ends.
    pub(super) fn revoke_link(&self, link: &Revocation<'_>) -> Result<(), Refusal> {
        {
            let sweep = &mut lock(&self.changing);
            link.keep(sweep, rows::seconds((self.clock)()))?;
        }
        self.end_where(|by| link.tags.last().is_some_and(|tag| by.tags.contains(tag)));
        Ok(())
    }

    pub(super) fn is_revoked(&self, tag: &Tag) -> Result<bool, Refusal> {
        Ok(!self.store.names(&rows::revoked(tag)).map_err(Refusal::owner)?.is_empty())
    }

    /// Checks that its time is not over, and takes a place for it, before anything is done.
    pub(super) fn enter(&self, by: &Admission) -> Result<Room, Refusal> {
        if by.until().is_some_and(|until| until <= (self.clock)()) {
            return Err(Rule::Expiry.broken());
        }
        self.rooms.enter(&by.room(), OF_ROOM).ok_or_else(|| Rule::Quota.broken())
    }

    /// Gives a reference behind the limits. `check` says whether what it is given by is worth anything still.
    pub(super) fn admit(
        self: &Arc<Self>,
        cap: &Cap,
        (by, room): (Admission, Room),
        check: impl FnOnce() -> Result<(), Refusal>,
    ) -> Result<Cap, Refusal> {
        let now = (self.clock)();
        let (until, by) = (by.until(), Arc::new(by));
        let id = {
            let table = &mut lock(&self.held);
            table.last += 1;
            table.last
        };
        let alarm = Alarm::default();
        let membrane = Membrane::new(self.guard(id, &by, alarm.clone()));
        let held = Held { by: by.clone(), since: now, border: membrane.downgrade(), _room: room };
        lock(&self.held).held.insert(id, held);
        // What is revoked from now on finds it; what was until now is found here.
        if let Err(refusal) = check().and_then(|()| self.check_revoked(&by)) {
            self.end(id);
            return Err(refusal);
        }
        if let Some(until) = until {
            let (this, left) = (Arc::downgrade(self), until.duration_since(now).unwrap_or_default());
            let expire = async move {
                wait(left).await;
                if let Some(this) = this.upgrade() {
                    this.end(id);
                }
            };
            *lock(&alarm) = Some(start(expire).abort_handle());
        }
        Ok(membrane.wrap_cap(cap))
    }

    /// Checks that it is not revoked.
    pub(super) fn check_revoked(&self, by: &Admission) -> Result<(), Refusal> {
        for tag in &by.tags {
            if self.is_revoked(tag)? {
                return Err(Rule::Revoked.broken());
            }
        }
        // It may have been revoked, and that forgotten, when the clock was ahead.
        let forgotten = sweep::forgotten(&*self.store).map_err(Refusal::owner)?;
        let is_over = by.until().is_some_and(|until| rows::end_by(until) <= forgotten);
        if is_over { Err(Rule::Expiry.broken()) } else { Ok(()) }
    }

    /// Returns the policy of all caveats. Counters count what the others pass.
    fn guard(self: &Arc<Self>, id: u64, by: &Arc<Admission>, alarm: Alarm) -> Guard {
        let this = Arc::downgrade(self);
        let gone = OnDrop(move || {
            if let Some(alarm) = lock(&alarm).take() {
                alarm.abort();
            }
            if let Some(this) = this.upgrade() {
                let _dropped_unlocked = lock(&this.held).held.remove(&id);
            }
        });
        let mut guard = policy::authorize(move |_| {
            let _lives_as_long = &gone;
            Ok(())
        });
        let mut until = None;
        let mut counters = Vec::new();
        for (at, limit) in by.limits.iter().enumerate() {
            guard = match limit {
                Limit::Methods(_) => guard.and(only(by.clone(), at)),
                Limit::ReadOnly => guard.and(policy::read_only()),
                Limit::Until(end) => {
                    until = Some(until.map_or(*end, |until: SystemTime| until.min(*end)));
                    guard.and(self.expires(*end))
                }
                Limit::Calls { most, period, tag } => {
                    counters.push(Counter::new((&by.object, &by.branch), tag, until, (*most, *period)));
                    guard
                }
            };
        }
        if counters.is_empty() { guard } else { guard.and(self.counts(id, counters)) }
    }

    fn expires(self: &Arc<Self>, end: SystemTime) -> Guard {
        let this = Arc::downgrade(self);
        policy::authorize(move |_| match this.upgrade() {
            Some(this) if (this.clock)() < end => Ok(()),
            _ => Err(refusal("the time in which it could be called is over")),
        })
    }

    fn counts(self: &Arc<Self>, id: u64, counters: Vec<Counter>) -> Guard {
        let this = Arc::downgrade(self);
        policy::authorize(move |_| {
            let this = this.upgrade().ok_or_else(|| refusal("the owner is gone"))?;
            let now = (this.clock)();
            let sweep = &mut lock(&this.changing);
            // Whoever forgets the object takes its references first, and then its counters: none comes after that.
            if !lock(&this.held).held.contains_key(&id) {
                return Err(refusal("the owner has ended it"));
            }
            match counters::count(&counters, sweep, now)? {
                Some(most) => Err(refusal(format!("the {most} calls that are allowed have been made"))),
                None => Ok(()),
            }
        })
    }
}

fn end(ended: impl IntoIterator<Item = Held>) {
    for border in ended.into_iter().filter_map(|held| held.border.upgrade()) {
        border.revoke(refusal("the owner has ended it"));
    }
}

/// Passes methods with the names of a limit, by those on the wire.
fn only(by: Arc<Admission>, limit: usize) -> Guard {
    policy::authorize(move |call| {
        let is_listed = match (call.operation(), call.method(), by.limits.get(limit)) {
            (Operation::Call | Operation::Read, Some(method), Some(Limit::Methods(names))) => {
                names.has(&by.links, method)
            }
            // The reference itself, which can be compared and passed on.
            (Operation::Read, None, _) => call.path().is_empty(),
            _ => false,
        };
        if is_listed { Ok(()) } else { Err(policy::refused(call, "it is not among what may be called here")) }
    })
}
