//! References dropped while something else is done with them.

use shuttle::future::block_on;
use shuttle::thread;

use crate::things::{Log, ThingClient};
use crate::harness::Harness;
use crate::{in_many_orders, join};

#[test]
fn a_reference_dropped_while_it_is_lent_again() {
    in_many_orders(|| {
        let (log, world, index) = Harness::offering(Log::thing);
        let other = block_on(index.other()).unwrap();
        let dropping = thread::spawn(move || drop(other));
        // The same object, under the same id, may arrive while the old handle is being dropped.
        let again = block_on(index.other()).unwrap();
        assert_eq!(block_on(again.note(1)).unwrap(), 1);
        dropping.join().unwrap();
        assert_eq!(block_on(again.note(2)).unwrap(), 2);
        assert_eq!(block_on(index.other()).unwrap(), again);
        assert_eq!(world.there.tables().exports, 1);
        drop((index, again));
        world.end_when_empty();
        assert_eq!((log.notes(), log.things()), (vec![1, 2], 0));
    });
}

#[test]
fn a_reference_dropped_while_another_clone_is_sent_home() {
    in_many_orders(|| {
        let (log, world, index) = Harness::offering(Log::thing);
        let other = block_on(index.other()).unwrap();
        let clone = other.clone();
        let dropping = thread::spawn(move || drop(clone));
        assert_eq!(block_on(index.note_on(other.clone(), 1)).unwrap(), 1);
        drop(other);
        dropping.join().unwrap();
        drop(index);
        world.end_when_empty();
        assert_eq!((log.notes(), log.things()), (vec![1], 0));
    });
}

#[test]
fn dropping_the_last_two_clones_in_two_threads_releases_the_object() {
    in_many_orders(|| {
        let (log, world, index) = Harness::offering(Log::thing);
        let one = block_on(index.other()).unwrap();
        let two = one.clone();
        let dropping = [thread::spawn(move || drop(one)), thread::spawn(move || drop(two))];
        drop(index);
        join(dropping);
        // Nothing else moves: the drop alone has to wake the driver.
        world.end_when_empty();
        assert_eq!(log.things(), 0);
    });
}

#[test]
fn an_object_exported_by_two_threads_is_one_export() {
    in_many_orders(|| {
        let (log, world, index) = Harness::offering(Log::single);
        let ours = log.single();
        let lending = [1, 2].map(|number| {
            let (index, ours) = (index.clone(), ours.clone());
            thread::spawn(move || assert_eq!(block_on(index.note_on(ours, number)).unwrap(), number))
        });
        join(lending);
        drop((index, ours));
        world.end_when_empty();
        assert_eq!((log.notes().len(), log.things()), (2, 0));
    });
}
