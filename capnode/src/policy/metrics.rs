//! Calls as metrics.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use ::metrics::{Counter, Gauge, Histogram};

use super::{Direction, Guard};
use crate::cap::counted::Metered;
use crate::cap::meter::{self, Meter, SharedCounter, TableEntry};
use crate::error::Error;
use crate::sync::{Mutex, lock};

/// Counts calls by the `metrics` facade: a layer, or the policy of a membrane, that passes everything.
///
/// | name | what it is | labels |
/// |---|---|---|
/// | `capnode_calls_total` | calls that have begun | `interface`, `method`, `direction` |
/// | `capnode_calls_in_flight` | calls without an outcome | as above |
/// | `capnode_call_seconds` | a histogram of the time until the outcome | as above |
/// | `capnode_call_argument_bytes_total` | bytes of arguments, as they are written inside the program | as above |
/// | `capnode_call_result_bytes_total` | bytes of results, written in the same way | as above |
/// | `capnode_call_errors_total` | calls that have failed | as above, `kind`, `fate` |
/// | `capnode_references` | references that are lent over connections, without the index | `direction`: `outward` by this program, `inward` to it |
/// | `capnode_limits_total` | calls and connections that failed because of a limit | `limit` |
/// | `capnode_connections_opened_total` | connections | – |
/// | `capnode_connections_refused_total` | peers that failed the handshake or were refused | – |
/// | `capnode_connections_ended_total` | connections that have ended | `kind` |
///
/// Connections, their limits and references are counted without this as well. The labels are names of this program: a
/// method that is in no table of an interface is `other`, whatever a peer calls it, and so is a function. So no peer makes
/// a new series.
///
/// Install the recorder before the first call: what a method counts with is looked up once.
pub fn metrics() -> Guard {
    Guard::new(Metered(Metrics::default()))
}

/// The counters of one method in one direction.
type Key = (Option<(usize, usize)>, Direction);

#[derive(Default)]
struct Metrics {
    methods: Mutex<HashMap<Key, SharedCounter, foldhash::fast::RandomState>>,
}

struct Series {
    labels: [(&'static str, &'static str); 3],
    calls: Counter,
    in_flight: Gauge,
    seconds: Histogram,
    bytes: Counter,
    result_bytes: Counter,
}

impl Series {
    fn new(method: TableEntry, way: Direction) -> Self {
        const OTHER: (&str, &str) = ("other", "other");
        let direction = match way {
            Direction::Inward => "inward",
            Direction::Outward => "outward",
        };
        let (interface, method) = method.map_or(OTHER, |(interface, method)| (interface.name, method.name));
        let labels = [("interface", interface), ("method", method), ("direction", direction)];
        Self {
            calls: ::metrics::counter!("capnode_calls_total", &labels),
            in_flight: ::metrics::gauge!("capnode_calls_in_flight", &labels),
            seconds: ::metrics::histogram!("capnode_call_seconds", &labels),
            bytes: ::metrics::counter!("capnode_call_argument_bytes_total", &labels),
            result_bytes: ::metrics::counter!("capnode_call_result_bytes_total", &labels),
            labels,
        }
    }

    /// Counts a failure. These are few, so nothing is kept for them.
    #[cold]
    fn failed(&self, error: &Error) {
        let [interface, method, direction] = self.labels.map(|(name, value)| (name, value.to_owned()));
        let (kind, fate) = (format!("{:?}", error.kind()), format!("{:?}", error.fate()));
        let labels = [interface, method, direction, ("kind", kind), ("fate", fate)];
        ::metrics::counter!("capnode_call_errors_total", &labels).increment(1);
        if let Some(limit) = error.limit() {
            crate::events::count_limit(limit);
        }
    }
}

impl meter::Counter for Series {
    fn begun(&self, bytes: usize) {
        self.calls.increment(1);
        self.bytes.increment(bytes as u64);
        self.in_flight.increment(1.0);
    }

    fn outcome(&self, outcome: Result<usize, &Error>, duration: Duration) {
        self.seconds.record(duration.as_secs_f64());
        match outcome {
            Ok(bytes) => self.result_bytes.increment(bytes as u64),
            Err(error) => self.failed(error),
        }
    }

    fn over(&self) {
        self.in_flight.decrement(1.0);
    }
}

impl Meter for Metrics {
    fn counter(&self, method: TableEntry, way: Direction) -> SharedCounter {
        let addrs = method.map(|(interface, method)| {
            (std::ptr::from_ref(interface).addr(), std::ptr::from_ref(method).addr())
        });
        let new = || -> SharedCounter { Arc::new(Box::new(Series::new(method, way))) };
        lock(&self.methods).entry((addrs, way)).or_insert_with(new).clone()
    }
}
