//! Limits on the resources that one peer may use.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::setters::setters;

/// Limits on the work and memory that a peer can cause. Each is on by default, with the exception of
/// [`frames_per_second`](Self::frames_per_second). Each field tells what happens beyond its limit. An
/// [`Error`](crate::Error) that this program gets for one of its own limits names it by
/// [`limit`](crate::Error::limit). Breaking a limit ends, if anything, the session of the peer that broke it, and
/// no other; only [`node_bytes`](Self::node_bytes) may end another one of the same remote address.
///
/// [`Connection::report`](crate::Connection::report) tells the current use of a session.
///
/// More limits may be added, so they are set one by one:
///
/// ```
/// let limits = capnode::Limits::default().frame_bytes(1 << 20).connections(100);
/// assert_eq!(limits.frame_bytes, 1 << 20);
/// ```
///
/// A field whose description names a least or greatest value never has another one in force: a value below or above
/// counts as the nearest that is allowed, however it was set. [`Report::limits`](field@crate::Report::limits) has the
/// values in force.
///
/// They can be read from a configuration: missing fields have their defaults, and an unknown field is an error. A time
/// is a number of seconds, or `"off"` for no limit.
///
/// ```
/// use std::time::Duration;
///
/// let text = r#"{"connections": 100, "probe": 7.5, "idle": "off"}"#;
/// let limits: capnode::Limits = serde_json::from_str(text).unwrap();
/// let probe = Some(Duration::from_millis(7_500));
/// assert_eq!(limits, capnode::Limits::default().connections(100).probe(probe).idle(None));
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct Limits {
    /// Connections of a node at which it accepts no more, those included that it has opened itself. Default 10,000. A
    /// further peer takes the place of the byte stream that has been silent for longest, see
    /// [`silence`](Self::silence), or is refused. The streams that listeners have accepted, those in a handshake and
    /// those that are being closed included, are at most 128 more. Beyond that the oldest of them is cut off.
    pub connections: usize,
    /// Bytes that all sessions of a node hold together. They are: frames that have not arrived whole, calls that have
    /// not ended, results that the peer may still use, unwritten output and the room for it, 256 for each entry of a table, and 1,024 for
    /// each call or read that stands in a value. The process holds at most twice as much, 64 KiB for each connection,
    /// and 8 MiB of empty buffers for further large messages. Default 1 GiB, at least 64 KiB. A session's share
    /// is this divided by `connections`, and no session that holds less is ended. Beyond the limit, the remote address
    /// whose sessions together hold most above their share loses the youngest of those sessions. An address of IP
    /// version 6 stands for its /64, and the user for the peer at a Unix socket.
    pub node_bytes: usize,
    /// Bytes of one frame. Default 32 MiB, the size at which npm's `capnweb` refuses a message; at least 256. A longer
    /// one is refused while it is being read, and ends the session. With less than 8 KiB, streams of small items can break it:
    /// a peer of this library writes several of them in one frame of up to 4 KiB.
    pub frame_bytes: usize,
    /// The nesting depth of values in a message, arguments counting from 1. Default 256, as in npm's `capnweb`, which
    /// is the most; at least 8. This side refuses to send deeper values, too. A call inside the arguments of another
    /// counts as four levels. A deeper message ends the session.
    pub depth: usize,
    /// Bytes of a string or name in a message, as it is written. Default 32 MiB: as much as a frame; at least 64. A
    /// longer one ends the session.
    pub string_bytes: usize,
    /// Characters of a big integer, its sign included. Default 16,384, as in npm's `capnweb`: reading one takes time
    /// that grows with the square. A longer one ends the session.
    pub bigint_chars: usize,
    /// References of this program that the peer may hold, unfinished calls included: the size of the export table.
    /// Default 1,000,000, at least 1. In Cap'n Web one more ends the session. A peer of a language without releases
    /// loses the least recently used ones instead (LRU eviction).
    pub exports: usize,
    /// References of the peer that this program may hold: the size of the import table. Default 1,000,000. One more
    /// ends the session.
    pub imports: usize,
    /// Calls of this program without an answer of the peer. Default 1,000,000. One more fails as not sent.
    pub calls: usize,
    /// Calls of the peer running at once. Further ones are parked, neither decoded nor started, until one ends; answers
    /// and releases go on meanwhile. Default 1,024, at least 1. More than that in one message end the session; in an
    /// answer, they fail the call that it answers.
    pub running_calls: usize,
    /// Bytes of calls of the peer that are parked, or that wait for the decision of a [policy](crate::Policy). Default
    /// 16 MiB. More end the session.
    pub parked_bytes: usize,
    /// Bytes of all calls of the peer that have not ended: those that are parked, those that wait for a result that is
    /// not there yet, and those whose handler runs. A value that is read in several places counts in each of them while
    /// the handler runs. A call or read inside the arguments counts as 1,024 more. Default 256 MiB, at least 1 KiB.
    /// More end the session.
    pub call_bytes: usize,
    /// Bytes of results that the peer may still use, because it has not released them. A result for which there is no
    /// room is replaced by an error. Default 64 MiB.
    pub kept_bytes: usize,
    /// Bytes of the peer's streams that no reader has taken, 256 for each chunk, and 1,024 for each call or read in one.
    /// What the promises in a chunk come to counts until all of it is there. Default 64 MiB. A stream that brings more
    /// is aborted, and its reader gets an error; the session goes on. The sender chooses how much of a
    /// stream is on its way at once: npm's `capnweb` lets as much be on its way as the line takes.
    pub stream_bytes: usize,
    /// Bytes of a stream that this side sends before the peer's reader has taken them. Default 4 MiB, at least 1 KiB.
    /// The line decides how much of it is used. A writer waits beyond it.
    pub stream_window: usize,
    /// Unwritten bytes above which an awaited call of this program waits for room (backpressure), and all later calls
    /// behind it, in their order. Default 1 MiB, at least 1.
    pub unwritten_bytes_soft: usize,
    /// Unwritten bytes above which calls that do not wait fail as not sent, and any other output ends the session.
    /// Default 64 MiB, at least 256.
    pub unwritten_bytes_hard: usize,
    /// The nesting depth of promises of the peer that resolve to values with promises in them. Default 64, which is
    /// the most, since each costs the stack of one. The call that a deeper one was for fails.
    pub promise_depth: usize,
    /// Bytes of a value that is fully written out: with the outcomes of promises, once they are there, and with shared
    /// parts repeated. Default 32 MiB. The call that a larger one was for fails.
    pub unfolded_bytes: usize,
    /// Steps of a map of the peer, with those of the maps in it: one for each element, one for each instruction that is
    /// run for it and for each reference in that, and one more for each 64 bytes of a result. Default 1,000,000. A map of more steps fails, and what it
    /// has begun is cancelled. The calls of a map that run at once are at most [`running_calls`](Self::running_calls), and
    /// its result has at most [`unfolded_bytes`](Self::unfolded_bytes), of which each element takes 128 beside its own.
    pub map_steps: usize,
    /// Bytes of the metadata of a call, names and values together, in at most 16 entries. Default 4 KiB. A call with
    /// more fails, and is not sent.
    pub metadata_bytes: usize,
    /// Calls that the peer gives up before they have ended, in a second. Default 10,000. More end the session: starting
    /// a handler costs this side more than starting and giving up a call costs the peer.
    pub cancels_per_second: u32,
    /// Messages about unexpected ids, in a second: something lent under an id that does not follow the last one, or an
    /// answer without a question. Both happen to honest peers when messages cross. Default 10,000. More end the
    /// session.
    pub stray_ids_per_second: u32,
    /// Frames in a second. No limit by default, since the requests in them have limits of their own. More end the
    /// session.
    pub frames_per_second: Option<u32>,
    /// The time that an accepted byte stream of a listener may be without its first whole message. Default 60 seconds,
    /// at least 10 milliseconds, and one second more for each 16 KiB of the message that have come. After that it is
    /// closed. The one that has been silent for longest is closed at once if there is no room for another connection,
    /// or no descriptor.
    #[serde(with = "seconds")]
    pub silence: Option<Duration>,
    /// The time that an accepted connection of a node may be idle: no frame but signs of life, no call running, and
    /// nothing lent either way, as far as the peer's language tells. Default one hour, at least one second. After that
    /// it is closed.
    #[serde(with = "seconds")]
    pub idle: Option<Duration>,
    /// The time without a frame after which the peer is asked for a sign of life: by a ping where the transport has it,
    /// else in Cap'n Web and Q-Connection by a message that any peer answers. If there is none for as long again, the
    /// connection is closed. 16 KiB of an incomplete frame count as one. Default 60 seconds, at least 10 milliseconds.
    /// Capnode on a byte stream has no such message.
    #[serde(with = "seconds")]
    pub probe: Option<Duration>,
    /// The time that an awaited call may be without an answer in Capnode and Q-Connection, where a peer may stay
    /// silent. A call with [`Call::timeout`](crate::Call::timeout) has its own. Default five minutes. After that the
    /// call fails. [`NodeBuilder::call_time`](crate::NodeBuilder::call_time) limits the calls in every language.
    #[serde(with = "seconds")]
    pub call_timeout: Option<Duration>,
    /// Bytes of the body of an HTTP batch that a peer sends, and of the body that answers it. Default 64 MiB. A longer
    /// request is refused; a longer answer ends the batch.
    pub batch_bytes: usize,
    /// The time that an HTTP batch may take, from the head of its request to the end of the last call in it. Default 60
    /// seconds. After that it ends: its calls fail, and their handlers are cancelled.
    #[serde(with = "seconds")]
    pub batch_time: Option<Duration>,
}

