//! Makes a number of calls as seen from one side, so that callgrind can tell which functions one call passes: `caller COUNT`
//! or `callee COUNT`. `.ci/path` does.
//!
//! The other side is made up from frames, so that nothing of it is counted.

use std::future::Future;
use std::hint::black_box;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use capnode::sans_io::Core;

#[capnode::interface]
trait Adder {
    async fn add(&self, a: u32, b: u32) -> u32;
}

struct Local;

impl Adder for Local {
    async fn add(&self, a: u32, b: u32) -> u32 {
        a + b
    }
}

fn carry(from: &Core, to: &Core) -> bool {
    let mut any = false;
    while let Some(frame) = from.next_frame() {
        to.receive(&frame);
        any = true;
    }
    any
}

/// Makes calls whose answers are made up.
fn caller(core: &Core, count: usize) {
    let adder: AdderClient = core.index();
    let mut context = Context::from_waker(Waker::noop());
    for number in 1..=count {
        let mut call = pin!(adder.add(black_box(2), 5));
        assert!(call.as_mut().poll(&mut context).is_pending());
        assert_eq!(core.next_frame().as_deref(), Some(r#"["stream",["pipeline",0,["add"],[2,5]]]"#));
        core.receive(&format!("[\"resolve\",{number},7]"));
        assert!(matches!(call.poll(&mut context), Poll::Ready(Ok(7))));
    }
}

/// Answers calls that are made up.
fn callee(core: &Core, count: usize) {
    for number in 1..=count {
        core.receive(black_box(r#"["stream",["pipeline",0,["add"],[2,5]]]"#));
        assert_eq!(core.next_frame(), Some(format!("[\"resolve\",{number},7]")));
    }
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [side, count] = arguments.as_slice() else { panic!("usage: caller|callee COUNT") };
    let count = count.parse().expect("a count");
    let (here, there) = (Core::connecting(()), Core::accepting(AdderClient::new(Local)));
    // Until the two know each other as peers of this library.
    while carry(&here, &there) | carry(&there, &here) {}
    match side.as_str() {
        "caller" => caller(&here, count),
        "callee" => callee(&there, count),
        _ => panic!("there is no side {side}"),
    }
    // What is dropped in the end is not part of a call.
    std::process::exit(0);
}
