//! Futures that are waited for together.

use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};

use crate::runtime::BoxFuture;
use crate::sync::atomic::{AtomicBool, Ordering};
use crate::sync::{Mutex, lock};

/// Futures that are polled when they are woken, and not when another is: a peer can make many at once.
pub(super) struct JoinAll<T> {
    /// The futures that have not ended, each with its waker.
    futures: Vec<Option<(BoxFuture<T>, Arc<JoinWaker>)>>,
    /// The places of those that have ended.
    free: Vec<usize>,
    woken: Arc<WakeList>,
}

/// The futures that have been woken since they were polled.
#[derive(Default)]
struct WakeList {
    list: Mutex<Vec<usize>>,
    /// The waker of the task that waits for all of them.
    outer: Mutex<Option<Waker>>,
}

/// Wakes one of the futures.
struct JoinWaker {
    at: usize,
    /// `true` if it is in the list.
    listed: AtomicBool,
    all: Arc<WakeList>,
}

impl Wake for JoinWaker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if self.listed.swap(true, Ordering::SeqCst) {
            return;
        }
        lock(&self.all.list).push(self.at);
        let outer = lock(&self.all.outer).take();
        if let Some(outer) = outer {
            outer.wake();
        }
    }
}

impl<T> JoinAll<T> {
    pub(super) fn new(futures: Vec<BoxFuture<T>>) -> Self {
        let mut all =
            Self { futures: Vec::with_capacity(futures.len()), free: Vec::new(), woken: Arc::default() };
        futures.into_iter().for_each(|future| all.push(future));
        all
    }

    /// Adds a future. It is polled with the next poll of all.
    pub(super) fn push(&mut self, future: BoxFuture<T>) {
        let at = self.free.pop().unwrap_or(self.futures.len());
        // It is polled once before it can be woken.
        let one = Arc::new(JoinWaker { at, listed: AtomicBool::new(true), all: self.woken.clone() });
        lock(&self.woken.list).push(at);
        match self.futures.get_mut(at) {
            Some(place) => *place = Some((future, one)),
            None => self.futures.push(Some((future, one))),
        }
    }

    /// Returns `true` if all have ended.
    pub(super) fn is_empty(&self) -> bool {
        self.free.len() == self.futures.len()
    }

    /// Polls those that have been woken, and gives each outcome to `take` with the number of its future. Ready when all
    /// have ended.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>, mut take: impl FnMut(usize, T)) -> Poll<()> {
        // A waker may hold references, which are not dropped under the lock.
        let waker = Some(cx.waker().clone());
        let _before = std::mem::replace(&mut *lock(&self.woken.outer), waker);
        let woken = std::mem::take(&mut *lock(&self.woken.list));
        for at in woken {
            let Some(place) = self.futures.get_mut(at) else { continue };
            let Some((future, one)) = place else { continue };
            // A wake from now on lists it again.
            one.listed.store(false, Ordering::SeqCst);
            let waker = Waker::from(one.clone());
            if let Poll::Ready(outcome) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
                *place = None;
                self.free.push(at);
                take(at, outcome);
            }
        }
        if self.is_empty() { Poll::Ready(()) } else { Poll::Pending }
    }
}

#[cfg(test)]
mod tests {
    use std::future::{pending, poll_fn};
    use std::sync::atomic::AtomicUsize;

    use futures_channel::oneshot;

    use super::*;

    /// Counts how often it is woken.
    #[derive(Default)]
    struct Counts(AtomicUsize);

    impl Wake for Counts {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    #[test]
    fn only_what_was_woken_is_polled() {
        const MANY: usize = 1_000;
        let polls = Arc::new(AtomicUsize::new(0));
        let (mut senders, mut futures): (Vec<_>, Vec<BoxFuture<usize>>) = (Vec::new(), Vec::new());
        for _ in 0..MANY {
            let (sender, mut receiver) = oneshot::channel::<usize>();
            senders.push(Some(sender));
            let polls = polls.clone();
            futures.push(Box::pin(async move {
                let counted = poll_fn(move |cx| {
                    polls.fetch_add(1, Ordering::SeqCst);
                    std::pin::Pin::new(&mut receiver).poll(cx)
                });
                counted.await.unwrap()
            }));
        }
        let woken = Arc::new(Counts::default());
        let waker = Waker::from(woken.clone());
        let mut cx = Context::from_waker(&waker);
        let mut together = JoinAll::new(futures);
        let mut taken = Vec::new();
        let _first = together.poll(&mut cx, |at, value| taken.push((at, value)));
        assert_eq!(polls.load(Ordering::SeqCst), MANY, "each is polled once to begin with");
        for at in (0..MANY).rev() {
            senders[at].take().unwrap().send(at + 1).unwrap();
            assert_eq!(woken.0.load(Ordering::SeqCst), MANY - at);
            let polled = together.poll(&mut cx, |at, value| taken.push((at, value)));
            assert_eq!(polled.is_ready(), at == 0);
        }
        assert_eq!(polls.load(Ordering::SeqCst), 2 * MANY);
        assert!(taken.iter().rev().enumerate().all(|(at, taken)| *taken == (at, at + 1)));
    }

    #[test]
    fn one_that_wakes_itself_is_polled_again() {
        let mut turns = 0;
        let itself: BoxFuture<()> = Box::pin(poll_fn(move |cx| {
            turns += 1;
            cx.waker().wake_by_ref();
            if turns == 3 { Poll::Ready(()) } else { Poll::Pending }
        }));
        let woken = Arc::new(Counts::default());
        let waker = Waker::from(woken.clone());
        let mut together = JoinAll::new(vec![itself, Box::pin(pending())]);
        let mut ended = 0;
        for _ in 0..3 {
            assert!(together.poll(&mut Context::from_waker(&waker), |_, ()| ended += 1).is_pending());
        }
        assert_eq!((ended, woken.0.load(Ordering::SeqCst)), (1, 3));
    }
}
