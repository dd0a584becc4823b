//! Connections of a page or of a worker: WebSockets, message ports, workers, and other windows.
//!
//! They carry the [`Connection`](crate::Connection) and the [`Node`](crate::Node) of every other host. There is one
//! thread, and everything is a task of its event loop.
//!
//! A port tells nothing of the other side's death, so that [limits](crate::Limits::probe) should have it probed. A panic
//! ends the whole program there.

mod channel;
mod clone;
mod port;
mod socket;

pub use self::channel::Channel;
pub use self::port::{Port, port, window};
pub use self::socket::{connect, socket};
