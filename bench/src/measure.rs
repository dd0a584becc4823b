//! Clocks, and the results of a measurement.

use std::sync::OnceLock;
use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};

use crate::socket;

/// The result of one measurement, as a line of JSON from process to process.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Measurement {
    /// The value in the unit of the scenario.
    pub value: f64,
    /// Microseconds of processor time for each call, of both sides.
    pub cpu_us: Option<f64>,
    /// Write system calls for each call, of both sides.
    pub writes: Option<f64>,
    /// The effect of a stream on the calls that are measured beside it.
    pub beside: Option<Beside>,
    /// Allocations for each call, where the program counts them.
    pub allocations: Option<f64>,
}

/// Calls beside a stream.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Beside {
    /// The time in µs in which all but one in a hundred have their answer.
    pub p99: f64,
    /// The median, divided by that without the stream.
    pub ratio: f64,
    /// The time of the 99th percentile, divided by that without the stream.
    pub p99_ratio: f64,
    /// The speed of the stream, divided by its speed without the calls.
    pub stream: f64,
}

/// Processor time that this process has used so far.
fn cpu() -> Duration {
    let used = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(used.tv_sec as u64, used.tv_nsec as u32)
}

/// The counters of the program's allocator.
#[derive(Clone, Copy)]
pub struct Heap {
    pub bytes: fn() -> usize,
    pub allocations: fn() -> usize,
}

/// The counters of a program that has such an allocator.
pub static HEAP: OnceLock<Heap> = OnceLock::new();

fn allocations() -> Option<usize> {
    HEAP.get().map(|heap| (heap.allocations)())
}

/// The start of a measurement.
pub struct Meter {
    started: Instant,
    cpu: Duration,
    writes: u64,
    allocations: Option<usize>,
}

impl Meter {
    pub fn start() -> Self {
        Self { allocations: allocations(), writes: socket::writes(), cpu: cpu(), started: Instant::now() }
    }

    pub fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }

    /// Ends the measurement: `calls` have been made, and the value is the number in a second.
    pub fn rate(self, calls: u64) -> Measurement {
        let elapsed = self.started.elapsed().as_secs_f64();
        let cpu_us = (cpu() - self.cpu).as_secs_f64() * 1e6;
        let writes = socket::writes() - self.writes;
        Measurement {
            value: calls as f64 / elapsed,
            cpu_us: Some(cpu_us / calls as f64),
            writes: Some(writes as f64 / calls as f64),
            beside: None,
            allocations: self
                .allocations
                .zip(allocations())
                .map(|(before, now)| (now - before) as f64 / calls as f64),
        }
    }
}
