//! Like `bench-one`, with allocations counted. Counting takes time of its own, so this measures no times.

use std::alloc::System;

use capnode_bench::measure::{HEAP, Heap};
use capnode_bench::one;
use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};

#[global_allocator]
static COUNTED: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

fn main() {
    let heap = Heap {
        // Memory that grew or shrank in its place is included in these.
        bytes: || COUNTED.stats().bytes_allocated - COUNTED.stats().bytes_deallocated,
        allocations: || COUNTED.stats().allocations + COUNTED.stats().reallocations,
    };
    HEAP.get_or_init(|| heap);
    one::main();
}
