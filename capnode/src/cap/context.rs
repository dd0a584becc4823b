//! The context of a call: who has made it, until when it is wanted, what goes along with it, and who is told how far it
//! has come.

use std::cell::RefCell;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;

use super::payload::{LivePayload, encode_bounded};
use crate::caller::Caller;
use crate::error::{Error, ErrorData, ErrorKind, Fate};
use crate::limits::LimitKind;
use crate::message::{CarriedContext, Text};
use crate::runtime::{Instant, StdInstant};
use crate::sync::atomic::AtomicUsize;
use crate::sync::{OnDrop, thread_local};

/// The callback for the progress of a call.
pub(crate) type Progress = Arc<dyn Fn(LivePayload) + Send + Sync>;

/// The name that every handler's calls inherit, whatever the program lists.
const TRACE: &str = "traceparent";

/// The most entries of the metadata of a call.
const MOST_ENTRIES: usize = 16;

thread_local! {
    /// The context of the call whose handler is being polled.
    static CURRENT: RefCell<Option<Context>> = const { RefCell::new(None) };
}

/// The context of a call, as its handler sees it.
///
/// [`context`] gives that of the method that is running. The calls that a method makes inherit the deadline, and of the
/// metadata `traceparent` and the names that [`NodeBuilder::inherit`](crate::NodeBuilder::inherit) lists. A callee in this
/// program gets as much, and no [caller](Self::caller).
///
/// ```
/// use std::time::Duration;
///
/// #[capnode::interface]
/// trait Search {
///     async fn find(&self, word: &str) -> bool;
/// }
///
/// struct Shelf;
///
/// impl Search for Shelf {
///     async fn find(&self, _word: &str) -> bool {
///         let context = capnode::context().expect("the caller has said something");
///         assert_eq!(context.metadata("traceparent"), Some("00-1-2-01"));
///         context.time_left().is_some_and(|left| left > Duration::from_secs(1))
///     }
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), capnode::Error> {
/// let shelf = SearchClient::new(Shelf);
/// let found = shelf.find("capability").metadata("traceparent", "00-1-2-01").timeout(Duration::from_secs(9));
/// assert!(found.await?);
/// # Ok(())
/// # }
/// ```
///
/// Metadata is never authority: whoever makes a call writes what it likes into it, and so may whoever passes it on. What a
/// caller may do follows from the reference that it holds, and from what its [connection](Self::caller) has proved.
#[derive(Clone)]
pub struct Context(Arc<Parts>);

#[derive(Clone, Default)]
struct Parts {
    caller: Option<Caller>,
    /// `true` if the call, or the one that it is inherited from, is of a peer that this side has accepted.
    accepted: bool,
    /// Bytes of calls of the caller's connection that wait for the decisions of policies.
    undecided: Option<Arc<AtomicUsize>>,
    deadline: Option<Instant>,
    metadata: Vec<(String, String)>,
    /// The names beside `traceparent` that calls inherit.
    inherits: Option<Arc<[String]>>,
    progress: Option<Progress>,
}

/// Returns the context of the method that is running. `None` outside of one, and in a method whose caller is in this
/// program and has said nothing.
///
/// A task that a method spawns has none, unless it runs in a [scope](Context::scope).
pub fn context() -> Option<Context> {
    // While a thread drops what is local to it, there is none.
    CURRENT.try_with(|current| current.borrow().clone()).ok().flatten()
}

impl Context {
    /// Creates the context of the calls of a peer that say nothing themselves. This side has `accepted` it or not.
    pub(crate) fn of_caller(caller: Caller, accepted: bool, inherits: Option<Arc<[String]>>) -> Self {
        let (caller, undecided) = (Some(caller), Some(Arc::default()));
        Self(Arc::new(Parts { caller, accepted, undecided, inherits, ..Parts::default() }))
    }

    /// Returns `true` if the metadata is that of a peer that this side has accepted.
    #[cfg(feature = "tracing")]
    pub(crate) fn is_of_accepted(&self) -> bool {
        self.0.accepted
    }

    /// Returns the connection of the peer that has made the call. `None` for a caller in this program.
    pub fn caller(&self) -> Option<&Caller> {
        self.0.caller.as_ref()
    }

    /// Returns the time at which the call is given up, if it has one. Over a connection it counts from the arrival of the
    /// call, so clocks need not agree.
    pub fn deadline(&self) -> Option<StdInstant> {
        self.0.deadline.map(crate::runtime::to_std)
    }

    /// Returns the time that is left until the deadline.
    pub fn time_left(&self) -> Option<Duration> {
        self.0.deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()))
    }

    /// Returns the value of a name in the metadata of the call. It is what the caller says, and proves nothing.
    pub fn metadata(&self, name: &str) -> Option<&str> {
        self.entries().find(|(other, _)| *other == name).map(|(_, value)| value)
    }

    /// Returns the names and values of the metadata.
    pub fn entries(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.metadata.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// Runs a future in this context, such as a task that a method spawns. The future is not given up at the deadline; the
    /// calls that it makes are.
    pub fn scope<F: Future>(self, future: F) -> impl Future<Output = F::Output> {
        let mut context = Some(self);
        async move {
            let mut future = pin!(future);
            poll_fn(|cx| within(&mut context, || future.as_mut().poll(cx))).await
        }
    }

    /// Returns the deadline by the clock of the library.
    pub(crate) fn ends_at(&self) -> Option<Instant> {
        self.0.deadline
    }

    /// Returns the counter of bytes that wait for the decisions of policies, for a call of a peer.
    pub(crate) fn undecided(&self) -> Option<&Arc<AtomicUsize>> {
        self.0.undecided.as_ref()
    }

    /// Returns the receiver of progress.
    pub(crate) fn progress(&self) -> Option<&Progress> {
        self.0.progress.as_ref()
    }

    /// Returns the context of a call that has come with `carried`, and tells of its progress by `progress`.
    pub(crate) fn received(&self, carried: Option<CarriedContext>, progress: Option<Progress>) -> Self {
        if carried.is_none() && progress.is_none() {
            return self.clone();
        }
        let mut parts = Parts { progress, ..(*self.0).clone() };
        if let Some(CarriedContext { left, metadata }) = carried {
            parts.deadline = left.and_then(|left| Instant::now().checked_add(left));
            parts.metadata = metadata;
        }
        Self(Arc::new(parts))
    }

    /// Returns what travels with a call, if there is anything.
    pub(crate) fn carried(&self) -> Option<Box<CarriedContext>> {
        let (left, metadata) = (self.time_left(), self.0.metadata.clone());
        (left.is_some() || !metadata.is_empty()).then(|| Box::new(CarriedContext { left, metadata }))
    }

    /// Returns what a call inherits that is made in this context, if there is anything.
    fn inherited(&self) -> Option<Self> {
        let Parts { accepted, deadline, metadata, inherits, .. } = &*self.0;
        let listed = |name: &String| {
            name == TRACE || inherits.as_ref().is_some_and(|inherits| inherits.contains(name))
        };
        if deadline.is_none() && !metadata.iter().any(|(name, _)| listed(name)) {
            return None;
        }
        let metadata = metadata.iter().filter(|(name, _)| listed(name)).cloned().collect();
        let (accepted, deadline, inherits) = (*accepted, *deadline, inherits.clone());
        Some(Self(Arc::new(Parts { accepted, deadline, metadata, inherits, ..Parts::default() })))
    }

    fn edit(context: &mut Option<Self>, change: impl FnOnce(&mut Parts)) {
        let context = context.get_or_insert_with(|| Self(Arc::default()));
        change(Arc::make_mut(&mut context.0));
    }

    /// Sets a deadline, unless there is an earlier one.
    pub(crate) fn set_deadline(context: &mut Option<Self>, at: Instant) {
        Self::edit(context, |parts| parts.deadline = Some(parts.deadline.map_or(at, |other| other.min(at))));
    }

    /// Sets the receiver of progress.
    pub(crate) fn set_progress(context: &mut Option<Self>, progress: Option<Progress>) {
        if progress.is_some() || context.as_ref().is_some_and(|context| context.0.progress.is_some()) {
            Self::edit(context, |parts| parts.progress = progress);
        }
    }

    /// Sets the value of a name.
    pub(crate) fn set_metadata(context: &mut Option<Self>, name: &str, value: &str) {
        Self::edit(context, |parts| {
            parts.metadata.retain(|(other, _)| other != name);
            parts.metadata.push((name.to_owned(), value.to_owned()));
        });
    }

    /// Checks the deadline, and that the metadata has at most so many bytes.
    pub(crate) fn check(&self, bytes: usize) -> Result<(), Error> {
        check_metadata(&self.0.metadata, bytes)?;
        match self.time_left() {
            Some(Duration::ZERO) => Err(late().with_fate(Fate::NotSent)),
            _ => Ok(()),
        }
    }
}

