//! The memory of a process, as the system reports it in `/proc`, and as its allocator counts it.

use std::alloc::System;

use stats_alloc::StatsAlloc;

/// Bytes that are allocated now.
pub fn allocated(allocator: &StatsAlloc<System>) -> usize {
    let stats = allocator.stats();
    stats.bytes_allocated.saturating_sub(stats.bytes_deallocated)
}

/// Bytes of it in memory now.
pub fn resident(process: u32) -> Option<u64> {
    status(process, "VmRSS:")
}

/// The most that there ever were.
pub fn peak(process: u32) -> Option<u64> {
    status(process, "VmHWM:")
}

fn status(process: u32, field: &str) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(field))?;
    let kibibytes: u64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
    Some(kibibytes << 10)
}
