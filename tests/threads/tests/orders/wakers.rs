//! A sleeping task is woken. Nothing else moves in these tests, so a lost wake-up is a deadlock.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;

use capnode::ErrorKind;
use capnode::sans_io::Core;
use shuttle::future::block_on;
use shuttle::thread;

use crate::things::{Log, ThingClient};
use crate::harness::Harness;
use crate::{in_many_orders, in_some_orders};

/// More than may wait to be written before calls have to wait.
const MUCH: usize = (1 << 20) + 1;

#[test]
fn an_answer_wakes_the_driver_that_is_about_to_sleep() {
    in_many_orders(|| {
        let (log, world, index) = Harness::offering(Log::single);
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
        let here = Arc::new(Core::connecting(()));
        let index: ThingClient = here.index();
        index.length(&"x".repeat(MUCH)).send().unwrap();
        let waiting = thread::spawn(move || block_on(index.note(1)).unwrap_err());
        // No answer comes; it is enough that the call gets as far as the wire.
        block_on(poll_fn(|cx| {
            loop {
                while let Some(frame) = here.next_frame() {
                    if frame.contains("note") {
                        return Poll::Ready(());
                    }
                }
                if !here.set_waker(cx.waker()) {
                    return Poll::Pending;
                }
            }
        }));
        here.close("cut");
        assert_eq!(waiting.join().unwrap().kind(), ErrorKind::Disconnected);
    });
}
