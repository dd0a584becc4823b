//! Calls that are counted, which takes no description of them.

use std::sync::Arc;
use std::task::{Poll, ready};
use std::time::Duration;

use super::meter::{Counter, Direction, Meter, TableEntry};
#[cfg(any(feature = "metrics", test))]
use super::policy::{CallInfo, Decision, Policy};
use super::policy::{panicked, result_len};
use super::response::{Outcome, Response};
use crate::error::Error;
use crate::panics::{catch_and_log, catch_panic};
use crate::runtime::Instant;

/// A call that is counted, until it is over.
pub(crate) struct Counted {
    counter: Arc<dyn Counter>,
    began: Instant,
}

impl Counted {
    /// Counts the beginning of a call. Its counters may be user code.
    pub(crate) fn begin(
        meter: &dyn Meter,
        method: TableEntry,
        direction: Direction,
        bytes: usize,
    ) -> Result<Self, Error> {
        let counter = catch_panic("a policy", || meter.begin(method, direction, bytes));
        counter.map(|counter| Self { counter, began: Instant::now() }).map_err(|id| panicked(&id))
    }

    /// Counts the outcome.
    pub(crate) fn outcome(&self, outcome: Result<usize, &Error>, duration: Duration) {
        catch_and_log("a policy", || self.counter.outcome(outcome, duration));
    }

    /// Returns the response of the call, which is counted with its outcome.
    pub(super) fn watch(self, response: Response) -> Response {
        let told = |counted: &Self, outcome: &Outcome| {
            counted.outcome(result_len(outcome), counted.began.elapsed());
        };
        let response = match response.outcome_now() {
            Ok(outcome) => {
                told(&self, &outcome);
                return Response::ready(outcome);
            }
            Err(response) => response,
        };
        response.followed(move |response, cx| {
            let outcome = ready!(response.poll(cx, None));
            told(&self, &outcome);
            Poll::Ready(outcome)
        })
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        catch_and_log("a policy", || self.counter.over());
    }
}

/// The policy that passes everything and counts it.
#[cfg(any(feature = "metrics", test))]
pub(crate) struct Metered<M>(pub(crate) M);

#[cfg(any(feature = "metrics", test))]
impl<M: Meter + 'static> Policy for Metered<M> {
    fn before(&self, call: &CallInfo) -> Decision {
        match Counted::begin(&self.0, call.table_entry(), call.direction(), call.arguments_len()) {
            Ok(counted) => call.hold(Arc::new(counted)),
            Err(error) => return Decision::Refuse(error),
        }
        Decision::Pass
    }

    fn after(&self, call: &CallInfo, outcome: Result<(), &Error>, duration: Duration) {
        if let Some(counted) = call.held::<Arc<Counted>>() {
            counted.outcome(outcome.map(|()| call.result_len()), duration);
        }
    }

    fn meter(&self) -> Option<&dyn Meter> {
        Some(&self.0)
    }
}
