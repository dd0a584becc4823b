//! Streams: the two ends as references, and what moves chunks between them.
//!
//! A stream has a *write end* with the methods `write`, `close` and `abort`, and a *read end*. Each is an object of this
//! program with one holder. A write end is lent as any object is. A read end is not: the peer makes a pipe, whose
//! read end is there, and a pump here writes into it. A peer whose language has no pipes is lent the read end as an object
//! with `next` and `return`, and an object of a peer is read by these.

mod chunk;
mod ends;
mod iterator;
mod outflow;
mod pipe;
mod pump;
mod window;

pub(crate) use self::chunk::{Acknowledge, Chunk, Item, Later, Source, unfinished, unread};
pub(crate) use self::ends::{
    ReadEnd, StreamEnd, WriteEnd, passed_on, pipe, read_already, read_end, record_of_end, write_end,
};
pub(crate) use self::outflow::{JOINED_CHUNKS, Outflow};
pub(crate) use self::pipe::Pipe;
pub(crate) use self::pump::Pump;
