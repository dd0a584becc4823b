//! The end of a connection, while something else goes on.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use capnode::{Cap, Error, ErrorKind, Fate};
use shuttle::future::block_on;
use shuttle::thread;

use crate::things::{Log, ThingClient};
use crate::harness::Harness;
use crate::{in_many_orders, join};

fn assert_cut(error: &Error) {
    assert_eq!(error.kind(), ErrorKind::Disconnected, "{error}");
    assert_ne!(error.fate(), Fate::Answered, "{error}");
}

#[test]
fn a_call_made_while_the_connection_is_closed_ends() {
    in_many_orders(|| {
        let (log, world, index) = Harness::offering(Log::single);
        let calling = thread::spawn(move || {
            for number in 0..3 {
                match block_on(index.note(number)) {
                    Ok(answer) => assert_eq!(answer, number),
                    Err(error) => assert_cut(&error),
                }
            }
        });
        world.here.close("cut");
        calling.join().unwrap();
        world.end();
        assert_eq!(log.things(), 0);
    });
}

#[test]
fn a_handler_that_runs_while_the_connection_is_closed_is_dropped() {
    in_many_orders(|| {
        let (log, world, index) = Harness::offering(Log::single);
        let calling = thread::spawn(move || {
            let error = block_on(index.wait()).unwrap_err();
            assert_cut(&error);
        });
        world.there.close("cut");
        // The other side learns of it by itself, from the wire.
        world.here.close("cut");
        calling.join().unwrap();
        world.end();
        assert_eq!((log.waits(), log.things()), (0, 0));
    });
}

#[test]
fn references_dropped_while_the_connection_is_closed() {
    in_many_orders(|| {
        let (log, world, index) = Harness::offering(Log::thing);
        let other = index.other().pipeline();
        let clone = other.clone();
        let dropping = [
            thread::spawn(move || drop((index, other))),
            thread::spawn(move || {
                clone.note(1).send().unwrap_or_else(|error| assert_cut(&error));
                drop(clone);
            }),
        ];
        world.here.close("cut");
        world.there.close("cut");
        join(dropping);
        world.end();
        assert_eq!(log.things(), 0);
    });
}

#[test]
fn a_watcher_of_a_reference_is_notified_once_when_the_connection_closes() {
    in_many_orders(|| {
        let log = Log::default();
        let world = Harness::new(log.single());
        let told = Arc::new(AtomicUsize::new(0));
        let watching = {
            let (cap, told): (Cap, _) = (world.here.index::<Cap>(), told.clone());
            thread::spawn(move || {
                cap.on_broken(move |error| {
                    assert_cut(&error);
                    told.fetch_add(1, Ordering::SeqCst);
                })
            })
        };
        let here = world.here.clone();
        let closing = thread::spawn(move || here.close("cut"));
        world.here.close("cut");
        let guard = watching.join().unwrap();
        closing.join().unwrap();
        world.end();
        assert_eq!(told.load(Ordering::SeqCst), 1);
        drop(guard);
    });
}

#[test]
fn a_watcher_that_leaves_is_notified_at_most_once() {
    in_many_orders(|| {
        let log = Log::default();
        let world = Harness::new(log.single());
        let told = Arc::new(AtomicUsize::new(0));
        let count = told.clone();
        let guard = world.here.index::<Cap>().on_broken(move |_| {
            count.fetch_add(1, Ordering::SeqCst);
        });
        let leaving = thread::spawn(move || drop(guard));
        world.here.close("cut");
        leaving.join().unwrap();
        world.end();
        // Called or dropped: nothing keeps it.
        assert!(told.load(Ordering::SeqCst) <= 1);
        assert_eq!(Arc::strong_count(&told), 1);
    });
}
