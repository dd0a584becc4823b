//! Calls as spans of `tracing`.

use std::fmt;
use std::time::Duration;

use tracing::field::Empty;
use tracing::{Level, Span};

use super::{CallInfo, Decision, Direction, Guard, Policy};
use crate::error::{Error, ErrorKind};

/// The target of the spans, for filters.
const TARGET: &str = "capnode::call";

/// Makes a span of each call: a layer, or the policy of a membrane, that passes everything.
///
/// The span `call` has OpenTelemetry's names: `otel.name`, `otel.kind` (`server` or `client`), `rpc.system`, `rpc.service`,
/// `rpc.method`, and `otel.status_code` and `error.type` when the call fails. A handler of this program runs inside, so
/// that what it says, and what it calls, belongs to the call. `trace_id` and `parent_id` are those of the `traceparent` in
/// the call's [metadata](crate::Context::metadata), if its peer is [trusted](Trace::trust); of any other they are
/// `link.trace_id` and `link.parent_id`. The target is `capnode::call`, and the level info. While nobody listens
/// to that, calls cross without it.
///
/// ```
/// use capnode::{Node, policy};
///
/// let node = Node::builder().layer(policy::trace()).build();
/// # drop(node);
/// ```
pub fn trace() -> Trace {
    Trace { extract: None, inject: None, trusts: Box::new(|call| !call.is_of_accepted()) }
}

/// The relation of the span of a call to the span that the caller names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Relation {
    /// The call goes on with the caller's trace, under its span.
    Parent,
    /// The call is in a trace of its own, which refers to the caller's: what it says may not be true.
    Link,
}

type ExtractFn = Box<dyn Fn(&Span, &CallInfo, Relation) + Send + Sync>;
type InjectFn = Box<dyn Fn(&Span) -> Vec<(String, String)> + Send + Sync>;

/// The policy of [`trace`].
pub struct Trace {
    extract: Option<ExtractFn>,
    inject: Option<InjectFn>,
    trusts: Box<dyn Fn(&CallInfo) -> bool + Send + Sync>,
}

/// The span of a call.
#[derive(Clone)]
struct CallSpan(Span);

impl Trace {
    /// Calls `extract` with the new span of each call of a peer, so that it can be connected with the one that the caller
    /// names in the call's metadata, in the relation that follows from the [trust](Self::trust) in the peer.
    pub fn extract(mut self, extract: impl Fn(&Span, &CallInfo, Relation) + Send + Sync + 'static) -> Self {
        self.extract = Some(Box::new(extract));
        self
    }

    /// Sets whose word is taken for the trace that a call belongs to. By default it is that of peers that this side has
    /// connected to: one that it has accepted may say what it likes, and its calls are linked.
    ///
    /// ```
    /// use capnode::policy;
    ///
    /// // All who have a certificate are programs of our own.
    /// let trace = policy::trace().trust(|call| call.caller().is_some_and(|caller| !caller.certificates().is_empty()));
    /// # drop(trace);
    /// ```
    pub fn trust(mut self, trusts: impl Fn(&CallInfo) -> bool + Send + Sync + 'static) -> Self {
        self.trusts = Box::new(trusts);
        self
    }

    /// Calls `inject` with the span of each call to a peer. The call's metadata gets the names and values that it returns,
    /// such as `traceparent`.
    pub fn inject(mut self, inject: impl Fn(&Span) -> Vec<(String, String)> + Send + Sync + 'static) -> Self {
        self.inject = Some(Box::new(inject));
        self
    }

    /// Returns the policy that passes what both pass: see [`Guard::and`].
    pub fn and(self, next: impl Policy) -> Guard {
        Guard::new(self).and(next)
    }
}

/// Returns the ids of the trace and of the parent in a `traceparent`, if it has the form of one.
fn ids_of(traceparent: &str) -> Option<(&str, &str)> {
    let mut parts = traceparent.split('-');
    let (_version, trace, parent) = (parts.next()?, parts.next()?, parts.next()?);
    let is_id = |id: &str, len| id.len() == len && id.bytes().all(|byte| byte.is_ascii_hexdigit());
    (is_id(trace, 32) && is_id(parent, 16)).then_some((trace, parent))
}

impl Policy for Trace {
    fn before(&self, call: &CallInfo) -> Decision {
        if self.is_idle() {
            return Decision::Pass;
        }
        let kind = match call.direction() {
            Direction::Inward => "server",
            Direction::Outward => "client",
        };
        let (service, method) = (call.interface().unwrap_or(""), call.path());
        let span = tracing::info_span!(
            target: TARGET,
            "call",
            otel.name = format!("{service}/{method}"),
            otel.kind = kind,
            otel.status_code = Empty,
            rpc.system = "capnode",
            rpc.service = service,
            rpc.method = method,
            "error.type" = Empty,
            trace_id = Empty,
            parent_id = Empty,
            link.trace_id = Empty,
            link.parent_id = Empty,
        );
        let relation = if (self.trusts)(call) { Relation::Parent } else { Relation::Link };
        if let Some((trace, parent)) = call.metadata("traceparent").and_then(ids_of) {
            let (trace_id, parent_id) = match relation {
                Relation::Parent => ("trace_id", "parent_id"),
                Relation::Link => ("link.trace_id", "link.parent_id"),
            };
            span.record(trace_id, trace);
            span.record(parent_id, parent);
        }
        match (call.direction(), &self.extract, &self.inject) {
            (Direction::Inward, Some(extract), _) => extract(&span, call, relation),
            (Direction::Outward, _, Some(inject)) => {
                inject(&span).iter().for_each(|(name, value)| call.set_metadata(name, value));
            }
            _ => {}
        }
        call.hold(CallSpan(span));
        Decision::Pass
    }

    fn after(&self, call: &CallInfo, outcome: Result<(), &Error>, _: Duration) {
        let (Some(span), Err(error)) = (call.held::<CallSpan>(), outcome) else { return };
        span.0.record("otel.status_code", "ERROR");
        span.0.record("error.type", format!("{:?}", error.kind()));
        let limit = error.limit().map(|limit| limit.as_str());
        let fate = format!("{:?}", error.fate());
        span.0.in_scope(|| match (limit, error.kind()) {
            (Some(limit), _) => {
                tracing::warn!(target: TARGET, %error, fate, limit, "a limit has stopped the call")
            }
            (None, ErrorKind::Refused) => {
                tracing::warn!(target: TARGET, %error, fate, "the call was refused");
            }
            _ => tracing::debug!(target: TARGET, %error, fate, "the call has failed"),
        });
    }

    fn around(&self, call: &CallInfo, step: &mut dyn FnMut()) {
        match call.held::<CallSpan>() {
            Some(span) => span.0.in_scope(step),
            None => step(),
        }
    }

    fn is_idle(&self) -> bool {
        !tracing::enabled!(target: TARGET, Level::INFO)
    }
}

impl fmt::Debug for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { extract, inject, .. } = self;
        f.debug_struct("Trace")
            .field("extract", &extract.is_some())
            .field("inject", &inject.is_some())
            .finish_non_exhaustive()
    }
}
