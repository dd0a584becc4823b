//! Events of connections, told to `tracing` and counted by `metrics`, where these features are on.

use crate::error::Error;
use crate::panics::catch_and_log;

/// Tells that a connection has begun. Subscribers and recorders are user code, so no lock may be held.
pub(crate) fn opened() {
    catch_and_log("an observer", || {
        #[cfg(feature = "tracing")]
        tracing::debug!("the session has begun");
        #[cfg(feature = "metrics")]
        metrics::counter!("capnode_connections_opened_total").increment(1);
    });
}

/// Tells that a peer did not get a connection: it failed the handshake, or was refused.
#[cfg(feature = "tokio")]
#[cfg_attr(not(feature = "tracing"), allow(unused_variables, reason = "nobody is told"))]
pub(crate) fn refused(why: &dyn std::fmt::Display) {
    catch_and_log("an observer", || {
        #[cfg(feature = "tracing")]
        tracing::warn!(%why, "a connection was refused");
        #[cfg(feature = "metrics")]
        metrics::counter!("capnode_connections_refused_total").increment(1);
    });
}

/// Tells the end of a connection: a broken rule or limit as a warning, and any other end at debug level.
#[cfg_attr(
    not(any(feature = "tracing", feature = "metrics")),
    allow(unused_variables, reason = "nobody is told")
)]
pub(crate) fn ended(error: &Error) {
    catch_and_log("an observer", || {
        #[cfg(feature = "tracing")]
        {
            let limit = error.limit().map(|limit| limit.as_str());
            if is_fault(error) {
                tracing::warn!(%error, limit, "the session has ended");
            } else {
                tracing::debug!(%error, "the session has ended");
            }
        }
        #[cfg(feature = "metrics")]
        {
            let kind = format!("{:?}", error.kind());
            metrics::counter!("capnode_connections_ended_total", "kind" => kind).increment(1);
            error.limit().filter(|_| is_fault(error)).into_iter().for_each(count_limit);
        }
    });
}

/// Returns `true` if a session ends because of a broken rule or a limit.
#[cfg(any(feature = "tracing", feature = "metrics"))]
fn is_fault(error: &Error) -> bool {
    error.kind() == crate::error::ErrorKind::Protocol || error.limit().is_some()
}

/// Counts something that a limit has stopped.
#[cfg(feature = "metrics")]
pub(crate) fn count_limit(limit: crate::limits::LimitKind) {
    metrics::counter!("capnode_limits_total", "limit" => limit.as_str()).increment(1);
}

/// Counts how many references that peers lend to this program, and this program to peers, a connection has more than before.
#[cfg(feature = "metrics")]
#[cold]
pub(crate) fn count_references(before: [usize; 2], now: [usize; 2]) {
    let changes = ["inward", "outward"].into_iter().zip(before.into_iter().zip(now));
    for (direction, (before, now)) in changes.filter(|(_, (before, now))| before != now) {
        catch_and_log("an observer", || {
            let gauge = metrics::gauge!("capnode_references", "direction" => direction);
            match now.checked_sub(before) {
                Some(more) => gauge.increment(more as f64),
                None => gauge.decrement((before - now) as f64),
            }
        });
    }
}
