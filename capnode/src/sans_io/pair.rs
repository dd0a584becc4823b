//! Two cores that talk to each other, moved by hand.

use std::fmt;
use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use super::{Core, Handler};

/// Two cores that are connected to each other. Nothing happens until [`step`](Pair::step), [`settle`](Pair::settle) or
/// [`run`](Pair::run) is called: a test or simulation decides when frames arrive and handlers go on.
///
/// ```
/// use capnode::Func;
/// use capnode::sans_io::{Core, Pair};
///
/// #[capnode::interface]
/// trait Adder {
///     async fn add(&self, a: u32, b: u32) -> u32;
///     async fn apply(&self, to: u32, function: Func<fn(u32) -> u32>) -> u32;
/// }
///
/// struct Sum;
///
/// impl Adder for Sum {
///     async fn add(&self, a: u32, b: u32) -> u32 {
///         a + b
///     }
///     async fn apply(&self, to: u32, function: Func<fn(u32) -> u32>) -> u32 {
///         function.call(to).await.unwrap_or_default()
///     }
/// }
///
/// let mut pair = Pair::new(Core::connecting(()), Core::accepting(AdderClient::new(Sum)));
/// let adder: AdderClient = pair.connecting().index();
/// let sum = pair.run(adder.add(1, 2)).expect("it is answered");
/// assert_eq!(sum.unwrap(), 3);
/// let doubled = pair.run(adder.apply(4, |n: u32| async move { 2 * n })).expect("it is answered");
/// assert_eq!(doubled.unwrap(), 8);
///
/// drop(adder);
/// pair.settle();
/// assert_eq!(pair.accepting().tables().exports, 0);
/// ```
pub struct Pair {
    /// The connecting core, then the accepting one.
    cores: [Core; 2],
    running: Vec<Running>,
}

/// A handler that has not ended.
struct Running {
    handler: Handler,
    woken: Arc<Woken>,
}

/// `true` if the future that it belongs to wants to be polled.
struct Woken(AtomicBool);

impl Woken {
    fn new() -> Arc<Self> {
        Arc::new(Self(AtomicBool::new(true)))
    }

    fn take(&self) -> bool {
        self.0.swap(false, Ordering::SeqCst)
    }

    fn is_set(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }
}

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::SeqCst);
    }
}

impl Pair {
    /// Connects two cores.
    pub fn new(connecting: Core, accepting: Core) -> Self {
        Self { cores: [connecting, accepting], running: Vec::new() }
    }

    /// The core that opens the connection.
    pub fn connecting(&self) -> &Core {
        &self.cores[0]
    }

    /// The core that is connected to.
    pub fn accepting(&self) -> &Core {
        &self.cores[1]
    }

    /// The number of handlers of both sides that have not ended.
    pub fn handlers(&self) -> usize {
        self.running.len()
    }

    /// Delivers the frames that wait on either side, and polls once each handler that is ready to go on. Returns `true` if
    /// there was anything to do.
    pub fn step(&mut self) -> bool {
        let mut moved = false;
        for (from, to) in [(0, 1), (1, 0)] {
            while let Some(frame) = self.cores[from].next_frame() {
                self.cores[to].receive(&frame);
                moved = true;
            }
        }
        for core in &self.cores {
            let started = core.handlers().into_iter();
            self.running.extend(started.map(|handler| Running { handler, woken: Woken::new() }));
        }
        self.running.retain_mut(|running| {
            if !running.woken.take() {
                return true;
            }
            moved = true;
            let waker = Waker::from(running.woken.clone());
            Pin::new(&mut running.handler).poll(&mut Context::from_waker(&waker)).is_pending()
        });
        moved
    }

    /// Steps until there is nothing to do any more. Does not return while two handlers call each other without end.
    pub fn settle(&mut self) {
        while self.step() {}
    }

    /// Polls `future` and steps until it is ready, and returns its outcome; `None` if it is pending and there is nothing to
    /// do any more.
    pub fn run<F: IntoFuture>(&mut self, future: F) -> Option<F::Output> {
        let mut future = pin!(future.into_future());
        let woken = Woken::new();
        let waker = Waker::from(woken.clone());
        loop {
            if woken.take() {
                if let Poll::Ready(outcome) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
                    return Some(outcome);
                }
            }
            if !self.step() && !woken.is_set() {
                return None;
            }
        }
    }
}

impl fmt::Debug for Pair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pair").field("cores", &self.cores).field("handlers", &self.handlers()).finish()
    }
}

#[cfg(test)]
mod tests {
    use crate::sans_io::{Core, Pair};
    use crate::{Dialect, Func, Object, Value};

    #[test]
    fn a_call_and_its_callback_move_in_each_language() {
        for dialect in [Dialect::CapnWeb, Dialect::Capnode, Dialect::Q] {
            let ask =
                Func::<fn(Func<fn(u32) -> u32>) -> u32>::new(|inner: Func<fn(u32) -> u32>| async move {
                    inner.call(20).await.unwrap_or_default() + 1
                });
            let index = Object::new().with("ask", ask);
            let mut pair = Pair::new(Core::connecting_in(dialect, ()), Core::accepting(index));
            let double = Func::<fn(u32) -> u32>::new(|n: u32| async move { 2 * n });
            let peer = pair.connecting().peer();
            let sum = pair.run(peer.invoke::<u32>("ask", (double,))).expect("it is answered");
            assert_eq!(sum.unwrap(), 41, "{dialect:?}");
            assert_eq!(pair.handlers(), 0, "{dialect:?}");
        }
    }

    #[test]
    fn what_nothing_moves_any_more_is_told() {
        let wait = Func::<fn()>::new(std::future::pending::<()>);
        let mut pair = Pair::new(Core::connecting(()), Core::accepting(Object::new().with("wait", wait)));
        let peer = pair.connecting().peer();
        assert!(pair.run(peer.invoke::<Value>("wait", ())).is_none());
        pair.settle();
        assert_eq!(pair.handlers(), 0, "the call that was dropped is cancelled");
        assert!(!pair.step());
    }
}
