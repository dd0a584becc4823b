//! Calls, from several threads and in both directions.

use capnode::{Cap, Dialect, Func, Object};
use shuttle::future::block_on;
use shuttle::thread;

use crate::things::{Log, ThingClient};
use crate::harness::Harness;
use crate::{in_many_orders, join};

#[test]
fn calls_of_each_thread_keep_their_order() {
    in_many_orders(|| {
        let log = Log::default();
        let world = Harness::new(log.single());
        let calling = [10, 20].map(|first| {
            let index: ThingClient = world.index();
            thread::spawn(move || {
                index.note(first).send().unwrap();
                index.note(first + 1).send().unwrap();
                assert_eq!(block_on(index.note(first + 2)).unwrap(), first + 2);
            })
        });
        join(calling);
        world.end_when_empty();
        log.assert_in_order(3);
    });
}

#[test]
fn a_call_given_up_while_it_is_answered_leaves_nothing() {
    in_many_orders(|| {
        let (log, world, index) = Harness::offering(Log::single);
        let calling = thread::spawn(move || {
            let mut call = Box::pin(index.wait());
            let waker = std::task::Waker::noop();
            let _pending = call.as_mut().poll(&mut std::task::Context::from_waker(waker));
            thread::yield_now();
            drop(call);
        });
        let opening = thread::spawn({
            let log = log.clone();
            move || log.open()
        });
        calling.join().unwrap();
        opening.join().unwrap();
        world.end_when_empty();
        assert_eq!((log.waits(), log.things()), (0, 0));
    });
}

#[test]
fn a_call_that_is_never_answered_is_cancelled_where_it_runs() {
    in_many_orders(|| {
        let (log, world, index) = Harness::offering(Log::single);
        let mut call = Box::pin(index.wait());
        let waker = std::task::Waker::noop();
        assert!(call.as_mut().poll(&mut std::task::Context::from_waker(waker)).is_pending());
        // It may not have arrived, be about to start, be polled, or sleep.
        drop(call);
        drop(index);
        // The gate stays shut.
        world.end_when_empty();
        assert_eq!((log.waits(), log.things()), (0, 0));
    });
}

#[test]
fn calls_in_both_directions_through_both_locks() {
    in_many_orders(|| {
        let log = Log::default();
        let (left, right) = (Harness::new(log.single()), Harness::new(log.single()));
        // References lent on each of two connections go out again over the other, at the same time.
        let calling = [(&left, &right), (&right, &left)].map(|(by, other)| {
            let (index, theirs): (ThingClient, ThingClient) = (by.index(), other.index());
            thread::spawn(move || {
                assert_eq!(block_on(index.note_on(theirs, 1)).unwrap(), 1);
            })
        });
        join(calling);
        left.end_when_empty();
        right.end_when_empty();
        assert_eq!((log.notes(), log.things()), (vec![1, 1], 0));
    });
}

#[test]
fn handlers_of_both_sides_that_call_back() {
    in_many_orders(|| {
        let log = Log::default();
        let world = Harness::new(log.single());
        let calling = [1, 2].map(|number| {
            let index: ThingClient = world.index();
            thread::spawn(move || {
                let there = index.clone();
                // Here is called from there, and calls there once more before it answers.
                let again = move |number: u32| {
                    let there = there.clone();
                    async move { there.note(number).await.unwrap() }
                };
                let again: Func<fn(u32) -> u32> = Func::new(again);
                assert_eq!(block_on(index.call(again, number)).unwrap(), number);
            })
        });
        join(calling);
        world.end_when_empty();
        assert_eq!((log.notes().len(), log.things()), (2, 0));
    });
}

#[test]
fn calls_inside_a_property_keep_their_order_where_it_is_asked_for_first() {
    in_many_orders(|| {
        let log = Log::default();
        let object = Object::new().with("inner", log.single());
        let world = Harness::speaking(Dialect::Q, object);
        let index: Cap = world.here.index();
        let calling = [10, 20].map(|first| {
            let inner = index.at("inner");
            thread::spawn(move || {
                inner.invoke::<u32>("note", (first,)).send().unwrap();
                inner.invoke::<u32>("note", (first + 1,)).send().unwrap();
                assert_eq!(block_on(inner.invoke::<u32>("note", (first + 2,))).unwrap(), first + 2);
            })
        });
        join(calling);
        log.assert_in_order(3);
        world.end();
    });
}
