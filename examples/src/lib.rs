//! Shared code of the examples: the interface of the tour, command lines, a transport that shows the frames on the
//! line, and small exporters of spans and metrics.

pub mod cli;
pub mod line;
pub mod prometheus;
pub mod tour;
pub mod trace;
