//! Ready policies for a [`membrane`](crate::membrane()), or for a [layer](crate::NodeBuilder::layer).
//!
//! Those that limit do so in the inward [direction](crate::Direction): what the outside may ask of what is wrapped.
//! Callbacks that the outside has lent can always be called.
//!
//! ```
//! use std::sync::Arc;
//! use std::time::Duration;
//! use capnode::policy;
//!
//! // Two methods, at most 100 calls, each of which is approved by somebody.
//! let approved = |_call: &capnode::CallInfo| async { Ok(()) };
//! let limited = policy::only(["Seat.say", "Seat.name"]).and(policy::calls(100, |_| ())).and(policy::ask(approved));
//! # let _ = limited;
//! ```
//!
//! # Keys
//!
//! [`calls`], [`at_most`] and [`rate`] count the calls of each key by itself, such as a user or an address. With `|_| ()` all
//! calls are counted together. Each remembers up to 65,536 keys, and refuses calls with others: `calls` for good, `at_most`
//! until a call has ended, and `rate` until a period has. A key is remembered by 128 bits of its hash, so its `Hash` has
//! to take in all that tells it from others.

#[cfg(feature = "metrics")]
mod metrics;
#[cfg(feature = "tracing")]
mod trace;

use std::collections::hash_map::Entry;
use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::future::Future;
use std::hash::{BuildHasher, Hash, RandomState};
use std::sync::Arc;
use std::time::Duration;

#[cfg(feature = "metrics")]
pub use self::metrics::metrics;
#[cfg(feature = "tracing")]
pub use self::trace::{Relation, Trace, trace};
use crate::cap::meter::Meter;
use crate::cap::policy::{AnyPolicy, refusal};
pub use crate::cap::policy::{CallInfo, Decision, Direction, Operation, Policy};
use crate::error::Error;
use crate::runtime::Instant;
use crate::sync::{Mutex, OnDrop, lock};
use crate::threads::{Send, Staying, Sync};

/// A policy, with a method to put another behind it.
pub struct Guard {
    policy: Arc<AnyPolicy>,
    is_ordered: bool,
}

impl Guard {
    fn new(policy: impl Policy) -> Self {
        Self { policy: Arc::new(Staying::new(policy)), is_ordered: true }
    }

    /// Returns the same policy, but while it waits for a decision, later calls on the same reference do not wait.
    ///
    /// ```
    /// use capnode::policy;
    ///
    /// // Each call is asked about by itself: a later one may be approved first.
    /// let asked = policy::ask(|_call| async { Ok(()) }).unordered();
    /// # let _ = asked;
    /// ```
    pub fn unordered(self) -> Self {
        Self { is_ordered: false, ..self }
    }

    /// Returns the policy that passes what both pass. `next` is asked once this one has passed a call. Of two that wait,
    /// the first says whether later calls do.
    pub fn and(self, next: impl Policy) -> Self {
        Self::new((Arc::new(self), Arc::new(next)))
    }
}

impl fmt::Debug for Guard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Guard").finish_non_exhaustive()
    }
}

impl Policy for Guard {
    fn before(&self, call: &CallInfo) -> Decision {
        let decision = self.policy.before(call);
        if self.is_ordered { decision } else { decision.unordered() }
    }

    fn after(&self, call: &CallInfo, outcome: Result<(), &Error>, duration: Duration) {
        self.policy.after(call, outcome, duration);
    }

    fn around(&self, call: &CallInfo, step: &mut dyn FnMut()) {
        self.policy.around(call, step);
    }

    fn is_idle(&self) -> bool {
        self.policy.is_idle()
    }

    fn meter(&self) -> Option<&dyn Meter> {
        self.policy.meter()
    }
}

/// A policy that decides at once about inward calls.
struct Inward<F>(F);

impl<F: Fn(&CallInfo) -> Result<(), Error> + Send + Sync + 'static> Policy for Inward<F> {
    fn before(&self, call: &CallInfo) -> Decision {
        if call.direction() == Direction::Outward {
            return Decision::Pass;
        }
        (self.0)(call).map_or_else(Decision::Refuse, |()| Decision::Pass)
    }
}

