//! Some thousand calls, callbacks and cut connections, and nothing is left of them. `cargo run --release -p
//! capnode-tests --bin soak` does the same with millions.

use std::alloc::System;

use capnode::Dialect;
use capnode_tests::soak::{Amount, STAYING, Soak};
use capnode_tests::{memory, panics};
use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};

#[global_allocator]
static ALLOCATED: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

const AMOUNT: Amount = Amount { calls: 20_000, callbacks: 5_000, connections: 500 };

/// The bytes that grown buffers keep, and that the runtime is about to free: less than 14 a call, or 53 a callback, or
/// 530 a connection.
const SLACK: usize = 256 << 10;

/// The most rounds until one leaves nothing.
const ROUNDS: usize = 5;

fn allocated() -> usize {
    memory::allocated(ALLOCATED)
}

// The only test here, since any other test would allocate too.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_left_of_many_calls_callbacks_and_cut_connections() {
    for dialect in [Dialect::CapnWeb, Dialect::Capnode, Dialect::Q] {
        let soak = Soak::start(dialect).await;
        soak.run(AMOUNT).await;
        // Buffers and tables grow to what was needed at once, which depends on the machine. A leak grows in each round.
        let mut grown = Vec::new();
        let (mut before, mut allocated_before) = (soak.quiet().await, allocated());
        let last = loop {
            soak.run(AMOUNT).await;
            let (after, allocated_after) = (soak.quiet().await, allocated());
            assert!(after.is_like(&before, dialect), "{dialect:?}\nbefore: {before}\nafter:  {after}");
            grown.push(allocated_after.saturating_sub(allocated_before));
            if grown.last() <= Some(&SLACK) || grown.len() == ROUNDS {
                break after;
            }
            (before, allocated_before) = (after, allocated_after);
        };
        let (connections, ended) = soak.end().await;
        assert!(ended.is_empty(), "{dialect:?}: {ended}");
        assert_eq!(connections, STAYING, "those that were cut are gone");
        assert!(grown.last() <= Some(&SLACK), "{dialect:?}: each round left bytes: {grown:?}");
        assert_eq!(panics::count(), 0);
        eprintln!("{dialect:?}: {allocated_before} bytes before the last round, grown {grown:?}; {last}");
    }
}
