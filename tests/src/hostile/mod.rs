//! Hostile programs, generated: frames in each language that use the names of the [laboratory](crate::lab), with ids in
//! every state, in random order.

mod frames;
mod session;

pub use self::frames::Speaker;
pub use self::session::{Seen, Session, shortest};
