//! What the examples share: the interface that the tour goes through, the checks that a peer of it
//! can be put to, and a transport that shows what is on the line.

pub mod checks;
pub mod cli;
pub mod line;
pub mod tour;