/// Refuses a call, with its name as [`only`] takes it.
pub(crate) fn refused(call: &CallInfo, why: &str) -> Error {
    let name = match (call.interface(), call.path()) {
        (_, path) if path.is_empty() => return refusal(format!("the call is refused: {why}")),
        (Some(interface), path) => format!("{interface}.{path}"),
        (None, path) => path,
    };
    refusal(format!("`{name}` is refused: {why}"))
}

/// Asks `allows` about each inward call, and refuses a call with its error.
pub fn authorize(allows: impl Fn(&CallInfo) -> Result<(), Error> + Send + Sync + 'static) -> Guard {
    Guard::new(Inward(allows))
}

/// Passes the members with these names and no others. A name is that of the interface in Rust and that on the wire,
/// with a dot between them: `"Seat.say"`. A function is `""`. A step further into a property, and every operation other
/// than a call or a read, is refused.
///
/// For a reference of a peer the interface is that of the client that makes the call; without one the name on the wire
/// decides alone.
///
/// A name that no interface has passes nothing, and nothing warns of it: the list may be of interfaces that are reached later. A
/// mistake is found by the first call of the right name, which is refused; the message has the name as it should be listed.
pub fn only<N: Into<String>>(members: impl IntoIterator<Item = N>) -> Guard {
    let members: BTreeSet<String> = members.into_iter().map(Into::into).collect();
    let bare: BTreeSet<String> =
        members.iter().map(|name| name.split_once('.').map_or("", |(_, method)| method).to_owned()).collect();
    authorize(move |call| {
        let path = call.path();
        // The reference itself, which can be compared and passed on.
        if path.is_empty() && call.operation() == Operation::Read {
            return Ok(());
        }
        let is_listed = match (call.operation(), call.method(), call.interface()) {
            (Operation::Call | Operation::Read, Some(method), Some(interface)) => {
                members.contains(&format!("{interface}.{method}"))
            }
            (Operation::Call | Operation::Read, Some(method), None) => bare.contains(method),
            (Operation::Call, None, _) => path.is_empty() && members.contains(""),
            _ => false,
        };
        if is_listed { Ok(()) } else { Err(refused(call, "it is not among what may be called here")) }
    })
}

/// Passes what changes nothing: properties, and methods that are marked `#[capnode(read)]`. That holds for all that is
/// reached as well.
pub fn read_only() -> Guard {
    authorize(|call| if call.is_read() { Ok(()) } else { Err(refused(call, "only reading is allowed here")) })
}

/// Passes calls for this time from now on, by the clock of the runtime. To end what is under way as well, see
/// [`Membrane::revoke`](crate::Membrane::revoke).
pub fn expires(after: Duration) -> Guard {
    let began = Instant::now();
    authorize(move |_| {
        if began.elapsed() < after {
            Ok(())
        } else {
            Err(refusal("the time in which it could be called is over"))
        }
    })
}

/// Passes `most` inward calls, counted for each [key](self#keys) that `key` gives.
pub fn calls<K: Hash + 'static>(most: u64, key: impl Fn(&CallInfo) -> K + Send + Sync + 'static) -> Guard {
    let (made, digest): (Mutex<HashMap<_, u64>>, _) = (Mutex::default(), digest_by(key));
    authorize(move |call| {
        let key = digest(call);
        count(&mut lock(&made), key, most, || format!("the {most} calls that are allowed have been made"))
    })
}

/// Passes an inward call if fewer than `most` others are under way, counted for each [key](self#keys) that `key` gives. A
/// call of something at another peer that is [pipelined](crate::Call::pipeline) on is under way until it is sent.
pub fn at_most<K: Hash + 'static>(most: u64, key: impl Fn(&CallInfo) -> K + Send + Sync + 'static) -> Guard {
    let (running, digest): (Arc<Mutex<HashMap<_, u64>>>, _) = (Arc::default(), digest_by(key));
    authorize(move |call| {
        let key = digest(call);
        count(&mut lock(&running), key, most, || {
            format!("{most} calls are under way, and no more are allowed at once")
        })?;
        let running = running.clone();
        call.hold(OnDrop(move || {
            if let Entry::Occupied(mut count) = lock(&running).entry(key) {
                *count.get_mut() -= 1;
                if *count.get() == 0 {
                    count.remove();
                }
            }
        }));
        Ok(())
    })
}

