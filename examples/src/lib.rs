//! What the examples share: the interface that the tour goes through, command lines, and a transport that shows what is
//! on the line.

pub mod cli;
pub mod line;
pub mod tour;