/// A time limit as a number of seconds, or as `"off"`. Formats without a null could not tell it from a missing field.
mod seconds {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

    const OFF: &str = "off";

    #[derive(Serialize, Deserialize)]
    #[serde(untagged)]
    enum Seconds {
        Whole(u64),
        Part(f64),
        Text(String),
        Flag(bool),
    }

    pub(super) fn serialize<S: Serializer>(limit: &Option<Duration>, to: S) -> Result<S::Ok, S::Error> {
        let seconds = match limit {
            None => Seconds::Text(OFF.to_owned()),
            Some(limit) if limit.subsec_nanos() == 0 => Seconds::Whole(limit.as_secs()),
            Some(limit) => Seconds::Part(limit.as_secs_f64()),
        };
        seconds.serialize(to)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Duration>, D::Error> {
        let unfit = |what: &str| {
            let message = format!("{what} is no time limit: write a number of seconds, or \"off\" for none");
            <D::Error as de::Error>::custom(message)
        };
        match Seconds::deserialize(from).map_err(|_| unfit("this"))? {
            Seconds::Whole(seconds) => Ok(Some(Duration::from_secs(seconds))),
            Seconds::Part(seconds) => {
                Duration::try_from_secs_f64(seconds).map(Some).map_err(|_| unfit(&seconds.to_string()))
            }
            Seconds::Text(text) if text == OFF => Ok(None),
            Seconds::Text(text) => Err(unfit(&format!("{text:?}"))),
            Seconds::Flag(flag) => Err(unfit(&flag.to_string())),
        }
    }
}

/// Makes the setter and the default of each field, and the kind of each limit that may be the reason of an error.
macro_rules! limits {
    ($($field:ident: $type:ty = $default:expr $(=> $kind:ident)?;)*) => {
        setters! { Limits { $($field: $type),* } }

        impl Default for Limits {
            fn default() -> Self {
                Self { $($field: $default),* }
            }
        }

        /// A field of [`Limits`], as an [`Error`](crate::Error::limit) names the limit that was its reason.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum LimitKind {
            $($(#[doc = concat!("[`Limits::", stringify!($field), "`].")] $kind,)?)*
        }

        impl LimitKind {
            /// Returns the name of the field.
            pub fn as_str(self) -> &'static str {
                match self {
                    $($(Self::$kind => stringify!($field),)?)*
                }
            }
        }
    };
}

limits! {
    connections: usize = 10_000 => Connections;
    node_bytes: usize = 1 << 30 => NodeBytes;
    frame_bytes: usize = 32 << 20 => FrameBytes;
    depth: usize = MAX_DEPTH => Depth;
    string_bytes: usize = 32 << 20 => StringBytes;
    bigint_chars: usize = 16_384 => BigintChars;
    exports: usize = 1_000_000 => Exports;
    imports: usize = 1_000_000 => Imports;
    calls: usize = 1_000_000 => Calls;
    running_calls: usize = 1_024 => RunningCalls;
    parked_bytes: usize = 16 << 20 => ParkedBytes;
    call_bytes: usize = 256 << 20 => CallBytes;
    kept_bytes: usize = 64 << 20 => KeptBytes;
    stream_bytes: usize = 64 << 20 => StreamBytes;
    stream_window: usize = 4 << 20;
    unwritten_bytes_soft: usize = 1 << 20;
    unwritten_bytes_hard: usize = 64 << 20 => UnwrittenBytesHard;
    promise_depth: usize = MAX_PROMISE_DEPTH => PromiseDepth;
    unfolded_bytes: usize = 32 << 20 => UnfoldedBytes;
    map_steps: usize = 1_000_000 => MapSteps;
    metadata_bytes: usize = 4 << 10 => MetadataBytes;
    cancels_per_second: u32 = 10_000 => CancelsPerSecond;
    stray_ids_per_second: u32 = 10_000 => StrayIdsPerSecond;
    frames_per_second: Option<u32> = None => FramesPerSecond;
    silence: Option<Duration> = Some(Duration::from_secs(60)) => Silence;
    idle: Option<Duration> = Some(Duration::from_secs(3_600)) => Idle;
    probe: Option<Duration> = Some(Duration::from_secs(60)) => Probe;
    call_timeout: Option<Duration> = Some(Duration::from_secs(300)) => CallTimeout;
    batch_bytes: usize = 64 << 20 => BatchBytes;
    batch_time: Option<Duration> = Some(Duration::from_secs(60)) => BatchTime;
}

impl fmt::Display for LimitKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The nesting depth of values, each level of which costs stack.
pub(crate) const MAX_DEPTH: usize = 256;

/// The nesting depth of promises, each of which costs the stack of one.
pub(crate) const MAX_PROMISE_DEPTH: usize = 64;

/// The shortest time for the peer to send something.
const SHORTEST: Duration = Duration::from_millis(10);

impl Limits {
    /// Returns the limits as they are in force: with each value that is out of its range replaced by the nearest in it.
    pub(crate) fn in_force(mut self) -> Self {
        let at_least = |limit: Option<Duration>, least| limit.map(|limit| limit.max(least));
        self.node_bytes = self.node_bytes.max(64 << 10);
        self.frame_bytes = self.frame_bytes.max(256);
        self.depth = self.depth.clamp(8, MAX_DEPTH);
        self.string_bytes = self.string_bytes.max(64);
        self.exports = self.exports.max(1);
        // Without any room, a call would be parked for ever.
        self.running_calls = self.running_calls.max(1);
        self.call_bytes = self.call_bytes.max(1 << 10);
        // One call always fits if nothing is unwritten.
        self.unwritten_bytes_soft = self.unwritten_bytes_soft.max(1);
        self.unwritten_bytes_hard = self.unwritten_bytes_hard.max(256);
        self.stream_window = self.stream_window.max(1 << 10);
        self.promise_depth = self.promise_depth.min(MAX_PROMISE_DEPTH);
        self.silence = at_least(self.silence, SHORTEST);
        self.idle = at_least(self.idle, Duration::from_secs(1));
        self.probe = at_least(self.probe, SHORTEST);
        self.batch_time = at_least(self.batch_time, SHORTEST);
        self
    }

