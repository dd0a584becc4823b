//! Like `bench-one`, with allocations counted. That takes time of its own, so only what is not about time is
//! measured by this.

use std::alloc::System;

use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};

#[global_allocator]
static HEAP: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

fn main() {
    capnode_bench::one::main(|| {
        let stats = HEAP.stats();
        // What was reallocated is counted in both already, as far as it grew or shrank.
        stats.bytes_allocated - stats.bytes_deallocated
    });
}
