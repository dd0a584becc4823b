//! Whoever sleeps is woken. Nothing else moves in these, so a lost wake-up is a deadlock.

use shuttle::future::block_on;
use shuttle::thread;

use crate::things::{Log, ThingClient};
use crate::world::World;
use crate::{in_many_orders, in_some_orders, join};

/// More than may wait to be written before calls have to wait.
const MUCH: usize = (1 << 20) + 1;

#[test]
fn an_answer_wakes_the_driver_that_is_about_to_sleep() {
    in_many_orders(|| {
        let log = Log::default();
        let world = World::new(log.single());
        let index: ThingClient = world.index();
        let opening = thread::spawn({
            let log = log.clone();
            move || log.open()
        });
        assert_eq!(block_on(index.wait()).unwrap(), 7);
        opening.join().unwrap();
        world.end_when_empty();
    });
}

#[test]
fn a_call_that_waits_for_room_is_woken() {
    in_some_orders(|| {
        let log = Log::default();
        let world = World::new(log.single());
        let text = "x".repeat(MUCH);
        let calling = [(); 2].map(|()| {
            let (index, text): (ThingClient, _) = (world.index(), text.clone());
            thread::spawn(move || assert_eq!(block_on(index.length(&text)).unwrap() as usize, MUCH))
        });
        join(calling);
        world.end_when_empty();
    });
}
