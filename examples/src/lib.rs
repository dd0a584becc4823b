//! Shared code of the examples: the interface of the tour, command lines, and a transport that shows the frames on the
//! line.

pub mod cli;
pub mod line;
pub mod tour;
