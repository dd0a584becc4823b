//! Shared code of the examples: the interface of the tour, command lines, the frames on a line, and small exporters of
//! spans and metrics.

pub mod cli;
pub mod frames;
pub mod prometheus;
pub mod tour;
pub mod trace;
