//! Cores in memory, moved by hand through the public API: each rule of how references behave is a test of that name.

mod abuse;
mod backpressure;
mod bad_input;
mod cancellation;
mod cut;
mod end;
mod harness;
mod home;
mod hostile;
mod hostile_streams;
mod languages;
mod limits;
mod maps;
mod names;
mod order;
mod panics;
mod random;
mod reentry;
mod release;
mod scenarios;
mod search;
mod shared;
mod stream_lines;
mod streams;
mod thrown;
