//! Calls as metrics.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use ::metrics::{Counter, Gauge, Histogram};

use super::{CallInfo, Decision, Direction, Policy};
use crate::cap::interface::{Interface, Method};
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
/// | `capnode_call_errors_total` | calls that have failed | as above, `kind`, `fate` |
/// | `capnode_limits_total` | calls and connections that failed because of a limit | `limit` |
/// | `capnode_connections_opened_total` | connections | – |
/// | `capnode_connections_refused_total` | peers that failed the handshake or were refused | – |
/// | `capnode_connections_ended_total` | connections that have ended | `kind` |
///
/// The last two, and the limits of connections, are counted without this as well. The labels are names of this program: a
/// method that is in no table of an interface is `other`, whatever a peer calls it, and so is a function. So no peer makes
/// a new series.
///
/// Install the recorder before the first call: what a method counts with is looked up once.
pub fn metrics() -> impl Policy {
    Metrics::default()
}

/// The counters of one method in one direction.
type Key = (Option<usize>, Option<usize>, Direction);

#[derive(Default)]
struct Metrics {
    methods: Mutex<HashMap<Key, Arc<Series>, foldhash::fast::RandomState>>,
}

struct Series {
    labels: [(&'static str, &'static str); 3],
    calls: Counter,
    in_flight: Gauge,
    seconds: Histogram,
    bytes: Counter,
}

impl Series {
    fn new(interface: Option<&'static Interface>, method: Option<&'static Method>, way: Direction) -> Self {
        const OTHER: &str = "other";
        let direction = match way {
            Direction::Inward => "inward",
            Direction::Outward => "outward",
        };
        let interface = interface.filter(|_| method.is_some()).map_or(OTHER, |interface| interface.name);
        let method = method.map_or(OTHER, |method| method.name);
        let labels = [("interface", interface), ("method", method), ("direction", direction)];
        Self {
            calls: ::metrics::counter!("capnode_calls_total", &labels),
            in_flight: ::metrics::gauge!("capnode_calls_in_flight", &labels),
            seconds: ::metrics::histogram!("capnode_call_seconds", &labels),
            bytes: ::metrics::counter!("capnode_call_argument_bytes_total", &labels),
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

/// A call without an outcome.
struct InFlight(Arc<Series>);

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.in_flight.decrement(1.0);
    }
}

impl Policy for Metrics {
    fn before(&self, call: &CallInfo) -> Decision {
        let (interface, method) = call.table_entry();
        let addr = |interface: &'static Interface| std::ptr::from_ref(interface).addr();
        let method_addr = method.map(|method| std::ptr::from_ref(method).addr());
        let key = (interface.filter(|_| method.is_some()).map(addr), method_addr, call.direction());
        let new = || Arc::new(Series::new(interface, method, call.direction()));
        let series = lock(&self.methods).entry(key).or_insert_with(new).clone();
        series.calls.increment(1);
        series.bytes.increment(call.arguments_len() as u64);
        series.in_flight.increment(1.0);
        call.hold(Arc::new(InFlight(series)));
        Decision::Pass
    }

    fn after(&self, call: &CallInfo, outcome: Result<(), &Error>, duration: Duration) {
        let Some(call) = call.held::<Arc<InFlight>>() else { return };
        call.0.seconds.record(duration.as_secs_f64());
        if let Err(error) = outcome {
            call.0.failed(error);
        }
    }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}
