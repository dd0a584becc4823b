//! Calls that are counted, which takes no description of them.

#[cfg(any(feature = "metrics", test))]
use std::sync::Arc;
use std::task::{Poll, ready};
#[cfg(any(feature = "metrics", test))]
use std::time::Duration;

use super::meter::Counted;
#[cfg(any(feature = "metrics", test))]
use super::meter::Meter;
#[cfg(any(feature = "metrics", test))]
use super::policy::{CallInfo, Decision, Policy, panicked};
use super::response::{Response, result_len};
#[cfg(any(feature = "metrics", test))]
use crate::error::Error;

impl Counted {
    /// Returns the response of the call, which is counted with its outcome.
    pub(super) fn watch(self, response: Response) -> Response {
        let response = match response.outcome_now() {
            Ok(outcome) => {
                self.outcome(result_len(&outcome));
                return Response::ready(outcome);
            }
            Err(response) => response,
        };
        response.followed(move |response, cx| {
            let outcome = ready!(response.poll(cx, None));
            self.outcome(result_len(&outcome));
            Poll::Ready(outcome)
        })
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
            Err(id) => return Decision::Refuse(panicked(&id)),
        }
        Decision::Pass
    }

    fn after(&self, call: &CallInfo, outcome: Result<(), &Error>, _: Duration) {
        if let Some(counted) = call.held::<Arc<Counted>>() {
            counted.outcome(outcome.map(|()| call.result_len()));
        }
    }

    fn meter(&self) -> Option<&dyn Meter> {
        Some(&self.0)
    }
}