    /// Returns the bounds for a value that is put together from the outcomes of promises.
    pub(crate) fn unfolding(&self) -> Unfolding {
        Unfolding {
            bytes: self.unfolded_bytes,
            depth: self.promise_depth,
            frame: self.frame_bytes,
            map_steps: self.map_steps,
            calls: self.running_calls,
        }
    }
}

/// The bounds for a value that is put together from the outcomes of promises.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Unfolding {
    pub(crate) bytes: usize,
    pub(crate) depth: usize,
    /// The most bytes of an answer made of the value.
    pub(crate) frame: usize,
    /// The most steps of a map.
    pub(crate) map_steps: usize,
    /// The most calls of a map that run at once.
    pub(crate) calls: usize,
}

/// A rate: a number of events in a second, and as many at once after a second without any.
#[derive(Debug)]
pub(crate) struct Rate {
    limit: u32,
    /// The count that may still come, as of `at`.
    left: f64,
    at: Duration,
}

impl Rate {
    pub(crate) fn new(limit: u32) -> Self {
        Self { limit, left: f64::from(limit), at: Duration::ZERO }
    }

    /// Counts one at `now`. Returns `true` if it is within the limit.
    pub(crate) fn count(&mut self, now: Duration) -> bool {
        let passed = now.saturating_sub(self.at).as_secs_f64();
        self.at = self.at.max(now);
        let limit = f64::from(self.limit);
        self.left = (self.left + passed * limit).min(limit) - 1.0;
        self.left >= 0.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_read_as_they_were_written() {
        let limits =
            Limits::default().silence(None).idle(Some(Duration::from_millis(1))).frames_per_second(Some(9));
        let text = serde_json::to_string(&limits).unwrap();
        assert!(text.contains(r#""silence":"off","idle":0.001,"probe":60,"call_timeout":300"#), "{text}");
        assert_eq!(serde_json::from_str::<Limits>(&text).unwrap(), limits);
        assert_eq!(serde_json::from_str::<Limits>("{}").unwrap(), Limits::default());
    }

    #[test]
    fn a_misspelt_limit_is_refused() {
        let read = |text: &str| serde_json::from_str::<Limits>(text).unwrap_err().to_string();
        assert!(read(r#"{"conections":1}"#).contains("unknown field `conections`"));
        for (time, what) in
            [("-1", "-1"), ("\"1m\"", "\"1m\""), ("1e300", "1"), ("false", "false"), ("[1]", "this")]
        {
            let error = read(&format!(r#"{{"idle":{time}}}"#));
            assert!(error.starts_with(what) && error.contains("a number of seconds, or \"off\""), "{error}");
        }
    }

    #[test]
    fn a_rate_lets_as_many_pass_in_a_second_as_it_says_and_not_one_more() {
        let mut rate = Rate::new(500);
        assert!((0..500).all(|_| rate.count(Duration::ZERO)));
        assert!(!rate.count(Duration::ZERO));
        let mut rate = Rate::new(500);
        assert!((0..500).all(|_| rate.count(Duration::ZERO)));
        assert!((0..250).all(|_| rate.count(Duration::from_millis(501))));
        assert!(!rate.count(Duration::from_millis(501)));
    }

    #[test]
    fn a_clock_that_goes_back_gives_nothing_away() {
        let mut rate = Rate::new(1);
        assert!(rate.count(Duration::from_secs(9)));
        assert!(!rate.count(Duration::from_secs(1)));
        assert!(!rate.count(Duration::from_secs(9)));
    }
}