crate::opaque::opaque!(Context as context {
    caller: context.0.caller,
    time_left: context.time_left(),
    metadata: context.entries().map(|(name, _)| name).collect::<Vec<_>>(),
});

/// Checks that the metadata of a call has at most `limit` bytes.
pub(crate) fn check_metadata(metadata: &[(String, String)], limit: usize) -> Result<(), Error> {
    let bytes: usize = metadata.iter().map(|(name, value)| name.len() + value.len()).sum();
    if metadata.len() <= MOST_ENTRIES && bytes <= limit {
        return Ok(());
    }
    let message = format!("the metadata of a call has more than {MOST_ENTRIES} entries or {limit} bytes");
    Err(Error::over(LimitKind::MetadataBytes, message).with_fate(Fate::NotSent))
}

/// The property of the error of a call whose deadline has passed, by which the caller knows it.
#[cfg(feature = "host")]
const LATE: &str = "capnode:late";

/// Returns the error of a call whose deadline has passed.
pub(crate) fn late() -> Error {
    let data = ErrorData::Wire(Text::Static(r#"{"capnode:late":true}"#));
    Error::new(ErrorKind::Timeout, "the deadline of the call has passed").with_data(data)
}

/// Returns `true` for the error of a call whose deadline has passed, here or at the peer.
#[cfg(feature = "host")]
pub(crate) fn is_late(error: &Error) -> bool {
    error.property(LATE) == Some(true)
}

/// Returns the context for requests that stand in the values of a call, which have no progress of their own.
pub(crate) fn ambient() -> Option<Context> {
    let mut context = context();
    Context::set_progress(&mut context, None);
    context
}

/// Returns what a call inherits that this thread makes now.
pub(crate) fn inherited() -> Option<Context> {
    CURRENT.try_with(|current| current.borrow().as_ref().and_then(Context::inherited)).ok().flatten()
}

/// Runs a part of a handler in its context.
#[inline]
pub(crate) fn within<T>(context: &mut Option<Context>, run: impl FnOnce() -> T) -> T {
    if context.is_none() && CURRENT.try_with(|current| current.borrow().is_none()).unwrap_or(true) {
        return run();
    }
    let mut swap = || {
        let _ending = CURRENT.try_with(|current| std::mem::swap(&mut *current.borrow_mut(), context));
    };
    swap();
    let _back = OnDrop(swap);
    run()
}

/// Reports progress to the caller of the method that is running. Returns `true` if there is a caller to tell: one in
/// this program that [wants to know](crate::Call::on_progress), or a peer that speaks Q-Connection, where the report is
/// a notification. The other languages have no word for progress, and a call over them that wants it fails.
///
/// To be called from the method itself, not from a task it has spawned.
///
/// ```
/// use std::sync::{Arc, Mutex};
///
/// #[capnode::interface]
/// trait Copier {
///     async fn copy(&self, files: u32) -> u32;
/// }
///
/// struct Disk;
///
/// impl Copier for Disk {
///     async fn copy(&self, files: u32) -> u32 {
///         for file in 1..=files {
///             // ...
///             capnode::report_progress(&file).ok();
///         }
///         files
///     }
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), capnode::Error> {
/// let copier = CopierClient::new(Disk);
/// let seen = Arc::new(Mutex::new(Vec::new()));
/// let sees = seen.clone();
/// copier.copy(3).on_progress(move |file: u32| sees.lock().unwrap().push(file)).await?;
/// assert_eq!(*seen.lock().unwrap(), [1, 2, 3]);
/// # Ok(())
/// # }
/// ```
///
/// # Errors
///
/// If the value cannot be written, or is longer than the caller may be sent at once.
pub fn report_progress(value: &impl Serialize) -> Result<bool, Error> {
    let current = context();
    let Some(progress) = current.as_ref().and_then(Context::progress) else { return Ok(false) };
    progress(encode_bounded(value)?);
    Ok(true)
}
