//! What one peer may cost us.

/// Limits on what a peer can make a session do or hold. Each is on by default; breaking one ends
/// the session of the peer that broke it, and no other.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// Connections that a node accepts at a time. Default 10,000. One more is refused.
    pub connections: usize,
    /// Bytes in one frame. Default 32 MiB, the size at which npm's `capnweb` refuses a message.
    pub frame_bytes: usize,
    /// How deep values may nest in a message, arguments counting from 1. Default 256, as in npm's
    /// `capnweb`, and never more; we refuse to send the same depth.
    pub depth: usize,
    /// Characters of a big integer, its sign included. Default 16,384, as in npm's `capnweb`.
    pub bigint_chars: usize,
    /// References of ours that the peer may hold, unfinished calls included. Default 1,000,000.
    pub exports: usize,
    /// References that the peer may lend us and that we still hold. Default 1,000,000.
    pub imports: usize,
    /// Calls of the peer running at once. Further ones are parked, neither decoded nor started,
    /// until one ends; answers and releases go on meanwhile. Default 1,024.
    pub running_calls: usize,
    /// Bytes of the peer's calls that may be parked. Default 16 MiB.
    pub parked_bytes: usize,
    /// Bytes of results that the peer may still use: those of its calls that it has not given back. A result
    /// for which there is no room is replaced by an error. Default 64 MiB.
    pub kept_bytes: usize,
    /// Bytes waiting to be written above which an awaited call of ours waits for room. Default
    /// 1 MiB.
    pub unwritten_bytes_soft: usize,
    /// Bytes waiting to be written above which calls that do not wait fail as not sent, and above
    /// which, for anything else, the session ends. Default 64 MiB.
    pub unwritten_bytes_hard: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 10_000,
            frame_bytes: 32 << 20,
            depth: 256,
            bigint_chars: 16_384,
            exports: 1_000_000,
            imports: 1_000_000,
            running_calls: 1_024,
            parked_bytes: 16 << 20,
            kept_bytes: 64 << 20,
            unwritten_bytes_soft: 1 << 20,
            unwritten_bytes_hard: 64 << 20,
        }
    }
}