/// The hash of a key.
type Digest = [u64; 2];

/// Returns the hash of the key that `key` gives. Its code is the user's, and runs while no lock is held.
fn digest_by<K: Hash + 'static>(key: impl Fn(&CallInfo) -> K) -> impl Fn(&CallInfo) -> Digest {
    let hashers = [RandomState::new(), RandomState::new()];
    move |call| {
        let key = key(call);
        hashers.each_ref().map(|hasher| hasher.hash_one(&key))
    }
}

/// Counts one more for a key.
fn count(
    counts: &mut HashMap<Digest, u64>,
    key: Digest,
    most: u64,
    full: impl FnOnce() -> String,
) -> Result<(), Error> {
    if counts.len() >= KEYS && !counts.contains_key(&key) {
        return Err(too_many_keys());
    }
    let count = counts.entry(key).or_default();
    if *count >= most {
        return Err(refusal(full()));
    }
    *count += 1;
    Ok(())
}

/// The most keys that a policy remembers.
const KEYS: usize = 65_536;

fn too_many_keys() -> Error {
    refusal(format!("the policy counts {KEYS} keys already, and this call has another"))
}

/// Passes `most` inward calls in each `period`, counted for each [key](self#keys) that `key` gives. A period begins with its
/// first call.
pub fn rate<K: Hash + 'static>(
    most: u64,
    period: Duration,
    key: impl Fn(&CallInfo) -> K + Send + Sync + 'static,
) -> Guard {
    let (windows, digest): (Mutex<HashMap<_, (Instant, u64)>>, _) = (Mutex::default(), digest_by(key));
    authorize(move |call| {
        let (key, now) = (digest(call), Instant::now());
        let mut windows = lock(&windows);
        if windows.len() >= KEYS && !windows.contains_key(&key) {
            windows.retain(|_, (began, _)| now.duration_since(*began) < period);
            if windows.len() >= KEYS {
                return Err(too_many_keys());
            }
        }
        let (began, made) = windows.entry(key).or_insert((now, 0));
        if now.duration_since(*began) >= period {
            (*began, *made) = (now, 0);
        }
        if *made >= most {
            return Err(refusal(format!("no more than {most} calls are allowed within {period:?}")));
        }
        *made += 1;
        Ok(())
    })
}

/// Asks somebody about each inward call, and holds back later calls on the same reference meanwhile, unless it is
/// [unordered](Guard::unordered).
pub fn ask<F>(decides: impl Fn(&CallInfo) -> F + Send + Sync + 'static) -> Guard
where
    F: Future<Output = Result<(), Error>> + Send + 'static,
{
    struct Ask<A>(A);

    impl<F, A> Policy for Ask<A>
    where
        F: Future<Output = Result<(), Error>> + Send + 'static,
        A: Fn(&CallInfo) -> F + Send + Sync + 'static,
    {
        fn before(&self, call: &CallInfo) -> Decision {
            match call.direction() {
                Direction::Inward => Decision::wait((self.0)(call)),
                Direction::Outward => Decision::Pass,
            }
        }
    }

    Guard::new(Ask(decides))
}

/// Tells `log` the outcome of each call, in both directions, with the time that it took.
pub fn log(log: impl Fn(&CallInfo, Result<(), &Error>, Duration) + Send + Sync + 'static) -> Guard {
    struct Log<L>(L);

    impl<L: Fn(&CallInfo, Result<(), &Error>, Duration) + Send + Sync + 'static> Policy for Log<L> {
        fn after(&self, call: &CallInfo, outcome: Result<(), &Error>, duration: Duration) {
            (self.0)(call, outcome, duration);
        }
    }

    Guard::new(Log(log))
}
