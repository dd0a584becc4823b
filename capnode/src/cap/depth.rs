//! References that lead to references, as deep as a peer likes to build them. Following or dropping such a chain must
//! not take stack for its length.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::Future;
use std::mem::ManuallyDrop;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use crate::runtime::BoxFuture;
use crate::sync::{OnDrop, thread_local};

// What is local to a thread is dropped when it ends, and may be used by what is dropped after it. So what is used by drops
// and calls, and empty between them, is never dropped: it is there to the end.

/// The most references that may pass a request on, one inside the other.
pub(super) const HOPS: usize = 64;

/// The most handlers that run inside one another's poll. One that is started beyond is a task of its own.
const NESTED: usize = 16;

/// A handler that runs as a task of its own, since too many others were running around it when it was started.
pub(crate) struct NestedTask {
    handler: BoxFuture<()>,
    /// The connection that it runs for.
    host: Option<Arc<dyn Host>>,
}

impl NestedTask {
    /// Creates a task that runs for a connection.
    pub(crate) fn new(handler: BoxFuture<()>, host: Arc<dyn Host>) -> Self {
        Self { handler, host: Some(host) }
    }
}

impl Future for NestedTask {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let _hosted = HostGuard::new(self.host.clone());
        self.handler.as_mut().poll(cx)
    }
}

/// Runs tasks for the handlers of a connection: its driver, or the owner of its core.
pub(crate) trait Host: Send + Sync {
    /// Takes the task, or returns it if nothing moves the connection any more.
    fn spawn(self: Arc<Self>, task: NestedTask) -> Result<(), NestedTask>;

    /// Returns `true` if it takes tasks.
    fn is_open(&self) -> bool;
}

thread_local! {
    /// Handlers that are being polled on this thread, one inside the other.
    static RUNNING: Cell<usize> = const { Cell::new(0) };
    /// Tasks to be started when the innermost handler's poll is over, in the order of their calls.
    static BEGINNING: RefCell<VecDeque<NestedTask>> = const { RefCell::new(VecDeque::new()) };
    /// `true` while these tasks are being started.
    static STARTING: Cell<bool> = const { Cell::new(false) };
    /// The connection that the code on this thread runs for.
    static HOST: Cell<ManuallyDrop<Option<Arc<dyn Host>>>> = const { Cell::new(ManuallyDrop::new(None)) };
    static HOPPED: Cell<usize> = const { Cell::new(0) };
    /// Values to drop when the drop under way has ended; `None` while nothing is dropped.
    static DROPPING: RefCell<ManuallyDrop<Option<Links>>> = const { RefCell::new(ManuallyDrop::new(None)) };
}

/// Links of chains.
type Links = Vec<Box<dyn Any>>;

/// Runs a step of a request on its way; `None` if it has taken too many.
pub(crate) fn with_hop_limit<T>(step: impl FnOnce() -> T) -> Option<T> {
    HOPPED.set(HOPPED.get() + 1);
    let _back = OnDrop(|| HOPPED.set(HOPPED.get() - 1));
    (HOPPED.get() <= HOPS).then(step)
}

/// Drops the content of a link of a chain: at once, or while another is dropped, after that.
pub(super) fn drop_iteratively(held: impl Any) {
    let first = DROPPING.with_borrow_mut(|dropping| match &mut **dropping {
        Some(waiting) => {
            waiting.push(Box::new(held));
            None
        }
        dropping @ None => {
            *dropping = Some(Vec::new());
            Some(held)
        }
    });
    let Some(held) = first else { return };

    // Lets the next one begin. After a panic, those that are left are dropped as they come.
    let _done = OnDrop(|| drop(ManuallyDrop::into_inner(DROPPING.take())));
    drop(held);
    while let Some(next) = DROPPING.with_borrow_mut(|dropping| dropping.as_mut().and_then(Vec::pop)) {
        drop(next);
    }
}

/// Returns `true` if no handler may be polled here: it has to be a task of its own.
pub(super) fn is_full() -> bool {
    RUNNING.get() >= NESTED
}

/// Runs the poll of a handler, which must not unwind. Tasks that the poll has started beyond the limit begin before this
/// returns, in the order of their calls.
pub(super) fn nest<T>(poll: impl FnOnce() -> T) -> T {
    let running = RUNNING.get();
    RUNNING.set(running + 1);
    let polled = poll();
    RUNNING.set(running);
    if running == NESTED - 1 {
        start_all();
    }
    polled
}

/// Starts the tasks that wait for it. Those that they start in turn begin after them, in the same loop.
#[cold]
fn start_all() {
    if STARTING.get() || BEGINNING.with_borrow(VecDeque::is_empty) {
        return;
    }
    STARTING.set(true);
    let _done = OnDrop(|| STARTING.set(false));
    while let Some(mut task) = BEGINNING.with_borrow_mut(VecDeque::pop_front) {
        let mut cx = Context::from_waker(Waker::noop());
        if Pin::new(&mut task).poll(&mut cx).is_pending() {
            run(task);
        }
    }
}

/// Hands a task that has begun to its connection or the runtime. Without either it is dropped, and its caller gets an
/// error.
fn run(task: NestedTask) {
    let task = match task.host.clone() {
        Some(host) => match host.spawn(task) {
            Ok(()) => return,
            Err(task) => task,
        },
        None => task,
    };
    // Without a runtime it is dropped.
    let _dropped = crate::runtime::spawn(task);
}

/// The connection that the code on this thread runs for.
fn host() -> Option<Arc<dyn Host>> {
    let host = HOST.take();
    HOST.set(host.clone());
    ManuallyDrop::into_inner(host)
}

/// Returns `true` if a connection or runtime can run a task that is started now.
pub(super) fn can_run_tasks() -> bool {
    host().is_some_and(|host| host.is_open()) || crate::runtime::can_spawn()
}

/// Makes a handler a task, and starts it when the poll of the innermost handler is over.
pub(super) fn start_later(handler: BoxFuture<()>) {
    let task = NestedTask { handler, host: host() };
    BEGINNING.with_borrow_mut(|beginning| beginning.push_back(task));
}

/// Lets a future run by itself.
pub(super) fn run_apart(handler: BoxFuture<()>) {
    run(NestedTask { handler, host: host() });
}

/// A guard during whose life the code on this thread runs for a connection, which takes on the tasks that are started
/// meanwhile.
pub(crate) struct HostGuard(Option<Arc<dyn Host>>);

impl HostGuard {
    #[inline]
    pub(crate) fn new(host: Option<Arc<dyn Host>>) -> Self {
        Self(ManuallyDrop::into_inner(HOST.replace(ManuallyDrop::new(host))))
    }
}

impl Drop for HostGuard {
    #[inline]
    fn drop(&mut self) {
        drop(ManuallyDrop::into_inner(HOST.replace(ManuallyDrop::new(self.0.take()))));
    }
}
