//! Promises, and calls on them while they are resolved.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use capnode::{Cap, Error, promise};
use shuttle::future::block_on;
use shuttle::thread;

use crate::things::{Log, ThingClient};
use crate::harness::Harness;
use crate::{in_many_orders, join};

#[test]
fn calls_on_a_promise_while_it_is_resolved_arrive_once_and_in_order() {
    in_many_orders(|| {
        let log = Log::default();
        let (client, resolver) = promise::<ThingClient>();
        let calling = [10, 20].map(|first| {
            let client = client.clone();
            thread::spawn(move || {
                client.note(first).send().unwrap();
                client.note(first + 1).send().unwrap();
                block_on(client.note(first + 2)).unwrap()
            })
        });
        resolver.resolve(log.single());
        join(calling);
        log.assert_in_order(3);
        drop(client);
        assert_eq!(log.things(), 0);
    });
}

#[test]
fn calls_through_a_lent_promise_while_it_is_resolved_arrive_once_and_in_order() {
    in_many_orders(|| {
        let (log, world, index) = Harness::offering(Log::single);
        let (client, resolver) = promise::<ThingClient>();
        let lent = client.clone();
        let resolved_to = log.single();
        let resolving = thread::spawn(move || resolver.resolve(resolved_to));
        // The peer calls back on the promise.
        index.note_on(lent.clone(), 10).send().unwrap();
        index.note_on(lent.clone(), 11).send().unwrap();
        assert_eq!(block_on(index.note_on(lent.clone(), 12)).unwrap(), 12);
        assert_eq!(block_on(client.note(13)).unwrap(), 13);
        resolving.join().unwrap();
        drop((index, lent, client));
        world.end_when_empty();
        assert_eq!((log.notes(), log.things()), (vec![10, 11, 12, 13], 0));
    });
}

#[test]
fn a_pipelined_call_overtakes_nothing_while_its_target_arrives() {
    in_many_orders(|| {
        let (log, world, index) = Harness::offering(Log::thing);
        let other = index.other().pipeline();
        let calling = [10, 20].map(|first| {
            let other = other.clone();
            thread::spawn(move || {
                other.note(first).send().unwrap();
                block_on(other.note(first + 1)).unwrap()
            })
        });
        join(calling);
        drop((index, other));
        world.end_when_empty();
        log.assert_in_order(2);
    });
}

#[test]
fn two_promises_resolved_to_each_other_break() {
    in_many_orders(|| {
        let (one, resolve_one) = promise::<ThingClient>();
        let (two, resolve_two) = promise::<ThingClient>();
        let (to_two, to_one) = (two.clone(), one.clone());
        let resolving = [
            thread::spawn(move || resolve_one.resolve(to_two)),
            thread::spawn(move || resolve_two.resolve(to_one)),
        ];
        join(resolving);
        assert!(block_on(one.note(1)).is_err());
        assert!(block_on(two.note(1)).is_err());
    });
}

#[test]
fn promises_resolved_in_a_circle_break_and_those_resolved_to_one_of_them() {
    in_many_orders(|| {
        let (one, resolve_one) = promise::<ThingClient>();
        let (two, resolve_two) = promise::<ThingClient>();
        let (three, resolve_three) = promise::<ThingClient>();
        let (beside, resolve_beside) = promise::<ThingClient>();
        let steps = [
            (resolve_one, two.clone()),
            (resolve_two, three.clone()),
            (resolve_three, one.clone()),
            (resolve_beside, two.clone()),
        ];
        join(steps.map(|(resolver, to)| thread::spawn(move || resolver.resolve(to))));
        for promise in [one, two, three, beside] {
            assert!(block_on(promise.note(1)).is_err());
        }
    });
}

#[test]
fn a_call_given_up_while_its_promise_is_resolved_runs_whole_or_not_at_all() {
    in_many_orders(|| {
        let log = Log::default();
        let (client, resolver) = promise::<ThingClient>();
        let single = log.single();
        let resolving = thread::spawn(move || resolver.resolve(single));
        let giving_up = {
            let client = client.clone();
            thread::spawn(move || {
                let mut call = Box::pin(client.wait());
                let waker = std::task::Waker::noop();
                let _pending = call.as_mut().poll(&mut std::task::Context::from_waker(waker));
                drop(call);
            })
        };
        assert_eq!(block_on(client.note(1)).unwrap(), 1);
        resolving.join().unwrap();
        giving_up.join().unwrap();
        drop(client);
        assert_eq!((log.waits(), log.things()), (0, 0));
    });
}

#[test]
fn a_watcher_of_a_promise_that_breaks_meanwhile_is_told_once() {
    in_many_orders(|| {
        let (client, resolver) = promise::<ThingClient>();
        let told = Arc::new(AtomicUsize::new(0));
        let breaking = thread::spawn(move || resolver.reject(Error::rejected("broken")));
        let count = told.clone();
        let cap: Cap = client.clone().into();
        let guard = cap.on_broken(move |_| {
            count.fetch_add(1, Ordering::SeqCst);
        });
        breaking.join().unwrap();
        assert_eq!(told.load(Ordering::SeqCst), 1);
        drop(guard);
    });
}
